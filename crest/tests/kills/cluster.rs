//! The processes of a cluster, and how each of them is started again.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;

use crest_proto::v1::ledger_client::LedgerClient;
use crest_proto::v1::operations_client::OperationsClient;
use tonic::transport::Channel;

use super::{Plan, Tally};
use crate::processes::{ClusterFiles, Server, borrowed, free_addresses};

/// What tests make smaller, so that segments begin and checkpoints are written all the time.
const SMALL: &str = "value::segment_bytes=return(524288);value::checkpoint_records=return(500)";

/// Joins what failpoints are told, as `FAILPOINTS` has it.
pub(crate) fn at_points<'a>(told: impl IntoIterator<Item = &'a str>) -> String {
    told.into_iter().filter(|one| !one.is_empty()).collect::<Vec<_>>().join(";")
}

/// The signal of a process that aborted itself.
pub(super) const SIGABRT: i32 = 6;

/// A process of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Node(usize),
    Router(usize),
}

impl Who {
    /// What it is, for a table.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Node(_) => "node",
            Self::Router(_) => "router",
        }
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Node(number) | Self::Router(number)) = self;
        write!(f, "{} {number}", self.kind())
    }
}

/// How a process is started.
#[derive(Clone, Debug)]
pub(crate) struct Launcher(Vec<String>);

impl Launcher {
    /// Starts it with these failpoints, without waiting for it.
    pub(crate) fn launch(&self, failpoints: &str) -> Server {
        Server::launch(&borrowed(&self.0), &at_points([SMALL, failpoints]))
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(&self) -> Server {
        let mut server = self.launch("");
        let ready = server.ready();
        assert!(ready.is_ok(), "it ended with {ready:?} instead:\n{}", server.log());
        server
    }
}

/// Processes, one a shard, and routers.
pub(crate) struct Cluster {
    pub(crate) files: ClusterFiles,
    launchers: BTreeMap<Who, Launcher>,
    processes: BTreeMap<Who, Server>,
}

impl Cluster {
    /// Starts a cluster, all processes with these failpoints.
    pub(crate) fn start(shards: usize, routers: usize, failpoints: &str) -> Self {
        Self::start_with(shards, routers, |_| failpoints.to_owned())
    }

    /// Starts a cluster, each process with failpoints of its own.
    pub(crate) fn start_with(shards: usize, routers: usize, failpoints: impl Fn(Who) -> String) -> Self {
        let files = ClusterFiles::new(shards);
        let nodes = (0..shards).map(|shard| (Who::Node(shard), Launcher(files.node_arguments(shard))));
        let fronts = free_addresses(routers).into_iter().enumerate();
        let routers = fronts.map(|(n, front)| (Who::Router(n), Launcher(files.router_arguments(front))));
        let launchers: BTreeMap<Who, Launcher> = nodes.chain(routers).collect();
        let launched: BTreeMap<Who, Server> =
            launchers.iter().map(|(who, launcher)| (*who, launcher.launch(&failpoints(*who)))).collect();
        let mut cluster = Self { files, launchers, processes: launched };
        for (who, server) in &mut cluster.processes {
            let ready = server.ready();
            assert!(ready.is_ok(), "{who} ended with {ready:?}:\n{}", server.log());
        }
        cluster
    }

    /// One of the processes.
    pub(crate) fn process(&mut self, who: Who) -> &mut Server {
        self.processes.get_mut(&who).expect("the cluster has it")
    }

    /// All of them.
    pub(crate) fn processes(&self) -> impl Iterator<Item = &Server> {
        self.processes.values()
    }

    /// Kills a process and starts it again.
    pub(crate) fn kill(&mut self, who: Who) {
        self.process(who).kill();
        let again = self.launchers[&who].start();
        self.processes.insert(who, again);
    }

    /// As [`Cluster::kill`]; it is started with failpoints.
    pub(crate) fn kill_and_arm(&mut self, who: Who, failpoints: &str) {
        self.process(who).kill();
        let mut again = self.launchers[&who].launch(failpoints);
        let ready = again.ready();
        assert!(ready.is_ok(), "{who} ended with {ready:?}:\n{}", again.log());
        self.processes.insert(who, again);
    }

    /// Starts again those that have died at a failpoint. Answers how many.
    ///
    /// # Panics
    /// When one has ended in another way.
    pub(crate) fn revive(&mut self) -> usize {
        let mut dead = Vec::new();
        for (who, server) in &mut self.processes {
            if let Some(ended) = server.has_ended() {
                assert_eq!(ended.signal(), Some(SIGABRT), "{who}: {}", server.log());
                dead.push(*who);
            }
        }
        dead.iter().for_each(|who| self.kill(*who));
        dead.len()
    }

    /// A client of each router.
    pub(crate) fn ways(&self) -> Vec<LedgerClient<Channel>> {
        self.routers().map(Server::ledger).collect()
    }

    /// The operations of the first router.
    pub(crate) fn operations(&self) -> OperationsClient<Channel> {
        self.routers().next().expect("there is a router").operations()
    }

    fn routers(&self) -> impl Iterator<Item = &Server> {
        self.processes.iter().filter(|(who, _)| matches!(who, Who::Router(_))).map(|(_, server)| server)
    }

    /// Lets happen what is planned, to all at the same time. When it returns, all processes run again.
    pub(crate) async fn suffer(&mut self, plan: Plan, tally: &Arc<Tally>) {
        let mut under_way = Vec::new();
        for befalls in plan.0 {
            let server = self.processes.remove(&befalls.who).expect("one thing happens to a process at a time");
            let (launcher, tally) = (self.launchers[&befalls.who].clone(), tally.clone());
            let who = befalls.who;
            under_way.push((who, tokio::task::spawn_blocking(move || befalls.play(server, &launcher, &tally))));
        }
        for (who, task) in under_way {
            let server = task.await.expect("it comes back");
            self.processes.insert(who, server);
        }
    }

    /// Ends the processes in good order.
    pub(crate) fn stop(self) {
        // Routers first: they ask the nodes.
        self.processes.into_values().rev().for_each(Server::stop);
    }
}
