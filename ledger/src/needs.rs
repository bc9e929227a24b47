//! Which records a command touches: the shell loads them before the command is applied.

use crate::clock::Timestamp;
use crate::record;
use crate::records::IdState;
use crate::tables::Tables;
use crate::txn::{Event, Outcome, Step, TxnId};
use crate::verbs::resolve::ResolveRequest;
use crate::{Account, AccountFlags, Transfer, TransferFlags};

/// What has to be loaded. The same key may stand in it more than once.
#[derive(Debug, Default)]
pub struct Needs {
    /// Accounts by id.
    pub accounts: Vec<u128>,
    /// Transfer ids.
    pub ids: Vec<u128>,
    /// Transfer records by timestamp.
    pub transfers: Vec<Timestamp>,
    /// Instants for which to say whether an account was created then (imported events only).
    pub account_times: Vec<Timestamp>,
    /// The rows of an account's history after an instant, with their records.
    pub history_after: Vec<(u128, Timestamp)>,
}

impl Needs {
    /// Whether everything is loaded.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.ids.is_empty() && self.transfers.is_empty() && self.history_after.is_empty()
    }

    /// Forgets all, and keeps the memory.
    pub fn clear(&mut self) {
        self.accounts.clear();
        self.ids.clear();
        self.transfers.clear();
        self.account_times.clear();
        self.history_after.clear();
    }

    fn account(&mut self, tables: &Tables, id: u128) {
        if tables.lacks_account(id) {
            self.accounts.push(id);
        }
    }

    /// An id, its record, and when that is a post or void, the same of what it resolved.
    fn id(&mut self, tables: &Tables, id: u128) -> Option<Transfer> {
        if tables.lacks_id(id) {
            self.ids.push(id);
            return None;
        }
        let entry = tables.id(id).filter(|e| e.state != IdState::Failed)?;
        if tables.lacks_transfer(entry.timestamp) {
            self.transfers.push(entry.timestamp);
            return None;
        }
        tables.transfer_at(entry.timestamp).map(|r| r.transfer)
    }

    fn pending(&mut self, tables: &Tables, id: u128) {
        if let Some(pending) = self.id(tables, id) {
            self.account(tables, pending.debit_account_id);
            self.account(tables, pending.credit_account_id);
        }
    }

    /// What steps touch.
    pub fn steps(&mut self, tables: &Tables, steps: &[Step]) {
        for step in steps {
            match &step.event {
                Event::Account(a) => self.new_account(tables, a),
                Event::Transfer(t) => self.new_transfer(tables, t),
            }
        }
    }

    fn new_account(&mut self, tables: &Tables, a: &Account) {
        self.account(tables, a.id);
        if a.flags.any(AccountFlags::IMPORTED) && tables.lacks_transfer(a.timestamp) {
            self.transfers.push(a.timestamp);
        }
    }

    fn new_transfer(&mut self, tables: &Tables, t: &Transfer) {
        if let Some(existing) = self.id(tables, t.id)
            && existing.resolves()
        {
            self.id(tables, existing.pending_id);
        }
        if t.resolves() {
            self.pending(tables, t.pending_id);
        } else {
            self.account(tables, t.debit_account_id);
            self.account(tables, t.credit_account_id);
        }
        if t.flags.any(TransferFlags::IMPORTED) {
            self.account_times.push(t.timestamp);
            if tables.lacks_transfer(t.timestamp) {
                self.transfers.push(t.timestamp);
            }
            let pending = if t.resolves() { self.id(tables, t.pending_id) } else { None };
            let accounts = pending.as_ref().unwrap_or(t);
            for id in [accounts.debit_account_id, accounts.credit_account_id] {
                self.history(tables, id, t.timestamp);
            }
        }
    }

    /// What ending a hold touches.
    pub fn finish(&mut self, tables: &Tables, txn: &TxnId, outcome: &Outcome) {
        match outcome {
            Outcome::Released { burned_id } if *burned_id != 0 => {
                self.id(tables, *burned_id);
            }
            Outcome::Released { .. } => {}
            Outcome::Expired(at) => {
                self.pending(tables, txn.first_id);
                if let Some(pending) = self.id(tables, txn.first_id) {
                    self.history(tables, pending.credit_account_id, *at);
                }
            }
            Outcome::Committed(commits) => {
                let Some(hold) = tables.holds().get(txn) else { return };
                self.steps(tables, &hold.steps);
                for step in &hold.steps {
                    let (Event::Transfer(t), Some(commit)) = (&step.event, commits.get(usize::from(step.index))) else {
                        continue;
                    };
                    let (mut debit, mut credit) = (t.debit_account_id, t.credit_account_id);
                    if t.resolves() {
                        let Some(p) = self.id(tables, t.pending_id) else { continue };
                        (debit, credit) = (p.debit_account_id, p.credit_account_id);
                    }
                    let at = record::event_timestamp(&step.event, commit.timestamp);
                    for (here, id) in [(step.sides.debit(), debit), (step.sides.credit(), credit)] {
                        if here {
                            self.history(tables, id, at);
                        }
                    }
                }
            }
        }
    }

    /// The rows above an instant, for accounts that keep a history and have newer records.
    fn history(&mut self, tables: &Tables, account_id: u128, at: Timestamp) {
        if tables.lacks_account(account_id) || tables.has_history_after(account_id, at) {
            return;
        }
        let keeps = tables.account(account_id).is_some_and(|a| a.flags.any(AccountFlags::HISTORY));
        if keeps && at < tables.now() {
            self.history_after.push((account_id, at));
        }
    }

    /// What the expiry of pending transfers touches.
    pub fn expire(&mut self, tables: &Tables, ids: &[u128]) {
        ids.iter().for_each(|id| self.pending(tables, *id));
    }

    /// The same, when `txn` is an attempt to expire one.
    pub fn expiry(&mut self, tables: &Tables, txn: &TxnId) {
        if txn.is_expiry() {
            self.pending(tables, txn.first_id);
        }
    }

    /// What resolving an attempt touches: what it was to do may be recorded.
    pub fn resolve(&mut self, tables: &Tables, request: &ResolveRequest) {
        let id = request.txn.first_id;
        if request.of_account {
            self.account(tables, id);
        } else if tables.lacks_id(id) {
            self.ids.push(id);
        }
    }

    /// What remembering a failed id touches.
    pub fn burn(&mut self, tables: &Tables, id: u128) {
        if id != 0 {
            self.id(tables, id);
        }
    }
}
