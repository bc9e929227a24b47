//! The rest of the made-up run: all but its seconds.

use std::collections::BTreeMap;

use super::{DOUBLE, KILL, wobble};
use crate::record::{
    AgentRecord, AuditRecord, EventRecord, GeneratorRecord, KindRecord, MarkLine, MarkRecord, Percentiles,
    ScenarioRecord, Second, ShardRecord, Totals,
};

pub(super) fn scenario() -> ScenarioRecord {
    let text = "name = \"double-11-2014\"\ndescription = \"The first minutes of 11 November 2014\"\n\n# The warm-up is sent and not \
                measured.\n[[phase]]\nname = \"warm-up\"\nduration = \"20s\"\nrate = [2000, 6000]\nmeasured = false\n\n[[phase]]\nname = \
                \"midnight\"\nduration = \"30s\"\nrate = [38500, 24000]\n\n[pass]\np99 = \"100ms\"\ngoodput = 0.99\n";
    ScenarioRecord {
        name: "double-11-2014".to_owned(),
        description: "The first minutes of 11 November 2014, when customers of a large shop paid up to 38,500 times a second. For \
                      a team that expects a sale to begin at a known instant."
            .to_owned(),
        scale: 1.0,
        seed: 20_141_111,
        text: text.to_owned(),
        options: vec!["--local 4".to_owned()],
        deadline_ms: 500.0,
    }
}

pub(super) fn generator(totals: &Totals) -> GeneratorRecord {
    let agent = |name: &str, part: u64, cpu| AgentRecord {
        name: name.to_owned(),
        connections: 8,
        cpu_seconds: cpu,
        requests: totals.requests * part / 5,
        late_share: 0.000_4 * part as f64,
    };
    GeneratorRecord {
        agents: vec![agent("this process", 3, Some(41.7)), agent("10.0.0.7:7100", 2, None)],
        batch: 32,
        stream: true,
        in_flight_max: 4_096,
        late_share: 0.000_96,
        late_after_ms: 1.0,
        late_share_max: 0.01,
    }
}

pub(super) fn events(stretch: f64) -> Vec<EventRecord> {
    let event = |planned: f64, happened: Option<f64>, until: Option<f64>, label: &str, text: &str| EventRecord {
        planned: planned * stretch,
        happened: happened.map(|s| s * stretch),
        until: until.map(|s| s * stretch),
        label: label.to_owned(),
        text: text.to_owned(),
        done: happened.is_some(),
        load: label.contains("load"),
    };
    let (kill, double) = (KILL as f64, DOUBLE.0 as f64);
    vec![
        event(
            kill,
            Some(kill + 0.02),
            Some(kill + 4.0),
            "kill shard 1",
            "The leader of shard 1 was killed (SIGKILL) and started again 4 s later; it replayed 31,204 entries of its log.",
        ),
        event(double, Some(double), Some(DOUBLE.1 as f64), "load × 2", "All rates were doubled for 10 s."),
        event(150.0, None, None, "rebalance", "Not done: this cluster has no slots to move."),
    ]
}

pub(super) fn shards(timeline: &[Second]) -> Vec<ShardRecord> {
    let parts = [0.262, 0.244, 0.238, 0.256];
    let one = |(shard, part): (usize, &f64)| {
        let load = |s: &Second| {
            s.acknowledged as f64 * 1.75 * part * (0.98 + 0.04 * wobble(u64::from(s.at) * 5 + shard as u64))
        };
        let away = |s: &Second| shard == 1 && s.acknowledged < s.done;
        let transfers_per_second: Vec<Option<f64>> = timeline.iter().map(|s| (!away(s)).then(|| load(s))).collect();
        ShardRecord {
            shard: shard as u32,
            holds: timeline.iter().map(|s| (!away(s)).then(|| u64::from(s.in_flight) * 6 + 3)).collect(),
            transfers: transfers_per_second.iter().flatten().sum::<f64>() as u64,
            transfers_per_second,
        }
    };
    parts.iter().enumerate().map(one).collect()
}

pub(super) fn kinds(totals: &Totals) -> BTreeMap<String, KindRecord> {
    let kind = |part: u64| KindRecord {
        planned: totals.planned * part / 100,
        done: totals.done * part / 100,
        refused: (totals.refused + totals.refused_as_planned) * part / 100,
        unknown: totals.unknown * part / 100,
        not_sent: totals.not_sent * part / 100,
        latency: Percentiles::default(),
    };
    let all = [("payment", 71), ("authorise", 11), ("capture", 9), ("void", 2), ("refund", 4), ("chain", 3)];
    all.into_iter().map(|(name, part)| (name.to_owned(), kind(part))).collect()
}

pub(super) fn codes(timeline: &[Second]) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::from([("exists".to_owned(), 5_912)]);
    for (code, count) in timeline.iter().flat_map(|s| &s.codes) {
        *all.entry(code.clone()).or_default() += count;
    }
    all
}

pub(super) fn audit(acknowledged: u64, totals: &Totals) -> AuditRecord {
    AuditRecord {
        acknowledged,
        acknowledged_found: acknowledged,
        amount: "98765432109876543210".to_owned(),
        refused: totals.refused + totals.refused_as_planned + totals.skipped + totals.not_sent,
        refused_found: 0,
        unknown: totals.unknown,
        unknown_were_made: totals.unknown * 2 / 3,
        unknown_made_now: totals.unknown - totals.unknown * 2 / 3,
        unknown_refused: 0,
        unknown_left: 0,
        foreign: 0,
        rows: acknowledged + totals.unknown,
        accounts: 1_001_000,
        accounts_wrong: 0,
        ledger_audit_holds: true,
        ledger_audit_timestamp: 1_794_150_401_123_456_789,
        ledger_audit_transfers: acknowledged + totals.unknown + 40_000,
        contradictions: 0,
        wrong: Vec::new(),
        undecided: Vec::new(),
        seconds: 21.4,
    }
}

pub(super) fn marks(latency: &Percentiles) -> Vec<MarkRecord> {
    let ms = |us: u64| format!("{:.1} ms", us as f64 / 1e3);
    let latency_mark = |name: &str, quantile: f64, at_most_us: u64, got: u64| MarkRecord {
        name: name.to_owned(),
        wanted: format!("at most {} ms", at_most_us / 1_000),
        got: ms(got),
        passed: got <= at_most_us,
        line: Some(MarkLine { quantile, at_most_us }),
    };
    vec![
        latency_mark("50th percentile of latency", 0.5, 10_000, latency.p50),
        latency_mark("99th percentile of latency", 0.99, 100_000, latency.p99),
        MarkRecord {
            name: "goodput".to_owned(),
            wanted: "at least 99 %".to_owned(),
            got: "99.2 %".to_owned(),
            passed: true,
            line: None,
        },
    ]
}
