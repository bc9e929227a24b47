//! How far an audit is, and its sums that did not fit its answer: written by whoever audits, read by the executor when
//! somebody asks.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crest_ledger::wire::audit::{AuditProgress, AuditStage, LedgerSums, TOTALS_MAX, TotalsPage};

use crate::limits;

/// Counters of one audit.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// The sums of the ledger numbers, in order, where there are more than fit a message; none when nobody may ask for them.
    totals: Mutex<Option<VecDeque<LedgerSums>>>,
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

    /// Keeps the sums of all ledger numbers, in order, where there are more than fit a message. Gives the first page.
    pub(super) fn keep(&self, totals: Vec<LedgerSums>) -> TotalsPage {
        debug_assert!(totals.windows(2).all(|two| two[0].0 < two[1].0), "sums come in the order of ledger numbers");
        if totals.len() <= TOTALS_MAX {
            return TotalsPage { totals, more: false };
        }
        let page = TotalsPage { totals: totals[..TOTALS_MAX].to_vec(), more: true };
        *self.totals() = Some(totals.into());
        page
    }

    /// The sums of the ledger numbers above `after`; `None` when none are kept. Lower ones are forgotten.
    pub(crate) fn totals_after(&self, after: u32) -> Option<TotalsPage> {
        let mut kept = self.totals();
        let kept = kept.as_mut()?;
        kept.drain(..kept.partition_point(|(ledger, ..)| *ledger <= after));
        let page =
            TotalsPage { totals: kept.iter().take(TOTALS_MAX).copied().collect(), more: kept.len() > TOTALS_MAX };
        if !page.more {
            // Only in case that the answer is lost.
            kept.shrink_to_fit();
        }
        Some(page)
    }

    fn totals(&self) -> MutexGuard<'_, Option<VecDeque<LedgerSums>>> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Forgets the sums of all audits but the newest [`limits::AUDIT_TOTALS_KEPT`] that keep some, this last one among them.
pub(super) fn forget_oldest(earlier: &[Arc<Counters>], last: &Counters) {
    let keeping = earlier.iter().rev().map(|counters| &**counters).filter(|counters| counters.totals().is_some());
    let places = limits::AUDIT_TOTALS_KEPT - usize::from(last.totals().is_some());
    keeping.skip(places).for_each(|counters| *counters.totals() = None);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(ledgers: std::ops::Range<usize>) -> Vec<LedgerSums> {
        ledgers.map(|n| (n as u32 * 10, [n as u128; 4], 1)).collect()
    }

    #[test]
    fn sums_that_fit_one_message_are_not_kept() {
        let counters = Counters::default();
        assert_eq!(counters.keep(sums(0..TOTALS_MAX)), TotalsPage { totals: sums(0..TOTALS_MAX), more: false });
        assert_eq!(counters.totals_after(0), None);
    }

    #[test]
    fn sums_come_in_pages_from_any_ledger_number_on_and_each_once() {
        let counters = Counters::default();
        let all = 2 * TOTALS_MAX + 1;
        let first = counters.keep(sums(0..all));
        assert_eq!(first, TotalsPage { totals: sums(0..TOTALS_MAX), more: true });
        // The router goes on where all shards have told, which may be in the middle of a page, or between two numbers.
        let second = TotalsPage { totals: sums(8..TOTALS_MAX + 8), more: true };
        assert_eq!(counters.totals_after(75), Some(second.clone()));
        assert_eq!(counters.totals_after(75), Some(second), "its answer was lost");
        let last = TotalsPage { totals: sums(TOTALS_MAX + 8..all), more: false };
        let after = right_before(&last);
        assert_eq!(counters.totals_after(after), Some(last.clone()));
        assert_eq!(counters.totals_after(after), Some(last));
        assert_eq!(counters.totals_after(u32::MAX), Some(TotalsPage::default()));
    }

    #[test]
    fn of_many_audits_only_the_newest_keep_sums() {
        let audits: Vec<Arc<Counters>> = (0..limits::AUDIT_TOTALS_KEPT + 3).map(|_| Arc::default()).collect();
        for (n, counters) in audits.iter().enumerate() {
            // One of them has nothing to keep, and costs the others nothing.
            counters.keep(sums(0..if n == 3 { 1 } else { TOTALS_MAX + 1 }));
            forget_oldest(&audits[..n], counters);
        }
        let kept: Vec<usize> = (0..audits.len()).filter(|n| audits[*n].totals_after(0).is_some()).collect();
        assert_eq!(kept, [2, 4, 5, 6]);
    }

    /// The number right before those of a page.
    fn right_before(page: &TotalsPage) -> u32 {
        page.totals[0].0 - 1
    }
}
