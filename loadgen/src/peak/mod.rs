//! `crest load peak`: how much a cluster can do, in a closed loop.
//!
//! A [`pace::Pace`] says how long it goes on, a [`plan::Plan`] who pays whom, [`driver::Driver`]s send and keep the books
//! (`stats`), and at the end `prove` compares the books with the ledger.

mod ids;
mod pace;
mod plan;

mod stats;
mod live;
mod driver;
mod prove;
mod report;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use crest_ledger::is_rehearsal;
use crest_ledger::limits::{BATCH_EVENTS_MAX, SHARDS_MAX};
use crest_ledger::rehearsal::REHEARSAL_LEDGER_MIN;
use crest_proto::v1::ledger_client::LedgerClient;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::args::{RouterArgs, parse_duration, parse_positive_duration};
use crate::caller::Caller;
use crate::connect::{connect, ledger};
use crate::cpu::cpu_seconds;
use crate::exit;
use crate::progress::Progress;
use driver::Driver;
pub use ids::IdOrder;
use ids::TransferIds;
use pace::Pace;
use plan::Plan;
use prove::Prover;
use report::PeakReport;
use stats::Stats;

/// Requests in flight on one connection (the public API's limit).
pub(crate) const CONNECTION_REQUESTS_MAX: u64 = 1_024;
/// Acknowledged transfers that are looked up at the end.
const SAMPLE: usize = 10_000;
/// Of the ledger numbers of rehearsals; the first one is left to people who try something by hand.
const LEDGER_DEFAULT: u32 = REHEARSAL_LEDGER_MIN + 1;
/// Messages of drivers to the live line that may wait.
const TICKS_WAITING_MAX: usize = 256;

/// What `crest load peak` can be told; its help text says the rest.
#[derive(Args, Clone, Debug)]
pub struct PeakArgs {
    /// Which router, and how patiently.
    #[command(flatten)]
    pub router: RouterArgs,

    /// How long to send, the warm-up included.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_positive_duration)]
    pub duration: Duration,

    /// Send this many requests at the most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub requests: Option<u64>,

    /// What leaves in this first time counts for the money, but not for rates and latencies.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    pub warm_up: Duration,

    /// Payments in one request.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=BATCH_EVENTS_MAX as u64))]
    pub batch: u64,

    /// Requests in flight over all connections; at most 1,024 a connection.
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub in_flight: u64,

    /// Connections to the router; each is driven by a task of its own.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=64))]
    pub connections: u64,

    /// Send over long-lived streams (StreamTransfers) instead of a call a request: much cheaper for small requests.
    #[arg(long)]
    pub stream: bool,

    /// Whether requests say that their payments do not depend on each other.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub independent: bool,

    /// How many accounts take part.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=10_000_000))]
    pub accounts: u64,

    /// Transfer ids: random, or in the order of time, which costs the store less.
    #[arg(long, value_enum, default_value_t = IdOrder::Random)]
    pub ids: IdOrder,

    /// Share of the payments, 0.0 to 1.0, that all pay one account.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    pub hot: f64,

    /// Share of the payments, 0.0 to 1.0, between accounts on different shards. Without it, pairs are random.
    #[arg(long, value_name = "SHARE", requires = "shards", value_parser = parse_share)]
    pub cross_shard: Option<f64>,

    /// The cluster's number of shards, when its slots are split evenly: needed to plan or measure cross-shard payments.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=SHARDS_MAX as i64))]
    pub shards: Option<u32>,

    /// The ledger number of the rehearsal: one of those that are kept for rehearsals, 4026531840 and up, where no real
    /// account can be touched.
    #[arg(long, default_value_t = LEDGER_DEFAULT)]
    pub ledger: u32,

    /// What the accounts and payments are made from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a share from 0.0 to 1.0".to_owned())
}

/// A rehearsal keeps to the ledger numbers of rehearsals: what it makes is never deleted, and must not be taken for real.
fn check_ledger(ledger: u32) -> Result<(), String> {
    if is_rehearsal(ledger) {
        return Ok(());
    }
    Err(format!(
        "--ledger {ledger}: this is a rehearsal, and keeps to the ledger numbers of rehearsals ({REHEARSAL_LEDGER_MIN} to {}); \
         without --ledger it takes {LEDGER_DEFAULT}",
        u32::MAX
    ))
}

impl PeakArgs {
    /// What has to be right before anything is sent; clap cannot see what takes two arguments together.
    fn check(&self) -> Result<(), String> {
        check_ledger(self.ledger)?;
        if self.in_flight > self.connections * CONNECTION_REQUESTS_MAX {
            let needed = self.in_flight.div_ceil(CONNECTION_REQUESTS_MAX);
            return Err(format!(
                "--in-flight {}: a connection carries 1,024; give --connections {needed}",
                self.in_flight
            ));
        }
        if self.in_flight < self.connections {
            return Err(format!(
                "--connections {}: more than --in-flight {} has no use",
                self.connections, self.in_flight
            ));
        }
        if self.warm_up >= self.duration {
            return Err("--warm-up must be shorter than --duration, which includes it".to_owned());
        }
        if self.cross_shard.is_some_and(|share| share > 0.0) && self.shards == Some(1) {
            return Err("--cross-shard: a single shard has no cross-shard payments; give --shards 2 or more".to_owned());
        }
        Ok(())
    }
}

/// Runs the command and prints its report; gives the exit code.
///
/// # Errors
/// When the report cannot be written.
pub(crate) async fn run(args: &PeakArgs) -> anyhow::Result<u8> {
    if let Err(reason) = args.check() {
        eprintln!("error: {reason}");
        return Ok(exit::USAGE);
    }
    let mut progress = Progress::of_time();
    let outcome = rehearse(args, &mut progress).await;
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

/// Opens the accounts, sends, and proves.
///
/// # Errors
/// When the ledger does not answer before or after the sending. What happens meanwhile stands in the report.
async fn rehearse(args: &PeakArgs, progress: &mut Progress) -> anyhow::Result<PeakReport> {
    let plan = Arc::new(Plan::new(args)?);
    let mut channels = Vec::new();
    for _ in 0..args.connections {
        channels.push(connect(&args.router.router).await?);
    }
    let prover = Prover::new(ledger(channels[0].clone()), channels[0].clone(), args.router.patience(), args.ledger);
    progress.note(&format!("opening {} accounts on ledger {}", args.accounts, args.ledger));
    prover.open_accounts(&plan).await?;
    let before = prover.baseline(&plan).await?;
    let cpu_before = cpu_seconds();
    let clients: Vec<LedgerClient<Channel>> = channels.into_iter().map(ledger).collect();
    let (stats, pace) = drive(args, &plan, &clients, progress).await?;
    let cpu = cpu_seconds().zip(cpu_before).map(|(after, before)| after - before);
    progress.note("proving: audit, totals, sample");
    let proof = prover.prove(&before, &stats).await?;
    Ok(PeakReport::new(args, &stats, &pace, cpu, &before, proof))
}

/// Sends until the pace is over; gives the books of all drivers together.
async fn drive(
    args: &PeakArgs,
    plan: &Arc<Plan>,
    clients: &[LedgerClient<Channel>],
    progress: &mut Progress,
) -> anyhow::Result<(Stats, Arc<Pace>)> {
    let failures = Arc::new(AtomicU64::new(0));
    let (ticks, told) = mpsc::channel(TICKS_WAITING_MAX);
    let pace = Arc::new(Pace::begin(args.duration, args.requests));
    let mut drivers = JoinSet::new();
    for (index, client) in clients.iter().enumerate() {
        // The in-flight places are dealt out evenly; the first ones get what is left over.
        let window = (args.in_flight as usize + clients.len() - 1 - index) / clients.len();
        let caller = match args.stream {
            true => Caller::streams(client, window, args.router.timeout),
            false => Caller::Unary(client.clone()),
        };
        let driver = Driver {
            plan: Arc::clone(plan),
            pace: Arc::clone(&pace),
            caller,
            ids: TransferIds::new(args.ids),
            patience: args.router.patience(),
            window,
            measure_from: pace.begun() + args.warm_up,
            ticks: ticks.clone(),
            failures: Arc::clone(&failures),
            stats: Stats::new(SAMPLE.div_ceil(clients.len())),
        };
        drivers.spawn(driver.run());
    }
    drop(ticks);
    live::watch(told, failures, progress).await;
    let mut stats = Stats::new(1);
    while let Some(driver) = drivers.join_next().await {
        stats.add(driver.context("a driver ended early")?);
    }
    Ok((stats, pace))
}
