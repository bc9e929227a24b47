//! Recovery in virtual time: three shards without threads, and ways between them that can be closed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crest_ledger::command::{Answer, Command, DecideRequest, PrepareRequest};
use crest_ledger::limits::HOLD_DEADLINE_NS;
use crest_ledger::records::Sides;
use crest_ledger::txn::{Decided, Event, Outcome, ShardId, Step, TxnId, Vote};
use crest_ledger::wire::{Query, QueryAnswer, Request, Response, ShardStatus};
use crest_ledger::{Account, Timestamp, Transfer};
use crest_link::{Answering, LinkError, Links, ShardLink};
use crest_node::limits::{IN_DOUBT_END, RECOVERY_INTERVAL, RECOVERY_TIMEOUT, TICK};
use crest_node::log::Options as LogOptions;
use crest_node::replica::Worker;
use crest_node::{ClockSource, NodeHandle, Replica, ReplicaConfig, recovery};
use crest_topology::SlotMap;
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

const SHARDS: [ShardId; 3] = [0, 1, 2];
const START: Timestamp = 1_000_000_000_000_000_000;
const HOLD_DEADLINE: Duration = Duration::from_nanos(HOLD_DEADLINE_NS);

/// What becomes of messages to a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    /// They are lost, and nobody says so.
    Silent,
    /// They are refused.
    Down,
}

/// The way to a shard, for everybody.
#[derive(Clone)]
struct Gate {
    to: NodeHandle,
    way: watch::Receiver<Way>,
}

impl ShardLink for Gate {
    fn send(&self, request: Request) -> Answering {
        let shard = self.to.shard();
        match *self.way.borrow() {
            Way::Open => self.to.send(request),
            Way::Silent => Box::pin(std::future::pending()),
            Way::Down => {
                let down = LinkError::Refused { shard, why: "connection refused".to_owned() };
                Box::pin(async move { Err(down) })
            }
        }
    }

    fn address(&self) -> String {
        format!("shard-{}", self.to.shard())
    }
}

struct Cluster {
    shards: Vec<NodeHandle>,
    ways: Vec<watch::Sender<Way>>,
    clock: Arc<AtomicU64>,
    accounts: Vec<u128>,
    _dir: tempfile::TempDir,
}

impl Cluster {
    /// Opens three shards with an account each, and starts their recovery. Must be called inside a `LocalSet`.
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let map = SlotMap::even(&SHARDS).unwrap();
        let clock = Arc::new(AtomicU64::new(START));
        let (mut shards, mut ways, mut links) = (Vec::new(), Vec::new(), BTreeMap::new());
        for shard in SHARDS {
            let folder = dir.path().join(shard.to_string());
            std::fs::create_dir_all(&folder).unwrap();
            let replica = Replica::open(ReplicaConfig {
                clock: ClockSource::Manual(clock.clone()),
                log: LogOptions { segment_bytes: 4 << 20 },
                ..ReplicaConfig::alone("test", shard, map.clone(), &folder)
            })
            .unwrap();
            let (way, is) = watch::channel(Way::Open);
            let gate: Arc<dyn ShardLink> = Arc::new(Gate { to: replica.handle(), way: is });
            links.insert(shard, gate);
            shards.push(replica.handle());
            ways.push(way);
            tokio::task::spawn_local(turn(replica));
        }
        let links = Links::new(map.clone(), links);
        for shard in &shards {
            tokio::task::spawn_local(recovery::run(shard.clone(), links.clone()));
        }
        tokio::task::spawn_local(tell_the_time(clock.clone()));
        let accounts = SHARDS.map(|shard| (1..).find(|id| map.shard_of(*id) == shard).unwrap()).to_vec();
        let cluster = Self { shards, ways, clock, accounts, _dir: dir };
        for shard in SHARDS {
            let account = Account { id: cluster.account(shard), ledger: 1, code: 1, ..Account::default() };
            cluster.apply(shard, Command::Create(vec![Step::account(account)])).await;
        }
        cluster
    }

    fn account(&self, shard: ShardId) -> u128 {
        self.accounts[shard as usize]
    }

    fn set(&self, shard: ShardId, way: Way) {
        self.ways[shard as usize].send_replace(way);
    }

    async fn apply(&self, shard: ShardId, command: Command) -> Answer {
        let answer = self.shards[shard as usize].send(Request::commands(vec![command])).await.expect("an answer");
        let Response::Answers(mut answers) = answer else { panic!("{answer:?}") };
        answers.remove(0)
    }

    fn step(&self, id: u128, payer: ShardId, payee: ShardId, sides: Sides) -> Step {
        let t = Transfer {
            id,
            debit_account_id: self.account(payer),
            credit_account_id: self.account(payee),
            amount: 1,
            ledger: 1,
            code: 1,
            ..Transfer::default()
        };
        Step { index: 0, sides, request_status: 0, amount_max: 1, event: Event::Transfer(t) }
    }

    /// Has `holder` hold its side of payments from `decider`, as a router does that dies then.
    async fn prepare(&self, ids: std::ops::Range<u128>, decider: ShardId, holder: ShardId) {
        let request = |id| PrepareRequest {
            txn: attempt(id),
            decider,
            steps: vec![self.step(id, decider, holder, Sides::CREDIT)],
        };
        for first in ids.clone().step_by(4_000) {
            let some = first..(first + 4_000).min(ids.end);
            let answer = self.apply(holder, Command::Prepare(some.map(request).collect())).await;
            let Answer::Votes(votes) = answer else { panic!("{answer:?}") };
            assert!(votes.iter().all(|vote| matches!(vote, Vote::Held { .. })));
        }
    }

    /// Has `decider` commit what `holder` holds.
    async fn decide(&self, ids: std::ops::Range<u128>, decider: ShardId, holder: ShardId) {
        let clock = self.status(holder).await.clock;
        let request = |id| DecideRequest {
            txn: attempt(id),
            participants: vec![holder],
            events: vec![(id, 1)],
            steps: vec![self.step(id, decider, holder, Sides::DEBIT)],
            refusals: Vec::new(),
            prepared_at: clock,
            clock,
            commit_before: Timestamp::MAX,
        };
        for first in ids.clone().step_by(4_000) {
            let some = first..(first + 4_000).min(ids.end);
            let answer = self.apply(decider, Command::Decide(some.map(request).collect())).await;
            let Answer::Decided(decided) = answer else { panic!("{answer:?}") };
            assert!(decided.iter().all(|d| matches!(d, Decided::Committed(_))));
        }
    }

    async fn status(&self, shard: ShardId) -> ShardStatus {
        match self.shards[shard as usize].send(Request::Query(Query::Status)).await {
            Ok(Response::Query(QueryAnswer::Status(status))) => status,
            other => panic!("{other:?}"),
        }
    }

    async fn credits(&self, shard: ShardId) -> u128 {
        let query = Query::KnownAccounts(vec![self.account(shard)]);
        match self.shards[shard as usize].send(Request::Query(query)).await {
            Ok(Response::Query(QueryAnswer::Accounts(accounts, _))) => accounts[0].credits_posted,
            other => panic!("{other:?}"),
        }
    }

    /// How long it takes until `shard` has so many holds.
    async fn until_holds(&self, shard: ShardId, count: u64) -> Duration {
        let began = Instant::now();
        while self.status(shard).await.holds != count {
            assert!(began.elapsed() < Duration::from_secs(60), "{:?}", self.status(shard).await);
            sleep(Duration::from_millis(1)).await;
        }
        began.elapsed()
    }
}

fn attempt(id: u128) -> TxnId {
    TxnId { first_id: id, attempt: 1 }
}

/// What a thread does for a replica: turns, and the jobs of its helpers.
async fn turn(mut replica: Replica) {
    let arrived = replica.arrived();
    loop {
        replica.turn().expect("the shard goes on");
        let mut worked = false;
        for worker in [Worker::Log, Worker::Checkpoint, Worker::Audit] {
            while let Some(job) = replica.next_job(worker) {
                replica.work(job);
                worked = true;
            }
        }
        if !worked {
            let _ = tokio::time::timeout(TICK, arrived.notified()).await;
        }
    }
}

/// The machines' clock follows the virtual time.
async fn tell_the_time(clock: Arc<AtomicU64>) {
    let mut last = Instant::now();
    loop {
        sleep(Duration::from_millis(1)).await;
        let passed = last.elapsed();
        last = Instant::now();
        clock.fetch_add(u64::try_from(passed.as_nanos()).unwrap(), Ordering::Relaxed);
    }
}

/// Runs a test in virtual time, which passes when everybody waits.
fn in_virtual_time(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

#[test]
fn a_shard_that_hangs_delays_nothing_that_has_to_do_with_others() {
    in_virtual_time(async {
        let cluster = Cluster::open().await;
        for way in [Way::Silent, Way::Down] {
            cluster.set(0, way);
            cluster.prepare(1..101, 0, 1).await;
            // When these are due, recovery is in the middle of asking shard 0.
            sleep(HOLD_DEADLINE / 2).await;
            cluster.prepare(1_001..1_101, 2, 1).await;
            let took = cluster.until_holds(1, 100).await;
            assert!(took >= HOLD_DEADLINE, "{way:?}: nothing is given up before its time: {took:?}");
            assert!(took <= HOLD_DEADLINE + TICK + RECOVERY_INTERVAL * 2, "{way:?}: {took:?}");
            cluster.set(0, Way::Open);
            let took = cluster.until_holds(1, 0).await;
            assert!(took <= RECOVERY_TIMEOUT + RECOVERY_INTERVAL * 2, "{way:?}: {took:?}");
        }
    });
}

#[test]
fn whenever_a_decider_comes_back_everything_ends_within_the_promised_time() {
    in_virtual_time(async {
        let cluster = Cluster::open().await;
        // Shard 2 stays away all the time.
        cluster.set(2, Way::Silent);
        cluster.prepare(900_000..900_010, 2, 1).await;
        for phase in 0..12 {
            cluster.set(0, Way::Silent);
            cluster.prepare(1..51, 0, 1).await;
            sleep(HOLD_DEADLINE + Duration::from_millis(200 * phase)).await;
            cluster.set(0, Way::Open);
            let took = cluster.until_holds(1, 10).await;
            assert!(took <= RECOVERY_TIMEOUT + RECOVERY_INTERVAL * 2, "phase {phase}: {took:?}");
            assert!(took <= IN_DOUBT_END);
        }
    });
}

#[test]
fn many_thousand_are_ended_round_after_round_without_pauses() {
    in_virtual_time(async {
        let cluster = Cluster::open().await;
        const COUNT: u128 = 20_000;
        cluster.set(0, Way::Down);
        cluster.set(1, Way::Down);
        cluster.prepare(1..1 + COUNT, 0, 1).await;
        // Half of them are committed: the holder asks for those, and the decider tells it.
        cluster.decide(1..1 + COUNT / 2, 0, 1).await;
        sleep(HOLD_DEADLINE * 2).await;
        let (holder, decider) = (cluster.status(1).await, cluster.status(0).await);
        assert_eq!((holder.holds, holder.in_doubt), (COUNT as u64, COUNT as u64));
        assert_eq!((decider.outbox, decider.in_doubt), (COUNT as u64 / 2, COUNT as u64 / 2));
        let ages = (holder.in_doubt_age_ms_max, decider.in_doubt_age_ms_max);
        // Ages are counted from readings of the clock, a few a second.
        assert!(ages.0 >= 3_500 && ages.1 >= 3_500, "{ages:?}");
        cluster.set(0, Way::Open);
        cluster.set(1, Way::Open);
        let took = cluster.until_holds(1, 0).await;
        // Work takes no virtual time, so this is waiting only: until recovery looks, and no more.
        assert!(took <= RECOVERY_INTERVAL * 2, "{took:?}");
        assert_eq!(cluster.credits(1).await, COUNT / 2, "what was committed, once, and nothing else");
        sleep(RECOVERY_INTERVAL * 2).await;
        let (holder, decider) = (cluster.status(1).await, cluster.status(0).await);
        assert_eq!((holder.in_doubt, decider.in_doubt, decider.outbox), (0, 0, 0), "{decider:?}");
        assert_eq!((holder.in_doubt_age_ms_max, decider.outbox_age_ms_max), (0, 0));
    });
}

#[test]
fn a_clock_that_is_set_back_or_far_ahead_does_not_keep_a_transfer_in_doubt() {
    const HOUR: u64 = 3_600_000_000_000;
    in_virtual_time(async {
        let cluster = Cluster::open().await;
        cluster.prepare(1..2, 0, 1).await;
        cluster.clock.fetch_sub(HOUR, Ordering::Relaxed);
        let took = cluster.until_holds(1, 0).await;
        assert!((HOLD_DEADLINE..HOLD_DEADLINE + TICK + RECOVERY_INTERVAL * 2).contains(&took), "set back: {took:?}");
        // The ledger's clock is an hour ahead of the machine's now: its own time stands nearly still.
        cluster.prepare(2..3, 0, 1).await;
        let took = cluster.until_holds(1, 0).await;
        assert!((HOLD_DEADLINE..HOLD_DEADLINE + TICK + RECOVERY_INTERVAL * 2).contains(&took), "behind: {took:?}");
        cluster.clock.fetch_add(2 * HOUR, Ordering::Relaxed);
        cluster.prepare(3..4, 0, 1).await;
        let took = cluster.until_holds(1, 0).await;
        assert!((HOLD_DEADLINE..HOLD_DEADLINE + TICK + RECOVERY_INTERVAL * 2).contains(&took), "set ahead: {took:?}");
    });
}

#[test]
fn what_is_released_is_no_longer_held_and_moved_nothing() {
    in_virtual_time(async {
        let cluster = Cluster::open().await;
        cluster.prepare(1..2, 0, 1).await;
        cluster.until_holds(1, 0).await;
        let outcome = cluster.apply(0, Command::Recover(false, START, vec![attempt(1)])).await;
        assert_eq!(outcome, Answer::Outcomes(vec![Some(Outcome::Released { burned_id: 0 })]), "it is buried");
        assert_eq!(cluster.credits(1).await, 0);
    });
}
