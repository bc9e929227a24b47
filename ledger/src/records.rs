//! What a shard keeps of a transfer: its record by time, and what became of its id.

use crate::clock::Timestamp;
use crate::packed::{Reader, Writer};
use crate::{Account, Transfer, TransferFlags};

/// Which of a transfer's two accounts live on this shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides(u8);

impl Sides {
    /// Only the payer's account.
    pub const DEBIT: Self = Self(1);
    /// Only the payee's account.
    pub const CREDIT: Self = Self(2);
    /// Both: a local transfer.
    pub const BOTH: Self = Self(3);

    /// Whether the payer's account is here.
    pub fn debit(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether the payee's account is here.
    pub fn credit(self) -> bool {
        self.0 & 2 != 0
    }

    /// As one byte.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The inverse of [`Sides::number`].
    pub fn from_number(n: u8) -> Option<Self> {
        (1..=3).contains(&n).then_some(Self(n))
    }
}

/// A transfer as this shard recorded it, keyed by its timestamp. An expiry is recorded in the same table, with the flag
/// `EXPIRY`: it moves reservations at an instant of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferRecord {
    /// The transfer; its amount is what was moved.
    pub transfer: Transfer,
    /// Which accounts are here.
    pub sides: Sides,
}

impl TransferRecord {
    /// Appends the record's bytes.
    pub fn pack(&self, out: &mut Vec<u8>) {
        self.transfer.pack(out);
        out.push(self.sides.number());
    }

    /// The inverse of [`TransferRecord::pack`].
    pub fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { transfer: Transfer::unpack(r)?, sides: Sides::from_number(r.u8()?)? })
    }
}

/// What became of a transfer id on this shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum IdState {
    /// It failed with a transient status and never succeeds.
    Failed = 0,
    /// A transfer that is done.
    Done = 1,
    /// A pending transfer that nobody resolved yet.
    Pending = 2,
    /// A pending transfer that was posted.
    Posted = 3,
    /// A pending transfer that was voided.
    Voided = 4,
    /// A pending transfer whose timeout released it.
    Expired = 5,
}

/// An entry of the table from transfer ids to records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdEntry {
    /// The record's timestamp, or that of the failure, ns.
    pub timestamp: Timestamp,
    /// What became of it.
    pub state: IdState,
}

impl IdEntry {
    /// Appends the entry's nine bytes.
    pub fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u64(self.timestamp).u8(self.state as u8);
    }

    /// The inverse of [`IdEntry::pack`].
    pub fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        let timestamp = r.u64()?;
        let state = match r.u8()? {
            0 => IdState::Failed,
            1 => IdState::Done,
            2 => IdState::Pending,
            3 => IdState::Posted,
            4 => IdState::Voided,
            5 => IdState::Expired,
            _ => return None,
        };
        Some(Self { timestamp, state })
    }
}

/// How a record changed one account: what was added to and taken from each balance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Added to `debits_pending`, `debits_posted`, `credits_pending`, `credits_posted`.
    pub added: [u128; 4],
    /// Taken from the same.
    pub taken: [u128; 4],
    /// What the record made of the flag `closed`, if it touched it.
    pub closed: Option<bool>,
}

impl Effect {
    /// What `transfer` did to `account_id`. `pending` is the pending transfer of a post, void or expiry.
    ///
    /// # Panics
    /// When a post, void or expiry comes without its pending transfer: its shard always has that record.
    pub fn of(transfer: &Transfer, pending: Option<&Transfer>, account_id: u128) -> Self {
        let mut effect = Self::default();
        let flags = transfer.flags;
        let resolves = flags.any(TransferFlags::RESOLVES | TransferFlags::EXPIRY);
        for (side, id, closing) in [
            (0, transfer.debit_account_id, TransferFlags::CLOSING_DEBIT),
            (2, transfer.credit_account_id, TransferFlags::CLOSING_CREDIT),
        ] {
            if id != account_id {
                continue;
            }
            if resolves {
                let pending = pending.expect("a shard that resolves a pending transfer has its record");
                effect.taken[side] = pending.amount;
                if flags.any(TransferFlags::POST_PENDING) {
                    effect.added[side + 1] = transfer.amount;
                } else if pending.flags.any(closing) {
                    effect.closed = Some(false);
                }
            } else if flags.any(TransferFlags::PENDING) {
                effect.added[side] = transfer.amount;
                if flags.any(closing) {
                    effect.closed = Some(true);
                }
            } else {
                effect.added[side + 1] = transfer.amount;
            }
        }
        effect
    }

    /// The account after the effect.
    ///
    /// # Panics
    /// When a balance would leave its range: every check stands before this line.
    pub fn apply(&self, account: &mut Account) {
        for (i, balance) in balances_mut(account).into_iter().enumerate() {
            let sum = balance.checked_add(self.added[i]).expect("a balance fits 128 bits");
            *balance = sum.checked_sub(self.taken[i]).expect("a reservation is released once");
        }
        if let Some(closed) = self.closed {
            account.flags.set(crate::AccountFlags::CLOSED, closed);
        }
    }

    /// The account before the effect: the inverse of [`Effect::apply`], for reads at an earlier instant.
    pub fn revert(&self, account: &mut Account) {
        Effect { added: self.taken, taken: self.added, closed: self.closed.map(|c| !c) }.apply(account);
    }
}

/// The four balances, in the order of [`Effect`].
pub(crate) fn balances_mut(a: &mut Account) -> [&mut u128; 4] {
    [&mut a.debits_pending, &mut a.debits_posted, &mut a.credits_pending, &mut a.credits_posted]
}
