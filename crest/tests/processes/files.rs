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

/// A cluster of separate processes: a file, and where its shards keep their data.
pub(crate) struct ClusterFiles {
    dir: Option<tempfile::TempDir>,
    /// The shards' addresses, by number.
    pub(crate) shards: Vec<SocketAddr>,
}

impl ClusterFiles {
    /// A cluster file for `shards` shards on ports that are free.
    pub(crate) fn new(shards: usize) -> Self {
        let files = Self { dir: Some(folder()), shards: free_addresses(shards) };
        files.write("cluster.toml", &files.toml());
        files
    }

    /// The text of the cluster file.
    pub(crate) fn toml(&self) -> String {
        let shards = self.shards.iter().enumerate();
        let shards = shards.map(|(id, address)| format!("\n[[shard]]\nid = {id}\naddress = \"{address}\"\n"));
        format!("cluster = \"{CLUSTER}\"\nepoch = 1\n{}", shards.collect::<String>())
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

    /// Where a shard keeps its data.
    pub(crate) fn data_dir(&self, shard: usize) -> PathBuf {
        self.path(&format!("shard-{shard}"))
    }

    /// How the node of a shard is started.
    pub(crate) fn node_arguments(&self, shard: usize) -> Vec<String> {
        let (file, data) = (self.path("cluster.toml"), self.data_dir(shard));
        let number = shard.to_string();
        ["node", "--cluster", text(&file), "--shard", &number, "--data-dir", text(&data)].map(str::to_owned).to_vec()
    }

    /// How a router on `listen` is started.
    pub(crate) fn router_arguments(&self, listen: SocketAddr) -> Vec<String> {
        let file = self.path("cluster.toml");
        ["router", "--cluster", text(&file), "--listen", &listen.to_string()].map(str::to_owned).to_vec()
    }

    /// Starts the node of a shard.
    pub(crate) fn node(&self, shard: usize) -> Server {
        Server::start(&borrowed(&self.node_arguments(shard)))
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
