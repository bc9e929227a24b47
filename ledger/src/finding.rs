//! What an audit found: which record of which shard does not fit which other one, and by how much.
//!
//! A finding is data, so that programs can act on it; [`sentence`] says the same to people.

pub mod sentence;

use crate::clock::Timestamp;
use crate::txn::ShardId;

/// Transfers that one finding names as its possible cause.
pub const CAUSES_MAX: usize = 5;

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $number:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$item_doc])* $item = $number,)*
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$item),*];

            /// The name in the API.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$item => $text,)*
                }
            }

            /// The one with this number.
            pub fn from_number(n: u8) -> Option<Self> {
                Self::ALL.iter().copied().find(|item| *item as u8 == n)
            }
        }
    };
}

numbered! {
    /// What does not hold. The numbers are those of the API, and the order in which findings are listed: what names a
    /// transfer comes before what follows from it.
    FindingKind {
        /// RocksDB can't read what it wrote: the shard was not audited. `detail` is what it says, with the file.
        StoreDamaged = 1 "store_damaged",
        /// A row that does not read back. `detail` names the table and the key.
        RowUnreadable = 2 "row_unreadable",
        /// A transfer between shards is recorded on `shard`, and missing on `other_shard`, where `account_id` lives.
        HalfMissing = 3 "half_missing",
        /// The two halves of a transfer differ in `field`: `stored` on `shard`, `expected` on `other_shard`.
        HalvesDiffer = 4 "halves_differ",
        /// `transfer_id` has two records on one shard.
        TransferTwice = 5 "transfer_twice",
        /// By the balance snapshots of `account_id`, the transfer moved `expected`; its record says `stored`.
        RecordDiffers = 6 "record_differs",
        /// A record, and no entry of its id.
        IdMissing = 7 "id_missing",
        /// An entry of an id, and no record at its time.
        IdWithoutRecord = 8 "id_without_record",
        /// The entry of an id leads to the record of another one, `other_transfer_id`.
        IdOfOther = 9 "id_of_other",
        /// What became of an id (`stored`, an [`crate::records::IdState`]) is not what the records say (`expected`).
        StateDiffers = 10 "state_differs",
        /// A post, void or expiry of `other_transfer_id`, which is not there, or reserves nothing.
        ResolvesNothing = 11 "resolves_nothing",
        /// A post, void or expiry that does not fit what it resolves, in `field`: `stored` is its own.
        ResolvesDifferently = 12 "resolves_differently",
        /// A post, void or expiry that takes `stored` from `field` of `account_id`, where only `expected` is reserved.
        ReleasedTwice = 13 "released_twice",
        /// A balance of `account_id` leaves 128 bits with this transfer.
        Overflows = 14 "overflows",
        /// This transfer brought `field` of `account_id` to `stored`, above its limit `expected`.
        LimitExceeded = 15 "limit_exceeded",
        /// The transfer touches `account_id`, which is not there.
        AccountMissing = 16 "account_missing",
        /// The transfer is of another ledger number (`stored`) than `account_id` (`expected`).
        LedgerDiffers = 17 "ledger_differs",
        /// A record is on `shard` for `account_id`, which belongs to `other_shard`; or it lacks an account of its own shard.
        RecordMisplaced = 18 "record_misplaced",
        /// The history of `account_id` lacks the transfer.
        HistoryMissing = 19 "history_missing",
        /// The history of `account_id` has a row, and no record is there that touches the account.
        HistoryWithoutRecord = 20 "history_without_record",
        /// A row of the history of `account_id` has balances, or lacks them, against the account's flag `history`.
        HistoryKind = 21 "history_kind",
        /// The balance snapshot of `account_id` after the transfer has `stored` in `field`; `expected` follows from the one
        /// before and the record.
        SnapshotDiffers = 22 "snapshot_differs",
        /// `field` of `account_id` is `stored`; its records come to `expected`.
        BalanceDiffers = 23 "balance_differs",
        /// Whether `account_id` is closed is not what its records say.
        ClosedDiffers = 24 "closed_differs",
        /// `account_id` is on `shard`, but belongs to `other_shard`; `detail` says whether it is there too.
        AccountMisplaced = 25 "account_misplaced",
        /// `account_id` is not in the table of accounts by time, or only there.
        AccountTimeDiffers = 26 "account_time_differs",
        /// A pending transfer with a timeout is not in the table of timeouts.
        TimeoutMissing = 27 "timeout_missing",
        /// An entry of the table of timeouts, and no such reservation is pending.
        TimeoutWithoutPending = 28 "timeout_without_pending",
        /// What the shard counts (`stored`) is not what is there (`expected`).
        CountDiffers = 29 "count_differs",
        /// Tables differ, and no row was found that does: `detail` says which.
        TablesDiffer = 30 "tables_differ",
        /// The transfers between two shards differ, and not all were looked at one by one.
        PairDiffers = 31 "pair_differs",
        /// On a ledger number, what was debited (`stored`) is not what was credited (`expected`).
        TotalsDiffer = 32 "totals_differ",
    }
}

numbered! {
    /// Which number differs, by its name in the API.
    Field {
        /// None in particular.
        None = 0 "",
        /// Of an account.
        DebitsPending = 1 "debits_pending",
        /// Of an account.
        DebitsPosted = 2 "debits_posted",
        /// Of an account.
        CreditsPending = 3 "credits_pending",
        /// Of an account.
        CreditsPosted = 4 "credits_posted",
        /// Pending and posted.
        Debits = 5 "debits",
        /// Pending and posted.
        Credits = 6 "credits",
        /// Of a transfer.
        Id = 7 "id",
        /// Of a transfer.
        DebitAccountId = 8 "debit_account_id",
        /// Of a transfer.
        CreditAccountId = 9 "credit_account_id",
        /// Of a transfer.
        Amount = 10 "amount",
        /// Of a transfer.
        PendingId = 11 "pending_id",
        /// Of a transfer.
        UserData128 = 12 "user_data_128",
        /// Of a transfer.
        UserData64 = 13 "user_data_64",
        /// Of a transfer.
        UserData32 = 14 "user_data_32",
        /// Of a transfer, s.
        Timeout = 15 "timeout",
        /// Of a transfer.
        Ledger = 16 "ledger",
        /// Of a transfer.
        Code = 17 "code",
        /// Of a transfer, as bits.
        Flags = 18 "flags",
        /// Of a transfer, ns.
        Timestamp = 19 "timestamp",
        /// How many there are.
        Accounts = 20 "accounts",
        /// How many there are.
        Transfers = 21 "transfers",
        /// What became of an id.
        State = 22 "state",
        /// Of an account, 0 or 1.
        Closed = 23 "closed",
        /// How many of them are on ledger numbers of rehearsals.
        RehearsalAccounts = 24 "rehearsal_accounts",
        /// Likewise.
        RehearsalTransfers = 25 "rehearsal_transfers",
    }
}

impl Field {
    /// The four balances, in the order of [`crate::records::Effect`].
    pub const BALANCES: [Self; 4] =
        [Self::DebitsPending, Self::DebitsPosted, Self::CreditsPending, Self::CreditsPosted];

    /// Whether its values are money.
    pub fn is_money(self) -> bool {
        (Self::DebitsPending..=Self::Credits).contains(&self) || self == Self::Amount
    }
}

/// One thing that does not hold. What a field means for a kind stands at [`FindingKind`]; what has no meaning is 0 or empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What does not hold.
    pub kind: FindingKind,
    /// On which shard.
    pub shard: Option<ShardId>,
    /// The other shard that is concerned.
    pub other_shard: Option<ShardId>,
    /// The ledger number.
    pub ledger: u32,
    /// The account.
    pub account_id: u128,
    /// The transfer.
    pub transfer_id: u128,
    /// The transfer's, ns.
    pub timestamp: Timestamp,
    /// The transfer's payer.
    pub debit_account_id: u128,
    /// The transfer's payee.
    pub credit_account_id: u128,
    /// The transfer's amount.
    pub amount: u128,
    /// Another transfer that is concerned.
    pub other_transfer_id: u128,
    /// That one's timestamp, ns.
    pub other_timestamp: Timestamp,
    /// Which number differs.
    pub field: Field,
    /// What is there.
    pub stored: Option<u128>,
    /// What should be there.
    pub expected: Option<u128>,
    /// Another account that differs by the same amount.
    pub other_account_id: u128,
    /// Transfers that may be the cause, oldest first, at most [`CAUSES_MAX`]: id and timestamp.
    pub causes: Vec<(u128, Timestamp)>,
    /// More in words; never an amount, an id or a time.
    pub detail: String,
}

impl Finding {
    /// A finding of this kind, with nothing else said.
    pub fn new(kind: FindingKind) -> Self {
        Self {
            kind,
            shard: None,
            other_shard: None,
            ledger: 0,
            account_id: 0,
            transfer_id: 0,
            timestamp: 0,
            debit_account_id: 0,
            credit_account_id: 0,
            amount: 0,
            other_transfer_id: 0,
            other_timestamp: 0,
            field: Field::None,
            stored: None,
            expected: None,
            other_account_id: 0,
            causes: Vec::new(),
            detail: String::new(),
        }
    }

    /// The same, of a transfer.
    #[must_use]
    pub fn of(mut self, t: &crate::Transfer) -> Self {
        self.transfer_id = t.id;
        self.timestamp = t.timestamp;
        self.debit_account_id = t.debit_account_id;
        self.credit_account_id = t.credit_account_id;
        self.amount = t.amount;
        self
    }

    /// The same, of an account.
    #[must_use]
    pub fn account(mut self, id: u128) -> Self {
        self.account_id = id;
        self
    }

    /// The same, with a number that differs.
    #[must_use]
    pub fn differs(mut self, field: Field, stored: u128, expected: u128) -> Self {
        (self.field, self.stored, self.expected) = (field, Some(stored), Some(expected));
        self
    }

    /// How much more is there than should be (`true`), or less, when both are known. Where records are damaged, what they
    /// come to may be below zero; it is then a number near 2^128, and this is still right.
    pub fn difference(&self) -> Option<(bool, u128)> {
        let (stored, expected) = (self.stored?, self.expected?);
        let (more, less) = (stored.wrapping_sub(expected), expected.wrapping_sub(stored));
        Some(if more <= less { (true, more) } else { (false, less) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_of_kinds_are_unique_and_in_order() {
        for (a, b) in FindingKind::ALL.iter().zip(&FindingKind::ALL[1..]) {
            assert!((*a as u8) < *b as u8 && a.name() != b.name());
        }
        assert!(FindingKind::ALL.iter().all(|kind| FindingKind::from_number(*kind as u8) == Some(*kind)));
        assert_eq!(FindingKind::from_number(0), None);
    }

    #[test]
    fn a_difference_below_zero_keeps_its_size() {
        let finding = Finding::new(FindingKind::BalanceDiffers).differs(Field::DebitsPending, 3, 0u128.wrapping_sub(4));
        assert_eq!(finding.difference(), Some((true, 7)));
    }
}
