//! What the consensus is given and what it wants done, in words of our own.

use crest_ledger::txn::ShardId;
use crest_proto::internal as wire;
use crest_topology::NodeId;
use raft::eraftpb::Snapshot;

use super::members::{Change, Members, ReplicaId};
use crate::limits;
use crate::log::{HardState as LogHardState, LogEntry};

/// What a snapshot is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SnapshotMeta {
    /// The last entry in it.
    pub(crate) index: u64,
    /// That entry's term.
    pub(crate) term: u64,
    /// Who belonged to the group then.
    pub(crate) members: Members,
}

impl SnapshotMeta {
    pub(super) fn to_raft(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let meta = snapshot.mut_metadata();
        (meta.index, meta.term) = (self.index, self.term);
        meta.set_conf_state(self.members.to_raft());
        snapshot
    }

    pub(super) fn from_raft(snapshot: &Snapshot) -> Self {
        let meta = snapshot.get_metadata();
        Self { index: meta.index, term: meta.term, members: Members::from_raft(meta.get_conf_state()) }
    }
}

/// What has to be made durable before raft goes on.
pub(crate) struct ToAppend {
    /// Names this append in [`super::Consensus::on_appended`].
    pub(crate) number: u64,
    /// The entries, as the log files keep them.
    pub(crate) entries: Vec<LogEntry>,
    /// The state to store with them.
    pub(crate) hard_state: Option<LogHardState>,
}

/// An entry that a majority has: it is applied now.
pub(crate) struct Committed {
    /// Its place in the log.
    pub(crate) index: u64,
    /// The term of the leader that proposed it.
    pub(crate) term: u64,
    /// What it says.
    pub(crate) what: What,
}

/// What an entry says.
pub(crate) enum What {
    /// The bytes that were proposed; empty for the entries that a new leader makes.
    Commands(Vec<u8>),
    /// Who belongs to the group from now on.
    Changes(Vec<Change>),
}

/// What raft wants done.
#[derive(Default)]
pub(crate) struct Work {
    /// To be made durable.
    pub(crate) append: Option<ToAppend>,
    /// To be applied, in order.
    pub(crate) committed: Vec<Committed>,
    /// To be sent at once.
    pub(crate) send: Vec<wire::RaftMessage>,
    /// The rounds of reads that are confirmed: the latest one, and the entry that has to be applied before.
    pub(crate) confirmed: Option<(u64, u64)>,
    /// A snapshot that takes the place of everything here, and the state to keep beside it.
    pub(crate) install: Option<(SnapshotMeta, LogHardState)>,
}

/// How far another replica is, as its leader knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Follower {
    pub(crate) replica: ReplicaId,
    pub(crate) matched: u64,
    pub(crate) active: bool,
    pub(crate) takes_snapshot: bool,
}

/// What a replica begins with.
pub(crate) struct Start {
    pub(crate) shard: ShardId,
    pub(crate) replica: ReplicaId,
    /// What the log files hold.
    pub(crate) hard_state: LogHardState,
    pub(crate) entries: Vec<LogEntry>,
    /// The position of the store, and that entry's term.
    pub(crate) applied: u64,
    pub(crate) applied_term: u64,
    /// Who belonged to the group at that position.
    pub(crate) members: Members,
    /// For the lengths of election timeouts, which have to differ between replicas.
    pub(crate) seed: u64,
    pub(crate) sizes: limits::Sizes,
}

/// The best replica to hand over to: of the voters on `nodes` the one that is the least behind.
pub(crate) fn successor(followers: &[Follower], members: &Members, nodes: Option<&[NodeId]>) -> Option<ReplicaId> {
    let may = |f: &&Follower| {
        f.active
            && !f.takes_snapshot
            && members.voters.contains(&f.replica.number())
            && nodes.is_none_or(|nodes| nodes.contains(&f.replica.node()))
    };
    followers.iter().filter(may).max_by_key(|f| (f.matched, f.replica)).map(|f| f.replica)
}
