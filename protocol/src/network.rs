//! Messages, and the network: a set of what is under way.

use std::fmt;

use crate::mistake::Mistake;
use crate::names::{Amounts, AttemptId, EventId, ShardId, Shards, Time};
use crate::router::Router;
use crate::state::State;
use crate::world::{DECIDE_WINDOW, World};

/// Why an event is refused, in the order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// It has been done (`exists`).
    Exists,
    /// Its id failed before (`id_already_failed`).
    AlreadyFailed,
    /// What it resolves has been resolved.
    Resolved,
    /// The debit account has too little (`exceeds_credits`, transient: the id never succeeds later).
    Exceeds,
}

/// Which event is refused, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Refusal {
    /// The culprit.
    pub event: EventId,
    /// The reason.
    pub why: Why,
}

impl Refusal {
    /// The id that is to be remembered as failed: the culprit's, when the reason is transient.
    pub fn burned(self) -> Option<EventId> {
        (self.why == Why::Exceeds).then_some(self.event)
    }
}

/// A participant's answer to a prepare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vote {
    /// A hold is recorded.
    Held {
        /// What moves, as far as this shard knows.
        amounts: Amounts,
        /// Its clock.
        clock: Time,
    },
    /// No hold.
    Refused(Refusal),
    /// No hold; something in doubt is in the way.
    Blocked,
}

/// What the votes of an attempt come to: the body of a decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// What moves, as far as the votes tell.
    pub amounts: Amounts,
    /// Who holds.
    pub held: Shards,
    /// The refusal that comes first.
    pub refusal: Option<Refusal>,
    /// Whether somebody was blocked.
    pub blocked: bool,
    /// The smallest clock of the votes.
    pub prepared_at: Option<Time>,
    /// The largest.
    pub clock: Time,
}

/// How an attempt ended, as its participants are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Post the hold.
    Committed(Amounts),
    /// Release the hold, and remember this id as failed.
    Released(Option<EventId>),
}

/// The decider's answer to a decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decided {
    /// The commit point was passed.
    Committed(Amounts),
    /// A tombstone stands.
    Refused(Refusal),
    /// Nothing recorded; something in doubt is in the way.
    Blocked,
    /// It was aborted before, or comes too late.
    Aborted,
}

/// A message. What goes to or from a router names its attempt; a shard knows an attempt by its key (`World::key`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    /// Router to participant: reserve your first so many steps.
    Prepare(AttemptId, ShardId, u8),
    /// Its answer, with the number of steps.
    Vote(AttemptId, ShardId, u8, Vote),
    /// Router to decider.
    Decide(AttemptId, Ballot),
    /// Its answer.
    Decided(AttemptId, Decided),
    /// Somebody to participant: end your hold. From the router, from the decider's outbox, or the answer to a `Recover`.
    Finish(AttemptId, ShardId, Outcome),
    /// A participant to the router: a release with a failed id is recorded.
    Finished(AttemptId, ShardId),
    /// A participant has finished; to the decider. (In the code it goes through whoever sent the finish.)
    Acknowledge(AttemptId, ShardId),
    /// A holder to the decider: what became of it? With the holder's clock.
    Recover(AttemptId, ShardId, Time),
    /// The router to the decider, to give the attempt up; in the code it is a `Recover` too (`drive/decide.rs: abort`). With the
    /// largest clock of the votes.
    GiveUp(AttemptId, Time),
    /// The answer to a `GiveUp`.
    GaveUp(AttemptId, Outcome),
}

impl Message {
    /// The shard that receives it, or that it comes from.
    pub fn shard(&self, world: &World) -> ShardId {
        match self {
            Self::Prepare(_, shard, _)
            | Self::Vote(_, shard, _, _)
            | Self::Finish(_, shard, _)
            | Self::Finished(_, shard) => *shard,
            Self::Acknowledge(attempt, _)
            | Self::Recover(attempt, _, _)
            | Self::Decide(attempt, _)
            | Self::Decided(attempt, _)
            | Self::GiveUp(attempt, _)
            | Self::GaveUp(attempt, _) => world.request(*attempt).decider,
        }
    }

    /// Whether it can still change anything when it arrives. What cannot is taken out of the network, so that two states
    /// that differ only in it are one.
    fn matters(&self, world: &World, state: &State) -> bool {
        let router = |attempt: &AttemptId| &state.routers[attempt.at()];
        match self {
            Self::Vote(attempt, shard, steps, _) => router(attempt).waits_for_vote(world, *attempt, *shard, *steps),
            Self::Decided(attempt, _) => matches!(router(attempt), Router::Deciding(_)),
            Self::GaveUp(attempt, _) => matches!(router(attempt), Router::GivingUp(_)),
            Self::Finished(attempt, shard) => {
                matches!(router(attempt), Router::Telling(_, waiting) if waiting.has(*shard))
            }
            Self::Acknowledge(key, shard) => {
                let decider = &state.shards[world.request(*key).decider.at()];
                decider.outbox[key.at()].is_some_and(|d| d.waiting_for.has(*shard))
            }
            Self::Decide(attempt, ballot) => {
                let clock = state.shards[world.request(*attempt).decider.at()].clock;
                let refused_for_age = ballot.prepared_at.is_some_and(|at| at + DECIDE_WINDOW <= clock)
                    && !world.makes(Mistake::NoDecideWindow);
                !refused_for_age || matches!(router(attempt), Router::Deciding(_))
            }
            _ => true,
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepare(a, to, steps) => write!(f, "router {a:?} → {to:?}: prepare {steps} step(s)"),
            Self::Vote(a, from, _, vote) => write!(f, "{from:?} → router {a:?}: vote {vote:?}"),
            Self::Decide(a, b) => write!(
                f,
                "router {a:?} → decider: decide, held by {:?}, prepared at {:?}, refused {:?}",
                b.held, b.prepared_at, b.refusal
            ),
            Self::Decided(a, d) => write!(f, "decider → router {a:?}: {d:?}"),
            Self::Finish(a, to, outcome) => write!(f, "→ {to:?}: finish attempt {a:?}, {outcome:?}"),
            Self::Finished(a, from) => write!(f, "{from:?} → router {a:?}: finished"),
            Self::Acknowledge(a, from) => write!(f, "{from:?} → decider: attempt {a:?} is finished here"),
            Self::Recover(a, from, at) => write!(f, "{from:?} → decider: what became of attempt {a:?}? (clock {at})"),
            Self::GiveUp(a, at) => write!(f, "router {a:?} → decider: abort my attempt (clock {at})"),
            Self::GaveUp(a, outcome) => write!(f, "decider → router {a:?}: your attempt is {outcome:?}"),
        }
    }
}

/// What is under way: a set, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Network(Vec<Message>);

impl Network {
    /// Puts a message under way. The same one twice is one: it may arrive more than once anyway.
    pub fn send(&mut self, message: Message) {
        if let Err(place) = self.0.binary_search(&message) {
            self.0.insert(place, message);
        }
    }

    /// Takes a message out.
    pub fn remove(&mut self, message: &Message) {
        self.0.retain(|m| m != message);
    }

    /// Takes out what goes to or comes from a shard.
    pub fn cut_off(&mut self, world: &World, shard: ShardId) {
        self.0.retain(|m| {
            let asks = matches!(m, Message::Recover(_, from, _) | Message::Acknowledge(_, from) if *from == shard);
            m.shard(world) != shard && !asks
        });
    }

    /// Takes out what can no longer change anything, and forgets differences that nobody can tell.
    pub fn tidy(world: &World, state: &mut State) {
        let mut network = std::mem::take(&mut state.network);
        network.0.retain(|m| m.matters(world, state));
        for m in &mut network.0 {
            // An asker's clock that is not ahead of the decider's tells it nothing; it never will, since clocks go forward.
            if let Message::Recover(key, _, at) | Message::GiveUp(key, at) = m
                && *at <= state.shards[world.request(*key).decider.at()].clock
            {
                *at = 0;
            }
        }
        network.0.sort_unstable();
        network.0.dedup();
        state.network = network;
    }

    /// What is under way.
    pub fn iter(&self) -> impl Iterator<Item = &Message> {
        self.0.iter()
    }

    /// Whether it is under way.
    pub fn has(&self, message: &Message) -> bool {
        self.0.binary_search(message).is_ok()
    }
}
