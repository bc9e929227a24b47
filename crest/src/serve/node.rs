//! `crest node`: one shard in a process of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use crest_link::grpc::GrpcLink;
use crest_link::{Links, ShardLink};
use crest_node::log::Options as LogOptions;
use crest_node::service::ShardService;
use crest_node::{ClockSource, Config, Node};
use crest_topology::{Cluster, ClusterFileError};

use super::telemetry::MetricsAddress;
use super::{grpc, telemetry};

/// One shard of a cluster.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  crest node --cluster cluster.toml --shard 0 --data-dir ./shard-0 --metrics off

with this cluster.toml:
  cluster = \"demo\"
  epoch = 1
  [[shard]]
  id = 0
  address = \"127.0.0.1:7101\"")]
pub struct Args {
    /// The cluster file.
    #[arg(long)]
    cluster: PathBuf,

    /// Which of its shards.
    #[arg(long)]
    shard: u32,

    /// Where the data lives.
    #[arg(long)]
    data_dir: PathBuf,

    /// Where routers and other shards connect, when it is not the address in the cluster file.
    #[arg(long)]
    listen: Option<SocketAddr>,

    /// Where Prometheus finds the metrics: host:port, or 'off'.
    #[arg(long, default_value = "127.0.0.1:7180")]
    metrics: MetricsAddress,
}

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// When the cluster file, the data folder or a port is not as it should be, or the shard fails.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let cluster = cluster(&args.cluster)?;
    let entry = cluster.shards.iter().find(|s| s.id == args.shard);
    let entry = entry.with_context(|| {
        let known: Vec<String> = cluster.shards.iter().map(|s| s.id.to_string()).collect();
        format!("--shard {}: {} has shards {}", args.shard, args.cluster.display(), known.join(", "))
    })?;
    let listen = match args.listen {
        Some(listen) => listen,
        None => resolve(&entry.address).await?,
    };
    telemetry::start(args.metrics)?;
    let node = Node::open(Config {
        cluster: cluster.name.clone(),
        shard: args.shard,
        map: cluster.map.clone(),
        data_dir: args.data_dir,
        clock: ClockSource::System,
        log: log_options(),
    })?;
    let port = grpc::bind(listen).await?;
    let stop = grpc::stop_signal()?;
    let recovery = tokio::spawn(crest_node::recovery::run(node.handle(), links(&cluster)?));
    println!("crest: shard {} of cluster {}, ready on {}", args.shard, cluster.name, port.address);
    let mut routes = grpc::routes();
    routes.add_service(ShardService::server(node.handle(), cluster.map.epoch(), stop.clone()));
    let handle = node.handle();
    tokio::select! {
        served = grpc::serve(port, routes.routes(), stop) => served?,
        ended = handle.ended() => {
            let why = ended.err().unwrap_or_else(|| "it ended".to_owned());
            anyhow::bail!("shard {} stopped: {why}", args.shard);
        }
    }
    recovery.abort();
    node.stop().map_err(anyhow::Error::msg)?;
    Ok(ExitCode::SUCCESS)
}

/// How logs are kept. Tests begin new segments sooner.
pub(super) fn log_options() -> LogOptions {
    let usual = LogOptions::default();
    LogOptions { segment_bytes: crest_node::points::VALUE_SEGMENT_BYTES.value().unwrap_or(usual.segment_bytes) }
}

/// Reads a cluster file; an error names it.
pub(super) fn cluster(path: &Path) -> anyhow::Result<Cluster> {
    Cluster::load(path).map_err(|e| match e {
        ClusterFileError::Read { .. } => e.into(),
        e => anyhow::anyhow!("{}: {e}", path.display()),
    })
}

/// The ways to all shards of a cluster file.
pub(super) fn links(cluster: &Cluster) -> anyhow::Result<Links> {
    let mut shards: BTreeMap<u32, Arc<dyn ShardLink>> = BTreeMap::new();
    for entry in &cluster.shards {
        let link = GrpcLink::new(entry.id, &entry.address, cluster.map.epoch());
        let link = link.with_context(|| format!("shard {}: the address '{}' is not valid", entry.id, entry.address))?;
        shards.insert(entry.id, Arc::new(link));
    }
    Ok(Links::new(cluster.map.clone(), shards))
}

async fn resolve(address: &str) -> anyhow::Result<SocketAddr> {
    let mut found = tokio::net::lookup_host(address)
        .await
        .with_context(|| format!("cannot find the address '{address}' of the cluster file; give a --listen"))?;
    found.next().with_context(|| format!("the address '{address}' of the cluster file has no IP; give a --listen"))
}
