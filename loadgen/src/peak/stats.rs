//! The books of a rehearsal. Every driver keeps its own and nobody else touches them; they are added up at the end.

use std::time::Instant;

use crest_ledger::TransferStatus;
use crest_proto::border::number_from;
use crest_proto::v1;
use hdrhistogram::Histogram;

use crate::random::SplitMix64;

/// Latencies are kept in µs, from 1 µs to an hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// One more than the largest number of a status; number 0 collects what is no status.
const STATUSES: usize = TransferStatus::ALL.len() + 1;

/// How many digits of a latency are kept: three for the report, two (an eighth of the memory) for the live line.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Digits {
    Live = 2,
    Report = 3,
}

/// An empty histogram of latencies in µs.
///
/// # Panics
/// Never: its bounds are constants that hdrhistogram takes.
pub(crate) fn latencies(digits: Digits) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, digits as u8).expect("constant bounds of a histogram are valid")
}

/// A payment that the ledger acknowledged, or may have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payment {
    pub(crate) id: u128,
    pub(crate) debit: u128,
    pub(crate) credit: u128,
    pub(crate) amount: u128,
}

impl From<&v1::Transfer> for Payment {
    fn from(t: &v1::Transfer) -> Self {
        let [id, debit, credit, amount] = [t.id, t.debit_account_id, t.credit_account_id, t.amount].map(number_from);
        Self { id, debit, credit, amount }
    }
}

/// An even sample of a stream of unknown length: Li's algorithm L (1994), which throws dice only when it takes something.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) taken: Vec<Payment>,
    size: usize,
    seen: u64,
    next: u64,
    weight: f64,
    rng: SplitMix64,
}

impl Sample {
    /// Of `size` payments at the most, at least 1.
    pub(crate) fn new(size: usize) -> Self {
        Self { taken: Vec::new(), size, seen: 0, next: 0, weight: 1.0, rng: SplitMix64::unrepeatable() }
    }

    /// Shows it a payment, which is made only when it is taken.
    #[inline]
    fn offer(&mut self, payment: impl FnOnce() -> Payment) {
        let turn = self.seen;
        self.seen += 1;
        if turn < self.next {
            return;
        }
        if self.taken.len() < self.size {
            self.taken.push(payment());
            self.next = turn + 1;
            if self.taken.len() < self.size {
                return;
            }
        } else {
            let at = self.rng.below(self.size as u64) as usize;
            self.taken[at] = payment();
        }
        // From 1 minus the fraction, which is never 0: its logarithm is finite.
        self.weight *= ((1.0 - self.rng.fraction()).ln() / self.size as f64).exp();
        let skipped = ((1.0 - self.rng.fraction()).ln() / (1.0 - self.weight).ln()).floor();
        self.next = turn.saturating_add(1).saturating_add(skipped as u64);
    }
}

/// A request that was sent, as the books see it.
#[derive(Debug)]
pub(crate) struct Sent {
    /// When it left for the first time: its latency counts from here.
    pub(crate) left: Instant,
    /// Whether it counts in the measurement: it left after the warm-up.
    pub(crate) measured: bool,
    /// Payments between two shards in it.
    pub(crate) cross: u64,
    pub(crate) request: v1::CreateTransfersRequest,
}

/// What one driver did, or all of them.
#[derive(Debug)]
pub(crate) struct Stats {
    /// Of the measured requests, µs.
    pub(crate) latency: Histogram<u64>,
    /// Answers by the number of their status, of all requests.
    pub(crate) statuses: [u64; STATUSES],
    /// Requests that were answered, all and measured.
    pub(crate) requests: u64,
    pub(crate) measured_requests: u64,
    /// Results in measured requests, and those of them that are done.
    pub(crate) measured_answers: u64,
    pub(crate) measured_done: u64,
    /// When the last measured answer came.
    pub(crate) measured_until: Option<Instant>,
    /// Attempts with an unknown outcome, and attempts that the router was too busy for.
    pub(crate) unknown: u64,
    pub(crate) busy: u64,
    /// Transfers of all requests that left, and those of them between two shards.
    pub(crate) sent: u64,
    pub(crate) cross: u64,
    /// Acknowledged transfers, the sum of their amounts, and the largest of their timestamps, ns.
    pub(crate) acknowledged: u64,
    pub(crate) amount: u128,
    pub(crate) timestamp: u64,
    /// Some of them.
    pub(crate) sample: Sample,
    /// Transfers whose outcome stayed unknown: at most what was in flight when the run was stopped.
    pub(crate) unsettled: Vec<Payment>,
}

impl Stats {
    /// Empty books with a sample of up to `sample` payments.
    pub(crate) fn new(sample: usize) -> Self {
        Self {
            latency: latencies(Digits::Report),
            statuses: [0; STATUSES],
            requests: 0,
            measured_requests: 0,
            measured_answers: 0,
            measured_done: 0,
            measured_until: None,
            unknown: 0,
            busy: 0,
            sent: 0,
            cross: 0,
            acknowledged: 0,
            amount: 0,
            timestamp: 0,
            sample: Sample::new(sample),
            unsettled: Vec::new(),
        }
    }

    /// Books the answer to `sent`, which came at `at`; gives how many of its transfers are done. The results are as many
    /// as the transfers.
    pub(crate) fn answered(&mut self, sent: &Sent, results: &[v1::CreateTransferResult], at: Instant) -> u64 {
        let before = self.acknowledged;
        for (result, transfer) in results.iter().zip(&sent.request.transfers) {
            let number = usize::try_from(result.status).ok().filter(|&n| n < STATUSES).unwrap_or(0);
            self.statuses[number] += 1;
            // `exists` is what a retry of a lost answer says: no other run has these ids.
            if number == TransferStatus::Created as usize || number == TransferStatus::Exists as usize {
                self.acknowledged += 1;
                self.amount = self.amount.saturating_add(number_from(transfer.amount));
                self.timestamp = self.timestamp.max(result.timestamp);
                self.sample.offer(|| Payment::from(transfer));
            }
        }
        let done = self.acknowledged - before;
        self.requests += 1;
        self.left(sent);
        if sent.measured {
            self.measured_requests += 1;
            self.measured_answers += results.len() as u64;
            self.measured_done += done;
            self.measured_until = self.measured_until.max(Some(at));
            self.latency.saturating_record(latency_us(sent, at));
        }
        done
    }

    /// Books that `sent` was given up; `maybe_applied` says that some of it may have been made nevertheless.
    pub(crate) fn given_up(&mut self, sent: &Sent, maybe_applied: bool) {
        self.left(sent);
        if maybe_applied {
            self.unsettled.extend(sent.request.transfers.iter().map(Payment::from));
        }
    }

    fn left(&mut self, sent: &Sent) {
        self.sent += sent.request.transfers.len() as u64;
        self.cross += sent.cross;
    }

    /// Adds another driver's books.
    pub(crate) fn add(&mut self, other: Self) {
        // Both have the same bounds, so nothing is left out; were it otherwise, the rest of the books still counts.
        let _ = self.latency.add(&other.latency);
        self.statuses.iter_mut().zip(other.statuses).for_each(|(own, theirs)| *own += theirs);
        self.requests += other.requests;
        self.measured_requests += other.measured_requests;
        self.measured_answers += other.measured_answers;
        self.measured_done += other.measured_done;
        self.measured_until = self.measured_until.max(other.measured_until);
        self.unknown += other.unknown;
        self.busy += other.busy;
        self.sent += other.sent;
        self.cross += other.cross;
        self.acknowledged += other.acknowledged;
        self.amount = self.amount.saturating_add(other.amount);
        self.timestamp = self.timestamp.max(other.timestamp);
        self.sample.taken.extend(other.sample.taken);
        self.unsettled.extend(other.unsettled);
    }
}

/// From when it left to the answer, µs.
pub(crate) fn latency_us(sent: &Sent, at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(sent.left).as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment(id: u128) -> Payment {
        Payment { id, debit: 1, credit: 2, amount: 3 }
    }

    #[test]
    fn a_short_stream_is_sampled_whole() {
        let mut sample = Sample::new(10);
        (0..10).for_each(|id| sample.offer(|| payment(id)));
        assert_eq!(sample.taken, (0..10).map(payment).collect::<Vec<_>>());
    }

    #[test]
    fn a_long_stream_is_sampled_evenly() {
        let mut halves = [0u32; 2];
        for _ in 0..200 {
            let mut sample = Sample::new(50);
            (0..10_000).for_each(|id| sample.offer(|| payment(id)));
            assert_eq!(sample.taken.len(), 50);
            sample.taken.iter().for_each(|p| halves[usize::from(p.id >= 5_000)] += 1);
        }
        let share = f64::from(halves[0]) / 10_000.0;
        assert!((share - 0.5).abs() < 0.05, "{share} of the sample is from the first half");
    }

    #[test]
    fn the_books_of_two_drivers_add_up() {
        let transfer = |amount| v1::Transfer { amount: crest_proto::border::number_to(amount), ..Default::default() };
        let begun = Instant::now();
        let sent = Sent {
            left: begun,
            measured: true,
            cross: 1,
            request: v1::CreateTransfersRequest { transfers: vec![transfer(5), transfer(7)], independent: true },
        };
        let result = |status: TransferStatus, timestamp| crest_proto::border::transfer_result_to(status, timestamp);
        let results = [result(TransferStatus::Created, 9), result(TransferStatus::ExceedsCredits, 10)];
        let (mut one, mut two) = (Stats::new(5), Stats::new(5));
        assert_eq!(one.answered(&sent, &results, begun), 1);
        two.answered(&sent, &results, begun + std::time::Duration::from_millis(2));
        two.given_up(&sent, true);
        one.add(two);
        assert_eq!((one.requests, one.measured_answers, one.measured_done, one.sent, one.cross), (2, 4, 2, 6, 3));
        assert_eq!((one.acknowledged, one.amount, one.timestamp, one.unsettled.len()), (2, 10, 9, 2));
        assert_eq!((one.latency.len(), one.statuses[TransferStatus::ExceedsCredits as usize]), (2, 2));
        assert!(one.latency.max() >= 2_000);
    }
}
