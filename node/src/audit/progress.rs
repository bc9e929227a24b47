//! How far an audit is: written by whoever audits, read by the executor when somebody asks.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crest_ledger::wire::audit::{AuditProgress, AuditStage};

/// Counters of one audit.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    stage: AtomicU8,
    rows: AtomicU64,
    rows_expected: AtomicU64,
}

impl Counters {
    /// Enters a stage; stages only go forward.
    pub(super) fn enter(&self, stage: AuditStage) {
        self.stage.fetch_max(stage as u8, Ordering::Relaxed);
    }

    /// Counts rows that were looked at.
    pub(super) fn count(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Says how many rows there will be in all.
    pub(super) fn expect(&self, rows: u64) {
        self.rows_expected.store(rows, Ordering::Relaxed);
    }

    /// Rows so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// How far it is.
    pub(crate) fn progress(&self) -> AuditProgress {
        let stage = self.stage.load(Ordering::Relaxed);
        let stages = [AuditStage::Waiting, AuditStage::Reading, AuditStage::Naming, AuditStage::Done];
        let stage = stages.into_iter().find(|s| *s as u8 == stage).unwrap_or_default();
        let rows = self.rows();
        AuditProgress { stage, rows, rows_expected: self.rows_expected.load(Ordering::Relaxed).max(rows) }
    }
}
