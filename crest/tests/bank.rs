//! A bank: clients move money between its accounts through two routers, while readers look at all accounts at once. No read
//! ever sees money missing or made, misses what was acknowledged before it, or goes back in time; and the histories of
//! single accounts are linearizable.
//!
//! `CREST_SEED` repeats a run's choices, `CREST_BANK_SECONDS` makes it longer.

#[path = "bank/account.rs"]
mod account;
#[path = "bank/cluster.rs"]
mod cluster;
#[path = "bank/histories.rs"]
mod histories;
#[path = "bank/order.rs"]
mod order;
mod payments;
mod processes;
#[path = "bank/readers.rs"]
mod readers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use account::{Op, Ret};
use cluster::{Cluster, Troubles};
use crest_conformance::random::Random;
use crest_proto::v1::ledger_client::LedgerClient;
use crest_proto::v1::operations_client::OperationsClient;
use histories::{Event, Others, Played, first_contradiction, play};
use order::check_order;
use payments::{Bank, Client, Fate, Load, check_everything, settle};
use processes::{ClusterFiles, Server, free_addresses, is_quiet, status_until};
use readers::Readers;
use tonic::transport::Channel;

/// Clients at work at a time, and readers.
const CLIENTS: usize = 24;
const READERS: usize = 4;
/// Histories of single accounts that are played at a time.
const HISTORIES: usize = 24;
/// How long what is under way may take to end.
const QUIET: Duration = Duration::from_secs(10);
/// Links and clocks as they are between machines on a bad day.
const TROUBLES: Troubles = Troubles { slow_one_in: 8, clocks_apart: Duration::from_millis(15) };

/// The seed of a run, printed with the command that repeats it.
fn seed(test: &str) -> u64 {
    let from_clock = || std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64 % 1_000_000_000);
    let seed = std::env::var("CREST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(from_clock);
    println!("repeat with: CREST_SEED={seed} cargo test -p crest --test bank {test} -- --nocapture");
    seed
}

/// How long clients are at work.
fn duration() -> Duration {
    let asked = std::env::var("CREST_BANK_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(asked.unwrap_or(3))
}

/// Has clients and readers at work for a while, then checks all that they saw.
async fn work(
    bank: Bank,
    ways: [LedgerClient<Channel>; 2],
    mut operations: OperationsClient<Channel>,
    mut random: Random,
) {
    let bank = Arc::new(bank);
    let mut way = ways[0].clone();
    bank.open(&mut way).await;
    let client = |_| Client::new(random.number(), bank.clone()).without_timeouts();
    let clients = (0..CLIENTS).map(client).collect();
    let readers = Readers::start(READERS, &bank, &ways, &mut random);
    let load = Load::start(clients, &ways);
    tokio::time::sleep(duration()).await;
    let clients = load.stop().await;
    let mut seen = readers.stop().await;
    let clients = settle(clients, &ways).await;
    status_until(&mut operations, QUIET, "what is under way ends", is_quiet).await;
    let found = check_everything(&bank, &clients, &mut way, &mut operations).await;
    check_order(&bank, &clients, &mut seen, &found);
    let events: usize = clients.iter().map(|client| client.sent.len()).sum();
    let done = clients.iter().flat_map(|client| &client.sent).filter(|sent| matches!(sent.fate, Fate::Done(_))).count();
    let (reads, lists) = (seen.readings.len() + seen.queries, seen.listings.len());
    println!("{events} transfers sent, {done} done; {reads} reads of all accounts, {lists} lists");
    assert!(done > 100 && seen.readings.len() > 20 && lists > 5, "the test tries too little");
}

async fn work_in_this_process(shards: u32, troubles: Troubles, mut random: Random) {
    let bank = Bank::new(shards, &mut random);
    let cluster = Cluster::open(shards, troubles, &mut random).await;
    work(bank, cluster.ways(), cluster.operations(), random).await;
    cluster.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_of_one_shard_sees_money_missing_or_made() {
    let random = Random::new(seed("no_read_of_one_shard_sees_money_missing_or_made"));
    work_in_this_process(1, Troubles { clocks_apart: Duration::ZERO, ..TROUBLES }, random).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_of_seven_shards_with_slow_links_and_clocks_apart_sees_money_missing_or_made() {
    let test = "no_read_of_seven_shards_with_slow_links_and_clocks_apart_sees_money_missing_or_made";
    work_in_this_process(7, TROUBLES, Random::new(seed(test))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_of_four_nodes_through_two_routers_sees_money_missing_or_made() {
    let mut random = Random::new(seed("no_read_of_four_nodes_through_two_routers_sees_money_missing_or_made"));
    let bank = Bank::new(4, &mut random);
    let files = ClusterFiles::new(4);
    let nodes: Vec<Server> = (0..4).map(|shard| files.node(shard)).collect();
    let fronts: Vec<SocketAddr> = free_addresses(2);
    let routers = [files.router(fronts[0]), files.router(fronts[1])];
    let ways = [routers[0].ledger(), routers[1].ledger()];
    work(bank, ways, routers[0].operations(), random).await;
    routers.into_iter().for_each(Server::stop);
    nodes.into_iter().for_each(Server::stop);
}

/// Plays histories until it is time, so many at once.
async fn play_until(
    until: Instant,
    others: &Arc<Others>,
    ways: &[LedgerClient<Channel>; 2],
    random: &mut Random,
) -> Played {
    let mut all = Played::default();
    while Instant::now() < until {
        let played = play(HISTORIES, others, ways, random, Instant::now() + 3 * QUIET).await;
        all.histories += played.histories;
        all.operations += played.operations;
        all.refused += played.refused;
        all.unknown += played.unknown;
    }
    println!("{all:?}");
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_of_single_accounts_are_linearizable() {
    let mut random = Random::new(seed("histories_of_single_accounts_are_linearizable"));
    let cluster = Cluster::open(4, Troubles { slow_one_in: 4, ..TROUBLES }, &mut random).await;
    let ways = cluster.ways();
    let others = Arc::new(Others::open(4, &mut ways[0].clone(), &mut random).await);
    let played = play_until(Instant::now() + duration(), &others, &ways, &mut random).await;
    assert!(played.refused > 10 && played.operations > 500, "the test tries too little");
    cluster.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_of_single_accounts_are_linearizable_while_nodes_are_killed() {
    let mut random = Random::new(seed("histories_of_single_accounts_are_linearizable_while_nodes_are_killed"));
    let files = ClusterFiles::new(3);
    let mut nodes: Vec<Server> = (0..3).map(|shard| files.node(shard)).collect();
    let fronts: Vec<SocketAddr> = free_addresses(2);
    let mut routers = [files.router(fronts[0]), files.router(fronts[1])];
    let ways = [routers[0].ledger(), routers[1].ledger()];
    let others = Arc::new(Others::open(3, &mut ways[0].clone(), &mut random).await);
    let until = Instant::now() + 2 * duration();
    let mut choices = Random::new(random.number());
    let playing = tokio::spawn(async move { play_until(until, &others, &ways, &mut random).await });
    let mut kills = 0;
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100 + choices.below(600))).await;
        match choices.below(4) {
            3 => {
                let router = choices.below(2) as usize;
                routers[router].kill();
                routers[router] = files.router(fronts[router]);
            }
            shard => {
                nodes[shard as usize].kill();
                nodes[shard as usize] = files.node(shard as usize);
            }
        }
        kills += 1;
    }
    let played = playing.await.expect("the histories are linearizable");
    println!("{kills} processes were killed");
    assert!(kills > 2 && played.operations > 100, "the test tries too little");
    routers.into_iter().for_each(Server::stop);
    nodes.into_iter().for_each(Server::stop);
}

#[test]
fn a_read_that_misses_what_was_done_before_it_has_no_place_in_any_order() {
    let (deposit, read) = (Op::Deposit(5), Op::Read);
    let balances = |credits| Ret::Balances([0, 0, 0, credits]);
    let one_after_the_other = |credits| {
        [
            Event::Invoked(0, deposit),
            Event::Returned(0, Ret::Done),
            Event::Invoked(1, read),
            Event::Returned(1, balances(credits)),
        ]
    };
    assert_eq!(first_contradiction(&one_after_the_other(65)), None);
    assert_eq!(first_contradiction(&one_after_the_other(60)), Some(3));
    // While the deposit is under way, both are right; but once it was seen, it stays.
    let meanwhile = |first, second| {
        [
            Event::Invoked(0, deposit),
            Event::Invoked(1, read),
            Event::Returned(1, balances(first)),
            Event::Invoked(1, read),
            Event::Returned(1, balances(second)),
        ]
    };
    assert_eq!(first_contradiction(&meanwhile(60, 65)), None);
    assert_eq!(first_contradiction(&meanwhile(65, 60)), Some(4));
}

#[test]
fn a_payment_that_is_refused_though_there_is_enough_has_no_place_in_any_order() {
    let withdraw = |amount, answer| [Event::Invoked(0, Op::Withdraw(amount)), Event::Returned(0, answer)];
    assert_eq!(first_contradiction(&withdraw(60, Ret::Done)), None);
    assert_eq!(first_contradiction(&withdraw(61, Ret::Refused)), None);
    assert_eq!(first_contradiction(&withdraw(60, Ret::Refused)), Some(1));
    assert_eq!(first_contradiction(&withdraw(61, Ret::Done)), Some(1));
}
