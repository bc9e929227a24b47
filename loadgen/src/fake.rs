//! A naive ledger in memory behind a real gRPC server on the loopback, with faults to order. It knows posted transfers
//! and the few refusals that the tests need, nothing more.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use crest_ledger::{Account, AccountStatus, Transfer, TransferStatus};
use crest_proto::border::{
    account_result_to, account_to, accounts_from, ids_from, number_to, transfer_result_to, transfer_to, transfers_from,
};
use crest_proto::v1::ledger_server::{Ledger, LedgerServer};
use crest_proto::v1::operations_server::{Operations, OperationsServer};
use crest_proto::{MESSAGE_BYTES_MAX, v1};
use futures_util::{Stream, StreamExt};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// What the server knows, and what it shall do wrong.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) accounts: HashMap<u128, Account>,
    pub(crate) transfers: HashMap<u128, Transfer>,
    clock: u64,
    /// Requests to create transfers so far, whatever became of them.
    pub(crate) requests: u64,
    /// Transfers in the largest of them.
    pub(crate) batch_max: usize,
    /// The ids in the order in which they were created.
    pub(crate) order: Vec<u128>,
    /// Requests to apply whose answer is then lost: all whose number is a multiple of this; 0 is none.
    pub(crate) lose_every: u64,
    /// The next so many requests are answered "busy" and not applied.
    pub(crate) busy: u64,
    /// Added to the debits of this account in lookups.
    pub(crate) corrupt: Option<(u128, u128)>,
    /// Forget this many of the acknowledged transfers in lookups.
    pub(crate) forget_transfers: bool,
    /// What the audit says.
    pub(crate) findings: Vec<String>,
}

impl State {
    fn now(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn create_account(&mut self, mut account: Account) -> (AccountStatus, u64) {
        let now = self.now();
        if let Some(old) = self.accounts.get(&account.id) {
            let same = old.flags == account.flags && old.code == account.code && old.ledger == account.ledger;
            return (if same { AccountStatus::Exists } else { AccountStatus::ExistsWithDifferentFlags }, old.timestamp);
        }
        account.timestamp = now;
        self.accounts.insert(account.id, account);
        (AccountStatus::Created, now)
    }

    fn create_transfer(&mut self, mut transfer: Transfer) -> (TransferStatus, u64) {
        use TransferStatus::*;
        let now = self.now();
        if let Some(old) = self.transfers.get(&transfer.id) {
            let status = match () {
                () if old.amount != transfer.amount => ExistsWithDifferentAmount,
                () if old.user_data_32 != transfer.user_data_32 => ExistsWithDifferentUserData32,
                () => Exists,
            };
            return (status, old.timestamp);
        }
        let Some(payer) = self.accounts.get(&transfer.debit_account_id) else { return (DebitAccountNotFound, now) };
        if !self.accounts.contains_key(&transfer.credit_account_id) {
            return (CreditAccountNotFound, now);
        }
        if payer.flags.any(crest_ledger::AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS)
            && payer.debit_room() < transfer.amount
        {
            return (ExceedsCredits, now);
        }
        transfer.timestamp = now;
        self.accounts.entry(transfer.debit_account_id).and_modify(|a| a.debits_posted += transfer.amount);
        self.accounts.entry(transfer.credit_account_id).and_modify(|a| a.credits_posted += transfer.amount);
        self.transfers.insert(transfer.id, transfer);
        self.order.push(transfer.id);
        (Created, now)
    }

    fn create_transfers(&mut self, request: v1::CreateTransfersRequest) -> Result<v1::CreateTransfersResponse, Status> {
        self.requests += 1;
        if self.busy > 0 {
            self.busy -= 1;
            return Err(Status::resource_exhausted("busy, as ordered"));
        }
        let transfers = transfers_from(request.transfers).map_err(|e| Status::invalid_argument(e.to_string()))?;
        self.batch_max = self.batch_max.max(transfers.len());
        let results = transfers.into_iter().map(|t| {
            let (status, at) = self.create_transfer(t);
            transfer_result_to(status, at)
        });
        let results = results.collect();
        if self.lose_every > 0 && self.requests.is_multiple_of(self.lose_every) {
            return Err(Status::unavailable("applied, but the answer is lost, as ordered"));
        }
        Ok(v1::CreateTransfersResponse { results })
    }
}

fn finding(text: &str) -> v1::AuditFinding {
    v1::AuditFinding { text: text.to_owned(), ..Default::default() }
}

/// The server; clones share one state.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<State>>);

impl Fake {
    /// Serves on a free port of the loopback until the test's runtime ends; gives the address too.
    pub(crate) async fn serve() -> (Self, String) {
        let fake = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ledger = LedgerServer::new(fake.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        // The server's own `tcp_nodelay` does nothing for listeners that it did not bind itself.
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let server = tonic::transport::Server::builder()
            .add_service(ledger)
            .add_service(OperationsServer::new(fake.clone()))
            .serve_with_incoming(incoming);
        tokio::spawn(server);
        (fake, url)
    }

    /// What it knows now.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Ledger for Fake {
    async fn create_accounts(&self, request: Request<v1::CreateAccountsRequest>) -> Answer<v1::CreateAccountsResponse> {
        let accounts =
            accounts_from(request.into_inner().accounts).map_err(|e| Status::invalid_argument(e.to_string()))?;
        let mut state = self.state();
        let results = accounts.into_iter().map(|a| {
            let (status, at) = state.create_account(a);
            account_result_to(status, at)
        });
        Ok(Response::new(v1::CreateAccountsResponse { results: results.collect() }))
    }

    async fn create_transfers(
        &self,
        request: Request<v1::CreateTransfersRequest>,
    ) -> Answer<v1::CreateTransfersResponse> {
        self.state().create_transfers(request.into_inner()).map(Response::new)
    }

    type StreamTransfersStream = Pin<Box<dyn Stream<Item = Result<v1::StreamTransfersResponse, Status>> + Send>>;

    async fn stream_transfers(
        &self,
        request: Request<Streaming<v1::StreamTransfersRequest>>,
    ) -> Answer<Self::StreamTransfersStream> {
        use v1::stream_transfers_response::Outcome;
        let fake = self.clone();
        let answers = request.into_inner().map(move |message| {
            let message = message?;
            let outcome = match fake.state().create_transfers(message.request.unwrap_or_default()) {
                Ok(response) => Outcome::Response(response),
                Err(status) => {
                    Outcome::Error(v1::RequestError { code: status.code() as i32, message: status.message().into() })
                }
            };
            Ok(v1::StreamTransfersResponse { request_id: message.request_id, outcome: Some(outcome) })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lookup_accounts(&self, request: Request<v1::LookupAccountsRequest>) -> Answer<v1::LookupAccountsResponse> {
        let ids = ids_from(request.into_inner().ids).map_err(|e| Status::invalid_argument(e.to_string()))?;
        let mut state = self.state();
        let timestamp = state.now();
        let accounts = ids.iter().filter_map(|id| state.accounts.get(id)).map(|account| {
            let mut account = *account;
            if let Some((_, extra)) = state.corrupt.filter(|(id, _)| *id == account.id) {
                account.debits_posted += extra;
            }
            account_to(&account)
        });
        Ok(Response::new(v1::LookupAccountsResponse { accounts: accounts.collect(), timestamp }))
    }

    async fn lookup_transfers(
        &self,
        request: Request<v1::LookupTransfersRequest>,
    ) -> Answer<v1::LookupTransfersResponse> {
        let ids = ids_from(request.into_inner().ids).map_err(|e| Status::invalid_argument(e.to_string()))?;
        let state = self.state();
        let kept = ids.iter().skip(usize::from(state.forget_transfers));
        let transfers = kept.filter_map(|id| state.transfers.get(id)).map(transfer_to).collect();
        Ok(Response::new(v1::LookupTransfersResponse { transfers }))
    }

    async fn get_account_transfers(
        &self,
        _: Request<v1::GetAccountTransfersRequest>,
    ) -> Answer<v1::GetAccountTransfersResponse> {
        Err(Status::unimplemented("not in the fake"))
    }

    async fn get_account_balances(
        &self,
        _: Request<v1::GetAccountBalancesRequest>,
    ) -> Answer<v1::GetAccountBalancesResponse> {
        Err(Status::unimplemented("not in the fake"))
    }

    async fn query_accounts(&self, _: Request<v1::QueryAccountsRequest>) -> Answer<v1::QueryAccountsResponse> {
        Err(Status::unimplemented("not in the fake"))
    }

    async fn query_transfers(&self, _: Request<v1::QueryTransfersRequest>) -> Answer<v1::QueryTransfersResponse> {
        Err(Status::unimplemented("not in the fake"))
    }
}

#[tonic::async_trait]
impl Operations for Fake {
    async fn audit(&self, _: Request<v1::AuditRequest>) -> Answer<v1::AuditResponse> {
        let mut state = self.state();
        let mut totals: HashMap<u32, (u128, u128, u64)> = HashMap::new();
        for account in state.accounts.values() {
            let total = totals.entry(account.ledger).or_default();
            total.0 += account.debits_posted;
            total.1 += account.credits_posted;
            total.2 += 1;
        }
        let totals = totals.into_iter().map(|(ledger, (debits, credits, accounts))| v1::LedgerTotals {
            ledger,
            debits_posted: number_to(debits),
            credits_posted: number_to(credits),
            accounts,
            ..Default::default()
        });
        Ok(Response::new(v1::AuditResponse {
            holds: state.findings.is_empty(),
            totals: totals.collect(),
            accounts: state.accounts.len() as u64,
            transfers: state.transfers.len() as u64,
            cross_shard_transfers: 0,
            findings: state.findings.iter().map(|text| finding(text)).collect(),
            findings_left_out: 0,
            rows: 0,
            timestamp: state.now(),
        }))
    }

    type WatchAuditStream = tokio_stream::Empty<Result<v1::WatchAuditResponse, Status>>;

    async fn watch_audit(&self, _: Request<v1::AuditRequest>) -> Answer<Self::WatchAuditStream> {
        Err(Status::unimplemented("not in the fake"))
    }

    async fn status(&self, _: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        Err(Status::unimplemented("not in the fake"))
    }

    async fn list_in_doubt(&self, _: Request<v1::ListInDoubtRequest>) -> Answer<v1::ListInDoubtResponse> {
        Err(Status::unimplemented("not in the fake"))
    }

    async fn resolve(&self, _: Request<v1::ResolveRequest>) -> Answer<v1::ResolveResponse> {
        Err(Status::unimplemented("not in the fake"))
    }

    async fn list_resolutions(&self, _: Request<v1::ListResolutionsRequest>) -> Answer<v1::ListResolutionsResponse> {
        Err(Status::unimplemented("not in the fake"))
    }
}
