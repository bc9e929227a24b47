//! Recover: a holder asks the decider what became of an attempt. Recovery never guesses.

use crate::tables::Tables;
use crate::txn::{Outcome, TxnId};

/// What the decider knows of an attempt. When it knows nothing and `abort` is set, it first records an abort tombstone,
/// which refuses a late decide, and then answers "released". `None`: undecided, and it may still commit.
pub fn recover(tables: &mut Tables, txn: &TxnId, abort: bool) -> Option<Outcome> {
    if let Some(decision) = tables.decisions().decision(txn) {
        return Some(decision.outcome.clone());
    }
    if let Some(tombstone) = tables.decisions().tombstone(txn) {
        return Some(Outcome::Released { burned_id: tombstone.burned_id });
    }
    if !abort {
        return None;
    }
    tables.bury(*txn, 0);
    tables.close_hold(txn);
    Some(Outcome::Released { burned_id: 0 })
}
