//! Every account is on the shard that owns it, and on no other.

use crate::truth::Truth;

pub(super) fn check(truth: &Truth) -> Vec<String> {
    let all = (0..).zip(&truth.shards).flat_map(|(shard, c)| c.accounts.iter().map(move |a| (shard, a.id)));
    let wrong = all.filter(|(shard, id)| truth.map.shard_of(*id) != *shard);
    wrong.map(|(shard, id)| format!("account {id:x} is on shard {shard}")).collect()
}
