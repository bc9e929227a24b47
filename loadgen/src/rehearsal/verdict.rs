//! What a run comes to: the pass marks, the verdict and its reasons.

use std::time::Duration;

use crate::exit;
use crate::record::{
    AuditRecord, EventRecord, MarkLine, MarkRecord, Percentiles, Second, ShardRecord, Totals, Verdict,
};
use crate::recovery::{self, Recovery};
use crate::scenario::{PassMarks, spell_duration};

/// What is judged.
pub(crate) struct Case<'a> {
    pub(crate) marks: &'a PassMarks,
    /// Of the measured phases.
    pub(crate) latency: &'a Percentiles,
    pub(crate) totals: &'a Totals,
    pub(crate) timeline: &'a [Second],
    pub(crate) events: &'a [EventRecord],
    pub(crate) shards: &'a [ShardRecord],
    /// None when there is none.
    pub(crate) audit: Option<&'a AuditRecord>,
    pub(crate) late_share: f64,
    pub(crate) late_share_max: f64,
    pub(crate) late_after: Duration,
    /// Why it did not run to its end.
    pub(crate) stopped: Option<&'a str>,
}

impl Case<'_> {
    /// The pass marks, in the scenario's order.
    pub(crate) fn marks(&self) -> Vec<MarkRecord> {
        let (marks, l) = (self.marks, self.latency);
        let mut all = Vec::new();
        let latencies = [
            ("median latency", marks.p50, l.p50, 0.5),
            ("90th percentile of latency", marks.p90, l.p90, 0.9),
            ("99th percentile of latency", marks.p99, l.p99, 0.99),
            ("99.9th percentile of latency", marks.p99_9, l.p99_9, 0.999),
            ("longest latency", marks.max, l.max, 1.0),
        ];
        for (name, mark, us, quantile) in latencies {
            let Some(mark) = mark else { continue };
            let got = Duration::from_micros(us);
            let wanted = format!("at most {}", spell_duration(mark));
            // No answer at all is not a quick one: with those that got none at the slow end, the percentile is one of them.
            let unanswered = self.totals.unknown + self.totals.not_sent;
            let answered = l.count > 0 && unanswered as f64 <= (1.0 - quantile) * self.totals.planned as f64;
            let passed = answered && got <= mark;
            let got = if answered { milliseconds(us) } else { "no answer".to_owned() };
            let line = Some(MarkLine { quantile, at_most_us: mark.as_micros() as u64 });
            all.push(MarkRecord { name: name.to_owned(), wanted, got, passed, line });
        }
        let t = self.totals;
        let owed = t.planned.saturating_sub(t.refused_as_planned);
        let share = |part: u64| if owed == 0 { 0.0 } else { part as f64 / owed as f64 };
        if let Some(mark) = marks.goodput {
            let got = share(t.done_in_time);
            all.push(MarkRecord {
                name: "done within the deadline".to_owned(),
                wanted: format!("at least {}", percent(mark)),
                got: percent(got),
                passed: got >= mark,
                line: None,
            });
        }
        if let Some(mark) = marks.errors {
            let got = share(t.unknown + t.not_sent + t.refused);
            all.push(MarkRecord {
                name: "unknown, not sent, or refused unexpectedly".to_owned(),
                wanted: format!("at most {}", percent(mark)),
                got: percent(got),
                passed: owed > 0 && got <= mark,
                line: None,
            });
        }
        if let Some(mark) = marks.recovery {
            let got = recovery_of_worst(self.events, self.timeline, self.shards);
            all.push(MarkRecord {
                name: "back to work after the worst event".to_owned(),
                wanted: format!("within {}", spell_duration(mark)),
                got: got.map_or("not recovered".to_owned(), |got| format!("{got:.1} s")),
                passed: got.is_some_and(|got| got <= mark.as_secs_f64()),
                line: None,
            });
        }
        all
    }

    /// Events that did not happen: then something else was rehearsed.
    fn missed(&self) -> impl Iterator<Item = String> + '_ {
        let missed = self.events.iter().filter(|event| !event.done);
        missed.map(|event| format!("an event did not happen: {} at {} s. {}", event.label, event.planned, event.text))
    }

    /// The verdict and the reasons for it.
    pub(crate) fn verdict(&self, marks: &[MarkRecord]) -> (Verdict, Vec<String>) {
        let Some(audit) = self.audit else {
            let why = self.stopped.unwrap_or("the audit could not be made");
            return (Verdict::CouldNotRun, vec![why.to_owned()]);
        };
        if !audit.wrong.is_empty() {
            return (Verdict::MoneyWrong, audit.wrong.clone());
        }
        let unproven: Vec<String> = self
            .stopped
            .into_iter()
            .map(str::to_owned)
            .chain(audit.undecided.iter().cloned())
            .chain(self.missed())
            .collect();
        if !unproven.is_empty() {
            return (Verdict::CouldNotRun, unproven);
        }
        if self.totals.done + self.totals.refused_as_planned == 0 {
            return (Verdict::CouldNotRun, vec!["nothing was done in the measured phases".to_owned()]);
        }
        if self.late_share > self.late_share_max {
            let text = format!(
                "the generator was the bottleneck: {} of the requests left more than {} after their planned instant (at \
                 most {} may); use more agents, fewer connections a core, larger batches or a lower --scale",
                percent(self.late_share),
                spell_duration(self.late_after),
                percent(self.late_share_max)
            );
            return (Verdict::Invalid, vec![text]);
        }
        let missed: Vec<String> = marks
            .iter()
            .filter(|mark| !mark.passed)
            .map(|mark| format!("{}: {}, and it had to be {}", mark.name, mark.got, mark.wanted))
            .collect();
        if missed.is_empty() { (Verdict::Passed, missed) } else { (Verdict::TooSlow, missed) }
    }
}

/// How long after the worst event payments went on as before, s: after it happened, or, of a load that was multiplied, after
/// that ended. All shards have to record again, too: with many of them, the others hide one that is away. None when they
/// never did, or nothing was planned any more that could show it.
fn recovery_of_worst(events: &[EventRecord], timeline: &[Second], shards: &[ShardRecord]) -> Option<f64> {
    let mut worst = 0.0f64;
    for event in events.iter().filter(|event| event.done) {
        let from = if event.load { event.until } else { event.happened };
        let from = from.unwrap_or(event.planned);
        match recovery::of_instant(from, event.done, timeline) {
            Recovery::Undisturbed => {}
            Recovery::After(seconds) => worst = worst.max(seconds),
            Recovery::NotSeen | Recovery::Never => return None,
        }
        for shard in shards {
            worst = worst.max(shard_back(shard, from, timeline)?);
        }
    }
    Some(worst)
}

/// How long after `from` the shard records as many transfers a second as others: until the first second after which there is
/// no more gap within [`GAP_SECONDS`]. None when the last that is known of it is a gap.
fn shard_back(shard: &ShardRecord, from: f64, timeline: &[Second]) -> Option<f64> {
    let planned = timeline.iter().rposition(|second| second.planned > 0).unwrap_or(0);
    let records = |at: usize| shard.transfers_per_second.get(at).copied().flatten().is_some_and(|rate| rate > 0.0);
    // One that never records anything, or of which nobody knows, says nothing.
    if !(0..from as usize).any(records) {
        return Some(0.0);
    }
    let end = (from as usize + GAP_SECONDS).min(planned);
    let last_gap = (from as usize..end).rev().find(|&at| !records(at));
    match last_gap {
        None => Some(0.0),
        Some(gap) if gap + 1 >= end => None,
        Some(gap) => Some((gap + 1) as f64 - from),
    }
}

/// How long after an event a shard's gap is laid to it.
const GAP_SECONDS: usize = 120;

/// The process's exit code.
pub(crate) fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Passed => exit::PASSED,
        Verdict::MoneyWrong => exit::MONEY_WRONG,
        Verdict::CouldNotRun => exit::COULD_NOT_RUN,
        Verdict::TooSlow => exit::TOO_SLOW,
        Verdict::Invalid => exit::INVALID,
    }
}

fn percent(share: f64) -> String {
    let text = format!("{:.3}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn milliseconds(us: u64) -> String {
    format!("{:.1} ms", us as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_event_counts_and_a_load_from_its_end() {
        let line = |seconds: &str| -> Vec<Second> {
            let second = |(at, c)| Second {
                at,
                planned: 100,
                done_in_time: if c == 'x' { 10 } else { 100 },
                ..Second::default()
            };
            (0u32..).zip(seconds.chars()).map(second).collect()
        };
        let event = |happened: f64, until: f64, load: bool| EventRecord {
            planned: happened,
            happened: Some(happened),
            until: Some(until),
            label: String::new(),
            text: String::new(),
            done: true,
            load,
        };
        let check = |seconds: &str, events: &[EventRecord], expected| {
            assert_eq!(recovery_of_worst(events, &line(seconds), &[]), expected, "{seconds}");
        };
        check("ooxxoooooxxxxooo", &[event(2.0, 3.0, false), event(9.0, 9.5, false)], Some(4.0));
        check("ooxxxxooo", &[event(2.0, 5.0, true)], Some(1.0));
        check("oooooo", &[event(2.0, 5.0, false)], Some(0.0));
        check("ooxxxx", &[event(2.0, 3.0, false)], None);
        check("ooxxxx", &[], Some(0.0));
        check("oooo", &[event(9.0, 9.5, false)], None);
    }

    #[test]
    fn a_shard_that_is_away_is_not_hidden_by_the_others() {
        let line: Vec<Second> =
            (0..10).map(|at| Second { at, planned: 100, done_in_time: 97, ..Second::default() }).collect();
        let check = |rates: &str, expected| {
            let rate = |c| if c == '-' { None } else { Some(f64::from(u32::from(c == 'o'))) };
            let shard =
                ShardRecord { transfers_per_second: rates.chars().map(rate).collect(), ..ShardRecord::default() };
            assert_eq!(shard_back(&shard, 2.5, &line), expected, "{rates}");
        };
        check("oooooooooo", Some(0.0));
        check("oo--.ooooo", Some(2.5));
        check("oo--------", None);
        check("----------", Some(0.0));
    }

    const NONE: Totals = Totals {
        planned: 0,
        done: 0,
        done_in_time: 0,
        refused_as_planned: 0,
        refused: 0,
        unknown: 0,
        not_sent: 0,
        skipped: 0,
        duplicates: 0,
        requests: 0,
        retries: 0,
        cross_shard: None,
    };

    fn judge(change: impl FnOnce(&mut Case<'_>, &mut AuditRecord)) -> Verdict {
        let marks = PassMarks { p99: Some(Duration::from_millis(100)), ..PassMarks::default() };
        let latency = Percentiles { count: 10, p99: 50_000, ..Percentiles::default() };
        let totals = Totals { planned: 10, done: 10, done_in_time: 10, ..Totals::default() };
        let mut audit = AuditRecord { acknowledged: 10, ..AuditRecord::default() };
        let mut case = Case {
            marks: &marks,
            latency: &latency,
            totals: &totals,
            timeline: &[],
            events: &[],
            shards: &[],
            audit: None,
            late_share: 0.0,
            late_share_max: 0.01,
            late_after: Duration::from_millis(10),
            stopped: None,
        };
        change(&mut case, &mut audit);
        case.audit = Some(&audit);
        let marks = case.marks();
        case.verdict(&marks).0
    }

    #[test]
    fn the_worst_that_can_be_said_is_said() {
        const NOTHING: Totals = Totals { planned: 10, not_sent: 10, ..NONE };
        const UNANSWERED: Totals = Totals { planned: 100, done: 98, done_in_time: 98, unknown: 2, ..NONE };
        const SLOW: Percentiles = Percentiles { count: 10, p50: 0, p90: 0, p99: 200_000, p99_9: 0, max: 0 };
        assert_eq!(judge(|_, _| {}), Verdict::Passed);
        assert_eq!(judge(|case, _| case.latency = &SLOW), Verdict::TooSlow);
        assert_eq!(judge(|case, _| (case.latency, case.late_share) = (&SLOW, 0.02)), Verdict::Invalid);
        assert_eq!(judge(|case, _| (case.late_share, case.stopped) = (0.02, Some("Ctrl-C"))), Verdict::CouldNotRun);
        assert_eq!(judge(|_, audit| audit.undecided.push("somebody else".into())), Verdict::CouldNotRun);
        assert_eq!(judge(|case, _| case.totals = &NOTHING), Verdict::CouldNotRun);
        // Of a hundred, two got no answer: the 99th percentile is one of those.
        assert_eq!(judge(|case, _| case.totals = &UNANSWERED), Verdict::TooSlow);
        let wrong = |case: &mut Case<'_>, audit: &mut AuditRecord| {
            case.stopped = Some("Ctrl-C");
            audit.wrong.push("lost".into());
        };
        assert_eq!(judge(wrong), Verdict::MoneyWrong);
    }
}
