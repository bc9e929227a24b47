//! Surveys for tests: a cluster that is well, and what befalls it.

use std::sync::Arc;
use std::time::Duration;

use crest_ledger::txn::ShardId;
use crest_node::{Members, ReplicaId};
use crest_topology::{Cluster, NodeId};

use super::survey::{Follower, NodeSeen, NodeTold, ReplicaSeen, ShardSeen, Source, State, Survey, Told};

/// Entries of every log in a cluster that is well, and the term.
pub(crate) const LAST: u64 = 1_000;
pub(crate) const TERM: u64 = 3;
/// The version of the map.
pub(crate) const VERSION: u64 = 7;

/// Nodes 1 to `nodes`, and shards from 0 on these nodes.
pub(crate) fn map(nodes: NodeId, placement: &[&[NodeId]]) -> Cluster {
    let nodes: String = (1..=nodes).map(|id| format!("[[node]]\nid = {id}\naddress = \"n{id}:1\"\n")).collect();
    let shards = placement.iter().enumerate();
    let shards: String = shards.map(|(id, on)| format!("[[shard]]\nid = {id}\nreplicas = {on:?}\n")).collect();
    Cluster::parse(&format!("cluster = \"pay\"\nversion = {VERSION}\nepoch = 2\n{nodes}{shards}")).unwrap()
}

/// That cluster when all is well; the first node of each shard leads it.
pub(crate) fn well(nodes: NodeId, placement: &[&[NodeId]]) -> Survey {
    let map = Arc::new(map(nodes, placement));
    let node = |entry: &crest_topology::NodeEntry| {
        let told = NodeTold { build: "0.1.0".to_owned(), map_version: VERSION, epoch: 2 };
        NodeSeen { id: entry.id, address: entry.address.clone(), told: Ok(told) }
    };
    let shard = |entry: &crest_topology::ShardEntry| {
        let wanted = entry.replicas.clone();
        let replicas = wanted.iter().map(|node| ReplicaSeen { node: *node, told: Ok(Told::default()) }).collect();
        let mut seen = ShardSeen { shard: entry.id, wanted: wanted.clone(), replicas };
        let voters: Vec<u64> = wanted.iter().map(|node| u64::from(*node)).collect();
        regroup(&mut seen, Members { voters, ..Members::default() });
        seen
    };
    let source = Source { store: "etcd://e:1/pay".to_owned(), copy: None };
    Survey { source, nodes: map.nodes.iter().map(node).collect(), shards: map.shards.iter().map(shard).collect(), map }
}

/// Everybody there is a running replica of a group with these members; the first one leads.
pub(crate) fn regroup(shard: &mut ShardSeen, members: Members) {
    let all: Vec<u64> =
        [&members.voters, &members.learners, &members.voters_outgoing].into_iter().flatten().copied().collect();
    let replica_on = |node: NodeId| {
        let of = all.iter().rev().find(|number| **number as NodeId == node);
        of.and_then(|number| ReplicaId::from_number(*number)).unwrap_or(ReplicaId::founder(node))
    };
    let leader = replica_on(shard.replicas[0].node);
    let others = all.iter().filter(|number| **number != leader.number());
    let follower = |number: &u64| Follower {
        replica: ReplicaId::from_number(*number).unwrap(),
        matched: LAST,
        active: true,
        takes_snapshot: false,
        standstill: Some(Duration::ZERO),
    };
    let followers: Vec<Follower> = others.map(follower).collect();
    for seen in &mut shard.replicas {
        let replica = replica_on(seen.node);
        let leads = replica == leader;
        seen.told = Ok(Told {
            state: State::Running,
            replica: Some(replica),
            is_leader: leads,
            leader: Some(leader),
            term: TERM,
            last_index: LAST,
            commit_index: LAST,
            applied_index: LAST,
            members: members.clone(),
            followers: if leads { followers.clone() } else { Vec::new() },
            commit_stalled: leads.then_some(Duration::ZERO),
            time_ahead: leads.then_some(Duration::ZERO),
            peers: Vec::new(),
            clock_problem: None,
        });
    }
}

/// Members with these voters and learners.
pub(crate) fn members(voters: &[u64], learners: &[u64]) -> Members {
    Members { voters: voters.to_vec(), learners: learners.to_vec(), ..Members::default() }
}

impl Survey {
    /// The node is down: it answers nobody, and those whom it followed know.
    pub(crate) fn silence(mut self, node: NodeId) -> Self {
        self.nodes.iter_mut().filter(|seen| seen.id == node).for_each(|seen| seen.told = Err("refused".to_owned()));
        for shard in &mut self.shards {
            for seen in &mut shard.replicas {
                match &mut seen.told {
                    told if seen.node == node => *told = Err("refused".to_owned()),
                    Ok(told) => {
                        told.followers.iter_mut().filter(|f| f.replica.node() == node).for_each(|f| f.active = false)
                    }
                    Err(_) => {}
                }
            }
        }
        self
    }

    /// Changes a shard.
    pub(crate) fn with(mut self, shard: ShardId, change: impl FnOnce(&mut ShardSeen)) -> Self {
        change(self.shards.iter_mut().find(|seen| seen.shard == shard).unwrap());
        self
    }

    /// Changes what a node tells of its replica of a shard.
    pub(crate) fn told(self, shard: ShardId, node: NodeId, change: impl FnOnce(&mut Told)) -> Self {
        self.with(shard, |seen| {
            let replica = seen.replicas.iter_mut().find(|seen| seen.node == node).unwrap();
            change(replica.told.as_mut().unwrap());
        })
    }

    /// The shard is to be on these nodes, and new ones have nothing yet.
    pub(crate) fn want(mut self, shard: ShardId, nodes: &[NodeId]) -> Self {
        let mut map = (*self.map).clone();
        map.shards.iter_mut().filter(|entry| entry.id == shard).for_each(|entry| entry.replicas = nodes.to_vec());
        self.map = Arc::new(map);
        self.with(shard, |seen| {
            seen.wanted = nodes.to_vec();
            for node in nodes {
                if seen.of(*node).is_none() {
                    let told = Told { state: State::Fresh, ..Told::default() };
                    seen.replicas.push(ReplicaSeen { node: *node, told: Ok(told) });
                }
            }
        })
    }
}
