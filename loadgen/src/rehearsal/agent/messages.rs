//! What directors and agents say to each other, from and to the types of this crate.

use std::time::Duration;

use anyhow::{Context, bail};
use crest_proto::load;
use crest_topology::{SlotMap, SlotRange};

use crate::rehearsal::driver::LaneEnd;
use crate::rehearsal::plan::Kind;
use crate::rehearsal::sample::{Counts, Sample, Timing};

/// Samples in a message.
pub(super) const SAMPLES_MAX: usize = 4_096;
/// Longer than any run, µs: 8 days.
const TIME_US_MAX: u64 = 8 * 86_400 * 1_000_000;
/// More than a request can hold.
const COUNT_MAX: u64 = 1 << 20;
/// More than any lane has transfers.
const CONTRADICTIONS_MAX: u64 = 1 << 40;
/// Bytes of books in a message.
pub(super) const BOOKS_BYTES_MAX: usize = 1 << 20;

/// The map as shards with their slots.
pub(super) fn slots_to(map: &SlotMap) -> Vec<load::ShardSlots> {
    let slots = |shard: &u32| {
        let own = map.ranges().into_iter().filter(|range| range.shard == *shard);
        let slots = own.flat_map(|range| [u32::from(range.first), u32::from(range.last)]).collect();
        load::ShardSlots { shard: *shard, slots }
    };
    map.shards().iter().map(slots).collect()
}

/// The map of these shards.
///
/// # Errors
/// When they make none.
pub(super) fn slots_from(epoch: u64, shards: &[load::ShardSlots]) -> anyhow::Result<SlotMap> {
    let ids: Vec<u32> = shards.iter().map(|shard| shard.shard).collect();
    let mut ranges = Vec::new();
    for shard in shards {
        for pair in shard.slots.chunks(2) {
            let &[first, last] = pair else { bail!("prepare.shards: slots come in pairs of first and last") };
            let slot = |slot: u32| u16::try_from(slot).context("prepare.shards: a slot is below 16,384");
            ranges.push(SlotRange { shard: shard.shard, first: slot(first)?, last: slot(last)? });
        }
    }
    SlotMap::from_ranges(epoch, &ids, &ranges).context("prepare.shards")
}

/// Samples as messages.
pub(super) fn samples_to(lane: u32, in_flight: u32, samples: &[Sample]) -> Vec<load::Samples> {
    let message = |part: &[Sample]| load::Samples { lane, in_flight, samples: part.iter().map(sample_to).collect() };
    match samples {
        [] => vec![message(&[])],
        _ => samples.chunks(SAMPLES_MAX).map(message).collect(),
    }
}

fn sample_to(sample: &Sample) -> load::Sample {
    let timing = sample.timing.unwrap_or_default();
    load::Sample {
        planned_us: sample.planned.as_micros() as u64,
        sent: sample.timing.is_some(),
        answered: timing.answered,
        lag_us: timing.lag_us,
        service_us: timing.service_us,
        parts: sample.parts.iter().map(|(kind, counts)| part_to(*kind, counts)).collect(),
        codes: sample.codes.iter().flat_map(|&(code, count)| [u32::from(code), count]).collect(),
        retries: sample.retries,
        duplicates: sample.duplicates,
    }
}

fn part_to(kind: Kind, counts: &Counts) -> load::Part {
    load::Part {
        kind: kind as u32,
        planned: counts.planned,
        done: counts.done,
        done_in_time: counts.done_in_time,
        refused_as_planned: counts.refused_as_planned,
        refused: counts.refused,
        unknown: counts.unknown,
        not_sent: counts.not_sent,
        skipped: counts.skipped,
        cross_shard: counts.cross_shard,
    }
}

/// A sample of an agent.
///
/// # Errors
/// When it holds a kind that there is not.
pub(super) fn sample_from(message: load::Sample) -> anyhow::Result<Sample> {
    if message.planned_us.max(message.lag_us).max(message.service_us) > TIME_US_MAX {
        bail!("a sample of more than 8 days");
    }
    let timing = Timing { lag_us: message.lag_us, service_us: message.service_us, answered: message.answered };
    let code = |pair: &[u32]| match pair {
        &[code, count] => Ok((u8::try_from(code).context("sample.codes: a status has a number below 256")?, count)),
        _ => bail!("sample.codes come in pairs of number and count"),
    };
    Ok(Sample {
        planned: Duration::from_micros(message.planned_us),
        timing: message.sent.then_some(timing),
        parts: message.parts.iter().map(part_from).collect::<anyhow::Result<_>>()?,
        codes: message.codes.chunks(2).map(code).collect::<anyhow::Result<_>>()?,
        retries: message.retries,
        duplicates: message.duplicates,
    })
}

fn part_from(part: &load::Part) -> anyhow::Result<(Kind, Counts)> {
    let kind = Kind::MEASURED.get(part.kind as usize).copied();
    let all = [part.planned, part.done, part.done_in_time, part.refused_as_planned, part.refused, part.unknown];
    if all.into_iter().chain([part.not_sent, part.skipped, part.cross_shard]).any(|count| count > COUNT_MAX) {
        bail!("sample.parts: a count is above {COUNT_MAX}");
    }
    let counts = Counts {
        planned: part.planned,
        done: part.done,
        done_in_time: part.done_in_time,
        refused_as_planned: part.refused_as_planned,
        refused: part.refused,
        unknown: part.unknown,
        not_sent: part.not_sent,
        skipped: part.skipped,
        cross_shard: part.cross_shard,
    };
    Ok((kind.with_context(|| format!("sample.parts: there is no kind {}", part.kind))?, counts))
}

/// What a lane leaves behind, as messages: its books without what was never written, then the rest.
pub(super) fn end_to(lane: u32, end: &LaneEnd) -> (Vec<load::Books>, load::LaneEnd) {
    let bytes = end.books.bytes();
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let part = |bytes: &[u8]| load::Books { lane, bytes: bytes.to_vec() };
    let books = bytes[..used].chunks(BOOKS_BYTES_MAX).map(part).collect();
    let end = load::LaneEnd {
        lane,
        fingerprint: end.fingerprint,
        contradictions: end.contradictions.clone(),
        contradictions_count: end.contradictions_count,
        last_answer_us: end.last_answer.as_micros() as u64,
    };
    (books, end)
}

/// Checks what one of so many lanes leaves behind.
///
/// # Errors
/// When no lane of the run can have left that.
pub(super) fn check_end(end: &load::LaneEnd, lanes: u32) -> anyhow::Result<()> {
    if end.lane >= lanes {
        bail!("end.lane: expected one of {lanes} lanes, got {}", end.lane);
    }
    if end.last_answer_us > TIME_US_MAX {
        bail!("end.last_answer_us: expected at most {TIME_US_MAX}, got {}", end.last_answer_us);
    }
    if end.contradictions_count > CONTRADICTIONS_MAX {
        let count = end.contradictions_count;
        bail!("end.contradictions_count: expected at most {CONTRADICTIONS_MAX}, got {count}");
    }
    Ok(())
}

/// The time that processors have worked for an agent, seconds.
///
/// # Errors
/// When it is no time.
pub(super) fn cpu_seconds_from(over: &load::Over) -> anyhow::Result<Option<f64>> {
    /// 1,000 processors for as long as any run.
    const MAX: f64 = TIME_US_MAX as f64 / 1_000.0;
    match over.cpu_seconds {
        Some(seconds) if !(0.0..=MAX).contains(&seconds) => {
            bail!("over.cpu_seconds: expected 0 to {MAX} s, got {seconds:e}")
        }
        seconds => Ok(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_and_maps_come_back_as_they_were() {
        let counts = Counts { planned: 1, done: 2, done_in_time: 3, refused_as_planned: 4, ..Counts::default() };
        let more = Counts { refused: 5, unknown: 6, not_sent: 7, skipped: 8, cross_shard: 9, ..Counts::default() };
        let sample = Sample {
            planned: Duration::from_micros(12_345),
            timing: Some(Timing { lag_us: 1, service_us: 2, answered: true }),
            parts: vec![(Kind::Payment, counts), (Kind::Read, more)],
            codes: vec![(1, 8), (67, 1)],
            retries: 3,
            duplicates: 1,
        };
        let samples = vec![sample; SAMPLES_MAX + 1];
        let messages = samples_to(5, 6, &samples);
        assert_eq!(messages.iter().map(|m| m.samples.len()).collect::<Vec<_>>(), [SAMPLES_MAX, 1]);
        let back: Vec<Sample> = messages.into_iter().flat_map(|m| m.samples).map(|s| sample_from(s).unwrap()).collect();
        assert_eq!(back, samples);
        let map = SlotMap::even(&[3, 5, 9]).unwrap();
        assert_eq!(slots_from(map.epoch(), &slots_to(&map)).unwrap(), map);
    }

    #[test]
    fn numbers_that_no_agent_counts_are_refused() {
        let good = load::LaneEnd { lane: 1, contradictions_count: 10, last_answer_us: 5, ..load::LaneEnd::default() };
        assert!(check_end(&good, 2).is_ok());
        type Change = fn(&mut load::LaneEnd);
        let cases: [(Change, &str); 3] = [
            (|end| end.lane = 2, "end.lane: expected one of 2 lanes, got 2"),
            (
                |end| end.last_answer_us = u64::MAX,
                "end.last_answer_us: expected at most 691200000000, got 18446744073709551615",
            ),
            (
                |end| end.contradictions_count = u64::MAX,
                "end.contradictions_count: expected at most 1099511627776, got 18446744073709551615",
            ),
        ];
        for (change, text) in cases {
            let mut end = good.clone();
            change(&mut end);
            let error = check_end(&end, 2).unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
        for seconds in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            assert!(cpu_seconds_from(&load::Over { cpu_seconds: Some(seconds) }).is_err(), "{seconds}");
        }
        assert_eq!(cpu_seconds_from(&load::Over { cpu_seconds: Some(1.5) }).unwrap(), Some(1.5));
        assert_eq!(cpu_seconds_from(&load::Over { cpu_seconds: None }).unwrap(), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let part = load::Part { kind: 99, ..load::Part::default() };
        let refused = sample_from(load::Sample { parts: vec![part], ..load::Sample::default() }).unwrap_err();
        assert!(refused.to_string().contains("no kind 99"));
        let odd = load::ShardSlots { shard: 0, slots: vec![0, 16_383, 4] };
        assert!(slots_from(1, &[odd]).unwrap_err().to_string().contains("pairs"));
    }
}
