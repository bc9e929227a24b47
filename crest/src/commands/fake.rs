//! A router for the tests of the commands: one in-memory ledger with just enough rules to answer in every way.

use crest_ledger::{AccountBalance, AccountStatus, Page, TransferStatus};
use crest_proto::v1::ledger_server::{Ledger, LedgerServer};
use crest_proto::v1::operations_server::{Operations, OperationsServer};
use crest_proto::{border, v1};
use std::sync::{Arc, Mutex};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// Accounts and transfers with this code are never answered: the outcome stays unknown.
pub(super) const SILENT: u32 = 999;
/// Transfers with this code are answered with RESOURCE_EXHAUSTED.
pub(super) const BUSY: u32 = 998;
/// Transfers of more than this are refused.
pub(super) const AMOUNT_MAX: u128 = 1_000_000;
/// Rows a page, whatever the limit: clients have to follow cursors.
const PAGE_ROWS: usize = 2;

#[derive(Clone, Default)]
pub(super) struct Fake {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    accounts: Vec<crest_ledger::Account>,
    transfers: Vec<crest_ledger::Transfer>,
    audit: v1::AuditResponse,
    audit_totals: Vec<v1::AuditTotals>,
    audit_silent: bool,
    status: v1::StatusResponse,
    in_doubt: v1::ListInDoubtResponse,
    resolutions: v1::ListResolutionsResponse,
}

impl Fake {
    /// Serves on a free port of the loopback; gives the address.
    pub(super) async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder()
            .add_service(LedgerServer::new(self.clone()))
            .add_service(OperationsServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        format!("http://{address}")
    }

    pub(super) fn set_audit(&self, audit: v1::AuditResponse) {
        self.state.lock().unwrap().audit = audit;
    }

    /// What comes before the audit's answer.
    pub(super) fn set_audit_totals(&self, totals: Vec<v1::AuditTotals>) {
        self.state.lock().unwrap().audit_totals = totals;
    }

    /// Audits make progress from now on, and never end.
    pub(super) fn set_audit_silent(&self) {
        self.state.lock().unwrap().audit_silent = true;
    }

    pub(super) fn set_status(&self, status: v1::StatusResponse) {
        self.state.lock().unwrap().status = status;
    }

    /// The attempts are in the order of `since`, each with another one.
    pub(super) fn set_in_doubt(&self, in_doubt: v1::ListInDoubtResponse) {
        self.state.lock().unwrap().in_doubt = in_doubt;
    }

    pub(super) fn set_resolutions(&self, resolutions: v1::ListResolutionsResponse) {
        self.state.lock().unwrap().resolutions = resolutions;
    }

    pub(super) fn transfers(&self) -> Vec<crest_ledger::Transfer> {
        self.state.lock().unwrap().transfers.clone()
    }
}

impl State {
    fn create_account(&mut self, mut account: crest_ledger::Account) -> v1::CreateAccountResult {
        if let Some(stored) = self.accounts.iter().find(|a| a.id == account.id) {
            let same = stored.code == account.code;
            let status = if same { AccountStatus::Exists } else { AccountStatus::ExistsWithDifferentCode };
            return border::account_result_to(status, stored.timestamp);
        }
        account.timestamp = 1 + self.accounts.len() as u64;
        self.accounts.push(account);
        border::account_result_to(AccountStatus::Created, account.timestamp)
    }

    fn create_transfer(&mut self, mut transfer: crest_ledger::Transfer) -> v1::CreateTransferResult {
        if let Some(stored) = self.transfers.iter().find(|t| t.id == transfer.id) {
            return border::transfer_result_to(TransferStatus::Exists, stored.timestamp);
        }
        if transfer.amount > AMOUNT_MAX && transfer.pending_id == 0 {
            return border::transfer_result_to(TransferStatus::ExceedsCredits, 5);
        }
        transfer.timestamp = 1_000 + self.transfers.len() as u64;
        self.transfers.push(transfer);
        border::transfer_result_to(TransferStatus::Created, transfer.timestamp)
    }
}

/// A page of rows that are in the order of their timestamps, and the next cursor.
fn page<R: Copy>(rows: impl Iterator<Item = R>, at: impl Fn(&R) -> u64, page: Page) -> (Vec<R>, Vec<u8>) {
    let mut rows: Vec<R> = rows.filter(|r| (page.timestamp_min..=page.timestamp_max).contains(&at(r))).collect();
    if page.newest_first {
        rows.reverse();
    }
    let more = rows.len() > PAGE_ROWS.min(page.limit as usize);
    rows.truncate(PAGE_ROWS.min(page.limit as usize));
    let next = if more { border::cursor_after(rows.last().map(at).unwrap()) } else { Vec::new() };
    (rows, next)
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Ledger for Fake {
    async fn create_accounts(&self, r: Request<v1::CreateAccountsRequest>) -> Answer<v1::CreateAccountsResponse> {
        let accounts = border::accounts_from(r.into_inner().accounts)?;
        if u32::from(accounts[0].code) == SILENT {
            std::future::pending::<()>().await;
        }
        let mut state = self.state.lock().unwrap();
        let results = accounts.into_iter().map(|a| state.create_account(a)).collect();
        Ok(Response::new(v1::CreateAccountsResponse { results }))
    }

    async fn create_transfers(&self, r: Request<v1::CreateTransfersRequest>) -> Answer<v1::CreateTransfersResponse> {
        let transfers = border::transfers_from(r.into_inner().transfers)?;
        match u32::from(transfers[0].code) {
            SILENT => std::future::pending().await,
            BUSY => return Err(Status::resource_exhausted("64 requests are waiting")),
            _ => {}
        }
        let mut state = self.state.lock().unwrap();
        let results = transfers.into_iter().map(|t| state.create_transfer(t)).collect();
        Ok(Response::new(v1::CreateTransfersResponse { results }))
    }

    type StreamTransfersStream = tokio_stream::Empty<Result<v1::StreamTransfersResponse, Status>>;

    async fn stream_transfers(
        &self,
        _: Request<tonic::Streaming<v1::StreamTransfersRequest>>,
    ) -> Answer<Self::StreamTransfersStream> {
        Err(Status::unimplemented("no command uses it"))
    }

    async fn lookup_accounts(&self, r: Request<v1::LookupAccountsRequest>) -> Answer<v1::LookupAccountsResponse> {
        let ids = border::ids_from(r.into_inner().ids)?;
        let state = self.state.lock().unwrap();
        let accounts = ids.iter().filter_map(|&id| state.accounts.iter().find(|a| a.id == id));
        Ok(Response::new(v1::LookupAccountsResponse {
            accounts: accounts.map(border::account_to).collect(),
            timestamp: 9,
        }))
    }

    async fn lookup_transfers(&self, r: Request<v1::LookupTransfersRequest>) -> Answer<v1::LookupTransfersResponse> {
        let ids = border::ids_from(r.into_inner().ids)?;
        let state = self.state.lock().unwrap();
        let transfers = ids.iter().filter_map(|&id| state.transfers.iter().find(|t| t.id == id));
        Ok(Response::new(v1::LookupTransfersResponse { transfers: transfers.map(border::transfer_to).collect() }))
    }

    async fn get_account_transfers(
        &self,
        r: Request<v1::GetAccountTransfersRequest>,
    ) -> Answer<v1::GetAccountTransfersResponse> {
        let filter = border::account_filter_from(r.into_inner().filter)?;
        let state = self.state.lock().unwrap();
        let matching = state.transfers.iter().copied().filter(|t| filter.matches(t));
        let (rows, next_cursor) = page(matching, |t| t.timestamp, filter.page);
        let transfers = rows.iter().map(border::transfer_to).collect();
        Ok(Response::new(v1::GetAccountTransfersResponse { transfers, next_cursor }))
    }

    async fn get_account_balances(
        &self,
        r: Request<v1::GetAccountBalancesRequest>,
    ) -> Answer<v1::GetAccountBalancesResponse> {
        let filter = border::account_filter_from(r.into_inner().filter)?;
        let state = self.state.lock().unwrap();
        let matching = state.transfers.iter().filter(|t| filter.matches(t));
        let balances =
            matching.map(|t| AccountBalance { debits_posted: t.amount, timestamp: t.timestamp, ..Default::default() });
        let (rows, next_cursor) = page(balances, |b| b.timestamp, filter.page);
        let balances = rows.iter().map(border::balance_to).collect();
        Ok(Response::new(v1::GetAccountBalancesResponse { balances, next_cursor }))
    }

    async fn query_accounts(&self, r: Request<v1::QueryAccountsRequest>) -> Answer<v1::QueryAccountsResponse> {
        let filter = border::query_filter_from(r.into_inner().filter)?;
        let state = self.state.lock().unwrap();
        let matching = state.accounts.iter().copied().filter(|a| filter.conditions.match_account(a));
        let (rows, next_cursor) = page(matching, |a| a.timestamp, filter.page);
        Ok(Response::new(v1::QueryAccountsResponse {
            accounts: rows.iter().map(border::account_to).collect(),
            next_cursor,
        }))
    }

    async fn query_transfers(&self, r: Request<v1::QueryTransfersRequest>) -> Answer<v1::QueryTransfersResponse> {
        let filter = border::query_filter_from(r.into_inner().filter)?;
        let state = self.state.lock().unwrap();
        let matching = state.transfers.iter().copied().filter(|t| filter.conditions.match_transfer(t));
        let (rows, next_cursor) = page(matching, |t| t.timestamp, filter.page);
        let transfers = rows.iter().map(border::transfer_to).collect();
        Ok(Response::new(v1::QueryTransfersResponse { transfers, next_cursor }))
    }
}

#[tonic::async_trait]
impl Operations for Fake {
    async fn audit(&self, _: Request<v1::AuditRequest>) -> Answer<v1::AuditResponse> {
        Ok(Response::new(self.state.lock().unwrap().audit.clone()))
    }

    type WatchAuditStream =
        std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<v1::WatchAuditResponse, Status>> + Send>>;

    async fn watch_audit(&self, _: Request<v1::AuditRequest>) -> Answer<Self::WatchAuditStream> {
        use v1::watch_audit_response::Update;
        let progress = v1::AuditProgress { shards: 2, rows: 5, rows_expected: 10, ..Default::default() };
        let state = self.state.lock().unwrap();
        let mut updates = vec![None, Some(Update::Progress(progress))];
        if !state.audit_silent {
            updates.extend(state.audit_totals.iter().cloned().map(|totals| Some(Update::Totals(totals))));
            updates.push(Some(Update::Response(state.audit.clone())));
        }
        let updates = tokio_stream::iter(updates).map(|update| Ok(v1::WatchAuditResponse { update }));
        Ok(Response::new(Box::pin(updates.chain(tokio_stream::pending()))))
    }

    type BackupStream = tokio_stream::Empty<Result<v1::BackupResponse, Status>>;

    async fn backup(&self, _: Request<v1::BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        Err(Status::unimplemented("not in the fake"))
    }

    async fn status(&self, _: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        Ok(Response::new(self.state.lock().unwrap().status.clone()))
    }

    async fn list_in_doubt(&self, r: Request<v1::ListInDoubtRequest>) -> Answer<v1::ListInDoubtResponse> {
        let filter = border::in_doubt_filter_from(r.get_ref())?;
        let state = self.state.lock().unwrap();
        let old = |a: &&v1::InDoubtAttempt| a.age_ms >= r.get_ref().age_ms_min && a.since > filter.after.0;
        let rows: Vec<v1::InDoubtAttempt> = state.in_doubt.attempts.iter().filter(old).cloned().collect();
        let rows_max = PAGE_ROWS.min(filter.limit as usize);
        let last = if rows.len() > rows_max { Some(rows[rows_max - 1].clone()) } else { None };
        let next = last.map(|a| border::in_doubt_cursor((a.since, border::attempt_from(&a.attempt).unwrap())));
        Ok(Response::new(v1::ListInDoubtResponse {
            attempts: rows.into_iter().take(rows_max).collect(),
            next_cursor: next.unwrap_or_default(),
            shards: state.in_doubt.shards.clone(),
        }))
    }

    async fn align_shard_times(&self, _: Request<v1::AlignShardTimesRequest>) -> Answer<v1::AlignShardTimesResponse> {
        Err(Status::unimplemented("the times of no shards"))
    }

    async fn resolve(&self, r: Request<v1::ResolveRequest>) -> Answer<v1::ResolveResponse> {
        let ask = border::resolve_from(r.into_inner())?;
        match ask.txn.first_id {
            404 => return Err(Status::not_found("no shard knows the attempt")),
            503 => return Err(Status::failed_precondition("only shard 7 at node-7:7101 can say")),
            504 => std::future::pending().await,
            _ => {}
        }
        let kept = v1::Resolution {
            attempt: border::attempt_to(&ask.txn),
            fate: ask.txn.attempt as i32,
            fate_timestamp: 1_794_355_200_000_000_000,
            timestamp: 1_794_355_200_000_000_000,
            reason: ask.reason,
            by: ask.by,
            shard: 3,
        };
        let shards = self.state.lock().unwrap().in_doubt.shards.clone();
        let (finished, waits_for) = shards.into_iter().partition(|at| at.answers);
        let resolved_before = ask.txn.first_id == 1;
        Ok(Response::new(v1::ResolveResponse { resolution: Some(kept), resolved_before, finished, waits_for }))
    }

    async fn list_resolutions(&self, r: Request<v1::ListResolutionsRequest>) -> Answer<v1::ListResolutionsResponse> {
        let limit = border::limit_from(r.get_ref().limit)?;
        let mut answer = self.state.lock().unwrap().resolutions.clone();
        answer.more = answer.resolutions.len() > limit as usize;
        answer.resolutions.truncate(limit as usize);
        Ok(Response::new(answer))
    }
}
