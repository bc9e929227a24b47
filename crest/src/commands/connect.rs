//! The connection to a router, and the options that all commands share.

use super::human::{SCALE_MAX, parse_patience};
use super::outcome::Failure;
use crest_proto::MESSAGE_BYTES_MAX;
use crest_proto::v1::ledger_client::LedgerClient;
use crest_proto::v1::operations_client::OperationsClient;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

/// How long a TCP connection may take, unless the whole request has less.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The largest page that a command asks for: some 80 KiB to 160 KiB of answer.
pub(crate) const PAGE_ROWS_MAX: u32 = 1_000;

/// Options of every command.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Connection and output")]
pub(crate) struct Common {
    /// The router's address
    #[arg(long, global = true, env = "CREST_ROUTER", default_value = "http://127.0.0.1:7000", value_name = "URL")]
    pub(crate) router: String,
    /// How long one request may take [default: 10s; audit: 1h]
    #[arg(long, global = true, value_parser = parse_patience, value_name = "DURATION")]
    pub(crate) request_timeout: Option<Duration>,
    /// Print one JSON document; numbers of 64 and 128 bits are strings
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Decimals of amounts, typed and printed: with 2, 12.50 is 1250 of the ledger's smallest unit. JSON always has the
    /// smallest unit
    #[arg(long, global = true, env = "CREST_SCALE", default_value_t = 0, value_name = "DIGITS",
          value_parser = clap::value_parser!(u8).range(0..=SCALE_MAX as i64))]
    pub(crate) scale: u8,
}

impl Common {
    /// A client of the router's ledger.
    ///
    /// # Errors
    /// When the address is malformed, or nobody answers there; nothing was sent then.
    pub(crate) async fn ledger(&self) -> Result<LedgerClient<Channel>, Failure> {
        let channel = self.channel(Duration::from_secs(10)).await?;
        Ok(LedgerClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// A client of the router's operations. An audit reads everything, and hence may take longer.
    ///
    /// # Errors
    /// As [`Common::ledger`].
    pub(crate) async fn operations(&self) -> Result<OperationsClient<Channel>, Failure> {
        self.operations_within(Duration::from_secs(600)).await
    }

    /// The same, for requests that may take so long.
    ///
    /// # Errors
    /// As [`Common::ledger`].
    pub(crate) async fn operations_within(&self, patience: Duration) -> Result<OperationsClient<Channel>, Failure> {
        let channel = self.channel(patience).await?;
        Ok(OperationsClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    async fn channel(&self, patience: Duration) -> Result<Channel, Failure> {
        let url = if self.router.contains("://") { self.router.clone() } else { format!("http://{}", self.router) };
        let malformed = || Failure::Usage(format!("--router {url}: expected an address such as http://127.0.0.1:7000"));
        let patience = self.request_timeout.unwrap_or(patience);
        if !url.starts_with("http://") {
            return Err(malformed());
        }
        let endpoint = Endpoint::from_shared(url.clone())
            .map_err(|_| malformed())?
            // Without it a small message waits some 40 ms for the acknowledgement of the one before.
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT.min(patience))
            .timeout(patience);
        endpoint.connect().await.map_err(|error| {
            let cause = deepest(&error);
            Failure::Unavailable(format!(
                "no router answers at {url} ({cause}); nothing was sent. Is it running, is --router (or CREST_ROUTER) right?"
            ))
        })
    }
}

/// What lies under an error: "transport error" helps nobody.
pub(super) fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Follows cursors until there are `limit` rows or no next page. `fetch` gets the rows wanted and the cursor, and answers
/// with rows and the next cursor.
///
/// # Errors
/// The first of `fetch`, or when a cursor does not move on.
pub(crate) async fn collect_pages<Row>(
    limit: u32,
    mut fetch: impl AsyncFnMut(u32, Vec<u8>) -> Result<(Vec<Row>, Vec<u8>), Failure>,
) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    let mut cursor = Vec::new();
    loop {
        let wanted = limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
        let (page, next) = fetch(wanted.min(PAGE_ROWS_MAX), cursor.clone()).await?;
        rows.extend(page);
        rows.truncate(limit as usize);
        if next.is_empty() || rows.len() >= limit as usize {
            return Ok(rows);
        }
        if next == cursor {
            return Err(Failure::broken_answer("a next page is the page before"));
        }
        cursor = next;
    }
}
