//! What everything in a run shares: time, the trace, the map, who can be reached, and the network between them.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crest_node::NodeHandle;
use crest_node::clock::ProcessClock;
use crest_topology::{Cluster, NodeEntry, NodeId, ShardEntry, SlotMap};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::network::{End, Network};
use crate::plan::GroupPlan;
use crate::record::Record;
use crate::trace::Trace;

/// Real time at the start of every run: 14 November 2023, ns since the Unix epoch.
pub(crate) const EPOCH_NS: u64 = 1_700_000_000_000_000_000;

/// A clock that is further off than this is wrong, ns: comparing allows a second, and clocks that are right are off by up to 100 ms.
pub(crate) const CLOCK_ERROR_NS: u64 = 2_000_000_000;

/// Two looks at a clock that are closer than this show whether it has jumped, ns: less than the pause between two comparisons of a clock
/// that is not trusted.
const CLOCK_LOOK_NS: u64 = 100_000_000;

/// The shared part of a run.
pub(crate) struct World {
    pub(crate) map: SlotMap,
    /// What replicas did that is compared in the end.
    pub(crate) record: Record,
    cluster: watch::Sender<Arc<Cluster>>,
    start: Instant,
    trace: Mutex<Trace>,
    network: Mutex<Network>,
    /// Machines of each shard.
    machines_per_shard: u32,
    /// By the number of the node, less one.
    machines: Vec<Mutex<Reach>>,
    /// How often each router was started.
    routers: Vec<Mutex<u64>>,
    failures: Mutex<Vec<String>>,
    /// Whether some process has led with a wrong clock: it was started with one, and could not be compared.
    misled: AtomicBool,
}

/// What runs on a machine, as others find it.
#[derive(Clone, Default)]
pub(crate) enum Up {
    /// No process.
    #[default]
    Down,
    /// A process without a replica, and none is to be there.
    Absent,
    /// A process that finds out what its replica is.
    Fresh,
    /// A replica.
    Runs(NodeHandle),
}

#[derive(Default)]
struct Reach {
    up: Up,
    /// Whether its replica believes that it leads.
    leads: bool,
    /// How often its process was started or ended.
    incarnation: u64,
    /// The clock of its process, where clocks are compared.
    clock: Option<ProcessClock>,
    /// Whether its wall clock is far off.
    wild: bool,
    /// When its clock was last looked at, and what it showed, both ns.
    looked: Option<(u64, u64)>,
}

impl World {
    pub(crate) fn new(map: SlotMap, routers: u32, groups: &GroupPlan, network: Network, trace: Trace) -> Self {
        let machines_per_shard = groups.replicas + groups.spares;
        let count = map.shards().len() as u32 * machines_per_shard;
        let nodes = (1..=count).map(|id| NodeEntry { id, address: format!("node-{id}:1") }).collect();
        let placement = |id: &u32| {
            let first = id * machines_per_shard + 1;
            ShardEntry { id: *id, replicas: (first..first + groups.replicas).collect(), founded: false }
        };
        let shards = map.shards().iter().map(placement).collect();
        let cluster = Cluster { name: "simulated".to_owned(), version: 1, nodes, shards, map: map.clone() };
        Self {
            record: Record::new(map.shards().len()),
            map,
            cluster: watch::Sender::new(Arc::new(cluster)),
            start: Instant::now(),
            trace: Mutex::new(trace),
            network: Mutex::new(network),
            machines_per_shard,
            machines: (0..count).map(|_| Mutex::default()).collect(),
            routers: (0..routers).map(|_| Mutex::new(0)).collect(),
            failures: Mutex::default(),
            misled: AtomicBool::new(false),
        }
    }

    /// Notes when the clock of a machine's process may be used and is wrong, and checks that it does not jump.
    pub(crate) fn look_at_clock(&self, node: NodeId) {
        let Some(clock) = self.clock(node).filter(ProcessClock::is_trusted) else {
            self.reach(node).looked = None;
            return;
        };
        let (now, time) = (self.now(), clock.now());
        let looked = self.reach(node).looked.replace((now, time));
        // In a longer time it may have been distrusted and trusted again, and set meanwhile.
        if let Some((then, before)) = looked.filter(|(then, _)| now - then < CLOCK_LOOK_NS) {
            let jumped = time.abs_diff(before + (now - then));
            if jumped > CLOCK_LOOK_NS / 1_000 {
                self.fail(format!("the clock of node {node} jumped by {} ms while it was trusted", jumped / 1_000_000));
            }
        }
        if time.abs_diff(EPOCH_NS + self.now()) > CLOCK_ERROR_NS && !self.misled.swap(true, Ordering::Relaxed) {
            self.note(format_args!("node {node} is misled by its clock"), &[]);
        }
    }

    /// Whether some process has led with a wrong clock.
    pub(crate) fn was_misled(&self) -> bool {
        self.misled.load(Ordering::Relaxed)
    }

    /// Virtual time since the start, ns.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Notes what happens.
    pub(crate) fn note(&self, what: std::fmt::Arguments<'_>, bytes: &[u8]) {
        let now = self.now();
        lock(&self.trace).note(now, what, bytes);
    }

    /// Whether somebody reads the trace.
    pub(crate) fn is_watched(&self) -> bool {
        lock(&self.trace).prints()
    }

    pub(crate) fn trace_result(&self) -> (u64, u64) {
        lock(&self.trace).result()
    }

    /// Notes that something must not have happened.
    pub(crate) fn fail(&self, what: String) {
        self.note(format_args!("FAILED: {what}"), what.as_bytes());
        lock(&self.failures).push(what);
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        lock(&self.failures).clone()
    }

    pub(crate) fn network(&self) -> MutexGuard<'_, Network> {
        lock(&self.network)
    }

    /// The map as those who look at it now find it. Nobody waits for its changes: a `watch` channel would tell them in an order
    /// that no seed decides.
    pub(crate) fn cluster(&self) -> watch::Receiver<Arc<Cluster>> {
        self.cluster.subscribe()
    }

    /// The nodes that are to have a replica of the shard.
    pub(crate) fn placement(&self, shard: u32) -> Vec<NodeId> {
        self.cluster.borrow().replicas_of(shard).to_vec()
    }

    /// Places a shard elsewhere.
    pub(crate) fn place(&self, shard: u32, nodes: &[NodeId]) {
        let mut cluster = Cluster::clone(&self.cluster.borrow());
        cluster.version += 1;
        if let Some(entry) = cluster.shards.iter_mut().find(|entry| entry.id == shard) {
            entry.replicas = nodes.to_vec();
        }
        self.cluster.send_replace(Arc::new(cluster));
    }

    /// All nodes.
    pub(crate) fn nodes(&self) -> RangeInclusive<NodeId> {
        1..=self.machines.len() as u32
    }

    /// The machines that may have a replica of the shard.
    pub(crate) fn nodes_of(&self, shard: u32) -> RangeInclusive<NodeId> {
        shard * self.machines_per_shard + 1..=(shard + 1) * self.machines_per_shard
    }

    /// The shard of a machine.
    pub(crate) fn shard_of_node(&self, node: NodeId) -> u32 {
        (node - 1) / self.machines_per_shard
    }

    fn reach(&self, node: NodeId) -> MutexGuard<'_, Reach> {
        lock(&self.machines[node as usize - 1])
    }

    /// What runs on a machine.
    pub(crate) fn up(&self, node: NodeId) -> Up {
        self.reach(node).up.clone()
    }

    /// The replica on a machine, when it runs.
    pub(crate) fn replica(&self, node: NodeId) -> Option<NodeHandle> {
        match &self.reach(node).up {
            Up::Runs(handle) => Some(handle.clone()),
            _ => None,
        }
    }

    /// The machine whose replica believes that it leads; of several, some.
    pub(crate) fn leader(&self, shard: u32) -> Option<NodeId> {
        self.nodes_of(shard).find(|node| self.reach(*node).leads)
    }

    /// Says that a machine's process runs, or no longer does.
    pub(crate) fn set_process(&self, node: NodeId, runs: bool) -> End {
        let mut reach = self.reach(node);
        reach.incarnation += 1;
        reach.up = if runs { Up::Absent } else { Up::Down };
        reach.leads = false;
        (reach.clock, reach.looked) = (None, None);
        End::Node { node, incarnation: reach.incarnation }
    }

    /// Says what runs in a machine's process.
    pub(crate) fn set_up(&self, node: NodeId, up: Up) {
        let mut reach = self.reach(node);
        reach.up = up;
        reach.leads = false;
    }

    pub(crate) fn set_clock(&self, node: NodeId, clock: ProcessClock) {
        self.reach(node).clock = Some(clock);
    }

    /// The clock of the process on a machine, when one runs and clocks are compared.
    pub(crate) fn clock(&self, node: NodeId) -> Option<ProcessClock> {
        self.reach(node).clock.clone()
    }

    pub(crate) fn set_wild(&self, node: NodeId, wild: bool) {
        self.reach(node).wild = wild;
    }

    /// Whether the wall clocks of half of the machines or more are far off.
    pub(crate) fn mostly_wild(&self) -> bool {
        self.nodes().filter(|node| self.reach(*node).wild).count() * 2 >= self.machines.len()
    }

    pub(crate) fn set_leads(&self, node: NodeId, leads: bool) {
        self.reach(node).leads = leads;
    }

    /// Says that a router is another one from now on.
    pub(crate) fn new_router(&self, router: u32) -> End {
        let mut incarnation = lock(&self.routers[router as usize]);
        *incarnation += 1;
        End::Router { router, incarnation: *incarnation }
    }

    /// Whether that process still runs.
    pub(crate) fn lives(&self, end: End) -> bool {
        match end {
            End::Node { node, incarnation } => self.reach(node).incarnation == incarnation,
            End::Router { router, incarnation } => *lock(&self.routers[router as usize]) == incarnation,
        }
    }
}

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
