//! The processes of a cluster, and how each of them is started again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;

use crest_proto::v1::ledger_client::LedgerClient;
use crest_proto::v1::operations_client::OperationsClient;
use tonic::transport::Channel;

use super::{Plan, Tally};
use crate::processes::{ClusterFiles, Groups, Layout, Server, borrowed, free_addresses};

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
pub(crate) struct Launcher {
    arguments: Vec<String>,
    /// The failpoints that it has at every start.
    always: &'static str,
    /// The network namespace that it is in, when it is not where the test is.
    inside: Option<String>,
}

impl Launcher {
    /// Starts it with these failpoints, without waiting for it.
    pub(crate) fn launch(&self, failpoints: &str) -> Server {
        let failpoints = at_points([self.always, failpoints]);
        match &self.inside {
            None => Server::launch(&borrowed(&self.arguments), &failpoints),
            Some(namespace) => Server::launch_inside(namespace, &borrowed(&self.arguments), &failpoints),
        }
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(&self) -> Server {
        let mut server = self.launch("");
        let ready = server.ready();
        assert!(ready.is_ok(), "it ended with {ready:?} instead:\n{}", server.log());
        server
    }
}

/// How long a cluster may take until all its groups have founded themselves, or are whole again.
const WHOLE: Duration = Duration::from_secs(60);

/// Nodes, and routers.
pub(crate) struct Cluster {
    pub(crate) files: ClusterFiles,
    pub(crate) groups: Groups,
    launchers: BTreeMap<Who, Launcher>,
    processes: BTreeMap<Who, Server>,
}

impl Cluster {
    /// Starts a cluster whose shards are alone on their nodes, all processes with these failpoints.
    pub(crate) fn start(shards: usize, routers: usize, failpoints: &str) -> Self {
        Self::start_with(Layout::Alone(shards), routers, |_| failpoints.to_owned())
    }

    /// Starts a cluster, each process with failpoints of its own.
    pub(crate) fn start_with(layout: Layout, routers: usize, failpoints: impl Fn(Who) -> String) -> Self {
        Self::start_as(layout, routers, SMALL, failpoints)
    }

    /// Starts a cluster whose processes have these failpoints at every start, and others at this one.
    pub(crate) fn start_as(
        layout: Layout,
        routers: usize,
        always: &'static str,
        failpoints: impl Fn(Who) -> String,
    ) -> Self {
        let files = ClusterFiles::of(layout);
        let launcher = |arguments| Launcher { arguments, always, inside: None };
        let nodes = (0..layout.nodes()).map(|node| (Who::Node(node), launcher(files.node_arguments(node))));
        let fronts = free_addresses(routers).into_iter().enumerate();
        let routers = fronts.map(|(n, front)| (Who::Router(n), launcher(files.router_arguments(front))));
        let launchers = nodes.chain(routers).collect();
        Self::launch(files, launchers, failpoints)
    }

    /// Starts a cluster whose nodes and routers listen at these addresses, each node in a network namespace.
    pub(crate) fn start_inside(
        layout: Layout,
        nodes: Vec<SocketAddr>,
        routers: &[SocketAddr],
        namespace: impl Fn(usize) -> String,
    ) -> Self {
        let files = ClusterFiles::at(layout, nodes);
        let launcher = |arguments, inside| Launcher { arguments, always: SMALL, inside };
        let node = |node| (Who::Node(node), launcher(files.node_arguments(node), Some(namespace(node))));
        let router = |(n, at): (usize, &SocketAddr)| (Who::Router(n), launcher(files.router_arguments(*at), None));
        let launchers = (0..layout.nodes()).map(node).chain(routers.iter().enumerate().map(router)).collect();
        Self::launch(files, launchers, |_| String::new())
    }

    fn launch(files: ClusterFiles, launchers: BTreeMap<Who, Launcher>, failpoints: impl Fn(Who) -> String) -> Self {
        let launched: BTreeMap<Who, Server> =
            launchers.iter().map(|(who, launcher)| (*who, launcher.launch(&failpoints(*who)))).collect();
        let mut cluster = Self { groups: Groups::of(&files), files, launchers, processes: launched };
        for (who, server) in &mut cluster.processes {
            let ready = server.ready();
            assert!(ready.is_ok(), "{who} ended with {ready:?}:\n{}", server.log());
        }
        cluster
    }

    /// Waits until every shard has a leader and all its replicas.
    pub(crate) async fn until_whole(&self) {
        self.groups.until_whole(WHOLE).await;
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
        self.start_again(who);
    }

    /// Starts a process again that has ended.
    pub(crate) fn start_again(&mut self, who: Who) {
        let again = self.launchers[&who].start();
        self.processes.insert(who, again);
    }

    /// Asks a process to end, waits until it has, and starts it again.
    pub(crate) fn restart(&mut self, who: Who) {
        self.processes.remove(&who).expect("the cluster has it").stop();
        self.start_again(who);
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
        let acts = plan.0.into_iter().map(|befalls| {
            let tally = tally.clone();
            (befalls.who, move |server: Server, launcher: &Launcher| befalls.play(server, launcher, &tally))
        });
        self.all_at_once(acts.collect()).await;
    }

    /// Takes processes out, does something with each, all at the same time, and puts back what comes of it.
    pub(crate) async fn all_at_once<F>(&mut self, acts: Vec<(Who, F)>)
    where
        F: FnOnce(Server, &Launcher) -> Server + Send + 'static,
    {
        let mut under_way = Vec::new();
        for (who, act) in acts {
            let server = self.processes.remove(&who).expect("one thing happens to a process at a time");
            let launcher = self.launchers[&who].clone();
            under_way.push((who, tokio::task::spawn_blocking(move || act(server, &launcher))));
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
