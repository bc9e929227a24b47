//! Driving a request through the shards: local events in one message, the others by two-phase commit.
//!
//! The router is not part of the truth. Whatever it has begun, the shards end without it; so it may stop at any line.

mod decide;
mod prepare;
mod round;
mod tally;

use crest_ledger::Traffic;
use crest_ledger::txn::EventResult;
use crest_link::Links;
use tokio::time::Instant;

use crate::error::RouterError;
use crate::finisher::Finisher;
use crate::place::{Placed, Spread, Unit};
use crate::random::Random;
use crate::seen::Seen;
use crate::{limits, points};
pub(crate) use round::unexpected;
pub(crate) use tally::Tally;

/// What it takes to drive requests.
#[derive(Clone)]
pub(crate) struct Driver {
    pub(crate) links: Links,
    pub(crate) finisher: Finisher,
    pub(crate) random: Random,
    pub(crate) seen: Seen,
    pub(crate) blocked: Tally,
    pub(crate) attempts: Tally,
}

/// One stage of a request on its way.
pub(crate) struct Drive<'a> {
    pub(crate) driver: &'a Driver,
    pub(crate) events: &'a [Placed],
    pub(crate) units: &'a [Unit],
    pub(crate) results: Vec<EventResult>,
    /// Ends of transactions that the next message to a shard has to carry first, so that what follows sees them.
    ends: Vec<crate::finisher::End>,
    /// Whether the ends have to be answered before the client is.
    tell_first: bool,
    /// When the level began.
    began: Instant,
    /// Whether anything was sent that may have been applied.
    sent: bool,
}

impl Driver {
    /// Works on the events of a stage level by level. One result for each event. However many levels there are, each has
    /// its time: a request does not fail for what is in it.
    ///
    /// # Errors
    /// When a shard does not answer, or what stands in the way of a level does not end in time.
    pub(crate) async fn run(
        &self,
        events: &[Placed],
        units: &[Unit],
        levels: Vec<Vec<usize>>,
    ) -> Result<Vec<EventResult>, RouterError> {
        let mut drive = Drive {
            driver: self,
            events,
            units,
            results: vec![EventResult::blocked(); events.len()],
            ends: Vec::new(),
            tell_first: false,
            began: Instant::now(),
            sent: false,
        };
        for level in levels {
            drive.began = Instant::now();
            match tokio::time::timeout(limits::LEVEL_TIMEOUT, drive.level(level)).await {
                Ok(done) => done?,
                Err(_) => return Err(RouterError::Unknown("the shards did not answer in time".to_owned())),
            }
        }
        if drive.tell_first {
            drive.tell().await?;
        }
        self.finisher.finish(std::mem::take(&mut drive.ends));
        points::BEFORE_ANSWER.pass_async().await;
        Ok(drive.results)
    }
}

impl Drive<'_> {
    /// Works on the units of one level until each has its answer.
    async fn level(&mut self, level: Vec<usize>) -> Result<(), RouterError> {
        let mut todo = level;
        let mut pause = limits::BLOCKED_PAUSE_MIN;
        for round in 0u32.. {
            let (now, later) = if round < 2 { (todo, Vec::new()) } else { self.toss(todo) };
            todo = match self.round(&now).await {
                Ok(blocked) => blocked,
                Err(e) => {
                    self.driver.finisher.finish(std::mem::take(&mut self.ends));
                    return Err(if self.sent { e.after_sending() } else { e });
                }
            };
            todo.extend(later);
            todo.sort_unstable();
            if todo.is_empty() {
                return Ok(());
            }
            self.driver.blocked.count(todo.iter().map(|at| self.traffic(*at)));
            // What is in the way may be a transaction of this very request that was given up: end it first.
            if self.tell_first {
                self.tell().await?;
            }
            self.driver.finisher.finish(std::mem::take(&mut self.ends));
            if self.began.elapsed() > limits::REQUEST_TIMEOUT {
                let why = format!("{} events wait for other transfers in doubt", todo.len());
                return Err(RouterError::Unknown(why));
            }
            tokio::time::sleep(self.driver.random.jittered(pause)).await;
            pause = (pause * 2).min(limits::BLOCKED_PAUSE_MAX);
        }
        Ok(())
    }

    /// Tells participants the ends that they have to know before anybody else does, and waits until they do.
    async fn tell(&mut self) -> Result<(), RouterError> {
        points::BEFORE_TELLING_FIRST.pass_async().await;
        self.send(round::Wave::default()).await.map_err(RouterError::after_sending)?;
        self.tell_first = false;
        Ok(())
    }

    /// Whose a unit is.
    fn traffic(&self, at: usize) -> Traffic {
        let unit = &self.units[at];
        Traffic::of_all(self.events[unit.start..unit.start + unit.len].iter().map(|event| event.ledger))
    }

    /// Two transactions of one request may be in each other's way (both close an account that the other one touches), and
    /// would be for ever if they were always tried at the same time. So after some rounds each takes part in the next one
    /// or not by the toss of a coin. Local units always do: they keep their order among each other.
    fn toss(&self, todo: Vec<usize>) -> (Vec<usize>, Vec<usize>) {
        let local = |at: &usize| matches!(self.units[*at].spread, Spread::Local(_));
        let first = todo.first().copied();
        let (now, later): (Vec<_>, Vec<_>) =
            todo.into_iter().partition(|at| local(at) || self.driver.random.below(2) == 0);
        match first {
            Some(first) if now.is_empty() => (vec![first], later.into_iter().filter(|at| *at != first).collect()),
            _ => (now, later),
        }
    }
}
