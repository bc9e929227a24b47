//! Changing a map: read, edit, swap, and look again when somebody was faster or nobody knows.

use crate::MapStore;
use crate::errors::{StoreError, SwapError};
use crest_topology::Cluster;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often an edit is made again since somebody else was faster.
const EDITS_MAX: usize = 16;
/// For how long a store that does not answer, or did not say what it has done, is asked again: etcd needs some seconds to
/// choose a new leader.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause before another try, at most.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a change was not made, or that nobody knows whether it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError<E: std::error::Error + 'static> {
    /// The edit refused.
    #[error(transparent)]
    Refused(E),
    /// The map could not be read.
    #[error(transparent)]
    Load(StoreError),
    /// The map could not be put there. After [`SwapError::Unknown`] it may have been.
    #[error(transparent)]
    Swap(SwapError),
}

/// Reads the map, edits it, and puts the result in its place; when somebody else was faster, edits what is there then. `edit`
/// gives the next version, as the functions of [`crest_topology::placement`] do.
///
/// # Errors
/// See [`ChangeError`].
pub async fn change<E: std::error::Error + 'static>(
    store: &dyn MapStore,
    edit: impl Fn(&Cluster) -> Result<Cluster, E>,
) -> Result<Arc<Cluster>, ChangeError<E>> {
    let mut tries = 1;
    loop {
        let current = load(store).await.map_err(ChangeError::Load)?;
        let next = edit(&current).map_err(ChangeError::Refused)?;
        match put(store, current.version, &next).await {
            Ok(()) => return Ok(Arc::new(next)),
            Err(SwapError::Conflict { .. }) if tries < EDITS_MAX => tries += 1,
            Err(error) => return Err(ChangeError::Swap(error)),
        }
        pause().await;
    }
}

/// As [`MapStore::load`], and asks again while the store does not answer. Takes 15 s at the longest.
async fn load(store: &dyn MapStore) -> Result<Arc<Cluster>, StoreError> {
    let begun = Instant::now();
    loop {
        match store.load().await {
            Err(StoreError::Unavailable { .. }) if begun.elapsed() < PATIENCE => pause().await,
            loaded => return loaded,
        }
    }
}

/// As [`MapStore::swap`], and asks again while the store does not answer; and finds out whether it was done when the store
/// did not say, by asking again and looking at what is there. Takes 35 s at the longest.
///
/// # Errors
/// See [`SwapError`]. [`SwapError::Unknown`] remains when the store stays silent, or when the map was changed several times
/// in between.
pub async fn put(store: &dyn MapStore, expected: u64, next: &Cluster) -> Result<(), SwapError> {
    let begun = Instant::now();
    let mut unknown: Option<SwapError> = None;
    loop {
        let error = match (store.swap(expected, next).await, &unknown) {
            (Ok(()), _) => return Ok(()),
            (Err(error @ SwapError::Unknown { .. }), _) => {
                unknown = Some(error.clone());
                error
            }
            // It is about this attempt only: what was sent before may have been taken.
            (Err(SwapError::Store(StoreError::Unavailable { .. })), Some(before)) => before.clone(),
            (Err(error @ SwapError::Store(StoreError::Unavailable { .. })), None) => error,
            (Err(SwapError::Conflict { found, .. }), Some(before)) => {
                return settled(store, expected, next, found, before.clone()).await;
            }
            (Err(error), before) => return Err(before.clone().unwrap_or(error)),
        };
        if begun.elapsed() >= PATIENCE {
            return Err(error);
        }
        pause().await;
    }
}

/// Whether `next` was taken, when the store has version `found`, and it was `unknown` before.
async fn settled(
    store: &dyn MapStore,
    expected: u64,
    next: &Cluster,
    found: u64,
    unknown: SwapError,
) -> Result<(), SwapError> {
    match load(store).await {
        Ok(map) if *map == *next => Ok(()),
        // Each version is taken once, and this one was another's.
        Ok(map) if map.version == next.version => Err(SwapError::Conflict { expected, found }),
        _ => Err(unknown),
    }
}

async fn pause() {
    tokio::time::sleep(PAUSE.mul_f64(rand::random_range(0.1..1.0))).await;
}
