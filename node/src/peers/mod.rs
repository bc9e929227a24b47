//! How the replicas of a shard reach each other: one trait, and gRPC behind it ([`grpc`]).
//!
//! Raft's messages may be lost, come late or twice: they are sent and forgotten. Questions have answers.

use std::future::Future;
use std::pin::Pin;

use crest_ledger::txn::ShardId;
use crest_proto::internal as wire;
use crest_topology::NodeId;

pub mod grpc;
pub mod service;

/// The version of what nodes say to each other. Another one is refused when a stream is opened, and in every question.
pub const VERSION: u32 = 1;

/// A question to another node about one of its replicas.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The shard.
    pub shard: ShardId,
    /// What is asked.
    pub what: wire::peer_question::What,
}

/// The answer that is on its way; an error when the other node was not reached.
pub type PeerAnswering = Pin<Box<dyn Future<Output = Result<wire::PeerAnswer, String>> + Send>>;

/// The ways to the other nodes.
pub trait Peers: Send + Sync {
    /// Sends a message of raft, or loses it. Never waits.
    fn send(&self, message: wire::RaftMessage);

    /// All other nodes of the cluster, whatever is placed on them.
    fn nodes(&self) -> Vec<NodeId>;

    /// Asks another node.
    fn ask(&self, node: NodeId, question: Question) -> PeerAnswering;
}

/// Nobody: the other nodes of a replica that is alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl Peers for NoPeers {
    fn send(&self, _message: wire::RaftMessage) {}

    fn nodes(&self) -> Vec<NodeId> {
        Vec::new()
    }

    fn ask(&self, node: NodeId, _question: Question) -> PeerAnswering {
        Box::pin(async move { Err(format!("there is no way to node {node}")) })
    }
}
