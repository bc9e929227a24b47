//! `crest audit`: the proof that no money was lost or made.

use super::connect::Common;
use super::human::{format_amount, format_time};
use super::outcome::{Failure, Outcome, print};
use super::rows::Table;
use crest_proto::{border::number_from, v1};
use serde_json::{Value, json};
use std::fmt::Write;
use std::process::ExitCode;

/// `crest audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crest audit --scale 2

Exit codes: 0 every invariant holds, 1 one does not, 3 the audit could not run.")]
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
    let mut client = args.common.operations().await?;
    let answer = client.audit(v1::AuditRequest {}).await;
    let audit = answer.map_err(|s| Failure::of_read(&s))?.into_inner();
    let refusal = (!audit.holds).then(|| format!("the audit does not hold; findings: {}", audit.findings.len()));
    Ok(Outcome { text: text(&audit, args.common.scale), json: document(&audit), refusal })
}

fn text(audit: &v1::AuditResponse, scale: u8) -> String {
    let verdict = if audit.holds { "HOLDS: no money was lost or made" } else { "DOES NOT HOLD" };
    let mut text = format!("{verdict}, at {}\n", format_time(audit.timestamp));
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{} accounts, {} transfers, of which {} between shards",
        audit.accounts, audit.transfers, audit.cross_shard_transfers
    );
    let mut table =
        Table::new(&["LEDGER", "ACCOUNTS", "DEBITS POSTED", "CREDITS POSTED", "DEBITS PENDING", "CREDITS PENDING"]);
    for totals in &audit.totals {
        table.row(vec![
            totals.ledger.to_string(),
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
            let _ = writeln!(text, "  - {finding}");
        }
    }
    text
}

fn document(audit: &v1::AuditResponse) -> Value {
    let totals = |totals: &v1::LedgerTotals| {
        json!({
            "ledger": totals.ledger,
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
        "findings": audit.findings,
    })
}
