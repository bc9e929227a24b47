//! What operators resolved: who had which attempt ended, when, why, and what came of it.
//!
//! It is a record for people. Nothing that decides about money reads it.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::txn::TxnId;

/// What a decider said of an attempt when an operator had it resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It had been committed at this instant, ns.
    Committed(Timestamp),
    /// The pending transfer had expired at this instant, ns.
    Expired(Timestamp),
    /// Nothing had been decided: it was aborted now, and never commits.
    Aborted,
    /// It had been aborted before.
    AbortedBefore,
    /// The decider remembers no such attempt, and what it was to do is done: recorded at this instant, ns. It had been
    /// committed and acknowledged by everybody, or another attempt did it. What is still held for it is released.
    Done(Timestamp),
}

/// One resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The decider's clock then, ns.
    pub at: Timestamp,
    /// What came of the attempt.
    pub fate: Fate,
    /// Why the operator did it: 1 to [`RESOLUTION_REASON_BYTES_MAX`](crate::limits::RESOLUTION_REASON_BYTES_MAX) bytes.
    pub reason: String,
    /// Who: 1 to [`RESOLUTION_BY_BYTES_MAX`](crate::limits::RESOLUTION_BY_BYTES_MAX) bytes.
    pub by: String,
}

/// The newest resolutions of a decider.
#[derive(Clone, Debug, Default)]
pub struct Resolutions {
    by_txn: BTreeMap<TxnId, Resolution>,
    by_time: BTreeSet<(Timestamp, TxnId)>,
}

impl Resolutions {
    /// The resolution of an attempt.
    pub fn get(&self, txn: &TxnId) -> Option<&Resolution> {
        self.by_txn.get(txn)
    }

    /// All that are kept, newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = (&TxnId, &Resolution)> {
        self.by_time.iter().rev().map(|(_, txn)| (txn, &self.by_txn[txn]))
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.by_txn.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.by_txn.is_empty()
    }

    /// Keeps one; in place of an older one of the same attempt.
    pub fn put(&mut self, txn: TxnId, resolution: Resolution) {
        let at = resolution.at;
        if let Some(before) = self.by_txn.insert(txn, resolution) {
            self.by_time.remove(&(before.at, txn));
        }
        self.by_time.insert((at, txn));
    }

    /// Takes out the oldest one, when there are more than `max`.
    pub fn take_oldest_above(&mut self, max: usize) -> Option<TxnId> {
        if self.by_txn.len() <= max {
            return None;
        }
        let (_, txn) = self.by_time.pop_first()?;
        self.by_txn.remove(&txn);
        Some(txn)
    }
}
