//! Creating an account (sections 1 and 3).

use crest_ledger::{Account, AccountFlags, AccountStatus};

use super::State;

impl State {
    /// Creates `a`, whose timestamp is the one that it will have.
    pub(super) fn create_account(&mut self, a: Account) -> AccountStatus {
        use AccountStatus::*;
        const LIMITS: [u16; 2] =
            [AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS, AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS];

        if a.flags.any(!AccountFlags::KNOWN) {
            return ReservedFlag;
        }
        if a.id == 0 {
            return IdMustNotBeZero;
        }
        if a.id == u128::MAX {
            return IdMustNotBeIntMax;
        }
        if let Some(stored) = self.accounts.get(&a.id) {
            return exists(&a, stored);
        }
        if LIMITS.iter().all(|&limit| a.flags.any(limit)) {
            return FlagsAreMutuallyExclusive;
        }
        if a.debits_pending != 0 {
            return DebitsPendingMustBeZero;
        }
        if a.debits_posted != 0 {
            return DebitsPostedMustBeZero;
        }
        if a.credits_pending != 0 {
            return CreditsPendingMustBeZero;
        }
        if a.credits_posted != 0 {
            return CreditsPostedMustBeZero;
        }
        if a.ledger == 0 {
            return LedgerMustNotBeZero;
        }
        if a.code == 0 {
            return CodeMustNotBeZero;
        }
        if a.flags.any(AccountFlags::IMPORTED) && self.account_regresses(a.timestamp) {
            return ImportedEventTimestampMustNotRegress;
        }
        self.accounts.insert(a.id, a);
        Created
    }

    fn account_regresses(&self, timestamp: u64) -> bool {
        self.accounts.values().any(|a| a.timestamp >= timestamp)
            || self.transfers.values().any(|t| t.timestamp == timestamp)
    }
}

/// How `a` differs from what is stored under its id, with today's `closed`.
fn exists(a: &Account, stored: &Account) -> AccountStatus {
    use AccountStatus::*;
    if a.flags != stored.flags {
        ExistsWithDifferentFlags
    } else if a.user_data_128 != stored.user_data_128 {
        ExistsWithDifferentUserData128
    } else if a.user_data_64 != stored.user_data_64 {
        ExistsWithDifferentUserData64
    } else if a.user_data_32 != stored.user_data_32 {
        ExistsWithDifferentUserData32
    } else if a.ledger != stored.ledger {
        ExistsWithDifferentLedger
    } else if a.code != stored.code {
        ExistsWithDifferentCode
    } else {
        Exists
    }
}
