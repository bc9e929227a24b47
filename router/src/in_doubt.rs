//! What is in doubt over all shards: the holds of the one and the decisions of the other, put together by attempt.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crest_ledger::Timestamp;
use crest_ledger::resolutions::Resolution;
use crest_ledger::txn::{ShardId, TxnId};
use crest_ledger::wire::in_doubt::{EVENTS_SHOWN, InDoubtFilter, InDoubtPage, Knowledge, Known, ShownEvent};
use crest_ledger::wire::{Query, QueryAnswer, Request, Response};
use futures_util::future::join_all;

use crate::limits;
use crate::router::Router;

/// A shard, and why it does not answer, if it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardAt {
    /// Which.
    pub shard: ShardId,
    /// Where.
    pub address: String,
    /// Why it does not answer.
    pub error: Option<String>,
}

/// How far an attempt came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Shards hold, and the decider has not decided.
    Prepared,
    /// Shards hold, and the decider does not answer.
    Unknown,
    /// Committed; somebody has not acknowledged.
    Committed,
    /// The pending transfer expired; somebody has not acknowledged.
    Expired,
    /// Aborted; somebody still holds.
    Aborted,
}

/// An attempt in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which.
    pub txn: TxnId,
    /// How far it came.
    pub state: State,
    /// Since its oldest hold or decision, by the clock of the shard that has it.
    pub age: Duration,
    /// When that was, ns.
    pub since: Timestamp,
    /// Who decides.
    pub decider: ShardId,
    /// Who holds.
    pub holders: Vec<ShardId>,
    /// Who has to act before it is ended.
    pub waits_for: Vec<ShardId>,
    /// Its first events, as far as they are known.
    pub events: Vec<ShownEvent>,
    /// How many it has, as far as is known.
    pub event_count: u32,
}

/// A page of attempts in doubt, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InDoubt {
    /// The attempts.
    pub attempts: Vec<Attempt>,
    /// Where the next page goes on.
    pub next: Option<(Timestamp, TxnId)>,
    /// Every shard.
    pub shards: Vec<ShardAt>,
}

/// Resolutions, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolutions {
    /// Each with the shard that keeps it.
    pub rows: Vec<(ShardId, TxnId, Resolution)>,
    /// Whether older ones were left out.
    pub more: bool,
    /// Every shard.
    pub shards: Vec<ShardAt>,
}

impl Router {
    /// A page of what is in doubt. Shards that do not answer hide nothing that others know.
    pub async fn in_doubt(&self, filter: InDoubtFilter) -> InDoubt {
        let all = self.links.map().shards().to_vec();
        let asked = self.ask_each(&all, |_| Query::InDoubt(filter)).await;
        let mut silent = BTreeMap::new();
        let mut pages = BTreeMap::new();
        for (shard, answer) in asked {
            match answer {
                Ok(QueryAnswer::InDoubt(page)) => {
                    pages.insert(shard, page);
                }
                Ok(_) => {
                    silent.insert(shard, other_kind(shard));
                }
                Err(why) => {
                    silent.insert(shard, why);
                }
            }
        }
        let (listed, next) = put_together(pages.values(), filter.limit as usize);
        let (known, silent) = self.known(&listed, silent).await;
        let attempts = rows(&listed, filter.after, &known, &silent);
        InDoubt { attempts, next, shards: self.all_shards(&silent) }
    }

    /// The newest resolutions of all shards.
    pub async fn resolutions(&self, limit: u32) -> Resolutions {
        let all = self.links.map().shards().to_vec();
        let mut silent = BTreeMap::new();
        let mut rows = Vec::new();
        // One more than asked for, to know whether there are more.
        for (shard, answer) in self.ask_each(&all, |_| Query::Resolutions(limit.saturating_add(1))).await {
            match answer {
                Ok(QueryAnswer::Resolutions(kept)) => rows.extend(kept.into_iter().map(|(txn, r)| (shard, txn, r))),
                Ok(_) => {
                    silent.insert(shard, other_kind(shard));
                }
                Err(why) => {
                    silent.insert(shard, why);
                }
            }
        }
        rows.sort_by_key(|(_, txn, resolution)| std::cmp::Reverse((resolution.at, *txn)));
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        Resolutions { rows, more, shards: self.all_shards(&silent) }
    }

    /// What each shard that is not silent knows of these attempts; and who is silent, with those that are from now on.
    pub(crate) async fn known(
        &self,
        txns: &[TxnId],
        mut silent: BTreeMap<ShardId, String>,
    ) -> (BTreeMap<ShardId, Known>, BTreeMap<ShardId, String>) {
        let asked: Vec<ShardId> =
            self.links.map().shards().iter().copied().filter(|s| !silent.contains_key(s)).collect();
        let mut known = BTreeMap::new();
        if txns.is_empty() {
            return (known, silent);
        }
        for (shard, answer) in self.ask_each(&asked, |_| Query::Attempts(txns.to_vec())).await {
            match answer {
                Ok(QueryAnswer::Attempts(answer)) if answer.attempts.len() == txns.len() => {
                    known.insert(shard, answer);
                }
                Ok(_) => {
                    silent.insert(shard, other_kind(shard));
                }
                Err(why) => {
                    silent.insert(shard, why);
                }
            }
        }
        (known, silent)
    }

    /// Asks shards side by side.
    async fn ask_each(
        &self,
        shards: &[ShardId],
        query: impl Fn(ShardId) -> Query,
    ) -> Vec<(ShardId, Result<QueryAnswer, String>)> {
        let ask = |shard: &ShardId| self.links.send(*shard, Request::Query(query(*shard)), limits::STATUS_TIMEOUT);
        let answers = join_all(shards.iter().map(ask)).await;
        let of = |(shard, answer): (&ShardId, _)| match answer {
            Ok(Response::Query(answer)) => (*shard, Ok(answer)),
            Ok(Response::Answers(_)) => (*shard, Err(other_kind(*shard))),
            Err(e) => (*shard, Err(crest_link::LinkError::to_string(&e))),
        };
        shards.iter().zip(answers).map(of).collect()
    }

    /// A shard, for people.
    pub(crate) fn shard_at(&self, shard: ShardId, error: Option<String>) -> ShardAt {
        let address = self.links.find(shard).map(crest_link::ShardLink::address).unwrap_or_default();
        ShardAt { shard, address, error }
    }

    pub(crate) fn all_shards(&self, silent: &BTreeMap<ShardId, String>) -> Vec<ShardAt> {
        self.links.map().shards().iter().map(|shard| self.shard_at(*shard, silent.get(shard).cloned())).collect()
    }
}

fn other_kind(shard: ShardId) -> String {
    format!("shard {shard} gave an answer of another kind; it may be of another version")
}

/// The attempts of a page out of those of the shards, oldest first, and where the next page goes on. What lies behind the
/// first shard's unfinished page would come too early: an older piece of it may be on that shard.
fn put_together<'a>(
    pages: impl Iterator<Item = &'a InDoubtPage>,
    limit: usize,
) -> (Vec<TxnId>, Option<(Timestamp, TxnId)>) {
    let mut oldest: BTreeMap<TxnId, Timestamp> = BTreeMap::new();
    let mut horizon: Option<(Timestamp, TxnId)> = None;
    for page in pages {
        for (since, txn) in &page.attempts {
            let first = oldest.entry(*txn).or_insert(*since);
            *first = (*first).min(*since);
        }
        if page.more {
            let last = page.attempts.last().copied();
            horizon = [horizon, last].into_iter().flatten().min();
        }
    }
    let mut keys: Vec<(Timestamp, TxnId)> = oldest.into_iter().map(|(txn, since)| (since, txn)).collect();
    keys.retain(|key| horizon.is_none_or(|horizon| *key <= horizon));
    keys.sort_unstable();
    let next = if keys.len() > limit {
        keys.truncate(limit);
        keys.last().copied()
    } else {
        horizon
    };
    (keys.into_iter().map(|(_, txn)| txn).collect(), next)
}

/// What all shards know of the listed attempts. Those that have ended meanwhile are left out, and those that an earlier page
/// had, since they have a piece at or before `after`.
fn rows(
    listed: &[TxnId],
    after: (Timestamp, TxnId),
    known: &BTreeMap<ShardId, Known>,
    silent: &BTreeMap<ShardId, String>,
) -> Vec<Attempt> {
    let silent: BTreeSet<ShardId> = silent.keys().copied().collect();
    let of = |(i, txn): (usize, &TxnId)| {
        let of_shard = |(shard, known): (&ShardId, &'_ Known)| {
            // The shard knows the age: its clock may have stood still.
            let knowledge = known.attempts[i].clone();
            (*shard, (knowledge.since().unwrap_or(0).saturating_add(known.ages[i]), knowledge))
        };
        row(*txn, &known.iter().map(of_shard).collect(), &silent)
    };
    let mut rows: Vec<Attempt> = listed.iter().enumerate().filter_map(of).collect();
    rows.retain(|row| (row.since, row.txn) > after);
    rows.sort_by_key(|row| (row.since, row.txn));
    rows
}

/// One attempt, out of what the shards that answer know of it; nothing when none of them has it in doubt.
pub(crate) fn row(
    txn: TxnId,
    known: &BTreeMap<ShardId, (Timestamp, Knowledge)>,
    silent: &BTreeSet<ShardId>,
) -> Option<Attempt> {
    let pieces = || known.iter().filter_map(|(_, (now, knowledge))| Some((*now, knowledge.since()?)));
    let since = pieces().map(|(_, since)| since).min()?;
    let age = pieces().map(|(now, since)| Duration::from_nanos(now.saturating_sub(since))).max()?;
    let decider = decider(known)?;
    let holders: Vec<ShardId> = known.iter().filter(|(_, (_, k))| k.hold.is_some()).map(|(shard, _)| *shard).collect();
    let decision = known.values().find_map(|(_, knowledge)| knowledge.decision.as_ref());
    let aborted = known.get(&decider).is_some_and(|(_, knowledge)| knowledge.aborted.is_some());
    let (state, waits_for) = match decision {
        Some(decision) if decision.expired.is_some() => (State::Expired, decision.waiting_for.clone()),
        Some(decision) => (State::Committed, decision.waiting_for.clone()),
        None if aborted => (State::Aborted, holders.clone()),
        None if silent.contains(&decider) => (State::Unknown, vec![decider]),
        None => (State::Prepared, vec![decider]),
    };
    let mut events: BTreeMap<u16, ShownEvent> = BTreeMap::new();
    for event in known.values().flat_map(|(_, knowledge)| &knowledge.events) {
        events.entry(event.index).or_insert(*event);
    }
    let seen = events.last_key_value().map_or(1, |(index, _)| u32::from(*index) + 1);
    let held = known.values().filter_map(|(_, knowledge)| Some(knowledge.hold.as_ref()?.events)).max().unwrap_or(1);
    let event_count = decision.map_or(seen.max(held), |decision| decision.events);
    let events = events.into_values().take(EVENTS_SHOWN).collect();
    Some(Attempt { txn, state, age, since, decider, holders, waits_for, events, event_count })
}

/// Who decides an attempt: whoever did, or whom the holders name.
pub(crate) fn decider(known: &BTreeMap<ShardId, (Timestamp, Knowledge)>) -> Option<ShardId> {
    let decided = |k: &Knowledge| k.decision.is_some() || k.aborted.is_some() || k.resolution.is_some();
    let named = known.values().find_map(|(_, knowledge)| Some(knowledge.hold.as_ref()?.decider));
    named.or_else(|| known.iter().find(|(_, (_, knowledge))| decided(knowledge)).map(|(shard, _)| *shard))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crest_ledger::Transfer;
    use crest_ledger::txn::Event;
    use crest_ledger::wire::in_doubt::{ShownDecision, ShownHold};

    const NOW: Timestamp = 10_000_000_000;

    fn txn(n: u128) -> TxnId {
        TxnId { first_id: n, attempt: 1 }
    }

    fn page(attempts: &[(Timestamp, u128)], more: bool) -> InDoubtPage {
        InDoubtPage { attempts: attempts.iter().map(|(since, n)| (*since, txn(*n))).collect(), more }
    }

    #[track_caller]
    fn check_page(pages: &[InDoubtPage], limit: usize, listed: &[u128], next: Option<(Timestamp, u128)>) {
        let (got, goes_on) = put_together(pages.iter(), limit);
        assert_eq!(got, listed.iter().map(|n| txn(*n)).collect::<Vec<_>>());
        assert_eq!(goes_on, next.map(|(since, n)| (since, txn(n))));
    }

    #[test]
    fn attempts_of_all_shards_come_once_and_oldest_first() {
        check_page(&[page(&[(1, 1), (5, 2)], false), page(&[(3, 2), (4, 3)], false)], 10, &[1, 2, 3], None);
        check_page(&[], 10, &[], None);
    }

    #[test]
    fn a_page_ends_where_the_first_shard_stopped_telling() {
        check_page(&[page(&[(1, 1), (9, 9)], false), page(&[(2, 2), (4, 4)], true)], 10, &[1, 2, 4], Some((4, 4)));
        check_page(&[page(&[(1, 1), (2, 2)], true), page(&[(3, 3)], true)], 10, &[1, 2], Some((2, 2)));
    }

    #[test]
    fn a_full_page_goes_on_after_its_last_row() {
        check_page(&[page(&[(1, 1), (3, 3)], false), page(&[(2, 2)], false)], 2, &[1, 2], Some((2, 2)));
        check_page(&[page(&[(1, 1), (1, 2), (1, 3)], false)], 2, &[1, 2], Some((1, 2)));
    }

    fn hold(decider: ShardId, since: Timestamp) -> Knowledge {
        let event = ShownEvent { index: 0, amount: 5, event: Event::Transfer(Transfer::default()) };
        Knowledge { hold: Some(ShownHold { decider, since, events: 1 }), events: vec![event], ..Knowledge::default() }
    }

    fn decision(since: Timestamp, expired: Option<Timestamp>, waiting_for: &[ShardId]) -> Knowledge {
        let waiting_for = waiting_for.to_vec();
        Knowledge { decision: Some(ShownDecision { since, expired, events: 3, waiting_for }), ..Knowledge::default() }
    }

    fn aborted() -> Knowledge {
        Knowledge { aborted: Some(1), ..Knowledge::default() }
    }

    /// Checks the state, who holds and who is waited for, when shards know this and others are silent.
    #[track_caller]
    fn check(known: &[(ShardId, Knowledge)], silent: &[ShardId], expected: Option<(State, &[ShardId], &[ShardId])>) {
        let known: BTreeMap<_, _> = known.iter().map(|(shard, k)| (*shard, (NOW, k.clone()))).collect();
        let row = row(txn(1), &known, &silent.iter().copied().collect());
        let got = row.as_ref().map(|row| (row.state, &row.holders[..], &row.waits_for[..]));
        assert_eq!(got, expected);
        assert!(row.is_none_or(|row| row.decider == 0));
    }

    #[test]
    fn an_attempt_says_how_far_it_came_and_who_is_waited_for() {
        let nothing = Knowledge::default;
        check(&[(0, nothing()), (1, hold(0, 5))], &[], Some((State::Prepared, &[1], &[0])));
        check(&[(1, hold(0, 5)), (2, hold(0, 6))], &[0], Some((State::Unknown, &[1, 2], &[0])));
        check(&[(0, decision(5, None, &[1])), (1, hold(0, 4))], &[], Some((State::Committed, &[1], &[1])));
        check(&[(0, decision(5, None, &[1]))], &[1], Some((State::Committed, &[], &[1])));
        check(&[(0, decision(5, Some(5), &[1])), (1, nothing())], &[], Some((State::Expired, &[], &[1])));
        check(&[(0, aborted()), (1, hold(0, 5)), (2, nothing())], &[], Some((State::Aborted, &[1], &[1])));
        // A chain whose decider was asked as well.
        check(&[(0, hold(0, 4)), (1, hold(0, 5))], &[], Some((State::Prepared, &[0, 1], &[0])));
        check(&[(0, aborted()), (1, nothing())], &[], None);
        check(&[(0, nothing()), (1, nothing())], &[2], None);
    }

    #[test]
    fn an_attempt_is_as_old_as_its_oldest_piece_and_has_as_many_events_as_anybody_knows() {
        let known = [(0, (NOW, decision(4, None, &[1]))), (1, (NOW + 1_000, hold(0, 3)))].into();
        let row = row(txn(1), &known, &BTreeSet::new()).unwrap();
        assert_eq!((row.since, row.age), (3, Duration::from_nanos(NOW + 997)));
        assert_eq!((row.events.len(), row.event_count), (1, 3));
    }

    #[test]
    fn what_an_earlier_page_had_is_not_listed_again() {
        let age = |knowledge: &Knowledge| knowledge.since().map_or(0, |since| NOW - since);
        let shard = |knowledge: &[Knowledge]| Known {
            now: NOW,
            clock: NOW,
            attempts: knowledge.to_vec(),
            ages: knowledge.iter().map(age).collect(),
        };
        // Attempt 1 has an older piece on the other shard, at the very end of the page before.
        let known = [(1, shard(&[hold(0, 9), hold(0, 8)])), (2, shard(&[hold(0, 5), Knowledge::default()]))].into();
        let rows = rows(&[txn(1), txn(2)], (5, txn(1)), &known, &BTreeMap::new());
        assert_eq!(rows.iter().map(|row| row.txn).collect::<Vec<_>>(), [txn(2)]);
    }
}
