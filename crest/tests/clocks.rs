//! Wrong clocks do no lasting harm: a jump is not followed, and when a shard's time was carried away all the same, an operator aligns the
//! shards, payments go on, and no reservation ends early.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crest_ledger::txn::EventResult;
use crest_ledger::{Account, Transfer, TransferFlags, TransferStatus};
use crest_link::{Links, ShardLink};
use crest_node::clock::{MachineClocks, ProcessClock, Readings};
use crest_node::log::Options as LogOptions;
use crest_node::{ClockSource, Node, ReplicaConfig};
use crest_router::Router;
use crest_topology::SlotMap;
use tokio::task::JoinHandle;

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;

/// A machine whose wall clock is ahead by so much, ns.
#[derive(Clone, Default)]
struct Machine(Arc<AtomicU64>);

impl Machine {
    fn is_ahead(&self, ns: u64) {
        self.0.store(ns, Ordering::Relaxed);
    }
}

impl Readings for Machine {
    fn monotonic(&self) -> u64 {
        MachineClocks.monotonic()
    }

    fn wall(&self) -> u64 {
        MachineClocks.wall() + self.0.load(Ordering::Relaxed)
    }
}

/// Two shards in a folder, each on a machine of its own, and a router.
struct Cluster {
    nodes: Vec<Node>,
    tasks: Vec<JoinHandle<()>>,
    router: Router,
}

impl Cluster {
    /// Opens it with processes that start now: what their wall clocks show is their time.
    fn open(folder: &std::path::Path, machines: &[Machine; 2]) -> Self {
        let map = SlotMap::even(&[0, 1]).expect("two shards make a map");
        let open = |(shard, machine): (u32, &Machine)| {
            let folder = folder.join(shard.to_string());
            let clock = ClockSource::Process(ProcessClock::alone(Box::new(machine.clone())));
            let log = LogOptions { segment_bytes: 4 << 20 };
            let config = ReplicaConfig { clock, log, ..ReplicaConfig::alone("clocks", shard, map.clone(), &folder) };
            Node::open(&folder, config).expect("the shard opens")
        };
        let nodes: Vec<Node> = (0..).zip(machines).map(open).collect();
        let link = |node: &Node| (node.handle().shard(), Arc::new(node.handle()) as Arc<dyn ShardLink>);
        let links = Links::new(map, nodes.iter().map(link).collect::<BTreeMap<_, _>>());
        let recover = |node: &Node| tokio::spawn(crest_node::recovery::run(node.handle(), links.clone()));
        let tasks = nodes.iter().map(recover).collect();
        Self { tasks, router: Router::new(links), nodes }
    }

    fn stop(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.nodes.into_iter().for_each(|node| node.stop().expect("the shard had not failed"));
    }

    async fn send(&self, transfer: Transfer) -> Option<EventResult> {
        let sent = tokio::time::timeout(Duration::from_secs(5), self.router.create_transfers(vec![transfer], false));
        Some(sent.await.ok()?.ok()?[0])
    }

    async fn status(&self, transfer: Transfer) -> Option<TransferStatus> {
        let result = self.send(transfer).await?;
        Some(TransferStatus::ALL.iter().copied().find(|s| *s as u8 == result.status).expect("a status"))
    }
}

/// The number of an account on that shard.
fn account_on(shard: u32) -> u128 {
    let map = SlotMap::even(&[0, 1]).expect("two shards make a map");
    (1..).find(|id| map.shard_of(*id) == shard).expect("every shard has accounts")
}

fn second_account_on(shard: u32) -> u128 {
    let map = SlotMap::even(&[0, 1]).expect("two shards make a map");
    (1..).filter(|id| map.shard_of(*id) == shard).nth(1).expect("every shard has accounts")
}

fn pay(id: u128, from: u128, to: u128) -> Transfer {
    Transfer { id, debit_account_id: from, credit_account_id: to, amount: 1, ledger: 1, code: 1, ..Transfer::default() }
}

fn reserve(id: u128, from: u128, to: u128, timeout: u32) -> Transfer {
    Transfer { flags: TransferFlags(TransferFlags::PENDING), timeout, ..pay(id, from, to) }
}

fn post(id: u128, pending_id: u128) -> Transfer {
    let flags = TransferFlags(TransferFlags::POST_PENDING);
    Transfer { id, pending_id, amount: u128::MAX, flags, ..Transfer::default() }
}

async fn open_accounts(cluster: &Cluster) {
    let ids = [account_on(0), second_account_on(0), account_on(1), second_account_on(1)];
    let accounts = ids.map(|id| Account { id, ledger: 1, code: 1, ..Account::default() });
    cluster.router.create_accounts(accounts.to_vec()).await.expect("the accounts are created");
}

const CREATED: Option<TransferStatus> = Some(TransferStatus::Created);

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_jumps_ends_no_reservation_and_stops_no_payment() {
    let folder = tempfile::tempdir().expect("a folder");
    let machines = [Machine::default(), Machine::default()];
    let cluster = Cluster::open(folder.path(), &machines);
    open_accounts(&cluster).await;
    let (a, b, c) = (account_on(0), account_on(1), second_account_on(1));
    assert_eq!(cluster.status(reserve(1, a, b, 1_800)).await, CREATED);
    assert_eq!(cluster.status(reserve(2, b, c, 1_800)).await, CREATED);
    machines[1].is_ahead(HOUR);
    for id in 10..15 {
        assert_eq!(cluster.status(pay(id, a, b)).await, CREATED);
        assert_eq!(cluster.status(pay(100 + id, b, c)).await, CREATED);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    machines[1].is_ahead(0);
    let during = cluster.send(pay(20, b, a)).await.expect("an answer");
    assert!(during.timestamp < MachineClocks.wall() + SECOND, "time was not carried away");
    assert_eq!(cluster.status(post(30, 1)).await, CREATED);
    assert_eq!(cluster.status(post(31, 2)).await, CREATED);
    assert!(cluster.router.audit().await.expect("an audit").findings.is_empty());
    cluster.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_whose_time_was_carried_away_is_brought_back_by_aligning_the_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let machines = [Machine::default(), Machine::default()];
    let cluster = Cluster::open(folder.path(), &machines);
    open_accounts(&cluster).await;
    let (a, b) = (account_on(0), account_on(1));
    let (a2, b2) = (second_account_on(0), second_account_on(1));
    // Reservations from before, within a shard and between two.
    for (id, from, to) in [(1, a, a2), (2, b, b2), (3, a, b), (4, b, a)] {
        assert_eq!(cluster.status(reserve(id, from, to, 1_800)).await, CREATED);
    }
    cluster.stop();
    // Nobody could tell that this machine's clock was wrong when it started.
    machines[1].is_ahead(HOUR);
    let cluster = Cluster::open(folder.path(), &machines);
    // A payment, but no time in which what is due would be released.
    let stamped = cluster.send(pay(10, b, b2)).await.expect("an answer").timestamp;
    assert!(stamped > MachineClocks.wall() + HOUR / 2, "the shard's time was carried away");
    cluster.stop();
    machines[1].is_ahead(0);
    let cluster = Cluster::open(folder.path(), &machines);
    assert_eq!(cluster.status(pay(11, a, b)).await, None, "the other shard refuses that time");
    let times = cluster.router.align_shard_times(true).await;
    assert!(times.iter().all(|time| time.advanced == Ok(false)), "only looked at: {times:?}");
    assert_eq!(cluster.status(pay(12, b, a)).await, None, "nothing was changed");

    let times = cluster.router.align_shard_times(false).await;
    let advanced: Vec<bool> = times.iter().map(|time| time.advanced.clone().expect("it answers")).collect();
    assert_eq!(advanced, [true, false]);
    for (id, from, to) in [(20, a, b), (21, b, a), (22, a, a2), (23, b, b2)] {
        assert_eq!(cluster.status(pay(id, from, to)).await, CREATED, "payments go on");
    }
    // Nothing that was reserved for half an hour has ended, though both shards' times are an hour ahead. (What the shard with the wrong
    // clock decides about may have, while that clock was wrong.)
    tokio::time::sleep(Duration::from_millis(500)).await;
    for id in [1, 3] {
        assert_eq!(cluster.status(post(30 + id, id)).await, CREATED, "reservation {id}");
    }
    // What is reserved now is reserved, posted, and also voided by its end: late, if anything.
    assert_eq!(cluster.status(reserve(40, a, b, 1)).await, CREATED);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(cluster.status(post(41, 40)).await, CREATED);
    assert!(cluster.router.audit().await.expect("an audit").findings.is_empty());
    // Again, and after a restart, all is as it was.
    let times = cluster.router.align_shard_times(false).await;
    assert!(times.iter().all(|time| time.advanced == Ok(false)), "{times:?}");
    cluster.stop();
    let cluster = Cluster::open(folder.path(), &machines);
    assert_eq!(cluster.status(pay(50, a, b)).await, CREATED);
    assert!(cluster.router.audit().await.expect("an audit").findings.is_empty());
    cluster.stop();
}
