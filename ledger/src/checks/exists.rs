//! A transfer with this id is there already: is it the same one? (docs/SEMANTICS.md, section 5)

use crate::status::TransferStatus as S;
use crate::{Transfer, TransferFlags};

/// Compares the retry `new` with the stored `old`. `pending` is the pending transfer that a stored post or void resolved.
pub fn compare(new: &Transfer, old: &Transfer, pending: Option<&Transfer>) -> S {
    if new.flags != old.flags {
        return S::ExistsWithDifferentFlags;
    }
    if new.pending_id != old.pending_id {
        return S::ExistsWithDifferentPendingId;
    }
    if new.timeout != old.timeout {
        return S::ExistsWithDifferentTimeout;
    }
    match pending {
        Some(pending) if old.resolves() => compare_resolving(new, old, pending),
        _ => compare_plain(new, old),
    }
}

fn compare_plain(new: &Transfer, old: &Transfer) -> S {
    let amount_differs =
        if old.flags.any(TransferFlags::BALANCING) { new.amount < old.amount } else { new.amount != old.amount };
    first_difference([
        (new.debit_account_id != old.debit_account_id, S::ExistsWithDifferentDebitAccountId),
        (new.credit_account_id != old.credit_account_id, S::ExistsWithDifferentCreditAccountId),
        (amount_differs, S::ExistsWithDifferentAmount),
        (new.user_data_128 != old.user_data_128, S::ExistsWithDifferentUserData128),
        (new.user_data_64 != old.user_data_64, S::ExistsWithDifferentUserData64),
        (new.user_data_32 != old.user_data_32, S::ExistsWithDifferentUserData32),
        (new.ledger != old.ledger, S::ExistsWithDifferentLedger),
        (new.code != old.code, S::ExistsWithDifferentCode),
    ])
}

/// Zero fields of a post or void stand for the pending transfer's, so they are compared with what they stood for.
fn compare_resolving(new: &Transfer, old: &Transfer, pending: &Transfer) -> S {
    let amount = resolved_amount(new, pending);
    let or = |given: u128, inherited: u128| if given == 0 { inherited } else { given };
    let data_64 = or(new.user_data_64.into(), pending.user_data_64.into());
    let data_32 = or(new.user_data_32.into(), pending.user_data_32.into());
    first_difference([
        (
            new.debit_account_id != 0 && new.debit_account_id != old.debit_account_id,
            S::ExistsWithDifferentDebitAccountId,
        ),
        (
            new.credit_account_id != 0 && new.credit_account_id != old.credit_account_id,
            S::ExistsWithDifferentCreditAccountId,
        ),
        (amount != old.amount, S::ExistsWithDifferentAmount),
        (or(new.user_data_128, pending.user_data_128) != old.user_data_128, S::ExistsWithDifferentUserData128),
        (data_64 != u128::from(old.user_data_64), S::ExistsWithDifferentUserData64),
        (data_32 != u128::from(old.user_data_32), S::ExistsWithDifferentUserData32),
        (new.ledger != 0 && new.ledger != old.ledger, S::ExistsWithDifferentLedger),
        (new.code != 0 && new.code != old.code, S::ExistsWithDifferentCode),
    ])
}

fn first_difference(fields: [(bool, S); 8]) -> S {
    fields.into_iter().find(|(differs, _)| *differs).map_or(S::Exists, |(_, status)| status)
}

/// The amount of a post or void, its sentinels resolved: MAX posts all, 0 voids all.
pub fn resolved_amount(t: &Transfer, pending: &Transfer) -> u128 {
    let all = if t.flags.any(TransferFlags::VOID_PENDING) { 0 } else { u128::MAX };
    if t.amount == all { pending.amount } else { t.amount }
}
