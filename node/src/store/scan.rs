//! Lists by time, merged from the working state, the layer on its way to the store, and RocksDB.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crest_ledger::packed::Reader;
use crest_ledger::records::TransferRecord;
use crest_ledger::tables::Layer;
use crest_ledger::{AccountBalance, Timestamp};

use super::{Store, StoreError, keys};

/// A row of a list: its timestamp, and what is there.
pub type Row<V> = (Timestamp, V);

impl Store {
    /// Rows of an account's history in a time range, at most `limit`, in order. `new` is the working state's layer.
    pub fn history(
        &self,
        new: Option<&Layer>,
        account_id: u128,
        min: Timestamp,
        max: Timestamp,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<Row<Option<AccountBalance>>>, StoreError> {
        if min > max {
            return Ok(Vec::new());
        }
        let range = (account_id, min)..=(account_id, max);
        let layers = self.layers(new).map(|l| head(&l.history, range.clone(), newest_first, limit, |k| k.1));
        let unpack = |value: &[u8]| match value.is_empty() {
            true => Some(None),
            false => AccountBalance::unpack(&mut Reader(value)).map(Some),
        };
        let bounds = keys::history(account_id, min)..=keys::history(account_id, max);
        let cold = self.cold(bounds, newest_first, limit, unpack)?;
        Ok(merge(cold, layers, newest_first, limit))
    }

    /// Transfers and expiries in a time range.
    pub fn transfers_between(
        &self,
        new: &Layer,
        min: Timestamp,
        max: Timestamp,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<Row<TransferRecord>>, StoreError> {
        if min > max {
            return Ok(Vec::new());
        }
        let layers = self.layers(Some(new)).map(|l| head(&l.transfers, min..=max, newest_first, limit, |k| *k));
        let bounds = keys::transfer(min)..=keys::transfer(max);
        let cold = self.cold(bounds, newest_first, limit, |v| TransferRecord::unpack(&mut Reader(v)))?;
        Ok(merge(cold, layers, newest_first, limit))
    }

    /// Ids of the accounts created in a time range.
    pub fn accounts_between(
        &self,
        new: &Layer,
        min: Timestamp,
        max: Timestamp,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<Row<u128>>, StoreError> {
        if min > max {
            return Ok(Vec::new());
        }
        let layers = self.layers(Some(new)).map(|l| head(&l.account_times, min..=max, newest_first, limit, |k| *k));
        let bounds = keys::account_time(min)..=keys::account_time(max);
        let cold = self.cold(bounds, newest_first, limit, |v| Some(u128::from_le_bytes(v.try_into().ok()?)))?;
        Ok(merge(cold, layers, newest_first, limit))
    }

    /// Pending transfers that expire at or before `now`, soonest first, at most `limit`: each with the instant. Those before
    /// `from` are left out.
    pub fn due(
        &mut self,
        new: &Layer,
        from: (Timestamp, u128),
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, u128)>, StoreError> {
        if from > (now, u128::MAX) {
            return Ok(Vec::new());
        }
        let all = from == (0, 0);
        let range = from..=(now, u128::MAX);
        let mut above: BTreeMap<(Timestamp, u128), bool> = BTreeMap::new();
        for layer in self.layers(Some(new)).collect::<Vec<_>>().into_iter().rev() {
            above.extend(layer.expiries.range(range.clone()).map(|(k, present)| (*k, *present)));
        }
        let mut due: Vec<(Timestamp, u128)> = above.iter().filter(|(_, p)| **p).map(|(k, _)| *k).take(limit).collect();
        let (at, id) = from.max((self.expired_until, 0));
        // Of the soonest ones in the store, as many are hidden by the layers as those hold, at the most.
        let (from, until) = (keys::expiry(at, id), keys::expiry(now, u128::MAX));
        let stored = self.rows.range(&from, &until, false, limit.saturating_add(above.len()))?;
        let cold = stored.len();
        due.extend(stored.iter().filter_map(|(key, _)| keys::expiry_of(key)).filter(|e| !above.contains_key(e)));
        if all && above.is_empty() && cold == 0 {
            // Nothing is left below, anywhere: later scans need not walk over what RocksDB has yet to compact away.
            self.expired_until = now;
        }
        due.sort_unstable();
        due.truncate(limit);
        Ok(due)
    }

    /// The layers above RocksDB, newest first.
    fn layers<'a>(&'a self, new: Option<&'a Layer>) -> impl Iterator<Item = &'a Layer> {
        new.into_iter().chain(self.frozen.as_deref())
    }

    fn cold<V>(
        &self,
        bounds: RangeInclusive<Vec<u8>>,
        newest_first: bool,
        limit: usize,
        unpack: impl Fn(&[u8]) -> Option<V>,
    ) -> Result<Vec<Row<V>>, StoreError> {
        let mut rows = Vec::new();
        for (key, value) in self.rows.range(bounds.start(), bounds.end(), newest_first, limit)? {
            let (Some(at), Some(value)) = (keys::timestamp_of(&key), unpack(&value)) else {
                return Err(self.damaged(format!("the value of key {key:02x?}")));
            };
            rows.push((at, value));
        }
        Ok(rows)
    }
}

/// The first `limit` rows of a layer's table.
fn head<K: Ord, V: Copy>(
    table: &BTreeMap<K, V>,
    range: RangeInclusive<K>,
    newest_first: bool,
    limit: usize,
    time: impl Fn(&K) -> Timestamp,
) -> Vec<Row<V>> {
    let rows = table.range(range).map(|(k, v)| (time(k), *v));
    if newest_first { rows.rev().take(limit).collect() } else { rows.take(limit).collect() }
}

/// Each source holds its own first `limit` rows, so the first `limit` of all are among them. Newer layers win.
fn merge<V>(
    cold: Vec<Row<V>>,
    layers: impl Iterator<Item = Vec<Row<V>>>,
    newest_first: bool,
    limit: usize,
) -> Vec<Row<V>> {
    let layers: Vec<_> = layers.collect();
    if layers.iter().all(Vec::is_empty) {
        return cold;
    }
    let mut merged: BTreeMap<Timestamp, V> = cold.into_iter().collect();
    for layer in layers.into_iter().rev() {
        merged.extend(layer);
    }
    if newest_first { merged.into_iter().rev().take(limit).collect() } else { merged.into_iter().take(limit).collect() }
}
