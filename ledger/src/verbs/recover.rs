//! Recover: a holder asks the decider what became of an attempt. Recovery never guesses.

use crate::limits::RECOVER_EVENTS_MAX;
use crate::tables::Tables;
use crate::txn::{Outcome, TxnId};

/// What the decider knows of an attempt. When it knows nothing and `abort` is set, it first records an abort tombstone,
/// which refuses a late decide, and then answers "released". `None`: undecided, and it may still commit.
pub fn recover(tables: &mut Tables, txn: &TxnId, abort: bool) -> Option<Outcome> {
    known(tables, txn).or_else(|| abort.then(|| give_up(tables, txn)))
}

/// The same of many attempts. The answers fit a message: of committed ones only as many are told as have
/// [`RECOVER_EVENTS_MAX`] events together, the first one always. The others are `None`, and to be asked for again.
pub fn recover_all(tables: &mut Tables, txns: &[TxnId], abort: bool) -> Vec<Option<Outcome>> {
    let mut told = 0;
    let one = |txn: &TxnId| {
        if let Some(decision) = tables.decisions().decision(txn) {
            let events = decision.outcome.events();
            if told > 0 && told + events > RECOVER_EVENTS_MAX {
                return None;
            }
            told += events;
        }
        recover(tables, txn, abort)
    };
    txns.iter().map(one).collect()
}

/// What was decided of an attempt, as far as it is remembered.
pub(super) fn known(tables: &Tables, txn: &TxnId) -> Option<Outcome> {
    let decisions = tables.decisions();
    if let Some(decision) = decisions.decision(txn) {
        return Some(decision.outcome.clone());
    }
    decisions.tombstone(txn).map(|tombstone| Outcome::Released { burned_id: tombstone.burned_id })
}

/// Records that an attempt never commits.
pub(super) fn give_up(tables: &mut Tables, txn: &TxnId) -> Outcome {
    tables.bury(*txn, 0);
    tables.close_hold(txn);
    Outcome::Released { burned_id: 0 }
}
