//! What is sent more than once moves money once.

use std::collections::HashMap;
use std::time::Duration;

use super::*;
use crate::fake::faults::{Fate, Faults, Seen};

/// One kind of operation, 200 transfers a second for a second.
fn only(mix: &str, requests: &str) -> String {
    let mut scenario = payments(200, &format!("deadline = \"60s\"\n{requests}"));
    scenario = scenario.replace("payment = 1\ninsufficient_funds = 0.1", mix);
    scenario
}

fn of_run(state: &State) -> Vec<Seen> {
    state.seen.iter().filter(|seen| seen.arrival.tag != tag(Kind::Opening)).copied().collect()
}

#[tokio::test]
async fn lost_and_busy_attempts_are_sent_again_until_they_are_answered() {
    for stream in [false, true] {
        let faults = Faults::scripted(|arrival| {
            let fate = match arrival.number % 7 {
                0 => Fate::Lose,
                1 => Fate::Busy,
                2 => Fate::Swallow,
                _ => Fate::Answer,
            };
            (fate, Duration::ZERO)
        });
        let scenario = only("payment = 1", &format!("stream = {stream}\nbatch = 4"));
        let (fake, record) = play_with(&scenario, |state| state.faults = faults).await;
        assert_proven(&record);
        let again = of_run(&fake.state()).iter().filter(|seen| seen.fate != Fate::Answer).count() as u64;
        let t = &record.totals;
        assert!(again > 5, "{again}");
        assert_eq!((t.done, t.retries, record.verdict), (t.planned, again, Verdict::Passed), "{t:?}");
        assert!(record.codes["exists"] > 0, "what was applied and lost exists the second time");
    }
}

#[tokio::test]
async fn a_chain_whose_answer_was_lost_is_known_to_be_done() {
    let faults = Faults::fate(Fate::Lose, |arrival| arrival.attempt == 1 && arrival.number % 2 == 0);
    let (fake, record) = play_with(&only("chain = 1", "batch = 2"), |state| state.faults = faults).await;
    assert_proven(&record);
    let lost = of_run(&fake.state()).iter().filter(|seen| seen.fate == Fate::Lose).count() as u64;
    let t = &record.totals;
    assert_eq!((t.done, t.retries), (t.planned, lost), "{t:?}");
    // Two chains of three in a request: the retry answers `exists` once a chain, and nothing of the other two.
    assert_eq!((record.codes["exists"], record.codes["linked_event_failed"]), (lost * 2, lost * 4));
}

#[tokio::test]
async fn the_auditor_settles_a_chain_of_which_nobody_knows() {
    let faults = Faults::fate(Fate::Lose, |arrival| arrival.attempt == 1 && arrival.number % 2 == 0);
    let (fake, record) = play_with(&only("chain = 1", "retry_for = \"0s\""), |state| state.faults = faults).await;
    assert_proven(&record);
    let lost: Vec<Seen> = of_run(&fake.state()).into_iter().filter(|seen| seen.fate == Fate::Lose).collect();
    let legs = lost.iter().map(|seen| seen.transfers as u64).sum::<u64>();
    let audit = record.audit.as_ref().unwrap();
    assert_eq!((audit.unknown, audit.unknown_were_made), (legs, legs));
}

#[tokio::test]
async fn duplicates_are_answered_exists_and_count_as_nothing_else() {
    for delay_ms in [0, 120] {
        let slow = Faults::delayed(move |_| Duration::from_millis(delay_ms));
        let (fake, record) = play_with(&only("payment = 1\nduplicates = 0.5", ""), |state| state.faults = slow).await;
        assert_proven(&record);
        let mut attempts: HashMap<u128, u64> = HashMap::new();
        of_run(&fake.state()).iter().for_each(|seen| *attempts.entry(seen.arrival.first).or_default() += 1);
        let again = attempts.values().filter(|&&count| count == 2).count() as u64;
        let t = &record.totals;
        assert!(again > 20 && attempts.values().all(|&count| count <= 2));
        assert_eq!((t.duplicates, record.codes["exists"], record.codes["created"]), (again, again, t.planned));
        assert_eq!((t.done, t.requests), (t.planned, t.planned + again));
        assert_eq!(record.latency.percentiles.count, t.planned, "a duplicate has no latency of its own");
    }
}

#[tokio::test]
async fn nothing_follows_what_has_no_answer_yet() {
    let is_slow = |arrival: &crate::fake::faults::Arrival| {
        arrival.tag == tag(Kind::Authorise) && arrival.number.is_multiple_of(2)
    };
    let faults = Faults::delayed(move |arrival| Duration::from_millis(if is_slow(arrival) { 1_300 } else { 0 }));
    let mix = "authorise = 1\n[mix.capture]\nshare = 0.5\nafter = \"500ms\"";
    let (fake, record) = play_with(&only(mix, ""), |state| state.faults = faults).await;
    assert_proven(&record);
    let all = of_run(&fake.state());
    let slow = all.iter().filter(|seen| is_slow(&seen.arrival)).count() as u64;
    let follow = all.iter().filter(|seen| seen.arrival.tag != tag(Kind::Authorise)).count() as u64;
    let t = &record.totals;
    // A slow machine may skip more, never less; and whatever was skipped never came.
    assert!(slow > 20 && follow > 20 && t.skipped >= slow, "{slow} {follow} {t:?}");
    // One more came: the auditor's, which voids what nothing followed.
    assert_eq!(t.planned + 1, all.len() as u64 + t.skipped);
    assert_eq!(t.planned, 2 * record.kinds["authorise"].planned, "each is captured or voided, or that is skipped");
}
