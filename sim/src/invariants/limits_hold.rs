//! No limit is exceeded at the end. (That none was on the way, playing the records in their order has shown.)

use crest_ledger::AccountFlags as A;

use crate::truth::Truth;

pub(super) fn check(truth: &Truth) -> Vec<String> {
    let wrong = truth.accounts.values().filter(|a| {
        let (debits, credits) = (a.debits_pending + a.debits_posted, a.credits_pending + a.credits_posted);
        a.flags.any(A::DEBITS_MUST_NOT_EXCEED_CREDITS) && debits > a.credits_posted
            || a.flags.any(A::CREDITS_MUST_NOT_EXCEED_DEBITS) && credits > a.debits_posted
    });
    wrong.map(|a| format!("{a:?}")).collect()
}
