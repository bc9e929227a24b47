//! Everything that a run came to, as the record that it leaves.

use std::sync::PoisonError;
use std::time::UNIX_EPOCH;

use super::args::RunArgs;
use super::ids::RunId;
use super::play::Played;
use super::setup::{Cluster, Prepared, Script};
use super::tally::{self, LaneTally};
use super::verdict;
use crate::record::{AgentRecord, AuditRecord, GeneratorRecord, RECORD_FORMAT, RunRecord, ScenarioRecord};

/// The record of a run, with its verdict.
#[allow(clippy::too_many_arguments, reason = "each part of the run hands in its own results, once")]
pub(crate) fn record(
    args: &RunArgs,
    script: &Script,
    cluster: &Cluster,
    course: &Prepared,
    played: &Played,
    audit: anyhow::Result<AuditRecord>,
    run: RunId,
) -> RunRecord {
    let scenario = &script.scenario;
    let tally = &played.tally;
    let timeline = tally.timeline();
    let events = played.happenings.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (audit, unproven) = match audit {
        Ok(audit) => (Some(audit), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let totals = tally.measured.totals();
    let latency = tally.measured.latency.distribution();
    let limits = &scenario.generator;
    let shards = played.looks.records(&cluster.shards, timeline.len());
    let case = verdict::Case {
        marks: &scenario.pass,
        latency: &latency.percentiles,
        totals: &totals,
        timeline: &timeline,
        events: &events,
        shards: &shards,
        audit: audit.as_ref(),
        late_share: tally.late_share(),
        late_share_max: limits.late_share_max,
        late_after: limits.late_after,
        stopped: unproven.as_deref().or(played.stopped.as_deref()),
    };
    let marks = case.marks();
    let (verdict, reasons) = case.verdict(&marks);
    RunRecord {
        format: RECORD_FORMAT,
        crest: env!("CARGO_PKG_VERSION").to_owned(),
        scenario: ScenarioRecord {
            name: scenario.name.clone(),
            description: scenario.description.clone(),
            scale: args.scale,
            seed: args.seed,
            text: script.text.clone(),
            deadline_ms: scenario.requests.deadline.as_secs_f64() * 1e3,
            options: args.options(),
        },
        run: run.to_string(),
        began_unix_ms: played.began.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
        planned_seconds: course.lanes.curve.seconds(),
        seconds: played.last_answer.as_secs_f64(),
        ledger: args.ledger,
        cluster: cluster.record.clone(),
        generator: GeneratorRecord {
            agents: agent_records(played, scenario.requests.connections),
            batch: scenario.requests.batch,
            stream: scenario.requests.stream,
            in_flight_max: scenario.requests.in_flight_max.saturating_mul(played.agents.len().max(1) as u32),
            late_share: tally.late_share(),
            late_after_ms: limits.late_after.as_secs_f64() * 1e3,
            late_share_max: limits.late_share_max,
        },
        phases: tally.phase_records(),
        events,
        shards,
        timeline,
        totals: tally.all.totals(),
        latency,
        service: tally.measured.service.distribution(),
        lag: tally.measured.lag.distribution(),
        kinds: tally.kind_records(),
        codes: tally::names(&tally.codes),
        audit,
        marks,
        verdict,
        reasons,
    }
}

fn agent_records(played: &Played, connections: u32) -> Vec<AgentRecord> {
    let lanes = played.tally.lanes.chunks(connections.max(1) as usize);
    let record = |((name, cpu_seconds), lanes): (&(String, Option<f64>), &[LaneTally])| AgentRecord {
        name: name.clone(),
        connections,
        cpu_seconds: *cpu_seconds,
        requests: lanes.iter().map(|lane| lane.requests).sum(),
        late_share: tally::late_share(lanes),
    };
    played.agents.iter().zip(lanes).map(record).collect()
}
