//! `crest router`: a router in a process of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use crest_map_store::Location;
use crest_router::Router;
use crest_router::costs::methods;
use crest_router::service::{ledger_server, operations_server};

use super::telemetry::MetricsAddress;
use super::{grpc, map, telemetry};

/// A router of a cluster: clients connect to it. Start as many as you like.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  crest router --cluster cluster.toml --listen 127.0.0.1:7000 --metrics off")]
pub struct Args {
    /// Where the map is: a cluster file, or `etcd://host:port[,host:port]/NAME`.
    #[arg(long, env = "CREST_CLUSTER")]
    cluster: Location,

    /// A file that keeps the last map, so that the router also starts while etcd is away.
    #[arg(long, value_name = "FILE")]
    map_copy: Option<PathBuf>,

    /// Where clients connect.
    #[arg(long, default_value = "127.0.0.1:7000", env = "CREST_LISTEN")]
    listen: SocketAddr,

    /// Where Prometheus finds the metrics: host:port, or 'off'.
    #[arg(long, default_value = "127.0.0.1:7080", env = "CREST_METRICS")]
    metrics: MetricsAddress,
}

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// When the cluster file or a port is not as it should be.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    telemetry::start(args.metrics)?;
    let map = map::follow(&args.cluster, args.map_copy).await?;
    let cluster = map.borrow().clone();
    let bounds = grpc::bounds(methods(cluster.shards.len()))?;
    let router = Router::new(map::links(&map));
    let port = grpc::bind(args.listen).await?;
    let stop = grpc::stop_signal()?;
    println!("crest: router of cluster {} ({} shards), ready on {}", cluster.name, cluster.shards.len(), port.address);
    let mut routes = grpc::routes();
    let reach = router.readiness();
    routes.add_service(ledger_server(router.clone())).add_service(operations_server(router));
    grpc::serve(port, routes.routes(), Some(reach), bounds, stop).await?;
    Ok(ExitCode::SUCCESS)
}
