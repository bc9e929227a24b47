//! The load of the shards, and how evenly it lay on them.

use super::super::chart::frame::run_seconds;
use super::super::chart::shards::{SHARDS_DRAWN, mean, multiples};
use super::super::figures;
use super::super::markup::{Markup, Px};
use super::parts::{figure, section};
use crate::record::{RunRecord, ShardRecord};

/// Rows of the table of balance at most; the busiest, when there are more shards.
const ROWS: usize = 32;

/// The section.
pub(super) fn shards(m: &mut Markup, record: &RunRecord) {
    let side = [
        "Each shard is one part of the ledger with one writer of its own. A payment between two shards is work for both, so \
         the sum over the shards is above the number of payments.",
        "The fuller the busiest shard in comparison with the mean, the less is won by adding shards.",
    ];
    section(m, "Was the load balanced?", &side, |m| {
        if record.shards.is_empty() {
            m.leaf("p", &[], "The cluster did not say what its shards did.");
            return;
        }
        let mut busiest: Vec<&ShardRecord> = record.shards.iter().collect();
        busiest.sort_by(|a, b| b.transfers.cmp(&a.transfers).then(a.shard.cmp(&b.shard)));
        let note = if busiest.len() > SHARDS_DRAWN {
            format!("The {SHARDS_DRAWN} busiest of {}; the dashed line is the mean of all.", busiest.len())
        } else {
            "All to one scale; the dashed line is the mean of all.".to_owned()
        };
        let mut drawn: Vec<&ShardRecord> = busiest.iter().take(SHARDS_DRAWN).copied().collect();
        drawn.sort_by_key(|s| s.shard);
        if drawn.iter().any(|s| s.transfers_per_second.iter().any(Option::is_some)) {
            figure(m, "Transfers per second, by shard", &note, |m| {
                multiples(m, &drawn, &mean(&record.shards), run_seconds(record));
            });
        }
        balance(m, &busiest);
    });
}

fn balance(m: &mut Markup, busiest: &[&ShardRecord]) {
    let sum: f64 = busiest.iter().map(|s| s.transfers as f64).sum();
    let most = busiest.first().map_or(0.0, |s| s.transfers as f64);
    if sum <= 0.0 {
        return;
    }
    let even = sum / busiest.len() as f64;
    let note = format!("The busiest did {} times the mean.", figures::number(most / even));
    figure(m, "Share of the work", &note, |m| {
        m.nest("ol", &[("class", &"bars")], |m| {
            for shard in busiest.iter().take(ROWS) {
                bar(m, shard, most, sum, even);
            }
        });
        if busiest.len() > ROWS {
            let rest = figures::counted((busiest.len() - ROWS) as u64, "shard", "shards");
            m.leaf("p", &[("class", &"quiet")], &format!("{rest} with less are left out."));
        }
    });
}

fn bar(m: &mut Markup, shard: &ShardRecord, most: f64, sum: f64, even: f64) {
    let transfers = shard.transfers as f64;
    m.nest("li", &[], |m| {
        m.leaf("span", &[("class", &"who")], &format!("Shard {}", shard.shard));
        m.nest("svg", &[("viewBox", &"0 0 500 14"), ("preserveAspectRatio", &"none"), ("aria-hidden", &"true")], |m| {
            let width = Px(transfers / most * 500.0);
            m.empty("rect", &[("width", &width), ("height", &"14"), ("class", &"bar")]);
            let x = Px(even / most * 500.0);
            m.empty("path", &[("class", &"even"), ("d", &format_args!("M{x} 0v14"))]);
        });
        m.leaf("span", &[("class", &"number")], &figures::count(shard.transfers));
        m.leaf("span", &[("class", &"number")], &figures::share(transfers / sum));
    });
}
