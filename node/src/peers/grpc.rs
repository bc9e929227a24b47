//! The ways to the other nodes over gRPC: one stream for raft's messages and one channel for questions, to each of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crest_link::grpc::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, RECONNECT_PAUSE};
use crest_proto::internal as wire;
use crest_proto::internal::peer_message::What;
use crest_proto::internal::peers_client::PeersClient;
use crest_topology::{Cluster, NodeId};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use super::{PeerAnswering, Peers, Question, VERSION};
use crate::consensus::ReplicaId;

/// Messages that wait for the connection to one node; more are lost.
const QUEUE: usize = 4_096;
/// Messages that are handed to the connection at a time.
const STREAM: usize = 64;
/// Bytes of a message: the largest entry, and room for as much again.
pub(crate) const MESSAGE_BYTES_MAX: usize = 2 * crate::log::ENTRY_BYTES_MAX;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an answer may take: a piece of a snapshot comes from the disk.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// The nodes of a map, as one of them reaches the others. Cheap to clone.
#[derive(Clone)]
pub struct GrpcPeers(Arc<Inner>);

struct Inner {
    cluster: String,
    me: NodeId,
    map: watch::Receiver<Arc<Cluster>>,
    ways: Mutex<BTreeMap<NodeId, Way>>,
    dropped: metrics::Counter,
    /// Messages are sent from the shards' own threads.
    runtime: tokio::runtime::Handle,
}

/// The way to one node.
#[derive(Clone)]
struct Way {
    address: String,
    channel: Channel,
    queue: mpsc::Sender<wire::RaftMessage>,
}

impl GrpcPeers {
    /// The ways from the node `me` to the others of the map, which may change. Connections are opened when they are used. Must be
    /// called inside a tokio runtime.
    pub fn new(me: NodeId, map: watch::Receiver<Arc<Cluster>>) -> Self {
        let cluster = map.borrow().name.clone();
        let dropped = metrics::counter!("crest_raft_messages_dropped_total");
        dropped.increment(0);
        let runtime = tokio::runtime::Handle::current();
        Self(Arc::new(Inner { cluster, me, map, ways: Mutex::default(), dropped, runtime }))
    }

    /// The way to a node, at the address that the map has for it now.
    fn way(&self, node: NodeId) -> Result<Way, String> {
        let address = self.0.map.borrow().address_of_node(node).map(str::to_owned);
        let address = address.ok_or_else(|| format!("the map has no node {node}"))?;
        let mut ways = self.0.ways.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(way) = ways.get(&node).filter(|way| way.address == address) {
            return Ok(way.clone());
        }
        let _runtime = self.0.runtime.enter();
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|e| format!("{address}: {e}"))?;
        let channel = endpoint
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .connect_lazy();
        let (queue, messages) = mpsc::channel(QUEUE);
        let hello = wire::PeerHello { version: VERSION, cluster: self.0.cluster.clone(), node: self.0.me };
        // It ends when the way is replaced, which drops the queue.
        tokio::spawn(carry(node, client(channel.clone()), hello, messages));
        let way = Way { address, channel, queue };
        ways.insert(node, way.clone());
        Ok(way)
    }
}

fn client(channel: Channel) -> PeersClient<Channel> {
    PeersClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX)
}

impl Peers for GrpcPeers {
    fn send(&self, message: wire::RaftMessage) {
        let node = ReplicaId::from_number(message.to).map(ReplicaId::node);
        let sent = node.and_then(|n| self.way(n).ok()).is_some_and(|way| way.queue.try_send(message).is_ok());
        if !sent {
            self.0.dropped.increment(1);
        }
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.0.map.borrow().nodes.iter().map(|node| node.id).filter(|node| *node != self.0.me).collect()
    }

    fn ask(&self, node: NodeId, question: Question) -> PeerAnswering {
        let way = self.way(node);
        let cluster = self.0.cluster.clone();
        let question =
            wire::PeerQuestion { version: VERSION, cluster, shard: question.shard, what: Some(question.what) };
        Box::pin(async move {
            let mut client = client(way?.channel);
            let asked = tokio::time::timeout(ASK_TIMEOUT, client.ask(question)).await;
            let answer = asked.map_err(|_| format!("node {node} does not answer within {ASK_TIMEOUT:?}"))?;
            answer.map(tonic::Response::into_inner).map_err(|status| format!("node {node}: {}", status.message()))
        })
    }
}

/// Carries messages over streams, one after the other, until nobody sends any more.
async fn carry(
    node: NodeId,
    mut client: PeersClient<Channel>,
    hello: wire::PeerHello,
    mut messages: mpsc::Receiver<wire::RaftMessage>,
) {
    let mut told = String::new();
    while let Some(first) = messages.recv().await {
        let (outgoing, stream) = mpsc::channel(STREAM);
        let greet = [What::Hello(hello.clone()), What::Raft(first)];
        for what in greet {
            // There is room for both.
            let _ = outgoing.try_send(wire::PeerMessage { what: Some(what) });
        }
        let forward = async {
            while let Some(message) = messages.recv().await {
                if outgoing.send(wire::PeerMessage { what: Some(What::Raft(message)) }).await.is_err() {
                    break;
                }
            }
        };
        let delivering = client.deliver(ReceiverStream::new(stream));
        let why = tokio::select! {
            ended = delivering => ended.err().map_or_else(|| "it closed the stream".to_owned(), |s| s.message().to_owned()),
            () = forward => "the stream is broken".to_owned(),
        };
        // Said once, not ten times a second for as long as the node is down.
        if why != told {
            tracing::info!(node, why, "no way to a node; it is tried again");
            told = why;
        }
        sleep(RECONNECT_PAUSE).await;
        // What waited is old by now; raft sends again what matters.
        while messages.try_recv().is_ok() {}
    }
}
