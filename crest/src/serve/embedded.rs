//! A whole cluster in one process: N shards and a router, joined by channels instead of connections.
//!
//! It is the same code as the cluster's, not a stand-in for it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use crest_link::{Links, ShardLink};
use crest_node::log::Options as LogOptions;
use crest_node::{ClockSource, Node, NodeHandle, ReplicaConfig};
use crest_router::Router;
use crest_topology::SlotMap;

/// What an embedded cluster has to know.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// How many shards, 1 to 1,023.
    pub shards: u32,
    /// Where their data lives: one folder each, made when it is not there.
    pub data_dir: PathBuf,
    /// Where time comes from.
    pub clock: ClockSource,
    /// How the shards' logs are kept.
    pub log: LogOptions,
}

/// A running embedded cluster.
pub struct Embedded {
    nodes: Vec<Node>,
    links: Links,
    router: Router,
    recovery: Vec<tokio::task::JoinHandle<()>>,
}

impl Embedded {
    /// Opens all shards, which recovers them, and a router over them. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When a data folder is in use, of another cluster or cut, or damaged.
    pub fn open(config: EmbeddedConfig) -> anyhow::Result<Self> {
        let ids: Vec<u32> = (0..config.shards).collect();
        let map = SlotMap::even(&ids)?;
        let mut nodes = Vec::new();
        for shard in ids {
            let data_dir = config.data_dir.join(format!("shard-{shard}"));
            let alone = ReplicaConfig::alone("embedded", shard, map.clone(), &data_dir);
            let node = Node::open(&data_dir, ReplicaConfig { clock: config.clock.clone(), log: config.log, ..alone });
            nodes.push(node.with_context(|| format!("cannot open shard {shard}"))?);
        }
        let shards: BTreeMap<u32, Arc<dyn ShardLink>> =
            nodes.iter().map(|n| (n.handle().shard(), Arc::new(n.handle()) as Arc<dyn ShardLink>)).collect();
        let links = Links::new(map, shards);
        let recovery =
            nodes.iter().map(|n| tokio::spawn(crest_node::recovery::run(n.handle(), links.clone()))).collect();
        let router = Router::new(links.clone());
        Ok(Self { nodes, links, router, recovery })
    }

    /// The router.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// The ways to the shards.
    pub fn links(&self) -> Links {
        self.links.clone()
    }

    /// The shards.
    pub fn handles(&self) -> Vec<NodeHandle> {
        self.nodes.iter().map(Node::handle).collect()
    }

    /// Stops all shards: what waits is applied, and a last checkpoint written.
    ///
    /// # Errors
    /// When a shard had stopped with a failure; the first one's reason.
    pub fn stop(self) -> anyhow::Result<()> {
        for task in &self.recovery {
            task.abort();
        }
        let ended: Vec<_> = self.nodes.into_iter().map(Node::stop).collect();
        ended.into_iter().collect::<Result<(), String>>().map_err(anyhow::Error::msg)
    }
}
