//! Expiry across shards: the payer's shard finds what is due, has the payee's shard hold its side, decides, and tells it.
//!
//! It is the two-phase commit of a void that no client asked for. What stops half-way is ended by [`crate::recovery`], or
//! found due again.

use crest_ledger::Timestamp;
use crest_ledger::command::{Answer, Command, DecideRequest, PrepareRequest};
use crest_ledger::txn::{Decided, Outcome, ShardId, TxnId, Vote};
use crest_link::{LinkError, Links};
use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval};

use crate::node::NodeHandle;
use crate::recovery::{call, group, tell};
use crate::{limits, points};

/// Expires what is due on one shard until the shard ends.
pub(crate) async fn run(node: &NodeHandle, links: &Links) {
    let mut turns = interval(limits::TICK);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = node.ended() => return,
            _ = turns.tick() => {}
        }
        let Some((due, clock)) = node.expiring().await else { continue };
        let by_payee = group(due.into_iter().map(|(id, payee)| (payee, TxnId::expiry(id, clock))));
        let turns = by_payee.into_iter().map(|(payee, txns)| expire(node, links, payee, txns));
        for failed in join_all(turns).await.into_iter().filter_map(Result::err) {
            tracing::warn!(shard = node.shard(), why = %failed, "expired reservations are released later");
        }
    }
}

/// Expires pending transfers whose payees are on one shard.
async fn expire(node: &NodeHandle, links: &Links, payee: ShardId, txns: Vec<TxnId>) -> Result<(), LinkError> {
    let decider = node.shard();
    let prepares = txns.iter().map(|txn| PrepareRequest { txn: *txn, decider, steps: Vec::new() }).collect();
    points::EXPIRY_DUE.pass_async().await;
    let answers = call(node, links, payee, vec![Command::Prepare(prepares)]).await?;
    let Some(Answer::Votes(votes)) = answers.into_iter().next() else { return Err(unexpected(payee)) };
    let held: Vec<DecideRequest> = txns
        .into_iter()
        .zip(votes)
        .filter_map(|(txn, vote)| match vote {
            Vote::Held { clock, .. } => Some(decide_request(txn, payee, clock)),
            Vote::Refused(_) | Vote::Blocked => None,
        })
        .collect();
    if held.is_empty() {
        return Ok(());
    }
    points::EXPIRY_HELD.pass_async().await;
    let txns: Vec<TxnId> = held.iter().map(|request| request.txn).collect();
    let answers = call(node, links, decider, vec![Command::Decide(held)]).await?;
    let Some(Answer::Decided(decided)) = answers.into_iter().next() else { return Err(unexpected(decider)) };
    points::EXPIRY_DECIDED.pass_async().await;
    let ends = txns.into_iter().zip(decided).map(|(txn, decided)| (txn, outcome(decided))).collect();
    tell(node, links, payee, ends).await.map(drop)
}

fn decide_request(txn: TxnId, payee: ShardId, clock: Timestamp) -> DecideRequest {
    DecideRequest {
        txn,
        participants: vec![payee],
        events: Vec::new(),
        steps: Vec::new(),
        refusals: Vec::new(),
        prepared_at: clock,
        clock,
        commit_before: Timestamp::MAX,
    }
}

fn outcome(decided: Decided) -> Outcome {
    match decided {
        Decided::Expired(at) => Outcome::Expired(at),
        _ => Outcome::Released { burned_id: 0 },
    }
}

fn unexpected(shard: ShardId) -> LinkError {
    LinkError::Unknown { shard, why: "an answer to another question".to_owned() }
}
