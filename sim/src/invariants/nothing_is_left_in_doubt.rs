//! Every hold ends, and every decision reaches everybody.

use crate::truth::Truth;

pub(super) fn check(truth: &Truth) -> Vec<String> {
    let mut wrong = Vec::new();
    for (shard, contents) in (0..).zip(&truth.shards) {
        wrong.extend(contents.holds.iter().map(|hold| format!("shard {shard} holds {hold:?}")));
        wrong.extend(contents.outbox.iter().map(|left| format!("shard {shard} has not finished {left:?}")));
    }
    wrong
}
