//! Where a replica's rows live: how they are opened, and how a snapshot takes their place.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::StoreError;
use super::rocks::Rocks;
use super::rows::Storage;

/// Where a replica's rows live.
pub trait Home: Send + Sync {
    /// Opens the rows, or makes new ones. What was received of a snapshot and is not complete is given up.
    ///
    /// # Errors
    /// When they are in use, or damaged.
    fn open(&self) -> Result<Arc<dyn Storage>, StoreError>;

    /// Begins to take in a snapshot of these files (names and bytes), or goes on with it when it is the same `name`.
    ///
    /// # Errors
    /// When a name is not one of a file, or the disk fails.
    fn begin(&self, name: &str, files: &[(String, u64)]) -> Result<(), StoreError>;

    /// How many bytes of a file are here.
    ///
    /// # Errors
    /// When the disk fails.
    fn received(&self, file: &str) -> Result<u64, StoreError>;

    /// Takes in a piece.
    ///
    /// # Errors
    /// When the disk fails.
    fn receive(&self, file: &str, offset: u64, bytes: &[u8]) -> Result<(), StoreError>;

    /// Says that all pieces are here; makes them durable.
    ///
    /// # Errors
    /// When the disk fails, or a piece is missing.
    fn complete(&self) -> Result<(), StoreError>;

    /// Puts the snapshot in the place of the rows, which nobody has open. Does nothing when that was done before.
    ///
    /// # Errors
    /// When the disk fails; it is to be tried again at the next start.
    fn swap(&self) -> Result<(), StoreError>;
}

/// RocksDB's files in a folder of the file system.
#[derive(Debug)]
pub struct RocksHome {
    data_dir: PathBuf,
    /// The files of the snapshot that is taken in.
    files: Mutex<Vec<(String, u64)>>,
}

impl RocksHome {
    /// The rows of the replica in `data_dir`.
    pub fn new(data_dir: &Path) -> Arc<Self> {
        Arc::new(Self { data_dir: data_dir.to_owned(), files: Mutex::default() })
    }

    fn store(&self) -> PathBuf {
        self.data_dir.join("store")
    }

    /// Where pieces are written.
    fn incoming(&self) -> PathBuf {
        self.data_dir.join("incoming")
    }

    /// Where the whole snapshot waits: it has this name only when all of it is there.
    fn complete_dir(&self) -> PathBuf {
        self.data_dir.join("snapshot")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.incoming().join(name)
    }

    fn sync(&self, dir: &Path) -> Result<(), StoreError> {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io(dir))
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.display().to_string();
    |source| StoreError::Io { path, source }
}

fn remove_dir(dir: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io(dir)(e)),
        _ => Ok(()),
    }
}

/// The name of a file beside the others, and nothing that leads elsewhere: it comes from another node.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name && name != "NAME")
}

impl Home for RocksHome {
    fn open(&self) -> Result<Arc<dyn Storage>, StoreError> {
        // What a process before had received of a snapshot may not have reached the disk whole.
        remove_dir(&self.incoming())?;
        Ok(Rocks::open(&self.store(), &self.data_dir)?)
    }

    fn begin(&self, name: &str, files: &[(String, u64)]) -> Result<(), StoreError> {
        if let Some((bad, _)) = files.iter().find(|(file, _)| !is_plain(file)) {
            let what = format!("a snapshot has a file of the name {bad:?}");
            return Err(StoreError::Damaged { path: self.incoming().display().to_string(), what });
        }
        let named = self.incoming().join("NAME");
        if fs::read_to_string(&named).is_ok_and(|there| there == name) {
            *self.files.lock().unwrap_or_else(PoisonError::into_inner) = files.to_vec();
            return Ok(());
        }
        remove_dir(&self.incoming())?;
        remove_dir(&self.complete_dir())?;
        fs::create_dir_all(self.incoming()).map_err(io(&self.incoming()))?;
        File::create(&named).and_then(|mut f| f.write_all(name.as_bytes())).map_err(io(&named))?;
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = files.to_vec();
        Ok(())
    }

    fn received(&self, file: &str) -> Result<u64, StoreError> {
        match fs::metadata(self.file(file)) {
            Ok(there) => Ok(there.len()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(e) => Err(io(&self.file(file))(e)),
        }
    }

    fn receive(&self, file: &str, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.file(file);
        let open = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        open.and_then(|f| f.write_all_at(bytes, offset)).map_err(io(&path))
    }

    fn complete(&self) -> Result<(), StoreError> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, length) in files {
            let path = self.file(&name);
            // An empty file has no piece.
            let open = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            let there = open.and_then(|f| f.sync_all().and(f.metadata())).map_err(io(&path))?.len();
            if there != length {
                let what = format!("{name} has {there} bytes, and the leader's {length}");
                return Err(StoreError::Damaged { path: path.display().to_string(), what });
            }
        }
        let named = self.incoming().join("NAME");
        fs::remove_file(&named).map_err(io(&named))?;
        self.sync(&self.incoming())?;
        remove_dir(&self.complete_dir())?;
        fs::rename(self.incoming(), self.complete_dir()).map_err(io(&self.complete_dir()))?;
        self.sync(&self.data_dir)
    }

    fn swap(&self) -> Result<(), StoreError> {
        if !self.complete_dir().exists() {
            return Ok(());
        }
        remove_dir(&self.store())?;
        fs::rename(self.complete_dir(), self.store()).map_err(io(&self.store()))?;
        self.sync(&self.data_dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_other_nodes_lead_nowhere_else() {
        for good in ["CURRENT", "000012.sst", "MANIFEST-000005", "OPTIONS-000007"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", ".", "..", "/etc/passwd", "../store/CURRENT", "a/b", "a/", "./a", "NAME"] {
            assert!(!is_plain(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_snapshot_goes_on_where_it_stopped_and_takes_the_place_of_the_rows_once() {
        let dir = tempfile::tempdir().unwrap();
        let home = RocksHome::new(dir.path());
        fs::create_dir(home.store()).unwrap();
        fs::write(home.store().join("old"), "old").unwrap();
        let files = [("a.sst".to_owned(), 6), ("empty".to_owned(), 0)];
        home.begin("1-5", &files).unwrap();
        home.receive("a.sst", 0, b"abc").unwrap();
        // As after a lost connection.
        let home = RocksHome::new(dir.path());
        home.begin("1-5", &files).unwrap();
        assert_eq!(home.received("a.sst").unwrap(), 3);
        assert!(home.complete().is_err(), "half a file");
        home.receive("a.sst", 3, b"def").unwrap();
        home.complete().unwrap();
        home.swap().unwrap();
        home.swap().unwrap();
        assert_eq!(fs::read(home.store().join("a.sst")).unwrap(), b"abcdef");
        assert!(home.store().join("empty").exists() && !home.store().join("old").exists());
        home.begin("1-9", &files).unwrap();
        assert_eq!(home.received("a.sst").unwrap(), 0, "another snapshot begins from nothing");
    }
}
