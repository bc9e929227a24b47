//! The map that a process follows, and the ways to shards that it gives.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use crest_link::group::GroupLink;
use crest_link::{Links, ShardLink};
use crest_map_store::{Location, Watch};
use crest_topology::Cluster;
use tokio::sync::watch;

/// How long a process that starts waits for a first map: a copy on its disk is used before that.
const FIRST_MAP: Duration = Duration::from_secs(10);

/// The map as it is now, and every later one.
pub(super) type Map = watch::Receiver<Arc<Cluster>>;

/// Begins to follow the map at `location`. With a `copy`, a file that keeps the last good map, it also starts while the store
/// is away.
///
/// # Errors
/// When there is no map, or it is not as it should be.
pub(super) async fn follow(location: &Location, copy: Option<PathBuf>) -> anyhow::Result<Map> {
    let store = match copy {
        Some(copy) => crest_map_store::open_with_copy(location.clone(), copy),
        None => crest_map_store::open(location.clone()),
    };
    // A file that is missing or wrong is told at once.
    if matches!(location, Location::File(_)) {
        store.load().await?;
    }
    let mut watch = store.watch();
    let first = watch.first(FIRST_MAP).await.context("cannot start without a map")?;
    let (map_in, map) = watch::channel(first);
    tokio::spawn(forward(watch, map_in));
    Ok(map)
}

/// Takes over every later map.
async fn forward(mut watch: Watch, map: watch::Sender<Arc<Cluster>>) {
    while let Some(next) = watch.next().await {
        tracing::info!(version = next.version, epoch = next.map.epoch(), "the map has changed");
        map.send_replace(next);
    }
}

/// The ways to all shards of a map.
pub(super) fn links(map: &Map) -> Links {
    let cluster = map.borrow().clone();
    let link = |id: u32| (id, Arc::new(GroupLink::new(id, map.clone())) as Arc<dyn ShardLink>);
    let shards: BTreeMap<u32, Arc<dyn ShardLink>> = cluster.shards.iter().map(|entry| link(entry.id)).collect();
    Links::new(cluster.map.clone(), shards)
}
