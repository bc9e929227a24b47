//! The line that moves while the rehearsal runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::stats::{Digits, latencies};
use crate::progress::Progress;

/// How often the line changes.
const EVERY: Duration = Duration::from_secs(1);

/// What a driver did since it last told.
#[derive(Debug)]
pub(crate) struct Tick {
    answered: u64,
    done: u64,
    latency: Histogram<u64>,
}

impl Default for Tick {
    fn default() -> Self {
        Self { answered: 0, done: 0, latency: latencies(Digits::Live) }
    }
}

impl Tick {
    /// Adds a request with `transfers` results, `done` of which are done, that took `latency_us`.
    pub(crate) fn answered(&mut self, transfers: u64, done: u64, latency_us: u64) {
        self.answered += transfers;
        self.done += done;
        self.latency.saturating_record(latency_us);
    }

    fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.done += other.done;
        // Both histograms have the same bounds.
        let _ = self.latency.add(&other.latency);
    }

    fn line(&self, at: Duration, over: Duration, failures: u64) -> String {
        let each_second = |n: u64| n as f64 / over.as_secs_f64().max(1e-9);
        let ms = |quantile| self.latency.value_at_quantile(quantile) as f64 / 1_000.0;
        format!(
            "{:>5.0} s  {:>9.0} transfers/s  {:>9.0} done/s  p50 {:>8.2} ms  p99 {:>8.2} ms  refused {}  failed attempts {failures}",
            at.as_secs_f64(),
            each_second(self.answered),
            each_second(self.done),
            ms(0.5),
            ms(0.99),
            self.answered - self.done,
        )
    }
}

/// Shows a line each second until all drivers are gone. `failures` counts attempts that failed so far.
pub(crate) async fn watch(mut ticks: mpsc::Receiver<Tick>, failures: Arc<AtomicU64>, progress: &mut Progress) {
    let begun = Instant::now();
    let mut clock = tokio::time::interval_at((begun + EVERY).into(), EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut second, mut since, mut failed_before) = (Tick::default(), begun, 0);
    loop {
        tokio::select! {
            tick = ticks.recv() => match tick {
                Some(tick) => second.add(&tick),
                None => break,
            },
            _ = clock.tick() => {
                let (now, failed) = (Instant::now(), failures.load(Ordering::Relaxed));
                progress.line(&second.line(now - begun, now - since, failed - failed_before));
                (second, since, failed_before) = (Tick::default(), now, failed);
            }
        }
    }
    progress.finish();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_rates_of_the_time_that_passed() {
        let (mut one, mut two) = (Tick::default(), Tick::default());
        one.answered(100, 90, 2_000);
        two.answered(100, 100, 4_000);
        one.add(&two);
        let line = one.line(Duration::from_secs(7), Duration::from_millis(500), 3);
        for part in ["7 s", "400 transfers/s", "380 done/s", "p50     2.", "refused 10", "failed attempts 3"] {
            assert!(line.contains(part), "`{part}` in `{line}`");
        }
    }
}
