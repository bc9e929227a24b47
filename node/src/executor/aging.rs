//! How old things are, in time that really passed.
//!
//! A hold carries the shard's clock. That clock follows the machine's, which may jump, and other shards', which may be ahead; and
//! while it is ahead of its machine's, it stands nearly still. None of that may make recovery wait, or ask too early, or hide from
//! operators how long something has been in doubt. So the executor notes now and then what its shard's clock shows, together with
//! the process's monotonic time: what is at or below the reading of two seconds ago is at least two seconds old.

use std::collections::VecDeque;
use std::time::Duration;

use crest_ledger::Timestamp;
use crest_ledger::limits::HOLD_DEADLINE_NS;
use tokio::time::Instant;

/// Up to this age every reading is kept: recovery's deadlines are exact to a tick.
const EXACT: Duration = Duration::from_nanos(HOLD_DEADLINE_NS);
/// Of older readings, so many are kept for each doubling of the age, about: ages are exact to an eighth.
const PER_AGE: u32 = 8;

/// Readings of the shard's clock.
#[derive(Debug, Default)]
pub(super) struct Aging {
    /// Oldest first. The older, the fewer are kept; the first one always is.
    readings: VecDeque<(Instant, Timestamp)>,
    /// What the clock showed when the shard had replayed its log, and when that was: all that was there then is old.
    at_start: Option<(Instant, Timestamp)>,
}

impl Aging {
    /// Notes what the clock shows now.
    pub(super) fn note(&mut self, clock: Timestamp) {
        let now = Instant::now();
        self.readings.push_back((now, clock));
        self.thin(now);
    }

    /// Leaves out readings whose neighbours are close enough for their age.
    fn thin(&mut self, now: Instant) {
        let mut at = 1;
        while at + 1 < self.readings.len() {
            let (before, after) = (self.readings[at - 1].0, self.readings[at + 1].0);
            let age = now - after;
            if age < EXACT {
                return;
            }
            if after - before < age / PER_AGE {
                self.readings.remove(at);
            } else {
                at += 1;
            }
        }
    }

    /// Says that the log is replayed: everything up to here is from before the start.
    pub(super) fn replayed(&mut self, clock: Timestamp) {
        self.at_start.get_or_insert((Instant::now(), clock));
    }

    /// What was stamped at or below this instant is at least `age` old; `age` is at most [`EXACT`].
    pub(super) fn stamped_before(&self, age: Duration) -> Timestamp {
        let now = Instant::now();
        let reading = self.readings.iter().rev().find(|(then, _)| now - *then >= age).map(|(_, clock)| *clock);
        reading.max(self.at_start.map(|(_, clock)| clock)).unwrap_or(0)
    }

    /// How old something is at the least that was stamped at this instant. `shown` is what the clocks make of its age: it counts
    /// only for what was there before the start, of which nobody knows better. That is at least [`EXACT`] older than the start.
    pub(super) fn age(&self, stamped: Timestamp, shown: Duration) -> Duration {
        let now = Instant::now();
        if let Some((start, _)) = self.at_start.filter(|(_, clock)| stamped <= *clock) {
            return shown.max(now - start + EXACT);
        }
        let after = self.readings.partition_point(|(_, clock)| *clock < stamped);
        self.readings.get(after).map_or(Duration::ZERO, |(then, _)| now - *then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR_NS: u64 = 3_600_000_000_000;

    #[tokio::test(start_paused = true)]
    async fn what_was_stamped_is_old_after_the_time_that_passed_whatever_the_clock_did() {
        let mut aging = Aging::default();
        assert_eq!(aging.stamped_before(SECOND), 0, "nothing is known");
        aging.note(1_000);
        tokio::time::advance(SECOND).await;
        // The clock has jumped by an hour, or was dragged along by another shard's.
        aging.note(HOUR_NS);
        assert_eq!(aging.stamped_before(SECOND), 1_000);
        tokio::time::advance(SECOND / 2).await;
        // It stands still, since the machine's was set back.
        aging.note(HOUR_NS);
        assert_eq!(aging.stamped_before(SECOND), 1_000);
        assert_eq!(aging.stamped_before(2 * SECOND), 0, "nothing is two seconds old");
        tokio::time::advance(SECOND / 2).await;
        assert_eq!(aging.stamped_before(SECOND), HOUR_NS);
        assert_eq!(aging.stamped_before(2 * SECOND), 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_there_before_the_start_is_old_at_once() {
        let mut aging = Aging::default();
        aging.note(500);
        aging.replayed(900);
        aging.replayed(1_500);
        assert_eq!(aging.stamped_before(2 * SECOND), 900, "the first time counts");
        aging.note(2_000);
        tokio::time::advance(2 * SECOND).await;
        assert_eq!(aging.stamped_before(2 * SECOND), 2_000);
        assert_eq!(aging.age(700, Duration::ZERO), 2 * SECOND + EXACT, "since the start, and the bound for before");
        assert_eq!(aging.age(700, 60 * SECOND), 60 * SECOND, "the clocks say more");
    }

    #[tokio::test(start_paused = true)]
    async fn an_age_grows_while_the_clock_stands_still_and_does_not_jump_with_it() {
        let mut aging = Aging::default();
        aging.replayed(10);
        aging.note(10);
        tokio::time::advance(SECOND).await;
        // The machine's clock is an hour ahead; then something is held, and the machine's clock is right again.
        aging.note(HOUR_NS);
        for n in 0..120 * 20 {
            aging.note(HOUR_NS + 2 + n / 100);
            tokio::time::advance(SECOND / 20).await;
        }
        let age = aging.age(HOUR_NS + 1, Duration::ZERO);
        assert!(age > 100 * SECOND && age <= 121 * SECOND, "held for two minutes, says {age:?}");
        // What was stamped before the jump is not an hour old.
        assert!(aging.age(11, Duration::from_nanos(HOUR_NS)) <= 122 * SECOND);
        assert_eq!(aging.age(2 * HOUR_NS, Duration::ZERO), Duration::ZERO, "no reading has reached it");
    }

    #[tokio::test(start_paused = true)]
    async fn readings_do_not_pile_up_and_a_pause_loses_none_that_counts() {
        let mut aging = Aging::default();
        for n in 0..200_000 {
            aging.note(n);
            tokio::time::advance(SECOND / 20).await;
        }
        assert!(aging.readings.len() <= 240, "{}", aging.readings.len());
        assert_eq!(aging.stamped_before(2 * SECOND), 199_960);
        for seconds in [3, 60, 900, 7_200] {
            let (true_age, said) = (Duration::from_secs(seconds), aging.age(200_000 - seconds * 20, Duration::ZERO));
            assert!(said <= true_age && said >= true_age * 7 / 10, "{seconds} s ago, says {said:?}");
        }
        tokio::time::advance(60 * SECOND).await;
        assert_eq!(aging.stamped_before(2 * SECOND), 199_999, "nobody took a reading while the process was held still");
    }
}
