//! Which shard owns which slot, at an epoch.

use crate::slots::{SLOTS, ShardId, Slot, slot_of};
use crest_ledger::limits::SHARDS_MAX;
use std::sync::Arc;

/// The owner of every slot, at an epoch. Every slot has exactly one owner. Cloning is cheap: the owners are shared.
///
/// Of two maps of one cluster, the one with the larger epoch is the newer.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotMap {
    epoch: u64,
    /// Sorted, unique.
    shards: Arc<[ShardId]>,
    /// By slot. Ids are below 1,024, and 32 KiB stay in a core's first cache.
    owners: Arc<[u16]>,
}

/// A run of slots and the shard that owns them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRange {
    /// The owner.
    pub shard: ShardId,
    /// The first slot.
    pub first: Slot,
    /// The last slot, inclusive.
    pub last: Slot,
}

/// Why shards and ranges do not make a map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// There is no shard.
    #[error("a map needs at least one shard")]
    NoShards,
    /// A shard's number is too large.
    #[error("shard {shard} is out of range: numbers of shards are below {SHARDS_MAX}")]
    ShardOutOfRange {
        /// The number.
        shard: ShardId,
    },
    /// A shard is listed more than once.
    #[error("shard {shard} is listed twice: give every shard its own number")]
    DuplicateShard {
        /// The number.
        shard: ShardId,
    },
    /// A range belongs to a shard that is not listed.
    #[error("ranges[{range}] belongs to shard {shard}, which is not among the shards")]
    UnknownShard {
        /// Position of the range.
        range: usize,
        /// Its shard.
        shard: ShardId,
    },
    /// A range ends before it begins or beyond the last slot.
    #[error("ranges[{range}] is {first}-{last}: expected first <= last <= {}", SLOTS - 1)]
    RangeOutOfBounds {
        /// Position of the range.
        range: usize,
        /// Its first slot.
        first: Slot,
        /// Its last slot.
        last: Slot,
    },
    /// A slot is in two ranges.
    #[error("slot {slot} is in ranges[{range}] and already in ranges[{earlier}]: every slot has one owner")]
    Overlap {
        /// Position of the later range.
        range: usize,
        /// Position of the range that had it first.
        earlier: usize,
        /// The first slot that both have.
        slot: Slot,
    },
    /// Slots without an owner.
    #[error("slots {first}-{last} have no owner: every slot needs one")]
    Gap {
        /// The first one without an owner.
        first: Slot,
        /// The last one of that gap.
        last: Slot,
    },
}

impl SlotMap {
    /// The map of a new cluster, epoch 1: one contiguous range a shard, in the order of the shards' numbers, whose sizes
    /// differ by one at the most.
    ///
    /// # Errors
    /// No shard, a number that is listed twice, or one that is not below [`SHARDS_MAX`].
    pub fn even(shards: &[ShardId]) -> Result<Self, MapError> {
        let shards = checked_shards(shards)?;
        let owners = (0..SLOTS).map(|slot| shards[slot * shards.len() / SLOTS] as u16).collect();
        Ok(Self { epoch: 1, shards, owners })
    }

    /// The map of `shards` in which each range has the owner it names. A shard may own nothing: it was just added, or is
    /// about to leave.
    ///
    /// # Errors
    /// As [`SlotMap::even`], and when a range is out of bounds or of no listed shard, or a slot has no owner or two.
    pub fn from_ranges(epoch: u64, shards: &[ShardId], ranges: &[SlotRange]) -> Result<Self, MapError> {
        let shards = checked_shards(shards)?;
        let mut range_of: Vec<Option<usize>> = vec![None; SLOTS];
        for (range, &SlotRange { shard, first, last }) in ranges.iter().enumerate() {
            if shards.binary_search(&shard).is_err() {
                return Err(MapError::UnknownShard { range, shard });
            }
            if first > last || usize::from(last) >= SLOTS {
                return Err(MapError::RangeOutOfBounds { range, first, last });
            }
            for slot in first..=last {
                if let Some(earlier) = range_of[usize::from(slot)].replace(range) {
                    return Err(MapError::Overlap { range, earlier, slot });
                }
            }
        }
        if let Some(first) = range_of.iter().position(Option::is_none) {
            let length = range_of[first..].iter().take_while(|owner| owner.is_none()).count();
            return Err(MapError::Gap { first: first as Slot, last: (first + length - 1) as Slot });
        }
        let owners = range_of.into_iter().flatten().map(|range| ranges[range].shard as u16).collect();
        Ok(Self { epoch, shards, owners })
    }

    /// The shard that owns the account.
    #[inline]
    pub fn shard_of(&self, account_id: u128) -> ShardId {
        ShardId::from(self.owners[usize::from(slot_of(account_id))])
    }

    /// The shard that owns the slot; none when it is not below [`SLOTS`].
    #[inline]
    pub fn shard_of_slot(&self, slot: Slot) -> Option<ShardId> {
        self.owners.get(usize::from(slot)).copied().map(ShardId::from)
    }

    /// Whether `shard` owns `slot`.
    pub fn owns(&self, shard: ShardId, slot: Slot) -> bool {
        self.shard_of_slot(slot) == Some(shard)
    }

    /// The version of the map; a larger one is newer.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Every shard, sorted, without repetition; one that owns nothing is among them.
    pub fn shards(&self) -> &[ShardId] {
        &self.shards
    }

    /// The map as the fewest ranges, in the order of the slots: what [`SlotMap::from_ranges`] takes.
    pub fn ranges(&self) -> Vec<SlotRange> {
        let mut ranges: Vec<SlotRange> = Vec::new();
        for (slot, &owner) in self.owners.iter().enumerate() {
            let (slot, shard) = (slot as Slot, ShardId::from(owner));
            match ranges.last_mut() {
                Some(range) if range.shard == shard => range.last = slot,
                _ => ranges.push(SlotRange { shard, first: slot, last: slot }),
            }
        }
        ranges
    }
}

fn checked_shards(shards: &[ShardId]) -> Result<Arc<[ShardId]>, MapError> {
    let mut sorted = shards.to_vec();
    sorted.sort_unstable();
    let Some(&largest) = sorted.last() else { return Err(MapError::NoShards) };
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(MapError::DuplicateShard { shard: pair[0] });
    }
    if u64::from(largest) >= SHARDS_MAX {
        return Err(MapError::ShardOutOfRange { shard: largest });
    }
    Ok(sorted.into())
}

const _: () = assert!(SHARDS_MAX <= 1 << 16, "owners are stored in 16 bits");

#[cfg(test)]
mod tests {
    use super::*;

    fn range(shard: ShardId, first: Slot, last: Slot) -> SlotRange {
        SlotRange { shard, first, last }
    }

    #[test]
    fn an_even_map_is_contiguous_and_its_shares_differ_by_one() {
        let thousand: Vec<ShardId> = (0..1_024).rev().collect();
        for shards in [&[0][..], &[7, 3], &[2, 0, 1], &[0, 1, 2, 3], &[5, 900, 17, 4, 1_023], &thousand] {
            let map = SlotMap::even(shards).unwrap();
            let ranges = map.ranges();
            let sizes: Vec<u16> = ranges.iter().map(|r| r.last - r.first + 1).collect();
            assert_eq!(map.epoch(), 1);
            assert_eq!(ranges.iter().map(|r| r.shard).collect::<Vec<_>>(), map.shards(), "one range a shard, in order");
            assert!(map.shards().is_sorted() && map.shards().len() == shards.len());
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
            assert_eq!(sizes.iter().map(|&n| usize::from(n)).sum::<usize>(), SLOTS);
        }
    }

    #[test]
    fn an_account_belongs_to_the_shard_that_owns_its_slot() {
        let map = SlotMap::even(&[10, 20, 30]).unwrap();
        for id in (1..5_000).chain([u128::MAX - 1, 1 << 64]) {
            let shard = map.shard_of(id);
            assert_eq!(map.shard_of_slot(slot_of(id)), Some(shard));
            let owners: Vec<_> = map.shards().iter().filter(|&&s| map.owns(s, slot_of(id))).collect();
            assert_eq!(owners, [&shard], "exactly one owner");
        }
        assert_eq!(map.shard_of_slot(SLOTS as Slot), None);
        assert!(!map.owns(10, SLOTS as Slot));
    }

    #[test]
    fn ranges_round_trip() {
        let ranges = [range(2, 0, 0), range(0, 1, 99), range(2, 100, 16_382), range(0, 16_383, 16_383)];
        let map = SlotMap::from_ranges(9, &[2, 0, 5], &ranges).unwrap();
        assert_eq!(map.ranges(), ranges);
        assert_eq!((map.epoch(), map.shards()), (9, &[0, 2, 5][..]));
        assert!(map.owns(2, 0) && map.owns(0, 1) && map.owns(2, 100) && !map.owns(5, 0));
        assert_eq!(SlotMap::from_ranges(9, &[0, 2, 5], &map.ranges()).unwrap(), map);
    }

    #[test]
    fn what_is_no_map_is_refused() {
        #[track_caller]
        fn check(shards: &[ShardId], ranges: &[SlotRange], expected: MapError) {
            assert_eq!(SlotMap::from_ranges(1, shards, ranges), Err(expected));
        }
        let all = [range(0, 0, 16_383)];
        check(&[], &all, MapError::NoShards);
        check(&[0, 1, 0], &all, MapError::DuplicateShard { shard: 0 });
        check(&[0, 1_024], &all, MapError::ShardOutOfRange { shard: 1_024 });
        check(&[1], &all, MapError::UnknownShard { range: 0, shard: 0 });
        check(&[0], &[], MapError::Gap { first: 0, last: 16_383 });
        check(&[0], &[range(0, 0, 9), range(0, 12, 16_383)], MapError::Gap { first: 10, last: 11 });
        check(&[0], &[range(0, 0, 16_382)], MapError::Gap { first: 16_383, last: 16_383 });
        check(&[0], &[range(0, 5, 4)], MapError::RangeOutOfBounds { range: 0, first: 5, last: 4 });
        check(&[0], &[range(0, 0, 16_384)], MapError::RangeOutOfBounds { range: 0, first: 0, last: 16_384 });
        let overlap = [range(0, 0, 10), range(0, 10, 16_383)];
        check(&[0], &overlap, MapError::Overlap { range: 1, earlier: 0, slot: 10 });
        assert_eq!(SlotMap::even(&[]), Err(MapError::NoShards));
        assert_eq!(SlotMap::even(&[4, 4]), Err(MapError::DuplicateShard { shard: 4 }));
        assert_eq!(SlotMap::even(&[5_000]), Err(MapError::ShardOutOfRange { shard: 5_000 }));
    }
}
