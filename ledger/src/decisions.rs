//! What a decider remembers: its outbox of decisions and its abort tombstones.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::clock::Timestamp;
use crate::limits::DECIDE_WINDOW_NS;
use crate::txn::{Outcome, ShardId, TxnId};

/// A decision that some participants have not acknowledged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// When it was taken, ns.
    pub decided_at: Timestamp,
    /// Who still has to finish.
    pub waiting_for: Vec<ShardId>,
    /// What they have to be told.
    pub outcome: Outcome,
}

/// An attempt that must never commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// When it was recorded, ns.
    pub recorded_at: Timestamp,
    /// See [`Outcome::Released`].
    pub burned_id: u128,
}

/// The decider's memory.
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    outbox: BTreeMap<TxnId, Decision>,
    outbox_by_time: BTreeSet<(Timestamp, TxnId)>,
    tombstones: BTreeMap<TxnId, Tombstone>,
    tombstones_by_time: BTreeSet<(Timestamp, TxnId)>,
}

impl Decisions {
    /// The decision of an attempt that is still in the outbox.
    pub fn decision(&self, txn: &TxnId) -> Option<&Decision> {
        self.outbox.get(txn)
    }

    /// The abort tombstone of an attempt.
    pub fn tombstone(&self, txn: &TxnId) -> Option<&Tombstone> {
        self.tombstones.get(txn)
    }

    /// The outbox.
    pub fn outbox(&self) -> impl Iterator<Item = (&TxnId, &Decision)> {
        self.outbox.iter()
    }

    /// The decisions of the outbox behind `after`, oldest first.
    pub fn oldest_first(&self, after: (Timestamp, TxnId)) -> impl Iterator<Item = (Timestamp, TxnId)> {
        self.outbox_by_time.range((Bound::Excluded(after), Bound::Unbounded)).copied()
    }

    /// When the oldest decision of the outbox was taken.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.outbox_by_time.first().map(|(at, _)| *at)
    }

    /// How many decisions wait for an acknowledgement.
    pub fn outbox_len(&self) -> usize {
        self.outbox.len()
    }

    /// Puts a decision into the outbox.
    pub fn record(&mut self, txn: TxnId, decision: Decision) {
        self.outbox_by_time.insert((decision.decided_at, txn));
        if let Some(before) = self.outbox.insert(txn, decision)
            && before.decided_at != self.outbox[&txn].decided_at
        {
            self.outbox_by_time.remove(&(before.decided_at, txn));
        }
    }

    /// Notes that `shard` has finished. Returns the decision when somebody is still waited for.
    pub fn acknowledge(&mut self, txn: &TxnId, shard: ShardId) -> Option<&Decision> {
        let decision = self.outbox.get_mut(txn)?;
        decision.waiting_for.retain(|s| *s != shard);
        if decision.waiting_for.is_empty() {
            let decided_at = decision.decided_at;
            self.outbox_by_time.remove(&(decided_at, *txn));
            self.outbox.remove(txn);
            return None;
        }
        self.outbox.get(txn)
    }

    /// Records that an attempt must never commit.
    pub fn bury(&mut self, txn: TxnId, tombstone: Tombstone) {
        if self.tombstones.insert(txn, tombstone).is_none() {
            self.tombstones_by_time.insert((tombstone.recorded_at, txn));
        }
    }

    /// Makes all tombstones younger by `by` ns, and returns them: the shard's time has jumped by as much, and no time has passed.
    pub fn postpone_tombstones(&mut self, by: u64) -> impl Iterator<Item = (TxnId, Tombstone)> + '_ {
        self.tombstones_by_time = std::mem::take(&mut self.tombstones_by_time)
            .into_iter()
            .map(|(at, txn)| (at.saturating_add(by), txn))
            .collect();
        self.tombstones.iter_mut().map(move |(txn, tombstone)| {
            tombstone.recorded_at = tombstone.recorded_at.saturating_add(by);
            (*txn, *tombstone)
        })
    }

    /// Takes out one tombstone that is older than two decide windows. By then a late decide is refused for its age: its votes
    /// are at most one window younger than the tombstone, since no router waits longer for a vote, and it may come one window
    /// after them.
    pub fn take_outdated(&mut self, now: Timestamp) -> Option<TxnId> {
        let &(at, txn) = self.tombstones_by_time.first()?;
        if at.saturating_add(2 * DECIDE_WINDOW_NS) > now {
            return None;
        }
        self.tombstones_by_time.pop_first();
        self.tombstones.remove(&txn);
        Some(txn)
    }
}
