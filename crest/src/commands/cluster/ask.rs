//! Asking the nodes of a cluster: about their replicas, and to hand over leadership. Every question has a bound, and all are
//! asked at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crest_ledger::txn::ShardId;
use crest_map_store::{MapStore, StoreError};
use crest_node::ReplicaId;
use crest_node::peers::VERSION;
use crest_proto::internal as wire;
use crest_proto::internal::peers_client::PeersClient;
use crest_topology::{Cluster, NodeId};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use super::survey::{Copied, NodeSeen, NodeTold, ReplicaSeen, ShardSeen, Source, State, Survey, Told};
use crate::commands::outcome::{Failure, reason};

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Every node is asked about every shard as long as that makes no more questions than this. In larger clusters a replica that
/// the map does not place where it is, and that belongs to no group any more, is not looked for.
const QUESTIONS_MAX: usize = 4_096;

/// A copy of the map, for a day on which its store is away.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Copy {
    /// A copy of the map, used while the store does not answer: a file, or the data folder of a node, which keeps one there
    #[arg(long, value_name = "PATH")]
    pub(crate) map_copy: Option<PathBuf>,
}

/// The map, from its store, or from a copy while the store is away.
///
/// # Errors
/// When neither gives one.
pub(crate) async fn load(store: &dyn MapStore, copy: Option<&Path>) -> Result<(Arc<Cluster>, Source), Failure> {
    let name = store.location().to_string();
    let why = match store.load().await {
        Ok(map) => return Ok((map, Source { store: name, copy: None })),
        Err(why) => why,
    };
    let Some(file) = copy else { return Err(without_map(&why)) };
    // As `crest node` names it.
    let file = if file.is_dir() { file.join("map.toml") } else { file.to_owned() };
    let shown = file.display().to_string();
    let map = Cluster::load(&file).map_err(|e| Failure::Unavailable(format!("{why}; and the copy: {e}")))?;
    let copied = Copied { why: why.to_string(), file: shown };
    Ok((Arc::new(map), Source { store: name, copy: Some(copied) }))
}

/// Why a command without a map does nothing.
pub(crate) fn without_map(why: &StoreError) -> Failure {
    let advice = match why {
        StoreError::Unavailable { .. } => {
            ". Payments need it not: nodes and routers go on with the map that they have. With a copy of it (--map-copy), `crest \
             cluster status` works nevertheless"
        }
        _ => "",
    };
    Failure::Unavailable(format!("{why}{advice}"))
}

/// The nodes of a map, as this command reaches them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Nodes {
    cluster: Arc<str>,
    ways: Arc<BTreeMap<NodeId, Result<Channel, String>>>,
}

impl Nodes {
    /// The ways to all nodes of a map, each opened when it is used.
    pub(crate) fn of(map: &Cluster) -> Self {
        let way = |address: &str| {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|e| e.to_string())?;
            Ok(endpoint.tcp_nodelay(true).connect_timeout(PATIENCE).connect_lazy())
        };
        let ways = map.nodes.iter().map(|node| (node.id, way(&node.address))).collect();
        Self { cluster: Arc::from(map.name.as_str()), ways: Arc::new(ways) }
    }

    /// Asks one of them.
    ///
    /// # Errors
    /// Why there is no answer, on one line.
    pub(crate) async fn ask(
        &self,
        node: NodeId,
        shard: ShardId,
        what: wire::peer_question::What,
    ) -> Result<wire::PeerAnswer, String> {
        let way = self.ways.get(&node).ok_or_else(|| format!("the map has no node {node}"))?.clone()?;
        let question =
            wire::PeerQuestion { version: VERSION, cluster: self.cluster.to_string(), shard, what: Some(what) };
        let mut client = PeersClient::new(way);
        let asked = tokio::time::timeout(PATIENCE, client.ask(question)).await;
        let answer = asked.map_err(|_| format!("no answer within {PATIENCE:?}"))?;
        answer.map(tonic::Response::into_inner).map_err(|status| said(&status))
    }

    /// Has the leader of a shard hand over to the replica on another node. Whoever does not lead says who does, and that one
    /// is asked then.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) async fn transfer_leader(&self, shard: ShardId, leader: NodeId, to: NodeId) -> Result<(), String> {
        let mut asked = leader;
        // A leader may change in between, but not again and again.
        for _ in 0..3 {
            let what = wire::peer_question::What::TransferLeader(wire::TransferLeader { node: to });
            let answer = self.ask(asked, shard, what).await.map_err(|why| format!("node {asked}: {why}"))?;
            match ReplicaId::from_number(answer.leader).map(ReplicaId::node) {
                _ if answer.error.is_empty() => return Ok(()),
                Some(leader) if leader == to => return Ok(()),
                Some(leader) if leader != asked => asked = leader,
                _ => return Err(format!("node {asked}: {}", answer.error)),
            }
        }
        Err("its leader changes all the time".to_owned())
    }

    /// Whether the replica on that node says that it leads.
    pub(crate) async fn leads(&self, node: NodeId, shard: ShardId) -> bool {
        self.clone().describe(node, shard).await.told.is_ok_and(|told| told.is_leader)
    }

    async fn describe(self, node: NodeId, shard: ShardId) -> Described {
        let what = wire::peer_question::What::Describe(wire::Describe {});
        let told = match self.ask(node, shard, what).await {
            Ok(wire::PeerAnswer { what: Some(wire::peer_answer::What::Replica(told)), .. }) => Ok(told),
            Ok(answer) if !answer.error.is_empty() => Err(answer.error),
            Ok(_) => Err("an answer to another question".to_owned()),
            Err(why) => Err(why),
        };
        Described { node, shard, told }
    }
}

/// What a node said about a replica.
struct Described {
    node: NodeId,
    shard: ShardId,
    told: Result<wire::ReplicaDescription, String>,
}

/// Asks the nodes of a map about these shards, or about all.
pub(crate) async fn survey(map: Arc<Cluster>, source: Source, shards: Option<&BTreeSet<ShardId>>) -> Survey {
    let nodes = Nodes::of(&map);
    let about: Vec<ShardId> =
        map.shards.iter().map(|s| s.id).filter(|id| shards.is_none_or(|shards| shards.contains(id))).collect();
    let mut asked: BTreeSet<(NodeId, ShardId)> = BTreeSet::new();
    if about.len() * map.nodes.len() <= QUESTIONS_MAX {
        asked.extend(map.nodes.iter().flat_map(|node| about.iter().map(|shard| (node.id, *shard))));
    } else {
        asked.extend(about.iter().flat_map(|shard| map.replicas_of(*shard).iter().map(|node| (*node, *shard))));
        // A node without replicas is asked too, so that it is known whether it answers.
        let first = about.first().copied().unwrap_or_default();
        asked.extend(map.nodes.iter().map(|node| (node.id, first)));
    }
    let mut answers = ask_all(&nodes, &asked).await;
    // Whoever belongs to a group, and is not where the map wants it.
    let more: BTreeSet<(NodeId, ShardId)> =
        members_of(&answers).filter(|one| map.node(one.0).is_some() && !asked.contains(one)).collect();
    if !more.is_empty() {
        answers.extend(ask_all(&nodes, &more).await);
    }
    gather(map, source, &about, answers)
}

/// The nodes that belong to a shard's group as somebody says.
fn members_of(answers: &[Described]) -> impl Iterator<Item = (NodeId, ShardId)> + '_ {
    let told = answers.iter().filter_map(|answer| Some((answer.shard, answer.told.as_ref().ok()?.members.as_ref()?)));
    told.flat_map(|(shard, members)| {
        let all = [&members.voters, &members.learners, &members.voters_outgoing].into_iter().flatten();
        all.map(move |number| (*number as NodeId, shard))
    })
}

async fn ask_all(nodes: &Nodes, asked: &BTreeSet<(NodeId, ShardId)>) -> Vec<Described> {
    let mut questions = JoinSet::new();
    for (node, shard) in asked {
        questions.spawn(nodes.clone().describe(*node, *shard));
    }
    questions.join_all().await
}

/// Puts the answers in order.
fn gather(map: Arc<Cluster>, source: Source, about: &[ShardId], answers: Vec<Described>) -> Survey {
    let mut by_node: BTreeMap<NodeId, Result<NodeTold, String>> = BTreeMap::new();
    let mut by_shard: BTreeMap<ShardId, Vec<ReplicaSeen>> = BTreeMap::new();
    let members: BTreeSet<(NodeId, ShardId)> = members_of(&answers).collect();
    for Described { node, shard, told } in answers {
        let of_node = told.as_ref().map_err(Clone::clone).map(|told| NodeTold {
            build: told.build.clone(),
            map_version: told.map_version,
            epoch: told.epoch,
        });
        let known = by_node.entry(node).or_insert_with(|| of_node.clone());
        // One answer is enough to know that it is there.
        if known.is_err() {
            *known = of_node;
        }
        by_shard.entry(shard).or_default().push(ReplicaSeen { node, told: told.map(Told::from) });
    }
    let shard = |shard: &ShardId| {
        let mut replicas = by_shard.remove(shard).unwrap_or_default();
        replicas.sort_unstable_by_key(|seen| seen.node);
        // A node without a replica matters only where there is to be one, or should be one.
        let wanted = map.replicas_of(*shard).to_vec();
        replicas.retain(|seen| {
            let has_one = seen.told.as_ref().is_ok_and(|told| told.state != State::Absent);
            has_one || wanted.contains(&seen.node) || members.contains(&(seen.node, *shard))
        });
        ShardSeen { shard: *shard, wanted, replicas }
    };
    let shards = about.iter().map(shard).collect();
    let node = |node: &crest_topology::NodeEntry| {
        let told = by_node.remove(&node.id).unwrap_or_else(|| Err("it was not asked".to_owned()));
        NodeSeen { id: node.id, address: node.address.clone(), told }
    };
    let nodes = map.nodes.iter().map(node).collect();
    Survey { map, source, nodes, shards }
}

/// What a gRPC error says, without what says nothing.
fn said(status: &tonic::Status) -> String {
    let said = reason(status);
    let mut rest = said.as_str();
    while let Some(more) =
        ["transport error: ", "tcp connect error: "].iter().find_map(|empty| rest.strip_prefix(empty))
    {
        rest = more;
    }
    rest.to_owned()
}
