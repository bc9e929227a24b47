//! `crest load replay`: a file of payments becomes payments, and the balances are proven against the file.
//!
//! A thread reads the file into requests (`reading`, `rows`, `ids`), a task sends them in order (`sending`, `accounts`),
//! and at the end the file is read once more in another way (`sums`) and compared with what the ledger says (`report`).

mod ids;
pub(crate) mod rows;
pub(crate) mod source;
mod reading;
mod accounts;
mod sending;
mod sums;
mod report;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use crest_ledger::AccountFlags;
use crest_ledger::limits::BATCH_EVENTS_MAX;
use tokio::sync::mpsc;

use crate::args::RouterArgs;
use crate::progress::Progress;
use crate::{connect, exit};
pub(crate) use accounts::lookup;
use accounts::{Accounts, Opening};
use reading::Reading;
use report::ReplayReport;
pub(crate) use rows::SCALE_MAX;
use sending::{Sender, Tally};

/// Requests that are read ahead of the one in flight.
const CHUNKS_AHEAD: usize = 2;

/// What `crest load replay` can be told; its help text says the rest.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// The file of payments, .csv or .csv.gz.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Which router, and how patiently.
    #[command(flatten)]
    pub router: RouterArgs,

    /// The ledger number (currency, asset) of the accounts and payments; to rehearse a file, one from 4026531840 up.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub ledger: u32,

    /// Decimal places of the smallest unit: 2 makes 12.50 into 1250. An amount with more decimals is a wrong row.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(..=i64::from(rows::SCALE_MAX)))]
    pub scale: u32,

    /// What keeps this file's ids apart from those of other files [default: the file's name without .csv and .gz].
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,

    /// Payments in one request.
    #[arg(long, default_value_t = BATCH_EVENTS_MAX as u64, value_parser = clap::value_parser!(u64).range(1..=BATCH_EVENTS_MAX as u64))]
    pub batch: u64,

    /// Requests in flight. Only 1 keeps the order of each account's payments; more is faster and gives that order up, which
    /// cannot change a balance unless an account has a limit (--account-flags).
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=64))]
    pub in_flight: u64,

    /// Flags of the accounts that are created, [KIND=]FLAG,…: debits_must_not_exceed_credits,
    /// credits_must_not_exceed_debits, history. KIND is the part of a name before the colon, as in
    /// customer=debits_must_not_exceed_credits; without it, all accounts.
    #[arg(long, value_name = "[KIND=]FLAG", value_delimiter = ',')]
    pub account_flags: Vec<AccountFlagsRule>,

    /// End at the first row that is wrong or refused instead of skipping it. Of the request that it is in, the rows behind
    /// a refused one may have been paid too.
    #[arg(long)]
    pub stop_on_error: bool,

    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// A flag for the accounts of one kind, or of all kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountFlagsRule {
    /// The kind: the part of a name before the colon. None is every account.
    pub kind: Option<String>,
    /// The flag's bit, as in `crest_ledger::AccountFlags`.
    pub flag: u16,
}

impl AccountFlagsRule {
    fn applies_to(&self, kind: &str) -> bool {
        self.kind.as_deref().is_none_or(|own| own == kind)
    }
}

impl FromStr for AccountFlagsRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, flag) = text.split_once('=').map_or((None, text), |(kind, flag)| (Some(kind.to_owned()), flag));
        let flag = match flag {
            "debits_must_not_exceed_credits" => AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS,
            "credits_must_not_exceed_debits" => AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS,
            "history" => AccountFlags::HISTORY,
            _ => {
                return Err(format!(
                    "unknown flag `{flag}`; expected debits_must_not_exceed_credits, credits_must_not_exceed_debits or history"
                ));
            }
        };
        Ok(Self { kind, flag })
    }
}

/// Runs the command and prints its report; gives the exit code.
///
/// # Errors
/// When the report cannot be written.
pub(crate) async fn run(args: &ReplayArgs) -> anyhow::Result<u8> {
    let mut progress = Progress::of_bytes(std::fs::metadata(&args.file).map_or(0, |file| file.len()));
    let outcome = replay(args, &mut progress).await;
    progress.finish();
    match outcome {
        Ok(report) => {
            report.print(args.json)?;
            Ok(report.exit_code())
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            Ok(exit::COULD_NOT_RUN)
        }
    }
}

/// Sends the file and compares.
///
/// # Errors
/// When it could not run to its end. Wrong rows and wrong balances are no errors: they stand in the report.
async fn replay(args: &ReplayArgs, progress: &mut Progress) -> anyhow::Result<ReplayReport> {
    // Opened before anybody is called: a file that is not there must not need a router to be told so.
    std::fs::File::open(&args.file).with_context(|| args.file.display().to_string())?;
    let namespace = args.namespace.clone().unwrap_or_else(|| ids::namespace_of(&args.file));
    let client = connect::ledger(connect::connect(&args.router.router).await?);
    let reading = Reading {
        file: args.file.clone(),
        namespace: namespace.clone(),
        ledger: args.ledger,
        scale: args.scale,
        batch: args.batch as usize,
        stop_on_error: args.stop_on_error,
    };
    let bytes_read = Arc::new(AtomicU64::new(0));
    let (chunks, received) = mpsc::channel(CHUNKS_AHEAD);
    let counter = Arc::clone(&bytes_read);
    let reader = tokio::task::spawn_blocking(move || reading::read(&reading, counter, &chunks));
    let begun = Instant::now();
    let mut sender = Sender {
        client: client.clone(),
        opening: Opening { ledger: args.ledger, rules: args.account_flags.clone(), patience: args.router.patience() },
        in_flight: args.in_flight as usize,
        stop_on_error: args.stop_on_error,
        accounts: Accounts::default(),
        tally: Tally::default(),
        progress,
        bytes_read,
        begun,
    };
    sender.send_all(received).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let kinds = reader.await.context("the reading thread ended early")??;
    let (accounts, tally) = (sender.accounts, sender.tally);
    let (file, scale, left_out, last_line) = (args.file.clone(), args.scale, tally.left_out.clone(), tally.last_line);
    let sums = tokio::task::spawn_blocking(move || sums::sum_file(&file, scale, &left_out, last_line));
    let sums = sums.await.context("the summing thread ended early")??;
    let comparison = report::compare(&client, args.router.patience(), &accounts, &sums, scale).await?;
    Ok(ReplayReport::new(args, namespace, seconds, &tally, &accounts, &sums, kinds, comparison))
}
