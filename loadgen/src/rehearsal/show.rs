//! What somebody who looks on sees, four times a second.

use std::sync::PoisonError;
use std::time::Instant;

use super::events::Happenings;
use super::tally::{SecondTally, Tally, names};
use super::watch::Looks;
use crate::curve::Curve;
use crate::live::{EventLive, Live, LiveState, SecondLive, Stage};
use crate::record::EventRecord;
use crate::scenario::Scenario;

/// Shows how a run is doing.
pub(crate) struct Show<'a> {
    pub(crate) live: &'a mut Live,
    pub(crate) scenario: &'a Scenario,
    pub(crate) curve: &'a Curve,
    pub(crate) shards: &'a [u32],
    pub(crate) looks: Looks,
    pub(crate) happenings: Happenings,
    pub(crate) in_flight_max: u32,
    state: LiveState,
}

impl<'a> Show<'a> {
    /// Begins with what does not change.
    #[allow(clippy::too_many_arguments, reason = "each is something else to look at")]
    pub(crate) fn new(
        live: &'a mut Live,
        scenario: &'a Scenario,
        curve: &'a Curve,
        scale: f64,
        local: bool,
        shards: &'a [u32],
        looks: Looks,
        happenings: Happenings,
        in_flight_max: u32,
    ) -> Self {
        let title = if scale == 1.0 { scenario.name.clone() } else { format!("{} × {scale}", scenario.name) };
        let cluster = format!("{} shards{}", shards.len(), if local { ", local" } else { "" });
        let state = LiveState { title, cluster, planned_seconds: curve.seconds(), ..LiveState::default() };
        Self { live, scenario, curve, shards, looks, happenings, in_flight_max, state }
    }

    /// Shows what is new; true when somebody asks the run to stop.
    pub(crate) fn update(&mut self, tally: &Tally, begin: Instant) -> bool {
        // Before the first planned instant nothing has elapsed.
        let elapsed = begin.elapsed().as_secs_f64();
        let state = &mut self.state;
        state.elapsed = elapsed;
        state.stage = if elapsed < self.curve.seconds() { Stage::Sending } else { Stage::Settling };
        state.planned = self.curve.rate_at(elapsed);
        state.in_flight = tally.lanes.iter().map(|lane| u64::from(lane.in_flight)).sum();
        state.in_flight_max = u64::from(self.in_flight_max);
        self.phase(elapsed);
        self.whole(tally);
        self.seconds(tally, elapsed);
        self.state.shards = self.looks.latest(self.shards);
        self.state.events =
            self.happenings.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|e| event(e, elapsed)).collect();
        self.live.update(&self.state);
        self.live.stop_requested()
    }

    fn phase(&mut self, elapsed: f64) {
        let mut end = 0.0;
        let current = self.scenario.phases.iter().find_map(|phase| {
            end += phase.duration.as_secs_f64();
            (elapsed < end).then(|| (phase.name.clone(), end - elapsed))
        });
        (self.state.phase, self.state.phase_left) = current.unwrap_or_default();
    }

    fn whole(&mut self, tally: &Tally) {
        let (counts, state) = (&tally.all.counts, &mut self.state);
        state.whole = tally.all.latency.percentiles();
        state.retries = tally.all.retries;
        state.refused = counts.refused;
        state.unknown = counts.unknown;
        state.not_sent = counts.not_sent + counts.skipped;
        let transfers = counts.done.saturating_sub(tally.reads_done());
        state.cross_shard = (transfers > 0).then(|| counts.cross_shard as f64 / transfers as f64);
        state.late_share = tally.late_share();
        state.late_share_max = self.scenario.generator.late_share_max;
        state.codes = names(&tally.codes);
    }

    /// The last whole second, and the history.
    fn seconds(&mut self, tally: &Tally, elapsed: f64) {
        let state = &mut self.state;
        let Some(last) = (elapsed as usize).checked_sub(1) else { return };
        // A second of which nobody has told anything is one in which nothing was answered.
        let nothing = SecondTally::default();
        let second = tally.seconds.get(last).unwrap_or(&nothing);
        state.acknowledged = second.acknowledged as f64;
        state.in_time = second.counts.done_in_time as f64;
        state.last = second.latency.percentiles();
        state.lag_p99_us = second.lag.percentiles().p99;
        let live = |second: &SecondTally| SecondLive {
            planned: second.counts.planned as f64,
            acknowledged: second.acknowledged as f64,
            p99_us: second.latency.percentiles().p99,
        };
        // Answers still come for the latest seconds; the older ones stay as they are but for stragglers.
        let settled = state.history.len().saturating_sub(REDRAWN_SECONDS);
        state.history.truncate(settled);
        state.history.extend(tally.seconds.iter().take(last + 1).skip(settled).map(live));
    }
}

/// The latest seconds that are looked at again each time.
const REDRAWN_SECONDS: usize = 10;

fn event(record: &EventRecord, elapsed: f64) -> EventLive {
    EventLive {
        at: record.happened.unwrap_or(record.planned),
        until: record.until.unwrap_or(record.planned),
        label: record.label.clone(),
        failed: !record.done && record.planned + 1.0 < elapsed,
    }
}
