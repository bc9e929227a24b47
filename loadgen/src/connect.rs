//! Connections to a router.

use std::time::Duration;

use anyhow::{Context, bail};
use crest_proto::MESSAGE_BYTES_MAX;
use crest_proto::v1::ledger_client::LedgerClient;
use tonic::transport::{Channel, Endpoint};

/// How long a TCP connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a silent connection is asked whether it lives, and how long it may think about that.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Opens a connection to the router at `url` (`http://host:port` or `host:port`). It opens itself again after a failure.
///
/// # Errors
/// When the address is malformed or nobody answers there; the text says what to do.
pub(crate) async fn connect(url: &str) -> anyhow::Result<Channel> {
    connect_to(url, "--router", &format!("no router answers at {url}: is it running, is --router right?")).await
}

/// The same to anybody whose address was given by the flag `flag`; when nobody answers, `hint` says what to do.
///
/// # Errors
/// When the address is malformed or nobody answers there.
pub(crate) async fn connect_to(url: &str, flag: &str, hint: &str) -> anyhow::Result<Channel> {
    endpoint(url, flag)?.connect().await.with_context(|| hint.to_owned())
}

/// The ledger behind `channel`.
pub(crate) fn ledger(channel: Channel) -> LedgerClient<Channel> {
    LedgerClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

fn endpoint(url: &str, flag: &str) -> anyhow::Result<Endpoint> {
    if url.starts_with("https://") {
        bail!("{flag} {url}: this client speaks plain HTTP/2 only; give an http:// address");
    }
    let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let endpoint = Endpoint::from_shared(full)
        .with_context(|| format!("{flag} {url}: expected an address such as http://127.0.0.1:7000"))?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        // Without it a small message waits some 40 ms for the acknowledgement of the one before.
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_leave_out_the_scheme() {
        assert_eq!(endpoint("localhost:7000", "--router").unwrap().uri().to_string(), "http://localhost:7000/");
        assert!(endpoint("https://localhost:7000", "--router").unwrap_err().to_string().contains("http://"));
        assert!(endpoint("not an address", "--router").is_err());
    }
}
