//! Each account's balances are what its own transfer records come to.

use crate::replay::{State, balances};
use crate::truth::Truth;

/// `last` is the state after playing all records.
pub(super) fn check(truth: &Truth, last: &State) -> Vec<String> {
    let wrong = truth.accounts.values().filter_map(|account| {
        let played = last.accounts.get(&account.id)?;
        let same = balances(played) == balances(account) && played.flags == account.flags;
        (!same).then(|| format!("account {:x} is {account:?}, but its records make it {played:?}", account.id))
    });
    wrong.collect()
}
