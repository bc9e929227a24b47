//! Where the map lives: in a file, or in etcd.
//!
//! A [`MapStore`] holds one map. Whoever changes it puts the next version in the place of the one that it has read
//! ([`MapStore::swap`], compare-and-swap on the version; [`change`] does all of it); whoever uses it follows it
//! ([`MapStore::watch`]). Payments do not need the store: a [`Watch`] keeps the last good map for as long as the store is
//! away, and goes on by itself when it is back. Only changes of the map wait. Reading order: the modules below.

mod location;
mod errors;
mod watch;
mod edit;
mod publish;
mod replace;
mod file;
mod etcd;

pub use edit::{ChangeError, change, put};
pub use errors::{StoreError, SwapError};
pub use location::{ENDPOINTS_MAX, Location, LocationError};
pub use watch::Watch;

use crest_topology::Cluster;
use futures_util::future::BoxFuture;
use std::path::PathBuf;
use std::sync::Arc;

/// What holds the map of one cluster.
pub trait MapStore: Send + Sync {
    /// Where it is.
    fn location(&self) -> &Location;

    /// The map that it holds now. Takes 5 s at the longest.
    ///
    /// # Errors
    /// When it holds none, what it holds is no map, or it does not answer.
    fn load(&self) -> BoxFuture<'_, Result<Arc<Cluster>, StoreError>>;

    /// Puts `next` in the place of the map of version `expected`, whose version is one lower; or as the first one
    /// (`expected` is 0) into a store that holds none: then `next` may have any version, so that a map whose store was lost
    /// goes on counting. Takes 8 s at the longest.
    ///
    /// # Errors
    /// See [`SwapError`]. After [`SwapError::Unknown`] nobody knows whether it was done: look again, or use [`put`].
    fn swap<'a>(&'a self, expected: u64, next: &'a Cluster) -> BoxFuture<'a, Result<(), SwapError>>;

    /// Follows the map. Every call gives another view of one and the same watch, which begins with the first call and goes on
    /// until the store and all its watches are dropped. Must be called inside a tokio runtime.
    fn watch(&self) -> Watch;
}

/// The store at `location`. Nothing is touched before it is used.
pub fn open(location: Location) -> Arc<dyn MapStore> {
    open_at(location, None)
}

/// As [`open`], with a copy on this machine: every map that the watch sees is written to the file `copy`; and when the
/// store cannot give a first map within 3 s, the watch begins with the one in there, with a warning. [`MapStore::load`] and
/// [`MapStore::swap`] do without it.
pub fn open_with_copy(location: Location, copy: PathBuf) -> Arc<dyn MapStore> {
    open_at(location, Some(copy))
}

fn open_at(location: Location, copy: Option<PathBuf>) -> Arc<dyn MapStore> {
    match location {
        Location::File(path) => Arc::new(file::FileStore::new(path, copy)),
        Location::Etcd { endpoints, name } => Arc::new(etcd::EtcdStore::new(endpoints, name, copy)),
    }
}
