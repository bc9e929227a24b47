//! On each ledger number, over all shards: what was debited was credited, posted and pending.

use std::collections::BTreeMap;

use crate::replay::balances;
use crate::truth::Truth;

pub(super) fn check(truth: &Truth) -> Vec<String> {
    let mut totals: BTreeMap<u32, [u128; 4]> = BTreeMap::new();
    for account in truth.accounts.values() {
        let total = totals.entry(account.ledger).or_default();
        for (sum, part) in total.iter_mut().zip(balances(account)) {
            *sum += part;
        }
    }
    let wrong = totals.into_iter().filter(|(_, [dp, dpo, cp, cpo])| dp != cp || dpo != cpo);
    wrong.map(|(ledger, totals)| format!("ledger {ledger}: {totals:?}")).collect()
}
