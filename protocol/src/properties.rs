//! What must hold in every reachable state. SEMANTICS.md, section 9, and PROTOCOL.md say the same in prose.

use crate::model::Protocol;
use crate::names::ALL;
use crate::recovery::settle;
use crate::router::Told;
use crate::shard::Fate;
use crate::state::State;
use crate::world::World;

/// All or nothing: when the decider has committed, every participant has recorded all of its part or holds it to the end;
/// when it has not, nobody has recorded any of it.
pub const ATOMIC: &str = "atomic";
/// An id is recorded at most once on a shard, and by the same attempt everywhere; what is resolved is resolved once.
pub const NO_DOUBLE_MOVE: &str = "no double move";
/// What a client was told is done is recorded by the decider, and on all its shards once they have asked and told.
pub const NO_LOST_DECISION: &str = "no lost decision";
/// A limited account never has more debits than credits.
pub const NO_LIMIT_EXCEEDED: &str = "no limit exceeded";
/// Shards alone end everything: when each asks and tells once, no hold is open and no decision waits.
pub const EVERY_HOLD_ENDS: &str = "every hold ends";
/// Then debits equal credits, so no money was lost or made.
pub const NO_MONEY_MADE: &str = "no money made or lost";
/// An id that a client was told has failed for good never succeeds.
pub const FAILED_STAYS_FAILED: &str = "failed stays failed";
/// An open hold is older than its attempt's commit, so a reader that waits for holds below its instant misses nothing.
pub const NOTHING_BELOW_SAFE_TIME: &str = "nothing below safe time";

type Holds = fn(&Protocol, &State) -> bool;

/// All of them.
pub const ALL_OF_THEM: [(&str, Holds); 8] = [
    (ATOMIC, |model, state| atomic(&model.world, state)),
    (NO_DOUBLE_MOVE, |model, state| no_double_move(&model.world, state)),
    (NO_LOST_DECISION, |model, state| no_lost_decision(&model.world, state)),
    (NO_LIMIT_EXCEEDED, |model, state| no_limit_exceeded(&model.world, state)),
    (EVERY_HOLD_ENDS, |model, state| settle(&model.world, state).at_rest()),
    (NO_MONEY_MADE, |model, state| no_money_made(&model.world, &settle(&model.world, state))),
    (FAILED_STAYS_FAILED, |model, state| failed_stays_failed(&model.world, state)),
    (NOTHING_BELOW_SAFE_TIME, |_, state| !state.stamped_late),
];

fn atomic(world: &World, state: &State) -> bool {
    world.all_attempts().all(|attempt| {
        let key = world.key(attempt);
        let committed = state.committed(world, key);
        ALL.into_iter().all(|shard| {
            let moved = world.steps(key, shard).filter(|id| state.moved(shard, *id, key)).count();
            let all = world.steps(key, shard).count();
            let held = state.shards[shard.at()].holds[key.at()].is_some_and(|h| usize::from(h.steps) == all);
            if committed { moved == all || moved == 0 && held } else { moved == 0 }
        })
    })
}

fn no_double_move(world: &World, state: &State) -> bool {
    let moved = |fate: &Fate| matches!(fate, Fate::Moved { .. });
    let once = |fate: &Fate| !matches!(fate, Fate::Moved { times, .. } if *times > 1);
    let each_once = state.shards.iter().all(|shard| shard.fates.iter().all(once));
    let by_one = (0..world.events.len()).all(|event| {
        let mut by = state.shards.iter().map(|s| s.fates[event]).filter(moved);
        by.next().is_none_or(|first| by.all(|other| other == first))
    });
    let resolved = (0..world.events.len())
        .filter(|event| world.events[*event].resolves && state.shards.iter().any(|s| moved(&s.fates[*event])));
    each_once && by_one && resolved.count() <= 1
}

fn no_lost_decision(world: &World, state: &State) -> bool {
    let mut done = world
        .all_attempts()
        .filter(|attempt| matches!(state.told[attempt.at()], Some(Told::Created | Told::Exists)))
        .peekable();
    if done.peek().is_none() {
        return true;
    }
    let settled = settle(world, state);
    let recorded = |shard: usize, event: usize| matches!(settled.shards[shard].fates[event], Fate::Moved { .. });
    done.all(|attempt| {
        world.request(attempt).events.iter().all(|id| {
            let (from, to) = world.homes(*id);
            recorded(from.at(), id.at()) && recorded(to.at(), id.at())
        })
    })
}

fn no_limit_exceeded(world: &World, state: &State) -> bool {
    world.all_accounts().filter(|id| world.account(*id).limited).all(|id| {
        let balance = state.shards[world.account(id).home.at()].balances[id.at()];
        balance.debits <= balance.credits
    })
}

fn no_money_made(world: &World, settled: &State) -> bool {
    let (mut debits, mut credits) = (0u32, 0u32);
    for id in world.all_accounts() {
        let account = world.account(id);
        let balance = settled.shards[account.home.at()].balances[id.at()];
        debits += u32::from(balance.debits) + u32::from(account.credits);
        credits += u32::from(balance.credits);
    }
    debits == credits
}

fn failed_stays_failed(world: &World, state: &State) -> bool {
    world.all_attempts().all(|attempt| {
        let Some(Told::Failed(id)) = state.told[attempt.at()] else { return true };
        state.shards.iter().all(|shard| !matches!(shard.fates[id.at()], Fate::Moved { .. }))
    })
}
