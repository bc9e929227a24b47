//! The store: what the last checkpoints hold, in RocksDB, and the layer that is on its way there.
//!
//! RocksDB is never on the path of a write: its own log is off, and state reaches it as sorted files that are ingested
//! whole, the applied position included ([`checkpoint`]).

pub(crate) mod keys;
mod load;
mod scan;
pub mod checkpoint;

use std::path::Path;
use std::sync::Arc;

use crest_ledger::tables::{Layer, Scalars, Tables};
use crest_ledger::wire::stored;
use rocksdb::{BlockBasedOptions, Cache, DB, Options};

use crate::limits;

pub use scan::Row;

/// The version of everything on disk. Another one is refused.
pub const FORMAT_VERSION: u32 = 1;

/// Which ledger a data folder belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's name.
    pub cluster: String,
    /// The shard.
    pub shard: u32,
    /// In how many shards the cluster was cut: a folder of another cut holds other accounts.
    pub shards: u32,
}

/// Why a store can't be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// RocksDB's own words.
    #[error("the store at {path}: {source}")]
    Rocks {
        /// Where.
        path: String,
        /// What RocksDB says.
        source: rocksdb::Error,
    },
    /// Another process has it open.
    #[error("the data folder {path} is in use by another process; stop that one, or give another folder")]
    InUse {
        /// Where.
        path: String,
    },
    /// The folder is another ledger's.
    #[error(
        "the data folder {path} holds {found}, but {expected} was to be opened; give the right folder or cluster file"
    )]
    Other {
        /// Where.
        path: String,
        /// What it holds.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// A value that does not read back.
    #[error("the store at {path} is damaged: {what}; restore this shard from a replica or a backup")]
    Damaged {
        /// Where.
        path: String,
        /// Which value.
        what: String,
    },
    /// The folder itself.
    #[error("the folder {path}: {source}")]
    Io {
        /// Where.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
}

/// A key and its value.
type Entry = (Vec<u8>, Vec<u8>);

/// What is stored of one shard.
pub struct Store {
    db: Arc<DB>,
    path: String,
    frozen: Option<Arc<Layer>>,
    /// Expiries at or before this instant are gone from the store: scans start here.
    expired_until: u64,
}

impl Store {
    /// Opens the store in `dir`, or makes a new one. Returns the working state at its last checkpoint, and the log
    /// position of that.
    ///
    /// # Errors
    /// When the folder is another ledger's, of another version, in use, or damaged.
    pub fn open(dir: &Path, identity: &Identity) -> Result<(Self, Tables, u64), StoreError> {
        let path = dir.display().to_string();
        let db = DB::open(&options(), dir).map_err(|source| {
            if source.to_string().contains("lock") {
                StoreError::InUse { path: path.clone() }
            } else {
                StoreError::Rocks { path: path.clone(), source }
            }
        })?;
        let store = Self { db: Arc::new(db), path, frozen: None, expired_until: 0 };
        store.check_identity(identity)?;
        let (scalars, applied) = match store.get(keys::meta("position"))? {
            None => (Scalars::default(), 0),
            Some(bytes) => checkpoint::unpack_position(&bytes).ok_or_else(|| store.damaged("the position"))?,
        };
        let mut tables = Tables::new(identity.shard, scalars);
        store.restore(&mut tables)?;
        Ok((store, tables, applied))
    }

    fn check_identity(&self, identity: &Identity) -> Result<(), StoreError> {
        let expected = format!(
            "format={FORMAT_VERSION} cluster={} shard={} of {}",
            identity.cluster, identity.shard, identity.shards
        );
        match self.get(keys::meta("identity"))? {
            None => self.db.put(keys::meta("identity"), expected).map_err(|e| self.rocks(e)),
            Some(found) if found == expected.as_bytes() => Ok(()),
            Some(found) => Err(StoreError::Other {
                path: self.path.clone(),
                found: String::from_utf8_lossy(&found).into_owned(),
                expected,
            }),
        }
    }

    /// Holds, decisions and tombstones live in memory; here they come back.
    fn restore(&self, tables: &mut Tables) -> Result<(), StoreError> {
        for (key, value) in self.table(keys::HOLD)? {
            let hold = stored::unpack_hold(&value).ok_or_else(|| self.damaged(format!("the hold {key:02x?}")))?;
            tables.restore_hold(hold);
        }
        for (key, value) in self.table(keys::OUTBOX)? {
            let (Some(txn), Some(decision)) = (keys::txn_of(&key), stored::unpack_decision(&value)) else {
                return Err(self.damaged(format!("the decision {key:02x?}")));
            };
            tables.restore_decision(txn, decision);
        }
        for (key, value) in self.table(keys::TOMBSTONE)? {
            let (Some(txn), Some(tombstone)) = (keys::txn_of(&key), stored::unpack_tombstone(&value)) else {
                return Err(self.damaged(format!("the tombstone {key:02x?}")));
            };
            tables.restore_tombstone(txn, tombstone);
        }
        Ok(())
    }

    fn table(&self, prefix: u8) -> Result<Vec<Entry>, StoreError> {
        let mut rows = Vec::new();
        for row in self.db.iterator(rocksdb::IteratorMode::From(&[prefix], rocksdb::Direction::Forward)) {
            let (key, value) = row.map_err(|e| self.rocks(e))?;
            if key.first() != Some(&prefix) {
                break;
            }
            rows.push((key.into_vec(), value.into_vec()));
        }
        Ok(rows)
    }

    /// The layer that is being written to the store, if any: lookups see it above the store.
    pub fn set_frozen(&mut self, layer: Option<Arc<Layer>>) {
        self.frozen = layer;
    }

    /// Takes that layer out once it is stored.
    pub fn take_frozen(&mut self) -> Option<Arc<Layer>> {
        // What it held of expiries is in RocksDB now, wherever the mark stands.
        self.expired_until = 0;
        self.frozen.take()
    }

    /// RocksDB itself, for checkpoints and metrics.
    pub fn db(&self) -> Arc<DB> {
        self.db.clone()
    }

    fn get(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get(key).map_err(|e| self.rocks(e))
    }

    fn rocks(&self, source: rocksdb::Error) -> StoreError {
        StoreError::Rocks { path: self.path.clone(), source }
    }

    fn damaged(&self, what: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), what: what.into() }
    }
}

fn options() -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_bloom_filter(10.0, false);
    table.set_block_cache(&Cache::new_lru_cache(limits::BLOCK_CACHE_BYTES));
    table.set_cache_index_and_filter_blocks(false);
    table.set_block_size(8 << 10);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(limits::ROCKSDB_LOG_FILES);
    options.set_paranoid_checks(true);
    options.set_level_compaction_dynamic_level_bytes(true);
    options
}
