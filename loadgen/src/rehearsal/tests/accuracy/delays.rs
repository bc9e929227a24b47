//! A server of known delays.

use super::*;
use crate::fake::faults::Arrival;
use crate::record::Percentiles;

/// The quantiles of a record, the slowest being the last.
const QUANTILES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 1.0];
/// Three digits.
const RESOLUTION: f64 = 0.001;

fn of_record(p: &Percentiles) -> [u64; 5] {
    [p.p50, p.p90, p.p99, p.p99_9, p.max]
}

/// The quantiles of some spans, µs, none of them estimated.
fn exact(mut spans: Vec<u64>) -> [u64; 5] {
    spans.sort_unstable();
    QUANTILES.map(|quantile| spans[((quantile * spans.len() as f64).ceil() as usize).max(1) - 1])
}

fn within_resolution(told: u64, exact: u64) -> bool {
    exact <= told && told as f64 <= exact as f64 * (1.0 + RESOLUTION) + 1.0
}

async fn check(name: &str, requests: &str, delay: fn(&Arrival, Duration) -> Duration) {
    let scenario = scenario(requests, &steady(500, "1s"));
    let sent = send(&scenario, 1, |begin| {
        Faults::delayed(move |arrival| delay(arrival, arrival.at.saturating_duration_since(begin)))
    });
    let sent = sent.await;
    let (mut services, mut latencies, mut truths, mut delays) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut transport_max = Duration::ZERO;
    for one in &sent.all {
        let seen = one.seen.expect("there is room for all in flight");
        let (came, answered) = (seen.arrival.at, seen.answered.unwrap());
        let (timing, planned_at) = (one.sample.timing.unwrap(), sent.begin + one.planned);
        let (lag, service) = (Duration::from_micros(timing.lag_us), Duration::from_micros(timing.service_us));
        let (latency, owed) =
            (one.latency().unwrap(), delay(&seen.arrival, came.saturating_duration_since(sent.begin)));
        let why = format!("{name}: {timing:?}, planned {:?}, {seen:?}", one.planned);
        assert!(came >= planned_at + lag, "it came after it left: {why}");
        assert!(service + ROUNDING >= answered - came && answered - came >= owed, "{why}");
        assert!(latency + ROUNDING >= answered - planned_at && latency + ROUNDING >= owed, "{why}");
        transport_max = transport_max.max(service.saturating_sub(answered - came));
        services.push(timing.service_us);
        latencies.push(timing.lag_us + timing.service_us);
        truths.push((answered - came).as_micros() as u64);
        delays.push(owed.as_micros() as u64);
    }
    let service = of_record(&sent.tally.measured.service.percentiles());
    let latency = of_record(&sent.tally.measured.latency.percentiles());
    let histograms = [(service, exact(services)), (latency, exact(latencies))];
    for (told, exact) in histograms.into_iter().flat_map(|(told, exact)| told.into_iter().zip(exact)) {
        assert!(within_resolution(told, exact), "{name}: a percentile of {told} µs is {exact} µs");
    }
    let slack = (ROUNDING + transport_max).as_micros() as u64;
    for ((told, truth), owed) in service.into_iter().zip(exact(truths)).zip(exact(delays)) {
        let most = (truth + slack) as f64 * (1.0 + RESOLUTION) + 1.0;
        let why = format!("{name}: {told} µs, {truth} µs of them in the server, which was to take {owed} µs");
        assert!(told + 2 >= truth && truth >= owed && told as f64 <= most, "{why}, at most {slack} µs on the way");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latencies_are_the_servers_delays_and_what_the_way_took() {
    const FIXED: &str = "arrivals = \"fixed\"";
    const STREAM: &str = "stream = true\nconnections = 1\nin_flight_max = 1024";
    tokio::join!(
        check("none", FIXED, |_, _| Duration::ZERO),
        check("always the same", FIXED, |_, _| Duration::from_millis(7)),
        check("always the same, on streams", STREAM, |_, _| Duration::from_millis(7)),
        check("a tail", "", |arrival, _| by_number(arrival.number)),
        check("a tail, on streams", STREAM, |arrival, _| by_number(arrival.number)),
        check("slower and slower", FIXED, |_, since_begin| since_begin / 10),
    );
}

/// Of a hundred requests 90 take 2 ms, nine 30 ms and one 150 ms.
fn by_number(number: u64) -> Duration {
    Duration::from_millis(match number % 100 {
        0 => 150,
        1..10 => 30,
        _ => 2,
    })
}
