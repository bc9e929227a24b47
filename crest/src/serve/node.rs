//! `crest node`: the replicas of one machine in a process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use crest_map_store::Location;
use crest_node::clock::{MachineClocks, ProcessClock};
use crest_node::host::{Host, HostConfig};
use crest_node::log::Options as LogOptions;
use crest_node::peers::grpc::GrpcPeers;
use crest_node::peers::service::PeersService;
use crest_node::service::ShardService;
use crest_topology::{Cluster, NodeId};
use tokio::sync::mpsc;

use super::telemetry::MetricsAddress;
use super::{grpc, map, telemetry};

/// A node of a cluster: it has a replica of every shard that the map places on it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  crest node --cluster cluster.toml --node 1 --data-dir ./node-1 --metrics off

with this cluster.toml, and a node 2 and 3 on the other machines:
  cluster = \"demo\"
  epoch = 1
  [[node]]
  id = 1
  address = \"10.0.0.1:7101\"
  [[node]]
  id = 2
  address = \"10.0.0.2:7101\"
  [[node]]
  id = 3
  address = \"10.0.0.3:7101\"
  [[shard]]
  id = 0
  replicas = [1, 2, 3]")]
pub struct Args {
    /// Where the map is: a cluster file, or `etcd://host:port[,host:port]/NAME`.
    #[arg(long, env = "CREST_CLUSTER")]
    cluster: Location,

    /// Which of its nodes.
    #[arg(long, required_unless_present = "shard", conflicts_with = "shard")]
    node: Option<NodeId>,

    /// The node of this shard, in a cluster file without `[[node]]`: there every shard is alone on a node of its own.
    #[arg(long)]
    shard: Option<u32>,

    /// Where the data lives: a folder for each shard.
    #[arg(long)]
    data_dir: PathBuf,

    /// Where routers and other nodes connect, when it is not the address in the map.
    #[arg(long)]
    listen: Option<SocketAddr>,

    /// Where Prometheus finds the metrics: host:port, or 'off'.
    #[arg(long, default_value = "127.0.0.1:7180")]
    metrics: MetricsAddress,
}

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// When the map, the data folder or a port is not as it should be, or every replica fails.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    telemetry::start(args.metrics)?;
    let bounds = grpc::bounds(crest_node::costs::methods())?;
    // A node starts without etcd too: its replicas are where they were.
    let copy = matches!(args.cluster, Location::Etcd { .. }).then(|| args.data_dir.join("map.toml"));
    if copy.is_some() {
        std::fs::create_dir_all(&args.data_dir)
            .with_context(|| format!("cannot make the data folder {}", args.data_dir.display()))?;
    }
    let map = map::follow(&args.cluster, copy).await?;
    let cluster = map.borrow().clone();
    let node = which(&args, &cluster)?;
    let clock = ProcessClock::of_cluster(Box::new(MachineClocks));
    let listen = match args.listen {
        Some(listen) => listen,
        None => resolve(cluster.address_of_node(node).unwrap_or_default()).await?,
    };
    let config = HostConfig { node, data_dir: args.data_dir, log: log_options(), clock };
    let peers = Arc::new(GrpcPeers::new(node, map.clone()));
    let (failed_in, mut failed) = mpsc::channel(16);
    let mut host = Host::new(config, map.clone(), peers, map::links(&map), failed_in);
    host.open_all()?;
    let port = grpc::bind(listen).await?;
    let stop = grpc::stop_signal()?;
    let replicas = host.replicas();
    let shards: Vec<String> = cluster.shards_on(node).map(|shard| shard.to_string()).collect();
    println!("crest: node {node} of cluster {}, shards {}, ready on {}", cluster.name, shards.join(", "), port.address);
    // Leadership is handed over while everybody can still be reached; only then do streams and the server end.
    let (stopped_in, stopped) = tokio::sync::watch::channel(false);
    let mut routes = grpc::routes();
    routes.add_service(ShardService::server(replicas.clone(), cluster.map.epoch(), stopped.clone()));
    routes.add_service(PeersService::server(cluster.name.clone(), replicas.clone(), stopped.clone()));
    let hosting = tokio::spawn(async move {
        let ended = host.run(stop).await;
        let _ = stopped_in.send(true);
        ended
    });
    let serving = grpc::serve(port, routes.routes(), None, bounds, stopped);
    let all_failed = async {
        while let Some((shard, why)) = failed.recv().await {
            if replicas.all().is_empty() {
                return format!("shard {shard} stopped: {why}");
            }
            tracing::error!(shard, why, "a replica has failed; the others of this node go on");
        }
        std::future::pending().await
    };
    tokio::select! {
        served = serving => served?,
        why = all_failed => anyhow::bail!(why),
    }
    hosting.await?.map_err(anyhow::Error::msg)?;
    Ok(ExitCode::SUCCESS)
}

/// The node that is meant, which the map has to have.
fn which(args: &Args, cluster: &Cluster) -> anyhow::Result<NodeId> {
    let file = &args.cluster;
    if let Some(shard) = args.shard {
        let known: Vec<String> = cluster.shards.iter().map(|s| s.id.to_string()).collect();
        return match cluster.replicas_of(shard) {
            [] => anyhow::bail!("--shard {shard}: {file} has shards {}", known.join(", ")),
            [node] => Ok(*node),
            nodes => anyhow::bail!("--shard {shard}: {file} places it on nodes {nodes:?}; give --node"),
        };
    }
    let node = args.node.unwrap_or_default();
    let known: Vec<String> = cluster.nodes.iter().map(|n| n.id.to_string()).collect();
    cluster.node(node).with_context(|| format!("--node {node}: {file} has nodes {}", known.join(", ")))?;
    Ok(node)
}

/// How logs are kept. Tests begin new segments sooner.
pub(crate) fn log_options() -> LogOptions {
    let usual = LogOptions::default();
    LogOptions { segment_bytes: crest_node::points::VALUE_SEGMENT_BYTES.value().unwrap_or(usual.segment_bytes) }
}

async fn resolve(address: &str) -> anyhow::Result<SocketAddr> {
    let mut found = tokio::net::lookup_host(address)
        .await
        .with_context(|| format!("cannot find the address '{address}' of the map; give a --listen"))?;
    found.next().with_context(|| format!("the address '{address}' of the map has no IP; give a --listen"))
}
