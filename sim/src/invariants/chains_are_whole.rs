//! A linked chain happens as a whole or not at all.

use std::collections::BTreeMap;

use crest_ledger::{Transfer, TransferFlags};

use crate::history::Try;
use crate::truth::Truth;

pub(super) fn check(truth: &Truth, tries: &[Try<Transfer>]) -> Vec<String> {
    let mut wrong: Vec<String> = chains(tries)
        .into_iter()
        .map(|chain| (chain, chain.iter().filter(|e| truth.transfer(e.id).is_some()).count()))
        .filter(|(chain, there)| *there != 0 && *there != chain.len())
        .map(|(chain, there)| format!("{there} of {} events of {chain:?}", chain.len()))
        .collect();
    wrong.dedup();
    wrong
}

/// The chains that were sent, each try's again, and single events likewise; only those that have no id in common with others.
pub(super) fn chains(tries: &[Try<Transfer>]) -> Vec<&[Transfer]> {
    // An id that was sent more than once, in this chain or elsewhere, tells nothing of this chain.
    let mut sent: BTreeMap<u128, BTreeMap<u64, u32>> = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for t in tries.iter().filter(|t| seen.insert(t.request)) {
        for event in &t.events {
            *sent.entry(event.id).or_default().entry(t.request).or_default() += 1;
        }
    }
    let once = |id: u128| sent.get(&id).is_some_and(|by| by.len() == 1 && by.values().all(|n| *n == 1));
    tries
        .iter()
        .flat_map(|t| t.events.split_inclusive(|e| !e.flags.any(TransferFlags::LINKED)))
        .filter(|chain| chain.iter().all(|e| once(e.id)))
        .collect()
}
