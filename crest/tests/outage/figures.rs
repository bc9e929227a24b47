//! What was measured, as figures: JSON for machines, and Markdown for docs/BENCHMARKS.md.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

/// One kill.
#[derive(Clone, Debug)]
pub(crate) struct Kill {
    pub(crate) node: usize,
    /// The shards that it led.
    pub(crate) led: Vec<u32>,
    /// Until every one of them had answered a payment that was sent after the kill.
    pub(crate) continued: Duration,
    /// The longest that a client of one of these shards waited for an answer.
    pub(crate) longest: Duration,
    /// The longest that a client of no such shard waited, from the kill until the node was started again.
    pub(crate) others: Duration,
    /// The same for as long before the kill.
    pub(crate) others_before: Duration,
    /// The longest that any client waited while the node came back.
    pub(crate) coming_back: Duration,
    /// From the start of the node until all its replicas had caught up, while payments went on.
    pub(crate) caught_up: Duration,
}

/// One node that was asked to end and started again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restart {
    pub(crate) node: usize,
    /// The longest that any client waited.
    pub(crate) longest: Duration,
}

/// All of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) kills: Vec<Kill>,
    pub(crate) restarts: Vec<Restart>,
    /// How many payments were made, and by how many clients.
    pub(crate) payments: u64,
    pub(crate) clients: usize,
    /// How often requests were sent again, by what the client was told.
    pub(crate) retried: Vec<(String, u64)>,
    /// What clients were told beside delays.
    pub(crate) errors: Vec<String>,
    /// The mean load of the machine in the minute before, and its processors.
    pub(crate) load: f64,
    pub(crate) processors: usize,
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The smallest value that is not exceeded by this share of all.
fn quantile(sorted: &[u64], share: f64) -> u64 {
    let at = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(at.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0)
}

impl Figures {
    fn row(&self, of: impl Fn(&Kill) -> Duration) -> [u64; 5] {
        let mut all: Vec<u64> = self.kills.iter().map(|kill| ms(of(kill))).collect();
        all.sort_unstable();
        [0.0, 0.5, 0.9, 0.99, 1.0].map(|share| quantile(&all, share))
    }

    /// For machines.
    pub(crate) fn json(&self) -> serde_json::Value {
        let kill = |k: &Kill| {
            json!({
                "node": k.node + 1, "led": k.led, "continued_ms": ms(k.continued), "longest_wait_ms": ms(k.longest),
                "others_longest_wait_ms": ms(k.others), "others_before_ms": ms(k.others_before),
                "coming_back_longest_wait_ms": ms(k.coming_back), "caught_up_ms": ms(k.caught_up),
            })
        };
        json!({
            "kills": self.kills.iter().map(kill).collect::<Vec<_>>(),
            "restarts": self.restarts.iter().map(|r| json!({ "node": r.node + 1, "longest_wait_ms": ms(r.longest) }))
                .collect::<Vec<_>>(),
            "payments": self.payments, "clients": self.clients, "retried": self.retried.iter().cloned()
                .collect::<std::collections::BTreeMap<_, _>>(),
            "errors": self.errors, "load_average": self.load, "processors": self.processors,
        })
    }

    /// For people.
    pub(crate) fn markdown(&self) -> String {
        let mut out = String::new();
        let rows: [(&str, [u64; 5]); 6] = [
            ("until payments of all shards that it led continue", self.row(|k| k.continued)),
            ("longest wait of a client of these shards", self.row(|k| k.longest)),
            ("longest wait of a client of other shards", self.row(|k| k.others)),
            ("the same for as long before the kill", self.row(|k| k.others_before)),
            ("longest wait of any client while the node comes back", self.row(|k| k.coming_back)),
            ("from its start until all its replicas have caught up", self.row(|k| k.caught_up)),
        ];
        let _ = writeln!(
            out,
            "{} kills, {} payments by {} clients, {} processors, load average {:.1}.\n",
            self.kills.len(),
            self.payments,
            self.clients,
            self.processors,
            self.load
        );
        let _ = writeln!(out, "| ms | min | p50 | p90 | p99 | max |\n|---|---|---|---|---|---|");
        for (what, [min, p50, p90, p99, max]) in rows {
            let _ = writeln!(out, "| {what} | {min} | {p50} | {p90} | {p99} | {max} |");
        }
        let _ = writeln!(out, "\n```\n{}```", self.histogram());
        for Restart { node, longest } in &self.restarts {
            let _ =
                writeln!(out, "Restart of node {}: the longest wait of any client was {} ms.", node + 1, ms(*longest));
        }
        let _ = writeln!(out, "\nSent again, by what the client was told:");
        for (why, count) in &self.retried {
            let _ = writeln!(out, "- {count} × {why}");
        }
        let _ = writeln!(out, "\nErrors other than delays: {}.", self.errors.len());
        for error in self.errors.iter().take(20) {
            let _ = writeln!(out, "- {error}");
        }
        out
    }

    /// How many kills took how long until payments continued, a bar each.
    fn histogram(&self) -> String {
        const STEP: u64 = 200;
        let mut out = String::new();
        let all: Vec<u64> = self.kills.iter().map(|kill| ms(kill.continued) / STEP).collect();
        let (Some(first), Some(last)) = (all.iter().min(), all.iter().max()) else { return out };
        for step in *first..=*last {
            let count = all.iter().filter(|at| **at == step).count();
            let _ = writeln!(out, "{:5}-{:5} ms {count:4} {}", step * STEP, (step + 1) * STEP, "#".repeat(count));
        }
        out
    }
}
