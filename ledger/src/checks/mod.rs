//! Every reason to refuse, in the order of precedence. Nothing here writes.

pub mod account;
pub mod exists;
pub mod transfer;
pub mod resolve;

use crate::clock::Timestamp;
use crate::txn::{Refusal, Step};

/// A refusal of `step` with a status number.
pub(crate) fn refusal(step: &Step, status: u8, timestamp: Timestamp) -> Refusal {
    Refusal { index: step.index, status, timestamp, ledger: 0 }
}
