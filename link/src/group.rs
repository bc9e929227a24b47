//! The way to a shard with several replicas: to the one that leads, whichever that is just now.
//!
//! A replica that does not lead says so, and who does; nothing was done then, so the request goes on to that one. While nobody
//! leads, it waits and asks again: whoever sent it sees a delay, not an error. When a connection breaks after a request was
//! sent, its outcome is unknown, and it is not sent again: that is for whoever knows what it means.
//!
//! A leader that is cut off does not answer at all, and TCP would notice only after seconds. So when an answer is late, the other
//! replicas are asked who leads; when that is another one, whoever waits for the old one is told at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crest_ledger::txn::ShardId;
use crest_ledger::wire::{Query, Request, Response};
use crest_topology::{Cluster, NodeId};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use crate::grpc::{GrpcWays, Packed};
use crate::{Answering, LinkError, ShardLink};

/// How long a request goes on looking for a leader: elections take up to 2 s, and a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(8);
/// The pause after all replicas were asked and none leads.
const PAUSE: Duration = Duration::from_millis(50);
/// An answer that takes longer than this is late: the other replicas are asked who leads.
const LATE: Duration = Duration::from_millis(300);

/// The ways to the single replicas of a shard, whoever leads.
pub trait Ways: Send + Sync {
    /// Sends a request to the replica on a node, which answers it, or says that it does not lead.
    fn send(&self, node: NodeId, request: Packed) -> Answering;
}

/// A [`ShardLink`] to the leader of a shard's group. Cheap to clone.
#[derive(Clone)]
pub struct GroupLink(Arc<Inner>);

struct Inner {
    shard: ShardId,
    map: watch::Receiver<Arc<Cluster>>,
    ways: Box<dyn Ways>,
    leader: Belief,
    /// Held by whoever asks the others who leads; when that was done last.
    asking: tokio::sync::Mutex<Option<Instant>>,
    /// Which replica the next read goes to that any may answer.
    turn: std::sync::atomic::AtomicUsize,
}

impl GroupLink {
    /// The way to the shard's replicas in the map, which may change. Must be called inside a tokio runtime.
    pub fn new(shard: ShardId, map: watch::Receiver<Arc<Cluster>>) -> Self {
        let ways = Box::new(GrpcWays::new(shard, map.clone()));
        Self::over(shard, map, ways)
    }

    /// As [`GroupLink::new`], over ways of the caller's.
    pub fn over(shard: ShardId, map: watch::Receiver<Arc<Cluster>>, ways: Box<dyn Ways>) -> Self {
        let inner = Inner {
            shard,
            map,
            ways,
            leader: Belief::default(),
            asking: tokio::sync::Mutex::default(),
            turn: std::sync::atomic::AtomicUsize::default(),
        };
        Self(Arc::new(inner))
    }

    /// The nodes that have a replica, as the map says now.
    fn nodes(&self) -> Vec<NodeId> {
        self.0.map.borrow().replicas_of(self.0.shard).to_vec()
    }

    /// All nodes: those that have a replica come first.
    fn all_nodes(&self) -> Vec<NodeId> {
        let (mut nodes, map) = (self.nodes(), self.0.map.borrow());
        let others: Vec<NodeId> = map.nodes.iter().map(|node| node.id).filter(|node| !nodes.contains(node)).collect();
        nodes.extend(others);
        nodes
    }

    /// The node to try: the one that is believed to lead, or the one after `last`.
    fn candidate(&self, last: Option<NodeId>, nodes: &[NodeId]) -> Option<NodeId> {
        let leader = self.0.leader.get();
        leader.filter(|l| Some(*l) != last).or_else(|| {
            let next = last.and_then(|last| nodes.iter().position(|n| *n == last)).map_or(0, |at| at + 1);
            nodes.get(next % nodes.len().max(1)).copied()
        })
    }

    /// Waits for an answer of `node`. When it is late and another one turns out to lead, waits no longer.
    async fn wait(&self, node: NodeId, mut answer: Answering) -> Result<Response, LinkError> {
        if self.nodes().len() <= 1 {
            return answer.await;
        }
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer,
                () = self.0.leader.is_other_than(node) => {
                    // It may be a moment behind its successor's answer.
                    return tokio::time::timeout(LATE, &mut answer).await.unwrap_or_else(|_| {
                        let why = format!("node {node} does not answer, and does not lead any more");
                        Err(LinkError::Unknown { shard: self.0.shard, why })
                    });
                }
                () = self.ask_around(node) => {}
            }
        }
    }

    /// Lets some time pass, then asks the other replicas who leads: one request does it for all that wait.
    async fn ask_around(&self, silent: NodeId) {
        sleep(LATE).await;
        let mut asked = self.0.asking.lock().await;
        if asked.is_some_and(|asked| asked.elapsed() < LATE) {
            return;
        }
        *asked = Some(Instant::now());
        for node in self.nodes().into_iter().filter(|n| *n != silent) {
            let asked = self.0.ways.send(node, Packed::new(&Request::Query(Query::Status)));
            match tokio::time::timeout(LATE, asked).await {
                Ok(Ok(_)) => return self.0.leader.set(Some(node)),
                Ok(Err(LinkError::NotLeader { leader: Some(leader), .. })) if leader != silent => {
                    return self.0.leader.set(Some(leader));
                }
                _ => {}
            }
        }
    }

    async fn go_on(self, mut node: NodeId, mut answer: Answering, packed: Packed) -> Result<Response, LinkError> {
        let begun = Instant::now();
        let (mut tried, mut moving) = (0, false);
        loop {
            let result = self.wait(node, answer).await;
            let last = match result {
                Err(LinkError::NotLeader { leader, shard }) => {
                    let known = leader.filter(|l| *l != node);
                    if known.is_some() || self.0.leader.get() == Some(node) {
                        self.0.leader.set(known);
                    }
                    LinkError::NotLeader { shard, leader }
                }
                // Reads can be asked for again; it is another leader's turn.
                Err(e @ LinkError::Unknown { .. }) if packed.is_query && self.nodes().len() > 1 => {
                    self.0.leader.forget(node);
                    e
                }
                Err(e @ LinkError::Unknown { .. }) => {
                    self.0.leader.forget(node);
                    return Err(e);
                }
                Err(e @ LinkError::Unreachable { .. }) => {
                    self.0.leader.forget(node);
                    e
                }
                Ok(response) => {
                    self.0.leader.set(Some(node));
                    return Ok(response);
                }
                refused => return refused,
            };
            // The only replica that is wanted may be on its way there, and some other one leads.
            moving |= self.nodes().len() <= 1 && matches!(last, LinkError::NotLeader { .. });
            let nodes = if moving { self.all_nodes() } else { self.nodes() };
            let all_tried = nodes == [node] || moving && tried > 2 * nodes.len();
            if all_tried || begun.elapsed() > PATIENCE {
                return Err(last);
            }
            tried += 1;
            if tried % nodes.len().max(2) == 0 {
                sleep(PAUSE).await;
            }
            let Some(next) = self.candidate(Some(node), &nodes) else { return Err(last) };
            node = next;
            answer = self.0.ways.send(node, packed.clone());
        }
    }
}

/// Who is believed to lead, and who waits for that to change. Those are told in the order of waiting: a `watch` channel would tell
/// them in an order that no simulation can repeat.
#[derive(Default)]
struct Belief {
    leader: Mutex<Option<NodeId>>,
    changed: Notify,
}

impl Belief {
    fn get(&self) -> Option<NodeId> {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, leader: Option<NodeId>) {
        let before = std::mem::replace(&mut *self.leader.lock().unwrap_or_else(PoisonError::into_inner), leader);
        if before != leader {
            self.changed.notify_waiters();
        }
    }

    /// Does not believe any more that a node leads.
    fn forget(&self, node: NodeId) {
        if self.get() == Some(node) {
            self.set(None);
        }
    }

    /// Waits until another node is believed to lead.
    async fn is_other_than(&self, node: NodeId) {
        loop {
            let changed = self.changed.notified();
            if self.get().is_some_and(|leader| leader != node) {
                return;
            }
            changed.await;
        }
    }
}

impl ShardLink for GroupLink {
    fn send(&self, request: Request) -> Answering {
        let shard = self.0.shard;
        let packed = Packed::new(&request);
        let Some(node) = self.candidate(None, &self.nodes()) else {
            return Box::pin(async move { Err(LinkError::NotLeader { shard, leader: None }) });
        };
        let answer = self.0.ways.send(node, packed.clone());
        Box::pin(self.clone().go_on(node, answer, packed))
    }

    fn send_to_any(&self, request: Request) -> Answering {
        let packed = Packed { any_replica: true, ..Packed::new(&request) };
        let leader = self.0.leader.get();
        let mut nodes = self.nodes();
        if nodes.len() > 1 {
            // The leader has enough to do.
            nodes.retain(|n| Some(*n) != leader);
        }
        let turn = self.0.turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let first = nodes.get(turn % nodes.len().max(1)).copied();
        let (link, shard) = (self.clone(), self.0.shard);
        Box::pin(async move {
            let Some(node) = first else { return Err(LinkError::NotLeader { shard, leader: None }) };
            // One that is behind, or cut off, must not hold up a read that the leader can answer.
            let late = LinkError::Unknown { shard, why: format!("node {node} is late") };
            match tokio::time::timeout(LATE, link.0.ways.send(node, packed)).await.unwrap_or(Err(late)) {
                Err(LinkError::Unreachable { .. } | LinkError::NotLeader { .. } | LinkError::Unknown { .. }) => {
                    link.send(request).await
                }
                answered => answered,
            }
        })
    }

    fn address(&self) -> String {
        let map = self.0.map.borrow();
        let address = |node: &NodeId| map.address_of_node(*node).unwrap_or("an unknown place").to_owned();
        match self.0.leader.get() {
            Some(leader) => address(&leader),
            None => map.replicas_of(self.0.shard).iter().map(address).collect::<Vec<_>>().join(", "),
        }
    }
}
