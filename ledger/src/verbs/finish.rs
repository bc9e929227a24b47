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
/// and is acknowledged again.
pub fn finish(tables: &mut Tables, txn: &TxnId, outcome: &Outcome) -> bool {
    match outcome {
        // Not this transaction's outcome: the decider's outbox has the right one.
        Outcome::Committed(_) if txn.is_expiry() => return false,
        Outcome::Expired(_) if !txn.is_expiry() => return false,
        Outcome::Committed(commits) => {
            let Some(hold) = tables.holds().get(txn) else { return true };
            if hold.steps.iter().any(|s| usize::from(s.index) >= commits.len()) {
                return false;
            }
            let Some(hold) = tables.close_hold(txn) else { return true };
            tables.note_chain(commits.iter().map(|commit| commit.timestamp));
            for step in &hold.steps {
                let commit = &commits[usize::from(step.index)];
                // The decider does not know the events that do not touch it, so it cannot tell which are imported.
                let at = record::event_timestamp(&step.event, commit.timestamp);
                match &step.event {
                    Event::Account(a) => record::account(tables, a, at),
                    Event::Transfer(t) => {
                        let pending = if t.resolves() { pending_of(tables, t.pending_id) } else { None };
                        let accepted = Accepted {
                            amount: commit.amount,
                            pending: pending.map(|(p, _)| p),
                            commit_before: Timestamp::MAX,
                        };
                        record::transfer(tables, step, t, &accepted, at);
                    }
                }
            }
        }
        Outcome::Released { burned_id } => {
            tables.close_hold(txn);
            burn(tables, *burned_id);
        }
        Outcome::Expired(at) => {
            if tables.close_hold(txn).is_none() {
                return true;
            }
            tables.observe(*at);
            let (pending, state) =
                pending_of(tables, txn.first_id).expect("an expiry was prepared for a transfer here");
            assert!(state == IdState::Pending, "a pending transfer is resolved once");
            record::expiry(tables, &pending, Sides::CREDIT, *at);
        }
    }
    true
}

/// Notes that `shard` has finished what was decided: once all have, the decision leaves the outbox.
pub fn acknowledge(tables: &mut Tables, txn: &TxnId, shard: ShardId) {
    tables.acknowledge(txn, shard);
}
