//! A disk in memory that forgets what was not synced.
//!
//! What a process writes goes into a cache, sector by sector; a sync makes a file's sectors durable, a sync of the directory
//! its names. When the power fails, each unsynced sector is kept or lost on its own, and of the unsynced changes of names a
//! random number of the oldest are kept. When only the process dies, the cache stays.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crest_conformance::random::Random;
use crest_node::log::disk::{Disk, DiskFile};

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

/// How the disk fails just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Failing {
    /// Not at all.
    #[default]
    No,
    /// Every write fails: it is full.
    Full,
    /// Every sync fails, and the cache believes afterwards that it has succeeded.
    Syncs,
    /// The next sync fails likewise, and those after it succeed: who asks again is told that all is well.
    NextSync,
    /// So many further calls succeed, and none after them: for a process that dies between two of them.
    After(u64),
}

/// A disk; clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct MemoryDisk(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    random: Random,
    files: Vec<File>,
    /// As processes see them.
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Since the last sync of the directory.
    changes: Vec<Change>,
    failing: Failing,
    failures: u64,
}

#[derive(Clone, Debug)]
enum Change {
    Name(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Debug, Default)]
struct File {
    durable: Vec<u8>,
    cached: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl MemoryDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            random: Random::new(seed),
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            failing: Failing::No,
            failures: 0,
        })))
    }

    /// From now on it fails like this.
    pub(crate) fn fail(&self, failing: Failing) {
        self.lock().failing = failing;
    }

    /// How many calls have failed so far.
    pub(crate) fn failures(&self) -> u64 {
        self.lock().failures
    }

    /// Another disk is put in its place, with nothing on it.
    pub(crate) fn replace(&self) {
        let mut inner = self.lock();
        (inner.files, inner.changes) = (Vec::new(), Vec::new());
        inner.names.clear();
        inner.durable_names.clear();
        inner.failing = Failing::No;
    }

    /// Something else than a file is written on it, or synced.
    ///
    /// # Errors
    /// When the disk fails just now.
    pub(crate) fn write_elsewhere(&self, syncs: bool) -> io::Result<()> {
        let mut inner = self.lock();
        if syncs { inner.attempt_sync() } else { inner.attempt(true) }
    }

    /// How much of so many bytes that were not synced is kept when the power fails.
    pub(crate) fn kept_of(&self, length: usize) -> usize {
        self.lock().random.below(length as u64 + 1) as usize
    }

    /// The power fails: what was not synced is lost, in part.
    pub(crate) fn lose_power(&self) {
        self.lock().lose_power();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn lose_power(&mut self) {
        let Self { random, files, names, durable_names, changes, .. } = self;
        // Some power failures lose all, some lose nothing, most lose some.
        let keep_percent = random.pick(&[0, 50, 50, 90, 100]).unwrap_or(50);
        for file in files.iter_mut() {
            let length = if random.chance(keep_percent) { file.cached.len() } else { file.durable.len() };
            file.durable.resize(length, 0);
            for sector in std::mem::take(&mut file.dirty) {
                if random.chance(keep_percent) {
                    file.persist(sector);
                }
            }
            file.cached.clone_from(&file.durable);
        }
        let kept = random.below(changes.len() as u64 + 1) as usize;
        for change in changes.drain(..).take(kept) {
            change.apply(durable_names);
        }
        names.clone_from(durable_names);
    }

    fn attempt(&mut self, writes: bool) -> io::Result<()> {
        self.pass()?;
        if writes && self.failing == Failing::Full {
            self.failures += 1;
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }

    fn attempt_sync(&mut self) -> io::Result<()> {
        self.pass()?;
        if matches!(self.failing, Failing::Syncs | Failing::NextSync) {
            self.failures += 1;
            if self.failing == Failing::NextSync {
                self.failing = Failing::No;
            }
            return Err(io::Error::other("the device reports an input/output error"));
        }
        Ok(())
    }

    /// Counts a call, where calls are counted.
    fn pass(&mut self) -> io::Result<()> {
        let Failing::After(left) = &mut self.failing else { return Ok(()) };
        match left.checked_sub(1) {
            Some(fewer) => *left = fewer,
            None => {
                self.failures += 1;
                return Err(io::Error::other("the process is about to die"));
            }
        }
        Ok(())
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Name(path, file) => {
                names.insert(path.clone(), *file);
            }
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

impl File {
    fn persist(&mut self, sector: usize) {
        let (from, to) = (sector * SECTOR, ((sector + 1) * SECTOR).min(self.cached.len()));
        let to = to.min(self.durable.len());
        if from < to {
            self.durable[from..to].copy_from_slice(&self.cached[from..to]);
        }
    }
}

#[derive(Debug)]
struct Handle {
    disk: MemoryDisk,
    file: usize,
}

impl DiskFile for Handle {
    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.file].cached.len() as u64)
    }

    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let inner = self.disk.lock();
        let cached = &inner.files[self.file].cached;
        let found = cached.get(at as usize..at as usize + bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(found);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut inner = self.disk.lock();
        inner.attempt(true)?;
        let file = &mut inner.files[self.file];
        let (from, to) = (at as usize, at as usize + bytes.len());
        if file.cached.len() < to {
            file.cached.resize(to, 0);
        }
        file.cached[from..to].copy_from_slice(bytes);
        file.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.lock();
        let dies = matches!(inner.failing, Failing::After(_));
        if let Err(why) = inner.attempt_sync() {
            if !dies {
                // The kernel marks the pages clean all the same: they are on no disk, and no later sync writes them.
                inner.files[self.file].dirty.clear();
            }
            return Err(why);
        }
        let file = &mut inner.files[self.file];
        file.durable.resize(file.cached.len(), 0);
        for sector in std::mem::take(&mut file.dirty) {
            file.persist(sector);
        }
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        let inner = self.lock();
        let here = inner.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(here.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.attempt(false)?;
        for change in std::mem::take(&mut inner.changes) {
            change.apply(&mut inner.durable_names);
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.lock();
        inner.attempt(true)?;
        let file = inner.files.len();
        inner.files.push(File::default());
        inner.change(Change::Name(path.to_owned(), file));
        Ok(Box::new(Handle { disk: self.clone(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = *self.lock().names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Handle { disk: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.attempt(false)?;
        if !inner.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.attempt(false)?;
        if !inner.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.change(Change::Remove(path.to_owned()));
        Ok(())
    }

    fn random(&self) -> u64 {
        self.lock().random.number()
    }

    fn has_threads(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk_with(bytes: &[u8], synced: bool) -> MemoryDisk {
        let disk = MemoryDisk::new(1);
        let file = disk.create(Path::new("/a")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        if synced {
            file.sync().unwrap();
        }
        disk
    }

    fn content(disk: &MemoryDisk) -> Vec<u8> {
        let file = disk.open(Path::new("/a")).unwrap();
        let mut bytes = vec![0; file.length().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn what_was_synced_survives_the_loss_of_power() {
        let disk = disk_with(&[7; 2_000], true);
        disk.lose_power();
        assert_eq!(content(&disk), [7; 2_000]);
    }

    #[test]
    fn what_was_not_synced_is_lost_in_some_power_failure() {
        let lost = (0..20).any(|seed| {
            let disk = disk_with(&[7; 2_000], false);
            disk.lock().random = Random::new(seed);
            disk.lose_power();
            content(&disk) != [7; 2_000]
        });
        assert!(lost);
    }

    #[test]
    fn a_failed_sync_loses_what_a_later_one_claims_to_have_saved() {
        for failing in [Failing::Syncs, Failing::NextSync] {
            let disk = disk_with(&[7; 600], true);
            let file = disk.open(Path::new("/a")).unwrap();
            file.write_all_at(&[8; 600], 0).unwrap();
            disk.fail(failing);
            file.sync().unwrap_err();
            if failing == Failing::Syncs {
                file.sync().unwrap_err();
                disk.fail(Failing::No);
            }
            file.sync().unwrap();
            assert_eq!(content(&disk), [8; 600], "the cache still has it");
            disk.lose_power();
            assert_eq!(content(&disk), [7; 600]);
        }
    }
}
