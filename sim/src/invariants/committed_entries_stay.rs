//! What one replica has applied, every replica applies, at the same place: a committed entry is never lost, changed or left out
//! ("State Machine Safety" in Ongaro and Ousterhout 2014).

use crate::ending::Kept;
use crate::record::OfShard;

pub(super) fn check(shards: &[OfShard], kept: &[Kept]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (shard, of) in shards.iter().enumerate() {
        for (node, index, (term, hash)) in &of.otherwise {
            let before = of.applied.get(*index as usize - 1);
            wrong.push(format!(
                "node {node} of shard {shard} applied {hash:016x} of term {term} as entry {index}, which was {before:x?}"
            ));
        }
        for kept in kept.iter().filter(|k| k.shard as usize == shard && k.index < k.known) {
            let (node, index, known) = (kept.node, kept.index, kept.known);
            wrong.push(format!("node {node} of shard {shard} ends at entry {index}, and entry {known} was applied"));
        }
    }
    wrong
}
