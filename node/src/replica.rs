//! One replica of one shard without threads: whoever owns it turns it, does its jobs, and tells it when they are done.
//!
//! [`crate::node`] gives it threads. The simulation gives it virtual time, and a disk and a network that misbehave.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crest_ledger::tables::Tables;
use crest_ledger::txn::ShardId;
use crest_proto::internal as wire;
use crest_topology::{NodeId, SlotMap};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use tokio::sync::{Notify, mpsc, watch};

use crate::audit::AuditJob;
use crate::birth::{Birth, Born};
use crate::checkpointer::CheckpointJob;
use crate::clock::ClockSource;
use crate::consensus::{Consensus, SnapshotMeta, Start};
use crate::executor::{Ended, Event, Executor, Inbound, Message, State, Turn};
use crate::limits;
use crate::log::disk::{Disk, SystemDisk};
use crate::log::{Identity as LogIdentity, Options as LogOptions, Recovered, SegmentLog};
use crate::log_writer::LogJob;
use crate::metrics_of::ShardMetrics;
use crate::node::{NodeHandle, Ways};
use crate::peers::{NoPeers, Peers};
use crate::points;
use crate::snapshot::{Exports, Fetch, Install, fetch};
use crate::store::home::{Home, RocksHome};
use crate::store::rows::Storage;
use crate::store::{Identity, Store};

/// What a replica has to know.
#[derive(Clone)]
pub struct ReplicaConfig {
    /// The cluster's name, as in its file.
    pub cluster: String,
    /// Which shard.
    pub shard: ShardId,
    /// The node that it is on.
    pub node: NodeId,
    /// What it is when its disk is empty.
    pub birth: Birth,
    /// The nodes that are to have a replica of this shard: the leader sees to it.
    pub placement: watch::Receiver<Vec<NodeId>>,
    /// The ways to the other nodes.
    pub peers: Arc<dyn Peers>,
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
    /// Where the rows of the store live.
    pub home: Arc<dyn Home>,
    /// Bounds that tests make small.
    pub sizes: limits::Sizes,
    /// Who looks on, if anybody does.
    pub witness: Option<Arc<dyn Witness>>,
}

/// Somebody who looks on while a replica applies its log. It changes nothing; a simulation compares what replicas apply.
pub trait Witness: Send + Sync {
    /// The replica applies this entry: its bytes, or those of the change of the members that it is.
    fn applies(&self, index: u64, term: u64, bytes: &[u8]);
}

impl ReplicaConfig {
    /// A replica that is alone in its group, with everything in a folder of the file system.
    pub fn alone(cluster: &str, shard: ShardId, map: SlotMap, data_dir: &Path) -> Self {
        Self {
            cluster: cluster.to_owned(),
            shard,
            node: 1,
            birth: Birth::Founder(vec![1]),
            // Nobody ever changes it: the sender may go.
            placement: watch::channel(vec![1]).1,
            peers: Arc::new(NoPeers),
            map,
            clock: ClockSource::default(),
            disk: Arc::new(SystemDisk),
            log_dir: data_dir.join("log"),
            log: LogOptions::default(),
            home: RocksHome::new(data_dir),
            sizes: limits::Sizes::default(),
            witness: None,
        }
    }
}

/// What was read back: a replica that has not begun yet. It may be sent to the thread that is to own it.
pub(crate) struct Opened {
    recovered: Recovered,
    config: ReplicaConfig,
    rows: Arc<dyn Storage>,
    store: Store,
    tables: Tables,
    checkpoint: SnapshotMeta,
    born: Born,
    /// A snapshot that was installed just now: its leader waits to hear of it.
    installed: Option<Install>,
}

/// The ends of the queues between an executor and those who work for it.
pub(crate) struct Queues {
    pub(crate) messages: Receiver<Message>,
    pub(crate) inbox: Receiver<Inbound>,
    pub(crate) events: Receiver<Event>,
    pub(crate) log: Sender<LogJob>,
    pub(crate) checkpoints: Sender<CheckpointJob>,
    pub(crate) audits: Sender<AuditJob>,
    pub(crate) fetches: mpsc::Sender<Fetch>,
    pub(crate) exports: Exports,
}

impl Opened {
    /// Who the replica is: what its disk remembers, or what it is born as.
    ///
    /// # Errors
    /// When the disk can't be read or written, or remembers another node.
    pub(crate) fn identify(config: &ReplicaConfig) -> anyhow::Result<Born> {
        let born = match Born::recall(&*config.disk, &config.log_dir)? {
            Some(born) => born,
            None => {
                let rest = config.disk.names(&config.log_dir).unwrap_or_default();
                anyhow::ensure!(
                    !rest.iter().any(|name| name.starts_with("segment-")),
                    "{} has a log, but not the file 'replica' that says whose: it is of an older build, or the file was \
                     deleted; delete this shard's folder on this node to have it rebuilt from the others, or restore it",
                    config.log_dir.display()
                );
                Born::note(&*config.disk, &config.log_dir, config.node, &config.birth)?
            }
        };
        anyhow::ensure!(
            born.replica.node() == config.node,
            "the folder {} is node {}'s, and this is node {}: give the right --node or --data-dir",
            config.log_dir.display(),
            born.replica.node(),
            config.node
        );
        Ok(born)
    }

    /// Reads back log and store. The log is left to whoever appends to it.
    ///
    /// # Errors
    /// When they are another ledger's, damaged, or do not fit together; the text says what to do.
    pub(crate) fn read(config: ReplicaConfig) -> anyhow::Result<(Self, SegmentLog)> {
        let born = Self::identify(&config)?;
        let (cluster, shard) = (config.cluster.clone(), config.shard);
        let shards = u32::try_from(config.map.shards().len())?;
        let installed = Install::noted(&*config.disk, &config.log_dir)?;
        if installed.is_some() {
            config.home.swap()?;
            points::INSTALL_SWAPPED.pass();
        }
        let identity = Identity { cluster: cluster.clone(), shard, shards };
        let rows = config.home.open()?;
        let (store, tables, mut checkpoint) = Store::open(rows.clone(), &identity)?;
        points::START_STORE_READ.pass();
        let log_identity = LogIdentity { cluster, shard, replica: born.replica.number() };
        let open = || SegmentLog::open_on(config.disk.clone(), &config.log_dir, &log_identity, config.log);
        let (mut log, mut recovered) = open()?;
        if let Some(install) = &installed {
            anyhow::ensure!(
                checkpoint.index == install.index,
                "a snapshot of entry {} was to be installed, but the store stands at {}: delete this shard's folder on this \
                 node, and start again: it is rebuilt from the others",
                install.index,
                checkpoint.index
            );
            log.reset(install.index + 1, install.hard_state)?;
            drop(log);
            (log, recovered) = open()?;
            points::INSTALL_LOG_RESET.pass();
            Install::forget(&*config.disk, &config.log_dir)?;
        }
        if checkpoint.index == 0 {
            checkpoint.members = born.members.clone();
        }
        check_positions(&config, &recovered, checkpoint.index)?;
        points::START_READ.pass();
        tracing::info!(
            shard,
            replica = %born.replica,
            applied = checkpoint.index,
            entries = recovered.entries.len(),
            torn_bytes = recovered.torn_bytes,
            "opened the shard; entries after the checkpoint are applied again"
        );
        Ok((Self { recovered, config, rows, store, tables, checkpoint, born, installed }, log))
    }

    /// The rows, for those who work for the executor.
    pub(crate) fn rows(&self) -> Arc<dyn Storage> {
        self.rows.clone()
    }

    /// The executor. What comes after the checkpoint is applied in its first turns.
    ///
    /// # Errors
    /// When the log and the store do not fit together.
    pub(crate) fn begin(self, queues: Queues) -> anyhow::Result<Executor> {
        let (config, checkpoint) = (self.config, self.checkpoint);
        let replay_until = self.recovered.last_index;
        let consensus = Consensus::new(Start {
            shard: config.shard,
            replica: self.born.replica,
            hard_state: self.recovered.hard_state,
            entries: self.recovered.entries,
            applied: checkpoint.index,
            applied_term: checkpoint.term,
            members: checkpoint.members.clone(),
            seed: config.disk.random(),
            sizes: config.sizes,
        })?;
        let executor = Executor {
            shard: config.shard,
            map: Arc::new(config.map),
            clock: config.clock,
            queue: queues.messages,
            inbox: queues.inbox,
            events: queues.events,
            peers: config.peers,
            fetches: queues.fetches,
            exports: queues.exports,
            disk: config.disk,
            log_dir: config.log_dir,
            placement: config.placement,
            log: queues.log,
            checkpoints: queues.checkpoints,
            audits: queues.audits,
            consensus,
            tables: self.tables,
            store: self.store,
            applied: checkpoint.index,
            applied_term: checkpoint.term,
            sizes: config.sizes,
            witness: config.witness,
            metrics: ShardMetrics::new(config.shard),
            state: State::at(checkpoint, replay_until),
        };
        if let Some(install) = self.installed {
            executor.tell_installed(&install);
        }
        Ok(executor)
    }
}

fn check_positions(config: &ReplicaConfig, recovered: &Recovered, applied: u64) -> anyhow::Result<()> {
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
    Ok(())
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
    /// Snapshots that are to be fetched.
    fetches: Option<mpsc::Receiver<Fetch>>,
    peers: Arc<dyn Peers>,
    home: Arc<dyn Home>,
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
        let shard = config.shard;
        let (peers, home) = (config.peers.clone(), config.home.clone());
        let (opened, log) = Opened::read(config)?;
        let rows = opened.rows();
        let (queue, messages) = bounded(limits::QUEUE_REQUESTS_MAX);
        let (inbox_in, inbox) = bounded(limits::INBOX_MAX);
        let (events_in, events) = unbounded();
        let (log_in, log_jobs) = unbounded();
        let (checkpoints_in, checkpoint_jobs) = unbounded();
        let (audits_in, audit_jobs) = bounded(limits::AUDITS_MAX);
        let (fetches_in, fetches) = mpsc::channel(1);
        let exports = Exports::default();
        let queues = Queues {
            messages,
            inbox,
            events,
            log: log_in,
            checkpoints: checkpoints_in,
            audits: audits_in,
            fetches: fetches_in,
            exports: exports.clone(),
        };
        let (ended, ended_of_handle) = watch::channel(None);
        let arrived = Arc::new(Notify::new());
        let ways = Ways { shard, replica: opened.born.replica, queue, inbox: inbox_in, exports };
        let handle = NodeHandle::new(ways, ended_of_handle, Some(arrived.clone()));
        let executor = opened.begin(queues)?;
        Ok(Self {
            executor,
            log,
            rows,
            handle,
            fetches: Some(fetches),
            peers,
            home,
            arrived,
            ended,
            events: events_in,
            log_jobs,
            checkpoint_jobs,
            audit_jobs,
        })
    }

    /// What it does beside its turns: fetching snapshots, and asking to be taken into its group. To be run once, until it
    /// ends.
    pub fn follow(&mut self) -> impl Future<Output = ()> + use<> {
        let (handle, peers, home) = (self.handle.clone(), self.peers.clone(), self.home.clone());
        let placement = self.executor.placement.clone();
        let fetches = self.fetches.take();
        async move {
            let Some(fetches) = fetches else { return };
            let fetching = fetch::run(handle.clone(), peers.clone(), home, fetches);
            tokio::join!(fetching, crate::joining::run(handle, peers, placement));
        }
    }

    /// The way in.
    pub fn handle(&self) -> NodeHandle {
        self.handle.clone()
    }

    /// Told whenever something has arrived: it is time for a turn then, and also every [`limits::TICK`].
    pub fn arrived(&self) -> Arc<Notify> {
        self.arrived.clone()
    }

    /// Does what there is to do until nothing is left, without waiting for anything. Answers whether it goes on; when not,
    /// a snapshot is to take its place, and it has to be opened again.
    ///
    /// # Errors
    /// Why the shard has stopped: something failed that must not be tried again. Its handles know it from now on.
    pub fn turn(&mut self) -> Result<bool, String> {
        loop {
            match self.executor.turn() {
                Ok(Turn::Busy) => {}
                Ok(Turn::Idle | Turn::Stopped) => return Ok(true),
                Ok(Turn::Reopen) => {
                    let _ = self.ended.send(Some(Ok(())));
                    return Ok(false);
                }
                Err(why) => {
                    let _ = self.ended.send(Some(Err(why.clone())));
                    return Err(why);
                }
            }
        }
    }

    /// Its term.
    pub fn term(&self) -> u64 {
        self.executor.consensus.term()
    }

    /// Whether it leads its group.
    pub fn is_leader(&self) -> bool {
        self.executor.consensus.is_leader()
    }

    /// How it is.
    pub fn describe(&self) -> wire::ReplicaDescription {
        self.executor.describe()
    }

    /// The last commit position that its log has on the disk: after a crash it knows at least of that.
    pub fn durable_commit(&self) -> u64 {
        self.log.hard_state().commit
    }

    /// Writes all that is applied into the rows, at once. No job of its checkpoints may be under way.
    ///
    /// # Errors
    /// As of [`Replica::turn`].
    pub fn checkpoint(&mut self) -> Result<(), String> {
        self.executor.maybe_checkpoint(true)?;
        while let Some(job) = self.next_job(Worker::Checkpoint) {
            self.work(job);
        }
        self.turn().map(drop)
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
