//! A server that answers nothing for a while. A closed loop has one request waiting then, and hides how many customers
//! would have (coordinated omission); an open loop plans on, and each of its requests waits from its planned instant.

use crest_proto::border::id_to;
use crest_proto::v1;

use super::*;
use crate::connect::{connect, ledger};

/// The stall, from the first planned instant: 0.8 s of 2 s.
const STALL: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(1_300));
const RATE: u32 = 200;

fn stalled(begin: Instant) -> Faults {
    Faults { stall: Some((begin + STALL.0, begin + STALL.1)), ..Faults::default() }
}

/// How many of the instants 2.5 ms, 7.5 ms, 12.5 ms and so on lie so that at least `waited` of the stall was left.
fn expected(waited: Duration) -> usize {
    let step = Duration::from_secs(1) / RATE;
    let instants = (0..2 * RATE).map(|n| step * n + step / 2);
    instants.filter(|at| (STALL.0..=STALL.1 - waited).contains(at)).count()
}

const WAITS: [Duration; 4] =
    [Duration::from_millis(1), Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(700)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_loop_counts_everybody_who_waited_through_a_stall() {
    assert_eq!(WAITS.map(expected), [160, 140, 80, 20], "of 400");
    let fixed = "arrivals = \"fixed\"\nconnections = 1\n";
    let sent = send(&scenario(fixed, &steady(RATE, "2s")), 1, stalled).await;
    for one in &sent.all {
        let latency = one.latency().expect("all are answered");
        // Whatever is planned within the stall is answered behind it, on any machine.
        let waits = if one.planned >= STALL.0 { STALL.1.saturating_sub(one.planned) } else { Duration::ZERO };
        assert!(latency + ROUNDING >= waits, "planned at {:?}, {latency:?}", one.planned);
    }
    // The record says the same as the arithmetic: what is above by the way through a slow machine is never below.
    let buckets = sent.tally.measured.latency.distribution().buckets;
    for waited in WAITS {
        let us = waited.as_micros() as u64;
        let count: u64 = buckets.iter().filter(|(value, _)| *value >= us).map(|(_, count)| count).sum();
        assert!(count >= expected(waited) as u64, "{count} waited {waited:?}, at least {} did", expected(waited));
    }
    let percentiles = sent.tally.measured.latency.percentiles();
    // 35 % of all waited 0.1 s and more, 5 % at least 0.7 s: that is what the 90th and the 99th percentile have to say.
    assert!(percentiles.p90 >= 500_000 && percentiles.p99 >= 750_000, "{percentiles:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_loop_would_have_seen_one_slow_request() {
    let (fake, url) = Fake::serve().await;
    let mut client = ledger(connect(&url).await.unwrap());
    let begin = Instant::now();
    fake.state().faults = stalled(begin);
    for number in 1..=2 * RATE {
        tokio::time::sleep_until((begin + Duration::from_secs(1) / RATE * number).into()).await;
        let transfers = vec![v1::Transfer { id: Some(id_to(number.into())), ..v1::Transfer::default() }];
        client.create_transfers(v1::CreateTransfersRequest { transfers, independent: false }).await.unwrap();
    }
    let state = fake.state();
    let mut waited: Vec<Duration> = state.seen.iter().map(|seen| waited(seen, begin)).collect();
    waited.sort_unstable();
    let slow = waited.iter().filter(|waited| !waited.is_zero()).count();
    assert!(
        slow <= 1 && waited.len() == 400,
        "{slow} met the stall; of an open loop's 400, {} did",
        expected(WAITS[0])
    );
    // So it says that 99 of 100 customers noticed nothing. The open loop above says that 5 of 100 waited 0.7 s and more.
    assert_eq!(waited[waited.len() * 99 / 100 - 1], Duration::ZERO);
}

/// What the stall added to a request.
fn waited(seen: &Seen, begin: Instant) -> Duration {
    let stall = begin + STALL.0..begin + STALL.1;
    if stall.contains(&seen.arrival.at) { stall.end - seen.arrival.at } else { Duration::ZERO }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_place_in_flight_those_who_found_none_are_counted() {
    let narrow = "arrivals = \"fixed\"\nconnections = 1\nin_flight_max = 1\n";
    let sent = send(&scenario(narrow, &steady(RATE, "2s")), 1, stalled).await;
    let stalled = |one: &&Measured| {
        let came = one.seen.map(|seen| seen.arrival.at);
        came.is_some_and(|at| (sent.begin + STALL.0..sent.begin + STALL.1).contains(&at))
    };
    assert!(sent.all.iter().filter(stalled).count() <= 1, "one waits, as in a closed loop");
    for waited in WAITS {
        // Every one of those who would have waited did so, or is counted as not sent.
        let suffered = |one: &&Measured| {
            (STALL.0..=STALL.1 - waited).contains(&one.planned)
                && one.latency().is_none_or(|latency| latency + ROUNDING >= waited)
        };
        assert_eq!(sent.all.iter().filter(suffered).count(), expected(waited));
    }
    let counts = sent.tally.all.counts;
    assert_eq!((counts.planned, counts.planned - counts.not_sent), (400, counts.done));
    assert!(counts.not_sent > 0);
}
