//! The network: messages that are late, lost, repeated, out of order, or cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crest_conformance::random::Random;
use crest_topology::NodeId;

use crate::plan::NetworkPlan;
use crate::world::ms;

/// An end of a connection: one life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Node { node: NodeId, incarnation: u64 },
    Router { router: u32, incarnation: u64 },
}

impl End {
    /// The machine it runs on: nodes by their numbers, then routers.
    pub(crate) fn machine(self) -> u32 {
        match self {
            Self::Node { node, .. } => node,
            Self::Router { router, .. } => router_machine(router),
        }
    }
}

/// The machine of a router.
pub(crate) fn router_machine(router: u32) -> u32 {
    1_000 + router
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node { node, .. } => write!(f, "node {node}"),
            Self::Router { router, .. } => write!(f, "router {router}"),
        }
    }
}

/// What the network does to the next request.
#[derive(Debug)]
pub(crate) struct Fate {
    /// When the copies of the request arrive; none when it is lost.
    pub(crate) request: Vec<Duration>,
    /// When the answer to the first copy arrives after that; `None` when it is lost.
    pub(crate) answer: Option<Duration>,
    /// When the sender hears that the connection broke, if anything was lost.
    pub(crate) broken: Duration,
}

/// The state of the network.
#[derive(Debug)]
pub(crate) struct Network {
    plan: NetworkPlan,
    random: Random,
    /// Partitions: pairs of machines of which the second does not hear the first.
    cuts: BTreeMap<u64, BTreeSet<(u32, u32)>>,
    cuts_made: u64,
    /// When the last message from one machine to another arrives, ns: without reordering, later ones come after it.
    last: BTreeMap<(u32, u32, Stream), u64>,
}

/// Messages of one stream keep their order, unless the network reorders them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stream {
    Requests,
    Raft,
}

impl Network {
    pub(crate) fn new(plan: NetworkPlan, seed: u64) -> Self {
        Self { plan, random: Random::new(seed), cuts: BTreeMap::new(), cuts_made: 0, last: BTreeMap::new() }
    }

    /// From now on every message arrives, in time and once.
    pub(crate) fn heal(&mut self) {
        self.plan = NetworkPlan { slow_percent: 0, lost_permille: 0, repeated_permille: 0, delay_ms: 2, ..self.plan };
        self.cuts.clear();
        self.last.clear();
    }

    /// Cuts machines off from others. Answers the partition's number.
    pub(crate) fn cut(&mut self, pairs: BTreeSet<(u32, u32)>) -> u64 {
        self.cuts_made += 1;
        self.cuts.insert(self.cuts_made, pairs);
        self.cuts_made
    }

    /// Ends a partition.
    pub(crate) fn join(&mut self, cut: u64) {
        self.cuts.remove(&cut);
    }

    fn delay(&mut self) -> u64 {
        let slow = self.random.chance(self.plan.slow_percent);
        let max = if slow { self.plan.slow_ms } else { self.plan.delay_ms };
        self.random.below(max + 1)
    }

    fn lost(&mut self, from: u32, to: u32) -> bool {
        self.cuts.values().any(|cut| cut.contains(&(from, to))) || self.random.below(1_000) < self.plan.lost_permille
    }

    /// The delay of a message that is sent at `now`, ns.
    fn arrives(&mut self, now: u64, from: u32, to: u32, stream: Stream, delay_ms: u64) -> Duration {
        let mut delay = delay_ms * 1_000_000;
        if !self.plan.reordered {
            let last = self.last.entry((from, to, stream)).or_default();
            delay = delay.max(last.saturating_sub(now));
            *last = now + delay;
        }
        Duration::from_nanos(delay)
    }

    pub(crate) fn fate(&mut self, now: u64, from: u32, to: u32) -> Fate {
        let mut request = Vec::new();
        if !self.lost(from, to) {
            let delay = self.delay();
            request.push(self.arrives(now, from, to, Stream::Requests, delay));
            if self.random.below(1_000) < self.plan.repeated_permille {
                let later = request[0] + ms(self.random.below(1 + self.plan.slow_ms));
                request.push(later);
            }
        }
        let answer = if self.lost(to, from) { None } else { Some(ms(self.delay())) };
        // Half of the losses are a broken connection, the others are silence.
        let broken = if self.random.chance(50) { ms(self.random.below(500)) } else { Duration::from_secs(30) };
        Fate { request, answer, broken }
    }

    /// When the copies of a message of raft arrive. Between replicas there are so many that a slow one is rarer: each holds up
    /// those behind it.
    pub(crate) fn raft_fate(&mut self, now: u64, from: u32, to: u32) -> Vec<Duration> {
        if self.lost(from, to) {
            return Vec::new();
        }
        let slow = self.random.below(2_000) < self.plan.slow_percent;
        let max = if slow { self.plan.slow_ms.min(3_000) } else { self.plan.delay_ms };
        let delay = self.random.below(max + 1);
        let mut copies = vec![self.arrives(now, from, to, Stream::Raft, delay)];
        if self.random.below(1_000) < self.plan.repeated_permille {
            copies.push(copies[0] + ms(self.random.below(1 + self.plan.slow_ms)));
        }
        copies
    }
}
