//! What is being examined.

use crest_ledger::{
    Account, AccountBalance, AccountFilter, AccountStatus, QueryFilter, Timestamp, Transfer, TransferStatus,
};

/// Something that claims to be the ledger, with a time that only moves when it is told to.
///
/// Every call is one request of one client, which waits for the answer before it sends the next. A subject that cannot
/// answer (an error, an unknown outcome) panics: the suite has no refusals but the statuses.
pub trait Subject {
    /// Creates accounts: one status for each event, in the order of the events.
    fn create_accounts(&mut self, events: &[Account]) -> Vec<AccountStatus>;

    /// Creates transfers, in order, each seeing the ones before: one status for each event.
    fn create_transfers(&mut self, events: &[Transfer]) -> Vec<TransferStatus>;

    /// The accounts with these ids, in the order asked; the missing ones are left out.
    fn lookup_accounts(&mut self, ids: &[u128]) -> Vec<Account>;

    /// The transfers with these ids, in the order asked; the missing ones are left out.
    fn lookup_transfers(&mut self, ids: &[u128]) -> Vec<Transfer>;

    /// The transfers of one account. Filters of this suite are always valid, and their limits fit one page.
    fn account_transfers(&mut self, filter: &AccountFilter) -> Vec<Transfer>;

    /// The balances of one account after each of its transfers; empty without the flag `history`.
    fn account_balances(&mut self, filter: &AccountFilter) -> Vec<AccountBalance>;

    /// The accounts that match.
    fn query_accounts(&mut self, filter: &QueryFilter) -> Vec<Account>;

    /// The transfers that match.
    fn query_transfers(&mut self, filter: &QueryFilter) -> Vec<Transfer>;

    /// Moves the subject's time forward by `nanoseconds`, on all its shards. On return, what fell due by then has been
    /// done: a reservation whose last instant has passed is released, and reads show that.
    fn advance(&mut self, nanoseconds: u64);

    /// The subject's time, ns. No object that was created without `imported` has a timestamp above it by more than some
    /// microseconds for each event (a hybrid logical clock runs ahead in bursts), and none that is created from now on has
    /// one below it.
    fn now(&mut self) -> Timestamp;
}
