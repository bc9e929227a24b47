//! Transfer ids that no other run has, random or in the order of time (RFC 9562).

use std::time::{SystemTime, UNIX_EPOCH};

use crate::random::SplitMix64;

/// In which order a rehearsal's transfer ids come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IdOrder {
    /// UUIDv4: 122 random bits. The store pays more for them.
    Random,
    /// UUIDv7: milliseconds, then a counter, then 42 random bits.
    Ordered,
}

/// A source of ids. Two sources give different ones, in this process and elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct TransferIds {
    order: IdOrder,
    rng: SplitMix64,
    /// Milliseconds since the Unix epoch; never moves back.
    millis: u64,
    counter: u32,
}

impl TransferIds {
    /// A new source.
    pub(crate) fn new(order: IdOrder) -> Self {
        Self { order, rng: SplitMix64::unrepeatable(), millis: 0, counter: 0 }
    }

    /// Looks at the clock: once a request is enough, the counter orders the ids within.
    pub(crate) fn begin_request(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        self.millis = self.millis.max(now);
    }

    /// The next id; never one of the two forbidden ones, thanks to its version bits.
    pub(crate) fn next_id(&mut self) -> u128 {
        const VARIANT: u64 = 0b10 << 62;
        let random = self.rng.next_u64();
        let (high, low) = match self.order {
            IdOrder::Random => (self.rng.next_u64() & !0xf000 | 0x4000, random >> 2 | VARIANT),
            IdOrder::Ordered => {
                self.counter = self.counter.wrapping_add(1);
                let count = u64::from(self.counter);
                (self.millis << 16 | 0x7000 | count >> 20, VARIANT | (count & 0xf_ffff) << 42 | random >> 22)
            }
        };
        u128::from(high) << 64 | u128::from(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_of_their_version_and_differ() {
        for (order, version) in [(IdOrder::Random, 4), (IdOrder::Ordered, 7)] {
            let (mut one, mut two) = (TransferIds::new(order), TransferIds::new(order));
            one.begin_request();
            two.begin_request();
            let mut ids: Vec<u128> = (0..10_000).flat_map(|_| [one.next_id(), two.next_id()]).collect();
            assert!(ids.iter().all(|id| id >> 76 & 0xf == version && id >> 62 & 0b11 == 0b10));
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), 20_000);
        }
    }

    #[test]
    fn ordered_ids_increase_within_a_request_and_from_one_to_the_next() {
        let mut ids = TransferIds::new(IdOrder::Ordered);
        let mut last = 0;
        for _ in 0..5 {
            ids.begin_request();
            for _ in 0..1_000 {
                let id = ids.next_id();
                assert!(id > last);
                last = id;
            }
        }
    }
}
