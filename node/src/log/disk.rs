//! What the log needs of a file system: a trait, and the operating system's behind it.
//!
//! The simulation stands in here with a disk that loses everything that was not synced.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A file that is open for reading and writing.
pub trait DiskFile: Debug + Send + Sync {
    /// Its length, bytes.
    ///
    /// # Errors
    /// The operating system's.
    fn length(&self) -> io::Result<u64>;

    /// Fills `bytes` from the offset `at`.
    ///
    /// # Errors
    /// The operating system's, or `UnexpectedEof`.
    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;

    /// Writes all of `bytes` at the offset `at`. Nothing is durable before [`DiskFile::sync`] has returned.
    ///
    /// # Errors
    /// The operating system's; part of it may be written.
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Makes what was written durable, and the length with it.
    ///
    /// # Errors
    /// The operating system's. What was written since the last sync may be lost then, whatever a second call says.
    fn sync(&self) -> io::Result<()>;
}

/// Where a log's files live.
pub trait Disk: Debug + Send + Sync {
    /// The names in a directory, in no order.
    ///
    /// # Errors
    /// The operating system's.
    fn names(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes a directory and its parents, durably.
    ///
    /// # Errors
    /// The operating system's.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// The operating system's.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes an empty file, or empties the one that is there.
    ///
    /// # Errors
    /// The operating system's.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file that is there.
    ///
    /// # Errors
    /// The operating system's.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, in place of the file that has it.
    ///
    /// # Errors
    /// The operating system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The operating system's; `NotFound` when it is not there.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// A random number.
    fn random(&self) -> u64;

    /// Whether a thread of its own may prepare files.
    fn has_threads(&self) -> bool;
}

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl DiskFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, at)
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Disk for SystemDisk {
    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().into_string().unwrap_or_default()));
        names.collect()
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let above = |path: &Path| path.parent().map(Path::to_owned).filter(|parent| !parent.as_os_str().is_empty());
        let missing: Vec<PathBuf> = dir
            .ancestors()
            .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
            .map(Path::to_owned)
            .collect();
        fs::create_dir_all(dir)?;
        for made in &missing {
            self.sync_dir(&above(made).unwrap_or_else(|| PathBuf::from(".")))?;
        }
        self.sync_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    /// From the standard library's hash keys, which come from the system's random numbers.
    fn random(&self) -> u64 {
        RandomState::new().hash_one(0)
    }

    fn has_threads(&self) -> bool {
        true
    }
}
