//! A connection: what it has under way, and when it is given up.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::transport::server::Connected;

use crate::accept::Place;
use crate::budget::{Budget, Share};
use crate::limits::{STREAMS_MAX, Times};

/// Bytes with which every HTTP/2 connection begins: the preface, and the head of the client's first frame.
const HANDSHAKE_BYTES: usize = 24 + 9;

/// What a connection has under way.
pub struct Connection {
    pub(crate) times: Times,
    shares: Mutex<Vec<Share>>,
    streams: AtomicUsize,
    answers: Mutex<BTreeMap<u64, Arc<Waiting>>>,
    answers_begun: AtomicU64,
}

/// Since when an answer has waited for the client to take some of it.
#[derive(Debug)]
pub(crate) struct Waiting(Mutex<Option<Instant>>);

impl Waiting {
    pub(crate) fn set(&self, waits: bool) {
        *lock(&self.0) = waits.then(Instant::now);
    }
}

/// One of a connection's streams, until it is dropped.
pub(crate) struct OpenStream(Arc<Connection>);

/// An answer that a connection watches, until it is dropped.
pub(crate) struct Watched {
    connection: Arc<Connection>,
    number: u64,
    pub(crate) waiting: Arc<Waiting>,
}

impl Connection {
    /// A connection that has just been made.
    pub fn new(times: Times) -> Self {
        Self {
            times,
            shares: Mutex::default(),
            streams: AtomicUsize::new(0),
            answers: Mutex::default(),
            answers_begun: AtomicU64::new(0),
        }
    }

    /// What it may spend of a budget.
    pub(crate) fn share(&self, budget: &Budget) -> Share {
        let mut shares = lock(&self.shares);
        if let Some(share) = shares.iter().find(|share| share.is_of(budget)) {
            return share.clone();
        }
        let share = Share::of(budget);
        shares.push(share.clone());
        share
    }

    /// Begins one more stream; none when it has as many as it may.
    pub(crate) fn open_stream(self: &Arc<Self>) -> Option<OpenStream> {
        let one_more = |open: usize| (open < STREAMS_MAX).then_some(open + 1);
        let opened = self.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        opened.is_ok().then(|| OpenStream(self.clone()))
    }

    /// Watches an answer, which waits for the client from now on.
    pub(crate) fn watch(self: &Arc<Self>) -> Watched {
        let number = self.answers_begun.fetch_add(1, Ordering::Relaxed);
        let waiting = Arc::new(Waiting(Mutex::new(Some(Instant::now()))));
        lock(&self.answers).insert(number, waiting.clone());
        Watched { connection: self.clone(), number, waiting }
    }

    /// Whether an answer has waited for too long.
    fn is_unread(&self) -> bool {
        let late = |waiting: &Arc<Waiting>| lock(&waiting.0).is_some_and(|since| since.elapsed() > self.times.unread);
        lock(&self.answers).values().any(late)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let before = self.0.streams.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "a stream ends once");
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        lock(&self.connection.answers).remove(&self.number);
    }
}

/// A connection's bytes. Reading and writing fail when the connection is given up, and that closes it.
pub struct Io {
    stream: TcpStream,
    connection: Arc<Connection>,
    accepted: Instant,
    bytes_read: usize,
    check: Pin<Box<Sleep>>,
    _place: Place,
}

impl Io {
    /// A connection that was accepted, with its place among all.
    pub(crate) fn new(stream: TcpStream, times: Times, place: Place) -> Self {
        let accepted = Instant::now();
        let check = Box::pin(sleep_until(accepted + times.handshake));
        let connection = Arc::new(Connection::new(times));
        Self { stream, connection, accepted, bytes_read: 0, check, _place: place }
    }

    /// Fails when the connection is to be given up. Wakes the task when it has to ask again.
    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.check.as_mut().poll(cx).is_ready() {
            let times = self.connection.times;
            if self.bytes_read < HANDSHAKE_BYTES && self.accepted.elapsed() >= times.handshake {
                return Err(given_up("handshake", "it has not begun to speak HTTP/2 in time"));
            }
            if self.connection.is_unread() {
                return Err(given_up("unread", "the client has taken nothing of an answer for too long"));
            }
            self.check.as_mut().reset(Instant::now() + times.check);
        }
        Ok(())
    }
}

/// Has the metrics say that none was given up so far.
pub(crate) fn describe_closed() {
    for reason in ["handshake", "unread"] {
        metrics::counter!("crest_server_connections_closed_total", "reason" => reason).increment(0);
    }
}

fn given_up(reason: &'static str, why: &'static str) -> io::Error {
    metrics::counter!("crest_server_connections_closed_total", "reason" => reason).increment(1);
    tracing::debug!(why, "a connection is closed");
    io::Error::new(io::ErrorKind::TimedOut, why)
}

impl Connected for Io {
    type ConnectInfo = Arc<Connection>;

    fn connect_info(&self) -> Arc<Connection> {
        self.connection.clone()
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.look(cx)?;
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.bytes_read = self.bytes_read.saturating_add(buf.filled().len() - before);
        read
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.look(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_so_many_streams_at_a_time() {
        let connection = Arc::new(Connection::new(Times::default()));
        let mut open: Vec<_> = (0..STREAMS_MAX).map(|_| connection.open_stream().unwrap()).collect();
        assert!(connection.open_stream().is_none());
        open.pop();
        assert!(connection.open_stream().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_waits_for_long_is_unread_and_one_that_goes_on_is_not() {
        let connection = Arc::new(Connection::new(Times::default()));
        let (one, idle) = (connection.watch(), connection.watch());
        idle.waiting.set(false);
        tokio::time::sleep(connection.times.unread).await;
        assert!(!connection.is_unread());
        one.waiting.set(true);
        tokio::time::sleep(connection.times.unread).await;
        assert!(!connection.is_unread());
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        assert!(connection.is_unread());
        drop(one);
        assert!(!connection.is_unread());
    }
}
