//! How a shard is reached: one trait, and the gRPC stream behind it.
//!
//! Routers reach shards through this, and shards reach each other. Inside `crest dev` the same trait is a channel.

pub mod grpc;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crest_ledger::txn::ShardId;
use crest_ledger::wire::{Request, Response};
use crest_topology::SlotMap;

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
        let answering = self.to(shard).send(request);
        Box::pin(async move {
            let late = |_| Err(LinkError::Unknown { shard, why: format!("nothing within {patience:?}") });
            tokio::time::timeout(patience, answering).await.unwrap_or_else(late)
        })
    }

    /// The way to a shard, for a number that comes from elsewhere.
    pub fn find(&self, shard: ShardId) -> Option<&dyn ShardLink> {
        self.shards.get(&shard).map(|link| &**link)
    }
}
