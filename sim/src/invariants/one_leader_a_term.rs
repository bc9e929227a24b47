//! No two replicas of a shard lead in the same term ("Election Safety" in Ongaro and Ousterhout 2014).

use crate::record::OfShard;

pub(super) fn check(shards: &[OfShard]) -> Vec<String> {
    let all = shards.iter().enumerate().flat_map(|(shard, of)| of.leaders.iter().map(move |(t, l)| (shard, t, l)));
    let several = all.filter(|(_, _, leaders)| leaders.len() > 1);
    several.map(|(shard, term, leaders)| format!("shard {shard} had leaders {leaders:x?} in term {term}")).collect()
}
