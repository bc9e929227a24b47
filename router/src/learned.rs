//! What is known of transfer ids while a request is worked on: what was looked up before it, and what its own answers have said
//! since. Nothing of it can change any more, except where it says so.

use std::collections::HashMap;

use crest_ledger::TransferStatus;
use crest_ledger::txn::{EventResult, ShardId};

use crate::known::Resolved;
use crate::place::{Placed, Spread, Unit};

/// What is known of transfer ids.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    /// Looked up before the request.
    before: HashMap<u128, Resolved>,
    /// Said by the answers of earlier stages.
    ended: HashMap<u128, Ended>,
    /// Ids that an earlier stage has asked for in vain, with a shard that had no such transfer then.
    absent: HashMap<u128, ShardId>,
}

/// What has become of an id, and a shard that knows it for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It has succeeded: there is a transfer.
    Exists(Resolved, ShardId),
    /// It has failed for good.
    Failed(ShardId),
}

/// What the answers of a stage leave open, of ids that come again in the request.
#[derive(Debug, Default)]
pub(crate) struct Open {
    /// Ids that exist, with the shards that have said so; between which accounts is not known.
    pub(crate) exist: Vec<(u128, (ShardId, ShardId))>,
    /// Ids that nobody was asked for, since their chain had failed by then; a try before this one may have ended them.
    pub(crate) perhaps: Vec<(u128, (ShardId, ShardId))>,
    /// Ids that have failed for good: a shard that concerns them, but may not have heard of it yet.
    pub(crate) failed: Vec<(ShardId, u128)>,
}

impl Learned {
    pub(crate) fn new(before: HashMap<u128, Resolved>) -> Self {
        Self { before, ..Self::default() }
    }

    /// The recorded transfer that was looked up under this id before the request.
    pub(crate) fn recorded_before(&self, id: u128) -> Option<Resolved> {
        self.before(id).filter(|known| known.recorded)
    }

    /// The transfer that a hold would create under this id, when it was looked up before the request. It may be released.
    pub(crate) fn held_before(&self, id: u128) -> Option<Resolved> {
        self.before(id).filter(|known| !known.recorded)
    }

    /// What was looked up under this id before the request, recorded or held.
    pub(crate) fn before(&self, id: u128) -> Option<Resolved> {
        self.before.get(&id).copied()
    }

    /// What the request's answers say of this id.
    pub(crate) fn ended(&self, id: u128) -> Option<Ended> {
        self.ended.get(&id).copied()
    }

    /// A shard that has no transfer under this id, when an earlier stage has tried to create one without success.
    pub(crate) fn absent(&self, id: u128) -> Option<ShardId> {
        self.absent.get(&id).copied()
    }

    /// Takes in the answers of a stage, as far as `later` says that an id comes again. Returns what has to be asked before
    /// those events can be routed.
    pub(crate) fn take(
        &mut self,
        stage: &[Placed],
        units: &[Unit],
        results: &[EventResult],
        later: impl Fn(u128) -> bool,
    ) -> Open {
        assert_eq!(stage.len(), results.len(), "every event of a stage has an answer");
        let mut open = Open::default();
        for unit in units {
            let events = &stage[unit.start..unit.start + unit.len];
            for (at, (event, result)) in events.iter().zip(&results[unit.start..]).enumerate() {
                let id = event.id();
                if !later(id) || self.ended.contains_key(&id) {
                    continue;
                }
                let status = result.transfer_status().expect("every event of a stage has an answer");
                // What it met may be an event of its own chain, which was undone with it.
                let undone = || events[..at].iter().any(|earlier| earlier.id() == id);
                self.take_one(event, status, unit, undone, &mut open);
            }
        }
        open
    }

    fn take_one(
        &mut self,
        event: &Placed,
        status: TransferStatus,
        unit: &Unit,
        undone: impl FnOnce() -> bool,
        open: &mut Open,
    ) {
        let (id, shard) = (event.id(), event.homes.0);
        if status == TransferStatus::Created {
            let of = Resolved { accounts: event.accounts, ledger: event.ledger, recorded: true };
            self.ended.insert(id, Ended::Exists(of, shard));
        } else if (TransferStatus::ExistsWithDifferentFlags..=TransferStatus::Exists).contains(&status) && !undone() {
            open.exist.push((id, event.homes));
        } else if status.is_transient() || status == TransferStatus::IdAlreadyFailed {
            // Who decides remembers a failed id in the same entry; of one that had failed before, others may have known.
            let knows = match &unit.spread {
                Spread::Local(_) => true,
                Spread::Cross { decider, .. } => status.is_transient() && *decider == shard,
            };
            self.ended.insert(id, Ended::Failed(shard));
            if !knows {
                open.failed.push((shard, id));
            }
        } else {
            self.absent.insert(id, shard);
            if status == TransferStatus::LinkedEventFailed {
                open.perhaps.push((id, event.homes));
            }
        }
    }

    /// Takes in that an id has failed for good, and which shard knows it.
    pub(crate) fn failed(&mut self, id: u128, shard: ShardId) {
        self.ended.insert(id, Ended::Failed(shard));
    }

    /// Takes in where the transfer is that was said to exist by one of `shards`; `homes` are the shards of its accounts.
    pub(crate) fn found(&mut self, id: u128, of: Resolved, homes: (ShardId, ShardId), shards: (ShardId, ShardId)) {
        let said_so = homes.0 == shards.0 || homes.0 == shards.1;
        self.ended.insert(id, Ended::Exists(of, if said_so { homes.0 } else { homes.1 }));
    }
}
