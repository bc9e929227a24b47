//! Every next step: what the checker explores.

use std::fmt;

use stateright::{Model, Property};

use crate::mistake::Mistake;
use crate::names::{ALL, AttemptId, ShardId};
use crate::network::{Message, Network, Outcome};
use crate::properties;
use crate::recovery;
use crate::router::{Router, Step};
use crate::state::State;
use crate::verbs;
use crate::world::{Delivery, TOMBSTONE_KEPT, World};

/// The protocol in one world.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// The world.
    pub world: World,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A client sends the attempt's request to its router: at first, or as a retry.
    Start(AttemptId),
    /// A message arrives and is worked on; at a shard, that is one durable log entry.
    Deliver(Message),
    /// A message is lost ([`Delivery::Once`]).
    Lose(Message),
    /// A router forgets everything ([`Delivery::Once`]).
    CrashRouter(AttemptId),
    /// A shard loses what it has under way, and nothing else ([`Delivery::Once`]).
    CrashShard(ShardId),
    /// A hold is past its deadline: its shard asks the decider.
    Ask(ShardId, AttemptId),
    /// A decision was not acknowledged for a while: its shard tells the participants.
    Tell(ShardId, AttemptId),
    /// A shard forgets a tombstone that is past its time.
    Forget(ShardId, AttemptId),
    /// Another client's payment inside a shard.
    Local,
    /// Time goes on.
    Tick,
    /// A message arrives, is answered, and the shard dies before its entry is durable ([`Mistake::AnswerBeforeDurable`]).
    AnswerAndLose(Message),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(attempt) => write!(f, "the client asks router {attempt:?}"),
            Self::Deliver(message) => write!(f, "{message}"),
            Self::Lose(message) => write!(f, "lost: {message}"),
            Self::CrashRouter(attempt) => write!(f, "router {attempt:?} crashes"),
            Self::CrashShard(shard) => write!(f, "shard {shard:?} crashes and starts again"),
            Self::Ask(shard, key) => write!(f, "{shard:?}: the hold of attempt {key:?} is past its deadline"),
            Self::Tell(shard, key) => write!(f, "{shard:?}: the decision of attempt {key:?} waits in the outbox"),
            Self::Forget(shard, key) => write!(f, "{shard:?} forgets the tombstone of attempt {key:?}"),
            Self::Local => write!(f, "a payment inside a shard"),
            Self::Tick => write!(f, "time goes on"),
            Self::AnswerAndLose(message) => write!(f, "{message}; answered, and lost before it was durable"),
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        self.world.ahead.iter().map(|ahead| State::new(&self.world, *ahead)).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let world = &self.world;
        let once = world.delivery == Delivery::Once;
        for attempt in world.all_attempts() {
            match state.routers[attempt.at()] {
                Router::Idle => actions.push(Action::Start(attempt)),
                Router::Done | Router::Crashed => {}
                _ if once => actions.push(Action::CrashRouter(attempt)),
                _ => {}
            }
        }
        for message in state.network.iter() {
            actions.push(Action::Deliver(*message));
            if once {
                actions.push(Action::Lose(*message));
            }
            if world.makes(Mistake::AnswerBeforeDurable) && matches!(message, Message::Decide(..)) {
                actions.push(Action::AnswerAndLose(*message));
            }
        }
        for shard in ALL {
            self.shard_actions(state, shard, actions);
            if once {
                actions.push(Action::CrashShard(shard));
            }
        }
        if let Some(local) = &world.local
            && !state.local_done
        {
            let me = world.account(local.from).home;
            if state.shards[me.at()].accepts(world, me, local) {
                actions.push(Action::Local);
            }
        }
        if state.now < world.ticks {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.step(&mut state, action);
        Network::tidy(&self.world, &mut state);
        (state != *last).then_some(state)
    }

    fn format_action(&self, action: &Action) -> String {
        action.to_string()
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let always = properties::ALL_OF_THEM.iter().map(|(name, holds)| Property::always(name, *holds));
        let goals = self.world.goals.iter().map(|(name, reached)| Property::sometimes(name, *reached));
        always.chain(goals).collect()
    }
}

impl Protocol {
    fn shard_actions(&self, state: &State, me: ShardId, actions: &mut Vec<Action>) {
        let shard = &state.shards[me.at()];
        for key in self.world.all_attempts() {
            if shard.holds[key.at()].is_some() {
                actions.push(Action::Ask(me, key));
            }
            if shard.outbox[key.at()].is_some() {
                actions.push(Action::Tell(me, key));
            }
            if let Some(tombstone) = shard.tombstones[key.at()] {
                let old = tombstone.at + TOMBSTONE_KEPT <= shard.clock;
                if old || self.world.makes(Mistake::TombstoneForgottenEarly) {
                    actions.push(Action::Forget(me, key));
                }
            }
        }
    }

    fn step(&self, state: &mut State, action: Action) {
        let world = &self.world;
        match action {
            Action::Start(attempt) => self.router(state, attempt, |step, _| step.start()),
            Action::Deliver(message) => {
                if world.delivery == Delivery::Once {
                    state.network.remove(&message);
                }
                self.deliver(state, message);
            }
            Action::Lose(message) => state.network.remove(&message),
            Action::CrashRouter(attempt) => state.routers[attempt.at()] = Router::Crashed,
            Action::CrashShard(shard) => state.network.cut_off(world, shard),
            Action::Ask(shard, key) => recovery::ask(world, state, shard, key),
            Action::Tell(shard, key) => recovery::tell(state, shard, key),
            Action::Forget(shard, key) => state.shards[shard.at()].tombstones[key.at()] = None,
            Action::Local => {
                if let Some(local) = &world.local {
                    let me = world.account(local.from).home;
                    let balances = &mut state.shards[me.at()].balances;
                    balances[local.from.at()].debits += local.amount;
                    balances[local.to.at()].credits += local.amount;
                    state.local_done = true;
                }
            }
            Action::Tick => {
                state.now += 1;
                state.tell_time();
                let now = state.now;
                state.routers.iter_mut().for_each(|router| router.tick(world, now));
            }
            Action::AnswerAndLose(message) => {
                let before = state.shards.clone();
                self.deliver(state, message);
                state.shards = before;
            }
        }
    }

    fn deliver(&self, state: &mut State, message: Message) {
        let world = &self.world;
        let me = message.shard(world);
        let shard = &mut state.shards[me.at()];
        match message {
            Message::Prepare(attempt, _, steps) => {
                let key = world.key(attempt);
                let before = shard.holds[key.at()].is_some();
                let vote = verbs::prepare(world, me, shard, key, steps);
                let renewed = !before || world.makes(Mistake::RepeatedPrepareStartsAnew);
                let held = shard.holds[key.at()].is_some();
                state.stamped_late |= held && renewed && state.committed(world, key);
                state.network.send(Message::Vote(attempt, me, steps, vote));
            }
            Message::Decide(attempt, ballot) => {
                let decided = verbs::decide(world, me, shard, world.key(attempt), &ballot);
                state.network.send(Message::Decided(attempt, decided));
            }
            Message::Finish(key, _, outcome) => {
                verbs::finish(world, me, shard, key, &outcome);
                state.network.send(match outcome {
                    Outcome::Committed(_) => Message::Acknowledge(key, me),
                    Outcome::Released(_) => Message::Finished(key, me),
                });
            }
            Message::Acknowledge(key, from) => verbs::acknowledge(world, shard, key, from),
            Message::Recover(key, from, asked_at) => {
                let outcome = verbs::recover(world, shard, key, asked_at);
                state.network.send(Message::Finish(key, from, outcome));
            }
            Message::GiveUp(attempt, asked_at) => {
                let outcome = verbs::recover(world, shard, world.key(attempt), asked_at);
                state.network.send(Message::GaveUp(attempt, outcome));
            }
            Message::Vote(attempt, from, _, vote) => self.router(state, attempt, |s, r| s.vote(r, from, vote)),
            Message::Decided(attempt, decided) => self.router(state, attempt, |s, r| s.decided(r, decided)),
            Message::GaveUp(attempt, outcome) => self.router(state, attempt, |s, r| s.gave_up(r, outcome)),
            Message::Finished(attempt, from) => self.router(state, attempt, |s, r| s.finished(r, from)),
        }
    }

    fn router(&self, state: &mut State, attempt: AttemptId, react: impl FnOnce(&mut Step<'_>, Router) -> Router) {
        let before = state.routers[attempt.at()];
        let told = &mut state.told[attempt.at()];
        let mut step = Step { world: &self.world, attempt, now: state.now, network: &mut state.network, told };
        state.routers[attempt.at()] = react(&mut step, before);
    }
}
