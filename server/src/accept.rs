//! Accepting connections: never more than there are file descriptors for, and in peace when there is none.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::{Stream, StreamExt as _, stream};
use metrics::{Counter, Gauge};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};
use tonic::transport::server::TcpIncoming;

use crate::connection::{Io, describe_closed};
use crate::limits::{
    ACCEPT_LOG_INTERVAL, ACCEPT_PAUSE_MAX, ACCEPT_PAUSE_MIN, CONNECTIONS_MAX, DESCRIPTORS_PER_CONNECTION,
    TCP_KEEPALIVE, Times,
};

/// Raises this process's limit of file descriptors as far as it may without being root, and gives it.
///
/// # Errors
/// When the system does not let it.
pub fn raise_descriptors() -> anyhow::Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return Ok(current.unwrap_or(u64::MAX));
    }
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("cannot raise the limit of open files (ulimit -n) to its hard limit")?;
    Ok(maximum.unwrap_or(u64::MAX))
}

/// How many connections a process with so many file descriptors takes at a time.
pub fn connections_max(descriptors: u64) -> usize {
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    (descriptors / DESCRIPTORS_PER_CONNECTION).clamp(1, CONNECTIONS_MAX)
}

/// The connections of a listener, as a gRPC server takes them. Never ends.
pub fn connections(
    listener: TcpListener,
    max: usize,
    times: Times,
) -> impl Stream<Item = Result<Io, io::Error>> + Send + 'static {
    describe_closed();
    let accept = Accept::new(listener, max, "grpc");
    stream::unfold(accept, move |mut accept| async move {
        let (stream, place) = accept.next().await?;
        Some((Ok(Io::new(stream, times, place)), accept))
    })
}

/// Takes the connections of a port, at most so many at a time. More are closed at once, so that their clients go elsewhere.
pub struct Accept {
    incoming: TcpIncoming,
    places: Arc<Semaphore>,
    max: usize,
    pause: Duration,
    report: Report,
}

impl Accept {
    /// Takes at most `max` at a time. The metrics name the port.
    pub fn new(listener: TcpListener, max: usize, port: &'static str) -> Self {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(TCP_KEEPALIVE));
        let places = Arc::new(Semaphore::new(max));
        Self { incoming, places, max, pause: ACCEPT_PAUSE_MIN, report: Report::new(max, port) }
    }

    /// The next connection, with its place among all: there is room for another one when that is dropped.
    pub async fn next(&mut self) -> Option<(TcpStream, Place)> {
        loop {
            let stream = match self.incoming.next().await? {
                Ok(stream) => stream,
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) => {
                    self.report.failed(&error);
                    sleep(self.pause).await;
                    self.pause = (2 * self.pause).min(ACCEPT_PAUSE_MAX);
                    continue;
                }
            };
            self.pause = ACCEPT_PAUSE_MIN;
            match self.places.clone().try_acquire_owned() {
                Ok(permit) => return Some((stream, Place::new(permit, self.report.open.clone()))),
                // Dropped, and so closed.
                Err(_) => self.report.refused(self.max),
            }
        }
    }
}

/// A connection's place among all.
pub struct Place {
    open: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn new(permit: OwnedSemaphorePermit, open: Gauge) -> Self {
        open.increment(1.0);
        Self { open, _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}

/// Whether only the one connection is lost, before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Counts what was not taken, and tells the log once in a while.
struct Report {
    open: Gauge,
    refused: Counter,
    failed: Counter,
    since_told: u64,
    told: Option<Instant>,
}

impl Report {
    fn new(max: usize, port: &'static str) -> Self {
        metrics::gauge!("crest_server_connections_max", "port" => port).set(max as f64);
        let open = metrics::gauge!("crest_server_connections", "port" => port);
        open.set(0.0);
        let [refused, failed] = ["limit", "system"].map(|reason| {
            let counter =
                metrics::counter!("crest_server_connections_refused_total", "port" => port, "reason" => reason);
            counter.increment(0);
            counter
        });
        Self { open, refused, failed, since_told: 0, told: None }
    }

    fn refused(&mut self, max: usize) {
        self.refused.increment(1);
        self.tell(|n| {
            tracing::warn!(
                connections = n,
                "closed at once: this process has its {max} connections already; start more routers, or raise ulimit -n if that \
                 is what limits them"
            );
        });
    }

    fn failed(&mut self, error: &io::Error) {
        self.failed.increment(1);
        self.tell(|n| {
            tracing::error!(times = n, %error, "cannot accept connections, and tries again; raise ulimit -n if it says so");
        });
    }

    fn tell(&mut self, tell: impl FnOnce(u64)) {
        self.since_told += 1;
        if self.told.is_none_or(|told| told.elapsed() >= ACCEPT_LOG_INTERVAL) {
            tell(self.since_told);
            (self.since_told, self.told) = (0, Some(Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_everything_else() {
        let cases = [(0, 1), (1, 1), (64, 32), (1_024, 512), (8_192, 4_096), (1 << 20, 4_096), (u64::MAX, 4_096)];
        for (descriptors, connections) in cases {
            assert_eq!(connections_max(descriptors), connections, "{descriptors}");
        }
    }

    #[test]
    fn the_limit_of_descriptors_is_raised_to_its_hard_limit() {
        let raised = raise_descriptors().unwrap();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!((limit.current, limit.maximum.unwrap_or(u64::MAX)), (limit.maximum, raised));
    }
}
