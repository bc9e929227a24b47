//! `crest cluster show`: the map, as a cluster file.

use super::{OfMap, document, no_map};
use crate::commands::outcome::{Failure, Outcome};
use crest_map_store::open;

/// `crest cluster show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  crest cluster show --cluster etcd://127.0.0.1:2379/demo

What is printed is a cluster file, with everything written out.

Exit codes:
  0  it is printed
  1  the store has no map, or something that is not one
  2  the command line is wrong
  3  the store does not answer")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) map: OfMap,
}

pub(super) async fn execute(args: &Args) -> Result<Outcome, Failure> {
    match open(args.map.cluster.clone()).load().await {
        Ok(cluster) => Ok(Outcome { text: cluster.to_toml(), json: document(&cluster), refusal: None }),
        Err(error) => no_map(&error),
    }
}
