//! A router that gives an attempt up goes by what the decider says of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crest_ledger::Transfer;
use crest_ledger::command::{Answer, Command};
use crest_ledger::txn::{Commit, Decided, EventResult, Outcome, ShardId, Vote};
use crest_ledger::wire::{Request, Response};
use crest_link::{Answering, Links, ShardLink};
use crest_router::Router;
use crest_topology::SlotMap;

const COMMITTED_AT: u64 = 2_048;

/// Both shards: every prepare is granted and every decide is blocked, but when the decider is told to abort the attempt, it
/// was committed before: the network brought an earlier decide a second time.
#[derive(Clone, Default)]
struct Shards {
    finished: Arc<Mutex<Vec<(ShardId, Outcome)>>>,
}

struct Link {
    shard: ShardId,
    shards: Shards,
}

impl Link {
    fn answer(&self, command: Command) -> Answer {
        let commit = Commit { timestamp: COMMITTED_AT, amount: 5 };
        match command {
            Command::Prepare(requests) => {
                let held = Vote::Held { amounts: vec![5], clock: 1_025, commit_before: u64::MAX };
                Answer::Votes(requests.iter().map(|_| held.clone()).collect())
            }
            Command::Decide(requests) => Answer::Decided(requests.iter().map(|_| Decided::Blocked).collect()),
            Command::Recover(_, _, txns) => {
                Answer::Outcomes(txns.iter().map(|_| Some(Outcome::Committed(vec![commit]))).collect())
            }
            Command::Finish(ends) => {
                let done = vec![true; ends.len()];
                let ends = ends.into_iter().map(|(_, outcome)| (self.shard, outcome));
                self.shards.finished.lock().unwrap().extend(ends);
                Answer::Finished(done)
            }
            _ => Answer::Done,
        }
    }
}

impl ShardLink for Link {
    fn send(&self, request: Request) -> Answering {
        let Request::Commands { commands, .. } = request else { panic!("a single payment needs no query") };
        let answers = commands.into_iter().map(|c| self.answer(c)).collect();
        Box::pin(async move { Ok(Response::Answers(answers)) })
    }

    fn address(&self) -> String {
        String::new()
    }
}

#[tokio::test]
async fn an_attempt_that_was_committed_after_all_is_answered_and_finished_as_committed() {
    let shards = Shards::default();
    let map = SlotMap::even(&[0, 1]).unwrap();
    let on = |shard| (1u128..).find(|id| map.shard_of(*id) == shard).unwrap();
    let (payer, payee) = (on(0), on(1));
    let link = |shard| Arc::new(Link { shard, shards: shards.clone() }) as Arc<dyn ShardLink>;
    let links = BTreeMap::from([(0, link(0)), (1, link(1))]);
    let router = Router::new(Links::new(map.clone(), links));
    let pay = Transfer {
        id: 9,
        debit_account_id: payer,
        credit_account_id: payee,
        amount: 5,
        ledger: 1,
        code: 1,
        ..Transfer::default()
    };
    let results = router.create_transfers(vec![pay], true).await.unwrap();
    assert_eq!(results, [EventResult { status: EventResult::CREATED, timestamp: COMMITTED_AT }]);
    // The finish is on its way, off the client's path.
    let told = async {
        while shards.finished.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), told).await.unwrap();
    let commit = Commit { timestamp: COMMITTED_AT, amount: 5 };
    assert_eq!(*shards.finished.lock().unwrap(), [(1, Outcome::Committed(vec![commit]))]);
}
