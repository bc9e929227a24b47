//! The public API in front of the books.

use std::pin::Pin;

use crest_ledger::Transfer;
use crest_proto::border::{account_result_to, account_to, accounts_from, ids_from, number_from, transfer_to};
use crest_proto::v1;
use crest_proto::v1::ledger_server::Ledger;
use crest_proto::v1::stream_transfers_response::Outcome;
use futures_util::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::Fake;

/// Requests of one stream that are worked on side by side.
const STREAM_REQUESTS: usize = 64;

pub(super) type Answer<T> = Result<Response<T>, Status>;

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
        let received = self.receive(request.into_inner());
        self.answer(received).await.map(Response::new)
    }

    type StreamTransfersStream = Pin<Box<dyn Stream<Item = Result<v1::StreamTransfersResponse, Status>> + Send>>;

    async fn stream_transfers(
        &self,
        request: Request<Streaming<v1::StreamTransfersRequest>>,
    ) -> Answer<Self::StreamTransfersStream> {
        let fake = self.clone();
        let answers = request.into_inner().map(move |message| {
            let message = message.map(|m| (m.request_id, fake.receive(m.request.unwrap_or_default())));
            let fake = fake.clone();
            async move {
                let (request_id, received) = message?;
                let outcome = match fake.answer(received).await {
                    Ok(response) => Outcome::Response(response),
                    Err(status) => Outcome::Error(v1::RequestError {
                        code: status.code() as i32,
                        message: status.message().into(),
                    }),
                };
                Ok(v1::StreamTransfersResponse { request_id, outcome: Some(outcome) })
            }
        });
        Ok(Response::new(Box::pin(answers.buffer_unordered(STREAM_REQUESTS))))
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
        request: Request<v1::GetAccountTransfersRequest>,
    ) -> Answer<v1::GetAccountTransfersResponse> {
        let filter = request.into_inner().filter.unwrap_or_default();
        let id = number_from(filter.account_id);
        let state = self.state();
        let own = |t: &&Transfer| t.debit_account_id == id || t.credit_account_id == id;
        let newest = state.order.iter().rev().filter_map(|id| state.transfers.get(id)).filter(own);
        let transfers = newest.take(filter.limit as usize).map(transfer_to).collect();
        Ok(Response::new(v1::GetAccountTransfersResponse { transfers, ..Default::default() }))
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

    /// By ledger number and earliest instant only, oldest first. The cursor is how many rows were looked through.
    async fn query_transfers(&self, request: Request<v1::QueryTransfersRequest>) -> Answer<v1::QueryTransfersResponse> {
        let filter = request.into_inner().filter.unwrap_or_default();
        let cursor = <[u8; 8]>::try_from(filter.cursor.as_slice()).map_or(0, u64::from_le_bytes) as usize;
        let state = self.state();
        let (mut transfers, mut next_cursor) = (Vec::new(), Vec::new());
        for (at, id) in state.order.iter().enumerate().skip(cursor) {
            let Some(transfer) = state.transfers.get(id) else { continue };
            if transfer.ledger != filter.ledger || transfer.timestamp < filter.timestamp_min {
                continue;
            }
            transfers.push(transfer_to(transfer));
            if transfers.len() == filter.limit as usize {
                next_cursor = (at as u64 + 1).to_le_bytes().to_vec();
                break;
            }
        }
        Ok(Response::new(v1::QueryTransfersResponse { transfers, next_cursor }))
    }
}
