//! A store's rows in memory. A sorted file is in them whole, or not at all.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crest_node::store::StoreError;
use crest_node::store::rows::{Entry, Rows, SortedFile, Storage};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Rows; they outlive every process.
#[derive(Debug, Default)]
pub(crate) struct MemoryRows(Mutex<Arc<Map>>);

impl MemoryRows {
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

    fn figures(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
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
