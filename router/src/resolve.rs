//! Resolving one attempt: the decider is asked what became of it, the holders are told, and the reason is kept.

use std::collections::{BTreeMap, BTreeSet};

use crest_ledger::Timestamp;
use crest_ledger::command::{Answer, Command, ResolveRequest, Resolved};
use crest_ledger::resolutions::Resolution;
use crest_ledger::txn::{Event, Outcome, ShardId, TxnId};
use crest_ledger::wire::in_doubt::Knowledge;
use crest_ledger::wire::{Request, Response};
use crest_link::LinkError;
use crest_proto::border::{Resolve, attempt_to};
use futures_util::future::join_all;
use tonic::Status;

use crate::error::RouterError;
use crate::in_doubt::{ShardAt, decider};
use crate::in_doubt_messages::shown;
use crate::limits;
use crate::reads::other_answer;
use crate::router::Router;

/// An attempt that is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedAttempt {
    /// Which.
    pub txn: TxnId,
    /// Who decided.
    pub decider: ShardId,
    /// What is on record.
    pub resolution: Resolution,
    /// Whether that is of an earlier time.
    pub repeated: bool,
    /// Who was told, and has ended its side.
    pub finished: Vec<ShardAt>,
    /// Who could not be told.
    pub waits_for: Vec<ShardAt>,
}

/// Why an attempt was not resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Every shard has answered, and none knows it.
    #[error("no shard knows the attempt {attempt}: it has ended, or there never was one")]
    NotFound {
        /// Its name.
        attempt: String,
    },
    /// The decider does not answer. Nothing was changed.
    #[error(
        "only shard {shard} at {address} can say what became of {attempt}, and it does not answer ({why}); nothing was \
         changed. Bring that shard back, or restore it: the attempt then ends by itself"
    )]
    DeciderSilent {
        /// The attempt's name.
        attempt: String,
        /// The decider.
        shard: ShardId,
        /// Where it is.
        address: String,
        /// Why it does not answer.
        why: String,
    },
    /// Nobody that answers knows the attempt. Nothing was changed.
    #[error(
        "no shard that answers knows {attempt}; these do not answer and may know it: {silent}. Nothing was changed"
    )]
    ManySilent {
        /// The attempt's name.
        attempt: String,
        /// The shards.
        silent: String,
    },
    /// As of every request.
    #[error("{0:?}")]
    Router(RouterError),
}

impl From<ResolveError> for Status {
    fn from(e: ResolveError) -> Self {
        match e {
            ResolveError::NotFound { .. } => Self::not_found(e.to_string()),
            ResolveError::DeciderSilent { .. } | ResolveError::ManySilent { .. } => {
                Self::failed_precondition(e.to_string())
            }
            ResolveError::Router(e) => e.into(),
        }
    }
}

impl Router {
    /// Has an attempt ended. What its decider has decided stands; what it has not is aborted.
    ///
    /// # Errors
    /// When nobody knows it, its decider does not answer, or the answer was lost: then it may be resolved, and asking again
    /// tells.
    pub async fn resolve(&self, ask: &Resolve) -> Result<ResolvedAttempt, ResolveError> {
        let (known, silent) = self.known(&[ask.txn], BTreeMap::new()).await;
        let clock = known.values().map(|known| known.clock).max().unwrap_or(0);
        let first = |(shard, known): (&ShardId, &crest_ledger::wire::in_doubt::Known)| {
            (*shard, (known.now, known.attempts[0].clone()))
        };
        let known: BTreeMap<ShardId, (Timestamp, Knowledge)> = known.iter().map(first).collect();
        let decider = decider(&known).ok_or_else(|| self.nobody_knows(&ask.txn, &silent))?;
        if let Some(why) = silent.get(&decider) {
            return Err(self.decider_silent(&ask.txn, decider, why));
        }
        let resolved = self.ask_decider(ask, decider, clock, &known).await?;
        let (by, reason, attempt) = (ask.by.as_str(), ask.reason.as_str(), attempt_to(&ask.txn));
        tracing::info!(attempt, by, reason, fate = ?resolved.resolution.fate, "an operator resolved an attempt");
        let holders = known.iter().filter(|(_, (_, k))| k.hold.is_some()).map(|(shard, _)| *shard);
        let waiting = known.values().filter_map(|(_, k)| k.decision.as_ref()).flat_map(|d| d.waiting_for.clone());
        let told: BTreeSet<ShardId> = holders.chain(waiting).filter(|shard| *shard != decider).collect();
        let (finished, waits_for) = self.tell_all(ask.txn, decider, &resolved.outcome, told).await;
        let Resolved { resolution, repeated, .. } = resolved;
        Ok(ResolvedAttempt { txn: ask.txn, decider, resolution, repeated, finished, waits_for })
    }

    async fn ask_decider(
        &self,
        ask: &Resolve,
        decider: ShardId,
        asked_at: Timestamp,
        known: &BTreeMap<ShardId, (Timestamp, Knowledge)>,
    ) -> Result<Resolved, ResolveError> {
        // A request creates accounts or transfers, never both: any event tells.
        let mut events = known.values().flat_map(|(_, knowledge)| &knowledge.events);
        let of_account = events.any(|shown| matches!(shown.event, Event::Account(_)));
        let (txn, reason, by) = (ask.txn, ask.reason.clone(), ask.by.clone());
        let command = Command::Resolve(ResolveRequest { txn, asked_at, of_account, reason, by });
        match self.links.send(decider, Request::commands(vec![command]), limits::STATUS_TIMEOUT).await {
            Ok(Response::Answers(answers)) => match answers.into_iter().next() {
                Some(Answer::Resolved(resolved)) => Ok(resolved),
                _ => Err(ResolveError::Router(other_answer(decider))),
            },
            Ok(Response::Query(_)) => Err(ResolveError::Router(other_answer(decider))),
            Err(
                LinkError::Refused { why, .. }
                | LinkError::CannotTakePart { why, .. }
                | LinkError::Unreachable { why, .. },
            ) => Err(self.decider_silent(&ask.txn, decider, &why)),
            Err(e) => Err(ResolveError::Router(e.into())),
        }
    }

    /// Tells holders, and the decider who of them has finished. Gives those, and the others.
    async fn tell_all(
        &self,
        txn: TxnId,
        decider: ShardId,
        outcome: &Outcome,
        told: BTreeSet<ShardId>,
    ) -> (Vec<ShardAt>, Vec<ShardAt>) {
        let finish = || Request::commands(vec![Command::Finish(vec![(txn, outcome.clone())])]);
        let tell = |shard: &ShardId| self.links.send(*shard, finish(), limits::STATUS_TIMEOUT);
        let answers = join_all(told.iter().map(tell)).await;
        let (mut finished, mut waits_for) = (Vec::new(), Vec::new());
        for (shard, answer) in told.iter().zip(answers) {
            let answered = match answer {
                Ok(Response::Answers(answers)) => Ok(answers.first() == Some(&Answer::Finished(vec![true]))),
                Ok(Response::Query(_)) => Ok(false),
                Err(e) => Err(e.to_string()),
            };
            match answered {
                Ok(true) => finished.push(self.shard_at(*shard, None)),
                Ok(false) => waits_for.push(self.shard_at(*shard, None)),
                Err(why) => waits_for.push(self.shard_at(*shard, Some(why))),
            }
        }
        if !matches!(outcome, Outcome::Released { .. }) && !finished.is_empty() {
            let acknowledge = |at: &ShardAt| Command::Acknowledge(at.shard, vec![txn]);
            let request = Request::commands(finished.iter().map(acknowledge).collect());
            if let Err(why) = self.links.send(decider, request, limits::STATUS_TIMEOUT).await {
                tracing::debug!(%why, "a decider was not told who has finished; it asks them itself");
            }
        }
        (finished, waits_for)
    }

    fn decider_silent(&self, txn: &TxnId, shard: ShardId, why: &str) -> ResolveError {
        let address = shown(&self.shard_at(shard, None).address);
        ResolveError::DeciderSilent { attempt: attempt_to(txn), shard, address, why: shown(why) }
    }

    fn nobody_knows(&self, txn: &TxnId, silent: &BTreeMap<ShardId, String>) -> ResolveError {
        let attempt = attempt_to(txn);
        if silent.is_empty() {
            return ResolveError::NotFound { attempt };
        }
        ResolveError::ManySilent { attempt, silent: named(silent) }
    }
}

/// The silent shards, by number alone: an error travels in a header, which is 16 KiB at the most, and `crest status` has the addresses.
fn named(silent: &BTreeMap<ShardId, String>) -> String {
    // Of a large cluster that is down altogether, some are enough.
    let named: Vec<String> = silent.keys().take(limits::SHARDS_SHOWN).map(|shard| format!("shard {shard}")).collect();
    let more = silent.len() - named.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_shards_are_named_in_few_words_however_many_they_are() {
        let silent = |shards| (0..shards).map(|shard| (shard, "why".repeat(1_000))).collect();
        assert_eq!(named(&silent(2)), "shard 0, shard 1");
        let all = named(&silent(1_024));
        assert!(all.len() < 256 && all.ends_with("shard 15 and 1008 more"), "{all}");
    }
}
