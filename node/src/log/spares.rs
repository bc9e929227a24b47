//! Files that are ready to become the next segment.

use super::disk::Disk;
use super::error::LogError;
use super::files;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Files kept for later; more are removed. A log behind a steady checkpoint needs one; two ride out an uneven one.
const SPARES_MAX: usize = 2;

/// The spare files of a log. At the most one more than [`SPARES_MAX`] exists: the one being filled.
#[derive(Debug)]
pub(super) struct Spares {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_bytes: u64,
    ready: Vec<PathBuf>,
    filling: Option<Filling>,
}

/// A thread that makes one spare from nothing, and then ends.
#[derive(Debug)]
struct Filling {
    thread: JoinHandle<Result<Option<PathBuf>, LogError>>,
    stop: Arc<AtomicBool>,
}

impl Spares {
    /// Takes over the spares that are there; those of another size are removed.
    pub(super) fn open(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        segment_bytes: u64,
        numbers: &[u64],
    ) -> Result<Self, LogError> {
        files::remove(&**disk, &files::unfinished_path(dir))?;
        let mut ready = Vec::new();
        for &number in numbers {
            let path = files::spare_path(dir, number);
            let bytes = files::open(&**disk, &path)?.length().map_err(LogError::io("look at", &path))?;
            if bytes == segment_bytes && ready.len() < SPARES_MAX {
                ready.push(path);
            } else {
                files::remove(&**disk, &path)?;
            }
        }
        Ok(Self { disk: disk.clone(), dir: dir.to_owned(), segment_bytes, ready, filling: None })
    }

    /// Begins to make a spare in the background when there is none, so that the next [`Spares::take`] need not.
    pub(super) fn prepare(&mut self) {
        if !self.ready.is_empty() || self.filling.is_some() || !self.disk.has_threads() {
            return;
        }
        let (disk, dir, bytes) = (self.disk.clone(), self.dir.clone(), self.segment_bytes);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("log-spare".to_owned())
            .spawn(move || files::create_spare(&*disk, &dir, bytes, &stopped));
        // Without a thread, `take` does the work itself.
        self.filling = thread.ok().map(|thread| Filling { thread, stop });
    }

    /// A file of the right size, written throughout. Waits for the one being filled, or makes one, when none is ready.
    pub(super) fn take(&mut self) -> Result<PathBuf, LogError> {
        if let Some(path) = self.ready.pop() {
            return Ok(path);
        }
        if let Some(filling) = self.filling.take()
            && let Ok(Ok(Some(path))) = filling.thread.join()
        {
            return Ok(path);
        }
        // A filling that failed left nothing that is used: its file is made anew, from its first byte.
        let spare = files::create_spare(&*self.disk, &self.dir, self.segment_bytes, &AtomicBool::new(false))?;
        Ok(spare.unwrap_or_else(|| files::spare_path(&self.dir, 0)))
    }

    /// Turns segment `sequence` into a spare, or removes it when there are enough; durable when it returns.
    pub(super) fn recycle(&mut self, sequence: u64, capacity: u64) -> Result<(), LogError> {
        let segment = files::segment_path(&self.dir, sequence);
        if capacity != self.segment_bytes || self.ready.len() >= SPARES_MAX {
            files::remove(&*self.disk, &segment)?;
            return files::sync_dir(&*self.disk, &self.dir);
        }
        let spare = files::spare_path(&self.dir, sequence);
        files::rename(&*self.disk, &self.dir, &segment, &spare)?;
        self.ready.push(spare);
        Ok(())
    }

    /// Bytes of the spares that are ready.
    pub(super) fn bytes(&self) -> u64 {
        self.ready.len() as u64 * self.segment_bytes
    }
}

impl Drop for Spares {
    /// Ends the filling thread, so that it does not work in a directory that somebody else has opened since.
    fn drop(&mut self) {
        if let Some(filling) = self.filling.take() {
            filling.stop.store(true, Ordering::Relaxed);
            let _ = filling.thread.join();
        }
    }
}
