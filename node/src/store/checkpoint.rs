//! Checkpoints: a layer becomes one sorted file, the applied position in it, and is ingested whole.
//!
//! One file and one ingest make it atomic: after a crash the store is some exact earlier prefix of the log. A background
//! thread writes it, off the path of any answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crest_ledger::packed::{Reader, Writer};
use crest_ledger::tables::{Layer, Scalars};
use crest_ledger::wire::stored;
use rocksdb::{DB, IngestExternalFileOptions, Options, SstFileWriter};

use super::{StoreError, keys};

/// What one checkpoint stores.
pub struct Checkpoint {
    /// What changed since the one before.
    pub layer: Arc<Layer>,
    /// The shard's numbers.
    pub scalars: Scalars,
    /// The last log entry whose effects are in it.
    pub applied: u64,
}

/// The applied position and the shard's numbers, as the value of one entry.
fn pack_position(scalars: &Scalars, applied: u64) -> Vec<u8> {
    let mut out = Vec::new();
    Writer(&mut out).u64(applied).u64(scalars.clock).u64(scalars.last_account).u64(scalars.last_transfer);
    Writer(&mut out).u64(scalars.accounts).u64(scalars.transfers);
    out
}

/// The inverse of [`pack_position`].
pub(super) fn unpack_position(bytes: &[u8]) -> Option<(Scalars, u64)> {
    let mut r = Reader(bytes);
    let applied = r.u64()?;
    let scalars = Scalars {
        clock: r.u64()?,
        last_account: r.u64()?,
        last_transfer: r.u64()?,
        accounts: r.u64()?,
        transfers: r.u64()?,
    };
    r.is_empty().then_some((scalars, applied))
}

impl Checkpoint {
    /// Writes the file into `dir` and ingests it. Durable when this returns.
    ///
    /// # Errors
    /// When the disk or RocksDB fails: the shard has to stop, and starts again from the checkpoint before.
    pub fn write(&self, db: &DB, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join("checkpoint.sst");
        let rocks = |source| StoreError::Rocks { path: path.display().to_string(), source };
        remove_if_there(&path)?;
        let mut options = Options::default();
        options.set_compression_type(rocksdb::DBCompressionType::Lz4);
        let mut writer = SstFileWriter::create(&options);
        writer.open(&path).map_err(rocks)?;
        self.entries(|key, value| match value {
            Some(value) => writer.put(key, value),
            None => writer.delete(key),
        })
        .map_err(rocks)?;
        writer.finish().map_err(rocks)?;
        let mut ingest = IngestExternalFileOptions::default();
        ingest.set_move_files(true);
        db.ingest_external_file_opts(&ingest, vec![&path]).map_err(rocks)?;
        remove_if_there(&path)
    }

    /// Every entry in the order of keys; `None` is a deletion.
    fn entries<E>(&self, mut put: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>) -> Result<(), E> {
        let layer = &self.layer;
        let mut value = Vec::new();
        put(&keys::meta("position"), Some(&pack_position(&self.scalars, self.applied)))?;

        let mut accounts: Vec<_> = layer.accounts.values().map(|a| (keys::account(a.id), a)).collect();
        accounts.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (key, account) in accounts {
            value.clear();
            account.pack(&mut value);
            put(&key, Some(&value))?;
        }
        for (at, id) in &layer.account_times {
            put(&keys::account_time(*at), Some(&id.to_le_bytes()))?;
        }
        let mut ids: Vec<_> = layer.ids.iter().collect();
        ids.sort_unstable_by_key(|(id, _)| **id);
        for (id, entry) in ids {
            value.clear();
            entry.pack(&mut value);
            put(&keys::transfer_id(*id), Some(&value))?;
        }
        for (at, record) in &layer.transfers {
            value.clear();
            record.pack(&mut value);
            put(&keys::transfer(*at), Some(&value))?;
        }
        let mut history: Vec<_> = layer.history.iter().map(|((id, at), row)| (keys::history(*id, *at), row)).collect();
        history.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (key, row) in history {
            value.clear();
            if let Some(balance) = row {
                balance.pack(&mut value);
            }
            put(&key, Some(&value))?;
        }
        for ((at, id), present) in &layer.expiries {
            put(&keys::expiry(*at, *id), present.then_some(&[]))?;
        }
        txns(keys::HOLD, &layer.holds, stored::pack_hold, &mut put)?;
        txns(keys::OUTBOX, &layer.outbox, stored::pack_decision, &mut put)?;
        txns(keys::TOMBSTONE, &layer.tombstones, stored::pack_tombstone, &mut put)
    }
}

fn txns<V, E>(
    table: u8,
    rows: &std::collections::BTreeMap<crest_ledger::txn::TxnId, Option<V>>,
    pack: impl Fn(&V, &mut Vec<u8>),
    put: &mut impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
) -> Result<(), E> {
    for (txn, row) in rows {
        let mut value = Vec::new();
        if let Some(row) = row {
            pack(row, &mut value);
        }
        put(&keys::txn(table, txn), row.as_ref().map(|_| &value[..]))?;
    }
    Ok(())
}

fn remove_if_there(path: &PathBuf) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::Io { path: path.display().to_string(), source })
        }
        _ => Ok(()),
    }
}
