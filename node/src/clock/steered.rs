//! Time from a monotonic clock that is steered towards another one at a bounded rate.

use crest_ledger::Timestamp;

/// How fast a clock is steered, parts per million of the time that passes: as fast as Linux slews its own clock for NTP (adjtime, RFC 5905).
/// A second is caught up with in 33 minutes; an hour-long error of the wall clock that lasts a minute moves the time by 30 ms.
pub const STEERING_PPM: u64 = 500;

/// A clock that is steered. It never goes back, since it is slowed down by less than it runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steered {
    time: Timestamp,
    /// The monotonic clock at `time`, ns.
    monotonic: u64,
    /// The time that has passed and was not used for steering yet, ns: readings may follow each other within nanoseconds.
    unused: u64,
}

impl Steered {
    pub(super) fn new(monotonic: u64, time: Timestamp) -> Self {
        Self { time, monotonic, unused: 0 }
    }

    /// Sets it: only for a clock with which nothing is stamped.
    pub(super) fn set(&mut self, monotonic: u64, time: Timestamp) -> Timestamp {
        *self = Self::new(monotonic, time);
        time
    }

    /// Moves on to the monotonic clock's reading, and towards what `target` says, given the time without steering.
    pub(super) fn advance(&mut self, monotonic: u64, target: impl FnOnce(Timestamp) -> Timestamp) -> Timestamp {
        let elapsed = monotonic.saturating_sub(self.monotonic);
        let before = self.time;
        self.monotonic += elapsed;
        self.time = self.time.saturating_add(elapsed);
        self.unused = self.unused.saturating_add(elapsed);
        let step = self.unused / 1_000_000 * STEERING_PPM + self.unused % 1_000_000 * STEERING_PPM / 1_000_000;
        // What passed without a need to steer is not saved up.
        if step > 0 {
            self.unused = 0;
        }
        let target = target(self.time);
        self.time = target.clamp(self.time.saturating_sub(step).max(before), self.time.saturating_add(step));
        self.time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const HOUR: u64 = 3_600 * SECOND;
    const START: u64 = 1_700_000_000 * SECOND;

    /// The time after `steps` readings, `step` ns apart, while the wall clock is off by `off` ns.
    fn after(clock: &mut Steered, from: u64, steps: u64, step: u64, off: i64) -> u64 {
        (1..=steps).fold(0, |before, n| {
            let passed = from + n * step;
            let now = clock.advance(passed, |_| (START + passed).saturating_add_signed(off));
            assert!(now >= before, "it never goes back");
            now
        })
    }

    #[test]
    fn a_jump_of_an_hour_moves_it_by_no_more_than_its_rate() {
        for off in [HOUR as i64, -(HOUR as i64)] {
            for (steps, step) in [(3, SECOND), (3_000, SECOND / 1_000), (3_000_000, 1_000)] {
                let mut clock = Steered::new(0, START);
                let now = after(&mut clock, 0, steps, step, off);
                let error = now.abs_diff(START + 3 * SECOND);
                assert!(error <= 3 * SECOND / 1_000_000 * STEERING_PPM, "{error} ns in 3 s");
                assert!(
                    error > SECOND / 1_000_000 * STEERING_PPM,
                    "it is steered, however often it is read: {error} ns"
                );
            }
        }
    }

    #[test]
    fn it_comes_to_the_wall_clocks_time_and_stays_there() {
        let mut clock = Steered::new(0, START);
        let now = after(&mut clock, 0, 3_000, SECOND, 1_000_000_000);
        assert_eq!(now, START + 3_001 * SECOND);
        let now = after(&mut clock, 3_000 * SECOND, 10, SECOND, 1_000_000_000);
        assert_eq!(now, START + 3_011 * SECOND);
    }

    #[test]
    fn an_hour_without_a_reading_is_an_hour_and_allows_no_jump() {
        let mut clock = Steered::new(0, START);
        let now = clock.advance(HOUR, |_| START + 3 * HOUR);
        assert_eq!(now, START + HOUR + HOUR / 1_000_000 * STEERING_PPM);
        let now = clock.advance(HOUR, |_| START + 3 * HOUR);
        assert_eq!(now, START + HOUR + HOUR / 1_000_000 * STEERING_PPM, "no time has passed");
    }
}
