//! Reading over all shards, at one instant.

use std::collections::{BTreeMap, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

use crest_ledger::limits::CLOCK_AHEAD_MAX_NS;
use crest_ledger::txn::ShardId;
use crest_ledger::wire::{Query, QueryAnswer, Request, Response, ShardHealth, ShardStatus};
use crest_ledger::{Account, AccountBalance, AccountFilter, QueryFilter, Timestamp, Transfer};
use crest_link::{Answering, LinkError};
use crest_topology::SlotRange;
use futures_util::future::join_all;

use crate::error::RouterError;
use crate::limits;
use crate::router::Router;

/// A page of rows, and the timestamp after which the next one goes on.
pub type Page<T> = (Vec<T>, Option<Timestamp>);

/// When, and by whom, a read is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadAt {
    /// The instant, ns; 0 is now.
    pub timestamp: Timestamp,
    /// Whether replicas that do not lead may answer; only at a named instant.
    pub from_followers: bool,
}

impl ReadAt {
    /// Now, by the leaders.
    pub const NOW: Self = Self { timestamp: 0, from_followers: false };
}

impl Router {
    /// The accounts with these ids, in the order asked, and the instant that their balances are of.
    ///
    /// # Errors
    /// When a shard does not answer; reading again is always safe.
    pub async fn lookup_accounts(&self, ids: &[u128]) -> Result<(Vec<Account>, Timestamp), RouterError> {
        self.lookup_accounts_at(ids, ReadAt::NOW).await
    }

    /// As [`Router::lookup_accounts`], at an instant and by whom `read` says.
    ///
    /// # Errors
    /// As of [`Router::lookup_accounts`].
    pub async fn lookup_accounts_at(
        &self,
        ids: &[u128],
        read: ReadAt,
    ) -> Result<(Vec<Account>, Timestamp), RouterError> {
        let mut by_shard: BTreeMap<ShardId, Vec<u128>> = BTreeMap::new();
        for id in ids {
            by_shard.entry(self.links.map().shard_of(*id)).or_default().push(*id);
        }
        let shards: Vec<ShardId> = by_shard.keys().copied().collect();
        let query = |shard: ShardId, at| Query::Accounts(at, by_shard[&shard].clone());
        let (mut at, answers) = self.ask_at(&shards, read, query).await?;
        let mut found = HashMap::new();
        for answer in answers {
            if let QueryAnswer::Accounts(accounts, read_at) = answer {
                found.extend(accounts.into_iter().map(|a| (a.id, a)));
                at = read_at.unwrap_or(at);
            }
        }
        self.driver.seen.note(at);
        Ok((ids.iter().filter_map(|id| found.get(id).copied()).collect(), at))
    }

    /// The transfers with these ids, in the order asked.
    ///
    /// # Errors
    /// As of [`Router::lookup_accounts`].
    pub async fn lookup_transfers(&self, ids: &[u128]) -> Result<Vec<Transfer>, RouterError> {
        self.lookup_transfers_at(ids, ReadAt::NOW).await
    }

    /// As [`Router::lookup_transfers`], at an instant and by whom `read` says.
    ///
    /// # Errors
    /// As of [`Router::lookup_accounts`].
    pub async fn lookup_transfers_at(&self, ids: &[u128], read: ReadAt) -> Result<Vec<Transfer>, RouterError> {
        let query = |_, at| Query::Transfers(at, ids.to_vec());
        let (_, answers) = self.ask_at(self.links.map().shards(), read, query).await?;
        let mut found = HashMap::new();
        for answer in answers {
            if let QueryAnswer::Transfers(rows, _) = answer {
                found.extend(rows.into_iter().map(|t| (t.id, t)));
            }
        }
        Ok(ids.iter().filter_map(|id| found.get(id).copied()).collect())
    }

    /// A page of one account's transfers.
    ///
    /// # Errors
    /// As of [`Router::lookup_accounts`].
    pub async fn account_transfers(&self, filter: AccountFilter) -> Result<Page<Transfer>, RouterError> {
        let shard = self.links.map().shard_of(filter.account_id);
        match self.ask([(shard, Query::AccountTransfers(0, filter))]).await?.pop() {
            Some(QueryAnswer::Transfers(rows, next)) => Ok((rows, next)),
            _ => Err(crate::reads::other_answer(shard)),
        }
    }

    /// A page of one account's balances.
    ///
    /// # Errors
    /// As of [`Router::lookup_accounts`].
    pub async fn account_balances(&self, filter: AccountFilter) -> Result<Page<AccountBalance>, RouterError> {
        Ok(self.account_balances_of(filter).await?.0)
    }

    /// As [`Router::account_balances`], with the ledger number; 0 when the page has looked at nothing.
    pub(crate) async fn account_balances_of(
        &self,
        filter: AccountFilter,
    ) -> Result<(Page<AccountBalance>, u32), RouterError> {
        let shard = self.links.map().shard_of(filter.account_id);
        match self.ask([(shard, Query::AccountBalances(0, filter))]).await?.pop() {
            Some(QueryAnswer::Balances { rows, next, ledger }) => Ok(((rows, next), ledger)),
            _ => Err(crate::reads::other_answer(shard)),
        }
    }

    /// A page of the accounts that match.
    ///
    /// # Errors
    /// As of [`Router::lookup_accounts`].
    pub async fn query_accounts(&self, filter: QueryFilter) -> Result<Page<Account>, RouterError> {
        let query = |_, at| Query::QueryAccounts(at, filter);
        let (_, answers) = self.ask_at_one_instant(self.links.map().shards(), query).await?;
        let pages = answers.into_iter().filter_map(|answer| match answer {
            QueryAnswer::Accounts(rows, next) => Some((rows, next)),
            _ => None,
        });
        Ok(merge(pages.collect(), filter.page, |a| (a.timestamp, a.id)))
    }

    /// A page of the transfers that match; a cross-shard one appears once.
    ///
    /// # Errors
    /// As of [`Router::lookup_accounts`].
    pub async fn query_transfers(&self, filter: QueryFilter) -> Result<Page<Transfer>, RouterError> {
        let query = |_, at| Query::QueryTransfers(at, filter);
        let (_, answers) = self.ask_at_one_instant(self.links.map().shards(), query).await?;
        let pages = answers.into_iter().filter_map(|answer| match answer {
            QueryAnswer::Transfers(rows, next) => Some((rows, next)),
            _ => None,
        });
        Ok(merge(pages.collect(), filter.page, |t| (t.timestamp, t.id)))
    }

    /// How each shard is, or why it does not say.
    pub async fn status(&self) -> Vec<(ShardId, String, Result<ShardStatus, LinkError>)> {
        let shards = self.links.map().shards();
        let asked =
            shards.iter().map(|shard| self.links.send(*shard, Request::Query(Query::Status), limits::STATUS_TIMEOUT));
        let answers = join_all(asked).await;
        let of = |(shard, answer): (&ShardId, Result<Response, LinkError>)| {
            let status = match answer {
                Ok(Response::Query(QueryAnswer::Status(status))) => Ok(status),
                Ok(_) => Err(LinkError::Unknown { shard: *shard, why: "an answer of another kind".to_owned() }),
                Err(e) => Err(e),
            };
            (*shard, self.links.to(*shard).address(), status)
        };
        shards.iter().zip(answers).map(of).collect()
    }

    /// Whether each shard takes part in payments, as its leader says. A shard is left out that does not answer, or whose nodes are of
    /// a build that does not know the question.
    pub async fn health(&self) -> BTreeMap<ShardId, ShardHealth> {
        let shards = self.links.map().shards();
        let ask =
            |shard: &ShardId| self.links.send(*shard, Request::Query(Query::Health(None)), limits::STATUS_TIMEOUT);
        let answers = join_all(shards.iter().map(ask)).await;
        let told = |(shard, answer): (&ShardId, Result<Response, LinkError>)| match answer {
            Ok(Response::Query(QueryAnswer::Health(health))) => Some((*shard, health)),
            _ => None,
        };
        shards.iter().zip(answers).filter_map(told).collect()
    }

    /// The epoch of the slot map.
    pub fn epoch(&self) -> u64 {
        self.links.map().epoch()
    }

    /// Which shard owns which slots, as the fewest ranges, by the router's map.
    pub fn slots(&self) -> Vec<SlotRange> {
        self.links.map().ranges()
    }

    /// Asks these shards the same at one instant, at or above everything that was acknowledged so far and touches them.
    /// Gives the instant, ns; 0 when one shard alone has chosen its own.
    async fn ask_at_one_instant(
        &self,
        shards: &[ShardId],
        query: impl Fn(ShardId, Timestamp) -> Query,
    ) -> Result<(Timestamp, Vec<QueryAnswer>), RouterError> {
        self.ask_at(shards, ReadAt::NOW, query).await
    }

    /// As [`Router::ask_at_one_instant`], at the instant and by whom `read` says.
    async fn ask_at(
        &self,
        shards: &[ShardId],
        read: ReadAt,
        query: impl Fn(ShardId, Timestamp) -> Query,
    ) -> Result<(Timestamp, Vec<QueryAnswer>), RouterError> {
        let mut at = if read.timestamp == 0 {
            self.one_instant(shards).await?
        } else {
            self.check_ahead(read.timestamp).await?;
            read.timestamp
        };
        for _ in 0..limits::INSTANT_TRIES {
            let queries = shards.iter().map(|shard| (*shard, query(*shard, at)));
            let answers = if read.from_followers { self.ask_any(queries).await? } else { self.ask(queries).await? };
            // A shard that answers with a time says that the instant is in the middle of a chain, which ends then.
            let later = answers.iter().filter_map(|answer| match answer {
                QueryAnswer::Clock(later) => Some(*later),
                _ => None,
            });
            match later.max() {
                None => {
                    self.driver.seen.note(at);
                    return Ok((at, answers));
                }
                Some(later) => at = at.max(later),
            }
        }
        Err(RouterError::Refused("no instant was found that is in the middle of no chain".to_owned()))
    }

    /// An instant at or above everything that was acknowledged so far and touches these shards, ns. One shard alone
    /// chooses its own.
    async fn one_instant(&self, shards: &[ShardId]) -> Result<Timestamp, RouterError> {
        if shards.len() == 1 {
            return Ok(0);
        }
        let mut at = 0;
        for answer in self.ask(shards.iter().map(|s| (*s, Query::Clock))).await? {
            if let QueryAnswer::Clock(clock) = answer {
                at = at.max(clock);
            }
        }
        Ok(at)
    }

    /// An instant that no clock reaches soon is refused for good: whoever waits for it waits for ever. This machine's clock may be
    /// behind, so the shards' clocks are asked before.
    async fn check_ahead(&self, at: Timestamp) -> Result<(), RouterError> {
        let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let here = Timestamp::try_from(here).unwrap_or(Timestamp::MAX).max(self.driver.seen.latest());
        if at <= here.saturating_add(CLOCK_AHEAD_MAX_NS) {
            return Ok(());
        }
        let mut now = 0;
        for answer in self.ask(self.links.map().shards().iter().map(|shard| (*shard, Query::Clock))).await? {
            if let QueryAnswer::Clock(clock) = answer {
                now = now.max(clock);
            }
        }
        self.driver.seen.note(now);
        now = now.max(here);
        if at <= now.saturating_add(CLOCK_AHEAD_MAX_NS) {
            return Ok(());
        }
        Err(RouterError::Invalid(format!(
            "read.timestamp: expected an instant at most {} s in the future, got {at} ns, and it is {now} ns now",
            CLOCK_AHEAD_MAX_NS / 1_000_000_000
        )))
    }

    pub(crate) async fn ask(
        &self,
        queries: impl IntoIterator<Item = (ShardId, Query)>,
    ) -> Result<Vec<QueryAnswer>, RouterError> {
        let send = |(shard, query)| self.links.send(shard, Request::Query(query), limits::REQUEST_TIMEOUT);
        Self::answers(queries.into_iter().map(send).collect()).await
    }

    /// As [`Router::ask`]; replicas that do not lead may answer.
    async fn ask_any(
        &self,
        queries: impl IntoIterator<Item = (ShardId, Query)>,
    ) -> Result<Vec<QueryAnswer>, RouterError> {
        let send = |(shard, query)| self.links.send_to_any(shard, Request::Query(query), limits::REQUEST_TIMEOUT);
        Self::answers(queries.into_iter().map(send).collect()).await
    }

    async fn answers(asked: Vec<Answering>) -> Result<Vec<QueryAnswer>, RouterError> {
        let mut answers = Vec::new();
        for answer in join_all(asked).await {
            match answer? {
                Response::Query(answer) => answers.push(answer),
                Response::Answers(_) => return Err(RouterError::Unknown("an answer of another kind".to_owned())),
            }
        }
        Ok(answers)
    }
}

pub(crate) fn other_answer(shard: ShardId) -> RouterError {
    RouterError::Unknown(format!("shard {shard} gave an answer of another kind; it may be of another version"))
}

/// One page out of each shard's. Rows behind the first shard's unfinished page would come too early, so they are left for
/// the next page.
fn merge<T: Copy>(pages: Vec<Page<T>>, page: crest_ledger::Page, key: impl Fn(&T) -> (Timestamp, u128)) -> Page<T> {
    let time = |row: &T| key(row).0;
    let newest_first = page.newest_first;
    let horizon =
        pages.iter().filter_map(|(_, next)| *next).reduce(|a, b| if newest_first { a.max(b) } else { a.min(b) });
    let within = |at: Timestamp| horizon.is_none_or(|h| if newest_first { at >= h } else { at <= h });
    let mut rows: Vec<T> = pages.into_iter().flat_map(|(rows, _)| rows).filter(|row| within(time(row))).collect();
    rows.sort_by_key(&key);
    rows.dedup_by_key(|row| key(row));
    if newest_first {
        rows.reverse();
    }
    let limit = page.limit as usize;
    if rows.len() > limit {
        // Imported timestamps are unique within a shard only: a page does not end between two rows of one instant.
        let next = time(&rows[limit]);
        let within = rows[..limit].iter().take_while(|row| time(row) != next).count();
        rows.truncate(if within == 0 { limit } else { within });
        let last = rows.last().map(time);
        return (rows, last);
    }
    (rows, horizon)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: u32, newest_first: bool) -> crest_ledger::Page {
        crest_ledger::Page { limit, newest_first, ..crest_ledger::Page::default() }
    }

    #[test]
    fn rows_of_all_shards_come_in_order_and_once() {
        let got = merge(vec![(vec![1u64, 5, 9], None), (vec![3, 5], None)], page(10, false), |t| (*t, 0));
        assert_eq!(got, (vec![1, 3, 5, 9], None));
    }

    #[test]
    fn a_page_ends_where_the_first_shard_stopped_looking() {
        let got = merge(vec![(vec![1u64, 5, 9], None), (vec![3], Some(4))], page(10, false), |t| (*t, 0));
        assert_eq!(got, (vec![1, 3], Some(4)));
        let got = merge(vec![(vec![9u64, 5, 1], None), (vec![8], Some(6))], page(10, true), |t| (*t, 0));
        assert_eq!(got, (vec![9, 8], Some(6)));
    }

    #[test]
    fn a_full_page_goes_on_after_its_last_row() {
        let got = merge(vec![(vec![1u64, 5], None), (vec![3], None)], page(2, false), |t| (*t, 0));
        assert_eq!(got, (vec![1, 3], Some(3)));
    }
}
