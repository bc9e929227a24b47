//! What the replicas of all shards did, kept while it happens: the leader of each term, and every entry that was applied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use crest_node::replica::Witness;
use crest_topology::NodeId;

use crate::world::{World, lock};

/// How often something happened, over all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Happened {
    /// Replicas that became the leader of a term.
    pub leaders: u64,
    /// Snapshots that took a replica's place.
    pub snapshots: u64,
    /// Disks that were lost.
    pub disks_lost: u64,
    /// Changes of placements.
    pub placements: u64,
    /// Replicas that were put aside because their group had let them go.
    pub retired: u64,
    /// Partitions of groups.
    pub partitions: u64,
    /// Reads that a replica answered which did not lead, or might not.
    pub follower_reads: u64,
}

impl Happened {
    /// Adds what happened in another run.
    pub fn add(&mut self, other: &Self) {
        let Self { leaders, snapshots, disks_lost, placements, retired, partitions, follower_reads } = other;
        self.leaders += leaders;
        self.snapshots += snapshots;
        self.disks_lost += disks_lost;
        self.placements += placements;
        self.retired += retired;
        self.partitions += partitions;
        self.follower_reads += follower_reads;
    }
}

impl std::fmt::Display for Happened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { leaders, snapshots, disks_lost, placements, retired, partitions, follower_reads } = self;
        write!(
            f,
            "{leaders} leaders, {partitions} partitions of groups, {disks_lost} disks lost, {snapshots} snapshots installed, \
             {placements} placements changed, {retired} replicas put aside, {follower_reads} reads at followers"
        )
    }
}

/// An entry as a replica applied it: its term, and what its bytes come to.
pub(crate) type Applied = (u64, u64);

/// Of one shard.
#[derive(Debug, Default)]
pub(crate) struct OfShard {
    /// The replicas that led in each term.
    pub(crate) leaders: BTreeMap<u64, BTreeSet<u64>>,
    /// Each entry as it was applied first, from index 1.
    pub(crate) applied: Vec<Applied>,
    /// What was applied otherwise later, or without what comes before: the node, the index, and what it was there.
    pub(crate) otherwise: Vec<(NodeId, u64, Applied)>,
}

#[derive(Debug, Default)]
struct Inner {
    shards: Vec<OfShard>,
    happened: Happened,
    lost: BTreeSet<u64>,
}

#[derive(Debug)]
pub(crate) struct Record(Mutex<Inner>);

impl Record {
    pub(crate) fn new(shards: usize) -> Self {
        let shards = (0..shards).map(|_| OfShard::default()).collect();
        Self(Mutex::new(Inner { shards, ..Inner::default() }))
    }

    /// A replica leads in a term.
    pub(crate) fn leads(&self, shard: u32, term: u64, replica: u64) {
        let mut inner = lock(&self.0);
        let new = inner.shards[shard as usize].leaders.entry(term).or_default().insert(replica);
        inner.happened.leaders += u64::from(new);
    }

    fn applies(&self, shard: u32, node: NodeId, index: u64, applied: Applied) {
        let of = &mut lock(&self.0).shards[shard as usize];
        match of.applied.get(index as usize - 1) {
            Some(before) if *before == applied => {}
            None if index as usize == of.applied.len() + 1 => of.applied.push(applied),
            _ => of.otherwise.push((node, index, applied)),
        }
    }

    /// A replica was lost with its disk: nobody of that name comes back.
    pub(crate) fn loses(&self, replica: u64) {
        let mut inner = lock(&self.0);
        inner.lost.insert(replica);
        inner.happened.disks_lost += 1;
    }

    pub(crate) fn is_lost(&self, replica: u64) -> bool {
        lock(&self.0).lost.contains(&replica)
    }

    pub(crate) fn count(&self, count: impl FnOnce(&mut Happened)) {
        count(&mut lock(&self.0).happened);
    }

    pub(crate) fn happened(&self) -> Happened {
        lock(&self.0).happened
    }

    /// Looks at what was kept.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&[OfShard]) -> T) -> T {
        look(&lock(&self.0).shards)
    }
}

/// Looks on at one machine.
pub(crate) struct Onlooker {
    pub(crate) world: Arc<World>,
    pub(crate) shard: u32,
    pub(crate) node: NodeId,
}

impl Witness for Onlooker {
    fn applies(&self, index: u64, term: u64, bytes: &[u8]) {
        // FNV-1a, eight bytes at a time.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ bytes.len() as u64;
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
        }
        self.world.record.applies(self.shard, self.node, index, (term, hash));
        let (shard, node) = (self.shard, self.node);
        let what = format_args!("node {node} applies entry {index} of shard {shard}, of term {term}: {hash:016x}");
        self.world.note(what, &hash.to_le_bytes());
    }
}
