//! The store: what the last checkpoints hold, in RocksDB, and the layer that is on its way there.
//!
//! RocksDB is never on the path of a write: state reaches it as sorted files that are ingested whole, the applied position
//! included ([`checkpoint`]).

pub mod keys;
pub mod rows;
pub mod rocks;
pub mod home;
mod load;
mod scan;
pub mod checkpoint;
pub(crate) mod rehearsals;
pub mod contents;

use std::sync::Arc;

use crest_ledger::tables::{Layer, Scalars, Tables};
use crest_ledger::wire::stored;
use rehearsals::Counts;
use rows::{Entry, Rows, Storage};

use crate::consensus::SnapshotMeta;
use crate::points;

pub use scan::Row;

/// The version of everything on disk. Another one is refused.
pub const FORMAT_VERSION: u32 = 2;

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

impl Identity {
    /// As the store keeps it.
    pub(crate) fn text(&self) -> String {
        format!("format={FORMAT_VERSION} cluster={} shard={} of {}", self.cluster, self.shard, self.shards)
    }
}

/// The name of the cluster that rows belong to, when they say it.
pub(crate) fn cluster_of(rows: &dyn Rows) -> Option<String> {
    let identity = String::from_utf8(rows.get(&keys::meta("identity")).ok()??).ok()?;
    identity.split(' ').find_map(|word| word.strip_prefix("cluster=")).map(str::to_owned)
}

/// Why a store can't be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// RocksDB's own words.
    #[error("the store at {path}: {source}{}", advice(source))]
    Rocks {
        /// Where.
        path: String,
        /// What RocksDB says.
        source: rocksdb::Error,
    },
    /// A read of the past that would take too long: the shard goes on.
    #[error(
        "account {account} has more than {most} transfers since that instant: read a later instant, or list the account's \
         balances"
    )]
    TooFarBack {
        /// Whose.
        account: u128,
        /// Transfers that one read takes back.
        most: usize,
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
    /// A file that is no part of RocksDB's.
    #[error("cannot write {path}: {source}: see to the disk (full, read-only, failing?), then start again")]
    Io {
        /// Where.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
}

/// What to do about RocksDB's words.
fn advice(source: &rocksdb::Error) -> &'static str {
    match source.kind() {
        rocksdb::ErrorKind::Corruption => "; keep a copy, and restore this shard from a replica or a backup",
        rocksdb::ErrorKind::IOError => ": see to the disk (full, read-only, failing?), then start again",
        _ => "",
    }
}

/// What is stored of one shard.
pub struct Store {
    rows: Arc<dyn Storage>,
    frozen: Option<Arc<Layer>>,
    /// Expiries at or before this instant are gone from the store: scans start here.
    expired_until: u64,
}

impl Store {
    /// Reads back what `rows` hold, or begins a new store when they are empty. Returns the working state at its last
    /// checkpoint, the log position of that, and the group then.
    ///
    /// # Errors
    /// When they are another ledger's, of another version, or damaged.
    pub(crate) fn open(
        rows: Arc<dyn Storage>,
        identity: &Identity,
    ) -> Result<(Self, Tables, SnapshotMeta), StoreError> {
        let store = Self { rows, frozen: None, expired_until: 0 };
        store.check_identity(identity)?;
        let (mut scalars, applied) = match store.get(keys::meta("position"))? {
            None => (Scalars::default(), 0),
            Some(bytes) => checkpoint::unpack_position(&bytes).ok_or_else(|| store.damaged("the position"))?,
        };
        let group = match store.get(keys::meta("raft"))? {
            None if applied == 0 => SnapshotMeta::default(),
            None => return Err(store.damaged("the members of the group are missing")),
            Some(bytes) => checkpoint::unpack_group(&bytes)
                .filter(|group| group.index == applied)
                .ok_or_else(|| store.damaged("the members of the group"))?,
        };
        store.count_rehearsals(&mut scalars, applied)?;
        let mut tables = Tables::new(identity.shard, scalars);
        store.restore(&mut tables)?;
        Ok((store, tables, group))
    }

    fn check_identity(&self, identity: &Identity) -> Result<(), StoreError> {
        let expected = identity.text();
        match self.get(keys::meta("identity"))? {
            None => {
                points::START_UNNAMED.pass();
                self.rows.put(&keys::meta("identity"), expected.as_bytes())
            }
            Some(found) if found == expected.as_bytes() => Ok(()),
            Some(found) => Err(StoreError::Other {
                path: self.rows.path(),
                found: String::from_utf8_lossy(&found).into_owned(),
                expected,
            }),
        }
    }

    /// Says how much of what is stored belongs to rehearsals; when no checkpoint has said it, the rows do.
    fn count_rehearsals(&self, scalars: &mut Scalars, applied: u64) -> Result<(), StoreError> {
        let counts = match rehearsals::stored(&*self.rows, applied)? {
            Some(counts) => counts,
            None if applied == 0 => Counts::default(),
            None => {
                let path = self.rows.path();
                tracing::info!(path, "counting what belongs to rehearsals: the last checkpoint does not say it");
                rehearsals::count(&*self.rows)?
            }
        };
        (scalars.rehearsal_accounts, scalars.rehearsal_transfers) = (counts.accounts, counts.transfers);
        Ok(())
    }

    /// Holds, decisions, tombstones and resolutions live in memory; here they come back.
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
        for (key, value) in self.table(keys::RESOLUTION)? {
            let (Some(txn), Some(resolution)) = (keys::txn_of(&key), stored::unpack_resolution(&value)) else {
                return Err(self.damaged(format!("the resolution {key:02x?}")));
            };
            tables.restore_resolution(txn, resolution);
        }
        Ok(())
    }

    fn table(&self, prefix: u8) -> Result<Vec<Entry>, StoreError> {
        self.rows.range(&[prefix], &keys::table_end(prefix), false, usize::MAX)
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

    /// The rows themselves, for checkpoints, audits and metrics.
    pub fn rows(&self) -> Arc<dyn Storage> {
        self.rows.clone()
    }

    fn get(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, StoreError> {
        self.rows.get(&key)
    }

    fn damaged(&self, what: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: self.rows.path(), what: what.into() }
    }
}
