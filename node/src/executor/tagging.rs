//! Whose the events of a command are, for the metrics.
//!
//! What a step names is known before the command is applied. A post or void need not name a ledger number: then it is that of
//! its pending transfer, which may come about in the same command, so it is looked up again afterwards.

use crest_ledger::command::Command;
use crest_ledger::tables::Tables;
use crest_ledger::txn::{Event, Step};
use crest_ledger::{Traffic, TransferFlags};

/// Whose the parts of one command are. It is used again for the next one, and keeps its memory.
#[derive(Debug, Default)]
pub(super) struct Tags {
    /// For each part that has an answer of its own (a step of a create, an attempt of a prepare, decide or finish, a due
    /// transfer): whose it is, and how many events it has.
    parts: Vec<(Traffic, u32)>,
    /// Which parts name no ledger number, and the pending transfers that they speak of.
    unnamed: Vec<(usize, u128)>,
}

impl Tags {
    /// Notes a command that is about to be applied, with all that it touches loaded.
    pub(super) fn note(&mut self, command: &Command, tables: &Tables) {
        self.parts.clear();
        self.unnamed.clear();
        match command {
            Command::Create(steps) => steps.iter().for_each(|step| self.step(step, tables)),
            Command::Prepare(requests) => requests.iter().for_each(|r| self.attempt(&r.steps, r.steps.len(), tables)),
            Command::Decide(requests) => requests.iter().for_each(|r| match r.txn.is_expiry() {
                true => self.push(tables.ledger_of(r.txn.first_id).unwrap_or(0), r.events.len()),
                false => self.attempt(&r.steps, r.events.len(), tables),
            }),
            Command::Finish(ends) => ends.iter().for_each(|(txn, outcome)| {
                let events = outcome.events();
                match tables.holds().get(txn) {
                    Some(_) if txn.is_expiry() => self.push(tables.ledger_of(txn.first_id).unwrap_or(0), events),
                    Some(hold) => self.attempt(&hold.steps, events, tables),
                    None => self.push(0, events),
                }
            }),
            Command::Expire(due) => due.iter().for_each(|id| self.push(tables.ledger_of(*id).unwrap_or(0), 1)),
            _ => {}
        }
    }

    /// Looks up what was not known before the command was applied.
    pub(super) fn settle(&mut self, tables: &Tables) {
        for (at, pending_id) in self.unnamed.drain(..) {
            self.parts[at].0 = Traffic::of(tables.ledger_of(pending_id).unwrap_or(0));
        }
    }

    /// Whose each part is, and how many events it has; empty for a command that names attempts or ids only.
    pub(super) fn parts(&self) -> &[(Traffic, u32)] {
        &self.parts
    }

    fn push(&mut self, ledger: u32, events: usize) {
        self.parts.push((Traffic::of(ledger), u32::try_from(events).unwrap_or(u32::MAX)));
    }

    fn step(&mut self, step: &Step, tables: &Tables) {
        let ledger = ledger_of(step, tables);
        if let (0, Event::Transfer(t)) = (ledger, &step.event)
            && t.flags.any(TransferFlags::RESOLVES)
        {
            self.unnamed.push((self.parts.len(), t.pending_id));
        }
        self.push(ledger, 1);
    }

    fn attempt(&mut self, steps: &[Step], events: usize, tables: &Tables) {
        let traffic = Traffic::of_all(steps.iter().map(|step| ledger_of(step, tables)));
        self.parts.push((traffic, u32::try_from(events).unwrap_or(u32::MAX)));
    }
}

/// The ledger number that a step names, or that of the pending transfer that it speaks of; 0 when nobody knows.
fn ledger_of(step: &Step, tables: &Tables) -> u32 {
    match (step.ledger(), &step.event) {
        (0, Event::Transfer(t)) if t.flags.any(TransferFlags::RESOLVES) => tables.ledger_of(t.pending_id).unwrap_or(0),
        (ledger, _) => ledger,
    }
}
