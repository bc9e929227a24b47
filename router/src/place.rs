//! Where the events of a request have to be worked on: which are linked, and which shards each of them touches. The shards of
//! transfers are found in [`crate::stages`].

use crest_ledger::records::Sides;
use crest_ledger::txn::{Event, ShardId, Step};
use crest_ledger::{AccountFlags, AccountStatus, Timestamp, TransferFlags, TransferStatus};
use crest_topology::SlotMap;

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

    pub(crate) fn is_account(&self) -> bool {
        matches!(&self.event, Event::Account(_))
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
        linked(&self.event)
    }

    fn imported(&self) -> bool {
        imported(&self.event)
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
    let with_import = events.first().is_some_and(|a| a.flags.any(AccountFlags::IMPORTED));
    let count = events.len();
    let place = |(index, a): (usize, crest_ledger::Account)| {
        let (home, accounts, ledger) = (map.shard_of(a.id), (a.id, a.id), a.ledger);
        let event = Event::Account(a);
        let request_status = request_status(&event, with_import, index + 1 == count);
        Placed { event, homes: (home, home), accounts, ledger, request_status }
    };
    events.into_iter().enumerate().map(place).collect()
}

/// What follows for an event from the request as a whole, 0 when nothing does: its last event leaves a chain open, or the
/// event is imported while the first one is not (`with_import`), or the other way round.
pub(crate) fn request_status(event: &Event, with_import: bool, is_last: bool) -> u8 {
    if is_last && linked(event) {
        return TransferStatus::LinkedEventChainOpen as u8;
    }
    if imported(event) == with_import {
        return 0;
    }
    match (event, with_import) {
        (Event::Account(_), true) => AccountStatus::ImportedEventExpected as u8,
        (Event::Account(_), false) => AccountStatus::ImportedEventNotExpected as u8,
        (Event::Transfer(_), true) => TransferStatus::ImportedEventExpected as u8,
        (Event::Transfer(_), false) => TransferStatus::ImportedEventNotExpected as u8,
    }
}

fn linked(event: &Event) -> bool {
    match event {
        Event::Transfer(t) => t.flags.any(TransferFlags::LINKED),
        Event::Account(a) => a.flags.any(AccountFlags::LINKED),
    }
}

fn imported(event: &Event) -> bool {
    match event {
        Event::Transfer(t) => t.flags.any(TransferFlags::IMPORTED),
        Event::Account(a) => a.flags.any(AccountFlags::IMPORTED),
    }
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
    use crate::stages::Stages;
    use crest_ledger::Transfer;

    fn place(events: &[Transfer], map: &SlotMap) -> Vec<Placed> {
        Stages::new(events, map, std::collections::HashMap::new()).route(0)
    }

    fn pay(id: u128, debit: u128, credit: u128, flags: u16) -> Transfer {
        let flags = TransferFlags(flags);
        Transfer { id, debit_account_id: debit, credit_account_id: credit, amount: 1, flags, ..Transfer::default() }
    }

    #[test]
    fn the_payer_decides_and_a_balancing_debit_lets_the_payee_decide() {
        let map = SlotMap::even(&[0, 1]).unwrap();
        let on = |shard| (1..).find(|id| map.shard_of(*id) == shard).unwrap();
        let (a, b) = (on(0), on(1));
        let of = |flags| units(&place(&[pay(9, a, b, flags)], &map))[0].spread.clone();
        let cross = |decider, other| Spread::Cross { decider, participants: vec![other], stepwise: false };
        assert_eq!(of(0), cross(0, 1));
        assert_eq!(of(TransferFlags::BALANCING_DEBIT), cross(1, 0));
        assert_eq!(of(TransferFlags::BALANCING_CREDIT), cross(0, 1));
    }

    #[test]
    fn chains_are_cut_and_an_open_one_is_marked() {
        let map = SlotMap::even(&[0]).unwrap();
        let linked = TransferFlags::LINKED;
        let placed = place(&[pay(1, 5, 6, linked), pay(2, 5, 6, 0), pay(3, 5, 6, 0), pay(4, 5, 6, linked)], &map);
        let cut: Vec<_> = units(&placed).iter().map(|u| (u.start, u.len)).collect();
        assert_eq!(cut, [(0, 2), (2, 1), (3, 1)]);
        assert_eq!(placed[3].request_status, TransferStatus::LinkedEventChainOpen as u8);
        assert_eq!(placed[0].request_status, 0);
    }
}
