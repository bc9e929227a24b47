//! A map in a file: for the embedded default, and for clusters whose operators bring the file to every machine themselves.
//!
//! A change is written beside the file and takes its place at once; a lock beside it keeps changes of several processes
//! apart. (Locks work on local file systems, not on every network file system.) Comments in the file do not outlive a change.

use crate::errors::{StoreError, SwapError, check_map, check_swap, parse};
use crate::location::Location;
use crate::publish::Publisher;
use crate::replace::{ReplaceError, beside, folder, replace};
use crate::{MapStore, Watch};
use crest_topology::Cluster;
use crest_topology::file::CLUSTER_FILE_BYTES_MAX;
use futures_util::future::BoxFuture;
use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How often a watch looks at the file. A look reads it; a usual one has some kilobytes.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a disk may take to be read.
const READ_PATIENCE: Duration = Duration::from_secs(5);
/// How long another process may hold the lock: it reads and writes one small file with it.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
/// How often the lock is tried.
const LOCK_EVERY: Duration = Duration::from_millis(5);
/// How long a change may take, lock and disk.
const SWAP_PATIENCE: Duration = Duration::from_secs(8);

/// What a look at the file gave.
type Looked = Result<Arc<Cluster>, StoreError>;

/// A map in a file.
pub(crate) struct FileStore {
    place: Place,
    copy: Option<PathBuf>,
    watch: OnceLock<Watch>,
}

#[derive(Clone)]
struct Place {
    store: Location,
    path: PathBuf,
}

impl FileStore {
    pub(crate) fn new(path: PathBuf, copy: Option<PathBuf>) -> Self {
        Self { place: Place { store: Location::File(path.clone()), path }, copy, watch: OnceLock::new() }
    }
}

impl MapStore for FileStore {
    fn location(&self) -> &Location {
        &self.place.store
    }

    fn load(&self) -> BoxFuture<'_, Result<Arc<Cluster>, StoreError>> {
        let place = self.place.clone();
        Box::pin(async move {
            let bytes = place.clone().read_in_time().await?;
            parse(&place.store, &bytes).map(Arc::new)
        })
    }

    fn swap<'a>(&'a self, expected: u64, next: &'a Cluster) -> BoxFuture<'a, Result<(), SwapError>> {
        let (place, next) = (self.place.clone(), next.clone());
        Box::pin(async move {
            let store = place.store.clone();
            let swapped = tokio::task::spawn_blocking(move || place.swap(expected, &next));
            let unknown = |why: String| SwapError::Unknown { store, why };
            match tokio::time::timeout(SWAP_PATIENCE, swapped).await {
                Ok(Ok(done)) => done,
                Ok(Err(_)) => Err(unknown("the process ends".to_owned())),
                // The thread may still be at it, and come to an end later.
                Err(_) => Err(unknown(format!("the disk has not answered within {SWAP_PATIENCE:?}"))),
            }
        })
    }

    fn watch(&self) -> Watch {
        let start = || {
            let (publisher, watch) = Publisher::start(self.place.store.clone(), self.copy.clone());
            tokio::spawn(self.place.clone().follow(publisher));
            watch
        };
        self.watch.get_or_init(start).clone()
    }
}

impl Place {
    /// Looks at the file again and again, until nobody watches.
    async fn follow(self, publisher: Arc<Publisher>) {
        let look = async {
            let mut last: Option<(Vec<u8>, Looked)> = None;
            loop {
                let looked = match (self.clone().read_in_time().await, &last) {
                    (Ok(bytes), Some((before, looked))) if bytes == *before => looked.clone(),
                    (Ok(bytes), _) => {
                        let looked = parse(&self.store, &bytes).map(Arc::new);
                        last = Some((bytes, looked.clone()));
                        looked
                    }
                    (Err(error), _) => Err(error),
                };
                publisher.saw(looked).await;
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            () = publisher.unwatched() => {}
            () = look => {}
        }
    }

    async fn read_in_time(self) -> Result<Vec<u8>, StoreError> {
        let place = self.clone();
        let silent = |why: String| Err(self.unavailable("read", &io::Error::other(why)));
        match tokio::time::timeout(READ_PATIENCE, tokio::task::spawn_blocking(move || place.read())).await {
            Ok(Ok(read)) => read,
            Ok(Err(_)) => silent("the process ends".to_owned()),
            Err(_) => silent(format!("the disk has not answered within {READ_PATIENCE:?}")),
        }
    }

    fn read(&self) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        // One byte more than allowed tells a file that is too long, whatever it is: a device has no end.
        let read = |file: File| file.take(CLUSTER_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes);
        match File::open(&self.path).and_then(read) {
            Ok(_) => Ok(bytes),
            // A folder that is gone may come back, as a disk that is mounted again; a file that is not in it was never there.
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder(&self.path).is_dir() => {
                Err(StoreError::Empty { store: self.store.clone() })
            }
            Err(error) => Err(self.unavailable("read", &error)),
        }
    }

    fn unavailable(&self, what: &str, error: &io::Error) -> StoreError {
        let why = format!("cannot {what} the cluster file {}: {error}", self.path.display());
        StoreError::Unavailable { store: self.store.clone(), why }
    }

    fn swap(&self, expected: u64, next: &Cluster) -> Result<(), SwapError> {
        check_map(&self.store, next)?;
        // Of a link, what it leads to is replaced, and the link stays.
        let path = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let _held = lock(&path).map_err(|error| self.unavailable("lock", &error))?;
        let current = match self.read() {
            Ok(bytes) => Some(parse(&self.store, &bytes)?),
            Err(StoreError::Empty { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        check_swap(current.as_ref(), expected, next)?;
        replace(&path, &next.to_toml()).map_err(|error| match error {
            ReplaceError::Before(error) => self.unavailable("write", &error).into(),
            ReplaceError::After(error) => {
                let why = format!("it has, but may lose it with the power: {error}");
                SwapError::Unknown { store: self.store.clone(), why }
            }
        })
    }
}

/// Takes the lock of a file; dropping it, and the end of the process, let it go.
fn lock(path: &Path) -> io::Result<File> {
    let lock = File::options().create(true).append(true).open(beside(path, "lock")?)?;
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOCK_EVERY),
            Err(TryLockError::WouldBlock) => {
                let why = format!("another process has held its lock for {LOCK_PATIENCE:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
        }
    }
}
