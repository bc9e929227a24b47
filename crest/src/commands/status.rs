//! `crest status`: how each shard is.

use super::connect::Common;
use super::human::format_time;
use super::outcome::{Failure, Outcome, print};
use super::rows::Table;
use crest_proto::v1;
use serde_json::{Value, json};
use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

/// `crest status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crest status

Exit codes: 0 every shard answers, 1 one does not, 3 the router does not.")]
pub struct Args {
    #[command(flatten)]
    common: Common,
}

/// Runs `crest status` and prints the outcome.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    print(execute(&args).await, args.common.json)
}

pub(super) async fn execute(args: &Args) -> Result<Outcome, Failure> {
    let mut client = args.common.operations_within(Duration::from_secs(10)).await?;
    let answer = client.status(v1::StatusRequest {}).await.map_err(|s| Failure::of_read(&s))?.into_inner();
    let silent: Vec<String> = answer.shards.iter().filter(|s| !s.reachable).map(|s| s.shard.to_string()).collect();
    let refusal = (!silent.is_empty()).then(|| format!("shards that do not answer: {}", silent.join(", ")));
    Ok(Outcome { text: text(&answer), json: document(&answer), refusal })
}

fn text(status: &v1::StatusResponse) -> String {
    let mut table = Table::new(&[
        "SHARD",
        "ADDRESS",
        "ANSWERS",
        "SLOTS",
        "ACCOUNTS",
        "TRANSFERS",
        "REHEARSALS",
        "HOLDS",
        "OUTBOX",
        "IN DOUBT",
        "OLDEST",
        "LOG ENTRIES",
        "IN CHECKPOINT",
        "CLOCK",
    ]);
    for s in &status.shards {
        let answers = if s.reachable { "yes" } else { "no" };
        let mut row = vec![s.shard.to_string(), s.address.clone(), answers.to_owned(), slots(s).to_string()];
        if s.reachable {
            let oldest = Duration::from_millis(s.in_doubt_age_ms_max);
            row.extend([s.accounts, s.transfers].map(|n| n.to_string()));
            row.push(match (s.rehearsal_accounts, s.rehearsal_transfers) {
                (0, 0) => "-".to_owned(),
                (accounts, transfers) => format!("{accounts} accounts, {transfers} transfers"),
            });
            row.extend([s.holds, s.outbox, s.in_doubt].map(|n| n.to_string()));
            row.push(if s.in_doubt == 0 { "-".to_owned() } else { format!("{:.1} s", oldest.as_secs_f64()) });
            row.extend([s.applied_index, s.checkpoint_index].map(|n| n.to_string()));
            row.push(format_time(s.timestamp));
        } else {
            row.extend(std::iter::repeat_n("-".to_owned(), 10));
        }
        table.row(row);
    }
    let mut text =
        format!("shards: {}, epoch of the slot map: {}\n\n{}", status.shards.len(), status.epoch, table.text());
    for s in status.shards.iter().filter(|s| !s.reachable) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\nshard {} at {} does not answer: {}", s.shard, s.address, s.error);
    }
    text
}

/// How many slots the shard owns.
fn slots(s: &v1::ShardStatus) -> u32 {
    // What a router sends is not to be trusted with arithmetic.
    s.slots.iter().map(|range| range.last.saturating_sub(range.first).saturating_add(1)).fold(0, u32::saturating_add)
}

fn document(status: &v1::StatusResponse) -> Value {
    let shard = |s: &v1::ShardStatus| {
        json!({
            "shard": s.shard,
            "address": s.address,
            "answers": s.reachable,
            "error": s.error,
            "slots": s.slots.iter().map(|range| json!({ "first": range.first, "last": range.last })).collect::<Vec<_>>(),
            "accounts": s.accounts.to_string(),
            "transfers": s.transfers.to_string(),
            "rehearsal_accounts": s.rehearsal_accounts.to_string(),
            "rehearsal_transfers": s.rehearsal_transfers.to_string(),
            "holds": s.holds.to_string(),
            "hold_age_ms_max": s.hold_age_ms_max.to_string(),
            "outbox": s.outbox.to_string(),
            "outbox_age_ms_max": s.outbox_age_ms_max.to_string(),
            "in_doubt": s.in_doubt.to_string(),
            "in_doubt_age_ms_max": s.in_doubt_age_ms_max.to_string(),
            "applied_index": s.applied_index.to_string(),
            "checkpoint_index": s.checkpoint_index.to_string(),
            "timestamp": s.timestamp.to_string(),
        })
    };
    json!({ "epoch": status.epoch.to_string(), "shards": status.shards.iter().map(shard).collect::<Vec<_>>() })
}
