//! What became of the requests: over time, and by the ledger's own code.

use std::collections::BTreeMap;

use super::super::chart::frame::Backdrop;
use super::super::chart::stack::{Layer, Stack};
use super::super::chart::{Key, Sample};
use super::super::figures;
use super::super::markup::Markup;
use super::super::summary::noun;
use super::flow::{capital, thinned};
use super::head::deadline;
use super::parts::{Cell, figure, section, table};
use crate::record::{RunRecord, Second};

/// Codes that are no refusal: what they say is there.
const GOOD: [&str; 3] = ["created", "exists", "read"];
/// So many codes have a colour of their own; the rarer ones share one.
const COLOURS: [&str; 5] = ["c-1", "c-2", "c-3", "c-4", "c-5"];

/// The section.
pub(super) fn outcomes(m: &mut Markup, record: &RunRecord) {
    let side = [
        "Whatever was planned ends as one of these: done, refused by the ledger with a reason, of unknown outcome (no answer \
         in the time there was), or never sent.",
        "A refusal is an answer: the ledger did its work. An unknown outcome is resolved later by the auditor.",
    ];
    section(m, "What became of them?", &side, |m| {
        let title = format!("{} by outcome, per second", capital(noun(record)));
        figure(m, &title, &thinned(record, "rates are means"), |m| by_outcome(record).draw(m));
        let rare = other_than_done(record);
        if rare.layers.is_empty() {
            let text = "Every answer was created: no refusal, no unknown outcome, nothing that was not sent.";
            m.leaf("p", &[("class", &"quiet")], text);
        } else {
            let note = "The upper part of the chart above, by the ledger's code, on a scale of its own.";
            figure(m, "All but what was done, enlarged", note, |m| rare.draw(m));
        }
        codes(m, record);
    });
}

fn layer(record: &RunRecord, name: String, class: &'static str, value: impl Fn(&Second) -> u64) -> Layer {
    let values = record.timeline.iter().map(|s| value(s) as f64).collect();
    Layer { key: Key { name, class, sample: Sample::Area }, values }
}

fn by_outcome(record: &RunRecord) -> Stack<'_> {
    let late = format!("done later than {}", deadline(record));
    Stack {
        about: "What became of what was planned for each second: done in time, done late, refused, unknown, not sent",
        backdrop: Backdrop::of(record),
        layers: vec![
            layer(record, "done in time".to_owned(), "o-good", |s| s.done_in_time),
            layer(record, late, "o-late", |s| s.done.saturating_sub(s.done_in_time)),
            layer(record, "refused".to_owned(), "o-refused", |s| s.refused),
            layer(record, "unknown".to_owned(), "o-unknown", |s| s.unknown),
            layer(record, "not sent".to_owned(), "o-unsent", |s| s.not_sent),
        ],
        height: 210.0,
    }
}

fn other_than_done(record: &RunRecord) -> Stack<'_> {
    let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
    for (code, count) in record.timeline.iter().flat_map(|s| &s.codes) {
        if !GOOD.contains(&code.as_str()) {
            let total = totals.entry(code).or_default();
            *total = total.saturating_add(*count);
        }
    }
    let mut codes: Vec<(&str, u64)> = totals.into_iter().filter(|(_, count)| *count > 0).collect();
    codes.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let (named, others) = codes.split_at(codes.len().min(COLOURS.len()));
    let of = |second: &Second, code: &str| second.codes.get(code).copied().unwrap_or(0);
    let mut layers: Vec<Layer> = named
        .iter()
        .zip(COLOURS)
        .map(|((code, _), class)| layer(record, (*code).to_owned(), class, |s| of(s, code)))
        .collect();
    if !others.is_empty() {
        let name = figures::counted(others.len() as u64, "other code", "other codes");
        layers.push(layer(record, name, "c-other", |s| {
            others.iter().fold(0, |sum, (c, _)| of(s, c).saturating_add(sum))
        }));
    }
    layers.push(layer(record, "unknown".to_owned(), "o-unknown", |s| s.unknown));
    layers.push(layer(record, "not sent".to_owned(), "o-unsent", |s| s.not_sent));
    layers.retain(|l| l.values.iter().any(|v| *v > 0.0));
    Stack {
        about: "Refusals by code, unknown outcomes and what was not sent, of what was planned for each second",
        backdrop: Backdrop::of(record),
        layers,
        height: 120.0,
    }
}

fn codes(m: &mut Markup, record: &RunRecord) {
    if record.codes.is_empty() {
        return;
    }
    let all = record.codes.values().fold(0u64, |sum, count| sum.saturating_add(*count));
    let mut codes: Vec<(&String, &u64)> = record.codes.iter().collect();
    codes.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let row = |(code, count): (&String, &u64)| {
        vec![
            code.as_str().into(),
            Cell::count(*count),
            figures::part(*count, all).into(),
            Cell::faint(meaning(code).unwrap_or("")),
        ]
    };
    let rows = codes.into_iter().map(row).collect();
    table(m, &["Answer of the ledger", "#Times", "#Share", "Which means"], rows);
}

/// What a code says to somebody who does not know the ledger. The others are in docs/SEMANTICS.md.
fn meaning(code: &str) -> Option<&'static str> {
    Some(match code {
        "created" => "done and recorded",
        "exists" => "it was there already: sent twice, done once",
        "read" => "a read that was answered",
        "exceeds_credits" | "exceeds_debits" => "the account had not enough",
        "linked_event_failed" => "another part of its chain was refused, so none was done",
        "id_already_failed" => "refused before under the same id",
        "pending_transfer_not_found" => "the reservation it follows does not exist",
        "pending_transfer_expired" => "the reservation it follows had expired",
        "pending_transfer_already_posted" => "the reservation was captured already",
        "pending_transfer_already_voided" => "the reservation was voided already",
        _ => return None,
    })
}
