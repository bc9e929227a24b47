//! What becomes of requests, counted by the generator as the server knows it.

use std::time::Duration;

use crest_ledger::Transfer;

use crest_ledger::TransferFlags;

use super::*;
use crate::fake::faults::{Fate, Faults, Seen};

/// Between two looks at the fake. Whoever looks is bounded by the run that it looks at.
const LOOK: Duration = Duration::from_millis(10);

const NEVER_AGAIN: &str = "deadline = \"60s\"\nretry_for = \"0s\"";

/// The first attempts of requests that had this fate, of the run itself.
fn with_fate(state: &State, fate: Fate) -> Vec<Seen> {
    let of_run = |seen: &&Seen| seen.arrival.tag != tag(Kind::Opening) && seen.arrival.attempt == 1;
    state.seen.iter().filter(of_run).filter(|seen| seen.fate == fate).copied().collect()
}

/// By turns: applied and lost, lost before it was applied, answered, answered. Only the first time.
fn losing_half() -> Faults {
    Faults::scripted(|arrival| {
        let fate = match (arrival.attempt, arrival.number % 4) {
            (1, 0) => Fate::Lose,
            (1, 1) => Fate::Swallow,
            _ => Fate::Answer,
        };
        (if arrival.tag == tag(Kind::Opening) { Fate::Answer } else { fate }, Duration::ZERO)
    })
}

#[tokio::test]
async fn unknown_outcomes_are_settled_and_counted_as_what_they_were() {
    let (fake, record) = play_with(&payments(400, NEVER_AGAIN), |state| state.faults = losing_half()).await;
    assert_proven(&record);
    let state = fake.state();
    let (lost, swallowed) = (with_fate(&state, Fate::Lose), with_fate(&state, Fate::Swallow));
    let made = |seen: &&Seen| state.transfers.contains_key(&seen.arrival.first);
    let (were_made, made_now) = (lost.iter().filter(made).count(), swallowed.iter().filter(made).count());
    let all = lost.len() + swallowed.len();
    assert!(were_made > 0 && made_now > 0 && were_made + made_now < all, "{were_made} {made_now} {all}");
    let audit = record.audit.as_ref().unwrap();
    let settled = [audit.unknown, audit.unknown_were_made, audit.unknown_made_now, audit.unknown_refused];
    assert_eq!(settled, [all, were_made, made_now, all - were_made - made_now].map(|count| count as u64));
    assert_eq!((record.totals.unknown, record.totals.retries, record.verdict), (all as u64, 0, Verdict::Passed));
}

#[tokio::test]
async fn outcomes_that_stay_unknown_prove_nothing() {
    let forever = Faults::scripted(|arrival| {
        let fate = match (arrival.number % 10, arrival.attempt) {
            (0, 1) => Fate::Lose,
            (_, 1) => Fate::Answer,
            _ => Fate::Refuse,
        };
        (fate, Duration::ZERO)
    });
    let (fake, record) = play_with(&payments(200, NEVER_AGAIN), |state| state.faults = forever).await;
    let left = with_fate(&fake.state(), Fate::Lose).len() as u64;
    let audit = record.audit.as_ref().unwrap();
    assert_eq!((audit.unknown, audit.unknown_left, audit.wrong.len()), (left, left, 0), "{:?}", audit.wrong);
    assert_eq!(record.verdict, Verdict::CouldNotRun);
    assert!(record.reasons.contains(&format!("{left} outcomes are unknown still")), "{:?}", record.reasons);
}

#[tokio::test]
async fn what_the_router_refuses_or_is_too_busy_for_is_not_sent() {
    for fate in [Fate::Refuse, Fate::Busy] {
        let faults = Faults::fate(fate, |arrival| arrival.tag == tag(Kind::Payment) && arrival.number % 5 == 0);
        let (fake, record) = play_with(&payments(200, NEVER_AGAIN), |state| state.faults = faults).await;
        assert_proven(&record);
        let refused = with_fate(&fake.state(), fate).len() as u64;
        assert!(refused > 0);
        assert_eq!((record.totals.not_sent, record.totals.unknown), (refused, 0), "{fate:?}");
    }
}

#[tokio::test]
async fn somebody_elses_transfers_leave_it_undecided_and_not_wrong() {
    let (fake, url) = Fake::serve().await;
    let other = tokio::spawn({
        let fake = fake.clone();
        async move {
            while fake.state().seen.len() < 50 {
                tokio::time::sleep(LOOK).await;
            }
            // One that has no limit, so that the transfer is made whoever it is.
            let mut state = fake.state();
            let free = |a: &&crest_ledger::Account| a.flags.0 == 0;
            let mut free = state.accounts.values().filter(free).copied();
            let (one, two) = (free.next().unwrap(), free.next().unwrap());
            drop(free);
            let sides = Transfer { debit_account_id: one.id, credit_account_id: two.id, ..Transfer::default() };
            let foreign = Transfer { id: 77, amount: 5, ledger: one.ledger, code: 1, ..sides };
            assert!(state.create_all(&[foreign])[0].0.is_done());
        }
    });
    let record = play_on(&payments(200, ""), &url, &[]).await;
    other.await.unwrap();
    let audit = record.audit.as_ref().unwrap();
    assert_eq!((audit.foreign, audit.wrong.len(), record.verdict), (1, 0, Verdict::CouldNotRun), "{:?}", audit.wrong);
    assert_eq!(audit.accounts_wrong, 2, "two balances are another than this run alone would make");
    assert!(record.reasons.iter().any(|reason| reason.contains("somebody else uses this ledger number")));
}

#[tokio::test]
async fn what_finds_no_room_in_flight_is_counted_as_not_sent() {
    let slow =
        Faults::delayed(|arrival| Duration::from_millis(if arrival.tag == tag(Kind::Payment) { 300 } else { 0 }));
    let room = "arrivals = \"fixed\"\nin_flight_max = 3\ndeadline = \"60s\"";
    let (fake, record) = play_with(&payments(100, room), |state| state.faults = slow).await;
    assert_proven(&record);
    let of_run = |seen: &&Seen| seen.arrival.tag != tag(Kind::Opening);
    let state = fake.state();
    let sent: Vec<&Seen> = state.seen.iter().filter(of_run).collect();
    assert_eq!((record.totals.planned, record.totals.requests), (100, sent.len() as u64));
    assert_eq!(record.totals.not_sent, 100 - sent.len() as u64);
    // A place is free again after 0.3 s: at most four turns in a second and the last one's wait.
    assert!(sent.len() >= 3 && record.totals.not_sent > 0);
    let at_once = |one: &&Seen| {
        let under_way = |other: &&&Seen| other.arrival.at <= one.arrival.at && other.answered > Some(one.arrival.at);
        sent.iter().filter(under_way).count()
    };
    assert!(sent.iter().map(at_once).max().unwrap() <= 3);
}

#[tokio::test]
async fn what_takes_longer_than_the_deadline_is_done_but_no_goodput() {
    let late = |arrival: &crate::fake::faults::Arrival| {
        arrival.tag == tag(Kind::Payment) && arrival.attempt == 1 && arrival.number.is_multiple_of(2)
    };
    let slow = Faults::delayed(move |arrival| Duration::from_secs(if late(arrival) { 20 } else { 0 }));
    let scenario = payments(100, "deadline = \"250ms\"") + "[pass]\ngoodput = 0.9\n";
    let (fake, record) = play_with(&scenario, |state| state.faults = slow).await;
    assert_proven(&record);
    let state = fake.state();
    let lates: Vec<u128> =
        state.seen.iter().filter(|seen| late(&seen.arrival)).map(|seen| seen.arrival.first).collect();
    let done_late = lates.iter().filter(|id| state.transfers.contains_key(id)).count() as u64;
    let t = &record.totals;
    assert!(t.done_in_time <= t.done - done_late && t.retries >= lates.len() as u64, "{t:?}, {done_late} late");
    assert_eq!(t.done + t.refused_as_planned, t.planned, "late is not lost: the second attempt is answered");
    assert_eq!(record.verdict, Verdict::TooSlow, "{:?}", record.reasons);
    assert!(record.reasons[0].contains("done within the deadline"), "{:?}", record.reasons);
}

#[tokio::test]
async fn a_run_that_is_stopped_by_hand_is_proven_all_the_same() {
    let (fake, url) = Fake::serve().await;
    let long = EVERYTHING.replace("1200ms", "600s");
    // Stopped once captures have come, and newer authorisations wait for theirs.
    let captured = async {
        let is_capture = |t: &Transfer| t.flags.any(TransferFlags::POST_PENDING);
        while fake.state().transfers.values().filter(|t| is_capture(t)).count() < 10 {
            tokio::time::sleep(LOOK).await;
        }
    };
    let record = play_until(&long, &url, &[], captured).await.unwrap();
    assert_proven(&record);
    assert_eq!(
        (record.verdict, record.reasons.as_slice()),
        (Verdict::CouldNotRun, &["it was stopped by hand".into()][..])
    );
    assert!(record.totals.planned < 150_000 && record.seconds < 300.0, "{:?}", record.totals);
    let state = fake.state();
    assert!(state.transfers.values().any(|t| t.flags.any(TransferFlags::PENDING)), "something was authorised");
    assert!(state.accounts.values().all(|a| (a.debits_pending, a.credits_pending) == (0, 0)), "nothing stays reserved");
}
