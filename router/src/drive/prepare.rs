//! The first phase: everybody but the decider reserves and votes.

use std::collections::BTreeMap;

use crest_ledger::Timestamp;
use crest_ledger::TransferFlags;
use crest_ledger::command::{Answer, Command, PrepareRequest};
use crest_ledger::txn::{Event, EventResult, Refusal, ShardId, Step, TxnId, Vote};

use super::Drive;
use super::round::{Answers, Wave, unexpected};
use crate::error::RouterError;
use crate::place::{Spread, Unit};
use crate::points;

/// One attempt at one unit.
pub(super) struct Attempt {
    pub(super) unit: usize,
    pub(super) txn: TxnId,
    pub(super) decider: ShardId,
    pub(super) participants: Vec<ShardId>,
    /// What moves in each event, as far as the votes tell.
    pub(super) amounts: Vec<u128>,
    pub(super) refusals: Vec<Refusal>,
    /// Who has an open hold.
    pub(super) held: Vec<ShardId>,
    pub(super) blocked: bool,
    pub(super) prepared_at: Timestamp,
    pub(super) clock: Timestamp,
    pub(super) commit_before: Timestamp,
}

impl Attempt {
    pub(super) fn new(drive: &Drive<'_>, at: usize) -> Self {
        let unit = &drive.units[at];
        let events = &drive.events[unit.start..unit.start + unit.len];
        let Spread::Cross { decider, participants, .. } = &unit.spread else {
            unreachable!("only cross-shard units are attempted")
        };
        let attempt = drive.driver.random.below(TxnId::EXPIRY);
        Self {
            unit: at,
            txn: TxnId { first_id: events[0].id(), attempt },
            decider: *decider,
            participants: participants.clone(),
            amounts: events.iter().map(|e| e.amount()).collect(),
            refusals: Vec::new(),
            held: Vec::new(),
            blocked: false,
            prepared_at: 0,
            clock: 0,
            commit_before: Timestamp::MAX,
        }
    }

    /// Takes a vote in; `steps` are those that it answers.
    fn vote(&mut self, shard: ShardId, steps: &[u16], vote: Vote) {
        match vote {
            Vote::Held { amounts, clock, commit_before } => {
                for (index, amount) in steps.iter().zip(amounts) {
                    let known = &mut self.amounts[usize::from(*index)];
                    *known = amount.min(*known);
                }
                if !self.held.contains(&shard) {
                    self.held.push(shard);
                }
                self.prepared_at = if self.prepared_at == 0 { clock } else { self.prepared_at.min(clock) };
                self.clock = self.clock.max(clock);
                self.commit_before = self.commit_before.min(commit_before);
            }
            Vote::Refused(refusal) => {
                self.held.retain(|s| *s != shard);
                if shard == self.decider {
                    // It will find the reason again when it decides; until then it must not commit.
                    self.refusals.push(Refusal { status: EventResult::INCOMPLETE, ..refusal });
                } else {
                    self.refusals.push(refusal);
                }
            }
            Vote::Blocked => {
                self.held.retain(|s| *s != shard);
                self.blocked = true;
            }
        }
    }
}

impl Drive<'_> {
    /// What `shard` has to do for a unit.
    pub(super) fn steps(&self, unit: &Unit, shard: ShardId, amounts: &[u128]) -> Vec<Step> {
        let events = &self.events[unit.start..unit.start + unit.len];
        let steps = events.iter().zip(amounts).enumerate();
        steps.filter_map(|(index, (event, amount))| event.step(shard, index, *amount)).collect()
    }

    pub(super) fn add_prepares(&self, attempts: &[Attempt], wave: &mut Wave) {
        let mut prepares: BTreeMap<ShardId, Vec<PrepareRequest>> = BTreeMap::new();
        for attempt in attempts {
            for shard in &attempt.participants {
                let steps = self.steps(&self.units[attempt.unit], *shard, &attempt.amounts);
                let request = PrepareRequest { txn: attempt.txn, decider: attempt.decider, steps };
                prepares.entry(*shard).or_default().push(request);
            }
        }
        for (shard, requests) in prepares {
            wave.add(shard, Command::Prepare(requests));
        }
    }

    pub(super) fn take_votes(&self, attempts: &mut [Attempt], answers: &mut Answers) -> Result<(), RouterError> {
        let mut votes: BTreeMap<ShardId, std::vec::IntoIter<Vote>> = BTreeMap::new();
        for attempt in attempts {
            let unit = &self.units[attempt.unit];
            for shard in attempt.participants.clone() {
                if let std::collections::btree_map::Entry::Vacant(entry) = votes.entry(shard) {
                    let Some(Answer::Votes(list)) = answers.take(shard) else { return Err(unexpected(shard)) };
                    entry.insert(list.into_iter());
                }
                let vote = votes.get_mut(&shard).and_then(Iterator::next).ok_or_else(|| unexpected(shard))?;
                let indexes: Vec<u16> =
                    self.steps(unit, shard, &attempt.amounts).iter().map(|step| step.index).collect();
                attempt.vote(shard, &indexes, vote);
            }
        }
        Ok(())
    }

    /// A chain with balancing transfers: what one event moves is known only when the ones before are reserved, so the
    /// shards are asked event by event, the decider too.
    pub(super) async fn prepare_stepwise(&mut self, at: usize) -> Result<Attempt, RouterError> {
        let mut attempt = Attempt::new(self, at);
        let unit = self.units[at].clone();
        for index in 0..unit.len {
            for shard in self.asked_in_order(&unit, index) {
                let mut steps = self.steps(&unit, shard, &attempt.amounts);
                steps.retain(|s| usize::from(s.index) <= index);
                let indexes: Vec<u16> = steps.iter().map(|s| s.index).collect();
                let mut wave = Wave::default();
                let request = PrepareRequest { txn: attempt.txn, decider: attempt.decider, steps };
                wave.add(shard, Command::Prepare(vec![request]));
                let mut answers = self.send(wave).await?;
                let Some(Answer::Votes(votes)) = answers.take(shard) else { return Err(unexpected(shard)) };
                let vote = votes.into_iter().next().ok_or_else(|| unexpected(shard))?;
                let built_on = attempt.amounts[..index].to_vec();
                attempt.vote(shard, &indexes, vote);
                // An earlier amount that shrinks now was already built on elsewhere.
                attempt.blocked |= attempt.amounts[..index] != built_on[..];
            }
            if attempt.blocked || !attempt.refusals.is_empty() {
                break;
            }
            points::STEP_PREPARED.pass_async().await;
        }
        Ok(attempt)
    }

    /// The shards of one event, those first that say how much moves.
    fn asked_in_order(&self, unit: &Unit, index: usize) -> Vec<ShardId> {
        let event = &self.events[unit.start + index];
        let credit_first = match &event.event {
            Event::Transfer(t) => t.flags.0 & TransferFlags::BALANCING == TransferFlags::BALANCING_CREDIT,
            Event::Account(_) => false,
        };
        let (first, second) =
            if credit_first { (event.homes.1, event.homes.0) } else { (event.homes.0, event.homes.1) };
        if first == second { vec![first] } else { vec![first, second] }
    }
}
