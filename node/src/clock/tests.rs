//! A process's clock when the machine's is wrong, and when the other nodes' say otherwise.

use super::*;

const SECOND: u64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND as i64;
const START: u64 = 1_700_000_000 * SECOND;

/// A machine whose clocks move by hand.
#[derive(Clone, Default)]
struct Hands(Arc<(AtomicU64, AtomicU64)>);

impl Readings for Hands {
    fn monotonic(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }

    fn wall(&self) -> Timestamp {
        self.0.1.load(Ordering::Relaxed)
    }
}

impl Hands {
    fn new() -> Self {
        let hands = Self::default();
        hands.0.1.store(START, Ordering::Relaxed);
        hands
    }

    fn pass(&self, seconds: u64) {
        self.0.0.fetch_add(seconds * SECOND, Ordering::Relaxed);
        self.0.1.fetch_add(seconds * SECOND, Ordering::Relaxed);
    }

    fn jump(&self, ns: i64) {
        self.0.1.store(self.wall().saturating_add_signed(ns), Ordering::Relaxed);
    }
}

/// A clock of a cluster, and its machine.
fn clock() -> (ProcessClock, Hands) {
    let hands = Hands::new();
    (ProcessClock::of_cluster(Box::new(hands.clone())), hands)
}

/// The clocks of other nodes, that far ahead of the true time, as `clock` finds them.
fn others(clock: &ProcessClock, hands: &Hands, ahead: &[i64]) -> Vec<(u32, Offsets)> {
    let truth = START + hands.monotonic();
    let of = |ns: &i64| Offsets::measured(truth.saturating_add_signed(*ns), clock.now(), 2_000_000);
    (2..).zip(ahead.iter().map(of)).collect()
}

/// Lets a second pass, then compares with the others of a cluster.
fn compare(clock: &ProcessClock, hands: &Hands, nodes: usize, ahead: &[i64]) {
    hands.pass(1);
    clock.compared(nodes, &others(clock, hands, ahead));
}

#[test]
fn a_jump_is_not_followed_and_a_correction_of_it_is_none() {
    let hands = Hands::new();
    let clock = ProcessClock::alone(Box::new(hands.clone()));
    hands.pass(10);
    assert_eq!(clock.now(), START + 10 * SECOND);
    hands.jump(HOUR);
    hands.pass(3);
    let now = clock.now();
    assert!(now.abs_diff(START + 13 * SECOND) <= 2_000_000, "{now}");
    assert!((clock.wall_offset() - HOUR).abs() <= 2_000_000);
    hands.jump(-HOUR);
    hands.pass(10);
    assert!(clock.now().abs_diff(START + 23 * SECOND) <= 2_000_000);
}

#[test]
fn a_jump_is_reported_once() {
    let clock = ProcessClock::alone(Box::new(Hands::new()));
    let mut state = clock.state();
    let at = |s: u64| s * SECOND;
    assert_eq!(state.jump(at(5), START, START), None);
    assert_eq!(state.jump(at(6), START.saturating_add_signed(HOUR), START), Some(HOUR));
    assert_eq!(state.jump(at(7), START.saturating_add_signed(HOUR), START), None, "it was reported");
    assert_eq!(state.jump(at(8), START.saturating_add_signed(2 * HOUR), START), Some(2 * HOUR));
    assert_eq!(state.jump(at(9), START, START), None, "it is back");
    assert_eq!(state.jump(at(10), START.saturating_add_signed(HOUR), START), Some(HOUR), "and jumps again");
}

#[test]
fn a_process_that_starts_leads_once_a_majority_agrees() {
    let (clock, hands) = clock();
    assert!(!clock.is_trusted() && clock.problem().is_some());
    compare(&clock, &hands, 3, &[]);
    assert!(!clock.is_trusted(), "nobody has answered yet");
    compare(&clock, &hands, 3, &[20_000_000]);
    assert!(clock.is_trusted());
}

#[test]
fn a_start_with_a_wrong_clock_stamps_nothing_until_the_clock_is_right() {
    for wrong in [HOUR, -HOUR, 2 * SECOND as i64] {
        let (clock, hands) = clock();
        hands.jump(wrong);
        for _ in 0..100 {
            compare(&clock, &hands, 3, &[0, 5_000_000]);
            assert!(!clock.is_trusted());
        }
        let why = clock.problem().unwrap();
        assert!(why.contains("node 2's by") && why.contains("node 3's by") && why.contains("majority"), "{why}");
        hands.jump(-wrong);
        compare(&clock, &hands, 3, &[0, 5_000_000]);
        assert_eq!(clock.problem(), None);
        assert!(clock.now().abs_diff(START + hands.monotonic()) < SECOND, "the right time is taken at once");
    }
}

#[test]
fn between_two_nodes_nobody_knows_who_is_right_so_who_starts_waits_and_who_runs_goes_on() {
    let (clock, hands) = clock();
    compare(&clock, &hands, 2, &[HOUR]);
    assert!(clock.problem().unwrap().contains("no majority"));
    compare(&clock, &hands, 2, &[0]);
    assert!(clock.is_trusted());
    for _ in 0..100 {
        compare(&clock, &hands, 2, &[HOUR]);
    }
    assert!(clock.is_trusted());
    assert!(!ClockSource::Process(clock.clone()).may_trust(2));
    assert!(clock.now().abs_diff(START + hands.monotonic()) < SECOND, "and is not drawn along");
}

#[test]
fn a_node_whose_peers_are_down_waits_for_a_while_and_then_leads() {
    let (clock, hands) = clock();
    compare(&clock, &hands, 3, &[]);
    assert!(!clock.is_trusted());
    hands.pass(CLOCK_START_PATIENCE.as_secs());
    compare(&clock, &hands, 3, &[]);
    assert!(clock.is_trusted());
}

#[test]
fn one_that_could_not_be_compared_stops_when_it_is_contradicted_and_takes_the_right_time() {
    let (clock, hands) = clock();
    hands.jump(HOUR);
    hands.pass(CLOCK_START_PATIENCE.as_secs());
    compare(&clock, &hands, 2, &[]);
    assert!(clock.is_trusted(), "nobody has contradicted it");
    hands.jump(-HOUR);
    compare(&clock, &hands, 2, &[0]);
    assert!(!clock.is_trusted());
    compare(&clock, &hands, 2, &[0]);
    assert!(clock.is_trusted());
    assert!(clock.now().abs_diff(START + hands.monotonic()) < SECOND);
}

#[test]
fn one_that_is_contradicted_and_then_left_alone_leads_again_after_the_same_while() {
    let (clock, hands) = clock();
    compare(&clock, &hands, 3, &[HOUR, HOUR]);
    assert!(!clock.is_trusted());
    compare(&clock, &hands, 3, &[]);
    assert!(!clock.is_trusted());
    hands.pass(CLOCK_START_PATIENCE.as_secs());
    compare(&clock, &hands, 3, &[]);
    assert!(clock.is_trusted());
}

#[test]
fn a_node_that_leads_stops_when_a_majority_contradicts_it() {
    let (clock, hands) = clock();
    compare(&clock, &hands, 3, &[0, 0]);
    assert!(clock.is_trusted());
    compare(&clock, &hands, 3, &[HOUR, 0]);
    assert!(clock.is_trusted(), "one of two is wrong");
    compare(&clock, &hands, 3, &[HOUR, HOUR]);
    assert!(!clock.is_trusted());
}

#[test]
fn steering_ends_where_the_majority_would_not_agree_any_more() {
    let (clock, hands) = clock();
    compare(&clock, &hands, 3, &[0, 0]);
    hands.jump(HOUR);
    // The machine's clock stays wrong for five hours; half a second is as far as it draws the process along.
    for _ in 0..18_000 {
        compare(&clock, &hands, 3, &[0, 0]);
        assert!(clock.is_trusted());
    }
    let ahead = clock.now() - (START + hands.monotonic());
    assert!(ahead <= 2 * CLOCK_TOLERANCE, "{ahead}");
    assert!(ahead >= CLOCK_TOLERANCE / 2, "it is steered: {ahead}");
}

const CLOCK_TOLERANCE: u64 = crate::limits::CLOCK_TOLERANCE_NS as u64;
