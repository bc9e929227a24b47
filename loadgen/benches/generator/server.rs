//! A ledger that is as quick as gRPC allows: it says that everything is created and keeps nothing.

use std::pin::Pin;

use crest_proto::MESSAGE_BYTES_MAX;
use crest_proto::v1;
use crest_proto::v1::ledger_server::{Ledger, LedgerServer};
use crest_proto::v1::operations_server::{Operations, OperationsServer};
use crest_proto::v1::stream_transfers_response::Outcome;
use crest_proto::v1::watch_audit_response::Update;
use futures_util::{Stream, StreamExt};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// Requests of one connection side by side, as a router takes them.
const CONNECTION_REQUESTS: u32 = 1_024;

struct Instant;

/// Serves on a free port of the loopback until the process is killed; its first line says where.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    let server = tonic::transport::Server::builder()
        .max_concurrent_streams(CONNECTION_REQUESTS)
        .add_service(LedgerServer::new(Instant).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(OperationsServer::new(Instant));
    server.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))).await?;
    Ok(())
}

fn created(request: &v1::CreateTransfersRequest) -> v1::CreateTransfersResponse {
    let result = v1::CreateTransferResult { status: v1::CreateTransferStatus::Created as i32, timestamp: 1 };
    v1::CreateTransfersResponse { results: vec![result; request.transfers.len()] }
}

type Answer<T> = Result<Response<T>, Status>;

fn never<T>() -> Answer<T> {
    Err(Status::unimplemented("no rehearsal asks for this"))
}

#[tonic::async_trait]
impl Ledger for Instant {
    async fn create_accounts(&self, request: Request<v1::CreateAccountsRequest>) -> Answer<v1::CreateAccountsResponse> {
        let result = v1::CreateAccountResult { status: v1::CreateAccountStatus::Created as i32, timestamp: 1 };
        let results = vec![result; request.get_ref().accounts.len()];
        Ok(Response::new(v1::CreateAccountsResponse { results }))
    }

    async fn create_transfers(
        &self,
        request: Request<v1::CreateTransfersRequest>,
    ) -> Answer<v1::CreateTransfersResponse> {
        Ok(Response::new(created(request.get_ref())))
    }

    type StreamTransfersStream = Pin<Box<dyn Stream<Item = Result<v1::StreamTransfersResponse, Status>> + Send>>;

    async fn stream_transfers(
        &self,
        request: Request<Streaming<v1::StreamTransfersRequest>>,
    ) -> Answer<Self::StreamTransfersStream> {
        let answer = |message: Result<v1::StreamTransfersRequest, Status>| {
            let v1::StreamTransfersRequest { request_id, request } = message?;
            let outcome = Some(Outcome::Response(created(&request.unwrap_or_default())));
            Ok(v1::StreamTransfersResponse { request_id, outcome })
        };
        Ok(Response::new(Box::pin(request.into_inner().map(answer))))
    }

    async fn lookup_accounts(&self, request: Request<v1::LookupAccountsRequest>) -> Answer<v1::LookupAccountsResponse> {
        let account = |id| v1::Account { id: Some(id), ..v1::Account::default() };
        let accounts = request.into_inner().ids.into_iter().map(account).collect();
        Ok(Response::new(v1::LookupAccountsResponse { accounts, timestamp: 1 }))
    }

    async fn lookup_transfers(&self, _: Request<v1::LookupTransfersRequest>) -> Answer<v1::LookupTransfersResponse> {
        never()
    }

    async fn get_account_transfers(
        &self,
        _: Request<v1::GetAccountTransfersRequest>,
    ) -> Answer<v1::GetAccountTransfersResponse> {
        never()
    }

    async fn get_account_balances(
        &self,
        _: Request<v1::GetAccountBalancesRequest>,
    ) -> Answer<v1::GetAccountBalancesResponse> {
        never()
    }

    async fn query_accounts(&self, _: Request<v1::QueryAccountsRequest>) -> Answer<v1::QueryAccountsResponse> {
        never()
    }

    async fn query_transfers(&self, _: Request<v1::QueryTransfersRequest>) -> Answer<v1::QueryTransfersResponse> {
        Ok(Response::new(v1::QueryTransfersResponse::default()))
    }
}

#[tonic::async_trait]
impl Operations for Instant {
    async fn audit(&self, _: Request<v1::AuditRequest>) -> Answer<v1::AuditResponse> {
        never()
    }

    type WatchAuditStream = Pin<Box<dyn Stream<Item = Result<v1::WatchAuditResponse, Status>> + Send>>;

    async fn watch_audit(&self, _: Request<v1::AuditRequest>) -> Answer<Self::WatchAuditStream> {
        let response = v1::AuditResponse { holds: true, ..v1::AuditResponse::default() };
        let update = v1::WatchAuditResponse { update: Some(Update::Response(response)) };
        Ok(Response::new(Box::pin(tokio_stream::iter([Ok(update)]))))
    }

    type BackupStream = Pin<Box<dyn Stream<Item = Result<v1::BackupResponse, Status>> + Send>>;

    async fn backup(&self, _: Request<v1::BackupRequest>) -> Answer<Self::BackupStream> {
        never()
    }

    async fn status(&self, _: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        let slots = vec![v1::SlotRange { first: 0, last: crest_topology::SLOTS as u32 - 1 }];
        let shard = v1::ShardStatus { reachable: true, slots, ..v1::ShardStatus::default() };
        Ok(Response::new(v1::StatusResponse { epoch: 1, shards: vec![shard] }))
    }

    async fn list_in_doubt(&self, _: Request<v1::ListInDoubtRequest>) -> Answer<v1::ListInDoubtResponse> {
        never()
    }

    async fn align_shard_times(
        &self,
        _: Request<v1::AlignShardTimesRequest>,
    ) -> Result<Response<v1::AlignShardTimesResponse>, Status> {
        Err(Status::unimplemented("a generator needs none of it"))
    }

    async fn resolve(&self, _: Request<v1::ResolveRequest>) -> Answer<v1::ResolveResponse> {
        never()
    }

    async fn list_resolutions(&self, _: Request<v1::ListResolutionsRequest>) -> Answer<v1::ListResolutionsResponse> {
        never()
    }
}
