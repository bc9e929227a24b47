//! What can go wrong with a log, and what to do then.

use super::Identity;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the log did not do what it was asked for.
///
/// [`LogError::Io`] from a call that writes poisons the log: it is unknown what is on the disk, and a second `fsync` would
/// report success over lost pages. Every later call answers the same error; close the log, find the cause, open it again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system failed.
    #[error("cannot {action} {}: {source}: see to the disk (full, read-only, failing?), then start again", path.display())]
    Io {
        /// What was tried, as in "cannot write".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Something that was durable is damaged.
    #[error(
        "{} is damaged at offset {offset}: {problem}: do not start this replica on it; keep a copy of the directory, \
         replace the disk if it reports errors, and restore the replica from another one or from a backup",
        file.display()
    )]
    Corrupt {
        /// The segment file.
        file: PathBuf,
        /// Where in the file, bytes.
        offset: u64,
        /// What was found and what was expected.
        problem: &'static str,
    },
    /// A segment file is not there.
    #[error(
        "{} has no segment {sequence}, but files that tell of it: put the missing file back, or restore the \
         replica from another one or from a backup",
        dir.display()
    )]
    MissingSegment {
        /// The log's directory.
        dir: PathBuf,
        /// The number that is missing.
        sequence: u64,
    },
    /// A segment has a format that this build does not know.
    #[error("{} has format {found}, and this build reads format {expected}: use the build that wrote it", file.display())]
    WrongVersion {
        /// The segment file.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The format of this build.
        expected: u32,
    },
    /// The log belongs to somebody else.
    #[error("{} is the log of {found}, and {expected} was expected: check the data directory and the node's flags", file.display())]
    WrongIdentity {
        /// The segment file.
        file: PathBuf,
        /// Whose it is.
        found: Box<Identity>,
        /// Who opened it.
        expected: Box<Identity>,
    },
    /// Entries that do not continue the log; nothing was written.
    #[error("entry {index} cannot be appended: expected one from {min} to {max}, without a gap")]
    OutOfOrder {
        /// The offending entry's index.
        index: u64,
        /// The first index that may be overwritten: none that is raft-committed or dropped.
        min: u64,
        /// The index after the last one.
        max: u64,
    },
    /// A hard state whose commit lies beyond the log; nothing was written.
    #[error("a hard state with commit {commit} cannot be stored: the last entry is {last_index}")]
    CommitBeyondLog {
        /// The commit asked for.
        commit: u64,
        /// The last entry there would be.
        last_index: u64,
    },
    /// An entry that is too large; nothing was written.
    #[error("entry {index} has {bytes} bytes: at most {limit} fit the log")]
    EntryTooLarge {
        /// The entry's index.
        index: u64,
        /// Bytes of its payload.
        bytes: usize,
        /// The largest payload.
        limit: usize,
    },
    /// A log cannot be kept that way; nothing was touched.
    #[error("{field} is {found}: expected {expected}")]
    Invalid {
        /// The option or argument.
        field: &'static str,
        /// Its value.
        found: u64,
        /// What is possible.
        expected: &'static str,
    },
}

impl LogError {
    /// Maps an `io::Error` of `action` on `path`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source: Arc::new(source) }
    }

    /// Whether a log that met it may go on: nothing was written, and nothing is in doubt.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::OutOfOrder { .. } | Self::CommitBeyondLog { .. } | Self::EntryTooLarge { .. } | Self::Invalid { .. }
        )
    }
}
