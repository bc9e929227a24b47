//! A map in etcd: the cluster file's text under the key `crest/NAME/map`.
//!
//! Compare-and-swap is a transaction that compares the key's revision, at which etcd last changed it, with the one at which
//! its text was read. Reads and transactions need a majority of etcd's members; without it they fail in time.

mod client;
mod follow;

use crate::errors::{StoreError, SwapError, check_map, check_swap, parse};
use crate::location::Location;
use crate::publish::Publisher;
use crate::{MapStore, Watch};
use client::{Client, TxnError, api};
use crest_topology::Cluster;
use futures_util::future::BoxFuture;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// A map in etcd.
pub(crate) struct EtcdStore {
    place: Arc<Place>,
    copy: Option<PathBuf>,
    watch: OnceLock<Watch>,
}

/// The key, and the way to it.
struct Place {
    store: Location,
    client: Client,
}

impl EtcdStore {
    pub(crate) fn new(endpoints: Vec<String>, name: String, copy: Option<PathBuf>) -> Self {
        let client = Client::new(endpoints.clone(), format!("crest/{name}/map"));
        let place = Arc::new(Place { store: Location::Etcd { endpoints, name }, client });
        Self { place, copy, watch: OnceLock::new() }
    }
}

impl MapStore for EtcdStore {
    fn location(&self) -> &Location {
        &self.place.store
    }

    fn load(&self) -> BoxFuture<'_, Result<Arc<Cluster>, StoreError>> {
        Box::pin(async {
            let read = self.place.client.read().await.map_err(|why| self.place.silent(&why))?;
            self.place.map_in(read.value.as_ref())
        })
    }

    fn swap<'a>(&'a self, expected: u64, next: &'a Cluster) -> BoxFuture<'a, Result<(), SwapError>> {
        Box::pin(self.place.swap(expected, next))
    }

    fn watch(&self) -> Watch {
        let start = || {
            let (publisher, watch) = Publisher::start(self.place.store.clone(), self.copy.clone());
            tokio::spawn(follow::follow(self.place.clone(), publisher));
            watch
        };
        self.watch.get_or_init(start).clone()
    }
}

impl Place {
    /// The map in what the key holds.
    fn map_in(&self, value: Option<&api::KeyValue>) -> Result<Arc<Cluster>, StoreError> {
        let value = value.ok_or_else(|| StoreError::Empty { store: self.store.clone() })?;
        parse(&self.store, &value.value).map(Arc::new)
    }

    fn silent(&self, why: &str) -> StoreError {
        StoreError::Unavailable { store: self.store.clone(), why: format!("{} does not answer: {why}", self.store) }
    }

    async fn swap(&self, expected: u64, next: &Cluster) -> Result<(), SwapError> {
        check_map(&self.store, next)?;
        let read = self.client.read().await.map_err(|why| self.silent(&why))?;
        let current = read.value.as_ref().map(|value| self.map_in(Some(value))).transpose()?;
        check_swap(current.as_deref(), expected, next)?;
        let revision = read.value.as_ref().map_or(0, |value| value.mod_revision);
        match self.client.replace(read.member, revision, next.to_toml()).await {
            Ok(None) => Ok(()),
            Ok(Some(now)) => {
                let found = now.value.as_ref().map(|value| self.map_in(Some(value))).transpose()?;
                Err(SwapError::Conflict { expected, found: found.map_or(0, |found| found.version) })
            }
            Err(TxnError::Refused(why)) => Err(self.silent(&why).into()),
            Err(TxnError::Unknown(why)) => Err(SwapError::Unknown { store: self.store.clone(), why }),
        }
    }
}
