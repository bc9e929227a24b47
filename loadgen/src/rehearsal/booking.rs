//! A request has ended: what became of it goes into the lane's books, and is told.

use std::time::{Duration, Instant};

use crest_ledger::TransferStatus;
use crest_proto::v1;

use super::books::{Books, Fate};
use super::driver::{Item, Lane, UnderWay, fingerprint};
use super::ids::Place;
use super::plan::Kind;
use super::sample::{Sample, Timing};
use super::sender::{Answer, Outcome, settle_chains};
use crate::retry::Meaning;

impl Lane {
    /// Books what became of a request.
    pub(super) fn settle(&mut self, made: UnderWay, outcome: Outcome, at: Instant) {
        let planned_at = self.driver.begin + made.job.planned;
        let micros = |from: Instant, to: Instant| to.saturating_duration_since(from).as_micros() as u64;
        let (lag_us, service_us) = (micros(planned_at, made.left), micros(made.left, at));
        let answered = outcome.answer.is_ok();
        let timing = Some(Timing { lag_us, service_us, answered });
        let retries = outcome.attempts.saturating_sub(1);
        match outcome.answer {
            Ok(answer) => {
                self.end.last_answer = self.end.last_answer.max(at.saturating_duration_since(self.driver.begin));
                let in_time = Duration::from_micros(lag_us + service_us) <= self.driver.deadline;
                self.answered(made, answer, Sample { timing, retries, ..Sample::default() }, in_time);
            }
            Err(failure) => {
                self.note(|| format!("a request was given up after {} attempts: {}", outcome.attempts, failure.status));
                let unknown = failure.meaning == Meaning::Unknown;
                self.given_up(made, Sample { timing, retries, ..Sample::default() }, unknown);
            }
        }
    }

    /// Books a request without an answer: of a transfer that a duplicate was answered for, that answer counts.
    fn given_up(&mut self, made: UnderWay, told: Sample, unknown: bool) {
        let mut sample = Sample { timing: told.timing, retries: told.retries, ..made.skipped };
        for item in &made.items {
            let fate = |books: &Books| books.fate(made.job.row, made.job.step, usize::from(item.position));
            let is_read = item.kind == Kind::Read;
            if !is_read {
                self.write(&made.job, item.position, if unknown { Fate::Unknown } else { Fate::NotApplied });
            }
            let known = if is_read { Fate::NotSent } else { fate(&self.end.books) };
            if made.job.duplicate {
                sample.duplicates += 1;
                continue;
            }
            let (counts, count) = (sample.of(item.kind), u64::from(item.count));
            counts.planned += count;
            match known {
                Fate::Answered(status) if status.is_done() => counts.done += count,
                Fate::Answered(_) => counts.refused += count,
                _ if unknown => counts.unknown += count,
                _ => counts.not_sent += count,
            }
        }
        self.samples.push(sample);
    }

    fn answered(&mut self, made: UnderWay, answer: Answer, told: Sample, in_time: bool) {
        let mut sample =
            Sample { timing: told.timing, retries: told.retries, planned: made.job.planned, ..made.skipped.clone() };
        let mut results = match answer {
            Answer::Read => Vec::new(),
            Answer::Transfers(results) => results,
        };
        results.iter().for_each(|result| sample.code(result.status as u8));
        settle_chains(&mut results, |at| made.items[at].linked);
        for (index, item) in made.items.iter().enumerate() {
            let status = match results.get(index) {
                None => TransferStatus::Created,
                Some(result) => self.book(&made, item, result),
            };
            if made.job.duplicate {
                sample.duplicates += 1;
                continue;
            }
            let count = u64::from(item.count);
            let counts = sample.of(item.kind);
            counts.planned += count;
            if status.is_done() {
                counts.done += count;
                counts.done_in_time += if in_time { count } else { 0 };
                counts.cross_shard += u64::from(item.cross);
            } else if item.penniless
                && matches!(status, TransferStatus::ExceedsCredits | TransferStatus::IdAlreadyFailed)
            {
                counts.refused_as_planned += count;
            } else {
                counts.refused += count;
            }
        }
        self.samples.push(sample);
    }

    /// Writes an answer down; gives its status.
    fn book(&mut self, made: &UnderWay, item: &Item, result: &v1::CreateTransferResult) -> TransferStatus {
        let (row, step, position) = (made.job.row, made.job.step, usize::from(item.position));
        // The sender has refused answers with other numbers.
        let number = u8::try_from(result.status).ok();
        let status = number.and_then(TransferStatus::from_number).unwrap_or(TransferStatus::LinkedEventFailed);
        // Nobody tells the timestamps of a chain that was done by an earlier attempt.
        if status.is_done() && item.kind != Kind::Chain && !self.end.books.fate(row, step, position).is_done() {
            let request = self.driver.lanes.request(self.driver.lane, row);
            let id = Place { request, step, position: item.position }.id(self.driver.plan.run);
            self.end.fingerprint = self.end.fingerprint.wrapping_add(fingerprint(id, result.timestamp));
        }
        self.write(&made.job, item.position, Fate::Answered(status));
        status
    }
}
