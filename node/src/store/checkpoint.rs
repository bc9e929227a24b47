//! Checkpoints: a layer becomes one sorted file, the applied position in it, and is ingested whole.
//!
//! One file and one ingest make it atomic: after a crash the store is some exact earlier prefix of the log. A background
//! thread writes it, off the path of any answer.

use std::sync::Arc;

use crest_ledger::packed::{Reader, Writer};
use crest_ledger::tables::{Layer, Scalars};
use crest_ledger::wire::stored;

use super::rows::{SortedFile, Storage};
use super::{StoreError, keys, rehearsals};
use crate::consensus::{Members, SnapshotMeta};
use crate::points;

/// What one checkpoint stores.
pub struct Checkpoint {
    /// What changed since the one before.
    pub layer: Arc<Layer>,
    /// The shard's numbers.
    pub scalars: Scalars,
    /// The last log entry whose effects are in it, and the group then.
    pub(crate) group: SnapshotMeta,
}

/// The term of the applied position and the members of the group then, as the value of one entry.
pub(crate) fn pack_group(group: &SnapshotMeta) -> Vec<u8> {
    let mut out = Vec::new();
    Writer(&mut out).u64(group.index).u64(group.term);
    group.members.pack(&mut out);
    out
}

/// The inverse of [`pack_group`].
pub(crate) fn unpack_group(bytes: &[u8]) -> Option<SnapshotMeta> {
    let mut r = Reader(bytes);
    let (index, term) = (r.u64()?, r.u64()?);
    let members = Members::unpack(&mut r)?;
    r.is_empty().then_some(SnapshotMeta { index, term, members })
}

/// The applied position and the shard's numbers, as the value of one entry.
pub(crate) fn pack_position(scalars: &Scalars, applied: u64) -> Vec<u8> {
    let mut out = Vec::new();
    Writer(&mut out).u64(applied).u64(scalars.clock).u64(scalars.last_account).u64(scalars.last_transfer);
    Writer(&mut out).u64(scalars.accounts).u64(scalars.transfers);
    out
}

/// The inverse of [`pack_position`]. What is counted of rehearsals stands elsewhere ([`rehearsals`]).
pub(crate) fn unpack_position(bytes: &[u8]) -> Option<(Scalars, u64)> {
    let mut r = Reader(bytes);
    let applied = r.u64()?;
    let scalars = Scalars {
        clock: r.u64()?,
        last_account: r.u64()?,
        last_transfer: r.u64()?,
        accounts: r.u64()?,
        transfers: r.u64()?,
        ..Scalars::default()
    };
    r.is_empty().then_some((scalars, applied))
}

impl Checkpoint {
    /// Writes it into the rows. Durable when this returns.
    ///
    /// # Errors
    /// When the disk or the storage fails: the shard has to stop, and starts again from the checkpoint before.
    pub fn write(&self, rows: &dyn Storage) -> Result<(), StoreError> {
        points::CHECKPOINT_BEGUN.pass();
        let mut file = rows.sorted_file()?;
        self.put_all(&mut *file)?;
        file.ingest()
    }

    /// Every change in the order of keys.
    fn put_all(&self, file: &mut dyn SortedFile) -> Result<(), StoreError> {
        let layer = &self.layer;
        let mut value = Vec::new();
        file.put(&keys::meta("position"), Some(&pack_position(&self.scalars, self.group.index)))?;
        file.put(&keys::meta("raft"), Some(&pack_group(&self.group)))?;
        file.put(&keys::meta("rehearsals"), Some(&rehearsals::pack(&self.scalars, self.group.index)))?;

        let mut accounts: Vec<_> = layer.accounts.values().map(|a| (keys::account(a.id), a)).collect();
        accounts.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (key, account) in accounts {
            value.clear();
            account.pack(&mut value);
            file.put(&key, Some(&value))?;
        }
        for (at, id) in &layer.account_times {
            file.put(&keys::account_time(*at), Some(&id.to_le_bytes()))?;
        }
        let mut ids: Vec<_> = layer.ids.iter().collect();
        ids.sort_unstable_by_key(|(id, _)| **id);
        for (id, entry) in ids {
            value.clear();
            entry.pack(&mut value);
            file.put(&keys::transfer_id(*id), Some(&value))?;
        }
        points::CHECKPOINT_HALF.pass();
        for (at, record) in &layer.transfers {
            value.clear();
            record.pack(&mut value);
            file.put(&keys::transfer(*at), Some(&value))?;
        }
        let mut history: Vec<_> = layer.history.iter().map(|((id, at), row)| (keys::history(*id, *at), row)).collect();
        history.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (key, row) in history {
            value.clear();
            if let Some(balance) = row {
                balance.pack(&mut value);
            }
            file.put(&key, Some(&value))?;
        }
        for ((at, id), present) in &layer.expiries {
            file.put(&keys::expiry(*at, *id), present.then_some(&[]))?;
        }
        txns(keys::HOLD, &layer.holds, stored::pack_hold, file)?;
        txns(keys::OUTBOX, &layer.outbox, stored::pack_decision, file)?;
        txns(keys::TOMBSTONE, &layer.tombstones, stored::pack_tombstone, file)?;
        txns(keys::RESOLUTION, &layer.resolutions, stored::pack_resolution, file)
    }
}

fn txns<V>(
    table: u8,
    rows: &std::collections::BTreeMap<crest_ledger::txn::TxnId, Option<V>>,
    pack: impl Fn(&V, &mut Vec<u8>),
    file: &mut dyn SortedFile,
) -> Result<(), StoreError> {
    for (txn, row) in rows {
        let mut value = Vec::new();
        if let Some(row) = row {
            pack(row, &mut value);
        }
        file.put(&keys::txn(table, txn), row.as_ref().map(|_| &value[..]))?;
    }
    Ok(())
}
