//! A lane: one connection, what is planned for it, and the books of what became of that. It runs on a thread of its own with
//! a runtime of its own, so that no other work of the process makes it late.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crest_proto::v1;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{mpsc, watch};

use super::alarm::Alarm;
use super::books::{Books, Fate};
use super::course::{Course, Lanes};
use super::ids::Step;
use super::plan::{Content, Kind, Leg, Plan, Planned};
use super::sample::{Sample, Told};
use super::sender::{Body, Outcome, Sender};
use crate::random::scramble;

/// How often a lane tells what it did.
const TELL: Duration = Duration::from_millis(100);
/// Requests that leave before the connection gets a turn.
const BURST: usize = 64;
/// Sentences that a lane tells at the most.
const NOTES_MAX: usize = 5;

/// Everything that a lane needs.
pub(crate) struct Driver {
    pub(crate) plan: Arc<Plan>,
    pub(crate) lanes: Lanes,
    pub(crate) lane: u32,
    /// Requests in flight at the most.
    pub(crate) window: usize,
    /// How long after its planned instant an answer is still in time.
    pub(crate) deadline: Duration,
    pub(crate) sender: Sender,
    pub(crate) told: mpsc::Sender<Told>,
    /// The first planned instant of the run.
    pub(crate) begin: Instant,
    /// True when nothing more is to be sent.
    pub(crate) stop: watch::Receiver<bool>,
}

/// What a lane leaves behind.
#[derive(Clone, Debug, Default)]
pub(crate) struct LaneEnd {
    pub(crate) books: Books,
    /// Sum of [`fingerprint`]s of all acknowledged transfers that are in no chain.
    pub(crate) fingerprint: u64,
    /// Answers to one transfer that contradict each other, one sentence each; at most [`NOTES_MAX`].
    pub(crate) contradictions: Vec<String>,
    pub(crate) contradictions_count: u64,
    /// When the last answer came, from the beginning.
    pub(crate) last_answer: Duration,
}

/// Stands for an acknowledged transfer with its timestamp. The sum of many is the same in any order, and differs, but for one
/// case in 2^64, when one of them does.
pub(crate) fn fingerprint(id: u128, timestamp: u64) -> u64 {
    scramble(id as u64 ^ timestamp.rotate_left(32))
}

/// Why something is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// By the lane's own course.
    Planned,
    /// It follows an earlier request.
    Follows(Step),
    /// It is an earlier request once more.
    Again,
}

/// Something that is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) row: u64,
    pub(super) step: Step,
    pub(super) planned: Duration,
    pub(super) duplicate: bool,
}

/// A transfer, or the reads, of a request under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) position: u16,
    pub(super) kind: Kind,
    pub(super) penniless: bool,
    pub(super) cross: bool,
    pub(super) linked: bool,
    /// Reads it stands for; 1 for a transfer.
    pub(super) count: u32,
}

/// A request under way.
pub(super) struct UnderWay {
    pub(super) job: Job,
    pub(super) left: Instant,
    body: Body,
    pub(super) items: Vec<Item>,
    pub(super) skipped: Sample,
}

pub(super) struct Lane {
    pub(super) driver: Driver,
    course: Course,
    /// What follows earlier requests, by step, and duplicates; each in order of time, since each has one delay.
    followers: [VecDeque<(Duration, u64)>; 2],
    duplicates: VecDeque<(Duration, u64)>,
    legs: Vec<Leg>,
    pub(super) end: LaneEnd,
    pub(super) samples: Vec<Sample>,
    notes: usize,
}

impl Driver {
    /// Sends what is planned, in time, until everything is answered or given up.
    ///
    /// # Errors
    /// When the kernel gives no timer.
    pub(crate) async fn run(self) -> anyhow::Result<LaneEnd> {
        let alarm = Alarm::new()?;
        let books = Books::new(&self.plan, self.lanes.rows());
        let mut lane = Lane {
            course: self.lanes.course(self.lane),
            followers: Default::default(),
            duplicates: VecDeque::new(),
            legs: Vec::new(),
            end: LaneEnd { books, ..LaneEnd::default() },
            samples: Vec::new(),
            notes: 0,
            driver: self,
        };
        let mut in_flight = FuturesUnordered::new();
        let mut tell_at = Duration::ZERO;
        loop {
            let now = lane.driver.begin.elapsed();
            let stopped = *lane.driver.stop.borrow();
            let mut begun = 0;
            while begun < BURST
                && let Some(job) = lane.due(now, stopped)
            {
                begun += 1;
                if let Some(request) = lane.begin(job, in_flight.len()) {
                    in_flight.push(perform(lane.driver.sender.clone(), request));
                }
            }
            if now >= tell_at {
                lane.tell(in_flight.len());
                tell_at = now + TELL;
            }
            let next = lane.next(stopped);
            if next.is_none() && in_flight.is_empty() {
                break;
            }
            let until_next = next.map_or(TELL, |(_, at)| at.saturating_sub(now)).min(TELL);
            tokio::select! {
                biased;
                // Nothing begins before it is polled: this is also what sends what was just begun.
                Some((request, outcome, at)) = in_flight.next(), if !in_flight.is_empty() => {
                    lane.settle(request, outcome, at);
                    // All that has been answered makes room before anything is found to have none.
                    while let Some(Some((request, outcome, at))) = in_flight.next().now_or_never() {
                        lane.settle(request, outcome, at);
                    }
                }
                // There is more to send: let the connection have a turn, then go on.
                () = tokio::task::yield_now(), if begun == BURST => {}
                slept = alarm.sleep(until_next) => slept?,
            }
        }
        lane.finish().await
    }
}

async fn perform(sender: Sender, mut request: UnderWay) -> (UnderWay, Outcome, Instant) {
    // Nothing begins before it is polled: whatever it waited until now is the generator's own delay.
    request.left = Instant::now();
    let outcome = sender.send(&request.body).await;
    (request, outcome, Instant::now())
}

impl Lane {
    fn queue(&mut self, step: Step) -> &mut VecDeque<(Duration, u64)> {
        &mut self.followers[usize::from(step == Step::Refund)]
    }

    /// What is due next, and when.
    fn next(&self, stopped: bool) -> Option<(Due, Duration)> {
        if stopped {
            return None;
        }
        let [settle, refund] = &self.followers;
        let planned = self.course.peek().map(|(_, at)| (Due::Planned, at));
        let first = |queue: &VecDeque<(Duration, u64)>, due| queue.front().map(|&(at, _)| (due, at));
        let all = [
            planned,
            first(settle, Due::Follows(Step::Settle)),
            first(refund, Due::Follows(Step::Refund)),
            first(&self.duplicates, Due::Again),
        ];
        all.into_iter().flatten().min_by_key(|&(_, at)| at)
    }

    /// Takes what is due now.
    fn due(&mut self, now: Duration, stopped: bool) -> Option<Job> {
        let (due, planned) = self.next(stopped).filter(|&(_, at)| at <= now)?;
        let (row, step) = match due {
            Due::Planned => {
                let (row, _) = self.course.peek()?;
                self.course.advance();
                (row, Step::First)
            }
            Due::Follows(step) => (self.queue(step).pop_front()?.1, step),
            Due::Again => (self.duplicates.pop_front()?.1, Step::First),
        };
        Some(Job { row, step, planned, duplicate: due == Due::Again })
    }

    /// Makes the request; none when nothing of it is to be sent, which is then told.
    fn begin(&mut self, job: Job, in_flight: usize) -> Option<UnderWay> {
        let plan = Arc::clone(&self.driver.plan);
        let request = self.driver.lanes.request(self.driver.lane, job.row);
        let mut legs = std::mem::take(&mut self.legs);
        let content = plan.content(request, &mut legs);
        let mut made = UnderWay {
            job,
            left: self.driver.begin,
            body: Body::default(),
            items: Vec::new(),
            skipped: Sample { planned: job.planned, ..Sample::default() },
        };
        match content {
            Content::Transfers { duplicate } => {
                if job.step == Step::First && !job.duplicate {
                    self.schedule(&job, &legs, duplicate);
                }
                self.fill(&mut made, request, &legs);
            }
            Content::Balances(accounts) => made.read(accounts.len() as u32, Body::Balances(plan.balances(&accounts))),
            Content::History(account) => made.read(1, Body::History(plan.history(account))),
        }
        self.legs = legs;
        let first = self.end.books.fate(job.row, Step::First, 0);
        if job.duplicate && matches!(first, Fate::NotSent | Fate::NotApplied) {
            // The first one was not sent, or surely not applied: then there is nothing to repeat.
            return None;
        }
        if made.items.is_empty() {
            if !made.skipped.parts.is_empty() {
                self.samples.push(made.skipped);
            }
            return None;
        }
        if in_flight >= self.driver.window {
            // A duplicate that finds no room is simply not made.
            if !job.duplicate {
                self.not_sent(made);
            }
            return None;
        }
        for item in made.items.iter().filter(|item| item.kind != Kind::Read) {
            self.write(&job, item.position, Fate::UnderWay);
        }
        Some(made)
    }

    /// Queues what follows a request.
    fn schedule(&mut self, job: &Job, legs: &[Leg], duplicate: Option<Duration>) {
        for step in [Step::Settle, Step::Refund] {
            if legs.iter().any(|leg| leg.follow.step() == Some(step)) {
                let at = job.planned + self.driver.plan.due_after(step);
                self.queue(step).push_back((at, job.row));
            }
        }
        if let Some(after) = duplicate {
            let at = job.planned + after;
            // Two delays share this queue: one that is due at once goes before those that wait.
            let place = self.duplicates.partition_point(|&(other, _)| other <= at);
            self.duplicates.insert(place, (at, job.row));
        }
    }

    /// Fills in the transfers of the request's step; what follows something that was not done is skipped.
    fn fill(&mut self, made: &mut UnderWay, request: u64, legs: &[Leg]) {
        let plan = Arc::clone(&self.driver.plan);
        let mut message = v1::CreateTransfersRequest { transfers: Vec::with_capacity(legs.len()), independent: false };
        for (position, leg) in legs.iter().enumerate() {
            let Some(planned) = plan.planned(request, made.job.step, position, leg) else { continue };
            let Planned { kind, debit, credit, penniless, .. } = planned;
            let linked = leg.linked;
            if made.job.step != Step::First && !self.end.books.fate(made.job.row, Step::First, position).is_done() {
                let counts = made.skipped.of(kind);
                counts.planned += 1;
                counts.skipped += 1;
                self.write(&made.job, position as u16, Fate::Skipped);
                continue;
            }
            let cross = plan.population.is_cross(debit, credit);
            made.items.push(Item { position: position as u16, kind, penniless, cross, linked, count: 1 });
            message.transfers.push(plan.message(&planned));
        }
        made.body = Body::Transfers(message);
    }

    /// Tells that a request found no room.
    fn not_sent(&mut self, made: UnderWay) {
        let mut sample = made.skipped;
        for item in &made.items {
            let counts = sample.of(item.kind);
            counts.planned += u64::from(item.count);
            counts.not_sent += u64::from(item.count);
        }
        self.samples.push(sample);
    }

    pub(super) fn write(&mut self, job: &Job, position: u16, fate: Fate) {
        if let Err(contradiction) = self.end.books.write(job.row, job.step, usize::from(position), fate) {
            self.end.contradictions_count += 1;
            if self.end.contradictions.len() < NOTES_MAX {
                let request = self.driver.lanes.request(self.driver.lane, job.row);
                let id = super::ids::Place { request, step: job.step, position }.id(self.driver.plan.run);
                let (first, second) = (contradiction.first.name(), contradiction.second.name());
                self.end.contradictions.push(format!("transfer {id:#034x} was answered {first}, and then {second}"));
            }
        }
    }

    pub(super) fn note(&mut self, text: impl FnOnce() -> String) {
        if self.notes < NOTES_MAX && self.driver.told.try_send(Told::Note(text())).is_ok() {
            self.notes += 1;
        }
    }

    fn tell(&mut self, in_flight: usize) {
        // When nobody takes it now, it is told the next time.
        if let Ok(permit) = self.driver.told.try_reserve() {
            let samples = std::mem::take(&mut self.samples);
            permit.send(Told::Samples { lane: self.driver.lane, samples, in_flight: in_flight as u32 });
        }
    }

    async fn finish(self) -> anyhow::Result<LaneEnd> {
        let last = Told::Samples { lane: self.driver.lane, samples: self.samples, in_flight: 0 };
        // Whoever no longer listens has its reasons, and reports them.
        let _ = self.driver.told.send(last).await;
        Ok(self.end)
    }
}

impl UnderWay {
    fn read(&mut self, count: u32, body: Body) {
        self.items.push(Item { position: 0, kind: Kind::Read, penniless: false, cross: false, linked: false, count });
        self.body = body;
    }
}
