//! May this account be created?

use super::refusal;
use crate::clock::Timestamp;
use crate::limits::TIMESTAMP_MAX;
use crate::status::AccountStatus as S;
use crate::tables::Tables;
use crate::txn::{Step, Verdict};
use crate::{Account, AccountFlags};

/// Checks the creation of `account` at the instant `now` (docs/SEMANTICS.md, section 3).
pub fn check(tables: &Tables, step: &Step, account: &Account, now: Timestamp) -> Verdict<()> {
    let refuse = |s: S| Verdict::Refuse(refusal(step, s as u8, now));
    if step.request_status != 0 {
        return Verdict::Refuse(refusal(step, step.request_status, now));
    }
    if let Some(s) = before_state(account, now) {
        return refuse(s);
    }
    if let Some(existing) = tables.account(account.id) {
        return Verdict::Refuse(refusal(step, compare(account, existing) as u8, existing.timestamp));
    }
    if tables.holds().creates(account.id) {
        return Verdict::Blocked;
    }
    if let Some(s) = shape(account) {
        return refuse(s);
    }
    if account.flags.any(AccountFlags::IMPORTED) {
        if account.timestamp <= tables.last_account() || tables.transfer_at(account.timestamp).is_some() {
            return refuse(S::ImportedEventTimestampMustNotRegress);
        }
        if tables.holds().imports() || tables.holds().may_end_at(account.timestamp) {
            return Verdict::Blocked;
        }
    }
    Verdict::Accept(())
}

fn before_state(a: &Account, now: Timestamp) -> Option<S> {
    if a.flags.any(AccountFlags::IMPORTED) {
        if a.timestamp == 0 || a.timestamp > TIMESTAMP_MAX {
            return Some(S::ImportedEventTimestampOutOfRange);
        }
        if a.timestamp >= now {
            return Some(S::ImportedEventTimestampMustNotAdvance);
        }
    } else if a.timestamp != 0 {
        return Some(S::TimestampMustBeZero);
    }
    if a.flags.any(!AccountFlags::KNOWN) {
        return Some(S::ReservedFlag);
    }
    match a.id {
        0 => Some(S::IdMustNotBeZero),
        u128::MAX => Some(S::IdMustNotBeIntMax),
        _ => None,
    }
}

fn compare(new: &Account, old: &Account) -> S {
    if new.flags != old.flags {
        S::ExistsWithDifferentFlags
    } else if new.user_data_128 != old.user_data_128 {
        S::ExistsWithDifferentUserData128
    } else if new.user_data_64 != old.user_data_64 {
        S::ExistsWithDifferentUserData64
    } else if new.user_data_32 != old.user_data_32 {
        S::ExistsWithDifferentUserData32
    } else if new.ledger != old.ledger {
        S::ExistsWithDifferentLedger
    } else if new.code != old.code {
        S::ExistsWithDifferentCode
    } else {
        S::Exists
    }
}

fn shape(a: &Account) -> Option<S> {
    let debits = a.flags.any(AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS);
    if debits && a.flags.any(AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS) {
        return Some(S::FlagsAreMutuallyExclusive);
    }
    if a.debits_pending != 0 {
        return Some(S::DebitsPendingMustBeZero);
    }
    if a.debits_posted != 0 {
        return Some(S::DebitsPostedMustBeZero);
    }
    if a.credits_pending != 0 {
        return Some(S::CreditsPendingMustBeZero);
    }
    if a.credits_posted != 0 {
        return Some(S::CreditsPostedMustBeZero);
    }
    if a.ledger == 0 {
        return Some(S::LedgerMustNotBeZero);
    }
    (a.code == 0).then_some(S::CodeMustNotBeZero)
}
