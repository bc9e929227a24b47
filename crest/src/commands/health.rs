//! `crest health`: whether a server takes requests. Scripts, containers and service managers ask it.

use super::connect::deepest;
use super::human::parse_patience;
use super::outcome::{Failure, Outcome, print, reason};
use super::participation;
use crate::serve::health::LEDGER;
use crest_proto::MESSAGE_BYTES_MAX;
use crest_proto::v1;
use crest_proto::v1::operations_client::OperationsClient;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// `crest health`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crest health --address 127.0.0.1:7101

A router serves everything when the leader of every shard answers it and all shards accept each other's messages; what it says
changes 6 s after that does. A node serves as long as it runs.

Exit codes: 0 it serves, 1 it answers that it does not, or not all shards, 3 nobody answers.")]
pub struct Args {
    /// A router's or a node's address
    #[arg(long, default_value = "127.0.0.1:7000", value_name = "HOST:PORT")]
    address: String,
    /// How long it may take to answer
    #[arg(long, default_value = "3s", value_parser = parse_patience, value_name = "DURATION")]
    timeout: Duration,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs `crest health` and prints the outcome.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    print(execute(&args).await, args.json)
}

/// What a server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Serves {
    /// Everything that it is there for.
    All,
    /// Payments on some shards.
    Some,
    Nothing,
}

/// Asks with gRPC's own health protocol (`grpc.health.v1`), for the server as a whole and, of a router, for all shards.
pub(super) async fn execute(args: &Args) -> Result<Outcome, Failure> {
    let address = args.address.strip_prefix("http://").unwrap_or(&args.address);
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .ok()
        .filter(|endpoint| endpoint.uri().port().is_some())
        .ok_or_else(|| Failure::Usage(format!("--address {address}: expected host:port, such as 127.0.0.1:7101")))?
        .connect_timeout(args.timeout)
        .timeout(args.timeout);
    let silent = |why: String| Failure::Unavailable(format!("nobody answers at {address} ({why})"));
    let asked = async {
        let channel = endpoint.connect().await.map_err(|error| silent(deepest(&error)))?;
        let check = |service: &str| {
            let (mut client, service) = (HealthClient::new(channel.clone()), service.to_owned());
            async move { client.check(HealthCheckRequest { service }).await.map(|answer| answer.into_inner().status()) }
        };
        let serves = match check("").await {
            Ok(status) => status == ServingStatus::Serving,
            Err(status) if matches!(status.code(), Code::Unimplemented | Code::NotFound) => {
                let why = format!("what answers at {address} does not tell its health: is it Crest?");
                return Err(Failure::Unavailable(why));
            }
            Err(status) => return Err(silent(reason(&status))),
        };
        let serves = match check(LEDGER).await {
            Ok(ServingStatus::Serving) => Serves::All,
            Ok(_) if serves => Serves::Some,
            Ok(_) => Serves::Nothing,
            // A node, or a router of an older build.
            Err(status) if status.code() == Code::NotFound && serves => Serves::All,
            Err(status) if status.code() == Code::NotFound => Serves::Nothing,
            Err(status) => return Err(silent(reason(&status))),
        };
        let troubles = match serves {
            Serves::All => Vec::new(),
            // What is known already is said in time, with reasons or without.
            Serves::Some | Serves::Nothing => {
                tokio::time::timeout(args.timeout * 4 / 5, troubles(channel)).await.unwrap_or_default()
            }
        };
        Ok((serves, troubles))
    };
    // Looking up a name has no time limit of its own.
    let asked = tokio::time::timeout(args.timeout, asked).await;
    let (serves, troubles) = asked.unwrap_or_else(|_| Err(silent(format!("not within {:?}", args.timeout))))?;
    let why = if troubles.is_empty() { String::new() } else { format!(": {}", troubles.join("; ")) };
    Ok(Outcome {
        text: if serves == Serves::All { format!("{address} serves") } else { String::new() },
        json: json!({
            "address": address,
            "serves": serves != Serves::Nothing,
            "every_shard": serves == Serves::All,
            "troubles": troubles,
        }),
        refusal: match serves {
            Serves::All => None,
            Serves::Some => Some(format!("{address} serves some payments and not all{why}")),
            Serves::Nothing => Some(format!("{address} answers, and does not serve{why}")),
        },
    })
}

/// What keeps shards from taking part, as a router says; nothing when it is none, or does not answer that.
async fn troubles(channel: Channel) -> Vec<String> {
    let mut client = OperationsClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let Ok(status) = client.status(v1::StatusRequest {}).await else { return Vec::new() };
    participation::troubles(status.get_ref()).into_iter().map(|(_, trouble)| trouble).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::fake::Fake;
    use crate::commands::outcome::render;
    use clap::Parser;
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic_health::ServingStatus as Told;
    use tonic_health::server::health_reporter;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    /// A server that says this of itself, and of the ledger when it is a router.
    async fn server(told: Told, ledger: Option<Told>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (reporter, service) = health_reporter();
        reporter.set_service_status("", told).await;
        if let Some(told) = ledger {
            reporter.set_service_status(LEDGER, told).await;
        }
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        address.to_string()
    }

    async fn check(words: &str, code: u8, told: &str) {
        let cli = Cli::try_parse_from(["health"].into_iter().chain(words.split_whitespace())).unwrap();
        let (out, error, ended) = render(&execute(&cli.args).await, cli.args.json);
        let said = format!("{out}{}", error.unwrap_or_default());
        assert!(ended == code && said.contains(told), "{words}: {ended}: {said}; expected {code}: {told}");
    }

    #[tokio::test]
    async fn the_exit_code_says_whether_a_server_takes_requests() {
        let (serving, stopping) = (server(Told::Serving, None).await, server(Told::NotServing, None).await);
        let all = server(Told::Serving, Some(Told::Serving)).await;
        let some = server(Told::Serving, Some(Told::NotServing)).await;
        let nothing = server(Told::NotServing, Some(Told::NotServing)).await;
        check(&format!("--address {all}"), 0, "serves").await;
        check(&format!("--address {some}"), 1, "serves some payments and not all").await;
        check(&format!("--address {some} --json"), 1, "\"every_shard\": false").await;
        check(&format!("--address {nothing}"), 1, "answers, and does not serve").await;
        check(&format!("--address {serving}"), 0, "serves").await;
        check(&format!("--address http://{serving} --json"), 0, "\"serves\": true").await;
        check(&format!("--address {stopping}"), 1, "answers, and does not serve").await;
        check(&format!("--address {stopping} --json"), 1, "\"serves\": false").await;
        let other = Fake::default().serve().await;
        check(&format!("--address {other}"), 3, "is it Crest?").await;
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_or_says_nothing_is_told_in_time() {
        // It takes connections and never says a word.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        check(&format!("--address {address} --timeout 200ms"), 3, "nobody answers").await;
        drop(listener);
        check(&format!("--address {address}"), 3, "nobody answers").await;
        for malformed in ["somewhere", "a b:c", "127.0.0.1", "https://127.0.0.1:7000"] {
            let args = Args { address: malformed.to_owned(), timeout: Duration::from_secs(3), json: false };
            let (_, _, code) = render(&execute(&args).await, false);
            assert_eq!(code, 2, "{malformed}");
        }
    }
}
