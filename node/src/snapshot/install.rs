//! Putting a snapshot in a replica's place. What is to be done is written down first, so that a crash at any moment finds either
//! the old replica or the new one.
//!
//! 1. All files of the snapshot are there and durable ([`super::fetch`]).
//! 2. The file `install` says so: from here on the snapshot is what this replica is.
//! 3. The store is swapped, the log begins anew behind the snapshot, `install` is removed. A start does these again as long
//!    as `install` is there.

use std::path::{Path, PathBuf};

use crest_ledger::packed::{Reader, Writer};

use crate::log::HardState;
use crate::log::disk::Disk;

/// What is to be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Install {
    /// The last entry in the snapshot.
    pub(crate) index: u64,
    /// What raft must not forget: the term, the vote; `commit` is `index`.
    pub(crate) hard_state: HardState,
    /// The replica that led, which waits to hear of it.
    pub(crate) leader: u64,
}

/// The version of the file.
const VERSION: u8 = 1;

fn path(dir: &Path) -> PathBuf {
    dir.join("install")
}

impl Install {
    /// Writes it down, durably.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn note(&self, disk: &dyn Disk, dir: &Path) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        let hs = self.hard_state;
        Writer(&mut bytes).u8(VERSION).u64(self.index).u64(hs.term).u64(hs.vote).u64(hs.commit).u64(self.leader);
        let checksum = crc32c::crc32c(&bytes);
        Writer(&mut bytes).u32(checksum);
        write_whole(disk, dir, &path(dir), &bytes)
    }

    /// What is to be installed, if anything.
    ///
    /// # Errors
    /// The operating system's, or that the file is damaged.
    pub(crate) fn noted(disk: &dyn Disk, dir: &Path) -> anyhow::Result<Option<Self>> {
        let Some(bytes) = read_whole(disk, &path(dir))? else { return Ok(None) };
        let read = || {
            let mut r = Reader(&bytes);
            if r.u8()? != VERSION {
                return None;
            }
            let index = r.u64()?;
            let hard_state = HardState { term: r.u64()?, vote: r.u64()?, commit: r.u64()? };
            let leader = r.u64()?;
            (r.u32()? == crc32c::crc32c(&bytes[..41]) && r.is_empty()).then_some(Self { index, hard_state, leader })
        };
        let damaged = || {
            anyhow::anyhow!(
                "{} is damaged or of another version: delete this shard's folder, and start again: it is rebuilt",
                path(dir).display()
            )
        };
        read().ok_or_else(damaged).map(Some)
    }

    /// Says that it is done.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn forget(disk: &dyn Disk, dir: &Path) -> std::io::Result<()> {
        disk.remove(&path(dir))?;
        disk.sync_dir(dir)
    }
}

/// Writes a small file such that after a crash it is there whole, or as it was before.
pub(crate) fn write_whole(disk: &dyn Disk, dir: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("tmp");
    let file = disk.create(&beside)?;
    file.write_all_at(bytes, 0)?;
    file.sync()?;
    disk.rename(&beside, path)?;
    disk.sync_dir(dir)
}

/// Reads a small file; none when it is not there.
pub(crate) fn read_whole(disk: &dyn Disk, path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    // Nothing of ours is nearly as long.
    let length = file.length()?.min(64 << 10);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Some(bytes))
}
