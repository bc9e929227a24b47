//! Seeds break nothing, and the same seed is the same run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::panic::catch_unwind;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many seeds are run: a few thousand, or as `CREST_SIM_SEEDS` says.
fn count() -> u64 {
    std::env::var("CREST_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000)
}

#[test]
fn no_seed_breaks_anything() {
    let (next, end) = (AtomicU64::new(1), count());
    let broken = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > end {
                return;
            }
            let wrong = match catch_unwind(|| crest_sim::run(seed, false)) {
                Ok(report) => report.wrong,
                Err(_) => vec!["it panicked".to_owned()],
            };
            if let Some(what) = wrong.first() {
                broken.lock().unwrap().push(format!("seed {seed}: {what}\nrepeat with: make sim SEED={seed}"));
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_same_seed_is_the_same_run_in_every_process() {
    let output = |seed: u64| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_crest-sim")).args(["--seed", &seed.to_string()]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for seed in 1..=150 {
        let report = crest_sim::run(seed, false);
        assert_eq!(report, crest_sim::run(seed, false), "in one process: make sim SEED={seed}");
        if seed > 30 {
            continue;
        }
        let trace = format!("trace {:016x} of {} events", report.trace, report.events);
        let other = output(seed);
        assert!(other.contains(&trace), "here {trace}, elsewhere {other}: make sim SEED={seed}");
    }
}

#[test]
fn different_seeds_are_different_runs() {
    assert_ne!(crest_sim::run(1, false).trace, crest_sim::run(2, false).trace);
}
