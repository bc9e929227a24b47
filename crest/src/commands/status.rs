//! `crest status`: how each shard is.

use super::connect::Common;
use super::human::format_time;
use super::outcome::{Failure, Outcome, print};
use super::participation;
use super::rows::Table;
use crest_proto::v1;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

/// `crest status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crest status

Exit codes:
  0  every shard takes part in payments
  1  one does not: it does not answer, does not commit, or it and another one do not accept each other's messages
  3  the router does not answer")]
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
    let troubles = participation::troubles(&answer);
    let shards: BTreeSet<u32> = troubles.iter().map(|(shard, _)| *shard).collect();
    let shards: Vec<String> = shards.iter().map(u32::to_string).collect();
    let refusal =
        (!shards.is_empty()).then(|| format!("shards that do not take part in everything: {}", shards.join(", ")));
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
    let troubles = participation::troubles(status).into_iter().map(|(_, trouble)| trouble);
    for line in troubles.chain(participation::times_ahead(status)) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\n{line}");
    }
    text
}

/// How many slots the shard owns.
fn slots(s: &v1::ShardStatus) -> u32 {
    // What a router sends is not to be trusted with arithmetic.
    s.slots.iter().map(|range| range.last.saturating_sub(range.first).saturating_add(1)).fold(0, u32::saturating_add)
}

fn document(status: &v1::StatusResponse) -> Value {
    let peer = |trouble: &v1::PeerTrouble| {
        let kind = match trouble.kind() {
            v1::PeerTroubleKind::RefusedByPeer => "refused-by-peer",
            v1::PeerTroubleKind::RefusesPeer => "refuses-peer",
            v1::PeerTroubleKind::NoAnswer => "no-answer",
            v1::PeerTroubleKind::Unspecified => "unknown",
        };
        json!({ "shard": trouble.shard, "kind": kind, "ms": trouble.ms.to_string() })
    };
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
            "shard_time_ahead_ms": s.shard_time_ahead_ms.map(|ms| ms.to_string()),
            "machine_timestamp": s.machine_timestamp.map(|ns| ns.to_string()),
            "last_committed_ms_ago": s.last_committed_ms_ago.map(|ms| ms.to_string()),
            "commit_stalled_ms": s.commit_stalled_ms.map(|ms| ms.to_string()),
            "clock_problem": s.clock_problem.as_ref().filter(|problem| !problem.is_empty()),
            "peer_troubles": s.peer_troubles.iter().map(peer).collect::<Vec<_>>(),
        })
    };
    let troubles = participation::troubles(status).into_iter().map(|(_, trouble)| trouble);
    json!({
        "epoch": status.epoch.to_string(),
        "shards": status.shards.iter().map(shard).collect::<Vec<_>>(),
        "troubles": troubles.collect::<Vec<_>>(),
    })
}
