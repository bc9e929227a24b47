//! One shard's store, table by table in the order of the store's keys.

use std::path::Path;
use std::sync::Arc;

use crest_ledger::limits::RESOLUTIONS_MAX;
use crest_ledger::packed::Reader;
use crest_ledger::records::{IdEntry, IdState, TransferRecord};
use crest_ledger::tables::Scalars;
use crest_ledger::wire::stored;
use crest_ledger::{Account, Timestamp, TransferFlags, is_rehearsal};

use super::scratch::{self, PREFIX, Row, Scratch, Table};
use super::sorted::Sorted;
use super::{Plan, RestoreError, Restored, history, io, start};
use crate::store::keys;
use crate::store::rocks::Rocks;
use crate::store::rows::Storage;

/// Builds a shard in `work`.
pub(super) fn shard(
    plan: &Plan,
    shard: u32,
    scratch: &Scratch,
    work: &Path,
    seen: &mut dyn FnMut(u64),
) -> Result<Restored, RestoreError> {
    let dir = work.join(format!("shard-{shard}"));
    std::fs::create_dir_all(&dir).map_err(io("make", &dir))?;
    let rows: Arc<dyn Storage> = Rocks::open(&dir.join("store"), &dir)?;
    let mut build = Build {
        shard,
        scratch,
        out: Sorted::new(&*rows, seen),
        scalars: Scalars { clock: plan.at, ..Scalars::default() },
        restored: Restored { shard, ..Restored::default() },
    };
    build.accounts()?;
    build.account_times()?;
    build.ids()?;
    build.records()?;
    history::write(&mut build)?;
    build.expiries()?;
    build.resolutions()?;
    build.out.end()?;
    start::position(plan, shard, &build.scalars, &mut build.out)?;
    let restored = build.restored;
    drop(build);
    drop(rows);
    start::log(plan, shard, &dir)?;
    super::sync_dir(&dir)?;
    Ok(restored)
}

/// A store that is being written.
pub(super) struct Build<'a> {
    pub(super) shard: u32,
    pub(super) scratch: &'a Scratch,
    pub(super) out: Sorted<'a>,
    scalars: Scalars,
    restored: Restored,
}

type Done<T = ()> = Result<T, RestoreError>;

impl<'a> Build<'a> {
    /// The rows of a table of the scratch database.
    pub(super) fn table(&self, table: Table) -> impl Iterator<Item = Done<Row>> + use<'a> {
        self.scratch.rows(&scratch::table(self.shard, table))
    }

    pub(super) fn wrong(&self, what: String) -> RestoreError {
        RestoreError::Backup(format!(
            "the backup does not hold together on shard {} of the new cluster: {what}",
            self.shard
        ))
    }

    fn accounts(&mut self) -> Done {
        for row in self.table(Table::Account) {
            let (_, value) = row?;
            let account = account(self, &value)?;
            self.out.put(&keys::account(account.id), &value)?;
            self.scalars.accounts += 1;
            self.scalars.rehearsal_accounts += u64::from(is_rehearsal(account.ledger));
            self.scalars.last_account = self.scalars.last_account.max(account.timestamp);
        }
        self.restored.accounts = self.scalars.accounts;
        Ok(())
    }

    fn account_times(&mut self) -> Done {
        let mut before = None;
        for row in self.table(Table::AccountTime) {
            let (at, id) = scratch::time_and_id(&row?.0).ok_or_else(|| self.unreadable())?;
            if let Some((_, other)) = before.filter(|(earlier, _)| *earlier == at) {
                return Err(self.twice("accounts", at, other, id));
            }
            before = Some((at, id));
            self.out.put(&keys::account_time(at), &id.to_le_bytes())?;
        }
        Ok(())
    }

    /// What became of ids. A failed one that is recorded here all the same was used again, on other shards then: the record
    /// counts.
    fn ids(&mut self) -> Done {
        let mut done = self.table(Table::Id).peekable();
        let mut failed = self.table(Table::Failed).peekable();
        let mut before = None;
        loop {
            let id_of = |row: Option<&Done<Row>>| {
                row.and_then(|row| row.as_ref().ok()).and_then(|row| scratch::id_and_time(&row.0))
            };
            let take_done = match (id_of(done.peek()), id_of(failed.peek())) {
                (Some(done), Some(failed)) => done.0 <= failed.0,
                (_, failed) => failed.is_none(),
            };
            let Some(row) = (if take_done { done.next() } else { failed.next() }) else { return Ok(()) };
            let (key, value) = row?;
            let (id, timestamp) = scratch::id_and_time(&key).ok_or_else(|| self.unreadable())?;
            let again = before.filter(|(earlier, _)| *earlier == id);
            match again {
                Some((_, other)) if take_done => return Err(self.id_twice(id, other, timestamp)),
                // The same failure, known to several shards, or an id that is done here.
                Some(_) => continue,
                None => before = Some((id, timestamp)),
            }
            let mut entry = Vec::with_capacity(9);
            IdEntry { timestamp, state: IdState::Failed }.pack(&mut entry);
            if take_done {
                let state = value.first().ok_or_else(|| self.unreadable())?;
                entry.truncate(8);
                entry.push(*state);
                self.restored.pending += u64::from(*state == IdState::Pending as u8);
            } else {
                self.restored.failed_ids += 1;
            }
            self.out.put(&keys::transfer_id(id), &entry)?;
        }
    }

    fn records(&mut self) -> Done {
        let mut before = None;
        for row in self.table(Table::Record) {
            let (key, value) = row?;
            let (at, id) = scratch::time_and_id(&key).ok_or_else(|| self.unreadable())?;
            if let Some((_, other)) = before.filter(|(earlier, _)| *earlier == at) {
                return Err(self.twice("transfers", at, other, id));
            }
            before = Some((at, id));
            let record = TransferRecord::unpack(&mut Reader(&value)).ok_or_else(|| self.unreadable())?;
            if !record.transfer.flags.any(TransferFlags::EXPIRY) {
                self.scalars.transfers += 1;
                self.scalars.rehearsal_transfers += u64::from(is_rehearsal(record.transfer.ledger));
                self.scalars.last_transfer = at;
            }
            self.out.put(&keys::transfer(at), &value)?;
        }
        self.restored.transfers = self.scalars.transfers;
        Ok(())
    }

    fn expiries(&mut self) -> Done {
        for row in self.table(Table::Expiry) {
            let (at, id) = scratch::time_and_id(&row?.0).ok_or_else(|| self.unreadable())?;
            self.out.put(&keys::expiry(at, id), &[])?;
        }
        Ok(())
    }

    /// As many as a shard keeps: the newest. Shards that were joined may have more.
    fn resolutions(&mut self) -> Done {
        let mut newest: Vec<(Timestamp, Vec<u8>, Box<[u8]>)> = Vec::new();
        for row in self.table(Table::Resolution) {
            let (key, value) = row?;
            let at = stored::unpack_resolution(&value).ok_or_else(|| self.unreadable())?.at;
            newest.push((at, [&[keys::RESOLUTION], &key[PREFIX..]].concat(), value));
        }
        newest.sort_unstable_by(|a, b| (b.0, &b.1).cmp(&(a.0, &a.1)));
        newest.truncate(RESOLUTIONS_MAX);
        newest.sort_unstable_by(|a, b| a.1.cmp(&b.1));
        newest.iter().try_for_each(|(_, key, value)| Ok(self.out.put(key, value)?))
    }

    pub(super) fn unreadable(&self) -> RestoreError {
        self.wrong("a row of the scratch database does not read back".to_owned())
    }

    /// Imported times are unique on one shard only.
    fn twice(&self, what: &str, at: Timestamp, one: u128, other: u128) -> RestoreError {
        self.wrong(format!(
            "the {what} {one} and {other} were imported with one time, {at}, on different shards; restore onto the map that \
             was backed up, on which they stay apart"
        ))
    }

    /// Ids are unique among the transfers of a shard only.
    fn id_twice(&self, id: u128, one: Timestamp, other: Timestamp) -> RestoreError {
        self.wrong(format!(
            "the id {id} was used for two transfers on different shards, at {one} and {other}; restore onto the map that was \
             backed up, on which they stay apart"
        ))
    }
}

/// Reads an account's row.
pub(super) fn account(build: &Build<'_>, value: &[u8]) -> Done<Account> {
    Account::unpack(&mut Reader(value)).ok_or_else(|| build.unreadable())
}
