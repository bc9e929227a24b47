//! May this transfer happen, as far as the accounts on this shard are concerned?
//!
//! The checks of a shard that has one of the two accounts are those of a single machine, less what only the other account
//! can tell. The decider puts both shards' answers together; the one that ranks first is the answer.

use super::{exists, refusal, resolve};
use crate::clock::Timestamp;
use crate::holds::HeldTotals;
use crate::limits::TIMESTAMP_MAX;
use crate::records::Sides;
use crate::status::TransferStatus as S;
use crate::tables::Tables;
use crate::txn::{Step, Verdict};
use crate::{Account, AccountFlags, Transfer, TransferFlags};

/// What an accepted transfer comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The amount that moves, as far as this shard knows.
    pub amount: u128,
    /// The pending transfer that it resolves.
    pub pending: Option<Transfer>,
    /// It has to be decided before this instant (the pending transfer expires then), ns.
    pub commit_before: Timestamp,
}

/// Checks `transfer` at the instant `now`, for the sides of `step` (docs/SEMANTICS.md, section 3).
pub fn check(tables: &Tables, step: &Step, transfer: &Transfer, now: Timestamp) -> Verdict<Accepted> {
    if step.request_status != 0 {
        return Verdict::Refuse(refusal(step, step.request_status, now));
    }
    if let Some(s) = before_state(transfer, now) {
        return Verdict::Refuse(refusal(step, s as u8, now));
    }
    if tables.holds().creates(transfer.id) {
        return Verdict::Blocked;
    }
    if let Some(entry) = tables.id(transfer.id) {
        return Verdict::Refuse(known_id(tables, step, transfer, entry));
    }
    if transfer.resolves() {
        return resolve::check(tables, step, transfer, now);
    }
    if let Some(s) = shape(transfer) {
        return Verdict::Refuse(refusal(step, s as u8, now));
    }
    accounts(tables, step, transfer, now)
}

fn before_state(t: &Transfer, now: Timestamp) -> Option<S> {
    if t.flags.any(TransferFlags::IMPORTED) {
        if t.timestamp == 0 || t.timestamp > TIMESTAMP_MAX {
            return Some(S::ImportedEventTimestampOutOfRange);
        }
        if t.timestamp >= now {
            return Some(S::ImportedEventTimestampMustNotAdvance);
        }
    } else if t.timestamp != 0 {
        return Some(S::TimestampMustBeZero);
    }
    if t.flags.any(!TransferFlags::KNOWN) {
        return Some(S::ReservedFlag);
    }
    match t.id {
        0 => Some(S::IdMustNotBeZero),
        u128::MAX => Some(S::IdMustNotBeIntMax),
        _ => None,
    }
}

fn known_id(tables: &Tables, step: &Step, t: &Transfer, entry: crate::records::IdEntry) -> crate::txn::Refusal {
    if entry.state == crate::records::IdState::Failed {
        return refusal(step, S::IdAlreadyFailed as u8, entry.timestamp);
    }
    let old = &tables.transfer_at(entry.timestamp).expect("an id that is done has its record").transfer;
    let pending = if old.resolves() { resolve::pending_of(tables, old.pending_id) } else { None };
    refusal(step, exists::compare(t, old, pending.map(|(p, _)| p).as_ref()) as u8, old.timestamp)
}

fn shape(t: &Transfer) -> Option<S> {
    match t.debit_account_id {
        0 => return Some(S::DebitAccountIdMustNotBeZero),
        u128::MAX => return Some(S::DebitAccountIdMustNotBeIntMax),
        _ => {}
    }
    match t.credit_account_id {
        0 => return Some(S::CreditAccountIdMustNotBeZero),
        u128::MAX => return Some(S::CreditAccountIdMustNotBeIntMax),
        _ => {}
    }
    if t.debit_account_id == t.credit_account_id {
        return Some(S::AccountsMustBeDifferent);
    }
    if t.pending_id != 0 {
        return Some(S::PendingIdMustBeZero);
    }
    if !t.flags.any(TransferFlags::PENDING) {
        if t.timeout != 0 {
            return Some(S::TimeoutReservedForPendingTransfer);
        }
        if t.flags.any(TransferFlags::CLOSING) {
            return Some(S::ClosingTransferMustBePending);
        }
    }
    if t.ledger == 0 {
        return Some(S::LedgerMustNotBeZero);
    }
    (t.code == 0).then_some(S::CodeMustNotBeZero)
}

/// One side of a transfer, with everything that differs between the two.
struct Side<'a> {
    account: &'a Account,
    held: HeldTotals,
    debit: bool,
    closing: bool,
    balancing: bool,
}

fn accounts(tables: &Tables, step: &Step, t: &Transfer, now: Timestamp) -> Verdict<Accepted> {
    let refuse = |s: S| Verdict::Refuse(refusal(step, s as u8, now));
    let mut sides: [Option<Side<'_>>; 2] = [None, None];
    for (i, (here, id, missing, closing, balancing)) in [
        (
            step.sides.debit(),
            t.debit_account_id,
            S::DebitAccountNotFound,
            TransferFlags::CLOSING_DEBIT,
            TransferFlags::BALANCING_DEBIT,
        ),
        (
            step.sides.credit(),
            t.credit_account_id,
            S::CreditAccountNotFound,
            TransferFlags::CLOSING_CREDIT,
            TransferFlags::BALANCING_CREDIT,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        if !here {
            continue;
        }
        let Some(account) = tables.account(id) else {
            return if tables.holds().creates(id) { Verdict::Blocked } else { refuse(missing) };
        };
        let (closing, balancing) = (t.flags.any(closing), t.flags.any(balancing));
        sides[i] = Some(Side { account, held: tables.holds().totals(id), debit: i == 0, closing, balancing });
    }
    if let Some(refused) = ledgers(step, t, &sides, now) {
        return Verdict::Refuse(refused);
    }
    let here = || sides.iter().flatten();
    if here().any(|s| s.held.exclusive > 0 || s.held.count > 0 && (s.closing || s.balancing)) {
        return Verdict::Blocked;
    }
    if t.flags.any(TransferFlags::IMPORTED) {
        if let Some(s) = imported(tables, t, &sides) {
            return refuse(s);
        }
        if tables.holds().imports() || tables.holds().may_end_at(t.timestamp) {
            return Verdict::Blocked;
        }
    }
    for side in here() {
        if side.account.flags.any(AccountFlags::CLOSED) {
            return refuse(if side.debit { S::DebitAccountAlreadyClosed } else { S::CreditAccountAlreadyClosed });
        }
    }
    let amount = balanced_amount(step.amount_max, &sides);
    if let Some(overflow) = overflows(t, amount, &sides, now) {
        return overflow.map_or(Verdict::Blocked, refuse);
    }
    for side in here() {
        match limit(side, amount) {
            Limit::Fits => {}
            Limit::Exceeded => return refuse(if side.debit { S::ExceedsCredits } else { S::ExceedsDebits }),
            Limit::Unknown => return Verdict::Blocked,
        }
    }
    Verdict::Accept(Accepted { amount, pending: None, commit_before: Timestamp::MAX })
}

/// The two checks of ledger numbers. A shard with one side can only say that its account's differs from the transfer's;
/// the decider, who hears both, tells the two statuses apart.
fn ledgers(step: &Step, t: &Transfer, sides: &[Option<Side<'_>>; 2], now: Timestamp) -> Option<crate::txn::Refusal> {
    let found = |s: &Option<Side<'_>>| s.as_ref().map(|s| s.account.ledger);
    if let (Some(debit), Some(credit)) = (found(&sides[0]), found(&sides[1]))
        && debit != credit
    {
        return Some(refusal(step, S::AccountsMustHaveTheSameLedger as u8, now));
    }
    let ledger = found(&sides[0]).or(found(&sides[1]))?;
    let one_side = step.sides != Sides::BOTH;
    (ledger != t.ledger).then(|| crate::txn::Refusal {
        ledger: if one_side { ledger } else { 0 },
        ..refusal(step, S::TransferMustHaveTheSameLedgerAsAccounts as u8, now)
    })
}

/// Whether an imported transfer is not newer than the others here, or something else has its very instant.
pub(super) fn regresses(tables: &Tables, t: &Transfer) -> bool {
    t.timestamp <= tables.last_transfer()
        || tables.account_created_at(t.timestamp)
        || tables.transfer_at(t.timestamp).is_some()
}

fn imported(tables: &Tables, t: &Transfer, sides: &[Option<Side<'_>>; 2]) -> Option<S> {
    if regresses(tables, t) {
        return Some(S::ImportedEventTimestampMustNotRegress);
    }
    for side in sides.iter().flatten() {
        if t.timestamp <= side.account.timestamp {
            return Some(if side.debit {
                S::ImportedEventTimestampMustPostdateDebitAccount
            } else {
                S::ImportedEventTimestampMustPostdateCreditAccount
            });
        }
    }
    (t.timeout != 0).then_some(S::ImportedEventTimeoutMustBeZero)
}

fn balanced_amount(amount_max: u128, sides: &[Option<Side<'_>>; 2]) -> u128 {
    sides.iter().flatten().filter(|s| s.balancing).fold(amount_max, |amount, side| {
        amount.min(if side.debit { side.account.debit_room() } else { side.account.credit_room() })
    })
}

/// The overflow checks in their order; `Some(None)` when only amounts in doubt make it overflow.
fn overflows(t: &Transfer, amount: u128, sides: &[Option<Side<'_>>; 2], now: Timestamp) -> Option<Option<S>> {
    let column = |side: &Side<'_>, which: usize, held: u128| -> bool {
        let a = side.account;
        let (pending, posted) =
            if side.debit { (a.debits_pending, a.debits_posted) } else { (a.credits_pending, a.credits_posted) };
        let before = match which {
            0 => Some(pending),
            1 => Some(posted),
            _ => pending.checked_add(posted),
        };
        before.and_then(|b| b.checked_add(amount)).and_then(|b| b.checked_add(held)).is_none()
    };
    let statuses = [
        [S::OverflowsDebitsPending, S::OverflowsCreditsPending],
        [S::OverflowsDebitsPosted, S::OverflowsCreditsPosted],
        [S::OverflowsDebits, S::OverflowsCredits],
    ];
    for (which, pair) in statuses.into_iter().enumerate() {
        if which == 0 && !t.flags.any(TransferFlags::PENDING) {
            continue;
        }
        for (side, status) in sides.iter().zip(pair).filter_map(|(s, status)| Some((s.as_ref()?, status))) {
            if column(side, which, 0) {
                return Some(Some(status));
            }
            if column(side, which, if side.debit { side.held.debits } else { side.held.credits }) {
                return Some(None);
            }
        }
    }
    let at = if t.flags.any(TransferFlags::IMPORTED) { t.timestamp } else { now };
    let timeout = u64::from(t.timeout).saturating_mul(1_000_000_000);
    at.checked_add(timeout).is_none_or(|e| e > TIMESTAMP_MAX).then_some(Some(S::OverflowsTimeout))
}

enum Limit {
    Fits,
    Exceeded,
    Unknown,
}

/// The limit flag of one side. It fits when it fits even if everything in doubt that could take room commits and nothing
/// that could give room does; it is exceeded when it is exceeded even in the opposite case.
fn limit(side: &Side<'_>, amount: u128) -> Limit {
    let a = side.account;
    let (flag, used, room, need, relief) = if side.debit {
        (
            AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS,
            a.debits_pending + a.debits_posted,
            a.credits_posted,
            side.held.debit_need,
            side.held.debit_relief,
        )
    } else {
        (
            AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS,
            a.credits_pending + a.credits_posted,
            a.debits_posted,
            side.held.credit_need,
            side.held.credit_relief,
        )
    };
    if !a.flags.any(flag) {
        return Limit::Fits;
    }
    let fits = |used: u128, extra: u128, room: u128| {
        used.checked_add(extra).and_then(|u| u.checked_add(amount)).is_some_and(|u| u <= room)
    };
    if fits(used, need, room) {
        Limit::Fits
    } else if fits(used, 0, room.saturating_add(relief)) {
        Limit::Unknown
    } else {
        Limit::Exceeded
    }
}
