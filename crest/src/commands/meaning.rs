//! What a refusal means, in a sentence: the second half of what a refused command prints.

use crest_ledger::{AccountStatus, TransferStatus};

/// What the status of an account to create means.
pub(crate) fn of_account(status: AccountStatus) -> &'static str {
    use AccountStatus as S;
    match status {
        S::Created => "The account was created.",
        S::Exists => "The very same account is there already.",
        S::LinkedEventFailed => "Another event of its chain failed, so nothing of the chain was created.",
        S::LinkedEventChainOpen => "The last event of a request must not be linked.",
        S::ImportedEventExpected => "The other events of the request are imported, this one is not.",
        S::ImportedEventNotExpected => "The other events of the request are not imported, this one is.",
        S::TimestampMustBeZero => "The ledger gives the timestamp; only imported accounts bring their own.",
        S::ImportedEventTimestampOutOfRange => "An imported timestamp lies between 1970 and 2262 and is not 0.",
        S::ImportedEventTimestampMustNotAdvance => "An imported timestamp lies in the past.",
        S::ReservedFlag => "A flag is set that has no meaning yet.",
        S::IdMustNotBeZero => "0 is no id.",
        S::IdMustNotBeIntMax => "2^128 - 1 is no id.",
        S::ExistsWithDifferentFlags => "An account with this id exists, with other flags (closed counts too).",
        S::ExistsWithDifferentUserData128 => "An account with this id exists, with another user_data_128.",
        S::ExistsWithDifferentUserData64 => "An account with this id exists, with another user_data_64.",
        S::ExistsWithDifferentUserData32 => "An account with this id exists, with another user_data_32.",
        S::ExistsWithDifferentLedger => "An account with this id exists, on another ledger.",
        S::ExistsWithDifferentCode => "An account with this id exists, with another code.",
        S::FlagsAreMutuallyExclusive => "An account limits its debits or its credits, not both.",
        S::DebitsPendingMustBeZero | S::DebitsPostedMustBeZero => "A new account has no debits.",
        S::CreditsPendingMustBeZero | S::CreditsPostedMustBeZero => "A new account has no credits.",
        S::LedgerMustNotBeZero => "The ledger number is missing.",
        S::CodeMustNotBeZero => "The code is missing.",
        S::ImportedEventTimestampMustNotRegress => "Imported timestamps must increase, and this one is not the latest.",
    }
}

/// What the status of a transfer to create means.
pub(crate) fn of_transfer(status: TransferStatus) -> &'static str {
    let special = of_form(status).or_else(|| of_pending(status)).or_else(|| of_import(status));
    special.unwrap_or_else(|| of_state(status))
}

/// The state of the ledger is the reason.
fn of_state(status: TransferStatus) -> &'static str {
    use TransferStatus as S;
    match status {
        S::Created => "The transfer was made.",
        S::Exists => "The very same transfer was made before; it was not made again.",
        S::LinkedEventFailed => "Another event of its chain failed, so nothing of the chain was done.",
        S::IdAlreadyFailed => "This id was refused before for the state of the accounts; to try again, use a new id.",
        S::DebitAccountNotFound => "The paying account does not exist.",
        S::CreditAccountNotFound => "The paid account does not exist.",
        S::DebitAccountAlreadyClosed => "The paying account is closed.",
        S::CreditAccountAlreadyClosed => "The paid account is closed.",
        S::OverflowsDebitsPending | S::OverflowsDebitsPosted | S::OverflowsDebits => {
            "The paying account's debits would not fit 128 bits."
        }
        S::OverflowsCreditsPending | S::OverflowsCreditsPosted | S::OverflowsCredits => {
            "The paid account's credits would not fit 128 bits."
        }
        S::OverflowsTimeout => "The transfer would expire after the year 2262.",
        S::ExceedsCredits => "The paying account has not enough.",
        S::ExceedsDebits => "The paid account would hold more than it may.",
        // What is left is exists_with_different_…; a test keeps it so.
        _ => DIFFERENT,
    }
}

const DIFFERENT: &str = "Another transfer has this id, and differs in what the status names; use a new id.";

/// The request itself is the reason.
fn of_form(status: TransferStatus) -> Option<&'static str> {
    use TransferStatus as S;
    Some(match status {
        S::LinkedEventChainOpen => "The last event of a request must not be linked.",
        S::TimestampMustBeZero => "The ledger gives the timestamp; only imported transfers bring their own.",
        S::ReservedFlag => "A flag is set that has no meaning yet.",
        S::IdMustNotBeZero | S::DebitAccountIdMustNotBeZero | S::CreditAccountIdMustNotBeZero => "0 is no id.",
        S::IdMustNotBeIntMax | S::DebitAccountIdMustNotBeIntMax | S::CreditAccountIdMustNotBeIntMax => {
            "2^128 - 1 is no id."
        }
        S::FlagsAreMutuallyExclusive => "These flags exclude each other.",
        S::AccountsMustBeDifferent => "An account cannot pay itself.",
        S::TimeoutReservedForPendingTransfer => "Only a pending transfer can expire: add the flag pending.",
        S::ClosingTransferMustBePending => "Only a pending transfer can close an account: add the flag pending.",
        S::LedgerMustNotBeZero => "The ledger number is missing.",
        S::CodeMustNotBeZero => "The code is missing.",
        S::AccountsMustHaveTheSameLedger => "The two accounts are on different ledgers.",
        S::TransferMustHaveTheSameLedgerAsAccounts => "The accounts are on another ledger than the transfer says.",
        _ => return None,
    })
}

/// The pending transfer that a post or void names is the reason.
fn of_pending(status: TransferStatus) -> Option<&'static str> {
    use TransferStatus as S;
    Some(match status {
        S::PendingIdMustBeZero => "Only a post or a void names a pending transfer.",
        S::PendingIdMustNotBeZero => "A post or a void has to name the pending transfer.",
        S::PendingIdMustNotBeIntMax => "2^128 - 1 is no id.",
        S::PendingIdMustBeDifferent => "A transfer cannot resolve itself.",
        S::PendingTransferNotFound => "There is no transfer with the pending id.",
        S::PendingTransferNotPending => {
            "The transfer with the pending id moved its money at once; nothing is reserved."
        }
        S::PendingTransferHasDifferentDebitAccountId
        | S::PendingTransferHasDifferentCreditAccountId
        | S::PendingTransferHasDifferentLedger
        | S::PendingTransferHasDifferentCode => {
            "The pending transfer differs in what the status names: leave it out to inherit it."
        }
        S::ExceedsPendingTransferAmount => "More was asked for than the pending transfer has reserved.",
        S::PendingTransferHasDifferentAmount => "A void releases all of the pending amount: leave the amount out.",
        S::PendingTransferAlreadyPosted => "The pending transfer was posted before.",
        S::PendingTransferAlreadyVoided => "The pending transfer was voided before.",
        S::PendingTransferExpired => "The pending transfer has expired.",
        _ => return None,
    })
}

/// The rules of import are the reason.
fn of_import(status: TransferStatus) -> Option<&'static str> {
    use TransferStatus as S;
    Some(match status {
        S::ImportedEventExpected => "The other events of the request are imported, this one is not.",
        S::ImportedEventNotExpected => "The other events of the request are not imported, this one is.",
        S::ImportedEventTimestampOutOfRange => "An imported timestamp lies between 1970 and 2262 and is not 0.",
        S::ImportedEventTimestampMustNotAdvance => "An imported timestamp lies in the past.",
        S::ImportedEventTimestampMustNotRegress => "Imported timestamps must increase, and this one is not the latest.",
        S::ImportedEventTimestampMustPostdateDebitAccount | S::ImportedEventTimestampMustPostdateCreditAccount => {
            "An imported transfer must be younger than its accounts."
        }
        S::ImportedEventTimeoutMustBeZero => "An imported transfer cannot expire.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_meaning_is_one_sentence() {
        let accounts = AccountStatus::ALL.iter().map(|&s| of_account(s));
        let transfers = TransferStatus::ALL.iter().map(|&s| of_transfer(s));
        for text in accounts.chain(transfers) {
            assert!(text.ends_with('.') && text.len() > 8 && !text.contains('\n'), "{text}");
        }
    }

    #[test]
    fn no_status_got_the_last_meaning_by_mistake() {
        for &status in TransferStatus::ALL {
            let different = status.name().starts_with("exists_with_different_");
            assert_eq!(of_transfer(status) == DIFFERENT, different, "{status}");
        }
    }
}
