//! A refusal was right at its instant: no answer is given because of what was in doubt then.

use crest_ledger::txn::EventResult;
use crest_ledger::{AccountFlags as A, Transfer, TransferFlags as F, TransferStatus as S};

use crate::history::{Outcome, Try};
use crate::replay::{Fate, Probe, State};
use crate::workload::is_reused;

/// What has to be true at the instants of all refusals that the state was the reason of.
pub(super) fn probes(tries: &[Try<Transfer>]) -> Vec<Probe<'_>> {
    let mut probes = Vec::new();
    for t in tries {
        let Outcome::Done(results) = &t.outcome else { continue };
        let mut linked = false;
        for (event, result) in t.events.iter().zip(results) {
            // Inside a chain the state is what its undone events made of it.
            // Who posts what its own request tries to make between several accounts is told by a shard of one of the tries,
            // whose clock means nothing for the others.
            let of_several = event.resolves() && is_reused(&t.events, event.pending_id);
            if !linked && !of_several && result.transfer_status().is_some_and(depends_on_state) {
                probes.push(probe(event, *result));
            }
            linked = event.flags.any(F::LINKED);
        }
    }
    probes
}

fn depends_on_state(status: S) -> bool {
    let resolved = [S::PendingTransferAlreadyPosted, S::PendingTransferAlreadyVoided, S::PendingTransferExpired];
    status.is_transient() || resolved.contains(&status)
}

fn probe(event: &Transfer, result: EventResult) -> Probe<'_> {
    Probe {
        at: result.timestamp,
        look: Box::new(move |state| {
            let status = result.transfer_status().unwrap_or(S::Created);
            if is_right(state, event, status, result.timestamp) {
                return Ok(());
            }
            let accounts = [event.debit_account_id, event.credit_account_id].map(|id| state.accounts.get(&id));
            Err(format!("{event:?} was refused with {result:?} ({status}), but then there was {accounts:?}"))
        }),
    }
}

fn is_right(state: &State, event: &Transfer, status: S, at: u64) -> bool {
    let pending = state.transfers.get(&event.pending_id);
    let named = if event.resolves() { pending.unwrap_or(event) } else { event };
    let (debit, credit) = (state.accounts.get(&named.debit_account_id), state.accounts.get(&named.credit_account_id));
    let fate = state.fates.get(&event.pending_id);
    match status {
        S::DebitAccountNotFound => debit.is_none(),
        S::CreditAccountNotFound => credit.is_none(),
        // Who does not name both accounts may be told by shards that have nothing to do with it, and whose clocks mean nothing
        // for it. And what was imported later is dated back.
        S::PendingTransferNotFound => pending.is_none_or(|pending| {
            let named = (event.debit_account_id, event.credit_account_id);
            pending.flags.any(F::IMPORTED) || named != (pending.debit_account_id, pending.credit_account_id)
        }),
        S::DebitAccountAlreadyClosed => debit.is_some_and(|a| a.flags.any(A::CLOSED)),
        S::CreditAccountAlreadyClosed => credit.is_some_and(|a| a.flags.any(A::CLOSED)),
        S::ExceedsCredits => {
            debit.is_some_and(|a| a.debits_pending + a.debits_posted + event.amount > a.credits_posted)
        }
        S::ExceedsDebits => {
            credit.is_some_and(|a| a.credits_pending + a.credits_posted + event.amount > a.debits_posted)
        }
        S::PendingTransferAlreadyPosted => fate == Some(&Fate::Posted),
        S::PendingTransferAlreadyVoided => fate == Some(&Fate::Voided),
        S::PendingTransferExpired => {
            fate == Some(&Fate::Expired) || pending.and_then(Transfer::expires_at).is_some_and(|e| e <= at)
        }
        _ => true,
    }
}
