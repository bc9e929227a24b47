//! `crest txn`: transfers between shards that are in doubt, and ending one by hand.

use super::connect::{Common, collect_pages};
use super::human::{format_amount, format_id, format_time, parse_age};
use super::outcome::{Failure, Outcome, print, reason};
use super::rows::Table;
use crest_ledger::txn::TxnId;
use crest_ledger::{Traffic, is_rehearsal};
use crest_node::limits::IN_DOUBT_END;
use crest_proto::border::{attempt_from, attempt_to, number_from};
use crest_proto::v1;
use crest_proto::v1::{InDoubtKind, InDoubtState, ResolvedFate};
use serde_json::{Value, json};
use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;
use tonic::Code;

/// Rows that one command lists at most; they are held in memory, some 500 bytes each.
const LISTING_ROWS_MAX: i64 = 100_000;
/// The exit code when something is older than it can be when all is well.
const OVERDUE: u8 = 4;

/// `crest txn`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the attempts at transfers between shards that are in doubt, or that operators resolved
    #[command(after_help = "Examples:
  crest txn list --in-doubt
  crest txn list --in-doubt --older-than 2s --json
  crest txn list --resolved

Payments under way are in doubt for some milliseconds. What is older than 2 s is ended by the shards themselves, within 5 s
of the last failure's end.

Exit codes: 0 nothing is older than 5 s, 4 something is, 3 the router, or a shard whose answer would matter, does not
answer.")]
    List(List),
    /// Have one attempt ended now, and keep the reason
    #[command(after_help = "Example:
  crest txn resolve 42/00c3d5f0a1b2c3d4 --reason router-2-died,ticket-1234 --by alice

The shard that decides says what became of the attempt: what it has committed stands, what it has not is aborted. No outcome
can be given, since a wrong one would lose money or make some. When that shard does not answer, nothing is changed: bring
it back, or restore it, and the attempt ends by itself.

Exit codes: 0 resolved, 1 no shard knows the attempt, 3 the shard that decides does not answer, or the outcome is unknown.")]
    Resolve(Resolve),
}

#[derive(Debug, clap::Args)]
struct List {
    /// What is in doubt (the default)
    #[arg(long, conflicts_with = "resolved")]
    in_doubt: bool,
    /// What operators resolved, the newest first: each shard keeps the newest 1,000
    #[arg(long)]
    resolved: bool,
    /// Only what has been in doubt for as long as this: 2s, 500ms
    #[arg(long, value_parser = parse_age, default_value = "0s", hide_default_value = true, value_name = "DURATION",
          conflicts_with = "resolved")]
    older_than: Duration,
    /// Rows to list
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=LISTING_ROWS_MAX))]
    limit: u32,
}

#[derive(Debug, clap::Args)]
struct Resolve {
    /// The attempt, as `crest txn list` names it
    #[arg(value_parser = parse_attempt)]
    attempt: TxnId,
    /// Why, for whoever looks at it later: up to 500 bytes on one line
    #[arg(long)]
    reason: String,
    /// Who does it [default: $USER]
    #[arg(long, env = "USER", hide_env = true, value_name = "NAME")]
    by: Option<String>,
}

fn parse_attempt(text: &str) -> Result<TxnId, String> {
    attempt_from(text).map_err(|error| format!("expected {}", error.expected))
}

/// Runs `crest txn` and prints the outcome.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    print(execute(&args).await, args.common.json)
}

pub(super) async fn execute(args: &Args) -> Result<Outcome, Failure> {
    match &args.verb {
        Verb::List(list) if list.resolved => resolutions(&args.common, list.limit).await,
        Verb::List(list) => in_doubt(&args.common, list).await,
        Verb::Resolve(resolve) => resolve_one(&args.common, resolve).await,
    }
}

async fn in_doubt(common: &Common, list: &List) -> Result<Outcome, Failure> {
    let client = common.operations_within(Duration::from_secs(10)).await?;
    let mut shards: Vec<v1::ShardAt> = Vec::new();
    let age_ms_min = u64::try_from(list.older_than.as_millis()).unwrap_or(u64::MAX);
    // One more than asked for tells whether there are more.
    let mut attempts = collect_pages(list.limit + 1, async |limit, cursor| {
        let request = v1::ListInDoubtRequest { age_ms_min, limit, cursor };
        let answer = client.clone().list_in_doubt(request).await.map_err(|s| Failure::of_read(&s))?.into_inner();
        shards = answer.shards;
        Ok((answer.attempts, answer.next_cursor))
    })
    .await?;
    let more = attempts.len() > list.limit as usize;
    attempts.truncate(list.limit as usize);
    let json = json!({
        "attempts": attempts.iter().map(attempt_json).collect::<Vec<_>>(),
        "more": more,
        "shards": shards.iter().map(shard_json).collect::<Vec<_>>(),
    });
    let mut text =
        if attempts.is_empty() { "nothing is in doubt\n".to_owned() } else { table(&attempts, common.scale) };
    if more {
        let _ = writeln!(text, "\nand more: raise --limit");
    }
    for at in shards.iter().filter(|at| !at.answers) {
        let _ = writeln!(text, "\n{} does not answer, and what only it knows is not listed: {}", place(at), at.error);
    }
    let shown = Outcome { text, json, refusal: None };
    let overdue = attempts.iter().filter(|a| u128::from(a.age_ms) > IN_DOUBT_END.as_millis()).count();
    let silent: Vec<String> = shards.iter().filter(|at| !at.answers).map(place).collect();
    match (overdue, silent.as_slice()) {
        (0, []) => Ok(shown),
        (0, silent) => {
            let text = format!("not every shard answers: {}", silent.join(", "));
            Err(Failure::Attention { shown: Box::new(shown), text, code: 3 })
        }
        (count, _) => {
            let text = format!("in doubt for more than {} s: {count}", IN_DOUBT_END.as_secs());
            Err(Failure::Attention { shown: Box::new(shown), text, code: OVERDUE })
        }
    }
}

async fn resolutions(common: &Common, limit: u32) -> Result<Outcome, Failure> {
    let mut client = common.operations_within(Duration::from_secs(10)).await?;
    let request = v1::ListResolutionsRequest { limit: limit.min(super::connect::PAGE_ROWS_MAX) };
    let answer = client.list_resolutions(request).await.map_err(|s| Failure::of_read(&s))?.into_inner();
    let mut table = Table::new(&["ATTEMPT", "RESOLVED", "BY", "FATE", "SHARD", "REASON"]);
    for r in &answer.resolutions {
        let fate = fate_name(r.fate()).to_owned();
        let (at, by) = (format_time(r.timestamp), r.by.clone());
        table.row(vec![r.attempt.clone(), at, by, fate, r.shard.to_string(), r.reason.clone()]);
    }
    let mut text = table.text();
    if answer.more {
        let _ = write!(text, "\nand older ones: raise --limit");
    }
    for at in answer.shards.iter().filter(|at| !at.answers) {
        let _ = write!(text, "\n{} does not answer, and what it keeps is not listed: {}", place(at), at.error);
    }
    let json = json!({
        "resolutions": answer.resolutions.iter().map(resolution_json).collect::<Vec<_>>(),
        "more": answer.more,
        "shards": answer.shards.iter().map(shard_json).collect::<Vec<_>>(),
    });
    let silent: Vec<String> = answer.shards.iter().filter(|at| !at.answers).map(place).collect();
    let shown = Outcome { text, json, refusal: None };
    if silent.is_empty() {
        return Ok(shown);
    }
    let text = format!("not every shard answers: {}", silent.join(", "));
    Err(Failure::Attention { shown: Box::new(shown), text, code: 3 })
}

async fn resolve_one(common: &Common, resolve: &Resolve) -> Result<Outcome, Failure> {
    let mut client = common.operations_within(Duration::from_secs(10)).await?;
    let attempt = attempt_to(&resolve.attempt);
    let missing = || Failure::Usage("--by: who resolves it? $USER is not set".to_owned());
    let by = resolve.by.clone().ok_or_else(missing)?;
    let request = v1::ResolveRequest { attempt: attempt.clone(), reason: resolve.reason.clone(), by };
    let answer = match client.resolve(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            let text = reason(&status);
            return match status.code() {
                Code::NotFound => Ok(Outcome {
                    text: String::new(),
                    json: json!({ "attempt": attempt, "error": text }),
                    refusal: Some(text),
                }),
                Code::FailedPrecondition => Err(Failure::Unavailable(text)),
                Code::InvalidArgument | Code::ResourceExhausted | Code::Unimplemented => Err(Failure::of_read(&status)),
                _ => Err(Failure::Unknown {
                    text: format!("unknown whether {attempt} was resolved ({text}); run the same command again"),
                    id: resolve.attempt.first_id,
                }),
            };
        }
    };
    let kept = answer.resolution.as_ref().ok_or_else(|| Failure::broken_answer("no resolution in it"))?;
    Ok(Outcome { text: resolved_text(kept, &answer), json: resolved_json(kept, &answer), refusal: None })
}

fn resolved_text(kept: &v1::Resolution, answer: &v1::ResolveResponse) -> String {
    let at = format_time(kept.fate_timestamp);
    let meaning = match kept.fate() {
        ResolvedFate::Committed => format!("committed at {at}: the money has moved"),
        ResolvedFate::Expired => format!("expired at {at}: the reservation is released"),
        ResolvedFate::Aborted => {
            "aborted now, since it was undecided: nothing has moved, and the same transfer may be sent again".to_owned()
        }
        ResolvedFate::AbortedBefore => {
            "aborted before: nothing has moved by this attempt, and the same transfer may be sent again".to_owned()
        }
        ResolvedFate::Done => format!("over before: what it was to do is recorded, at {at}"),
        ResolvedFate::Unspecified => "resolved in a way that this build does not know".to_owned(),
    };
    let mut text = format!("{}: {meaning}\n", kept.attempt);
    if answer.resolved_before {
        let _ = writeln!(text, "resolved before, by {} at {}: {}", kept.by, format_time(kept.timestamp), kept.reason);
    }
    for at in &answer.finished {
        let _ = writeln!(text, "{} has ended its side", place(at));
    }
    for at in &answer.waits_for {
        let _ = writeln!(text, "{} does not answer; it ends its side by itself when it is back", place(at));
    }
    text
}

fn resolved_json(kept: &v1::Resolution, answer: &v1::ResolveResponse) -> Value {
    let mut json = resolution_json(kept);
    json["resolved_before"] = answer.resolved_before.into();
    json["finished"] = answer.finished.iter().map(shard_json).collect();
    json["waits_for"] = answer.waits_for.iter().map(shard_json).collect();
    json
}

fn table(attempts: &[v1::InDoubtAttempt], scale: u8) -> String {
    let headings =
        ["ATTEMPT", "AGE", "STATE", "WHAT", "FROM (DEBIT)", "TO (CREDIT)", "AMOUNT", "HELD BY", "DECIDES", "WAITS FOR"];
    let mut table = Table::new(&headings);
    for a in attempts {
        let shards = |shards: &[v1::ShardAt]| match shards {
            [] => "-".to_owned(),
            some => some.iter().map(|at| at.shard.to_string()).collect::<Vec<_>>().join(","),
        };
        let age = format!("{:.1} s", Duration::from_millis(a.age_ms).as_secs_f64());
        let waits: Vec<String> = a.waits_for.iter().map(waited_for).collect();
        let mut row = vec![a.attempt.clone(), age, state_name(a.state()).to_owned()];
        row.extend(what(a, scale));
        row.extend([shards(&a.holders), shards(a.decider.as_slice()), waits.join(", ")]);
        table.row(row);
    }
    table.text()
}

/// What an attempt is about, and its first event's accounts and amount.
fn what(a: &v1::InDoubtAttempt, scale: u8) -> [String; 4] {
    let more = match a.event_count.saturating_sub(1) {
        0 => String::new(),
        more => format!(" +{more}"),
    };
    let unknown = || "-".to_owned();
    let Some(first) = a.events.first() else { return [format!("?{more}"), unknown(), unknown(), unknown()] };
    let whose = if traffic(a) == Traffic::Rehearsal { " (rehearsal)" } else { "" };
    let kind = format!("{}{more}{whose}", kind_name(first.kind()));
    if first.kind() == InDoubtKind::Account {
        return [kind, format_id(number_from(first.id)), unknown(), unknown()];
    }
    let account = |id| match number_from(id) {
        0 => unknown(),
        id => format_id(id),
    };
    let amount = format_amount(number_from(first.amount), scale);
    [kind, account(first.debit_account_id), account(first.credit_account_id), amount]
}

/// Whose it is, as far as its events are known: a rehearsal's only when none of them is anything else.
fn traffic(a: &v1::InDoubtAttempt) -> Traffic {
    Traffic::of_all(a.events.iter().map(|e| e.ledger))
}

fn place(at: &v1::ShardAt) -> String {
    format!("shard {} at {}", at.shard, at.address)
}

fn waited_for(at: &v1::ShardAt) -> String {
    let silent = if at.answers { "" } else { " (does not answer)" };
    format!("{}{silent}", place(at))
}

fn attempt_json(a: &v1::InDoubtAttempt) -> Value {
    json!({
        "attempt": a.attempt,
        "state": state_name(a.state()),
        "age_ms": a.age_ms.to_string(),
        "since": a.since.to_string(),
        "decider": a.decider.as_ref().map(shard_json),
        "holders": a.holders.iter().map(shard_json).collect::<Vec<_>>(),
        "waits_for": a.waits_for.iter().map(shard_json).collect::<Vec<_>>(),
        "events": a.events.iter().map(event_json).collect::<Vec<_>>(),
        "event_count": a.event_count,
        "rehearsal": traffic(a) == Traffic::Rehearsal,
    })
}

fn event_json(e: &v1::InDoubtEvent) -> Value {
    json!({
        "index": e.index,
        "kind": kind_name(e.kind()),
        "id": number_from(e.id).to_string(),
        "debit_account_id": number_from(e.debit_account_id).to_string(),
        "credit_account_id": number_from(e.credit_account_id).to_string(),
        "amount": number_from(e.amount).to_string(),
        "ledger": e.ledger,
        "rehearsal": is_rehearsal(e.ledger),
        "pending_id": number_from(e.pending_id).to_string(),
    })
}

fn shard_json(at: &v1::ShardAt) -> Value {
    let mut json = json!({ "shard": at.shard, "address": at.address, "answers": at.answers });
    if !at.error.is_empty() {
        json["error"] = at.error.as_str().into();
    }
    json
}

fn resolution_json(r: &v1::Resolution) -> Value {
    json!({
        "attempt": r.attempt,
        "fate": fate_name(r.fate()),
        "fate_timestamp": r.fate_timestamp.to_string(),
        "timestamp": r.timestamp.to_string(),
        "reason": r.reason,
        "by": r.by,
        "shard": r.shard,
    })
}

fn state_name(state: InDoubtState) -> &'static str {
    match state {
        InDoubtState::Unspecified => "?",
        InDoubtState::Prepared => "prepared",
        InDoubtState::Unknown => "unknown",
        InDoubtState::Committed => "committed",
        InDoubtState::Expired => "expired",
        InDoubtState::Aborted => "aborted",
    }
}

fn kind_name(kind: InDoubtKind) -> &'static str {
    match kind {
        InDoubtKind::Unspecified => "?",
        InDoubtKind::Payment => "payment",
        InDoubtKind::Pending => "pending",
        InDoubtKind::Post => "post",
        InDoubtKind::Void => "void",
        InDoubtKind::Expiry => "expiry",
        InDoubtKind::Account => "account",
    }
}

fn fate_name(fate: ResolvedFate) -> &'static str {
    match fate {
        ResolvedFate::Unspecified => "?",
        ResolvedFate::Committed => "committed",
        ResolvedFate::Expired => "expired",
        ResolvedFate::Aborted => "aborted",
        ResolvedFate::AbortedBefore => "aborted_before",
        ResolvedFate::Done => "done",
    }
}
