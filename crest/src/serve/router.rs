//! `crest router`: a router in a process of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use crest_router::Router;
use crest_router::service::{ledger_server, operations_server};

use super::telemetry::MetricsAddress;
use super::{grpc, telemetry};

/// A router of a cluster: clients connect to it. Start as many as you like.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  crest router --cluster cluster.toml --listen 127.0.0.1:7000 --metrics off")]
pub struct Args {
    /// The cluster file.
    #[arg(long)]
    cluster: PathBuf,

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
    let cluster = super::node::cluster(&args.cluster)?;
    telemetry::start(args.metrics)?;
    let router = Router::new(super::node::links(&cluster)?);
    let port = grpc::bind(args.listen).await?;
    let stop = grpc::stop_signal()?;
    println!("crest: router of cluster {} ({} shards), ready on {}", cluster.name, cluster.shards.len(), port.address);
    let mut routes = grpc::routes();
    routes.add_service(ledger_server(router.clone())).add_service(operations_server(router));
    grpc::serve(port, routes.routes(), stop).await?;
    Ok(ExitCode::SUCCESS)
}
