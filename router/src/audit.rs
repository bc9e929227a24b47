//! The audit over all shards: their parts, put together.

use std::collections::BTreeMap;

use crest_ledger::Timestamp;
use crest_ledger::txn::ShardId;
use crest_ledger::wire::{Query, QueryAnswer, ShardAudit};

use crate::error::RouterError;
use crate::router::Router;

/// Findings that are named at the most.
const FINDINGS_MAX: usize = 100;

/// What the ledger holds at one instant, and what of it does not hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// The instant, ns.
    pub at: Timestamp,
    /// Accounts.
    pub accounts: u64,
    /// Transfers, each counted once.
    pub transfers: u64,
    /// Of which are between shards.
    pub cross_shard: u64,
    /// By ledger number: debits_pending, debits_posted, credits_pending, credits_posted, and accounts.
    pub totals: BTreeMap<u32, ([u128; 4], u64)>,
    /// What does not hold; nothing when all is well.
    pub findings: Vec<String>,
}

impl Router {
    /// Audits all shards at one instant, while payments flow.
    ///
    /// # Errors
    /// When a shard does not answer; nothing is proved then.
    pub async fn audit(&self) -> Result<Audit, RouterError> {
        let shards = self.links.map().shards().to_vec();
        let mut at = 0;
        for answer in self.ask(shards.iter().map(|s| (*s, Query::Clock))).await? {
            if let QueryAnswer::Clock(clock) = answer {
                at = at.max(clock);
            }
        }
        let answers = self.ask(shards.iter().map(|s| (*s, Query::Audit(at)))).await?;
        let parts = shards.into_iter().zip(answers).filter_map(|(shard, answer)| match answer {
            QueryAnswer::Audit(part) => Some((shard, part)),
            _ => None,
        });
        Ok(combine(at, parts.collect()))
    }
}

fn combine(at: Timestamp, parts: Vec<(ShardId, ShardAudit)>) -> Audit {
    let mut audit = Audit { at, ..Audit::default() };
    let mut halves: BTreeMap<(ShardId, ShardId), [(u64, u128); 2]> = BTreeMap::new();
    for (shard, part) in parts {
        audit.accounts += part.accounts;
        audit.transfers += part.transfers;
        audit.cross_shard += part.cross_shard;
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
            halves.entry(pair).or_default()[usize::from(payer_here)] = (count, sum);
        }
    }
    for (ledger, ([dp, dpo, cp, cpo], _)) in &audit.totals {
        if dpo != cpo {
            audit.findings.push(format!("ledger {ledger}: {dpo} was debited, but {cpo} credited"));
        }
        if dp != cp {
            audit.findings.push(format!("ledger {ledger}: {dp} is pending as debits, but {cp} as credits"));
        }
    }
    for ((payer, payee), [credits, debits]) in halves {
        if credits != debits {
            audit.findings.push(format!(
                "transfers from shard {payer} to shard {payee}: the payers' shard has {} and the payees' {}, or they differ",
                debits.0, credits.0
            ));
        }
    }
    audit.findings.truncate(FINDINGS_MAX);
    audit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(totals: [u128; 4], halves: Vec<(u8, u32, u64, u128)>) -> ShardAudit {
        ShardAudit { totals: vec![(1, totals, 1)], halves, ..ShardAudit::default() }
    }

    #[test]
    fn totals_that_agree_only_together_hold() {
        let parts = vec![(0, part([0, 7, 0, 0], vec![(1, 1, 1, 99)])), (1, part([0, 0, 0, 7], vec![(0, 0, 1, 99)]))];
        assert_eq!(combine(5, parts).findings, Vec::<String>::new());
    }

    #[test]
    fn money_that_is_missing_is_found() {
        let found = combine(5, vec![(0, part([0, 7, 0, 6], vec![]))]).findings;
        assert_eq!(found, ["ledger 1: 7 was debited, but 6 credited"]);
    }

    #[test]
    fn a_half_that_is_missing_or_differs_is_found() {
        let one = |other: Vec<(u8, u32, u64, u128)>| {
            let parts = vec![(0, part([0; 4], vec![(1, 1, 1, 99)])), (1, part([0; 4], other))];
            combine(5, parts).findings.len()
        };
        assert_eq!(one(vec![]), 1);
        assert_eq!(one(vec![(0, 0, 1, 98)]), 1);
        assert_eq!(one(vec![(0, 0, 1, 99)]), 0);
    }
}
