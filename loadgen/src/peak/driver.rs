//! A driver sends over one connection and keeps its share of the requests in flight. It is one task: nothing in it is
//! shared but the pace, and that once a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crest_proto::v1;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::ids::TransferIds;
use super::live::Tick;
use super::pace::Pace;
use super::plan::Plan;
use super::stats::{Sent, Stats, latency_us};
use crate::caller::Caller;
use crate::retry::{Patience, Settled, Unsettled, until_settled};

/// How often a driver tells what it did: a line of one second is then at most a tenth off.
const TICK: Duration = Duration::from_millis(100);

/// Everything that a driver needs.
pub(crate) struct Driver {
    pub(crate) plan: Arc<Plan>,
    pub(crate) pace: Arc<Pace>,
    pub(crate) caller: Caller,
    pub(crate) ids: TransferIds,
    pub(crate) patience: Patience,
    /// Requests in flight at the most.
    pub(crate) window: usize,
    /// Requests that leave from here on are measured.
    pub(crate) measure_from: Instant,
    /// Where to tell what was done in the last moments; when nobody listens fast enough, it is told later.
    pub(crate) ticks: mpsc::Sender<Tick>,
    /// Attempts that failed so far, of all drivers.
    pub(crate) failures: Arc<AtomicU64>,
    pub(crate) stats: Stats,
}

type Outcome = Result<Settled<v1::CreateTransfersResponse>, Unsettled>;

impl Driver {
    /// Sends until the pace is over and everything is answered or given up; gives the books.
    pub(crate) async fn run(mut self) -> Stats {
        let mut in_flight = FuturesUnordered::new();
        let mut spare: Vec<v1::CreateTransfersRequest> = Vec::new();
        let mut tick = Tick::default();
        let mut clock = tokio::time::interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = if in_flight.len() < self.window { self.pace.turn() } else { None };
            if let Some(number) = next {
                let sent = self.prepare(number, spare.pop().unwrap_or_default());
                in_flight.push(perform(self.caller.clone(), self.patience, Arc::clone(&self.failures), number, sent));
            }
            if next.is_none() && in_flight.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                _ = clock.tick() => self.tell(&mut tick),
                // Nothing begins before it is polled: this is also what sends the request that was just prepared.
                Some((sent, outcome, at)) = in_flight.next(), if !in_flight.is_empty() => {
                    spare.push(self.settle(sent, outcome, at, &mut tick));
                }
                // There is more to send: let the connection's own tasks run, then go on.
                () = tokio::task::yield_now(), if next.is_some() && in_flight.len() < self.window => {}
            }
        }
        self.tell(&mut tick);
        self.stats
    }

    fn prepare(&mut self, number: u64, mut request: v1::CreateTransfersRequest) -> Sent {
        let filled = self.plan.fill(number, &mut self.ids, &mut request);
        let left = Instant::now();
        Sent { left, measured: left >= self.measure_from, cross: filled.cross, request }
    }

    /// Books an outcome and gives the request's memory back.
    fn settle(&mut self, sent: Sent, outcome: Outcome, at: Instant, tick: &mut Tick) -> v1::CreateTransfersRequest {
        let transfers = sent.request.transfers.len();
        match outcome {
            Ok(Settled { answer, unknown, busy }) if answer.results.len() == transfers => {
                self.stats.unknown += unknown;
                self.stats.busy += busy;
                let done = self.stats.answered(&sent, &answer.results, at);
                tick.answered(transfers as u64, done, latency_us(&sent, at));
            }
            Ok(Settled { answer, .. }) => {
                self.pace.stop(format!("the router gave {} results for {transfers} transfers", answer.results.len()));
                self.stats.given_up(&sent, true);
            }
            Err(unsettled) => {
                self.stats.unknown += unsettled.unknown;
                self.stats.busy += unsettled.busy;
                self.stats.given_up(&sent, unsettled.unknown > 0);
                self.pace.stop(unsettled.to_string());
            }
        }
        sent.request
    }

    fn tell(&self, tick: &mut Tick) {
        if let Ok(permit) = self.ticks.try_reserve() {
            permit.send(std::mem::take(tick));
        }
    }
}

/// Sends one request until it is settled.
async fn perform(
    caller: Caller,
    patience: Patience,
    failures: Arc<AtomicU64>,
    number: u64,
    sent: Sent,
) -> (Sent, Outcome, Instant) {
    let outcome = until_settled(patience, || async {
        let answer = caller.call(number, sent.request.clone()).await;
        failures.fetch_add(u64::from(answer.is_err()), Ordering::Relaxed);
        answer
    });
    let outcome = outcome.await;
    (sent, outcome, Instant::now())
}
