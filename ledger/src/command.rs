//! Commands: what the log holds and the ledger applies, and their answers.

use crate::clock::Timestamp;
use crate::needs::Needs;
use crate::tables::Tables;
use crate::txn::{Commit, Decided, EventResult, Outcome, Refusal, ShardId, Step, TxnId, Vote};
use crate::verbs;
pub use crate::verbs::decide::DecideRequest;
pub use crate::verbs::resolve::{ResolveRequest, Resolved};

/// A prepare of one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrepareRequest {
    /// The attempt.
    pub txn: TxnId,
    /// Who decides.
    pub decider: ShardId,
    /// This shard's part, by index.
    pub steps: Vec<Step>,
}

/// What changes the state of a shard. One message carries many transactions of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Local events, in order: [`verbs::create`].
    Create(Vec<Step>),
    /// [`verbs::prepare`].
    Prepare(Vec<PrepareRequest>),
    /// [`verbs::decide`].
    Decide(Vec<DecideRequest>),
    /// [`verbs::finish`].
    Finish(Vec<(TxnId, Outcome)>),
    /// A participant has finished these: they may leave the outbox.
    Acknowledge(ShardId, Vec<TxnId>),
    /// [`verbs::recover`]; with `true`, undecided attempts are aborted. The time is the asking shard's clock, above all
    /// its prepares, ns: a tombstone is remembered from there on, so it outlives every decide that could still commit.
    Recover(bool, Timestamp, Vec<TxnId>),
    /// [`verbs::expire`]: pending transfers between accounts of this shard that are due.
    Expire(Vec<u128>),
    /// Remember that these transfer ids failed with a transient status.
    Burn(Vec<u128>),
    /// [`verbs::resolve`].
    Resolve(ResolveRequest),
    /// Moves the shard's time to at least this one, ns, however far ahead that is: an operator has found another shard's there.
    AdvanceTime(Timestamp),
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To `Create`: one for each step.
    Results(Vec<EventResult>),
    /// To `Prepare`: one for each transaction.
    Votes(Vec<Vote>),
    /// To `Decide`: one for each transaction.
    Decided(Vec<Decided>),
    /// To `Recover`: one for each attempt, as [`verbs::recover::recover_all`] says.
    Outcomes(Vec<Option<Outcome>>),
    /// To `Finish`: one for each transaction, false when it has to be sent again later. To `Burn`: one for each id, false
    /// when it is not remembered as failed, since it has succeeded.
    Finished(Vec<bool>),
    /// To `Resolve`.
    Resolved(Resolved),
    /// To all others.
    Done,
}

impl Answer {
    /// The latest time in it, ns: whoever has heard it may have caused what comes later. 0 when there is none.
    pub fn latest_time(&self) -> Timestamp {
        let refused = |refusal: &Refusal| refusal.timestamp;
        match self {
            Self::Results(results) => results.iter().map(|result| result.timestamp).max(),
            Self::Votes(votes) => votes
                .iter()
                .map(|vote| match vote {
                    Vote::Held { clock, .. } => *clock,
                    Vote::Refused(refusal) => refused(refusal),
                    Vote::Blocked => 0,
                })
                .max(),
            Self::Decided(decided) => decided
                .iter()
                .map(|decided| match decided {
                    Decided::Committed(commits) => latest_commit(commits),
                    Decided::Refused { refusal, .. } => refused(refusal),
                    Decided::Expired(at) => *at,
                    Decided::Blocked | Decided::Aborted => 0,
                })
                .max(),
            Self::Outcomes(outcomes) => outcomes.iter().flatten().map(latest_of).max(),
            Self::Resolved(resolved) => Some(latest_of(&resolved.outcome)),
            Self::Finished(_) | Self::Done => None,
        }
        .unwrap_or(0)
    }
}

fn latest_commit(commits: &[Commit]) -> Timestamp {
    commits.iter().map(|commit| commit.timestamp).max().unwrap_or(0)
}

fn latest_of(outcome: &Outcome) -> Timestamp {
    match outcome {
        Outcome::Committed(commits) => latest_commit(commits),
        Outcome::Expired(at) => *at,
        Outcome::Released { .. } => 0,
    }
}

impl Command {
    /// Names the records that the command touches and that are not loaded. The shell calls it again after loading, until
    /// nothing is missing: what some records say leads to others.
    pub fn needs(&self, tables: &Tables, needs: &mut Needs) {
        match self {
            Self::Create(steps) => needs.steps(tables, steps),
            Self::Prepare(requests) => {
                for r in requests {
                    needs.steps(tables, &r.steps);
                    needs.expiry(tables, &r.txn);
                }
            }
            Self::Decide(requests) => {
                for r in requests {
                    needs.expiry(tables, &r.txn);
                    needs.steps(tables, &r.steps);
                    // The failed ids of a chain are remembered here, whichever shards its events are on.
                    if r.events.len() > 1 || !r.refusals.is_empty() {
                        r.events.iter().for_each(|(id, _)| needs.burn(tables, *id));
                    }
                }
            }
            Self::Finish(ends) => ends.iter().for_each(|(txn, outcome)| needs.finish(tables, txn, outcome)),
            Self::Expire(due) => needs.expire(tables, due),
            Self::Burn(ids) => ids.iter().for_each(|id| needs.burn(tables, *id)),
            Self::Resolve(request) => needs.resolve(tables, request),
            Self::Acknowledge(..) | Self::Recover(..) | Self::AdvanceTime(_) => {}
        }
    }

    /// Applies the command. `at` is the leader's time when it was proposed, ns; the shard's clock follows it.
    ///
    /// # Panics
    /// When a record that it touches was never loaded.
    pub fn apply(self, tables: &mut Tables, at: Timestamp) -> Answer {
        tables.observe(at);
        match self {
            Self::Create(steps) => Answer::Results(verbs::create::create(tables, &steps)),
            Self::Prepare(requests) => {
                let vote = |r: PrepareRequest| verbs::prepare::prepare(tables, r.txn, r.decider, r.steps);
                Answer::Votes(requests.into_iter().map(vote).collect())
            }
            Self::Decide(requests) => {
                Answer::Decided(requests.iter().map(|r| verbs::decide::decide(tables, r)).collect())
            }
            Self::Finish(ends) => {
                let finish = |(txn, outcome): &_| verbs::finish::finish(tables, txn, outcome);
                Answer::Finished(ends.iter().map(finish).collect())
            }
            Self::Acknowledge(shard, txns) => {
                txns.iter().for_each(|txn| verbs::finish::acknowledge(tables, txn, shard));
                Answer::Done
            }
            Self::Recover(abort, asked_at, txns) => {
                tables.observe(asked_at);
                Answer::Outcomes(verbs::recover::recover_all(tables, &txns, abort))
            }
            Self::Expire(due) => {
                verbs::expire::expire(tables, &due);
                Answer::Done
            }
            Self::Burn(ids) => {
                Answer::Finished(ids.into_iter().map(|id| verbs::burn_unless_done(tables, id)).collect())
            }
            Self::Resolve(request) => Answer::Resolved(verbs::resolve::resolve(tables, request)),
            Self::AdvanceTime(to) => {
                tables.observe(to);
                Answer::Done
            }
        }
    }

    /// The latest time in it that comes from another shard's clock, ns; 0 when there is none. The shard's clock will follow
    /// it, so the shell refuses what is too far ahead before it is logged. Not that of `AdvanceTime`, which is for that very case.
    pub fn latest_time(&self) -> Timestamp {
        match self {
            Self::Decide(requests) => requests.iter().map(|r| r.clock.max(r.prepared_at)).max().unwrap_or(0),
            Self::Finish(ends) => ends.iter().map(|(_, outcome)| latest_of(outcome)).max().unwrap_or(0),
            Self::Recover(_, at, _) => *at,
            Self::Resolve(request) => request.asked_at,
            _ => 0,
        }
    }

    /// Whether what it creates are accounts: status numbers mean another thing then.
    pub fn creates_accounts(&self) -> bool {
        let account = |step: &Step| matches!(step.event, crate::txn::Event::Account(_));
        match self {
            Self::Create(steps) => steps.first().is_some_and(account),
            Self::Decide(requests) => requests.iter().flat_map(|r| &r.steps).next().is_some_and(account),
            _ => false,
        }
    }

    /// The steps that it carries; none, when it only names attempts or ids.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        let (create, prepare, decide): (&[Step], &[PrepareRequest], &[DecideRequest]) = match self {
            Self::Create(steps) => (steps, &[], &[]),
            Self::Prepare(requests) => (&[], requests, &[]),
            Self::Decide(requests) => (&[], &[], requests),
            _ => (&[], &[], &[]),
        };
        let (prepare, decide) = (prepare.iter().flat_map(|r| &r.steps), decide.iter().flat_map(|r| &r.steps));
        create.iter().chain(prepare).chain(decide)
    }

    /// The name for metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Prepare(_) => "prepare",
            Self::Decide(_) => "decide",
            Self::Finish(_) => "finish",
            Self::Acknowledge(..) => "acknowledge",
            Self::Recover(..) => "recover",
            Self::Expire(_) => "expire",
            Self::Burn(_) => "burn",
            Self::Resolve(_) => "resolve",
            Self::AdvanceTime(_) => "advance_time",
        }
    }

    /// How many events, transactions or ids it carries: what batch limits count. A transaction without events of its own, as an expiry
    /// is, counts as one.
    pub fn events(&self) -> usize {
        match self {
            Self::Create(steps) => steps.len(),
            Self::Prepare(r) => r.iter().map(|r| r.steps.len().max(1)).sum(),
            Self::Decide(r) => r.iter().map(|r| r.events.len().max(1)).sum(),
            Self::Finish(v) => v.iter().map(|(_, outcome)| outcome.events()).sum(),
            Self::Acknowledge(_, v) | Self::Recover(_, _, v) => v.len(),
            Self::Expire(v) => v.len(),
            Self::Burn(v) => v.len(),
            Self::Resolve(_) | Self::AdvanceTime(_) => 1,
        }
    }
}
