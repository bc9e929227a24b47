//! In which order the units of a request are worked on.
//!
//! A client that does not say `independent` gets the answers of one machine that applies its events one after the other.
//! Units that do not depend on each other give the same answers side by side; a unit that depends on another one comes a
//! level later. Two local units of one shard may share a level: the shard applies them in the order of the message.
//!
//! Two events that touch the same account do not depend on each other when the account has no limit, keeps no history, and
//! neither event is balancing or closing: then no answer depends on the balances. That is why half of all payments may
//! touch one account and still travel together.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crest_ledger::limits::AMOUNT_COMMUTES_MAX;
use crest_ledger::txn::{Event, ShardId};
use crest_ledger::{AccountFlags, TransferFlags};

use crate::place::{Placed, Spread, Unit};

/// What an event can touch.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Account(u128),
    Transfer(u128),
    /// The order of imported timestamps, which all imported events share.
    Imported,
}

/// What was touched, and when last.
#[derive(Clone, Copy, Default)]
struct Touched {
    shared: Option<Last>,
    exclusive: Option<Last>,
}

#[derive(Clone, Copy)]
struct Last {
    level: usize,
    /// The shard, when everything at that level was local to one.
    local: Option<ShardId>,
}

/// In which order the units of a stage are worked on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// The units of each level.
    pub(crate) levels: Vec<Vec<usize>>,
    /// Some transfer id, or id of a pending transfer, comes more than once.
    pub(crate) ids_repeat: bool,
}

/// Puts units on levels. `flags` are those of accounts that are known; an account that is not is taken to have limits.
pub(crate) fn schedule(
    events: &[Placed],
    units: &[Unit],
    independent: bool,
    flags: &HashMap<u128, AccountFlags>,
) -> Schedule {
    let mut touched: HashMap<Key, Touched, foldhash::fast::RandomState> = HashMap::default();
    let Schedule { mut levels, mut ids_repeat } = Schedule::default();
    let mut keys = Vec::new();
    for (at, unit) in units.iter().enumerate() {
        keys.clear();
        for event in &events[unit.start..unit.start + unit.len] {
            collect(event, independent, flags, &mut keys);
        }
        let local = match unit.spread {
            Spread::Local(shard) => Some(shard),
            Spread::Cross { .. } => None,
        };
        let mut level = 0;
        for (key, exclusive) in &keys {
            let Some(before) = touched.get(key) else { continue };
            for last in before.exclusive.iter().chain(before.shared.iter().filter(|_| *exclusive)) {
                let together = local.is_some() && last.local == local;
                level = level.max(last.level + usize::from(!together));
            }
        }
        for (key, exclusive) in &keys {
            let entry = touched.entry(*key);
            ids_repeat |= matches!((&entry, key), (Entry::Occupied(_), Key::Transfer(_)));
            let entry = entry.or_default();
            let slot = if *exclusive { &mut entry.exclusive } else { &mut entry.shared };
            *slot = Some(match slot {
                Some(last) if last.level > level => *last,
                Some(last) if last.level == level && last.local != local => Last { level, local: None },
                _ => Last { level, local },
            });
        }
        if levels.len() <= level {
            levels.resize_with(level + 1, Vec::new);
        }
        levels[level].push(at);
    }
    Schedule { levels, ids_repeat }
}

/// What an event touches, and whether its answer may depend on others that touch the same.
fn collect(event: &Placed, independent: bool, flags: &HashMap<u128, AccountFlags>, keys: &mut Vec<(Key, bool)>) {
    let t = match &event.event {
        Event::Transfer(t) => t,
        Event::Account(a) => {
            keys.push((Key::Account(a.id), true));
            if a.flags.any(AccountFlags::IMPORTED) {
                keys.push((Key::Imported, true));
            }
            return;
        }
    };
    keys.push((Key::Transfer(t.id), true));
    if t.flags.any(TransferFlags::IMPORTED) {
        // The timestamps of imported events must increase on each shard.
        keys.push((Key::Imported, true));
    }
    if t.pending_id != 0 {
        keys.push((Key::Transfer(t.pending_id), true));
    }
    if independent {
        return;
    }
    let sensitive = TransferFlags::BALANCING | TransferFlags::CLOSING;
    let exclusive = t.flags.any(sensitive) || t.amount >= AMOUNT_COMMUTES_MAX && !t.resolves() || t.resolves();
    // Where no account is known, none is touched.
    for id in [event.accounts.0, event.accounts.1].into_iter().filter(|id| *id != 0) {
        let limited = flags.get(&id).is_none_or(|f| depends_on_order(*f));
        keys.push((Key::Account(id), exclusive || limited));
    }
}

/// Whether an account with these flags makes answers depend on the order of events.
fn depends_on_order(flags: AccountFlags) -> bool {
    flags.any(
        AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS
            | AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS
            | AccountFlags::HISTORY
            | AccountFlags::CLOSED,
    )
}

/// The accounts that more than one event touches: those whose flags are worth knowing.
pub(crate) fn shared_accounts(events: &[Placed]) -> Vec<u128> {
    let mut count: HashMap<u128, u32, foldhash::fast::RandomState> = HashMap::default();
    for event in events {
        *count.entry(event.accounts.0).or_default() += 1;
        *count.entry(event.accounts.1).or_default() += 1;
    }
    let mut shared: Vec<u128> = count.into_iter().filter(|(id, n)| *n > 1 && *id != 0).map(|(id, _)| id).collect();
    shared.sort_unstable();
    shared
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place;
    use crate::stages::Stages;
    use crest_ledger::Transfer;
    use crest_topology::SlotMap;

    fn pay(id: u128, debit: u128, credit: u128) -> Transfer {
        Transfer { id, debit_account_id: debit, credit_account_id: credit, amount: 1, ..Transfer::default() }
    }

    fn check(shards: u32, events: Vec<Transfer>, unlimited: &[u128], independent: bool, expected: &[&[usize]]) {
        let map = SlotMap::even(&(0..shards).collect::<Vec<_>>()).unwrap();
        let placed = Stages::new(&events, &map, HashMap::new()).route(0);
        let flags = unlimited.iter().map(|id| (*id, AccountFlags(0))).collect();
        let got = schedule(&placed, &place::units(&placed), independent, &flags);
        assert_eq!(got.levels, expected);
        let mut ids: Vec<u128> = events.iter().map(|t| t.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(got.ids_repeat, ids.len() < events.len());
    }

    /// One account on each of two shards, and a second one on the first.
    fn accounts() -> (u128, u128, u128) {
        let map = SlotMap::even(&[0, 1]).unwrap();
        let on = |shard: u32| (1u128..).filter(move |id| map.shard_of(*id) == shard);
        let first: Vec<u128> = on(0).take(2).collect();
        let map = SlotMap::even(&[0, 1]).unwrap();
        let b = (1u128..).find(|id| map.shard_of(*id) == 1).unwrap();
        (first[0], b, first[1])
    }

    #[test]
    fn local_units_of_one_shard_share_a_level() {
        check(1, vec![pay(1, 5, 6), pay(2, 6, 7), pay(3, 5, 7)], &[], false, &[&[0, 1, 2]]);
    }

    #[test]
    fn a_unit_that_depends_on_a_cross_shard_one_waits() {
        let (a, b, c) = accounts();
        check(2, vec![pay(1, a, b), pay(2, a, c), pay(3, b, c)], &[], false, &[&[0], &[1], &[2]]);
    }

    #[test]
    fn accounts_without_limits_do_not_make_units_wait() {
        let (a, b, c) = accounts();
        check(2, vec![pay(1, a, b), pay(2, a, b), pay(3, c, b)], &[a, b, c], false, &[&[0, 1, 2]]);
    }

    #[test]
    fn independent_events_wait_only_for_their_own_ids() {
        let (a, b, _) = accounts();
        check(2, vec![pay(1, a, b), pay(2, a, b), pay(1, a, b)], &[], true, &[&[0, 1], &[2]]);
    }

    #[test]
    fn a_huge_amount_waits_because_it_might_overflow() {
        let (a, b, _) = accounts();
        let huge = Transfer { amount: u128::MAX, ..pay(2, a, b) };
        check(2, vec![pay(1, a, b), huge, pay(3, a, b)], &[a, b], false, &[&[0], &[1], &[2]]);
    }
}
