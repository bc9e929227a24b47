//! The ways between the replicas of a shard: raft's messages, and questions.

use std::sync::Arc;
use std::time::Duration;

use crest_node::ReplicaId;
use crest_node::peers::{PeerAnswering, Peers, Question};
use crest_proto::internal as wire;
use crest_topology::NodeId;
use prost::Message as _;
use tokio::time::{sleep, timeout};

use crate::network::End;
use crate::world::{Up, World};

/// How long an answer may take: as between real nodes.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// The ways from one process to the other nodes.
pub(crate) struct NetworkPeers {
    pub(crate) world: Arc<World>,
    pub(crate) from: End,
    /// Whether it asks the machines of all shards.
    pub(crate) all: bool,
}

impl Peers for NetworkPeers {
    fn send(&self, message: wire::RaftMessage) {
        let (world, from) = (self.world.clone(), self.from);
        let Some(to) = ReplicaId::from_number(message.to).map(ReplicaId::node) else { return };
        if !world.lives(from) {
            return;
        }
        let copies = world.network().raft_fate(world.now(), from.machine(), to);
        let bytes = message.encode_to_vec();
        if world.is_watched() {
            world.note(format_args!("{from} -> node {to} {copies:?} {}", summary(&message)), &bytes);
        } else {
            world.note(format_args!(""), &bytes);
        }
        for after in copies {
            let (world, bytes) = (world.clone(), bytes.clone());
            tokio::spawn(async move {
                sleep(after).await;
                let message = wire::RaftMessage::decode(&bytes[..]).expect("a message reads back as it was written");
                if let Some(handle) = world.replica(to) {
                    handle.step(message);
                }
            });
        }
    }

    fn nodes(&self) -> Vec<NodeId> {
        // Machines of other shards would say that they have nothing of this one.
        let me = self.from.machine();
        if self.all {
            return self.world.nodes().filter(|node| *node != me).collect();
        }
        self.world.nodes_of(self.world.shard_of_node(me)).filter(|node| *node != me).collect()
    }

    fn ask(&self, to: NodeId, question: Question) -> PeerAnswering {
        let (world, from) = (self.world.clone(), self.from);
        let asked = async move {
            if !world.lives(from) {
                return std::future::pending().await;
            }
            let fate = world.network().fate(world.now(), from.machine(), to);
            world.note(format_args!("{from} asks node {to} {fate:?} {question:?}"), &[]);
            let Some(after) = fate.request.first() else { return std::future::pending().await };
            sleep(*after).await;
            let answer = answer(&world, to, question).await?;
            world.note(format_args!("node {to} answers {from} {answer:?}"), &answer.encode_to_vec());
            let Some(back) = fate.answer else { return std::future::pending().await };
            sleep(back).await;
            Ok(answer)
        };
        Box::pin(async move {
            let late = |_| Err(format!("node {to} does not answer within {ASK_TIMEOUT:?}"));
            timeout(ASK_TIMEOUT, asked).await.unwrap_or_else(late)
        })
    }
}

/// What a node answers: as a real one does (`crest_node::host`).
async fn answer(world: &World, node: NodeId, question: Question) -> Result<wire::PeerAnswer, String> {
    if let (wire::peer_question::What::Clock(_), Some(clock)) = (&question.what, world.clock(node)) {
        return Ok(crest_node::clock::compare::answer(&clock));
    }
    let state = match world.up(node) {
        Up::Down => return Err(format!("nobody listens on node {node}")),
        Up::Runs(handle) => return Ok(handle.answer(question.what).await),
        Up::Fresh => wire::ReplicaState::Fresh,
        Up::Absent => wire::ReplicaState::Absent,
    };
    if !matches!(question.what, wire::peer_question::What::Describe(_)) {
        let error = format!("there is no running replica of shard {} on this node", question.shard);
        return Ok(wire::PeerAnswer { error, ..Default::default() });
    }
    let replica = wire::ReplicaDescription { state: state.into(), node, shard: question.shard, ..Default::default() };
    Ok(wire::PeerAnswer { what: Some(wire::peer_answer::What::Replica(replica)), ..Default::default() })
}

fn summary(m: &wire::RaftMessage) -> String {
    let kind = wire::RaftMessageKind::try_from(m.kind).map_or("?", |kind| kind.as_str_name());
    let kind = kind.trim_start_matches("RAFT_MESSAGE_KIND_");
    let (from, to) = (m.from, m.to);
    let entries = m.entries.len();
    let reject = if m.reject { " REJECTED" } else { "" };
    let snapshot = m.snapshot.as_ref().map(|s| format!(" snapshot {} of term {} {:?}", s.index, s.term, s.members));
    format!(
        "{kind}{reject} {from:x}->{to:x} term {} index {} log term {} commit {} entries {entries}{}",
        m.term,
        m.index,
        m.log_term,
        m.commit,
        snapshot.unwrap_or_default()
    )
}
