//! Below the fence: writing what was accepted. Nothing here may refuse any more.

use crate::checks::transfer::Accepted;
use crate::clock::Timestamp;
use crate::records::{Effect, IdEntry, IdState, Sides, TransferRecord};
use crate::tables::Tables;
use crate::txn::{Event, Step};
use crate::{Account, AccountBalance, AccountFlags, Transfer, TransferFlags};

/// The timestamp that an event is recorded with: its own when imported, otherwise `at`.
pub(crate) fn event_timestamp(event: &Event, at: Timestamp) -> Timestamp {
    match event {
        Event::Account(a) if a.flags.any(AccountFlags::IMPORTED) => a.timestamp,
        Event::Transfer(t) if t.flags.any(TransferFlags::IMPORTED) => t.timestamp,
        _ => at,
    }
}

/// Records an account as created at `at`.
pub(crate) fn account(tables: &mut Tables, account: &Account, at: Timestamp) {
    let account = Account { timestamp: at, ..*account };
    tables.put_account(account);
    tables.file_account(&account);
}

/// Records an accepted transfer at `at`, on the sides of `step`, and moves the money.
pub(crate) fn transfer(tables: &mut Tables, step: &Step, t: &Transfer, accepted: &Accepted, at: Timestamp) {
    let done = complete(t, accepted, at);
    let pending = accepted.pending.as_ref();
    touch_accounts(tables, &done, pending, step.sides);
    let mut state = IdState::Done;
    if done.flags.any(TransferFlags::PENDING) {
        state = IdState::Pending;
        if let (Some(expiry), true) = (done.expires_at(), step.sides.debit()) {
            tables.put_expiry(expiry, done.id, true);
        }
    }
    if let Some(p) = pending {
        let fate = if done.flags.any(TransferFlags::POST_PENDING) { IdState::Posted } else { IdState::Voided };
        settle(tables, p, step.sides, fate);
    }
    tables.put_id(done.id, IdEntry { timestamp: at, state });
    tables.put_transfer(TransferRecord { transfer: done, sides: step.sides });
}

/// Records that a pending transfer expired at `at`, and releases what it reserved here.
pub(crate) fn expiry(tables: &mut Tables, pending: &Transfer, sides: Sides, at: Timestamp) {
    let event = Transfer {
        id: pending.id,
        pending_id: pending.id,
        debit_account_id: pending.debit_account_id,
        credit_account_id: pending.credit_account_id,
        amount: pending.amount,
        ledger: pending.ledger,
        code: pending.code,
        flags: TransferFlags(TransferFlags::EXPIRY),
        timestamp: at,
        ..Transfer::default()
    };
    touch_accounts(tables, &event, Some(pending), sides);
    settle(tables, pending, sides, IdState::Expired);
    tables.put_transfer(TransferRecord { transfer: event, sides });
}

/// The record that is kept: the amount that moved, and for a post or void what it inherits.
fn complete(t: &Transfer, accepted: &Accepted, at: Timestamp) -> Transfer {
    let mut done = Transfer { amount: accepted.amount, timestamp: at, ..*t };
    if let Some(p) = &accepted.pending {
        done.debit_account_id = p.debit_account_id;
        done.credit_account_id = p.credit_account_id;
        done.ledger = p.ledger;
        done.code = p.code;
        if done.user_data_128 == 0 {
            done.user_data_128 = p.user_data_128;
        }
        if done.user_data_64 == 0 {
            done.user_data_64 = p.user_data_64;
        }
        if done.user_data_32 == 0 {
            done.user_data_32 = p.user_data_32;
        }
    }
    done
}

fn settle(tables: &mut Tables, pending: &Transfer, sides: Sides, fate: IdState) {
    tables.put_id(pending.id, IdEntry { timestamp: pending.timestamp, state: fate });
    if let (Some(expiry), true) = (pending.expires_at(), sides.debit()) {
        tables.put_expiry(expiry, pending.id, false);
    }
}

fn touch_accounts(tables: &mut Tables, record: &Transfer, pending: Option<&Transfer>, sides: Sides) {
    for (here, id) in [(sides.debit(), record.debit_account_id), (sides.credit(), record.credit_account_id)] {
        if !here {
            continue;
        }
        let mut account = *tables.account(id).expect("the account of an accepted transfer is there");
        let effect = Effect::of(record, pending, id);
        effect.apply(&mut account);
        tables.put_account(account);
        history(tables, &account, &effect, record);
    }
}

/// Files the record in the account's history. A transfer from another shard is recorded at its decision's timestamp, so
/// rows of later timestamps may be there already: then this row takes its place below them, and they move by its effect.
///
/// An imported transfer, dated back as it is, was checked after the expiries that are recorded here, and its row shows them
/// (those of reservations that are older than itself).
fn history(tables: &mut Tables, account: &Account, effect: &Effect, record: &Transfer) {
    let at = record.timestamp;
    let imported = record.flags.any(TransferFlags::IMPORTED);
    if !account.flags.any(AccountFlags::HISTORY) {
        tables.put_history(account.id, at, None);
        return;
    }
    let mut earlier = *account;
    // Newest first: a reservation is not taken back while what released it still stands.
    for (later_at, row) in tables.history_after(account.id, at).into_iter().rev() {
        let later = tables.transfer_at(later_at).expect("a row of a history has its record").transfer;
        let resolved = (later.pending_id != 0)
            .then(|| crate::checks::resolve::pending_of(tables, later.pending_id).map(|(p, _)| p))
            .flatten();
        let expired_before = later.flags.any(TransferFlags::EXPIRY) && resolved.is_some_and(|p| p.timestamp < at);
        if !(imported && expired_before) {
            Effect::of(&later, resolved.as_ref(), account.id).revert(&mut earlier);
        }
        if let Some(row) = row {
            let mut moved = Account {
                debits_pending: row.debits_pending,
                debits_posted: row.debits_posted,
                credits_pending: row.credits_pending,
                credits_posted: row.credits_posted,
                ..Account::default()
            };
            Effect { closed: None, ..*effect }.apply(&mut moved);
            tables.put_history(account.id, later_at, Some(balance(&moved, later_at)));
        }
    }
    tables.put_history(account.id, at, Some(balance(&earlier, at)));
}

fn balance(a: &Account, timestamp: Timestamp) -> AccountBalance {
    AccountBalance {
        debits_pending: a.debits_pending,
        debits_posted: a.debits_posted,
        credits_pending: a.credits_pending,
        credits_posted: a.credits_posted,
        timestamp,
    }
}
