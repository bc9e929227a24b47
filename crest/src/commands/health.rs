//! `crest health`: whether a server takes requests. Scripts, containers and service managers ask it.

use super::connect::deepest;
use super::human::parse_patience;
use super::outcome::{Failure, Outcome, print, reason};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// `crest health`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crest health --address 127.0.0.1:7101

Exit codes: 0 it serves, 1 it answers that it does not, 3 nobody answers.")]
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

/// Asks with gRPC's own health protocol (`grpc.health.v1`), for the server as a whole.
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
        match HealthClient::new(channel).check(HealthCheckRequest::default()).await {
            Ok(answer) => Ok(answer.into_inner().status() == ServingStatus::Serving),
            Err(status) if matches!(status.code(), Code::Unimplemented | Code::NotFound) => {
                Err(Failure::Unavailable(format!("what answers at {address} does not tell its health: is it Crest?")))
            }
            Err(status) => Err(silent(reason(&status))),
        }
    };
    // Looking up a name has no time limit of its own.
    let asked = tokio::time::timeout(args.timeout, asked).await;
    let serves = asked.unwrap_or_else(|_| Err(silent(format!("not within {:?}", args.timeout))))?;
    Ok(Outcome {
        text: if serves { format!("{address} serves") } else { String::new() },
        json: json!({ "address": address, "serves": serves }),
        refusal: (!serves).then(|| format!("{address} answers, and does not serve")),
    })
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

    /// A server that says this of itself.
    async fn server(told: Told) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (reporter, service) = health_reporter();
        reporter.set_service_status("", told).await;
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
        let (serving, stopping) = (server(Told::Serving).await, server(Told::NotServing).await);
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
