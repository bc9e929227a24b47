//! One shard's group in virtual time: replicas without threads on real files, and ways between them that can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crest_ledger::command::{Answer, Command};
use crest_ledger::txn::{EventResult, Step};
use crest_ledger::wire::{Query, QueryAnswer, Request, Response};
use crest_ledger::{Account, Timestamp, Transfer};
use crest_link::{LinkError, ShardLink};
use crest_node::limits::{Sizes, TICK};
use crest_node::log::Options;
use crest_node::peers::{PeerAnswering, Peers, Question};
use crest_node::replica::Worker;
use crest_node::{Birth, ClockSource, NodeHandle, Replica, ReplicaConfig, ReplicaId, birth};
use crest_proto::internal as wire;
use crest_topology::{NodeId, SlotMap};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const START: Timestamp = 1_790_000_000_000_000_000;
/// Longer than anything that is waited for here: two elections.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Who can be reached, and which ways are cut.
#[derive(Default)]
pub(crate) struct Network {
    handles: Mutex<BTreeMap<NodeId, NodeHandle>>,
    cut: Mutex<BTreeSet<(NodeId, NodeId)>>,
}

/// The ways of one node.
struct Ways {
    from: NodeId,
    network: Arc<Network>,
}

impl Ways {
    fn to(&self, node: NodeId) -> Option<NodeHandle> {
        let cut = self.network.cut.lock().unwrap().contains(&(self.from, node));
        self.network.handles.lock().unwrap().get(&node).filter(|_| !cut).cloned()
    }
}

impl Peers for Ways {
    fn send(&self, message: wire::RaftMessage) {
        let node = ReplicaId::from_number(message.to).unwrap().node();
        if let Some(to) = self.to(node) {
            to.step(message);
        }
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.network.handles.lock().unwrap().keys().copied().filter(|node| *node != self.from).collect()
    }

    fn ask(&self, node: NodeId, question: Question) -> PeerAnswering {
        let to = self.to(node);
        Box::pin(async move {
            match to {
                Some(to) => Ok(to.answer(question.what).await),
                None => Err(format!("node {node} can't be reached")),
            }
        })
    }
}

/// Entries in one message between replicas: few, so that a follower soon misses more.
pub(crate) const MESSAGE_ENTRIES: usize = 40;

/// A group of one shard, on nodes with folders of their own.
pub(crate) struct Group {
    network: Arc<Network>,
    placement: watch::Sender<Vec<NodeId>>,
    clock: Arc<AtomicU64>,
    dir: tempfile::TempDir,
    running: BTreeMap<NodeId, JoinHandle<()>>,
}

impl Group {
    /// Founds a group on these nodes, and waits until somebody leads it. Must be called inside a `LocalSet`.
    pub(crate) async fn found(nodes: &[NodeId]) -> Self {
        let mut group = Self {
            network: Arc::default(),
            placement: watch::Sender::new(nodes.to_vec()),
            clock: Arc::new(AtomicU64::new(START)),
            dir: tempfile::tempdir().unwrap(),
            running: BTreeMap::new(),
        };
        let clock = group.clock.clone();
        tokio::task::spawn_local(async move {
            loop {
                sleep(Duration::from_millis(1)).await;
                clock.fetch_add(1_000_000, Ordering::Relaxed);
            }
        });
        for node in nodes {
            group.start(*node, Birth::Founder(nodes.to_vec()));
        }
        group.leader().await;
        group
    }

    fn folder(&self, node: NodeId) -> PathBuf {
        self.dir.path().join(node.to_string())
    }

    /// Starts a node's replica, which is `birth` when its folder is empty.
    pub(crate) fn start(&mut self, node: NodeId, birth: Birth) {
        let folder = self.folder(node);
        std::fs::create_dir_all(&folder).unwrap();
        let peers = Arc::new(Ways { from: node, network: self.network.clone() });
        let config = ReplicaConfig {
            node,
            birth,
            peers,
            placement: self.placement.subscribe(),
            clock: ClockSource::Manual(self.clock.clone()),
            log: Options { segment_bytes: 1 << 20 },
            sizes: Sizes { raft_message_entries: MESSAGE_ENTRIES, ..Sizes::default() },
            ..ReplicaConfig::alone("test", 0, SlotMap::even(&[0]).unwrap(), &folder)
        };
        self.running.insert(node, tokio::task::spawn_local(live(node, config, self.network.clone())));
    }

    /// Starts a node whose folder is empty, as a node does: it asks the others what it is.
    pub(crate) async fn start_empty(&mut self, node: NodeId) -> Birth {
        let ways = Ways { from: node, network: self.network.clone() };
        let on = self.placement.borrow().clone();
        let placed = birth::Placed { shard: 0, node, on, from_the_start: false };
        let birth = timeout(PATIENCE, birth::choose(&placed, &ways, 77)).await.unwrap();
        self.start(node, birth.clone());
        birth
    }

    /// The process dies.
    pub(crate) fn kill(&mut self, node: NodeId) {
        self.network.handles.lock().unwrap().remove(&node);
        self.running.remove(&node).unwrap().abort();
    }

    /// The process dies and its disk is lost.
    pub(crate) async fn lose_disk(&mut self, node: NodeId) {
        self.kill(node);
        // Its files are closed when the task is gone.
        tokio::task::yield_now().await;
        std::fs::remove_dir_all(self.folder(node)).unwrap();
    }

    /// Cuts a node off from all others.
    pub(crate) fn isolate(&self, node: NodeId) {
        let mut cut = self.network.cut.lock().unwrap();
        for other in (1..10).filter(|n| *n != node) {
            cut.extend([(node, other), (other, node)]);
        }
    }

    pub(crate) fn heal(&self) {
        self.network.cut.lock().unwrap().clear();
    }

    /// The map places the shard on these nodes from now on.
    pub(crate) fn place(&self, nodes: &[NodeId]) {
        self.placement.send_replace(nodes.to_vec());
    }

    pub(crate) fn handle(&self, node: NodeId) -> NodeHandle {
        self.network.handles.lock().unwrap()[&node].clone()
    }

    pub(crate) async fn describe(&self, node: NodeId) -> wire::ReplicaDescription {
        let handle = self.network.handles.lock().unwrap().get(&node).cloned();
        match handle {
            Some(handle) => handle.describe().await.unwrap_or_default(),
            None => wire::ReplicaDescription::default(),
        }
    }

    /// The node that leads, once a majority agrees.
    pub(crate) async fn leader(&self) -> NodeId {
        self.leader_but(0).await
    }

    /// The node that leads, which is not `other`.
    pub(crate) async fn leader_but(&self, other: NodeId) -> NodeId {
        let begun = Instant::now();
        loop {
            for node in 1..10 {
                if node != other && self.describe(node).await.is_leader {
                    return node;
                }
            }
            assert!(begun.elapsed() < PATIENCE, "nobody leads");
            sleep(TICK).await;
        }
    }

    /// Waits until what `node` says of itself is as wanted.
    pub(crate) async fn until(&self, node: NodeId, what: &str, is: impl Fn(&wire::ReplicaDescription) -> bool) {
        let begun = Instant::now();
        while !is(&self.describe(node).await) {
            assert!(begun.elapsed() < PATIENCE, "{what}: {:?}", self.describe(node).await);
            sleep(TICK).await;
        }
    }

    /// Opens accounts 1 and 2.
    pub(crate) async fn open_accounts(&self) {
        let account = |id| Step::account(Account { id, ledger: 1, code: 1, ..Account::default() });
        let request = Request::commands(vec![Command::Create(vec![account(1), account(2)])]);
        self.handle(self.leader().await).send(request).await.unwrap();
    }

    /// Pays 1 from account 1 to 2, at that node. The payment's timestamp.
    pub(crate) async fn pay(&self, node: NodeId, id: u128) -> Result<Timestamp, LinkError> {
        let t = Transfer {
            id,
            debit_account_id: 1,
            credit_account_id: 2,
            amount: 1,
            ledger: 1,
            code: 1,
            ..Transfer::default()
        };
        let answer = self.handle(node).send(Request::commands(vec![Command::Create(vec![Step::local(t)])])).await?;
        let Response::Answers(mut answers) = answer else { panic!("{answer:?}") };
        let Answer::Results(results) = answers.remove(0) else { panic!("{answers:?}") };
        assert_eq!(results[0].status, EventResult::CREATED);
        Ok(results[0].timestamp)
    }

    /// Pays 1 from account 1 to 2 as often as `count` says, in one entry; the ids begin at `first`.
    pub(crate) async fn pay_many(&self, node: NodeId, first: u128, count: u128) {
        let transfer = |id| Transfer {
            id,
            debit_account_id: 1,
            credit_account_id: 2,
            amount: 1,
            ledger: 1,
            code: 1,
            ..Transfer::default()
        };
        let steps = (first..first + count).map(|id| Step::local(transfer(id))).collect();
        let answer = self.handle(node).send(Request::commands(vec![Command::Create(steps)])).await.unwrap();
        let Response::Answers(answers) = answer else { panic!("{answer:?}") };
        let Answer::Results(results) = &answers[0] else { panic!("{answers:?}") };
        assert!(results.iter().all(|result| result.status == EventResult::CREATED));
    }

    /// What account 2 has received, as that node reads it: now, or at an instant, for which a follower may be asked.
    pub(crate) async fn received(&self, node: NodeId, at: Timestamp, any: bool) -> Result<u128, LinkError> {
        let query = Request::Query(Query::Accounts(at, vec![2]));
        let handle = self.handle(node);
        match if any { handle.send_to_any(query).await? } else { handle.send(query).await? } {
            Response::Query(QueryAnswer::Accounts(accounts, _)) => Ok(accounts[0].credits_posted),
            other => panic!("{other:?}"),
        }
    }
}

/// The life of a replica: turns, jobs done at once, and a new opening when a snapshot takes its place.
async fn live(node: NodeId, config: ReplicaConfig, network: Arc<Network>) {
    loop {
        let mut replica = Replica::open(config.clone()).unwrap();
        network.handles.lock().unwrap().insert(node, replica.handle());
        let following = tokio::task::spawn_local(replica.follow());
        let arrived = replica.arrived();
        loop {
            let Ok(goes_on) = replica.turn() else { return };
            if !goes_on {
                break;
            }
            let mut worked = false;
            for worker in [Worker::Log, Worker::Checkpoint, Worker::Audit] {
                while let Some(job) = replica.next_job(worker) {
                    replica.work(job);
                    worked = true;
                }
            }
            if !worked {
                let _ = timeout(TICK, arrived.notified()).await;
            }
        }
        following.abort();
    }
}
