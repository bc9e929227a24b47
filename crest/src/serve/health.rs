//! What the process says of itself by gRPC's own health protocol (`grpc.health.v1`).
//!
//! - `process`: the process runs and answers. Always SERVING: whoever restarts what does not serve asks this. A router that is
//!   started again reaches no more shards than before.
//! - ``, the whole server: a router says SERVING while it can serve some payments, since the leader of at least one shard answers. It is
//!   for whoever chooses between routers. A node is SERVING as long as it runs.
//! - `crest.v1.Ledger`, at routers only: every shard serves, and all accept each other's messages.
//!
//! The last two change only after [`crest_router::limits::READY_PATIENCE`] without a good answer: a change of leader is no outage.

use crest_router::readiness::Reach;
use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::{HealthReporter, health_reporter};

/// The service that says whether the process runs.
pub(crate) const PROCESS: &str = "process";
/// The service that says whether everything can be paid.
pub(crate) const LEDGER: &str = "crest.v1.Ledger";

/// The health service of a router, which follows `reach`, or of a node.
pub(super) async fn service(reach: Option<watch::Receiver<Reach>>) -> HealthServer<impl Health> {
    let (reporter, service) = health_reporter();
    reporter.set_service_status(PROCESS, ServingStatus::Serving).await;
    match reach {
        None => reporter.set_service_status("", ServingStatus::Serving).await,
        Some(mut reach) => {
            let first = *reach.borrow_and_update();
            say(&reporter, first).await;
            tokio::spawn(async move {
                while reach.changed().await.is_ok() {
                    let now = *reach.borrow_and_update();
                    tracing::info!(reach = ?now, "how many shards this router serves has changed");
                    say(&reporter, now).await;
                }
            });
        }
    }
    service
}

async fn say(reporter: &HealthReporter, reach: Reach) {
    let [some, all] = statuses(reach);
    reporter.set_service_status("", some).await;
    reporter.set_service_status(LEDGER, all).await;
}

/// What is said of the server as a whole, and of the ledger.
fn statuses(reach: Reach) -> [ServingStatus; 2] {
    match reach {
        Reach::Nothing => [ServingStatus::NotServing; 2],
        Reach::Some => [ServingStatus::Serving, ServingStatus::NotServing],
        Reach::Everything => [ServingStatus::Serving; 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;

    async fn asked(address: &str, service: &str) -> Result<i32, tonic::Code> {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
        let mut client = HealthClient::new(endpoint.connect().await.unwrap());
        let answer = client.check(HealthCheckRequest { service: service.to_owned() }).await;
        answer.map(|answer| answer.into_inner().status).map_err(|status| status.code())
    }

    async fn server(reach: Option<watch::Receiver<Reach>>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tonic::transport::Server::builder().add_service(service(reach).await);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        address
    }

    #[tokio::test]
    async fn a_router_says_what_it_reaches_and_always_that_it_runs() {
        const SERVING: Result<i32, tonic::Code> = Ok(1);
        const NOT_SERVING: Result<i32, tonic::Code> = Ok(2);
        let (tell, told) = watch::channel(Reach::Nothing);
        let router = server(Some(told)).await;
        for (reach, some, all) in [
            (Reach::Nothing, NOT_SERVING, NOT_SERVING),
            (Reach::Some, SERVING, NOT_SERVING),
            (Reach::Everything, SERVING, SERVING),
            (Reach::Nothing, NOT_SERVING, NOT_SERVING),
        ] {
            tell.send_replace(reach);
            let told = async {
                while (asked(&router, "").await, asked(&router, LEDGER).await) != (some, all) {
                    tokio::task::yield_now().await;
                }
            };
            assert!(tokio::time::timeout(Duration::from_secs(30), told).await.is_ok(), "{reach:?}");
            assert_eq!(asked(&router, PROCESS).await, SERVING, "{reach:?}");
        }
        let node = server(None).await;
        let answers = (asked(&node, "").await, asked(&node, PROCESS).await, asked(&node, LEDGER).await);
        assert_eq!(answers, (SERVING, SERVING, Err(tonic::Code::NotFound)));
    }
}
