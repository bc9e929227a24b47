//! The course of the run: phases, kinds of operations, events.

use super::super::figures::{self, count, instant, measured};
use super::super::markup::Markup;
use super::super::summary::length;
use super::parts::{Cell, Sign, section, table};
use crate::record::{EventRecord, KindRecord, Percentiles, PhaseRecord, RunRecord};
use crate::recovery::{self, BLAME_SECONDS, CALM_SECONDS, GOOD_SHARE, Recovery};

/// The sections.
pub(super) fn course(m: &mut Markup, record: &RunRecord) {
    if !record.events.is_empty() {
        events(m, record);
    }
    let side =
        ["Phases follow each other without a gap. A warm-up is planned and sent like the others, and does not count."];
    if !record.phases.is_empty() {
        section(m, "Phase by phase", &side, |m| phases(m, &record.phases));
    }
    if !record.kinds.is_empty() {
        let side =
            ["Latencies are those of requests that hold only this kind; there are none when requests are mixed."];
        section(m, "By kind of operation", &side, |m| kinds(m, record));
    }
}

fn events(m: &mut Markup, record: &RunRecord) {
    let rule = format!(
        "Customers feel an event as long as fewer than {} of the payments planned for a second are answered in time. It is over \
         after {CALM_SECONDS} good seconds in a row; what begins more than {BLAME_SECONDS} s later is not laid to it.",
        figures::limit(GOOD_SHARE)
    );
    let side = ["What was done to the cluster or the load, numbered as in the charts.", &rule];
    section(m, "What was done to it?", &side, |m| {
        let row = |(i, event): (usize, &EventRecord)| {
            let lasted = match (event.happened, event.until) {
                (Some(from), Some(until)) => figures::seconds((until - from).max(0.0)),
                _ => "–".to_owned(),
            };
            vec![
                (i + 1).to_string().into(),
                instant(event.happened.unwrap_or(event.planned)).into(),
                event.label.as_str().into(),
                lasted.into(),
                recovered(event, record),
                event.text.as_str().into(),
            ]
        };
        let heads = ["#No.", "#At", "!Event", "#Lasted", "!In time again", "What came of it"];
        table(m, &heads, record.events.iter().enumerate().map(row).collect());
    });
}

fn recovered(event: &EventRecord, record: &RunRecord) -> Cell {
    if !event.done {
        return Cell::signed(Sign::Unsure, "not done");
    }
    match recovery::of(event, &record.timeline) {
        Recovery::NotSeen => "–".into(),
        Recovery::Undisturbed => Cell::signed(Sign::Good, "not felt"),
        Recovery::After(seconds) => Cell::signed(Sign::Good, format!("after {}", figures::seconds(seconds.ceil()))),
        Recovery::Never => Cell::signed(Sign::Bad, "not before the end"),
    }
}

fn phases(m: &mut Markup, phases: &[PhaseRecord]) {
    let row = |phase: &PhaseRecord| {
        let totals = &phase.totals;
        let seconds = length(phase);
        let per_second = |n: u64| if seconds > 0.0 { figures::number(n as f64 / seconds) } else { "–".to_owned() };
        let wanted = totals.planned.saturating_sub(totals.refused_as_planned);
        let failed = totals.unknown.saturating_add(totals.not_sent).saturating_add(totals.refused);
        let name = if phase.measured { phase.name.clone() } else { format!("{} (not measured)", phase.name) };
        vec![
            name.into(),
            instant(phase.from).into(),
            figures::seconds(seconds).into(),
            per_second(totals.planned).into(),
            per_second(totals.done).into(),
            figures::part(totals.done_in_time, wanted).into(),
            Cell::count(failed),
            us(&phase.latency, phase.latency.p50),
            us(&phase.latency, phase.latency.p99),
            us(&phase.latency, phase.latency.max),
            us(&phase.service, phase.service.p99),
        ]
    };
    let heads = [
        "Phase",
        "#From",
        "#Length",
        "#Planned/s",
        "#Done/s",
        "#In time",
        "#Errors",
        "#p50",
        "#p99",
        "#Slowest",
        "#Service p99",
    ];
    table(m, &heads, phases.iter().map(row).collect());
}

fn kinds(m: &mut Markup, record: &RunRecord) {
    let alone = record.kinds.values().any(|kind| kind.latency.count > 0);
    let row = |(name, kind): (&String, &KindRecord)| {
        let mut row: Vec<Cell> = vec![
            name.as_str().into(),
            count(kind.planned).into(),
            Cell::count(kind.done),
            Cell::count(kind.refused),
            Cell::count(kind.unknown),
            Cell::count(kind.not_sent),
        ];
        if alone {
            row.extend([us(&kind.latency, kind.latency.p50), us(&kind.latency, kind.latency.p99)]);
        }
        row
    };
    let heads = ["Kind", "#Planned", "#Done", "#Refused", "#Unknown", "#Not sent", "#p50", "#p99"];
    table(m, if alone { &heads } else { &heads[..6] }, record.kinds.iter().map(row).collect());
    let totals = &record.totals;
    let text = format!(
        "In all {} were planned: {} done ({} of them in time), {} refused as planned, {} refused otherwise, {} of unknown \
         outcome, {} not sent. Beside those: {} skipped because what they follow was not done in time, {} sent a second time on \
         purpose. That took {} requests and {}.",
        count(totals.planned),
        count(totals.done),
        count(totals.done_in_time),
        count(totals.refused_as_planned),
        count(totals.refused),
        count(totals.unknown),
        count(totals.not_sent),
        count(totals.skipped),
        count(totals.duplicates),
        count(totals.requests),
        figures::counted(totals.retries, "attempt beyond the first", "attempts beyond the first"),
    );
    m.leaf("p", &[("class", &"quiet")], &text);
}

fn us(percentiles: &Percentiles, value: u64) -> Cell {
    if percentiles.count == 0 { Cell::faint("–") } else { measured(value).into() }
}
