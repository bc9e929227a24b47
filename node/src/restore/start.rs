//! How a restored shard begins: where it stands in its log, and whose it is. The one place that says so.

use std::path::Path;
use std::sync::Arc;

use crest_ledger::tables::Scalars;

use super::sorted::Sorted;
use super::{Plan, RestoreError};
use crate::birth::{Birth, Born};
use crate::consensus::{Members, ReplicaId, SnapshotMeta};
use crate::log::disk::SystemDisk;
use crate::log::{HardState, Identity as LogIdentity, SegmentLog};
use crate::store::{Identity, checkpoint, keys, rehearsals};

/// The log entry that the restored state stands for, and its term. All replicas of a shard that are restored stand there, and
/// it is not 0: what begins at 0 begins with nothing, and a replica that joins later has to be sent this state as a snapshot.
pub(super) const INDEX: u64 = 1;
const TERM: u64 = 1;

/// Writes the rows that say whose the store is and where it stands. They come last: a store without them is none.
pub(super) fn position(plan: &Plan, shard: u32, scalars: &Scalars, out: &mut Sorted<'_>) -> Result<(), RestoreError> {
    let shards = u32::try_from(plan.map.shards().len()).unwrap_or(u32::MAX);
    let identity = Identity { cluster: plan.cluster.clone(), shard, shards };
    out.put(&keys::meta("identity"), identity.text().as_bytes())?;
    out.put(&keys::meta("position"), &checkpoint::pack_position(scalars, INDEX))?;
    let members = Members::founders(&plan.replicas_of(shard));
    out.put(&keys::meta("raft"), &checkpoint::pack_group(&SnapshotMeta { index: INDEX, term: TERM, members }))?;
    out.put(&keys::meta("rehearsals"), &rehearsals::pack(scalars, INDEX))?;
    Ok(out.end()?)
}

/// Makes the log that goes on behind the restored state: it has no entry, and the next one is that after [`INDEX`]. The replica is
/// one of the founders: all of them are restored from the same backup.
pub(super) fn log(plan: &Plan, shard: u32, dir: &Path) -> Result<(), RestoreError> {
    let replica = ReplicaId::founder(plan.node);
    let identity = LogIdentity { cluster: plan.cluster.clone(), shard, replica: replica.number() };
    let log_dir = dir.join("log");
    let (mut log, _) = SegmentLog::open_on(Arc::new(SystemDisk), &log_dir, &identity, plan.log)?;
    log.reset(INDEX + 1, HardState { term: TERM, vote: 0, commit: INDEX })?;
    // Last: a log without it is refused.
    let birth = Birth::Founder(plan.replicas_of(shard));
    Born::note(&SystemDisk, &log_dir, plan.node, &birth).map_err(|e| RestoreError::Backup(format!("{e:#}")))?;
    Ok(())
}
