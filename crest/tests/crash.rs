//! Processes die with `kill -9` while payments flow: nothing that was acknowledged is lost, nothing moves twice, and what
//! was left half-way ends by itself.
//!
//! `CREST_SEED` repeats a run's choices, `CREST_CRASH_ROUNDS` makes it longer.

mod payments;
mod processes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crest_conformance::random::Random;
use payments::{Bank, Client, Load, check_everything, settle, watch_the_sums};
use processes::{ClusterFiles, Server, folder, free_addresses, is_quiet, status_until};
use tokio::sync::watch;

/// Clients at work at a time.
const CLIENTS: usize = 24;
/// How long what is in doubt may take to end by itself once everybody is back: 5 s, and some for the machine.
const QUIET: Duration = Duration::from_secs(10);

/// The seed of a run, printed with the command that repeats it.
fn seed(test: &str) -> u64 {
    let from_clock = || std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64 % 1_000_000_000);
    let seed = std::env::var("CREST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(from_clock);
    println!("repeat with: CREST_SEED={seed} cargo test -p crest --test crash {test} -- --nocapture");
    seed
}

fn rounds(default: u64) -> u64 {
    std::env::var("CREST_CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn clients(bank: &Arc<Bank>, random: &mut Random) -> Vec<Client> {
    (0..CLIENTS).map(|_| Client::new(random.number(), bank.clone())).collect()
}

fn say(begun: Instant, clients: &[Client], what: &str) {
    let events: usize = clients.iter().map(|client| client.sent.len()).sum();
    let unknown: usize = clients.iter().map(Client::unknown).sum();
    println!("{:5.1} s: {events} events sent, {unknown} requests unknown: {what}", begun.elapsed().as_secs_f64());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_loses_and_makes_no_money() {
    let mut random = Random::new(seed("a_killed_process_loses_and_makes_no_money"));
    let begun = Instant::now();
    let data = folder();
    let bank = Arc::new(Bank::new(4, &mut random));
    let mut clients = clients(&bank, &mut random);
    let mut server = Server::dev(4, data.path());
    bank.open(&mut server.ledger()).await;
    for round in 0..rounds(6) {
        let (stop, stopped) = watch::channel(false);
        let (reader_of, router) = (bank.clone(), server.ledger());
        let reader = tokio::spawn(async move { watch_the_sums(&reader_of, router, stopped).await });
        let load = Load::start(clients, &[server.ledger()]);
        load.answers(100 + random.below(10_000)).await;
        server.kill();
        clients = load.stop().await;
        let _ = stop.send(true);
        let reads = reader.await.expect("the sums were right");
        say(begun, &clients, &format!("round {round}: killed after {reads} reads of all accounts"));
        assert!(clients.iter().any(|client| client.unknown() > 0), "nothing was under way when the process died");
        server = Server::dev(4, data.path());
    }
    let took = status_until(&mut server.operations(), QUIET, "what is in doubt ends by itself", is_quiet).await;
    say(begun, &clients, &format!("quiet {:.1} s after the last start", took.as_secs_f64()));
    let clients = settle(clients, &[server.ledger()]).await;
    status_until(&mut server.operations(), QUIET, "the retries end", is_quiet).await;
    check_everything(&bank, &clients, &mut server.ledger(), &mut server.operations()).await;
    say(begun, &clients, "all is as the clients know it");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_and_a_killed_router_leave_nothing_in_doubt() {
    let mut random = Random::new(seed("a_killed_node_and_a_killed_router_leave_nothing_in_doubt"));
    let begun = Instant::now();
    let files = ClusterFiles::new(3);
    let bank = Arc::new(Bank::new(3, &mut random));
    let mut clients = clients(&bank, &mut random);
    let mut nodes: Vec<Server> = (0..3).map(|shard| files.node(shard)).collect();
    let fronts = free_addresses(2);
    let mut killed_router = files.router(fronts[0]);
    let router = files.router(fronts[1]);
    let ways = [killed_router.ledger(), router.ledger()];
    bank.open(&mut router.ledger()).await;
    for round in 0..rounds(4) {
        let (stop, stopped) = watch::channel(false);
        let (reader_of, way) = (bank.clone(), router.ledger());
        let reader = tokio::spawn(async move { watch_the_sums(&reader_of, way, stopped).await });
        let load = Load::start(clients, &ways);
        load.answers(100 + random.below(3_000)).await;
        let shard = random.below(3) as usize;
        nodes.remove(shard).kill();
        nodes.insert(shard, files.node(shard));
        load.answers(100 + random.below(3_000)).await;
        killed_router.kill();
        clients = load.stop().await;
        say(begun, &clients, &format!("round {round}: node {shard} was killed, and then a router"));
        // Nobody sends anything now: the shards end what the router left, by themselves.
        let took = status_until(&mut router.operations(), QUIET, "what is in doubt ends by itself", is_quiet).await;
        let _ = stop.send(true);
        let reads = reader.await.expect("the sums were right");
        say(begun, &clients, &format!("quiet after {:.1} s, {reads} reads of all accounts", took.as_secs_f64()));
        killed_router = files.router(fronts[0]);
    }
    let clients = settle(clients, &ways).await;
    status_until(&mut router.operations(), QUIET, "the retries end", is_quiet).await;
    check_everything(&bank, &clients, &mut router.ledger(), &mut router.operations()).await;
    say(begun, &clients, "all is as the clients know it");
    killed_router.stop();
    router.stop();
    nodes.into_iter().for_each(Server::stop);
}
