//! A cluster of real processes to which things happen: they are killed, held still and started again at any moment and at
//! named points, while clients pay; and then everything has to be as the clients know it.

#![allow(dead_code, reason = "each test takes what it needs")]
#![allow(unused_imports, reason = "each test takes what it needs")]

mod acts;
mod cluster;
mod plan;
mod tally;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crest_conformance::random::Random;
use tokio::sync::watch;

use crate::payments::{Bank, Client, Load, check_everything, settle, watch_the_sums};
use crate::processes::{is_quiet, status_until};
pub(crate) use acts::Act;
pub(crate) use cluster::{Cluster, Who, at_points};
pub(crate) use plan::{Befalls, Plan, names_of};
pub(crate) use tally::Tally;

/// Shards, and routers in front of them.
const SHARDS: usize = 4;
const ROUTERS: usize = 2;
/// Clients at work at a time.
const CLIENTS: usize = 16;
/// How long what is in doubt may take to end by itself once everybody is back: 5 s, and some for the machine.
pub(crate) const QUIET: Duration = Duration::from_secs(10);

/// A cluster with its clients, on which rounds are played.
pub(crate) struct Game {
    random: Random,
    begun: Instant,
    cluster: Cluster,
    bank: Arc<Bank>,
    clients: Vec<Client>,
    tally: Arc<Tally>,
}

impl Game {
    /// Starts a cluster; all choices follow from `seed`.
    pub(crate) async fn start(seed: u64, tally: Arc<Tally>) -> Self {
        let mut random = Random::new(seed);
        let bank = Arc::new(Bank::new(SHARDS as u32, &mut random));
        let clients = (0..CLIENTS).map(|_| Client::new(random.number(), bank.clone())).collect();
        let begun = Instant::now();
        let cluster = tokio::task::block_in_place(|| Cluster::start(SHARDS, ROUTERS, ""));
        bank.open(&mut cluster.ways()[0]).await;
        Self { random, begun, cluster, bank, clients, tally }
    }

    /// Plays one round: has the clients pay, lets happen what is planned, and checks everything when all are back.
    ///
    /// # Panics
    /// When something is not as it has to be.
    pub(crate) async fn round(&mut self, number: u64) {
        let plan = Plan::new(SHARDS, ROUTERS, &self.tally, &mut self.random);
        println!("{:6.1} s: round {number}: {plan}", self.begun.elapsed().as_secs_f64());
        let ways = self.cluster.ways();
        let (stop, stopped) = watch::channel(false);
        let (reader_of, way) = (self.bank.clone(), ways[number as usize % ways.len()].clone());
        let reader = tokio::spawn(async move { watch_the_sums(&reader_of, way, stopped).await });
        let load = Load::start(std::mem::take(&mut self.clients), &ways);
        self.cluster.suffer(plan, &self.tally).await;
        load.answers(100).await;
        let clients = load.stop().await;
        let events: usize = clients.iter().map(|client| client.sent.len()).sum();
        let unknown: usize = clients.iter().map(Client::unknown).sum();
        let quiet = self.is_quiet().await;
        let _ = stop.send(true);
        let reads = reader.await;
        self.clients = settle(clients, &ways).await;
        self.is_quiet().await;
        check_everything(&self.bank, &self.clients, &mut ways[0].clone(), &mut self.cluster.operations()).await;
        // Only now, so that a wrong read is not taken for a wrong ledger.
        let reads = reads.expect("the sums were right");
        self.tally.quiet(quiet);
        println!(
            "{:6.1} s: {} kills so far; {events} events sent, {unknown} requests were unknown, quiet after {:.1} s, {reads} \
             reads of all accounts",
            self.begun.elapsed().as_secs_f64(),
            self.tally.kills(),
            quiet.as_secs_f64(),
        );
    }

    /// Waits until nothing is in doubt, with nobody's help.
    async fn is_quiet(&self) -> Duration {
        status_until(&mut self.cluster.operations(), QUIET, "what is in doubt ends by itself", is_quiet).await
    }

    /// Ends the processes in good order.
    pub(crate) fn stop(self) {
        self.cluster.stop();
    }
}
