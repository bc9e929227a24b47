//! `crest dev`: the embedded default.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use crest_node::ClockSource;
use crest_router::costs::methods;
use crest_router::service::{ledger_server, operations_server};

use super::embedded::{Embedded, EmbeddedConfig};
use super::telemetry::MetricsAddress;
use super::{grpc, telemetry};

/// A whole ledger in one process: N shards and a router.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  crest dev --shards 4 --data-dir ./crest-data

Then, in another terminal:
  crest account create alice --ledger 1 --code 10
  crest account create bob --ledger 1 --code 10
  crest transfer send --from alice --to bob --amount 12.50 --scale 2 --ledger 1 --code 1")]
pub struct Args {
    /// How many shards. A data folder keeps the number that it was made with.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..1_024))]
    shards: u32,

    /// Where the data lives. Without it a temporary folder is used and deleted at the end.
    #[arg(long)]
    data_dir: Option<PathBuf>,

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
/// When a data folder or a port can't be opened, or a shard fails.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    telemetry::start(args.metrics)?;
    let bounds = grpc::bounds(methods(args.shards as usize))?;
    let temporary = match args.data_dir {
        Some(_) => None,
        None => Some(tempfile::tempdir().context("cannot make a temporary folder; give a --data-dir")?),
    };
    let data_dir = match (&args.data_dir, &temporary) {
        (Some(dir), _) => dir.clone(),
        (None, Some(dir)) => dir.path().to_owned(),
        (None, None) => anyhow::bail!("no data folder"),
    };
    let cluster = Embedded::open(EmbeddedConfig {
        shards: args.shards,
        data_dir,
        clock: ClockSource::default(),
        log: super::node::log_options(),
    })?;
    let port = grpc::bind(args.listen).await?;
    let stop = grpc::stop_signal()?;
    let where_data = args.data_dir.as_deref().map_or("a temporary folder".into(), |d| d.display().to_string());
    println!("crest: {} shards, data in {where_data}, ready on {}", args.shards, port.address);
    let mut routes = grpc::routes();
    routes.add_service(ledger_server(cluster.router())).add_service(operations_server(cluster.router()));
    tokio::select! {
        served = grpc::serve(port, routes.routes(), Some(cluster.router().readiness()), bounds, stop) => served?,
        failed = first_failure(&cluster) => anyhow::bail!(failed),
    }
    cluster.stop()?;
    Ok(ExitCode::SUCCESS)
}

/// Waits for the first shard that stops by itself.
async fn first_failure(cluster: &Embedded) -> String {
    let (told, mut failed) = tokio::sync::mpsc::channel(1);
    for handle in cluster.handles() {
        let told = told.clone();
        tokio::spawn(async move {
            let why = handle.ended().await.err().unwrap_or_else(|| "it ended".to_owned());
            let _ = told.send(format!("shard {} stopped: {why}", handle.shard())).await;
        });
    }
    failed.recv().await.unwrap_or_default()
}
