//! One round: everything of a level that still waits is sent once; what is blocked is left for the next round.

use std::collections::BTreeMap;

use crest_ledger::command::{Answer, Command};
use crest_ledger::txn::{EventResult, Outcome, ShardId, Step};
use crest_ledger::wire::{Request, Response};
use futures_util::future::join_all;

use super::Drive;
use super::prepare::Attempt;
use crate::error::RouterError;
use crate::finisher::End;
use crate::place::Spread;
use crate::{limits, points};

/// The messages of one wave: for each shard, its commands.
#[derive(Default)]
pub(super) struct Wave(BTreeMap<ShardId, Vec<Command>>);

impl Wave {
    pub(super) fn add(&mut self, shard: ShardId, command: Command) {
        self.0.entry(shard).or_default().push(command);
    }
}

impl Drive<'_> {
    /// Sends what `todo` needs, and returns the units that were blocked.
    pub(super) async fn round(&mut self, todo: &[usize]) -> Result<Vec<usize>, RouterError> {
        let mut local: BTreeMap<ShardId, Vec<usize>> = BTreeMap::new();
        let mut attempts = Vec::new();
        let mut stepwise = Vec::new();
        for at in todo {
            match &self.units[*at].spread {
                Spread::Local(shard) => local.entry(*shard).or_default().push(*at),
                Spread::Cross { stepwise: true, .. } => stepwise.push(*at),
                Spread::Cross { .. } => attempts.push(Attempt::new(self, *at)),
            }
        }
        let begun = attempts.iter().map(|attempt| attempt.unit).chain(stepwise.iter().copied());
        self.driver.attempts.count(begun.map(|at| self.traffic(at)));
        let mut wave = Wave::default();
        for (shard, units) in &local {
            wave.add(*shard, Command::Create(self.local_steps(units)));
        }
        self.add_prepares(&attempts, &mut wave);
        if !attempts.is_empty() {
            points::BEFORE_PREPARE.pass_async().await;
        }
        let mut answers = self.send(wave).await?;
        let mut blocked = Vec::new();
        for (shard, units) in local {
            let Some(Answer::Results(results)) = answers.take(shard) else { return Err(unexpected(shard)) };
            self.keep_results(&units, &results, &mut blocked);
        }
        self.take_votes(&mut attempts, &mut answers)?;
        if !attempts.is_empty() {
            points::PREPARED.pass_async().await;
        }
        for at in stepwise {
            attempts.push(self.prepare_stepwise(at).await?);
        }
        self.decide(attempts, &mut blocked).await?;
        blocked.sort_unstable();
        Ok(blocked)
    }

    fn local_steps(&self, units: &[usize]) -> Vec<Step> {
        let mut steps = Vec::with_capacity(units.len());
        for at in units {
            let unit = &self.units[*at];
            for (index, event) in self.events[unit.start..unit.start + unit.len].iter().enumerate() {
                steps.extend(event.step(event.homes.0, index, event.amount()));
            }
        }
        steps
    }

    fn keep_results(&mut self, units: &[usize], results: &[EventResult], blocked: &mut Vec<usize>) {
        let mut results = results.iter();
        for at in units {
            let unit = &self.units[*at];
            for slot in &mut self.results[unit.start..unit.start + unit.len] {
                *slot = results.next().copied().unwrap_or(EventResult::blocked());
            }
            if self.results[unit.start].is_blocked() {
                blocked.push(*at);
            }
        }
    }

    /// Sends a wave, with the ends of earlier transactions in front, and waits for all answers. All messages are queued
    /// before the first answer is waited for.
    pub(super) async fn send(&mut self, mut wave: Wave) -> Result<Answers, RouterError> {
        let ends = std::mem::take(&mut self.ends);
        let mut finishes: BTreeMap<ShardId, Vec<&End>> = BTreeMap::new();
        for end in &ends {
            finishes.entry(end.participant).or_default().push(end);
        }
        let mut skip = BTreeMap::new();
        for (shard, ends) in &finishes {
            let finish = Command::Finish(ends.iter().map(|e| (e.txn, Outcome::clone(&e.outcome))).collect());
            wave.0.entry(*shard).or_default().insert(0, finish);
            skip.insert(*shard, 1);
        }
        let shards: Vec<ShardId> = wave.0.keys().copied().collect();
        let after = self.driver.seen.latest();
        let send = |(shard, commands)| {
            self.driver.links.send(shard, Request::Commands { after, commands }, limits::REQUEST_TIMEOUT)
        };
        let sent: Vec<_> = wave.0.into_iter().map(send).collect();
        let mut answers = Answers::default();
        let mut failed = None;
        for (shard, response) in shards.into_iter().zip(join_all(sent).await) {
            match response {
                Ok(Response::Answers(list)) => {
                    self.sent = true;
                    self.driver.seen.note(list.iter().map(Answer::latest_time).max().unwrap_or(0));
                    let skip = skip.get(&shard).copied().unwrap_or(0);
                    answers.0.insert(shard, list.into_iter().skip(skip).collect());
                }
                Ok(Response::Query(_)) => failed = Some(unexpected(shard)),
                Err(e) => {
                    let e = RouterError::from(e);
                    self.sent |= matches!(e, RouterError::Unknown(_));
                    failed = Some(e);
                }
            }
        }
        if let Some(e) = failed {
            return Err(e);
        }
        self.driver.finisher.acknowledge(&ends);
        Ok(answers)
    }
}

/// The answers of a wave: for each shard, one for each command, in order.
#[derive(Default)]
pub(super) struct Answers(BTreeMap<ShardId, std::collections::VecDeque<Answer>>);

impl Answers {
    /// The next answer of a shard.
    pub(super) fn take(&mut self, shard: ShardId) -> Option<Answer> {
        self.0.get_mut(&shard)?.pop_front()
    }
}

/// A shard that answers another question than was asked: a bug, or another version.
pub(crate) fn unexpected(shard: ShardId) -> RouterError {
    RouterError::Unknown(format!("shard {shard} gave an answer of another kind; it may be of another version"))
}
