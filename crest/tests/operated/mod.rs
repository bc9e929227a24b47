//! A cluster of real processes that is operated with `crest cluster`: nodes with replicas of several shards, a router, and the
//! map in a file or in etcd.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::processes::{CLUSTER, Ended, Server, borrowed, folder, free_addresses, run, text};

/// How long one command may take: what it waits for has its own, shorter `--timeout`.
const COMMAND: Duration = Duration::from_secs(120);
/// How long a cluster may take to be as somebody waits for, while other tests share the machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running cluster.
pub(crate) struct Operated {
    dir: tempfile::TempDir,
    /// Where the map is, as `--cluster` takes it.
    pub(crate) location: String,
    addresses: BTreeMap<u32, SocketAddr>,
    nodes: BTreeMap<u32, Server>,
    pub(crate) router: Server,
}

impl Operated {
    /// A cluster with a shard on each of `placement`, from 0 on, and all nodes that are named there. `store` is where the map
    /// is to be; none for a file.
    pub(crate) fn start(placement: &[&[u32]], store: Option<String>) -> Self {
        let dir = folder();
        let numbers: Vec<u32> =
            (1..=placement.iter().flat_map(|on| on.iter()).copied().max().expect("a shard")).collect();
        let addresses: BTreeMap<u32, SocketAddr> = numbers.iter().copied().zip(free_addresses(numbers.len())).collect();
        let nodes = addresses.iter().map(|(id, address)| format!("[[node]]\nid = {id}\naddress = \"{address}\"\n"));
        let shards = placement.iter().enumerate();
        let shards = shards.map(|(id, on)| format!("[[shard]]\nid = {id}\nreplicas = {on:?}\n"));
        let map =
            format!("cluster = \"{CLUSTER}\"\nepoch = 1\n{}{}", nodes.collect::<String>(), shards.collect::<String>());
        let file = dir.path().join("cluster.toml");
        std::fs::write(&file, map).expect("the temporary folder can be written");
        if let Some(store) = &store {
            let put = run(&["cluster", "init", text(&file), "--cluster", store], COMMAND);
            assert_eq!(put.code, Some(0), "{put:?}");
        }
        let location = store.unwrap_or_else(|| text(&file).to_owned());
        let launched = numbers.iter().map(|id| (*id, launch(&dir, &location, *id, ""))).collect();
        let mut nodes: BTreeMap<u32, Server> = launched;
        nodes.values_mut().for_each(|node| assert!(node.ready().is_ok(), "{}", node.log()));
        let router = Server::start(&["router", "--cluster", &location, "--listen", "127.0.0.1:0"]);
        Self { dir, location, addresses, nodes, router }
    }

    /// Where a node keeps its data.
    pub(crate) fn data_dir(&self, node: u32) -> PathBuf {
        self.dir.path().join(format!("node-{node}"))
    }

    /// Starts a node that is in the map.
    pub(crate) fn node(&mut self, node: u32) {
        self.node_with(node, "");
    }

    /// Starts a node that is in the map, with failpoints.
    pub(crate) fn node_with(&mut self, node: u32, failpoints: &str) {
        let mut server = launch(&self.dir, &self.location, node, failpoints);
        assert!(server.ready().is_ok(), "{}", server.log());
        self.nodes.insert(node, server);
    }

    /// `kill -9` of a node.
    pub(crate) fn kill(&mut self, node: u32) {
        drop(self.nodes.remove(&node).expect("the node runs"));
    }

    /// Stops a node in good order.
    pub(crate) fn stop(&mut self, node: u32) {
        self.nodes.remove(&node).expect("the node runs").stop();
    }

    /// Stops everything in good order.
    pub(crate) fn stop_all(self) {
        self.router.stop();
        self.nodes.into_values().for_each(Server::stop);
    }

    /// An address for a new node.
    pub(crate) fn new_address(&mut self, node: u32) -> String {
        let address = free_addresses(1)[0];
        self.addresses.insert(node, address);
        address.to_string()
    }

    /// Runs `crest cluster` with these words.
    pub(crate) fn crest(&self, words: &str) -> Ended {
        let words = words.split_whitespace();
        let all: Vec<String> =
            ["cluster"].into_iter().chain(words).chain(["--cluster", &self.location]).map(str::to_owned).collect();
        run(&borrowed(&all), COMMAND)
    }

    /// As [`Operated::crest`]; the exit code has to be `code`, and what it prints and says holds all of `parts`.
    #[track_caller]
    pub(crate) fn check(&self, words: &str, code: i32, parts: &[&str]) -> Ended {
        let ended = self.crest(words);
        assert_eq!(ended.code, Some(code), "crest cluster {words}: {ended:?}\n{}", self.logs());
        // Lines are broken where the terminal ends.
        let on_one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (out, error) = (on_one_line(&ended.stdout), on_one_line(&ended.stderr));
        for part in parts {
            assert!(
                out.contains(part) || error.contains(part),
                "crest cluster {words}: {part:?} is missing: {ended:?}"
            );
        }
        ended
    }

    /// What `crest health` says of the router, and its exit code.
    pub(crate) fn health(&self) -> Ended {
        run(&["health", "--address", &self.router.address.to_string()], COMMAND)
    }

    /// Waits until `crest health` of the router ends with this code, and says this.
    #[track_caller]
    pub(crate) fn health_until(&self, code: i32, said: &str) {
        let begun = Instant::now();
        loop {
            let ended = self.health();
            if ended.code == Some(code) && format!("{}{}", ended.stdout, ended.stderr).contains(said) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{code}, {said}: {ended:?}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The status as `crest cluster status --json` prints it, and its exit code.
    pub(crate) fn status(&self) -> (Value, i32) {
        let ended = self.crest("status --json");
        let json = serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:?}"));
        (json, ended.code.expect("no signal ends it"))
    }

    /// As [`Operated::status`], with a copy of the map.
    pub(crate) fn copied_status(&self, copy: &std::path::Path) -> Value {
        let ended = self.crest(&format!("status --json --map-copy {}", text(copy)));
        serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:?}"))
    }

    /// Waits until the status is as `done` says.
    ///
    /// # Panics
    /// When that takes too long; with the last status.
    #[track_caller]
    pub(crate) fn status_until(&self, what: &str, done: impl Fn(&Value, i32) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let (status, code) = self.status();
            if done(&status, code) {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}: {code}, {status:#}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until the status is healthy.
    #[track_caller]
    pub(crate) fn healthy(&self) -> Value {
        self.status_until("the cluster becomes healthy", |_, code| code == 0)
    }

    /// What the nodes wrote last.
    pub(crate) fn logs(&self) -> String {
        let one = |(id, node): (&u32, &Server)| format!("--- node {id}\n{}", node.log());
        self.nodes.iter().map(one).collect()
    }
}

fn launch(dir: &tempfile::TempDir, location: &str, node: u32, failpoints: &str) -> Server {
    let (number, data) = (node.to_string(), dir.path().join(format!("node-{node}")));
    Server::launch(&["node", "--cluster", location, "--node", &number, "--data-dir", text(&data)], failpoints)
}

/// What a shard's troubles are in a status.
pub(crate) fn troubles(status: &Value, shard: usize) -> String {
    status["shards"][shard]["troubles"].to_string()
}

/// Who leads a shard in a status; 0 for nobody.
pub(crate) fn leader(status: &Value, shard: usize) -> u64 {
    status["shards"][shard]["leader"].as_u64().unwrap_or_default()
}
