//! The answers of the ledger, in their order of precedence: the first that applies is the answer (docs/SEMANTICS.md,
//! section 3). The numbers are those of the public API's enums, so that one table serves both.

macro_rules! statuses {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $number:literal => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`")] $variant = $number,)*
        }

        impl $name {
            /// All of them, in order of precedence.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name that documents and people use, in snake case.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The status with this number; `None` when there is none.
            pub fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

statuses! {
    /// What became of an account to create.
    AccountStatus {
        Created = 1 => "created",
        LinkedEventFailed = 2 => "linked_event_failed",
        LinkedEventChainOpen = 3 => "linked_event_chain_open",
        ImportedEventExpected = 4 => "imported_event_expected",
        ImportedEventNotExpected = 5 => "imported_event_not_expected",
        TimestampMustBeZero = 6 => "timestamp_must_be_zero",
        ImportedEventTimestampOutOfRange = 7 => "imported_event_timestamp_out_of_range",
        ImportedEventTimestampMustNotAdvance = 8 => "imported_event_timestamp_must_not_advance",
        ReservedFlag = 9 => "reserved_flag",
        IdMustNotBeZero = 10 => "id_must_not_be_zero",
        IdMustNotBeIntMax = 11 => "id_must_not_be_int_max",
        ExistsWithDifferentFlags = 12 => "exists_with_different_flags",
        ExistsWithDifferentUserData128 = 13 => "exists_with_different_user_data_128",
        ExistsWithDifferentUserData64 = 14 => "exists_with_different_user_data_64",
        ExistsWithDifferentUserData32 = 15 => "exists_with_different_user_data_32",
        ExistsWithDifferentLedger = 16 => "exists_with_different_ledger",
        ExistsWithDifferentCode = 17 => "exists_with_different_code",
        Exists = 18 => "exists",
        FlagsAreMutuallyExclusive = 19 => "flags_are_mutually_exclusive",
        DebitsPendingMustBeZero = 20 => "debits_pending_must_be_zero",
        DebitsPostedMustBeZero = 21 => "debits_posted_must_be_zero",
        CreditsPendingMustBeZero = 22 => "credits_pending_must_be_zero",
        CreditsPostedMustBeZero = 23 => "credits_posted_must_be_zero",
        LedgerMustNotBeZero = 24 => "ledger_must_not_be_zero",
        CodeMustNotBeZero = 25 => "code_must_not_be_zero",
        ImportedEventTimestampMustNotRegress = 26 => "imported_event_timestamp_must_not_regress",
    }
}

statuses! {
    /// What became of a transfer to create.
    TransferStatus {
        Created = 1 => "created",
        LinkedEventFailed = 2 => "linked_event_failed",
        LinkedEventChainOpen = 3 => "linked_event_chain_open",
        ImportedEventExpected = 4 => "imported_event_expected",
        ImportedEventNotExpected = 5 => "imported_event_not_expected",
        TimestampMustBeZero = 6 => "timestamp_must_be_zero",
        ImportedEventTimestampOutOfRange = 7 => "imported_event_timestamp_out_of_range",
        ImportedEventTimestampMustNotAdvance = 8 => "imported_event_timestamp_must_not_advance",
        ReservedFlag = 9 => "reserved_flag",
        IdMustNotBeZero = 10 => "id_must_not_be_zero",
        IdMustNotBeIntMax = 11 => "id_must_not_be_int_max",
        ExistsWithDifferentFlags = 12 => "exists_with_different_flags",
        ExistsWithDifferentPendingId = 13 => "exists_with_different_pending_id",
        ExistsWithDifferentTimeout = 14 => "exists_with_different_timeout",
        ExistsWithDifferentDebitAccountId = 15 => "exists_with_different_debit_account_id",
        ExistsWithDifferentCreditAccountId = 16 => "exists_with_different_credit_account_id",
        ExistsWithDifferentAmount = 17 => "exists_with_different_amount",
        ExistsWithDifferentUserData128 = 18 => "exists_with_different_user_data_128",
        ExistsWithDifferentUserData64 = 19 => "exists_with_different_user_data_64",
        ExistsWithDifferentUserData32 = 20 => "exists_with_different_user_data_32",
        ExistsWithDifferentLedger = 21 => "exists_with_different_ledger",
        ExistsWithDifferentCode = 22 => "exists_with_different_code",
        Exists = 23 => "exists",
        IdAlreadyFailed = 24 => "id_already_failed",
        FlagsAreMutuallyExclusive = 25 => "flags_are_mutually_exclusive",
        DebitAccountIdMustNotBeZero = 26 => "debit_account_id_must_not_be_zero",
        DebitAccountIdMustNotBeIntMax = 27 => "debit_account_id_must_not_be_int_max",
        CreditAccountIdMustNotBeZero = 28 => "credit_account_id_must_not_be_zero",
        CreditAccountIdMustNotBeIntMax = 29 => "credit_account_id_must_not_be_int_max",
        AccountsMustBeDifferent = 30 => "accounts_must_be_different",
        PendingIdMustBeZero = 31 => "pending_id_must_be_zero",
        PendingIdMustNotBeZero = 32 => "pending_id_must_not_be_zero",
        PendingIdMustNotBeIntMax = 33 => "pending_id_must_not_be_int_max",
        PendingIdMustBeDifferent = 34 => "pending_id_must_be_different",
        TimeoutReservedForPendingTransfer = 35 => "timeout_reserved_for_pending_transfer",
        ClosingTransferMustBePending = 36 => "closing_transfer_must_be_pending",
        LedgerMustNotBeZero = 37 => "ledger_must_not_be_zero",
        CodeMustNotBeZero = 38 => "code_must_not_be_zero",
        DebitAccountNotFound = 39 => "debit_account_not_found",
        CreditAccountNotFound = 40 => "credit_account_not_found",
        AccountsMustHaveTheSameLedger = 41 => "accounts_must_have_the_same_ledger",
        TransferMustHaveTheSameLedgerAsAccounts = 42 => "transfer_must_have_the_same_ledger_as_accounts",
        PendingTransferNotFound = 43 => "pending_transfer_not_found",
        PendingTransferNotPending = 44 => "pending_transfer_not_pending",
        PendingTransferHasDifferentDebitAccountId = 45 => "pending_transfer_has_different_debit_account_id",
        PendingTransferHasDifferentCreditAccountId = 46 => "pending_transfer_has_different_credit_account_id",
        PendingTransferHasDifferentLedger = 47 => "pending_transfer_has_different_ledger",
        PendingTransferHasDifferentCode = 48 => "pending_transfer_has_different_code",
        ExceedsPendingTransferAmount = 49 => "exceeds_pending_transfer_amount",
        PendingTransferHasDifferentAmount = 50 => "pending_transfer_has_different_amount",
        PendingTransferAlreadyPosted = 51 => "pending_transfer_already_posted",
        PendingTransferAlreadyVoided = 52 => "pending_transfer_already_voided",
        PendingTransferExpired = 53 => "pending_transfer_expired",
        ImportedEventTimestampMustNotRegress = 54 => "imported_event_timestamp_must_not_regress",
        ImportedEventTimestampMustPostdateDebitAccount = 55 => "imported_event_timestamp_must_postdate_debit_account",
        ImportedEventTimestampMustPostdateCreditAccount = 56 => "imported_event_timestamp_must_postdate_credit_account",
        ImportedEventTimeoutMustBeZero = 57 => "imported_event_timeout_must_be_zero",
        DebitAccountAlreadyClosed = 58 => "debit_account_already_closed",
        CreditAccountAlreadyClosed = 59 => "credit_account_already_closed",
        OverflowsDebitsPending = 60 => "overflows_debits_pending",
        OverflowsCreditsPending = 61 => "overflows_credits_pending",
        OverflowsDebitsPosted = 62 => "overflows_debits_posted",
        OverflowsCreditsPosted = 63 => "overflows_credits_posted",
        OverflowsDebits = 64 => "overflows_debits",
        OverflowsCredits = 65 => "overflows_credits",
        OverflowsTimeout = 66 => "overflows_timeout",
        ExceedsCredits = 67 => "exceeds_credits",
        ExceedsDebits = 68 => "exceeds_debits",
    }
}

impl AccountStatus {
    /// Whether the account is there now: `created` or `exists`.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Created | Self::Exists)
    }
}

impl TransferStatus {
    /// Whether the transfer is there now: `created` or `exists`.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Created | Self::Exists)
    }

    /// Whether the world, not the request, was at fault: the id that got this answer never succeeds later.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::DebitAccountNotFound
                | Self::CreditAccountNotFound
                | Self::PendingTransferNotFound
                | Self::DebitAccountAlreadyClosed
                | Self::CreditAccountAlreadyClosed
                | Self::ExceedsCredits
                | Self::ExceedsDebits
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_statuses_are_transient() {
        assert_eq!(TransferStatus::ALL.iter().filter(|s| s.is_transient()).count(), 7);
    }

    #[test]
    fn numbers_and_names_go_both_ways() {
        for (i, s) in TransferStatus::ALL.iter().enumerate() {
            assert_eq!(*s as usize, i + 1);
            assert_eq!(TransferStatus::from_number(*s as u8), Some(*s));
        }
        for (i, s) in AccountStatus::ALL.iter().enumerate() {
            assert_eq!(*s as usize, i + 1);
            assert_eq!(AccountStatus::from_number(*s as u8), Some(*s));
        }
        assert_eq!(TransferStatus::from_number(0), None);
        assert_eq!(TransferStatus::ExceedsCredits.to_string(), "exceeds_credits");
    }
}
