//! Where a node's time comes from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crest_ledger::Timestamp;

/// Real time, or a time that a test moves by hand.
#[derive(Clone, Debug, Default)]
pub enum ClockSource {
    /// The machine's clock. It may jump: the ledger's own clock never moves back.
    #[default]
    System,
    /// A clock that only moves when told to, ns since the Unix epoch.
    Manual(Arc<AtomicU64>),
}

impl ClockSource {
    /// Nanoseconds since the Unix epoch.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since.as_nanos()).unwrap_or(crest_ledger::limits::TIMESTAMP_MAX)
            }
            Self::Manual(now) => now.load(Ordering::Relaxed),
        }
    }
}
