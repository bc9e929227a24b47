//! The worlds that are checked. Each is the smallest in which some part of the protocol matters.

use crate::names::{AccountId, Amount, AttemptId, EventId, SHARDS, ShardId, Time};
use crate::network::Message;
use crate::router::Told;
use crate::shard::Fate;
use crate::world::{Account, Delivery, Event, Goal, Local, Request, World};

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);
const C: ShardId = ShardId(2);
const X: AccountId = AccountId(0);
const Y: AccountId = AccountId(1);
const Z: AccountId = AccountId(2);
const W: AccountId = AccountId(3);
const E0: EventId = EventId(0);
const E1: EventId = EventId(1);
const E2: EventId = EventId(2);

/// All clocks alike.
const IN_STEP: [Time; SHARDS] = [0, 0, 0];

/// How much is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Size {
    /// Every build: seconds.
    Small,
    /// `make model`: minutes.
    Large,
}

/// All worlds of a size, in the order of this file.
pub fn all(size: Size) -> Vec<World> {
    vec![
        pair(size),
        skewed(size),
        lossy(size),
        chain(size),
        stepwise(size),
        balancing(size),
        waiting(size),
        crossing(size),
        failing(size),
        expiry(size),
    ]
}

/// The world with this name.
pub fn named(name: &str, size: Size) -> Option<World> {
    all(size).into_iter().find(|world| world.name == name)
}

/// One payment between two shards, and the client's retry through another router. Time passes, so that tombstones are
/// forgotten and decides become too old.
pub fn pair(size: Size) -> World {
    let base = world("pair", vec![limited(A, 1), open(B)], vec![pay(X, Y, 1)], vec![request(&[E0], A)], &[0, 0]);
    let (ticks, attempts) = if size == Size::Small { (4, vec![0, 0]) } else { (3, vec![0, 0, 0]) };
    World { ticks, attempts, goals: vec![RETRY_SUCCEEDS, RETRY_EXISTS, TOO_OLD], ..base }
}

/// The same with clocks that differ by up to two decide windows, either way.
pub fn skewed(size: Size) -> World {
    let (ticks, attempts) = if size == Size::Small { (4, vec![0]) } else { (5, vec![0, 0]) };
    World {
        name: "skewed",
        attempts,
        ticks,
        ahead: vec![[1, 0, 0], [2, 0, 0], [0, 1, 0], [0, 2, 0]],
        goals: vec![CREATED],
        ..pair(size)
    }
}

/// The same again, with losses and crashes by name.
pub fn lossy(size: Size) -> World {
    let ticks = if size == Size::Small { 1 } else { 3 };
    World {
        name: "lossy",
        attempts: vec![0, 0],
        delivery: Delivery::Once,
        ticks,
        goals: vec![RETRY_SUCCEEDS, RETRY_EXISTS],
        ..pair(size)
    }
}

/// A chain over three shards and its retry. The second payment needs the money of the first, and is checked against a limit.
pub fn chain(size: Size) -> World {
    let accounts = vec![limited(A, 1), limited(B, 0), open(C)];
    let base = world("chain", accounts, vec![pay(X, Y, 1), pay(Y, Z, 1)], vec![request(&[E0, E1], A)], &[0, 0]);
    let ticks = if size == Size::Small { 0 } else { 2 };
    World { ticks, goals: vec![RETRY_SUCCEEDS, RETRY_EXISTS], ..base }
}

/// The same chain, prepared event by event, the decider too.
pub fn stepwise(size: Size) -> World {
    let stepwise = Request { stepwise: true, ..request(&[E0, E1], A) };
    let base = World { name: "stepwise", requests: vec![stepwise], ..chain(size) };
    if size == Size::Small {
        return base;
    }
    World { attempts: vec![0], ticks: 3, goals: vec![CREATED], ..base }
}

/// A payment of whatever the payer has, which the payee's shard decides; another payment to the payer, and a third one out
/// of it that stays on its shard: what a hold has promised must not be spent by others, nor given up.
pub fn balancing(size: Size) -> World {
    let accounts = vec![open(A), limited(B, 1), open(C), open(B)];
    let all_of_it = Event { balancing: true, ..pay(Y, X, 2) };
    let events = vec![all_of_it, pay(Z, Y, 1)];
    let requests = vec![request(&[E0], A), request(&[E1], C)];
    let attempts: &[usize] = if size == Size::Small { &[0, 1] } else { &[0, 1, 0] };
    let base = world("balancing", accounts, events, requests, attempts);
    World { local: Some(Local { from: Y, to: W, amount: 1 }), goals: vec![CREATED, LOCAL_DONE], ..base }
}

/// A payer who has nothing until another payment arrives: its decider can say neither yes nor no while that one is in doubt.
pub fn waiting(size: Size) -> World {
    let accounts = vec![limited(A, 0), open(B), open(C)];
    let events = vec![pay(X, Y, 1), pay(Z, X, 1)];
    let requests = vec![request(&[E0], A), request(&[E1], C)];
    let attempts: &[usize] = if size == Size::Small { &[0, 1] } else { &[0, 1, 0] };
    World { goals: vec![CREATED, COMMITTED_AFTER_GIVING_UP], ..world("waiting", accounts, events, requests, attempts) }
}

/// Two payments in opposite directions, each decided where the other one is held, by payers who have just enough; and a third
/// one out of the first payer's account that stays on its shard.
pub fn crossing(size: Size) -> World {
    let accounts = vec![limited(A, 1), limited(B, 1), open(C), open(A)];
    let requests = vec![request(&[E0], A), request(&[E1], B)];
    let attempts: &[usize] = if size == Size::Small { &[0, 1] } else { &[0, 1, 0] };
    let base = world("crossing", accounts, vec![pay(X, Y, 1), pay(Y, X, 1)], requests, attempts);
    World { local: Some(Local { from: X, to: W, amount: 1 }), goals: vec![CREATED, LOCAL_DONE], ..base }
}

/// A chain whose second payment stays on the payee's shard and may fail for good there, while another payment may make it
/// succeed; and its retry.
pub fn failing(size: Size) -> World {
    let accounts = vec![open(A), limited(B, 0), open(C), open(B)];
    let events = vec![pay(X, Y, 1), pay(Y, W, 2)];
    let attempts: &[usize] = if size == Size::Small { &[0, 0] } else { &[0, 0, 0] };
    let base = world("failing", accounts, events, vec![request(&[E0, E1], A)], attempts);
    World { local: Some(Local { from: W, to: Y, amount: 1 }), goals: vec![CREATED, FAILED], ..base }
}

/// A pending transfer across shards that is due: a post, a void and the expiry, which the payer's own node drives, at once.
pub fn expiry(size: Size) -> World {
    let resolve = |amount| Event { resolves: true, ..pay(X, Y, amount) };
    let events = vec![resolve(1), resolve(0), resolve(0)];
    let requests = [E0, E1, E2].map(|id| request(&[id], A)).to_vec();
    let attempts: &[usize] = if size == Size::Small { &[0, 2] } else { &[0, 1, 2] };
    World { goals: vec![CREATED, RESOLVED], ..world("expiry", vec![open(A), open(B)], events, requests, attempts) }
}

const CREATED: Goal = ("a client is told created", |_, state| state.told.contains(&Some(Told::Created)));
const FAILED: Goal =
    ("a client is told that an id failed", |_, state| state.told.iter().any(|t| matches!(t, Some(Told::Failed(_)))));
const RETRY_SUCCEEDS: Goal = ("a retry succeeds after a release", |_, state| {
    state.told[1] == Some(Told::Created) && state.shards[0].tombstones[0].is_some()
});
const RETRY_EXISTS: Goal = ("a retry is told exists", |_, state| state.told[1] == Some(Told::Exists));
const TOO_OLD: Goal =
    ("a decide comes after its tombstone is forgotten, and is refused for its age", |model, state| {
        let late = |m: &Message| matches!(m, Message::Decide(AttemptId(0), _));
        let forgotten = state.shards[0].tombstones[0].is_none() && state.shards[0].outbox[0].is_none();
        let unknown = state.shards[0].fates[0] == Fate::Unknown && state.shards[1].holds[0].is_none();
        state.network.iter().any(late) && forgotten && unknown && state.now == model.world.ticks
    });
const LOCAL_DONE: Goal = ("a payment inside the shard is made", |_, state| state.local_done);
const COMMITTED_AFTER_GIVING_UP: Goal = ("a payment that had to wait is made", |_, state| {
    state.told[0] == Some(Told::Created) && state.told[1] == Some(Told::Created)
});
const RESOLVED: Goal = ("the losing side is refused", |_, state| state.told.contains(&Some(Told::Refused)));

fn world(
    name: &'static str,
    accounts: Vec<Account>,
    events: Vec<Event>,
    requests: Vec<Request>,
    attempts: &[usize],
) -> World {
    World {
        name,
        accounts,
        events,
        requests,
        attempts: attempts.to_vec(),
        local: None,
        ticks: 0,
        ahead: vec![IN_STEP],
        delivery: Delivery::Ever,
        mistake: None,
        goals: Vec::new(),
    }
}

fn limited(home: ShardId, credits: Amount) -> Account {
    Account { home, credits, limited: true }
}

fn open(home: ShardId) -> Account {
    Account { home, credits: 0, limited: false }
}

fn pay(from: AccountId, to: AccountId, amount: Amount) -> Event {
    Event { from, to, amount, balancing: false, resolves: false }
}

fn request(events: &[EventId], decider: ShardId) -> Request {
    Request { events: events.to_vec(), decider, stepwise: false }
}
