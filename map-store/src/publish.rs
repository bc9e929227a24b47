//! What is seen of a store becomes what its watches show. The same for every store.

use crate::errors::{StoreError, check_name};
use crate::location::Location;
use crate::replace::replace;
use crate::watch::{Seen, State, Watch};
use crest_topology::Cluster;
use metrics::gauge;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a store may take to give a first map before the copy is used.
const COPY_AFTER: Duration = Duration::from_secs(3);

/// Where looks at a store are told.
pub(crate) struct Publisher {
    store: Location,
    copy: Option<PathBuf>,
    seen: watch::Sender<Seen>,
}

impl Publisher {
    /// A publisher, and the first of its watches. `copy` is the file on this machine that keeps the last good map. Must be
    /// called inside a tokio runtime.
    pub(crate) fn start(store: Location, copy: Option<PathBuf>) -> (Arc<Self>, Watch) {
        let (seen, watch) = watch::channel(Seen { map: None, state: State::Asking });
        gauge!("crest_map_store_connected").set(0.0);
        let publisher = Arc::new(Self { store: store.clone(), copy, seen });
        if publisher.copy.is_some() {
            tokio::spawn(publisher.clone().begin_with_the_copy());
        }
        (publisher, Watch::new(store, watch))
    }

    /// Ends when nobody watches any more.
    pub(crate) async fn unwatched(&self) {
        self.seen.closed().await;
    }

    /// Tells of a look at the store. A map that cannot follow the newest one is not taken.
    pub(crate) async fn saw(&self, looked: Result<Arc<Cluster>, StoreError>) {
        let mut taken = None;
        self.seen.send_if_modified(|seen| {
            let state = match looked {
                Ok(map) => match seen.map.as_deref().map_or(Ok(()), |newest| follows(newest, &map)) {
                    Ok(()) => {
                        taken =
                            Some(map).filter(|map| seen.map.as_ref().is_none_or(|newest| newest.version < map.version));
                        State::Good
                    }
                    Err(why) => State::Refused(StoreError::Damaged { store: self.store.clone(), why }),
                },
                Err(why @ StoreError::Unavailable { .. }) => State::Lost(why),
                Err(why) => State::Refused(why),
            };
            if let Some(map) = &taken {
                seen.map = Some(map.clone());
            }
            let changed = seen.state != state;
            tell(&self.store, &seen.state, &state, seen.map.as_deref());
            seen.state = state;
            changed || taken.is_some()
        });
        if let Some(map) = taken {
            gauge!("crest_map_version").set(map.version as f64);
            tracing::info!(store = %self.store, version = map.version, epoch = map.map.epoch(), "the map");
            self.keep_copy(map).await;
        }
    }

    async fn keep_copy(&self, map: Arc<Cluster>) {
        let Some(path) = self.copy.clone() else { return };
        let shown = path.display().to_string();
        let written = tokio::task::spawn_blocking(move || replace(&path, &map.to_toml()));
        if let Ok(Err(error)) = written.await {
            // A copy is for a bad day that may never come: payments do not wait for it.
            tracing::warn!(path = shown, error = %error.into_io(), "cannot keep a copy of the map");
        }
    }

    /// Takes the first map from the copy when the store gives none in time. A store that says that it is empty is believed.
    async fn begin_with_the_copy(self: Arc<Self>) {
        tokio::time::sleep(COPY_AFTER).await;
        let empty = |seen: &Seen| matches!(seen.state, State::Refused(StoreError::Empty { .. }));
        let needed = |seen: &Seen| seen.map.is_none() && !empty(seen);
        let Some(path) = self.copy.clone().filter(|_| needed(&self.seen.borrow())) else { return };
        let (shown, store) = (path.display().to_string(), self.store.clone());
        let read = tokio::task::spawn_blocking(move || {
            let map = Cluster::load(&path).map_err(|error| error.to_string())?;
            check_name(&store, &map).map(|()| map)
        });
        match read.await {
            Ok(Ok(map)) => {
                let version = map.version;
                let map = Arc::new(map);
                let taken = self.seen.send_if_modified(|seen| {
                    let needed = needed(seen);
                    if needed {
                        seen.map = Some(map);
                    }
                    needed
                });
                if taken {
                    gauge!("crest_map_version").set(version as f64);
                    let store = &self.store;
                    tracing::warn!(%store, copy = shown, version, "the store gives no map; going on with the copy of the last one");
                }
            }
            Ok(Err(why)) => {
                tracing::warn!(copy = shown, why, "the store gives no map, and there is no good copy of the last one")
            }
            Err(_) => {}
        }
    }
}

fn follows(newest: &Cluster, map: &Cluster) -> Result<(), String> {
    if newest.version != map.version {
        return newest.check_next(map).map_err(|error| error.to_string());
    }
    if newest != map {
        return Err(format!("it was changed, and its version is still {}: raise it with every change", map.version));
    }
    Ok(())
}

/// Logs a change of the state, once.
fn tell(store: &Location, before: &State, now: &State, map: Option<&Cluster>) {
    let connected = matches!(now, State::Good | State::Refused(_));
    gauge!("crest_map_store_connected").set(f64::from(u8::from(connected)));
    let kept = map.map_or_else(|| "there is no map yet".to_owned(), |map| format!("keeping version {}", map.version));
    match (before, now) {
        (State::Lost(_), State::Lost(_)) => {}
        (_, State::Lost(why)) => tracing::warn!(%store, %why, "the store of the map does not answer; {kept}"),
        (State::Refused(before), State::Refused(why)) if before == why => {}
        (_, State::Refused(why)) => tracing::warn!(%store, %why, "what the store holds is not taken; {kept}"),
        (State::Lost(_) | State::Refused(_), State::Good) => {
            tracing::info!(%store, "the store of the map is well again")
        }
        _ => {}
    }
}
