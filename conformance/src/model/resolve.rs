//! Posting and voiding a pending transfer (section 4).

use crest_ledger::{Transfer, TransferFlags, TransferStatus};

use super::transfers::accounts_are_open;
use super::{Fate, State};

impl State {
    pub(super) fn resolve(&mut self, t: Transfer) -> Result<(), TransferStatus> {
        request_is_sound(&t)?;
        let pending = *self.transfers.get(&t.pending_id).ok_or(TransferStatus::PendingTransferNotFound)?;
        let amount = matches_pending(&t, &pending)?;
        self.is_still_pending(&pending)?;
        if t.flags.any(TransferFlags::IMPORTED) && self.transfer_regresses(t.timestamp) {
            return Err(TransferStatus::ImportedEventTimestampMustNotRegress);
        }
        let posts = t.flags.any(TransferFlags::POST_PENDING);
        if posts {
            accounts_are_open(&self.accounts[&pending.debit_account_id], &self.accounts[&pending.credit_account_id])?;
        }

        self.release(&pending);
        if posts {
            self.change(pending.debit_account_id, |a| a.debits_posted += amount);
            self.change(pending.credit_account_id, |a| a.credits_posted += amount);
        }
        self.fates.insert(pending.id, if posts { Fate::Posted } else { Fate::Voided });
        self.record(Transfer {
            debit_account_id: pending.debit_account_id,
            credit_account_id: pending.credit_account_id,
            amount,
            user_data_128: or(t.user_data_128, pending.user_data_128),
            user_data_64: or(t.user_data_64, pending.user_data_64),
            user_data_32: or(t.user_data_32, pending.user_data_32),
            ledger: pending.ledger,
            code: pending.code,
            ..t
        });
        Ok(())
    }

    /// Whether nothing has become of it yet. What is due by the event's time has expired already.
    fn is_still_pending(&self, pending: &Transfer) -> Result<(), TransferStatus> {
        match self.fates[&pending.id] {
            Fate::Posted => Err(TransferStatus::PendingTransferAlreadyPosted),
            Fate::Voided => Err(TransferStatus::PendingTransferAlreadyVoided),
            Fate::Expired => Err(TransferStatus::PendingTransferExpired),
            Fate::Pending => Ok(()),
        }
    }
}

/// The checks that need nothing but the event.
fn request_is_sound(t: &Transfer) -> Result<(), TransferStatus> {
    use TransferStatus::*;
    const EXCLUDED: u16 = TransferFlags::PENDING | TransferFlags::BALANCING | TransferFlags::CLOSING;
    if t.flags.0 & TransferFlags::RESOLVES == TransferFlags::RESOLVES || t.flags.any(EXCLUDED) {
        return Err(FlagsAreMutuallyExclusive);
    }
    if t.pending_id == 0 {
        return Err(PendingIdMustNotBeZero);
    }
    if t.pending_id == u128::MAX {
        return Err(PendingIdMustNotBeIntMax);
    }
    if t.pending_id == t.id {
        return Err(PendingIdMustBeDifferent);
    }
    if t.timeout != 0 {
        return Err(TimeoutReservedForPendingTransfer);
    }
    Ok(())
}

/// Whether what the event names is what was reserved; the amount that it moves or releases.
fn matches_pending(t: &Transfer, pending: &Transfer) -> Result<u128, TransferStatus> {
    use TransferStatus::*;
    if !pending.flags.any(TransferFlags::PENDING) {
        return Err(PendingTransferNotPending);
    }
    if t.debit_account_id != 0 && t.debit_account_id != pending.debit_account_id {
        return Err(PendingTransferHasDifferentDebitAccountId);
    }
    if t.credit_account_id != 0 && t.credit_account_id != pending.credit_account_id {
        return Err(PendingTransferHasDifferentCreditAccountId);
    }
    if t.ledger != 0 && t.ledger != pending.ledger {
        return Err(PendingTransferHasDifferentLedger);
    }
    if t.code != 0 && t.code != pending.code {
        return Err(PendingTransferHasDifferentCode);
    }
    let amount = resolved_amount(t, pending);
    if amount > pending.amount {
        return Err(ExceedsPendingTransferAmount);
    }
    if t.flags.any(TransferFlags::VOID_PENDING) && amount != pending.amount {
        return Err(PendingTransferHasDifferentAmount);
    }
    Ok(amount)
}

/// The event's amount, or the pending transfer's for `u128::MAX` in a post and for 0 in a void.
pub(super) fn resolved_amount(t: &Transfer, pending: &Transfer) -> u128 {
    let all = if t.flags.any(TransferFlags::POST_PENDING) { u128::MAX } else { 0 };
    if t.amount == all { pending.amount } else { t.amount }
}

/// `value`, or `inherited` when it is 0.
pub(super) fn or<T: Default + PartialEq>(value: T, inherited: T) -> T {
    if value == T::default() { inherited } else { value }
}
