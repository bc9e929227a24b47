//! One replica of one shard: opened, reached through its queue, and stopped.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use crest_ledger::Timestamp;
use crest_ledger::txn::ShardId;
use crest_ledger::wire::Request;
use crest_link::{Answering, LinkError, ShardLink};
use crest_proto::internal as wire;
use crest_topology::NodeId;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::consensus::ReplicaId;
use crate::executor::group::NotDone;
use crate::executor::{Ended, Executor, Expiring, Inbound, Message, Next, Overdue, PeerChecked};
use crate::log::SegmentLog;
use crate::metrics_of::ShardMetrics;
use crate::peers::Peers;
use crate::replica::{Opened, Queues, ReplicaConfig};
use crate::snapshot::{Export, Exports, Fetch, fetch};
use crate::store::home::Home;
use crate::{audit, checkpointer, claim, limits, log_writer};

/// A running replica of a shard.
pub struct Node {
    handle: NodeHandle,
    /// The one that owns the replica; it ends after the threads that work for it: RocksDB's threads must not outlive what
    /// its library keeps for the process.
    thread: Option<JoinHandle<()>>,
    following: FollowJob,
    _lock: std::fs::File,
}

/// What [`Node::follow`] needs, until it was called.
type FollowJob = Option<(mpsc::Receiver<Fetch>, Arc<dyn Home>, Arc<dyn Peers>, watch::Receiver<Vec<NodeId>>)>;

/// A way to reach a running replica from inside its process.
#[derive(Clone)]
pub struct NodeHandle {
    ways: Ways,
    ended: watch::Receiver<Option<Ended>>,
    /// Told of every message, where no thread waits for them.
    arrived: Option<Arc<Notify>>,
}

/// The ends of the queues into a replica, and what it offers.
#[derive(Clone)]
pub(crate) struct Ways {
    pub(crate) shard: ShardId,
    pub(crate) replica: ReplicaId,
    pub(crate) queue: Sender<Message>,
    pub(crate) inbox: Sender<Inbound>,
    pub(crate) exports: Exports,
}

/// What a replica keeps when it is opened again from a snapshot: whoever has a handle notices nothing.
struct Inlets {
    messages: Receiver<Message>,
    inbox: Receiver<Inbound>,
    fetches: mpsc::Sender<Fetch>,
    exports: Exports,
}

impl Node {
    /// Opens the data folder, recovers, and starts the shard's threads. No port is opened here.
    ///
    /// # Errors
    /// When the folder is in use, is another ledger's, or is damaged; the text says what to do.
    pub fn open(data_dir: &Path, config: ReplicaConfig) -> anyhow::Result<Self> {
        let lock = claim::lock(data_dir)?;
        let (shard, home) = (config.shard, config.home.clone());
        let (peers, placement) = (config.peers.clone(), config.placement.clone());
        let (queue, messages) = bounded(limits::QUEUE_REQUESTS_MAX);
        let (inbox_in, inbox) = bounded(limits::INBOX_MAX);
        let (fetches, todo) = mpsc::channel(1);
        let following = (todo, home, peers, placement);
        let exports = Exports::default();
        let replica = Opened::identify(&config)?.replica;
        let ways = Ways { shard, replica, queue, inbox: inbox_in, exports: exports.clone() };
        let inlets = Inlets { messages, inbox, fetches, exports };
        // The first opening is here, so that what is wrong with the folder is told at once.
        let opened = Opened::read(config.clone())?;
        let (ended_in, ended) = watch::channel(None);
        let thread = std::thread::Builder::new().name(format!("shard-{shard}")).spawn(move || {
            let live = || live(&config, &inlets, opened);
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(live));
            ShardMetrics::ended(shard);
            let _ = ended_in.send(Some(result.unwrap_or_else(|panic| Err(said(&*panic)))));
        })?;
        let handle = NodeHandle::new(ways, ended, None);
        Ok(Self { handle, thread: Some(thread), following: Some(following), _lock: lock })
    }

    /// The way in.
    pub fn handle(&self) -> NodeHandle {
        self.handle.clone()
    }

    /// What it does beside its threads: fetching snapshots, and asking to be taken into its group. To be spawned once, where
    /// there are others; it ends with the replica.
    pub fn follow(&mut self) -> impl Future<Output = ()> + use<> {
        let (handle, job) = (self.handle.clone(), self.following.take());
        async move {
            let Some((todo, home, peers, placement)) = job else { return };
            let fetching = fetch::run(handle.clone(), peers.clone(), home, todo);
            tokio::join!(fetching, crate::joining::run(handle, peers, placement));
        }
    }

    /// Applies what waits, writes a last checkpoint and ends the threads.
    ///
    /// # Errors
    /// When the shard had stopped with a failure.
    pub fn stop(mut self) -> Result<(), String> {
        self.end();
        let ended = self.handle.ended.borrow().clone();
        ended.unwrap_or_else(|| Err("the shard's thread panicked".to_owned()))
    }

    fn end(&mut self) {
        let _ = self.handle.ways.queue.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a panic said. raft-rs stops the process where another replica has broken the protocol; here only the replica stops.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
    format!("the shard's thread panicked: {}", text.unwrap_or_default())
}

/// The life of a replica: it is opened again whenever a snapshot takes its place.
fn live(config: &ReplicaConfig, inlets: &Inlets, opened: (Opened, SegmentLog)) -> Ended {
    let mut next = Some(opened);
    loop {
        let (opened, log) = match next.take() {
            Some(opened) => opened,
            None => Opened::read(config.clone()).map_err(|e| format!("{e:#}"))?,
        };
        let rows = opened.rows();
        let (events_in, events) = bounded(256);
        let io = |e: std::io::Error| e.to_string();
        let (log, log_thread) = log_writer::start(config.shard, log, events_in.clone()).map_err(io)?;
        let (checkpoints, checkpoint_thread) = checkpointer::start(config.shard, rows, events_in).map_err(io)?;
        let (audits, audit_thread) = audit::start(config.shard).map_err(io)?;
        let queues = Queues {
            messages: inlets.messages.clone(),
            inbox: inlets.inbox.clone(),
            events,
            log,
            checkpoints,
            audits,
            fetches: inlets.fetches.clone(),
            exports: inlets.exports.clone(),
        };
        let ended = opened.begin(queues).map_err(|e| e.to_string()).and_then(Executor::run);
        // Its files are the old store's, and keep that open.
        inlets.exports.clear();
        for thread in [log_thread, checkpoint_thread, audit_thread] {
            let _ = thread.join();
        }
        match ended? {
            Next::Stop => {
                refuse_all(config.shard, &inlets.messages);
                return Ok(());
            }
            Next::Reopen => {}
        }
    }
}

/// Answers requests that came too late: nothing of them was applied, and another replica may take them.
fn refuse_all(shard: ShardId, messages: &Receiver<Message>) {
    while let Ok(message) = messages.try_recv() {
        if let Message::Request { reply, .. } = message {
            let _ = reply.send(Err(LinkError::Unreachable { shard, why: "the replica has stopped".to_owned() }));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end();
        }
    }
}

impl NodeHandle {
    pub(crate) fn new(ways: Ways, ended: watch::Receiver<Option<Ended>>, arrived: Option<Arc<Notify>>) -> Self {
        Self { ways, ended, arrived }
    }

    fn put(&self, message: Message) -> Result<(), TrySendError<()>> {
        self.ways.queue.try_send(message).map_err(|e| match e {
            TrySendError::Full(_) => TrySendError::Full(()),
            TrySendError::Disconnected(_) => TrySendError::Disconnected(()),
        })?;
        if let Some(arrived) = &self.arrived {
            arrived.notify_one();
        }
        Ok(())
    }

    /// Which shard.
    pub fn shard(&self) -> ShardId {
        self.ways.shard
    }

    /// Which replica of it.
    pub fn replica(&self) -> ReplicaId {
        self.ways.replica
    }

    /// Puts something in front of the executor that is not a request.
    fn put_inbound(&self, inbound: Inbound) -> bool {
        let put = self.ways.inbox.try_send(inbound).is_ok();
        if let Some(arrived) = self.arrived.as_ref().filter(|_| put) {
            arrived.notify_one();
        }
        put
    }

    /// Takes in a message of another replica. Answers whether there was room; if not, it is lost, and raft sends it again.
    pub fn step(&self, message: wire::RaftMessage) -> bool {
        self.put_inbound(Inbound::Raft(message))
    }

    /// Says that the fetch of a snapshot has ended; with the message that offers it, when all its files are here. Waits for
    /// room: the executor begins no other fetch before it has heard of this one.
    pub(crate) async fn fetched(&self, message: Option<wire::RaftMessage>) {
        while self.ended.borrow().is_none() && !self.put_inbound(Inbound::Fetched(message.clone())) {
            sleep(limits::TICK).await;
        }
    }

    /// How the replica is; nothing when it has ended, or does not answer at once.
    pub async fn describe(&self) -> Option<wire::ReplicaDescription> {
        let (reply, answer) = oneshot::channel();
        self.put_inbound(Inbound::Describe(reply)).then_some(())?;
        timeout(limits::DESCRIBE_PATIENCE, answer).await.ok()?.ok()
    }

    /// Has the leader hand over: to the replica on `to`, or to the best one.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn transfer_leader(&self, to: Option<NodeId>) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let done = self.change(Inbound::TransferLeader(to, reply), answer).await;
        done.map_err(|not| not.why)
    }

    async fn change(&self, inbound: Inbound, answer: oneshot::Receiver<Result<(), NotDone>>) -> Result<(), NotDone> {
        let busy = || NotDone { why: "the replica has stopped, or is too busy".to_owned(), leader: None };
        if !self.put_inbound(inbound) {
            return Err(busy());
        }
        timeout(limits::DESCRIBE_PATIENCE, answer).await.map_err(|_| busy())?.map_err(|_| busy())?
    }

    /// Answers another node's question.
    pub async fn answer(&self, what: wire::peer_question::What) -> wire::PeerAnswer {
        use wire::peer_answer::What as Told;
        use wire::peer_question::What as Asked;
        let done = |result: Result<(), NotDone>| match result {
            Ok(()) => told(Told::Done(wire::PeerDone {})),
            Err(not) => {
                let leader = not.leader.map_or(0, ReplicaId::number);
                wire::PeerAnswer { error: not.why, leader, what: None }
            }
        };
        let (reply, answer) = oneshot::channel();
        match what {
            // About the process, not about its replicas: its host answers.
            Asked::Clock(_) => refused("a replica has no clock of its own"),
            Asked::Describe(_) => match self.describe().await {
                Some(replica) => told(Told::Replica(replica)),
                None => refused("the replica has stopped, or is too busy"),
            },
            Asked::Join(join) => match ReplicaId::from_number(join.replica) {
                Some(replica) => done(self.change(Inbound::Join(replica, reply), answer).await),
                None => refused("there is no such replica"),
            },
            Asked::TransferLeader(to) => done(self.change(Inbound::TransferLeader(Some(to.node), reply), answer).await),
            Asked::Manifest(wanted) => match self.export(wanted.index, wanted.replica) {
                Some(files) => {
                    let file = |(name, bytes)| wire::SnapshotFile { name, bytes };
                    let files = files.files().into_iter().map(file).collect();
                    let format = crate::store::FORMAT_VERSION;
                    told(Told::Manifest(wire::SnapshotManifest { index: wanted.index, files, format }))
                }
                None => refused("there is no such snapshot any more"),
            },
            Asked::Piece(wanted) => match self.export(wanted.index, wanted.replica) {
                Some(files) => match files.read(&wanted.file, wanted.offset, limits::SNAPSHOT_PIECE_BYTES) {
                    Ok(bytes) => {
                        let crc32c = crc32c::crc32c(&bytes);
                        told(Told::Piece(wire::PieceOfFile { bytes: bytes.into(), crc32c }))
                    }
                    Err(why) => refused(&why.to_string()),
                },
                None => refused("there is no such snapshot any more"),
            },
        }
    }

    fn export(&self, index: u64, replica: u64) -> Option<Arc<dyn Export>> {
        self.ways.exports.get(index, ReplicaId::from_number(replica)?)
    }

    /// As [`ShardLink::send`], for a read that a replica which does not lead may answer too.
    pub fn send_to_any(&self, request: Request) -> Answering {
        self.request(request, true)
    }

    /// Waits until the shard's thread ends: the reason when it failed.
    pub async fn ended(&self) -> Result<(), String> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Ok(())),
            Err(_) => Err("the shard's thread panicked".to_owned()),
        }
    }

    pub(crate) async fn expiring(&self) -> Option<Expiring> {
        let (reply, answer) = oneshot::channel();
        self.put(Message::Expiring(reply)).ok()?;
        answer.await.ok()
    }

    /// The shard's ledger time, ns; nothing when this replica does not lead it, or is too busy.
    pub(crate) async fn leads_at(&self) -> Option<Timestamp> {
        let (reply, answer) = oneshot::channel();
        self.put(Message::LeadsAt(reply)).ok()?;
        answer.await.ok()
    }

    /// Says what came of asking another shard; lost when this one is too busy, since it is asked again.
    pub(crate) fn peer_checked(&self, peer: ShardId, checked: PeerChecked) {
        let _ = self.put(Message::PeerChecked(peer, checked));
    }

    /// What recovery has to do, but for what it is doing with the shards in `busy`.
    pub(crate) async fn overdue(&self, busy: BTreeSet<ShardId>) -> Option<Overdue> {
        let (reply, answer) = oneshot::channel();
        self.put(Message::Overdue(busy, reply)).ok()?;
        answer.await.ok()
    }
}

impl NodeHandle {
    fn request(&self, request: Request, any_replica: bool) -> Answering {
        let shard = self.ways.shard;
        if self.ways.queue.len() >= limits::QUEUE_REHEARSALS_MAX && request.begins_rehearsals() {
            let why = format!("{} requests wait already, too many for a rehearsal", limits::QUEUE_REHEARSALS_MAX);
            return Box::pin(async move { Err(LinkError::Refused { shard, why }) });
        }
        let (reply, answer) = oneshot::channel();
        let queued = self.put(Message::Request { request, reply, queued: Instant::now(), any_replica });
        Box::pin(async move {
            match queued {
                Ok(()) => answer.await.unwrap_or_else(|_| {
                    Err(LinkError::Unknown { shard, why: "the shard stopped before the answer".to_owned() })
                }),
                Err(TrySendError::Full(_)) => {
                    let why = format!("{} requests wait already", limits::QUEUE_REQUESTS_MAX);
                    Err(LinkError::Refused { shard, why })
                }
                Err(TrySendError::Disconnected(_)) => {
                    Err(LinkError::Unreachable { shard, why: "the replica has stopped".to_owned() })
                }
            }
        })
    }
}

impl ShardLink for NodeHandle {
    fn send(&self, request: Request) -> Answering {
        self.request(request, false)
    }

    fn address(&self) -> String {
        "in this process".to_owned()
    }
}

fn told(what: wire::peer_answer::What) -> wire::PeerAnswer {
    wire::PeerAnswer { what: Some(what), ..wire::PeerAnswer::default() }
}

fn refused(why: &str) -> wire::PeerAnswer {
    wire::PeerAnswer { error: why.to_owned(), ..wire::PeerAnswer::default() }
}
