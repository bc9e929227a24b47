//! One shard: its durable state, and the checks that it makes. All of it survives a crash: what is not durable is not known.

use crate::mistake::Mistake;
use crate::names::{
    ACCOUNTS_MAX, ATTEMPTS_MAX, AccountId, Amount, Amounts, AttemptId, EVENTS_MAX, EventId, ShardId, Shards, Time,
};
use crate::network::{Refusal, Why};
use crate::world::{Local, World};

/// What became of a transfer id on a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Nothing.
    #[default]
    Unknown,
    /// It failed with a transient status and never succeeds.
    Failed,
    /// It is recorded.
    Moved {
        /// By which attempt, the last time.
        by: AttemptId,
        /// How often: once, or money moved twice.
        times: u8,
    },
}

/// A promise to post the first so many steps of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    /// How many of this shard's steps.
    pub steps: u8,
    /// What they move.
    pub amounts: Amounts,
}

/// A decision that some participants have not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    /// What was decided to move.
    pub amounts: Amounts,
    /// Who has not acknowledged.
    pub waiting_for: Shards,
}

/// An attempt that must never commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tombstone {
    /// Since when.
    pub at: Time,
    /// The id that failed.
    pub burned: Option<EventId>,
}

/// An account's posted columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Balance {
    /// Sum of debits.
    pub debits: Amount,
    /// Sum of credits.
    pub credits: Amount,
}

/// A shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shard {
    /// Its clock: never behind the machine's, nor behind any other that it has seen.
    pub clock: Time,
    /// Of its own accounts, by account.
    pub balances: [Balance; ACCOUNTS_MAX],
    /// By event.
    pub fates: [Fate; EVENTS_MAX],
    /// By attempt.
    pub holds: [Option<Hold>; ATTEMPTS_MAX],
    /// By attempt.
    pub outbox: [Option<Decision>; ATTEMPTS_MAX],
    /// By attempt.
    pub tombstones: [Option<Tombstone>; ATTEMPTS_MAX],
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// So much moves.
    Accept(Amount),
    /// Certainly not.
    Refuse(Refusal),
    /// It depends on how something in doubt ends.
    Blocked,
}

/// What open holds reserve on one account.
#[derive(Default)]
struct Held {
    count: u8,
    /// The most by which posting them raises debits − credits on the way.
    need: Amount,
    /// The most by which posting them lowers it.
    relief: Amount,
}

impl Shard {
    /// Checks one event against the state with `balances` (those of a trial, after the steps before it).
    pub fn check(
        &self,
        world: &World,
        me: ShardId,
        balances: &[Balance; ACCOUNTS_MAX],
        id: EventId,
        most: Amount,
    ) -> Verdict {
        let refuse = |why| Verdict::Refuse(Refusal { event: id, why });
        if self.creates(world, me, id) {
            return Verdict::Blocked;
        }
        match self.fates[id.at()] {
            Fate::Moved { .. } => return refuse(Why::Exists),
            Fate::Failed => return refuse(Why::AlreadyFailed),
            Fate::Unknown => {}
        }
        let event = world.event(id);
        if event.resolves && self.resolved(world) {
            return refuse(Why::Resolved);
        }
        if world.account(event.from).home != me {
            return Verdict::Accept(most);
        }
        let (balance, held) = (balances[event.from.at()], self.held(world, me, event.from));
        if event.balancing {
            if held.count > 0 {
                return Verdict::Blocked;
            }
            return Verdict::Accept(most.min(balance.credits.saturating_sub(balance.debits)));
        }
        match fits(world.account(event.from).limited, balance, &held, most) {
            Some(true) => Verdict::Accept(most),
            Some(false) => refuse(Why::Exceeds),
            None => Verdict::Blocked,
        }
    }

    /// Whether a payment inside this shard may be made now.
    pub fn accepts(&self, world: &World, me: ShardId, local: &Local) -> bool {
        let (balance, held) = (self.balances[local.from.at()], self.held(world, me, local.from));
        fits(world.account(local.from).limited, balance, &held, local.amount) == Some(true)
    }

    /// Whether an open hold would create this id.
    fn creates(&self, world: &World, me: ShardId, id: EventId) -> bool {
        self.open().any(|(key, hold)| held_steps(world, me, key, hold).any(|e| e == id))
    }

    /// Whether something that resolves a pending transfer is recorded.
    fn resolved(&self, world: &World) -> bool {
        let moved = |fate: &Fate| matches!(fate, Fate::Moved { .. });
        world.events.iter().zip(&self.fates).any(|(e, fate)| e.resolves && moved(fate))
    }

    /// Open holds.
    pub fn open(&self) -> impl Iterator<Item = (AttemptId, &Hold)> {
        (0u8..).zip(&self.holds).filter_map(|(key, hold)| Some((AttemptId(key), hold.as_ref()?)))
    }

    fn held(&self, world: &World, me: ShardId, account: AccountId) -> Held {
        let mut held = Held::default();
        for (key, hold) in self.open() {
            let (mut up, mut down, mut need, mut touched) = (0u8, 0u8, 0u8, false);
            for id in held_steps(world, me, key, hold) {
                let (event, amount) = (world.event(id), hold.amounts[id.at()]);
                up += if event.from == account { amount } else { 0 };
                down += if event.to == account { amount } else { 0 };
                need = need.max(up.saturating_sub(down));
                touched |= event.from == account || event.to == account;
            }
            held.count += u8::from(touched);
            held.need += if world.makes(Mistake::HoldReservesNothing) { 0 } else { need };
            held.relief += down;
        }
        held
    }
}

/// The steps that a hold promises to post.
pub fn held_steps(world: &World, me: ShardId, key: AttemptId, hold: &Hold) -> impl Iterator<Item = EventId> {
    world.steps(key, me).take(usize::from(hold.steps))
}

/// Moves the part of an event that is on this shard.
pub fn apply(world: &World, me: ShardId, balances: &mut [Balance; ACCOUNTS_MAX], id: EventId, amount: Amount) {
    let event = world.event(id);
    if world.account(event.from).home == me {
        balances[event.from.at()].debits += amount;
    }
    if world.account(event.to).home == me {
        balances[event.to.at()].credits += amount;
    }
}

/// The limit: it fits when it fits even if all holds that take room are posted and none that gives room is; it does not when
/// it would not even in the opposite case; otherwise nobody can say yet (`None`).
fn fits(limited: bool, balance: Balance, held: &Held, amount: Amount) -> Option<bool> {
    if !limited || balance.debits + held.need + amount <= balance.credits {
        return Some(true);
    }
    (balance.debits + amount > balance.credits + held.relief).then_some(false)
}
