//! A cluster of real processes to which things happen: they are killed, held still and started again at any moment and at
//! named points, while clients pay; and then everything has to be as the clients know it.

#![allow(dead_code, reason = "each test takes what it needs")]
#![allow(unused_imports, reason = "each test takes what it needs")]

mod acts;
mod blow;
mod cluster;
mod plan;
mod tally;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crest_conformance::random::Random;
use crest_proto::border::number_to;
use crest_proto::v1;
use tokio::sync::watch;

use crate::payments::{Bank, Client, Load, check_everything, settle, watch_the_sums};
use crate::processes::{Layout, is_quiet, status_until};
pub(crate) use acts::Act;
pub(crate) use blow::{Blow, ELECTED};
pub(crate) use cluster::{Cluster, Who, at_points};
pub(crate) use plan::{Befalls, Plan, names_of};
pub(crate) use tally::Tally;

/// Routers in front of the nodes.
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
    pub(crate) async fn start(layout: Layout, seed: u64, tally: Arc<Tally>) -> Self {
        let cluster = tokio::task::block_in_place(|| Cluster::start_with(layout, ROUTERS, |_| String::new()));
        Self::on(cluster, seed, tally).await
    }

    /// Begins on a cluster that was started just now.
    pub(crate) async fn on(cluster: Cluster, seed: u64, tally: Arc<Tally>) -> Self {
        let (mut random, begun) = (Random::new(seed), Instant::now());
        let bank = Arc::new(Bank::new(cluster.files.layout.shards() as u32, &mut random));
        let clients = (0..CLIENTS).map(|_| Client::new(random.number(), bank.clone())).collect();
        cluster.until_whole().await;
        bank.open(&mut cluster.ways()[0]).await;
        Self { random, begun, cluster, bank, clients, tally }
    }

    /// Plays one round: has the clients pay, lets happen what is planned, and checks everything when all are back.
    ///
    /// # Panics
    /// When something is not as it has to be.
    pub(crate) async fn round(&mut self, number: u64) {
        let layout = self.cluster.files.layout;
        let (nodes, random) = (layout.nodes(), &mut self.random);
        let blow = match layout {
            Layout::Alone(_) => Blow::Processes(Plan::new(nodes, ROUTERS, &self.tally, random)),
            Layout::Replicated { shards, .. } => Blow::choose(number, nodes, shards, &self.tally, random),
        };
        let (what, tally) = (format!("round {number}: {blow}"), self.tally.clone());
        let first = 100 + self.random.below(1_000);
        self.strike(&what, async |cluster, load| {
            load.answers(first).await;
            blow.play(cluster, &tally).await;
        })
        .await;
    }

    /// Has the clients pay while something happens, and checks everything when it is over.
    ///
    /// # Panics
    /// When something is not as it has to be.
    pub(crate) async fn strike<T>(&mut self, what: &str, happens: impl AsyncFnOnce(&mut Cluster, &Load) -> T) -> T {
        self.say(what);
        let ways = self.cluster.ways();
        let (stop, stopped) = watch::channel(false);
        let (reader_of, way) = (self.bank.clone(), ways[self.random.below(ways.len() as u64) as usize].clone());
        let reader = tokio::spawn(async move { watch_the_sums(&reader_of, way, stopped).await });
        let load = Load::start(std::mem::take(&mut self.clients), &ways);
        let come_of_it = happens(&mut self.cluster, &load).await;
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
        self.say(&format!(
            "{} kills so far; {events} events sent, {unknown} requests were unknown, quiet after {:.1} s, {reads} reads of all \
             accounts",
            self.tally.kills(),
            quiet.as_secs_f64(),
        ));
        come_of_it
    }

    fn say(&self, what: &str) {
        println!("{:6.1} s: {what}", self.begun.elapsed().as_secs_f64());
    }

    /// How long it took after `since` until payments of a shard were answered that were sent later.
    pub(crate) fn continued(&self, shard: u32, since: Instant) -> Option<Duration> {
        let accounts: Vec<_> = self.bank.accounts_of(shard).map(number_to).collect();
        let sent = self.clients.iter().flat_map(|client| &client.sent);
        let of_shard = sent.filter(|sent| {
            let of = |id: &Option<v1::Uint128>| accounts.contains(id);
            of(&sent.transfer.debit_account_id) || of(&sent.transfer.credit_account_id)
        });
        of_shard.filter(|sent| sent.sent >= Some(since)).filter_map(|sent| sent.answered).min().map(|at| at - since)
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
