//! Lists and queries (section 7).

use crest_ledger::{Account, AccountBalance, AccountFilter, AccountFlags, Page, QueryFilter, Timestamp, Transfer};

use super::State;

impl State {
    pub(super) fn account_transfers(&self, filter: &AccountFilter) -> Vec<Transfer> {
        let matching = self.transfers.values().filter(|t| filter.matches(t)).copied().collect();
        page(matching, filter.page, |t| t.timestamp)
    }

    pub(super) fn account_balances(&self, filter: &AccountFilter) -> Vec<AccountBalance> {
        let has_history = |a: &Account| a.flags.any(AccountFlags::HISTORY);
        if !self.accounts.get(&filter.account_id).is_some_and(has_history) {
            return Vec::new();
        }
        let rows = self.rows.iter().filter(|r| r.account_id == filter.account_id);
        let matching = rows.filter(|r| filter.matches(&self.transfers[&r.transfer_id])).map(|r| r.balance).collect();
        page(matching, filter.page, |b: &AccountBalance| b.timestamp)
    }

    pub(super) fn query_accounts(&self, filter: &QueryFilter) -> Vec<Account> {
        let matching = self.accounts.values().filter(|a| filter.conditions.match_account(a)).copied().collect();
        page(matching, filter.page, |a| a.timestamp)
    }

    pub(super) fn query_transfers(&self, filter: &QueryFilter) -> Vec<Transfer> {
        let matching = self.transfers.values().filter(|t| filter.conditions.match_transfer(t)).copied().collect();
        page(matching, filter.page, |t| t.timestamp)
    }
}

/// Those of `objects` that belong to the page, in its order.
fn page<T>(mut objects: Vec<T>, page: Page, timestamp: impl Fn(&T) -> Timestamp) -> Vec<T> {
    objects.retain(|o| (page.timestamp_min..=page.timestamp_max).contains(&timestamp(o)));
    objects.sort_by_key(|o| timestamp(o));
    if page.newest_first {
        objects.reverse();
    }
    objects.truncate(page.limit as usize);
    objects
}
