//! Finish: a participant posts or releases its hold, as the decider said. And the decider's bookkeeping of who has.

use super::burn;
use crate::checks::resolve::pending_of;
use crate::checks::transfer::Accepted;
use crate::clock::Timestamp;
use crate::record;
use crate::records::{IdState, Sides};
use crate::tables::Tables;
use crate::txn::{Event, Outcome, ShardId, TxnId};

/// Ends a hold, and answers whether the decider may forget it. A finish for an attempt without a hold was done before,
/// and is acknowledged again. Only one is put off: the expiry of a pending transfer that is itself still a hold here,
/// because the end of its creation is on its way.
pub fn finish(tables: &mut Tables, txn: &TxnId, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Committed(commits) => {
            let Some(hold) = tables.holds().get(txn) else { return true };
            if hold.steps.iter().any(|s| usize::from(s.index) >= commits.len()) {
                // Not this transaction's outcome: the decider's outbox has the right one.
                return false;
            }
            let Some(hold) = tables.close_hold(txn) else { return true };
            for step in &hold.steps {
                let commit = &commits[usize::from(step.index)];
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
            if tables.holds().creates(txn.first_id) {
                return false;
            }
            tables.observe(*at);
            if let Some((pending, IdState::Pending)) = pending_of(tables, txn.first_id) {
                record::expiry(tables, &pending, Sides::CREDIT, *at);
            }
        }
    }
    true
}

/// Notes that `shard` has finished what was decided: once all have, the decision leaves the outbox.
pub fn acknowledge(tables: &mut Tables, txn: &TxnId, shard: ShardId) {
    tables.acknowledge(txn, shard);
}
