//! What shards do without any router: holders ask, deciders tell (`node/src/recovery.rs`).

use crate::mistake::Mistake;
use crate::names::{ALL, AttemptId, ShardId};
use crate::network::{Message, Network, Outcome};
use crate::state::State;
use crate::verbs;
use crate::world::World;

/// A hold is past its deadline: ask the decider.
pub(crate) fn ask(world: &World, state: &mut State, shard: ShardId, key: AttemptId) {
    let holder = &mut state.shards[shard.at()];
    if world.makes(Mistake::ReleaseByGuess) {
        holder.holds[key.at()] = None;
        return;
    }
    state.network.send(Message::Recover(key, shard, holder.clock));
}

/// A decision was not acknowledged for a while: tell those that it waits for.
pub(crate) fn tell(state: &mut State, decider: ShardId, key: AttemptId) {
    let Some(decision) = state.shards[decider.at()].outbox[key.at()] else { return };
    for shard in decision.waiting_for.iter() {
        state.network.send(Message::Finish(key, shard, Outcome::Committed(decision.amounts)));
    }
}

/// What comes of it when from now on no router does anything, nothing that is under way arrives, and every shard asks and
/// tells once, undisturbed.
pub(crate) fn settle(world: &World, state: &State) -> State {
    let mut settled = State { network: Network::default(), ..state.clone() };
    if settled.at_rest() {
        return settled;
    }
    for me in ALL {
        for key in world.all_attempts() {
            let holder = &settled.shards[me.at()];
            if holder.holds[key.at()].is_none() {
                continue;
            }
            if world.makes(Mistake::ReleaseByGuess) {
                settled.shards[me.at()].holds[key.at()] = None;
                continue;
            }
            let (decider, clock) = (world.request(key).decider, holder.clock);
            let outcome = verbs::recover(world, &mut settled.shards[decider.at()], key, clock);
            verbs::finish(world, me, &mut settled.shards[me.at()], key, &outcome);
            verbs::acknowledge(world, &mut settled.shards[decider.at()], key, me);
        }
    }
    for decider in ALL {
        for key in world.all_attempts() {
            let Some(decision) = settled.shards[decider.at()].outbox[key.at()] else { continue };
            for me in decision.waiting_for.iter() {
                let outcome = Outcome::Committed(decision.amounts);
                verbs::finish(world, me, &mut settled.shards[me.at()], key, &outcome);
                verbs::acknowledge(world, &mut settled.shards[decider.at()], key, me);
            }
        }
    }
    settled
}
