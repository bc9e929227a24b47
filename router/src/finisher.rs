//! The end of transactions, off the clients' path: participants are told what was decided, and deciders that they were.
//!
//! One message a shard at a time, with everything that waits: batches grow by themselves under load. What is lost here,
//! with the router or with a connection, the shards' own recovery does.

use std::collections::BTreeMap;
use std::sync::Arc;

use crest_ledger::command::Command;
use crest_ledger::txn::{Outcome, ShardId, TxnId};
use crest_ledger::wire::Request;
use crest_link::Links;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{limits, points};

/// Events in one message: beyond it no more ends are added. Each is 24 bytes, and an end has at most 8,190.
const BATCH_EVENTS: usize = 16_384;

/// The end of one transaction for one participant.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) participant: ShardId,
    pub(crate) decider: ShardId,
    pub(crate) txn: TxnId,
    /// The same for all participants of a transaction.
    pub(crate) outcome: Arc<Outcome>,
}

/// A decision's place among the events that may wait; free again when all its participants have been told.
type Place = Arc<OwnedSemaphorePermit>;

enum Job {
    /// With its place among the events that may wait, which all participants share.
    Finish(End, Place),
    /// `participant` has finished; its decider may forget.
    Acknowledge(ShardId, TxnId),
}

impl Job {
    fn events(&self) -> usize {
        match self {
            Self::Finish(end, _) => end.outcome.events(),
            Self::Acknowledge(..) => 1,
        }
    }
}

/// The queues, one a shard.
#[derive(Clone)]
pub(crate) struct Finisher {
    queues: BTreeMap<ShardId, mpsc::Sender<Job>>,
    /// How many more events may wait.
    events: Arc<Semaphore>,
    dropped: metrics::Counter,
}

impl Finisher {
    /// Starts a task for each shard; they end with the last clone of the finisher.
    pub(crate) fn start(links: &Links) -> Self {
        let mut queues = BTreeMap::new();
        let mut receivers = Vec::new();
        for shard in links.map().shards() {
            let (sender, receiver) = mpsc::channel(limits::FINISHES_MAX);
            queues.insert(*shard, sender);
            receivers.push((*shard, receiver));
        }
        let dropped = metrics::counter!("crest_router_finishes_left_to_recovery_total");
        let events = Arc::new(Semaphore::new(limits::FINISH_EVENTS_MAX));
        let finisher = Self { queues, events, dropped };
        for (shard, receiver) in receivers {
            let acknowledge: BTreeMap<ShardId, mpsc::WeakSender<Job>> =
                finisher.queues.iter().map(|(s, q)| (*s, q.downgrade())).collect();
            tokio::spawn(work(shard, receiver, acknowledge, links.clone(), finisher.dropped.clone()));
        }
        finisher
    }

    /// Has participants told.
    pub(crate) fn finish(&self, ends: impl IntoIterator<Item = End>) {
        let mut last: Option<(Arc<Outcome>, Option<Place>)> = None;
        for end in ends {
            let of_last = last.as_ref().filter(|(outcome, _)| Arc::ptr_eq(outcome, &end.outcome));
            let permit = match of_last {
                Some((_, permit)) => permit.clone(),
                None => self.permit(&end.outcome),
            };
            last = Some((end.outcome.clone(), permit.clone()));
            match permit {
                Some(permit) => self.put(end.participant, Job::Finish(end, permit)),
                None => self.dropped.increment(1),
            }
        }
    }

    /// A place for the events of an outcome, until all participants have been told; none when too many wait.
    fn permit(&self, outcome: &Outcome) -> Option<Place> {
        let events = u32::try_from(outcome.events()).ok()?;
        self.events.clone().try_acquire_many_owned(events).ok().map(Arc::new)
    }

    /// Has deciders told that these participants were told already.
    pub(crate) fn acknowledge(&self, ends: &[End]) {
        for end in ends {
            if matches!(*end.outcome, Outcome::Committed(_)) {
                self.put(end.decider, Job::Acknowledge(end.participant, end.txn));
            }
        }
    }

    fn put(&self, shard: ShardId, job: Job) {
        let sent = self.queues.get(&shard).is_some_and(|queue| queue.try_send(job).is_ok());
        if !sent {
            self.dropped.increment(1);
        }
    }
}

async fn work(
    shard: ShardId,
    mut jobs: mpsc::Receiver<Job>,
    acknowledge: BTreeMap<ShardId, mpsc::WeakSender<Job>>,
    links: Links,
    dropped: metrics::Counter,
) {
    let mut waiting = Vec::new();
    while let Some(first) = jobs.recv().await {
        let mut events = first.events();
        waiting.push(first);
        while events < BATCH_EVENTS
            && let Ok(job) = jobs.try_recv()
        {
            events += job.events();
            waiting.push(job);
        }
        let (mut ends, mut permits) = (Vec::new(), Vec::new());
        let mut done: BTreeMap<ShardId, Vec<TxnId>> = BTreeMap::new();
        for job in waiting.drain(..) {
            match job {
                Job::Finish(end, permit) => {
                    ends.push(end);
                    permits.push(permit);
                }
                Job::Acknowledge(participant, txn) => done.entry(participant).or_default().push(txn),
            }
        }
        if !done.is_empty() {
            points::BEFORE_ACKNOWLEDGE.pass_async().await;
        }
        let mut commands: Vec<Command> = done.into_iter().map(|(s, txns)| Command::Acknowledge(s, txns)).collect();
        if !ends.is_empty() {
            points::BEFORE_FINISH.pass_async().await;
            commands.push(Command::Finish(ends.iter().map(|e| (e.txn, Outcome::clone(&e.outcome))).collect()));
        }
        if let Err(e) = links.send(shard, Request::commands(commands), limits::REQUEST_TIMEOUT).await {
            tracing::debug!(shard, why = %e, "a finish was not answered; recovery ends these transfers");
            dropped.increment(ends.len() as u64);
            continue;
        }
        if !ends.is_empty() {
            points::FINISHED.pass_async().await;
        }
        for end in ends.into_iter().filter(|e| matches!(*e.outcome, Outcome::Committed(_))) {
            let job = Job::Acknowledge(shard, end.txn);
            let queue = acknowledge.get(&end.decider).and_then(mpsc::WeakSender::upgrade);
            if queue.is_none_or(|q| q.try_send(job).is_err()) {
                dropped.increment(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crest_ledger::limits::BATCH_EVENTS_MAX;
    use crest_ledger::txn::Commit;
    use crest_link::{Answering, ShardLink};
    use crest_topology::SlotMap;

    /// A shard that never answers.
    struct Silent;

    impl ShardLink for Silent {
        fn send(&self, _: Request) -> Answering {
            Box::pin(std::future::pending())
        }

        fn address(&self) -> String {
            String::new()
        }
    }

    /// The ends of a chain of the most events on so many shards.
    fn ends(first_id: u128, shards: ShardId) -> Vec<End> {
        let outcome = Arc::new(Outcome::Committed(vec![Commit { timestamp: 5, amount: 7 }; BATCH_EVENTS_MAX]));
        let txn = TxnId { first_id, attempt: 1 };
        (0..shards).map(|participant| End { participant, decider: 0, txn, outcome: outcome.clone() }).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn decisions_that_wait_have_a_bound_in_events_and_each_counts_once_for_all_its_shards() {
        let shards: Vec<ShardId> = (0..4).collect();
        let link = |shard: &ShardId| (*shard, Arc::new(Silent) as Arc<dyn ShardLink>);
        let links = Links::new(SlotMap::even(&shards).unwrap(), shards.iter().map(link).collect());
        let finisher = Finisher::start(&links);
        let places = limits::FINISH_EVENTS_MAX / BATCH_EVENTS_MAX;
        for n in 1..=places {
            finisher.finish(ends(n as u128, 4));
            assert_eq!(finisher.events.available_permits(), limits::FINISH_EVENTS_MAX - n * BATCH_EVENTS_MAX);
        }
        let waiting = finisher.queues[&3].max_capacity() - finisher.queues[&3].capacity();
        finisher.finish(ends(1_000_000, 4));
        let now = finisher.queues[&3].max_capacity() - finisher.queues[&3].capacity();
        assert_eq!((waiting, now), (places, places), "there is no room for one more");
        // All messages go unanswered for the time that they have, and nothing is kept of them.
        tokio::time::sleep(limits::REQUEST_TIMEOUT * places as u32 + limits::REQUEST_TIMEOUT).await;
        assert_eq!(finisher.events.available_permits(), limits::FINISH_EVENTS_MAX);
    }
}
