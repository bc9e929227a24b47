//! Finish: a participant posts or releases its hold, as the decider said. And the decider's bookkeeping of who has.

use super::burn;
use crate::checks::resolve::pending_of;
use crate::checks::transfer::Accepted;
use crate::clock::Timestamp;
use crate::record;
use crate::records::{IdState, Sides};
use crate::tables::Tables;
use crate::txn::{Event, Outcome, ShardId, TxnId};

/// Ends a hold. A finish for an attempt without a hold was done before, and is acknowledged again.
pub fn finish(tables: &mut Tables, txn: &TxnId, outcome: &Outcome) {
    match outcome {
        Outcome::Committed(commits) => {
            let Some(hold) = tables.close_hold(txn) else { return };
            for step in &hold.steps {
                let commit =
                    commits.get(usize::from(step.index)).expect("a decision names every event of its transaction");
                tables.observe(commit.timestamp);
                match &step.event {
                    Event::Account(a) => record::account(tables, a, commit.timestamp),
                    Event::Transfer(t) => {
                        let pending = if t.resolves() { pending_of(tables, t.pending_id) } else { None };
                        let accepted = Accepted {
                            amount: commit.amount,
                            pending: pending.map(|(p, _)| p),
                            commit_before: Timestamp::MAX,
                        };
                        record::transfer(tables, step, t, &accepted, commit.timestamp);
                    }
                }
            }
        }
        Outcome::Released { burned_id } => {
            tables.close_hold(txn);
            burn(tables, *burned_id);
        }
        Outcome::Expired(at) => {
            tables.observe(*at);
            if let Some((pending, IdState::Pending)) = pending_of(tables, txn.first_id) {
                record::expiry(tables, &pending, Sides::CREDIT, *at);
            }
        }
    }
}

/// Notes that `shard` has finished what was decided: once all have, the decision leaves the outbox.
pub fn acknowledge(tables: &mut Tables, txn: &TxnId, shard: ShardId) {
    tables.acknowledge(txn, shard);
}
