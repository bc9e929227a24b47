//! `crest-sim`: runs seeds, and says which of them break something.

use std::backtrace::BacktraceStatus;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use crest_sim::{Happened, Report};

/// Deterministic simulation of a whole cluster, on a network, disks and clocks that misbehave.
///
/// Every seed is another cluster with other clients and other failures; the same seed is the same run, bit for bit.
/// Exit codes: 0 nothing was broken, 1 some seed broke something, 2 the command line is wrong.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:\n  crest-sim --seed 42 --print      one seed, with everything that happens\n  \
                  crest-sim --seeds 5000           seeds 1 to 5000\n  crest-sim --soak                 until it is stopped"
)]
struct Args {
    /// Run this one seed.
    #[arg(long, conflicts_with_all = ["seeds", "from", "soak"])]
    seed: Option<u64>,
    /// Print everything that happens, to the standard error.
    #[arg(long, requires = "seed")]
    print: bool,
    /// Run so many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Go on with further seeds until a minute number is over, or for ever with 0.
    #[arg(long, value_name = "MINUTES", num_args = 0..=1, default_missing_value = "0")]
    soak: Option<u64>,
    /// Stop after the first seed that breaks something.
    #[arg(long)]
    first: bool,
    /// Threads, each with runs of its own.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    threads: u64,
}

/// Sums over all runs.
#[derive(Default)]
struct Totals {
    runs: u64,
    transfers: u64,
    cross_shard: u64,
    unknown: u64,
    reads: u64,
    events: u64,
    virtual_time: Duration,
    happened: Happened,
    broken: Vec<u64>,
}

impl Totals {
    fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.transfers += report.transfers;
        self.cross_shard += report.cross_shard;
        self.unknown += report.unknown;
        self.reads += report.reads;
        self.events += report.events;
        self.virtual_time += report.virtual_time;
        self.happened.add(&report.happened);
    }

    fn print(&self, begun: Instant) {
        let Self { runs, transfers, cross_shard, unknown, reads, events, virtual_time, happened, broken } = self;
        eprintln!(
            "{runs} seeds in {:.0} s ({:.1} ms each), {:.1} hours of virtual time: {transfers} transfers, {cross_shard} between \
             shards, {unknown} unknown outcomes, {reads} reads, {events} events; {happened}; {} seeds broke something",
            begun.elapsed().as_secs_f64(),
            begun.elapsed().as_secs_f64() * 1e3 / (*runs).max(1) as f64,
            virtual_time.as_secs_f64() / 3_600.0,
            broken.len()
        );
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    // A panic of the code under test is a finding; it is reported with its seed, below.
    let last_panic: &'static Mutex<String> = Box::leak(Box::default());
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
        let what = text.unwrap_or("a panic");
        // With RUST_BACKTRACE, as ever.
        let trace = std::backtrace::Backtrace::capture();
        let trace = if trace.status() == BacktraceStatus::Captured { format!("\n{trace}") } else { String::new() };
        *last_panic.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = format!("{what} at {place}{trace}");
    }));
    if let Some(seed) = args.seed {
        let report = one(seed, args.print, last_panic);
        match &report {
            Ok(report) => {
                println!("{:#?}", report.plan);
                println!("trace {:016x} of {} events", report.trace, report.events);
                println!(
                    "{} transfers, {} between shards, {} unknown outcomes, {} reads, {:.1} s of virtual time",
                    report.transfers,
                    report.cross_shard,
                    report.unknown,
                    report.reads,
                    report.virtual_time.as_secs_f64()
                );
                println!("{}", report.happened);
                report.wrong.iter().for_each(|what| println!("WRONG: {what}"));
                if report.wrong.is_empty() {
                    println!("nothing is wrong: every invariant holds, and nothing is left in doubt");
                }
            }
            Err(panic) => println!("PANIC: {panic}"),
        }
        return if report.is_ok_and(|r| r.wrong.is_empty()) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    many(&args, last_panic)
}

fn one(seed: u64, print: bool, last_panic: &Mutex<String>) -> Result<Report, String> {
    let take = || std::mem::take(&mut *last_panic.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    catch_unwind(AssertUnwindSafe(|| crest_sim::run(seed, print))).map_err(|_| take())
}

fn many(args: &Args, last_panic: &Mutex<String>) -> ExitCode {
    let begun = Instant::now();
    let end = match args.soak {
        Some(_) => u64::MAX,
        None => args.from.saturating_add(args.seeds),
    };
    let over = || args.soak.is_some_and(|m| m > 0 && begun.elapsed() >= Duration::from_secs(60 * m));
    let (next, stop) = (AtomicU64::new(args.from), AtomicBool::new(false));
    let totals = Mutex::new(Totals::default());
    let work = || {
        while !stop.load(Ordering::Relaxed) && !over() {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            let result = one(seed, false, last_panic);
            let mut totals = totals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let wrong = match result {
                Ok(report) => {
                    totals.add(&report);
                    report.wrong.first().cloned()
                }
                Err(panic) => Some(format!("panicked: {panic}")),
            };
            if let Some(what) = wrong {
                totals.broken.push(seed);
                eprintln!("seed {seed}: {what}\n  repeat with: make sim SEED={seed}");
                stop.fetch_or(args.first, Ordering::Relaxed);
            }
            if totals.runs.is_multiple_of(1_000) {
                totals.print(begun);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..args.threads {
            scope.spawn(work);
        }
    });
    let totals = totals.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    totals.print(begun);
    if totals.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
