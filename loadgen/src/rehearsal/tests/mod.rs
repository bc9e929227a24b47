//! Whole rehearsals against a naive ledger: one that lies, one that is slow or silent, and one whose every delay is known.

mod lies;
mod outcomes;
mod retries;
mod sources;
mod agents;
mod accuracy;

use std::future::Future;
use std::io::Write;

use clap::Parser;
use tempfile::NamedTempFile;
use tokio::sync::watch;

use super::plan::Kind;
use super::*;
use crate::fake::{Fake, State};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: RunArgs,
}

/// Every kind of operation within 1.2 s. What is left alone says nothing about this machine's speed: no deadline that it
/// could miss, and no request that counts as late.
const EVERYTHING: &str = r#"
name = "everything"
description = "Every kind of operation, for a moment."

[population]
customers = 200
merchants = 10
opening_balance = 100_000_000

[mix]
payment = 50
authorise = 25
chain = 15
read = 10
insufficient_funds = 0.1
duplicates = 0.2

[mix.capture]
share = 0.7
partial = 0.3
after = "300ms"

[mix.refund]
share = 0.2
after = "300ms"

[requests]
connections = 2
deadline = "60s"

[[phase]]
duration = "1200ms"
rate = 500

[generator]
late_after = "1m"
late_share_max = 1
"#;

/// Payments only, `rate` a second for a second on one connection; `requests` are more lines of that section.
fn payments(rate: u32, requests: &str) -> String {
    format!(
        r#"
name = "payments"
description = "Payments only."

[population]
customers = 200
merchants = 10
opening_balance = 100_000_000

[mix]
payment = 1
insufficient_funds = 0.1

[requests]
connections = 1
{requests}

[[phase]]
duration = "1s"
rate = {rate}

[generator]
late_after = "1m"
late_share_max = 1
"#
    )
}

/// How the ledger tags transfers of this kind.
fn tag(kind: Kind) -> u32 {
    kind as u32 + 1
}

fn file(text: &str, suffix: &str) -> NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(suffix).tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// Plays `scenario` on the fake at `url`, with more options as on the command line, until `interrupted` ends.
async fn play_until(
    scenario: &str,
    url: &str,
    options: &[&str],
    interrupted: impl Future<Output = ()>,
) -> anyhow::Result<RunRecord> {
    let file = file(scenario, ".toml");
    let path = file.path().to_str().unwrap();
    let args = Line::parse_from(["run", path, "--router", url].iter().chain(options)).args;
    let script = Script::read(&args)?;
    let (count, counted) = watch::channel(0);
    let interrupts = Interrupts::counted(counted);
    let out = tempfile::tempdir().unwrap();
    let rehearsal =
        async { proven(&args, &script, RunId::new(), out.path(), &interrupts).await.map(|(record, _)| record) };
    tokio::pin!(rehearsal);
    tokio::select! {
        record = &mut rehearsal => return record,
        () = interrupted => count.send_modify(|count| *count += 1),
    }
    rehearsal.await
}

/// The same to its end.
async fn play_on(scenario: &str, url: &str, options: &[&str]) -> RunRecord {
    play_until(scenario, url, options, std::future::pending()).await.unwrap()
}

/// Plays `scenario` on a new fake that is prepared so.
async fn play_with(scenario: &str, prepare: impl FnOnce(&mut State)) -> (Fake, RunRecord) {
    let (fake, url) = Fake::serve().await;
    prepare(&mut fake.state());
    let record = play_on(scenario, &url, &[]).await;
    (fake, record)
}

/// The money is right and all of it was looked at.
fn assert_proven(record: &RunRecord) {
    let audit = record.audit.as_ref().unwrap();
    assert!(audit.wrong.is_empty() && audit.undecided.is_empty(), "{:?} {:?}", audit.wrong, audit.undecided);
    assert_eq!((audit.acknowledged_found, audit.refused_found, audit.accounts_wrong), (audit.acknowledged, 0, 0));
    assert!(audit.acknowledged > 0 && audit.ledger_audit_holds);
    let t = &record.totals;
    let ends = t.done + t.refused_as_planned + t.refused + t.unknown + t.not_sent + t.skipped;
    assert_eq!(t.planned, ends, "each planned transfer has one end: {t:?}");
}
