//! Everything that a store's rows hold, read as what it means: for the simulation, whose checks trust nothing that the shard
//! itself says.

use crest_ledger::decisions::Decision;
use crest_ledger::holds::Hold;
use crest_ledger::packed::Reader;
use crest_ledger::records::{IdEntry, TransferRecord};
use crest_ledger::txn::TxnId;
use crest_ledger::wire::stored;
use crest_ledger::{Account, Timestamp};

use super::rows::Rows;
use super::{StoreError, keys};

/// What one shard has stored.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Accounts, by slot and id.
    pub accounts: Vec<Account>,
    /// Records, by the timestamp of their key.
    pub transfers: Vec<(Timestamp, TransferRecord)>,
    /// What became of transfer ids.
    pub ids: Vec<(u128, IdEntry)>,
    /// Open holds.
    pub holds: Vec<Hold>,
    /// Decisions that wait for an acknowledgement.
    pub outbox: Vec<(TxnId, Decision)>,
}

impl Contents {
    /// Reads the rows.
    ///
    /// # Errors
    /// When they can't be read, or a value does not read back.
    pub fn read(rows: &dyn Rows) -> Result<Self, StoreError> {
        let table = |table: u8| rows.range(&[table], &keys::table_end(table), false, usize::MAX);
        let damaged = |key: &[u8]| StoreError::Damaged { path: "rows".to_owned(), what: format!("key {key:02x?}") };
        let mut contents = Self::default();
        for (key, value) in table(keys::ACCOUNT)? {
            contents.accounts.push(Account::unpack(&mut Reader(&value)).ok_or_else(|| damaged(&key))?);
        }
        for (key, value) in table(keys::TRANSFER)? {
            let record = TransferRecord::unpack(&mut Reader(&value));
            contents.transfers.push(keys::timestamp_of(&key).zip(record).ok_or_else(|| damaged(&key))?);
        }
        for (key, value) in table(keys::TRANSFER_ID)? {
            let entry = IdEntry::unpack(&mut Reader(&value));
            contents.ids.push(keys::transfer_id_of(&key).zip(entry).ok_or_else(|| damaged(&key))?);
        }
        for (key, value) in table(keys::HOLD)? {
            contents.holds.push(stored::unpack_hold(&value).ok_or_else(|| damaged(&key))?);
        }
        for (key, value) in table(keys::OUTBOX)? {
            let decision = stored::unpack_decision(&value);
            contents.outbox.push(keys::txn_of(&key).zip(decision).ok_or_else(|| damaged(&key))?);
        }
        Ok(contents)
    }
}
