//! What a run is about: accounts, events, who asks for what, how long time lasts, and what the network may do.

use crate::mistake::Mistake;
use crate::model::Protocol;
use crate::names::{AccountId, Amount, Amounts, AttemptId, EVENTS_MAX, EventId, SHARDS, ShardId, Shards, Time};
use crate::state::State;

/// How long after the first vote a decide may still commit (`DECIDE_WINDOW_NS` in the code): the unit of time.
pub const DECIDE_WINDOW: Time = 1;

/// How long a router waits for the vote to a prepare (`REQUEST_TIMEOUT` in the code).
pub const PATIENCE: Time = DECIDE_WINDOW;

/// How long a tombstone is remembered: it has to outlive the youngest vote that a router may still count, and that vote's
/// decide window.
pub const TOMBSTONE_KEPT: Time = PATIENCE + DECIDE_WINDOW;

/// An account, as it is at the start.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    /// Who owns it.
    pub home: ShardId,
    /// What was credited to it before.
    pub credits: Amount,
    /// `debits_must_not_exceed_credits`.
    pub limited: bool,
}

/// A transfer that a client asks for.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// The debit account.
    pub from: AccountId,
    /// The credit account.
    pub to: AccountId,
    /// What moves; the most that moves when it balances.
    pub amount: Amount,
    /// `balancing_debit`: no more moves than the debit account has.
    pub balancing: bool,
    /// It posts, voids or expires a pending transfer: of all events that do, one at the most may succeed.
    pub resolves: bool,
}

/// What a client sends: one event, or a chain.
#[derive(Clone, Debug)]
pub struct Request {
    /// In order.
    pub events: Vec<EventId>,
    /// The last agent.
    pub decider: ShardId,
    /// Prepared event by event, the decider too (`prepare_stepwise` in the code).
    pub stepwise: bool,
}

/// A payment between two accounts of one shard that another client makes at any moment, once (verb `create`).
#[derive(Clone, Copy, Debug)]
pub struct Local {
    /// The debit account.
    pub from: AccountId,
    /// The credit account.
    pub to: AccountId,
    /// What moves.
    pub amount: Amount,
}

/// What the network may do to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Whatever was sent may arrive at any later moment, in any order, any number of times, or never. A process that has
    /// crashed is one to which nothing more arrives, so this contains every crash.
    Ever,
    /// It arrives once, at any later moment and in any order, or is lost; and processes crash by name. Contained in `Ever`;
    /// for paths that are easy to read, and as a check of that claim.
    Once,
}

/// Everything that a run starts from.
#[derive(Clone, Debug)]
pub struct World {
    /// For people and the command line.
    pub name: &'static str,
    /// By [`AccountId`].
    pub accounts: Vec<Account>,
    /// By [`EventId`].
    pub events: Vec<Event>,
    /// What clients ask for.
    pub requests: Vec<Request>,
    /// For each attempt, by [`AttemptId`], which request it is at. Each has a router of its own, so two attempts at one
    /// request are a client's retry through another router (or the same router's next try).
    pub attempts: Vec<usize>,
    /// What another client does meanwhile.
    pub local: Option<Local>,
    /// The last moment; the first is 0.
    pub ticks: Time,
    /// How far each shard's clock is ahead; one start state for each.
    pub ahead: Vec<[Time; SHARDS]>,
    /// The network.
    pub delivery: Delivery,
    /// What is built in wrong, if anything.
    pub mistake: Option<Mistake>,
    /// What has to be reachable, or the run shows nothing.
    pub goals: Vec<Goal>,
}

/// Something that has to be reachable: its name, and when it is.
pub type Goal = (&'static str, fn(&Protocol, &State) -> bool);

impl World {
    /// Whether this mistake is built in.
    pub fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// An account.
    pub fn account(&self, id: AccountId) -> &Account {
        &self.accounts[id.at()]
    }

    /// An event.
    pub fn event(&self, id: EventId) -> &Event {
        &self.events[id.at()]
    }

    /// The shards of an event's debit and credit account.
    pub fn homes(&self, id: EventId) -> (ShardId, ShardId) {
        let event = self.event(id);
        (self.account(event.from).home, self.account(event.to).home)
    }

    /// What an attempt is at.
    pub fn request(&self, attempt: AttemptId) -> &Request {
        &self.requests[self.attempts[attempt.at()]]
    }

    /// Those events of an attempt that touch a shard, in order.
    pub fn steps(&self, attempt: AttemptId, shard: ShardId) -> impl Iterator<Item = EventId> {
        let touches = move |id: &EventId| self.touches(*id, shard);
        self.request(attempt).events.iter().copied().filter(touches)
    }

    /// Whether one of its accounts is there.
    pub fn touches(&self, id: EventId, shard: ShardId) -> bool {
        let homes = self.homes(id);
        homes.0 == shard || homes.1 == shard
    }

    /// All shards of an attempt but the decider.
    pub fn participants(&self, attempt: AttemptId) -> Shards {
        let request = self.request(attempt);
        let homes = request.events.iter().map(|id| self.homes(*id));
        homes.flat_map(|(from, to)| [from, to]).collect::<Shards>().without(request.decider)
    }

    /// In which order a stepwise attempt asks: for each event the shards that it touches, the payer's first, with the number
    /// of that shard's steps so far.
    pub fn stepwise_order(&self, attempt: AttemptId) -> Vec<(ShardId, u8)> {
        let mut order = Vec::new();
        for (i, id) in self.request(attempt).events.iter().enumerate() {
            let (from, to) = self.homes(*id);
            for shard in [Some(from), Some(to).filter(|to| *to != from)].into_iter().flatten() {
                let upto = self.request(attempt).events[..=i].iter().filter(|e| self.touches(**e, shard)).count();
                order.push((shard, u8::try_from(upto).unwrap_or(u8::MAX)));
            }
        }
        order
    }

    /// The most that may move in each event.
    pub fn amounts(&self) -> Amounts {
        let mut amounts = [0; EVENTS_MAX];
        for (amount, event) in amounts.iter_mut().zip(&self.events) {
            *amount = event.amount;
        }
        amounts
    }

    /// All attempts.
    pub fn all_attempts(&self) -> impl Iterator<Item = AttemptId> + use<> {
        (0u8..).zip(0..self.attempts.len()).map(|(id, _)| AttemptId(id))
    }

    /// All accounts.
    pub fn all_accounts(&self) -> impl Iterator<Item = AccountId> + use<> {
        (0u8..).zip(0..self.accounts.len()).map(|(id, _)| AccountId(id))
    }

    /// The name that shards know an attempt by. Every attempt has its own, unless that is the mistake.
    pub fn key(&self, attempt: AttemptId) -> AttemptId {
        if !self.makes(Mistake::RetryReusesAttempt) {
            return attempt;
        }
        let same = |other: &AttemptId| self.attempts[other.at()] == self.attempts[attempt.at()];
        self.all_attempts().find(same).unwrap_or(attempt)
    }
}
