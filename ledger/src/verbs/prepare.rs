//! Prepare: reserve what one shard has to give to a transaction that another shard decides.

use super::{expire, try_event};
use crate::checks::resolve::pending_of;
use crate::clock::Timestamp;
use crate::holds::{HeldAccount, Hold};
use crate::records::Effect;
use crate::tables::Tables;
use crate::txn::{Event, ShardId, Step, TxnId, Verdict, Vote};
use crate::{Account, TransferFlags};

/// Checks the steps in order, each seeing the ones before; when nothing refuses, opens a hold and votes for it.
///
/// A longer prepare of the same attempt replaces its hold: that is how a chain with balancing transfers, whose amounts
/// are known one after the other, grows step by step. One that is no longer than the hold is a repeated message, or was
/// overtaken; the hold stands, since the decider may have relied on it already. A prepare that comes after the attempt ended
/// opens a hold that nobody finishes; it asks the decider at its deadline and is released.
pub fn prepare(tables: &mut Tables, txn: TxnId, decider: ShardId, steps: Vec<Step>) -> Vote {
    if let Some(vote) = repeated(tables, &txn, &steps) {
        return vote;
    }
    tables.close_hold(&txn);
    if txn.is_expiry() {
        return expire::prepare(tables, txn, decider);
    }
    let prepared_at = tables.tick();
    let trial = try_steps(tables, &steps);
    let (amounts, accounts, commit_before) = match trial {
        Verdict::Accept(found) => found,
        Verdict::Refuse(r) => return Vote::Refused(r),
        Verdict::Blocked => return Vote::Blocked,
    };
    let steps = steps.into_iter().zip(&amounts).map(|(step, amount)| Step { amount_max: *amount, ..step }).collect();
    let hold = Hold { txn, decider, prepared_at, steps, accounts };
    if !tables.holds().accepts(&hold) {
        return Vote::Blocked;
    }
    tables.open_hold(hold);
    Vote::Held { amounts, clock: tables.now(), commit_before }
}

/// The vote that was given to these steps before, if the attempt's hold has them all.
fn repeated(tables: &Tables, txn: &TxnId, steps: &[Step]) -> Option<Vote> {
    let held = tables.holds().get(txn)?.steps.get(..steps.len())?;
    let same = |(a, b): (&Step, &Step)| (a.index, a.sides, a.event) == (b.index, b.sides, b.event);
    if !held.iter().zip(steps).all(same) {
        return None;
    }
    let expiry = |step: &Step| match &step.event {
        Event::Transfer(t) if step.sides.debit() => pending_of(tables, t.pending_id_if_resolving())?.0.expires_at(),
        _ => None,
    };
    let commit_before = held.iter().filter_map(expiry).min().unwrap_or(Timestamp::MAX);
    Some(Vote::Held { amounts: held.iter().map(|s| s.amount_max).collect(), clock: tables.now(), commit_before })
}

type Trial = (Vec<u128>, Vec<HeldAccount>, Timestamp);

/// Tries the steps and undoes them: what is left is what has to be reserved for them.
fn try_steps(tables: &mut Tables, steps: &[Step]) -> Verdict<Trial> {
    tables.begin();
    let mut amounts = Vec::with_capacity(steps.len());
    let mut needs = Needs::default();
    let mut commit_before = Timestamp::MAX;
    let begun = tables.now();
    for step in steps {
        let at = tables.tick();
        match try_event(tables, step, at) {
            Verdict::Accept(done) => {
                amounts.push(done.amount);
                if resolves_older(tables, step, begun) {
                    commit_before = commit_before.min(done.commit_before);
                }
                needs.add(tables, step, done.timestamp);
            }
            Verdict::Refuse(r) => {
                tables.rollback();
                return Verdict::Refuse(r);
            }
            Verdict::Blocked => {
                tables.rollback();
                return Verdict::Blocked;
            }
        }
    }
    tables.rollback();
    Verdict::Accept((amounts, needs.accounts.into_iter().map(|n| n.held).collect(), commit_before))
}

/// Whether a step posts or voids what was reserved before these steps. What they reserve themselves begins when they are
/// decided, and its time with it: however far the decider's clock is ahead of this one, it is not over then.
fn resolves_older(tables: &Tables, step: &Step, begun: Timestamp) -> bool {
    let Event::Transfer(t) = &step.event else { return false };
    pending_of(tables, t.pending_id_if_resolving()).is_some_and(|(pending, _)| pending.timestamp <= begun)
}

/// What the steps so far need of each account.
#[derive(Default)]
struct Needs {
    accounts: Vec<Need>,
}

#[derive(Default)]
struct Need {
    held: HeldAccount,
    /// Sums of what moved `debits_pending + debits_posted − credits_posted` up and down so far, and the mirror image.
    debit_moves: (u128, u128),
    credit_moves: (u128, u128),
}

impl Needs {
    fn add(&mut self, tables: &Tables, step: &Step, at: Timestamp) {
        let Event::Transfer(t) = &step.event else { return };
        let done = tables.transfer_at(at).expect("the step was just tried").transfer;
        let pending = pending_of(tables, done.pending_id_if_resolving()).map(|(p, _)| p);
        for (here, id, balancing) in [
            (step.sides.debit(), done.debit_account_id, TransferFlags::BALANCING_DEBIT),
            (step.sides.credit(), done.credit_account_id, TransferFlags::BALANCING_CREDIT),
        ] {
            if here {
                let effect = Effect::of(&done, pending.as_ref(), id);
                // What balances an account moves what it has at the decision's timestamp: nothing may change that before.
                let alone = effect.closed.is_some() || t.flags.any(TransferFlags::CLOSING | balancing);
                self.of(id).add(&effect, alone);
            }
        }
    }

    fn of(&mut self, account_id: u128) -> &mut Need {
        let at = self.accounts.iter().position(|n| n.held.account_id == account_id).unwrap_or_else(|| {
            let held = HeldAccount { account_id, ..HeldAccount::default() };
            self.accounts.push(Need { held, ..Need::default() });
            self.accounts.len() - 1
        });
        &mut self.accounts[at]
    }
}

impl Need {
    fn add(&mut self, effect: &Effect, alone: bool) {
        let sums = |parts: [u128; 4]| {
            let a = Account {
                debits_pending: parts[0],
                debits_posted: parts[1],
                credits_pending: parts[2],
                credits_posted: parts[3],
                ..Account::default()
            };
            (a.debits_pending.saturating_add(a.debits_posted), a.credits_pending.saturating_add(a.credits_posted))
        };
        let (added, taken) = (sums(effect.added), sums(effect.taken));
        let held = &mut self.held;
        held.exclusive |= alone;
        held.debits = held.debits.saturating_add(added.0);
        held.credits = held.credits.saturating_add(added.1);
        (held.debit_need, held.debit_relief) =
            extremes(&mut self.debit_moves, (held.debit_need, held.debit_relief), added.0, taken.0, effect.added[3]);
        (held.credit_need, held.credit_relief) =
            extremes(&mut self.credit_moves, (held.credit_need, held.credit_relief), added.1, taken.1, effect.added[1]);
    }
}

/// Adds one step to the moves of a limited sum, and returns how far it has been above and could get below its start.
fn extremes(moves: &mut (u128, u128), so_far: (u128, u128), used: u128, freed: u128, room: u128) -> (u128, u128) {
    moves.0 = moves.0.saturating_add(used);
    moves.1 = moves.1.saturating_add(freed).saturating_add(room);
    (so_far.0.max(moves.0.saturating_sub(moves.1)), moves.1)
}
