//! Asks the nodes of a cluster how their replicas are: who leads, who belongs to a group, who is behind.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crest_node::peers::VERSION;
use crest_proto::internal as wire;
use crest_proto::internal::peers_client::PeersClient;
use tonic::transport::{Channel, Endpoint};

use super::{CLUSTER, ClusterFiles, Layout};

/// How long one node may take to answer: one that is dead or cut off does not.
const ANSWER: Duration = Duration::from_secs(1);
/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// How far a follower may be behind its leader and count as caught up, entries: payments flow.
const BEHIND_MAX: u64 = 64;

/// The groups of a cluster, as its nodes tell of them. Nodes are counted from 0, as in [`ClusterFiles`].
#[derive(Clone)]
pub(crate) struct Groups {
    nodes: Vec<PeersClient<Channel>>,
    layout: Layout,
}

impl Groups {
    /// Those of a cluster with this file.
    pub(crate) fn of(files: &ClusterFiles) -> Self {
        let client = |address: &SocketAddr| {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address makes a URL");
            PeersClient::new(endpoint.connect_timeout(ANSWER).timeout(ANSWER).connect_lazy())
        };
        Self { nodes: files.nodes.iter().map(client).collect(), layout: files.layout }
    }

    fn shards(&self) -> u32 {
        self.layout.shards() as u32
    }

    /// Asks a node something about its replica of a shard.
    pub(crate) async fn ask(
        &self,
        node: usize,
        shard: u32,
        what: wire::peer_question::What,
    ) -> Result<wire::PeerAnswer, tonic::Status> {
        let question = wire::PeerQuestion { version: VERSION, cluster: CLUSTER.to_owned(), shard, what: Some(what) };
        let asked = tokio::time::timeout(ANSWER, self.nodes[node].clone().ask(question)).await;
        asked.map_err(|_| tonic::Status::deadline_exceeded("no answer"))?.map(tonic::Response::into_inner)
    }

    /// How a node's replica of a shard is; nothing when the node does not answer.
    pub(crate) async fn describe(&self, node: usize, shard: u32) -> Option<wire::ReplicaDescription> {
        let answer = self.ask(node, shard, wire::peer_question::What::Describe(wire::Describe {})).await.ok()?;
        match answer.what? {
            wire::peer_answer::What::Replica(replica) => Some(replica),
            _ => None,
        }
    }

    /// How all replicas of a shard are that answer.
    pub(crate) async fn replicas(&self, shard: u32) -> Vec<wire::ReplicaDescription> {
        let all = (0..self.nodes.len()).map(|node| self.describe(node, shard));
        futures_util::future::join_all(all).await.into_iter().flatten().collect()
    }

    /// The replica that leads a shard, as it says itself: of several, the one with the latest term.
    pub(crate) async fn leading(&self, shard: u32) -> Option<wire::ReplicaDescription> {
        self.replicas(shard).await.into_iter().filter(|replica| replica.is_leader).max_by_key(|replica| replica.term)
    }

    /// The node that leads a shard, once there is one.
    ///
    /// # Panics
    /// When there is none within `patience`.
    pub(crate) async fn leader(&self, shard: u32, patience: Duration) -> usize {
        let begun = Instant::now();
        loop {
            if let Some(leading) = self.leading(shard).await {
                return leading.node as usize - 1;
            }
            let replicas = self.replicas(shard).await;
            assert!(begun.elapsed() < patience, "nobody leads shard {shard} after {patience:?}: {replicas:#?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The shards, each with the node that leads it.
    ///
    /// # Panics
    /// When one has no leader within `patience`.
    pub(crate) async fn leaders(&self, patience: Duration) -> Vec<usize> {
        let mut leaders = Vec::new();
        for shard in 0..self.shards() {
            leaders.push(self.leader(shard, patience).await);
        }
        leaders
    }

    /// Has the leader of a shard hand over to a node, and waits until that one leads.
    ///
    /// # Panics
    /// When it does not within `patience`.
    pub(crate) async fn hand_over(&self, shard: u32, to: usize, patience: Duration) {
        let begun = Instant::now();
        let mut said = String::new();
        loop {
            let leader = self.leader(shard, patience).await;
            if leader == to {
                return;
            }
            assert!(begun.elapsed() < patience, "node {leader} does not hand shard {shard} over to {to}: {said}");
            let what = wire::peer_question::What::TransferLeader(wire::TransferLeader { node: to as u32 + 1 });
            said = format!("{:?}", self.ask(leader, shard, what).await);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until every shard has a leader, all its replicas vote, and none of them is behind.
    ///
    /// # Panics
    /// When that takes longer than `patience`; with the replicas of a shard that is not so.
    pub(crate) async fn until_whole(&self, patience: Duration) {
        let begun = Instant::now();
        for shard in 0..self.shards() {
            loop {
                let replicas = self.replicas(shard).await;
                if is_whole(&replicas, self.layout.replicas()) {
                    break;
                }
                assert!(begun.elapsed() < patience, "shard {shard} is not whole after {patience:?}: {replicas:#?}");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// Whether these replicas of a shard are a group in which nobody is missing or behind.
fn is_whole(replicas: &[wire::ReplicaDescription], voters: usize) -> bool {
    let Some(leader) = replicas.iter().filter(|r| r.is_leader).max_by_key(|r| r.term) else { return false };
    let members = leader.members.clone().unwrap_or_default();
    let caught_up =
        |f: &wire::FollowerProgress| f.active && !f.takes_snapshot && f.matched + BEHIND_MAX >= leader.last_index;
    // Each speaks for itself, too: a leader learns late that a follower is gone.
    let here = |voter: &u64| {
        replicas.iter().any(|r| {
            let fits = r.leader == leader.replica && r.applied_index + BEHIND_MAX >= leader.applied_index;
            r.replica == *voter && fits && r.state() == wire::ReplicaState::Running
        })
    };
    members.voters.len() == voters
        && members.voters_outgoing.is_empty()
        && members.learners.is_empty()
        && leader.followers.iter().all(caught_up)
        && members.voters.iter().all(here)
}
