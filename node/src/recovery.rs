//! Recovery: what routers left half-way is ended by the shards themselves.
//!
//! A holder whose hold is past its deadline asks the decider, and does what it answers. A decider tells the participants
//! what it decided until each of them has acknowledged. Both are idempotent, so it does not matter who else tries.

use std::collections::BTreeMap;

use crest_ledger::Timestamp;
use crest_ledger::command::{Answer, Command};
use crest_ledger::txn::{Outcome, ShardId, TxnId};
use crest_ledger::wire::{Request, Response};
use crest_link::{LinkError, Links, ShardLink};
use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::executor::InDoubt;
use crate::limits;
use crate::node::NodeHandle;

/// Looks after one shard's holds, decisions and expiries until the shard ends.
pub async fn run(node: NodeHandle, links: Links) {
    tokio::join!(end_what_is_in_doubt(&node, &links), crate::expiry::run(&node, &links));
}

async fn end_what_is_in_doubt(node: &NodeHandle, links: &Links) {
    let mut turns = interval(limits::RECOVERY_INTERVAL);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let recovered = metrics::counter!("crest_recovered_total", "shard" => node.shard().to_string());
    loop {
        tokio::select! {
            biased;
            _ = node.ended() => return,
            _ = turns.tick() => {}
        }
        let Some(in_doubt) = node.in_doubt().await else { continue };
        let count = in_doubt.holds.len() + in_doubt.decisions.len();
        if count == 0 {
            continue;
        }
        recovered.increment(count as u64);
        tracing::warn!(
            shard = node.shard(),
            holds = in_doubt.holds.len(),
            decisions = in_doubt.decisions.len(),
            "ending transfers that their router left half-way"
        );
        if let Err(e) = turn(node, links, in_doubt).await {
            tracing::warn!(shard = node.shard(), why = %e, "recovery goes on later");
        }
    }
}

async fn turn(node: &NodeHandle, links: &Links, in_doubt: InDoubt) -> Result<(), LinkError> {
    let clock = in_doubt.clock;
    let asked = group(in_doubt.holds.into_iter().map(|(txn, decider)| (decider, txn)));
    let told = in_doubt.decisions.into_iter().flat_map(|(txn, decision)| {
        let outcome = decision.outcome;
        decision.waiting_for.into_iter().map(move |shard| (shard, (txn, outcome.clone())))
    });
    // Peers side by side: one that does not answer must not keep the others waiting.
    let asking = join_all(asked.into_iter().map(|(decider, txns)| ask(node, links, decider, clock, txns)));
    let telling = join_all(group(told).into_iter().map(|(shard, ends)| tell(node, links, shard, ends)));
    let (asked, told) = tokio::join!(asking, telling);
    asked.into_iter().chain(told).collect()
}

/// Asks a decider, which aborts what it does not know; then ends the holds here, and lets the decider forget.
async fn ask(
    node: &NodeHandle,
    links: &Links,
    decider: ShardId,
    clock: Timestamp,
    txns: Vec<TxnId>,
) -> Result<(), LinkError> {
    for part in txns.chunks(limits::RECOVERY_ASK_MAX) {
        ask_part(node, links, decider, clock, part.to_vec()).await?;
    }
    Ok(())
}

async fn ask_part(
    node: &NodeHandle,
    links: &Links,
    decider: ShardId,
    clock: Timestamp,
    txns: Vec<TxnId>,
) -> Result<(), LinkError> {
    let answers = call(node, links, decider, vec![Command::Recover(true, clock, txns.clone())]).await?;
    let Some(Answer::Outcomes(outcomes)) = answers.into_iter().next() else {
        return Err(LinkError::Unknown { shard: decider, why: "an answer to another question".to_owned() });
    };
    let ends: Vec<(TxnId, Outcome)> = txns.into_iter().zip(outcomes).filter_map(|(t, o)| Some((t, o?))).collect();
    let done = ends.iter().map(|(txn, _)| *txn).collect();
    call(node, links, node.shard(), vec![Command::Finish(ends)]).await?;
    call(node, links, decider, vec![Command::Acknowledge(node.shard(), done)]).await?;
    Ok(())
}

/// Tells a participant what was decided here; then it leaves the outbox.
pub(crate) async fn tell(
    node: &NodeHandle,
    links: &Links,
    participant: ShardId,
    ends: Vec<(TxnId, Outcome)>,
) -> Result<(), LinkError> {
    let mut rest = ends;
    while !rest.is_empty() {
        let mut events = 0;
        let fits = rest.iter().take_while(|(_, outcome)| {
            events += outcome.events();
            events <= limits::RECOVERY_EVENTS_MAX
        });
        let n = fits.count().max(1);
        let later = rest.split_off(n);
        tell_part(node, links, participant, rest).await?;
        rest = later;
    }
    Ok(())
}

async fn tell_part(
    node: &NodeHandle,
    links: &Links,
    participant: ShardId,
    ends: Vec<(TxnId, Outcome)>,
) -> Result<(), LinkError> {
    let txns: Vec<TxnId> = ends.iter().map(|(txn, _)| *txn).collect();
    let answers = call(node, links, participant, vec![Command::Finish(ends)]).await?;
    let Some(Answer::Finished(finished)) = answers.into_iter().next() else {
        return Err(LinkError::Unknown { shard: participant, why: "an answer to another question".to_owned() });
    };
    let done = txns.into_iter().zip(finished).filter(|(_, finished)| *finished).map(|(txn, _)| txn).collect();
    call(node, links, node.shard(), vec![Command::Acknowledge(participant, done)]).await?;
    Ok(())
}

pub(crate) async fn call(
    node: &NodeHandle,
    links: &Links,
    shard: ShardId,
    commands: Vec<Command>,
) -> Result<Vec<Answer>, LinkError> {
    let request = Request::Commands(commands);
    let answering = if shard == node.shard() {
        node.send(request)
    } else {
        let unknown = || LinkError::Refused { shard, why: "the slot map has no such shard".to_owned() };
        links.find(shard).ok_or_else(unknown)?.send(request)
    };
    let why = || format!("nothing within {:?}", limits::RECOVERY_TIMEOUT);
    match timeout(limits::RECOVERY_TIMEOUT, answering).await {
        Ok(Ok(Response::Answers(answers))) => Ok(answers),
        Ok(Ok(Response::Query(_))) => {
            Err(LinkError::Unknown { shard, why: "an answer to another question".to_owned() })
        }
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
