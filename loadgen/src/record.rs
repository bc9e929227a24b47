//! What a rehearsal leaves behind: one JSON document with everything that the report draws and that two runs are compared
//! by. Times are seconds since the first planned instant of the run, latencies whole microseconds, money whole numbers of
//! the ledger's smallest unit (as text: JSON's numbers are not exact above 2^53).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of this document. A reader refuses another one by name.
pub const RECORD_FORMAT: u32 = 1;

/// A whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`RECORD_FORMAT`].
    pub format: u32,
    /// The version of the binary that made it.
    pub crest: String,
    /// What was rehearsed.
    pub scenario: ScenarioRecord,
    /// Names the run: 16 hex digits, the upper half of the ids of all its transfers.
    pub run: String,
    /// When the first request was planned, ms since the Unix epoch.
    pub began_unix_ms: u64,
    /// Planned length of all phases, s.
    pub planned_seconds: f64,
    /// From the first planned instant to the last answer, s.
    pub seconds: f64,
    /// The ledger number of all its accounts.
    pub ledger: u32,
    /// What was rehearsed on.
    pub cluster: ClusterRecord,
    /// Who sent.
    pub generator: GeneratorRecord,
    /// In order, without gaps.
    pub phases: Vec<PhaseRecord>,
    /// In order of time.
    pub events: Vec<EventRecord>,
    /// One for each second from 0 on, until the last answer.
    pub timeline: Vec<Second>,
    /// Everything together, warm-up included.
    pub totals: Totals,
    /// Of the measured phases: from the planned instant to the answer. The figure that counts.
    pub latency: Distribution,
    /// Of the measured phases: from the instant at which a request left to its answer. Smaller than `latency` by what
    /// the request waited in the generator.
    pub service: Distribution,
    /// Of the measured phases: how late requests left, which is the generator's own delay.
    pub lag: Distribution,
    /// By kind of operation: `payment`, `authorise`, `capture`, `void`, `refund`, `chain`, `read`.
    pub kinds: BTreeMap<String, KindRecord>,
    /// Answers by the ledger's own code (`created`, `exceeds_credits`, …), one a transfer, duplicates included.
    pub codes: BTreeMap<String, u64>,
    /// Load by shard, as the shards themselves count it. Empty when the cluster did not say.
    pub shards: Vec<ShardRecord>,
    /// What the auditor found; none when it did not come to it.
    pub audit: Option<AuditRecord>,
    /// The pass marks, in the scenario's order.
    pub marks: Vec<MarkRecord>,
    /// What it comes to.
    pub verdict: Verdict,
    /// Why, one sentence each, the most important first. Empty when passed.
    pub reasons: Vec<String>,
}

/// What was rehearsed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScenarioRecord {
    /// The scenario's own name.
    pub name: String,
    /// The scenario's own sentence or two on what it rehearses.
    pub description: String,
    /// By how much all rates were multiplied.
    pub scale: f64,
    /// What accounts, amounts and instants were drawn from.
    pub seed: u64,
    /// The file, whole, as it was read: with it and the options above the run can be repeated.
    pub text: String,
    /// What of it was changed on the command line, as typed: `--scale 0.5`.
    pub options: Vec<String>,
    /// How long after its planned instant an answer is still good, ms: what goodput counts by.
    pub deadline_ms: f64,
}

/// What was rehearsed on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// The addresses that were sent to.
    pub routers: Vec<String>,
    /// How many shards it says that it has.
    pub shards: u32,
    /// The epoch of its slot map at the start.
    pub epoch: u64,
    /// Whether the rehearsal started it, on the same machine, and stopped it afterwards.
    pub local: bool,
}

/// Who sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GeneratorRecord {
    /// Every process that sent, the first being the one that was started by hand when it sent itself.
    pub agents: Vec<AgentRecord>,
    /// Transfers or reads in a request.
    pub batch: u32,
    /// Whether requests travelled on long-lived streams instead of calls of their own.
    pub stream: bool,
    /// Requests in flight at the most, of all agents together.
    pub in_flight_max: u32,
    /// Requests of the measured phases that left later than `late_after_ms` after their planned instant, as a share.
    pub late_share: f64,
    /// From when on a request counts as late, ms.
    pub late_after_ms: f64,
    /// The share of late requests from which on the generator is the bottleneck and the run is invalid.
    pub late_share_max: f64,
}

/// A process that sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AgentRecord {
    /// Where it was reached; `this process` for the one that was started by hand.
    pub name: String,
    /// Connections that it sent over.
    pub connections: u32,
    /// Processor time that it used while sending, s; none where it can't be told.
    pub cpu_seconds: Option<f64>,
    /// Requests that it sent.
    pub requests: u64,
    /// Share of its requests that left late, as in [`GeneratorRecord::late_share`].
    pub late_share: f64,
}

/// A part of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PhaseRecord {
    /// The phase's own name.
    pub name: String,
    /// When it begins, s.
    pub from: f64,
    /// When it ends, s.
    pub to: f64,
    /// Whether it counts for the pass marks; a warm-up does not.
    pub measured: bool,
    /// What was planned in it, and what became of that.
    pub totals: Totals,
    /// Of the requests that were planned in it, from the planned instant to the answer.
    pub latency: Percentiles,
    /// Of the same requests, from the instant at which they left.
    pub service: Percentiles,
}

/// Something that was done to the cluster or the load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventRecord {
    /// When it was to happen, s.
    pub planned: f64,
    /// When it did, s; none when it could not be done.
    pub happened: Option<f64>,
    /// Until when it lasted (a pause, a kill until the restart, doubled load), s.
    pub until: Option<f64>,
    /// A few words for a mark in a chart: `kill shard 1`.
    pub label: String,
    /// A sentence: what was done, and what came of it.
    pub text: String,
    /// False when it could not be done.
    pub done: bool,
    /// Whether it was a change of the planned load, and nothing that breaks.
    pub load: bool,
}

/// What was planned for one second, and what became of that, whenever the answer came. Counts are transfers (a read counts
/// as one); rates are per second by their nature.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Second {
    /// The second it is: 0 is from 0.0 to 1.0.
    pub at: u32,
    /// Planned for this second.
    pub planned: u64,
    /// Planned for this second and sent.
    pub sent: u64,
    /// Acknowledged during this second, whenever it was planned: what the cluster did.
    pub acknowledged: u64,
    /// Of what was planned for this second, as the four below: acknowledged by the ledger, or read.
    pub done: u64,
    /// Of `done`: within the deadline, counted from the planned instant. Goodput.
    pub done_in_time: u64,
    /// Refused by the ledger with a reason.
    pub refused: u64,
    /// Without a known outcome when the sender gave up.
    pub unknown: u64,
    /// Never sent, or given up because the router was busy: surely not applied.
    pub not_sent: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Requests in flight at the end of this second.
    pub in_flight: u32,
    /// Of the requests planned for this second, from the planned instant to the answer.
    pub latency: Percentiles,
    /// Of the same requests, from the instant at which they left.
    pub service: Percentiles,
    /// How late they left, the 99th percentile, µs.
    pub lag_p99_us: u64,
    /// Answers by code, one a transfer, of what was planned for this second.
    pub codes: BTreeMap<String, u64>,
}

/// Counts of transfers; a read counts as one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Planned. Each ends as exactly one of done, refused_as_planned, refused, unknown, not_sent and skipped.
    pub planned: u64,
    /// Acknowledged by the ledger, or read.
    pub done: u64,
    /// Of those, within the deadline: goodput.
    pub done_in_time: u64,
    /// Refused by the ledger with a reason, as the scenario planned it: insufficient funds.
    pub refused_as_planned: u64,
    /// Refused by the ledger with a reason, otherwise.
    pub refused: u64,
    /// Without a known outcome when the sender gave up. What the auditor made of them is in [`AuditRecord`].
    pub unknown: u64,
    /// Never sent because too many were in flight, or given up because the router was busy: not applied.
    pub not_sent: u64,
    /// Never sent because what they follow (the authorisation of a capture, say) was not done, or not in time.
    pub skipped: u64,
    /// Sent a second time on purpose, with the same ids. Not among `planned`.
    pub duplicates: u64,
    /// Requests sent.
    pub requests: u64,
    /// Attempts beyond the first, because the outcome was unknown or the router busy.
    pub retries: u64,
    /// Transfers between two shards among those done, where that is known.
    pub cross_shard: Option<u64>,
}

/// What one kind of operation came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KindRecord {
    /// Transfers or reads that were planned, as in [`Totals`].
    pub planned: u64,
    /// Acknowledged by the ledger, or read.
    pub done: u64,
    /// Refused by the ledger with a reason, as planned or otherwise.
    pub refused: u64,
    /// Without a known outcome when the sender gave up.
    pub unknown: u64,
    /// Never sent, or given up because the router was busy.
    pub not_sent: u64,
    /// Of requests that hold only this kind; empty when requests are mixed (a batch above 1).
    pub latency: Percentiles,
}

/// Percentiles of a latency, µs. All 0 when nothing was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Requests that were counted.
    pub count: u64,
    /// The median: half of them took at most this.
    pub p50: u64,
    /// The 90th percentile.
    pub p90: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The 99.9th percentile.
    pub p99_9: u64,
    /// The slowest.
    pub max: u64,
}

/// A whole distribution of a latency.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Distribution {
    /// Its percentiles, so that nobody has to add the buckets up.
    pub percentiles: Percentiles,
    /// Mean, µs.
    pub mean: f64,
    /// Counts by value: pairs of (highest value of a bucket in µs, requests in it), ascending, empty buckets left out. A
    /// bucket is at most 1 % wide.
    pub buckets: Vec<(u64, u64)>,
}

/// The load of one shard.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ShardRecord {
    /// Its number in the slot map.
    pub shard: u32,
    /// Transfers that it recorded a side of, per second of the run, from second 0 on; none where it did not answer.
    pub transfers_per_second: Vec<Option<f64>>,
    /// Open two-phase-commit holds at the end of each second; none where it did not answer.
    pub holds: Vec<Option<u64>>,
    /// Transfers that it recorded a side of during the run.
    pub transfers: u64,
}

/// What the auditor found after the run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Transfers that were acknowledged.
    pub acknowledged: u64,
    /// Of those: the ledger holds them exactly once, field by field as sent.
    pub acknowledged_found: u64,
    /// Sum of their amounts, pending ones left out.
    pub amount: String,
    /// Transfers that were refused, skipped or never sent.
    pub refused: u64,
    /// Of those: the ledger holds them nevertheless.
    pub refused_found: u64,
    /// Outcomes that were unknown at the end of the run. They were sent again with the same ids; each became one of the four
    /// below.
    pub unknown: u64,
    /// Had been made all along.
    pub unknown_were_made: u64,
    /// Were made only now.
    pub unknown_made_now: u64,
    /// Were refused.
    pub unknown_refused: u64,
    /// Are unknown still.
    pub unknown_left: u64,
    /// Transfers on this ledger number since the start of the run that are not of this run: somebody else's.
    pub foreign: u64,
    /// Rows of the ledger that were read.
    pub rows: u64,
    /// Accounts whose four balances were compared with what they should be.
    pub accounts: u64,
    /// Of those: at least one balance differs.
    pub accounts_wrong: u64,
    /// Whether the ledger's own audit of all shards holds: all its invariants, on every shard and between them.
    pub ledger_audit_holds: bool,
    /// The instant of the ledger at which it was taken, ns.
    pub ledger_audit_timestamp: u64,
    /// Transfers that it counted, of everybody since the ledger began.
    pub ledger_audit_transfers: u64,
    /// Answers to the same transfer that contradict each other: one says done, another refused.
    pub contradictions: u64,
    /// What is wrong with the money, one sentence each, at most 100.
    pub wrong: Vec<String>,
    /// What could not be decided, one sentence each, at most 100.
    pub undecided: Vec<String>,
    /// How long it took, s.
    pub seconds: f64,
}

/// A pass mark, and what was reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MarkRecord {
    /// What is compared, in words: `99th percentile of latency`.
    pub name: String,
    /// What it had to be, with its unit: `at most 100 ms`.
    pub wanted: String,
    /// What it was, with its unit: `41.3 ms`.
    pub got: String,
    /// Whether it was reached.
    pub passed: bool,
    /// When it is one on latency: the line that a chart draws for it.
    pub line: Option<MarkLine>,
}

/// A pass mark on latency, as a line in a chart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarkLine {
    /// Which part of the requests it is about: 0.99 for the 99th percentile, 1 for the slowest.
    pub quantile: f64,
    /// At most this, µs.
    pub at_most_us: u64,
}

/// What a run comes to, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The ledger does not hold what it acknowledged, or holds what it refused, or a balance is not what it should be.
    MoneyWrong,
    /// It did not run to its end, or the proof could not be made.
    CouldNotRun,
    /// The generator itself was the bottleneck: the figures say nothing about the cluster.
    Invalid,
    /// The money is right, and a pass mark was missed.
    TooSlow,
    /// The money is right, and all pass marks were reached.
    Passed,
}
