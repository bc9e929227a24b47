//! What a router remembers because it never changes: the flags of accounts, and the accounts and ledger numbers of transfers.
//!
//! It is knowledge, not state: any of it may be forgotten at any time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crest_ledger::wire::{Query, QueryAnswer, Request, Response};
use crest_ledger::{Account, AccountFlags, Timestamp, Transfer};
use crest_link::Links;
use futures_util::future::join_all;

use crate::error::RouterError;
use crate::limits;

/// The memory.
#[derive(Default)]
pub(crate) struct Known {
    flags: Mutex<HashMap<u128, AccountFlags>>,
    transfers: Mutex<HashMap<u128, Resolved>>,
}

/// What a post or void takes over from the transfer that it speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// Who pays, and who is paid.
    pub(crate) accounts: (u128, u128),
    pub(crate) ledger: u32,
    /// The transfer is recorded, for ever. Otherwise it is held, and may be released; or it was only named.
    pub(crate) recorded: bool,
}

impl Resolved {
    /// What the event names itself.
    pub(crate) fn named(t: &Transfer) -> Self {
        Self { accounts: (t.debit_account_id, t.credit_account_id), ledger: t.ledger, recorded: false }
    }
}

impl Known {
    /// The flags of those of `ids` that exist. (`closed` is today's, and not to be relied on.) Accounts whose balances are so
    /// large that they may overflow are left out, and not remembered.
    pub(crate) async fn flags(
        &self,
        links: &Links,
        ids: Vec<u128>,
    ) -> Result<HashMap<u128, AccountFlags>, RouterError> {
        let mut found = HashMap::new();
        let mut asked: BTreeMap<u32, Vec<u128>> = BTreeMap::new();
        {
            let known = lock(&self.flags);
            for id in ids {
                match known.get(&id) {
                    Some(flags) => {
                        found.insert(id, *flags);
                    }
                    None => asked.entry(links.map().shard_of(id)).or_default().push(id),
                }
            }
        }
        let answers = asked
            .into_iter()
            .map(|(shard, ids)| links.send(shard, query(Query::KnownAccounts(ids)), limits::REQUEST_TIMEOUT));
        for answer in join_all(answers).await {
            if let Response::Query(QueryAnswer::Accounts(accounts, _)) = answer? {
                let mut known = lock(&self.flags);
                make_room(&mut known);
                for account in accounts.into_iter().filter(|a| !may_overflow(a)) {
                    known.insert(account.id, account.flags);
                    found.insert(account.id, account.flags);
                }
            }
        }
        Ok(found)
    }

    /// The accounts and ledger numbers of the transfers that posts and voids among `transfers` speak of: the pending ones,
    /// and they themselves when they exist.
    pub(crate) async fn resolved(
        &self,
        links: &Links,
        transfers: &[Transfer],
    ) -> Result<HashMap<u128, Resolved>, RouterError> {
        let ids = transfers.iter().filter(|t| t.resolves()).flat_map(|t| [t.pending_id, t.id]);
        let (found, failed) = self.look_up(links, ids.filter(|id| *id != 0)).await;
        // A shard that is down matters only to what was found nowhere else.
        let lost = |t: &&Transfer| t.resolves() && !found.contains_key(&t.pending_id) && !found.contains_key(&t.id);
        match failed {
            Some(e) if transfers.iter().any(|t| lost(&t)) => Err(e),
            _ => Ok(found),
        }
    }

    /// The transfers with these ids that are recorded or held, as far as the shards answer; and the error of one that does
    /// not. When there are several with one id, between accounts of other shards, it is the first that was recorded.
    pub(crate) async fn look_up(
        &self,
        links: &Links,
        ids: impl Iterator<Item = u128>,
    ) -> (HashMap<u128, Resolved>, Option<RouterError>) {
        let mut found = HashMap::new();
        let mut asked = Vec::new();
        {
            let known = lock(&self.transfers);
            for id in ids {
                match known.get(&id) {
                    Some(resolved) => {
                        found.insert(id, *resolved);
                    }
                    None => asked.push(id),
                }
            }
        }
        if asked.is_empty() {
            return (found, None);
        }
        let shards = links.map().shards();
        let answers = shards
            .iter()
            .map(|shard| links.send(*shard, query(Query::Pending(asked.clone())), limits::REQUEST_TIMEOUT));
        let mut failed = None;
        let mut first: HashMap<u128, Transfer> = HashMap::new();
        // What is only held has no timestamp.
        let time = |t: &Transfer| if t.timestamp == 0 { Timestamp::MAX } else { t.timestamp };
        for answer in join_all(answers).await {
            match answer {
                Ok(Response::Query(QueryAnswer::Pending(rows))) => {
                    for t in rows {
                        if first.get(&t.id).is_none_or(|first| time(&t) < time(first)) {
                            first.insert(t.id, t);
                        }
                    }
                }
                Ok(_) => {}
                Err(e) => failed = Some(e.into()),
            }
        }
        let mut known = lock(&self.transfers);
        make_room(&mut known);
        for (id, t) in first {
            let resolved = Resolved { recorded: t.timestamp != 0, ..Resolved::named(&t) };
            found.insert(id, resolved);
            if resolved.recorded {
                // What is recorded never changes; what is only held may still be released.
                known.insert(id, resolved);
            }
        }
        drop(known);
        (found, failed)
    }
}

pub(crate) fn query(query: Query) -> Request {
    Request::Query(query)
}

/// Whether a request could add so much to the account that a balance leaves its range: it has half of all there is.
fn may_overflow(a: &Account) -> bool {
    let sums = [(a.debits_pending, a.debits_posted), (a.credits_pending, a.credits_posted)];
    sums.into_iter().any(|(pending, posted)| pending.saturating_add(posted) > u128::MAX / 2)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn make_room<V>(map: &mut HashMap<u128, V>) {
    if map.len() >= limits::KNOWN_MAX {
        map.clear();
    }
}
