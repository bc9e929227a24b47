//! What a backup tells, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use crest_ledger::records::{IdEntry, IdState};
use crest_ledger::tables::Scalars;
use crest_ledger::wire::backup::{BackupBegin, BackupEnd, BackupKind, BackupMark, BackupSince};
use crest_ledger::wire::stored;
use crest_ledger::{Account, Timestamp, Transfer, TransferFlags};
use crest_topology::SlotMap;

use super::outlet::Outlet;
use super::{accounts, transfers};
use crate::audit::mix::{fingerprint, mix};
use crate::audit::scan::{Interrupted, Outcome, Scan, record_of, whole};
use crate::limits;
use crate::store::rows::Entry;
use crate::store::{checkpoint, keys};

/// A backup of a shard on its way.
pub(super) struct Read<'a> {
    pub(super) scan: Scan<'a>,
    pub(super) map: &'a SlotMap,
    pub(super) at: Timestamp,
    pub(super) since: Option<BackupSince>,
    pub(super) outlet: Outlet<'a>,
    pub(super) end: BackupEnd,
    pub(super) changes: BTreeMap<u32, ([u128; 4], u64)>,
    pub(super) halves: BTreeMap<(u8, u32), (u64, u128)>,
    pub(super) touched: Touched,
}

/// The accounts of this shard that new records are of.
pub(super) enum Touched {
    Some(BTreeSet<u128>),
    /// Too many to remember, or everything is wanted.
    All,
}

impl Touched {
    pub(super) fn add(&mut self, id: u128) {
        if let Self::Some(ids) = self
            && ids.insert(id)
            && ids.len() > limits::BACKUP_TOUCHED_MAX
        {
            *self = Self::All;
        }
    }
}

/// Why this shard is not the one that was backed up before, if it is not.
pub(super) fn refusal(scan: Scan<'_>, since: Option<&BackupSince>) -> Outcome<Option<String>> {
    let Some(since) = since else { return Ok(None) };
    if since.transfer.at != 0 {
        let record = scan.records(&[since.transfer.at])?.pop().flatten().map(|r| r.transfer);
        if record.is_none_or(|t| print_of_transfer(&t) != since.transfer.print) {
            let at = since.transfer.at;
            return Ok(Some(format!("its transfer at {at} is not the one that was backed up then")));
        }
    }
    if since.account.at != 0 {
        let id = scan.get(&keys::account_time(since.account.at))?.and_then(|value| whole(&value, |r| r.u128()));
        if id.is_none_or(|id| print_of_account(id, since.account.at) != since.account.print) {
            let at = since.account.at;
            return Ok(Some(format!("its account created at {at} is not the one that was backed up then")));
        }
    }
    Ok(None)
}

/// Tells everything that is wanted of the snapshot.
pub(super) fn everything(scan: Scan<'_>, map: &SlotMap, begin: &BackupBegin, outlet: Outlet<'_>) -> Outcome {
    let touched = if begin.since.is_some() { Touched::Some(BTreeSet::new()) } else { Touched::All };
    let mut read = Read {
        scan,
        map,
        at: begin.at,
        since: begin.since,
        outlet,
        end: BackupEnd::default(),
        changes: BTreeMap::new(),
        halves: BTreeMap::new(),
        touched,
    };
    read.marks();
    transfers::read(&mut read)?;
    read.failed_ids()?;
    accounts::read(&mut read)?;
    read.resolutions()?;
    read.counts()?;
    let Read { outlet, mut end, changes, halves, .. } = read;
    let changes = changes.into_iter().map(|(ledger, (sums, accounts))| (ledger, sums, accounts)).collect();
    end.halves = halves.into_iter().map(|((role, peer), (n, sum))| (role, peer, n, sum)).collect();
    outlet.end(changes, end)
}

impl Read<'_> {
    /// Where the backup before ended is where this one begins: with nothing new, it ends there too.
    fn marks(&mut self) {
        let since = self.since.unwrap_or_default();
        (self.end.account, self.end.transfer) = (since.account, since.transfer);
    }

    /// Whether something with this time is new since the backup before. Only what is imported is dated back: then it is newer
    /// than the newest that was there, and no scan begins below that.
    pub(super) fn is_new(&self, at: Timestamp, imported: bool) -> bool {
        self.since.is_none_or(|since| at > since.at || imported)
    }

    /// Shows the rows between two keys, both included, in chunks.
    pub(super) fn walk(
        &mut self,
        min: &[u8],
        max: &[u8],
        mut visit: impl FnMut(&mut Self, &[Entry]) -> Outcome,
    ) -> Outcome {
        let (scan, mut from) = (self.scan, min.to_vec());
        while let Some(chunk) = scan.chunk(&mut from, max)? {
            visit(self, &chunk)?;
            self.outlet.count(chunk.iter().map(|(key, value)| key.len() + value.len()).sum())?;
        }
        Ok(())
    }

    /// The ids that failed for good. No index has them by time, so all ids are looked through.
    ///
    /// A failure takes no time of its own but the clock's, which may stand at the instant of the backup before for a while:
    /// those of that instant are told again.
    fn failed_ids(&mut self) -> Outcome {
        let from = self.since.map_or(0, |since| since.at);
        self.walk(&[keys::TRANSFER_ID], &keys::table_end(keys::TRANSFER_ID), |read, chunk| {
            let wanted = from..=read.at;
            for (key, value) in chunk {
                let (id, entry) =
                    keys::transfer_id_of(key).zip(whole(value, IdEntry::unpack)).ok_or_else(|| damaged(key))?;
                if entry.state == IdState::Failed && wanted.contains(&entry.timestamp) {
                    let mut row = [0; 24];
                    row[..16].copy_from_slice(&id.to_le_bytes());
                    row[16..].copy_from_slice(&entry.timestamp.to_le_bytes());
                    read.outlet.put(BackupKind::FailedIds, |out| out.extend_from_slice(&row))?;
                }
            }
            Ok(())
        })
    }

    /// All that are kept: there are few, and the oldest may be gone since the backup before.
    fn resolutions(&mut self) -> Outcome {
        self.walk(&[keys::RESOLUTION], &keys::table_end(keys::RESOLUTION), |read, chunk| {
            for (key, value) in chunk {
                let (txn, resolution) =
                    keys::txn_of(key).zip(stored::unpack_resolution(value)).ok_or_else(|| damaged(key))?;
                if resolution.at <= read.at {
                    let mut row = Vec::new();
                    stored::pack_txn(&txn, &mut row);
                    row.extend_from_slice(value);
                    // Some 700 bytes at the most.
                    let length = (row.len() as u32).to_le_bytes();
                    read.outlet.put(BackupKind::Resolutions, |out| out.extend([&length[..], &row].concat()))?;
                }
            }
            Ok(())
        })
    }

    /// How much the shard has at the instant, as it counts that itself: what was read has to come to the same.
    fn counts(&mut self) -> Outcome {
        let position = self.scan.get(&keys::meta("position"))?;
        let (scalars, _) = match &position {
            Some(value) => checkpoint::unpack_position(value).ok_or_else(|| damaged(&keys::meta("position")))?,
            None => (Scalars::default(), 0),
        };
        let (mut accounts, mut transfers) = (0, 0);
        let later = self.at.saturating_add(1);
        self.walk(&keys::transfer(later), &keys::table_end(keys::TRANSFER), |_, chunk| {
            for (key, value) in chunk {
                let record = record_of(key, value).ok_or_else(|| damaged(key))?;
                transfers += u64::from(!record.transfer.flags.any(TransferFlags::EXPIRY));
            }
            Ok(())
        })?;
        self.walk(&keys::account_time(later), &keys::table_end(keys::ACCOUNT_TIME), |_, chunk| {
            accounts += chunk.len() as u64;
            Ok(())
        })?;
        self.end.accounts = scalars.accounts.saturating_sub(accounts);
        self.end.transfers = scalars.transfers.saturating_sub(transfers);
        Ok(())
    }
}

pub(super) fn damaged(key: &[u8]) -> Interrupted {
    Interrupted::Damaged(format!("the value of key {key:02x?} does not read back"))
}

fn print_of_transfer(t: &Transfer) -> u128 {
    fingerprint(t)
}

/// Of an account only what tells it from all others, and never changes.
fn print_of_account(id: u128, at: Timestamp) -> u128 {
    mix(&[id, at.into()])
}

pub(super) fn mark_of_transfer(t: &Transfer) -> BackupMark {
    BackupMark { at: t.timestamp, print: print_of_transfer(t) }
}

pub(super) fn mark_of_account(account: &Account) -> BackupMark {
    BackupMark { at: account.timestamp, print: print_of_account(account.id, account.timestamp) }
}
