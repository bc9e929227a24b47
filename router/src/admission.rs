//! Admission: a bounded number of requests, and of events in them. What does not fit is refused at once, before anything of
//! it is applied.
//!
//! Rehearsals have places of their own among all places, and fewer of them: what they leave free is for live requests, so that a
//! rehearsal at any rate cannot keep a real payment out.

use std::sync::Arc;

use crest_ledger::Traffic;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::RouterError;
use crate::limits;

/// The places of a router.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    all: Places,
    rehearsals: Places,
}

/// The places that a request has; they are free again when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Admitted {
    all: Option<[OwnedSemaphorePermit; 2]>,
    rehearsals: Option<[OwnedSemaphorePermit; 2]>,
}

#[derive(Clone, Debug)]
struct Places {
    requests: Arc<Semaphore>,
    requests_max: usize,
    events: Arc<Semaphore>,
    events_max: usize,
    traffic: Traffic,
}

impl Admission {
    /// All places free.
    pub(crate) fn new() -> Self {
        let rehearsals = (limits::REHEARSAL_REQUESTS_MAX, limits::REHEARSAL_EVENTS_MAX);
        Self {
            all: Places::new((limits::REQUESTS_MAX, limits::EVENTS_MAX), Traffic::Live),
            rehearsals: Places::new(rehearsals, Traffic::Rehearsal),
        }
    }

    /// Gives a request its places.
    ///
    /// # Errors
    /// `Refused`, when there are none.
    pub(crate) fn admit(&self, events: usize, traffic: Traffic) -> Result<Admitted, RouterError> {
        let mut admitted = Admitted::default();
        if traffic == Traffic::Rehearsal {
            self.count_as_rehearsal(events, &mut admitted)?;
        }
        admitted.all = Some(self.all.take(events)?);
        Ok(admitted)
    }

    /// Gives an admitted request places of rehearsals too, unless it has them: it turned out to be one.
    ///
    /// # Errors
    /// `Refused`, when there are none.
    pub(crate) fn count_as_rehearsal(&self, events: usize, admitted: &mut Admitted) -> Result<(), RouterError> {
        if admitted.rehearsals.is_none() {
            admitted.rehearsals = Some(self.rehearsals.take(events)?);
        }
        Ok(())
    }
}

impl Places {
    fn new((requests_max, events_max): (usize, usize), traffic: Traffic) -> Self {
        let (requests, events) = (Arc::new(Semaphore::new(requests_max)), Arc::new(Semaphore::new(events_max)));
        Self { requests, requests_max, events, events_max, traffic }
    }

    fn take(&self, events: usize) -> Result<[OwnedSemaphorePermit; 2], RouterError> {
        let full = |what: &str, max: usize| {
            RouterError::Refused(match self.traffic {
                Traffic::Live => format!("this router works on {max} {what} already"),
                Traffic::Rehearsal => {
                    format!(
                        "this router works on {max} {what} of rehearsals already, and keeps its other places for live ones"
                    )
                }
            })
        };
        let request = self.requests.clone().try_acquire_owned();
        let request = request.map_err(|_| full("requests", self.requests_max))?;
        let n = u32::try_from(events).unwrap_or(u32::MAX);
        let events = self.events.clone().try_acquire_many_owned(n);
        let events = events.map_err(|_| full("events", self.events_max))?;
        Ok([request, events])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{EVENTS_MAX, REHEARSAL_EVENTS_MAX, REHEARSAL_REQUESTS_MAX, REQUESTS_MAX};

    const FULL_BATCH: usize = crest_ledger::limits::BATCH_EVENTS_MAX;

    /// So many requests of one kind are admitted, and no more.
    #[track_caller]
    fn fits(admission: &Admission, requests: usize, events: usize, traffic: Traffic, refusal: &str) -> Vec<Admitted> {
        let admitted = (0..requests).map(|_| admission.admit(events, traffic).unwrap()).collect();
        let refused = admission.admit(events, traffic).unwrap_err();
        assert!(matches!(&refused, RouterError::Refused(why) if why == refusal), "{refused:?}");
        admitted
    }

    #[test]
    fn rehearsals_take_three_quarters_of_the_requests_at_the_most_and_live_ones_all_that_is_left() {
        let admission = Admission::new();
        let full =
            "this router works on 12288 requests of rehearsals already, and keeps its other places for live ones";
        let rehearsals = fits(&admission, REHEARSAL_REQUESTS_MAX, 1, Traffic::Rehearsal, full);
        let left = REQUESTS_MAX - REHEARSAL_REQUESTS_MAX;
        let live = fits(&admission, left, 1, Traffic::Live, "this router works on 16384 requests already");
        drop(rehearsals);
        let more =
            fits(&admission, REHEARSAL_REQUESTS_MAX, 1, Traffic::Live, "this router works on 16384 requests already");
        let refused = admission.admit(1, Traffic::Rehearsal).unwrap_err();
        assert_eq!(refused, RouterError::Refused("this router works on 16384 requests already".to_owned()));
        drop((live, more));
        fits(&admission, REHEARSAL_REQUESTS_MAX, 1, Traffic::Rehearsal, full);
    }

    #[test]
    fn a_few_large_requests_of_rehearsals_leave_a_quarter_of_the_events() {
        let admission = Admission::new();
        let full = "this router works on 393120 events of rehearsals already, and keeps its other places for live ones";
        let batches = REHEARSAL_EVENTS_MAX / FULL_BATCH;
        let _rehearsals = fits(&admission, batches, FULL_BATCH, Traffic::Rehearsal, full);
        let left = (EVENTS_MAX - REHEARSAL_EVENTS_MAX) / FULL_BATCH;
        fits(&admission, left, FULL_BATCH, Traffic::Live, "this router works on 524160 events already");
    }

    #[test]
    fn what_turns_out_to_be_a_rehearsal_counts_as_one_once() {
        let admission = Admission::new();
        let mut known = admission.admit(1, Traffic::Rehearsal).unwrap();
        admission.count_as_rehearsal(1, &mut known).unwrap();
        let late = || {
            let mut admitted = admission.admit(1, Traffic::Live)?;
            admission.count_as_rehearsal(1, &mut admitted).map(|()| admitted)
        };
        let mut others: Vec<_> = (1..REHEARSAL_REQUESTS_MAX).map(|_| late().unwrap()).collect();
        assert!(late().is_err() && admission.admit(1, Traffic::Rehearsal).is_err());
        others.pop();
        assert!(late().is_ok());
    }
}
