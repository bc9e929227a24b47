//! A folder of backups, and what each of them is built on.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::BackupError;
use super::manifest::{Manifest, NAME};

/// A backup on its way.
const PARTIAL: &str = "partial";

/// A folder of backups.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: PathBuf,
}

/// A folder that nobody else writes to as long as this is held.
#[derive(Debug)]
pub(crate) struct Locked {
    pub(crate) folder: Folder,
    _lock: File,
}

impl Folder {
    /// The folder at `dir`.
    pub(crate) fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The instants of the backups that are complete, oldest first.
    ///
    /// # Errors
    /// When the folder is missing or can't be read.
    pub(crate) fn instants(&self) -> Result<Vec<u64>, BackupError> {
        let entries = std::fs::read_dir(&self.dir).map_err(BackupError::io("open", &self.dir))?;
        let mut instants = Vec::new();
        for entry in entries {
            let name = entry.map_err(BackupError::io("read", &self.dir))?.file_name();
            let digits = name.to_str().filter(|name| name.bytes().all(|b| b.is_ascii_digit()));
            instants.extend(digits.and_then(|name| name.parse::<u64>().ok()));
        }
        instants.sort_unstable();
        Ok(instants)
    }

    /// Where the backup of an instant is.
    pub(crate) fn path(&self, at: u64) -> PathBuf {
        self.dir.join(at.to_string())
    }

    /// The backups that make up the one at `at`, oldest first: one that has everything, then what was new each time.
    ///
    /// # Errors
    /// When one of them is missing or damaged, or does not fit the one before it.
    pub(crate) fn chain(&self, at: u64) -> Result<Vec<Manifest>, BackupError> {
        let mut chain = vec![Manifest::load(&self.path(at))?];
        while let Some(newer) = chain.last()
            && let Some(parent) = &newer.parent
        {
            let path = self.path(newer.at).join(NAME);
            if parent.at >= newer.at {
                return Err(BackupError::wrong(&path, "is built on a later backup than itself"));
            }
            let dir = self.path(parent.at);
            let older = Manifest::load(&dir)?;
            let fits = older.crc32c().is_ok_and(|sum| sum == parent.crc32c);
            follows(newer, &older)
                .and(if fits { Ok(()) } else { Err("its manifest is another one".to_owned()) })
                .map_err(|why| {
                    let what = format!("is not what the backup at {} was built on: {why}", newer.at);
                    BackupError::wrong(&dir.join(NAME), what)
                })?;
            chain.push(older);
        }
        chain.reverse();
        Ok(chain)
    }

    /// Locks the folder for writing, and makes it when it is not there.
    ///
    /// # Errors
    /// When it can't be made, or somebody else writes to it.
    pub(crate) fn lock(self) -> Result<Locked, BackupError> {
        std::fs::create_dir_all(&self.dir).map_err(BackupError::io("make", &self.dir))?;
        let path = self.dir.join("LOCK");
        let lock = File::create(&path).map_err(BackupError::io("make", &path))?;
        let busy = |_| BackupError::wrong(&self.dir, "another backup is being written here just now");
        lock.try_lock().map_err(busy)?;
        Ok(Locked { folder: self, _lock: lock })
    }
}

impl Locked {
    /// An empty place for a backup on its way. What an interrupted one left is deleted.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn begin(&self) -> Result<PathBuf, BackupError> {
        let partial = self.folder.dir.join(PARTIAL);
        match std::fs::remove_dir_all(&partial) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(BackupError::io("delete", &partial)(e)),
            _ => {}
        }
        std::fs::create_dir(&partial).map_err(BackupError::io("make", &partial))?;
        Ok(partial)
    }

    /// Writes the manifest, and gives the backup its name: it is complete then. Its files are durable.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn complete(&self, manifest: &Manifest) -> Result<PathBuf, BackupError> {
        let (partial, path) = (self.folder.dir.join(PARTIAL), self.folder.path(manifest.at));
        let file = partial.join(NAME);
        let text = manifest.text().map_err(|e| BackupError::wrong(&file, e.to_string()))?;
        std::fs::write(&file, text).map_err(BackupError::io("write", &file))?;
        sync(&file)?;
        sync(&partial)?;
        std::fs::rename(&partial, &path).map_err(BackupError::io("rename", &partial))?;
        sync(&self.folder.dir)?;
        Ok(path)
    }
}

fn sync(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(BackupError::io("sync", path))
}

/// Whether a backup can be what the next one was built on; otherwise why not.
pub(crate) fn follows(newer: &Manifest, older: &Manifest) -> Result<(), String> {
    if newer.cluster != older.cluster {
        return Err(format!("it is of cluster {}, and the other of {}", older.cluster, newer.cluster));
    }
    let slots = |m: &Manifest| m.shards.iter().map(|s| (s.shard, s.slots.clone())).collect::<BTreeMap<_, _>>();
    if slots(newer) != slots(older) {
        return Err("it is of another number of shards, or of another slot map".to_owned());
    }
    for (new, old) in newer.shards.iter().zip(&older.shards) {
        let sums = (old.accounts.checked_add(new.new_accounts), old.transfers.checked_add(new.new_transfers));
        if sums != (Some(new.accounts), Some(new.transfers)) {
            return Err(format!("what is new on shard {} does not add up to what it has", new.shard));
        }
    }
    Ok(())
}
