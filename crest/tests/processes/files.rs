//! The files of a cluster of separate processes, and ports for them.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use super::{CLUSTER, Server, borrowed, folder, text};

/// Addresses whose ports were free just now. They are below those that systems give to outgoing connections (from 32,768
/// on): none of these must take the port of a node that is down for a moment.
pub(crate) fn free_addresses(count: usize) -> Vec<SocketAddr> {
    use std::hash::{BuildHasher, Hasher};
    let random = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    let somewhere = || TcpListener::bind(("127.0.0.1", 10_000 + (random() % 20_000) as u16)).ok();
    let listeners: Vec<TcpListener> = std::iter::repeat_with(somewhere).take(10_000).flatten().take(count).collect();
    assert_eq!(listeners.len(), count, "127.0.0.1 has free ports");
    listeners.iter().map(|listener| listener.local_addr().expect("it is bound")).collect()
}

/// What a cluster file says: the short form, or nodes with replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// So many shards, each alone on a node of its own.
    Alone(usize),
    /// So many nodes and shards; each shard has three replicas, on nodes in turn.
    Replicated { nodes: usize, shards: usize },
}

impl Layout {
    /// How many nodes it has.
    pub(crate) fn nodes(self) -> usize {
        match self {
            Self::Alone(nodes) | Self::Replicated { nodes, .. } => nodes,
        }
    }

    /// How many replicas a shard has.
    pub(crate) fn replicas(self) -> usize {
        match self {
            Self::Alone(_) => 1,
            Self::Replicated { .. } => 3,
        }
    }

    /// How many shards it has.
    pub(crate) fn shards(self) -> usize {
        match self {
            Self::Alone(shards) | Self::Replicated { shards, .. } => shards,
        }
    }
}

/// A cluster of separate processes: a file, and where its nodes keep their data.
///
/// Nodes are counted from 0 here; in the cluster file, node 0 has number 1. In the short form, shard k is on node k.
pub(crate) struct ClusterFiles {
    dir: Option<tempfile::TempDir>,
    pub(crate) layout: Layout,
    /// The nodes' addresses.
    pub(crate) nodes: Vec<SocketAddr>,
}

impl ClusterFiles {
    /// A cluster file for `shards` shards, each alone on a node, on ports that are free.
    pub(crate) fn new(shards: usize) -> Self {
        Self::of(Layout::Alone(shards))
    }

    /// A cluster file on ports that are free.
    pub(crate) fn of(layout: Layout) -> Self {
        Self::at(layout, free_addresses(layout.nodes()))
    }

    /// A cluster file for nodes at these addresses.
    pub(crate) fn at(layout: Layout, nodes: Vec<SocketAddr>) -> Self {
        let files = Self { dir: Some(folder()), layout, nodes };
        files.write("cluster.toml", &files.toml());
        files
    }

    /// The text of the cluster file.
    pub(crate) fn toml(&self) -> String {
        let nodes = self.nodes.iter().enumerate();
        let rest: String = match self.layout {
            Layout::Alone(_) => {
                nodes.map(|(id, address)| format!("\n[[shard]]\nid = {id}\naddress = \"{address}\"\n")).collect()
            }
            Layout::Replicated { shards, .. } => {
                let nodes = nodes.map(|(n, at)| format!("\n[[node]]\nid = {}\naddress = \"{at}\"\n", n + 1));
                nodes.chain((0..shards).map(|id| format!("\n[[shard]]\nid = {id}\n"))).collect()
            }
        };
        format!("cluster = \"{CLUSTER}\"\nepoch = 1\n{rest}")
    }

    /// Writes a file next to the cluster file.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("the temporary folder can be written");
        path
    }

    /// A path in the cluster's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.as_ref().expect("it is there as long as the files are").path().join(name)
    }

    /// Where a node keeps its data.
    pub(crate) fn data_dir(&self, node: usize) -> PathBuf {
        self.path(&format!("node-{node}"))
    }

    /// Where a node keeps its replica of a shard.
    pub(crate) fn replica_dir(&self, node: usize, shard: usize) -> PathBuf {
        self.data_dir(node).join(format!("shard-{shard}"))
    }

    /// How a node is started.
    pub(crate) fn node_arguments(&self, node: usize) -> Vec<String> {
        let (file, data) = (self.path("cluster.toml"), self.data_dir(node));
        let (which, number) = match self.layout {
            Layout::Alone(_) => ("--shard", node.to_string()),
            Layout::Replicated { .. } => ("--node", (node + 1).to_string()),
        };
        ["node", "--cluster", text(&file), which, &number, "--data-dir", text(&data)].map(str::to_owned).to_vec()
    }

    /// How a router on `listen` is started.
    pub(crate) fn router_arguments(&self, listen: SocketAddr) -> Vec<String> {
        let file = self.path("cluster.toml");
        ["router", "--cluster", text(&file), "--listen", &listen.to_string()].map(str::to_owned).to_vec()
    }

    /// Starts a node.
    pub(crate) fn node(&self, node: usize) -> Server {
        Server::start(&borrowed(&self.node_arguments(node)))
    }

    /// Starts a router on `listen`.
    pub(crate) fn router(&self, listen: SocketAddr) -> Server {
        Server::start(&borrowed(&self.router_arguments(listen)))
    }
}

impl Drop for ClusterFiles {
    /// Of a test that failed, `CREST_KEEP=1` keeps the folder.
    fn drop(&mut self) {
        let keep = std::thread::panicking() && std::env::var_os("CREST_KEEP").is_some();
        if let Some(dir) = self.dir.take().filter(|_| keep) {
            eprintln!("the cluster's folder is kept: {}", dir.keep().display());
        }
    }
}
