//! Mistakes that are built in on purpose: the checker finds what each of them leads to.
//!
//! `cargo test -p crest-protocol --test mistakes -- --nocapture` prints the shortest way to each, and so does
//! `cargo run -p crest-protocol --example explore -- --world WORLD --mistake MISTAKE`.

use clap::ValueEnum;
use crest_protocol::check::counterexample;
use crest_protocol::mistake::Mistake;
use crest_protocol::properties::{
    ATOMIC, FAILED_STAYS_FAILED, NO_DOUBLE_MOVE, NO_LIMIT_EXCEEDED, NO_LOST_DECISION, NO_MONEY_MADE,
    NOTHING_BELOW_SAFE_TIME,
};
use crest_protocol::scenarios::{self, Size};
use crest_protocol::world::{Delivery, World};

/// In which world a mistake does which damage.
fn damage(mistake: Mistake) -> &'static [(&'static str, &'static str)] {
    match mistake {
        Mistake::NoTombstone => &[("pair", ATOMIC), ("lossy", ATOMIC)],
        Mistake::DecideWithoutPrepare => &[("pair", ATOMIC)],
        Mistake::LatePrepareCounts => &[("pair", NO_DOUBLE_MOVE), ("pair", NOTHING_BELOW_SAFE_TIME)],
        Mistake::OutboxForgottenAtFirstAcknowledgement => &[("chain", ATOMIC), ("chain", NO_LOST_DECISION)],
        Mistake::AcknowledgeBeforeFinish => &[("pair", ATOMIC), ("lossy", NO_LOST_DECISION)],
        Mistake::ReleaseByGuess => &[("pair", ATOMIC), ("pair", NO_LOST_DECISION), ("pair", NO_MONEY_MADE)],
        Mistake::TombstoneForgottenEarly => &[("pair", ATOMIC)],
        Mistake::NoDecideWindow => &[("pair", ATOMIC)],
        Mistake::TombstoneIgnoresAskersClock => &[("skewed", ATOMIC)],
        Mistake::RouterWaitsForever => &[("pair", ATOMIC)],
        Mistake::AnswerBeforeDurable => &[("pair", NO_LOST_DECISION), ("pair", ATOMIC)],
        Mistake::RetryReusesAttempt => &[("pair", ATOMIC)],
        Mistake::DeciderForgetsIds => &[("failing", NO_DOUBLE_MOVE), ("failing", FAILED_STAYS_FAILED)],
        Mistake::RepeatedPrepareStartsAnew => {
            &[("balancing", ATOMIC), ("stepwise", ATOMIC), ("pair", NOTHING_BELOW_SAFE_TIME)]
        }
        Mistake::GiveUpIgnoresAnswer => &[("waiting", ATOMIC)],
        Mistake::FailedIdsOnlyOfOwnSteps => &[("failing", FAILED_STAYS_FAILED)],
        Mistake::FailedIdsNotTold => &[("failing", FAILED_STAYS_FAILED)],
        Mistake::HoldReservesNothing => &[("balancing", NO_LIMIT_EXCEEDED)],
    }
}

fn world(name: &str, mistake: Mistake) -> World {
    let world = scenarios::all(Size::Small).into_iter().find(|world| world.name == name);
    World { mistake: Some(mistake), ..world.unwrap_or_else(|| panic!("there is no world {name}")) }
}

#[test]
fn the_checker_finds_what_every_mistake_leads_to() {
    for mistake in Mistake::value_variants() {
        for (name, property) in damage(*mistake) {
            let found = counterexample(&world(name, *mistake), Some(property));
            let found =
                found.unwrap_or_else(|| panic!("{mistake:?} does not violate '{property}' in the world {name}"));
            println!("\n{mistake:?} in the world {name} violates '{property}':");
            found.path.iter().enumerate().for_each(|(i, step)| println!("{:>4}. {step}", i + 1));
        }
    }
}

/// Two of the mistakes need a network that brings a message twice, which ours does not; the third does not need it.
#[test]
fn without_repeated_messages_only_a_forgotten_failed_id_does_damage() {
    for (mistake, name, harmful) in [
        (Mistake::RepeatedPrepareStartsAnew, "balancing", false),
        (Mistake::RepeatedPrepareStartsAnew, "pair", false),
        (Mistake::GiveUpIgnoresAnswer, "waiting", false),
        (Mistake::FailedIdsOnlyOfOwnSteps, "failing", true),
    ] {
        let once = World { delivery: Delivery::Once, ..world(name, mistake) };
        assert_eq!(counterexample(&once, None).is_some(), harmful, "{mistake:?} in the world {name}");
    }
}
