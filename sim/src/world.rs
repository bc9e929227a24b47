//! What everything in a run shares: time, the trace, who can be reached, and the network between them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crest_node::NodeHandle;
use crest_topology::SlotMap;
use tokio::time::Instant;

use crate::network::{End, Network};
use crate::trace::Trace;

/// Real time at the start of every run: 14 November 2023, ns since the Unix epoch.
pub(crate) const EPOCH_NS: u64 = 1_700_000_000_000_000_000;

/// The shared part of a run.
pub(crate) struct World {
    pub(crate) map: SlotMap,
    start: Instant,
    trace: Mutex<Trace>,
    network: Mutex<Network>,
    shards: Vec<Mutex<Reach>>,
    /// How often each router was started.
    routers: Vec<Mutex<u64>>,
    failures: Mutex<Vec<String>>,
}

/// How a shard's process is reached.
#[derive(Default)]
struct Reach {
    handle: Option<NodeHandle>,
    /// How often it was started or ended.
    incarnation: u64,
}

impl World {
    pub(crate) fn new(map: SlotMap, routers: u32, network: Network, trace: Trace) -> Self {
        let shards = map.shards().iter().map(|_| Mutex::default()).collect();
        Self {
            map,
            start: Instant::now(),
            trace: Mutex::new(trace),
            network: Mutex::new(network),
            shards,
            routers: (0..routers).map(|_| Mutex::new(0)).collect(),
            failures: Mutex::default(),
        }
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

    /// The process of a shard, when it runs.
    pub(crate) fn shard(&self, shard: u32) -> Option<NodeHandle> {
        lock(&self.shards[shard as usize]).handle.clone()
    }

    /// Says that a shard's process runs, or no longer does.
    pub(crate) fn set_shard(&self, shard: u32, handle: Option<NodeHandle>) -> End {
        let mut reach = lock(&self.shards[shard as usize]);
        reach.handle = handle;
        reach.incarnation += 1;
        End::Shard { shard, incarnation: reach.incarnation }
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
            End::Shard { shard, incarnation } => lock(&self.shards[shard as usize]).incarnation == incarnation,
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
