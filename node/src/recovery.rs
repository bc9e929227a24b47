//! Recovery: what routers left half-way is ended by the shards themselves.
//!
//! A holder whose hold is past its deadline asks the decider, and does what it answers. A decider tells the participants
//! what it decided until each of them has acknowledged. Both are idempotent, so it does not matter who else tries.
//!
//! With each other shard it works by itself: one that hangs delays nothing that has to do with others. What is done with one
//! shard at a time is one message's worth; as long as there is more, the next is begun at once.

use std::collections::{BTreeMap, BTreeSet};

use crest_ledger::Timestamp;
use crest_ledger::command::{Answer, Command};
use crest_ledger::txn::{Outcome, ShardId, TxnId};
use crest_ledger::wire::{Request, Response};
use crest_link::{LinkError, Links, ShardLink};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::executor::WithPeer;
use crate::node::NodeHandle;
use crate::{limits, points};

/// Looks after one shard's holds, decisions and expiries, and asks the other shards how they take part, until the shard ends.
pub async fn run(node: NodeHandle, links: Links) {
    tokio::join!(
        end_what_is_in_doubt(&node, &links),
        crate::expiry::run(&node, &links),
        crate::peer_checks::run(&node, &links)
    );
}

async fn end_what_is_in_doubt(node: &NodeHandle, links: &Links) {
    let mut turns = interval(limits::RECOVERY_INTERVAL);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut peers = Peers::new(node.shard());
    let mut work = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            _ = node.ended() => return,
            Some((peer, more, ended)) = work.next() => if !peers.done(peer, more, ended) { continue },
            _ = turns.tick() => {}
        }
        let Some(overdue) = node.overdue(peers.busy.clone()).await else { continue };
        for (peer, todo) in overdue.by_peer {
            peers.begin(peer, &todo);
            let more = todo.more;
            work.push(async move { (peer, more, end(node, links, peer, overdue.clock, todo).await) });
        }
    }
}

/// What recovery knows of the other shards.
struct Peers {
    shard: ShardId,
    /// Those that it is working with.
    busy: BTreeSet<ShardId>,
    /// Those with which it did not succeed the last time.
    failing: BTreeSet<ShardId>,
    recovered: metrics::Counter,
}

impl Peers {
    fn new(shard: ShardId) -> Self {
        let recovered = metrics::counter!("crest_recovered_total", "shard" => shard.to_string());
        Self { shard, busy: BTreeSet::new(), failing: BTreeSet::new(), recovered }
    }

    fn begin(&mut self, peer: ShardId, todo: &WithPeer) {
        self.busy.insert(peer);
        if !self.failing.contains(&peer) {
            let (holds, decisions) = (todo.asks.len(), todo.tells.len());
            tracing::warn!(
                shard = self.shard,
                peer,
                holds,
                decisions,
                "ending transfers that their router left half-way"
            );
        }
    }

    /// Takes in how it went with a peer. Answers whether to go on with that peer at once.
    fn done(&mut self, peer: ShardId, more: bool, ended: Result<usize, LinkError>) -> bool {
        self.busy.remove(&peer);
        match ended {
            Ok(count) => {
                self.recovered.increment(count as u64);
                if self.failing.remove(&peer) {
                    tracing::info!(shard = self.shard, peer, "recovery succeeds again");
                }
                more
            }
            Err(why) => {
                // Said once, not four times a second for as long as the peer is down.
                if self.failing.insert(peer) {
                    tracing::warn!(shard = self.shard, peer, %why, "recovery goes on later");
                }
                false
            }
        }
    }
}

/// Does what there is to do with one peer. Answers how many holds and decisions it ended.
async fn end(
    node: &NodeHandle,
    links: &Links,
    peer: ShardId,
    clock: Timestamp,
    todo: WithPeer,
) -> Result<usize, LinkError> {
    let (asked, told) = tokio::join!(ask(node, links, peer, clock, todo.asks), tell(node, links, peer, todo.tells));
    Ok(asked? + told?)
}

/// Asks a decider, which aborts what it does not know; then ends the holds here, and lets the decider forget.
async fn ask(
    node: &NodeHandle,
    links: &Links,
    decider: ShardId,
    clock: Timestamp,
    txns: Vec<TxnId>,
) -> Result<usize, LinkError> {
    if txns.is_empty() {
        return Ok(0);
    }
    points::RECOVERY_BEFORE_ASK.pass_async().await;
    let answers = call(node, links, decider, vec![Command::Recover(true, clock, txns.clone())]).await?;
    let Some(Answer::Outcomes(outcomes)) = answers.into_iter().next() else { return Err(unexpected(decider)) };
    points::RECOVERY_ANSWERED.pass_async().await;
    // What the decider left out, since its answer had no room, is asked for again with the next.
    let ends: Vec<(TxnId, Outcome)> = txns.into_iter().zip(outcomes).filter_map(|(t, o)| Some((t, o?))).collect();
    let decided: Vec<bool> = ends.iter().map(|(_, outcome)| !matches!(outcome, Outcome::Released { .. })).collect();
    let txns: Vec<TxnId> = ends.iter().map(|(txn, _)| *txn).collect();
    let answers = call(node, links, node.shard(), vec![Command::Finish(ends)]).await?;
    let Some(Answer::Finished(finished)) = answers.into_iter().next() else { return Err(unexpected(node.shard())) };
    points::RECOVERY_ENDED.pass_async().await;
    let count = finished.iter().filter(|finished| **finished).count();
    // An abort is in nobody's outbox.
    let done = txns.into_iter().zip(decided.into_iter().zip(finished));
    let done: Vec<TxnId> = done.filter(|(_, (decided, finished))| *decided && *finished).map(|(txn, _)| txn).collect();
    if !done.is_empty() {
        call(node, links, decider, vec![Command::Acknowledge(node.shard(), done)]).await?;
    }
    Ok(count)
}

/// Tells a participant what was decided here; then it leaves the outbox. Answers how many did.
pub(crate) async fn tell(
    node: &NodeHandle,
    links: &Links,
    participant: ShardId,
    ends: Vec<(TxnId, Outcome)>,
) -> Result<usize, LinkError> {
    if ends.is_empty() {
        return Ok(0);
    }
    let txns: Vec<TxnId> = ends.iter().map(|(txn, _)| *txn).collect();
    points::RECOVERY_BEFORE_TELL.pass_async().await;
    let answers = call(node, links, participant, vec![Command::Finish(ends)]).await?;
    let Some(Answer::Finished(finished)) = answers.into_iter().next() else { return Err(unexpected(participant)) };
    let done: Vec<TxnId> =
        txns.into_iter().zip(finished).filter(|(_, finished)| *finished).map(|(txn, _)| txn).collect();
    let count = done.len();
    points::RECOVERY_TOLD.pass_async().await;
    call(node, links, node.shard(), vec![Command::Acknowledge(participant, done)]).await?;
    Ok(count)
}

fn unexpected(shard: ShardId) -> LinkError {
    LinkError::Unknown { shard, why: "an answer to another question".to_owned() }
}

pub(crate) async fn call(
    node: &NodeHandle,
    links: &Links,
    shard: ShardId,
    commands: Vec<Command>,
) -> Result<Vec<Answer>, LinkError> {
    let request = Request::commands(commands);
    let answering = if shard == node.shard() {
        node.send(request)
    } else {
        let unknown = || LinkError::CannotTakePart { shard, why: "the slot map has no such shard".to_owned() };
        links.find(shard).ok_or_else(unknown)?.send(request)
    };
    let why = || format!("nothing within {:?}", limits::RECOVERY_TIMEOUT);
    match timeout(limits::RECOVERY_TIMEOUT, answering).await {
        Ok(Ok(Response::Answers(answers))) => Ok(answers),
        Ok(Ok(Response::Query(_))) => Err(unexpected(shard)),
        Ok(Err(e)) => Err(e),
        Err(_) => Err(LinkError::Unknown { shard, why: why() }),
    }
}

pub(crate) fn group<T>(items: impl Iterator<Item = (ShardId, T)>) -> BTreeMap<ShardId, Vec<T>> {
    let mut groups: BTreeMap<ShardId, Vec<T>> = BTreeMap::new();
    for (shard, item) in items {
        groups.entry(shard).or_default().push(item);
    }
    groups
}
