//! Accounts: who holds money (docs/SEMANTICS.md, section 1).

use crate::clock::Timestamp;
use crate::limits::RECORD_BYTES;
use crate::packed::{Reader, Writer};

/// What an account may do: a bit set of 16 bits, the bits as in TigerBeetle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AccountFlags(pub u16);

impl AccountFlags {
    /// Chained with the next event of the request.
    pub const LINKED: u16 = 1 << 0;
    /// Refuse a debit that would exceed `credits_posted`.
    pub const DEBITS_MUST_NOT_EXCEED_CREDITS: u16 = 1 << 1;
    /// Refuse a credit that would exceed `debits_posted`.
    pub const CREDITS_MUST_NOT_EXCEED_DEBITS: u16 = 1 << 2;
    /// Keep a balance snapshot for every transfer.
    pub const HISTORY: u16 = 1 << 3;
    /// Created with the user's own timestamp.
    pub const IMPORTED: u16 = 1 << 4;
    /// Refuses every transfer except voids.
    pub const CLOSED: u16 = 1 << 5;
    /// All bits that have a meaning; the others are `reserved_flag`.
    pub const KNOWN: u16 = (1 << 6) - 1;

    /// Whether any of `bits` is set.
    pub fn any(self, bits: u16) -> bool {
        self.0 & bits != 0
    }

    /// Sets or clears `bits`.
    pub fn set(&mut self, bits: u16, on: bool) {
        if on { self.0 |= bits } else { self.0 &= !bits }
    }
}

/// An account. Immutable but for the four balances and the flag `closed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Unique among accounts; not 0, not `u128::MAX`.
    pub id: u128,
    /// Sum of pending debits, in the ledger's smallest unit.
    pub debits_pending: u128,
    /// Sum of posted debits.
    pub debits_posted: u128,
    /// Sum of pending credits.
    pub credits_pending: u128,
    /// Sum of posted credits.
    pub credits_posted: u128,
    /// The user's own.
    pub user_data_128: u128,
    /// The user's own.
    pub user_data_64: u64,
    /// The user's own.
    pub user_data_32: u32,
    /// The ledger number: transfers join accounts of one ledger only.
    pub ledger: u32,
    /// The user's kind of account.
    pub code: u16,
    /// What it may do.
    pub flags: AccountFlags,
    /// When it was created, ns.
    pub timestamp: Timestamp,
}

impl Account {
    /// What the account can still pay: `credits_posted − debits_posted − debits_pending`, not below 0.
    pub fn debit_room(&self) -> u128 {
        self.credits_posted.saturating_sub(self.debits_posted).saturating_sub(self.debits_pending)
    }

    /// What the account can still be paid: `debits_posted − credits_posted − credits_pending`, not below 0.
    pub fn credit_room(&self) -> u128 {
        self.debits_posted.saturating_sub(self.credits_posted).saturating_sub(self.credits_pending)
    }

    /// The record as 128 bytes, little-endian.
    pub fn pack(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        for v in [
            self.id,
            self.debits_pending,
            self.debits_posted,
            self.credits_pending,
            self.credits_posted,
            self.user_data_128,
        ] {
            w.u128(v);
        }
        w.u64(self.user_data_64).u32(self.user_data_32).u32(0).u32(self.ledger);
        w.u16(self.code).u16(self.flags.0).u64(self.timestamp);
    }

    /// The inverse of [`Account::pack`]; `None` when fewer than 128 bytes are left.
    pub fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        let bytes = r.bytes(RECORD_BYTES)?;
        let mut r = Reader(bytes);
        Some(Self {
            id: r.u128()?,
            debits_pending: r.u128()?,
            debits_posted: r.u128()?,
            credits_pending: r.u128()?,
            credits_posted: r.u128()?,
            user_data_128: r.u128()?,
            user_data_64: r.u64()?,
            user_data_32: r.u32()?,
            ledger: {
                r.u32()?;
                r.u32()?
            },
            code: r.u16()?,
            flags: AccountFlags(r.u16()?),
            timestamp: r.u64()?,
        })
    }
}
