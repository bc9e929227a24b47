//! What has to fit together in a scenario, beyond each value's own bounds.

use std::time::Duration;

use crest_ledger::limits::BATCH_EVENTS_MAX;

use super::parse::{Sections, TIME_MAX};
use super::values::{spell_duration, spell_number};
use super::{Action, Event, Mix, Scenario, Source};
use crate::curve::Curve;
use crate::peak::CONNECTION_REQUESTS_MAX;

/// Transfers that a scenario may plan: a byte each in the books, so a terabyte; more is a mistake in the file.
pub(super) const PLANNED_MAX: f64 = (1u64 << 40) as f64;
/// How long the proof may take after the run: nothing may expire while it is made.
pub(super) const PROOF_TIME: Duration = Duration::from_secs(600);

/// Notes everything that does not fit.
pub(super) fn check(scenario: &Scenario, at: &Sections<'_>) {
    check_phases(scenario, at);
    check_population(scenario, at);
    match &scenario.source {
        Source::Mix(mix) => check_mix(scenario, mix, at),
        Source::File(_) if at.mix.is_there() => {
            at.root.wrong("source", "[source] beside [mix]", "either: a file's payments or drawn ones");
        }
        Source::File(_) => {}
    }
    check_requests(scenario, at);
    check_events(scenario, at);
}

fn check_phases(scenario: &Scenario, at: &Sections<'_>) {
    let run = scenario.duration();
    if run > TIME_MAX {
        let found = format!("phases of {} together", spell_duration(run));
        at.root.wrong("phase", found, format!("{} at the most", spell_duration(TIME_MAX)));
    }
    if !scenario.phases.iter().any(|phase| phase.measured) {
        at.root.wrong(
            "phase",
            "no measured phase",
            "at least one without `measured = false`: the pass marks look at those",
        );
    }
    if scenario.timed_by_file() {
        return;
    }
    let curve = Curve::new(&scenario.phases, &scenario.events, 1.0);
    if !(1.0..=PLANNED_MAX).contains(&curve.total()) {
        let found = format!("{} transfers planned in all", spell_number(curve.total().round()));
        at.root.wrong("phase", found, format!("from 1 to {}", spell_number(PLANNED_MAX)));
    }
    let mut begins = 0.0;
    let planned = |phase: &super::Phase| {
        let (from, to) = (begins, begins + phase.duration.as_secs_f64());
        begins = to;
        if phase.measured { curve.before(to) - curve.before(from) } else { 0.0 }
    };
    let measured: f64 = scenario.phases.iter().map(planned).sum();
    if curve.total() >= 1.0 && measured < 1.0 && scenario.phases.iter().any(|phase| phase.measured) {
        at.root.wrong("phase", "no transfer in a measured phase", "a measured phase with a rate above 0");
    }
}

fn check_population(scenario: &Scenario, at: &Sections<'_>) {
    let population = &scenario.population;
    let (hot, merchants) = (population.hot_merchants, population.merchants);
    if hot > merchants {
        let expected = format!("at most the number of merchants, {merchants}");
        at.population.wrong("hot_merchants", hot.to_string(), expected);
    }
    if hot == 0 && population.hot_share > 0.0 {
        at.population.wrong("hot_share", spell_number(population.hot_share), "`hot_merchants` of at least 1 beside it");
    }
    if hot > 0 && hot < merchants && population.hot_share == 0.0 {
        at.population.wrong("hot_merchants", hot.to_string(), "a `hot_share` above 0 beside it");
    }
    if hot > 0 && hot == merchants && population.hot_share < 1.0 {
        let expected = "1, because all merchants are hot and nobody is left for the rest";
        at.population.wrong("hot_share", spell_number(population.hot_share), expected);
    }
}

fn check_mix(scenario: &Scenario, mix: &Mix, at: &Sections<'_>) {
    if mix.payment + mix.authorise + mix.chain + mix.read == 0.0 {
        at.mix.wrong("payment", "weights that are all 0", "one of payment, authorise, chain, read above 0");
    }
    if mix.payment == 0.0 {
        let shares = [(&at.mix, "insufficient_funds", mix.insufficient_funds), (&at.refund, "share", mix.refund.share)];
        for (table, name, share) in shares.into_iter().filter(|(_, _, share)| *share > 0.0) {
            table.wrong(name, spell_number(share), "0, because it is a share of the payments and `payment` is 0");
        }
    }
    let batch = scenario.requests.batch;
    if mix.chain > 0.0 && u64::from(batch) * u64::from(mix.chain_legs) > BATCH_EVENTS_MAX as u64 {
        let found = format!("{batch} chains of {} transfers in a request", mix.chain_legs);
        let expected =
            format!("{BATCH_EVENTS_MAX} transfers at the most: {}", BATCH_EVENTS_MAX as u32 / mix.chain_legs);
        at.requests.wrong("batch", found, expected);
    }
    let last = scenario.duration() + mix.capture.after + scenario.requests.retry_for + PROOF_TIME;
    if mix.authorise > 0.0 && mix.capture.timeout <= last {
        let expected = format!(
            "more than {}: the run, `after`, `retry_for` and 10 minutes for the proof, in which nothing may expire",
            spell_duration(last)
        );
        at.capture.wrong("timeout", spell_duration(mix.capture.timeout), expected);
    }
}

fn check_requests(scenario: &Scenario, at: &Sections<'_>) {
    let requests = &scenario.requests;
    if requests.in_flight_max < requests.connections {
        let expected = format!("at least one a connection, {}", requests.connections);
        at.requests.wrong("in_flight_max", requests.in_flight_max.to_string(), expected);
    }
    // Of calls as of streams: a connection carries 16 streams of 64 requests each.
    let places = u64::from(requests.connections) * CONNECTION_REQUESTS_MAX;
    if u64::from(requests.in_flight_max) > places {
        let needed = u64::from(requests.in_flight_max).div_ceil(CONNECTION_REQUESTS_MAX);
        let expected = format!("at most {places}, 1,024 a connection; or `connections = {needed}`");
        at.requests.wrong("in_flight_max", spell_number(f64::from(requests.in_flight_max)), expected);
    }
}

fn check_events(scenario: &Scenario, at: &Sections<'_>) {
    let run = scenario.duration();
    for (event, table) in scenario.events.iter().zip(&at.events) {
        if event.at >= run || event.until() > run {
            let found = match event.until() > event.at {
                true => format!("{} to {}", spell_duration(event.at), spell_duration(event.until())),
                false => spell_duration(event.at),
            };
            table.wrong("at", found, format!("within the run, which takes {}", spell_duration(run)));
        }
        if let Action::Rebalance { from, to, .. } = event.action
            && from == to
        {
            table.wrong("rebalance", format!("from {from} to {to}"), "two different shards");
        }
    }
    for (index, event) in scenario.events.iter().enumerate() {
        let meets = |earlier: &&Event| earlier.breaks_same(event) && earlier.until() > event.at;
        if let Some(earlier) = scenario.events[..index].iter().find(meets) {
            let expected =
                format!("from {} on, when what was done to it before is over", spell_duration(earlier.until()));
            at.events[index].wrong("at", spell_duration(event.at), expected);
        }
    }
    if scenario.pass.recovery.is_some() && scenario.events.is_empty() {
        at.pass.wrong("recovery", "no [[event]]", "at least one to recover from");
    }
}
