//! When the latest chains happened. Each event of a chain has a timestamp of its own, but all of them happen or none: so a
//! read must not be taken between the first and the last of them.
//!
//! A shard that has a part of a chain knows when all of it happened. This is memory, not state: what was forgotten only
//! makes a read of an old instant move to a later one.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::limits::CHAINS_REMEMBERED;

/// The latest chains.
#[derive(Clone, Debug)]
pub struct Chains {
    /// The first event's timestamp, by the last one's.
    firsts: BTreeMap<Timestamp, Timestamp>,
    /// Everything that is not remembered had happened at this instant.
    forgotten: Timestamp,
}

impl Chains {
    /// Knows of nothing that happened up to `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { firsts: BTreeMap::new(), forgotten: now }
    }

    /// Notes the timestamps of a chain's events.
    pub fn note(&mut self, times: impl Iterator<Item = Timestamp>) {
        let ends = times.fold(None, |ends, at| {
            let (first, last) = ends.unwrap_or((at, at));
            Some((at.min(first), at.max(last)))
        });
        let Some((first, last)) = ends.filter(|(first, last)| first < last) else { return };
        self.firsts.insert(last, first);
        if self.firsts.len() > CHAINS_REMEMBERED
            && let Some((last, _)) = self.firsts.pop_first()
        {
            self.forgotten = self.forgotten.max(last);
        }
    }

    /// The first instant from `at` on that is in the middle of no chain.
    pub fn whole_at(&self, at: Timestamp) -> Timestamp {
        let mut whole = at.max(self.forgotten);
        while let Some((last, _)) = self.firsts.range(whole + 1..).find(|(_, first)| **first <= whole) {
            whole = *last;
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_moved_behind_the_chains_that_it_would_cut() {
        let mut chains = Chains::new(0);
        chains.note([10, 20, 30].into_iter());
        chains.note([25, 40].into_iter());
        chains.note([60, 61].into_iter());
        chains.note([50].into_iter());
        for (at, whole) in [(9, 9), (10, 40), (29, 40), (30, 40), (40, 40), (50, 50), (60, 61), (61, 61)] {
            assert_eq!(chains.whole_at(at), whole, "at {at}");
        }
    }

    #[test]
    fn what_is_forgotten_is_taken_to_be_in_the_way() {
        let mut chains = Chains::new(7);
        assert_eq!((chains.whole_at(3), chains.whole_at(8)), (7, 8));
        let many = CHAINS_REMEMBERED as u64 + 1;
        (0..many).for_each(|n| chains.note([10 * n + 10, 10 * n + 15].into_iter()));
        assert_eq!((chains.whole_at(8), chains.whole_at(15)), (15, 15), "the oldest one is forgotten");
        assert_eq!(chains.whole_at(22), 25, "the next one is not");
    }
}
