//! Two runs side by side: what was different about them, and what came of it.
//!
//! Reading order: `figure` (one number of both, and which is better), `settings` (what was different, and whether they can
//! be compared at all), then the two forms: `text` (a terminal) and `page` (HTML).

mod figure;
mod settings;
mod text;
mod page;

use serde::Serialize;

pub(crate) use figure::{Better, Figure, Unit};
pub(crate) use settings::Setting;

use super::summary::{Summary, verdict_name};
use crate::record::{AuditRecord, Percentiles, RunRecord};

/// Two runs.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    /// The first.
    pub(crate) a: Side,
    /// The second, which is judged by the first.
    pub(crate) b: Side,
    /// Why their figures can't be compared, or not quite; one sentence each.
    pub(crate) warnings: Vec<String>,
    /// What was different.
    pub(crate) settings: Vec<Setting>,
    /// Figures, by heading.
    pub(crate) groups: Vec<Group>,
    /// Pass marks of either.
    pub(crate) marks: Vec<Mark>,
}

/// One of two runs.
#[derive(Debug, Serialize)]
pub(crate) struct Side {
    /// The file that it was read from.
    pub(crate) file: String,
    /// The scenario.
    pub(crate) scenario: String,
    /// When it began, ms since the Unix epoch.
    pub(crate) began_unix_ms: u64,
    /// What it came to.
    pub(crate) verdict: &'static str,
}

/// Figures that belong together.
#[derive(Debug, Serialize)]
pub(crate) struct Group {
    /// What they are about.
    pub(crate) name: String,
    /// The figures.
    pub(crate) figures: Vec<Figure>,
}

/// A pass mark of either run; the texts are empty where a run has none of this name.
#[derive(Debug, Serialize)]
pub(crate) struct Mark {
    /// What is compared.
    pub(crate) name: String,
    /// What each had to reach, reached, and whether that is enough.
    pub(crate) a: Option<MarkSide>,
    /// The same of the second.
    pub(crate) b: Option<MarkSide>,
}

/// A pass mark of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MarkSide {
    /// What it had to be.
    pub(crate) wanted: String,
    /// What it was.
    pub(crate) got: String,
    /// Whether it was reached.
    pub(crate) passed: bool,
}

impl Comparison {
    /// Compares two records, read from files of these names.
    pub(crate) fn new((a_file, a): (&str, &RunRecord), (b_file, b): (&str, &RunRecord)) -> Self {
        let side = |file: &str, record: &RunRecord| Side {
            file: file.to_owned(),
            scenario: record.scenario.name.clone(),
            began_unix_ms: record.began_unix_ms,
            verdict: verdict_name(record.verdict),
        };
        let settings = settings::different(a, b);
        let mut groups = vec![rates(a, b), latencies(a, b), money(a, b)];
        groups.extend(phases(a, b));
        groups.push(kinds(a, b));
        groups.retain(|g| !g.figures.is_empty());
        Self {
            a: side(a_file, a),
            b: side(b_file, b),
            warnings: settings::warnings(a, b, &settings),
            settings,
            groups,
            marks: marks(a, b),
        }
    }

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        text::text(self)
    }

    /// As a page, with the charts of both runs in one.
    pub(crate) fn html(&self, a: &RunRecord, b: &RunRecord) -> String {
        page::page(self, a, b)
    }

    /// How often the second is better, worse, and neither, among the figures of which one can say so.
    pub(crate) fn tally(&self) -> (usize, usize, usize) {
        let figures = || self.groups.iter().flat_map(|g| &g.figures);
        let better = figures().filter(|f| f.b_is_better() == Some(true)).count();
        let worse = figures().filter(|f| f.b_is_better() == Some(false)).count();
        let judged = figures().filter(|f| f.better != Better::Neither && f.ratio_known()).count();
        (better, worse, judged.saturating_sub(better + worse))
    }
}

fn rates(a: &RunRecord, b: &RunRecord) -> Group {
    let (sa, sb) = (Summary::of(a), Summary::of(b));
    let figure = |name: &str, unit, better, value: &dyn Fn(&RunRecord, &Summary) -> Option<f64>| {
        Figure::new(name, unit, better, value(a, &sa), value(b, &sb))
    };
    let figures = vec![
        figure("planned, most in a second", Unit::PerSecond, Better::Neither, &|r, _| {
            r.timeline.iter().map(|s| s.planned as f64).reduce(f64::max)
        }),
        figure("peak rate reached in time", Unit::PerSecond, Better::Higher, &|_, s| {
            s.best.map(|p| p.done_in_time as f64)
        }),
        figure("mean rate reached in time", Unit::PerSecond, Better::Higher, &|_, s| s.goodput_rate),
        figure("goodput", Unit::Share, Better::Higher, &|_, s| s.goodput),
        figure("errors", Unit::Share, Better::Lower, &|_, s| s.errors),
        figure("attempts beyond the first", Unit::Count, Better::Lower, &|r, _| ran(r, r.totals.retries)),
        figure("between two shards", Unit::Share, Better::Neither, &|_, s| s.cross_shard),
        figure("busiest shard against the mean", Unit::Times, Better::Lower, &|r, _| imbalance(r)),
    ];
    Group { name: "Rates and outcomes".to_owned(), figures }
}

fn ran(record: &RunRecord, count: u64) -> Option<f64> {
    (record.totals.planned > 0).then_some(count as f64)
}

fn imbalance(record: &RunRecord) -> Option<f64> {
    let sum: f64 = record.shards.iter().map(|s| s.transfers as f64).sum();
    let most = record.shards.iter().map(|s| s.transfers as f64).reduce(f64::max)?;
    (sum > 0.0).then(|| most * record.shards.len() as f64 / sum)
}

/// One of the percentiles.
type Pick = fn(&Percentiles) -> u64;

fn latencies(a: &RunRecord, b: &RunRecord) -> Group {
    let mut figures = Vec::new();
    let all: [(&str, Pick); 5] =
        [("p50", |p| p.p50), ("p90", |p| p.p90), ("p99", |p| p.p99), ("p99.9", |p| p.p99_9), ("slowest", |p| p.max)];
    for (name, pick) in all {
        figures.push(micros(name, &a.latency.percentiles, &b.latency.percentiles, pick));
    }
    let service: [(&str, Pick); 2] = [("service time p50", |p| p.p50), ("service time p99", |p| p.p99)];
    for (name, pick) in service {
        figures.push(micros(name, &a.service.percentiles, &b.service.percentiles, pick));
    }
    figures.push(micros("left late p99", &a.lag.percentiles, &b.lag.percentiles, |p| p.p99));
    Group { name: "Latency, measured phases".to_owned(), figures }
}

fn micros(name: &str, a: &Percentiles, b: &Percentiles, pick: Pick) -> Figure {
    let value = |p: &Percentiles| (p.count > 0).then(|| pick(p) as f64);
    Figure::new(name, Unit::Micros, Better::Lower, value(a), value(b))
}

fn money(a: &RunRecord, b: &RunRecord) -> Group {
    let figure = |name: &str, better, value: fn(&AuditRecord) -> u64| {
        let of = |r: &RunRecord| r.audit.as_ref().map(|audit| value(audit) as f64);
        Figure::new(name, Unit::Count, better, of(a), of(b))
    };
    let figures = vec![
        figure("acknowledged payments", Better::Neither, |audit| audit.acknowledged),
        figure("not found exactly once", Better::Lower, |audit| {
            audit.acknowledged.saturating_sub(audit.acknowledged_found)
        }),
        figure("refused and there nevertheless", Better::Lower, |audit| audit.refused_found),
        figure("accounts that differ", Better::Lower, |audit| audit.accounts_wrong),
        figure("unknown at the end of the run", Better::Lower, |audit| audit.unknown),
        figure("unknown still", Better::Lower, |audit| audit.unknown_left),
    ];
    Group { name: "Money".to_owned(), figures }
}

/// The phases, when both runs have the same ones.
fn phases(a: &RunRecord, b: &RunRecord) -> Option<Group> {
    let names = |r: &RunRecord| r.phases.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
    if names(a) != names(b) {
        return None;
    }
    let pairs = a.phases.iter().zip(&b.phases);
    let figures = pairs.map(|(a, b)| micros(&format!("{}: p99", a.name), &a.latency, &b.latency, |p| p.p99)).collect();
    Some(Group { name: "Phases".to_owned(), figures })
}

fn kinds(a: &RunRecord, b: &RunRecord) -> Group {
    let mut figures = Vec::new();
    let names: std::collections::BTreeSet<&String> = a.kinds.keys().chain(b.kinds.keys()).collect();
    for name in names {
        let (ka, kb) = (a.kinds.get(name), b.kinds.get(name));
        let done = |kind: Option<&crate::record::KindRecord>| {
            let kind = kind.filter(|k| k.planned > 0)?;
            Some(kind.done as f64 / kind.planned as f64)
        };
        figures.push(Figure::new(&format!("{name}: done"), Unit::Share, Better::Higher, done(ka), done(kb)));
        let latency = |kind: Option<&crate::record::KindRecord>| kind.map(|k| k.latency).unwrap_or_default();
        let (la, lb) = (latency(ka), latency(kb));
        if la.count > 0 || lb.count > 0 {
            figures.push(micros(&format!("{name}: p99"), &la, &lb, |p| p.p99));
        }
    }
    Group { name: "Kinds of operation".to_owned(), figures }
}

fn marks(a: &RunRecord, b: &RunRecord) -> Vec<Mark> {
    let mut names: Vec<&str> = Vec::new();
    for mark in a.marks.iter().chain(&b.marks) {
        if !names.contains(&mark.name.as_str()) {
            names.push(&mark.name);
        }
    }
    let of = |record: &RunRecord, name: &str| {
        let mark = record.marks.iter().find(|m| m.name == name)?;
        Some(MarkSide { wanted: mark.wanted.clone(), got: mark.got.clone(), passed: mark.passed })
    };
    names.into_iter().map(|name| Mark { name: name.to_owned(), a: of(a, name), b: of(b, name) }).collect()
}

#[cfg(test)]
mod tests;
