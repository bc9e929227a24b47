//! How long it goes on. Peak is a closed loop: each place in flight sends again as soon as it is answered. (What a cluster
//! does at a planned rate, `crate::rehearsal` measures, with an open loop.)

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Gives out the requests' numbers, in order.
#[derive(Debug)]
pub(crate) struct Pace {
    begun: Instant,
    end: Instant,
    /// Requests to send at the most.
    total: u64,
    next: AtomicU64,
    stopped: AtomicBool,
    reason: Mutex<Option<String>>,
}

impl Pace {
    /// Begins now and lasts `duration`, or until `requests` have left.
    pub(crate) fn begin(duration: Duration, requests: Option<u64>) -> Self {
        let begun = Instant::now();
        Self {
            begun,
            end: begun + duration,
            total: requests.unwrap_or(u64::MAX),
            next: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            reason: Mutex::new(None),
        }
    }

    /// When it began.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
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

    /// The number of the request to send now; none when it is over.
    pub(crate) fn turn(&self) -> Option<u64> {
        if Instant::now() >= self.end || self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        Some(self.next.fetch_add(1, Ordering::Relaxed)).filter(|&number| number < self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    #[test]
    fn numbers_are_given_until_the_limit() {
        let pace = Pace::begin(LONG, Some(2));
        assert_eq!([pace.turn(), pace.turn(), pace.turn(), pace.turn()], [Some(0), Some(1), None, None]);
        assert_eq!(Pace::begin(Duration::ZERO, None).turn(), None);
    }

    #[test]
    fn a_stop_ends_it_and_keeps_the_first_reason() {
        let pace = Pace::begin(LONG, None);
        pace.stop("first".to_owned());
        pace.stop("second".to_owned());
        assert_eq!((pace.turn(), pace.stop_reason().as_deref()), (None, Some("first")));
    }
}
