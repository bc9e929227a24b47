//! Replicas of a shard that have applied the same entries hold the same, byte for byte.

use crate::ending::Kept;

pub(super) fn check(kept: &[Kept]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (n, one) in kept.iter().enumerate() {
        let Some(other) = kept[..n].iter().find(|other| other.shard == one.shard) else { continue };
        let at = format!("nodes {} and {} of shard {} at entry {}", other.node, one.node, one.shard, one.index);
        if other.index != one.index {
            wrong.push(format!("{at}, and the other one at {}", other.index));
        } else if other.rows != one.rows {
            let differs = |key: &&Vec<u8>| other.rows.get(*key) != one.rows.get(*key);
            let key = one.rows.keys().chain(other.rows.keys()).find(differs);
            let rows = key.map(|key| (other.rows.get(key), one.rows.get(key)));
            wrong.push(format!("{at}: key {key:02x?} is {rows:02x?}"));
        }
    }
    wrong
}
