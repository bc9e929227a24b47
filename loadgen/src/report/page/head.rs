//! The top of the page: what it comes to, what was rehearsed, the figures that count, the pass marks.

use super::super::figures;
use super::super::markup::Markup;
use super::super::summary::{Summary, noun, verdict_name};
use super::parts::{Cell, Sign, section, table};
use crate::record::{RunRecord, Verdict};

/// Everything above the first section that explains something.
pub(super) fn head(m: &mut Markup, record: &RunRecord, summary: &Summary) {
    m.nest("header", &[], |m| {
        m.nest("p", &[("class", &"over")], |m| {
            m.leaf("span", &[], "Peak-day rehearsal");
            m.leaf("span", &[], &record.scenario.name);
            m.leaf("span", &[], &figures::date(record.began_unix_ms));
        });
        m.nest("h1", &[], |m| {
            sign(record.verdict).draw(m);
            m.text(verdict_name(record.verdict));
        });
        m.leaf("p", &[("class", &"verdict")], &verdict_sentence(record));
        if !record.reasons.is_empty() {
            m.nest("ul", &[("class", &"reasons")], |m| {
                for reason in &record.reasons {
                    m.leaf("li", &[], reason);
                }
            });
        }
        m.nest("div", &[("class", &"what")], |m| {
            m.leaf("p", &[], &what_was_rehearsed(record, summary));
            if !record.scenario.description.is_empty() {
                m.leaf("p", &[("class", &"quiet")], &record.scenario.description);
            }
        });
    });
    key_figures(m, record, summary);
    pass_marks(m, record);
}

fn sign(verdict: Verdict) -> Sign {
    match verdict {
        Verdict::Passed => Sign::Good,
        Verdict::MoneyWrong | Verdict::TooSlow => Sign::Bad,
        Verdict::CouldNotRun | Verdict::Invalid => Sign::Unsure,
    }
}

/// The verdict in a sentence or two, for somebody who reads nothing else.
pub(super) fn verdict_sentence(record: &RunRecord) -> String {
    let missed = record.marks.iter().filter(|mark| !mark.passed).count();
    let all = record.marks.len();
    match record.verdict {
        Verdict::Passed if all == 0 => "The money is right. The scenario asks for nothing else.".to_owned(),
        Verdict::Passed if all == 1 => "The money is right, and the pass mark was reached.".to_owned(),
        Verdict::Passed => format!("The money is right, and all {all} pass marks were reached."),
        Verdict::TooSlow => format!("The money is right, but {missed} of {all} pass marks were missed."),
        Verdict::MoneyWrong => {
            "The ledger does not hold what it acknowledged. Until this is explained, no other figure on \
                                this page matters."
                .to_owned()
        }
        Verdict::Invalid => format!(
            "The load generator itself was the bottleneck: {} of its requests left late. The figures below say nothing about \
             the cluster; repeat the rehearsal with more or faster generators.",
            figures::share(record.generator.late_share)
        ),
        Verdict::CouldNotRun => {
            "The rehearsal did not come to its end, or the proof could not be made. It neither passed \
                                 nor failed."
                .to_owned()
        }
    }
}

/// Two sentences, from the record alone.
fn what_was_rehearsed(record: &RunRecord, summary: &Summary) -> String {
    let cluster = &record.cluster;
    let scale = if record.scenario.scale == 1.0 {
        String::new()
    } else {
        format!(" with all rates multiplied by {}", figures::number(record.scenario.scale))
    };
    let phases = match record.phases.as_slice() {
        [] => String::new(),
        phases => format!(
            ", in {} ({})",
            figures::counted(phases.len() as u64, "phase", "phases"),
            phases.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ")
        ),
    };
    if record.totals.planned == 0 {
        let name = &record.scenario.name;
        return format!(
            "The scenario {name} was to last {}. None of it was sent.",
            figures::seconds(record.planned_seconds)
        );
    }
    let peak = record.timeline.iter().map(|s| s.planned).max().unwrap_or(0);
    let first = format!(
        "The scenario {}{scale} planned {} {} over {}{phases}, at most {} in one second.",
        record.scenario.name,
        figures::count(record.totals.planned),
        noun(record),
        figures::seconds(record.planned_seconds),
        figures::count(peak.max(summary.best.map_or(0, |b| b.planned))),
    );
    let shards = figures::counted(u64::from(cluster.shards), "shard", "shards");
    let place = if cluster.local { "started for it on the same machine" } else { "that was running already" };
    let routers = figures::counted(cluster.routers.len() as u64, "router", "routers");
    let done: Vec<&str> = record.events.iter().filter(|e| e.done).map(|e| e.label.as_str()).collect();
    let events = if done.is_empty() { String::new() } else { format!("; meanwhile: {}", done.join(", ")) };
    format!(
        "{first} They went to a cluster of {shards} behind {routers}, {place}, from {}{events}.",
        match record.generator.agents.len() {
            0 | 1 => "one generator".to_owned(),
            many => format!("{many} generators"),
        }
    )
}

fn key_figures(m: &mut Markup, record: &RunRecord, summary: &Summary) {
    let noun = noun(record);
    let or_dash = |share: Option<f64>| share.map_or("–".to_owned(), figures::share);
    let latency = &record.latency.percentiles;
    let us = |us: u64| if latency.count == 0 { "–".to_owned() } else { figures::measured(us) };
    m.nest("dl", &[("class", &"figures")], |m| {
        let best = summary.best;
        one(
            m,
            "Peak rate reached",
            &best.map_or("–".to_owned(), |b| format!("{}/s", figures::count(b.done_in_time))),
            &best.map_or(format!("no {noun} were done in time"), |b| {
                format!(
                    "{noun} done in time at {}, {} planned",
                    figures::instant(f64::from(b.second)),
                    figures::count(b.planned)
                )
            }),
        );
        let deadline = deadline(record);
        one(m, "Goodput", &or_dash(summary.goodput), &format!("of what was planned was done within {deadline}"));
        one(
            m,
            "Latency, p99",
            &us(latency.p99),
            &match latency.count {
                0 => "nothing was answered".to_owned(),
                _ => format!("p50 {} · p99.9 {} · slowest {}", us(latency.p50), us(latency.p99_9), us(latency.max)),
            },
        );
        one(m, "Errors", &or_dash(summary.errors), "unknown outcome, not sent, or refused unexpectedly");
        let cross = record.totals.cross_shard;
        one(
            m,
            "Between two shards",
            &or_dash(summary.cross_shard),
            &cross.map_or("the cluster did not say".to_owned(), |n| format!("{} two-phase commits", figures::count(n))),
        );
        let money = money_figure(record);
        one(m, "Money", &money.0, &money.1);
    });
}

/// `500 ms`, the deadline of the scenario.
pub(crate) fn deadline(record: &RunRecord) -> String {
    figures::micros((record.scenario.deadline_ms * 1_000.0).round() as u64)
}

/// The audit in a word and a sentence.
fn money_figure(record: &RunRecord) -> (String, String) {
    let Some(audit) = &record.audit else {
        return ("not proven".to_owned(), "the audit could not be made".to_owned());
    };
    let right = audit.wrong.is_empty()
        && audit.acknowledged_found == audit.acknowledged
        && audit.refused_found == 0
        && audit.accounts_wrong == 0
        && audit.contradictions == 0
        && audit.ledger_audit_holds;
    if !right {
        let lost = audit.acknowledged.saturating_sub(audit.acknowledged_found);
        let differ = audit.accounts_wrong;
        let text = format!(
            "{} of {} acknowledged payments not found once, {} of {} accounts differ",
            figures::count(lost),
            figures::count(audit.acknowledged),
            figures::count(differ),
            figures::count(audit.accounts)
        );
        return ("wrong".to_owned(), text);
    }
    let text = format!(
        "{} acknowledged payments all found exactly once, all {} balances right",
        figures::count(audit.acknowledged),
        figures::count(audit.accounts.saturating_mul(4))
    );
    let word = if audit.undecided.is_empty() && audit.unknown_left == 0 { "all there" } else { "not all decided" };
    (word.to_owned(), text)
}

fn one(m: &mut Markup, name: &str, value: &str, note: &str) {
    m.nest("div", &[], |m| {
        m.leaf("dt", &[], name);
        m.nest("dd", &[], |m| {
            // The unit stands back, so that the number is seen from afar.
            let (number, unit) = split_unit(value);
            m.leaf("strong", &[], number);
            if !unit.is_empty() {
                m.leaf("span", &[("class", &"unit")], unit);
            }
            m.leaf("span", &[("class", &"note")], note);
        });
    });
}

/// `41.3 ms` as (`41.3`, ` ms`); a text that is not a number as it is.
fn split_unit(value: &str) -> (&str, &str) {
    if !value.starts_with(|c: char| c.is_ascii_digit()) {
        return (value, "");
    }
    let end = value.find(|c: char| !(c.is_ascii_digit() || c == ',' || c == '.')).unwrap_or(value.len());
    value.split_at(end)
}

fn pass_marks(m: &mut Markup, record: &RunRecord) {
    let side = ["What the scenario asks for, over all phases that are measured. The money must be right in any case."];
    section(m, "Pass marks", &side, |m| {
        if record.marks.is_empty() {
            let text = if record.verdict == Verdict::CouldNotRun {
                "None could be judged."
            } else {
                "The scenario has none: it passes when the money is right."
            };
            m.leaf("p", &[], text);
            return;
        }
        let row = |mark: &crate::record::MarkRecord| {
            let word = if mark.passed { "reached" } else { "missed" };
            vec![
                mark.name.as_str().into(),
                mark.wanted.as_str().into(),
                mark.got.as_str().into(),
                Cell::signed(Sign::of(mark.passed), word),
            ]
        };
        table(m, &["Mark", "#Wanted", "#Got", "Result"], record.marks.iter().map(row).collect());
    });
}
