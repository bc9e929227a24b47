//! A scenario: what is rehearsed, as a file says it. Everything in here is checked: what exists is within its bounds, and
//! what has to fit together does.

mod parse;
mod reading;
mod values;
mod phases;
mod events;
mod checks;
mod error;
mod shipped;
mod outlook;
pub(crate) mod command;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

pub use error::{Problem, ScenarioError};
pub use outlook::{KindOutlook, Outlook, PhaseOutlook};
pub use parse::SCENARIO_BYTES_MAX;
pub use shipped::{OpenError, Opened, SHIPPED, Shipped, shipped};
pub(crate) use values::{SCALES, SPEEDS, within};
pub use values::{Share, spell_duration, spell_number};

/// A scenario, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Letters, digits and hyphens; at most 64.
    pub name: String,
    /// A sentence or two on what it rehearses and who should.
    pub description: String,
    /// `[population]`.
    pub population: Population,
    /// Where the operations come from.
    pub source: Source,
    /// `[requests]`.
    pub requests: Requests,
    /// `[[phase]]`, in order; at least one, and one that is measured.
    pub phases: Vec<Phase>,
    /// `[[event]]`, in order of time.
    pub events: Vec<Event>,
    /// `[pass]`.
    pub pass: PassMarks,
    /// `[generator]`.
    pub generator: GeneratorLimits,
}

/// Who pays whom. Customers pay merchants; merchants refund customers.
#[derive(Clone, Debug, PartialEq)]
pub struct Population {
    /// 2 to 10,000,000; 100,000 by default.
    pub customers: u32,
    /// 1 to 1,000,000; 1,000 by default.
    pub merchants: u32,
    /// The Zipf exponent by which merchants are chosen: 0 is evenly, 1 is what sales often look like. 0 to 4,
    /// 1 by default.
    pub merchant_skew: f64,
    /// The same for customers; 0 by default.
    pub customer_skew: f64,
    /// How many merchants are hot: these share `hot_share` of the payments evenly, the others share the rest. 0 by
    /// default.
    pub hot_merchants: u32,
    /// What share the hot merchants get; 0 by default, above 0 when there are any.
    pub hot_share: Share,
    /// Share of the payments between two shards, as a target; none takes pairs as they come (1 − 1/N with N shards).
    pub cross_shard: Option<Share>,
    /// What each customer is given before the run, in the smallest unit. Then customers can't pay more than they have
    /// (debits_must_not_exceed_credits). 0, the default: they have no limit. At most 10^15.
    pub opening_balance: u64,
    /// Amounts are drawn evenly from 1 to this, in the smallest unit. 1 to 1,000,000,000; 10,000 by default.
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
/// (an authorisation with its capture begins once), 0 to 1,000,000; not all are 0. A weight that is not named is 0, but when
/// none is named, `payment` is 1.
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
    /// Transfers in a chain, 2 to 8; 3 by default.
    pub chain_legs: u32,
    /// Share of the payments from an account that has nothing and can't go below: refused, as planned. 0 by
    /// default.
    pub insufficient_funds: Share,
    /// Share of the requests that are sent a second time, with the same ids, while the first is under way or just answered.
    /// 0 by default.
    pub duplicates: Share,
}

/// What becomes of authorisations.
#[derive(Clone, Debug, PartialEq)]
pub struct Capture {
    /// Share that is captured, 0.9 by default; the rest is voided.
    pub share: Share,
    /// Of those, the share that is captured in part: half of the amount. 0 by default.
    pub partial: Share,
    /// How long after the planned instant of the authorisation. Whoever has no answer by then captures nothing.
    /// At most 1 h; 1 s by default.
    pub after: Duration,
    /// After which an authorisation that nobody ended expires by itself, whole seconds: longer than the run and its proof.
    /// At most 7 days; 1 day by default.
    pub timeout: Duration,
}

/// What becomes of payments.
#[derive(Clone, Debug, PartialEq)]
pub struct Refund {
    /// Share of the payments that are paid back whole; 0 by default.
    pub share: Share,
    /// How long after the planned instant of the payment: at most 1 h; 1 s by default.
    pub after: Duration,
}

/// A file as the source.
#[derive(Clone, Debug, PartialEq)]
pub struct FileSource {
    /// CSV, plain or gzipped, with the columns of `crest load replay`. Empty, the default: the command line names it.
    pub file: PathBuf,
    /// Decimals of its amounts, 0 to 18; 2 by default.
    pub scale: u32,
    /// How its dates become instants: so many seconds of the file in one of the run, 0.001 to 10^9. Then no phase has a
    /// rate. None, the default: the phases say it.
    pub speed: Option<f64>,
}

/// How requests are sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Requests {
    /// Operations in a request, 1 to 8,190 (with chains: 8,190 transfers in all at the most); 1 by default.
    pub batch: u32,
    /// Over long-lived streams instead of a call a request; no by default.
    pub stream: bool,
    /// Connections of one agent, 1 to 64; 2 by default.
    pub connections: u32,
    /// Requests in flight of one agent; what is planned while so many are is not sent, and counted. At least one
    /// and at most 1,024 a connection, which is the default (of streams too: the public API takes 16 of 64 a connection).
    pub in_flight_max: u32,
    /// How planned instants lie around the rate; Poisson by default.
    pub arrivals: Arrivals,
    /// How long after its planned instant an answer is still good. A first attempt that takes longer counts as unknown and
    /// is sent again. 1 ms to 1 h; 2 s by default.
    pub deadline: Duration,
    /// For how long after its first attempt a request without a known outcome, or that the router was too busy for, is
    /// sent again with the same ids. 0: never.
    /// At most 1 h; 30 s by default.
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
    /// 1 to 64 characters, no two the same; `phase-1`, `phase-2` and so on by default.
    pub name: String,
    /// 0.1 s to 7 days, all together at most 7 days.
    pub duration: Duration,
    /// Transfers (and reads) a second over the phase: points of (offset, rate), ascending, the first at 0 and the last at
    /// `duration`; straight lines between them; two at the same offset are a jump. Rates up to 10^7.
    pub points: Vec<(Duration, f64)>,
    /// Whether it counts for the pass marks; yes by default.
    pub measured: bool,
}

/// Something that is done to the cluster or to the load.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// From the first planned instant.
    pub at: Duration,
    /// What is done then.
    pub action: Action,
}

/// What is done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The rates are multiplied for a time.
    Load {
        /// By what: 0 to 100; 2 by default.
        factor: f64,
        /// For how long: 10 s by default.
        lasts: Duration,
    },
    /// The leader of a shard is killed (SIGKILL), and started again after a time. Needs a local cluster.
    KillLeader {
        /// Of which shard; 0 by default.
        shard: u32,
        /// When it is started again; 2 s by default.
        back_after: Duration,
    },
    /// A router is killed, and started again after a time. Needs a local cluster.
    KillRouter {
        /// Which one, counted from 0; 0 by default.
        router: u32,
        /// When it is started again; 2 s by default.
        back_after: Duration,
    },
    /// The leader of a shard stands still (SIGSTOP) for a time. Needs a local cluster.
    PauseLeader {
        /// Of which shard; 0 by default.
        shard: u32,
        /// For how long; 3 s by default.
        lasts: Duration,
    },
    /// Slots move to another shard. Needs a cluster that can.
    Rebalance {
        /// How many.
        slots: u32,
        /// From which shard.
        from: u32,
        /// To which one.
        to: u32,
    },
}

/// What has to be reached, over all measured phases together. What is not named is not asked for; the audit always is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PassMarks {
    /// The median of latency from the planned instant, at most.
    pub p50: Option<Duration>,
    /// Its 90th percentile.
    pub p90: Option<Duration>,
    /// Its 99th percentile.
    pub p99: Option<Duration>,
    /// Its 99.9th percentile.
    pub p99_9: Option<Duration>,
    /// The longest one.
    pub max: Option<Duration>,
    /// Done within the deadline, as a share of what was planned (without what was to be refused), at least.
    pub goodput: Option<Share>,
    /// Unknown, not sent, or refused otherwise than planned, as a share of what was planned, at most.
    pub errors: Option<Share>,
    /// After the worst event (a load: after its end), payments of all shards go on as before within this time.
    pub recovery: Option<Duration>,
}

/// When the generator itself is the bottleneck.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratorLimits {
    /// From when on a request counts as late: 1 ms to 1 min; 20 ms by default.
    pub late_after: Duration,
    /// Share of late requests from which on the run is invalid; 0.01 by default.
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
