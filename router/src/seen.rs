//! The latest time that a router has seen. It goes along with every command: what a client does after it had an answer is
//! stamped above the times in that answer, even on a shard whose clock is behind.
//!
//! Lamport, "Time, clocks, and the ordering of events in a distributed system" (1978): a message carries its sender's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crest_ledger::Timestamp;

/// Shared by everything that one router does. Memory, not state: a new router learns it from its first answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<AtomicU64>);

impl Seen {
    /// The latest of all times that were noted, ns; 0 at first.
    pub(crate) fn latest(&self) -> Timestamp {
        self.0.load(Ordering::Relaxed)
    }

    /// Notes a time from a shard, ns.
    pub(crate) fn note(&self, at: Timestamp) {
        self.0.fetch_max(at, Ordering::Relaxed);
    }
}
