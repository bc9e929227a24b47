//! `crest audit`: the proof that no money was lost or made.

use super::connect::Common;
use super::human::{format_amount, format_id, format_time};
use super::outcome::{Failure, Outcome, print};
use super::rows::{Table, ledger_cell};
use crest_ledger::finding::sentence::Words;
use crest_ledger::{Timestamp, is_rehearsal};
use crest_loadgen::progress::Progress;
use crest_proto::border::{MoreTotals, finding_from, number_from};
use crest_proto::v1;
use crest_proto::v1::watch_audit_response::Update;
use serde_json::{Value, json};
use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long an audit may take by default: it reads everything.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// `crest audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  crest audit --scale 2

Payments go on meanwhile. How far it is stands on standard error, the verdict on standard output.

Exit codes:
  0  every invariant holds
  1  one does not: the findings name shard, account, transfer and amount
  2  the command line is wrong
  3  the audit could not be made, and proves nothing: a shard or the router could not be reached, or it took too long")]
pub struct Args {
    #[command(flatten)]
    common: Common,
}

/// Runs `crest audit` and prints the verdict.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    print(execute(&args).await, args.common.json)
}

pub(super) async fn execute(args: &Args) -> Result<Outcome, Failure> {
    let patience = args.common.request_timeout.unwrap_or(PATIENCE);
    let late = |_| Err(Failure::Unavailable(format!("the audit did not end within {patience:?}; nothing is proved")));
    let audit = tokio::time::timeout(patience, watch(args)).await.unwrap_or_else(late)?;
    let found = audit.findings.len() as u64 + audit.findings_left_out;
    let refusal = (!audit.holds).then(|| format!("the audit does not hold; findings: {found}"));
    Ok(Outcome { text: text(&audit, args.common.scale), json: document(&audit), refusal })
}

/// Asks for an audit, and shows how far it is until the answer is there.
async fn watch(args: &Args) -> Result<v1::AuditResponse, Failure> {
    let mut client = args.common.operations().await?;
    let updates = client.watch_audit(v1::AuditRequest {}).await;
    let mut updates = updates.map_err(|s| Failure::of_read(&s))?.into_inner();
    let (mut progress, mut pace, mut more) = (Progress::of_parts(), Pace::begin(), MoreTotals::default());
    let ended = loop {
        match updates.message().await.map_err(|s| Failure::of_read(&s)) {
            Ok(Some(v1::WatchAuditResponse { update: Some(Update::Progress(seen)) })) => {
                progress.of(seen.rows_expected);
                progress.show(seen.rows, || pace.line(&seen));
            }
            Ok(Some(v1::WatchAuditResponse { update: Some(Update::Totals(totals)) })) => more.take(totals),
            Ok(Some(v1::WatchAuditResponse { update: Some(Update::Response(audit)) })) => {
                break more.complete(audit).map_err(|e| Failure::broken_answer(format!("the audit's answer: {e}")));
            }
            Ok(Some(v1::WatchAuditResponse { update: None })) => {}
            Ok(None) => break Err(Failure::broken_answer("the audit ended without a result")),
            Err(failure) => break Err(failure),
        }
    };
    progress.finish();
    ended
}

/// How fast an audit goes.
struct Pace {
    begun: Option<(Instant, u64)>,
}

impl Pace {
    fn begin() -> Self {
        Self { begun: None }
    }

    /// One line about where it stands. The clock starts with the first rows: waiting is not reading slowly.
    fn line(&mut self, seen: &v1::AuditProgress) -> String {
        let stage = match seen.stage() {
            v1::AuditStage::Waiting => {
                return format!(
                    "waiting for {} shards: transfers in doubt end, then each writes a checkpoint",
                    seen.shards
                );
            }
            v1::AuditStage::Reading => "",
            v1::AuditStage::Naming => "; something differs, looking for the rows",
            v1::AuditStage::Pairing => "; shards differ, comparing their transfers",
        };
        let (begun, at_first) = *self.begun.get_or_insert((Instant::now(), seen.rows));
        let rate = (seen.rows - at_first.min(seen.rows)) as f64 / begun.elapsed().as_secs_f64().max(0.001);
        let pace = if rate < 1.0 { String::new() } else { format!(", {rate:.0} rows/s") };
        let left = (seen.rows_expected.saturating_sub(seen.rows)) as f64 / rate;
        let left =
            if stage.is_empty() && rate >= 1.0 { format!(", some {:.0} s left", left.ceil()) } else { String::new() };
        format!(
            "{} of {} shards read, {} of {} rows{pace}{left}{stage}",
            seen.shards_done, seen.shards, seen.rows, seen.rows_expected
        )
    }
}

/// Numbers as the other commands print them.
struct Screen {
    scale: u8,
}

impl Words for Screen {
    fn id(&self, id: u128) -> String {
        format_id(id)
    }

    fn amount(&self, amount: u128) -> String {
        format_amount(amount, self.scale)
    }

    fn time(&self, at: Timestamp) -> String {
        format_time(at)
    }
}

fn text(audit: &v1::AuditResponse, scale: u8) -> String {
    let verdict = if audit.holds { "HOLDS: no money was lost or made" } else { "DOES NOT HOLD" };
    let mut text = format!("{verdict}, at {}\n", format_time(audit.timestamp));
    // Writing to a String cannot fail.
    let damaged = v1::AuditFindingKind::StoreDamaged;
    let part = if audit.findings.iter().any(|f| f.kind() == damaged) { ", without what could not be read" } else { "" };
    let _ = writeln!(
        text,
        "{} accounts, {} transfers, of which {} between shards{part}",
        audit.accounts, audit.transfers, audit.cross_shard_transfers
    );
    let mut table =
        Table::new(&["LEDGER", "ACCOUNTS", "DEBITS POSTED", "CREDITS POSTED", "DEBITS PENDING", "CREDITS PENDING"]);
    for totals in &audit.totals {
        table.row(vec![
            ledger_cell(totals.ledger),
            totals.accounts.to_string(),
            format_amount(number_from(totals.debits_posted), scale),
            format_amount(number_from(totals.credits_posted), scale),
            format_amount(number_from(totals.debits_pending), scale),
            format_amount(number_from(totals.credits_pending), scale),
        ]);
    }
    if !audit.totals.is_empty() {
        let _ = write!(text, "\n{}", table.text());
    }
    if !audit.findings.is_empty() {
        text.push_str("\nFindings:\n");
        for finding in &audit.findings {
            // A newer router may find what this version has no words for.
            let words = finding_from(finding).map_or_else(|_| finding.text.clone(), |f| f.sentence(&Screen { scale }));
            let _ = writeln!(text, "  - {words}");
        }
    }
    if audit.findings_left_out > 0 {
        let _ = writeln!(text, "  and {} more", audit.findings_left_out);
    }
    text
}

fn document(audit: &v1::AuditResponse) -> Value {
    let totals = |totals: &v1::LedgerTotals| {
        json!({
            "ledger": totals.ledger,
            "rehearsal": is_rehearsal(totals.ledger),
            "accounts": totals.accounts.to_string(),
            "debits_posted": number_from(totals.debits_posted).to_string(),
            "credits_posted": number_from(totals.credits_posted).to_string(),
            "debits_pending": number_from(totals.debits_pending).to_string(),
            "credits_pending": number_from(totals.credits_pending).to_string(),
        })
    };
    json!({
        "holds": audit.holds,
        "timestamp": audit.timestamp.to_string(),
        "accounts": audit.accounts.to_string(),
        "transfers": audit.transfers.to_string(),
        "cross_shard_transfers": audit.cross_shard_transfers.to_string(),
        "totals": audit.totals.iter().map(totals).collect::<Vec<_>>(),
        "findings": audit.findings.iter().map(finding_json).collect::<Vec<_>>(),
        "findings_left_out": audit.findings_left_out.to_string(),
        "rows": audit.rows.to_string(),
    })
}

/// A finding for programs: what has no meaning for its kind is left out.
fn finding_json(finding: &v1::AuditFinding) -> Value {
    let mut json =
        json!({ "kind": finding.kind().as_str_name().trim_start_matches("AUDIT_FINDING_KIND_").to_lowercase() });
    let mut set = |name: &str, value: Option<Value>| {
        if let (Some(object), Some(value)) = (json.as_object_mut(), value) {
            object.insert(name.to_owned(), value);
        }
    };
    let id = |n: Option<v1::Uint128>| n.map(|n| json!(u128::from(n).to_string()));
    let time = |at: u64| (at != 0).then(|| json!(at.to_string()));
    let word = |text: &str| (!text.is_empty()).then(|| json!(text));
    set("text", word(&finding.text));
    set("shard", finding.shard.map(Value::from));
    set("other_shard", finding.other_shard.map(Value::from));
    set("ledger", (finding.ledger != 0).then(|| json!(finding.ledger)));
    set("rehearsal", (finding.ledger != 0).then(|| json!(is_rehearsal(finding.ledger))));
    set("account_id", id(finding.account_id));
    set("transfer_id", id(finding.transfer_id));
    set("timestamp", time(finding.timestamp));
    set("debit_account_id", id(finding.debit_account_id));
    set("credit_account_id", id(finding.credit_account_id));
    set("amount", id(finding.amount));
    set("other_transfer_id", id(finding.other_transfer_id));
    set("other_timestamp", time(finding.other_timestamp));
    set("other_account_id", id(finding.other_account_id));
    set("field", word(&finding.field));
    set("stored", id(finding.stored));
    set("expected", id(finding.expected));
    let cause = |c: &v1::AuditCause| json!({ "transfer_id": number_from(c.transfer_id).to_string(), "timestamp": c.timestamp.to_string() });
    set("causes", (!finding.causes.is_empty()).then(|| finding.causes.iter().map(cause).collect()));
    set("detail", word(&finding.detail));
    json
}
