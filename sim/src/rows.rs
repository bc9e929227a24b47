//! A store's rows in memory. A sorted file is in them whole, or not at all; other replicas can have them as files.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crest_node::snapshot::Export;
use crest_node::store::StoreError;
use crest_node::store::rows::{Entry, Rows, SortedFile, Storage};

/// Keys and values.
pub(crate) type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Bytes of one file of a snapshot.
const FILE_BYTES: usize = 4 << 10;

/// Rows; they outlive every process.
#[derive(Debug, Default)]
pub(crate) struct MemoryRows(Mutex<Arc<Map>>);

impl MemoryRows {
    pub(crate) fn new(rows: Map) -> Self {
        Self(Mutex::new(Arc::new(rows)))
    }

    /// All rows as they are now.
    pub(crate) fn all(&self) -> Arc<Map> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Map>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn range(map: &Map, min: &[u8], max: &[u8], reverse: bool, limit: usize) -> Vec<Entry> {
    if min > max {
        return Vec::new();
    }
    let rows = map.range::<[u8], _>((Bound::Included(min), Bound::Included(max)));
    let rows = rows.map(|(k, v)| (k.clone(), v.clone()));
    if reverse { rows.rev().take(limit).collect() } else { rows.take(limit).collect() }
}

impl Rows for MemoryRows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().get(key).cloned())
    }

    fn multi_get(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let map = self.lock();
        Ok(keys.iter().map(|key| map.get(key).cloned()).collect())
    }

    fn range(&self, min: &[u8], max: &[u8], reverse: bool, limit: usize) -> Result<Vec<Entry>, StoreError> {
        Ok(range(&self.lock(), min, max, reverse, limit))
    }
}

impl Storage for MemoryRows {
    fn path(&self) -> String {
        "memory".to_owned()
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        Arc::make_mut(&mut self.lock()).insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn sorted_file(&self) -> Result<Box<dyn SortedFile + '_>, StoreError> {
        Ok(Box::new(MemoryFile { rows: self, changes: Vec::new() }))
    }

    fn snapshot(&self) -> Box<dyn Rows + '_> {
        Box::new(Snapshot(self.lock().clone()))
    }

    fn export(&self) -> Result<Arc<dyn Export>, StoreError> {
        let mut bytes = Vec::new();
        for (key, value) in &*self.lock().clone() {
            for part in [key, value] {
                bytes.extend((part.len() as u32).to_le_bytes());
                bytes.extend(part);
            }
        }
        Ok(Arc::new(Files(bytes)))
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// Rows as files: all of them one after the other, cut into pieces.
struct Files(Vec<u8>);

impl Export for Files {
    fn files(&self) -> Vec<(String, u64)> {
        let files = self.0.chunks(FILE_BYTES).enumerate();
        files.map(|(n, bytes)| (format!("rows-{n:06}"), bytes.len() as u64)).collect()
    }

    fn read(&self, file: &str, offset: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        let missing = || StoreError::Damaged { path: "memory".to_owned(), what: format!("there is no file {file}") };
        let number: usize = file.strip_prefix("rows-").and_then(|n| n.parse().ok()).ok_or_else(missing)?;
        let bytes = self.0.chunks(FILE_BYTES).nth(number).ok_or_else(missing)?;
        // Several pieces a file, however small it is.
        Ok(bytes.iter().skip(offset as usize).take(length.min(FILE_BYTES / 3)).copied().collect())
    }
}

/// The rows that were cut into files, in the order of the files' names.
pub(crate) fn rows_of<'a>(files: impl Iterator<Item = &'a Vec<u8>>) -> Option<Map> {
    let bytes: Vec<u8> = files.flatten().copied().collect();
    let mut rest = &bytes[..];
    let mut part = || {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let (part, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        rest = behind;
        Some(part.to_vec())
    };
    let mut rows = Map::new();
    while let Some(key) = part() {
        rows.insert(key, part()?);
    }
    rest.is_empty().then_some(rows)
}

struct Snapshot(Arc<Map>);

impl Rows for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(key).cloned())
    }

    fn multi_get(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        Ok(keys.iter().map(|key| self.0.get(key).cloned()).collect())
    }

    fn range(&self, min: &[u8], max: &[u8], reverse: bool, limit: usize) -> Result<Vec<Entry>, StoreError> {
        Ok(range(&self.0, min, max, reverse, limit))
    }
}

struct MemoryFile<'a> {
    rows: &'a MemoryRows,
    changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl SortedFile for MemoryFile<'_> {
    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        // As RocksDB's writer does.
        let last = self.changes.last().map(|(last, _)| last.as_slice());
        assert!(last.is_none_or(|last| last < key), "a sorted file gets its keys in their order");
        self.changes.push((key.to_vec(), value.map(<[u8]>::to_vec)));
        Ok(())
    }

    fn ingest(self: Box<Self>) -> Result<(), StoreError> {
        let mut map = self.rows.lock();
        let map = Arc::make_mut(&mut map);
        for (key, value) in self.changes {
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
        Ok(())
    }
}
