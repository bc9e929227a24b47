//! What a rehearsal measured and proved.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Instant;

use crest_ledger::TransferStatus;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::PeakArgs;
use super::pace::Pace;
use super::prove::{Audit, Proof};
use super::stats::Stats;
use crate::exit;

/// Latencies from when a request left to its answer, ms.
#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    p99_9: f64,
    max: f64,
}

impl From<&Histogram<u64>> for Latency {
    fn from(us: &Histogram<u64>) -> Self {
        let ms = |quantile| us.value_at_quantile(quantile) as f64 / 1_000.0;
        Self { p50: ms(0.5), p90: ms(0.9), p99: ms(0.99), p99_9: ms(0.999), max: us.max() as f64 / 1_000.0 }
    }
}

/// The report.
#[derive(Debug, Serialize)]
pub(crate) struct PeakReport {
    settings: String,
    /// The measured time, s: from the end of the warm-up to the last answer.
    seconds: f64,
    transfers_per_second: f64,
    /// Those of them that were made.
    done_per_second: f64,
    requests_per_second: f64,
    latency_ms: Latency,
    /// Of the whole run, the warm-up included: answers by status.
    pub(crate) results: BTreeMap<&'static str, u64>,
    pub(crate) requests: u64,
    pub(crate) acknowledged: u64,
    /// Sum of the acknowledged amounts, in the smallest unit.
    acknowledged_amount: String,
    /// Attempts that were sent again with the same ids, because the outcome was unknown or the router busy.
    pub(crate) unknown_attempts: u64,
    pub(crate) busy_attempts: u64,
    /// Transfers whose outcome stayed unknown, and those of them that a lookup found.
    unsettled: usize,
    unsettled_found: usize,
    /// Share of the sent payments between two shards, by an even map of `--shards` shards.
    pub(crate) cross_shard_share: Option<f64>,
    /// The same as the audit counts it, when it counts this run.
    cross_shard_share_audited: Option<f64>,
    client_cpu_seconds: Option<f64>,
    client_cpu_us_per_transfer: Option<f64>,
    audit_holds: bool,
    audit_timestamp: u64,
    audit_accounts: u64,
    audit_transfers: u64,
    pub(crate) sampled: usize,
    pub(crate) sampled_found: usize,
    /// Why it ended early, if it did.
    pub(crate) stopped: Option<String>,
    /// What is wrong with the money.
    pub(crate) wrong: Vec<String>,
    /// What could not be decided.
    pub(crate) undecided: Vec<String>,
    pub(crate) verdict: String,
}

impl PeakReport {
    pub(crate) fn new(
        args: &PeakArgs,
        stats: &Stats,
        pace: &Pace,
        cpu: Option<f64>,
        before: &Audit,
        proof: Proof,
    ) -> Self {
        let measured_from = pace.begun() + args.warm_up;
        let until = stats.measured_until.unwrap_or_else(Instant::now);
        let seconds = until.saturating_duration_since(measured_from).as_secs_f64().max(1e-9);
        let share = |part: u64, all: u64| (all > 0).then(|| part as f64 / all as f64);
        let after = &proof.audit.response;
        let (transfers, cross) = (
            after.transfers.saturating_sub(before.response.transfers),
            after.cross_shard_transfers.saturating_sub(before.response.cross_shard_transfers),
        );
        let stopped = pace.stop_reason();
        let mut undecided = proof.undecided;
        if stats.acknowledged == 0 {
            undecided.push("not one payment was acknowledged".to_owned());
        }
        Self {
            settings: settings(args),
            seconds,
            transfers_per_second: stats.measured_answers as f64 / seconds,
            done_per_second: stats.measured_done as f64 / seconds,
            requests_per_second: stats.measured_requests as f64 / seconds,
            latency_ms: Latency::from(&stats.latency),
            results: results(stats),
            requests: stats.requests,
            acknowledged: stats.acknowledged,
            acknowledged_amount: stats.amount.to_string(),
            unknown_attempts: stats.unknown,
            busy_attempts: stats.busy,
            unsettled: stats.unsettled.len(),
            unsettled_found: proof.unsettled_found,
            cross_shard_share: args.shards.and_then(|_| share(stats.cross, stats.sent)),
            cross_shard_share_audited: share(cross, transfers),
            client_cpu_seconds: cpu,
            client_cpu_us_per_transfer: cpu.filter(|_| stats.sent > 0).map(|cpu| cpu * 1e6 / stats.sent as f64),
            audit_holds: after.holds,
            audit_timestamp: after.timestamp,
            audit_accounts: after.accounts,
            audit_transfers: after.transfers,
            sampled: proof.sampled,
            sampled_found: proof.found,
            verdict: verdict(&proof.wrong, &undecided, stopped.as_deref()),
            stopped,
            wrong: proof.wrong,
            undecided,
        }
    }

    /// One of the codes of [`exit`].
    pub(crate) fn exit_code(&self) -> u8 {
        if !self.wrong.is_empty() {
            exit::MONEY_WRONG
        } else if !self.undecided.is_empty() || self.stopped.is_some() {
            exit::COULD_NOT_RUN
        } else {
            exit::PASSED
        }
    }

    /// Prints it to standard output.
    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            writeln!(out, "{}", serde_json::to_string_pretty(self)?)?;
            return Ok(());
        }
        writeln!(out, "rehearsal    {}", self.settings)?;
        let (all, done) = (self.transfers_per_second, self.done_per_second);
        writeln!(
            out,
            "rate         {all:.0} transfers/s ({done:.0} made/s), {:.0} requests/s",
            self.requests_per_second
        )?;
        writeln!(out, "measured     {:.2} s after the warm-up", self.seconds)?;
        let l = &self.latency_ms;
        let (p50, p90, p99, p99_9, max) = (l.p50, l.p90, l.p99, l.p99_9, l.max);
        writeln!(out, "latency      p50 {p50:.2}  p90 {p90:.2}  p99 {p99:.2}  p99.9 {p99_9:.2}  max {max:.2} ms")?;
        for (status, count) in &self.results {
            writeln!(out, "result       {status}: {count}")?;
        }
        let (unknown, busy) = (self.unknown_attempts, self.busy_attempts);
        writeln!(out, "sent again   {unknown} attempts with unknown outcome, {busy} because the router was busy")?;
        if self.unsettled > 0 {
            writeln!(out, "unsettled    {} transfers; {} of them are there", self.unsettled, self.unsettled_found)?;
        }
        for (share, by) in [(self.cross_shard_share, "an even map"), (self.cross_shard_share_audited, "the audit")] {
            if let Some(share) = share {
                writeln!(out, "cross-shard  {:.1} % by {by}", share * 100.0)?;
            }
        }
        if let (Some(cpu), Some(each)) = (self.client_cpu_seconds, self.client_cpu_us_per_transfer) {
            writeln!(out, "client CPU   {cpu:.2} s, {each:.2} µs a transfer")?;
        }
        let holds = if self.audit_holds { "holds" } else { "DOES NOT HOLD" };
        writeln!(out, "audit        {holds}: {} accounts, {} transfers", self.audit_accounts, self.audit_transfers)?;
        writeln!(out, "sample       {} of {} acknowledged transfers found", self.sampled_found, self.sampled)?;
        for text in self.wrong.iter().chain(&self.undecided).chain(&self.stopped) {
            writeln!(out, "!            {text}")?;
        }
        writeln!(out, "{}", self.verdict)?;
        Ok(())
    }
}

fn results(stats: &Stats) -> BTreeMap<&'static str, u64> {
    let name = |number: usize| {
        let status = u8::try_from(number).ok().and_then(TransferStatus::from_number);
        status.map_or("(not a status)", TransferStatus::name)
    };
    stats.statuses.iter().enumerate().filter(|(_, n)| **n > 0).map(|(number, n)| (name(number), *n)).collect()
}

fn settings(args: &PeakArgs) -> String {
    let how = if args.stream { "streams" } else { "calls" };
    format!(
        "closed loop, {} in flight on {} connections as {how}, batches of {}, {:?} ids, {} accounts, hot share {}, seed {}, ledger {}",
        args.in_flight, args.connections, args.batch, args.ids, args.accounts, args.hot, args.seed, args.ledger
    )
}

fn verdict(wrong: &[String], undecided: &[String], stopped: Option<&str>) -> String {
    match (wrong, undecided, stopped) {
        ([], [], None) => "PASSED: what was acknowledged is there, and nothing else".to_owned(),
        ([], [], Some(_)) => "ENDED EARLY: what was acknowledged is there, and nothing else".to_owned(),
        ([], _, _) => "NOT PROVEN: see above".to_owned(),
        _ => "MONEY IS WRONG: see above".to_owned(),
    }
}
