//! The thread that reads for a backup. It holds a snapshot as long as somebody asks for pages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crest_ledger::wire::backup::{BackupAnswer, BackupBegin};
use crest_ledger::wire::{QueryAnswer, Response};
use crest_link::LinkError;
use crest_topology::SlotMap;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::outlet::Outlet;
use super::read;
use crate::audit::Counters;
use crate::audit::scan::{Interrupted, Scan};
use crate::executor::Reply;
use crate::limits;
use crate::store::rows::Storage;

/// A page that is asked for: its number, and where it goes.
pub(crate) type Ask = (u64, Reply);

/// What a backup has to know.
pub(crate) struct Begin {
    pub(crate) shard: u32,
    pub(crate) map: Arc<SlotMap>,
    pub(crate) rows: Arc<dyn Storage>,
    pub(crate) begin: BackupBegin,
    /// Told when it has begun.
    pub(crate) begun: Reply,
    /// Turns true when the shard stops.
    pub(crate) stopping: Arc<AtomicBool>,
}

/// A backup on its way.
pub(crate) struct Session {
    number: u64,
    /// `None` when it is being ended.
    asks: Option<Sender<Ask>>,
    thread: Option<JoinHandle<()>>,
    stopping: Arc<AtomicBool>,
    /// Turns true when the end was told: it stays only in case that answer was lost.
    told: Arc<AtomicBool>,
}

impl Session {
    /// Starts the thread. The store has everything up to the instant.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(mut begin: Begin) -> std::io::Result<Self> {
        // Of this backup alone: it may be begun again while the shard goes on.
        let (asks, todo) = bounded(limits::BACKUP_ASKS_MAX);
        let stopping = Arc::new(AtomicBool::new(false));
        let shard_stopping = std::mem::replace(&mut begin.stopping, stopping.clone());
        let number = begin.begin.number;
        let told = Arc::new(AtomicBool::new(false));
        let tell = told.clone();
        let name = format!("backup-{}", begin.shard);
        let thread = std::thread::Builder::new().name(name).spawn(move || run(begin, &shard_stopping, todo, &tell))?;
        Ok(Self { number, asks: Some(asks), thread: Some(thread), stopping, told })
    }

    /// Its number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether it has come to its end, or nobody asked for too long.
    pub(crate) fn is_over(&self) -> bool {
        self.told.load(Ordering::Relaxed) || self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Hands a question to the thread; gives it back when it takes none.
    pub(crate) fn ask(&self, ask: Ask) -> Result<(), Ask> {
        match &self.asks {
            Some(asks) => asks.try_send(ask).map_err(crossbeam_channel::TrySendError::into_inner),
            None => Err(ask),
        }
    }
}

impl Drop for Session {
    /// RocksDB's snapshot must not outlive the shard, so the thread is waited for: at most a chunk of rows.
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.asks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(begin: Begin, shard_stopping: &AtomicBool, asks: Receiver<Ask>, told: &AtomicBool) {
    let shard = begin.shard;
    // Of this thread: as an audit's.
    if let Err(why) = rustix::process::setpriority_process(None, limits::AUDIT_NICE) {
        tracing::warn!(shard, %why, "backups take their full share of the processors");
    }
    let snapshot = begin.rows.snapshot();
    let give_up = || begin.stopping.load(Ordering::Relaxed) || shard_stopping.load(Ordering::Relaxed);
    let counters = Counters::default();
    let scan = Scan { rows: &*snapshot, give_up: &give_up, counters: &counters };
    let outlet = Outlet::new(shard, &give_up, asks, told);
    let first = match read::refusal(scan, begin.begin.since.as_ref()) {
        Ok(None) => BackupAnswer::Begun(crate::store::cluster_of(scan.rows).unwrap_or_default()),
        Ok(Some(why)) => BackupAnswer::Other(why),
        Err(e) => {
            let why = text(e);
            let _ = begin.begun.send(Err(LinkError::Unknown { shard, why }));
            return;
        }
    };
    let begun = matches!(first, BackupAnswer::Begun(_));
    let _ = begin.begun.send(Ok(Response::Query(QueryAnswer::Backup(first))));
    if begun {
        let ended = read::everything(scan, &begin.map, &begin.begin, outlet);
        if let Err(Interrupted::Damaged(why)) = ended {
            tracing::error!(shard, %why, "a backup cannot read the store");
        }
    }
}

fn text(e: Interrupted) -> String {
    match e {
        Interrupted::Stopping => "the shard is being stopped".to_owned(),
        Interrupted::Damaged(why) => why,
    }
}
