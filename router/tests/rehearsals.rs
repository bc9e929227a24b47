//! Rehearsals and real payments on one router: what the one has taken, the other still gets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crest_ledger::rehearsal::REHEARSAL_LEDGER_MIN as REHEARSAL;
use crest_ledger::txn::EventResult;
use crest_ledger::wire::{Query, QueryAnswer, Request, Response};
use crest_ledger::{Account, Transfer, TransferFlags};
use crest_link::{Answering, Links, ShardLink};
use crest_router::limits::{REHEARSAL_REQUESTS_MAX, REQUESTS_MAX};
use crest_router::{Router, RouterError};
use crest_topology::SlotMap;
use tokio::task::JoinSet;

/// A pending transfer of a rehearsal, which the shard below knows.
const PENDING: u128 = 77;

/// A shard that says what it knows and never answers a command, so that requests keep their places.
struct Mute;

impl ShardLink for Mute {
    fn send(&self, request: Request) -> Answering {
        let Request::Query(query) = request else { return Box::pin(std::future::pending()) };
        let answer = match query {
            Query::Pending(_) => {
                let pending = Transfer { id: PENDING, timestamp: 5, ..pay(REHEARSAL) };
                QueryAnswer::Pending(vec![pending])
            }
            _ => QueryAnswer::Accounts(Vec::new(), None),
        };
        Box::pin(async move { Ok(Response::Query(answer)) })
    }

    fn address(&self) -> String {
        String::new()
    }
}

fn router() -> Router {
    let shard: Arc<dyn ShardLink> = Arc::new(Mute);
    Router::new(Links::new(SlotMap::even(&[0]).unwrap(), BTreeMap::from([(0, shard)])))
}

fn pay(ledger: u32) -> Transfer {
    Transfer { id: 9, debit_account_id: 1, credit_account_id: 2, amount: 5, ledger, code: 1, ..Transfer::default() }
}

/// A post that names no ledger number.
fn post() -> Transfer {
    let flags = TransferFlags(TransferFlags::POST_PENDING);
    Transfer { id: 10, pending_id: PENDING, amount: u128::MAX, flags, ..Transfer::default() }
}

type Requests = JoinSet<Result<Vec<EventResult>, RouterError>>;

/// Waits until every task has done what it can: the clock, which stands still, goes on only then.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Sends so many requests of these transfers. All of them are admitted, and stay unanswered.
async fn fill(router: &Router, count: usize, transfers: &[Transfer]) -> Requests {
    let mut requests = Requests::new();
    for _ in 0..count {
        let (router, transfers) = (router.clone(), transfers.to_vec());
        requests.spawn(async move { router.create_transfers(transfers, false).await });
    }
    settle().await;
    assert_eq!(requests.try_join_next().map(Result::unwrap), None, "one of {count} has an answer");
    requests
}

/// Why a request is refused at once; none when it is admitted.
async fn refusal(answer: impl Future<Output = Result<Vec<EventResult>, RouterError>>) -> Option<String> {
    match tokio::time::timeout(Duration::from_millis(50), answer).await {
        Ok(Err(RouterError::Refused(why))) => Some(why),
        Ok(other) => panic!("the shard does not answer: {other:?}"),
        Err(_) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_rehearsal_that_takes_all_it_can_get_leaves_places_for_real_payments() {
    let router = router();
    let rehearsal = fill(&router, REHEARSAL_REQUESTS_MAX, &[pay(REHEARSAL)]).await;
    let full = "this router works on 12288 requests of rehearsals already, and keeps its other places for live ones";
    let account = Account { id: 1, ledger: REHEARSAL, code: 1, ..Account::default() };
    assert_eq!(refusal(router.create_transfers(vec![pay(u32::MAX)], false)).await.as_deref(), Some(full));
    assert_eq!(refusal(router.create_accounts(vec![account])).await.as_deref(), Some(full));
    assert_eq!(
        refusal(router.create_transfers(vec![post()], false)).await.as_deref(),
        Some(full),
        "found out by its pending transfer"
    );
    let mixed = vec![pay(REHEARSAL), pay(1)];
    assert_eq!(refusal(router.create_transfers(mixed, true)).await, None, "what has a real payment in it is live");
    assert_eq!(refusal(router.create_accounts(vec![Account { ledger: 1, ..account }])).await, None);
    let live = fill(&router, REQUESTS_MAX - REHEARSAL_REQUESTS_MAX, &[pay(1)]).await;
    let full = "this router works on 16384 requests already";
    assert_eq!(refusal(router.create_transfers(vec![pay(1)], false)).await.as_deref(), Some(full));
    drop((rehearsal, live));
    settle().await;
    fill(&router, REQUESTS_MAX, &[pay(1)]).await;
}

#[tokio::test(start_paused = true)]
async fn posts_that_name_no_ledger_number_count_as_what_they_post() {
    let router = router();
    let _posts = fill(&router, REHEARSAL_REQUESTS_MAX, &[post()]).await;
    assert!(refusal(router.create_transfers(vec![pay(REHEARSAL)], false)).await.is_some());
    assert_eq!(refusal(router.create_transfers(vec![pay(1)], false)).await, None);
}
