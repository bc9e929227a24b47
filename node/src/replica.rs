//! One replica of one shard without threads: whoever owns it turns it, does its jobs, and tells it when they are done.
//!
//! [`crate::node`] gives it threads. The simulation gives it virtual time, and a disk and a network that misbehave.

use std::path::PathBuf;
use std::sync::Arc;

use crest_ledger::tables::Tables;
use crest_ledger::txn::ShardId;
use crest_topology::SlotMap;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use tokio::sync::{Notify, watch};

use crate::audit::AuditJob;
use crate::checkpointer::CheckpointJob;
use crate::clock_source::ClockSource;
use crate::consensus::Consensus;
use crate::executor::{Ended, Event, Executor, Message, State, Turn};
use crate::limits;
use crate::log::disk::Disk;
use crate::log::{Identity as LogIdentity, Options as LogOptions, Recovered, SegmentLog};
use crate::log_writer::LogJob;
use crate::metrics_of::ShardMetrics;
use crate::node::NodeHandle;
use crate::points;
use crate::store::rows::Storage;
use crate::store::{Identity, Store};

/// What a replica has to know.
pub struct ReplicaConfig {
    /// The cluster's name, as in its file.
    pub cluster: String,
    /// Which shard.
    pub shard: ShardId,
    /// The slot map.
    pub map: SlotMap,
    /// Where time comes from.
    pub clock: ClockSource,
    /// Where the log lives.
    pub disk: Arc<dyn Disk>,
    /// The log's folder on that disk.
    pub log_dir: PathBuf,
    /// How the log is kept.
    pub log: LogOptions,
    /// The rows of the store.
    pub rows: Arc<dyn Storage>,
}

/// What was read back: a replica that has not begun yet. It may be sent to the thread that is to own it.
pub(crate) struct Opened {
    recovered: Recovered,
    config: ReplicaConfig,
    store: Store,
    tables: Tables,
    applied: u64,
}

/// The ends of the queues between an executor and those who work for it.
pub(crate) struct Queues {
    pub(crate) messages: Receiver<Message>,
    pub(crate) events: Receiver<Event>,
    pub(crate) log: Sender<LogJob>,
    pub(crate) checkpoints: Sender<CheckpointJob>,
    pub(crate) audits: Sender<AuditJob>,
}

impl Opened {
    /// Reads back log and store. The log is left to whoever appends to it.
    ///
    /// # Errors
    /// When they are another ledger's, damaged, or do not fit together; the text says what to do.
    pub(crate) fn read(config: ReplicaConfig) -> anyhow::Result<(Self, SegmentLog)> {
        let (cluster, shard) = (config.cluster.clone(), config.shard);
        let shards = u32::try_from(config.map.shards().len())?;
        let identity = Identity { cluster: cluster.clone(), shard, shards };
        let (store, tables, applied) = Store::open(config.rows.clone(), &identity)?;
        points::START_STORE_READ.pass();
        let log_identity = LogIdentity { cluster, shard, replica: 1 };
        let (log, recovered) = SegmentLog::open_on(config.disk.clone(), &config.log_dir, &log_identity, config.log)?;
        anyhow::ensure!(
            recovered.last_index >= applied,
            "the log in {} ends at entry {}, but the store stands at {applied}: one of the two is from another time, or was \
             deleted; restore this shard from a backup",
            config.log_dir.display(),
            recovered.last_index
        );
        anyhow::ensure!(
            recovered.first_index <= applied + 1,
            "the log in {} has entries {} to {}, but the store stands at {applied}: a segment is missing, or one of the two \
             is from another time; restore this shard from a backup",
            config.log_dir.display(),
            recovered.first_index,
            recovered.last_index
        );
        points::START_READ.pass();
        tracing::info!(
            shard,
            applied,
            entries = recovered.entries.len(),
            torn_bytes = recovered.torn_bytes,
            "opened the shard; entries after the checkpoint are applied again"
        );
        Ok((Self { recovered, config, store, tables, applied }, log))
    }

    /// The executor. What comes after the checkpoint is applied in its first turns.
    ///
    /// # Errors
    /// When the log and the store do not fit together.
    pub(crate) fn begin(self, queues: Queues) -> anyhow::Result<Executor> {
        let consensus = Consensus::new(self.recovered.hard_state, self.recovered.entries, self.applied)?;
        Ok(Executor {
            shard: self.config.shard,
            map: Arc::new(self.config.map),
            clock: self.config.clock,
            queue: queues.messages,
            events: queues.events,
            log: queues.log,
            checkpoints: queues.checkpoints,
            audits: queues.audits,
            consensus,
            tables: self.tables,
            store: self.store,
            applied: self.applied,
            metrics: ShardMetrics::new(self.config.shard),
            state: State::at(self.applied),
        })
    }
}

/// Something that the executor wants done by somebody else.
pub struct Job(Work);

enum Work {
    Log(LogJob),
    Checkpoint(CheckpointJob),
    Audit(AuditJob),
}

/// Who does a job. The jobs of one worker are done one after the other, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// Writes the log.
    Log,
    /// Writes checkpoints.
    Checkpoint,
    /// Audits.
    Audit,
}

/// A replica without threads.
pub struct Replica {
    executor: Executor,
    log: SegmentLog,
    rows: Arc<dyn Storage>,
    handle: NodeHandle,
    arrived: Arc<Notify>,
    ended: watch::Sender<Option<Ended>>,
    events: Sender<Event>,
    log_jobs: Receiver<LogJob>,
    checkpoint_jobs: Receiver<CheckpointJob>,
    audit_jobs: Receiver<AuditJob>,
}

impl Replica {
    /// Opens it, which recovers it. Must be called inside a tokio runtime, whose time it then lives in.
    ///
    /// # Errors
    /// When log and store are another ledger's, damaged, or do not fit together.
    pub fn open(config: ReplicaConfig) -> anyhow::Result<Self> {
        let (shard, rows) = (config.shard, config.rows.clone());
        let (opened, log) = Opened::read(config)?;
        let (queue, messages) = bounded(limits::QUEUE_REQUESTS_MAX);
        let (events_in, events) = unbounded();
        let (log_in, log_jobs) = unbounded();
        let (checkpoints_in, checkpoint_jobs) = unbounded();
        let (audits_in, audit_jobs) = bounded(limits::AUDITS_MAX);
        let queues = Queues { messages, events, log: log_in, checkpoints: checkpoints_in, audits: audits_in };
        let (ended, ended_of_handle) = watch::channel(None);
        let arrived = Arc::new(Notify::new());
        let handle = NodeHandle::new(shard, queue, ended_of_handle, Some(arrived.clone()));
        let executor = opened.begin(queues)?;
        Ok(Self {
            executor,
            log,
            rows,
            handle,
            arrived,
            ended,
            events: events_in,
            log_jobs,
            checkpoint_jobs,
            audit_jobs,
        })
    }

    /// The way in.
    pub fn handle(&self) -> NodeHandle {
        self.handle.clone()
    }

    /// Told whenever something has arrived: it is time for a turn then, and also every [`limits::TICK`].
    pub fn arrived(&self) -> Arc<Notify> {
        self.arrived.clone()
    }

    /// Does what there is to do until nothing is left, without waiting for anything.
    ///
    /// # Errors
    /// Why the shard has stopped: something failed that must not be tried again. Its handles know it from now on.
    pub fn turn(&mut self) -> Result<(), String> {
        loop {
            match self.executor.turn() {
                Ok(Turn::Busy) => {}
                Ok(Turn::Idle | Turn::Stopped) => return Ok(()),
                Err(why) => {
                    let _ = self.ended.send(Some(Err(why.clone())));
                    return Err(why);
                }
            }
        }
    }

    /// The age of the oldest hold or decision in the outbox, ns, and how many there are of each.
    pub fn in_doubt(&self) -> (u64, usize, usize) {
        let (now, tables) = (self.executor.clock.now(), &self.executor.tables);
        let decided = tables.decisions().outbox().map(|(_, decision)| decision.decided_at).min();
        let oldest = tables.holds().oldest().into_iter().chain(decided).min();
        let age = oldest.map_or(0, |at| now.max(tables.now()).saturating_sub(at));
        (age, tables.holds().len(), tables.decisions().outbox_len())
    }

    /// The next job of a worker, if there is one.
    pub fn next_job(&mut self, worker: Worker) -> Option<Job> {
        let work = match worker {
            Worker::Log => self.log_jobs.try_recv().ok().map(Work::Log),
            Worker::Checkpoint => self.checkpoint_jobs.try_recv().ok().map(Work::Checkpoint),
            Worker::Audit => self.audit_jobs.try_recv().ok().map(Work::Audit),
        };
        work.map(Job)
    }

    /// Does a job at once. The executor hears of it in its next turn.
    pub fn work(&mut self, job: Job) {
        let event = match job.0 {
            Work::Log(job) => job.run(&mut self.log).0,
            Work::Checkpoint(job) => job.run(&*self.rows),
            Work::Audit(job) => {
                job.run();
                None
            }
        };
        if let Some(event) = event {
            // Its receiver is the executor, which is here.
            let _ = self.events.send(event);
        }
    }
}
