//! Plays a made-up run in the live view, to look at it without a cluster:
//!
//! ```sh
//! cargo run -p crest-loadgen --example live_view -- double-11-2014          # in this terminal
//! cargo run -p crest-loadgen --example live_view -- smoke 2>&1 | cat        # plain lines
//! cargo run -p crest-loadgen --example live_view -- smoke panic             # does a panic give the terminal back?
//! ```

use std::time::{Duration, Instant};

use crest_loadgen::curve::Curve;
use crest_loadgen::live::{Live, LiveState, SecondLive, ShardLive, Stage};
use crest_loadgen::record::Percentiles;
use crest_loadgen::scenario::{Phase, Scenario};

fn main() -> anyhow::Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "double-11-2014".to_owned());
    let panics = std::env::args().nth(2).is_some_and(|word| word == "panic");
    let scenario = Scenario::open(&name)?.scenario;
    let curve = Curve::new(&scenario.phases, &scenario.events, 1.0);
    let mut live = Live::new();
    live.note("nothing is sent: these figures are made up");
    let begun = Instant::now();
    let mut state = LiveState { title: name, cluster: "4 shards, made up".to_owned(), ..LiveState::default() };
    while state.elapsed < curve.seconds() && !live.stop_requested() {
        state.elapsed = begun.elapsed().as_secs_f64();
        step(&mut state, &curve, &scenario.phases);
        live.update(&state);
        assert!(!panics || state.elapsed < 2.0, "a panic on purpose");
        std::thread::sleep(Duration::from_millis(250));
    }
    state.stage = Stage::Proving;
    live.update(&state);
    std::thread::sleep(Duration::from_secs(1));
    drop(live);
    println!("over after {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Figures that follow the curve, with a latency that grows with it.
fn step(state: &mut LiveState, curve: &Curve, phases: &[Phase]) {
    state.stage = Stage::Sending;
    state.planned_seconds = curve.seconds();
    state.planned = curve.rate_at(state.elapsed);
    let wave = 1.0 + (state.elapsed * 3.0).sin() * 0.02;
    (state.acknowledged, state.in_time) = (state.planned * 0.98 * wave, state.planned * 0.97 * wave);
    let p50 = (2_000.0 + state.planned * state.planned / 1e5) as u64;
    state.last = Percentiles { count: 400, p50, p90: p50 * 2, p99: p50 * 5, p99_9: p50 * 8, max: p50 * 12 };
    state.whole = state.last;
    (state.in_flight, state.in_flight_max) = ((state.planned / 500.0) as u64, 4_096);
    state.cross_shard = Some(0.75);
    (state.lag_p99_us, state.late_share_max) = (400, 0.01);
    let done = curve.before(state.elapsed) as u64;
    state.codes = [("created".to_owned(), done), ("exceeds_credits".to_owned(), done / 500)].into();
    state.shards = (0..4u32)
        .map(|shard| ShardLive {
            shard,
            per_second: Some(state.planned * f64::from(10 + shard) / 26.0),
            holds: Some(12),
        })
        .collect();
    while state.history.len() < state.elapsed as usize {
        let at = state.history.len() as f64;
        let planned = curve.before(at + 1.0) - curve.before(at);
        state.history.push(SecondLive { planned, acknowledged: planned * 0.98, p99_us: state.last.p99 });
    }
    let mut end = 0.0;
    let phase = phases.iter().find(|phase| {
        end += phase.duration.as_secs_f64();
        state.elapsed < end
    });
    state.phase = phase.map(|phase| phase.name.clone()).unwrap_or_default();
    state.phase_left = end - state.elapsed;
}
