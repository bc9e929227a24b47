//! Shards ask each other at a low rate whether they accept each other's messages: without payments between two shards, nobody would
//! notice that they cannot, before the first one fails.
//!
//! A leader sends its ledger time to the leaders of the others, and hears whether a message with that time would be accepted
//! there, and their times, which it compares with its own clock. It is a query, so it writes nothing into any log.

use std::collections::{BTreeSet, VecDeque};

use crest_ledger::Timestamp;
use crest_ledger::txn::ShardId;
use crest_ledger::wire::{Query, QueryAnswer, Request, Response};
use crest_link::Links;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::executor::PeerChecked;
use crate::limits;
use crate::node::NodeHandle;

/// Asks the other shards in turn until the replica ends; only while it leads.
pub(crate) async fn run(node: &NodeHandle, links: &Links) {
    let mut turns = interval(limits::PEER_CHECK_INTERVAL);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut others: VecDeque<ShardId> = links.map().shards().iter().copied().filter(|s| *s != node.shard()).collect();
    let mut busy: BTreeSet<ShardId> = BTreeSet::new();
    let mut work = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            _ = node.ended() => return,
            Some((peer, checked)) = work.next() => {
                busy.remove(&peer);
                node.peer_checked(peer, checked);
            }
            _ = turns.tick(), if !others.is_empty() => {
                let Some(time) = node.leads_at().await else { continue };
                for _ in 0..others.len().min(limits::PEER_CHECKS_MAX) {
                    others.rotate_left(1);
                    let Some(peer) = others.back().copied() else { break };
                    if busy.len() < limits::PEER_CHECKS_MAX && busy.insert(peer) {
                        let from = node.shard();
                        work.push(async move { (peer, check(links, from, time, peer).await) });
                    }
                }
            }
        }
    }
}

/// Asks one shard.
async fn check(links: &Links, from: ShardId, time: Timestamp, peer: ShardId) -> PeerChecked {
    let link = links.find(peer).ok_or("the slot map has no such shard")?;
    let answering = link.send(Request::Query(Query::Health(Some((from, time)))));
    match timeout(limits::RECOVERY_TIMEOUT, answering).await {
        Ok(Ok(Response::Query(QueryAnswer::Health(health)))) => Ok((health.time, health.refused_ahead_ns)),
        Ok(Ok(_)) => Err("an answer to another question".to_owned()),
        Ok(Err(why)) => Err(why.to_string()),
        Err(_) => Err(format!("nothing within {:?}", limits::RECOVERY_TIMEOUT)),
    }
}
