//! What may be asked of a shard, one verb a file. Each is idempotent, and has a named answer for a late or repeated call.

pub mod create;
pub mod prepare;
pub mod decide;
pub mod finish;
pub mod recover;
pub mod resolve;
pub mod expire;

use crate::checks;
use crate::clock::Timestamp;
use crate::record;
use crate::records::{IdEntry, IdState};
use crate::tables::Tables;
use crate::txn::{Event, Step, Verdict};

/// What one event came to on this shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) amount: u128,
    pub(crate) timestamp: Timestamp,
    pub(crate) commit_before: Timestamp,
}

/// Checks one event at the instant `at` and, when nothing refuses, records it.
pub(crate) fn try_event(tables: &mut Tables, step: &Step, at: Timestamp) -> Verdict<Done> {
    let timestamp = record::event_timestamp(&step.event, at);
    match &step.event {
        Event::Account(a) => match checks::account::check(tables, step, a, at) {
            Verdict::Accept(()) => {
                record::account(tables, a, timestamp);
                Verdict::Accept(Done { amount: 0, timestamp, commit_before: Timestamp::MAX })
            }
            Verdict::Refuse(r) => Verdict::Refuse(r),
            Verdict::Blocked => Verdict::Blocked,
        },
        Event::Transfer(t) => match checks::transfer::check(tables, step, t, at) {
            Verdict::Accept(accepted) => {
                record::transfer(tables, step, t, &accepted, timestamp);
                let (amount, commit_before) = (accepted.amount, accepted.commit_before);
                Verdict::Accept(Done { amount, timestamp, commit_before })
            }
            Verdict::Refuse(r) => Verdict::Refuse(r),
            Verdict::Blocked => Verdict::Blocked,
        },
    }
}

/// The transfer id that has to be remembered as failed because `status` is transient; 0 for none. (No status of accounts
/// has the number of a transient one.)
pub(crate) fn burned_id(id: u128, status: u8) -> u128 {
    if crate::TransferStatus::from_number(status).is_some_and(|s| s.is_transient()) { id } else { 0 }
}

/// As [`burn`], for an id that failed on another shard. False when it has succeeded here or may yet: then that failure must
/// not be the answer.
pub(crate) fn burn_unless_done(tables: &mut Tables, id: u128) -> bool {
    if tables.holds().creates(id) {
        return false;
    }
    burn(tables, id);
    tables.id(id).is_none_or(|entry| entry.state == IdState::Failed)
}

/// Remembers that a transfer id failed and never succeeds. An id that is known already stays what it is.
pub(crate) fn burn(tables: &mut Tables, id: u128) {
    if id != 0 && tables.id(id).is_none() {
        let timestamp = tables.now();
        tables.put_id(id, IdEntry { timestamp, state: IdState::Failed });
    }
}
