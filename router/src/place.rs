//! Where the events of a request have to be worked on: which are linked, and which shards each of them touches.

use std::collections::HashMap;

use crest_ledger::records::Sides;
use crest_ledger::txn::{Event, ShardId, Step};
use crest_ledger::{AccountFlags, AccountStatus, Timestamp, Transfer, TransferFlags, TransferStatus};
use crest_topology::SlotMap;

use crate::known::Resolved;

/// An event with the shards of its two accounts (of its one account, twice).
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) event: Event,
    pub(crate) homes: (ShardId, ShardId),
    /// The accounts that it touches: those it names, or the pending transfer's.
    pub(crate) accounts: (u128, u128),
    /// Its ledger number, or the pending transfer's; 0 when nobody has said it.
    pub(crate) ledger: u32,
    /// What the request as a whole already says of it.
    pub(crate) request_status: u8,
}

/// A single event, or a chain: what happens as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) start: usize,
    pub(crate) len: usize,
    pub(crate) spread: Spread,
}

/// Over which shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    Local(ShardId),
    Cross {
        decider: ShardId,
        /// The others.
        participants: Vec<ShardId>,
        /// Amounts are known one after the other, so prepares go out one after the other.
        stepwise: bool,
    },
}

impl Placed {
    /// What `shard` has to do for the event at `index` of its unit, if anything.
    pub(crate) fn step(&self, shard: ShardId, index: usize, amount_max: u128) -> Option<Step> {
        let sides = match (self.homes.0 == shard, self.homes.1 == shard) {
            (true, true) => Sides::BOTH,
            (true, false) => Sides::DEBIT,
            (false, true) => Sides::CREDIT,
            (false, false) => return None,
        };
        let index = u16::try_from(index).expect("a request has at most 8,190 events");
        Some(Step { index, sides, request_status: self.request_status, amount_max, event: self.event })
    }

    /// The most that may move. Of a post or void only the shards that have its pending transfer know.
    pub(crate) fn amount(&self) -> u128 {
        match &self.event {
            Event::Transfer(t) if t.resolves() => u128::MAX,
            Event::Transfer(t) => t.amount,
            Event::Account(_) => 0,
        }
    }

    pub(crate) fn id(&self) -> u128 {
        match &self.event {
            Event::Transfer(t) => t.id,
            Event::Account(a) => a.id,
        }
    }

    /// Whether it is a post or a void.
    pub(crate) fn resolves(&self) -> bool {
        matches!(&self.event, Event::Transfer(t) if t.resolves())
    }

    /// The timestamp that it is recorded with when it commits at `at`: its own when it is imported.
    pub(crate) fn recorded_at(&self, at: Timestamp) -> Timestamp {
        match &self.event {
            Event::Transfer(t) if self.imported() => t.timestamp,
            Event::Account(a) if self.imported() => a.timestamp,
            _ => at,
        }
    }

    fn linked(&self) -> bool {
        match &self.event {
            Event::Transfer(t) => t.flags.any(TransferFlags::LINKED),
            Event::Account(a) => a.flags.any(AccountFlags::LINKED),
        }
    }

    fn imported(&self) -> bool {
        match &self.event {
            Event::Transfer(t) => t.flags.any(TransferFlags::IMPORTED),
            Event::Account(a) => a.flags.any(AccountFlags::IMPORTED),
        }
    }

    fn balancing(&self) -> u16 {
        match &self.event {
            Event::Transfer(t) if !t.resolves() => t.flags.0 & TransferFlags::BALANCING,
            _ => 0,
        }
    }
}

/// Places accounts.
pub(crate) fn accounts(events: Vec<crest_ledger::Account>, map: &SlotMap) -> Vec<Placed> {
    let place = |a: crest_ledger::Account| {
        let home = map.shard_of(a.id);
        let accounts = (a.id, a.id);
        Placed { event: Event::Account(a), homes: (home, home), accounts, ledger: a.ledger, request_status: 0 }
    };
    mark(events.into_iter().map(place).collect())
}

/// Places transfers. `known` tells the accounts and ledger numbers of transfers that exist: of pending ones that a post or void names, and of
/// posts and voids themselves when they are retried.
pub(crate) fn transfers(events: Vec<Transfer>, known: &HashMap<u128, Resolved>, map: &SlotMap) -> Vec<Placed> {
    let mut here: HashMap<u128, Resolved> = HashMap::new();
    let resolving = events.iter().any(Transfer::resolves);
    let mut placed = Vec::with_capacity(events.len());
    for t in events {
        let mut of = Resolved { accounts: (t.debit_account_id, t.credit_account_id), ledger: t.ledger };
        if t.resolves() {
            // What exists already is what a post resolves, whatever this request tries to create under the same id.
            let find = |id: u128| known.get(&id).or_else(|| here.get(&id)).copied();
            if let Some(found) = find(t.id).or_else(|| find(t.pending_id)) {
                let ledger = if t.ledger == 0 { found.ledger } else { t.ledger };
                of = Resolved { ledger, ..found };
            }
        }
        if resolving {
            here.entry(t.id).or_insert(of);
        }
        let Resolved { accounts, ledger } = of;
        // A post or void of what nobody knows is refused; any shard can say so.
        let or = |id: u128, other: u128| match (id, other) {
            (0, 0) => t.pending_id,
            (0, other) => other,
            (id, _) => id,
        };
        let homes = (map.shard_of(or(accounts.0, accounts.1)), map.shard_of(or(accounts.1, accounts.0)));
        placed.push(Placed { event: Event::Transfer(t), homes, accounts, ledger, request_status: 0 });
    }
    mark(placed)
}

/// Notes what follows from the request as a whole: a chain that is open at its end, and imported events among others.
fn mark(mut events: Vec<Placed>) -> Vec<Placed> {
    let imported = events.first().is_some_and(Placed::imported);
    for e in &mut events {
        if e.imported() != imported {
            e.request_status = match (&e.event, imported) {
                (Event::Account(_), true) => AccountStatus::ImportedEventExpected as u8,
                (Event::Account(_), false) => AccountStatus::ImportedEventNotExpected as u8,
                (Event::Transfer(_), true) => TransferStatus::ImportedEventExpected as u8,
                (Event::Transfer(_), false) => TransferStatus::ImportedEventNotExpected as u8,
            };
        }
    }
    if let Some(last) = events.last_mut()
        && last.linked()
    {
        last.request_status = TransferStatus::LinkedEventChainOpen as u8;
    }
    events
}

/// Cuts a request into units.
pub(crate) fn units(events: &[Placed]) -> Vec<Unit> {
    let mut units = Vec::with_capacity(events.len());
    let mut start = 0;
    while start < events.len() {
        let len = events[start..].iter().position(|e| !e.linked()).map_or(events.len() - start, |last| last + 1);
        units.push(Unit { start, len, spread: spread(&events[start..start + len]) });
        start += len;
    }
    units
}

fn spread(events: &[Placed]) -> Spread {
    let first = &events[0];
    if events.iter().all(|e| e.homes == (first.homes.0, first.homes.0)) {
        return Spread::Local(first.homes.0);
    }
    let mut shards: Vec<ShardId> = events.iter().flat_map(|e| [e.homes.0, e.homes.1]).collect();
    shards.sort_unstable();
    shards.dedup();
    let single = events.len() == 1;
    // The payer decides, unless what it has is asked first: then the payee does.
    let decider =
        if single && first.balancing() & TransferFlags::BALANCING_DEBIT != 0 { first.homes.1 } else { first.homes.0 };
    let stepwise = !single && events.iter().any(|e| e.balancing() != 0);
    Spread::Cross { decider, participants: shards.into_iter().filter(|s| *s != decider).collect(), stepwise }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids_on(map: &SlotMap, shard: ShardId) -> impl Iterator<Item = u128> {
        (1..).filter(move |id| map.shard_of(*id) == shard)
    }

    fn pay(id: u128, debit: u128, credit: u128, flags: u16) -> Transfer {
        let flags = TransferFlags(flags);
        Transfer { id, debit_account_id: debit, credit_account_id: credit, amount: 1, flags, ..Transfer::default() }
    }

    #[test]
    fn the_payer_decides_and_a_balancing_debit_lets_the_payee_decide() {
        let map = SlotMap::even(&[0, 1]).unwrap();
        let (a, b) = (ids_on(&map, 0).next().unwrap(), ids_on(&map, 1).next().unwrap());
        let of = |flags| units(&transfers(vec![pay(9, a, b, flags)], &HashMap::new(), &map))[0].spread.clone();
        let cross = |decider, other| Spread::Cross { decider, participants: vec![other], stepwise: false };
        assert_eq!(of(0), cross(0, 1));
        assert_eq!(of(TransferFlags::BALANCING_DEBIT), cross(1, 0));
        assert_eq!(of(TransferFlags::BALANCING_CREDIT), cross(0, 1));
    }

    #[test]
    fn a_post_goes_where_its_pending_transfer_is() {
        let map = SlotMap::even(&[0, 1]).unwrap();
        let (a, b) = (ids_on(&map, 0).next().unwrap(), ids_on(&map, 1).next().unwrap());
        let post = Transfer { pending_id: 7, ..pay(9, 0, 0, TransferFlags::POST_PENDING) };
        let known = HashMap::from([(7, Resolved { accounts: (a, b), ledger: 5 })]);
        let placed = &transfers(vec![post, Transfer { ledger: 6, ..post }], &known, &map);
        assert_eq!((placed[0].homes, placed[0].ledger), ((0, 1), 5));
        assert_eq!((placed[1].homes, placed[1].ledger), ((0, 1), 6), "what it names itself is what it asks for");
        let unknown = &transfers(vec![post], &HashMap::new(), &map)[0];
        assert_eq!(unknown.homes.0, unknown.homes.1, "what nobody knows is refused by one shard");
        assert_eq!(unknown.ledger, 0);
        let both = vec![Transfer { ledger: 8, ..pay(7, a, b, TransferFlags::PENDING) }, post];
        let second = &transfers(both, &HashMap::new(), &map)[1];
        assert_eq!((second.homes, second.ledger), ((0, 1), 8));
    }

    #[test]
    fn chains_are_cut_and_an_open_one_is_marked() {
        let map = SlotMap::even(&[0]).unwrap();
        let linked = TransferFlags::LINKED;
        let events = vec![pay(1, 5, 6, linked), pay(2, 5, 6, 0), pay(3, 5, 6, 0), pay(4, 5, 6, linked)];
        let placed = transfers(events, &HashMap::new(), &map);
        let cut: Vec<_> = units(&placed).iter().map(|u| (u.start, u.len)).collect();
        assert_eq!(cut, [(0, 2), (2, 1), (3, 1)]);
        assert_eq!(placed[3].request_status, TransferStatus::LinkedEventChainOpen as u8);
        assert_eq!(placed[0].request_status, 0);
    }
}
