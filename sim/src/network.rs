//! The network: messages that are late, lost, repeated, out of order, or cut off.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crest_conformance::random::Random;
use crest_ledger::wire::{Request, Response};
use crest_link::{Answering, LinkError, Links, ShardLink};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::plan::NetworkPlan;
use crate::world::{World, lock, ms};

/// An end of a connection: one life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Shard { shard: u32, incarnation: u64 },
    Router { router: u32, incarnation: u64 },
}

impl End {
    /// The machine it runs on: shards first.
    fn machine(self) -> u32 {
        match self {
            Self::Shard { shard, .. } => shard,
            Self::Router { router, .. } => 1_000 + router,
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shard { shard, .. } => write!(f, "shard {shard}"),
            Self::Router { router, .. } => write!(f, "router {router}"),
        }
    }
}

/// What the network does to the next message.
#[derive(Debug)]
struct Fate {
    /// When the copies of the request arrive; none when it is lost.
    request: Vec<Duration>,
    /// When the answer to the first copy arrives after that; `None` when it is lost.
    answer: Option<Duration>,
    /// When the sender hears that the connection broke, if anything was lost.
    broken: Duration,
}

/// The state of the network.
#[derive(Debug)]
pub(crate) struct Network {
    plan: NetworkPlan,
    random: Random,
    /// Pairs of machines that do not hear each other.
    cut: Vec<(u32, u32)>,
    /// When the last message from one machine to another arrives, ns: without reordering, later ones come after it.
    last: BTreeMap<(u32, u32), u64>,
}

impl Network {
    pub(crate) fn new(plan: NetworkPlan, seed: u64) -> Self {
        Self { plan, random: Random::new(seed), cut: Vec::new(), last: BTreeMap::new() }
    }

    /// From now on every message arrives, in time and once.
    pub(crate) fn heal(&mut self) {
        self.plan = NetworkPlan { slow_percent: 0, lost_permille: 0, repeated_permille: 0, delay_ms: 2, ..self.plan };
        self.cut.clear();
        self.last.clear();
    }

    /// Cuts some machines off from others: one from all, or two from each other.
    pub(crate) fn cut(&mut self, shards: u32, routers: u32) {
        let machines: Vec<u32> = (0..shards).chain(1_000..1_000 + routers).collect();
        let one = self.random.pick(&machines).unwrap_or(0);
        let other = self.random.pick(&machines).unwrap_or(0);
        if self.random.chance(50) {
            self.cut = machines.iter().map(|m| (one, *m)).chain(machines.iter().map(|m| (*m, one))).collect();
        } else if self.random.chance(50) {
            self.cut = vec![(one, other), (other, one)];
        } else {
            self.cut = vec![(one, other)];
        }
    }

    pub(crate) fn join(&mut self) {
        self.cut.clear();
    }

    fn delay(&mut self) -> u64 {
        let slow = self.random.chance(self.plan.slow_percent);
        let max = if slow { self.plan.slow_ms } else { self.plan.delay_ms };
        self.random.below(max + 1)
    }

    fn lost(&mut self, from: u32, to: u32) -> bool {
        self.cut.contains(&(from, to)) || self.random.below(1_000) < self.plan.lost_permille
    }

    /// The delay of a message that is sent at `now`, ns.
    fn arrives(&mut self, now: u64, from: u32, to: u32) -> Duration {
        let mut delay = self.delay() * 1_000_000;
        if !self.plan.reordered {
            let last = self.last.entry((from, to)).or_default();
            delay = delay.max(last.saturating_sub(now));
            *last = now + delay;
        }
        Duration::from_nanos(delay)
    }

    fn fate(&mut self, now: u64, from: u32, to: u32) -> Fate {
        let mut request = Vec::new();
        if !self.lost(from, to) {
            request.push(self.arrives(now, from, to));
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
}

/// A way to one shard through the network.
struct NetworkLink {
    world: Arc<World>,
    from: End,
    to: u32,
}

/// The ways from one process to all shards.
pub(crate) fn links(world: &Arc<World>, from: End) -> Links {
    let link = |to: &u32| {
        let link: Arc<dyn ShardLink> = Arc::new(NetworkLink { world: world.clone(), from, to: *to });
        (*to, link)
    };
    Links::new(world.map.clone(), world.map.shards().iter().map(link).collect())
}

type Reply = Arc<Mutex<Option<oneshot::Sender<Result<Response, LinkError>>>>>;

impl ShardLink for NetworkLink {
    fn send(&self, request: Request) -> Answering {
        let (reply, answer) = oneshot::channel();
        let reply: Reply = Arc::new(Mutex::new(Some(reply)));
        let (world, from, to) = (self.world.clone(), self.from, self.to);
        let bytes = request.pack();
        if world.lives(from) {
            let fate = world.network().fate(world.now(), from.machine(), to);
            if world.is_watched() {
                world.note(format_args!("{from} -> shard {to} {fate:?} {request:?}"), &bytes);
            } else {
                world.note(format_args!(""), &bytes);
            }
            let refused = Arc::new(AtomicBool::new(false));
            for (copy, after) in fate.request.iter().enumerate() {
                let reply = if copy == 0 { fate.answer.map(|back| (back, reply.clone())) } else { None };
                let message =
                    Message { world: world.clone(), from, to, bytes: bytes.clone(), refused: refused.clone() };
                tokio::spawn(message.deliver(*after, reply));
            }
            // Whoever waits hears at last that the connection broke.
            let lost = fate.request.is_empty() || fate.answer.is_none();
            let patience = if lost { fate.broken } else { Duration::from_secs(60) };
            tokio::spawn(async move {
                sleep(patience).await;
                lock(&reply).take();
            });
        } else {
            // A process that died while it was sending: nothing gets out, and nobody waits.
            tokio::spawn(async move {
                sleep(Duration::from_secs(60)).await;
                lock(&reply).take();
            });
        }
        Box::pin(async move {
            let broken = || LinkError::Unknown { shard: to, why: "the connection broke".to_owned() };
            answer.await.unwrap_or_else(|_| Err(broken()))
        })
    }

    fn address(&self) -> String {
        format!("simulated shard {}", self.to)
    }
}

/// One copy of a request on its way.
struct Message {
    world: Arc<World>,
    from: End,
    to: u32,
    bytes: Vec<u8>,
    /// Whoever is told that nobody listens has sent nothing: then there are no further copies either.
    refused: Arc<AtomicBool>,
}

impl Message {
    /// Brings it to its shard, and the answer back.
    async fn deliver(self, after: Duration, reply: Option<(Duration, Reply)>) {
        let Self { world, from, to, .. } = &self;
        if !after.is_zero() {
            sleep(after).await;
        }
        if self.refused.load(Ordering::Relaxed) {
            return;
        }
        let request = Request::unpack(&self.bytes).expect("a request reads back as it was written");
        let answer = match world.shard(*to) {
            Some(handle) => handle.send(request).await,
            None => {
                self.refused.store(true, Ordering::Relaxed);
                Err(LinkError::Refused { shard: *to, why: "nobody listens there".to_owned() })
            }
        };
        let Some((back, reply)) = reply else { return };
        let answer = answer.map(|response| {
            let bytes = response.pack();
            world.note(format_args!("shard {to} -> {from} {response:?}"), &bytes);
            Response::unpack(&bytes).expect("a response reads back as it was written")
        });
        sleep(back).await;
        if let Some(reply) = lock(&reply).take() {
            let _ = reply.send(answer);
        }
    }
}
