//! The shard's hybrid logical clock (Kulkarni and others, "Logical Physical Clocks", 2014), without a clock of its own.
//!
//! Timestamps are nanoseconds since the Unix epoch. Those that shard `s` gives have the remainder `s` modulo
//! [`SHARDS_MAX`], so no two shards ever give the same one, and a transfer's two halves can
//! carry one timestamp without meeting a local one.

use crate::limits::SHARDS_MAX;

/// Nanoseconds since the Unix epoch.
pub type Timestamp = u64;

/// Gives timestamps that increase, follow real time and follow every timestamp seen from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    shard: u64,
    last: Timestamp,
}

impl Clock {
    /// A clock for `shard` that has already reached `last` (0 for a new shard).
    ///
    /// # Panics
    /// When `shard` is not below [`SHARDS_MAX`]: the map is validated before a ledger is opened.
    pub fn new(shard: u32, last: Timestamp) -> Self {
        assert!(u64::from(shard) < SHARDS_MAX, "a shard's number is below SHARDS_MAX");
        Self { shard: u64::from(shard), last }
    }

    /// The largest timestamp given or seen.
    pub fn last(&self) -> Timestamp {
        self.last
    }

    /// Moves the clock to at least `seen`: real time, or a timestamp from another shard.
    pub fn observe(&mut self, seen: Timestamp) {
        self.last = self.last.max(seen);
    }

    /// The next timestamp: above everything given or seen.
    pub fn tick(&mut self) -> Timestamp {
        let floor = self.last - self.last % SHARDS_MAX + self.shard;
        self.last = if floor > self.last { floor } else { floor + SHARDS_MAX };
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_increase_and_carry_the_shard() {
        let mut clock = Clock::new(5, 0);
        assert_eq!(clock.tick(), 5);
        assert_eq!(clock.tick(), 1_029);
        clock.observe(10_000);
        let after = clock.tick();
        assert!(after > 10_000 && after % SHARDS_MAX == 5 && after - 10_000 <= SHARDS_MAX);
        clock.observe(3);
        assert_eq!(clock.tick(), after + SHARDS_MAX, "an older time does not move it back");
    }

    #[test]
    fn two_shards_never_give_the_same_timestamp() {
        let (mut one, mut two) = (Clock::new(1, 0), Clock::new(2, 0));
        for _ in 0..100 {
            let t = one.tick();
            two.observe(t);
            let u = two.tick();
            one.observe(u);
            assert!(u > t);
        }
    }
}
