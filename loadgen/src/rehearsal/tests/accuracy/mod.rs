//! Is what the generator says true? Its lanes send to a server in the same process, which writes down by the same clock when
//! each request came and when it was answered. Everything that is compared is exact, so it holds on a machine of any speed:
//! a slow one makes the generator's figures larger, and the server's record says by how much.

mod delays;
mod stall;
mod plan;
mod starved;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crest_topology::SlotMap;
use tokio::sync::mpsc;

use super::*;
use crate::fake::faults::{Faults, Seen};
use crate::rehearsal::asking::Asking;
use crate::rehearsal::ids::Place;
use crate::rehearsal::lanes::Running;
use crate::rehearsal::sample::{Sample, Timing, Told};
use crate::rehearsal::tally::Tally;

/// Messages of lanes that may wait.
const WAITING: usize = 64;
const LEDGER: u32 = 0xf000_0007;
/// Whole microseconds are counted, of two spans that follow each other: each may lose nearly one.
const ROUNDING: Duration = Duration::from_micros(2);

/// A request of the plan: when it was planned, what the generator says of it, and the truth.
struct Measured {
    lane: u32,
    planned: Duration,
    sample: Sample,
    /// None when it never came.
    seen: Option<Seen>,
}

/// What the lanes of a scenario did.
struct Sent {
    course: Arc<Prepared>,
    begin: Instant,
    /// By lane, and in the order of the plan.
    all: Vec<Measured>,
    tally: Tally,
}

impl Measured {
    /// From the planned instant to the answer, as the generator says it; none when there was none.
    fn latency(&self) -> Option<Duration> {
        let answered = self.sample.timing.filter(|timing| timing.answered);
        answered.map(|Timing { lag_us, service_us, .. }| Duration::from_micros(lag_us + service_us))
    }
}

/// Payments between accounts without a limit; `requests` and `phases` are lines of the scenario.
fn scenario(requests: &str, phases: &str) -> String {
    format!(
        r#"
name = "accuracy"
description = "Payments, to be compared with what the server knows."

[population]
customers = 50
merchants = 5

[mix]
payment = 1

[requests]
deadline = "10m"
retry_for = "0s"
{requests}

{phases}
"#
    )
}

/// So many payments a second for so long.
fn steady(rate: u32, length: &str) -> String {
    format!("[[phase]]\nduration = \"{length}\"\nrate = {rate}\n")
}

/// The course of `scenario` to the server at `url`, whose accounts are opened.
async fn prepared(scenario: &str, url: &str, seed: u64) -> (Arc<Prepared>, Script) {
    let wish = Wish { batch: None, in_flight: None, scale: 1.0, seed, ledger: LEDGER };
    let script = Script::directed(scenario.to_owned(), &wish).unwrap();
    let map = SlotMap::even(&[0, 1, 2, 3]).unwrap();
    let course = setup::course(&wish, &script, &map, &[url.to_owned()], RunId::new(), 1).unwrap();
    Asking::connect(&[url.to_owned()]).await.unwrap().open_accounts(&course.plan).await.unwrap();
    (Arc::new(course), script)
}

/// Lets the lanes send `scenario` to a server with these faults, which are told the first planned instant.
async fn send(scenario: &str, seed: u64, faults: impl FnOnce(Instant) -> Faults) -> Sent {
    let (fake, url) = Fake::serve().await;
    let (course, script) = prepared(scenario, &url, seed).await;
    let (told, hear) = mpsc::channel(WAITING);
    let own = 0..course.lanes.count;
    let running = Running::connect(&course.plan, &course.lanes, own, &course.sending, &told).await.unwrap();
    drop(told);
    let begin = Instant::now() + Duration::from_millis(200);
    fake.state().faults = faults(begin);
    running.begin(begin);
    let sent = collect(&fake, course, &script, begin, hear).await;
    running.end().await.unwrap();
    sent
}

/// Takes what the lanes tell, and joins it with what the server knows. Each planned request is told exactly once.
async fn collect(
    fake: &Fake,
    course: Arc<Prepared>,
    script: &Script,
    begin: Instant,
    mut hear: mpsc::Receiver<Told>,
) -> Sent {
    let late_after = script.scenario.generator.late_after;
    let mut tally = Tally::new(&script.scenario.phases, course.lanes.count, late_after);
    let mut samples = HashMap::new();
    while let Some(message) = hear.recv().await {
        let Told::Samples { lane, samples: told, .. } = message else { continue };
        for sample in told {
            tally.add(lane, &sample);
            let again = samples.insert((lane, sample.planned), sample);
            assert!(again.is_none(), "told twice: {again:?}");
        }
    }
    let state = fake.state();
    let place = |seen: &Seen| {
        let place = Place::of(seen.arrival.first, course.plan.run).unwrap();
        (course.lanes.place(place.request), *seen)
    };
    let mut seen: HashMap<(u32, u64), Seen> = state.seen.iter().map(place).collect();
    assert_eq!(seen.len(), state.seen.len(), "each request came once");
    let mut all = Vec::new();
    for lane in 0..course.lanes.count {
        let mut instants = course.lanes.course(lane);
        while let Some((row, planned)) = instants.peek() {
            instants.advance();
            let sample = samples.remove(&(lane, planned)).expect("what is planned is told");
            all.push(Measured { lane, planned, sample, seen: seen.remove(&(lane, row)) });
        }
    }
    assert!(samples.is_empty() && seen.is_empty(), "nothing else was sent or told");
    drop(state);
    Sent { course, begin, all, tally }
}
