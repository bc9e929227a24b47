//! The planned rate over time, as one curve: the phases in a row, with the events that multiply the load in it.
//!
//! It is made of straight lines, so what is planned before an instant and the instant at which a count is reached are
//! both exact formulas; nothing is summed up in steps. An open loop asks it for the instant of every request.

use std::time::Duration;

use crate::scenario::{Action, Event, Phase};

/// Transfers (and reads) a second over time. Times are seconds from the first planned instant, rates per second.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// In order, without gaps, none empty.
    segments: Vec<Segment>,
    total: f64,
}

/// A straight line.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Segment {
    from: f64,
    to: f64,
    rate_from: f64,
    rate_to: f64,
    /// What is planned before it.
    before: f64,
}

/// Where a reader of a curve is whose counts only grow: see [`Curve::instant_after`].
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    segment: usize,
}

impl Curve {
    /// The curve of `phases`, one after the other, with every [`Action::Load`] of `events` multiplied in (those that
    /// overlap multiply each other) and everything multiplied by `scale`.
    pub fn new(phases: &[Phase], events: &[Event], scale: f64) -> Self {
        let loads: Vec<(Duration, Duration, f64)> = events.iter().filter_map(load_of).collect();
        let mut segments = Vec::new();
        let (mut begins, mut before) = (Duration::ZERO, 0.0);
        for phase in phases {
            for line in phase.points.windows(2) {
                let (from, to) = (begins + line[0].0, begins + line[1].0);
                let rate_at = |at: Duration| {
                    let part = (at - from).as_secs_f64() / (to - from).as_secs_f64();
                    line[0].1 + (line[1].1 - line[0].1) * part
                };
                for (from, to) in cut(from, to, &loads) {
                    let on = |load: &&(Duration, Duration, f64)| load.0 <= from && to <= load.1;
                    let factor = scale * loads.iter().filter(on).map(|load| load.2).product::<f64>();
                    let (rate_from, rate_to) = (rate_at(from) * factor, rate_at(to) * factor);
                    let segment =
                        Segment { from: from.as_secs_f64(), to: to.as_secs_f64(), rate_from, rate_to, before };
                    before = segment.before_at(segment.to);
                    segments.push(segment);
                }
            }
            begins += phase.duration;
        }
        Self { segments, total: before }
    }

    /// How long it is.
    pub fn seconds(&self) -> f64 {
        self.segments.last().map_or(0.0, |last| last.to)
    }

    /// What is planned in all.
    pub fn total(&self) -> f64 {
        self.total
    }

    /// The rate at an instant; at a jump the later one, 0 outside.
    pub fn rate_at(&self, at: f64) -> f64 {
        match self.segment_at(at) {
            Some(segment) if at >= segment.from => segment.rate_at(at),
            _ => 0.0,
        }
    }

    /// The rate just before an instant; at a jump the earlier one, 0 outside.
    pub fn rate_before(&self, at: f64) -> f64 {
        let segment = self.segments.get(self.segments.partition_point(|segment| segment.to < at));
        segment.filter(|segment| at > segment.from).map_or(0.0, |segment| segment.rate_at(at))
    }

    /// The highest rate between two instants.
    pub fn peak_between(&self, from: f64, to: f64) -> f64 {
        let inside = self.segments.iter().filter(|segment| segment.from < to && from < segment.to);
        let highest = |s: &Segment| s.rate_at(s.from.max(from)).max(s.rate_at(s.to.min(to)));
        inside.map(highest).fold(0.0, f64::max)
    }

    /// What is planned before an instant.
    pub fn before(&self, at: f64) -> f64 {
        match self.segment_at(at) {
            Some(segment) if at >= segment.from => segment.before_at(at),
            Some(_) => 0.0,
            None => self.total,
        }
    }

    /// The instant at which `count` are planned and the next one is due: the latest one if nothing is planned for a while.
    /// None from [`Curve::total`] on.
    pub fn instant_of(&self, count: f64) -> Option<f64> {
        let index = self.segments.partition_point(|segment| segment.before <= count).checked_sub(1)?;
        self.instant_after(&mut Cursor { segment: index }, count)
    }

    /// The same for counts that never fall, without searching: `cursor` remembers the line that the last one was on.
    pub fn instant_after(&self, cursor: &mut Cursor, count: f64) -> Option<f64> {
        if count >= self.total {
            return None;
        }
        while self.segments.get(cursor.segment + 1).is_some_and(|next| next.before <= count) {
            cursor.segment += 1;
        }
        self.segments.get(cursor.segment).map(|segment| segment.instant_of(count))
    }

    /// The highest rate.
    pub fn peak(&self) -> f64 {
        self.segments.iter().flat_map(|s| [s.rate_from, s.rate_to]).fold(0.0, f64::max)
    }

    /// The line that an instant is on, the first one for what lies before; none at the end and behind it.
    fn segment_at(&self, at: f64) -> Option<&Segment> {
        self.segments.get(self.segments.partition_point(|segment| segment.to <= at))
    }
}

impl Segment {
    fn slope(&self) -> f64 {
        (self.rate_to - self.rate_from) / (self.to - self.from)
    }

    fn rate_at(&self, at: f64) -> f64 {
        self.rate_from + self.slope() * (at - self.from)
    }

    fn before_at(&self, at: f64) -> f64 {
        let passed = at - self.from;
        self.before + passed * (self.rate_from + self.slope() * passed / 2.0)
    }

    /// Solves rate · x + slope · x² / 2 = count for x, in the form that neither divides by a slope of nearly nothing nor
    /// subtracts two numbers that are nearly the same (Press et al., "Numerical Recipes", 5.6).
    fn instant_of(&self, count: f64) -> f64 {
        let left = count - self.before;
        if left <= 0.0 {
            return self.from;
        }
        let root = (self.rate_from * self.rate_from + 2.0 * self.slope() * left).max(0.0).sqrt();
        (self.from + 2.0 * left / (self.rate_from + root)).clamp(self.from, self.to)
    }
}

/// From when to when a load event multiplies, and by what.
fn load_of(event: &Event) -> Option<(Duration, Duration, f64)> {
    match event.action {
        Action::Load { factor, lasts } => Some((event.at, event.at + lasts, factor)),
        _ => None,
    }
}

/// The parts of `from..to` in which no load event begins or ends.
fn cut(from: Duration, to: Duration, loads: &[(Duration, Duration, f64)]) -> Vec<(Duration, Duration)> {
    let inside = loads.iter().flat_map(|load| [load.0, load.1]).filter(|&at| from < at && at < to);
    let mut ends: Vec<Duration> = inside.chain([from, to]).collect();
    ends.sort_unstable();
    ends.dedup();
    ends.windows(2).map(|part| (part[0], part[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    fn phase(points: &[(u64, f64)]) -> Phase {
        let points: Vec<_> = points.iter().map(|&(ms, rate)| (Duration::from_millis(ms), rate)).collect();
        Phase { name: String::new(), duration: points[points.len() - 1].0, points, measured: true }
    }

    fn load(at: u64, lasts: u64, factor: f64) -> Event {
        let action = Action::Load { factor, lasts: Duration::from_millis(lasts) };
        Event { at: Duration::from_millis(at), action }
    }

    /// Within a billionth of what both are made of.
    fn close(one: f64, other: f64) -> bool {
        (one - other).abs() <= 1e-9 * (1.0 + one.abs().max(other.abs()))
    }

    #[test]
    fn rates_and_counts_are_those_of_the_drawing() {
        // 100/s for 2 s, nothing for 1 s, up to 400/s within 2 s, then a jump to 50/s for 1 s.
        let phases = [
            phase(&[(0, 100.0), (2_000, 100.0)]),
            phase(&[(0, 0.0), (1_000, 0.0)]),
            phase(&[(0, 0.0), (2_000, 400.0), (2_000, 50.0), (3_000, 50.0)]),
        ];
        let curve = Curve::new(&phases, &[], 1.0);
        assert_eq!((curve.seconds(), curve.total(), curve.peak()), (6.0, 650.0, 400.0));
        for (at, rate, before) in [
            (-1.0, 0.0, 0.0),
            (0.0, 100.0, 0.0),
            (0.5, 100.0, 50.0),
            (2.0, 0.0, 200.0),
            (2.7, 0.0, 200.0),
            (4.0, 200.0, 300.0),
            (5.0, 50.0, 600.0),
            (5.5, 50.0, 625.0),
            (6.0, 0.0, 650.0),
            (9.0, 0.0, 650.0),
        ] {
            assert!(close(curve.rate_at(at), rate), "rate at {at}: {}", curve.rate_at(at));
            assert!(close(curve.before(at), before), "before {at}: {}", curve.before(at));
        }
        for (at, rate) in [(0.0, 0.0), (2.0, 100.0), (3.0, 0.0), (5.0, 400.0), (6.0, 50.0), (6.5, 0.0)] {
            assert!(close(curve.rate_before(at), rate), "rate before {at}: {}", curve.rate_before(at));
        }
        assert_eq!((curve.peak_between(2.0, 4.0), curve.peak_between(4.5, 9.0)), (200.0, 400.0));
        for (count, at) in [
            (0.0, Some(0.0)),
            (150.0, Some(1.5)),
            // The stretch without a rate is behind it: number 200 is due when the rate rises.
            (200.0, Some(3.0)),
            (300.0, Some(4.0)),
            (600.0, Some(5.0)),
            (649.0, Some(5.98)),
            (650.0, None),
            (1e9, None),
        ] {
            let found = curve.instant_of(count);
            assert!(found.zip(at).map_or(found == at, |(found, at)| close(found, at)), "instant of {count}: {found:?}");
        }
    }

    #[test]
    fn load_events_multiply_within_their_time_and_each_other() {
        let phases = [phase(&[(0, 0.0), (10_000, 100.0)])];
        let curve = Curve::new(&phases, &[load(2_000, 4_000, 2.0), load(5_000, 5_000, 3.0)], 0.5);
        for (at, rate) in [(1.0, 5.0), (2.0, 20.0), (4.0, 40.0), (5.0, 150.0), (6.0, 90.0), (9.0, 135.0)] {
            assert!(close(curve.rate_at(at), rate), "rate at {at}: {}", curve.rate_at(at));
        }
        // Trapezia: 0..2, 2..5, 5..6, 6..10, halved by the scale.
        let expected = 0.5 * (20.0 + 2.0 * 105.0 + 6.0 * 55.0 + 3.0 * 320.0);
        assert!(close(curve.total(), expected), "{} is not {expected}", curve.total());
        // Just before 6 s, when both loads are on.
        assert!(close(curve.peak(), 180.0), "{}", curve.peak());
        let silent = Curve::new(&phases, &[load(0, 10_000, 0.0)], 1.0);
        assert_eq!((silent.total(), silent.instant_of(0.0)), (0.0, None));
    }

    #[test]
    fn a_slope_of_nearly_nothing_loses_no_precision() {
        let phases = [phase(&[(0, 38_500.0), (3_600_000, 38_500.000_001)])];
        let curve = Curve::new(&phases, &[], 1.0);
        for at in [1.0, 1_800.0, 3_599.999] {
            let found = curve.instant_of(curve.before(at)).unwrap();
            assert!((found - at).abs() < 1e-9, "{at} became {found}");
        }
    }

    /// A curve of a few phases with jumps, ramps from and to nothing, silence and load events.
    fn any_curve(rng: &mut SplitMix64) -> Curve {
        let phases: Vec<Phase> = (0..1 + rng.below(4))
            .map(|_| {
                let (mut at, mut points) = (0, Vec::new());
                for index in 0..2 + rng.below(5) {
                    at += if index == 0 { 0 } else { 1 + rng.below(5_000) };
                    let rate = [0.0, rng.fraction() * 1e-3, rng.fraction() * 100.0, rng.fraction() * 1e6];
                    points.push((at, rate[rng.below(4) as usize]));
                    if rng.below(4) == 0 && index > 0 {
                        points.push((at, rng.fraction() * 1e4));
                    }
                }
                phase(&points)
            })
            .collect();
        let events: Vec<Event> = (0..rng.below(4))
            .map(|_| load(rng.below(10_000), 1 + rng.below(5_000), [0.0, 0.5, 2.0, 10.0][rng.below(4) as usize]))
            .collect();
        Curve::new(&phases, &events, 0.1 + rng.fraction() * 3.0)
    }

    #[test]
    fn the_instant_of_what_is_before_an_instant_is_that_instant() {
        let seed = std::env::var("CREST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(2_014);
        let mut rng = SplitMix64::new(seed);
        let again = format!("repeat with CREST_SEED={seed} cargo test -p crest-loadgen --lib curve");
        for round in 0..2_000 {
            let curve = any_curve(&mut rng);
            let mut last = -1.0;
            for _ in 0..20 {
                let at = rng.fraction() * curve.seconds();
                let count = curve.before(at);
                let Some(found) = curve.instant_of(count) else {
                    assert!(close(count, curve.total()), "round {round}: {count} has no instant; {again}");
                    continue;
                };
                // How far a count's last digits move the instant depends on the rate; where it is nothing, any instant of
                // the silence has the same count.
                let back = curve.before(found);
                assert!(
                    (back - count).abs() <= 1e-9 * curve.total() + 1e-9,
                    "round {round}: {back} is not {count}; {again}"
                );
                if curve.rate_at(at) > 1.0 {
                    let off = 1e-9 * (1.0 + curve.total() / curve.rate_at(at));
                    assert!((found - at).abs() <= off.max(1e-6), "round {round}: {found} is not {at}; {again}");
                }
                last = found.max(last);
            }
            assert!(last <= curve.seconds(), "round {round}: {last} is behind the end; {again}");
        }
    }

    #[test]
    fn walking_and_searching_give_the_same_instants_in_order() {
        let mut rng = SplitMix64::new(11);
        for round in 0..300 {
            let curve = any_curve(&mut rng);
            let (mut cursor, mut count, mut last) = (Cursor::default(), 0.0, 0.0);
            for _ in 0..200 {
                let walked = curve.instant_after(&mut cursor, count);
                assert_eq!(walked, curve.instant_of(count), "round {round}: instant of {count}");
                let Some(at) = walked else { break };
                assert!(at >= last, "round {round}: {at} comes before {last}");
                last = at;
                count += rng.fraction() * curve.total() / 100.0;
            }
        }
    }
}
