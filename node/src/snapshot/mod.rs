//! Snapshots: a follower that is too far behind, or has lost its disk, takes in the files of the leader's last checkpoint.
//!
//! The leader's store makes hard links of its files ([`Export`]), which cost nothing and change no more. Raft's message only says
//! which entry they are of; the follower then asks for the files piece by piece ([`fetch`]): each piece has a checksum, what is there
//! already is not asked for again after a lost connection, and no more is asked for than a bound allows. When all of
//! it is there and durable, raft is told, notes what is to be installed ([`install`]), and the replica is opened again from it.

pub(crate) mod fetch;
pub(crate) mod install;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crest_proto::internal as wire;
use tokio::time::Instant;

use crate::consensus::{ReplicaId, SnapshotMeta};
use crate::limits;
use crate::store::StoreError;
pub(crate) use install::Install;

/// A store's files at one checkpoint: they do not change, and are there until this is dropped.
pub trait Export: Send + Sync {
    /// Their names and lengths, bytes.
    fn files(&self) -> Vec<(String, u64)>;

    /// `length` bytes of a file from `offset`; fewer at its end.
    ///
    /// # Errors
    /// When there is no such file, or it can't be read.
    fn read(&self, file: &str, offset: u64, length: usize) -> Result<Vec<u8>, StoreError>;
}

/// A snapshot that is to be fetched.
pub(crate) struct Fetch {
    /// The message that offers it; raft hears of it when the files are here.
    pub(crate) message: wire::RaftMessage,
    pub(crate) meta: SnapshotMeta,
}

/// The snapshot that others can have of this replica.
#[derive(Clone, Default)]
pub(crate) struct Exports(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    current: Option<Current>,
    asked: HashMap<ReplicaId, Instant>,
}

struct Current {
    index: u64,
    files: Arc<dyn Export>,
    used: Instant,
}

impl Exports {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers these files, in place of those before.
    pub(crate) fn set(&self, index: u64, files: Arc<dyn Export>) {
        self.lock().current = Some(Current { index, files, used: Instant::now() });
    }

    /// Offers nothing any more.
    pub(crate) fn clear(&self) {
        self.lock().current = None;
    }

    /// The files at that position, when they are there.
    pub(crate) fn get(&self, index: u64, replica: ReplicaId) -> Option<Arc<dyn Export>> {
        let mut inner = self.lock();
        let now = Instant::now();
        inner.asked.insert(replica, now);
        let current = inner.current.as_mut().filter(|c| c.index == index)?;
        current.used = now;
        Some(current.files.clone())
    }

    /// When a replica last asked for a piece.
    pub(crate) fn last_asked(&self, replica: ReplicaId) -> Option<Instant> {
        self.lock().asked.get(&replica).copied()
    }

    /// Lets go of files that nobody has asked for in a while. Answers whether it has.
    pub(crate) fn drop_idle(&self) -> bool {
        let mut inner = self.lock();
        inner.asked.retain(|_, asked| asked.elapsed() < limits::SNAPSHOT_IDLE);
        let idle = inner.current.as_ref().is_some_and(|c| c.used.elapsed() >= limits::SNAPSHOT_IDLE);
        if idle {
            inner.current = None;
        }
        idle
    }
}
