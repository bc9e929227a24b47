//! The public gRPC services, over a [`Router`].

use std::pin::Pin;

use crest_ledger::txn::EventResult;
use crest_ledger::{AccountStatus, Traffic, TransferStatus};
use crest_proto::border::{self, FieldError};
use crest_proto::v1;
use crest_proto::v1::ledger_server::{Ledger, LedgerServer};
use crest_proto::v1::operations_server::{Operations, OperationsServer};
use crest_server::request::Intake;
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::calls::{Calls, asked_for};
use crate::reads::ReadAt;
use crate::router::Router;
use crate::{audit_messages, backup_messages, in_doubt_messages, limits, shard_times, status_message};

/// The methods of [`LedgerService`], as the metrics name them.
const LEDGER_METHODS: [&str; 9] = [
    "create_accounts",
    "create_transfers",
    "stream_transfers",
    "lookup_accounts",
    "lookup_transfers",
    "get_account_transfers",
    "get_account_balances",
    "query_accounts",
    "query_transfers",
];

/// Those of [`OperationsService`]. They are neither live nor of a rehearsal, and count as live.
const OPERATIONS_METHODS: [&str; 6] =
    ["audit", "watch_audit", "backup", "list_in_doubt", "resolve", "list_resolutions"];

/// The service `crest.v1.Ledger`.
pub fn ledger_server(router: Router) -> LedgerServer<LedgerService> {
    LedgerServer::new(LedgerService { router, calls: Calls::of(&LEDGER_METHODS) })
        .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(limits::MESSAGE_BYTES_MAX)
}

/// The service `crest.v1.Operations`.
pub fn operations_server(router: Router) -> OperationsServer<OperationsService> {
    OperationsServer::new(OperationsService { router, calls: Calls::of(&OPERATIONS_METHODS) })
        .max_encoding_message_size(limits::MESSAGE_BYTES_MAX)
}

/// Clients' requests.
#[derive(Clone)]
pub struct LedgerService {
    router: Router,
    pub(crate) calls: Calls,
}

/// Operators' requests.
pub struct OperationsService {
    router: Router,
    calls: Calls,
}

pub(crate) type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Ledger for LedgerService {
    async fn create_accounts(&self, request: Request<v1::CreateAccountsRequest>) -> Answer<v1::CreateAccountsResponse> {
        let traffic = Traffic::of_all(request.get_ref().accounts.iter().map(|a| a.ledger));
        let call = self.calls.begin("create_accounts", traffic);
        call.end(async {
            let accounts = border::accounts_from(request.into_inner().accounts)?;
            let results = self.router.create_accounts(accounts).await?;
            let to = |r: &EventResult| {
                let status = r.account_status().unwrap_or(AccountStatus::LinkedEventFailed);
                border::account_result_to(status, r.timestamp)
            };
            Ok((v1::CreateAccountsResponse { results: results.iter().map(to).collect() }, traffic))
        })
        .await
    }

    async fn create_transfers(
        &self,
        request: Request<v1::CreateTransfersRequest>,
    ) -> Answer<v1::CreateTransfersResponse> {
        let call = self.calls.begin("create_transfers", traffic_of(request.get_ref()));
        call.end(self.create(request.into_inner())).await
    }

    type StreamTransfersStream = Pin<Box<dyn Stream<Item = Result<v1::StreamTransfersResponse, Status>> + Send>>;

    async fn stream_transfers(
        &self,
        request: Request<Streaming<v1::StreamTransfersRequest>>,
    ) -> Answer<Self::StreamTransfersStream> {
        let intake = Intake::of(&request);
        let (answers, stream) = mpsc::channel(limits::STREAM_REQUESTS_MAX);
        tokio::spawn(self.clone().serve_stream(request.into_inner(), intake, answers));
        // What the request was charged is free when its answer goes out.
        Ok(Response::new(Box::pin(ReceiverStream::new(stream).map(|(answer, _charge)| answer))))
    }

    async fn lookup_accounts(&self, request: Request<v1::LookupAccountsRequest>) -> Answer<v1::LookupAccountsResponse> {
        let call = self.calls.begin("lookup_accounts", Traffic::Live);
        call.end(async {
            let (ids, read) = lookup_of(request.get_ref().read, request.into_inner().ids)?;
            let (accounts, timestamp) = self.router.lookup_accounts_at(&ids, read).await?;
            let traffic = Traffic::of_all(accounts.iter().map(|a| a.ledger));
            let accounts = accounts.iter().map(border::account_to).collect();
            Ok((v1::LookupAccountsResponse { accounts, timestamp }, traffic))
        })
        .await
    }

    async fn lookup_transfers(
        &self,
        request: Request<v1::LookupTransfersRequest>,
    ) -> Answer<v1::LookupTransfersResponse> {
        let call = self.calls.begin("lookup_transfers", Traffic::Live);
        call.end(async {
            let (ids, read) = lookup_of(request.get_ref().read, request.into_inner().ids)?;
            let transfers = self.router.lookup_transfers_at(&ids, read).await?;
            let traffic = Traffic::of_all(transfers.iter().map(|t| t.ledger));
            Ok((
                v1::LookupTransfersResponse { transfers: transfers.iter().map(border::transfer_to).collect() },
                traffic,
            ))
        })
        .await
    }

    async fn get_account_transfers(
        &self,
        request: Request<v1::GetAccountTransfersRequest>,
    ) -> Answer<v1::GetAccountTransfersResponse> {
        let call = self.calls.begin("get_account_transfers", Traffic::Live);
        call.end(async {
            let filter = border::account_filter_from(request.into_inner().filter)?;
            let (rows, next) = self.router.account_transfers(filter).await?;
            let transfers = rows.iter().map(border::transfer_to).collect();
            let traffic = Traffic::of_all(rows.iter().map(|t| t.ledger));
            Ok((v1::GetAccountTransfersResponse { transfers, next_cursor: cursor(next) }, traffic))
        })
        .await
    }

    async fn get_account_balances(
        &self,
        request: Request<v1::GetAccountBalancesRequest>,
    ) -> Answer<v1::GetAccountBalancesResponse> {
        let call = self.calls.begin("get_account_balances", Traffic::Live);
        call.end(async {
            let filter = border::account_filter_from(request.into_inner().filter)?;
            let ((rows, next), ledger) = self.router.account_balances_of(filter).await?;
            let balances = rows.iter().map(border::balance_to).collect();
            Ok((v1::GetAccountBalancesResponse { balances, next_cursor: cursor(next) }, Traffic::of(ledger)))
        })
        .await
    }

    async fn query_accounts(&self, request: Request<v1::QueryAccountsRequest>) -> Answer<v1::QueryAccountsResponse> {
        let filter = border::query_filter_from(request.into_inner().filter);
        let asked = filter.as_ref().map_or(Traffic::Live, |filter| asked_for(&filter.conditions));
        let call = self.calls.begin("query_accounts", asked);
        call.end(async {
            let filter = filter?;
            let (rows, next) = self.router.query_accounts(filter).await?;
            let accounts = rows.iter().map(border::account_to).collect();
            let traffic = if rows.is_empty() { asked } else { Traffic::of_all(rows.iter().map(|row| row.ledger)) };
            Ok((v1::QueryAccountsResponse { accounts, next_cursor: cursor(next) }, traffic))
        })
        .await
    }

    async fn query_transfers(&self, request: Request<v1::QueryTransfersRequest>) -> Answer<v1::QueryTransfersResponse> {
        let filter = border::query_filter_from(request.into_inner().filter);
        let asked = filter.as_ref().map_or(Traffic::Live, |filter| asked_for(&filter.conditions));
        let call = self.calls.begin("query_transfers", asked);
        call.end(async {
            let filter = filter?;
            let (rows, next) = self.router.query_transfers(filter).await?;
            let transfers = rows.iter().map(border::transfer_to).collect();
            let traffic = if rows.is_empty() { asked } else { Traffic::of_all(rows.iter().map(|row| row.ledger)) };
            Ok((v1::QueryTransfersResponse { transfers, next_cursor: cursor(next) }, traffic))
        })
        .await
    }
}

/// What is looked up, and when.
fn lookup_of(read: Option<v1::ReadAt>, ids: Vec<v1::Uint128>) -> Result<(Vec<u128>, ReadAt), FieldError> {
    let (timestamp, from_followers) = border::read_at_from(read)?;
    Ok((border::ids_from(ids)?, ReadAt { timestamp, from_followers }))
}

impl LedgerService {
    pub(crate) async fn create(
        &self,
        request: v1::CreateTransfersRequest,
    ) -> Result<(v1::CreateTransfersResponse, Traffic), Status> {
        let transfers = border::transfers_from(request.transfers)?;
        let (results, traffic) = self.router.create_transfers_of(transfers, request.independent).await?;
        let to = |r: &EventResult| {
            let status = r.transfer_status().unwrap_or(TransferStatus::LinkedEventFailed);
            border::transfer_result_to(status, r.timestamp)
        };
        Ok((v1::CreateTransfersResponse { results: results.iter().map(to).collect() }, traffic))
    }
}

#[tonic::async_trait]
impl Operations for OperationsService {
    async fn audit(&self, _request: Request<v1::AuditRequest>) -> Answer<v1::AuditResponse> {
        let call = self.calls.begin("audit", Traffic::Live);
        call.end(async { Ok((audit_messages::audit(self.router.audit().await)?, Traffic::Live)) }).await
    }

    type WatchAuditStream = ReceiverStream<Result<v1::WatchAuditResponse, Status>>;

    async fn watch_audit(&self, _request: Request<v1::AuditRequest>) -> Answer<Self::WatchAuditStream> {
        let call = self.calls.begin("watch_audit", Traffic::Live);
        Ok(Response::new(audit_messages::stream(self.router.clone(), call)))
    }

    type BackupStream = ReceiverStream<Result<v1::BackupResponse, Status>>;

    async fn backup(&self, request: Request<v1::BackupRequest>) -> Answer<Self::BackupStream> {
        let since = backup_messages::since_from(request.get_ref())?;
        let call = self.calls.begin("backup", Traffic::Live);
        Ok(Response::new(backup_messages::stream(self.router.clone(), since, call)))
    }

    async fn status(&self, _request: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        let (status, health) = tokio::join!(self.router.status(), self.router.health());
        Ok(Response::new(status_message::status(self.router.epoch(), &self.router.slots(), status, &health)))
    }

    async fn align_shard_times(
        &self,
        request: Request<v1::AlignShardTimesRequest>,
    ) -> Answer<v1::AlignShardTimesResponse> {
        let dry_run = request.get_ref().dry_run;
        let times = self.router.align_shard_times(dry_run).await;
        if !dry_run {
            tracing::warn!(?times, "an operator has all shards advanced to the time of the one that is furthest ahead");
        }
        Ok(Response::new(shard_times::response(times)))
    }

    async fn list_in_doubt(&self, request: Request<v1::ListInDoubtRequest>) -> Answer<v1::ListInDoubtResponse> {
        let call = self.calls.begin("list_in_doubt", Traffic::Live);
        call.end(async {
            let filter = border::in_doubt_filter_from(request.get_ref())?;
            Ok((in_doubt_messages::list(self.router.in_doubt(filter).await), Traffic::Live))
        })
        .await
    }

    async fn resolve(&self, request: Request<v1::ResolveRequest>) -> Answer<v1::ResolveResponse> {
        let call = self.calls.begin("resolve", Traffic::Live);
        call.end(async {
            let ask = border::resolve_from(request.into_inner())?;
            Ok((in_doubt_messages::resolved(&self.router.resolve(&ask).await?), Traffic::Live))
        })
        .await
    }

    async fn list_resolutions(
        &self,
        request: Request<v1::ListResolutionsRequest>,
    ) -> Answer<v1::ListResolutionsResponse> {
        let call = self.calls.begin("list_resolutions", Traffic::Live);
        call.end(async {
            let limit = border::limit_from(request.get_ref().limit)?;
            Ok((in_doubt_messages::resolutions(&self.router.resolutions(limit).await), Traffic::Live))
        })
        .await
    }
}

/// Whose a request is, as far as it says so itself: posts and voids need not name a ledger.
pub(crate) fn traffic_of(request: &v1::CreateTransfersRequest) -> Traffic {
    Traffic::of_all(request.transfers.iter().map(|t| t.ledger))
}

fn cursor(next: Option<crest_ledger::Timestamp>) -> Vec<u8> {
    next.map(border::cursor_after).unwrap_or_default()
}
