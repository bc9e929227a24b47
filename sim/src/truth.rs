//! What the ledger holds at the end of a run, read from the rows of all shards.

use std::collections::BTreeMap;

use crest_ledger::records::{IdEntry, TransferRecord};
use crest_ledger::{Account, Timestamp, Transfer, TransferFlags};
use crest_node::store::contents::Contents;
use crest_topology::SlotMap;

/// Everything, of all shards.
pub(crate) struct Truth {
    pub(crate) map: SlotMap,
    /// By shard.
    pub(crate) shards: Vec<Contents>,
    /// Each transfer and expiry once, with the shards that have it, by timestamp and id.
    pub(crate) transfers: BTreeMap<(Timestamp, u128), (Transfer, Vec<u32>)>,
    /// By id; expiries are not transfers.
    pub(crate) by_id: BTreeMap<u128, Vec<Transfer>>,
    pub(crate) accounts: BTreeMap<u128, Account>,
}

impl Truth {
    pub(crate) fn new(map: SlotMap, shards: Vec<Contents>) -> Self {
        let mut truth = Self {
            map,
            transfers: BTreeMap::new(),
            by_id: BTreeMap::new(),
            accounts: BTreeMap::new(),
            shards: Vec::new(),
        };
        for (shard, contents) in (0..).zip(&shards) {
            for (at, record) in &contents.transfers {
                let transfer = record.transfer;
                let key = (*at, if is_expiry(&transfer) { transfer.pending_id } else { transfer.id });
                truth.transfers.entry(key).or_insert_with(|| (transfer, Vec::new())).1.push(shard);
            }
            truth.accounts.extend(contents.accounts.iter().map(|a| (a.id, *a)));
        }
        for (transfer, _) in truth.transfers.values().filter(|(t, _)| !is_expiry(t)) {
            truth.by_id.entry(transfer.id).or_default().push(*transfer);
        }
        truth.shards = shards;
        truth
    }

    /// The transfer with an id, if there is one.
    pub(crate) fn transfer(&self, id: u128) -> Option<&Transfer> {
        self.by_id.get(&id)?.first()
    }

    /// Every record of every shard.
    pub(crate) fn records(&self) -> impl Iterator<Item = (u32, Timestamp, &TransferRecord)> {
        (0..).zip(&self.shards).flat_map(|(shard, c)| c.transfers.iter().map(move |(at, r)| (shard, *at, r)))
    }

    /// What became of every id on every shard.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (u32, u128, IdEntry)> {
        (0..).zip(&self.shards).flat_map(|(shard, c)| c.ids.iter().map(move |(id, e)| (shard, *id, *e)))
    }
}

/// Whether a record is the expiry of a pending transfer.
pub(crate) fn is_expiry(t: &Transfer) -> bool {
    t.flags.any(TransferFlags::EXPIRY)
}
