//! The durable log of one replica: raft's entries and hard state, in segment files.
//!
//! It knows nothing of raft but indexes and terms. What it promises: when [`SegmentLog::append`] has returned, everything
//! it was given survives the loss of power; what was never acknowledged is there whole or not at all.
//!
//! **Files.** `segment-<sequence>.log`, numbered without a gap; only the last one is appended to. A segment is a header of
//! 4 KiB and then *frames*. Files have their full size and written contents from the start, so that an append's
//! `fdatasync` has no metadata to write. A segment that is no longer needed becomes a `spare-<number>.log` and then the
//! next segment; what it held stays behind, and cannot be mistaken for something new because every frame carries its
//! segment's random salt, and its checksum starts from the segment's sequence number and salt. The file `newest` has the
//! number of the last segment, so that its loss is noticed too.
//!
//! **One append is one frame with one checksum**, not a checksum for each entry. A disk may persist the pages of one write
//! in any order, so after a power loss the last append may lack its beginning and have its end. With a checksum for each
//! entry, that would look like a damaged entry before a good one; with one for all, a bad frame is a torn append exactly
//! when nothing valid follows it, since no frame is written before the one before is durable.
//!
//! **What recovery cannot tell:** damage to the very last acknowledged frame looks like a torn append. Other replicas have
//! its entries; a single replica has nobody to ask.
//!
//! **What is absent:** a lock on the directory (the node holds one over all its data), compression, an index (all entries
//! behind the last checkpoint are in memory anyway), and direct I/O.

mod error;
mod format;
pub mod disk;
mod files;
mod spares;
mod recovery;
mod segments;

pub use error::LogError;
pub use format::ENTRY_BYTES_MAX;
pub use segments::SegmentLog;

use std::time::Duration;

/// One entry. `P` is what holds the payload: recovery gives vectors, and an append takes slices just as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry<P = Vec<u8>> {
    /// Position in the log, from 1, without gaps.
    pub index: u64,
    /// The leader's term.
    pub term: u64,
    /// What the payload is; the log only keeps it.
    pub kind: u8,
    /// At the most [`ENTRY_BYTES_MAX`] bytes.
    pub payload: P,
}

/// What raft must not forget besides entries. The log keeps the last one it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The latest term seen.
    pub term: u64,
    /// The replica voted for in that term; 0 is none.
    pub vote: u64,
    /// The last entry known to be raft-committed.
    pub commit: u64,
}

/// Whose log it is. Stored in every segment; another's log is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's name, at the most [`Identity::CLUSTER_BYTES_MAX`] bytes.
    pub cluster: String,
    /// The shard.
    pub shard: u32,
    /// The replica of that shard.
    pub replica: u64,
}

impl Identity {
    /// Bytes of a cluster's name that a segment's header has room for.
    pub const CLUSTER_BYTES_MAX: usize = 256;
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "replica {} of shard {} of cluster {:?}", self.replica, self.shard, self.cluster)
    }
}

/// How a log is kept. Syncing is not an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of a segment file: a multiple of 4 KiB from [`Options::SEGMENT_BYTES_MIN`] to [`Options::SEGMENT_BYTES_MAX`].
    /// May change between openings. An entry has to fit into one segment, so below 16 MiB and a bit it also bounds those.
    pub segment_bytes: u64,
}

impl Options {
    /// The smallest segment, bytes: a header and some entries.
    pub const SEGMENT_BYTES_MIN: u64 = 16 << 10;
    /// The largest segment, bytes: recovery holds a whole one in memory.
    pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;
}

impl Default for Options {
    /// Segments of 64 MiB: a new one every 64 full batches, and some 50 ms of writing to make one from nothing.
    fn default() -> Self {
        Self { segment_bytes: 64 << 20 }
    }
}

/// What [`SegmentLog::open`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The last hard state; zeros in a new log.
    pub hard_state: HardState,
    /// All entries from `first_index` to `last_index`.
    pub entries: Vec<LogEntry>,
    /// The first entry; when there is none, the index that the next one has to have.
    pub first_index: u64,
    /// The last entry; when there is none, `first_index - 1`.
    pub last_index: u64,
    /// Bytes of a torn append that were dropped, as the frame says; 0 after a clean end. Remains without the frame's first
    /// 16 bytes cannot be told from what a recycled file held before; they are dropped too, but not counted.
    pub torn_bytes: u64,
}

/// What one append cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppendStats {
    /// Bytes written, headers and padding included.
    pub bytes: u64,
    /// Time in writing, which is copying into the page cache, and in starting a new segment when one was needed.
    pub write_time: Duration,
    /// Time in `fdatasync`.
    pub sync_time: Duration,
}

#[cfg(test)]
mod tests;
