//! `crest cluster`: the map of a cluster, and the life of its nodes.
//!
//! These commands talk to the map's store and to the nodes themselves, never to a router. [`survey`] is a cluster as it was
//! seen, [`health`] what is thought of it, [`ask`] how it is seen, [`plan`] what a change of the map moves; the others are the
//! commands.

pub(crate) mod init;
pub(crate) mod show;
mod survey;
mod health;
mod ask;
mod render;
mod status;
mod plan;
mod wait;
mod change;
mod leaders;

#[cfg(test)]
mod scenes;
#[cfg(test)]
mod tests;

use super::outcome::{Failure, Outcome, print};
use crest_map_store::{Location, StoreError};
use crest_topology::Cluster;
use serde_json::{Value, json};
use std::process::ExitCode;

/// `crest cluster`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Put a first map into an empty store
    Init(init::Args),
    /// Print the map
    Show(show::Args),
    /// Show shards, leaders, replicas, lag and health at a glance
    Status(status::Args),
    /// Add a node to the map, without replicas
    AddNode(change::AddNode),
    /// Move all replicas of a node to other nodes
    DrainNode(change::DrainNode),
    /// Put a node in the place of another one in every shard
    ReplaceNode(change::ReplaceNode),
    /// Put a shard on these nodes: to grow it, to shrink it, to move it
    Place(change::Place),
    /// Take a node without replicas out of the map
    RemoveNode(change::RemoveNode),
    /// Have shards led from another node
    TransferLeader(leaders::Transfer),
    /// Have all nodes lead as many shards, as far as replicas allow
    BalanceLeaders(leaders::Balance),
}

/// Options of the commands that only need the map's store.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Map and output")]
pub(crate) struct OfMap {
    /// Where the map lives: the path of a file, or `etcd://host:port[,host:port]/NAME`
    #[arg(long, env = "CREST_CLUSTER", value_name = "PLACE")]
    pub(crate) cluster: Location,
    /// Print one JSON document; numbers of 64 bits are strings
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs `crest cluster` and prints the outcome.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Status(status) if status.watch => status::watch(status).await,
        _ => print(execute(&args).await, args.json()),
    }
}

pub(super) async fn execute(args: &Args) -> Result<Outcome, Failure> {
    match &args.verb {
        Verb::Init(args) => init::execute(args).await,
        Verb::Show(args) => show::execute(args).await,
        Verb::Status(args) => status::execute(args).await,
        Verb::AddNode(args) => change::add_node(args).await,
        Verb::DrainNode(args) => change::drain_node(args).await,
        Verb::ReplaceNode(args) => change::replace_node(args).await,
        Verb::Place(args) => change::place(args).await,
        Verb::RemoveNode(args) => change::remove_node(args).await,
        Verb::TransferLeader(args) => leaders::transfer(args).await,
        Verb::BalanceLeaders(args) => leaders::balance(args).await,
    }
}

impl Args {
    fn json(&self) -> bool {
        match &self.verb {
            Verb::Init(args) => args.map.json,
            Verb::Show(args) => args.map.json,
            Verb::Status(args) => args.map.json,
            Verb::AddNode(args) => args.manner.map.json,
            Verb::DrainNode(args) => args.manner.map.json,
            Verb::ReplaceNode(args) => args.manner.map.json,
            Verb::Place(args) => args.manner.map.json,
            Verb::RemoveNode(args) => args.manner.map.json,
            Verb::TransferLeader(args) => args.common.map.json,
            Verb::BalanceLeaders(args) => args.common.map.json,
        }
    }
}

/// How a command ends whose store gives no map: a store that holds none, or something else, is found wrong.
pub(crate) fn no_map(error: &StoreError) -> Result<Outcome, Failure> {
    let outcome = match error {
        StoreError::Unavailable { .. } => return Err(Failure::Unavailable(error.to_string())),
        StoreError::Empty { .. } => "empty",
        StoreError::Damaged { .. } => "damaged",
    };
    Ok(refused(outcome, error.to_string()))
}

/// An outcome that is a refusal, and has nothing to print for people.
pub(crate) fn refused(outcome: &str, why: String) -> Outcome {
    Outcome { text: String::new(), json: json!({ "outcome": outcome, "error": why }), refusal: Some(why) }
}

/// The map for programs.
pub(crate) fn document(cluster: &Cluster) -> Value {
    let ranges = cluster.map.ranges();
    let node = |node: &crest_topology::NodeEntry| {
        let shards: Vec<u32> = cluster.shards_on(node.id).collect();
        json!({ "node": node.id, "address": node.address, "shards": shards })
    };
    let shard = |shard: &crest_topology::ShardEntry| {
        let slots = ranges.iter().filter(|range| range.shard == shard.id);
        let slots: Vec<Value> = slots.map(|range| json!({ "first": range.first, "last": range.last })).collect();
        json!({ "shard": shard.id, "replicas": shard.replicas, "slots": slots, "founded": shard.founded })
    };
    json!({
        "cluster": cluster.name,
        "version": cluster.version.to_string(),
        "epoch": cluster.map.epoch().to_string(),
        "nodes": cluster.nodes.iter().map(node).collect::<Vec<_>>(),
        "shards": cluster.shards.iter().map(shard).collect::<Vec<_>>(),
    })
}
