//! A transfer id succeeds at most once, an acknowledged one is never lost, a refused one is not there, and one that failed
//! for good never succeeds.

use std::collections::BTreeMap;

use crest_ledger::records::IdState;
use crest_ledger::{Account, AccountStatus, Timestamp, Transfer, TransferStatus as S};

use crate::history::{Outcome, Try};
use crate::truth::Truth;

pub(super) fn check(truth: &Truth, tries: &[Try<Transfer>], accounts: &[Try<Account>]) -> Vec<String> {
    let mut wrong: Vec<String> = Vec::new();
    for (id, transfers) in truth.by_id.iter().filter(|(_, t)| t.len() > 1) {
        wrong.push(format!("transfer {id:x} succeeded {} times: {transfers:?}", transfers.len()));
    }
    for (shard, id, entry) in truth.ids() {
        // A post that names no account may have failed on a shard that has nothing to do with it, when nobody knew yet where
        // its pending transfer is; that answer was never given.
        let here = |t: &Transfer| {
            [t.debit_account_id, t.credit_account_id].into_iter().any(|id| truth.map.shard_of(id) == shard)
        };
        if entry.state == IdState::Failed && truth.transfer(id).is_some_and(here) {
            wrong.push(format!("transfer {id:x} succeeded, but shard {shard} remembers that it failed"));
        }
    }
    let mut created: BTreeMap<u128, Timestamp> = BTreeMap::new();
    let mut maybe: BTreeMap<u128, bool> = BTreeMap::new();
    for t in tries {
        let Outcome::Done(results) = &t.outcome else {
            let unknown = t.outcome == Outcome::Unknown;
            t.events.iter().for_each(|e| *maybe.entry(e.id).or_default() |= unknown);
            continue;
        };
        if results.len() != t.events.len() {
            wrong.push(format!("{} events got {} results", t.events.len(), results.len()));
        }
        // A chain that is there already fails, too: its first event "exists", and the others failed with it.
        let exists = results.iter().any(|r| r.transfer_status().is_some_and(is_there));
        for (event, result) in t.events.iter().zip(results) {
            let there = truth.transfer(event.id);
            let Some(status) = result.transfer_status() else {
                wrong.push(format!("{event:?} got the result {result:?}"));
                continue;
            };
            let maybe = maybe.entry(event.id).or_default();
            if is_there(status) && t.events.iter().filter(|other| other.id == event.id).count() > 1 {
                // What it met may be an event of its own chain, which was undone with it.
                *maybe = true;
                continue;
            }
            *maybe |= status == S::Created || is_there(status) || exists && status == S::LinkedEventFailed;
            if status == S::Created
                && let Some(before) = created.insert(event.id, result.timestamp)
            {
                wrong.push(format!("{:x} was created twice: at {before} and {}", event.id, result.timestamp));
            }
            if (status == S::Created || is_there(status)) && there.map(|t| t.timestamp) != Some(result.timestamp) {
                wrong.push(format!("{event:?} was answered {result:?}, but there is {there:?}"));
            }
            if (status.is_transient() || status == S::IdAlreadyFailed) && there.is_some() {
                wrong.push(format!("{event:?} failed for good with {status}, but there is {there:?}"));
            }
        }
    }
    for (id, _) in maybe.iter().filter(|(_, maybe)| !**maybe) {
        wrong.extend(truth.transfer(*id).map(|t| format!("{t:?} was refused every time, and is there")));
    }
    wrong.extend(accounts.iter().flat_map(|t| of_accounts(truth, t)));
    wrong
}

fn is_there(status: S) -> bool {
    (S::ExistsWithDifferentFlags..=S::Exists).contains(&status)
}

fn of_accounts(truth: &Truth, t: &Try<Account>) -> Vec<String> {
    let Outcome::Done(results) = &t.outcome else { return Vec::new() };
    let wrong = t.events.iter().zip(results).filter(|(event, result)| {
        let there = truth.accounts.get(&event.id).map(|a| a.timestamp);
        result.account_status().is_none_or(AccountStatus::is_done) && there != Some(result.timestamp)
    });
    wrong.map(|(event, result)| format!("{event:?} was answered {result:?}, which is not so")).collect()
}
