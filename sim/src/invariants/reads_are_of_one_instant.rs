//! A read shows the state of one instant, with everything in it that was acknowledged before it began, and in the middle of
//! no chain.

use std::collections::BTreeMap;

use crest_ledger::{AccountFlags, Timestamp, Transfer, TransferFlags, TransferStatus};

use super::chains_are_whole::chains;
use crate::history::{Outcome, Read, Try};
use crate::replay::{Probe, State, balances};
use crate::truth::{Truth, is_expiry};

/// Balances that were read have to be those of their instant.
pub(super) fn probes<'a>(_tries: &'a [Try<Transfer>], reads: &'a [Read]) -> Vec<Probe<'a>> {
    let of_accounts = reads.iter().filter_map(|read| match read {
        Read::Accounts { ids, found, at, .. } | Read::AtInstant { ids, found, at } => Some((ids, found, *at)),
        _ => None,
    });
    let probe = |(ids, found, at): (&'a Vec<u128>, &'a Vec<crest_ledger::Account>, Timestamp)| Probe {
        at,
        look: Box::new(move |state: &State| {
            for id in ids {
                let (read, was) = (found.iter().find(|a| a.id == *id), state.accounts.get(id));
                let read_balances = read.map(|a| (balances(a), a.flags));
                if read_balances != was.map(|a| (balances(a), a.flags)) {
                    return Err(format!("a read at {at} shows {read:?}, but there was {was:?}"));
                }
            }
            Ok(())
        }),
    };
    of_accounts.map(probe).collect()
}

/// Lists are what their account's history was, and nothing that was acknowledged before a read is missing in it.
pub(super) fn check(truth: &Truth, last: &State, tries: &[Try<Transfer>], reads: &[Read]) -> Vec<String> {
    let acknowledged = acknowledged(tries);
    let mut wrong = cut_chains(truth, tries, reads);
    for read in reads {
        let result = match read {
            // It may be of any time: its probe has seen that it is of its own.
            Read::AtInstant { .. } => None,
            Read::Accounts { invoked, ids, at, .. } => {
                let touches = |t: &Transfer| ids.contains(&t.debit_account_id) || ids.contains(&t.credit_account_id);
                let missing = before(&acknowledged, *invoked)
                    .find(|(id, (_, timestamp))| timestamp > at && truth.transfer(**id).is_some_and(touches));
                missing.map(|missing| format!("a read at {at} is older than {missing:?}"))
            }
            Read::Transfers { invoked, ids, found } => {
                let missing = before(&acknowledged, *invoked)
                    .find(|(id, _)| ids.contains(id) && found.iter().all(|t| t.id != **id));
                let other = found.iter().find(|t| truth.transfer(t.id) != Some(t));
                missing
                    .map(|missing| format!("{missing:?} was not found"))
                    .or(other.map(|other| format!("{other:?} was found, which is not so")))
            }
            Read::List { invoked, account_id, found } => of_list(truth, *account_id, found).or_else(|| {
                let touches = |t: &Transfer| [t.debit_account_id, t.credit_account_id].contains(account_id);
                let missing = before(&acknowledged, *invoked)
                    .find(|(id, _)| truth.transfer(**id).is_some_and(touches) && found.iter().all(|t| t.id != **id));
                missing.map(|missing| format!("{missing:?} is not in the list of {account_id:x}"))
            }),
            Read::Balances { account_id, found } => {
                let keeps = truth.accounts.get(account_id).is_some_and(|a| a.flags.any(AccountFlags::HISTORY));
                let other = found.iter().find(|b| {
                    let row = [b.debits_pending, b.debits_posted, b.credits_pending, b.credits_posted];
                    !keeps || last.rows.get(&(*account_id, b.timestamp)) != Some(&row)
                });
                other.map(|other| format!("the balances of {account_id:x} show {other:?}, which was never so"))
            }
        };
        wrong.extend(result);
    }
    wrong
}

/// Reads that show one event of a chain and not another one, though both touch an account that was read.
fn cut_chains(truth: &Truth, tries: &[Try<Transfer>], reads: &[Read]) -> Vec<String> {
    let whole = chains(tries).into_iter().filter_map(|chain| {
        let events: Option<Vec<&Transfer>> = chain.iter().map(|e| truth.transfer(e.id)).collect();
        events.filter(|events| events.len() > 1 && !events.iter().any(|e| e.flags.any(TransferFlags::IMPORTED)))
    });
    let whole: Vec<Vec<&Transfer>> = whole.collect();
    let mut wrong = Vec::new();
    for read in reads {
        let (at, ids) = match read {
            Read::Accounts { at, ids, .. } | Read::AtInstant { at, ids, .. } => (*at, ids.as_slice()),
            Read::List { account_id, found, .. } => {
                (found.last().map_or(0, |t| t.timestamp), std::slice::from_ref(account_id))
            }
            _ => continue,
        };
        let touched = |t: &&&Transfer| ids.contains(&t.debit_account_id) || ids.contains(&t.credit_account_id);
        for chain in &whole {
            let shown = chain.iter().filter(touched).filter(|t| t.timestamp <= at).count();
            if shown > 0 && shown < chain.iter().filter(touched).count() {
                wrong.push(format!("a read at {at} of {ids:x?} is in the middle of {chain:?}"));
            }
        }
    }
    wrong
}

/// When each created transfer was acknowledged first (virtual ns), and its timestamp.
fn acknowledged(tries: &[Try<Transfer>]) -> BTreeMap<u128, (u64, Timestamp)> {
    let mut all = BTreeMap::new();
    for t in tries {
        let Outcome::Done(results) = &t.outcome else { continue };
        for (event, result) in t.events.iter().zip(results) {
            // An event that meets itself in its own chain "exists", and is undone with the chain.
            let once = t.events.iter().filter(|other| other.id == event.id).count() == 1;
            if once && result.transfer_status().is_some_and(TransferStatus::is_done) {
                all.entry(event.id).or_insert((t.answered, result.timestamp));
            }
        }
    }
    all
}

fn before(all: &BTreeMap<u128, (u64, Timestamp)>, invoked: u64) -> impl Iterator<Item = (&u128, &(u64, Timestamp))> {
    all.iter().filter(move |(_, (answered, _))| *answered < invoked)
}

/// A list is the beginning of what the account's list is at the end: nothing appears behind it.
fn of_list(truth: &Truth, account_id: u128, found: &[Transfer]) -> Option<String> {
    let newest = found.last().map_or(0, |t| t.timestamp);
    let expected: Vec<&Transfer> = truth
        .transfers
        .range(..=(newest, u128::MAX))
        .map(|(_, (t, _))| t)
        .filter(|t| !is_expiry(t) && [t.debit_account_id, t.credit_account_id].contains(&account_id))
        .collect();
    let same = expected.len() == found.len() && expected.iter().zip(found).all(|(a, b)| *a == b);
    (!same).then(|| format!("the list of {account_id:x} has {found:?}, but at the end it begins with {expected:?}"))
}
