//! Clients that pay and remember: what was acknowledged, what was refused, and what they do not know.
//!
//! Their oracle assumes nothing of an answer that did not come. An acknowledged result has to stand, whatever befell the
//! processes since; an unknown one settles when the same request is sent again.

#![allow(dead_code, unused_imports, reason = "each test takes what it needs")]

mod client;
mod oracle;

use std::sync::Arc;
use std::time::Duration;

use crest_conformance::random::Random;
use crest_proto::border::number_to;
use crest_proto::v1;
use crest_proto::v1::ledger_client::LedgerClient;
use crest_topology::SlotMap;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

pub(crate) use client::{Client, Fate, Sent};
pub(crate) use oracle::{Balances, add, balances, check_everything, check_sums, watch_the_sums};

/// The ledger number of all payments, and another one.
pub(crate) const LEDGER: u32 = 7;
const OTHER_LEDGER: u32 = 8;
/// Accounts of each shard that nothing limits.
const OPEN_ACCOUNTS: usize = 8;
/// What an account with a limit has to begin with.
const FUNDS: u128 = 5_000;

/// The accounts of a test.
#[derive(Debug)]
pub(crate) struct Bank {
    /// By shard: accounts that nothing limits.
    open: Vec<Vec<u128>>,
    /// By shard: one that cannot pay what it does not have.
    limited: Vec<u128>,
    /// An account of another ledger.
    foreign: u128,
    /// An id that no account has.
    missing: u128,
    /// The transfers that gave the limited accounts their funds.
    funding: Vec<v1::Transfer>,
}

/// Two accounts of a payment.
pub(crate) type Pair = (u128, u128);

impl Bank {
    /// Chooses accounts for a cluster of `shards` shards that share the slots evenly.
    pub(crate) fn new(shards: u32, random: &mut Random) -> Self {
        let numbers: Vec<u32> = (0..shards).collect();
        let map = SlotMap::even(&numbers).expect("these shards make a map");
        let mut accounts_of = |shard: u32| {
            std::iter::repeat_with(|| new_id(random))
                .filter(|id| map.shard_of(*id) == shard)
                .take(10)
                .collect::<Vec<_>>()
        };
        let mut chosen: Vec<Vec<u128>> = numbers.iter().map(|shard| accounts_of(*shard)).collect();
        let limited: Vec<u128> = chosen.iter_mut().filter_map(Vec::pop).collect();
        let mut spare: Vec<u128> = chosen.iter_mut().filter_map(Vec::pop).collect();
        chosen.iter_mut().for_each(|accounts| accounts.truncate(OPEN_ACCOUNTS));
        let missing = spare.pop().expect("there is a shard");
        let foreign = spare.pop().unwrap_or_else(|| new_id(random));
        let payers = chosen.iter().rev().map(|accounts| accounts[0]);
        let funding = limited.iter().zip(payers).map(|(to, from)| plain(new_id(random), (from, *to), FUNDS)).collect();
        Self { open: chosen, limited, foreign, missing, funding }
    }

    /// All accounts of the one ledger.
    pub(crate) fn accounts(&self) -> Vec<u128> {
        self.open.iter().flatten().chain(&self.limited).copied().collect()
    }

    /// How many shards it is spread over.
    pub(crate) fn shards(&self) -> usize {
        self.open.len()
    }

    /// The accounts of a shard.
    pub(crate) fn accounts_of(&self, shard: u32) -> impl Iterator<Item = u128> {
        let open = self.open.get(shard as usize).into_iter().flatten();
        open.chain(self.limited.get(shard as usize)).copied()
    }

    /// The accounts that keep a history: one of each shard.
    pub(crate) fn with_history(&self) -> Vec<u128> {
        self.open.iter().map(|accounts| accounts[1]).collect()
    }

    /// Creates the accounts and funds those with a limit.
    pub(crate) async fn open(&self, ledger: &mut LedgerClient<Channel>) {
        let with_history = self.with_history();
        let account = |id: u128, number: u32, limited: bool| v1::Account {
            id: number_to(id),
            ledger: number,
            code: 1,
            flags: Some(v1::AccountFlags {
                debits_must_not_exceed_credits: limited,
                history: with_history.contains(&id),
                ..Default::default()
            }),
            ..Default::default()
        };
        let mut accounts: Vec<_> = self.open.iter().flatten().map(|id| account(*id, LEDGER, false)).collect();
        accounts.extend(self.limited.iter().map(|id| account(*id, LEDGER, true)));
        accounts.push(account(self.foreign, OTHER_LEDGER, false));
        let answer = ledger.create_accounts(v1::CreateAccountsRequest { accounts }).await.expect("accounts");
        let created = |r: &v1::CreateAccountResult| r.status() == v1::CreateAccountStatus::Created;
        assert!(answer.into_inner().results.iter().all(created));
        let request = v1::CreateTransfersRequest { transfers: self.funding.clone(), independent: false };
        let answer = ledger.create_transfers(request).await.expect("funds");
        let created = |r: &v1::CreateTransferResult| r.status() == v1::CreateTransferStatus::Created;
        assert!(answer.into_inner().results.iter().all(created));
    }

    /// Three pairs of four are on different shards, when there are two.
    fn pair(&self, random: &mut Random) -> Pair {
        let shards = self.open.len() as u64;
        let from = random.below(shards) as usize;
        let other = (from + 1 + random.below(shards - 1) as usize) % self.open.len();
        let to = if random.chance(75) { other } else { from };
        let (debit, credit) = (pick(&self.open[from], random), pick(&self.open[to], random));
        match random.below(100) {
            0..=9 => (self.limited[from], credit),
            10..=13 => (debit, self.limited[to]),
            14..=15 => (debit, self.missing),
            16..=17 => (self.missing, credit),
            18 => (debit, self.foreign),
            _ if debit == credit => (debit, self.limited[to]),
            _ => (debit, credit),
        }
    }

    /// An account with a limit, and one on another shard.
    fn balanced_pair(&self, random: &mut Random) -> Pair {
        let from = random.below(self.limited.len() as u64) as usize;
        let to = (from + 1 + random.below(self.open.len() as u64 - 1) as usize) % self.open.len();
        (self.limited[from], pick(&self.open[to], random))
    }

    fn open_pair(&self, random: &mut Random) -> Pair {
        let (from, to) = (random.below(self.open.len() as u64) as usize, random.below(self.open.len() as u64) as usize);
        // Of one half to the other, so that they always differ.
        let (payers, payees) = (&self.open[from][..OPEN_ACCOUNTS / 2], &self.open[to][OPEN_ACCOUNTS / 2..]);
        (pick(payers, random), pick(payees, random))
    }
}

fn pick(accounts: &[u128], random: &mut Random) -> u128 {
    random.pick(accounts).expect("every shard has accounts")
}

/// A new id: never 0, never 2^128 − 1.
pub(crate) fn new_id(random: &mut Random) -> u128 {
    u128::from(random.number()) << 64 | u128::from(random.number() >> 1 | 1)
}

/// A payment.
pub(crate) fn plain(id: u128, (debit, credit): Pair, amount: u128) -> v1::Transfer {
    v1::Transfer {
        id: number_to(id),
        debit_account_id: number_to(debit),
        credit_account_id: number_to(credit),
        amount: number_to(amount),
        ledger: LEDGER,
        code: 1,
        ..Default::default()
    }
}

/// Clients at work, until they are told to stop.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    settled: watch::Receiver<u64>,
    clients: Vec<JoinHandle<Client>>,
}

impl Load {
    /// Sets the clients to work, in turn on each of the `routers`.
    pub(crate) fn start(clients: Vec<Client>, routers: &[LedgerClient<Channel>]) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (settle, settled) = watch::channel(0);
        let settle = Arc::new(settle);
        let work = |(n, mut client): (usize, Client)| {
            let (router, stopped, settle) = (routers[n % routers.len()].clone(), stopped.clone(), settle.clone());
            tokio::spawn(async move {
                client.work(router, &stopped, &settle).await;
                client
            })
        };
        let clients = clients.into_iter().enumerate().map(work).collect();
        Self { stop, settled, clients }
    }

    /// How many events have their answers.
    pub(crate) fn answered(&self) -> u64 {
        *self.settled.borrow()
    }

    /// Waits until `count` more events have their answers.
    ///
    /// # Panics
    /// When they do not come in time.
    pub(crate) async fn answers(&self, count: u64) {
        let mut settled = self.settled.clone();
        let target = *settled.borrow() + count;
        let waited = tokio::time::timeout(Duration::from_secs(40), settled.wait_for(|n| *n >= target)).await;
        assert!(waited.is_ok_and(|n| n.is_ok()), "{count} more answers do not come");
    }

    /// Tells the clients to send no more.
    pub(crate) fn send_no_more(&self) {
        let _ = self.stop.send(true);
    }

    /// Tells the clients to send no more, and waits for those that wait for an answer.
    pub(crate) async fn stop(self) -> Vec<Client> {
        self.send_no_more();
        let mut clients = Vec::new();
        for client in self.clients {
            clients.push(client.await.expect("a client does not panic"));
        }
        clients
    }
}

/// Has every client settle what it does not know, on each of the `routers` in turn.
pub(crate) async fn settle(clients: Vec<Client>, routers: &[LedgerClient<Channel>]) -> Vec<Client> {
    let work = |(n, mut client): (usize, Client)| {
        let router = routers[n % routers.len()].clone();
        tokio::spawn(async move {
            client.settle(router).await;
            client
        })
    };
    let tasks: Vec<_> = clients.into_iter().enumerate().map(work).collect();
    let mut settled = Vec::new();
    for task in tasks {
        settled.push(task.await.expect("a client does not panic"));
    }
    settled
}
