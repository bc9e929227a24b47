//! The protocol as it is: every property holds in every state of every world, and every world reaches what it is for.
//!
//! `cargo test -p crest-protocol -- --nocapture` prints how many states there are.

use crest_protocol::check::explore;
use crest_protocol::scenarios::{self, Size};

#[test]
fn every_property_holds_in_every_state_of_every_small_world() {
    let mut total = 0;
    for world in scenarios::all(Size::Small) {
        let report = explore(world, 1);
        println!("{}: {} states, {} steps, depth {}", report.world, report.states, report.steps, report.depth);
        assert_eq!(report.violated, [""; 0], "{}: these do not hold", report.world);
        assert_eq!(report.missed, [""; 0], "{}: these were never reached", report.world);
        total += report.states;
    }
    println!("all: {total} states");
}
