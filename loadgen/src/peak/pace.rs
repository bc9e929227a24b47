//! When requests leave. A closed loop sends as soon as an answer has come; an open loop sends at planned instants, and
//! counts latency from them, so that a slow server cannot slow its own measurement down (Tene's "coordinated omission").

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

/// The shortest sleep of the pacing thread: requests that are due within one leave together.
const SLEEP_MIN: Duration = Duration::from_micros(100);
/// The longest: how late a stop may be noticed.
const SLEEP_MAX: Duration = Duration::from_millis(20);

/// Gives out the requests' numbers, in order and in time.
#[derive(Debug)]
pub(crate) struct Pace {
    begun: Instant,
    end: Instant,
    /// Requests to send at the most.
    total: u64,
    next: AtomicU64,
    stopped: AtomicBool,
    reason: Mutex<Option<String>>,
    open: Option<OpenLoop>,
}

#[derive(Debug)]
struct OpenLoop {
    /// Transfers a second, and in a request.
    rate: u64,
    batch: u64,
    /// One permit for each request that is due and has not left.
    due: Semaphore,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Send request `number`; its latency counts from `planned`.
    Send { number: u64, planned: Instant },
    /// Nothing is due yet: the next turn comes from [`Pace::due`].
    Wait,
    /// Everything was sent.
    Over,
}

impl Pace {
    /// Begins now and lasts `duration`, or until `requests` have left. With a `rate` (transfers a second, at least 1) it is
    /// an open loop, and somebody has to run [`Pace::keep_time`] on a thread of its own.
    pub(crate) fn begin(duration: Duration, requests: Option<u64>, rate: Option<u64>, batch: u64) -> Self {
        let begun = Instant::now();
        let open = rate.map(|rate| OpenLoop { rate, batch, due: Semaphore::new(0) });
        let planned = open.as_ref().map_or(u64::MAX, |open| open.due_after(duration));
        Self {
            begun,
            end: begun + duration,
            total: planned.min(requests.unwrap_or(u64::MAX)),
            next: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            reason: Mutex::new(None),
            open,
        }
    }

    /// When it began.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// How many requests an open loop was to send; none for a closed one.
    pub(crate) fn planned(&self) -> Option<u64> {
        self.open.as_ref().map(|_| self.total)
    }

    /// How many have left.
    pub(crate) fn sent(&self) -> u64 {
        self.next.load(Ordering::Relaxed).min(self.total)
    }

    /// Sends no further requests, because of `reason`; the first reason is kept.
    pub(crate) fn stop(&self, reason: String) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Ok(mut kept) = self.reason.lock() {
            kept.get_or_insert(reason);
        }
    }

    /// Why it was stopped, if it was.
    pub(crate) fn stop_reason(&self) -> Option<String> {
        self.reason.lock().ok().and_then(|reason| reason.clone())
    }

    /// What to do now.
    pub(crate) fn turn(&self) -> Turn {
        let now = Instant::now();
        if self.is_over(now) {
            return Turn::Over;
        }
        match &self.open {
            None => self.claim().map_or(Turn::Over, |number| Turn::Send { number, planned: now }),
            Some(open) => match open.due.try_acquire() {
                Ok(permit) => self.take(open, permit),
                Err(_) => Turn::Wait,
            },
        }
    }

    /// Waits for the next turn of an open loop. May be dropped at any time before it ends: it takes nothing until then.
    pub(crate) async fn due(&self) -> Turn {
        let Some(open) = &self.open else { return self.turn() };
        // The permit becomes a turn at once. Giving it back and asking again would hand it to the next one who waits, who
        // would do the same, for ever. An error says that all is over.
        match open.due.acquire().await {
            Ok(permit) if !self.is_over(Instant::now()) => self.take(open, permit),
            _ => Turn::Over,
        }
    }

    /// Makes requests due at their instants, until all is over. For a thread of its own: its sleeps are exact to some 0.1
    /// ms, those of the runtime only to 1 ms.
    pub(crate) fn keep_time(&self) {
        let Some(open) = &self.open else { return };
        let mut released = 0;
        loop {
            let now = Instant::now();
            if self.is_over(now) {
                break;
            }
            let due = open.due_after(now - self.begun).min(self.total);
            open.due.add_permits((due - released) as usize);
            released = due;
            let next = self.begun + open.planned_at(released);
            std::thread::sleep(next.saturating_duration_since(now).clamp(SLEEP_MIN, SLEEP_MAX));
        }
        open.due.close();
    }

    fn is_over(&self, now: Instant) -> bool {
        now >= self.end || self.sent() >= self.total || self.stopped.load(Ordering::Relaxed)
    }

    fn take(&self, open: &OpenLoop, permit: SemaphorePermit<'_>) -> Turn {
        permit.forget();
        let send = |number| Turn::Send { number, planned: self.begun + open.planned_at(number) };
        self.claim().map_or(Turn::Over, send)
    }

    fn claim(&self) -> Option<u64> {
        Some(self.next.fetch_add(1, Ordering::Relaxed)).filter(|&number| number < self.total)
    }
}

impl OpenLoop {
    /// How long after the beginning request `number` is due.
    fn planned_at(&self, number: u64) -> Duration {
        let nanos = u128::from(number) * u128::from(self.batch) * 1_000_000_000 / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many requests are due before `elapsed` is over; the first one is due at once.
    fn due_after(&self, elapsed: Duration) -> u64 {
        let each = u128::from(self.batch) * 1_000_000_000;
        u64::try_from((elapsed.as_nanos() * u128::from(self.rate)).div_ceil(each)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_closed_loop_gives_numbers_until_its_limit() {
        let pace = Pace::begin(LONG, Some(2), None, 1);
        let numbers = [pace.turn(), pace.turn()].map(|turn| match turn {
            Turn::Send { number, .. } => number,
            other => panic!("{other:?}"),
        });
        assert_eq!((numbers, pace.turn(), pace.sent(), pace.planned()), ([0, 1], Turn::Over, 2, None));
    }

    #[test]
    fn an_open_loop_plans_its_instants() {
        let open = OpenLoop { rate: 1_000, batch: 100, due: Semaphore::new(0) };
        assert_eq!(open.planned_at(0), Duration::ZERO);
        assert_eq!(open.planned_at(10), Duration::from_secs(1));
        assert_eq!(open.due_after(Duration::from_secs(1)), 10);
        assert_eq!(open.due_after(Duration::from_millis(1_001)), 11);
        assert_eq!(Pace::begin(Duration::from_secs(3), None, Some(1_000), 100).planned(), Some(30));
    }

    #[tokio::test]
    async fn requests_of_an_open_loop_become_due_and_then_it_is_over() {
        let pace = std::sync::Arc::new(Pace::begin(LONG, Some(3), Some(1_000_000), 1));
        assert_eq!(pace.turn(), Turn::Wait, "nobody keeps the time yet");
        let keeper = std::sync::Arc::clone(&pace);
        let keeper = std::thread::spawn(move || keeper.keep_time());
        // Two that wait at the same time: a permit must reach one of them and stay there.
        let wait_for_all = async || {
            let mut numbers = Vec::new();
            while let Turn::Send { number, planned } = pace.due().await {
                assert!(planned >= pace.begun());
                numbers.push(number);
            }
            numbers
        };
        let (one, other) = tokio::join!(wait_for_all(), wait_for_all());
        let mut numbers = [one, other].concat();
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2]);
        keeper.join().unwrap();
        assert_eq!((pace.due().await, pace.turn()), (Turn::Over, Turn::Over));
    }

    #[test]
    fn a_stop_ends_it_and_keeps_the_first_reason() {
        let pace = Pace::begin(LONG, None, None, 1);
        pace.stop("first".to_owned());
        pace.stop("second".to_owned());
        assert_eq!((pace.turn(), pace.stop_reason().as_deref()), (Turn::Over, Some("first")));
    }
}
