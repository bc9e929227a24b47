//! The words of the tables: accounts and transfers with small numbers for ids, and the answer that each must get.

use std::fmt;

use crest_ledger::{Account, AccountFlags, AccountStatus, Timestamp, Transfer, TransferFlags, TransferStatus};

/// A moment that is only known when a case runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This very number, ns.
    Exactly(Timestamp),
    /// So many milliseconds after the case began.
    Millis(u64),
    /// The timestamp of this account of the case, plus nanoseconds.
    OfAccount(u128, i64),
    /// The timestamp of this transfer of the case, plus nanoseconds.
    OfTransfer(u128, i64),
    /// The instant at which this pending transfer of the case expires, plus nanoseconds.
    Expiry(u128, i64),
}

/// An account to create, and the answer that it must get. The account's id is a small number that the runner maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountEvent {
    /// What is sent, but for the id and the timestamp.
    pub account: Account,
    /// The timestamp that is sent.
    pub at: Moment,
    /// What must be answered.
    pub expected: AccountStatus,
}

/// A transfer to create, and the answer that it must get. All ids are small numbers that the runner maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferEvent {
    /// What is sent, but for the ids and the timestamp.
    pub transfer: Transfer,
    /// The timestamp that is sent.
    pub at: Moment,
    /// What must be answered.
    pub expected: TransferStatus,
}

/// An account of ledger 1 with code 1, expected to be created.
pub fn account(id: u128) -> AccountEvent {
    AccountEvent {
        account: Account { id, ledger: 1, code: 1, ..Account::default() },
        at: Moment::Exactly(0),
        expected: AccountStatus::Created,
    }
}

/// The plain accounts 1 to `last`.
pub fn plain(last: u128) -> Vec<AccountEvent> {
    (1..=last).map(account).collect()
}

/// A transfer on ledger 1 with code 1, expected to be created.
pub fn transfer(id: u128) -> TransferEvent {
    TransferEvent {
        transfer: Transfer { id, ledger: 1, code: 1, ..Transfer::default() },
        at: Moment::Exactly(0),
        expected: TransferStatus::Created,
    }
}

/// A transfer of `amount` from account `debit` to account `credit`.
pub fn pay(id: u128, debit: u128, credit: u128, amount: u128) -> TransferEvent {
    transfer(id).debit(debit).credit(credit).amount(amount)
}

/// A pending transfer of `amount` from account `debit` to account `credit`.
pub fn hold(id: u128, debit: u128, credit: u128, amount: u128) -> TransferEvent {
    pay(id, debit, credit, amount).pending()
}

/// A post of all that the transfer `pending_id` reserved; everything that can be inherited is.
pub fn post(id: u128, pending_id: u128) -> TransferEvent {
    transfer(id).ledger(0).code(0).amount(u128::MAX).pending_id(pending_id).flags(TransferFlags::POST_PENDING)
}

/// A void of what the transfer `pending_id` reserved; everything that can be inherited is.
pub fn void(id: u128, pending_id: u128) -> TransferEvent {
    transfer(id).ledger(0).code(0).pending_id(pending_id).flags(TransferFlags::VOID_PENDING)
}

macro_rules! fields {
    ($inner:ident: $($name:ident => $field:ident: $ty:ty, $doc:literal;)*) => {$(
        #[doc = $doc]
        pub fn $name(mut self, value: $ty) -> Self {
            self.$inner.$field = value;
            self
        }
    )*};
}

macro_rules! flags {
    ($inner:ident, $set:ident: $($name:ident => $flag:ident;)*) => {$(
        #[doc = concat!("Sets the flag `", stringify!($flag), "`.")]
        pub fn $name(self) -> Self {
            self.flags($set::$flag)
        }
    )*};
}

impl AccountEvent {
    fields! { account:
        id => id: u128, "Another id.";
        ledger => ledger: u32, "The ledger number.";
        code => code: u16, "The kind.";
        user_data_128 => user_data_128: u128, "The user's own.";
        user_data_64 => user_data_64: u64, "The user's own.";
        user_data_32 => user_data_32: u32, "The user's own.";
    }

    flags! { account, AccountFlags:
        linked => LINKED;
        debits_limited => DEBITS_MUST_NOT_EXCEED_CREDITS;
        credits_limited => CREDITS_MUST_NOT_EXCEED_DEBITS;
        history => HISTORY;
        closed => CLOSED;
    }

    /// Sets these flags too.
    pub fn flags(mut self, bits: u16) -> Self {
        self.account.flags.set(bits, true);
        self
    }

    /// Debits pending and posted, credits pending and posted.
    pub fn balances(mut self, balances: [u128; 4]) -> Self {
        let a = &mut self.account;
        [a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted] = balances;
        self
    }

    /// This number as the timestamp, ns.
    pub fn timestamp(mut self, timestamp: Timestamp) -> Self {
        self.at = Moment::Exactly(timestamp);
        self
    }

    /// Imported, with a timestamp so many milliseconds after the case began.
    pub fn imported(self, millis: u64) -> Self {
        let imported = self.flags(AccountFlags::IMPORTED);
        Self { at: Moment::Millis(millis), ..imported }
    }

    /// The answer that it must get.
    pub fn answers(self, expected: AccountStatus) -> Self {
        Self { expected, ..self }
    }
}

impl TransferEvent {
    fields! { transfer:
        id => id: u128, "Another id.";
        debit => debit_account_id: u128, "Who pays.";
        credit => credit_account_id: u128, "Who is paid.";
        amount => amount: u128, "How much.";
        pending_id => pending_id: u128, "The pending transfer that it resolves.";
        timeout => timeout: u32, "Seconds until it expires.";
        ledger => ledger: u32, "The ledger number.";
        code => code: u16, "The kind.";
        user_data_128 => user_data_128: u128, "The user's own.";
        user_data_64 => user_data_64: u64, "The user's own.";
        user_data_32 => user_data_32: u32, "The user's own.";
    }

    flags! { transfer, TransferFlags:
        linked => LINKED;
        pending => PENDING;
        balancing_debit => BALANCING_DEBIT;
        balancing_credit => BALANCING_CREDIT;
        closing_debit => CLOSING_DEBIT;
        closing_credit => CLOSING_CREDIT;
    }

    /// Sets these flags too.
    pub fn flags(mut self, bits: u16) -> Self {
        self.transfer.flags.0 |= bits;
        self
    }

    /// This number as the timestamp, ns.
    pub fn timestamp(mut self, timestamp: Timestamp) -> Self {
        self.at = Moment::Exactly(timestamp);
        self
    }

    /// Imported, with a timestamp so many milliseconds after the case began.
    pub fn imported(self, millis: u64) -> Self {
        self.imported_at(Moment::Millis(millis))
    }

    /// Imported, with this timestamp.
    pub fn imported_at(self, at: Moment) -> Self {
        let imported = self.flags(TransferFlags::IMPORTED);
        Self { at, ..imported }
    }

    /// The answer that it must get.
    pub fn answers(self, expected: TransferStatus) -> Self {
        Self { expected, ..self }
    }
}

impl fmt::Display for AccountEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let a = &self.account;
        write!(f, "account {}: ledger {}, code {}, flags {:#b}", a.id, a.ledger, a.code, a.flags.0)?;
        if (a.user_data_128, a.user_data_64, a.user_data_32) != (0, 0, 0) {
            write!(f, ", user data {} {} {}", a.user_data_128, a.user_data_64, a.user_data_32)?;
        }
        let balances = [a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted];
        if balances != [0; 4] {
            write!(f, ", balances {balances:?}")?;
        }
        if self.at == Moment::Exactly(0) { Ok(()) } else { write!(f, ", at {:?}", self.at) }
    }
}

impl fmt::Display for TransferEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = &self.transfer;
        write!(f, "transfer {}: {} → {}, amount {}", t.id, t.debit_account_id, t.credit_account_id, t.amount)?;
        write!(f, ", ledger {}, code {}, flags {:#b}", t.ledger, t.code, t.flags.0)?;
        if t.pending_id != 0 {
            write!(f, ", pending id {}", t.pending_id)?;
        }
        if t.timeout != 0 {
            write!(f, ", timeout {} s", t.timeout)?;
        }
        if (t.user_data_128, t.user_data_64, t.user_data_32) != (0, 0, 0) {
            write!(f, ", user data {} {} {}", t.user_data_128, t.user_data_64, t.user_data_32)?;
        }
        if self.at == Moment::Exactly(0) { Ok(()) } else { write!(f, ", at {:?}", self.at) }
    }
}
