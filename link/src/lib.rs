//! How a shard is reached: one trait, and the gRPC stream behind it.
//!
//! Routers reach shards through this, and shards reach each other. Inside `crest dev` the same trait is a channel.

pub mod grpc;
pub mod group;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crest_ledger::txn::ShardId;
use crest_ledger::wire::{Request, Response};
use crest_topology::{NodeId, SlotMap};

/// The answer that is on its way.
pub type Answering = Pin<Box<dyn Future<Output = Result<Response, LinkError>> + Send>>;

/// Why there is no answer from a shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The request was not taken: nothing of it was or will be applied.
    #[error("shard {shard} takes no more requests just now: {why}")]
    Refused {
        /// Which shard.
        shard: ShardId,
        /// What is in the way.
        why: String,
    },
    /// The request was not taken, and not for want of room: the shards do not agree on the time or on the map, so waiting does not
    /// help. Nothing of it was or will be applied.
    #[error("shard {shard} cannot take part: {why}")]
    CannotTakePart {
        /// The shard that does not take it.
        shard: ShardId,
        /// What is wrong, and with which shard as far as that is known.
        why: String,
    },
    /// It could not be reached: nothing of the request was or will be applied.
    #[error("shard {shard} can't be reached just now: {why}")]
    Unreachable {
        /// Which shard.
        shard: ShardId,
        /// What is in the way.
        why: String,
    },
    /// Another replica leads the shard, or none does just now. Nothing of the request was or will be applied.
    #[error("shard {shard}: {}", leader.map_or("no leader is known just now".to_owned(), |node| format!("node {node} leads it")))]
    NotLeader {
        /// Which shard.
        shard: ShardId,
        /// The node whose replica leads, as far as is known.
        leader: Option<NodeId>,
    },
    /// The request may or may not have been applied.
    #[error("no answer from shard {shard}: {why}")]
    Unknown {
        /// Which shard.
        shard: ShardId,
        /// What happened.
        why: String,
    },
}

/// A way to one shard.
pub trait ShardLink: Send + Sync {
    /// Sends a request. It is queued before this returns, so that requests are applied in the order of the calls as long
    /// as the connection lasts. Dropping the future forgets the answer, not the request.
    fn send(&self, request: Request) -> Answering;

    /// As [`ShardLink::send`], for a read of a named instant: a replica that does not lead may answer it.
    fn send_to_any(&self, request: Request) -> Answering {
        self.send(request)
    }

    /// Where the shard is, for people.
    fn address(&self) -> String;
}

/// The slot map with a way to each of its shards.
#[derive(Clone)]
pub struct Links {
    map: Arc<SlotMap>,
    shards: Arc<BTreeMap<ShardId, Arc<dyn ShardLink>>>,
}

impl Links {
    /// Joins a map with its links.
    ///
    /// # Panics
    /// When a shard of the map has no link: both come from one cluster file.
    pub fn new(map: SlotMap, shards: BTreeMap<ShardId, Arc<dyn ShardLink>>) -> Self {
        assert!(map.shards().iter().all(|s| shards.contains_key(s)), "every shard of the map has a link");
        Self { map: Arc::new(map), shards: Arc::new(shards) }
    }

    /// The map.
    pub fn map(&self) -> &SlotMap {
        &self.map
    }

    /// The way to a shard of the map.
    ///
    /// # Panics
    /// When the map has no such shard.
    pub fn to(&self, shard: ShardId) -> &dyn ShardLink {
        &**self.shards.get(&shard).expect("a shard number comes from the map")
    }

    /// Sends a request to a shard of the map, as [`ShardLink::send`]; when there is no answer within `patience`, that is an
    /// answer too. A shard may hang without being down, and its connection tells only later.
    ///
    /// # Panics
    /// When the map has no such shard.
    pub fn send(&self, shard: ShardId, request: Request, patience: Duration) -> Answering {
        within(shard, self.to(shard).send(request), patience)
    }

    /// As [`Links::send`], for a read of a named instant: a replica that does not lead may answer it.
    ///
    /// # Panics
    /// When the map has no such shard.
    pub fn send_to_any(&self, shard: ShardId, request: Request, patience: Duration) -> Answering {
        within(shard, self.to(shard).send_to_any(request), patience)
    }

    /// The way to a shard, for a number that comes from elsewhere.
    pub fn find(&self, shard: ShardId) -> Option<&dyn ShardLink> {
        self.shards.get(&shard).map(|link| &**link)
    }
}

fn within(shard: ShardId, answering: Answering, patience: Duration) -> Answering {
    Box::pin(async move {
        let late = |_| Err(LinkError::Unknown { shard, why: format!("nothing within {patience:?}") });
        tokio::time::timeout(patience, answering).await.unwrap_or_else(late)
    })
}
