//! Clients: they send, wait, and send again what has no answer; and readers, who look at everything all the time.

use std::sync::Arc;
use std::time::Duration;

use crest_conformance::random::Random;
use crest_ledger::txn::EventResult;
use crest_ledger::{AccountFilter, Page};
use crest_router::RouterError;
use crest_router::reads::ReadAt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::front::Front;
use crate::history::{History, Outcome, Read, Try};
use crate::plan::Plan;
use crate::workload::{Bank, Request, Requests};
use crate::world::{EPOCH_NS, World, lock, ms};

/// How long a client tries to get an answer once nothing fails any more. A router reports after 12 s what it does not know.
const SETTLE_TRIES: u32 = 6;

/// And for how long it does in any case: who leads a shard may have to be found first, and refusals come at once.
const SETTLE: Duration = Duration::from_secs(15);

/// What clients share.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) world: Arc<World>,
    pub(crate) front: Arc<Front>,
    pub(crate) bank: Arc<Bank>,
    pub(crate) history: Arc<History>,
    /// Turns true when nothing fails any more.
    pub(crate) healed: watch::Receiver<bool>,
}

impl Scene {
    /// Sends a request until it has its answer.
    pub(crate) async fn settle(&self, number: u64, request: Request, random: &mut Random) {
        let (mut tries_left, mut since) = (SETTLE_TRIES, None);
        loop {
            if self.try_once(number, &request, random).await {
                return;
            }
            if *self.healed.borrow() {
                tries_left = tries_left.saturating_sub(1);
                let since = since.get_or_insert_with(Instant::now);
                if tries_left == 0 && since.elapsed() > SETTLE {
                    self.world
                        .fail(format!("request {number} has no answer though nothing fails any more: {request:?}"));
                    return;
                }
            }
            sleep(ms(random.below(400))).await;
        }
    }

    async fn try_once(&self, number: u64, request: &Request, random: &mut Random) -> bool {
        let router = random.below(u64::from(self.front.count())) as u32;
        let patience = ms(random.pick(&[200, 3_000, 15_000, 15_000]).unwrap_or(3_000));
        let patience = if *self.healed.borrow() { Duration::from_secs(15) } else { patience };
        let (by, invoked) = ((router, self.front.deaths(router)), self.world.now());
        let answer = match request {
            Request::Accounts(events) => {
                self.front.ask(router, patience, |r| async move { r.create_accounts(events.clone()).await }).await
            }
            Request::Transfers(events, independent) => {
                let ask =
                    |r: crest_router::Router| async move { r.create_transfers(events.clone(), *independent).await };
                self.front.ask(router, patience, ask).await
            }
        };
        let outcome = self.outcome(number, request, answer);
        let settled = matches!(outcome, Outcome::Done(_));
        let answered = self.world.now();
        match request {
            Request::Accounts(events) => {
                let events = events.clone();
                lock(&self.history.accounts).push(Try {
                    request: number,
                    events,
                    router: by,
                    invoked,
                    answered,
                    outcome,
                });
            }
            Request::Transfers(events, _) => {
                let events = events.clone();
                lock(&self.history.transfers).push(Try {
                    request: number,
                    events,
                    router: by,
                    invoked,
                    answered,
                    outcome,
                });
            }
        }
        settled
    }

    fn outcome(&self, number: u64, request: &Request, answer: Result<Vec<EventResult>, RouterError>) -> Outcome {
        let (outcome, bytes) = match answer {
            Ok(results) => {
                let bytes = results.iter().flat_map(|r| [&[r.status][..], &r.timestamp.to_le_bytes()].concat());
                let bytes: Vec<u8> = bytes.collect();
                (Outcome::Done(results), bytes)
            }
            Err(RouterError::Refused(why) | RouterError::Outage(why)) => (Outcome::Refused, why.into_bytes()),
            Err(RouterError::Unknown(why)) => (Outcome::Unknown, why.into_bytes()),
            Err(RouterError::Invalid(why)) => {
                self.world.fail(format!("request {number} is called invalid: {why}: {request:?}"));
                (Outcome::Refused, why.into_bytes())
            }
        };
        if self.world.is_watched() {
            self.world.note(format_args!("request {number}: {request:?} -> {outcome:?}"), &bytes);
        } else {
            self.world.note(format_args!(""), &bytes);
        }
        outcome
    }

    /// Sends the requests of one client.
    pub(crate) async fn client(self, client: u32, plan: Plan, seed: u64) {
        let mut random = Random::new(seed);
        let bank = self.bank.clone();
        let mut requests = Requests::new(&bank, &plan, client, random.number());
        for n in 0..plan.requests {
            let request = requests.next();
            self.settle(u64::from(client) << 32 | u64::from(n), request, &mut random).await;
            sleep(ms(random.below(plan.think_ms + 1))).await;
        }
    }

    /// Reads until nothing more is to be read.
    pub(crate) async fn reader(self, seed: u64, stop: watch::Receiver<bool>) {
        let mut random = Random::new(seed);
        while !*stop.borrow() {
            let router = random.below(u64::from(self.front.count())) as u32;
            let invoked = self.world.now();
            if let Some(read) = self.read(router, invoked, &mut random).await {
                self.world.note(format_args!("read {}", summary(&read)), format!("{read:?}").as_bytes());
                lock(&self.history.reads).push(read);
            }
            sleep(ms(random.below(300))).await;
        }
    }

    async fn read(&self, router: u32, invoked: u64, random: &mut Random) -> Option<Read> {
        let patience = Duration::from_secs(12);
        let account_id = random.pick(&self.bank.ids()).unwrap_or_default();
        let filter = AccountFilter { account_id, page: Page::default(), ..AccountFilter::default() };
        match random.below(8) {
            6 | 7 => self.read_at_instant(router, random).await,
            0 => {
                let all: Vec<u128> =
                    lock(&self.history.transfers).iter().flat_map(|t| t.events.iter().map(|e| e.id)).collect();
                let mut ids: Vec<u128> = (0..8).filter_map(|_| random.pick(&all)).collect();
                ids.dedup();
                let asked = ids.clone();
                let ask = |r: crest_router::Router| async move { r.lookup_transfers(&asked).await };
                let found = self.front.ask(router, patience, ask).await.ok()?;
                Some(Read::Transfers { invoked, ids, found })
            }
            1 => {
                let ask = |r: crest_router::Router| async move { r.account_transfers(filter).await };
                let (found, _) = self.front.ask(router, patience, ask).await.ok()?;
                Some(Read::List { invoked, account_id, found })
            }
            2 => {
                let ask = |r: crest_router::Router| async move { r.account_balances(filter).await };
                let (found, _) = self.front.ask(router, patience, ask).await.ok()?;
                Some(Read::Balances { account_id, found })
            }
            _ => {
                // All of them, or some two or three: of a few shards, whose clocks may be behind the others'.
                let mut ids = self.bank.ids();
                while random.below(2) == 0 && ids.len() > 3 {
                    ids.retain(|_| random.below(2) == 0);
                }
                let asked = ids.clone();
                let ask = |r: crest_router::Router| async move { r.lookup_accounts(&asked).await };
                let (found, at) = self.front.ask(router, patience, ask).await.ok()?;
                Some(Read::Accounts { invoked, ids, found, at })
            }
        }
    }
}

impl Scene {
    /// Reads at an instant of some earlier read, or about so, from replicas that need not lead.
    async fn read_at_instant(&self, router: u32, random: &mut Random) -> Option<Read> {
        let known = lock(&self.history.reads).iter().rev().find_map(|read| match read {
            Read::Accounts { at, .. } => Some(*at),
            _ => None,
        });
        let near = random.pick(&[0, 1, 1_000_000, 50_000_000, 500_000_000]).unwrap_or(0);
        let known = known.unwrap_or(EPOCH_NS + self.world.now());
        let timestamp = if random.chance(50) { known + near } else { known - near };
        let mut ids = self.bank.ids();
        ids.retain(|_| random.chance(50));
        let (asked, read) = (ids.clone(), ReadAt { timestamp, from_followers: true });
        let ask = |r: crest_router::Router| async move { r.lookup_accounts_at(&asked, read).await };
        let (found, at) = self.front.ask(router, Duration::from_secs(12), ask).await.ok()?;
        self.world.record.count(|happened| happened.follower_reads += 1);
        (!ids.is_empty()).then_some(Read::AtInstant { ids, found, at })
    }
}

fn summary(read: &Read) -> String {
    match read {
        Read::Accounts { found, at, .. } => format!("{} accounts at {at}", found.len()),
        Read::AtInstant { found, at, .. } => format!("{} accounts at the named instant {at}", found.len()),
        Read::Transfers { ids, found, .. } => format!("{} of {} transfers", found.len(), ids.len()),
        Read::List { account_id, found, .. } => format!("{} transfers of {account_id:x}", found.len()),
        Read::Balances { account_id, found } => format!("{} balances of {account_id:x}", found.len()),
    }
}
