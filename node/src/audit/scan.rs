//! Reading a snapshot from end to end, in chunks, so that a shard that stops need not wait for it.

use crest_ledger::packed::Reader;
use crest_ledger::records::{IdEntry, TransferRecord};
use crest_ledger::{AccountBalance, Timestamp, Transfer, TransferFlags};

use super::progress::Counters;
use crate::limits::AUDIT_CHUNK_ROWS;
use crate::store::rows::{Entry, Rows};
use crate::store::{StoreError, keys};

/// Why an audit did not come to its end.
#[derive(Debug)]
pub(crate) enum Interrupted {
    /// The shard is being stopped, or nobody waits for the answer any more.
    Stopping,
    /// The store can't be read.
    Damaged(String),
}

impl From<StoreError> for Interrupted {
    fn from(e: StoreError) -> Self {
        Self::Damaged(e.to_string())
    }
}

/// A result of an audit's parts.
pub(crate) type Outcome<T = ()> = Result<T, Interrupted>;

/// A snapshot that is being read.
#[derive(Clone, Copy)]
pub(crate) struct Scan<'a> {
    pub(crate) rows: &'a dyn Rows,
    /// Whether to give up: the shard is being stopped, or nobody waits for the answer any more.
    pub(crate) give_up: &'a dyn Fn() -> bool,
    pub(crate) counters: &'a Counters,
}

impl Scan<'_> {
    /// The next rows from `from` to `max`, both included, in their order; `from` moves behind them. `None` at the end. One
    /// that is shorter than [`AUDIT_CHUNK_ROWS`] is the last.
    pub(crate) fn chunk(&self, from: &mut Vec<u8>, max: &[u8]) -> Outcome<Option<Vec<Entry>>> {
        if from.as_slice() > max {
            return Ok(None);
        }
        let chunk = self.rows.range(from, max, false, AUDIT_CHUNK_ROWS)?;
        if (self.give_up)() {
            return Err(Interrupted::Stopping);
        }
        let Some((last, _)) = chunk.last() else { return Ok(None) };
        *from = [&last[..], &[0]].concat();
        self.counters.count(chunk.len());
        Ok(Some(chunk))
    }

    /// Shows all rows from `min` to `max`, both included, in their order and in chunks that are never empty.
    pub(crate) fn walk(&self, min: &[u8], max: &[u8], mut visit: impl FnMut(&[Entry]) -> Outcome) -> Outcome {
        let mut from = min.to_vec();
        while let Some(chunk) = self.chunk(&mut from, max)? {
            visit(&chunk)?;
            if chunk.len() < AUDIT_CHUNK_ROWS {
                break;
            }
        }
        Ok(())
    }

    /// Shows all rows of a table.
    pub(crate) fn table(&self, table: u8, visit: impl FnMut(&[Entry]) -> Outcome) -> Outcome {
        self.walk(&[table], &keys::table_end(table), visit)
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Outcome<Option<Vec<u8>>> {
        Ok(self.rows.get(key)?)
    }

    /// The balances in a row of an account's history; `None` when there is no such row, or it has none.
    pub(crate) fn history(&self, account_id: u128, at: Timestamp) -> Outcome<Option<AccountBalance>> {
        let value = self.get(&keys::history(account_id, at))?;
        Ok(value.and_then(|value| whole(&value, AccountBalance::unpack)))
    }

    /// What the table of ids says of these, in their order; `None` for what is not there or does not read back.
    pub(crate) fn ids(&self, ids: &[u128]) -> Outcome<Vec<Option<IdEntry>>> {
        let keys: Vec<Vec<u8>> = ids.iter().map(|id| keys::transfer_id(*id)).collect();
        let values = if keys.is_empty() { Vec::new() } else { self.rows.multi_get(&keys)? };
        Ok(values.into_iter().map(|value| whole(&value?, IdEntry::unpack)).collect())
    }

    /// The records with these timestamps, in their order; `None` for what is not there or does not read back.
    pub(crate) fn records(&self, times: &[Timestamp]) -> Outcome<Vec<Option<TransferRecord>>> {
        let keys: Vec<Vec<u8>> = times.iter().map(|at| keys::transfer(*at)).collect();
        let values = if keys.is_empty() { Vec::new() } else { self.rows.multi_get(&keys)? };
        Ok(keys.iter().zip(values).map(|(key, value)| record_of(key, &value?)).collect())
    }

    /// For each record the pending transfer that it resolves, if it resolves one and that one is there.
    pub(crate) fn resolved(&self, records: &[TransferRecord]) -> Outcome<Vec<Option<Transfer>>> {
        let resolving: Vec<usize> = (0..records.len()).filter(|i| resolves(&records[*i].transfer)).collect();
        let ids: Vec<u128> = resolving.iter().map(|i| records[*i].transfer.pending_id).collect();
        let entries = self.ids(&ids)?;
        // An id that failed has no record: nothing is found at the instant of its failure.
        let times: Vec<Timestamp> = entries.iter().map(|entry| entry.map_or(0, |e| e.timestamp)).collect();
        let mut resolved = vec![None; records.len()];
        for ((i, id), pending) in resolving.into_iter().zip(ids).zip(self.records(&times)?) {
            resolved[i] = pending.map(|p| p.transfer).filter(|p| p.id == id && !p.flags.any(TransferFlags::EXPIRY));
        }
        Ok(resolved)
    }
}

/// Whether a record takes what a pending transfer reserved.
pub(crate) fn resolves(t: &Transfer) -> bool {
    t.flags.any(TransferFlags::RESOLVES | TransferFlags::EXPIRY)
}

/// A value that is read back whole.
pub(crate) fn whole<T>(value: &[u8], unpack: impl Fn(&mut Reader<'_>) -> Option<T>) -> Option<T> {
    let mut reader = Reader(value);
    let read = unpack(&mut reader)?;
    reader.is_empty().then_some(read)
}

/// The record of a row; `None` when it does not read back, or is not of the instant that its key names.
pub(crate) fn record_of(key: &[u8], value: &[u8]) -> Option<TransferRecord> {
    whole(value, TransferRecord::unpack).filter(|r| keys::timestamp_of(key) == Some(r.transfer.timestamp))
}
