//! Everything at one moment.

use crate::names::{ATTEMPTS_MAX, AttemptId, EventId, SHARDS, ShardId, Time};
use crate::network::Network;
use crate::router::{Router, Told};
use crate::shard::{Balance, Fate, Shard};
use crate::world::World;

/// The state of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// Real time.
    pub now: Time,
    /// How far each machine's clock is ahead of it.
    pub ahead: [Time; SHARDS],
    /// The shards.
    pub shards: [Shard; SHARDS],
    /// The routers, by attempt.
    pub routers: [Router; ATTEMPTS_MAX],
    /// What the client of each attempt was told. It stays when the router dies.
    pub told: [Option<Told>; ATTEMPTS_MAX],
    /// What is under way.
    pub network: Network,
    /// Whether the payment inside a shard has been made.
    pub local_done: bool,
    /// Whether a hold was stamped after its attempt was committed elsewhere: a reader may then miss the commit.
    pub stamped_late: bool,
}

impl State {
    /// The start, with clocks so far ahead.
    pub fn new(world: &World, ahead: [Time; SHARDS]) -> Self {
        let mut state = Self { ahead, ..Self::default() };
        for id in world.all_accounts() {
            let account = world.account(id);
            state.shards[account.home.at()].balances[id.at()] = Balance { debits: 0, credits: account.credits };
        }
        state.tell_time();
        state
    }

    /// Clocks follow their machines'.
    pub fn tell_time(&mut self) {
        for (shard, ahead) in self.shards.iter_mut().zip(self.ahead) {
            shard.clock = shard.clock.max(self.now + ahead);
        }
    }

    /// Whether an attempt was committed: its decider has recorded its first event.
    pub fn committed(&self, world: &World, key: AttemptId) -> bool {
        let request = world.request(key);
        request.events.first().is_some_and(|first| self.moved(request.decider, *first, key))
    }

    /// Whether a shard has recorded an event of this attempt.
    pub fn moved(&self, shard: ShardId, id: EventId, key: AttemptId) -> bool {
        matches!(self.shards[shard.at()].fates[id.at()], Fate::Moved { by, .. } if by == key)
    }

    /// Whether nothing is in doubt: no hold is open and no decision waits for anybody.
    pub fn at_rest(&self) -> bool {
        self.shards.iter().all(|s| s.holds.iter().all(Option::is_none) && s.outbox.iter().all(Option::is_none))
    }
}
