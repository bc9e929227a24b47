//! What was different about two runs before they began, and whether that forbids to compare them.

use serde::Serialize;

use super::super::figures;
use crate::record::{RunRecord, Verdict};

/// Something that was different.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Setting {
    /// What.
    pub(crate) name: &'static str,
    /// In the first run.
    pub(crate) a: String,
    /// In the second.
    pub(crate) b: String,
    /// Whether figures of runs that differ in it are figures of different things.
    pub(crate) matters: bool,
}

/// All that was different.
pub(crate) fn different(a: &RunRecord, b: &RunRecord) -> Vec<Setting> {
    let (of_a, of_b) = (settings(a), settings(b));
    let pairs = of_a.into_iter().zip(of_b);
    let mut found: Vec<Setting> =
        pairs.filter(|(a, b)| a.1 != b.1).map(|(a, b)| Setting { name: a.0, a: a.1, b: b.1, matters: a.2 }).collect();
    if a.scenario.text != b.scenario.text {
        let lines = |r: &RunRecord| figures::counted(r.scenario.text.lines().count() as u64, "line", "lines");
        let first = a.scenario.text.lines().zip(b.scenario.text.lines()).position(|(a, b)| a != b);
        let at = first.map_or("after the shorter one's end".to_owned(), |i| format!("from line {} on", i + 1));
        let text = |r| format!("{}, differs {at}", lines(r));
        found.insert(0, Setting { name: "scenario's text", a: text(a), b: text(b), matters: true });
    }
    found
}

/// Name, value, whether it matters. A seed does not: it only draws other accounts and amounts. What options changed stands
/// here under its own name; a version is mostly what two runs are compared for.
fn settings(r: &RunRecord) -> Vec<(&'static str, String, bool)> {
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let g = &r.generator;
    vec![
        ("scenario", r.scenario.name.clone(), true),
        ("scale", figures::number(r.scenario.scale), true),
        ("length planned", figures::seconds(r.planned_seconds), true),
        ("deadline", figures::micros((r.scenario.deadline_ms * 1_000.0).round() as u64), true),
        ("shards", r.cluster.shards.to_string(), true),
        ("routers", r.cluster.routers.len().to_string(), true),
        ("cluster on the same machine", yes(r.cluster.local), true),
        ("operations in a request", g.batch.to_string(), true),
        ("long-lived streams", yes(g.stream), true),
        ("in flight at most", figures::count(u64::from(g.in_flight_max)), true),
        ("generators", g.agents.len().to_string(), true),
        ("crest", r.crest.clone(), false),
        ("seed", r.scenario.seed.to_string(), false),
        ("options", r.scenario.options.join(" "), false),
    ]
}

/// Why the figures can't be compared, or not quite; the worst first.
pub(crate) fn warnings(a: &RunRecord, b: &RunRecord, settings: &[Setting]) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, record) in [("A", a), ("B", b)] {
        match record.verdict {
            Verdict::Invalid => warnings.push(format!(
                "{name} is invalid: its generator was the bottleneck, so its figures say nothing about the cluster."
            )),
            Verdict::CouldNotRun => warnings.push(format!("{name} did not come to its end, or could not be proven.")),
            Verdict::MoneyWrong => {
                warnings.push(format!("In {name} the money is wrong; how fast it was does not matter."));
            }
            Verdict::TooSlow | Verdict::Passed => {}
        }
    }
    let matter: Vec<&str> = settings.iter().filter(|s| s.matters).map(|s| s.name).collect();
    if !matter.is_empty() {
        warnings.push(format!("The runs are not comparable as they are: they differ in {}.", list(&matter)));
    }
    warnings
}

/// `x`, `x and y`, `x, y and z`.
fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [many @ .., last] => format!("{} and {last}", many.join(", ")),
    }
}
