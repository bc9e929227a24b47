//! The end of transactions, off the clients' path: participants are told what was decided, and deciders that they were.
//!
//! One message a shard at a time, with everything that waits: batches grow by themselves under load. What is lost here,
//! with the router or with a connection, the shards' own recovery does.

use std::collections::BTreeMap;

use crest_ledger::command::Command;
use crest_ledger::txn::{Outcome, ShardId, TxnId};
use crest_ledger::wire::Request;
use crest_link::Links;
use tokio::sync::mpsc;

use crate::{limits, points};

/// Events in one message: beyond it no more ends are added. Each is 24 bytes, and an end has at most 8,190.
const BATCH_EVENTS: usize = 16_384;

/// The end of one transaction for one participant.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) participant: ShardId,
    pub(crate) decider: ShardId,
    pub(crate) txn: TxnId,
    pub(crate) outcome: Outcome,
}

enum Job {
    Finish(End),
    /// `participant` has finished; its decider may forget.
    Acknowledge(ShardId, TxnId),
}

impl Job {
    fn events(&self) -> usize {
        match self {
            Self::Finish(end) => end.outcome.events(),
            Self::Acknowledge(..) => 1,
        }
    }
}

/// The queues, one a shard.
#[derive(Clone)]
pub(crate) struct Finisher {
    queues: BTreeMap<ShardId, mpsc::Sender<Job>>,
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
        let finisher = Self { queues, dropped: metrics::counter!("crest_router_finishes_left_to_recovery_total") };
        for (shard, receiver) in receivers {
            let acknowledge: BTreeMap<ShardId, mpsc::WeakSender<Job>> =
                finisher.queues.iter().map(|(s, q)| (*s, q.downgrade())).collect();
            tokio::spawn(work(shard, receiver, acknowledge, links.clone(), finisher.dropped.clone()));
        }
        finisher
    }

    /// Has participants told.
    pub(crate) fn finish(&self, ends: impl IntoIterator<Item = End>) {
        for end in ends {
            self.put(end.participant, Job::Finish(end));
        }
    }

    /// Has deciders told that these participants were told already.
    pub(crate) fn acknowledge(&self, ends: &[End]) {
        for end in ends {
            if matches!(end.outcome, Outcome::Committed(_)) {
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
        let mut ends = Vec::new();
        let mut done: BTreeMap<ShardId, Vec<TxnId>> = BTreeMap::new();
        for job in waiting.drain(..) {
            match job {
                Job::Finish(end) => ends.push(end),
                Job::Acknowledge(participant, txn) => done.entry(participant).or_default().push(txn),
            }
        }
        if !done.is_empty() {
            points::BEFORE_ACKNOWLEDGE.pass_async().await;
        }
        let mut commands: Vec<Command> = done.into_iter().map(|(s, txns)| Command::Acknowledge(s, txns)).collect();
        if !ends.is_empty() {
            points::BEFORE_FINISH.pass_async().await;
            commands.push(Command::Finish(ends.iter().map(|e| (e.txn, e.outcome.clone())).collect()));
        }
        if let Err(e) = links.send(shard, Request::commands(commands), limits::REQUEST_TIMEOUT).await {
            tracing::debug!(shard, why = %e, "a finish was not answered; recovery ends these transfers");
            dropped.increment(ends.len() as u64);
            continue;
        }
        if !ends.is_empty() {
            points::FINISHED.pass_async().await;
        }
        for end in ends.into_iter().filter(|e| matches!(e.outcome, Outcome::Committed(_))) {
            let job = Job::Acknowledge(shard, end.txn);
            let queue = acknowledge.get(&end.decider).and_then(mpsc::WeakSender::upgrade);
            if queue.is_none_or(|q| q.try_send(job).is_err()) {
                dropped.increment(1);
            }
        }
    }
}
