//! What a store is made of: sorted rows of bytes, read at will and changed by one sorted file at a time.
//!
//! [`super::rocks`] is RocksDB behind it; the simulation has rows in memory.

use std::sync::Arc;

use super::StoreError;
use crate::snapshot::Export;

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Rows that can be read.
pub trait Rows {
    /// The value of one key.
    ///
    /// # Errors
    /// When the rows can't be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The values of many keys, in their order.
    ///
    /// # Errors
    /// As of [`Rows::get`].
    fn multi_get(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// The first `limit` rows from `min` to `max`, both included: in the order of keys, or in the reverse one.
    ///
    /// # Errors
    /// As of [`Rows::get`].
    fn range(&self, min: &[u8], max: &[u8], reverse: bool, limit: usize) -> Result<Vec<Entry>, StoreError>;
}

/// Rows that can be changed. Whoever has them shares them between threads.
pub trait Storage: Rows + Send + Sync {
    /// Where they are, for people.
    fn path(&self) -> String;

    /// Writes one row, durably. For what is written once, when the store is made.
    ///
    /// # Errors
    /// When it is not known to be durable.
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError>;

    /// Begins a sorted file of changes.
    ///
    /// # Errors
    /// When the file can't be made.
    fn sorted_file(&self) -> Result<Box<dyn SortedFile + '_>, StoreError>;

    /// The rows as they are now, whatever changes afterwards.
    fn snapshot(&self) -> Box<dyn Rows + '_>;

    /// The files of the rows as they are now, whatever changes afterwards.
    ///
    /// # Errors
    /// When they can't be made, or this storage has no files.
    fn export(&self) -> Result<Arc<dyn Export>, StoreError> {
        Err(StoreError::Damaged { path: self.path(), what: "this storage has no files to offer".to_owned() })
    }

    /// What the storage says of itself: names of metrics, and their values.
    fn figures(&self) -> Vec<(&'static str, u64)>;
}

/// Changes on their way into the rows.
pub trait SortedFile {
    /// Adds a change: a new value, or `None` to remove the row. Keys come in their order.
    ///
    /// # Errors
    /// When the file can't be written.
    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError>;

    /// Puts all changes into the rows at once: after a crash all of them are there, or none. Durable when this returns.
    ///
    /// # Errors
    /// When that is not known to have happened: the shard has to stop.
    fn ingest(self: Box<Self>) -> Result<(), StoreError>;
}
