//! A cross-shard transfer is on both its shards, the same on each; a local one is on its own.

use std::collections::BTreeSet;

use crate::truth::Truth;

pub(super) fn check(truth: &Truth) -> Vec<String> {
    let mut wrong = Vec::new();
    for (transfer, shards) in truth.transfers.values() {
        let homes = [transfer.debit_account_id, transfer.credit_account_id].map(|id| truth.map.shard_of(id));
        let (homes, found) = (BTreeSet::from(homes), shards.iter().copied().collect::<BTreeSet<_>>());
        if homes != found || found.len() != shards.len() {
            wrong.push(format!("{transfer:?} belongs on shards {homes:?} and is on {shards:?}"));
        }
    }
    for (shard, at, record) in truth.records() {
        let first = truth.transfers.values().find(|(t, _)| t.timestamp == at && t.id == record.transfer.id);
        if first.is_some_and(|(t, _)| *t != record.transfer) {
            wrong.push(format!("shard {shard} has {:?}, and another shard differs", record.transfer));
        }
        let here = |id| truth.map.shard_of(id) == shard;
        let (debit, credit) = (here(record.transfer.debit_account_id), here(record.transfer.credit_account_id));
        if (debit, credit) != (record.sides.debit(), record.sides.credit()) {
            wrong.push(format!("shard {shard} thinks that it has other sides of {record:?}"));
        }
    }
    wrong
}
