//! Loading what a command needs: from the layer on its way to the store, then from the rows in one batched read a table.

use crest_ledger::needs::Needs;
use crest_ledger::packed::Reader;
use crest_ledger::records::{IdEntry, TransferRecord};
use crest_ledger::tables::Tables;
use crest_ledger::{Account, Timestamp};

use super::{Store, StoreError, keys};

impl Store {
    /// Loads everything that `needs` names.
    ///
    /// # Errors
    /// When the store can't be read or holds what does not read back: the shard has to stop.
    pub fn load(&self, needs: &mut Needs, tables: &mut Tables) -> Result<(), StoreError> {
        sort(&mut needs.ids);
        sort(&mut needs.transfers);
        sort(&mut needs.accounts);
        self.ids(&needs.ids, |id, found| tables.load_id(id, found))?;
        self.transfers(&needs.transfers, |at, found| tables.load_transfer(at, found))?;
        self.accounts(&needs.accounts, |id, found| tables.load_account(id, found))?;
        for at in &needs.account_times {
            if self.account_created_at(*at)? {
                tables.load_account_time(*at);
            }
        }
        for (account_id, at) in &needs.history_after {
            self.history_after(*account_id, *at, tables)?;
        }
        Ok(())
    }

    /// Reads transfer ids.
    pub(crate) fn ids(&self, ids: &[u128], mut found: impl FnMut(u128, Option<IdEntry>)) -> Result<(), StoreError> {
        let frozen = |id: &u128| self.frozen.as_ref()?.ids.get(id).copied();
        self.each(ids, frozen, |id| keys::transfer_id(*id), IdEntry::unpack, |id, v| found(*id, v))
    }

    /// Reads records by timestamp.
    pub(crate) fn transfers(
        &self,
        times: &[Timestamp],
        mut found: impl FnMut(Timestamp, Option<TransferRecord>),
    ) -> Result<(), StoreError> {
        let frozen = |at: &Timestamp| self.frozen.as_ref()?.transfers.get(at).copied();
        self.each(times, frozen, |at| keys::transfer(*at), TransferRecord::unpack, |at, v| found(*at, v))
    }

    /// Reads accounts.
    pub(crate) fn accounts(
        &self,
        ids: &[u128],
        mut found: impl FnMut(u128, Option<Account>),
    ) -> Result<(), StoreError> {
        let frozen = |id: &u128| self.frozen.as_ref()?.accounts.get(id).copied();
        self.each(ids, frozen, |id| keys::account(*id), Account::unpack, |id, v| found(*id, v))
    }

    fn account_created_at(&self, at: Timestamp) -> Result<bool, StoreError> {
        let frozen = self.frozen.as_ref().is_some_and(|l| l.account_times.contains_key(&at));
        Ok(frozen || self.get(keys::account_time(at))?.is_some())
    }

    /// The rows of an account's history after an instant, with their records and what those resolved.
    fn history_after(&self, account_id: u128, at: Timestamp, tables: &mut Tables) -> Result<(), StoreError> {
        let rows = self.history(None, account_id, at.saturating_add(1), Timestamp::MAX, false, usize::MAX)?;
        tables.load_history_after(account_id, at);
        let times: Vec<Timestamp> = rows.iter().map(|(at, _)| *at).collect();
        let mut resolved = Vec::new();
        self.transfers(&times, |at, record| {
            resolved.extend(record.map(|r| r.transfer.pending_id).filter(|id| *id != 0));
            tables.load_transfer(at, record);
        })?;
        for (at, row) in rows {
            tables.load_history(account_id, at, row);
        }
        sort(&mut resolved);
        let mut pending_times = Vec::new();
        self.ids(&resolved, |id, entry| {
            pending_times.extend(entry.map(|e| e.timestamp));
            if tables.lacks_id(id) {
                tables.load_id(id, entry);
            }
        })?;
        self.transfers(&pending_times, |at, record| tables.load_transfer(at, record))
    }

    /// Finds each of `wanted`: in the frozen layer, or else all the others in one read of the store.
    fn each<K: Copy, V>(
        &self,
        wanted: &[K],
        frozen: impl Fn(&K) -> Option<V>,
        key: impl Fn(&K) -> Vec<u8>,
        unpack: impl Fn(&mut Reader<'_>) -> Option<V>,
        mut found: impl FnMut(&K, Option<V>),
    ) -> Result<(), StoreError> {
        let mut cold = Vec::new();
        for k in wanted {
            match frozen(k) {
                Some(v) => found(k, Some(v)),
                None => cold.push(*k),
            }
        }
        if cold.is_empty() {
            return Ok(());
        }
        let cold_keys: Vec<Vec<u8>> = cold.iter().map(&key).collect();
        for (k, value) in cold.iter().zip(self.rows.multi_get(&cold_keys)?) {
            let value = match value {
                None => None,
                Some(bytes) => {
                    let read = unpack(&mut Reader(&bytes));
                    Some(read.ok_or_else(|| self.damaged(format!("the value of key {:02x?}", key(k))))?)
                }
            };
            found(k, value);
        }
        Ok(())
    }
}

fn sort<T: Ord>(keys: &mut Vec<T>) {
    keys.sort_unstable();
    keys.dedup();
}
