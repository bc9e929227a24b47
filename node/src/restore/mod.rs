//! Making the stores of a node's shards out of a backup, offline.
//!
//! The rows of a backup are those of another cut, maybe, and in the order of the shards and instants that they were taken of.
//! So they go through a scratch database first, which sorts them ([`intake`]); then each shard's store is written table by
//! table, as one first checkpoint ([`build`]), and every balance is computed from the records on the way and compared with the
//! one that the backup has. What does not agree is refused: nothing is left of it then.
//!
//! Which rows a shard gets follows from the backup and the map alone: every node that restores a shard makes the same ones.
//! Memory does not depend on how much there is: some 200 MiB for what the scratch database has not sorted yet, 192 MiB for
//! caches, and a block of rows.

mod scratch;
mod intake;
mod moves;
mod sorted;
mod build;
mod history;
mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crest_ledger::Timestamp;
use crest_ledger::txn::ShardId;
use crest_ledger::wire::backup::BackupKind;
use crest_topology::{NodeId, SlotMap};

use crate::log::Options as LogOptions;
use crate::store::StoreError;
use scratch::Scratch;

/// The folder in the data folder in which a restore works. What an interrupted one left there is deleted by the next.
const WORK: &str = "restoring";

/// What is to be restored.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The new cluster's name.
    pub cluster: String,
    /// Its slot map.
    pub map: SlotMap,
    /// The node.
    pub node: NodeId,
    /// Which shards to make: those of the node. With each, the nodes that have a replica of it.
    pub shards: BTreeMap<ShardId, Vec<NodeId>>,
    /// The slot map of the cluster that was backed up.
    pub from: SlotMap,
    /// The instant of the backup, ns.
    pub at: Timestamp,
    /// The node's data folder: shard N is made in its `shard-N`.
    pub data_dir: PathBuf,
    /// How the shards' logs are kept.
    pub log: LogOptions,
}

impl Plan {
    fn replicas_of(&self, shard: ShardId) -> Vec<NodeId> {
        self.shards.get(&shard).cloned().unwrap_or_default()
    }
}

/// What was made of one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// The shard.
    pub shard: ShardId,
    /// Its accounts.
    pub accounts: u64,
    /// The transfers of which it has a side.
    pub transfers: u64,
    /// Pending transfers that are neither posted nor voided nor expired.
    pub pending: u64,
    /// Ids that failed for good.
    pub failed_ids: u64,
}

/// Why there is nothing restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Something is there already.
    #[error("{} is not empty: a restore makes a shard from nothing; give another --data-dir, or move that folder away", path.display())]
    NotEmpty {
        /// Where.
        path: PathBuf,
    },
    /// The backup does not hold together, or not on this map.
    #[error("{0}")]
    Backup(String),
    /// The scratch database.
    #[error(
        "the scratch database of the restore: {0}: see to the disk (full, read-only, failing?), then restore again"
    )]
    Scratch(#[from] rocksdb::Error),
    /// A new store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A new log.
    #[error("{0}")]
    Log(#[from] crate::log::LogError),
    /// A file or folder.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What could not be done.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// A restore on its way: rows come in, then the shards are built.
pub struct Restore {
    plan: Plan,
    wanted: BTreeSet<ShardId>,
    scratch: Scratch,
}

impl Restore {
    /// Prepares the data folder.
    ///
    /// # Errors
    /// When one of the shards is there already, or the folder can't be written.
    pub fn begin(plan: Plan) -> Result<Self, RestoreError> {
        for shard in plan.shards.keys() {
            let path = plan.data_dir.join(format!("shard-{shard}"));
            if std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) {
                return Err(RestoreError::NotEmpty { path });
            }
        }
        let work = plan.data_dir.join(WORK);
        remove_dir(&work)?;
        let scratch = work.join("scratch");
        std::fs::create_dir_all(&scratch).map_err(io("make", &scratch))?;
        let wanted = plan.shards.keys().copied().collect();
        Ok(Self { scratch: Scratch::open(&scratch)?, wanted, plan })
    }

    /// Takes rows in. Those of earlier instants come first; of one instant and shard, transfers come in their order.
    ///
    /// # Errors
    /// When they do not read back, are not of that shard or of a later instant, or the scratch database fails.
    pub fn take(&mut self, from: ShardId, kind: BackupKind, rows: &[u8]) -> Result<(), RestoreError> {
        intake::Intake { plan: &self.plan, wanted: &self.wanted, scratch: &mut self.scratch, from }.take(kind, rows)
    }

    /// Builds the shards. `seen` hears the rows that were written, from time to time.
    ///
    /// # Errors
    /// When the backup does not hold together, or a disk fails. Nothing is left then.
    pub fn build(mut self, mut seen: impl FnMut(u64)) -> Result<Vec<Restored>, RestoreError> {
        self.scratch.flush()?;
        let work = self.plan.data_dir.join(WORK);
        let built = self.wanted.iter().map(|shard| build::shard(&self.plan, *shard, &self.scratch, &work, &mut seen));
        let built: Result<Vec<Restored>, RestoreError> = built.collect();
        drop(self.scratch);
        let kept = built.and_then(|built| keep(&self.plan, &work, &built).map(|()| built));
        let removed = remove_dir(&work);
        kept.and_then(|built| removed.map(|()| built))
    }
}

/// Moves what was built to where it belongs.
fn keep(plan: &Plan, work: &Path, built: &[Restored]) -> Result<(), RestoreError> {
    for Restored { shard, .. } in built {
        let (from, to) = (work.join(format!("shard-{shard}")), plan.data_dir.join(format!("shard-{shard}")));
        // An empty folder of that name may be there: then it is replaced.
        std::fs::rename(&from, &to).map_err(io("move the new shard to", &to))?;
    }
    sync_dir(&plan.data_dir)
}

fn remove_dir(path: &Path) -> Result<(), RestoreError> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io("delete", path)(e)),
        _ => Ok(()),
    }
}

fn sync_dir(path: &Path) -> Result<(), RestoreError> {
    std::fs::File::open(path).and_then(|dir| dir.sync_all()).map_err(io("sync", path))
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> RestoreError {
    let path = path.to_owned();
    move |source| RestoreError::Io { what, path, source }
}

#[cfg(test)]
mod tests;
