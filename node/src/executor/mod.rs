//! The executor: the one thread that owns a shard's ledger.
//!
//! It drains what waits, makes it one log entry, and while that entry is being written applies the one before. The answers
//! go out after an entry is durable and applied, never earlier.

mod apply;
pub(crate) mod group;
mod members;
mod rounds;
mod time;
mod reads;
mod status;
mod aging;
mod audits;
mod backups;
mod in_doubt;
mod peer_checks;
mod progress;
mod tagging;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crest_failpoints::Kinds;
use crest_ledger::Timestamp;
use crest_ledger::command::Command;
use crest_ledger::needs::Needs;
use crest_ledger::tables::Tables;
use crest_ledger::txn::ShardId;
use crest_ledger::wire::{LogBatch, Request, Response};
use crest_link::LinkError;
use crest_topology::{NodeId, SlotMap};
use crossbeam_channel::{Receiver, Sender, select};
use tokio::sync::{mpsc, oneshot, watch};
// Real time on a thread of its own; in a simulation, the time that it gives.
use tokio::time::Instant;

use crate::audit::AuditJob;
use crate::checkpointer::CheckpointJob;
use crate::clock::ClockSource;
use crate::consensus::{Consensus, SnapshotMeta};
use crate::log::disk::Disk;
use crate::log_writer::LogJob;
use crate::metrics_of::ShardMetrics;
use crate::peers::Peers;
use crate::replica::Witness;
use crate::snapshot::{Export, Exports, Fetch};
use crate::store::Store;
use crate::store::checkpoint::Checkpoint;
use crate::{limits, points};
pub(crate) use group::Inbound;
pub(crate) use in_doubt::{Figures, Overdue, WithPeer};
pub(crate) use peer_checks::PeerChecked;

/// Where an answer goes.
pub(crate) type Reply = oneshot::Sender<Result<Response, LinkError>>;

/// What reaches the executor through its bounded queue.
pub(crate) enum Message {
    Request {
        request: Request,
        reply: Reply,
        queued: Instant,
        /// Whether a replica that does not lead may answer.
        any_replica: bool,
    },
    /// What recovery has to look after, but for what it is doing with these shards already.
    Overdue(BTreeSet<ShardId>, oneshot::Sender<Overdue>),
    /// Which pending transfers are due whose payees are elsewhere.
    Expiring(oneshot::Sender<Expiring>),
    /// This shard's ledger time, ns, from its leader only.
    LeadsAt(oneshot::Sender<Timestamp>),
    /// What came of asking another shard whether it accepts this one's messages.
    PeerChecked(ShardId, PeerChecked),
    Stop,
}

/// What its helper threads tell the executor.
pub(crate) enum Event {
    Appended { number: u64, bytes: u64 },
    Checkpointed(SnapshotMeta),
    Exported(SnapshotMeta, Arc<dyn Export>),
    NotExported(String),
    Failed(String),
}

/// Pending transfers whose time is over, with the shards of their payees, and this shard's clock, ns.
pub(crate) type Expiring = (BTreeMap<u128, ShardId>, Timestamp);

/// An entry that was proposed here and is not applied yet.
struct Proposal {
    index: u64,
    term: u64,
    batch: LogBatch,
    /// For each request in it: how many commands, and where the answers go.
    replies: Vec<(usize, Reply)>,
}

/// Everything that one shard's thread owns.
pub(crate) struct Executor {
    pub(crate) shard: ShardId,
    pub(crate) map: Arc<SlotMap>,
    pub(crate) clock: ClockSource,
    pub(crate) queue: Receiver<Message>,
    pub(crate) inbox: Receiver<Inbound>,
    pub(crate) events: Receiver<Event>,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) fetches: mpsc::Sender<Fetch>,
    pub(crate) exports: Exports,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) log_dir: PathBuf,
    /// The nodes that are to have a replica of this shard.
    pub(crate) placement: watch::Receiver<Vec<NodeId>>,
    pub(crate) log: Sender<LogJob>,
    pub(crate) checkpoints: Sender<CheckpointJob>,
    pub(crate) audits: Sender<AuditJob>,
    pub(crate) consensus: Consensus,
    pub(crate) tables: Tables,
    pub(crate) store: Store,
    pub(crate) applied: u64,
    pub(crate) applied_term: u64,
    pub(crate) sizes: limits::Sizes,
    pub(crate) witness: Option<Arc<dyn Witness>>,
    pub(crate) metrics: ShardMetrics,
    pub(crate) state: State,
}

/// What changes from one turn to the next.
#[derive(Default)]
pub(crate) struct State {
    proposals: VecDeque<Proposal>,
    /// Appends that the log thread has not made durable yet.
    appending: usize,
    /// The position of the checkpoint being written.
    checkpointing: bool,
    checkpoint_index: u64,
    log_bytes: u64,
    /// No later entry may have a time below this: a read at that instant was promised, or a router has seen it.
    promised: Timestamp,
    /// The time of the last entry that was proposed.
    proposed_at: Timestamp,
    time: time::Time,
    parked: VecDeque<reads::Parked>,
    rounds: rounds::Rounds,
    group: group::Group,
    /// What another replica sent, and woke this thread.
    inbound: Option<Inbound>,
    audits: audits::Audits,
    audits_stop: Arc<AtomicBool>,
    backups: backups::Backups,
    /// A request that did not fit the last group.
    left_over: Option<Message>,
    needs: Needs,
    tags: tagging::Tags,
    last_tick: Option<Instant>,
    last_proposal: Option<Instant>,
    last_expiry: Option<Instant>,
    /// Where the next scan for due expiries begins.
    expiries_from: (Timestamp, u128),
    /// What was due and waits for [`crate::expiry`].
    expiring: BTreeMap<u128, ShardId>,
    last_store_metrics: Option<Instant>,
    last_in_doubt_metrics: Option<Instant>,
    aging: aging::Aging,
    progress: progress::Progress,
    peer_checks: peer_checks::PeerChecks,
    /// The last entry that was in the log when this replica was opened.
    replay_until: u64,
    stopping: bool,
}

impl State {
    /// That of a replica with that last checkpoint, whose log goes on to the entry `replay_until`.
    pub(crate) fn at(checkpoint: SnapshotMeta, replay_until: u64) -> Self {
        let checkpoint_index = checkpoint.index;
        Self { checkpoint_index, replay_until, group: group::Group::at(checkpoint), ..Self::default() }
    }
}

/// Why a shard's thread ended.
pub(crate) type Ended = Result<(), String>;

/// What follows when an executor has ended without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It was told to stop.
    Stop,
    /// A snapshot is to take its place: it is opened again.
    Reopen,
}

/// What a turn of the executor came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It did something, and there may be more to do.
    Busy,
    /// There is nothing to do before something arrives or time passes.
    Idle,
    /// It was told to stop, and everything that it had taken on is done.
    Stopped,
    /// A snapshot is to take its place, which is noted on the disk.
    Reopen,
}

impl Executor {
    /// Runs until it is told to stop, or something fails that must not be tried again.
    pub(crate) fn run(mut self) -> Result<Next, String> {
        let ended = loop {
            match self.turn() {
                Ok(Turn::Busy) => {}
                Ok(Turn::Idle) => {
                    if let Err(why) = self.wait() {
                        break Err(why);
                    }
                }
                Ok(Turn::Stopped) => break self.last_checkpoint().map(|()| Next::Stop),
                Ok(Turn::Reopen) => break Ok(Next::Reopen),
                Err(why) => break Err(why),
            }
        };
        if let Err(why) = &ended {
            tracing::error!(shard = self.shard, %why, "the shard stops");
        }
        self.give_up_proposals("the shard stopped before the answer");
        self.state.audits_stop.store(true, Ordering::Relaxed);
        ended
    }

    /// Does what there is to do, without waiting for anything.
    pub(crate) fn turn(&mut self) -> Result<Turn, String> {
        while let Ok(event) = self.events.try_recv() {
            self.on_event(event)?;
        }
        let heard = self.take_inbound()?;
        self.notice_leader();
        if self.refuses() {
            self.refuse_requests()?;
        }
        let proposed = self.may_propose() && self.propose()?;
        let advanced = self.advance()?;
        if let Some(install) = self.state.group.install {
            self.give_up_proposals("the shard has another leader now");
            tracing::info!(
                shard = self.shard,
                index = install.index,
                "a snapshot takes the place of this replica's state"
            );
            return Ok(Turn::Reopen);
        }
        let asked = self.run_parked()?;
        self.maybe_checkpoint(false)?;
        self.look_after_snapshots()?;
        self.tick()?;
        Ok(match () {
            () if self.state.stopping && self.state.proposals.is_empty() => Turn::Stopped,
            () if heard || proposed || advanced || asked => Turn::Busy,
            () => Turn::Idle,
        })
    }

    fn on_event(&mut self, event: Event) -> Ended {
        match event {
            Event::Appended { number, bytes } => {
                self.state.appending -= 1;
                self.state.log_bytes += bytes;
                let messages = self.consensus.on_appended(number);
                self.send(messages);
            }
            Event::Exported(meta, files) => self.exported(meta, files),
            Event::NotExported(why) => self.not_exported(&why),
            Event::Checkpointed(checkpoint) => {
                let index = checkpoint.index;
                self.state.checkpointing = false;
                self.state.checkpoint_index = index;
                self.state.group.checkpoint = checkpoint;
                if let Some(layer) = self.store.take_frozen() {
                    let _ = self.checkpoints.send(CheckpointJob::Drop(layer));
                }
                self.run_audits()?;
                self.run_backups();
                points::CHECKPOINT_KNOWN.pass();
                self.send_to_log(LogJob::TruncateFront(index))?;
            }
            Event::Failed(why) => return Err(why),
        }
        Ok(())
    }

    /// One append at a time: what arrives meanwhile becomes one group. Memory since the checkpoint is bounded. And nothing is stamped with a
    /// clock that others contradict.
    fn may_propose(&self) -> bool {
        let in_flight_max = match self.consensus.is_alone() {
            true => limits::ENTRIES_IN_FLIGHT_MAX,
            false => limits::ENTRIES_IN_FLIGHT_REPLICATED_MAX,
        };
        self.state.appending == 0
            && !self.state.stopping
            && self.consensus.may_propose()
            && self.consensus.last_index() < self.applied + in_flight_max
            && self.tables.new_layer().records() < limits::CHECKPOINT_RECORDS_MAX
            && self.clock.is_trusted()
    }

    /// Makes one entry of what waits. Answers whether there was anything.
    fn propose(&mut self) -> Result<bool, String> {
        let mut batch = LogBatch { at: 0, real_time: None, commands: Vec::new() };
        let mut replies = Vec::new();
        let mut events = 0;
        while let Some(message) = self.state.left_over.take().or_else(|| self.queue.try_recv().ok()) {
            let (request, reply, queued) = match message {
                Message::Request { request, reply, queued, .. } => (request, reply, queued),
                other => {
                    self.on_message(other)?;
                    continue;
                }
            };
            let (after, commands) = match request {
                Request::Commands { after, commands } => (after, commands),
                Request::Query(query) => {
                    self.park(query, reply);
                    continue;
                }
            };
            if commands.len() > limits::GROUP_COMMANDS_MAX {
                let (most, found) = (limits::GROUP_COMMANDS_MAX, commands.len());
                let why =
                    format!("a request has at most {most} commands, and this one has {found}: send fewer at a time");
                let _ = reply.send(Err(LinkError::Refused { shard: self.shard, why }));
                continue;
            }
            if let Some(why) = self.too_far_ahead(commands.iter().map(Command::latest_time).max().unwrap_or(0)) {
                let _ = reply.send(Err(LinkError::CannotTakePart { shard: self.shard, why }));
                continue;
            }
            let more = commands.iter().map(Command::events).sum::<usize>();
            let full = events + more > limits::GROUP_EVENTS_MAX
                || batch.commands.len() + commands.len() > limits::GROUP_COMMANDS_MAX;
            if full && !batch.commands.is_empty() {
                let request = Request::Commands { after, commands };
                self.state.left_over = Some(Message::Request { request, reply, queued, any_replica: false });
                break;
            }
            self.metrics.waited(&commands, queued.elapsed());
            events += more;
            // A router's word is no reason to refuse payments when some shard's clock runs away.
            if self.too_far_ahead(after).is_none() {
                self.state.promised = self.state.promised.max(after);
            }
            replies.push((commands.len(), reply));
            batch.commands.extend(commands);
        }
        if self.state.last_expiry.is_none_or(|t| t.elapsed() >= limits::TICK) {
            self.state.last_expiry = Some(Instant::now());
            batch.commands.extend(self.due_expiries()?);
        }
        // A read at an instant that this clock has not reached waits for an entry that takes the clock there, for good. And
        // followers' clocks stand still without entries.
        let promised = self.state.promised > self.state.proposed_at.max(self.tables.now());
        let fresh = self.state.last_proposal.is_some_and(|t| t.elapsed() < limits::CLOCK_ENTRY_INTERVAL);
        if batch.commands.is_empty() && !promised && (fresh || self.consensus.is_alone()) {
            return Ok(false);
        }
        self.state.last_proposal = Some(Instant::now());
        self.metrics.group_events.record(events as f64);
        batch.at = self.now();
        batch.real_time = self.real_time(batch.at);
        self.state.proposed_at = batch.at;
        points::BEFORE_PROPOSE.pass_each(&Kinds::of(|| apply::names(&batch)));
        let entry = batch.pack();
        if entry.len() > crate::log::ENTRY_BYTES_MAX {
            // No log would take it, here or on any other replica. Only a single request can be that large.
            self.refuse_entry(replies, entry.len());
            return Ok(true);
        }
        let index = match self.consensus.propose(entry) {
            Ok(index) => index,
            Err(why) => {
                // It has lost its office at this moment: nothing of it was or will be applied.
                tracing::debug!(shard = self.shard, %why, "cannot propose");
                for (_, reply) in replies {
                    let _ = reply.send(Err(self.not_leader()));
                }
                return Ok(true);
            }
        };
        // What was proposed there in an earlier office has lost its place to this entry, and can't be applied any more.
        while self.state.proposals.back().is_some_and(|p| p.index >= index) {
            for (_, reply) in self.state.proposals.pop_back().into_iter().flat_map(|p| p.replies) {
                let _ = reply.send(Err(self.not_leader()));
            }
        }
        self.state.proposals.push_back(Proposal { index, term: self.consensus.term(), batch, replies });
        Ok(true)
    }

    fn refuse_entry(&self, replies: Vec<(usize, Reply)>, bytes: usize) {
        for (_, reply) in replies {
            let why =
                format!("it makes a log entry of {bytes} bytes, and {} are the most", crate::log::ENTRY_BYTES_MAX);
            let _ = reply.send(Err(LinkError::Refused { shard: self.shard, why }));
        }
    }

    fn on_message(&mut self, message: Message) -> Ended {
        match message {
            Message::Overdue(busy, reply) => {
                let _ = reply.send(self.overdue(&busy));
            }
            Message::Expiring(reply) => {
                let _ = reply.send((std::mem::take(&mut self.state.expiring), self.tables.now()));
            }
            Message::LeadsAt(reply) => drop(reply.send(self.tables.now())),
            Message::PeerChecked(peer, checked) => self.peer_checked(peer, checked),
            Message::Stop => self.state.stopping = true,
            Message::Request { .. } => unreachable!("requests are taken by propose"),
        }
        Ok(())
    }

    /// Starts a checkpoint when it is time, or when `now` says so and none is being written.
    pub(crate) fn maybe_checkpoint(&mut self, now: bool) -> Ended {
        let records = points::VALUE_CHECKPOINT_RECORDS.value().map_or(self.sizes.checkpoint_records, |n| n as usize);
        let due = self.tables.new_layer().records() >= records
            || self.tables.loaded_records() >= self.sizes.checkpoint_records
            || self.state.log_bytes >= limits::CHECKPOINT_LOG_BYTES
            || self.applied >= self.state.checkpoint_index + limits::CHECKPOINT_ENTRIES;
        if self.state.checkpointing || !(due || now) {
            return Ok(());
        }
        let (layer, scalars) = self.tables.freeze();
        let layer = Arc::new(layer);
        self.store.set_frozen(Some(layer.clone()));
        self.state.checkpointing = true;
        self.state.log_bytes = 0;
        let group = SnapshotMeta { index: self.applied, term: self.applied_term, members: self.consensus.members() };
        let checkpoint = Checkpoint { layer, scalars, group };
        self.checkpoints.send(CheckpointJob::Write(checkpoint)).map_err(|_| "the checkpoint thread ended".to_owned())
    }

    /// Before the end: a restart then has nothing to replay.
    fn last_checkpoint(&mut self) -> Ended {
        for _ in 0..2 {
            if !self.state.checkpointing && self.applied > self.state.checkpoint_index {
                self.maybe_checkpoint(true)?;
            }
            while self.state.checkpointing {
                let event = self.events.recv().map_err(|_| "the helper threads ended".to_owned())?;
                self.on_event(event)?;
            }
        }
        Ok(())
    }

    fn tick(&mut self) -> Ended {
        let now = Instant::now();
        if self.state.last_tick.is_some_and(|t| now - t < limits::TICK) {
            return Ok(());
        }
        self.state.last_tick = Some(now);
        self.consensus.tick(self.clock.is_trusted());
        self.offer_leadership()?;
        self.reconcile();
        self.measure_group();
        self.measure_progress();
        if self.state.last_store_metrics.is_none_or(|t| now - t >= limits::STORE_METRICS_INTERVAL) {
            self.state.last_store_metrics = Some(now);
            self.metrics.store(self.store.rows().figures());
        }
        self.state.aging.note(self.tables.now());
        if self.state.last_in_doubt_metrics.is_none_or(|t| now - t >= limits::RECOVERY_INTERVAL) {
            self.state.last_in_doubt_metrics = Some(now);
            self.metrics.in_doubt(&self.in_doubt_figures());
        }
        self.metrics.queue_depth.set(self.queue.len() as f64);
        self.metrics.holds.set(self.tables.holds().len() as f64);
        self.metrics.outbox.set(self.tables.decisions().outbox_len() as f64);
        self.metrics.records_in_memory.set(self.tables.new_layer().records() as f64);
        Ok(())
    }

    fn wait(&mut self) -> Ended {
        let timeout = crossbeam_channel::after(limits::TICK);
        // While an append is under way the queue is left to grow into the next group.
        let nothing = crossbeam_channel::never();
        let listens = self.state.left_over.is_none() && (self.refuses() || self.may_propose());
        let queue = if listens { &self.queue } else { &nothing };
        select! {
            recv(self.events) -> event => {
                self.on_event(event.map_err(|_| "the helper threads ended".to_owned())?)
            }
            recv(self.inbox) -> inbound => {
                self.state.inbound = inbound.ok();
                Ok(())
            }
            recv(queue) -> message => {
                match message {
                    Ok(message) => self.state.left_over = Some(message),
                    Err(_) => self.state.stopping = true,
                }
                Ok(())
            }
            recv(timeout) -> _ => Ok(()),
        }
    }

    fn send_to_log(&self, job: LogJob) -> Ended {
        self.log.send(job).map_err(|_| "the log thread ended".to_owned())
    }
}
