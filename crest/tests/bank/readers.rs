//! Readers of a bank: all accounts at one instant, again and again, and lists up to such an instant. They check what can be
//! seen at once; what they note is compared with the transfers themselves afterwards (see `order`).

use std::sync::Arc;
use std::time::Instant;

use crest_conformance::random::Random;
use crest_proto::border::{ids_to, number_from, number_to};
use crest_proto::v1;
use crest_proto::v1::ledger_client::LedgerClient;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use super::payments::{Balances, Bank, LEDGER, balances, check_sums};

/// Rows of a list.
const ROWS: u32 = 40;
/// Reads of each reader whose balances are all kept; of the later ones, each sixteenth. That bounds the memory of a long run.
const KEPT: usize = 2_000;

/// A read of all accounts.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    /// The instant that the answer says it is of, ns.
    pub(crate) at: u64,
    /// In the order of [`Bank::accounts`]; empty when they were not kept.
    pub(crate) balances: Vec<Balances>,
}

/// A list, newest first, up to the instant of an earlier read.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) at: u64,
    /// Whose; `None` for all transfers.
    pub(crate) account: Option<u128>,
    pub(crate) rows: Rows,
    /// Whether the answer says that nothing follows.
    pub(crate) is_all: bool,
}

/// What a list holds.
#[derive(Clone, Debug)]
pub(crate) enum Rows {
    /// Timestamps and ids.
    Transfers(Vec<(u64, u128)>),
    /// Timestamps, and the balances right after.
    Balances(Vec<(u64, Balances)>),
}

/// What readers saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) readings: Vec<Reading>,
    pub(crate) listings: Vec<Listing>,
    /// Reads without an instant in their answers, whose sums alone were checked.
    pub(crate) queries: usize,
}

/// Readers at work, until they are told to stop.
pub(crate) struct Readers {
    stop: watch::Sender<bool>,
    readers: Vec<JoinHandle<Seen>>,
}

impl Readers {
    /// Sets `count` readers to work, each through both routers in turn.
    pub(crate) fn start(
        count: usize,
        bank: &Arc<Bank>,
        ways: &[LedgerClient<Channel>; 2],
        random: &mut Random,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let start = |n: usize| {
            let mut reader = Reader {
                random: Random::new(random.number()),
                bank: bank.clone(),
                ways: ways.clone(),
                seen: Seen::default(),
            };
            let stopped = stopped.clone();
            tokio::spawn(async move {
                reader.work(n, &stopped).await;
                reader.seen
            })
        };
        let readers = (0..count).map(start).collect();
        Self { stop, readers }
    }

    /// Stops them.
    ///
    /// # Panics
    /// When one of them saw what must not be seen.
    pub(crate) async fn stop(self) -> Seen {
        let _ = self.stop.send(true);
        let mut all = Seen::default();
        for reader in self.readers {
            let seen = reader.await.expect("a reader saw what has to be");
            all.readings.extend(seen.readings);
            all.listings.extend(seen.listings);
            all.queries += seen.queries;
        }
        all
    }
}

struct Reader {
    random: Random,
    bank: Arc<Bank>,
    ways: [LedgerClient<Channel>; 2],
    seen: Seen,
}

impl Reader {
    async fn work(&mut self, first: usize, stopped: &watch::Receiver<bool>) {
        let mut turn = first;
        let mut before = None;
        while !*stopped.borrow() {
            let reading = self.read(turn % 2).await;
            if let Some(before) = &before {
                check_forward(before, &reading);
            }
            let keep = self.seen.readings.len() < KEPT || turn.is_multiple_of(16);
            let kept = if keep { reading.balances.clone() } else { Vec::new() };
            self.seen.readings.push(Reading { balances: kept, ..reading });
            // The next one goes through the other router, and so do the lists.
            turn += 1;
            match self.random.below(12) {
                0 => self.list_transfers(turn % 2, reading.at).await,
                1 => self.list_account(turn % 2, reading.at).await,
                2 => self.list_balances(turn % 2, reading.at).await,
                3 => self.query_accounts(turn % 2).await,
                _ => {}
            }
            before = Some(reading);
        }
    }

    async fn read(&mut self, way: usize) -> Reading {
        let ids = self.bank.accounts();
        let begun = Instant::now();
        let request = v1::LookupAccountsRequest { ids: ids_to(&ids), read: None };
        let answer = self.ways[way].lookup_accounts(request).await.expect("a read of all accounts").into_inner();
        let ended = Instant::now();
        assert_eq!(answer.accounts.len(), ids.len(), "every account is there");
        check_sums(&answer.accounts);
        Reading { begun, ended, at: answer.timestamp, balances: answer.accounts.iter().map(balances).collect() }
    }

    async fn list_transfers(&mut self, way: usize, at: u64) {
        let order = v1::Order::NewestFirst.into();
        let filter = v1::QueryFilter { timestamp_max: at, order, limit: ROWS, ..Default::default() };
        let request = v1::QueryTransfersRequest { filter: Some(filter) };
        let page = self.ways[way].query_transfers(request).await.expect("a page of transfers").into_inner();
        let rows = Rows::Transfers(page.transfers.iter().map(|t| (t.timestamp, number_from(t.id))).collect());
        self.seen.listings.push(Listing { at, account: None, rows, is_all: page.next_cursor.is_empty() });
    }

    async fn list_account(&mut self, way: usize, at: u64) {
        let account = self.random.pick(&self.bank.accounts()).expect("a bank has accounts");
        let request = v1::GetAccountTransfersRequest { filter: Some(newest_of(account, at)) };
        let page = self.ways[way].get_account_transfers(request).await.expect("a page of transfers").into_inner();
        let rows = Rows::Transfers(page.transfers.iter().map(|t| (t.timestamp, number_from(t.id))).collect());
        self.seen.listings.push(Listing { at, account: Some(account), rows, is_all: page.next_cursor.is_empty() });
    }

    async fn list_balances(&mut self, way: usize, at: u64) {
        let account = self.random.pick(&self.bank.with_history()).expect("a bank has accounts that keep a history");
        let request = v1::GetAccountBalancesRequest { filter: Some(newest_of(account, at)) };
        let page = self.ways[way].get_account_balances(request).await.expect("a page of balances").into_inner();
        let row = |b: &v1::AccountBalance| {
            let sums = [b.debits_pending, b.debits_posted, b.credits_pending, b.credits_posted].map(number_from);
            (b.timestamp, sums)
        };
        let rows = Rows::Balances(page.balances.iter().map(row).collect());
        self.seen.listings.push(Listing { at, account: Some(account), rows, is_all: page.next_cursor.is_empty() });
    }

    /// A page of all accounts is a read over all shards, too.
    async fn query_accounts(&mut self, way: usize) {
        let filter = v1::QueryFilter { limit: 1_000, ledger: LEDGER, ..Default::default() };
        let request = v1::QueryAccountsRequest { filter: Some(filter) };
        let page = self.ways[way].query_accounts(request).await.expect("a page of accounts").into_inner();
        assert_eq!(page.accounts.len(), self.bank.accounts().len(), "every account is there");
        check_sums(&page.accounts);
        self.seen.queries += 1;
    }
}

fn newest_of(account: u128, at: u64) -> v1::AccountFilter {
    let order = v1::Order::NewestFirst.into();
    v1::AccountFilter { account_id: number_to(account), timestamp_max: at, order, limit: ROWS, ..Default::default() }
}

/// What one reader saw is not taken back later, whichever router answers.
fn check_forward(before: &Reading, after: &Reading) {
    assert!(after.at >= before.at, "a read at {} was followed by one at {}", before.at, after.at);
    for (was, is) in before.balances.iter().zip(&after.balances) {
        assert!(is[1] >= was[1] && is[3] >= was[3], "what was posted was taken back: {was:?}, then {is:?}");
    }
}
