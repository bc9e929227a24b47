//! What a shard does when a message comes: the verbs of `ledger/src/verbs`, one function each. Each is one durable log entry.

use crate::mistake::Mistake;
use crate::names::{Amounts, AttemptId, ShardId, Shards, Time};
use crate::network::{Ballot, Decided, Outcome, Refusal, Vote, Why};
use crate::shard::{Decision, Fate, Hold, Shard, Tombstone, Verdict, apply};
use crate::world::{DECIDE_WINDOW, World};

/// Prepare: check the first `steps` steps in order and reserve what they need.
pub(crate) fn prepare(world: &World, me: ShardId, shard: &mut Shard, key: AttemptId, steps: u8) -> Vote {
    let clock = shard.clock;
    if let Some(hold) = shard.holds[key.at()]
        && hold.steps >= steps
        && !world.makes(Mistake::RepeatedPrepareStartsAnew)
    {
        return Vote::Held { amounts: hold.amounts, clock };
    }
    shard.holds[key.at()] = None;
    let mut amounts = world.amounts();
    let mut balances = shard.balances;
    for id in world.steps(key, me).take(usize::from(steps)) {
        let mut seen = shard.clone();
        if world.makes(Mistake::LatePrepareCounts) {
            seen.fates = Default::default();
        }
        match seen.check(world, me, &balances, id, amounts[id.at()]) {
            Verdict::Accept(amount) => amounts[id.at()] = amount,
            Verdict::Refuse(refusal) => return Vote::Refused(refusal),
            Verdict::Blocked => return Vote::Blocked,
        }
        apply(world, me, &mut balances, id, amounts[id.at()]);
    }
    shard.holds[key.at()] = Some(Hold { steps, amounts });
    Vote::Held { amounts, clock }
}

/// Decide: the last agent checks its own side, moves its own money and records the decision, in one log entry.
pub(crate) fn decide(world: &World, me: ShardId, shard: &mut Shard, key: AttemptId, ballot: &Ballot) -> Decided {
    if let Some(decision) = &shard.outbox[key.at()] {
        return Decided::Committed(decision.amounts);
    }
    shard.clock = shard.clock.max(ballot.clock);
    let too_late = ballot.prepared_at.is_some_and(|at| shard.clock >= at + DECIDE_WINDOW);
    if shard.tombstones[key.at()].is_some() || too_late && !world.makes(Mistake::NoDecideWindow) {
        return Decided::Aborted;
    }
    let own_hold = shard.holds[key.at()].take();
    match try_request(world, me, shard, key, ballot) {
        Ok(amounts) => {
            let waiting_for = ballot.held.without(me);
            shard.outbox[key.at()] = Some(Decision { amounts, waiting_for }).filter(|d| !d.waiting_for.is_empty());
            Decided::Committed(amounts)
        }
        Err(Some(refusal)) => {
            burn(shard, refusal);
            bury(shard, key, Tombstone { at: shard.clock, burned: refusal.burned() });
            Decided::Refused(refusal)
        }
        Err(None) => {
            shard.holds[key.at()] = own_hold;
            Decided::Blocked
        }
    }
}

/// Tries all events in order, and keeps them when nothing refuses. `Err(None)`: blocked.
fn try_request(
    world: &World,
    me: ShardId,
    shard: &mut Shard,
    key: AttemptId,
    ballot: &Ballot,
) -> Result<Amounts, Option<Refusal>> {
    let (mut after, mut seen) = (shard.clone(), shard.clone());
    if world.makes(Mistake::DeciderForgetsIds) {
        seen.fates = Default::default();
    }
    let mut amounts = ballot.amounts;
    for id in &world.request(key).events {
        let mut own = None;
        if world.touches(*id, me) {
            match seen.check(world, me, &after.balances, *id, amounts[id.at()]) {
                Verdict::Accept(amount) => {
                    amounts[id.at()] = amount;
                    apply(world, me, &mut after.balances, *id, amount);
                    after.fates[id.at()] = moved(shard.fates[id.at()], key);
                }
                Verdict::Refuse(refusal) => own = Some(refusal),
                Verdict::Blocked => return Err(None),
            }
        } else if shard.fates[id.at()] == Fate::Failed && looks_up_all(world) {
            own = Some(Refusal { event: *id, why: Why::AlreadyFailed });
        }
        let others = ballot.refusal.filter(|r| r.event == *id);
        if let Some(first) = own.into_iter().chain(others).min() {
            return Err(Some(first));
        }
    }
    *shard = after;
    Ok(amounts)
}

fn looks_up_all(world: &World) -> bool {
    !world.makes(Mistake::FailedIdsOnlyOfOwnSteps) && !world.makes(Mistake::FailedIdsNotTold)
}

fn moved(before: Fate, by: AttemptId) -> Fate {
    let times = if let Fate::Moved { times, .. } = before { times + 1 } else { 1 };
    Fate::Moved { by, times }
}

/// Finish: post or release the hold. Without a hold it was done before.
pub(crate) fn finish(world: &World, me: ShardId, shard: &mut Shard, key: AttemptId, outcome: &Outcome) {
    let hold = shard.holds[key.at()].take();
    match outcome {
        Outcome::Committed(amounts) => {
            let Some(hold) = hold else { return };
            for id in world.steps(key, me).take(usize::from(hold.steps)) {
                apply(world, me, &mut shard.balances, id, amounts[id.at()]);
                shard.fates[id.at()] = moved(shard.fates[id.at()], key);
            }
        }
        Outcome::Released(burned) => {
            if let Some(event) = *burned {
                burn(shard, Refusal { event, why: Why::Exceeds });
            }
        }
    }
}

/// Acknowledge: a participant has finished; once all have, the decision leaves the outbox.
pub(crate) fn acknowledge(world: &World, shard: &mut Shard, key: AttemptId, participant: ShardId) {
    let Some(decision) = &mut shard.outbox[key.at()] else { return };
    decision.waiting_for = decision.waiting_for.without(participant);
    if world.makes(Mistake::OutboxForgottenAtFirstAcknowledgement) {
        decision.waiting_for = Shards::default();
    }
    if decision.waiting_for.is_empty() {
        shard.outbox[key.at()] = None;
    }
}

/// Recover: what became of an attempt? Of one that the decider knows nothing of, nothing ever will: it records a tombstone.
pub(crate) fn recover(world: &World, shard: &mut Shard, key: AttemptId, asked_at: Time) -> Outcome {
    if !world.makes(Mistake::TombstoneIgnoresAskersClock) {
        shard.clock = shard.clock.max(asked_at);
    }
    if let Some(decision) = &shard.outbox[key.at()] {
        return Outcome::Committed(decision.amounts);
    }
    let known = shard.tombstones[key.at()];
    let burned = known.and_then(|t| t.burned);
    if known.is_none() {
        shard.holds[key.at()] = None;
        if !world.makes(Mistake::NoTombstone) {
            bury(shard, key, Tombstone { at: shard.clock, burned });
        }
    }
    Outcome::Released(burned)
}

fn bury(shard: &mut Shard, key: AttemptId, tombstone: Tombstone) {
    shard.tombstones[key.at()] = Some(tombstone);
}

/// Remembers a failed id, unless more is known of it.
fn burn(shard: &mut Shard, refusal: Refusal) {
    if let Some(id) = refusal.burned()
        && shard.fates[id.at()] == Fate::Unknown
    {
        shard.fates[id.at()] = Fate::Failed;
    }
}
