//! Creating a transfer that moves or reserves money (sections 2 and 3).

use std::collections::BTreeSet;

use crest_ledger::limits::TIMESTAMP_MAX;
use crest_ledger::{Account, AccountFlags, Transfer, TransferFlags, TransferStatus};

use super::{Fate, State};

const NS_PER_SECOND: u64 = 1_000_000_000;

impl State {
    /// Creates `t`, whose timestamp is the one that it will have.
    pub(super) fn create_transfer(&mut self, t: Transfer, burned: &BTreeSet<u128>) -> TransferStatus {
        use TransferStatus::*;
        if t.flags.any(!TransferFlags::KNOWN) {
            return ReservedFlag;
        }
        if t.id == 0 {
            return IdMustNotBeZero;
        }
        if t.id == u128::MAX {
            return IdMustNotBeIntMax;
        }
        if let Some(stored) = self.transfers.get(&t.id) {
            return self.transfer_exists(&t, stored);
        }
        if burned.contains(&t.id) {
            return IdAlreadyFailed;
        }
        let outcome = if t.flags.any(TransferFlags::RESOLVES) { self.resolve(t) } else { self.book(t) };
        match outcome {
            Ok(()) => Created,
            Err(status) => status,
        }
    }

    fn book(&mut self, t: Transfer) -> Result<(), TransferStatus> {
        request_is_sound(&t)?;
        let (debit, credit) = self.accounts_are_found(&t)?;
        if t.flags.any(TransferFlags::IMPORTED) {
            self.import_is_sound(&t, &debit, &credit)?;
        }
        accounts_are_open(&debit, &credit)?;
        let amount = balanced_amount(&t, &debit, &credit);
        nothing_overflows(&t, amount, &debit, &credit)?;
        limits_hold(amount, &debit, &credit)?;

        let pending = t.flags.any(TransferFlags::PENDING);
        self.change(debit.id, |a| {
            *(if pending { &mut a.debits_pending } else { &mut a.debits_posted }) += amount;
            if t.flags.any(TransferFlags::CLOSING_DEBIT) {
                a.flags.set(AccountFlags::CLOSED, true);
            }
        });
        self.change(credit.id, |a| {
            *(if pending { &mut a.credits_pending } else { &mut a.credits_posted }) += amount;
            if t.flags.any(TransferFlags::CLOSING_CREDIT) {
                a.flags.set(AccountFlags::CLOSED, true);
            }
        });
        if pending {
            self.fates.insert(t.id, Fate::Pending);
        }
        self.record(Transfer { amount, ..t });
        Ok(())
    }

    fn accounts_are_found(&self, t: &Transfer) -> Result<(Account, Account), TransferStatus> {
        use TransferStatus::*;
        let debit = *self.accounts.get(&t.debit_account_id).ok_or(DebitAccountNotFound)?;
        let credit = *self.accounts.get(&t.credit_account_id).ok_or(CreditAccountNotFound)?;
        if debit.ledger != credit.ledger {
            return Err(AccountsMustHaveTheSameLedger);
        }
        if t.ledger != debit.ledger {
            return Err(TransferMustHaveTheSameLedgerAsAccounts);
        }
        Ok((debit, credit))
    }

    fn import_is_sound(&self, t: &Transfer, debit: &Account, credit: &Account) -> Result<(), TransferStatus> {
        use TransferStatus::*;
        if self.transfer_regresses(t.timestamp) {
            return Err(ImportedEventTimestampMustNotRegress);
        }
        if t.timestamp <= debit.timestamp {
            return Err(ImportedEventTimestampMustPostdateDebitAccount);
        }
        if t.timestamp <= credit.timestamp {
            return Err(ImportedEventTimestampMustPostdateCreditAccount);
        }
        if t.timeout != 0 {
            return Err(ImportedEventTimeoutMustBeZero);
        }
        Ok(())
    }

    pub(super) fn transfer_regresses(&self, timestamp: u64) -> bool {
        self.transfers.values().any(|t| t.timestamp >= timestamp)
            || self.accounts.values().any(|a| a.timestamp == timestamp)
    }
}

/// The checks that need nothing but the event.
fn request_is_sound(t: &Transfer) -> Result<(), TransferStatus> {
    use TransferStatus::*;
    if t.debit_account_id == 0 {
        return Err(DebitAccountIdMustNotBeZero);
    }
    if t.debit_account_id == u128::MAX {
        return Err(DebitAccountIdMustNotBeIntMax);
    }
    if t.credit_account_id == 0 {
        return Err(CreditAccountIdMustNotBeZero);
    }
    if t.credit_account_id == u128::MAX {
        return Err(CreditAccountIdMustNotBeIntMax);
    }
    if t.debit_account_id == t.credit_account_id {
        return Err(AccountsMustBeDifferent);
    }
    if t.pending_id != 0 {
        return Err(PendingIdMustBeZero);
    }
    if !t.flags.any(TransferFlags::PENDING) {
        if t.timeout != 0 {
            return Err(TimeoutReservedForPendingTransfer);
        }
        if t.flags.any(TransferFlags::CLOSING) {
            return Err(ClosingTransferMustBePending);
        }
    }
    if t.ledger == 0 {
        return Err(LedgerMustNotBeZero);
    }
    if t.code == 0 {
        return Err(CodeMustNotBeZero);
    }
    Ok(())
}

pub(super) fn accounts_are_open(debit: &Account, credit: &Account) -> Result<(), TransferStatus> {
    if debit.flags.any(AccountFlags::CLOSED) {
        return Err(TransferStatus::DebitAccountAlreadyClosed);
    }
    if credit.flags.any(AccountFlags::CLOSED) {
        return Err(TransferStatus::CreditAccountAlreadyClosed);
    }
    Ok(())
}

/// What a balancing transfer moves, at most its amount.
fn balanced_amount(t: &Transfer, debit: &Account, credit: &Account) -> u128 {
    let mut amount = t.amount;
    if t.flags.any(TransferFlags::BALANCING_DEBIT) {
        amount = amount.min(debit.credits_posted.saturating_sub(debit.debits_posted + debit.debits_pending));
    }
    if t.flags.any(TransferFlags::BALANCING_CREDIT) {
        amount = amount.min(credit.debits_posted.saturating_sub(credit.credits_posted + credit.credits_pending));
    }
    amount
}

fn nothing_overflows(t: &Transfer, amount: u128, debit: &Account, credit: &Account) -> Result<(), TransferStatus> {
    use TransferStatus::*;
    let overflows = |balance: u128| balance.checked_add(amount).is_none();
    let pending = t.flags.any(TransferFlags::PENDING);
    if pending && overflows(debit.debits_pending) {
        return Err(OverflowsDebitsPending);
    }
    if pending && overflows(credit.credits_pending) {
        return Err(OverflowsCreditsPending);
    }
    if overflows(debit.debits_posted) {
        return Err(OverflowsDebitsPosted);
    }
    if overflows(credit.credits_posted) {
        return Err(OverflowsCreditsPosted);
    }
    if overflows(debit.debits_pending + debit.debits_posted) {
        return Err(OverflowsDebits);
    }
    if overflows(credit.credits_pending + credit.credits_posted) {
        return Err(OverflowsCredits);
    }
    if t.timestamp + u64::from(t.timeout) * NS_PER_SECOND > TIMESTAMP_MAX {
        return Err(OverflowsTimeout);
    }
    Ok(())
}

fn limits_hold(amount: u128, debit: &Account, credit: &Account) -> Result<(), TransferStatus> {
    let debits = debit.debits_pending + debit.debits_posted + amount;
    if debit.flags.any(AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS) && debits > debit.credits_posted {
        return Err(TransferStatus::ExceedsCredits);
    }
    let credits = credit.credits_pending + credit.credits_posted + amount;
    if credit.flags.any(AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS) && credits > credit.debits_posted {
        return Err(TransferStatus::ExceedsDebits);
    }
    Ok(())
}
