//! Every bound of a server's connections, with its arithmetic.

use std::time::Duration;

/// Connections of a process at a time; more are accepted and closed at once. An idle one takes some 30 KB. Fewer where the process may
/// not have that many file descriptors, see [`DESCRIPTORS_PER_CONNECTION`].
pub const CONNECTIONS_MAX: usize = 4_096;

/// Connections take at most one in so many of the process's file descriptors: the others are for the store's files, the
/// connections to other processes and the scrapes of the metrics.
pub const DESCRIPTORS_PER_CONNECTION: usize = 2;

/// How long a connection may take to say that it speaks HTTP/2: the 24 bytes of the preface and the head of the first frame.
/// After that, the keepalive below finds the ones whose other end is gone.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a silent connection is asked for a sign of life (an HTTP/2 ping). One that answers stays open, idle or not.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// How long that sign may take before the connection is closed.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// After so long without a packet, the kernel itself asks the other end.
pub const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// How long a message may take from its first byte to its last: 4 MiB at 140 KB a second. For a unary call, the time from its
/// beginning to the end of its request.
pub const RECEIVE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an answer may wait without the client taking any of it. Then its connection is closed.
pub const UNREAD_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a connection looks for such answers.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Streams (calls with many requests or many answers) of one connection at a time.
pub const STREAMS_MAX: usize = 16;

/// Calls of one connection at a time; HTTP/2 makes the client wait with more.
pub const CALLS_MAX: u32 = 1_024;

/// Bytes that a connection may send ahead of what is read: HTTP/2's window of flow control. With a round trip of 10 ms it allows
/// 100 MB a second.
pub const WINDOW_BYTES: u32 = 1 << 20;

/// Bytes of an answer that are handed to HTTP/2 at a time: one frame of the default size. What is left is still counted.
pub const PIECE_BYTES: usize = 16 << 10;

/// Bytes of the last piece. HTTP/2 takes it when all others were let through by the client, and it is counted no longer.
pub const LAST_PIECE_BYTES: usize = 1 << 10;

/// The pause after the system had no file descriptor for a connection; it doubles up to the next one.
pub const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);

/// The longest such pause.
pub const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How often the log is told of connections that were not taken.
pub const ACCEPT_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The times of a connection. Tests make them short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// See [`HANDSHAKE_TIMEOUT`].
    pub handshake: Duration,
    /// See [`RECEIVE_TIMEOUT`].
    pub receive: Duration,
    /// See [`UNREAD_TIMEOUT`].
    pub unread: Duration,
    /// See [`CHECK_INTERVAL`].
    pub check: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { handshake: HANDSHAKE_TIMEOUT, receive: RECEIVE_TIMEOUT, unread: UNREAD_TIMEOUT, check: CHECK_INTERVAL }
    }
}

const _: () = assert!(LAST_PIECE_BYTES < PIECE_BYTES, "the last piece is the small one");
const _: () = assert!(CHECK_INTERVAL.as_nanos() < UNREAD_TIMEOUT.as_nanos(), "an unread answer is found in time");
