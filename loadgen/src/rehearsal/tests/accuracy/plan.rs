//! What is planned is what the curve says, whatever the server does.

use super::*;
use crate::fake::faults::Fate;

/// 100/s to 300/s within 2 s, then 200/s for 1 s.
const CURVE: &str = r#"
[[phase]]
name = "ramp"
duration = "2s"
points = [["0s", 100], ["2s", 300]]

[[phase]]
name = "plateau"
duration = "1s"
rate = 200
"#;
/// Its integral, second by second.
const PER_SECOND: [u64; 3] = [150, 250, 200];

fn per_second(sent: &Sent) -> [u64; 3] {
    let timeline = sent.tally.timeline();
    [0, 1, 2].map(|second| timeline.get(second).map_or(0, |second| second.planned))
}

fn instants(sent: &Sent) -> Vec<(u32, Duration)> {
    sent.all.iter().map(|one| (one.lane, one.planned)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_changes_nothing_in_the_plan() {
    for arrivals in ["fixed", "poisson"] {
        let roomy = scenario(&format!("arrivals = \"{arrivals}\"\nconnections = 2\n"), CURVE);
        let narrow = scenario(&format!("arrivals = \"{arrivals}\"\nconnections = 2\nin_flight_max = 2\n"), CURVE);
        let quick = send(&roomy, 3, |_| Faults::default());
        let slow = send(&narrow, 3, |_| Faults::delayed(|_| Duration::from_millis(200)));
        let losing = send(&roomy, 3, |_| Faults::fate(Fate::Lose, |arrival| arrival.number % 2 == 0));
        let stalled = send(&roomy, 3, |begin| Faults {
            stall: Some((begin + Duration::from_secs(1), begin + Duration::from_millis(1_500))),
            ..Faults::default()
        });
        let other_seed = send(&roomy, 4, |_| Faults::default());
        let (quick, slow, losing, stalled, other_seed) = tokio::join!(quick, slow, losing, stalled, other_seed);
        for (name, sent) in [("slow", &slow), ("losing", &losing), ("stalled", &stalled)] {
            assert_eq!(instants(sent), instants(&quick), "{arrivals}, {name}");
            assert_eq!(per_second(sent), per_second(&quick), "{arrivals}, {name}");
        }
        assert!(slow.tally.all.counts.not_sent > 0 && losing.tally.all.counts.unknown > 0);
        match arrivals {
            "fixed" => assert_eq!((per_second(&quick), instants(&other_seed)), (PER_SECOND, instants(&quick))),
            _ => assert_ne!(instants(&other_seed), instants(&quick), "another seed, other instants"),
        }
        // The server saw what was planned, never before its time.
        for one in quick.all.iter().filter_map(|one| one.seen.map(|seen| (quick.begin + one.planned, seen))) {
            assert!(one.1.arrival.at >= one.0);
        }
    }
}

#[tokio::test]
async fn independent_arrivals_are_as_many_as_the_curve_says_but_for_chance() {
    let (_fake, url) = Fake::serve().await;
    let mut all = [0u64; 3];
    for seed in 1..=20 {
        let (course, _) = prepared(&scenario("connections = 3\n", CURVE), &url, seed).await;
        let mut counts = [0u64; 3];
        for lane in 0..course.lanes.count {
            let mut instants = course.lanes.course(lane);
            while let Some((_, at)) = instants.peek() {
                counts[at.as_secs() as usize] += 1;
                instants.advance();
            }
        }
        counts.into_iter().zip(PER_SECOND).for_each(|(count, mean)| assert_chance(count, mean));
        all.iter_mut().zip(counts).for_each(|(all, count)| *all += count);
    }
    all.into_iter().zip(PER_SECOND).for_each(|(count, mean)| assert_chance(count, 20 * mean));
}

/// Within five standard deviations of a count of independent arrivals.
fn assert_chance(count: u64, mean: u64) {
    assert!(count.abs_diff(mean) as f64 <= 5.0 * (mean as f64).sqrt(), "{count} instead of {mean}");
}
