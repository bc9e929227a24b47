//! Expire: release pending transfers whose time is over.
//!
//! Where both accounts are on one shard, it does so by itself. Otherwise the payer's shard decides, as it does of a void,
//! and the payee's shard holds first: until it hears of the end, no reader sees the one side without the other.

use crate::TransferFlags;
use crate::checks::resolve::pending_of;
use crate::clock::Timestamp;
use crate::decisions::Decision;
use crate::holds::{HeldAccount, Hold};
use crate::record;
use crate::records::{IdState, Sides};
use crate::status::TransferStatus;
use crate::tables::Tables;
use crate::txn::{Decided, Outcome, Refusal, ShardId, TxnId, Vote};

/// Releases the pending transfers in `due`, both of whose accounts are here. One that is not due at this shard's clock, was
/// resolved meanwhile, or would be resolved by an open hold, is left alone; the shell names it again later.
pub fn expire(tables: &mut Tables, due: &[u128]) {
    for id in due {
        let at = tables.tick();
        if may_expire(tables, *id, Sides::BOTH, at) {
            release(tables, *id, Sides::BOTH, at);
        }
    }
}

/// The payee's side: reserves the release of the pending transfer `txn.first_id`.
pub(super) fn prepare(tables: &mut Tables, txn: TxnId, decider: ShardId) -> Vote {
    let prepared_at = tables.tick();
    if tables.holds().creates(txn.first_id) {
        return Vote::Blocked;
    }
    let Some((pending, IdState::Pending)) = pending_of(tables, txn.first_id) else {
        let status = TransferStatus::PendingTransferNotPending as u8;
        return Vote::Refused(Refusal { index: 0, status, timestamp: prepared_at, ledger: 0 });
    };
    let exclusive = pending.flags.any(TransferFlags::CLOSING_CREDIT);
    let credit_relief = pending.amount;
    let account =
        HeldAccount { account_id: pending.credit_account_id, exclusive, credit_relief, ..HeldAccount::default() };
    let hold = Hold { txn, decider, prepared_at, steps: Vec::new(), accounts: vec![account] };
    if in_other_hands(tables, account.account_id, exclusive) || !tables.holds().accepts(&hold) {
        return Vote::Blocked;
    }
    tables.open_hold(hold);
    Vote::Held { amounts: Vec::new(), clock: tables.now(), commit_before: Timestamp::MAX }
}

/// The payer's side: releases its own part and records the decision, or gives this attempt up.
pub(super) fn decide(tables: &mut Tables, txn: TxnId, participants: &[ShardId]) -> Decided {
    let at = tables.tick();
    if !may_expire(tables, txn.first_id, Sides::DEBIT, at) {
        tables.bury(txn, 0);
        return Decided::Aborted;
    }
    release(tables, txn.first_id, Sides::DEBIT, at);
    let waiting_for = participants.to_vec();
    tables.record_decision(txn, Decision { decided_at: at, waiting_for, outcome: Outcome::Expired(at) });
    Decided::Expired(at)
}

fn may_expire(tables: &Tables, id: u128, sides: Sides, at: Timestamp) -> bool {
    let Some((pending, IdState::Pending)) = pending_of(tables, id) else { return false };
    let busy = |here: bool, account_id: u128, closing: u16| {
        here && in_other_hands(tables, account_id, pending.flags.any(closing))
    };
    pending.expires_at().is_some_and(|expiry| expiry <= tables.expiry_time(at))
        && !tables.holds().resolves(id)
        && !busy(sides.debit(), pending.debit_account_id, TransferFlags::CLOSING_DEBIT)
        && !busy(sides.credit(), pending.credit_account_id, TransferFlags::CLOSING_CREDIT)
}

/// Whether open holds stand in the way: somebody has the account alone, or has it at all when it is to be reopened.
fn in_other_hands(tables: &Tables, account_id: u128, reopens: bool) -> bool {
    let held = tables.holds().totals(account_id);
    held.exclusive > 0 || reopens && held.count > 0
}

/// Below the fence.
fn release(tables: &mut Tables, id: u128, sides: Sides, at: Timestamp) {
    let (pending, _) = pending_of(tables, id).expect("a transfer that may expire is there");
    record::expiry(tables, &pending, sides, at);
}
