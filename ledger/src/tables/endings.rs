//! What the verbs write of how attempts end: decisions, tombstones, resolutions. And what of them, and of holds, the store
//! has.

use std::collections::{BTreeMap, BTreeSet};

use super::{Layer, Tables};
use crate::decisions::{Decision, Tombstone};
use crate::resolutions::{Resolution, Resolutions};
use crate::txn::{ShardId, TxnId};

/// Which holds, decisions, tombstones and resolutions the store has, or will have with the layer on its way there: the ends
/// of the others need not be written. A hold may end and be opened again under the same attempt, so its age does not tell.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) holds: BTreeSet<TxnId>,
    pub(super) outbox: BTreeSet<TxnId>,
    pub(super) tombstones: BTreeSet<TxnId>,
    resolutions: BTreeSet<TxnId>,
}

impl Stored {
    /// Notes what a layer will make of the store.
    pub(super) fn follow(&mut self, layer: &Layer) {
        follow(&mut self.holds, &layer.holds);
        follow(&mut self.outbox, &layer.outbox);
        follow(&mut self.tombstones, &layer.tombstones);
        follow(&mut self.resolutions, &layer.resolutions);
    }
}

fn follow<V>(stored: &mut BTreeSet<TxnId>, changes: &BTreeMap<TxnId, Option<V>>) {
    for (txn, change) in changes {
        if change.is_some() {
            stored.insert(*txn);
        } else {
            stored.remove(txn);
        }
    }
}

/// Takes an entry out of the layer; when the store knows it, its end is what the next checkpoint has to write.
pub(super) fn end<V>(map: &mut BTreeMap<TxnId, Option<V>>, txn: TxnId, stored: &BTreeSet<TxnId>) {
    if stored.contains(&txn) {
        map.insert(txn, None);
    } else {
        map.remove(&txn);
    }
}

impl Tables {
    /// Records a decision.
    pub fn record_decision(&mut self, txn: TxnId, decision: Decision) {
        self.new.outbox.insert(txn, Some(decision.clone()));
        self.decisions.record(txn, decision);
    }

    /// Notes that a participant has finished.
    pub fn acknowledge(&mut self, txn: &TxnId, shard: ShardId) {
        if self.decisions.decision(txn).is_none() {
            return;
        }
        match self.decisions.acknowledge(txn, shard).cloned() {
            Some(left) => {
                self.new.outbox.insert(*txn, Some(left));
            }
            None => end(&mut self.new.outbox, *txn, &self.stored.outbox),
        }
    }

    /// Records an abort tombstone, and forgets those that are past their time.
    pub fn bury(&mut self, txn: TxnId, burned_id: u128) {
        let tombstone = Tombstone { recorded_at: self.clock.last(), burned_id };
        self.new.tombstones.insert(txn, Some(tombstone));
        self.decisions.bury(txn, tombstone);
        while let Some(old) = self.decisions.take_outdated(self.clock.last()) {
            end(&mut self.new.tombstones, old, &self.stored.tombstones);
        }
    }

    /// See [`Decisions::postpone_tombstones`](crate::decisions::Decisions::postpone_tombstones).
    pub(super) fn postpone_tombstones(&mut self, by: u64) {
        for (txn, tombstone) in self.decisions.postpone_tombstones(by) {
            self.new.tombstones.insert(txn, Some(tombstone));
        }
    }

    /// What operators resolved.
    pub fn resolutions(&self) -> &Resolutions {
        &self.resolutions
    }

    /// See [`Tables::restore_hold`].
    pub fn restore_resolution(&mut self, txn: TxnId, resolution: Resolution) {
        self.stored.resolutions.insert(txn);
        self.resolutions.put(txn, resolution);
    }

    /// Records a resolution, and forgets the oldest of more than `max`.
    pub fn record_resolution(&mut self, txn: TxnId, resolution: Resolution, max: usize) {
        self.new.resolutions.insert(txn, Some(resolution.clone()));
        self.resolutions.put(txn, resolution);
        while let Some(old) = self.resolutions.take_oldest_above(max) {
            end(&mut self.new.resolutions, old, &self.stored.resolutions);
        }
    }
}
