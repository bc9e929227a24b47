//! The page of one run, from the verdict at the top to the scenario's text at the end.
//!
//! Reading order: `head` (verdict, figures, pass marks), `money` (the audit), `flow` (rates, latencies, outcomes, shards),
//! `trust` (the generator itself), `course` (phases, kinds, events), `method` (how it was measured, how to repeat it).

pub(crate) mod parts;
mod head;
mod money;
mod flow;
mod outcomes;
mod shards;
mod trust;
mod course;
mod method;

use super::summary::{Summary, verdict_name};
use crate::record::{RunRecord, Verdict};

/// The page.
pub(crate) fn page(record: &RunRecord) -> String {
    let summary = Summary::of(record);
    let title = format!("{}: {}", record.scenario.name, verdict_name(record.verdict).to_lowercase());
    parts::page(&title, verdict_class(record.verdict), |m| {
        m.nest("main", &[], |m| {
            head::head(m, record, &summary);
            money::money(m, record);
            if !record.timeline.is_empty() {
                flow::rates(m, record);
                flow::latencies(m, record);
                outcomes::outcomes(m, record);
            }
            course::course(m, record);
            if !record.timeline.is_empty() {
                shards::shards(m, record);
                trust::trust(m, record);
            }
            method::method(m, record);
            method::repeat(m, record);
        });
    })
}

/// The class by which the style sheet colours a verdict.
pub(crate) fn verdict_class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::MoneyWrong => "money-wrong",
        Verdict::CouldNotRun | Verdict::Invalid => "no-answer",
        Verdict::TooSlow => "too-slow",
        Verdict::Passed => "passed",
    }
}
