//! Whether a router can serve: it asks the leaders of all shards at a low rate, and says how many take part.
//!
//! A change of leader takes 1 to 3 s and is no reason to send clients elsewhere, so a shard counts as away only after
//! [`limits::READY_PATIENCE`] without a good answer. It counts as back with its first one.

use std::collections::{BTreeMap, BTreeSet};

use crest_ledger::limits::COMMIT_STALLED_MS;
use crest_ledger::txn::ShardId;
use crest_ledger::wire::{PeerTroubleKind, Query, QueryAnswer, Request, Response, ShardHealth};
use crest_link::Links;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::limits;
use crate::router::Router;

/// How many of the shards a router can serve payments on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// None: no leader answers.
    #[default]
    Nothing,
    /// Some: payments on these shards work, others fail.
    Some,
    /// Every shard serves, and all accept each other's messages.
    Everything,
}

/// How a shard is at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Its leader does not answer, or does not commit.
    Away,
    /// It serves, and some other shard and it do not accept each other's messages.
    Apart,
    /// It serves, and takes part in everything.
    Well,
}

impl Router {
    /// Follows how many shards this router can serve payments on, until all receivers are dropped. Must be called inside a tokio
    /// runtime.
    pub fn readiness(&self) -> watch::Receiver<Reach> {
        let (tell, told) = watch::channel(Reach::default());
        tokio::spawn(follow(self.links.clone(), tell));
        told
    }
}

async fn follow(links: Links, tell: watch::Sender<Reach>) {
    let shards = links.map().shards().to_vec();
    let (mut seen, mut busy, mut work) = (Seen::of(&shards), BTreeSet::new(), FuturesUnordered::new());
    let mut turns = interval(limits::READY_INTERVAL);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = tell.closed() => return,
            Some((shard, look)) = work.next() => {
                busy.remove(&shard);
                seen.note(shard, look);
            }
            _ = turns.tick() => {
                let idle = shards.iter().copied().filter(|shard| busy.insert(*shard));
                work.extend(idle.map(|shard| { let links = &links; async move { (shard, look_at(links, shard).await) } }));
            }
        }
        let reach = seen.reach();
        tell.send_if_modified(|told| std::mem::replace(told, reach) != reach);
    }
}

async fn look_at(links: &Links, shard: ShardId) -> Look {
    let ask = |query| links.send(shard, Request::Query(query), limits::STATUS_TIMEOUT);
    match tokio::join!(ask(Query::Status), ask(Query::Health(None))) {
        (Ok(Response::Query(QueryAnswer::Status(_))), Ok(Response::Query(QueryAnswer::Health(health)))) => of(&health),
        // Its nodes are of a build that does not know the second question.
        (Ok(Response::Query(QueryAnswer::Status(_))), _) => Look::Well,
        _ => Look::Away,
    }
}

fn of(health: &ShardHealth) -> Look {
    let refusal = |kind| kind != PeerTroubleKind::NoAnswer;
    match () {
        () if health.commit_stalled_ms >= COMMIT_STALLED_MS || !health.clock_problem.is_empty() => Look::Away,
        () if health.peers.iter().any(|peer| refusal(peer.kind)) => Look::Apart,
        () => Look::Well,
    }
}

/// When each shard served last, and when it took part in everything.
struct Seen(BTreeMap<ShardId, Times>);

#[derive(Default)]
struct Times {
    served: Option<Instant>,
    well: Option<Instant>,
    gauge: Option<metrics::Gauge>,
}

impl Seen {
    fn of(shards: &[ShardId]) -> Self {
        let times = |shard: &ShardId| {
            let gauge = metrics::gauge!("crest_router_shard_serves", "shard" => shard.to_string());
            (*shard, Times { gauge: Some(gauge), ..Times::default() })
        };
        Self(shards.iter().map(times).collect())
    }

    fn note(&mut self, shard: ShardId, look: Look) {
        let Some(times) = self.0.get_mut(&shard) else { return };
        let now = Some(Instant::now());
        match look {
            Look::Away => {}
            Look::Apart => times.served = now,
            Look::Well => (times.served, times.well) = (now, now),
        }
    }

    fn reach(&self) -> Reach {
        let lately = |at: Option<Instant>| at.is_some_and(|at| at.elapsed() < limits::READY_PATIENCE);
        for times in self.0.values() {
            if let Some(gauge) = &times.gauge {
                gauge.set(f64::from(u8::from(lately(times.well))));
            }
        }
        match () {
            () if self.0.values().all(|times| lately(times.well)) => Reach::Everything,
            () if self.0.values().any(|times| lately(times.served)) => Reach::Some,
            () => Reach::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crest_ledger::wire::PeerTrouble;

    #[tokio::test(start_paused = true)]
    async fn a_short_failover_changes_nothing_and_an_outage_does() {
        let mut seen = Seen::of(&[0, 1]);
        assert_eq!(seen.reach(), Reach::Nothing, "nobody has answered yet");
        seen.note(0, Look::Well);
        assert_eq!(seen.reach(), Reach::Some);
        seen.note(1, Look::Well);
        assert_eq!(seen.reach(), Reach::Everything);
        tokio::time::advance(limits::READY_PATIENCE * 3 / 4).await;
        seen.note(0, Look::Well);
        seen.note(1, Look::Away);
        assert_eq!(seen.reach(), Reach::Everything, "an election takes as long");
        tokio::time::advance(limits::READY_PATIENCE / 2).await;
        seen.note(0, Look::Apart);
        assert_eq!(seen.reach(), Reach::Some, "one is away");
        seen.note(1, Look::Well);
        tokio::time::advance(limits::READY_PATIENCE / 2).await;
        seen.note(0, Look::Apart);
        assert_eq!(seen.reach(), Reach::Some, "one answers, and is refused by the other");
        tokio::time::advance(limits::READY_PATIENCE).await;
        assert_eq!(seen.reach(), Reach::Nothing);
        seen.note(9, Look::Well);
        assert_eq!(seen.reach(), Reach::Nothing, "there is no such shard");
    }

    #[test]
    fn a_shard_is_well_that_commits_and_that_others_hear() {
        let trouble = |kind| vec![PeerTrouble { shard: 1, kind, ms: 61_000 }];
        let peers = |kind| ShardHealth { peers: trouble(kind), ..ShardHealth::default() };
        let stalled = |commit_stalled_ms| ShardHealth { commit_stalled_ms, ..ShardHealth::default() };
        for (health, look) in [
            (ShardHealth::default(), Look::Well),
            (stalled(COMMIT_STALLED_MS - 1), Look::Well),
            (stalled(COMMIT_STALLED_MS), Look::Away),
            (ShardHealth { clock_problem: "wrong".to_owned(), ..ShardHealth::default() }, Look::Away),
            (peers(PeerTroubleKind::RefusedByPeer), Look::Apart),
            (peers(PeerTroubleKind::RefusesPeer), Look::Apart),
            (peers(PeerTroubleKind::NoAnswer), Look::Well),
        ] {
            assert_eq!(of(&health), look, "{health:?}");
        }
    }
}
