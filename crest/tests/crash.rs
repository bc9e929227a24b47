//! Processes die with `kill -9` while payments flow: nothing that was acknowledged is lost, nothing moves twice, and what
//! was left half-way ends by itself.
//!
//! `CREST_SEED` repeats a run's choices, and `CREST_CRASH_ROUNDS` makes the first two tests longer. The last one goes on until
//! `CREST_CRASH_KILLS` processes were killed, or until `CREST_CRASH_MINUTES` are over (`make crash-soak`); `CREST_TALLY` names
//! a file that counts what happened, over several runs. `CREST_KEEP=1` keeps the folder of a cluster that failed.

mod kills;
mod payments;
mod processes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crest_conformance::random::Random;
use crest_ledger::limits::HOLD_DEADLINE_NS;
use crest_proto::v1;
use kills::{Game, Tally};
use payments::{Bank, Client, Load, check_everything, settle, watch_the_sums};
use processes::{ClusterFiles, Layout, Server, folder, free_addresses, is_quiet, status_until};
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
    for round in 0..rounds(4) {
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

/// What befalls the processes of a cluster, after one of its nodes was killed and started again.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// A router dies with much under way.
    KilledRouter,
    /// A router hangs until the shards have ended what it began; then its messages come, too late.
    PausedRouter,
    /// A node hangs until others are past the deadline of what it has to decide.
    PausedNode,
}

const FAULTS: [Fault; 3] = [Fault::KilledRouter, Fault::PausedRouter, Fault::PausedNode];

/// Some shard has a hold past the deadline at which it asks the decider, and the decider did not answer.
fn is_overdue(status: &v1::StatusResponse) -> bool {
    status.shards.iter().any(|s| s.hold_age_ms_max > HOLD_DEADLINE_NS / 1_000_000 + 500)
}

/// Three nodes and two routers. The second router is left alone, so that there is somebody to ask.
struct Cluster {
    files: ClusterFiles,
    nodes: Vec<Server>,
    front: SocketAddr,
    router: Server,
    other: Server,
}

impl Cluster {
    fn start() -> Self {
        let files = ClusterFiles::new(3);
        let nodes = (0..3).map(|shard| files.node(shard)).collect();
        let fronts = free_addresses(2);
        let (router, other) = (files.router(fronts[0]), files.router(fronts[1]));
        Self { files, nodes, front: fronts[0], router, other }
    }

    /// Waits until nothing is in doubt, with nobody's help.
    async fn is_quiet(&self) -> Duration {
        status_until(&mut self.other.operations(), QUIET, "what is in doubt ends by itself", is_quiet).await
    }

    /// Does what the fault says while the clients are at work; gives them back when they have stopped.
    async fn suffer(&mut self, fault: Fault, shard: usize, load: Load) -> Vec<Client> {
        match fault {
            Fault::KilledRouter => {
                self.router.kill();
                let clients = load.stop().await;
                self.is_quiet().await;
                self.router = self.files.router(self.front);
                clients
            }
            Fault::PausedRouter => {
                self.router.pause();
                load.send_no_more();
                self.is_quiet().await;
                self.router.resume();
                load.stop().await
            }
            Fault::PausedNode => {
                self.nodes[shard].pause();
                status_until(&mut self.other.operations(), QUIET, "a hold is past its deadline", is_overdue).await;
                self.nodes[shard].resume();
                load.answers(100).await;
                load.stop().await
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_or_a_router_that_dies_or_hangs_leaves_nothing_in_doubt() {
    let mut random = Random::new(seed("a_node_or_a_router_that_dies_or_hangs_leaves_nothing_in_doubt"));
    let begun = Instant::now();
    let bank = Arc::new(Bank::new(3, &mut random));
    let mut clients = clients(&bank, &mut random);
    let mut cluster = Cluster::start();
    let ways = [cluster.router.ledger(), cluster.other.ledger()];
    bank.open(&mut cluster.other.ledger()).await;
    for round in 0..rounds(3) {
        let fault = FAULTS[round as usize % FAULTS.len()];
        let (stop, stopped) = watch::channel(false);
        let (reader_of, way) = (bank.clone(), cluster.other.ledger());
        let reader = tokio::spawn(async move { watch_the_sums(&reader_of, way, stopped).await });
        let load = Load::start(clients, &ways);
        load.answers(100 + random.below(2_000)).await;
        let shard = random.below(3) as usize;
        cluster.nodes[shard].kill();
        cluster.nodes[shard] = cluster.files.node(shard);
        load.answers(100 + random.below(2_000)).await;
        clients = cluster.suffer(fault, random.below(3) as usize, load).await;
        say(begun, &clients, &format!("round {round}: node {shard} was killed, and then: {fault:?}"));
        let took = cluster.is_quiet().await;
        let _ = stop.send(true);
        let reads = reader.await.expect("the sums were right");
        say(begun, &clients, &format!("quiet after {:.1} s, {reads} reads of all accounts", took.as_secs_f64()));
    }
    let clients = settle(clients, &ways).await;
    cluster.is_quiet().await;
    check_everything(&bank, &clients, &mut cluster.other.ledger(), &mut cluster.other.operations()).await;
    say(begun, &clients, "all is as the clients know it");
    cluster.router.stop();
    cluster.other.stop();
    cluster.nodes.into_iter().for_each(Server::stop);
}

/// Rounds on one cluster; then a new one begins, since every round looks at everything that was ever paid on it.
const ROUNDS_A_CLUSTER: u64 = 12;
/// Kills when nothing else is asked for.
const KILLS: u64 = 25;

fn number_of(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_dies_or_hangs_no_money_is_lost_and_nothing_stays_in_doubt() {
    let test = "whatever_dies_or_hangs_no_money_is_lost_and_nothing_stays_in_doubt";
    play(test, Layout::Alone(4), KILLS).await;
}

/// Kills of the rounds with replicas when nothing else is asked for: all kinds of blows once, and some more.
const KILLS_REPLICATED: u64 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_befalls_a_replicated_cluster_no_money_is_lost_and_it_becomes_whole() {
    let test = "whatever_befalls_a_replicated_cluster_no_money_is_lost_and_it_becomes_whole";
    play(test, Layout::Replicated { nodes: 3, shards: 4 }, KILLS_REPLICATED).await;
}

/// Plays rounds, on one cluster after the other, until enough processes were killed.
async fn play(test: &str, layout: Layout, kills: u64) {
    let minutes = number_of("CREST_CRASH_MINUTES");
    let kills = number_of("CREST_CRASH_KILLS").unwrap_or(if minutes.is_some() { u64::MAX } else { kills });
    let tally = Arc::new(Tally::of_all_runs());
    let begun = Instant::now();
    let done = || tally.kills() >= kills || minutes.is_some_and(|n| begun.elapsed() > Duration::from_secs(60 * n));
    let mut seed = seed(test);
    while !done() {
        let mut game = Game::start(layout, seed, tally.clone()).await;
        for round in 0..ROUNDS_A_CLUSTER {
            if !done() {
                game.round(round).await;
            }
        }
        game.stop();
        // Each cluster's choices follow from a seed of its own, so that one alone can be repeated.
        seed = Random::new(seed).number() % 1_000_000_000;
        println!("the next cluster: CREST_SEED={seed}");
    }
    println!("{tally}");
}
