//! One replica of one shard: opened, reached through its queue, and stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crest_ledger::txn::ShardId;
use crest_ledger::wire::Request;
use crest_link::{Answering, LinkError, ShardLink};
use crest_topology::SlotMap;
use crossbeam_channel::{Sender, TrySendError, bounded};
use tokio::sync::{oneshot, watch};

use crate::clock_source::ClockSource;
use crate::consensus::Consensus;
use crate::executor::{Executor, Expiring, InDoubt, Message, State};
use crate::limits;
use crate::log::{Identity as LogIdentity, Options as LogOptions, SegmentLog};
use crate::metrics_of::ShardMetrics;
use crate::store::{Identity, Store};
use crate::{checkpointer, log_writer};

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
    ended: watch::Receiver<Option<Result<(), String>>>,
}

impl Node {
    /// Opens the data folder, recovers, and starts the shard's threads. No port is opened here.
    ///
    /// # Errors
    /// When the folder is in use, is another ledger's, or is damaged; the text says what to do.
    pub fn open(config: Config) -> anyhow::Result<Self> {
        let lock = lock(&config.data_dir)?;
        let identity = Identity {
            cluster: config.cluster.clone(),
            shard: config.shard,
            shards: u32::try_from(config.map.shards().len())?,
        };
        let (store, tables, applied) = Store::open(&config.data_dir.join("store"), &identity)?;
        let log_identity = LogIdentity { cluster: config.cluster.clone(), shard: config.shard, replica: 1 };
        let (log, recovered) = SegmentLog::open(&config.data_dir.join("log"), &log_identity, config.log)?;
        anyhow::ensure!(
            recovered.last_index >= applied,
            "the log in {} ends at entry {}, but the store stands at {applied}: one of the two is from another time, or was \
             deleted; restore this shard from a backup",
            config.data_dir.join("log").display(),
            recovered.last_index
        );
        tracing::info!(
            shard = config.shard,
            applied,
            entries = recovered.entries.len(),
            torn_bytes = recovered.torn_bytes,
            "opened the shard; entries after the checkpoint are applied again"
        );
        let (queue, messages) = bounded(limits::QUEUE_REQUESTS_MAX);
        let (events_in, events) = bounded(256);
        let (log, log_thread) = log_writer::start(config.shard, log, events_in.clone())?;
        let scratch = config.data_dir.clone();
        let (checkpoints, checkpoint_thread) = checkpointer::start(config.shard, store.db(), scratch, events_in)?;
        let (ended_in, ended) = watch::channel(None);
        let shard = config.shard;
        let thread = std::thread::Builder::new().name(format!("shard-{shard}")).spawn(move || {
            let started = Consensus::new(recovered.hard_state, recovered.entries, applied);
            let result = started.map_err(|e| e.to_string()).and_then(|consensus| {
                let executor = Executor {
                    shard,
                    map: Arc::new(config.map),
                    clock: config.clock,
                    queue: messages,
                    events,
                    log,
                    checkpoints,
                    consensus,
                    tables,
                    store,
                    applied,
                    metrics: ShardMetrics::new(shard),
                    state: State::default(),
                };
                executor.run()
            });
            let _ = ended_in.send(Some(result));
        })?;
        let threads = vec![thread, log_thread, checkpoint_thread];
        Ok(Self { handle: NodeHandle { shard, queue, ended }, threads, _lock: lock })
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
        self.queue.try_send(Message::Expiring(reply)).ok()?;
        answer.await.ok()
    }

    pub(crate) async fn in_doubt(&self) -> Option<InDoubt> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Message::InDoubt(reply)).ok()?;
        answer.await.ok()
    }
}

impl ShardLink for NodeHandle {
    fn send(&self, request: Request) -> Answering {
        let shard = self.shard;
        let (reply, answer) = oneshot::channel();
        let queued = self.queue.try_send(Message::Request { request, reply, queued: Instant::now() });
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
