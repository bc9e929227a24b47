//! Histories of single accounts: what several threads did to one account through both routers, and what they were answered,
//! in the order of real time. An existing checker looks for an order that explains them.
//!
//! An answer that does not come means nothing: the operation stays open, and may take effect at any time or never.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crest_conformance::random::Random;
use crest_proto::border::{ids_to, number_from, number_to};
use crest_proto::v1;
use crest_proto::v1::CreateTransferStatus as Status;
use crest_proto::v1::ledger_client::LedgerClient;
use crest_topology::SlotMap;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester};
use tonic::transport::Channel;

use super::account::{Account, Op, Ret};
use super::payments::{Balances, LEDGER, balances, new_id, plain};

/// Threads of a history, and operations of each. The checker's work grows exponentially with what is under way at a time.
const THREADS: usize = 3;
const OPS: usize = 9;
/// What an account begins with: enough for some payments, not for all.
const FUNDS: u128 = 60;
/// Accounts on each shard that pay the others and are paid.
const OTHERS: usize = 4;
/// The pause after a request that nobody answered.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a request is sent again before the test gives up: longer than any node or router is away.
const ANSWERED: Duration = Duration::from_secs(60);

/// An operation's beginning or end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Invoked(usize, Op),
    Returned(usize, Ret),
}

/// What was noted, in the order of real time.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Vec<Event>>);

impl History {
    fn note(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The first event at which no order explains a history any more, if there is one.
pub(crate) fn first_contradiction(events: &[Event]) -> Option<usize> {
    let mut tester = LinearizabilityTester::new(Account::with(FUNDS));
    for (n, event) in events.iter().enumerate() {
        let noted = match *event {
            Event::Invoked(thread, op) => tester.on_invoke(thread, op).map(|_| ()),
            Event::Returned(thread, ret) => tester.on_return(thread, ret).map(|_| ()),
        };
        noted.expect("a thread does one thing after the other");
        if matches!(event, Event::Returned(..)) && !tester.is_consistent() {
            return Some(n);
        }
    }
    None
}

/// The accounts that histories need besides their own: nothing limits them.
#[derive(Debug)]
pub(crate) struct Others {
    map: SlotMap,
    by_shard: Vec<Vec<u128>>,
}

impl Others {
    /// Creates them.
    pub(crate) async fn open(shards: u32, way: &mut LedgerClient<Channel>, random: &mut Random) -> Self {
        let map = SlotMap::even(&(0..shards).collect::<Vec<_>>()).expect("these shards make a map");
        let mut by_shard = vec![Vec::new(); shards as usize];
        while by_shard.iter().any(|ids| ids.len() < OTHERS) {
            let id = new_id(random);
            by_shard[map.shard_of(id) as usize].push(id);
        }
        let accounts: Vec<_> = by_shard.iter().flatten().map(|id| account(*id, v1::AccountFlags::default())).collect();
        create(way, accounts).await;
        Self { map, by_shard }
    }

    /// One on another shard than `account` in two of three cases, when there are others.
    fn pick(&self, account: u128, random: &mut Random) -> u128 {
        let home = self.map.shard_of(account) as usize;
        let away = (home + 1 + random.below(self.by_shard.len() as u64 - 1) as usize) % self.by_shard.len();
        let shard = if random.chance(67) { away } else { home };
        random.pick(&self.by_shard[shard]).expect("every shard has accounts")
    }
}

/// What was played.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Played {
    pub(crate) histories: usize,
    pub(crate) operations: usize,
    /// Payments that were refused: there was not enough.
    pub(crate) refused: usize,
    /// Operations whose outcome nobody knows.
    pub(crate) unknown: usize,
}

/// Plays `count` histories at a time, each on an account of its own, and checks them. Threads that have no answer by `until`
/// give up.
///
/// # Panics
/// When a history has no order that explains it; with the history.
pub(crate) async fn play(
    count: usize,
    others: &Arc<Others>,
    ways: &[LedgerClient<Channel>; 2],
    random: &mut Random,
    until: Instant,
) -> Played {
    let ids: Vec<u128> = (0..count).map(|_| new_id(random)).collect();
    let flags = v1::AccountFlags { debits_must_not_exceed_credits: true, history: true, ..Default::default() };
    create(&mut ways[0].clone(), ids.iter().map(|id| account(*id, flags)).collect()).await;
    let fund = |id: &u128| plain(new_id(random), (others.pick(*id, random), *id), FUNDS);
    pay(&mut ways[0].clone(), ids.iter().map(fund).collect()).await;
    let mut histories = Vec::new();
    for id in ids {
        let history = Arc::new(History::default());
        let thread = |n: usize| {
            let (history, others, ways) = (history.clone(), others.clone(), ways.clone());
            let mut thread =
                Thread { id: n, account: id, others, ways, random: Random::new(random.number()), history, until };
            tokio::spawn(async move { thread.work().await })
        };
        let threads: Vec<_> = (0..THREADS).map(thread).collect();
        histories.push((id, history, threads));
    }
    let mut played = Played { histories: count, ..Played::default() };
    for (id, history, threads) in histories {
        for thread in threads {
            thread.await.expect("a thread gets answers that tell it what to do");
        }
        let events = history.events();
        let invoked = events.iter().filter(|event| matches!(event, Event::Invoked(..))).count();
        played.operations += invoked;
        played.unknown += 2 * invoked - events.len();
        played.refused += events.iter().filter(|event| matches!(event, Event::Returned(_, Ret::Refused))).count();
        if let Some(end) = first_contradiction(&events) {
            let text: Vec<String> = events[..=end].iter().map(|event| format!("{event:x?}")).collect();
            panic!("account {id:032x}: no order explains this history:\n{}", text.join("\n"));
        }
    }
    played
}

/// One thread of a history: it does one thing after the other.
struct Thread {
    id: usize,
    account: u128,
    others: Arc<Others>,
    ways: [LedgerClient<Channel>; 2],
    random: Random,
    history: Arc<History>,
    until: Instant,
}

impl Thread {
    async fn work(&mut self) {
        let mut reserved: Option<v1::Transfer> = None;
        for _ in 0..OPS {
            let (op, transfer) = self.choose(reserved.as_ref());
            self.history.note(Event::Invoked(self.id, op));
            let answer = match &transfer {
                Some(transfer) => self.pay(*transfer).await,
                None => self.read().await.map(Ret::Balances),
            };
            let Some(answer) = answer else { return };
            self.history.note(Event::Returned(self.id, answer));
            match op {
                Op::Reserve(..) | Op::Promise(..) if answer == Ret::Done => reserved = transfer,
                Op::Post(..) | Op::Void(..) => reserved = None,
                _ => {}
            }
        }
    }

    /// What to do next, and the transfer that does it.
    fn choose(&mut self, reserved: Option<&v1::Transfer>) -> (Op, Option<v1::Transfer>) {
        let (id, other) = (new_id(&mut self.random), self.others.pick(self.account, &mut self.random));
        let amount = 1 + u128::from(self.random.below(40));
        let (to, from) = (plain(id, (other, self.account), amount), plain(id, (self.account, other), amount));
        let flagged = |t: v1::Transfer, flags: v1::TransferFlags| Some(v1::Transfer { flags: Some(flags), ..t });
        let pending = v1::TransferFlags { pending: true, ..Default::default() };
        let balancing = v1::TransferFlags { balancing_debit: true, ..Default::default() };
        match (self.random.below(100), reserved) {
            (0..=39, _) => (Op::Read, None),
            (40..=54, Some(t)) => {
                let posted = u128::from(self.random.below(number_from(t.amount) as u64 + 1));
                let flags = v1::TransferFlags { post_pending_transfer: true, ..Default::default() };
                let post = v1::Transfer { id: number_to(id), pending_id: t.id, amount: number_to(posted), ..*t };
                (Op::Post(number_from(t.id), posted), flagged(post, flags))
            }
            (55..=59, Some(t)) => {
                let flags = v1::TransferFlags { void_pending_transfer: true, ..Default::default() };
                (
                    Op::Void(number_from(t.id)),
                    flagged(v1::Transfer { id: number_to(id), pending_id: t.id, ..*t }, flags),
                )
            }
            (40..=49, None) => (Op::Reserve(id, amount), flagged(from, pending)),
            (50..=59, None) => (Op::Promise(id, amount), flagged(to, pending)),
            (60..=74, _) => (Op::Deposit(amount), Some(to)),
            (75..=79, _) => (Op::Drain(amount), flagged(from, balancing)),
            _ => (Op::Withdraw(amount), Some(from)),
        }
    }

    /// Pays, through either router, as often as it takes to know what became of it.
    async fn pay(&mut self, transfer: v1::Transfer) -> Option<Ret> {
        while Instant::now() < self.until {
            let request = v1::CreateTransfersRequest { transfers: vec![transfer], independent: false };
            let answer = self.way().create_transfers(request).await;
            let Ok(answer) = answer else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            return match answer.into_inner().results[0].status() {
                Status::Created | Status::Exists => Some(Ret::Done),
                // An earlier request of the same id was refused, and its answer got lost.
                Status::ExceedsCredits | Status::IdAlreadyFailed => Some(Ret::Refused),
                other => panic!("{transfer:?} was answered with {other:?}"),
            };
        }
        None
    }

    /// Reads the balances, in one of three ways.
    async fn read(&mut self) -> Option<Balances> {
        let kind = self.random.below(3);
        while Instant::now() < self.until {
            let read = match kind {
                0 => self.look_up().await,
                1 => self.newest_row().await,
                _ => self.sum_of_the_list().await,
            };
            match read {
                Ok(balances) => return Some(balances),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        None
    }

    async fn look_up(&mut self) -> Result<Balances, tonic::Status> {
        let request = v1::LookupAccountsRequest { ids: ids_to(&[self.account]), read: None };
        let answer = self.way().lookup_accounts(request).await?.into_inner();
        Ok(balances(answer.accounts.first().expect("the account is there")))
    }

    /// The newest row of its history: the balances after the last transfer.
    async fn newest_row(&mut self) -> Result<Balances, tonic::Status> {
        let order = v1::Order::NewestFirst.into();
        let account_id = number_to(self.account);
        let filter = v1::AccountFilter { account_id, order, limit: 1, ..Default::default() };
        let request = v1::GetAccountBalancesRequest { filter: Some(filter) };
        let answer = self.way().get_account_balances(request).await?.into_inner();
        let row = answer.balances.first().expect("the account has been paid");
        Ok([row.debits_pending, row.debits_posted, row.credits_pending, row.credits_posted].map(number_from))
    }

    /// What all its transfers come to.
    async fn sum_of_the_list(&mut self) -> Result<Balances, tonic::Status> {
        let filter = v1::AccountFilter { account_id: number_to(self.account), limit: 1_000, ..Default::default() };
        let request = v1::GetAccountTransfersRequest { filter: Some(filter) };
        let transfers = self.way().get_account_transfers(request).await?.into_inner().transfers;
        let mut sums = [0; 4];
        for t in &transfers {
            let flags = t.flags.unwrap_or_default();
            let (pending, posted) = if number_from(t.debit_account_id) == self.account { (0, 1) } else { (2, 3) };
            if flags.pending {
                sums[pending] += number_from(t.amount);
                continue;
            }
            let resolved = transfers.iter().find(|p| number_from(t.pending_id) != 0 && p.id == t.pending_id);
            sums[pending] -= resolved.map_or(0, |p| number_from(p.amount));
            sums[posted] += if flags.void_pending_transfer { 0 } else { number_from(t.amount) };
        }
        Ok(sums)
    }

    /// Either router.
    fn way(&mut self) -> &mut LedgerClient<Channel> {
        &mut self.ways[self.random.below(2) as usize]
    }
}

fn account(id: u128, flags: v1::AccountFlags) -> v1::Account {
    v1::Account { id: number_to(id), ledger: LEDGER, code: 1, flags: Some(flags), ..Default::default() }
}

/// Creates accounts; again, until that is answered.
async fn create(way: &mut LedgerClient<Channel>, accounts: Vec<v1::Account>) {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < ANSWERED, "accounts were not created within {ANSWERED:?}");
        let Ok(answer) = way.create_accounts(v1::CreateAccountsRequest { accounts: accounts.clone() }).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let done = [v1::CreateAccountStatus::Created, v1::CreateAccountStatus::Exists];
        assert!(answer.into_inner().results.iter().all(|r| done.contains(&r.status())));
        return;
    }
}

/// Makes transfers that nothing can refuse; again, until that is answered.
async fn pay(way: &mut LedgerClient<Channel>, transfers: Vec<v1::Transfer>) {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < ANSWERED, "transfers were not answered within {ANSWERED:?}");
        let request = v1::CreateTransfersRequest { transfers: transfers.clone(), independent: true };
        let Ok(answer) = way.create_transfers(request).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let done = [Status::Created, Status::Exists];
        assert!(answer.into_inner().results.iter().all(|r| done.contains(&r.status())));
        return;
    }
}
