//! The names of the log's files, and the few ways in which it touches them.

use super::disk::{Disk, DiskFile};
use super::error::LogError;
use crate::points;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes written at a time when a file is filled.
const FILL_BYTES: usize = 1 << 20;

/// Bytes between syncs when a file is filled: an append that meets a sync of the filling thread waits for some
/// milliseconds, not for the whole file; and more syncs than that would only make the filling longer, since each of them
/// also writes the file's new length.
const FILL_SYNC_BYTES: u64 = 8 << 20;

pub(super) fn segment_path(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("segment-{sequence:020}.log"))
}

/// A spare made of segment `number`, or from nothing when that is 0.
pub(super) fn spare_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("spare-{number:020}.log"))
}

/// The name of a spare while it is being filled: never used as it is, and removed when the log is opened.
pub(super) fn unfinished_path(dir: &Path) -> PathBuf {
    dir.join("spare.tmp")
}

/// The file that says which segment is the newest.
fn newest_path(dir: &Path) -> PathBuf {
    dir.join("newest")
}

/// The log's files in a directory, by number, sorted.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) segments: Vec<u64>,
    pub(super) spares: Vec<u64>,
}

/// Lists the directory. Names that are not the log's are ignored.
pub(super) fn list(disk: &dyn Disk, dir: &Path) -> Result<Listing, LogError> {
    let mut listing = Listing::default();
    for name in disk.names(dir).map_err(LogError::io("list", dir))? {
        let Some(stem) = name.strip_suffix(".log") else { continue };
        let number = |prefix| stem.strip_prefix(prefix).filter(|digits| digits.len() == 20)?.parse().ok();
        if let Some(sequence) = number("segment-") {
            listing.segments.push(sequence);
        } else if let Some(spare) = number("spare-") {
            listing.spares.push(spare);
        }
    }
    listing.segments.sort_unstable();
    listing.spares.sort_unstable();
    Ok(listing)
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
    disk.sync_dir(dir).map_err(LogError::io("sync the directory", dir))
}

pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Box<dyn DiskFile>, LogError> {
    disk.open(path).map_err(LogError::io("open", path))
}

pub(super) fn rename(disk: &dyn Disk, dir: &Path, from: &Path, to: &Path) -> Result<(), LogError> {
    disk.rename(from, to).map_err(LogError::io("rename", from))?;
    sync_dir(disk, dir)
}

pub(super) fn remove(disk: &dyn Disk, path: &Path) -> Result<(), LogError> {
    match disk.remove(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LogError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Notes, durably, which segment is the newest: the others tell of each other, and only this of the last one.
pub(super) fn write_newest(disk: &dyn Disk, dir: &Path, sequence: u64) -> Result<(), LogError> {
    let unfinished = dir.join("newest.tmp");
    let file = disk.create(&unfinished).map_err(LogError::io("create", &unfinished))?;
    file.write_all_at(format!("{sequence:020}\n").as_bytes(), 0).map_err(LogError::io("write", &unfinished))?;
    file.sync().map_err(LogError::io("sync", &unfinished))?;
    rename(disk, dir, &unfinished, &newest_path(dir))
}

/// Which segment was noted as the newest; none when a build before this one made the log.
pub(super) fn read_newest(disk: &dyn Disk, dir: &Path) -> Result<Option<u64>, LogError> {
    let path = newest_path(dir);
    let file = match disk.open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(LogError::io("open", &path))?,
    };
    let mut digits = [0; 20];
    let sequence = match file.read_exact_at(&mut digits, 0) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => None,
        read => read.map(|()| std::str::from_utf8(&digits).ok()?.parse().ok()).map_err(LogError::io("read", &path))?,
    };
    let problem = "the number of the newest segment is unreadable";
    sequence.map(Some).ok_or(LogError::Corrupt { file: path, offset: 0, problem })
}

/// Makes a spare of `bytes` zeros, every block of it written and synced. Gives up, without an error, when `stop` is set.
pub(super) fn create_spare(
    disk: &dyn Disk,
    dir: &Path,
    bytes: u64,
    stop: &AtomicBool,
) -> Result<Option<PathBuf>, LogError> {
    let unfinished = unfinished_path(dir);
    let file = disk.create(&unfinished).map_err(LogError::io("create", &unfinished))?;
    let zeros = vec![0; FILL_BYTES.min(usize::try_from(bytes).unwrap_or(FILL_BYTES))];
    let mut done = 0;
    while done < bytes {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let some = usize::try_from(bytes - done).map_or(zeros.len(), |left| left.min(zeros.len()));
        let fill = || points::LOG_FILL_FAILS.fails().and_then(|()| file.write_all_at(&zeros[..some], done));
        fill().map_err(LogError::io("fill", &unfinished))?;
        done += some as u64;
        if (bytes - done).is_multiple_of(FILL_SYNC_BYTES) {
            file.sync().map_err(LogError::io("sync", &unfinished))?;
        }
    }
    file.sync().map_err(LogError::io("sync", &unfinished))?;
    let spare = spare_path(dir, 0);
    rename(disk, dir, &unfinished, &spare)?;
    Ok(Some(spare))
}
