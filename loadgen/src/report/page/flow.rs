//! Rates and latencies, over time and as a distribution.

use super::super::chart::curve::{Curve, Curves};
use super::super::chart::fold::Fold;
use super::super::chart::frame::Backdrop;
use super::super::chart::time::{Axis, Level, Line, TimeChart};
use super::super::chart::{Key, Sample};
use super::super::figures;
use super::super::markup::Markup;
use super::super::summary::noun;
use super::head::deadline;
use super::parts::{figure, section};
use crate::record::{MarkLine, Percentiles, RunRecord, Second};

/// Rates planned and reached.
pub(super) fn rates(m: &mut Markup, record: &RunRecord) {
    let noun = noun(record);
    let in_time = format!(
        "In time counts what was planned for a second and done within {} of its planned instant, whenever the answer came: \
         goodput. A gap between it and the plan is what customers felt.",
        deadline(record)
    );
    let acknowledged = "Acknowledged is what the cluster answered during a second. After a stall it may exceed the plan, \
                        while the backlog is worked off.";
    section(m, "Did it keep up?", &[&in_time, acknowledged], |m| {
        let title = format!("{} per second", capital(noun));
        figure(m, &title, &thinned(record, "rates are means"), |m| {
            let line = |name: &str, class, sample, value: fn(&Second) -> u64| {
                line(record, name, class, sample, Fold::Mean, |s| Some(value(s) as f64))
            };
            let chart = TimeChart {
                about: "Rates planned, sent, acknowledged and done in time, over the run",
                backdrop: Backdrop::of(record),
                axis: Axis::Counts,
                lines: vec![
                    line("in time", "s-good", Sample::Filled, |s| s.done_in_time),
                    line("acknowledged", "s-acknowledged", Sample::Line, |s| s.acknowledged),
                    line("sent", "s-sent", Sample::Line, |s| s.sent),
                    line("planned", "s-planned", Sample::Line, |s| s.planned),
                ],
                levels: Vec::new(),
                height: 250.0,
            };
            chart.draw(m);
        });
    });
}

/// Latencies over time, and their distribution.
pub(super) fn latencies(m: &mut Markup, record: &RunRecord) {
    let side = [
        "Latency counts from the instant at which a request was planned to its answer, as a customer would count.",
        "p99 within 40 ms says: of 100 requests planned for that second, 99 took at most 40 ms. Each step of the scale is \
         a multiple of the one before.",
        "Dashed lines across are the pass marks.",
        "Service time counts from the instant at which a request left. A tool that only knows service time does not see what \
         waited while the server stood still: coordinated omission.",
    ];
    section(m, "How long did it take?", &side, |m| {
        figure(m, "Latency over time", &thinned(record, "latencies are the worst second's"), |m| {
            over_time(record).draw(m)
        });
        let title = "Latency by percentile";
        let note = "Measured phases. Each step to the right leaves a tenth as many requests.";
        figure(m, title, note, |m| by_percentile(record).draw(m));
    });
}

fn over_time(record: &RunRecord) -> TimeChart<'_> {
    let line = |name: &str, class, sample, value: fn(&Percentiles) -> u64| {
        let value = move |s: &Second| (s.latency.count > 0).then(|| value(&s.latency) as f64);
        line(record, name, class, sample, Fold::Max, value)
    };
    let mut levels: Vec<Level> = marks(record).iter().map(level).collect();
    levels.push(Level {
        name: format!("deadline {}", deadline(record)),
        class: "deadline",
        value: record.scenario.deadline_ms * 1_000.0,
    });
    TimeChart {
        about: "Latency percentiles of each second, over the run",
        backdrop: Backdrop::of(record),
        axis: Axis::Micros,
        lines: vec![
            line("p50", "s-p50", Sample::Line, |p| p.p50),
            line("p90", "s-p90", Sample::Line, |p| p.p90),
            line("slowest", "s-max", Sample::Dots, |p| p.max),
            line("p99", "s-p99", Sample::Line, |p| p.p99),
        ],
        levels: levels.into_iter().filter(|l| l.value > 0.0 && l.value.is_finite()).collect(),
        height: 270.0,
    }
}

fn by_percentile(record: &RunRecord) -> Curves<'_> {
    let key = |name: &str, class| Key { name: name.to_owned(), class, sample: Sample::Line };
    Curves {
        about: "Latency and service time by percentile, over the measured phases",
        curves: vec![
            Curve { key: key("service time", "s-service"), distribution: &record.service },
            Curve { key: key("latency", "s-latency"), distribution: &record.latency },
        ],
        marks: marks(record),
        height: 270.0,
    }
}

/// A line of one value a second.
pub(super) fn line(
    record: &RunRecord,
    name: &str,
    class: &'static str,
    sample: Sample,
    fold: Fold,
    value: impl Fn(&Second) -> Option<f64>,
) -> Line {
    let key = Key { name: name.to_owned(), class, sample };
    Line { key, values: record.timeline.iter().map(value).collect(), fold }
}

/// The pass marks on latency that make sense as a line.
fn marks(record: &RunRecord) -> Vec<MarkLine> {
    let lines = record.marks.iter().filter_map(|mark| mark.line);
    lines.filter(|l| l.at_most_us > 0 && l.quantile > 0.0 && l.quantile <= 1.0).collect()
}

fn level(mark: &MarkLine) -> Level {
    let (name, class) = match mark.quantile {
        q if q >= 1.0 => ("all".to_owned(), "s-max"),
        q if q > 0.95 => (percentile(q), "s-p99"),
        q if q > 0.7 => (percentile(q), "s-p90"),
        q => (percentile(q), "s-p50"),
    };
    Level { name: format!("{name} ≤ {}", figures::micros(mark.at_most_us)), class, value: mark.at_most_us as f64 }
}

fn percentile(quantile: f64) -> String {
    let text = format!("{:.4}", quantile * 100.0);
    format!("p{}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// What a point of the charts is when a run has more seconds than a chart has columns.
pub(super) fn thinned(record: &RunRecord, how: &str) -> String {
    use super::super::chart::Size;
    use super::super::chart::fold::Columns;
    let columns = Columns::new(record.timeline.len(), Size::wide(1.0).plot_width() as usize / 2);
    if columns.each <= 1 { String::new() } else { format!("A point is {} seconds: {how}.", columns.each) }
}

/// With its first letter large.
pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
