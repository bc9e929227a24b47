//! Opens the store of a shard whose process is stopped, and changes rows in it.

use std::path::Path;
use std::sync::Arc;

use crest_ledger::packed::Reader;
use crest_ledger::records::{IdEntry, TransferRecord};
use crest_ledger::{Account, Transfer};
use crest_node::store::keys;
use crest_node::store::rocks::Rocks;
use crest_node::store::rows::{Rows, Storage};

/// The store of a shard, and what was in the rows that were changed.
pub(crate) struct Opened {
    rows: Arc<Rocks>,
    before: Changes,
}

impl Opened {
    /// Opens the store in the folder of a replica.
    pub(crate) fn new(folder: &Path) -> Self {
        let rows = Rocks::open(&folder.join("store"), folder).expect("nobody else has it open");
        Self { rows, before: Changes(Vec::new()) }
    }

    /// Closes the store. What was changed can be put back with [`Opened::undo`] of another one.
    pub(crate) fn close(self) -> Changes {
        self.before
    }

    fn get(&self, key: &[u8]) -> Vec<u8> {
        self.rows.get(key).expect("it can be read").expect("the row is there")
    }

    /// Writes or removes a row.
    pub(crate) fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.before.0.push((key.clone(), self.rows.get(&key).expect("it can be read")));
        self.write(&key, value.as_deref());
    }

    fn write(&self, key: &[u8], value: Option<&[u8]>) {
        let mut file = self.rows.sorted_file().expect("a file");
        file.put(key, value).expect("a row");
        file.ingest().expect("it is ingested");
    }

    /// Changes what the record of a transfer says.
    pub(crate) fn record(&mut self, t: &Transfer, change: impl Fn(&mut Transfer)) {
        let key = keys::transfer(t.timestamp);
        let mut record = TransferRecord::unpack(&mut Reader(&self.get(&key))).expect("a record");
        change(&mut record.transfer);
        self.put_record(&record);
    }

    /// Writes a record at its transfer's timestamp.
    pub(crate) fn put_record(&mut self, record: &TransferRecord) {
        let mut value = Vec::new();
        record.pack(&mut value);
        self.set(keys::transfer(record.transfer.timestamp), Some(value));
    }

    /// Changes an account.
    pub(crate) fn account(&mut self, id: u128, change: impl Fn(&mut Account)) {
        let mut account = Account::unpack(&mut Reader(&self.get(&keys::account(id)))).expect("an account");
        change(&mut account);
        self.put_account(&account);
    }

    /// Writes an account.
    pub(crate) fn put_account(&mut self, account: &Account) {
        let mut value = Vec::new();
        account.pack(&mut value);
        self.set(keys::account(account.id), Some(value));
    }

    /// Writes what became of a transfer id.
    pub(crate) fn id(&mut self, id: u128, entry: IdEntry) {
        let mut value = Vec::new();
        entry.pack(&mut value);
        self.set(keys::transfer_id(id), Some(value));
    }

    /// Puts back what was there.
    pub(crate) fn undo(&self, changes: Changes) {
        for (key, value) in changes.0.into_iter().rev() {
            self.write(&key, value.as_deref());
        }
    }
}

/// What was in the rows that were changed, in the order of the changes; nothing where there was no row.
pub(crate) struct Changes(Vec<(Vec<u8>, Option<Vec<u8>>)>);

/// Flips one byte in the middle of the largest file of the store in the folder of a replica. Answers the file's name.
pub(crate) fn flip_a_byte(folder: &Path) -> String {
    let files = std::fs::read_dir(folder.join("store")).expect("a folder").map(|file| file.expect("a file").path());
    let size = |path: &Path| std::fs::metadata(path).expect("a file").len();
    let largest = files.filter(|path| path.extension().is_some_and(|e| e == "sst")).max_by_key(|path| size(path));
    let largest = largest.expect("the store has a file");
    let mut bytes = std::fs::read(&largest).expect("it can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&largest, bytes).expect("it can be written");
    largest.file_name().expect("a name").to_string_lossy().into_owned()
}
