//! The public gRPC services, over a [`Router`].

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use crest_ledger::txn::EventResult;
use crest_ledger::{AccountStatus, TransferStatus};
use crest_proto::border;
use crest_proto::v1;
use crest_proto::v1::ledger_server::{Ledger, LedgerServer};
use crest_proto::v1::operations_server::{Operations, OperationsServer};
use crest_proto::v1::watch_audit_response::Update;
use futures_util::{Stream, StreamExt};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::audit::Audit;
use crate::audit::progress::{Progress, Stage};
use crate::error::RouterError;
use crate::router::Router;
use crate::{in_doubt_messages, limits};

/// The service `crest.v1.Ledger`.
pub fn ledger_server(router: Router) -> LedgerServer<LedgerService> {
    LedgerServer::new(LedgerService { router: router.clone() })
        .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(limits::MESSAGE_BYTES_MAX)
}

/// The service `crest.v1.Operations`.
pub fn operations_server(router: Router) -> OperationsServer<OperationsService> {
    OperationsServer::new(OperationsService { router })
}

/// Clients' requests.
#[derive(Clone)]
pub struct LedgerService {
    router: Router,
}

/// Operators' requests.
pub struct OperationsService {
    router: Router,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Ledger for LedgerService {
    async fn create_accounts(&self, request: Request<v1::CreateAccountsRequest>) -> Answer<v1::CreateAccountsResponse> {
        let call = Call::begin("create_accounts");
        call.end(async {
            let accounts = border::accounts_from(request.into_inner().accounts)?;
            let results = self.router.create_accounts(accounts).await?;
            let to = |r: &EventResult| {
                let status = r.account_status().unwrap_or(AccountStatus::LinkedEventFailed);
                border::account_result_to(status, r.timestamp)
            };
            Ok(v1::CreateAccountsResponse { results: results.iter().map(to).collect() })
        })
        .await
    }

    async fn create_transfers(
        &self,
        request: Request<v1::CreateTransfersRequest>,
    ) -> Answer<v1::CreateTransfersResponse> {
        let call = Call::begin("create_transfers");
        call.end(self.create(request.into_inner())).await
    }

    type StreamTransfersStream = Pin<Box<dyn Stream<Item = Result<v1::StreamTransfersResponse, Status>> + Send>>;

    async fn stream_transfers(
        &self,
        request: Request<Streaming<v1::StreamTransfersRequest>>,
    ) -> Answer<Self::StreamTransfersStream> {
        let mut requests = request.into_inner();
        let (answers, stream) = mpsc::channel(limits::STREAM_REQUESTS_MAX);
        let service = self.clone();
        tokio::spawn(async move {
            let places = Arc::new(Semaphore::new(limits::STREAM_REQUESTS_MAX));
            while let Some(Ok(message)) = requests.next().await {
                let Ok(place) = places.clone().acquire_owned().await else { break };
                let (service, answers) = (service.clone(), answers.clone());
                tokio::spawn(async move {
                    let _ = answers.send(Ok(service.stream_one(message).await)).await;
                    drop(place);
                });
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn lookup_accounts(&self, request: Request<v1::LookupAccountsRequest>) -> Answer<v1::LookupAccountsResponse> {
        let call = Call::begin("lookup_accounts");
        call.end(async {
            let ids = border::ids_from(request.into_inner().ids)?;
            let (accounts, timestamp) = self.router.lookup_accounts(&ids).await?;
            Ok(v1::LookupAccountsResponse { accounts: accounts.iter().map(border::account_to).collect(), timestamp })
        })
        .await
    }

    async fn lookup_transfers(
        &self,
        request: Request<v1::LookupTransfersRequest>,
    ) -> Answer<v1::LookupTransfersResponse> {
        let call = Call::begin("lookup_transfers");
        call.end(async {
            let ids = border::ids_from(request.into_inner().ids)?;
            let transfers = self.router.lookup_transfers(&ids).await?;
            Ok(v1::LookupTransfersResponse { transfers: transfers.iter().map(border::transfer_to).collect() })
        })
        .await
    }

    async fn get_account_transfers(
        &self,
        request: Request<v1::GetAccountTransfersRequest>,
    ) -> Answer<v1::GetAccountTransfersResponse> {
        let call = Call::begin("get_account_transfers");
        call.end(async {
            let filter = border::account_filter_from(request.into_inner().filter)?;
            let (rows, next) = self.router.account_transfers(filter).await?;
            let transfers = rows.iter().map(border::transfer_to).collect();
            Ok(v1::GetAccountTransfersResponse { transfers, next_cursor: cursor(next) })
        })
        .await
    }

    async fn get_account_balances(
        &self,
        request: Request<v1::GetAccountBalancesRequest>,
    ) -> Answer<v1::GetAccountBalancesResponse> {
        let call = Call::begin("get_account_balances");
        call.end(async {
            let filter = border::account_filter_from(request.into_inner().filter)?;
            let (rows, next) = self.router.account_balances(filter).await?;
            let balances = rows.iter().map(border::balance_to).collect();
            Ok(v1::GetAccountBalancesResponse { balances, next_cursor: cursor(next) })
        })
        .await
    }

    async fn query_accounts(&self, request: Request<v1::QueryAccountsRequest>) -> Answer<v1::QueryAccountsResponse> {
        let call = Call::begin("query_accounts");
        call.end(async {
            let filter = border::query_filter_from(request.into_inner().filter)?;
            let (rows, next) = self.router.query_accounts(filter).await?;
            let accounts = rows.iter().map(border::account_to).collect();
            Ok(v1::QueryAccountsResponse { accounts, next_cursor: cursor(next) })
        })
        .await
    }

    async fn query_transfers(&self, request: Request<v1::QueryTransfersRequest>) -> Answer<v1::QueryTransfersResponse> {
        let call = Call::begin("query_transfers");
        call.end(async {
            let filter = border::query_filter_from(request.into_inner().filter)?;
            let (rows, next) = self.router.query_transfers(filter).await?;
            let transfers = rows.iter().map(border::transfer_to).collect();
            Ok(v1::QueryTransfersResponse { transfers, next_cursor: cursor(next) })
        })
        .await
    }
}

impl LedgerService {
    async fn create(&self, request: v1::CreateTransfersRequest) -> Result<v1::CreateTransfersResponse, Status> {
        let transfers = border::transfers_from(request.transfers)?;
        let results = self.router.create_transfers(transfers, request.independent).await?;
        let to = |r: &EventResult| {
            let status = r.transfer_status().unwrap_or(TransferStatus::LinkedEventFailed);
            border::transfer_result_to(status, r.timestamp)
        };
        Ok(v1::CreateTransfersResponse { results: results.iter().map(to).collect() })
    }

    async fn stream_one(&self, message: v1::StreamTransfersRequest) -> v1::StreamTransfersResponse {
        let call = Call::begin("stream_transfers");
        let outcome = match call.end(self.create(message.request.unwrap_or_default())).await {
            Ok(response) => v1::stream_transfers_response::Outcome::Response(response.into_inner()),
            Err(status) => v1::stream_transfers_response::Outcome::Error(v1::RequestError {
                code: status.code() as i32,
                message: status.message().to_owned(),
            }),
        };
        v1::StreamTransfersResponse { request_id: message.request_id, outcome: Some(outcome) }
    }
}

#[tonic::async_trait]
impl Operations for OperationsService {
    async fn audit(&self, _request: Request<v1::AuditRequest>) -> Answer<v1::AuditResponse> {
        let call = Call::begin("audit");
        call.end(async { self.router.audit().await.map(audit_to).map_err(not_audited) }).await
    }

    type WatchAuditStream = ReceiverStream<Result<v1::WatchAuditResponse, Status>>;

    async fn watch_audit(&self, _request: Request<v1::AuditRequest>) -> Answer<Self::WatchAuditStream> {
        let (updates, stream) = mpsc::channel(limits::AUDIT_UPDATES_MAX);
        let router = self.router.clone();
        tokio::spawn(async move {
            let call = Call::begin("watch_audit");
            let ended = tokio::select! {
                biased;
                ended = watch_audit(&router, &updates) => ended,
                () = updates.closed() => return,
            };
            let update = call.end(async { ended.map(audit_to).map_err(not_audited) }).await;
            let _ = updates.send(update.map(|r| Update::Response(r.into_inner())).map(update_to)).await;
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn status(&self, _request: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        let shards = self.router.status().await.into_iter().map(|(shard, address, status)| {
            let error = status.as_ref().err().map(ToString::to_string).unwrap_or_default();
            let reachable = status.is_ok();
            let s = status.unwrap_or_default();
            v1::ShardStatus {
                shard,
                address,
                reachable,
                error,
                accounts: s.accounts,
                transfers: s.transfers,
                holds: s.holds,
                hold_age_ms_max: s.hold_age_ms_max,
                outbox: s.outbox,
                outbox_age_ms_max: s.outbox_age_ms_max,
                in_doubt: s.in_doubt,
                in_doubt_age_ms_max: s.in_doubt_age_ms_max,
                applied_index: s.applied_index,
                checkpoint_index: s.checkpoint_index,
                timestamp: s.clock,
            }
        });
        Ok(Response::new(v1::StatusResponse { epoch: self.router.epoch(), shards: shards.collect() }))
    }

    async fn list_in_doubt(&self, request: Request<v1::ListInDoubtRequest>) -> Answer<v1::ListInDoubtResponse> {
        let call = Call::begin("list_in_doubt");
        call.end(async {
            let filter = border::in_doubt_filter_from(request.get_ref())?;
            Ok(in_doubt_messages::list(self.router.in_doubt(filter).await))
        })
        .await
    }

    async fn resolve(&self, request: Request<v1::ResolveRequest>) -> Answer<v1::ResolveResponse> {
        let call = Call::begin("resolve");
        call.end(async {
            let ask = border::resolve_from(request.into_inner())?;
            Ok(in_doubt_messages::resolved(&self.router.resolve(&ask).await?))
        })
        .await
    }

    async fn list_resolutions(
        &self,
        request: Request<v1::ListResolutionsRequest>,
    ) -> Answer<v1::ListResolutionsResponse> {
        let call = Call::begin("list_resolutions");
        call.end(async {
            let limit = border::limit_from(request.get_ref().limit)?;
            Ok(in_doubt_messages::resolutions(&self.router.resolutions(limit).await))
        })
        .await
    }
}

/// Audits, and tells on the way how far it is. A client that does not read what comes misses some of it.
async fn watch_audit(
    router: &Router,
    updates: &mpsc::Sender<Result<v1::WatchAuditResponse, Status>>,
) -> Result<Audit, RouterError> {
    let (tell, mut seen) = watch::channel(Progress::default());
    let mut audit = std::pin::pin!(router.audit_watched(Some(&tell)));
    loop {
        tokio::select! {
            biased;
            ended = &mut audit => return ended,
            _ = seen.changed() => {
                let progress = progress_to(*seen.borrow_and_update());
                let _ = updates.try_send(Ok(update_to(Update::Progress(progress))));
            }
        }
    }
}

fn update_to(update: Update) -> v1::WatchAuditResponse {
    v1::WatchAuditResponse { update: Some(update) }
}

fn audit_to(audit: Audit) -> v1::AuditResponse {
    let totals = audit.totals.iter().map(|(ledger, ([dp, dpo, cp, cpo], accounts))| v1::LedgerTotals {
        ledger: *ledger,
        debits_pending: border::number_to(*dp),
        credits_pending: border::number_to(*cp),
        debits_posted: border::number_to(*dpo),
        credits_posted: border::number_to(*cpo),
        accounts: *accounts,
    });
    v1::AuditResponse {
        holds: audit.findings.is_empty(),
        timestamp: audit.at,
        accounts: audit.accounts,
        transfers: audit.transfers,
        cross_shard_transfers: audit.cross_shard,
        totals: totals.collect(),
        findings: audit.findings.iter().map(border::finding_to).collect(),
        findings_left_out: audit.left_out,
        rows: audit.rows,
    }
}

fn progress_to(progress: Progress) -> v1::AuditProgress {
    let stage = match progress.stage {
        Stage::Waiting => v1::AuditStage::Waiting,
        Stage::Reading => v1::AuditStage::Reading,
        Stage::Naming => v1::AuditStage::Naming,
        Stage::Pairing => v1::AuditStage::Pairing,
    };
    let Progress { shards, shards_done, rows, rows_expected, .. } = progress;
    v1::AuditProgress { stage: stage.into(), shards, shards_done, rows, rows_expected }
}

/// An audit changes nothing: there is nothing that could be unknown, and it may be tried again.
fn not_audited(e: RouterError) -> Status {
    match e {
        RouterError::Invalid(why) => Status::invalid_argument(why),
        RouterError::Refused(why) => Status::resource_exhausted(format!("{why}; nothing is proved, audit again later")),
        RouterError::Unknown(why) => Status::unavailable(format!("{why}; nothing is proved, audit again")),
    }
}

fn cursor(next: Option<crest_ledger::Timestamp>) -> Vec<u8> {
    next.map(border::cursor_after).unwrap_or_default()
}

/// One call, for the metrics.
struct Call {
    name: &'static str,
    began: Instant,
}

impl Call {
    fn begin(name: &'static str) -> Self {
        metrics::gauge!("crest_router_requests_in_flight").increment(1.0);
        Self { name, began: Instant::now() }
    }

    async fn end<T>(self, work: impl Future<Output = Result<T, Status>>) -> Answer<T> {
        let result = work.await;
        let code = result.as_ref().err().map_or(tonic::Code::Ok, Status::code);
        metrics::counter!("crest_router_requests_total", "method" => self.name, "code" => format!("{code:?}"))
            .increment(1);
        metrics::histogram!("crest_router_request_seconds", "method" => self.name).record(self.began.elapsed());
        result.map(Response::new)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        metrics::gauge!("crest_router_requests_in_flight").decrement(1.0);
    }
}
