//! `crest cluster init`: the first map of a store.

use super::{OfMap, document, no_map, refused};
use crate::commands::outcome::{Failure, Outcome};
use crest_map_store::{MapStore, SwapError, open, put};
use crest_topology::{Cluster, ClusterFileError};
use serde_json::json;
use std::path::PathBuf;

/// `crest cluster init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  crest cluster init cluster.toml --cluster etcd://127.0.0.1:2379/demo

The cluster's name in the file has to be the one in the address. A store that has a map keeps it; saying the same again does
no harm. A file whose version is above 1 goes on counting there: that is how a map comes back whose store was lost.

Exit codes:
  0  the store has this map
  1  it has another one, or this one cannot be put there
  2  the command line is wrong, or FILE is no cluster file
  3  the store does not answer, or nobody knows whether it has taken the map: say the same again")]
pub(crate) struct Args {
    /// The cluster file
    file: PathBuf,
    #[command(flatten)]
    pub(super) map: OfMap,
}

pub(super) async fn execute(args: &Args) -> Result<Outcome, Failure> {
    let cluster = Cluster::load(&args.file).map_err(|error| match error {
        ClusterFileError::Read { .. } => Failure::Usage(error.to_string()),
        _ => Failure::Usage(format!("{}: {error}", args.file.display())),
    })?;
    let store = open(args.map.cluster.clone());
    match put(store.as_ref(), 0, &cluster).await {
        Ok(()) => Ok(holds("created", &args.map, &cluster)),
        Err(SwapError::Conflict { .. }) => compare(store.as_ref(), &args.map, &cluster).await,
        Err(SwapError::Store(error)) => no_map(&error),
        Err(error @ SwapError::Unknown { .. }) => {
            Err(Failure::Unavailable(format!("{error}, or run the same command again")))
        }
        Err(error @ SwapError::Invalid { .. }) => Ok(refused("invalid", error.to_string())),
    }
}

/// The store has a map: perhaps it is this one.
async fn compare(store: &dyn MapStore, map: &OfMap, cluster: &Cluster) -> Result<Outcome, Failure> {
    match store.load().await {
        Ok(found) if *found == *cluster => Ok(holds("exists", map, cluster)),
        Ok(found) => Ok(refused(
            "exists_with_different_map",
            format!(
                "{} has version {} of the map of cluster {} already, and keeps it; look at it with \
                 `crest cluster show --cluster {0}`",
                map.cluster, found.version, found.name
            ),
        )),
        Err(error) => no_map(&error),
    }
}

fn holds(outcome: &str, map: &OfMap, cluster: &Cluster) -> Outcome {
    let already = if outcome == "created" { "now" } else { "already" };
    let (version, epoch) = (cluster.version, cluster.map.epoch());
    let (nodes, shards) = (cluster.nodes.len(), cluster.shards.len());
    let text = format!(
        "{} has the map of cluster {} {already}: version {version}, epoch {epoch}, nodes: {nodes}, shards: {shards}",
        map.cluster, cluster.name
    );
    Outcome { text, json: json!({ "outcome": outcome, "map": document(cluster) }), refusal: None }
}
