//! What is told of a request once it has ended.

use std::time::Duration;

use super::plan::Kind;

/// Counts of transfers; a read is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) planned: u64,
    pub(crate) done: u64,
    pub(crate) done_in_time: u64,
    pub(crate) refused_as_planned: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
    pub(crate) not_sent: u64,
    pub(crate) skipped: u64,
    pub(crate) cross_shard: u64,
}

impl Counts {
    /// Adds others.
    pub(crate) fn add(&mut self, other: &Self) {
        self.planned += other.planned;
        self.done += other.done;
        self.done_in_time += other.done_in_time;
        self.refused_as_planned += other.refused_as_planned;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.not_sent += other.not_sent;
        self.skipped += other.skipped;
        self.cross_shard += other.cross_shard;
    }
}

/// When a request was answered, from its point of view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timing {
    /// From its planned instant to when it left: the generator's own delay, µs.
    pub(crate) lag_us: u64,
    /// From when it left to the answer, µs.
    pub(crate) service_us: u64,
    /// Whether there was an answer.
    pub(crate) answered: bool,
}

/// A request that has ended, or that was not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// When it was planned, from the beginning of the run.
    pub(crate) planned: Duration,
    /// None when it was not sent.
    pub(crate) timing: Option<Timing>,
    /// What it held, by kind.
    pub(crate) parts: Vec<(Kind, Counts)>,
    /// Answers by the number of their status.
    pub(crate) codes: Vec<(u8, u32)>,
    /// Attempts beyond the first.
    pub(crate) retries: u32,
    /// It was a second time the same request, on purpose: nothing of it counts but the codes.
    pub(crate) duplicates: u32,
}

impl Sample {
    /// The counts of `kind`.
    pub(crate) fn of(&mut self, kind: Kind) -> &mut Counts {
        // A request holds a few kinds at the most.
        let at = self.parts.iter().position(|(own, _)| *own == kind).unwrap_or_else(|| {
            self.parts.push((kind, Counts::default()));
            self.parts.len() - 1
        });
        &mut self.parts[at].1
    }

    /// Counts an answer.
    pub(crate) fn code(&mut self, number: u8) {
        match self.codes.iter_mut().find(|(own, _)| *own == number) {
            Some((_, count)) => *count += 1,
            None => self.codes.push((number, 1)),
        }
    }

    /// Everything in it together.
    pub(crate) fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        self.parts.iter().for_each(|(_, counts)| sum.add(counts));
        sum
    }
}

/// What a lane tells the run, in order.
#[derive(Debug)]
pub(crate) enum Told {
    /// Requests that have ended since the last time, and how many are in flight now.
    Samples { lane: u32, samples: Vec<Sample>, in_flight: u32 },
    /// Something that is worth a sentence: at most a few a lane.
    Note(String),
}
