//! What is shown while a rehearsal runs. Whoever runs it fills this in; nothing in here measures anything.

use std::collections::BTreeMap;

use crate::record::Percentiles;

/// Where a run stands. Rates are transfers (and reads) a second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LiveState {
    /// The scenario's name, with its scale if that is not 1.
    pub title: String,
    /// What is rehearsed on, in a few words: `4 shards, local`.
    pub cluster: String,
    /// What is being done.
    pub stage: Stage,
    /// Since the first planned instant, s.
    pub elapsed: f64,
    /// Planned length of all phases, s.
    pub planned_seconds: f64,
    /// The phase that it is in; empty before and after all.
    pub phase: String,
    /// Until that phase ends, s.
    pub phase_left: f64,
    /// The rate that is planned now.
    pub planned: f64,
    /// Acknowledged in the last second.
    pub acknowledged: f64,
    /// Of those, within the deadline: goodput.
    pub in_time: f64,
    /// Latency from the planned instant, of the last second.
    pub last: Percentiles,
    /// The same of the whole run.
    pub whole: Percentiles,
    /// Requests in flight.
    pub in_flight: u64,
    /// How many may be.
    pub in_flight_max: u64,
    /// Attempts beyond the first, of the whole run.
    pub retries: u64,
    /// Transfers refused otherwise than planned, of the whole run.
    pub refused: u64,
    /// Transfers given up without a known outcome.
    pub unknown: u64,
    /// Transfers never sent, or not applied because the router was busy.
    pub not_sent: u64,
    /// Share of the transfers done that are between two shards, where that is known.
    pub cross_shard: Option<f64>,
    /// How late requests leave, the 99th percentile of the last second, µs.
    pub lag_p99_us: u64,
    /// Share of requests that left late so far.
    pub late_share: f64,
    /// The share from which on the run is invalid.
    pub late_share_max: f64,
    /// Answers of the whole run by the ledger's code.
    pub codes: BTreeMap<String, u64>,
    /// Load by shard; empty where the cluster does not say.
    pub shards: Vec<ShardLive>,
    /// The scenario's events, in order of time.
    pub events: Vec<EventLive>,
    /// A value for each second from the first one on.
    pub history: Vec<SecondLive>,
}

/// What is being done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Accounts are opened, or a cluster is started.
    #[default]
    Preparing,
    /// Requests leave at their planned instants.
    Sending,
    /// All have left; answers, follow-ups and retries are waited for.
    Settling,
    /// The auditor compares.
    Proving,
}

/// The load of one shard in the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShardLive {
    /// Its number.
    pub shard: u32,
    /// Transfers that it recorded a side of; none when it does not answer.
    pub per_second: Option<f64>,
    /// Open two-phase-commit holds.
    pub holds: Option<u64>,
}

/// An event of the scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct EventLive {
    /// When it is to happen, s.
    pub at: f64,
    /// When it is over, s.
    pub until: f64,
    /// A few words: `kill shard 1`.
    pub label: String,
    /// Whether it could not be done.
    pub failed: bool,
}

/// What the charts draw of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SecondLive {
    /// Planned for it.
    pub planned: f64,
    /// Acknowledged during it.
    pub acknowledged: f64,
    /// The 99th percentile of latency of what was planned for it, µs.
    pub p99_us: u64,
}

impl LiveState {
    /// Transfers that are errors: unknown, not sent, or refused otherwise than planned.
    pub(crate) fn errors(&self) -> u64 {
        self.refused + self.unknown + self.not_sent
    }

    /// Whether the generator is late so often that the run is becoming invalid.
    pub(crate) fn generator_is_late(&self) -> bool {
        self.late_share > self.late_share_max
    }

    /// What is being done, in words, and for how long still where that is known.
    pub(crate) fn doing(&self) -> String {
        match self.stage {
            Stage::Preparing => "preparing".to_owned(),
            Stage::Sending => format!("{} {} left", self.phase, spell_clock(self.phase_left)),
            Stage::Settling => "waiting for the last answers".to_owned(),
            Stage::Proving => "proving where the money is".to_owned(),
        }
    }
}

/// A time as minutes and seconds.
pub(crate) fn spell_clock(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match seconds / 3_600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// A latency with the unit and the digits that a glance can take in.
pub(crate) fn spell_latency(us: u64) -> String {
    match us {
        0..10_000 => format!("{:.2} ms", us as f64 / 1e3),
        10_000..100_000 => format!("{:.1} ms", us as f64 / 1e3),
        100_000..10_000_000 => format!("{:.0} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

/// A rate or a count, whole, with commas.
pub(crate) fn spell_whole(number: f64) -> String {
    crate::scenario::spell_number(number.round())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_latencies_are_short() {
        for (seconds, text) in [(0.0, "0:00"), (59.6, "1:00"), (61.0, "1:01"), (3_725.0, "1:02:05"), (-3.0, "0:00")] {
            assert_eq!(spell_clock(seconds), text);
        }
        for (us, text) in [
            (0, "0.00 ms"),
            (1_234, "1.23 ms"),
            (12_340, "12.3 ms"),
            (123_400, "123 ms"),
            (1_500_000, "1500 ms"),
            (12_300_000, "12.3 s"),
        ] {
            assert_eq!(spell_latency(us), text);
        }
    }
}
