//! The generator itself: whether it kept to the plan, so that the rest can be trusted.

use super::super::chart::fold::Fold;
use super::super::chart::frame::Backdrop;
use super::super::chart::time::{Axis, Level, Line, TimeChart};
use super::super::chart::{Key, Sample};
use super::super::figures;
use super::super::markup::Markup;
use super::flow::{line, thinned};
use super::parts::{Cell, Sign, figure, section, table};
use crate::record::{AgentRecord, RunRecord};

/// The section.
pub(super) fn trust(m: &mut Markup, record: &RunRecord) {
    let generator = &record.generator;
    let late = figures::micros((generator.late_after_ms * 1_000.0).round() as u64);
    let rule = format!(
        "A request is late when it left more than {late} after its planned instant. When more than {} are, the generator was \
         the bottleneck and the run is invalid.",
        figures::limit(generator.late_share_max)
    );
    let side =
        ["A generator that falls behind measures itself. Hence it is measured as well: how late requests left.", &rule];
    section(m, "Can the figures be trusted?", &side, |m| {
        m.nest("p", &[("class", &"answer")], |m| {
            let good = generator.late_share <= generator.late_share_max;
            Sign::of(good).draw(m);
            m.text(&format!(
                "{} of the requests left late, up to {} are allowed. They left {} late in the median, {} at the 99th percentile, \
                 {} at the most.",
                figures::share(generator.late_share),
                figures::limit(generator.late_share_max),
                figures::measured(record.lag.percentiles.p50),
                figures::measured(record.lag.percentiles.p99),
                figures::measured(record.lag.percentiles.max),
            ));
        });
        if !record.timeline.is_empty() {
            lag(m, record);
            queues(m, record);
        }
        agents(m, &generator.agents);
    });
}

fn lag(m: &mut Markup, record: &RunRecord) {
    let value = record.generator.late_after_ms * 1_000.0;
    let level = Level { name: "counts as late".to_owned(), class: "deadline", value };
    let chart = TimeChart {
        about: "How late requests left: the 99th percentile of each second, over the run",
        backdrop: Backdrop::of(record),
        axis: Axis::Micros,
        lines: vec![line(record, "p99", "s-lag", Sample::Line, Fold::Max, |s| Some(s.lag_p99_us as f64))],
        levels: if value > 0.0 { vec![level] } else { Vec::new() },
        height: 120.0,
    };
    figure(m, "How late requests left", &thinned(record, "the worst second's"), |m| chart.draw(m));
}

fn queues(m: &mut Markup, record: &RunRecord) {
    let at_most = figures::count(u64::from(record.generator.in_flight_max));
    let note = format!("At the end of each second; at most {at_most} are let out.");
    let chart = |about, lines| TimeChart {
        about,
        backdrop: Backdrop { events: &[], ..Backdrop::of(record) },
        axis: Axis::Counts,
        lines,
        levels: Vec::new(),
        height: 84.0,
    };
    let flight = line(record, "in flight", "s-flight", Sample::Filled, Fold::Max, |s| Some(f64::from(s.in_flight)));
    figure(m, "Requests in flight", &note, |m| chart("Requests in flight, over the run", vec![flight]).draw(m));
    if record.timeline.iter().any(|s| s.retries > 0) {
        let retries = line(record, "retries", "s-retries", Sample::Filled, Fold::Mean, |s| Some(s.retries as f64));
        let note = "Of what was planned for each second: sent again with the same ids, because the outcome was unknown or \
                    the router busy.";
        figure(m, "Attempts beyond the first, per second", note, |m| {
            chart("Attempts beyond the first, over the run", vec![retries]).draw(m);
        });
    }
    if let Some(holds) = holds(record) {
        let note = "Two-phase commits that a shard has prepared and that are not finished, all shards together.";
        figure(m, "Open holds", note, |m| chart("Open two-phase-commit holds, over the run", vec![holds]).draw(m));
    }
}

/// The open holds of all shards together; none when no shard told of any.
fn holds(record: &RunRecord) -> Option<Line> {
    let length = record.shards.iter().map(|s| s.holds.len()).max()?;
    let at = |second: usize| {
        let said = record.shards.iter().filter_map(|s| s.holds.get(second).copied().flatten());
        said.map(|holds| holds as f64).reduce(|a, b| a + b)
    };
    let values: Vec<Option<f64>> = (0..length).map(at).collect();
    let any = values.iter().flatten().any(|v| *v > 0.0);
    let key = Key { name: "holds".to_owned(), class: "s-holds", sample: Sample::Filled };
    any.then_some(Line { key, values, fold: Fold::Max })
}

fn agents(m: &mut Markup, agents: &[AgentRecord]) {
    let row = |agent: &AgentRecord| {
        vec![
            agent.name.as_str().into(),
            Cell::count(u64::from(agent.connections)),
            Cell::count(agent.requests),
            agent.cpu_seconds.map_or("–".to_owned(), figures::seconds).into(),
            figures::share(agent.late_share).into(),
        ]
    };
    let heads = ["Generator", "#Connections", "#Requests sent", "#Processor time", "#Left late"];
    table(m, &heads, agents.iter().map(row).collect());
}
