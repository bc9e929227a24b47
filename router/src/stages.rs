//! Where transfers have to be worked on, when an id comes more than once in a request.
//!
//! A transfer belongs to the shards of its accounts; a post or void to those of its pending transfer, which it need not
//! name. So where an event belongs may depend on what became of earlier ones: of `[P from 1 to 2, P from 3 to 4, X posts P]`
//! the second P is told that it exists when the first was created, and is created when the first had a fault; X follows
//! whichever was. A request is therefore routed in **stages**: a stage ends before the first unit with an event that
//! belongs elsewhere when an earlier unit of the stage comes out differently. When all of it is answered ([`Learned`]), the
//! next stage is routed. Most requests are one stage: also when an id comes again with the same accounts, and when what is
//! posted was reserved just before.

use std::collections::HashMap;

use crest_ledger::txn::{Event, EventResult, ShardId};
use crest_ledger::{Traffic, Transfer, TransferFlags};
use crest_topology::SlotMap;

use crate::known::Resolved;
use crate::learned::{Ended, Learned, Open};
use crate::limits;
use crate::place::{Placed, Unit, request_status};

/// The transfers of a request, and what is known of their ids.
pub(crate) struct Stages<'a> {
    transfers: &'a [Transfer],
    map: &'a SlotMap,
    learned: Learned,
    /// Whether to look out for ids that come again. Costs a look-up an event.
    watches_ids: bool,
    /// The last event that has this id, or resolves it; made when there is a second stage.
    last_uses: HashMap<u128, usize, foldhash::fast::RandomState>,
}

/// The first event with an id in a stage: the start of its unit, and its own place.
type Firsts = HashMap<u128, (usize, usize), foldhash::fast::RandomState>;

/// Where an event has to be worked on.
enum Route {
    /// On the shards of these accounts.
    Between(Resolved),
    /// On this shard, which refuses it without a look at any account.
    Refused(ShardId),
}

/// The shards that something may have to do with, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Shards {
    #[default]
    None,
    One(ShardId),
    Several,
}

impl Shards {
    fn of((debit, credit): (ShardId, ShardId)) -> Self {
        if debit == credit { Self::One(debit) } else { Self::Several }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, shards) | (shards, Self::None) => shards,
            (Self::One(a), Self::One(b)) if a == b => self,
            _ => Self::Several,
        }
    }
}

impl<'a> Stages<'a> {
    /// `before` are transfers that exist or are held: pending ones that a post or void names, and posts and voids themselves
    /// when they are retried.
    pub(crate) fn new(transfers: &'a [Transfer], map: &'a SlotMap, before: HashMap<u128, Resolved>) -> Self {
        let watches_ids = transfers.iter().any(Transfer::resolves);
        Self { transfers, map, learned: Learned::new(before), watches_ids, last_uses: HashMap::default() }
    }

    /// Looks out for ids that come again from now on. Returns whether it did not before: then what was routed is to be
    /// routed again.
    pub(crate) fn watch_ids(&mut self) -> bool {
        !std::mem::replace(&mut self.watches_ids, true)
    }

    /// Whose the request is. What a post or void takes over from a transfer of the same request is said by that one.
    pub(crate) fn traffic(&self) -> Traffic {
        let ledger = |t: &Transfer| match t.ledger {
            0 if t.resolves() => self.looked_up(t).map_or(0, |known| known.ledger),
            ledger => ledger,
        };
        Traffic::of_all(self.transfers.iter().map(ledger))
    }

    fn looked_up(&self, t: &Transfer) -> Option<Resolved> {
        let learned = &self.learned;
        learned.recorded_before(t.id).or(learned.recorded_before(t.pending_id)).or(learned.held_before(t.pending_id))
    }

    /// Takes in that an id has failed for good, and which shard knows it.
    pub(crate) fn failed(&mut self, id: u128, shard: ShardId) {
        self.learned.failed(id, shard);
    }

    /// How many events the request has.
    pub(crate) fn len(&self) -> usize {
        self.transfers.len()
    }

    /// Takes in the answers of a stage; the next one begins at `next`. Returns what has to be asked before it is routed.
    pub(crate) fn take(&mut self, next: usize, stage: &[Placed], units: &[Unit], results: &[EventResult]) -> Open {
        if self.last_uses.is_empty() {
            for (at, t) in self.transfers.iter().enumerate() {
                self.last_uses.insert(t.id, at);
                if t.resolves() {
                    self.last_uses.insert(t.pending_id, at);
                }
            }
        }
        let later = |id| self.last_uses.get(&id).is_some_and(|last| *last >= next);
        self.learned.take(stage, units, results, later)
    }

    /// Takes in where a transfer is that was said to exist by one of `shards`.
    pub(crate) fn found(&mut self, id: u128, of: Resolved, shards: (ShardId, ShardId)) {
        let homes = (self.map.shard_of(of.accounts.0), self.map.shard_of(of.accounts.1));
        self.learned.found(id, of, homes, shards);
    }

    /// Routes the stage that begins with the event `start`: some whole units, at least one.
    pub(crate) fn route(&self, start: usize) -> Vec<Placed> {
        let rest = &self.transfers[start..];
        let mut stage: Vec<Placed> = Vec::with_capacity(if self.watches_ids { 0 } else { rest.len() });
        let mut firsts = Firsts::default();
        while stage.len() < rest.len() {
            let unit = stage.len();
            for (at, t) in rest.iter().enumerate().skip(unit).take(chain_len(&rest[unit..])) {
                let Some(placed) = self.route_one(start + at, unit, &stage, &firsts) else {
                    stage.truncate(unit);
                    assert!(!stage.is_empty(), "a stage has at least one unit, or a request would never end");
                    return stage;
                };
                if self.watches_ids && is_an_id(t.id) {
                    firsts.entry(t.id).or_insert((unit, at));
                }
                stage.push(placed);
            }
        }
        stage
    }

    /// Routes an event of the unit that begins at `unit` of the stage; `None` when an earlier unit of the stage has to be
    /// answered first.
    fn route_one(&self, index: usize, unit: usize, stage: &[Placed], firsts: &Firsts) -> Option<Placed> {
        let t = &self.transfers[index];
        if let Some(known) = self.learned.recorded_before(t.id).filter(|_| t.resolves()) {
            return Some(self.place(index, Route::Between(known)));
        }
        let earlier = firsts.get(&t.id);
        match (self.learned.ended(t.id), earlier) {
            (Some(Ended::Exists(_, shard) | Ended::Failed(shard)), _) => {
                return Some(self.place(index, Route::Refused(shard)));
            }
            // When its chain gets that far, the id exists.
            (None, Some((of, at))) if *of == unit => {
                return Some(self.place(index, Route::Refused(stage[*at].homes.0)));
            }
            (None, _) => {}
        }
        let placed = self.place(index, self.by_accounts(t, unit, stage, firsts)?);
        let elsewhere = |first: &Placed| (first.accounts, first.homes) != (placed.accounts, placed.homes);
        match earlier {
            Some((_, at)) if elsewhere(&stage[*at]) => None,
            _ => Some(placed),
        }
    }

    /// The route of an event whose id is free: to the accounts that it names, or to its pending transfer's.
    fn by_accounts(&self, t: &Transfer, unit: usize, stage: &[Placed], firsts: &Firsts) -> Option<Route> {
        let named = Route::Between(Resolved::named(t));
        if !t.resolves() {
            return Some(named);
        }
        // What existed before is what a post resolves, whatever this request tries to create under the same id.
        if let Some(known) = self.learned.recorded_before(t.pending_id) {
            return Some(Route::Between(known));
        }
        match self.learned.ended(t.pending_id) {
            Some(Ended::Exists(of, _)) => return Some(Route::Between(of)),
            Some(Ended::Failed(shard)) => return Some(Route::Refused(shard)),
            None => {}
        }
        let held = self.learned.held_before(t.pending_id);
        match (firsts.get(&t.pending_id), held) {
            (Some((of, at)), Some(held)) if *of != unit && held.accounts != stage[*at].accounts => None,
            (Some((_, at)), _) => {
                let Placed { accounts, ledger, .. } = stage[*at];
                Some(Route::Between(Resolved { accounts, ledger, recorded: false }))
            }
            (None, Some(held)) => Some(Route::Between(held)),
            (None, None) => Some(self.learned.absent(t.pending_id).map_or(named, Route::Refused)),
        }
    }

    fn place(&self, index: usize, route: Route) -> Placed {
        let t = self.transfers[index];
        let event = Event::Transfer(t);
        let with_import = self.transfers[0].flags.any(TransferFlags::IMPORTED);
        let request_status = request_status(&event, with_import, index + 1 == self.transfers.len());
        match route {
            Route::Refused(shard) => {
                Placed { event, homes: (shard, shard), accounts: (0, 0), ledger: t.ledger, request_status }
            }
            Route::Between(of) => {
                let ledger = if t.ledger == 0 { of.ledger } else { t.ledger };
                Placed { event, homes: self.homes(&t, of), accounts: of.accounts, ledger, request_status }
            }
        }
    }

    /// The shards of these accounts. A post or void of what nobody knows is refused; any shard can say so.
    fn homes(&self, t: &Transfer, of: Resolved) -> (ShardId, ShardId) {
        let or = |id: u128, other: u128| match (id, other) {
            (0, 0) => t.pending_id,
            (0, other) => other,
            (id, _) => id,
        };
        let (debit, credit) = of.accounts;
        (self.map.shard_of(or(debit, credit)), self.map.shard_of(or(credit, debit)))
    }

    /// The first chain that has to be worked on event by event and may be too long for that, with its length: were it found
    /// in a later stage, a part of the request would have been applied.
    pub(crate) fn chain_too_long(&self) -> Option<(usize, usize)> {
        let balances = |t: &Transfer| !t.resolves() && t.flags.any(TransferFlags::BALANCING);
        let mut start = 0;
        while start < self.transfers.len() {
            let len = chain_len(&self.transfers[start..]);
            let chain = start..start + len;
            let stepwise = len > limits::STEPWISE_EVENTS_MAX && self.transfers[chain.clone()].iter().any(balances);
            if stepwise && self.possible_shards(chain) == Shards::Several {
                return Some((start, len));
            }
            start += len;
        }
        None
    }

    /// The shards on which some event of `chain` may have to be worked on, however earlier events come out.
    fn possible_shards(&self, chain: std::ops::Range<usize>) -> Shards {
        let mut of_ids: HashMap<u128, Shards> = HashMap::new();
        let mut of_chain = Shards::None;
        for (index, t) in self.transfers[..chain.end].iter().enumerate() {
            let of = |id: u128| of_ids.get(&id).copied().unwrap_or_default();
            let homes = |of: Resolved| Shards::of(self.homes(t, of));
            let mut shards = of(t.id);
            let named = Resolved::named(t);
            if t.resolves() {
                let known = [t.id, t.pending_id].into_iter().filter_map(|id| self.learned.before(id));
                shards = known.map(homes).fold(shards.and(of(t.pending_id)), Shards::and);
            }
            if named.accounts != (0, 0) || shards == Shards::None {
                shards = shards.and(homes(named));
            }
            if chain.contains(&index) {
                of_chain = of_chain.and(shards);
            }
            of_ids.insert(t.id, shards);
        }
        of_chain
    }
}

/// Whether a transfer can have this id.
fn is_an_id(id: u128) -> bool {
    id != 0 && id != u128::MAX
}

/// How many events the unit has that begins here.
fn chain_len(events: &[Transfer]) -> usize {
    let linked = |t: &Transfer| t.flags.any(TransferFlags::LINKED);
    events.iter().position(|t| !linked(t)).map_or(events.len(), |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place;
    use crest_ledger::TransferStatus;

    fn map() -> SlotMap {
        SlotMap::even(&[0, 1, 2, 3]).unwrap()
    }

    /// The first account of each shard.
    fn accounts() -> [u128; 4] {
        [0, 1, 2, 3].map(|shard| (1..).find(|id| map().shard_of(*id) == shard).unwrap())
    }

    fn pay(id: u128, debit: u128, credit: u128) -> Transfer {
        Transfer { id, debit_account_id: debit, credit_account_id: credit, amount: 1, ..Transfer::default() }
    }

    fn post(id: u128, pending_id: u128) -> Transfer {
        Transfer { pending_id, flags: TransferFlags(TransferFlags::POST_PENDING), ..pay(id, 0, 0) }
    }

    fn linked(t: Transfer) -> Transfer {
        Transfer { flags: TransferFlags(t.flags.0 | TransferFlags::LINKED), ..t }
    }

    fn watching(transfers: &[Transfer], before: HashMap<u128, Resolved>, check: impl FnOnce(Stages<'_>)) {
        let map = map();
        let mut stages = Stages::new(transfers, &map, before);
        stages.watch_ids();
        check(stages);
    }

    fn homes(stage: &[Placed]) -> Vec<(ShardId, ShardId)> {
        stage.iter().map(|placed| placed.homes).collect()
    }

    /// Answers the stage at `start` with these statuses, and routes the next one.
    fn answer(stages: &mut Stages<'_>, start: usize, statuses: &[TransferStatus]) -> (Open, Vec<Placed>) {
        let stage = stages.route(start);
        let results: Vec<_> = statuses.iter().map(|s| EventResult { status: *s as u8, timestamp: 1 }).collect();
        let next = start + stage.len();
        let open = stages.take(next, &stage, &place::units(&stage), &results);
        (open, stages.route(next))
    }

    #[test]
    fn a_post_goes_where_its_pending_transfer_is() {
        let [a, b, c, _] = accounts();
        let known = Resolved { accounts: (a, b), ledger: 5, recorded: true };
        let named = Transfer { ledger: 6, ..post(10, 7) };
        watching(&[post(9, 7), named, pay(7, b, c)], HashMap::from([(7, known)]), |stages| {
            let stage = stages.route(0);
            assert_eq!(homes(&stage), [(0, 1), (0, 1), (1, 2)], "what exists before the request is what is posted");
            assert_eq!((stage[0].ledger, stage[1].ledger), (5, 6), "what it names itself is what it asks for");
        });
        watching(&[post(9, 7)], HashMap::new(), |stages| {
            let unknown = &stages.route(0)[0];
            assert_eq!(unknown.homes.0, unknown.homes.1, "what nobody knows is refused by one shard");
            assert_eq!((unknown.ledger, unknown.accounts), (0, (0, 0)));
        });
        watching(&[Transfer { ledger: 8, ..pay(7, a, b) }, post(9, 7), pay(7, a, b)], HashMap::new(), |stages| {
            let stage = stages.route(0);
            assert_eq!(homes(&stage), [(0, 1); 3], "the same accounts make no stage");
            assert_eq!(stage[1].ledger, 8);
        });
    }

    #[test]
    fn a_stage_ends_before_what_belongs_elsewhere_when_it_comes_out_differently() {
        let [a, b, c, d] = accounts();
        let request = [pay(7, a, b), pay(7, c, d), post(9, 7), post(9, 8), pay(7, a, b)];
        watching(&request, HashMap::new(), |mut stages| {
            let (open, next) = answer(&mut stages, 0, &[TransferStatus::CodeMustNotBeZero]);
            assert_eq!((open.exist.len(), open.failed.len()), (0, 0));
            assert_eq!(homes(&next), [(2, 3), (2, 3)], "the id is free, and the post follows it");
            let (_, next) = answer(&mut stages, 1, &[TransferStatus::Created, TransferStatus::Created]);
            assert_eq!(homes(&next), [(2, 2), (2, 2)], "both ids exist there");
        });
        watching(&request, HashMap::new(), |mut stages| {
            let (_, next) = answer(&mut stages, 0, &[TransferStatus::Created]);
            assert_eq!(homes(&next), [(0, 0), (0, 1)], "the id exists, and the post follows it");
        });
        watching(&request, HashMap::new(), |mut stages| {
            let (open, next) = answer(&mut stages, 0, &[TransferStatus::ExceedsCredits]);
            assert!(open.failed.is_empty(), "the payer's shard has decided it");
            assert_eq!(homes(&next), [(0, 0), (0, 0)], "the id and what would post it are refused there");
            let (open, next) =
                answer(&mut stages, 1, &[TransferStatus::IdAlreadyFailed, TransferStatus::PendingTransferNotFound]);
            assert!(open.failed.is_empty(), "a single shard has refused the post, and remembers it");
            assert_eq!(homes(&next), [(0, 0), (0, 0)], "so has the post failed, whatever it would post then");
        });
    }

    #[test]
    fn what_an_answer_does_not_tell_is_asked() {
        let [a, b, c, d] = accounts();
        let request = [pay(7, a, b), pay(7, c, d)];
        watching(&request, HashMap::new(), |mut stages| {
            let (open, _) = answer(&mut stages, 0, &[TransferStatus::IdAlreadyFailed]);
            assert_eq!(open.failed, [(0, 7)], "which of the two shards knows it is not said");
        });
        watching(&request, HashMap::new(), |mut stages| {
            let (open, _) = answer(&mut stages, 0, &[TransferStatus::ExistsWithDifferentDebitAccountId]);
            assert_eq!(open.exist, [(7, (0, 1))]);
            stages.found(7, Resolved { accounts: (d, b), ledger: 1, recorded: true }, (0, 1));
            assert_eq!(homes(&stages.route(1)), [(1, 1)], "of its two shards, the one that was asked before");
        });
    }

    #[test]
    fn an_event_of_a_chain_counts_on_those_before_it() {
        let [a, b, c, d] = accounts();
        let request = [linked(pay(7, a, b)), linked(post(9, 7)), pay(7, c, d), pay(7, c, d)];
        watching(&request, HashMap::new(), |mut stages| {
            assert_eq!(homes(&stages.route(0)), [(0, 1), (0, 1), (0, 0)]);
            let failed = TransferStatus::LinkedEventFailed;
            let exists = TransferStatus::ExistsWithDifferentDebitAccountId;
            let (open, next) = answer(&mut stages, 0, &[failed, failed, exists]);
            assert!(open.exist.is_empty(), "what existed was undone");
            assert_eq!(homes(&next), [(2, 3)], "the id is free");
        });
    }

    #[test]
    fn a_chain_that_may_get_too_long_is_known_before_anything_is_applied() {
        let [a, b, ..] = accounts();
        let other = (a + 1..).find(|id| map().shard_of(*id) == 0).unwrap();
        let balancing = Transfer { flags: TransferFlags(TransferFlags::BALANCING_DEBIT), ..pay(100, a, other) };
        let chain = (101..=229).map(|id| linked(pay(id, a, other))).chain([balancing]);
        let local: Vec<Transfer> = [pay(7, a, other), post(9, 7)].into_iter().chain(chain).collect();
        watching(&local, HashMap::new(), |stages| assert_eq!(stages.chain_too_long(), None));
        let mut request = local;
        request[0] = pay(229, a, b);
        watching(&request, HashMap::new(), |stages| assert_eq!(stages.chain_too_long(), Some((2, 130))));
    }
}
