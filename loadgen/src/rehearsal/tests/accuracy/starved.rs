//! A generator that is not let to send in time says so.

use std::sync::Mutex;

use super::*;
use crate::caller::Caller;
use crate::connect::{connect, ledger};
use crate::rehearsal::driver::Driver;
use crate::rehearsal::sender::{Sender, Way};

/// A lane on a runtime whose thread is taken away for 40 ms of every 50; gives when.
async fn blocked(scenario: &str) -> (Sent, Vec<(Instant, Instant)>) {
    const AWAY: Duration = Duration::from_millis(40);
    const BACK: Duration = Duration::from_millis(10);
    let (fake, url) = Fake::serve().await;
    let (course, script) = prepared(scenario, &url, 1).await;
    let (told, hear) = mpsc::channel(WAITING);
    let (_stop, stopped) = watch::channel(false);
    let begin = Instant::now() + Duration::from_millis(200);
    let (plan, lanes, sending) = (Arc::clone(&course.plan), course.lanes.clone(), course.sending.clone());
    let lane = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let client = ledger(connect(&url).await.unwrap());
            let ways = vec![Way::new(client.clone(), Caller::Unary(client))];
            let sender =
                Sender { ways, attempt: sending.deadline, retry_for: sending.retry_for, stop: stopped.clone() };
            let (window, deadline) = (sending.window, sending.deadline);
            let driver = Driver { plan, lanes, lane: 0, window, deadline, sender, told, begin, stop: stopped };
            tokio::time::sleep_until(begin.into()).await;
            let times = Arc::new(Mutex::new(Vec::new()));
            let noted = Arc::clone(&times);
            let blocker = tokio::spawn(async move {
                loop {
                    let from = Instant::now();
                    std::thread::sleep(AWAY);
                    noted.lock().unwrap().push((from, Instant::now()));
                    tokio::time::sleep(BACK).await;
                }
            });
            driver.run().await.unwrap();
            blocker.abort();
            let times = times.lock().unwrap();
            times.clone()
        })
    });
    let sent = collect(&fake, course, &script, begin, hear).await;
    (sent, lane.join().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_left_late_because_the_thread_was_away_is_told_as_late() {
    let fixed = "arrivals = \"fixed\"\nconnections = 1\n";
    let limits = "[generator]\nlate_after = \"15ms\"\n";
    let (sent, away) = blocked(&scenario(fixed, &format!("{}{limits}", steady(500, "1s")))).await;
    let mut late = 0;
    for one in &sent.all {
        let planned_at = sent.begin + one.planned;
        let lag = Duration::from_micros(one.sample.timing.unwrap().lag_us);
        let Some((_, back)) = away.iter().find(|(from, back)| (*from..*back).contains(&planned_at)) else { continue };
        assert!(lag + ROUNDING >= *back - planned_at, "planned while away until {back:?}: {lag:?}");
        late += u64::from(*back - planned_at >= Duration::from_millis(15) + ROUNDING);
    }
    // Of 40 ms away, what is planned in the first 25 leaves 15 ms late or later: about half of all.
    assert!(late > 100, "{late} of {}", sent.all.len());
    let share = sent.tally.late_share();
    assert!(share >= late as f64 / sent.all.len() as f64 && share <= 1.0, "{share}, {late}");
    // The server was quick, and so is the service time of what was not interrupted; latency holds the generator's delay.
    let waited = sent.all.iter().filter(|one| one.latency() >= Some(Duration::from_millis(15))).count() as u64;
    assert!(waited >= late);
    assert_eq!(sent.course.lanes.count, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generator_that_is_the_bottleneck_makes_the_run_invalid() {
    // Ten million requests a second are more than one thread builds, on any machine.
    let too_many = payments(10_000_000, "deadline = \"60s\"")
        .replace("duration = \"1s\"", "duration = \"100ms\"")
        .replace("late_after = \"1m\"\nlate_share_max = 1", "late_after = \"1ms\"")
        + "[pass]\np50 = \"1h\"\n";
    let (_fake, record) = play_with(&too_many, |_| {}).await;
    assert_proven(&record);
    assert!(record.generator.late_share > record.generator.late_share_max, "{:?}", record.generator);
    assert_eq!((record.verdict, verdict::exit_code(record.verdict)), (Verdict::Invalid, exit::INVALID));
    assert!(record.reasons[0].contains("the generator was the bottleneck"), "{:?}", record.reasons);
}
