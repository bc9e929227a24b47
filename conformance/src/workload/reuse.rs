//! Ids that come again within one request, in every way.
//!
//! Between requests an id stays with its accounts: a shard looks only among its own transfers, so what it answers to the
//! same id between other accounts depends on where accounts live. Within a request it must not (docs/SEMANTICS.md, section 8).

use crest_ledger::{Transfer, TransferStatus as S};

use super::generate::Generator;

/// What the events of a request so far have used up.
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// That no earlier request had.
    pub(super) new: Vec<u128>,
    /// That a post or void has named, and no event has had yet.
    awaited: Vec<u128>,
}

impl Generator<'_> {
    /// An event with an id that an earlier event of the request has or names.
    pub(super) fn reused(&mut self, before: &[Transfer]) -> Option<Transfer> {
        let new: Vec<Transfer> = before.iter().filter(|t| self.ids.new.contains(&t.id)).copied().collect();
        let first = self.random.pick(&new)?;
        Some(match self.random.below(16) {
            0..=5 => Transfer { id: first.id, ..self.elsewhere() },
            6 => first,
            7..=10 => {
                let pending = if self.random.chance(50) { first } else { self.elsewhere() };
                Transfer { pending_id: first.id, ..self.resolution_of(&pending) }
            }
            11 | 12 => {
                let pending = self.random.pick(before).unwrap_or(first);
                Transfer { id: first.id, ..self.resolution_of(&pending) }
            }
            13 => {
                let awaited = self.new_id();
                self.ids.awaited.push(awaited);
                let pending = self.elsewhere();
                Transfer { pending_id: awaited, ..self.resolution_of(&pending) }
            }
            14 => Transfer { id: self.ids.awaited.pop().unwrap_or(first.id), ..self.elsewhere() },
            _ => Transfer { id: first.id, pending_id: first.id, ..self.resolution_of(&first) },
        })
    }

    /// A payment or a pending transfer between any accounts, often with a fault that leaves its id free.
    fn elsewhere(&mut self) -> Transfer {
        let mut event = if self.random.chance(30) { self.payment(0) } else { self.hold(0) };
        if self.random.chance(40) {
            event.code = 0;
        }
        event
    }
}

/// Whether event `at` may be sent again in a later request: its id stands for it from now on, not for another one.
pub(super) fn is_the_one(events: &[Transfer], statuses: &[S], at: usize) -> bool {
    let same_id = || events.iter().enumerate().filter(|(_, t)| t.id == events[at].id);
    same_id().all(|(_, t)| place(t) == place(&events[at]))
        || same_id().find(|(n, _)| settles(statuses[*n])).is_some_and(|(n, _)| n == at)
}

/// Whether the whole request may be sent again: what an id stands for was said by the first event that has it.
pub(super) fn may_be_sent_again(events: &[Transfer], statuses: &[S]) -> bool {
    let first = |t: &Transfer| events.iter().position(|first| first.id == t.id).unwrap_or_default();
    events.iter().all(|t| place(t) == place(&events[first(t)]) || settles(statuses[first(t)]))
}

/// What decides on which shards an event belongs.
fn place(t: &Transfer) -> (u128, u128, u128, bool) {
    (t.debit_account_id, t.credit_account_id, t.pending_id, t.resolves())
}

/// Whether an event with this answer says for good what its id stands for: a transfer, or a failure.
fn settles(status: S) -> bool {
    let exists = S::ExistsWithDifferentFlags..=S::Exists;
    status == S::Created || exists.contains(&status) || status.is_transient() || status == S::IdAlreadyFailed
}
