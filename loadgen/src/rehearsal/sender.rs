//! How a request reaches the ledger: through one of the routers, again with the same ids while its outcome is unknown, and
//! then through the next router.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crest_ledger::TransferStatus;
use crest_proto::v1;
use crest_proto::v1::ledger_client::LedgerClient;
use tokio::sync::watch;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::caller::Caller;
use crate::retry::{Meaning, Pauses, meaning};

/// A request.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Transfers(v1::CreateTransfersRequest),
    Balances(v1::LookupAccountsRequest),
    History(v1::GetAccountTransfersRequest),
}

impl Default for Body {
    fn default() -> Self {
        Self::Transfers(v1::CreateTransfersRequest::default())
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// One for each transfer, each with a status that there is.
    Transfers(Vec<v1::CreateTransferResult>),
    Read,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) attempts: u32,
    pub(crate) answer: Result<Answer, Failure>,
}

/// No answer. What it means is the worst of all attempts: one that may have been applied leaves the request unknown.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) meaning: Meaning,
}

/// A way to one router.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    client: LedgerClient<Channel>,
    caller: Caller,
    /// Requests so far: where there are several streams, they take turns.
    requests: Arc<AtomicU64>,
}

/// Sends requests; clones share the connections.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// At least one: the first attempt takes the first.
    pub(crate) ways: Vec<Way>,
    /// After so long an attempt counts as unknown.
    pub(crate) attempt: Duration,
    /// How long after the first attempt another one may begin.
    pub(crate) retry_for: Duration,
    /// True when no attempt is to begin any more.
    pub(crate) stop: watch::Receiver<bool>,
}

impl Sender {
    /// Sends `body` until there is an answer, or no hope of one within the time.
    pub(crate) async fn send(&self, body: &Body) -> Outcome {
        let begun = Instant::now();
        let mut pauses = Pauses::default();
        let mut worst = Meaning::Refused;
        for attempts in 1.. {
            let way = &self.ways[(attempts as usize - 1) % self.ways.len()];
            let status = match tokio::time::timeout(self.attempt, way.ask(body)).await {
                Ok(Ok(answer)) => return Outcome { attempts, answer: Ok(answer) },
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded(format!("no answer within {:?}", self.attempt)),
            };
            let means = meaning(status.code());
            worst = worst.max(means);
            let pause = pauses.next();
            let over = *self.stop.borrow() || begun.elapsed() + pause > self.retry_for;
            if means == Meaning::Refused || over {
                return Outcome { attempts, answer: Err(Failure { status, meaning: worst }) };
            }
            tokio::time::sleep(pause).await;
        }
        let status = Status::deadline_exceeded("no attempt is left");
        Outcome { attempts: u32::MAX, answer: Err(Failure { status, meaning: worst }) }
    }
}

impl Way {
    /// Through this client; transfers through `caller`, which belongs to it.
    pub(crate) fn new(client: LedgerClient<Channel>, caller: Caller) -> Self {
        Self { client, caller, requests: Arc::default() }
    }

    async fn ask(&self, body: &Body) -> Result<Answer, Status> {
        match body {
            Body::Transfers(request) => {
                let number = self.requests.fetch_add(1, Ordering::Relaxed);
                checked(request.transfers.len(), self.caller.call(number, request.clone()).await?)
            }
            Body::Balances(request) => read(self.client.clone().lookup_accounts(request.clone())).await,
            Body::History(request) => read(self.client.clone().get_account_transfers(request.clone())).await,
        }
    }
}

async fn read<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<Answer, Status> {
    call.await.map(|_| Answer::Read)
}

/// An answer that does not fit its request says nothing about it: unknown, as if it had not come.
fn checked(transfers: usize, response: v1::CreateTransfersResponse) -> Result<Answer, Status> {
    let known =
        |r: &v1::CreateTransferResult| u8::try_from(r.status).ok().and_then(TransferStatus::from_number).is_some();
    let results = response.results;
    if results.len() != transfers {
        return Err(Status::unknown(format!("{} results for {transfers} transfers", results.len())));
    }
    match results.iter().find(|result| !known(result)) {
        None => Ok(Answer::Transfers(results)),
        Some(result) => Err(Status::unknown(format!("a result with the status number {}", result.status))),
    }
}

/// What a retry of a chain says: the ledger answers `exists` for its first event, and `linked_event_failed` for the others,
/// since a chain whose first event can't be made is not made. As a chain is done whole or not at all, an `exists` in it
/// says that all of it was done before.
pub(crate) fn settle_chains(results: &mut [v1::CreateTransferResult], is_linked: impl Fn(usize) -> bool) {
    let mut from = 0;
    while from < results.len() {
        let mut to = from;
        while to + 1 < results.len() && is_linked(to) {
            to += 1;
        }
        let chain = &mut results[from..=to];
        if chain.iter().any(|result| result.status() == v1::CreateTransferStatus::Exists) {
            chain.iter_mut().for_each(|result| result.set_status(v1::CreateTransferStatus::Exists));
        }
        from = to + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use v1::CreateTransferStatus::{Created, ExceedsCredits, Exists, LinkedEventFailed};

    #[test]
    fn a_chain_of_which_one_exists_was_done_before() {
        let check = |statuses: &[v1::CreateTransferStatus], linked: &[usize], expected: &[v1::CreateTransferStatus]| {
            let result =
                |&status: &v1::CreateTransferStatus| v1::CreateTransferResult { status: status as i32, timestamp: 1 };
            let mut results: Vec<_> = statuses.iter().map(result).collect();
            settle_chains(&mut results, |at| linked.contains(&at));
            assert_eq!(results.iter().map(|r| r.status()).collect::<Vec<_>>(), expected);
        };
        check(&[Exists, LinkedEventFailed, Created], &[0], &[Exists, Exists, Created]);
        check(&[LinkedEventFailed, ExceedsCredits], &[0], &[LinkedEventFailed, ExceedsCredits]);
        check(&[Created, LinkedEventFailed, Exists], &[1], &[Created, Exists, Exists]);
        check(&[Exists, LinkedEventFailed], &[], &[Exists, LinkedEventFailed]);
    }
}
