//! When the requests of one lane are due.
//!
//! A run has as many lanes as connections, of all agents together. Each has its own instants, a function of the seed and
//! the lane's number, so that agents need not talk to each other while it runs.

use std::sync::Arc;
use std::time::Duration;

use crate::curve::Curve;
use crate::random::SplitMix64;
use crate::scenario::Arrivals;

/// The lanes of a run.
#[derive(Clone, Debug)]
pub(crate) struct Lanes {
    /// Transfers planned a second, over time.
    pub(crate) curve: Arc<Curve>,
    /// What a request comes to, with all that follows it.
    pub(crate) transfers_per_request: f64,
    pub(crate) arrivals: Arrivals,
    /// How many there are.
    pub(crate) count: u32,
    /// How many requests there are in all, when that is known.
    pub(crate) requests: Option<u64>,
    pub(crate) seed: u64,
}

impl Lanes {
    /// How many requests a lane may have: with independent arrivals nobody knows before, but six standard deviations above
    /// the mean is reached once in a billion runs, and ends the lane.
    pub(crate) fn rows(&self) -> u64 {
        let mean = self.curve.total() / self.transfers_per_request / f64::from(self.count);
        let spread = match self.arrivals {
            Arrivals::Poisson => 6.0 * mean.sqrt(),
            Arrivals::Fixed => 0.0,
        };
        ((mean + spread).ceil() as u64).saturating_add(2)
    }

    /// The number in the run of a lane's request.
    pub(crate) fn request(&self, lane: u32, row: u64) -> u64 {
        row * u64::from(self.count) + u64::from(lane)
    }

    /// The lane and row of a request.
    pub(crate) fn place(&self, request: u64) -> (u32, u64) {
        ((request % u64::from(self.count)) as u32, request / u64::from(self.count))
    }

    /// The instants of one lane.
    pub(crate) fn course(&self, lane: u32) -> Course {
        // Not the sequence of any request: those are drawn from the seed itself.
        let rng = SplitMix64::of(!self.seed, u64::from(lane));
        let mut course = Course { lanes: self.clone(), lane, rng, row: 0, requests: 0.0, next: None };
        course.next = course.draw();
        course
    }
}

/// The requests of a lane, in order.
#[derive(Debug)]
pub(crate) struct Course {
    lanes: Lanes,
    lane: u32,
    rng: SplitMix64,
    row: u64,
    /// Where on the curve the latest one lies, in requests of the whole run.
    requests: f64,
    next: Option<(u64, Duration)>,
}

impl Course {
    /// The next request: its row, and when it is due, from the beginning of the run.
    pub(crate) fn peek(&self) -> Option<(u64, Duration)> {
        self.next
    }

    /// Goes on to the one after.
    pub(crate) fn advance(&mut self) {
        self.row += 1;
        self.next = self.draw();
    }

    fn draw(&mut self) -> Option<(u64, Duration)> {
        let lanes = &self.lanes;
        let at_end = lanes.requests.is_some_and(|requests| lanes.request(self.lane, self.row) >= requests);
        if at_end || self.row >= lanes.rows() {
            return None;
        }
        self.requests = match lanes.arrivals {
            Arrivals::Poisson => self.requests + self.rng.exponential() * f64::from(lanes.count),
            // The lanes take turns.
            Arrivals::Fixed => lanes.request(self.lane, self.row) as f64 + 0.5,
        };
        let mut transfers = self.requests * lanes.transfers_per_request;
        if lanes.requests.is_some() {
            // The last request of a file may be short: it belongs to the plan as long as its first payment does.
            let first = lanes.request(self.lane, self.row) as f64 * lanes.transfers_per_request;
            let end = lanes.curve.total();
            transfers = if first < end { transfers.min(end.next_down()) } else { transfers };
        }
        let seconds = lanes.curve.instant_of(transfers)?;
        Some((self.row, Duration::from_secs_f64(seconds.max(0.0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Phase;

    fn lanes(arrivals: Arrivals, requests: Option<u64>) -> Lanes {
        let points = vec![(Duration::ZERO, 1_000.0), (Duration::from_secs(10), 3_000.0)];
        let phase = Phase { name: "ramp".into(), duration: Duration::from_secs(10), points, measured: true };
        let curve = Arc::new(Curve::new(&[phase], &[], 1.0));
        Lanes { curve, transfers_per_request: 2.0, arrivals, count: 3, requests, seed: 9 }
    }

    fn instants(lanes: &Lanes) -> Vec<(u64, f64)> {
        let mut all = Vec::new();
        for lane in 0..lanes.count {
            let mut course = lanes.course(lane);
            while let Some((row, due)) = course.peek() {
                all.push((lanes.request(lane, row), due.as_secs_f64()));
                assert_eq!(lanes.place(lanes.request(lane, row)), (lane, row));
                course.advance();
            }
        }
        all.sort_by(|a, b| a.1.total_cmp(&b.1));
        all
    }

    #[test]
    fn lanes_together_follow_the_curve() {
        // 20,000 transfers are 10,000 requests; 5 s in, 7,500 transfers have been planned.
        for (arrivals, slack) in [(Arrivals::Fixed, 1), (Arrivals::Poisson, 400)] {
            let all = instants(&lanes(arrivals, None));
            let before = all.iter().filter(|(_, at)| *at < 5.0).count();
            assert!(all.len().abs_diff(10_000) <= slack && before.abs_diff(3_750) <= slack, "{} {before}", all.len());
            let mut numbers: Vec<u64> = all.iter().map(|(number, _)| *number).collect();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), all.len(), "no request is in two lanes");
        }
    }

    #[test]
    fn independent_arrivals_are_spaced_like_chance() {
        let all = instants(&lanes(Arrivals::Poisson, None));
        let gaps: Vec<f64> = all.windows(2).map(|w| (w[1].1 - w[0].1) * (1_000.0 + 200.0 * w[0].1) / 2.0).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // Of an exponential distribution both are 1, when time is measured in requests.
        assert!((mean - 1.0).abs() < 0.05 && (variance - 1.0).abs() < 0.15, "mean {mean}, variance {variance}");
    }

    #[test]
    fn a_file_is_sent_to_its_last_payment() {
        for payments in [1u64, 999, 1_000, 1_001, 1_004] {
            let duration = Duration::from_secs(3);
            let rate = payments as f64 / 3.0;
            let points = vec![(Duration::ZERO, rate), (duration, rate)];
            let phase = Phase { name: "the file".into(), duration, points, measured: true };
            let curve = Arc::new(Curve::new(&[phase], &[], 1.0));
            let requests = payments.div_ceil(10);
            let lanes =
                Lanes { curve, transfers_per_request: 10.0, requests: Some(requests), ..lanes(Arrivals::Fixed, None) };
            let all = instants(&lanes);
            assert_eq!(all.len() as u64, requests, "{payments} payments");
            assert!(all.windows(2).all(|w| w[0].0 < w[1].0), "in the order of the file");
        }
    }

    #[test]
    fn a_known_number_of_requests_is_not_exceeded() {
        let numbers: Vec<u64> = instants(&lanes(Arrivals::Fixed, Some(100))).iter().map(|(n, _)| *n).collect();
        assert_eq!((numbers.len(), numbers.iter().max()), (100, Some(&99)));
    }
}
