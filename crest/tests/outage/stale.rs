//! Reads that are sent to replicas directly, past any router that would find the leader: each has to have what was
//! acknowledged before it was sent, or not be answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crest_ledger::wire::{Query, QueryAnswer, Request, Response};
use crest_link::ShardLink;
use crest_link::grpc::GrpcLink;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// Between two reads.
const PACE: Duration = Duration::from_millis(5);
/// Reads under way at one node: those that it takes in when it goes on after a pause.
const UNDER_WAY: usize = 128;
/// How long a read may take.
const PATIENCE: Duration = Duration::from_secs(12);

/// Reads that are sent to one replica until they are stopped.
pub(crate) struct DirectReads {
    stop: watch::Sender<bool>,
    answered: Arc<AtomicU64>,
    reading: JoinHandle<()>,
}

impl DirectReads {
    /// Reads the credits of `account` at the replica of shard 0 at `node`. `acknowledged` is what it must have at the least.
    pub(crate) fn start(node: SocketAddr, account: u128, acknowledged: &Arc<AtomicU64>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let answered = Arc::new(AtomicU64::new(0));
        let reading = tokio::spawn(read(node, account, acknowledged.clone(), answered.clone(), stopped));
        Self { stop, answered, reading }
    }

    /// How many were answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }

    /// Waits for those that are under way.
    ///
    /// # Panics
    /// When one of them was answered without what was acknowledged before it was sent.
    pub(crate) async fn stop(self) -> u64 {
        let _ = self.stop.send(true);
        self.reading.await.expect("no read is older than what was acknowledged before it");
        self.answered.load(Ordering::SeqCst)
    }
}

async fn read(
    node: SocketAddr,
    account: u128,
    acknowledged: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
    stopped: watch::Receiver<bool>,
) {
    let link = GrpcLink::new(0, &node.to_string(), 1).expect("it is an address");
    let places = Arc::new(Semaphore::new(UNDER_WAY));
    let mut reads = tokio::task::JoinSet::new();
    while !*stopped.borrow() {
        while let Some(ended) = reads.try_join_next() {
            ended.expect("no read is old");
        }
        tokio::time::sleep(PACE).await;
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let least = acknowledged.load(Ordering::SeqCst);
        let answer = link.send(Request::Query(Query::Accounts(0, vec![account])));
        let answered = answered.clone();
        reads.spawn(async move {
            let answer = tokio::time::timeout(PATIENCE, answer).await;
            if let Ok(Ok(Response::Query(QueryAnswer::Accounts(accounts, _)))) = answer {
                let credits = accounts.first().map_or(0, |account| account.credits_posted);
                assert!(credits >= u128::from(least), "{least} were acknowledged before, and the answer is {credits}");
                answered.fetch_add(1, Ordering::SeqCst);
            }
            drop(place);
        });
    }
    while let Some(ended) = reads.join_next().await {
        ended.expect("no read is old");
    }
}
