//! May this post or void happen, as far as the accounts on this shard are concerned? (docs/SEMANTICS.md, section 4)
//!
//! The fate of a pending transfer is decided where its payer lives: only that side looks at its state. The payee's side
//! follows, and refuses only what can no longer change.

use super::exists::resolved_amount;
use super::refusal;
use super::transfer::{Accepted, regresses};
use crate::clock::Timestamp;
use crate::records::IdState;
use crate::status::TransferStatus as S;
use crate::tables::Tables;
use crate::txn::{Step, Verdict};
use crate::{AccountFlags, Transfer, TransferFlags};

/// The pending transfer with this id and what became of it; `None` when this shard has no transfer with this id.
pub(crate) fn pending_of(tables: &Tables, id: u128) -> Option<(Transfer, IdState)> {
    if id == 0 {
        return None;
    }
    let entry = tables.id(id)?;
    if entry.state == IdState::Failed {
        return None;
    }
    let record = tables.transfer_at(entry.timestamp).expect("an id that is done has its record");
    Some((record.transfer, entry.state))
}

pub(crate) fn check(tables: &Tables, step: &Step, t: &Transfer, now: Timestamp) -> Verdict<Accepted> {
    let refuse = |s: S| Verdict::Refuse(refusal(step, s as u8, now));
    if let Some(s) = shape(t) {
        return refuse(s);
    }
    if tables.holds().creates(t.pending_id) {
        return Verdict::Blocked;
    }
    let Some((pending, state)) = pending_of(tables, t.pending_id) else {
        return refuse(S::PendingTransferNotFound);
    };
    if let Some(s) = against_pending(t, &pending) {
        return refuse(s);
    }
    if sides_of(tables, &pending) != Some(step.sides) {
        // The router did not know where the pending transfer's accounts live when it sent this here; it does now.
        return Verdict::Blocked;
    }
    let resolved = match state {
        IdState::Posted => Some(S::PendingTransferAlreadyPosted),
        IdState::Voided => Some(S::PendingTransferAlreadyVoided),
        IdState::Expired => Some(S::PendingTransferExpired),
        _ => None,
    };
    let mut commit_before = Timestamp::MAX;
    if let Some(s) = resolved {
        return refuse(s);
    }
    if step.sides.debit() {
        if tables.holds().resolves(t.pending_id) {
            return Verdict::Blocked;
        }
        if let Some(at) = pending.expires_at() {
            if tables.expiry_time(now) >= at {
                return refuse(S::PendingTransferExpired);
            }
            commit_before = at;
        }
    }
    if t.flags.any(TransferFlags::IMPORTED) {
        if regresses(tables, t) {
            return refuse(S::ImportedEventTimestampMustNotRegress);
        }
        if tables.holds().imports() || tables.holds().may_end_at(t.timestamp) {
            return Verdict::Blocked;
        }
    }
    match closed(tables, step, t, &pending) {
        Verdict::Accept(()) => {
            let amount = resolved_amount(t, &pending);
            Verdict::Accept(Accepted { amount, pending: Some(pending), commit_before })
        }
        Verdict::Refuse(r) => Verdict::Refuse(crate::txn::Refusal { timestamp: now, ..r }),
        Verdict::Blocked => Verdict::Blocked,
    }
}

fn sides_of(tables: &Tables, pending: &Transfer) -> Option<crate::records::Sides> {
    tables.transfer_at(pending.timestamp).map(|record| record.sides)
}

fn shape(t: &Transfer) -> Option<S> {
    let others = TransferFlags::PENDING | TransferFlags::BALANCING | TransferFlags::CLOSING;
    let both = t.flags.0 & TransferFlags::RESOLVES == TransferFlags::RESOLVES;
    if both || t.flags.any(others) {
        return Some(S::FlagsAreMutuallyExclusive);
    }
    match t.pending_id {
        0 => return Some(S::PendingIdMustNotBeZero),
        u128::MAX => return Some(S::PendingIdMustNotBeIntMax),
        id if id == t.id => return Some(S::PendingIdMustBeDifferent),
        _ => {}
    }
    (t.timeout != 0).then_some(S::TimeoutReservedForPendingTransfer)
}

fn against_pending(t: &Transfer, pending: &Transfer) -> Option<S> {
    if !pending.flags.any(TransferFlags::PENDING) {
        return Some(S::PendingTransferNotPending);
    }
    if t.debit_account_id != 0 && t.debit_account_id != pending.debit_account_id {
        return Some(S::PendingTransferHasDifferentDebitAccountId);
    }
    if t.credit_account_id != 0 && t.credit_account_id != pending.credit_account_id {
        return Some(S::PendingTransferHasDifferentCreditAccountId);
    }
    if t.ledger != 0 && t.ledger != pending.ledger {
        return Some(S::PendingTransferHasDifferentLedger);
    }
    if t.code != 0 && t.code != pending.code {
        return Some(S::PendingTransferHasDifferentCode);
    }
    let amount = resolved_amount(t, pending);
    if amount > pending.amount {
        return Some(S::ExceedsPendingTransferAmount);
    }
    (t.flags.any(TransferFlags::VOID_PENDING) && amount < pending.amount)
        .then_some(S::PendingTransferHasDifferentAmount)
}

/// A post needs both accounts open. A void needs nothing, but one that reopens an account needs it to itself.
fn closed(tables: &Tables, step: &Step, t: &Transfer, pending: &Transfer) -> Verdict<()> {
    let void = t.flags.any(TransferFlags::VOID_PENDING);
    for (here, id, closing, status) in [
        (step.sides.debit(), pending.debit_account_id, TransferFlags::CLOSING_DEBIT, S::DebitAccountAlreadyClosed),
        (step.sides.credit(), pending.credit_account_id, TransferFlags::CLOSING_CREDIT, S::CreditAccountAlreadyClosed),
    ] {
        if !here {
            continue;
        }
        let held = tables.holds().totals(id);
        if held.exclusive > 0 || void && pending.flags.any(closing) && held.count > 0 {
            return Verdict::Blocked;
        }
        let account = tables.account(id).expect("the account of a recorded transfer is there");
        if !void && account.flags.any(AccountFlags::CLOSED) {
            return Verdict::Refuse(refusal(step, status as u8, 0));
        }
    }
    Verdict::Accept(())
}
