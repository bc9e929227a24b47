//! The parts of all shards as one: counts are added, and halves that should be the same are compared.

use std::collections::{BTreeMap, BTreeSet};

use crest_ledger::Timestamp;
use crest_ledger::finding::FindingKind;
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

/// Adds the parts up, but for the sums by ledger number ([`super::totals`]). A shard that can't be read is no half of any pair.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crest_ledger::finding::Finding;

    fn part(halves: Vec<(u8, u32, u64, u128)>) -> ShardAudit {
        ShardAudit { halves, ..ShardAudit::default() }
    }

    #[test]
    fn a_half_that_is_missing_or_differs_makes_a_pair() {
        let one =
            |other: Vec<(u8, u32, u64, u128)>| combine(5, vec![(0, part(vec![(1, 1, 1, 99)])), (1, part(other))]).1;
        assert_eq!(one(vec![]), [Pair { payer: 0, payee: 1, counts: [1, 0] }]);
        assert_eq!(one(vec![(0, 0, 1, 98)]), [Pair { payer: 0, payee: 1, counts: [1, 1] }]);
        assert_eq!(one(vec![(0, 0, 1, 99)]), []);
    }

    #[test]
    fn a_shard_that_cannot_be_read_raises_no_other_alarm() {
        let damaged = ShardAudit { findings: vec![Finding::new(FindingKind::StoreDamaged)], ..ShardAudit::default() };
        let (audit, pairs) = combine(5, vec![(0, part(vec![(1, 1, 1, 99)])), (1, damaged)]);
        assert_eq!((audit.findings.len(), pairs), (1, vec![]));
    }
}
