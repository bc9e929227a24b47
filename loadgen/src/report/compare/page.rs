//! The comparison as a page: the figures, and the charts of both runs in one.

use super::super::chart::curve::{Curve, Curves};
use super::super::chart::fold::Fold;
use super::super::chart::frame::{Backdrop, run_seconds};
use super::super::chart::time::{Axis, Line, TimeChart};
use super::super::chart::{Key, Sample};
use super::super::figures;
use super::super::markup::Markup;
use super::super::page::parts::{self, Cell, Sign, figure, findings, section, table};
use super::{Comparison, Figure, MarkSide};
use crate::record::{RunRecord, Second};

/// The page.
pub(super) fn page(comparison: &Comparison, a: &RunRecord, b: &RunRecord) -> String {
    let title = format!("{} and {}", comparison.a.file, comparison.b.file);
    parts::page(&title, "comparison", |m| {
        m.nest("main", &[], |m| {
            head(m, comparison);
            figures_section(m, comparison);
            if !(a.timeline.is_empty() && b.timeline.is_empty()) {
                charts(m, a, b);
            }
            settings(m, comparison);
        });
    })
}

fn head(m: &mut Markup, comparison: &Comparison) {
    let (better, worse, same) = comparison.tally();
    m.nest("header", &[], |m| {
        m.nest("p", &[("class", &"over")], |m| {
            m.leaf("span", &[], "Two rehearsals");
            m.leaf("span", &[], &comparison.a.scenario);
            if comparison.a.scenario != comparison.b.scenario {
                m.leaf("span", &[], &comparison.b.scenario);
            }
        });
        m.leaf("h1", &[], "A against B");
        let text = format!(
            "A: {}. B: {}. B is better in {better} figures, worse in {worse}, about the same in {same}.",
            comparison.a.verdict.to_lowercase(),
            comparison.b.verdict.to_lowercase()
        );
        m.leaf("p", &[("class", &"verdict")], &text);
        findings(m, "Mind this first", "unsure", &comparison.warnings);
    });
    let side = ["A is what B is compared with. Lines of A are broken, those of B are whole."];
    section(m, "The runs", &side, |m| {
        let row = |name: &str, side: &super::Side| {
            vec![
                name.into(),
                side.file.as_str().into(),
                side.scenario.as_str().into(),
                figures::date(side.began_unix_ms).into(),
                side.verdict.into(),
            ]
        };
        let rows = vec![row("A", &comparison.a), row("B", &comparison.b)];
        table(m, &["", "File", "Scenario", "!Began", "!Verdict"], rows);
        if !comparison.marks.is_empty() {
            marks(m, comparison);
        }
    });
}

fn marks(m: &mut Markup, comparison: &Comparison) {
    let got = |side: &Option<MarkSide>| match side {
        Some(side) => Cell::signed(Sign::of(side.passed), side.got.clone()),
        None => Cell::faint("–"),
    };
    let row = |mark: &super::Mark| {
        let wanted = mark.a.iter().chain(&mark.b).next().map_or("", |side| side.wanted.as_str());
        vec![mark.name.as_str().into(), wanted.into(), got(&mark.a), got(&mark.b)]
    };
    table(m, &["Pass mark", "Wanted", "!A got", "!B got"], comparison.marks.iter().map(row).collect());
}

fn figures_section(m: &mut Markup, comparison: &Comparison) {
    let side = [
        "Latencies within 2 % of each other, and shares within 0.01 points, are called about the same: two runs of the same \
         thing differ by more.",
    ];
    section(m, "Figure by figure", &side, |m| {
        m.nest("div", &[("class", &"aligned")], |m| groups(m, comparison));
    });
}

fn groups(m: &mut Markup, comparison: &Comparison) {
    for group in &comparison.groups {
        let row = |figure: &Figure| {
            let words = match figure.b_is_better() {
                Some(better) => Cell::signed(Sign::of(better), figure.words.clone()),
                None => Cell::faint(figure.words.clone()),
            };
            let (a, b) = (figure.value(figure.a), figure.value(figure.b));
            vec![figure.name.as_str().into(), a.into(), b.into(), figure.ratio_text().into(), words]
        };
        let heads = [group.name.as_str(), "#A", "#B", "#B/A", "!Which is better"];
        table(m, &heads, group.figures.iter().map(row).collect());
    }
}

fn charts(m: &mut Markup, a: &RunRecord, b: &RunRecord) {
    let side = [
        "The phases are those of A, when B has the same ones. Each chart counts from the first planned instant of its own run.",
    ];
    section(m, "Chart by chart", &side, |m| {
        let rate = |r, name: &str, class, value: fn(&Second) -> u64| {
            over_time(r, name, class, Fold::Mean, move |s| Some(value(s) as f64))
        };
        let lines = vec![
            rate(a, "A planned", "s-a-faint", |s| s.planned),
            rate(b, "B planned", "s-b-faint", |s| s.planned),
            rate(a, "A in time", "s-a", |s| s.done_in_time),
            rate(b, "B in time", "s-b", |s| s.done_in_time),
        ];
        figure(m, "Done in time per second", "", |m| {
            chart("Goodput of both runs over time", a, b, Axis::Counts, lines).draw(m);
        });
        let worst = |r, name: &str, class, value: fn(&Second) -> u64| {
            over_time(r, name, class, Fold::Max, move |s| (s.latency.count > 0).then(|| value(s) as f64))
        };
        let lines = vec![
            worst(a, "A p50", "s-a-faint", |s| s.latency.p50),
            worst(b, "B p50", "s-b-faint", |s| s.latency.p50),
            worst(a, "A p99", "s-a", |s| s.latency.p99),
            worst(b, "B p99", "s-b", |s| s.latency.p99),
        ];
        figure(m, "Latency over time", "Median and 99th percentile of each second.", |m| {
            chart("Latency of both runs over time", a, b, Axis::Micros, lines).draw(m);
        });
        let key = |name: &str, class| Key { name: name.to_owned(), class, sample: Sample::Line };
        let curves = Curves {
            about: "Latency of both runs by percentile",
            curves: vec![
                Curve { key: key("A", "s-a"), distribution: &a.latency },
                Curve { key: key("B", "s-b"), distribution: &b.latency },
            ],
            marks: Vec::new(),
            height: 270.0,
        };
        figure(m, "Latency by percentile", "Measured phases.", |m| curves.draw(m));
    });
}

fn over_time(
    record: &RunRecord,
    name: &str,
    class: &'static str,
    fold: Fold,
    value: impl Fn(&Second) -> Option<f64>,
) -> Line {
    let key = Key { name: name.to_owned(), class, sample: Sample::Line };
    Line { key, values: record.timeline.iter().map(value).collect(), fold }
}

fn chart<'a>(about: &'a str, a: &'a RunRecord, b: &RunRecord, axis: Axis, lines: Vec<Line>) -> TimeChart<'a> {
    let same = a.phases.len() == b.phases.len()
        && a.phases.iter().zip(&b.phases).all(|(a, b)| (&a.name, a.from, a.to) == (&b.name, b.from, b.to));
    let backdrop = Backdrop {
        phases: if same { &a.phases } else { &[] },
        events: &[],
        seconds: run_seconds(a).max(run_seconds(b)),
    };
    TimeChart { about, backdrop, axis, lines, levels: Vec::new(), height: 250.0 }
}

fn settings(m: &mut Markup, comparison: &Comparison) {
    section(m, "What was different", &["Before the runs began."], |m| {
        if comparison.settings.is_empty() {
            m.leaf("p", &[], "Nothing that the records know of: the same scenario, on a cluster of the same shape.");
            return;
        }
        let row = |s: &super::Setting| {
            let what = if s.matters { Cell::signed(Sign::Unsure, s.name) } else { s.name.into() };
            vec![what, s.a.as_str().into(), s.b.as_str().into()]
        };
        table(m, &["!Setting", "A", "B"], comparison.settings.iter().map(row).collect());
    });
}
