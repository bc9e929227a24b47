//! How old things are, in time that really passed.
//!
//! A hold carries the shard's clock. That clock follows the machine's, which may jump, and other shards', which may be ahead:
//! neither must make recovery wait, or ask too early. So the executor notes now and then what its shard's clock shows, and
//! what is at or below the reading of two seconds ago is at least two seconds old.

use std::collections::VecDeque;
use std::time::Duration;

use crest_ledger::Timestamp;
use crest_ledger::limits::HOLD_DEADLINE_NS;
use tokio::time::Instant;

/// The longest age that is asked for.
const AGE_MAX: Duration = Duration::from_nanos(HOLD_DEADLINE_NS);

/// Readings of the shard's clock.
#[derive(Debug, Default)]
pub(super) struct Aging {
    /// Oldest first. Of those beyond [`AGE_MAX`] only the newest is kept.
    readings: VecDeque<(Instant, Timestamp)>,
    /// What the clock showed when the shard had replayed its log: all that was there then is old.
    at_start: Option<Timestamp>,
}

impl Aging {
    /// Notes what the clock shows now.
    pub(super) fn note(&mut self, clock: Timestamp) {
        let now = Instant::now();
        self.readings.push_back((now, clock));
        while self.readings.get(1).is_some_and(|(then, _)| now - *then >= AGE_MAX) {
            self.readings.pop_front();
        }
    }

    /// Says that the log is replayed: everything up to here is from before the start.
    pub(super) fn replayed(&mut self, clock: Timestamp) {
        self.at_start.get_or_insert(clock);
    }

    /// What was stamped at or below this instant is at least `age` old; `age` is at most [`AGE_MAX`].
    pub(super) fn stamped_before(&self, age: Duration) -> Timestamp {
        let now = Instant::now();
        let reading = self.readings.iter().rev().find(|(then, _)| now - *then >= age).map(|(_, clock)| *clock);
        reading.max(self.at_start).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_was_stamped_is_old_after_the_time_that_passed_whatever_the_clock_did() {
        let mut aging = Aging::default();
        assert_eq!(aging.stamped_before(SECOND), 0, "nothing is known");
        aging.note(1_000);
        tokio::time::advance(SECOND).await;
        // The clock has jumped by an hour, or was dragged along by another shard's.
        aging.note(3_600_000_000_000);
        assert_eq!(aging.stamped_before(SECOND), 1_000);
        tokio::time::advance(SECOND / 2).await;
        // It stands still, since the machine's was set back.
        aging.note(3_600_000_000_000);
        assert_eq!(aging.stamped_before(SECOND), 1_000);
        assert_eq!(aging.stamped_before(2 * SECOND), 0, "nothing is two seconds old");
        tokio::time::advance(SECOND / 2).await;
        assert_eq!(aging.stamped_before(SECOND), 3_600_000_000_000);
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
    }

    #[tokio::test(start_paused = true)]
    async fn readings_do_not_pile_up_and_a_pause_loses_none_that_counts() {
        let mut aging = Aging::default();
        for n in 0..10_000 {
            aging.note(n);
            tokio::time::advance(SECOND / 20).await;
        }
        assert!(aging.readings.len() <= 42, "{}", aging.readings.len());
        assert_eq!(aging.stamped_before(2 * SECOND), 9_960);
        tokio::time::advance(60 * SECOND).await;
        assert_eq!(aging.stamped_before(2 * SECOND), 9_999, "nobody took a reading while the process was held still");
    }
}
