//! The stores under test, and what can happen to them.

use crate::etcd::Etcd;
use crest_map_store::{Location, MapStore, open};
use crest_topology::{Cluster, placement};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::transport::Endpoint;

/// Our part of etcd's API, to do to etcd what a store never does.
#[allow(missing_docs, unreachable_pub, clippy::all, dead_code, reason = "it is generated")]
mod api {
    tonic::include_proto!("etcdserverpb");
}

/// The name of every cluster here.
pub(crate) const NAME: &str = "pay";
/// How long what has to happen may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A store under test.
pub(crate) enum Subject {
    /// A file in a folder, which can be moved away.
    File { dir: tempfile::TempDir },
    /// A key of an etcd, which can be held still, killed and started.
    Etcd { etcd: Box<Etcd> },
}

impl Subject {
    pub(crate) fn file() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("here")).unwrap();
        Self::File { dir }
    }

    pub(crate) fn etcd() -> Self {
        Self::Etcd { etcd: Box::new(Etcd::start()) }
    }

    pub(crate) fn location(&self) -> Location {
        match self {
            Self::File { dir } => Location::File(path(dir)),
            Self::Etcd { etcd } => format!("etcd://{}/{NAME}", etcd.address()).parse().unwrap(),
        }
    }

    /// The store, as another process would open it.
    pub(crate) fn open(&self) -> Arc<dyn MapStore> {
        open(self.location())
    }

    /// Cuts the connection: nothing answers.
    pub(crate) fn lose(&mut self) {
        match self {
            Self::File { dir } => std::fs::rename(dir.path().join("here"), dir.path().join("away")).unwrap(),
            Self::Etcd { etcd } => etcd.pause(),
        }
    }

    /// Ends what [`Subject::lose`] began.
    pub(crate) fn regain(&mut self) {
        match self {
            Self::File { dir } => std::fs::rename(dir.path().join("away"), dir.path().join("here")).unwrap(),
            Self::Etcd { etcd } => etcd.resume(),
        }
    }

    /// Kills what serves the store.
    pub(crate) fn kill(&mut self) {
        match self {
            Self::File { .. } => self.lose(),
            Self::Etcd { etcd } => etcd.kill(),
        }
    }

    /// Starts it again, on its data.
    pub(crate) fn restart(&mut self) {
        match self {
            Self::File { .. } => self.regain(),
            Self::Etcd { etcd } => etcd.restart(),
        }
    }

    /// Writes there what no store would.
    pub(crate) async fn write(&self, content: &[u8]) {
        match self {
            Self::File { dir } => std::fs::write(path(dir), content).unwrap(),
            Self::Etcd { .. } => {
                let put = api::PutRequest { key: key(), value: content.to_vec() };
                self.transact(api::request_op::Request::RequestPut(put)).await;
            }
        }
    }

    /// Takes the map away.
    pub(crate) async fn erase(&self) {
        match self {
            Self::File { dir } => std::fs::remove_file(path(dir)).unwrap(),
            Self::Etcd { .. } => {
                let delete = api::DeleteRangeRequest { key: key() };
                self.transact(api::request_op::Request::RequestDeleteRange(delete)).await;
            }
        }
    }

    /// Lets the store forget its history; a file has none.
    pub(crate) async fn forget(&self) {
        if let Some(mut client) = self.client() {
            let read = client.range(api::RangeRequest { key: key() }).await.unwrap().into_inner();
            let revision = read.header.unwrap().revision;
            // Somebody else may have had it forget as much.
            let _ = client.compact(api::CompactionRequest { revision, physical: true }).await;
        }
    }

    async fn transact(&self, request: api::request_op::Request) {
        let success = vec![api::RequestOp { request: Some(request) }];
        let request = api::TxnRequest { compare: Vec::new(), success, failure: Vec::new() };
        assert!(self.client().unwrap().txn(request).await.unwrap().into_inner().succeeded);
    }

    fn client(&self) -> Option<api::kv_client::KvClient<tonic::transport::Channel>> {
        let Self::Etcd { etcd } = self else { return None };
        let endpoint = Endpoint::from_shared(format!("http://{}", etcd.address())).unwrap();
        Some(api::kv_client::KvClient::new(endpoint.timeout(PATIENCE).connect_lazy()))
    }
}

fn path(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("here").join(Path::new("cluster.toml"))
}

fn key() -> Vec<u8> {
    format!("crest/{NAME}/map").into_bytes()
}

/// Three nodes and two shards, at version 1.
pub(crate) fn first() -> Cluster {
    let nodes: String = (1..=3).map(|id| format!("[[node]]\nid = {id}\naddress = \"n{id}:1\"\n")).collect();
    let shards = "[[shard]]\nid = 0\n[[shard]]\nid = 1\n";
    Cluster::parse(&format!("cluster = \"{NAME}\"\nepoch = 1\n{nodes}{shards}")).unwrap()
}

/// The version after `current`, with a node whose address has `mark` in it, which is removed by the version after that.
pub(crate) fn marked(current: &Cluster, mark: &str) -> Cluster {
    let without = placement::remove_node(current, 9).unwrap_or_else(|_| current.clone());
    let next = placement::add_node(&without, 9, &format!("{mark}:1")).unwrap();
    Cluster { version: current.version + 1, ..next }
}

/// Waits until `done`.
#[track_caller]
pub(crate) fn until(what: &str, done: impl Fn() -> bool) -> impl Future<Output = ()> {
    let (what, place) = (what.to_owned(), std::panic::Location::caller());
    async move {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < PATIENCE, "{place}: {what}: not within {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Waits until a watch gives the map `expected`; what comes before it has to be older.
#[track_caller]
pub(crate) fn reaches(watch: &mut crest_map_store::Watch, expected: &Cluster) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let reached = tokio::time::timeout(PATIENCE, async {
            let mut before = 0;
            loop {
                let map = watch.next().await.expect("the watch goes on");
                assert!(map.version > before, "{place}: version {} after {before}", map.version);
                before = map.version;
                if before >= expected.version {
                    assert_eq!(*map, *expected, "{place}");
                    return;
                }
            }
        });
        assert!(reached.await.is_ok(), "{place}: version {} was not seen within {PATIENCE:?}", expected.version);
    }
}
