//! Logs and metrics.

use std::io::IsTerminal;
use std::net::SocketAddr;

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tracing_subscriber::EnvFilter;

use super::metrics_page;

/// Seconds: from 20 µs, below any fsync, to 10 s, above every deadline.
const SECONDS: &[f64] = &[
    0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
    10.0,
];
/// Events of a group, records of a checkpoint.
const COUNTS: &[f64] = &[1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0, 10_000_000.0];

/// Starts structured logs on standard error. `RUST_LOG` chooses what is shown (default: `info`).
pub(super) fn logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .try_init();
}

/// Serves metrics for Prometheus at `http://ADDRESS/metrics`.
pub(super) fn metrics(address: SocketAddr) -> anyhow::Result<()> {
    let page = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_events".to_owned()), COUNTS)?
        .set_buckets_for_metric(Matcher::Suffix("_records".to_owned()), COUNTS)?
        .install_recorder()
        .context("cannot collect metrics")?;
    metrics_page::serve(address, page)
        .with_context(|| format!("cannot serve metrics on {address}; give another --metrics, or --metrics off"))
}

/// An address, or `off`.
#[derive(Clone, Copy, Debug)]
pub struct MetricsAddress(Option<SocketAddr>);

impl std::str::FromStr for MetricsAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse().map(|a| Self(Some(a))).map_err(|_| format!("expected host:port or 'off', got '{text}'"))
    }
}

/// Starts logs, and metrics unless they are off.
pub(super) fn start(address: MetricsAddress) -> anyhow::Result<()> {
    logs();
    match address.0 {
        Some(address) => metrics(address),
        None => Ok(()),
    }
}
