//! The scratch database: rows of all shards that are being restored, sorted by shard, table and key.
//!
//! It is written without a log: after a crash the restore begins again.

use std::path::Path;

use crest_ledger::Timestamp;
use crest_ledger::txn::{ShardId, TxnId};
use crest_topology::slot_of;
use rocksdb::{BlockBasedOptions, Cache, DB, IteratorMode, Options, ReadOptions, WriteBatch, WriteOptions};

use super::RestoreError;

/// Tables. Numbers in keys are big-endian, as in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Table {
    /// Slot, account id: the account.
    Account = 1,
    /// Time of creation, account id: nothing.
    AccountTime = 2,
    /// Transfer id, time: the number of its state.
    Id = 3,
    /// Failed id, time: nothing.
    Failed = 4,
    /// Time, transfer id: the record.
    Record = 5,
    /// Slot, account id, time: what the record does to the account ([`super::moves`]).
    Move = 6,
    /// Slot, account id, time: the balances after an imported transfer.
    Snapshot = 7,
    /// Expiry, transfer id: nothing.
    Expiry = 8,
    /// Attempt: the resolution.
    Resolution = 9,
}

/// A key and its value.
pub(super) type Row = (Box<[u8]>, Box<[u8]>);

/// Bytes in front of a table's own key: shard and table.
pub(super) const PREFIX: usize = 5;

pub(super) struct Scratch {
    db: DB,
    batch: WriteBatch,
    unlogged: WriteOptions,
}

impl Scratch {
    pub(super) fn open(dir: &Path) -> Result<Self, RestoreError> {
        let mut unlogged = WriteOptions::default();
        unlogged.disable_wal(true);
        Ok(Self { db: DB::open(&options(), dir)?, batch: WriteBatch::default(), unlogged })
    }

    /// Puts a row; readers see it after the next [`Scratch::flush`].
    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) {
        self.batch.put(key, value);
    }

    /// Takes a row out, likewise.
    pub(super) fn delete(&mut self, key: &[u8]) {
        self.batch.delete(key);
    }

    /// Shows all rows that were put to readers.
    pub(super) fn flush(&mut self) -> Result<(), RestoreError> {
        if !self.batch.is_empty() {
            self.db.write_opt(std::mem::take(&mut self.batch), &self.unlogged)?;
        }
        Ok(())
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RestoreError> {
        Ok(self.db.get(key)?)
    }

    /// All rows whose keys begin with `prefix`, in their order.
    pub(super) fn rows<'a>(&'a self, prefix: &[u8]) -> impl Iterator<Item = Result<Row, RestoreError>> + use<'a> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(prefix);
        options.set_iterate_upper_bound(end_of(prefix));
        self.db.iterator_opt(IteratorMode::Start, options).map(|row| Ok(row?))
    }
}

/// The first key behind all that begin with `prefix`, which is never all ones: it begins with a shard's number.
fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            break;
        }
        end.pop();
    }
    end
}

/// What all keys of a table begin with.
pub(super) fn table(shard: ShardId, table: Table) -> Vec<u8> {
    [&shard.to_be_bytes()[..], &[table as u8]].concat()
}

/// A key of `Account`, and what all keys of an account in `Move` begin with.
pub(super) fn of_account(shard: ShardId, in_table: Table, id: u128) -> Vec<u8> {
    [&table(shard, in_table)[..], &slot_of(id).to_be_bytes(), &id.to_be_bytes()].concat()
}

/// A key of `Move` or `Snapshot`.
pub(super) fn of_account_at(shard: ShardId, in_table: Table, id: u128, at: Timestamp) -> Vec<u8> {
    [&of_account(shard, in_table, id)[..], &at.to_be_bytes()].concat()
}

/// What all keys of an id in `Id` or `Failed` begin with.
pub(super) fn of_id(shard: ShardId, in_table: Table, id: u128) -> Vec<u8> {
    [&table(shard, in_table)[..], &id.to_be_bytes()].concat()
}

/// A key of `Id` or `Failed`.
pub(super) fn of_id_at(shard: ShardId, in_table: Table, id: u128, at: Timestamp) -> Vec<u8> {
    [&of_id(shard, in_table, id)[..], &at.to_be_bytes()].concat()
}

/// A key of `Record`, `AccountTime` or `Expiry`.
pub(super) fn of_time(shard: ShardId, in_table: Table, at: Timestamp, id: u128) -> Vec<u8> {
    [&table(shard, in_table)[..], &at.to_be_bytes(), &id.to_be_bytes()].concat()
}

/// A key of `Resolution`.
pub(super) fn of_txn(shard: ShardId, txn: &TxnId) -> Vec<u8> {
    let in_table = table(shard, Table::Resolution);
    [&in_table[..], &txn.first_id.to_be_bytes(), &txn.attempt.to_be_bytes()].concat()
}

/// Id and time of a key of `Id` or `Failed`.
pub(super) fn id_and_time(key: &[u8]) -> Option<(u128, Timestamp)> {
    let (id, at) = key.get(PREFIX..)?.split_first_chunk()?;
    Some((u128::from_be_bytes(*id), u64::from_be_bytes(at.try_into().ok()?)))
}

/// Time and id of a key of `Record`, `AccountTime` or `Expiry`.
pub(super) fn time_and_id(key: &[u8]) -> Option<(Timestamp, u128)> {
    let (at, id) = key.get(PREFIX..)?.split_first_chunk()?;
    Some((u64::from_be_bytes(*at), u128::from_be_bytes(id.try_into().ok()?)))
}

/// Slot and id of a key of `Account` or `Move`.
pub(super) fn place(key: &[u8]) -> Option<(u16, u128)> {
    let (slot, rest) = key.get(PREFIX..)?.split_first_chunk()?;
    Some((u16::from_be_bytes(*slot), u128::from_be_bytes(*rest.first_chunk()?)))
}

/// The time at the end of a key of `Move`.
pub(super) fn time_of(key: &[u8]) -> Option<Timestamp> {
    Some(u64::from_be_bytes(*key.last_chunk()?))
}

fn options() -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(64 << 20));
    table.set_cache_index_and_filter_blocks(true);
    table.set_bloom_filter(10.0, false);
    table.set_block_size(16 << 10);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options.set_write_buffer_size(64 << 20);
    options.set_max_write_buffer_number(3);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(1);
    options
}
