//! One replica of one shard: opened, reached through its queue, and stopped.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use crest_ledger::txn::ShardId;
use crest_ledger::wire::Request;
use crest_link::{Answering, LinkError, ShardLink};
use crest_topology::SlotMap;
use crossbeam_channel::{Sender, TrySendError, bounded};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use crate::clock_source::ClockSource;
use crate::executor::{Ended, Executor, Expiring, Message, Overdue};
use crate::log::Options as LogOptions;
use crate::log::disk::SystemDisk;
use crate::replica::{Opened, Queues, ReplicaConfig};
use crate::store::rocks::Rocks;
use crate::store::rows::Storage;
use crate::{audit, checkpointer, limits, log_writer};

/// What a node has to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster's name, as in its file.
    pub cluster: String,
    /// Which shard.
    pub shard: ShardId,
    /// The slot map.
    pub map: SlotMap,
    /// Where log and store live. It is made when it is not there.
    pub data_dir: PathBuf,
    /// Where time comes from.
    pub clock: ClockSource,
    /// How the log is kept.
    pub log: LogOptions,
}

/// A running shard.
pub struct Node {
    handle: NodeHandle,
    /// The executor's, then its helpers'. All of them end before the folder is given back, and before the process ends:
    /// RocksDB's threads must not outlive what its library keeps for the process.
    threads: Vec<JoinHandle<()>>,
    _lock: std::fs::File,
}

/// A way to reach a running shard from inside its process.
#[derive(Clone)]
pub struct NodeHandle {
    shard: ShardId,
    queue: Sender<Message>,
    ended: watch::Receiver<Option<Ended>>,
    /// Told of every message, where no thread waits for them.
    arrived: Option<Arc<Notify>>,
}

impl Node {
    /// Opens the data folder, recovers, and starts the shard's threads. No port is opened here.
    ///
    /// # Errors
    /// When the folder is in use, is another ledger's, or is damaged; the text says what to do.
    pub fn open(config: Config) -> anyhow::Result<Self> {
        let lock = lock(&config.data_dir)?;
        let rows: Arc<dyn Storage> = Rocks::open(&config.data_dir.join("store"), &config.data_dir)?;
        let (opened, log) = Opened::read(ReplicaConfig {
            cluster: config.cluster,
            shard: config.shard,
            map: config.map,
            clock: config.clock,
            disk: Arc::new(SystemDisk),
            log_dir: config.data_dir.join("log"),
            log: config.log,
            rows: rows.clone(),
        })?;
        let shard = config.shard;
        let (queue, messages) = bounded(limits::QUEUE_REQUESTS_MAX);
        let (events_in, events) = bounded(256);
        let (log, log_thread) = log_writer::start(shard, log, events_in.clone())?;
        let (checkpoints, checkpoint_thread) = checkpointer::start(shard, rows, events_in)?;
        let (audits, audit_thread) = audit::start(shard)?;
        let queues = Queues { messages, events, log, checkpoints, audits };
        let (ended_in, ended) = watch::channel(None);
        let thread = std::thread::Builder::new().name(format!("shard-{shard}")).spawn(move || {
            let result = opened.begin(queues).map_err(|e| e.to_string()).and_then(Executor::run);
            let _ = ended_in.send(Some(result));
        })?;
        let threads = vec![thread, log_thread, checkpoint_thread, audit_thread];
        Ok(Self { handle: NodeHandle::new(shard, queue, ended, None), threads, _lock: lock })
    }

    /// The way in.
    pub fn handle(&self) -> NodeHandle {
        self.handle.clone()
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
        let _ = self.handle.queue.send(Message::Stop);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.end();
        }
    }
}

impl NodeHandle {
    pub(crate) fn new(
        shard: ShardId,
        queue: Sender<Message>,
        ended: watch::Receiver<Option<Ended>>,
        arrived: Option<Arc<Notify>>,
    ) -> Self {
        Self { shard, queue, ended, arrived }
    }

    fn put(&self, message: Message) -> Result<(), TrySendError<()>> {
        self.queue.try_send(message).map_err(|e| match e {
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
        self.shard
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

    /// What recovery has to do, but for what it is doing with the shards in `busy`.
    pub(crate) async fn overdue(&self, busy: BTreeSet<ShardId>) -> Option<Overdue> {
        let (reply, answer) = oneshot::channel();
        self.put(Message::Overdue(busy, reply)).ok()?;
        answer.await.ok()
    }
}

impl ShardLink for NodeHandle {
    fn send(&self, request: Request) -> Answering {
        let shard = self.shard;
        if self.queue.len() >= limits::QUEUE_REHEARSALS_MAX && request.begins_rehearsals() {
            let why = format!("{} requests wait already, too many for a rehearsal", limits::QUEUE_REHEARSALS_MAX);
            return Box::pin(async move { Err(LinkError::Refused { shard, why }) });
        }
        let (reply, answer) = oneshot::channel();
        let queued = self.put(Message::Request { request, reply, queued: Instant::now() });
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
                    Err(LinkError::Refused { shard, why: "the shard has stopped".to_owned() })
                }
            }
        })
    }

    fn address(&self) -> String {
        "in this process".to_owned()
    }
}

/// One process a data folder.
fn lock(dir: &Path) -> anyhow::Result<std::fs::File> {
    use anyhow::Context;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make the data folder {}", dir.display()))?;
    let path = dir.join("LOCK");
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    file.try_lock().map_err(|_| {
        anyhow::anyhow!(
            "the data folder {} is in use by another process; stop that one, or give another folder",
            dir.display()
        )
    })?;
    Ok(file)
}
