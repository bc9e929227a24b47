//! The ways of requests through the network: the real [`GroupLink`], over simulated connections to single replicas.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crest_ledger::wire::{Request, Response};
use crest_link::group::{GroupLink, Ways};
use crest_link::grpc::Packed;
use crest_link::{Answering, LinkError, Links, ShardLink};
use crest_topology::NodeId;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::network::End;
use crate::world::{Up, World, lock};

/// The ways from one process to the replicas of one shard.
struct NetworkWays {
    world: Arc<World>,
    from: End,
    shard: u32,
}

/// The ways from one process to all shards.
pub(crate) fn links(world: &Arc<World>, from: End) -> Links {
    let link = |shard: &u32| {
        let ways = NetworkWays { world: world.clone(), from, shard: *shard };
        let link: Arc<dyn ShardLink> = Arc::new(GroupLink::over(*shard, world.cluster(), Box::new(ways)));
        (*shard, link)
    };
    Links::new(world.map.clone(), world.map.shards().iter().map(link).collect())
}

type Reply = Arc<Mutex<Option<oneshot::Sender<Result<Response, LinkError>>>>>;

impl Ways for NetworkWays {
    fn send(&self, to: NodeId, packed: Packed) -> Answering {
        let (reply, answer) = oneshot::channel();
        let reply: Reply = Arc::new(Mutex::new(Some(reply)));
        let (world, from, shard) = (self.world.clone(), self.from, self.shard);
        if world.lives(from) {
            let fate = world.network().fate(world.now(), from.machine(), to);
            if world.is_watched() {
                let request = Request::unpack(&packed.body);
                world.note(format_args!("{from} -> node {to} {fate:?} {request:?}"), &packed.body);
            } else {
                world.note(format_args!(""), &packed.body);
            }
            let copies = Arc::new(Copies::default());
            for (copy, after) in fate.request.iter().enumerate() {
                let reply = if copy == 0 { fate.answer.map(|back| (back, reply.clone())) } else { None };
                let message = Message {
                    world: world.clone(),
                    from,
                    shard,
                    to,
                    packed: packed.clone(),
                    first: copy == 0,
                    copies: copies.clone(),
                };
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
            let broken = || LinkError::Unknown { shard, why: "the connection broke".to_owned() };
            answer.await.unwrap_or_else(|_| Err(broken()))
        })
    }
}

/// What became of the copies of one request. Nothing may come of what was refused: the network alone makes copies.
#[derive(Default)]
struct Copies {
    /// Whoever is told that nobody takes it has sent nothing: then there are no further copies either.
    refused: AtomicBool,
    /// A later copy has arrived: what is said of the first one does not hold for it.
    repeated: AtomicBool,
}

/// One copy of a request on its way.
struct Message {
    world: Arc<World>,
    from: End,
    shard: u32,
    to: NodeId,
    packed: Packed,
    first: bool,
    copies: Arc<Copies>,
}

impl Message {
    /// Brings it to its replica, and the answer back.
    async fn deliver(self, after: Duration, reply: Option<(Duration, Reply)>) {
        let Self { world, from, shard, to, copies, .. } = &self;
        if !after.is_zero() {
            sleep(after).await;
        }
        if copies.refused.load(Ordering::Relaxed) {
            return;
        }
        copies.repeated.fetch_or(!self.first, Ordering::Relaxed);
        let answer = self.ask().await;
        let nothing_was_done = match &answer {
            Ok(_) | Err(LinkError::Unknown { .. }) => false,
            Err(_) => true,
        };
        let answer = match answer {
            Err(why) if nothing_was_done && self.first && copies.repeated.load(Ordering::Relaxed) => {
                Err(LinkError::Unknown { shard: *shard, why: format!("it was sent twice, and once: {why}") })
            }
            answer => answer,
        };
        if self.first && matches!(&answer, Err(e) if !matches!(e, LinkError::Unknown { .. })) {
            copies.refused.store(true, Ordering::Relaxed);
        }
        let Some((back, reply)) = reply else { return };
        let answer = answer.map(|response| {
            let bytes = response.pack();
            world.note(format_args!("node {to} -> {from} {response:?}"), &bytes);
            Response::unpack(&bytes).expect("a response reads back as it was written")
        });
        if let Err(why) = &answer {
            world.note(format_args!("node {to} -> {from} {why:?}"), &[]);
        }
        sleep(back).await;
        if let Some(reply) = lock(&reply).take() {
            let _ = reply.send(answer);
        }
    }

    /// As a node's service does.
    fn ask(&self) -> Answering {
        let shard = self.shard;
        let request = Request::unpack(&self.packed.body).expect("a request reads back as it was written");
        let error = match self.world.up(self.to) {
            Up::Runs(_) if self.world.shard_of_node(self.to) != shard => LinkError::NotLeader { shard, leader: None },
            Up::Runs(handle) if self.packed.any_replica => return handle.send_to_any(request),
            Up::Runs(handle) => return handle.send(request),
            Up::Absent | Up::Fresh => LinkError::NotLeader { shard, leader: None },
            Up::Down => LinkError::Unreachable { shard, why: "nobody listens there".to_owned() },
        };
        Box::pin(async move { Err(error) })
    }
}
