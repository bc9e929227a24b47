//! What a router does, step by step and by hand: so that it can stop between any two.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use crest_ledger::command::{Answer, Command, DecideRequest, PrepareRequest};
use crest_ledger::records::Sides;
use crest_ledger::txn::{Decided, Event, ShardId, Step, TxnId, Vote};
use crest_ledger::wire::{Query, QueryAnswer, Request, Response, ShardStatus};
use crest_ledger::{Timestamp, Transfer};
use crest_link::ShardLink;
use crest_link::grpc::GrpcLink;
use crest_topology::SlotMap;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Attempts in one message.
const BATCH: usize = 4_000;
/// The number of all attempts made by hand: one for each transfer.
pub(crate) const ATTEMPT: u64 = 0x00c3_d5f0_a1b2_c3d4;
/// What each payment moves.
pub(crate) const AMOUNT: u128 = 1_250;

/// Ways to the nodes of a cluster.
pub(crate) struct Hand {
    links: Vec<GrpcLink>,
    /// An account on each shard.
    accounts: Vec<u128>,
}

impl Hand {
    /// For nodes at these addresses, by shard, whose slots are shared evenly.
    pub(crate) fn new(addresses: &[SocketAddr]) -> Self {
        let shards: Vec<ShardId> = (0..addresses.len() as u32).collect();
        let map = SlotMap::even(&shards).expect("these shards make a map");
        let link = |(shard, address): (&ShardId, &SocketAddr)| {
            GrpcLink::new(*shard, &address.to_string(), 1).expect("a valid address")
        };
        let account =
            |shard: &ShardId| (1_001..).find(|id| map.shard_of(*id) == *shard).expect("every shard has slots");
        Self { links: shards.iter().zip(addresses).map(link).collect(), accounts: shards.iter().map(account).collect() }
    }

    /// The account on a shard.
    pub(crate) fn account(&self, shard: ShardId) -> u128 {
        self.accounts[shard as usize]
    }

    /// The accounts of all shards.
    pub(crate) fn accounts(&self) -> &[u128] {
        &self.accounts
    }

    async fn send(&self, shard: ShardId, request: Request) -> Response {
        let answer = tokio::time::timeout(PATIENCE, self.links[shard as usize].send(request)).await;
        answer.expect("the node answers in time").expect("the node answers")
    }

    async fn command(&self, shard: ShardId, command: Command) -> Answer {
        let answer = self.send(shard, Request::commands(vec![command])).await;
        let Response::Answers(mut answers) = answer else { panic!("{answer:?}") };
        answers.remove(0)
    }

    fn step(&self, id: u128, payer: ShardId, payee: ShardId, sides: Sides) -> Step {
        let transfer = Transfer {
            id,
            debit_account_id: self.account(payer),
            credit_account_id: self.account(payee),
            amount: AMOUNT,
            ledger: 1,
            code: 1,
            ..Transfer::default()
        };
        Step { index: 0, sides, request_status: 0, amount_max: AMOUNT, event: Event::Transfer(transfer) }
    }

    /// The first phase: `payee` holds its side of payments from `payer`, with these ids.
    pub(crate) async fn prepare(&self, ids: Range<u128>, payer: ShardId, payee: ShardId) {
        for ids in batches(ids) {
            let steps = |id| vec![self.step(id, payer, payee, Sides::CREDIT)];
            let request = |id| PrepareRequest { txn: attempt(id), decider: payer, steps: steps(id) };
            let answer = self.command(payee, Command::Prepare(ids.map(request).collect())).await;
            let Answer::Votes(votes) = answer else { panic!("{answer:?}") };
            assert!(votes.iter().all(|vote| matches!(vote, Vote::Held { .. })), "{:?}", votes[0]);
        }
    }

    /// The second phase, with the clock that the payee's votes carried.
    pub(crate) async fn decide(
        &self,
        ids: Range<u128>,
        payer: ShardId,
        payee: ShardId,
        clock: Timestamp,
    ) -> Vec<Decided> {
        let mut all = Vec::new();
        for ids in batches(ids) {
            let request = |id| DecideRequest {
                txn: attempt(id),
                participants: vec![payee],
                events: vec![(id, AMOUNT)],
                steps: vec![self.step(id, payer, payee, Sides::DEBIT)],
                refusals: Vec::new(),
                prepared_at: clock,
                clock,
                commit_before: Timestamp::MAX,
            };
            let answer = self.command(payer, Command::Decide(ids.map(request).collect())).await;
            let Answer::Decided(decided) = answer else { panic!("{answer:?}") };
            all.extend(decided);
        }
        all
    }

    /// What a node says of itself.
    pub(crate) async fn status(&self, shard: ShardId) -> ShardStatus {
        match self.send(shard, Request::Query(Query::Status)).await {
            Response::Query(QueryAnswer::Status(status)) => status,
            other => panic!("{other:?}"),
        }
    }

    /// Asks a node how it is until `done` says so; gives the time that it took.
    ///
    /// # Panics
    /// When that takes longer than `patience`.
    pub(crate) async fn until(
        &self,
        shard: ShardId,
        patience: Duration,
        what: &str,
        done: impl Fn(&ShardStatus) -> bool,
    ) -> Duration {
        let begun = Instant::now();
        loop {
            let status = tokio::time::timeout(patience, self.status_once_it_answers(shard)).await;
            let status = status.unwrap_or_else(|_| panic!("{what}: shard {shard} does not answer"));
            if done(&status) {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < patience, "{what}: not within {patience:?}: {status:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A node that was down a moment ago refuses, or its old connection breaks.
    async fn status_once_it_answers(&self, shard: ShardId) -> ShardStatus {
        loop {
            let answer = self.links[shard as usize].send(Request::Query(Query::Status)).await;
            if let Ok(Response::Query(QueryAnswer::Status(status))) = answer {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The attempt at a transfer.
pub(crate) fn attempt(id: u128) -> TxnId {
    TxnId { first_id: id, attempt: ATTEMPT }
}

fn batches(ids: Range<u128>) -> impl Iterator<Item = Range<u128>> {
    ids.clone().step_by(BATCH).map(move |first| first..(first + BATCH as u128).min(ids.end))
}
