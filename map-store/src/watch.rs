//! Following the map.

use crate::errors::StoreError;
use crate::location::Location;
use crest_topology::Cluster;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A view of the newest map of a store. It never goes back to an older version, keeps the last good map while the store is
/// away or holds something else, and goes on by itself afterwards.
#[derive(Clone, Debug)]
pub struct Watch {
    seen: watch::Receiver<Seen>,
    store: Location,
    /// The version that [`Watch::next`] gave last; 0 before.
    given: u64,
}

/// What the watch has seen of its store.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The newest good map.
    pub(crate) map: Option<Arc<Cluster>>,
    /// How the last look at the store ended.
    pub(crate) state: State,
}

/// How a look at a store ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// There was none yet.
    Asking,
    /// It held the newest map.
    Good,
    /// It held none, or one that was not taken.
    Refused(StoreError),
    /// It did not answer.
    Lost(StoreError),
}

impl Watch {
    pub(crate) fn new(store: Location, seen: watch::Receiver<Seen>) -> Self {
        Self { seen, store, given: 0 }
    }

    /// The newest map seen; none when there was none yet.
    pub fn newest(&self) -> Option<Arc<Cluster>> {
        self.seen.borrow().map.clone()
    }

    /// Whether the store answers.
    pub fn connected(&self) -> bool {
        matches!(self.seen.borrow().state, State::Good | State::Refused(_))
    }

    /// What is wrong with the store, or with what it holds, as the last look found it.
    pub fn problem(&self) -> Option<StoreError> {
        match &self.seen.borrow().state {
            State::Asking | State::Good => None,
            State::Refused(why) | State::Lost(why) => Some(why.clone()),
        }
    }

    /// Waits for a map that is newer than the last one that this gave, and gives the newest one: versions in between are
    /// left out. The first call gives the map that is there already. None when nobody follows the store any more, since its
    /// runtime ends.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Arc<Cluster>> {
        loop {
            let newest = self.seen.borrow_and_update().map.clone();
            if let Some(map) = newest.filter(|map| map.version > self.given) {
                self.given = map.version;
                return Some(map);
            }
            self.seen.changed().await.ok()?;
        }
    }

    /// The first map, for a process that starts: as [`Watch::next`], for as long as `patience`. With a copy
    /// ([`crate::open_with_copy`]) give it more than the 3 s after which that is taken.
    ///
    /// # Errors
    /// When there is none in time: why not, as the last look at the store found.
    pub async fn first(&mut self, patience: Duration) -> Result<Arc<Cluster>, StoreError> {
        let first = tokio::time::timeout(patience, self.next()).await;
        first.ok().flatten().ok_or_else(|| {
            let why = format!("{} has given no map within {patience:?}", self.store);
            self.problem().unwrap_or_else(|| StoreError::Unavailable { store: self.store.clone(), why })
        })
    }
}
