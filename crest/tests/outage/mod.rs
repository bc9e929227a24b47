//! A cluster with clients between all its shards, whose nodes are killed one after the other, and what the clients felt.

#![allow(dead_code, unused_imports, reason = "each test takes what it needs")]

mod figures;
mod lane;
mod stale;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crest_conformance::random::Random;
use crest_proto::border::{ids_to, number_from, number_to};
use crest_proto::v1;
use crest_proto::v1::CreateTransferStatus as Status;
use crest_proto::v1::ledger_client::LedgerClient;
use crest_topology::SlotMap;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use crate::kills::{Cluster, ELECTED, Who};
use crate::processes::{Layout, is_quiet, status_until};
pub(crate) use figures::{Figures, Kill, Restart};
use lane::Lane;
pub(crate) use stale::DirectReads;

const NODES: usize = 3;
const SHARDS: u32 = 4;
const ROUTERS: usize = 2;
/// Log segments of which a dozen fit a small disk. Checkpoints are as usual.
const USUAL: &str = "value::segment_bytes=return(4194304)";
/// How long the clients pay undisturbed before a kill.
const BEFORE: Duration = Duration::from_secs(2);
/// How long the killed node stays away at the least, and every fifth one: long enough to miss more entries than fit one message.
const AWAY: Duration = Duration::from_secs(3);
const AWAY_LONG: Duration = Duration::from_secs(12);
/// How long everything may take that has no bound of its own.
const PATIENCE: Duration = Duration::from_secs(60);

/// Clients at work, until they are told to stop.
struct Work {
    stop: watch::Sender<bool>,
    lanes: Vec<JoinHandle<Lane>>,
}

/// A cluster of 3 nodes, 4 shards and 2 routers, and a client for every pair of shards: 16, of which 12 pay to another shard.
pub(crate) struct Failover {
    cluster: Cluster,
    lanes: Vec<Lane>,
    figures: Figures,
    rounds: usize,
}

/// When something happened to a node.
struct Scene {
    node: usize,
    led: Vec<u32>,
    killed: Instant,
    started: Instant,
    whole: Instant,
}

impl Failover {
    /// Starts it. All payments follow from `seed`.
    pub(crate) async fn start(seed: u64) -> Self {
        let layout = Layout::Replicated { nodes: NODES, shards: SHARDS as usize };
        let start = || Cluster::start_as(layout, ROUTERS, USUAL, |_| String::new());
        let cluster = tokio::task::block_in_place(start);
        cluster.until_whole().await;
        let lanes = lanes(&mut Random::new(seed));
        let accounts: Vec<u128> = lanes.iter().flat_map(|lane| [lane.debit, lane.credit]).collect();
        let account = |id: &u128| v1::Account { id: number_to(*id), ledger: 1, code: 1, ..Default::default() };
        let request = v1::CreateAccountsRequest { accounts: accounts.iter().map(account).collect() };
        let answer = cluster.ways()[0].create_accounts(request).await.expect("accounts").into_inner();
        assert!(answer.results.iter().all(|result| result.status() == v1::CreateAccountStatus::Created));
        Self { cluster, lanes, figures: Figures { clients: 16, ..Figures::default() }, rounds: 0 }
    }

    fn begin(&mut self) -> Work {
        let (stop, stopped) = watch::channel(false);
        let ways: Vec<LedgerClient<Channel>> = self.cluster.ways();
        let work = |(n, mut lane): (usize, Lane)| {
            // Every second pair of shards through the same router, whatever the pair.
            let (way, stopped) = (ways[(n + n / SHARDS as usize) % ways.len()].clone(), stopped.clone());
            tokio::spawn(async move {
                lane.work(way, stopped).await;
                lane
            })
        };
        let lanes = std::mem::take(&mut self.lanes).into_iter().enumerate().map(work).collect();
        Work { stop, lanes }
    }

    async fn end(&mut self, work: Work) {
        let _ = work.stop.send(true);
        for lane in work.lanes {
            self.lanes.push(lane.await.expect("a client does not panic"));
        }
    }

    /// Gives every shard a leader such that no node leads more than two, another one each round.
    async fn spread_leaders(&mut self) {
        self.rounds += 1;
        for shard in 0..SHARDS {
            let to = (shard as usize + self.rounds) % NODES;
            self.cluster.groups.hand_over(shard, to, PATIENCE).await;
        }
    }

    /// Kills the leader of a shard under load, starts it again, and notes what the clients felt.
    pub(crate) async fn kill(&mut self) -> Kill {
        self.spread_leaders().await;
        let work = self.begin();
        tokio::time::sleep(BEFORE).await;
        let leaders = self.cluster.groups.leaders(ELECTED).await;
        let node = leaders[self.rounds % SHARDS as usize];
        let led: Vec<u32> = (0..SHARDS).filter(|shard| leaders[*shard as usize] == node).collect();
        let killed = Instant::now();
        self.cluster.process(Who::Node(node)).kill();
        // As seen from the nodes: that others lead is no part of the figures, only a condition for going on.
        for shard in &led {
            self.cluster.groups.leader(*shard, ELECTED).await;
        }
        let away = if self.rounds % 5 == 2 { AWAY_LONG } else { AWAY };
        tokio::time::sleep_until((killed + away).into()).await;
        let started = Instant::now();
        tokio::task::block_in_place(|| self.cluster.start_again(Who::Node(node)));
        self.cluster.until_whole().await;
        let whole = Instant::now();
        self.end(work).await;
        let kill = self.felt(&Scene { node, led, killed, started, whole });
        self.figures.kills.push(kill.clone());
        kill
    }

    /// Restarts every node in good order under load, and notes what the clients felt.
    pub(crate) async fn rolling_restart(&mut self) -> Vec<Restart> {
        let mut restarts = Vec::new();
        for node in 0..NODES {
            self.spread_leaders().await;
            let work = self.begin();
            tokio::time::sleep(BEFORE).await;
            let asked = Instant::now();
            tokio::task::block_in_place(|| self.cluster.restart(Who::Node(node)));
            self.cluster.until_whole().await;
            let whole = Instant::now();
            self.end(work).await;
            let longest = longest_wait(&self.lanes, asked, whole, |_| true);
            restarts.push(Restart { node, longest });
        }
        self.figures.restarts.extend(&restarts);
        restarts
    }

    fn felt(&self, Scene { node, led, killed, started, whole }: &Scene) -> Kill {
        let of_its_shards = |lane: &Lane| lane.touches(led);
        let of_others = |lane: &Lane| !lane.touches(led);
        let continued = |shard: &u32| {
            let lanes = self.lanes.iter().filter(|lane| lane.touches(&[*shard]));
            let again = lanes.flat_map(|lane| &lane.payments).filter(|p| p.sent >= *killed).map(|p| p.answered);
            again.min().map_or(PATIENCE, |first| first - *killed)
        };
        let before = *killed - (*started - *killed).min(BEFORE);
        Kill {
            node: *node,
            led: led.clone(),
            continued: led.iter().map(continued).max().unwrap_or_default(),
            longest: longest_wait(&self.lanes, *killed, *started, of_its_shards),
            others: longest_wait(&self.lanes, *killed, *started, of_others),
            others_before: longest_wait(&self.lanes, before, *killed, of_others),
            coming_back: longest_wait(&self.lanes, *started, *whole, |_| true),
            caught_up: *whole - *started,
        }
    }

    /// Checks that the ledger holds exactly what the clients were told, and gives the figures.
    ///
    /// # Panics
    /// When it does not.
    pub(crate) async fn check(mut self) -> Figures {
        let mut operations = self.cluster.operations();
        status_until(&mut operations, PATIENCE, "what is in doubt ends by itself", is_quiet).await;
        let mut router = self.cluster.ways()[0].clone();
        let mut payments = 0;
        for lane in &self.lanes {
            payments += lane.payments.len() as u64;
            check_lane(lane, &mut router).await;
        }
        let audit = operations.audit(v1::AuditRequest {}).await.expect("an audit").into_inner();
        assert!(audit.holds && audit.findings.is_empty(), "{:#?}", audit.findings);
        assert_eq!(audit.transfers, payments, "the ledger has payments that nobody sent, or lacks some");
        assert!(audit.cross_shard_transfers * 2 > audit.transfers, "most payments are between shards: {audit:?}");
        let mut retried: BTreeMap<String, u64> = BTreeMap::new();
        for (why, count) in self.lanes.iter().flat_map(|lane| lane.retried.clone()) {
            *retried.entry(why).or_default() += count;
        }
        self.cluster.stop();
        self.figures.payments = payments;
        self.figures.retried = retried.into_iter().collect();
        self.figures.errors = self.lanes.iter().flat_map(|lane| lane.errors.clone()).collect();
        self.figures
    }
}

/// For every pair of shards a client with two accounts of its own.
fn lanes(random: &mut Random) -> Vec<Lane> {
    let numbers: Vec<u32> = (0..SHARDS).collect();
    let map = SlotMap::even(&numbers).expect("these shards make a map");
    let mut next = 1_000_u128;
    let mut account = |shard: u32| loop {
        next += 1;
        if map.shard_of(next) == shard {
            return next;
        }
    };
    let pairs = numbers.iter().flat_map(|from| numbers.iter().map(|to| (*from, *to)));
    let mut lane = |(from, to): (u32, u32)| Lane::new((from, to), account(from), account(to), random.number());
    pairs.map(&mut lane).collect()
}

/// The longest that clients waited for an answer to a payment, of those that waited between two instants. What they waited
/// before the first one does not count.
fn longest_wait(lanes: &[Lane], from: Instant, until: Instant, of: impl Fn(&Lane) -> bool) -> Duration {
    let waits = lanes.iter().filter(|lane| of(lane)).flat_map(|lane| &lane.payments);
    let waits = waits.filter(|p| p.answered > from && p.begun < until).map(|p| p.answered - p.begun.max(from));
    waits.max().unwrap_or_default()
}

/// Every payment of a client is there as it was told, once; the balances are their sums; and sent again, each is known.
async fn check_lane(lane: &Lane, router: &mut LedgerClient<Channel>) {
    for part in lane.payments.chunks(4_000) {
        let ids: Vec<u128> = part.iter().map(|payment| payment.id).collect();
        let request = v1::LookupTransfersRequest { ids: ids_to(&ids), read: None };
        let found = router.lookup_transfers(request).await.expect("a lookup").into_inner().transfers;
        assert_eq!(found.len(), part.len(), "a payment that was acknowledged is missing: {:?}", lane.shards);
        for (payment, found) in part.iter().zip(found) {
            let expected = v1::Transfer { timestamp: payment.timestamp, ..lane.transfer(payment.id) };
            assert_eq!(v1::Transfer { flags: None, ..found }, v1::Transfer { flags: None, ..expected });
        }
        let transfers = ids.iter().map(|id| lane.transfer(*id)).collect();
        let request = v1::CreateTransfersRequest { transfers, independent: true };
        let results = router.create_transfers(request).await.expect("a retry").into_inner().results;
        for (payment, result) in part.iter().zip(results) {
            assert_eq!((result.status(), result.timestamp), (Status::Exists, payment.timestamp));
        }
    }
    let request = v1::LookupAccountsRequest { ids: ids_to(&[lane.debit, lane.credit]), read: None };
    let accounts = router.lookup_accounts(request).await.expect("a lookup").into_inner().accounts;
    let [debits, credits] = [accounts[0].debits_posted, accounts[1].credits_posted].map(number_from);
    let paid = lane.payments.len() as u128;
    assert_eq!((debits, credits), (paid, paid), "what was paid from shard {} to {}", lane.shards.0, lane.shards.1);
}
