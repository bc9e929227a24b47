//! The second phase: the decider checks its own side and decides; then everybody is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crest_ledger::command::{Answer, Command, DecideRequest};
use crest_ledger::txn::{Commit, Decided, EventResult, Outcome, ShardId};
use crest_ledger::verbs::create::chain_results;

use super::Drive;
use super::prepare::Attempt;
use super::round::{Wave, unexpected};
use crate::error::RouterError;
use crate::finisher::End;
use crate::{limits, points};

impl Drive<'_> {
    /// Has the attempts decided. Those that were blocked go to `blocked`, their holds released.
    pub(super) async fn decide(&mut self, attempts: Vec<Attempt>, blocked: &mut Vec<usize>) -> Result<(), RouterError> {
        let (gave_up, mut todo): (Vec<Attempt>, Vec<Attempt>) = attempts.into_iter().partition(|a| a.blocked);
        let mut give_up = gave_up;
        let mut pause = limits::BLOCKED_PAUSE_MIN;
        for _ in 0..limits::DECIDE_TRIES {
            if todo.is_empty() {
                break;
            }
            todo = self.decide_once(todo, &mut give_up).await?;
            if !todo.is_empty() {
                tokio::time::sleep(self.driver.random.jittered(pause)).await;
                pause = (pause * 2).min(Duration::from_millis(10));
            }
        }
        give_up.extend(todo);
        blocked.extend(self.abort(give_up).await?);
        Ok(())
    }

    /// Sends all decides, one message a decider. Returns the attempts whose decider was blocked.
    async fn decide_once(
        &mut self,
        attempts: Vec<Attempt>,
        give_up: &mut Vec<Attempt>,
    ) -> Result<Vec<Attempt>, RouterError> {
        let mut requests: BTreeMap<ShardId, Vec<DecideRequest>> = BTreeMap::new();
        let mut order: BTreeMap<ShardId, Vec<Attempt>> = BTreeMap::new();
        for attempt in attempts {
            requests.entry(attempt.decider).or_default().push(self.decide_request(&attempt));
            order.entry(attempt.decider).or_default().push(attempt);
        }
        let mut wave = Wave::default();
        for (shard, requests) in requests {
            wave.add(shard, Command::Decide(requests));
        }
        points::BEFORE_DECIDE.pass_async().await;
        let mut answers = self.send(wave).await?;
        points::DECIDED.pass_async().await;
        let mut again = Vec::new();
        for (shard, attempts) in order {
            let Some(Answer::Decided(decided)) = answers.take(shard) else { return Err(unexpected(shard)) };
            if decided.len() != attempts.len() {
                return Err(unexpected(shard));
            }
            for (attempt, decided) in attempts.into_iter().zip(decided) {
                match decided {
                    Decided::Blocked => again.push(attempt),
                    Decided::Refused { refusal, .. } if refusal.status == EventResult::INCOMPLETE => {
                        give_up.push(attempt);
                    }
                    // Routers expire nothing.
                    Decided::Aborted | Decided::Expired(_) => give_up.push(attempt),
                    Decided::Committed(commits) => self.committed(&attempt, commits),
                    Decided::Refused { refusal, burned_id } => {
                        let result = EventResult { status: refusal.status, timestamp: refusal.timestamp };
                        self.refuse(&attempt, usize::from(refusal.index), result);
                        // Those that hold are released; a failed id is to be remembered by everybody.
                        let told = if burned_id == 0 { &attempt.held } else { &attempt.participants };
                        let culprit = &self.events[self.units[attempt.unit].start + usize::from(refusal.index)];
                        // Where a retry will be checked, the failed id has to be known before the client is answered.
                        let homes = [culprit.homes.0, culprit.homes.1];
                        self.tell_first |= burned_id != 0 && !homes.contains(&attempt.decider);
                        self.end(&attempt, told, &Outcome::Released { burned_id });
                    }
                }
            }
        }
        Ok(again)
    }

    fn decide_request(&self, attempt: &Attempt) -> DecideRequest {
        let unit = &self.units[attempt.unit];
        let events = &self.events[unit.start..unit.start + unit.len];
        DecideRequest {
            txn: attempt.txn,
            participants: attempt.held.iter().copied().filter(|s| *s != attempt.decider).collect(),
            events: events.iter().zip(&attempt.amounts).map(|(e, amount)| (e.id(), *amount)).collect(),
            steps: self.steps(unit, attempt.decider, &attempt.amounts),
            refusals: attempt.refusals.clone(),
            prepared_at: attempt.prepared_at,
            clock: attempt.clock,
            commit_before: attempt.commit_before,
        }
    }

    fn committed(&mut self, attempt: &Attempt, commits: Vec<Commit>) {
        let unit = &self.units[attempt.unit];
        let slots = self.results[unit.start..].iter_mut().zip(&self.events[unit.start..]);
        for ((slot, event), commit) in slots.zip(&commits) {
            *slot = EventResult { status: EventResult::CREATED, timestamp: event.recorded_at(commit.timestamp) };
        }
        self.end(attempt, &attempt.held, &Outcome::Committed(commits));
    }

    fn refuse(&mut self, attempt: &Attempt, culprit: usize, result: EventResult) {
        let unit = &self.units[attempt.unit];
        let slots = unit.start..unit.start + unit.len;
        if unit.len == 1 {
            self.results[unit.start] = result;
            return;
        }
        let events = &self.events[slots.clone()];
        let steps: Vec<_> = events.iter().enumerate().filter_map(|(i, e)| e.step(e.homes.0, i, 0)).collect();
        for (slot, result) in self.results[slots].iter_mut().zip(chain_results(&steps, culprit, result)) {
            *slot = result;
        }
    }

    fn end(&mut self, attempt: &Attempt, told: &[ShardId], outcome: &Outcome) {
        let (decider, txn, outcome) = (attempt.decider, attempt.txn, Arc::new(outcome.clone()));
        let told = told.iter().filter(|s| **s != decider);
        self.ends.extend(told.map(|s| End { participant: *s, decider, txn, outcome: outcome.clone() }));
    }

    /// Gives attempts up: the decider first records that they never commit, then the holds are released. Returns the units
    /// that are to be tried again: all but those that the decider has committed after all. (A decide that was answered
    /// `blocked` may have reached it a second time.)
    async fn abort(&mut self, attempts: Vec<Attempt>) -> Result<Vec<usize>, RouterError> {
        let (held, mut again): (Vec<Attempt>, Vec<Attempt>) = attempts.into_iter().partition(|a| !a.held.is_empty());
        let mut by_decider: BTreeMap<ShardId, Vec<Attempt>> = BTreeMap::new();
        for attempt in held {
            by_decider.entry(attempt.decider).or_default().push(attempt);
        }
        let mut wave = Wave::default();
        for (shard, attempts) in &by_decider {
            let clock = attempts.iter().map(|a| a.clock).max().unwrap_or_default();
            wave.add(*shard, Command::Recover(true, clock, attempts.iter().map(|a| a.txn).collect()));
        }
        if !by_decider.is_empty() {
            points::BEFORE_ABORT.pass_async().await;
        }
        let mut answers = self.send(wave).await?;
        if !by_decider.is_empty() {
            points::ABORTED.pass_async().await;
        }
        for (shard, attempts) in by_decider {
            let Some(Answer::Outcomes(outcomes)) = answers.take(shard) else { return Err(unexpected(shard)) };
            if outcomes.len() != attempts.len() {
                return Err(unexpected(shard));
            }
            for (attempt, outcome) in attempts.into_iter().zip(outcomes) {
                match outcome {
                    Some(Outcome::Committed(commits)) => self.committed(&attempt, commits),
                    Some(released @ Outcome::Released { .. }) => {
                        self.end(&attempt, &attempt.held, &released);
                        again.push(attempt);
                    }
                    // Neither is an answer to what was asked.
                    Some(Outcome::Expired(_)) | None => return Err(unexpected(shard)),
                }
            }
        }
        Ok(again.into_iter().map(|attempt| attempt.unit).collect())
    }
}
