//! Where a machine's rows live: in memory, which outlives every process, but not the loss of the disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crest_node::store::StoreError;
use crest_node::store::home::Home;
use crest_node::store::rows::Storage;

use crate::disk::MemoryDisk;
use crate::rows::{Map, MemoryRows, rows_of};
use crate::world::lock;

/// The rows of one machine, and a snapshot that is on its way to take their place. It fails as its disk does.
pub(crate) struct MemoryHome {
    disk: MemoryDisk,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    rows: Arc<MemoryRows>,
    incoming: Incoming,
    complete: Option<Map>,
}

/// A snapshot of which some pieces are here.
#[derive(Default)]
struct Incoming {
    name: String,
    /// By name: how long the file is, and what is here of it.
    files: BTreeMap<String, (u64, Vec<u8>)>,
}

impl MemoryHome {
    pub(crate) fn new(disk: MemoryDisk) -> Self {
        Self { disk, inner: Mutex::default() }
    }

    /// The rows as they are.
    pub(crate) fn rows(&self) -> Arc<Map> {
        lock(&self.inner).rows.all()
    }

    /// The power fails: of pieces that were not synced, some beginning is kept. All else was durable before anybody was told.
    pub(crate) fn lose_power(&self) {
        for (_, bytes) in lock(&self.inner).incoming.files.values_mut() {
            bytes.truncate(self.disk.kept_of(bytes.len()));
        }
    }

    /// Everything is lost.
    pub(crate) fn replace(&self) {
        *lock(&self.inner) = Inner::default();
    }

    fn write(&self, syncs: bool) -> Result<(), StoreError> {
        self.disk.write_elsewhere(syncs).map_err(|source| StoreError::Io { path: "memory".to_owned(), source })
    }
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged { path: "memory".to_owned(), what: what.to_owned() }
}

impl Home for MemoryHome {
    fn open(&self) -> Result<Arc<dyn Storage>, StoreError> {
        Ok(lock(&self.inner).rows.clone())
    }

    fn begin(&self, name: &str, files: &[(String, u64)]) -> Result<(), StoreError> {
        let mut inner = lock(&self.inner);
        if inner.incoming.name != name {
            self.write(false)?;
            let file = |(name, length): &(String, u64)| (name.clone(), (*length, Vec::new()));
            inner.incoming = Incoming { name: name.to_owned(), files: files.iter().map(file).collect() };
            inner.complete = None;
        }
        Ok(())
    }

    fn received(&self, file: &str) -> Result<u64, StoreError> {
        Ok(lock(&self.inner).incoming.files.get(file).map_or(0, |(_, bytes)| bytes.len() as u64))
    }

    fn receive(&self, file: &str, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.write(false)?;
        let mut inner = lock(&self.inner);
        let (_, here) = inner.incoming.files.get_mut(file).ok_or_else(|| damaged("no such file"))?;
        here.resize(offset as usize, 0);
        here.extend(bytes);
        Ok(())
    }

    fn complete(&self) -> Result<(), StoreError> {
        self.write(true)?;
        let mut inner = lock(&self.inner);
        let incoming = std::mem::take(&mut inner.incoming);
        if incoming.files.values().any(|(length, bytes)| bytes.len() as u64 != *length) {
            return Err(damaged("a piece is missing"));
        }
        let rows = rows_of(incoming.files.values().map(|(_, bytes)| bytes));
        inner.complete = Some(rows.ok_or_else(|| damaged("the pieces do not fit together"))?);
        Ok(())
    }

    fn swap(&self) -> Result<(), StoreError> {
        self.write(true)?;
        let mut inner = lock(&self.inner);
        if let Some(rows) = inner.complete.take() {
            inner.rows = Arc::new(MemoryRows::new(rows));
        }
        Ok(())
    }
}
