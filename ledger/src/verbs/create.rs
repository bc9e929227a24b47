//! Create: events whose accounts all live on this shard, in order, each seeing the ones before.

use super::{Done, burn, burned_id, try_event};
use crate::checks::resolve::pending_of;
use crate::tables::{Map, Tables};
use crate::txn::{Event, EventResult, Step, Verdict};

/// Creates accounts or transfers; one result for each step, in order. A run of linked steps is all or nothing.
///
/// An event that a transfer in doubt stands in the way of is `blocked`, and so is every later one that touches the same
/// accounts or ids: order among events that depend on each other is kept when the caller sends the blocked ones again.
pub fn create(tables: &mut Tables, steps: &[Step]) -> Vec<EventResult> {
    let mut results = Vec::with_capacity(steps.len());
    let mut blocked = Keys::default();
    let mut rest = steps;
    while !rest.is_empty() {
        let len = rest.iter().position(|s| !s.linked()).map_or(rest.len(), |last| last + 1);
        let (unit, tail) = rest.split_at(len);
        rest = tail;
        if blocked.touch(tables, unit) {
            blocked.add(tables, unit);
            results.extend(unit.iter().map(|_| EventResult::blocked()));
            continue;
        }
        let before = results.len();
        match unit {
            [step] => single(tables, step, &mut results),
            _ => chain(tables, unit, &mut results),
        }
        if results[before].is_blocked() {
            blocked.add(tables, unit);
        }
    }
    results
}

fn single(tables: &mut Tables, step: &Step, results: &mut Vec<EventResult>) {
    let at = tables.tick();
    results.push(match try_event(tables, step, at) {
        Verdict::Accept(Done { timestamp, .. }) => EventResult { status: EventResult::CREATED, timestamp },
        Verdict::Refuse(r) => {
            burn(tables, burned_id(step.id(), r.status));
            EventResult { status: r.status, timestamp: r.timestamp }
        }
        Verdict::Blocked => EventResult::blocked(),
    });
}

fn chain(tables: &mut Tables, unit: &[Step], results: &mut Vec<EventResult>) {
    let before = results.len();
    tables.begin();
    for (i, step) in unit.iter().enumerate() {
        let at = tables.tick();
        match try_event(tables, step, at) {
            Verdict::Accept(Done { timestamp, .. }) => {
                results.push(EventResult { status: EventResult::CREATED, timestamp });
            }
            Verdict::Refuse(r) => {
                tables.rollback();
                burn(tables, burned_id(step.id(), r.status));
                results.truncate(before);
                let culprit = EventResult { status: r.status, timestamp: r.timestamp };
                results.extend(chain_results(unit, i, culprit));
                return;
            }
            Verdict::Blocked => {
                tables.rollback();
                results.truncate(before);
                results.extend(unit.iter().map(|_| EventResult::blocked()));
                return;
            }
        }
    }
    tables.keep();
    tables.note_chain(results[before..].iter().map(|result| result.timestamp));
}

/// The results of a chain that failed at `culprit`: its own status there, `linked_event_failed` elsewhere, and at the end
/// of an open chain always that it is open.
pub fn chain_results(unit: &[Step], culprit: usize, result: EventResult) -> impl Iterator<Item = EventResult> {
    let failed = EventResult { status: EventResult::LINKED_EVENT_FAILED, timestamp: result.timestamp };
    let open = unit.last().is_some_and(Step::linked);
    let last = unit.len() - 1;
    let chain_open = crate::TransferStatus::LinkedEventChainOpen as u8;
    (0..unit.len()).map(move |i| match i {
        i if i == culprit => result,
        i if i == last && open => EventResult { status: chain_open, timestamp: result.timestamp },
        _ => failed,
    })
}

/// What blocked events touch. Empty, and free of cost, unless something is blocked.
#[derive(Default)]
struct Keys(Map<u128, ()>);

impl Keys {
    fn of(tables: &Tables, step: &Step) -> [u128; 4] {
        match &step.event {
            Event::Account(a) => [a.id, 0, 0, 0],
            Event::Transfer(t) => {
                let pending = pending_of(tables, t.pending_id_if_resolving()).map(|(p, _)| p);
                let accounts = pending.as_ref().unwrap_or(t);
                [t.id, t.pending_id, accounts.debit_account_id, accounts.credit_account_id]
            }
        }
    }

    fn touch(&self, tables: &Tables, unit: &[Step]) -> bool {
        let mut keys = unit.iter().flat_map(|step| Self::of(tables, step));
        !self.0.is_empty() && keys.any(|k| k != 0 && self.0.contains_key(&k))
    }

    fn add(&mut self, tables: &Tables, unit: &[Step]) {
        let keys = unit.iter().flat_map(|step| Self::of(tables, step));
        self.0.extend(keys.filter(|k| *k != 0).map(|k| (k, ())));
    }
}
