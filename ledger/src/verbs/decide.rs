//! Decide: the last agent checks its own side, moves its own money and records the decision, all in one log entry.
//!
//! This is the commit point. The last-agent form of two-phase commit is from Gray and Reuter, "Transaction Processing"
//! (1992), section 10.3: one participant need not vote, since its vote is the decision.

use super::{burn, burned_id, expire, try_event};
use crate::TransferStatus as S;
use crate::clock::Timestamp;
use crate::decisions::Decision;
use crate::limits::DECIDE_WINDOW_NS;
use crate::records::IdState;
use crate::tables::Tables;
use crate::txn::{Commit, Decided, Event, EventResult, Outcome, Refusal, ShardId, Step, TxnId, Verdict};

/// What the router tells the decider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecideRequest {
    /// The attempt.
    pub txn: TxnId,
    /// The other shards that hold or voted.
    pub participants: Vec<ShardId>,
    /// All events of the transaction: id, and the amount as far as the participants know it.
    pub events: Vec<(u128, u128)>,
    /// The decider's own steps, by index.
    pub steps: Vec<Step>,
    /// What participants refused.
    pub refusals: Vec<Refusal>,
    /// The smallest clock of the votes, ns; 0 when nobody voted.
    pub prepared_at: Timestamp,
    /// The largest clock of the votes, ns.
    pub clock: Timestamp,
    /// The smallest bound of the votes, ns.
    pub commit_before: Timestamp,
}

/// Decides. A repeated decide of a committed attempt answers the same while its decision is in the outbox; of an aborted
/// one, `Aborted`; a late one, past the decide window, `Aborted`.
pub fn decide(tables: &mut Tables, request: &DecideRequest) -> Decided {
    if let Some(decision) = tables.decisions().decision(&request.txn) {
        return match &decision.outcome {
            Outcome::Committed(commits) => Decided::Committed(commits.clone()),
            Outcome::Expired(at) => Decided::Expired(*at),
            Outcome::Released { .. } => Decided::Aborted,
        };
    }
    tables.observe(request.clock);
    let too_late = request.prepared_at.saturating_add(DECIDE_WINDOW_NS);
    let buried = tables.decisions().tombstone(&request.txn).is_some();
    if buried || request.prepared_at != 0 && tables.now() >= too_late {
        return Decided::Aborted;
    }
    if request.txn.is_expiry() {
        return expire::decide(tables, request.txn, &request.participants);
    }
    let own_hold = tables.close_hold(&request.txn);
    match attempt(tables, request) {
        Attempt::Commit(commits) => {
            let outcome = Outcome::Committed(commits.clone());
            let waiting_for = request.participants.clone();
            if !waiting_for.is_empty() {
                tables.record_decision(request.txn, Decision { decided_at: tables.now(), waiting_for, outcome });
            }
            Decided::Committed(commits)
        }
        Attempt::Refuse(refusal, burned_id) => {
            burn(tables, burned_id);
            tables.bury(request.txn, burned_id);
            Decided::Refused { refusal, burned_id }
        }
        Attempt::Block => {
            if let Some(hold) = own_hold {
                tables.open_hold(hold);
            }
            Decided::Blocked
        }
        Attempt::TooLate => {
            tables.bury(request.txn, 0);
            Decided::Aborted
        }
    }
}

enum Attempt {
    Commit(Vec<Commit>),
    Refuse(Refusal, u128),
    Block,
    /// What the participants hold no longer fits: another attempt may.
    TooLate,
}

fn attempt(tables: &mut Tables, request: &DecideRequest) -> Attempt {
    tables.begin();
    let mut commits = Vec::with_capacity(request.events.len());
    for (index, (id, amount)) in (0u16..).zip(&request.events) {
        let at = tables.tick();
        let step = request.steps.iter().find(|s| s.index == index);
        let mine = step.map(|step| try_event(tables, step, at));
        let elsewhere = step.is_none();
        let mut commit = Commit { timestamp: at, amount: *amount };
        let own = match mine {
            Some(Verdict::Blocked) => {
                tables.rollback();
                return Attempt::Block;
            }
            Some(Verdict::Accept(done)) => {
                let shrunk = done.amount != *amount && step.is_some_and(Step::balances);
                if shrunk && request.events.len() > 1 {
                    // The others reserved what follows from the larger amount.
                    tables.rollback();
                    return Attempt::TooLate;
                }
                commit = Commit { timestamp: done.timestamp, amount: done.amount };
                None
            }
            Some(Verdict::Refuse(r)) => Some(r),
            None => failed_before(tables, request, index, *id),
        };
        // The router that was told so first may have died before it told anybody.
        let tell_again = elsewhere && own.is_some();
        let others = request.refusals.iter().filter(|r| r.index == index).copied();
        if let Some(refusal) = combine(own.into_iter().chain(others)) {
            tables.rollback();
            return Attempt::Refuse(refusal, if tell_again { *id } else { burned_id(*id, refusal.status) });
        }
        commits.push(commit);
    }
    if tables.expiry_time(tables.now()) >= request.commit_before {
        tables.rollback();
        return Attempt::TooLate;
    }
    tables.keep();
    tables.note_chain(commits.iter().map(|commit| commit.timestamp));
    Attempt::Commit(commits)
}

/// Whether this shard has decided before that an event on other shards failed for good. They may not have heard of it when
/// they voted for this attempt, but another attempt's client may have.
fn failed_before(tables: &Tables, request: &DecideRequest, index: u16, id: u128) -> Option<Refusal> {
    // Only transfers fail for good, and accounts may have the same numbers. A single event is always one of this shard's own.
    let transfers = request.steps.iter().any(|step| matches!(step.event, Event::Transfer(_)));
    if !transfers || request.events.len() == 1 {
        return None;
    }
    let entry = tables.id(id).filter(|entry| entry.state == IdState::Failed)?;
    Some(Refusal { index, status: S::IdAlreadyFailed as u8, timestamp: entry.timestamp, ledger: 0 })
}

/// Puts what the decider and the participants say of one event together: the status that ranks first.
fn combine(all: impl Iterator<Item = Refusal>) -> Option<Refusal> {
    let (incomplete, all): (Vec<Refusal>, Vec<Refusal>) = all.partition(|r| r.status == EventResult::INCOMPLETE);
    let Some(best) = all.iter().min_by_key(|r| r.status).copied() else { return incomplete.first().copied() };
    let only_ledger = S::TransferMustHaveTheSameLedgerAsAccounts as u8;
    if best.status != only_ledger || best.ledger == 0 {
        return Some(best);
    }
    // One side's ledger differs from the transfer's. When the other side's differs in the same way, the two accounts agree
    // with each other; otherwise they do not, and that ranks first.
    let agree = all.len() == 2 && all.iter().all(|r| r.status == only_ledger && r.ledger == best.ledger);
    let status = if agree { only_ledger } else { S::AccountsMustHaveTheSameLedger as u8 };
    Some(Refusal { status, ..best })
}
