//! The figures of a run that stand at the top of its page, and that two runs are compared by.

use crate::record::{PhaseRecord, RunRecord, Totals, Verdict};

/// The figures of a run.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    /// The second in which most of what was planned for it was done within the deadline.
    pub(crate) best: Option<Peak>,
    /// Goodput: done within the deadline, as a share of what was planned and not to be refused. Of the measured phases.
    pub(crate) goodput: Option<f64>,
    /// Unknown, not sent, or refused otherwise than planned, as a share of what was planned. Of the measured phases.
    pub(crate) errors: Option<f64>,
    /// Transfers between two shards, as a share of those done, of the whole run.
    pub(crate) cross_shard: Option<f64>,
    /// Done within the deadline per second, over the measured phases.
    pub(crate) goodput_rate: Option<f64>,
}

/// A second of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peak {
    /// Which one.
    pub(crate) second: u32,
    /// Planned for it.
    pub(crate) planned: u64,
    /// Of that, done within the deadline.
    pub(crate) done_in_time: u64,
}

impl Summary {
    /// Adds a record up.
    pub(crate) fn of(record: &RunRecord) -> Self {
        let phases = || record.phases.iter().filter(|p| p.measured);
        let measured = phases().fold(Totals::default(), |sum, phase| plus(sum, &phase.totals));
        let wanted = measured.planned.saturating_sub(measured.refused_as_planned);
        let failed = measured.unknown.saturating_add(measured.not_sent).saturating_add(measured.refused);
        let seconds: f64 = phases().map(length).sum();
        let best = record.timeline.iter().rev().max_by_key(|s| s.done_in_time).filter(|s| s.done_in_time > 0);
        Self {
            best: best.map(|s| Peak { second: s.at, planned: s.planned, done_in_time: s.done_in_time }),
            goodput: share(measured.done_in_time, wanted),
            errors: share(failed, measured.planned),
            cross_shard: record.totals.cross_shard.and_then(|cross| share(cross, transfers_done(record))),
            goodput_rate: (seconds > 0.0).then(|| measured.done_in_time as f64 / seconds),
        }
    }
}

/// How long a phase was to last, s.
pub(crate) fn length(phase: &PhaseRecord) -> f64 {
    (phase.to - phase.from).max(0.0)
}

/// `part` of `all`; none of nothing.
pub(crate) fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

/// A verdict as the page and the terminal say it.
pub(crate) fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::MoneyWrong => "Money wrong",
        Verdict::CouldNotRun => "Could not run",
        Verdict::Invalid => "Invalid",
        Verdict::TooSlow => "Too slow",
        Verdict::Passed => "Passed",
    }
}

/// What the rates count, in the plural: payments, or operations when there are reads among them.
pub(crate) fn noun(record: &RunRecord) -> &'static str {
    let reads = record.kinds.get("read").is_some_and(|kind| kind.planned > 0);
    if reads { "operations" } else { "payments" }
}

fn plus(a: Totals, b: &Totals) -> Totals {
    let cross_shard = match (a.cross_shard, b.cross_shard) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    };
    Totals {
        planned: a.planned.saturating_add(b.planned),
        done: a.done.saturating_add(b.done),
        done_in_time: a.done_in_time.saturating_add(b.done_in_time),
        refused_as_planned: a.refused_as_planned.saturating_add(b.refused_as_planned),
        refused: a.refused.saturating_add(b.refused),
        unknown: a.unknown.saturating_add(b.unknown),
        not_sent: a.not_sent.saturating_add(b.not_sent),
        skipped: a.skipped.saturating_add(b.skipped),
        duplicates: a.duplicates.saturating_add(b.duplicates),
        requests: a.requests.saturating_add(b.requests),
        retries: a.retries.saturating_add(b.retries),
        cross_shard,
    }
}
/// What was done, without reads: those are of no shard.
fn transfers_done(record: &RunRecord) -> u64 {
    let reads = record.kinds.get("read").map_or(0, |read| read.done);
    record.totals.done.saturating_sub(reads)
}
