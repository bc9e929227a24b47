//! The rows of a new store, on their way into sorted files of a bounded size.

use crate::store::StoreError;
use crate::store::rows::{SortedFile, Storage};

/// Bytes after which a file is ended: RocksDB rewrites whole files.
const FILE_BYTES: usize = 256 << 20;
/// Rows between two times that somebody hears of them.
const ROWS_TOLD: u64 = 65_536;

/// Sorted files, one after the other.
pub(super) struct Sorted<'a> {
    rows: &'a dyn Storage,
    file: Option<Box<dyn SortedFile + 'a>>,
    bytes: usize,
    untold: u64,
    seen: &'a mut dyn FnMut(u64),
}

impl<'a> Sorted<'a> {
    pub(super) fn new(rows: &'a dyn Storage, seen: &'a mut dyn FnMut(u64)) -> Self {
        Self { rows, file: None, bytes: 0, untold: 0, seen }
    }

    /// Adds a row. Keys come in their order until the next [`Sorted::end`].
    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if self.file.is_none() {
            self.file = Some(self.rows.sorted_file()?);
        }
        if let Some(file) = &mut self.file {
            file.put(key, Some(value))?;
        }
        self.bytes += key.len() + value.len();
        self.untold += 1;
        if self.untold >= ROWS_TOLD {
            self.tell();
        }
        if self.bytes >= FILE_BYTES { self.end() } else { Ok(()) }
    }

    /// Puts what there is into the store.
    pub(super) fn end(&mut self) -> Result<(), StoreError> {
        self.bytes = 0;
        self.tell();
        self.file.take().map_or(Ok(()), SortedFile::ingest)
    }

    fn tell(&mut self) {
        (self.seen)(std::mem::take(&mut self.untold));
    }
}
