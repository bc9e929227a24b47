//! `crest clock`: the shards' times, and the way back after a wrong clock.

use super::connect::Common;
use super::human::format_time;
use super::outcome::{Failure, Outcome, print};
use super::rows::Table;
use crest_proto::v1;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `crest clock`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show every shard's time, and how far it is ahead of this machine's clock
    #[command(after_help = "Example:
  crest clock show

A shard's time is the latest of all timestamps that it gave or saw. It never goes back. One that is more than 10 s ahead of the others
was carried into the future by a wrong clock: see 'crest clock align'.

Exit codes: 0 all shards are within 10 s of each other, 1 they are not, or one does not answer, 3 the router does not.")]
    Show(Options),
    /// Advance all shards to the time of the one that is furthest ahead, so that they accept each other's messages
    #[command(after_help = "Example:
  crest clock align

Look first, with 'crest clock show', and correct the machines' clocks. Timestamps then go on from the latest time, at half speed until real time has caught up. No
reservation ends early: its end is judged by the machines' clocks. A reservation that is made meanwhile carries an advanced timestamp,
and may last longer than its timeout by as much as that is ahead. It can be repeated.

Exit codes: 0 done, 1 a shard does not answer or was not advanced (run it again when it is back), 3 the router does not answer.")]
    Align(Options),
}

#[derive(Debug, clap::Args)]
struct Options {
    #[command(flatten)]
    common: Common,
}

/// How far shards may be apart and still accept each other's messages.
const APART_MAX: Duration = Duration::from_nanos(crest_ledger::limits::DECIDE_WINDOW_NS);

/// Runs `crest clock` and prints the outcome.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (Verb::Show(options) | Verb::Align(options)) = &args.verb;
    print(execute(&args).await, options.common.json)
}

pub(super) async fn execute(args: &Args) -> Result<Outcome, Failure> {
    let (options, dry_run) = match &args.verb {
        Verb::Show(options) => (options, true),
        Verb::Align(options) => (options, false),
    };
    let mut client = options.common.operations_within(Duration::from_secs(10)).await?;
    let answer = client.align_shard_times(v1::AlignShardTimesRequest { dry_run }).await;
    let answer = answer.map_err(|s| Failure::of_read(&s))?.into_inner();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    Ok(Outcome { text: text(&answer, now), json: document(&answer, now), refusal: refusal(&answer, dry_run) })
}

fn refusal(answer: &v1::AlignShardTimesResponse, dry_run: bool) -> Option<String> {
    let failed: Vec<String> =
        answer.shards.iter().filter(|s| !s.error.is_empty()).map(|s| s.shard.to_string()).collect();
    if !failed.is_empty() {
        return Some(format!("shards that do not answer: {}; run it again when they do", failed.join(", ")));
    }
    let earliest = answer.shards.iter().map(|s| s.timestamp_before).min().unwrap_or(answer.timestamp);
    let apart = Duration::from_nanos(answer.timestamp.saturating_sub(earliest));
    let far = dry_run && apart > APART_MAX;
    far.then(|| {
        format!(
            "the shards' times are {:.1} s apart, so they refuse each other's messages: correct the machines' clocks, then run \
             'crest clock align'",
            apart.as_secs_f64()
        )
    })
}

fn text(answer: &v1::AlignShardTimesResponse, now: u64) -> String {
    let mut table = Table::new(&["SHARD", "ADDRESS", "TIME", "AHEAD OF THIS MACHINE", "BEHIND THE LATEST", ""]);
    for s in &answer.shards {
        let mut row = vec![s.shard.to_string(), s.address.clone()];
        if s.timestamp_before == 0 {
            row.extend(["-", "-", "-"].map(str::to_owned));
        } else {
            let ahead = s.timestamp_before as f64 - now as f64;
            let behind = answer.timestamp.saturating_sub(s.timestamp_before);
            row.extend([format_time(s.timestamp_before), seconds(ahead), seconds(behind as f64)]);
        }
        row.push(match (s.error.as_str(), s.advanced) {
            ("", true) => "advanced".to_owned(),
            ("", false) => String::new(),
            (error, _) => error.to_owned(),
        });
        table.row(row);
    }
    table.text()
}

fn seconds(ns: f64) -> String {
    format!("{:.1} s", ns / 1e9)
}

fn document(answer: &v1::AlignShardTimesResponse, now: u64) -> Value {
    let shard = |s: &v1::ShardTime| {
        json!({
            "shard": s.shard,
            "address": s.address,
            "timestamp_before": s.timestamp_before.to_string(),
            "advanced": s.advanced,
            "error": s.error,
        })
    };
    json!({
        "timestamp": answer.timestamp.to_string(),
        "machine": now.to_string(),
        "shards": answer.shards.iter().map(shard).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn answer(times: &[(u64, &str)]) -> v1::AlignShardTimesResponse {
        let shard = |(n, (time, error)): (usize, &(u64, &str))| v1::ShardTime {
            shard: n as u32,
            timestamp_before: *time,
            error: (*error).to_owned(),
            ..v1::ShardTime::default()
        };
        let timestamp = times.iter().map(|(time, _)| *time).max().unwrap_or(0);
        v1::AlignShardTimesResponse { timestamp, shards: times.iter().enumerate().map(shard).collect() }
    }

    #[test]
    fn shards_that_are_apart_or_silent_are_no_success() {
        assert_eq!(refusal(&answer(&[(100 * SECOND, ""), (95 * SECOND, "")]), true), None);
        let apart = answer(&[(3_700 * SECOND, ""), (100 * SECOND, "")]);
        assert!(refusal(&apart, true).is_some_and(|why| why.contains("3600.0 s apart")));
        assert_eq!(refusal(&apart, false), None, "they were aligned");
        let silent = answer(&[(100 * SECOND, ""), (0, "gone")]);
        assert!(refusal(&silent, false).is_some_and(|why| why.contains("do not answer: 1")));
    }

    #[test]
    fn the_table_says_how_far_each_is_ahead_and_behind() {
        let text = text(&answer(&[(3_700 * SECOND, ""), (100 * SECOND, "")]), 101 * SECOND);
        assert!(text.contains("3599.0 s") && text.contains("-1.0 s") && text.contains("3600.0 s"), "{text}");
    }
}
