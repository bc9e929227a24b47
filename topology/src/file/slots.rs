//! Which slots the shards of a cluster file own.

use super::{ClusterFileError, FileShard, field, quoted};
use crate::map::{MapError, SlotMap, SlotRange};
use crate::slots::{SLOTS, ShardId, Slot};

/// The map at `epoch`. `ids` are the shards' numbers, in the order of the file.
pub(super) fn parse_map(epoch: u64, ids: &[ShardId], file: &[FileShard]) -> Result<SlotMap, ClusterFileError> {
    let with_slots = file.iter().position(|shard| shard.slots.is_some());
    let without_slots = file.iter().position(|shard| shard.slots.is_none());
    let mut ranges = Vec::new();
    let mut places = Vec::new();
    match (with_slots, without_slots) {
        (Some(with), Some(without)) => {
            let problem = format!(
                "is missing, but shard[{with}] has it: give `slots` for every shard ([] for none), or for no shard, \
                 and they share evenly"
            );
            return Err(field(format!("shard[{without}].slots"), problem));
        }
        (Some(_), None) => {
            for (n, shard) in file.iter().enumerate() {
                for (k, text) in shard.slots.iter().flatten().enumerate() {
                    let place = format!("shard[{n}].slots[{k}]");
                    let (first, last) = parse_range(text).map_err(|problem| field(&place, problem))?;
                    ranges.push(SlotRange { shard: ids[n], first, last });
                    places.push(place);
                }
            }
        }
        (None, _) => {
            let even = SlotMap::even(ids).map_err(|error| map_error(&error, &places))?;
            ranges = even.ranges();
        }
    }
    SlotMap::from_ranges(epoch, ids, &ranges).map_err(|error| map_error(&error, &places))
}

fn parse_range(text: &str) -> Result<(Slot, Slot), String> {
    let number = |digits: &str| {
        let slot = if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None };
        slot.filter(|&slot| usize::from(slot) < SLOTS)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err(format!(
            "{}: expected \"first-last\" or \"slot\" with 0 <= first <= last <= {}",
            quoted(text),
            SLOTS - 1
        )),
    }
}

fn map_error(error: &MapError, places: &[String]) -> ClusterFileError {
    match *error {
        MapError::Overlap { range, earlier, slot } if range < places.len() => {
            let problem = format!("slot {slot} is already in {}: take it out of one of the two", places[earlier]);
            field(&places[range], problem)
        }
        MapError::Gap { first, last } => field(
            "shard",
            format!("nobody owns slots {first}-{last}: add \"{first}-{last}\" to the `slots` of a shard"),
        ),
        _ => field("shard", error.to_string()),
    }
}
