//! The executor's part in audits: the instant, the checkpoint before it, and whatever the audit thread can't see.

use std::sync::Arc;

use crest_ledger::Timestamp;
use crest_ledger::records::TransferRecord;
use crest_ledger::wire::audit::{AuditProgress, TotalsPage};
use crest_link::LinkError;
use crossbeam_channel::TrySendError;

use super::reads::Parked;
use super::{Ended, Executor, Reply};
use crate::audit::{AuditJob, Counters, Task};
use crate::limits;
use crate::store::StoreError;

/// The audits of a shard.
#[derive(Default)]
pub(super) struct Audits {
    /// Those that wait for the checkpoint that is being written.
    waiting: Vec<(Task, Reply)>,
    /// The last ones that were begun, by number.
    begun: Vec<(u64, Arc<Counters>)>,
}

impl Executor {
    /// An audit reads a snapshot of the store, so that payments go on. First the store has to have everything: a checkpoint
    /// is written, and the snapshot is taken at its end.
    pub(super) fn start_audit(&mut self, parked: Parked, number: u64, at: Timestamp) -> Ended {
        if self.state.checkpointing {
            self.state.parked.push_back(parked);
            return Ok(());
        }
        self.maybe_checkpoint(true)?;
        let (audits, counters) = (&mut self.state.audits, Arc::new(Counters::default()));
        if audits.begun.len() >= limits::AUDITS_REMEMBERED_MAX {
            audits.begun.remove(0);
        }
        let earlier = audits.begun.iter().map(|(_, counters)| counters.clone()).collect();
        audits.begun.push((number, counters.clone()));
        audits.waiting.push((Task::Whole { at, counters, earlier }, parked.reply));
        Ok(())
    }

    /// Starts the audits that waited for the checkpoint which was just written.
    pub(super) fn run_audits(&mut self) -> Ended {
        for (task, reply) in std::mem::take(&mut self.state.audits.waiting) {
            self.queue_audit(task, reply)?;
        }
        Ok(())
    }

    /// Hands a task to the audit thread.
    pub(super) fn queue_audit(&mut self, task: Task, reply: Reply) -> Ended {
        let (shard, map, rows) = (self.shard, self.map.clone(), self.store.rows());
        let job = AuditJob { shard, map, rows, task, reply, stopping: self.state.audits_stop.clone() };
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = self.audits.try_send(job) {
            let why = format!("{} audits wait already", limits::AUDITS_MAX);
            let _ = job.reply.send(Err(LinkError::Refused { shard, why }));
        }
        Ok(())
    }

    /// How far an audit is. One that is not known here waits to begin, or was begun long ago.
    pub(super) fn audit_progress(&self, number: u64) -> AuditProgress {
        let begun = self.state.audits.begun.iter().rev().find(|(known, _)| *known == number);
        begun.map(|(_, counters)| counters.progress()).unwrap_or_default()
    }

    /// The sums of an audit for the ledger numbers above `after`. Nothing is kept of an audit whose sums fit its answer, or that
    /// another replica answered.
    pub(super) fn audit_totals(&self, number: u64, after: u32) -> Result<TotalsPage, LinkError> {
        let begun = self.state.audits.begun.iter().rev().find(|(known, _)| *known == number);
        begun.and_then(|(_, counters)| counters.totals_after(after)).ok_or_else(|| LinkError::Refused {
            shard: self.shard,
            why: format!("the sums of audit {number} are not kept here (any more)"),
        })
    }

    /// The records with these timestamps, as they are at an instant at which nothing below is in doubt.
    pub(super) fn audit_records(&self, times: &[Timestamp], at: Timestamp) -> Result<Vec<TransferRecord>, StoreError> {
        let times: Vec<Timestamp> = times.iter().copied().filter(|time| *time <= at).collect();
        self.records_at(&times)
    }
}
