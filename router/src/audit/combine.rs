//! The parts of all shards as one: counts and totals are added, and halves that should be the same are compared.

use std::collections::{BTreeMap, BTreeSet};

use crest_ledger::Timestamp;
use crest_ledger::finding::{Field, Finding, FindingKind};
use crest_ledger::txn::ShardId;
use crest_ledger::wire::ShardAudit;

use super::Audit;

/// Two shards whose halves of the transfers from the one to the other differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) payer: ShardId,
    pub(super) payee: ShardId,
    /// How many halves the payers' shard has, and the payees'.
    pub(super) counts: [u64; 2],
}

/// Adds the parts up; the totals are not compared yet. A shard that can't be read is no half of any pair.
pub(super) fn combine(at: Timestamp, parts: Vec<(ShardId, ShardAudit)>) -> (Audit, Vec<Pair>) {
    let mut audit = Audit { at, ..Audit::default() };
    let mut halves: BTreeMap<(ShardId, ShardId), [(u64, u128); 2]> = BTreeMap::new();
    let mut damaged = BTreeSet::new();
    for (shard, part) in parts {
        audit.accounts += part.accounts;
        audit.transfers += part.transfers;
        audit.cross_shard += part.cross_shard;
        audit.rows += part.rows;
        audit.left_out += part.left_out;
        if part.findings.iter().any(|finding| finding.kind == FindingKind::StoreDamaged) {
            damaged.insert(shard);
        }
        audit.findings.extend(part.findings);
        for (ledger, sums, accounts) in part.totals {
            let total = audit.totals.entry(ledger).or_default();
            total.1 += accounts;
            for (sum, add) in total.0.iter_mut().zip(sums) {
                *sum = sum.wrapping_add(add);
            }
        }
        for (payer_here, other, count, sum) in part.halves {
            let pair = if payer_here == 1 { (shard, other) } else { (other, shard) };
            halves.entry(pair).or_default()[usize::from(payer_here != 1)] = (count, sum);
        }
    }
    let differing = halves.into_iter().filter(|((payer, payee), [debits, credits])| {
        debits != credits && !damaged.contains(payer) && !damaged.contains(payee)
    });
    let pair = |((payer, payee), [debits, credits]): ((ShardId, ShardId), [(u64, u128); 2])| Pair {
        payer,
        payee,
        counts: [debits.0, credits.0],
    };
    (audit, differing.map(pair).collect())
}

/// Compares the totals: on each ledger number, as much is debited as credited. Without all shards they say nothing.
pub(super) fn totals(audit: &mut Audit) {
    if audit.findings.iter().any(|finding| finding.kind == FindingKind::StoreDamaged) {
        return;
    }
    for (ledger, (sums, _)) in &audit.totals {
        let [debits_pending, debits_posted, credits_pending, credits_posted] = *sums;
        for (field, debits, credits) in [
            (Field::DebitsPosted, debits_posted, credits_posted),
            (Field::DebitsPending, debits_pending, credits_pending),
        ] {
            if debits != credits {
                let finding = Finding::new(FindingKind::TotalsDiffer).differs(field, debits, credits);
                audit.findings.push(Finding { ledger: *ledger, ..finding });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(totals: [u128; 4], halves: Vec<(u8, u32, u64, u128)>) -> ShardAudit {
        ShardAudit { totals: vec![(1, totals, 1)], halves, ..ShardAudit::default() }
    }

    fn found(parts: Vec<(ShardId, ShardAudit)>) -> (Vec<String>, Vec<Pair>) {
        let (mut audit, pairs) = combine(5, parts);
        totals(&mut audit);
        (audit.findings.iter().map(ToString::to_string).collect(), pairs)
    }

    #[test]
    fn totals_that_agree_only_together_hold() {
        let parts = vec![(0, part([0, 7, 0, 0], vec![(1, 1, 1, 99)])), (1, part([0, 0, 0, 7], vec![(0, 0, 1, 99)]))];
        assert_eq!(found(parts), (vec![], vec![]));
    }

    #[test]
    fn money_that_is_missing_is_found() {
        let (texts, _) = found(vec![(0, part([2, 7, 3, 6], vec![]))]);
        let expected = [
            "ledger 1: 7 was debited, but 6 credited: 1 too much",
            "ledger 1: 2 is pending as debits, but 3 as credits: 1 too little",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn a_half_that_is_missing_or_differs_makes_a_pair() {
        let one = |other: Vec<(u8, u32, u64, u128)>| {
            found(vec![(0, part([0; 4], vec![(1, 1, 1, 99)])), (1, part([0; 4], other))]).1
        };
        assert_eq!(one(vec![]), [Pair { payer: 0, payee: 1, counts: [1, 0] }]);
        assert_eq!(one(vec![(0, 0, 1, 98)]), [Pair { payer: 0, payee: 1, counts: [1, 1] }]);
        assert_eq!(one(vec![(0, 0, 1, 99)]), []);
    }

    #[test]
    fn a_shard_that_cannot_be_read_raises_no_other_alarm() {
        let damaged = ShardAudit { findings: vec![Finding::new(FindingKind::StoreDamaged)], ..ShardAudit::default() };
        let (texts, pairs) = found(vec![(0, part([0, 7, 0, 0], vec![(1, 1, 1, 99)])), (1, damaged)]);
        assert_eq!((texts.len(), pairs), (1, vec![]));
    }
}
