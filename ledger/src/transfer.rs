//! Transfers: movements of money between two accounts (docs/SEMANTICS.md, section 2).

use crate::clock::Timestamp;
use crate::limits::RECORD_BYTES;
use crate::packed::{Reader, Writer};

/// What a transfer does: a bit set of 16 bits, the bits as in TigerBeetle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TransferFlags(pub u16);

impl TransferFlags {
    /// Chained with the next event of the request.
    pub const LINKED: u16 = 1 << 0;
    /// Reserve; a later post, void or the timeout decides.
    pub const PENDING: u16 = 1 << 1;
    /// Move what `pending_id` reserved.
    pub const POST_PENDING: u16 = 1 << 2;
    /// Release what `pending_id` reserved.
    pub const VOID_PENDING: u16 = 1 << 3;
    /// Move at most what the debit account has.
    pub const BALANCING_DEBIT: u16 = 1 << 4;
    /// Move at most what the credit account lacks.
    pub const BALANCING_CREDIT: u16 = 1 << 5;
    /// Close the debit account.
    pub const CLOSING_DEBIT: u16 = 1 << 6;
    /// Close the credit account.
    pub const CLOSING_CREDIT: u16 = 1 << 7;
    /// Made with the user's own timestamp.
    pub const IMPORTED: u16 = 1 << 8;
    /// All bits that a user may set; the others are `reserved_flag`.
    pub const KNOWN: u16 = (1 << 9) - 1;
    /// Only in a shard's own records by time: not a transfer, but the expiry of the pending transfer `pending_id`.
    pub const EXPIRY: u16 = 1 << 15;

    /// Post or void.
    pub const RESOLVES: u16 = Self::POST_PENDING | Self::VOID_PENDING;
    /// Either balancing flag.
    pub const BALANCING: u16 = Self::BALANCING_DEBIT | Self::BALANCING_CREDIT;
    /// Either closing flag.
    pub const CLOSING: u16 = Self::CLOSING_DEBIT | Self::CLOSING_CREDIT;

    /// Whether any of `bits` is set.
    pub fn any(self, bits: u16) -> bool {
        self.0 & bits != 0
    }
}

/// A movement of money. Immutable once created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Unique among the transfers of its two accounts' shards; not 0, not `u128::MAX`.
    pub id: u128,
    /// Who pays.
    pub debit_account_id: u128,
    /// Who is paid.
    pub credit_account_id: u128,
    /// How much, in the ledger's smallest unit.
    pub amount: u128,
    /// The pending transfer that a post or void resolves.
    pub pending_id: u128,
    /// The user's own.
    pub user_data_128: u128,
    /// The user's own.
    pub user_data_64: u64,
    /// The user's own.
    pub user_data_32: u32,
    /// Seconds until a pending transfer expires; 0 is never.
    pub timeout: u32,
    /// The ledger number.
    pub ledger: u32,
    /// The user's kind of transfer.
    pub code: u16,
    /// What it does.
    pub flags: TransferFlags,
    /// When it was made, ns.
    pub timestamp: Timestamp,
}

impl Transfer {
    /// Whether it is a post or a void.
    pub fn resolves(&self) -> bool {
        self.flags.any(TransferFlags::RESOLVES)
    }

    /// The id of the pending transfer that a post or void resolves; 0 for every other transfer.
    pub fn pending_id_if_resolving(&self) -> u128 {
        if self.resolves() { self.pending_id } else { 0 }
    }

    /// The instant at which a pending transfer expires, ns, or `None` when it never does.
    pub fn expires_at(&self) -> Option<Timestamp> {
        if self.timeout == 0 || !self.flags.any(TransferFlags::PENDING) {
            return None;
        }
        self.timestamp.checked_add(u64::from(self.timeout) * 1_000_000_000)
    }

    /// The record as 128 bytes, little-endian.
    pub fn pack(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        for v in
            [self.id, self.debit_account_id, self.credit_account_id, self.amount, self.pending_id, self.user_data_128]
        {
            w.u128(v);
        }
        w.u64(self.user_data_64).u32(self.user_data_32).u32(self.timeout).u32(self.ledger);
        w.u16(self.code).u16(self.flags.0).u64(self.timestamp);
    }

    /// The inverse of [`Transfer::pack`]; `None` when fewer than 128 bytes are left.
    pub fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        let bytes = r.bytes(RECORD_BYTES)?;
        let mut r = Reader(bytes);
        Some(Self {
            id: r.u128()?,
            debit_account_id: r.u128()?,
            credit_account_id: r.u128()?,
            amount: r.u128()?,
            pending_id: r.u128()?,
            user_data_128: r.u128()?,
            user_data_64: r.u64()?,
            user_data_32: r.u32()?,
            timeout: r.u32()?,
            ledger: r.u32()?,
            code: r.u16()?,
            flags: TransferFlags(r.u16()?),
            timestamp: r.u64()?,
        })
    }
}
