//! What the whole run came to, by second, by phase, by kind and together. Samples come in any order and from any number of
//! lanes and agents; whatever is told of a request is counted where the request was planned, not where it was answered, so
//! that a stall shows in the seconds that suffered from it.

use std::collections::BTreeMap;
use std::time::Duration;

use crest_ledger::TransferStatus;

use super::latency::{Latencies, SecondLatencies};
use super::plan::Kind;
use super::sample::{Counts, Sample, Timing};
use crate::record::{KindRecord, PhaseRecord, Second, Totals};
use crate::scenario::Phase;

/// How long after a second its latencies are packed.
const PACK_AFTER_SECONDS: usize = 90;
/// Seconds that are told apart: 8 days. What comes later is counted in the last one.
const SECONDS_MAX: usize = 8 * 86_400;

/// One second.
#[derive(Clone, Debug, Default)]
pub(crate) struct SecondTally {
    pub(crate) counts: Counts,
    /// Transfers planned for it that were sent.
    pub(crate) sent: u64,
    /// Transfers acknowledged during it.
    pub(crate) acknowledged: u64,
    pub(crate) retries: u64,
    pub(crate) in_flight: u32,
    pub(crate) latency: SecondLatencies,
    pub(crate) service: SecondLatencies,
    pub(crate) lag: SecondLatencies,
    pub(crate) codes: BTreeMap<u8, u64>,
}

impl SecondTally {
    fn pack(&mut self) {
        [&mut self.latency, &mut self.service, &mut self.lag].into_iter().for_each(SecondLatencies::pack);
    }
}

/// A sum of requests with their latencies.
#[derive(Clone, Debug)]
pub(crate) struct Sum {
    pub(crate) counts: Counts,
    pub(crate) requests: u64,
    pub(crate) retries: u64,
    pub(crate) duplicates: u64,
    pub(crate) latency: Latencies,
    pub(crate) service: Latencies,
    pub(crate) lag: Latencies,
}

impl Sum {
    fn new() -> Self {
        Self {
            counts: Counts::default(),
            requests: 0,
            retries: 0,
            duplicates: 0,
            latency: Latencies::new(),
            service: Latencies::new(),
            lag: Latencies::new(),
        }
    }

    fn add(&mut self, sample: &Sample, counts: &Counts) {
        self.counts.add(counts);
        self.retries += u64::from(sample.retries);
        self.duplicates += u64::from(sample.duplicates);
        let Some(Timing { lag_us, service_us, answered }) = sample.timing else { return };
        self.requests += 1;
        if sample.duplicates > 0 {
            return;
        }
        self.lag.record(lag_us);
        if answered {
            self.service.record(service_us);
            self.latency.record(lag_us + service_us);
        }
    }

    /// As a record tells it.
    pub(crate) fn totals(&self) -> Totals {
        let c = &self.counts;
        Totals {
            planned: c.planned,
            done: c.done,
            done_in_time: c.done_in_time,
            refused_as_planned: c.refused_as_planned,
            refused: c.refused,
            unknown: c.unknown,
            not_sent: c.not_sent,
            skipped: c.skipped,
            duplicates: self.duplicates,
            requests: self.requests,
            retries: self.retries,
            cross_shard: Some(c.cross_shard),
        }
    }
}

struct PhaseSum {
    name: String,
    from: Duration,
    to: Duration,
    measured: bool,
    sum: Sum,
}

/// Everything that was told.
pub(crate) struct Tally {
    pub(crate) seconds: Vec<SecondTally>,
    phases: Vec<PhaseSum>,
    /// Of the measured phases.
    pub(crate) measured: Sum,
    pub(crate) all: Sum,
    kinds: [(Counts, Latencies); Kind::MEASURED.len()],
    pub(crate) codes: BTreeMap<u8, u64>,
    /// Requests and late ones of the measured phases, by lane.
    pub(crate) lanes: Vec<LaneTally>,
    late_after_us: u64,
    packed: usize,
}

/// What one lane did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LaneTally {
    pub(crate) requests: u64,
    pub(crate) measured: u64,
    pub(crate) late: u64,
    pub(crate) in_flight: u32,
}

impl Tally {
    /// Nothing yet of a run with these phases and so many lanes; a request counts as late from `late_after` on.
    pub(crate) fn new(phases: &[Phase], lanes: u32, late_after: Duration) -> Self {
        let mut from = Duration::ZERO;
        let phase = |phase: &Phase| {
            let begins = from;
            from += phase.duration;
            PhaseSum { name: phase.name.clone(), from: begins, to: from, measured: phase.measured, sum: Sum::new() }
        };
        Self {
            seconds: Vec::new(),
            phases: phases.iter().map(phase).collect(),
            measured: Sum::new(),
            all: Sum::new(),
            kinds: std::array::from_fn(|_| (Counts::default(), Latencies::new())),
            codes: BTreeMap::new(),
            lanes: vec![LaneTally::default(); lanes as usize],
            late_after_us: late_after.as_micros() as u64,
            packed: 0,
        }
    }

    /// Adds what a lane told.
    pub(crate) fn add(&mut self, lane: u32, sample: &Sample) {
        let counts = sample.counts();
        for &(code, count) in &sample.codes {
            *self.codes.entry(code).or_default() += u64::from(count);
        }
        self.add_to_second(sample, &counts);
        self.all.add(sample, &counts);
        // What is planned behind the end, because it follows something, belongs to the last phase.
        let last = self.phases.len().saturating_sub(1);
        let at = self.phases.partition_point(|phase| phase.to <= sample.planned).min(last);
        let measured = self.phases.get_mut(at).is_some_and(|phase| {
            phase.sum.add(sample, &counts);
            phase.measured
        });
        let lane = self.lanes.get_mut(lane as usize);
        if let (Some(lane), Some(timing), 0) = (lane, sample.timing, sample.duplicates) {
            lane.requests += 1;
            lane.measured += u64::from(measured);
            lane.late += u64::from(measured && timing.lag_us >= self.late_after_us);
        }
        if measured {
            self.measured.add(sample, &counts);
        }
        for (kind, counts) in &sample.parts {
            let Some((sum, latency)) = self.kinds.get_mut(*kind as usize) else { continue };
            sum.add(counts);
            if let (1, Some(Timing { lag_us, service_us, answered: true })) = (sample.parts.len(), sample.timing) {
                latency.record(lag_us + service_us);
            }
        }
    }

    fn add_to_second(&mut self, sample: &Sample, counts: &Counts) {
        let planned = second(sample.planned);
        let answered = sample.timing.filter(|timing| timing.answered).map(|timing| {
            let at = sample.planned + Duration::from_micros(timing.lag_us + timing.service_us);
            (second(at), timing)
        });
        let needed = planned.max(answered.map_or(0, |(at, _)| at)) + 1;
        if self.seconds.len() < needed {
            self.seconds.resize_with(needed, SecondTally::default);
        }
        if let Some((at, _)) = answered {
            self.seconds[at].acknowledged += counts.done;
        }
        let own = &mut self.seconds[planned];
        own.counts.add(counts);
        own.retries += u64::from(sample.retries);
        for &(code, count) in &sample.codes {
            *own.codes.entry(code).or_default() += u64::from(count);
        }
        if let Some(timing) = sample.timing.filter(|_| sample.duplicates == 0) {
            own.sent += counts.planned.saturating_sub(counts.not_sent).saturating_sub(counts.skipped);
            own.lag.record(timing.lag_us);
            if timing.answered {
                own.service.record(timing.service_us);
                own.latency.record(timing.lag_us + timing.service_us);
            }
        }
        if planned < self.packed {
            self.seconds[planned].pack();
        }
        while self.packed + PACK_AFTER_SECONDS < self.seconds.len() {
            self.seconds[self.packed].pack();
            self.packed += 1;
        }
    }

    /// Notes how many requests a lane has in flight, at this instant.
    pub(crate) fn in_flight(&mut self, lane: u32, in_flight: u32, at: Duration) {
        if let Some(lane) = self.lanes.get_mut(lane as usize) {
            lane.in_flight = in_flight;
        }
        let at = second(at);
        let sum: u32 = self.lanes.iter().map(|lane| lane.in_flight).sum();
        // A second in which nothing ends is one, too: with everything in flight, it may be the worst.
        if sum > 0 && self.seconds.len() <= at {
            self.seconds.resize_with(at + 1, SecondTally::default);
        }
        if let Some(second) = self.seconds.get_mut(at) {
            second.in_flight = sum;
        }
    }

    /// Reads among what is done.
    pub(crate) fn reads_done(&self) -> u64 {
        self.kinds[Kind::Read as usize].0.done
    }

    /// Late requests of the measured phases, as a share.
    pub(crate) fn late_share(&self) -> f64 {
        late_share(&self.lanes)
    }

    /// By phase, as a record tells it.
    pub(crate) fn phase_records(&self) -> Vec<PhaseRecord> {
        let record = |phase: &PhaseSum| PhaseRecord {
            name: phase.name.clone(),
            from: phase.from.as_secs_f64(),
            to: phase.to.as_secs_f64(),
            measured: phase.measured,
            totals: phase.sum.totals(),
            latency: phase.sum.latency.percentiles(),
            service: phase.sum.service.percentiles(),
        };
        self.phases.iter().map(record).collect()
    }

    /// By kind, as a record tells it.
    pub(crate) fn kind_records(&self) -> BTreeMap<String, KindRecord> {
        let planned = Kind::MEASURED.iter().zip(&self.kinds).filter(|(_, (counts, _))| counts.planned > 0);
        let record = |(kind, (c, latency)): (&Kind, &(Counts, Latencies))| {
            let record = KindRecord {
                planned: c.planned,
                done: c.done,
                refused: c.refused + c.refused_as_planned,
                unknown: c.unknown,
                not_sent: c.not_sent + c.skipped,
                latency: latency.percentiles(),
            };
            (kind.name().to_owned(), record)
        };
        planned.map(record).collect()
    }

    /// By second, as a record tells it.
    pub(crate) fn timeline(&self) -> Vec<Second> {
        let record = |(at, s): (u32, &SecondTally)| Second {
            at,
            planned: s.counts.planned,
            sent: s.sent,
            acknowledged: s.acknowledged,
            done: s.counts.done,
            done_in_time: s.counts.done_in_time,
            refused: s.counts.refused + s.counts.refused_as_planned,
            unknown: s.counts.unknown,
            not_sent: s.counts.not_sent + s.counts.skipped,
            retries: s.retries,
            in_flight: s.in_flight,
            latency: s.latency.percentiles(),
            service: s.service.percentiles(),
            lag_p99_us: s.lag.percentiles().p99,
            codes: names(&s.codes),
        };
        (0u32..).zip(&self.seconds).map(record).collect()
    }
}

/// Late requests of these lanes, as a share of those that were measured.
pub(crate) fn late_share(lanes: &[LaneTally]) -> f64 {
    let (late, all) = lanes.iter().fold((0, 0), |(late, all), lane| (late + lane.late, all + lane.measured));
    if all == 0 { 0.0 } else { late as f64 / all as f64 }
}

/// Counts by the ledger's own names.
pub(crate) fn names(codes: &BTreeMap<u8, u64>) -> BTreeMap<String, u64> {
    let name = |number: u8| TransferStatus::from_number(number).map_or("(not a status)", TransferStatus::name);
    codes.iter().map(|(&number, &count)| (name(number).to_owned(), count)).collect()
}

fn second(at: Duration) -> usize {
    (at.as_secs() as usize).min(SECONDS_MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(name: &str, seconds: u64, measured: bool) -> Phase {
        let duration = Duration::from_secs(seconds);
        Phase { name: name.into(), duration, points: vec![(Duration::ZERO, 1.0), (duration, 1.0)], measured }
    }

    fn sample(planned_ms: u64, lag_us: u64, service_us: u64) -> Sample {
        let counts = Counts { planned: 2, done: 2, done_in_time: 1, ..Counts::default() };
        Sample {
            planned: Duration::from_millis(planned_ms),
            timing: Some(Timing { lag_us, service_us, answered: true }),
            parts: vec![(Kind::Payment, counts)],
            codes: vec![(TransferStatus::Created as u8, 2)],
            ..Sample::default()
        }
    }

    #[test]
    fn a_request_counts_where_it_was_planned_and_is_acknowledged_where_it_was_answered() {
        let mut tally = Tally::new(&[phase("warm-up", 2, false), phase("peak", 3, true)], 1, Duration::from_millis(5));
        tally.add(0, &sample(1_900, 100, 400_000));
        tally.add(0, &sample(4_500, 6_000, 1_000));
        tally.add(0, &sample(6_200, 10, 1_000));
        let timeline = tally.timeline();
        let of = |get: fn(&Second) -> u64| timeline.iter().map(get).collect::<Vec<_>>();
        assert_eq!(of(|s| s.planned), [0, 2, 0, 0, 2, 0, 2]);
        assert_eq!(of(|s| s.acknowledged), [0, 0, 2, 0, 2, 0, 2]);
        assert_eq!(of(|s| s.latency.max / 100_000), [0, 4, 0, 0, 0, 0, 0]);
        let phases = tally.phase_records();
        let planned: Vec<u64> = phases.iter().map(|p| p.totals.planned).collect();
        assert_eq!(planned, [2, 4], "what is behind the end belongs to the last phase");
        assert_eq!((tally.measured.counts.done_in_time, tally.measured.latency.percentiles().count), (2, 2));
        assert_eq!(tally.late_share(), 0.5);
        assert_eq!(tally.timeline()[1].codes["created"], 2);
    }

    #[test]
    fn a_duplicate_counts_in_nothing_but_the_codes_and_the_requests() {
        let mut tally = Tally::new(&[phase("peak", 3, true)], 1, Duration::from_millis(5));
        let codes = vec![(TransferStatus::Exists as u8, 1)];
        let timing = Some(Timing { lag_us: 9, service_us: 9, answered: true });
        tally.add(0, &Sample { codes, timing, duplicates: 1, ..Sample::default() });
        let totals = tally.all.totals();
        assert_eq!((totals.duplicates, totals.requests, totals.planned), (1, 1, 0));
        assert_eq!((tally.all.latency.percentiles().count, tally.codes[&(TransferStatus::Exists as u8)]), (0, 1));
    }
}
