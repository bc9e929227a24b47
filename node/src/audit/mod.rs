//! One shard's part of an audit: everything that it has, read in a snapshot of the store, on a thread of its own while
//! payments flow.
//!
//! What one shard can't see is left to whoever asked: that the totals of all shards agree, and that both halves of every
//! cross-shard transfer are there. Reading order: [`whole`] reads all tables and compares sums, [`accounts`] and [`records`]
//! are what it does with an account and a record, [`naming`] finds the rows where sums differ, [`halves`] answers for those
//! of a time range.

mod progress;
pub(crate) mod scan;
pub(crate) mod mix;
mod findings;
mod accounts;
pub(crate) mod records;
mod others;
mod whole;
mod naming;
mod halves;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crest_ledger::Timestamp;
use crest_ledger::finding::{Finding, FindingKind};
use crest_ledger::wire::audit::{AuditStage, HalvesQuery};
use crest_ledger::wire::{QueryAnswer, Response, ShardAudit};
use crest_link::LinkError;
use crest_topology::SlotMap;
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::executor::Reply;
use crate::limits;
use crate::store::rows::Storage;
pub(crate) use progress::Counters;
use scan::{Interrupted, Scan};

/// What to do.
pub(crate) enum Task {
    /// Audit everything at this instant. The rows have everything up to it.
    Whole {
        at: Timestamp,
        counters: Arc<Counters>,
        /// Those of the audits that were begun before, oldest first.
        earlier: Vec<Arc<Counters>>,
    },
    /// Answer for the halves of a time range: sums of its parts.
    Buckets(HalvesQuery),
    /// Answer for the halves of a time range: the rows.
    Halves(HalvesQuery),
}

/// A part of an audit that was asked for.
pub(crate) struct AuditJob {
    pub(crate) shard: u32,
    pub(crate) map: Arc<SlotMap>,
    pub(crate) rows: Arc<dyn Storage>,
    pub(crate) task: Task,
    pub(crate) reply: Reply,
    /// Turns true when the shard stops: the audit ends early then.
    pub(crate) stopping: Arc<AtomicBool>,
}

impl AuditJob {
    /// Reads a snapshot of the rows, and answers.
    pub(crate) fn run(self) {
        let snapshot = self.rows.snapshot();
        let (shard, map) = (self.shard, &*self.map);
        let none = Counters::default();
        let give_up = || self.stopping.load(Ordering::Relaxed) || self.reply.is_closed();
        let scan = |counters| Scan { rows: &*snapshot, give_up: &give_up, counters };
        let result = match &self.task {
            Task::Whole { at, counters, earlier } => {
                let audited = whole::audit(scan(counters), shard, map, *at, limits::AUDIT_PART_ACCOUNTS);
                counters.enter(AuditStage::Done);
                progress::forget_oldest(earlier, counters);
                let audited = match audited {
                    Err(Interrupted::Damaged(why)) => Ok(damaged(shard, why, counters)),
                    audited => audited,
                };
                audited.map(QueryAnswer::Audit)
            }
            Task::Buckets(query) => halves::buckets(scan(&none), map, query).map(QueryAnswer::AuditBuckets),
            Task::Halves(query) => halves::rows(scan(&none), map, query).map(QueryAnswer::AuditHalves),
        };
        let unknown = |why: String| LinkError::Unknown { shard, why };
        let _ = self.reply.send(match result {
            Ok(answer) => Ok(Response::Query(answer)),
            Err(Interrupted::Stopping) => {
                Err(unknown("the shard is being stopped; audit again when it is back".to_owned()))
            }
            Err(Interrupted::Damaged(why)) => Err(unknown(why)),
        });
    }
}

/// The audit of a shard whose store can't be read: that is what it found.
fn damaged(shard: u32, why: String, counters: &Counters) -> ShardAudit {
    let finding = Finding { shard: Some(shard), detail: why, ..Finding::new(FindingKind::StoreDamaged) };
    ShardAudit { findings: vec![finding], rows: counters.rows(), ..ShardAudit::default() }
}

/// Starts the thread that audits. It ends when the returned sender is dropped.
pub(crate) fn start(shard: u32) -> std::io::Result<(Sender<AuditJob>, JoinHandle<()>)> {
    let (jobs, todo): (Sender<AuditJob>, Receiver<AuditJob>) = bounded(limits::AUDITS_MAX);
    let work = move || {
        // Of this thread: Linux gives every thread a nice value of its own. An audit that is not so polite is still right.
        if let Err(why) = rustix::process::setpriority_process(None, limits::AUDIT_NICE) {
            tracing::warn!(shard, %why, "audits take their full share of the processors");
        }
        todo.into_iter().for_each(AuditJob::run);
    };
    let thread = std::thread::Builder::new().name(format!("audit-{shard}")).spawn(work)?;
    Ok((jobs, thread))
}

#[cfg(test)]
mod tests;
