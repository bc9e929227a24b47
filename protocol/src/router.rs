//! A router at one attempt: it plans nothing here, it only drives. It keeps nothing that matters.
//!
//! A router that gives an attempt up tries again with another one; in the model that is another attempt, with a router of
//! its own.

use crate::mistake::Mistake;
use crate::names::{AttemptId, EventId, ShardId, Shards, Time};
use crate::network::{Ballot, Decided, Message, Network, Outcome, Refusal, Vote, Why};
use crate::world::{PATIENCE, World};

/// What a client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Told {
    /// `created`.
    Created,
    /// `exists`.
    Exists,
    /// This event failed with a transient status: its id never succeeds later.
    Failed(EventId),
    /// Refused for another reason.
    Refused,
}

/// Where a router is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Router {
    /// The client has not sent the request here, or not yet.
    #[default]
    Idle,
    /// It waits for votes.
    Preparing(Preparing),
    /// It waits for the decider.
    Deciding(Ballot),
    /// It waits for the decider to say that the attempt never commits; these shards hold.
    GivingUp(Shards),
    /// These shards have to know the failed id before the client hears of it.
    Telling(Refusal, Shards),
    /// It has answered, or given up.
    Done,
    /// It knows nothing any more.
    Crashed,
}

/// What a router waits for in the first phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Preparing {
    /// What the votes so far come to.
    pub ballot: Ballot,
    /// Whose votes are missing; stepwise, nobody's.
    pub waiting_for: Shards,
    /// Stepwise, the place in the order of the shard whose vote is missing.
    pub place: u8,
    /// When the prepares were sent that it waits for.
    pub asked_at: Time,
}

/// What came of a message.
pub struct Step<'a> {
    /// The world.
    pub world: &'a World,
    /// Which attempt.
    pub attempt: AttemptId,
    /// Real time.
    pub now: Time,
    /// Where to send.
    pub network: &'a mut Network,
    /// What the client hears.
    pub told: &'a mut Option<Told>,
}

impl Router {
    /// Whether this vote is one that it waits for.
    pub fn waits_for_vote(&self, world: &World, attempt: AttemptId, shard: ShardId, steps: u8) -> bool {
        let Self::Preparing(p) = self else { return false };
        if world.request(attempt).stepwise {
            world.stepwise_order(attempt).get(usize::from(p.place)) == Some(&(shard, steps))
        } else {
            p.waiting_for.has(shard)
        }
    }

    /// Time has gone on: a router that has waited too long for votes reports "unknown", and begins nothing more.
    pub fn tick(&mut self, world: &World, now: Time) {
        if let Self::Preparing(p) = self
            && p.asked_at + PATIENCE < now
            && !world.makes(Mistake::RouterWaitsForever)
        {
            *self = Self::Done;
        }
    }
}

impl Step<'_> {
    /// A client's request has come.
    pub fn start(&mut self) -> Router {
        let (world, attempt) = (self.world, self.attempt);
        let participants = world.participants(attempt);
        let ballot = Ballot {
            amounts: world.amounts(),
            held: Shards::default(),
            refusal: None,
            blocked: false,
            prepared_at: None,
            clock: 0,
        };
        if world.request(attempt).stepwise {
            return self.ask_next(ballot, 0);
        }
        for shard in participants.iter() {
            let steps = u8::try_from(world.steps(attempt, shard).count()).unwrap_or(u8::MAX);
            self.network.send(Message::Prepare(attempt, shard, steps));
        }
        if world.makes(Mistake::DecideWithoutPrepare) {
            return self.ask_for_decision(Ballot { held: participants, ..ballot });
        }
        Router::Preparing(Preparing { ballot, waiting_for: participants, place: 0, asked_at: self.now })
    }

    /// A vote has come that it waits for.
    pub fn vote(&mut self, router: Router, shard: ShardId, vote: Vote) -> Router {
        let Router::Preparing(mut p) = router else { return router };
        count(&mut p.ballot, shard, vote);
        if self.world.request(self.attempt).stepwise {
            if p.ballot.blocked || p.ballot.refusal.is_some() {
                return self.voted(p.ballot);
            }
            return self.ask_next(p.ballot, p.place + 1);
        }
        p.waiting_for = p.waiting_for.without(shard);
        if p.waiting_for.is_empty() { self.voted(p.ballot) } else { Router::Preparing(p) }
    }

    fn ask_next(&mut self, ballot: Ballot, place: u8) -> Router {
        match self.world.stepwise_order(self.attempt).get(usize::from(place)) {
            Some((shard, steps)) => {
                self.network.send(Message::Prepare(self.attempt, *shard, *steps));
                Router::Preparing(Preparing { ballot, waiting_for: Shards::default(), place, asked_at: self.now })
            }
            None => self.voted(ballot),
        }
    }

    fn voted(&mut self, ballot: Ballot) -> Router {
        if ballot.blocked { self.give_up(&ballot) } else { self.ask_for_decision(ballot) }
    }

    fn ask_for_decision(&mut self, ballot: Ballot) -> Router {
        self.network.send(Message::Decide(self.attempt, ballot));
        Router::Deciding(ballot)
    }

    /// Has the decider record that the attempt never commits; only then may holds be released.
    fn give_up(&mut self, ballot: &Ballot) -> Router {
        if ballot.held.is_empty() {
            return Router::Done;
        }
        self.network.send(Message::GiveUp(self.attempt, ballot.clock));
        Router::GivingUp(ballot.held)
    }

    /// The decider has answered.
    pub fn decided(&mut self, router: Router, decided: Decided) -> Router {
        let Router::Deciding(ballot) = router else { return router };
        match decided {
            Decided::Committed(amounts) => {
                self.finish(ballot.held, Outcome::Committed(amounts));
                self.answer(Told::Created)
            }
            Decided::Refused(refusal) => self.refused(&ballot, refusal),
            Decided::Blocked | Decided::Aborted => self.give_up(&ballot),
        }
    }

    fn refused(&mut self, ballot: &Ballot, refusal: Refusal) -> Router {
        let Some(burned) = refusal.burned() else {
            self.finish(ballot.held, Outcome::Released(None));
            return self.answer(if refusal.why == Why::Exists { Told::Exists } else { Told::Refused });
        };
        let decider = self.world.request(self.attempt).decider;
        let participants = self.world.participants(self.attempt);
        self.finish(participants, Outcome::Released(Some(burned)));
        if self.world.touches(burned, decider) || self.world.makes(Mistake::FailedIdsNotTold) {
            return self.answer(Told::Failed(burned));
        }
        Router::Telling(refusal, participants)
    }

    /// A participant has recorded the failed id.
    pub fn finished(&mut self, router: Router, shard: ShardId) -> Router {
        let Router::Telling(refusal, waiting) = router else { return router };
        let waiting = waiting.without(shard);
        if waiting.is_empty() { self.answer(Told::Failed(refusal.event)) } else { Router::Telling(refusal, waiting) }
    }

    /// The decider has said how the attempt that was given up ended. It may have committed after all.
    pub fn gave_up(&mut self, router: Router, outcome: Outcome) -> Router {
        let Router::GivingUp(held) = router else { return router };
        if let Outcome::Committed(_) = outcome
            && !self.world.makes(Mistake::GiveUpIgnoresAnswer)
        {
            self.finish(held, outcome);
            return self.answer(Told::Created);
        }
        self.finish(held, Outcome::Released(None));
        Router::Done
    }

    fn finish(&mut self, told: Shards, outcome: Outcome) {
        let (world, key) = (self.world, self.world.key(self.attempt));
        for shard in told.without(world.request(key).decider).iter() {
            self.network.send(Message::Finish(key, shard, outcome));
            if world.makes(Mistake::AcknowledgeBeforeFinish) {
                self.network.send(Message::Acknowledge(key, shard));
            }
        }
    }

    fn answer(&mut self, told: Told) -> Router {
        *self.told = Some(told);
        Router::Done
    }
}

/// Takes a vote in.
fn count(ballot: &mut Ballot, shard: ShardId, vote: Vote) {
    match vote {
        Vote::Held { amounts, clock } => {
            for (known, amount) in ballot.amounts.iter_mut().zip(amounts) {
                *known = amount.min(*known);
            }
            ballot.held = ballot.held.with(shard);
            ballot.prepared_at = Some(ballot.prepared_at.unwrap_or(clock).min(clock));
            ballot.clock = ballot.clock.max(clock);
        }
        Vote::Refused(refusal) => {
            ballot.held = ballot.held.without(shard);
            ballot.refusal = Some(ballot.refusal.map_or(refusal, |first| first.min(refusal)));
        }
        Vote::Blocked => {
            ballot.held = ballot.held.without(shard);
            ballot.blocked = true;
        }
    }
}
