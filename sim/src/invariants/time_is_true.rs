//! Where machines compare their clocks, no wall clock carries a shard's time away, and no reservation ends early.

use std::collections::BTreeMap;

use crest_ledger::{Transfer, TransferStatus};

use crate::history::{Outcome, Try};
use crate::truth::Truth;
use crate::world::{CLOCK_ERROR_NS as ERROR_NS, EPOCH_NS};

/// `now` is the virtual time at the end, ns.
pub(super) fn check(truth: &Truth, tries: &[Try<Transfer>], now: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let latest = truth.transfers.keys().next_back().map(|(at, _)| *at);
    if let Some(latest) = latest.filter(|latest| *latest > EPOCH_NS + now + ERROR_NS) {
        let ahead = (latest - EPOCH_NS - now) / 1_000_000;
        wrong.push(format!("a shard's time is {ahead} ms ahead of the true one"));
    }
    let mut reserved: BTreeMap<u128, (u64, u64)> = BTreeMap::new();
    for one in tries {
        for t in one.events.iter().filter(|t| t.timeout > 0) {
            let first = reserved.entry(t.id).or_insert((one.invoked, u64::from(t.timeout)));
            // What was sent under one id with several timeouts counts with the shortest.
            *first = (first.0.min(one.invoked), first.1.min(u64::from(t.timeout)));
        }
    }
    let expired = TransferStatus::PendingTransferExpired as u8;
    for one in tries {
        let Outcome::Done(results) = &one.outcome else { continue };
        assert_eq!(results.len(), one.events.len(), "every event has an answer");
        for (t, _) in one.events.iter().zip(results).filter(|(_, result)| result.status == expired) {
            let Some((invoked, timeout)) = reserved.get(&t.pending_id) else { continue };
            let earliest = invoked + timeout * 1_000_000_000;
            if one.answered + ERROR_NS < earliest {
                let early = (earliest - one.answered) / 1_000_000;
                wrong.push(format!("{t:?} was told that its reservation had expired, {early} ms early"));
            }
        }
    }
    wrong
}
