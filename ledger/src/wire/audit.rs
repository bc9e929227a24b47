//! What routers and shards say to each other about an audit.
//!
//! Each shard proves what it can prove alone and answers with a [`ShardAudit`]. Where the halves of two shards differ, the
//! router goes down to the transfers: it asks both for the sums of [`BUCKETS`] parts of a time range ([`HalvesQuery`]),
//! again for a part that differs, and for its rows once they are few. Every message has a bound that does not depend on
//! how many transfers there are.

use super::codec::{Packed, pack_at_most, pack_list, unpack_list};
use crate::Timestamp;
use crate::finding::{CAUSES_MAX, Field, Finding, FindingKind};
use crate::limits::SHARDS_MAX;
use crate::packed::{Reader, Writer};
use crate::records::TransferRecord;
use crate::txn::ShardId;

/// Findings that one shard's audit names at the most: some 300 bytes each, 30 KB.
pub const FINDINGS_MAX: usize = 100;

/// Findings of one kind that it names at the most, so that no kind hides the others.
pub const FINDINGS_OF_KIND_MAX: usize = 25;

/// Bytes of a finding's detail: it may hold what RocksDB says.
pub const DETAIL_BYTES_MAX: usize = 1_024;

/// Parts that a time range is cut into: 24 bytes each, 6 KB an answer. A range of 64 bits takes eight questions at the most.
pub const BUCKETS: u64 = 256;

/// Halves in one answer, and records in one look-up: 129 bytes each, 129 KB.
pub const HALVES_MAX: usize = 1_000;

/// Ledger numbers whose sums are in one message: 76 bytes each, 311 KB; some 400 KB as a message of the public API. Clients
/// choose the numbers and may choose a new one for every account, so the sums of a shard come in pages.
pub const TOTALS_MAX: usize = 4_096;

/// Sums of halves in one message: those of the payers and of the payees here, by the other shard.
pub const HALVES_SUMS_MAX: usize = 2 * SHARDS_MAX as usize;

/// The sums of all accounts of one ledger number: debits_pending, debits_posted, credits_pending, credits_posted, modulo
/// 2^128, and how many accounts.
pub type LedgerSums = (u32, [u128; 4], u64);

/// The sums of some ledger numbers, in the order of the numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TotalsPage {
    /// At most [`TOTALS_MAX`].
    pub totals: Vec<LedgerSums>,
    /// Whether the shard has higher ledger numbers than the last one of these.
    pub more: bool,
}

/// One shard's part of an audit at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardAudit {
    /// Accounts.
    pub accounts: u64,
    /// Transfers whose payer is here: over all shards each is counted once.
    pub transfers: u64,
    /// Of which the payee is elsewhere.
    pub cross_shard: u64,
    /// The sums of the lowest ledger numbers. The shard keeps the others until the router asks for them.
    pub totals: TotalsPage,
    /// Of cross-shard records, by (1 when the payer is here, else 0; the other account's shard): how many, and the sum of
    /// their fingerprints. The other shard has the same for its halves.
    pub halves: Vec<(u8, u32, u64, u128)>,
    /// What does not hold, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub left_out: u64,
    /// Rows that were looked at.
    pub rows: u64,
}

/// Which halves of cross-shard transfers to answer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HalvesQuery {
    /// The shard of the other halves.
    pub peer: ShardId,
    /// Those whose payer is here, or those whose payee is.
    pub payer_here: bool,
    /// From this timestamp on, ns.
    pub min: Timestamp,
    /// Up to this one, ns, inclusive; not below `min`.
    pub max: Timestamp,
}

impl HalvesQuery {
    /// Nanoseconds of a part.
    fn width(&self) -> u64 {
        self.max.saturating_sub(self.min) / BUCKETS + 1
    }

    /// In which of the [`BUCKETS`] parts `at` is.
    pub fn bucket_of(&self, at: Timestamp) -> usize {
        usize::try_from(at.saturating_sub(self.min) / self.width()).unwrap_or(usize::MAX)
    }

    /// One of the parts; `None` when it begins behind the end of the range.
    pub fn bucket(&self, index: usize) -> Option<Self> {
        let min = self.min.checked_add(self.width().checked_mul(index as u64)?)?;
        let max = min.saturating_add(self.width() - 1).min(self.max);
        (min <= self.max).then_some(Self { min, max, ..*self })
    }
}

/// How many halves there are in a part of a time range, and the sum of their fingerprints.
pub type Bucket = (u64, u128);

/// What a shard does for an audit just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum AuditStage {
    /// It waits: for transfers in doubt, for a checkpoint, or for another audit.
    #[default]
    Waiting = 0,
    /// It reads everything.
    Reading = 1,
    /// Something differs: it looks for the rows.
    Naming = 2,
    /// It has answered.
    Done = 3,
}

/// How far a shard is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditProgress {
    /// What it does.
    pub stage: AuditStage,
    /// Rows that it has looked at.
    pub rows: u64,
    /// Rows that it expects to look at; an estimate at first.
    pub rows_expected: u64,
}

impl AuditStage {
    fn from_number(n: u8) -> Option<Self> {
        [Self::Waiting, Self::Reading, Self::Naming, Self::Done].into_iter().find(|stage| *stage as u8 == n)
    }
}

impl Packed for AuditProgress {
    const BYTES_MIN: usize = 17;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u8(self.stage as u8).u64(self.rows).u64(self.rows_expected);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { stage: AuditStage::from_number(r.u8()?)?, rows: r.u64()?, rows_expected: r.u64()? })
    }
}

impl Packed for HalvesQuery {
    const BYTES_MIN: usize = 21;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u32(self.peer);
        self.payer_here.pack(out);
        Writer(out).u64(self.min).u64(self.max);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { peer: r.u32()?, payer_here: Packed::unpack(r)?, min: r.u64()?, max: r.u64()? })
    }
}

impl Packed for TransferRecord {
    const BYTES_MIN: usize = 129;

    fn pack(&self, out: &mut Vec<u8>) {
        TransferRecord::pack(self, out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        TransferRecord::unpack(r)
    }
}

impl Packed for LedgerSums {
    const BYTES_MIN: usize = 76;

    fn pack(&self, out: &mut Vec<u8>) {
        self.0.pack(out);
        self.1.iter().for_each(|v| v.pack(out));
        self.2.pack(out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some((r.u32()?, [r.u128()?, r.u128()?, r.u128()?, r.u128()?], r.u64()?))
    }
}

impl Packed for TotalsPage {
    const BYTES_MIN: usize = 5;

    fn pack(&self, out: &mut Vec<u8>) {
        pack_at_most(&self.totals, TOTALS_MAX, out);
        self.more.pack(out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { totals: unpack_list(r, TOTALS_MAX)?, more: Packed::unpack(r)? })
    }
}

impl Packed for (u8, u32, u64, u128) {
    const BYTES_MIN: usize = 29;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u8(self.0).u32(self.1).u64(self.2).u128(self.3);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some((r.u8()?, r.u32()?, r.u64()?, r.u128()?))
    }
}

impl Packed for String {
    const BYTES_MIN: usize = 4;

    /// At most [`DETAIL_BYTES_MAX`] bytes of it.
    fn pack(&self, out: &mut Vec<u8>) {
        let cut = (0..=DETAIL_BYTES_MAX.min(self.len())).rev().find(|n| self.is_char_boundary(*n));
        pack_list(&self.as_bytes()[..cut.unwrap_or(0)], out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        let n = r.count(DETAIL_BYTES_MAX, 1)?;
        String::from_utf8(r.bytes(n)?.to_vec()).ok()
    }
}

impl Packed for Finding {
    const BYTES_MIN: usize = 150;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u8(self.kind as u8).u8(self.field as u8).u32(self.ledger);
        self.shard.pack(out);
        self.other_shard.pack(out);
        Writer(out).u128(self.account_id).u128(self.transfer_id).u64(self.timestamp);
        Writer(out).u128(self.debit_account_id).u128(self.credit_account_id).u128(self.amount);
        Writer(out).u128(self.other_transfer_id).u64(self.other_timestamp).u128(self.other_account_id);
        self.stored.pack(out);
        self.expected.pack(out);
        pack_list(&self.causes[..self.causes.len().min(CAUSES_MAX)], out);
        self.detail.pack(out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        let kind = FindingKind::from_number(r.u8()?)?;
        Some(Self {
            field: Field::from_number(r.u8()?)?,
            ledger: r.u32()?,
            shard: Packed::unpack(r)?,
            other_shard: Packed::unpack(r)?,
            account_id: r.u128()?,
            transfer_id: r.u128()?,
            timestamp: r.u64()?,
            debit_account_id: r.u128()?,
            credit_account_id: r.u128()?,
            amount: r.u128()?,
            other_transfer_id: r.u128()?,
            other_timestamp: r.u64()?,
            other_account_id: r.u128()?,
            stored: Packed::unpack(r)?,
            expected: Packed::unpack(r)?,
            causes: unpack_list(r, CAUSES_MAX)?,
            detail: Packed::unpack(r)?,
            ..Self::new(kind)
        })
    }
}

impl Packed for ShardAudit {
    const BYTES_MIN: usize = 53;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u64(self.accounts).u64(self.transfers).u64(self.cross_shard);
        self.totals.pack(out);
        pack_at_most(&self.halves, HALVES_SUMS_MAX, out);
        pack_list(&self.findings[..self.findings.len().min(FINDINGS_MAX)], out);
        Writer(out).u64(self.left_out).u64(self.rows);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            accounts: r.u64()?,
            transfers: r.u64()?,
            cross_shard: r.u64()?,
            totals: Packed::unpack(r)?,
            halves: unpack_list(r, HALVES_SUMS_MAX)?,
            findings: unpack_list(r, FINDINGS_MAX)?,
            left_out: r.u64()?,
            rows: r.u64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_range_cover_it_without_a_gap() {
        for (min, max) in [(0, 0), (5, 260), (5, 261), (0, u64::MAX >> 1), (7, 7 + 3 * BUCKETS)] {
            let query = HalvesQuery { peer: 1, payer_here: true, min, max };
            let parts: Vec<HalvesQuery> = (0..BUCKETS as usize).map_while(|i| query.bucket(i)).collect();
            assert_eq!((parts[0].min, parts.last().map(|p| p.max)), (min, Some(max)));
            assert!(parts.windows(2).all(|two| two[0].max + 1 == two[1].min));
            for (i, part) in parts.iter().enumerate() {
                assert_eq!((query.bucket_of(part.min), query.bucket_of(part.max)), (i, i));
            }
        }
    }

    /// The longest part that a shard can build.
    fn longest() -> ShardAudit {
        let finding = Finding {
            causes: vec![(7, 8); CAUSES_MAX],
            detail: "x".repeat(DETAIL_BYTES_MAX),
            ..Finding::new(FindingKind::StoreDamaged)
        };
        let sums = |ledger| (ledger, [u128::MAX; 4], u64::MAX);
        ShardAudit {
            totals: TotalsPage { totals: (0..TOTALS_MAX as u32).map(sums).collect(), more: true },
            halves: vec![(1, 2, 3, 4); HALVES_SUMS_MAX],
            findings: vec![finding; FINDINGS_MAX],
            ..ShardAudit::default()
        }
    }

    #[test]
    fn the_longest_part_of_a_shard_reads_back_and_is_far_below_a_message() {
        let mut bytes = Vec::new();
        longest().pack(&mut bytes);
        assert!(bytes.len() < 1 << 20, "{} bytes", bytes.len());
        assert_eq!(ShardAudit::unpack(&mut Reader(&bytes)), Some(longest()));
    }

    #[test]
    #[should_panic(expected = "a list of 4097 items is packed, and the other side reads at most 4096")]
    fn more_sums_than_the_other_side_reads_are_not_sent() {
        let mut audit = longest();
        audit.totals.totals.push((u32::MAX, [0; 4], 1));
        audit.pack(&mut Vec::new());
    }

    #[test]
    fn a_finding_reads_back_and_a_long_detail_is_cut_between_letters() {
        let finding = Finding {
            shard: Some(3),
            causes: vec![(7, 8); CAUSES_MAX],
            detail: "é".repeat(DETAIL_BYTES_MAX),
            ..Finding::new(FindingKind::StoreDamaged).differs(Field::Amount, 1, u128::MAX)
        };
        let mut bytes = Vec::new();
        finding.pack(&mut bytes);
        let read = Finding::unpack(&mut Reader(&bytes)).unwrap();
        assert_eq!(read.detail.len(), DETAIL_BYTES_MAX);
        assert_eq!(Finding { detail: String::new(), ..read }, Finding { detail: String::new(), ..finding });
        assert!((0..bytes.len()).all(|n| Finding::unpack(&mut Reader(&bytes[..n])).is_none()), "cut short");
    }
}
