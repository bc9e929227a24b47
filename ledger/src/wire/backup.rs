//! What routers and shards say to each other about a backup.
//!
//! A shard begins a backup at an instant ([`BackupBegin`]) and keeps a snapshot of its store for it; then it is asked for
//! one page after the other. A page has rows of one kind in the very bytes that the files of a backup hold. The last one is
//! a [`BackupEnd`]: what must be true of all pages together, and where the next backup goes on.

use super::audit::{HALVES_SUMS_MAX, LedgerSums, TOTALS_MAX};
use super::codec::{Packed, pack_at_most, unpack_list};
use crate::clock::Timestamp;
use crate::packed::{Reader, Writer};
use crate::txn::ShardId;

/// Bytes of rows in a page. A row more may be on top, so a page is far below the 4 MiB of a message of the public API.
pub const PAGE_BYTES_MAX: usize = 1 << 20;

/// Bytes of a page with the row that is on top.
const PAGE_BODY_BYTES_MAX: usize = 2 * PAGE_BYTES_MAX;

/// Rows in a page: none is shorter than 24 bytes.
const PAGE_ROWS_MAX: usize = PAGE_BODY_BYTES_MAX / 24;

/// What rows are of. Each kind is a file of its own in a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum BackupKind {
    /// Accounts, as they were at the instant: 128 bytes each.
    Accounts = 1,
    /// Transfers and expiries whose payers are on the shard: 128 bytes each, in the order of time.
    Transfers = 2,
    /// Ids that failed for good: the id, and when; 24 bytes each.
    FailedIds = 3,
    /// Balances after imported transfers, of accounts with a history: the account's id and the row, 88 bytes. Those of all
    /// other transfers follow from the records; these show what had expired before the import, and nothing else tells that.
    Snapshots = 4,
    /// What operators resolved: the attempt (24 bytes) and the resolution, with the length of both in front (4 bytes).
    Resolutions = 5,
}

impl BackupKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Accounts, Self::Transfers, Self::FailedIds, Self::Snapshots, Self::Resolutions];

    /// The inverse of its number.
    pub fn from_number(n: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == n)
    }

    /// Its name in the names of files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Transfers => "transfers",
            Self::FailedIds => "failed-ids",
            Self::Snapshots => "snapshots",
            Self::Resolutions => "resolutions",
        }
    }

    /// Bytes of a row; `None` where it differs.
    pub const fn row_bytes(self) -> Option<usize> {
        match self {
            Self::Accounts | Self::Transfers => Some(128),
            Self::FailedIds => Some(24),
            Self::Snapshots => Some(88),
            Self::Resolutions => None,
        }
    }
}

/// The newest object of a kind that a backup has of a shard. What is imported later has a later time on that shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupMark {
    /// Its timestamp, ns; 0 when there is none.
    pub at: Timestamp,
    /// A number that stands for all of it. A shard that has another object there, or none, is not the one that was backed up.
    pub print: u128,
}

/// What the backup before has of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupSince {
    /// Its instant, ns.
    pub at: Timestamp,
    /// The newest account.
    pub account: BackupMark,
    /// The newest transfer, expiries left out.
    pub transfer: BackupMark,
}

/// Begins a backup of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupBegin {
    /// The backup's own number, drawn by the router. Begun once more with the same one, it starts over.
    pub number: u64,
    /// The instant, ns. All shards have answered a read of it, so it is in the middle of no chain.
    pub at: Timestamp,
    /// What is there already; everything is wanted when nothing is.
    pub since: Option<BackupSince>,
}

/// The end of a backup of one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupEnd {
    /// Accounts that the shard has at the instant, as it counts them.
    pub accounts: u64,
    /// Transfers likewise: those of which it has a side, expiries left out.
    pub transfers: u64,
    /// How many of those accounts are new since the backup before.
    pub new_accounts: u64,
    /// How many of those transfers.
    pub new_transfers: u64,
    /// What the new records did to the balances of the shard's accounts, by ledger number, modulo 2^128: debits_pending,
    /// debits_posted, credits_pending, credits_posted, and new accounts. At most [`TOTALS_MAX`]: those of lower ledger numbers
    /// came before, as [`BackupAnswer::Changes`].
    pub changes: Vec<LedgerSums>,
    /// How many of these there are, with those that came before.
    pub ledgers: u64,
    /// The shard's halves of new transfers and expiries between shards: 1 for those whose payer is here and 0 for the others,
    /// the shard of the other half, how many, and the sum of their fingerprints.
    pub halves: Vec<(u8, ShardId, u64, u128)>,
    /// Where the next backup goes on: the newest account.
    pub account: BackupMark,
    /// The newest transfer.
    pub transfer: BackupMark,
}

/// What a shard answers when a backup begins, and for each of its pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupAnswer {
    /// It has begun. The name of the cluster, as the shard's store has it.
    Begun(String),
    /// The shard does not have what the backup before has of it: that was another cluster's, or of another past.
    Other(String),
    /// A page.
    Page {
        /// What its rows are.
        kind: BackupKind,
        /// How many there are; a page may be empty.
        rows: u32,
        /// The rows.
        body: Vec<u8>,
        /// Bytes that the shard has read for it.
        read: u64,
    },
    /// Where not all changes fit the end: those of some ledger numbers, in the order of the numbers. At most [`TOTALS_MAX`].
    Changes(Vec<LedgerSums>),
    /// There are no more pages.
    End(BackupEnd),
}

impl Packed for BackupMark {
    const BYTES_MIN: usize = 24;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u64(self.at).u128(self.print);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { at: r.u64()?, print: r.u128()? })
    }
}

impl Packed for BackupSince {
    const BYTES_MIN: usize = 56;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u64(self.at);
        self.account.pack(out);
        self.transfer.pack(out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { at: r.u64()?, account: Packed::unpack(r)?, transfer: Packed::unpack(r)? })
    }
}

impl Packed for BackupBegin {
    const BYTES_MIN: usize = 17;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u64(self.number).u64(self.at);
        self.since.pack(out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { number: r.u64()?, at: r.u64()?, since: Packed::unpack(r)? })
    }
}

impl Packed for BackupEnd {
    const BYTES_MIN: usize = 96;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u64(self.accounts).u64(self.transfers).u64(self.new_accounts).u64(self.new_transfers);
        pack_at_most(&self.changes, TOTALS_MAX, out);
        Writer(out).u64(self.ledgers);
        pack_at_most(&self.halves, HALVES_SUMS_MAX, out);
        self.account.pack(out);
        self.transfer.pack(out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            accounts: r.u64()?,
            transfers: r.u64()?,
            new_accounts: r.u64()?,
            new_transfers: r.u64()?,
            changes: unpack_list(r, TOTALS_MAX)?,
            ledgers: r.u64()?,
            halves: unpack_list(r, HALVES_SUMS_MAX)?,
            account: Packed::unpack(r)?,
            transfer: Packed::unpack(r)?,
        })
    }
}

impl Packed for BackupAnswer {
    const BYTES_MIN: usize = 5;

    fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Self::Begun(cluster) => {
                out.push(1);
                cluster.pack(out);
            }
            Self::Other(why) => {
                out.push(2);
                why.pack(out);
            }
            Self::Page { kind, rows, body, read } => {
                Writer(out).u8(3).u8(*kind as u8).u32(*rows).u64(*read);
                pack_at_most(body, PAGE_BODY_BYTES_MAX, out);
            }
            Self::Changes(changes) => {
                out.push(5);
                pack_at_most(changes, TOTALS_MAX, out);
            }
            Self::End(end) => {
                out.push(4);
                end.pack(out);
            }
        }
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(match r.u8()? {
            1 => Self::Begun(Packed::unpack(r)?),
            2 => Self::Other(Packed::unpack(r)?),
            3 => {
                let (kind, rows, read) = (BackupKind::from_number(r.u8()?)?, r.u32()?, r.u64()?);
                let bytes = r.count(PAGE_BODY_BYTES_MAX, 1)?;
                let body = r.bytes(bytes)?.to_vec();
                let fits = kind.row_bytes().is_none_or(|each| rows as usize * each == body.len());
                return (fits && rows as usize <= PAGE_ROWS_MAX).then_some(Self::Page { kind, rows, body, read });
            }
            4 => Self::End(Packed::unpack(r)?),
            5 => Self::Changes(unpack_list(r, TOTALS_MAX)?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_read_back_and_what_is_cut_short_or_does_not_fit_is_refused() {
        let mark = BackupMark { at: 5, print: 6 };
        let end = BackupEnd {
            accounts: 1,
            transfers: 2,
            new_accounts: 3,
            new_transfers: 4,
            changes: vec![(1, [1, 2, 3, u128::MAX], 7)],
            ledgers: 1,
            halves: vec![(1, 2, 3, 4)],
            account: mark,
            transfer: BackupMark { at: 7, print: u128::MAX },
        };
        let page = |rows| BackupAnswer::Page { kind: BackupKind::FailedIds, rows, body: vec![7; 48], read: 9 };
        let answers = [
            BackupAnswer::Begun("pay".to_owned()),
            BackupAnswer::Other("another".to_owned()),
            page(2),
            BackupAnswer::Changes(vec![(1, [1, 2, 3, u128::MAX], 7)]),
            BackupAnswer::End(end),
        ];
        for answer in answers {
            let mut bytes = Vec::new();
            answer.pack(&mut bytes);
            assert!((0..bytes.len()).all(|n| BackupAnswer::unpack(&mut Reader(&bytes[..n])).is_none()), "{answer:?}");
            assert_eq!(BackupAnswer::unpack(&mut Reader(&bytes)), Some(answer));
        }
        let mut bytes = Vec::new();
        page(3).pack(&mut bytes);
        assert_eq!(BackupAnswer::unpack(&mut Reader(&bytes)), None, "three rows of 24 bytes are not 48 bytes");
    }

    #[test]
    fn the_longest_changes_and_end_read_back() {
        let changes = vec![(u32::MAX, [u128::MAX; 4], u64::MAX); TOTALS_MAX];
        let halves = vec![(1, 2, 3, 4); HALVES_SUMS_MAX];
        let end = BackupEnd { changes: changes.clone(), ledgers: u64::MAX, halves, ..BackupEnd::default() };
        for answer in [BackupAnswer::Changes(changes), BackupAnswer::End(end)] {
            let mut bytes = Vec::new();
            answer.pack(&mut bytes);
            assert!(bytes.len() < 1 << 20, "{} bytes", bytes.len());
            assert_eq!(BackupAnswer::unpack(&mut Reader(&bytes)), Some(answer));
        }
    }

    #[test]
    fn a_beginning_reads_back_with_and_without_a_backup_before_it() {
        let since = BackupSince { at: 3, account: BackupMark::default(), transfer: BackupMark { at: 2, print: 1 } };
        for since in [None, Some(since)] {
            let begin = BackupBegin { number: 1, at: 9, since };
            let mut bytes = Vec::new();
            begin.pack(&mut bytes);
            assert_eq!(BackupBegin::unpack(&mut Reader(&bytes)), Some(begin));
        }
    }

    #[test]
    fn kinds_keep_their_numbers() {
        let numbers = BackupKind::ALL.map(|kind| (kind as u8, kind.name()));
        let expected = [(1, "accounts"), (2, "transfers"), (3, "failed-ids"), (4, "snapshots"), (5, "resolutions")];
        assert_eq!(numbers, expected);
        assert!(BackupKind::ALL.iter().all(|kind| BackupKind::from_number(*kind as u8) == Some(*kind)));
    }
}
