//! A whole cluster at one moment, as its nodes tell it: who leads where, who votes, how far everybody is. Data only; what is
//! thought of it is in [`super::health`], and how it is asked for in [`super::ask`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crest_ledger::txn::ShardId;
use crest_node::{Members, ReplicaId};
use crest_proto::internal as wire;
use crest_topology::{Cluster, NodeId};

/// A cluster, as it was seen.
#[derive(Clone, Debug)]
pub(crate) struct Survey {
    /// What is wanted: the map.
    pub(crate) map: Arc<Cluster>,
    /// Where the map came from.
    pub(crate) source: Source,
    /// Every node of the map, sorted by number.
    pub(crate) nodes: Vec<NodeSeen>,
    /// Every shard that was asked about, sorted by number.
    pub(crate) shards: Vec<ShardSeen>,
}

/// Where a map came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Source {
    /// The store, as `--cluster` names it.
    pub(crate) store: String,
    /// Why the store gave no map, and which copy took its place.
    pub(crate) copy: Option<Copied>,
}

/// A copy of the map, used because the store does not give one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    /// What is wrong with the store.
    pub(crate) why: String,
    /// The file.
    pub(crate) file: String,
}

/// A node, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeSeen {
    /// Its number.
    pub(crate) id: NodeId,
    /// Where the map says that it is.
    pub(crate) address: String,
    /// What it told of itself, or why it did not.
    pub(crate) told: Result<NodeTold, String>,
}

/// What a node told of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeTold {
    /// The build that runs there.
    pub(crate) build: String,
    /// The version of the map that it has.
    pub(crate) map_version: u64,
    /// That map's epoch.
    pub(crate) epoch: u64,
}

/// A shard, as its replicas told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShardSeen {
    /// Its number.
    pub(crate) shard: ShardId,
    /// The nodes that the map places it on.
    pub(crate) wanted: Vec<NodeId>,
    /// What each node that was asked said, sorted by node: at least those that the map places it on.
    pub(crate) replicas: Vec<ReplicaSeen>,
}

/// A replica, as its node told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplicaSeen {
    /// The node.
    pub(crate) node: NodeId,
    /// What it said, or why it did not.
    pub(crate) told: Result<Told, String>,
}

/// How far a replica is in its life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// There is none on that node, and there is to be none.
    #[default]
    Absent,
    /// Its disk is empty, and it is not started yet.
    Fresh,
    /// It has founded its group with others, and nothing has happened since.
    Founded,
    /// It runs.
    Running,
    /// It takes in a snapshot.
    Installing,
    /// It has stopped: why.
    Failed(String),
}

/// What a replica told of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) state: State,
    /// Who it is; none when it is not started.
    pub(crate) replica: Option<ReplicaId>,
    pub(crate) is_leader: bool,
    /// Who leads, as far as it knows.
    pub(crate) leader: Option<ReplicaId>,
    pub(crate) term: u64,
    pub(crate) last_index: u64,
    pub(crate) commit_index: u64,
    pub(crate) applied_index: u64,
    pub(crate) members: Members,
    /// Only a leader's: how far the others are.
    pub(crate) followers: Vec<Follower>,
    /// Only a leader's, and none of an older build: for how long it should have committed an entry and has not.
    pub(crate) commit_stalled: Option<Duration>,
    /// Only a leader's, and none of an older build: how far the shard's time is ahead of its machine's clock.
    pub(crate) time_ahead: Option<Duration>,
    /// Only a leader's: the shards that it cannot exchange messages with.
    pub(crate) peers: Vec<PeerSeen>,
    /// Why it may not lead with its node's clock; none when it may.
    pub(crate) clock_problem: Option<String>,
}

/// Another shard that a shard cannot exchange messages with, as that one's leader says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerSeen {
    pub(crate) shard: ShardId,
    pub(crate) kind: wire::PeerTroubleKind,
    /// How far the sender's time is ahead, or how long there was no answer.
    pub(crate) by: Duration,
}

/// How far another replica is, as the leader knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Follower {
    pub(crate) replica: ReplicaId,
    /// The last entry that it is known to have.
    pub(crate) matched: u64,
    /// Whether it was heard of lately.
    pub(crate) active: bool,
    pub(crate) takes_snapshot: bool,
    /// For how long it has been behind without getting on; none when the leader is of an older build.
    pub(crate) standstill: Option<Duration>,
}

/// What a replica is to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Leader,
    Voter,
    /// It follows without a vote.
    Learner,
    /// It votes until the change that is under way has ended.
    Outgoing,
    /// It does not belong to the group, as far as is known.
    Outside,
}

/// What is known of a shard's replica on one node: what it told, and what its leader says of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing<'a> {
    pub(crate) node: NodeId,
    pub(crate) role: Role,
    /// What the node said; none for one that was not asked, since the map does not say where it is.
    pub(crate) told: Option<&'a Result<Told, String>>,
    /// Whether another life of it is on that node now: this one will never speak again.
    pub(crate) superseded: bool,
    /// What the leader says of it.
    pub(crate) follower: Option<Follower>,
    /// How many entries of the leader's log it does not have; none when nobody knows.
    pub(crate) lag: Option<u64>,
}

impl ShardSeen {
    /// The replica that leads: of those that say so, the one of the latest term. One of an earlier term is cut off, and has not
    /// noticed yet.
    pub(crate) fn leader(&self) -> Option<(NodeId, &Told)> {
        let running = self.told().filter(|(_, told)| told.is_leader);
        let (node, told) = running.max_by_key(|(_, told)| told.term)?;
        let newest = self.told().map(|(_, told)| told.term).max().unwrap_or_default();
        // Somebody else follows another one in a later term.
        let deposed = self.told().any(|(_, t)| t.term == newest && t.leader.is_some_and(|l| Some(l) != told.replica));
        (told.term == newest || !deposed).then_some((node, told))
    }

    /// Who leads as the others say, when that one does not answer itself.
    pub(crate) fn said_to_lead(&self) -> Option<NodeId> {
        let newest = self.told().max_by_key(|(_, told)| (told.term, told.leader.is_some()))?;
        newest.1.leader.map(ReplicaId::node)
    }

    /// Those that say they lead, in a term that is over.
    pub(crate) fn rivals(&self) -> impl Iterator<Item = (NodeId, u64)> + '_ {
        let leader = self.leader().map(|(node, _)| node);
        self.told().filter(move |(node, told)| told.is_leader && Some(*node) != leader).map(|(n, t)| (n, t.term))
    }

    /// Who belongs to the group: what the leader says, or else whoever has applied most.
    pub(crate) fn members(&self) -> Option<&Members> {
        let said = self.told().filter(|(_, told)| told.replica.is_some());
        let best = || said.max_by_key(|(_, told)| told.applied_index).map(|(_, told)| told);
        self.leader().map(|(_, told)| told).or_else(best).map(|told| &told.members)
    }

    /// Everybody who is wanted, or belongs to the group, or has something of it.
    pub(crate) fn standings(&self) -> Vec<Standing<'_>> {
        let members = self.members().cloned().unwrap_or_default();
        let leader = self.leader();
        let belonging = [&members.voters, &members.learners, &members.voters_outgoing].into_iter().flatten();
        let mut found: BTreeSet<(NodeId, Option<ReplicaId>)> = BTreeSet::new();
        for replica in belonging.filter_map(|number| ReplicaId::from_number(*number)) {
            found.insert((replica.node(), Some(replica)));
        }
        for seen in &self.replicas {
            let here = seen.told.as_ref().ok();
            let replica = here.and_then(|told| told.replica);
            let told_of = replica.map_or_else(
                || found.iter().any(|(node, _)| *node == seen.node),
                |replica| members.contains(replica.number()),
            );
            let has_one = here.is_none_or(|told| told.state != State::Absent);
            if !told_of && (has_one || self.wanted.contains(&seen.node)) {
                found.insert((seen.node, replica));
            }
        }
        let standing = |(node, replica): (NodeId, Option<ReplicaId>)| {
            let superseded = replica.is_some_and(|replica| self.is_superseded(replica));
            let told = self.of(node).map(|seen| &seen.told).filter(|_| !superseded);
            let lead = leader.map(|(_, told)| told);
            let leads = replica.is_some() && lead.is_some_and(|lead| lead.replica == replica);
            let follower = lead.and_then(|lead| lead.followers.iter().find(|f| Some(f.replica) == replica).copied());
            let last = lead.map(|lead| lead.last_index);
            let lag = follower.zip(last).map(|(follower, last)| last.saturating_sub(follower.matched));
            let role = match replica.map(ReplicaId::number) {
                Some(_) if leads => Role::Leader,
                Some(number) if members.voters.contains(&number) => Role::Voter,
                Some(number) if members.voters_outgoing.contains(&number) => Role::Outgoing,
                Some(number) if members.learners.contains(&number) => Role::Learner,
                _ => Role::Outside,
            };
            Standing { node, role, told, superseded, follower, lag }
        };
        found.into_iter().map(standing).collect()
    }

    /// Whether another life of a replica is on its node now.
    pub(crate) fn is_superseded(&self, replica: ReplicaId) -> bool {
        let there = self.of(replica.node()).and_then(|seen| seen.told.as_ref().ok()?.replica);
        there.is_some_and(|there| there != replica)
    }

    /// What a node said of its replica.
    pub(crate) fn of(&self, node: NodeId) -> Option<&ReplicaSeen> {
        self.replicas.iter().find(|seen| seen.node == node)
    }

    fn told(&self) -> impl Iterator<Item = (NodeId, &Told)> + Clone {
        self.replicas.iter().filter_map(|seen| Some((seen.node, seen.told.as_ref().ok()?)))
    }
}

impl Survey {
    /// How many shards each node leads; every node of the map is there.
    pub(crate) fn leaders(&self) -> BTreeMap<NodeId, usize> {
        let mut leaders: BTreeMap<NodeId, usize> = self.map.nodes.iter().map(|node| (node.id, 0)).collect();
        for (node, _) in self.shards.iter().filter_map(ShardSeen::leader) {
            *leaders.entry(node).or_default() += 1;
        }
        leaders
    }

    /// A shard that was asked about.
    pub(crate) fn shard(&self, shard: ShardId) -> Option<&ShardSeen> {
        self.shards.iter().find(|seen| seen.shard == shard)
    }

    /// A node of the map.
    pub(crate) fn node(&self, node: NodeId) -> Option<&NodeSeen> {
        self.nodes.iter().find(|seen| seen.id == node)
    }
}

impl Standing<'_> {
    /// What the replica itself says, when it does.
    pub(crate) fn says(&self) -> Option<&Told> {
        self.told.and_then(|told| told.as_ref().ok())
    }

    /// Whether it does its part: it says so, or its leader has heard of it lately.
    pub(crate) fn is_alive(&self) -> bool {
        let runs = |told: &Told| matches!(told.state, State::Running | State::Founded | State::Installing);
        match self.says() {
            Some(told) => runs(told),
            None => !self.superseded && self.follower.is_some_and(|follower| follower.active),
        }
    }

    /// Whether it takes in a snapshot.
    pub(crate) fn takes_snapshot(&self) -> bool {
        let installs = self.says().is_some_and(|told| told.state == State::Installing);
        installs || self.follower.is_some_and(|follower| follower.takes_snapshot)
    }
}

impl From<wire::ReplicaDescription> for Told {
    fn from(told: wire::ReplicaDescription) -> Self {
        let state = match told.state() {
            wire::ReplicaState::Unspecified | wire::ReplicaState::Absent => State::Absent,
            wire::ReplicaState::Fresh => State::Fresh,
            wire::ReplicaState::Founded => State::Founded,
            wire::ReplicaState::Running => State::Running,
            wire::ReplicaState::Installing => State::Installing,
            wire::ReplicaState::Failed => State::Failed(told.failure.replace(['\n', '\r'], " ")),
        };
        let follower = |f: wire::FollowerProgress| {
            let replica = ReplicaId::from_number(f.replica)?;
            let standstill = f.standstill_ms.map(Duration::from_millis);
            Some(Follower {
                replica,
                matched: f.matched,
                active: f.active,
                takes_snapshot: f.takes_snapshot,
                standstill,
            })
        };
        let peer = |p: &wire::PeerTrouble| PeerSeen { shard: p.shard, kind: p.kind(), by: Duration::from_millis(p.ms) };
        let members = told.members.unwrap_or_default();
        Self {
            state,
            replica: ReplicaId::from_number(told.replica),
            is_leader: told.is_leader,
            leader: ReplicaId::from_number(told.leader),
            term: told.term,
            last_index: told.last_index,
            commit_index: told.commit_index,
            applied_index: told.applied_index,
            members: Members {
                voters: members.voters,
                learners: members.learners,
                voters_outgoing: members.voters_outgoing,
                learners_next: members.learners_next,
                auto_leave: members.auto_leave,
            },
            followers: told.followers.into_iter().filter_map(follower).collect(),
            commit_stalled: told.commit_stalled_ms.map(Duration::from_millis),
            time_ahead: told.shard_time_ahead_ms.map(Duration::from_millis),
            peers: told.peer_troubles.iter().map(peer).collect(),
            clock_problem: Some(told.clock_problem.replace(['\n', '\r'], " ")).filter(|problem| !problem.is_empty()),
        }
    }
}
