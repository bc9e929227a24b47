//! A made-up run that looks like a real one: a ramp, a midnight spike, a leader that is killed and stalls the cluster,
//! doubled load. Everything is computed, nothing is drawn by chance.

mod parts;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use self::parts::{audit, codes, events, generator, kinds, marks, scenario, shards};
use crate::record::{
    ClusterRecord, Distribution, Percentiles, PhaseRecord, RECORD_FORMAT, RunRecord, Second, Totals, Verdict,
};

/// Seconds of the run at stretch 1.
const SECONDS: usize = 180;
/// Name, first second, last second and one, rate at both ends, whether it is measured.
const PHASES: [(&str, usize, usize, f64, f64, bool); 5] = [
    ("warm-up", 0, 20, 2_000.0, 6_000.0, false),
    ("ramp", 20, 50, 6_000.0, 9_000.0, true),
    ("midnight", 50, 80, 38_500.0, 24_000.0, true),
    ("plateau", 80, 140, 18_000.0, 16_000.0, true),
    ("decay", 140, 180, 16_000.0, 5_000.0, true),
];
const KILL: usize = 96;
const STALL: usize = 4;
const DOUBLE: (usize, usize) = (120, 130);

/// A run of 180 times `stretch` seconds on a cluster that takes `speed` times as long as an ordinary one.
pub(crate) fn record(stretch: usize, speed: f64) -> RunRecord {
    let mut latency = Recorder::new();
    let mut service = Recorder::new();
    let mut lag = Recorder::new();
    let mut timeline = Vec::new();
    for at in 0..SECONDS * stretch {
        let second = at / stretch;
        timeline.push(one(at as u32, second, speed, (&mut latency, &mut service, &mut lag)));
    }
    let tail = timeline.len() as u32;
    timeline.push(Second { at: tail, acknowledged: 900, ..Second::default() });
    let stretch_s = stretch as f64;
    let phases: Vec<PhaseRecord> = PHASES.iter().map(|phase| phase_record(phase, &timeline, stretch)).collect();
    let totals = timeline.iter().fold(Totals::default(), add);
    let acknowledged = totals.done - totals.done / 20;
    let latency = latency.distribution();
    let marks = marks(&latency.percentiles);
    let passed = marks.iter().all(|m| m.passed);
    RunRecord {
        format: RECORD_FORMAT,
        crest: "0.1.0".to_owned(),
        scenario: scenario(),
        run: "5b1e90c2a47f3d68".to_owned(),
        began_unix_ms: 1_794_150_180_000,
        planned_seconds: SECONDS as f64 * stretch_s,
        seconds: SECONDS as f64 * stretch_s + 0.4,
        ledger: 2_014_111,
        cluster: ClusterRecord {
            routers: vec!["http://127.0.0.1:7000".to_owned(), "http://127.0.0.1:7001".to_owned()],
            shards: 4,
            epoch: 1,
            local: true,
        },
        generator: generator(&totals),
        phases,
        events: events(stretch_s),
        shards: shards(&timeline),
        kinds: kinds(&totals),
        codes: codes(&timeline),
        audit: Some(audit(acknowledged, &totals)),
        timeline,
        totals,
        latency,
        service: service.distribution(),
        lag: lag.distribution(),
        marks,
        verdict: if passed { Verdict::Passed } else { Verdict::TooSlow },
        reasons: if passed {
            Vec::new()
        } else {
            vec!["The 99th percentile of latency was above its mark.".to_owned()]
        },
    }
}

/// A run that did not begin.
pub(crate) fn nothing() -> RunRecord {
    let empty = record(1, 1.0);
    RunRecord {
        seconds: 0.0,
        phases: Vec::new(),
        events: Vec::new(),
        timeline: Vec::new(),
        totals: Totals::default(),
        latency: Distribution::default(),
        service: Distribution::default(),
        lag: Distribution::default(),
        kinds: BTreeMap::new(),
        codes: BTreeMap::new(),
        shards: Vec::new(),
        audit: None,
        marks: Vec::new(),
        verdict: Verdict::CouldNotRun,
        reasons: vec!["No router answered at http://127.0.0.1:7000.".to_owned()],
        ..empty
    }
}

/// The same run with another verdict, and what belongs to it.
pub(crate) fn with_verdict(verdict: Verdict) -> RunRecord {
    let mut record = record(1, if verdict == Verdict::TooSlow { 6.0 } else { 1.0 });
    record.verdict = verdict;
    match verdict {
        Verdict::MoneyWrong => {
            record.reasons = vec!["3 acknowledged payments are not in the ledger.".to_owned()];
            if let Some(audit) = &mut record.audit {
                audit.acknowledged_found -= 3;
                audit.accounts_wrong = 4;
                audit.wrong =
                    vec!["transfer 5b1e90c2a47f3d68:000000000000117a was acknowledged and is not there".to_owned()];
            }
        }
        Verdict::Invalid => {
            record.generator.late_share = 0.137;
            record.reasons = vec!["13.7 % of the requests left late, 1 % are allowed.".to_owned()];
        }
        Verdict::CouldNotRun => {
            record.audit = None;
            record.reasons = vec!["All routers went away at 1:36.".to_owned()];
        }
        Verdict::TooSlow | Verdict::Passed => {}
    }
    record
}

struct Recorder(Histogram<u64>);

impl Recorder {
    fn new() -> Self {
        Self(Histogram::new_with_bounds(1, 60_000_000, 2).unwrap())
    }

    fn distribution(&self) -> Distribution {
        let recorded = self.0.iter_recorded();
        Distribution {
            percentiles: percentiles(&self.0),
            mean: self.0.mean(),
            buckets: recorded.map(|v| (v.value_iterated_to(), v.count_since_last_iteration())).collect(),
        }
    }
}

fn percentiles(h: &Histogram<u64>) -> Percentiles {
    let at = |q| h.value_at_quantile(q);
    Percentiles { count: h.len(), p50: at(0.5), p90: at(0.9), p99: at(0.99), p99_9: at(0.999), max: h.max() }
}

/// A number between 0 and 1 that looks like chance and is not.
fn wobble(n: u64) -> f64 {
    let x = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f64 / f64::from(1 << 24)
}

fn one(at: u32, second: usize, speed: f64, all: (&mut Recorder, &mut Recorder, &mut Recorder)) -> Second {
    let phase = PHASES.iter().find(|p| (p.1..p.2).contains(&second)).unwrap();
    let along = (second - phase.1) as f64 / (phase.2 - phase.1) as f64;
    let doubled = if (DOUBLE.0..DOUBLE.1).contains(&second) { 2.0 } else { 1.0 };
    let noise = 1.0 + (wobble(u64::from(at)) - 0.5) * 0.03;
    let rate = (phase.3 + (phase.4 - phase.3) * along) * doubled * noise;
    let stalled = (KILL..KILL + STALL).contains(&second);
    let planned = rate as u64;
    // Half of a stalled second's requests meet the shard that is away; those wait for its return.
    let waits = if stalled { (KILL + STALL - second) as f64 * 1e6 } else { 0.0 };
    let load = rate / 40_000.0;
    let base = 900.0 * speed * (1.0 + 4.0 * load * load * load) * (1.0 + wobble(u64::from(at) * 7) * 0.25);
    let (mut latency, mut service, mut lag) = (Recorder::new(), Recorder::new(), Recorder::new());
    let requests = (planned / 32).max(1);
    let steps = 100.min(requests);
    for i in 0..steps {
        let q = (i as f64 + 0.3 + 0.69 * wobble(u64::from(at) * 131 + i)) / steps as f64;
        let late = 20.0 + 60.0 * q * q * q;
        let took = base * (1.0 / (1.0 - q)).powf(0.42);
        let waited = if i % 4 == 0 { waits * (1.0 - q * 0.25) } else { 0.0 };
        let each = requests / steps;
        let record = |r: &mut Recorder, us: f64| r.0.record_n(us as u64, each).unwrap();
        record(&mut latency, took + late + waited);
        record(&mut service, took + waited * 0.12);
        record(&mut lag, late);
        if phase.5 {
            record(all.0, took + late + waited);
            record(all.1, took + waited * 0.12);
            record(all.2, late);
        }
    }
    let short = planned / 200;
    let unknown = if stalled { planned / 40 } else { 0 };
    let not_sent = if stalled { planned / 25 } else { 0 };
    let odd = if second % 17 == 3 { planned / 900 } else { 0 };
    let refused = short + odd;
    let done = planned - refused - unknown - not_sent;
    let codes = [("created", done), ("exceeds_credits", short), ("linked_event_failed", odd)];
    Second {
        at,
        planned,
        sent: planned - not_sent,
        acknowledged: acknowledged(second, done),
        done,
        done_in_time: if stalled { done - done / 4 } else { done - (done as f64 * load * load * 0.002 * speed) as u64 },
        refused,
        unknown,
        not_sent,
        retries: unknown * 2 / 32,
        in_flight: (rate / 32.0 * (base + waits / 4.0) / 1e6) as u32 + 2,
        latency: percentiles(&latency.0),
        service: percentiles(&service.0),
        lag_p99_us: lag.0.value_at_quantile(0.99),
        codes: codes.into_iter().filter(|(_, n)| *n > 0).map(|(c, n)| (c.to_owned(), n)).collect(),
    }
}

/// What the cluster answered: less while a shard is away, the backlog afterwards.
fn acknowledged(second: usize, done: u64) -> u64 {
    if (KILL..KILL + STALL).contains(&second) {
        done * 3 / 4
    } else if second == KILL + STALL {
        done * 17 / 10
    } else {
        done
    }
}

fn phase_record(phase: &(&str, usize, usize, f64, f64, bool), timeline: &[Second], stretch: usize) -> PhaseRecord {
    let seconds = &timeline[phase.1 * stretch..phase.2 * stretch];
    let worst = |pick: fn(&Second) -> &Percentiles| {
        let all = seconds.iter().map(pick);
        all.copied().max_by_key(|p| p.p99).unwrap_or_default()
    };
    PhaseRecord {
        name: phase.0.to_owned(),
        from: (phase.1 * stretch) as f64,
        to: (phase.2 * stretch) as f64,
        measured: phase.5,
        totals: seconds.iter().fold(Totals::default(), add),
        latency: worst(|s| &s.latency),
        service: worst(|s| &s.service),
    }
}

fn add(sum: Totals, s: &Second) -> Totals {
    let planned_refusals = s.codes.get("exceeds_credits").copied().unwrap_or(0);
    Totals {
        planned: sum.planned + s.planned,
        done: sum.done + s.done,
        done_in_time: sum.done_in_time + s.done_in_time,
        refused_as_planned: sum.refused_as_planned + planned_refusals,
        refused: sum.refused + s.refused - planned_refusals,
        unknown: sum.unknown + s.unknown,
        not_sent: sum.not_sent + s.not_sent,
        skipped: sum.skipped + s.not_sent / 7,
        duplicates: sum.duplicates + s.planned / 500,
        requests: sum.requests + s.sent / 32,
        retries: sum.retries + s.retries,
        cross_shard: Some(sum.cross_shard.unwrap_or(0) + s.done * 3 / 4),
    }
}
