//! The gRPC server: services, health and reflection on one port, until it is told to stop.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use crest_router::readiness::Reach;
use crest_server::guard::Guard;
use crest_server::method::Methods;
use crest_server::{accept, limits};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::Server;

use super::health;

/// How much memory each method of a server may cost, and how many connections it takes.
pub(super) struct Bounds {
    methods: Methods,
    connections_max: usize,
}

/// The bounds of a server with these methods, in this process.
///
/// # Errors
/// When the limit of open files can't be raised.
pub(super) fn bounds(methods: Methods) -> anyhow::Result<Bounds> {
    let connections_max = accept::connections_max(accept::raise_descriptors()?);
    Ok(Bounds { methods, connections_max })
}

/// How long open calls may go on after the signal to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// A port that is bound, and not served yet.
pub(super) struct Port {
    listener: TcpListener,
    /// The address that was bound: the real port when 0 was asked for.
    pub(super) address: SocketAddr,
}

/// Binds a port.
pub(super) async fn bind(address: SocketAddr) -> anyhow::Result<Port> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; is another process there? give another --listen"))?;
    let address = listener.local_addr()?;
    Ok(Port { listener, address })
}

/// Serves `routes` with health and reflection until `stop` turns true, then lets open calls end. A router's health follows `reach`.
pub(super) async fn serve(
    port: Port,
    routes: Routes,
    reach: Option<watch::Receiver<Reach>>,
    bounds: Bounds,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let health_service = health::service(reach).await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(crest_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let routes = routes
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        // The first version of reflection is what most clients of today still speak.
        .add_service(reflection().build_v1alpha()?);
    let services = Guard::new(routes.prepare(), bounds.methods);
    let incoming = accept::connections(port.listener, bounds.connections_max, limits::Times::default());
    let mut stopped = stop.clone();
    let signal = async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let server = Server::builder()
        .max_concurrent_streams(limits::CALLS_MAX)
        .initial_connection_window_size(limits::WINDOW_BYTES)
        .initial_stream_window_size(limits::WINDOW_BYTES)
        .http2_keepalive_interval(Some(limits::KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(limits::KEEPALIVE_TIMEOUT))
        .serve_with_incoming_shutdown(services, incoming, signal);
    let mut stopped = stop;
    let late = async move {
        let _ = stopped.wait_for(|stop| *stop).await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = server => served.context("the gRPC server failed"),
        () = late => Ok(()),
    }
}

/// Routes with one service, to which others are added.
pub(super) fn routes() -> tonic::service::RoutesBuilder {
    Routes::builder()
}

/// Turns true on SIGINT or SIGTERM.
pub(super) fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (told, stop) = watch::channel(false);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping: open calls are ended, then a last checkpoint is written");
        let _ = told.send(true);
    });
    Ok(stop)
}
