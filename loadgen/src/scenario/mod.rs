//! A scenario: what is rehearsed, as a file says it. Everything in here is checked: what exists is within its bounds, and
//! what has to fit together does.

mod parse;
mod reading;
mod values;
mod phases;
mod events;
mod checks;
mod error;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

pub use error::{Problem, ScenarioError};
pub use parse::SCENARIO_BYTES_MAX;
pub use values::{Share, spell_duration, spell_number};

/// A scenario, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Letters, digits and hyphens; at most 64.
    pub name: String,
    /// A sentence or two on what it rehearses and who should.
    pub description: String,
    pub population: Population,
    /// Where the operations come from.
    pub source: Source,
    pub requests: Requests,
    /// In order; at least one, and one that is measured.
    pub phases: Vec<Phase>,
    /// In order of time.
    pub events: Vec<Event>,
    pub pass: PassMarks,
    pub generator: GeneratorLimits,
}

/// Who pays whom. Customers pay merchants; merchants refund customers.
#[derive(Clone, Debug, PartialEq)]
pub struct Population {
    /// 2 to 10,000,000.
    pub customers: u32,
    /// 1 to 1,000,000.
    pub merchants: u32,
    /// The Zipf exponent by which merchants are chosen: 0 is evenly, 1 is what sales often look like. 0 to 4.
    pub merchant_skew: f64,
    /// The same for customers.
    pub customer_skew: f64,
    /// How many merchants are hot: these share `hot_share` of the payments evenly, the others share the rest.
    pub hot_merchants: u32,
    pub hot_share: Share,
    /// Share of the payments between two shards, as a target; none takes pairs as they come (1 − 1/N with N shards).
    pub cross_shard: Option<Share>,
    /// What each customer is given before the run, in the smallest unit. Then customers can't pay more than they have
    /// (debits_must_not_exceed_credits). 0: they have no limit.
    pub opening_balance: u64,
    /// Amounts are drawn evenly from 1 to this, in the smallest unit. 1 to 1,000,000,000.
    pub amount_max: u64,
}

/// Where the operations come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Drawn by chance.
    Mix(Mix),
    /// The payments of a file, in its order, as `crest load replay` reads them.
    File(FileSource),
}

/// What is drawn, by weight: 70, 15, 5, 10 are the same as 0.7, 0.15, 0.05, 0.1. A weight is a share of what begins
/// (an authorisation with its capture begins once); not all are 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix {
    /// Customer to merchant, at once.
    pub payment: f64,
    /// Reserved first (a pending transfer), captured or voided later.
    pub authorise: f64,
    /// Linked transfers that all happen or none: customer to merchant, merchant to platform, and so on.
    pub chain: f64,
    /// Balances of some accounts, or the latest transfers of one.
    pub read: f64,
    /// What becomes of authorisations.
    pub capture: Capture,
    /// What becomes of payments.
    pub refund: Refund,
    /// Transfers in a chain, 2 to 8.
    pub chain_legs: u32,
    /// Share of the payments from an account that has nothing and can't go below: refused, as planned.
    pub insufficient_funds: Share,
    /// Share of the requests that are sent a second time, with the same ids, while the first is under way or just answered.
    pub duplicates: Share,
}

/// What becomes of authorisations.
#[derive(Clone, Debug, PartialEq)]
pub struct Capture {
    /// Share that is captured; the rest is voided.
    pub share: Share,
    /// Of those, the share that is captured in part: half of the amount.
    pub partial: Share,
    /// How long after the planned instant of the authorisation. Whoever has no answer by then captures nothing.
    pub after: Duration,
    /// After which an authorisation that nobody ended expires by itself, whole seconds: longer than the run and its proof.
    pub timeout: Duration,
}

/// What becomes of payments.
#[derive(Clone, Debug, PartialEq)]
pub struct Refund {
    /// Share of the payments that are paid back whole.
    pub share: Share,
    /// How long after the planned instant of the payment.
    pub after: Duration,
}

/// A file as the source.
#[derive(Clone, Debug, PartialEq)]
pub struct FileSource {
    /// CSV, plain or gzipped, with the columns of `crest load replay`.
    pub file: PathBuf,
    /// Decimals of its amounts.
    pub scale: u32,
    /// How its dates become instants: so many seconds of the file in one of the run. None: the phases say the rate.
    pub speed: Option<f64>,
}

/// How requests are sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Requests {
    /// Operations in a request, 1 to 8,190 (with chains: 8,190 transfers in all at the most).
    pub batch: u32,
    /// Over long-lived streams instead of a call a request.
    pub stream: bool,
    /// Connections of one agent, 1 to 64.
    pub connections: u32,
    /// Requests in flight of one agent; what is planned while so many are is not sent, and counted.
    pub in_flight_max: u32,
    /// How planned instants lie around the rate.
    pub arrivals: Arrivals,
    /// How long after its planned instant an answer is still good. A first attempt that takes longer counts as unknown and
    /// is sent again.
    pub deadline: Duration,
    /// For how long after its planned instant a request without a known outcome, or that the router was too busy for, is
    /// sent again with the same ids. 0: never.
    pub retry_for: Duration,
}

/// How planned instants lie around the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Independent of each other, as customers are.
    Poisson,
    /// Evenly spaced.
    Fixed,
}

/// A part of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    pub name: String,
    pub duration: Duration,
    /// Transfers (and reads) a second over the phase: points of (offset, rate), ascending, the first at 0 and the last at
    /// `duration`; straight lines between them; two at the same offset are a jump.
    pub points: Vec<(Duration, f64)>,
    /// Whether it counts for the pass marks.
    pub measured: bool,
}

/// Something that is done to the cluster or to the load.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// From the first planned instant.
    pub at: Duration,
    pub action: Action,
}

/// What is done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The rates are multiplied for a time.
    Load { factor: f64, lasts: Duration },
    /// The leader of a shard is killed (SIGKILL), and started again after a time. Needs a local cluster.
    KillLeader { shard: u32, back_after: Duration },
    /// A router is killed, and started again after a time. Needs a local cluster.
    KillRouter { router: u32, back_after: Duration },
    /// The leader of a shard stands still (SIGSTOP) for a time. Needs a local cluster.
    PauseLeader { shard: u32, lasts: Duration },
    /// Slots move to another shard. Needs a cluster that can.
    Rebalance { slots: u32, from: u32, to: u32 },
}

/// What has to be reached, over all measured phases together. What is not named is not asked for; the audit always is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PassMarks {
    /// Percentiles of latency from the planned instant, at most.
    pub p50: Option<Duration>,
    pub p90: Option<Duration>,
    pub p99: Option<Duration>,
    pub p99_9: Option<Duration>,
    pub max: Option<Duration>,
    /// Done within the deadline, as a share of what was planned (without what was to be refused), at least.
    pub goodput: Option<Share>,
    /// Unknown, not sent, or refused otherwise than planned, as a share of what was planned, at most.
    pub errors: Option<Share>,
    /// After the last event that breaks something, payments of all shards go on within this time.
    pub recovery: Option<Duration>,
}

/// When the generator itself is the bottleneck.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratorLimits {
    /// From when on a request counts as late.
    pub late_after: Duration,
    /// Share of late requests from which on the run is invalid.
    pub late_share_max: Share,
}

impl Scenario {
    /// How long all phases take together.
    pub fn duration(&self) -> Duration {
        self.phases.iter().map(|phase| phase.duration).sum()
    }

    /// Whether the dates of a file say when its payments are sent; then no phase has a rate.
    pub fn timed_by_file(&self) -> bool {
        matches!(&self.source, Source::File(FileSource { speed: Some(_), .. }))
    }
}

impl Event {
    /// When what it does is over; at once for what has no length.
    pub fn until(&self) -> Duration {
        self.at
            + match self.action {
                Action::Load { lasts, .. } | Action::PauseLeader { lasts, .. } => lasts,
                Action::KillLeader { back_after, .. } | Action::KillRouter { back_after, .. } => back_after,
                Action::Rebalance { .. } => Duration::ZERO,
            }
    }

    /// Whether both break the same thing, so that one has to be over before the other.
    fn breaks_same(&self, other: &Self) -> bool {
        let shard = |event: &Self| match event.action {
            Action::KillLeader { shard, .. } | Action::PauseLeader { shard, .. } => Some(shard),
            _ => None,
        };
        let router = |event: &Self| match event.action {
            Action::KillRouter { router, .. } => Some(router),
            _ => None,
        };
        (shard(self).is_some() && shard(self) == shard(other))
            || (router(self).is_some() && router(self) == router(other))
    }
}
