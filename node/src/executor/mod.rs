//! The executor: the one thread that owns a shard's ledger.
//!
//! It drains what waits, makes it one log entry, and while that entry is being written applies the one before. The answers
//! go out after an entry is durable and applied, never earlier.

mod apply;
mod reads;
mod status;
mod aging;
mod audits;
mod in_doubt;
mod tagging;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
use crest_topology::SlotMap;
use crossbeam_channel::{Receiver, Sender, select};
use tokio::sync::oneshot;
// Real time on a thread of its own; in a simulation, the time that it gives.
use tokio::time::Instant;

use crate::audit::AuditJob;
use crate::checkpointer::CheckpointJob;
use crate::clock_source::ClockSource;
use crate::consensus::Consensus;
use crate::log_writer::LogJob;
use crate::metrics_of::ShardMetrics;
use crate::store::Store;
use crate::store::checkpoint::Checkpoint;
use crate::{limits, points};
pub(crate) use in_doubt::{Figures, Overdue, WithPeer};

/// Where an answer goes.
pub(crate) type Reply = oneshot::Sender<Result<Response, LinkError>>;

/// What reaches the executor through its bounded queue.
pub(crate) enum Message {
    Request {
        request: Request,
        reply: Reply,
        queued: Instant,
    },
    /// What recovery has to look after, but for what it is doing with these shards already.
    Overdue(BTreeSet<ShardId>, oneshot::Sender<Overdue>),
    /// Which pending transfers are due whose payees are elsewhere.
    Expiring(oneshot::Sender<Expiring>),
    Stop,
}

/// What its helper threads tell the executor.
#[derive(Debug)]
pub(crate) enum Event {
    Appended { number: u64, bytes: u64 },
    Checkpointed(u64),
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
    pub(crate) events: Receiver<Event>,
    pub(crate) log: Sender<LogJob>,
    pub(crate) checkpoints: Sender<CheckpointJob>,
    pub(crate) audits: Sender<AuditJob>,
    pub(crate) consensus: Consensus,
    pub(crate) tables: Tables,
    pub(crate) store: Store,
    pub(crate) applied: u64,
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
    parked: VecDeque<reads::Parked>,
    audits: audits::Audits,
    audits_stop: Arc<AtomicBool>,
    /// A request that did not fit the last group.
    left_over: Option<Message>,
    needs: Needs,
    tags: tagging::Tags,
    last_tick: Option<Instant>,
    last_raft_tick: Option<Instant>,
    last_expiry: Option<Instant>,
    /// Where the next scan for due expiries begins.
    expiries_from: (Timestamp, u128),
    /// What was due and waits for [`crate::expiry`].
    expiring: BTreeMap<u128, ShardId>,
    last_store_metrics: Option<Instant>,
    last_in_doubt_metrics: Option<Instant>,
    aging: aging::Aging,
    stopping: bool,
}

impl State {
    /// That of a replica whose last checkpoint has everything up to `applied`.
    pub(crate) fn at(applied: u64) -> Self {
        Self { checkpoint_index: applied, ..Self::default() }
    }
}

/// Why a shard's thread ended.
pub(crate) type Ended = Result<(), String>;

/// What a turn of the executor came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It did something, and there may be more to do.
    Busy,
    /// There is nothing to do before something arrives or time passes.
    Idle,
    /// It was told to stop, and everything that it had taken on is done.
    Stopped,
}

impl Executor {
    /// Runs until it is told to stop, or something fails that must not be tried again.
    pub(crate) fn run(mut self) -> Ended {
        let ended = loop {
            match self.turn() {
                Ok(Turn::Busy) => {}
                Ok(Turn::Idle) => {
                    if let Err(why) = self.wait() {
                        break Err(why);
                    }
                }
                Ok(Turn::Stopped) => break self.last_checkpoint(),
                Err(why) => break Err(why),
            }
        };
        if let Err(why) = &ended {
            tracing::error!(shard = self.shard, %why, "the shard stops");
        }
        for proposal in self.state.proposals.drain(..) {
            for (_, reply) in proposal.replies {
                let why = "the shard stopped before the answer".to_owned();
                let _ = reply.send(Err(LinkError::Unknown { shard: self.shard, why }));
            }
        }
        self.state.audits_stop.store(true, Ordering::Relaxed);
        ended
    }

    /// Does what there is to do, without waiting for anything.
    pub(crate) fn turn(&mut self) -> Result<Turn, String> {
        while let Ok(event) = self.events.try_recv() {
            self.on_event(event)?;
        }
        let proposed = self.may_propose() && self.propose()?;
        let advanced = self.advance()?;
        self.run_parked()?;
        self.maybe_checkpoint(false)?;
        self.tick()?;
        Ok(match () {
            () if self.state.stopping && self.state.proposals.is_empty() => Turn::Stopped,
            () if proposed || advanced => Turn::Busy,
            () => Turn::Idle,
        })
    }

    fn on_event(&mut self, event: Event) -> Ended {
        match event {
            Event::Appended { number, bytes } => {
                self.state.appending -= 1;
                self.state.log_bytes += bytes;
                self.consensus.on_appended(number);
            }
            Event::Checkpointed(index) => {
                self.state.checkpointing = false;
                self.state.checkpoint_index = index;
                if let Some(layer) = self.store.take_frozen() {
                    let _ = self.checkpoints.send(CheckpointJob::Drop(layer));
                }
                self.run_audits()?;
                points::CHECKPOINT_KNOWN.pass();
                self.send_to_log(LogJob::TruncateFront(index))?;
            }
            Event::Failed(why) => return Err(why),
        }
        Ok(())
    }

    /// One append at a time: what arrives meanwhile becomes one group. And memory since the checkpoint is bounded.
    fn may_propose(&self) -> bool {
        self.state.appending == 0
            && self.consensus.is_leader()
            && self.consensus.last_index() < self.applied + limits::ENTRIES_IN_FLIGHT_MAX
            && self.tables.new_layer().records() < limits::CHECKPOINT_RECORDS_MAX
    }

    /// Makes one entry of what waits. Answers whether there was anything.
    fn propose(&mut self) -> Result<bool, String> {
        let mut batch = LogBatch { at: 0, commands: Vec::new() };
        let mut replies = Vec::new();
        let mut events = 0;
        while let Some(message) = self.state.left_over.take().or_else(|| self.queue.try_recv().ok()) {
            let (request, reply, queued) = match message {
                Message::Request { request, reply, queued } => (request, reply, queued),
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
            if let Some(why) = self.too_far_ahead(commands.iter().map(Command::latest_time).max().unwrap_or(0)) {
                let _ = reply.send(Err(LinkError::Refused { shard: self.shard, why }));
                continue;
            }
            let more = commands.iter().map(Command::events).sum::<usize>();
            let full = events + more > limits::GROUP_EVENTS_MAX
                || batch.commands.len() + commands.len() > limits::GROUP_COMMANDS_MAX;
            if full && !batch.commands.is_empty() {
                self.state.left_over =
                    Some(Message::Request { request: Request::Commands { after, commands }, reply, queued });
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
        // A read at an instant that this clock has not reached waits for an entry that takes the clock there, for good.
        if batch.commands.is_empty() && self.state.promised <= self.state.proposed_at.max(self.tables.now()) {
            return Ok(false);
        }
        self.metrics.group_events.record(events as f64);
        batch.at = self.now();
        self.state.proposed_at = batch.at;
        points::BEFORE_PROPOSE.pass_each(&Kinds::of(|| apply::names(&batch)));
        let index = self.consensus.propose(batch.pack()).map_err(|e| format!("cannot propose: {e}"))?;
        self.state.proposals.push_back(Proposal { index, term: self.consensus.term(), batch, replies });
        Ok(true)
    }

    /// The time for the next entry, ns: real time, but never below what was promised.
    fn now(&self) -> Timestamp {
        self.clock.now().max(self.state.promised)
    }

    /// Why a time from elsewhere is refused, if it is.
    fn too_far_ahead(&self, time: Timestamp) -> Option<String> {
        let here = self.clock.now().max(self.tables.now());
        let ahead = time.saturating_sub(here);
        (ahead > limits::CLOCK_AHEAD_MAX_NS)
            .then(|| format!("a time in the request is {} s ahead of this shard's clock", ahead / 1_000_000_000))
    }

    fn on_message(&mut self, message: Message) -> Ended {
        match message {
            Message::Overdue(busy, reply) => {
                let _ = reply.send(self.overdue(&busy));
            }
            Message::Expiring(reply) => {
                let _ = reply.send((std::mem::take(&mut self.state.expiring), self.tables.now()));
            }
            Message::Stop => self.state.stopping = true,
            Message::Request { .. } => unreachable!("requests are taken by propose"),
        }
        Ok(())
    }

    /// Starts a checkpoint when it is time, or when `now` says so and none is being written.
    fn maybe_checkpoint(&mut self, now: bool) -> Ended {
        let records = points::VALUE_CHECKPOINT_RECORDS.value().map_or(limits::CHECKPOINT_RECORDS, |n| n as usize);
        let due = self.tables.new_layer().records() >= records
            || self.tables.loaded_records() >= limits::CHECKPOINT_RECORDS
            || self.state.log_bytes >= limits::CHECKPOINT_LOG_BYTES;
        if self.state.checkpointing || !(due || now) {
            return Ok(());
        }
        let (layer, scalars) = self.tables.freeze();
        let layer = Arc::new(layer);
        self.store.set_frozen(Some(layer.clone()));
        self.state.checkpointing = true;
        self.state.log_bytes = 0;
        let checkpoint = Checkpoint { layer, scalars, applied: self.applied };
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
        if self.state.last_raft_tick.is_none_or(|t| now - t >= 2 * limits::TICK) {
            self.state.last_raft_tick = Some(now);
            self.consensus.tick();
        }
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
        let queue = if self.may_propose() { &self.queue } else { &nothing };
        select! {
            recv(self.events) -> event => {
                self.on_event(event.map_err(|_| "the helper threads ended".to_owned())?)
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
