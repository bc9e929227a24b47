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
