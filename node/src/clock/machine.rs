//! The clocks of the machine that this process runs on.

use std::time::{SystemTime, UNIX_EPOCH};

use crest_ledger::Timestamp;
use crest_ledger::limits::TIMESTAMP_MAX;
use rustix::time::{ClockId, clock_gettime};

use super::Readings;

/// The machine's own clocks.
#[derive(Clone, Copy, Debug)]
pub struct MachineClocks;

impl Readings for MachineClocks {
    fn monotonic(&self) -> u64 {
        // Unlike CLOCK_MONOTONIC it goes on while the machine is suspended: that time has really passed.
        let since_boot = clock_gettime(ClockId::Boottime);
        let nanoseconds = i128::from(since_boot.tv_sec) * 1_000_000_000 + i128::from(since_boot.tv_nsec);
        u64::try_from(nanoseconds).expect("a machine boots before it runs, and does not run for 584 years")
    }

    fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(TIMESTAMP_MAX).min(TIMESTAMP_MAX)
    }
}
