//! A naive ledger on one machine, written straight from docs/SEMANTICS.md, sections 1 to 7: the oracle.
//!
//! It owns no cleverness that could be wrong: ordered maps, lists that are searched from end to end, and a copy of the whole
//! state before each linked chain. It shares no code with the ledger but the types and the filters' matching.

mod accounts;
mod exists;
mod reads;
mod request;
mod resolve;
mod transfers;

use std::collections::{BTreeMap, BTreeSet};

use crest_ledger::{
    Account, AccountBalance, AccountFilter, AccountFlags, AccountStatus, QueryFilter, Timestamp, Transfer,
    TransferFlags, TransferStatus,
};

use crate::subject::Subject;

/// What became of a pending transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Pending,
    Posted,
    Voided,
    Expired,
}

/// The balances of an account with `history` right after a transfer.
#[derive(Clone, Copy, Debug)]
struct Row {
    account_id: u128,
    transfer_id: u128,
    balance: AccountBalance,
}

/// Everything that a failed chain undoes.
#[derive(Clone, Debug, Default)]
struct State {
    accounts: BTreeMap<u128, Account>,
    transfers: BTreeMap<u128, Transfer>,
    /// Of every pending transfer.
    fates: BTreeMap<u128, Fate>,
    rows: Vec<Row>,
}

/// The naive ledger.
#[derive(Clone, Debug)]
pub struct Model {
    state: State,
    /// The ids that failed with a transient status.
    burned: BTreeSet<u128>,
    now: Timestamp,
    /// The last timestamp that was given.
    last: Timestamp,
    /// From one timestamp to the next at the least, ns.
    step: u64,
}

impl Model {
    /// An empty ledger whose time is `now`, ns.
    pub fn at(now: Timestamp) -> Self {
        Self { state: State::default(), burned: BTreeSet::new(), now, last: 0, step: 1 }
    }

    /// The same, with a clock that goes in steps of `step` ns, at least 1: it runs ahead of the time while a request is
    /// applied, as a shard's does.
    pub fn in_steps(now: Timestamp, step: u64) -> Self {
        Self { step: step.max(1), ..Self::at(now) }
    }

    /// The time of the next event: a step after the last one, or now.
    fn tick(&mut self) -> Timestamp {
        self.last = (self.last + self.step).max(self.now);
        self.state.expire(self.last);
        self.last
    }
}

impl State {
    /// Releases every reservation whose last instant is over at `now`.
    fn expire(&mut self, now: Timestamp) {
        let pending = self.fates.iter().filter(|(_, fate)| **fate == Fate::Pending).map(|(id, _)| *id);
        let due: Vec<_> = pending.filter(|id| self.transfers[id].expires_at().is_some_and(|t| t <= now)).collect();
        for id in due {
            let transfer = self.transfers[&id];
            self.release(&transfer);
            self.fates.insert(id, Fate::Expired);
        }
    }

    /// Takes a pending transfer's amount out of the pending balances, and opens again what it has closed.
    fn release(&mut self, pending: &Transfer) {
        self.change(pending.debit_account_id, |a| {
            a.debits_pending -= pending.amount;
            if pending.flags.any(TransferFlags::CLOSING_DEBIT) {
                a.flags.set(AccountFlags::CLOSED, false);
            }
        });
        self.change(pending.credit_account_id, |a| {
            a.credits_pending -= pending.amount;
            if pending.flags.any(TransferFlags::CLOSING_CREDIT) {
                a.flags.set(AccountFlags::CLOSED, false);
            }
        });
    }

    fn change(&mut self, id: u128, change: impl FnOnce(&mut Account)) {
        let account =
            self.accounts.get_mut(&id).expect("the accounts of a stored transfer exist and are never deleted");
        change(account);
    }

    /// Stores a transfer whose money has been moved, and the balances of its accounts that keep a history.
    fn record(&mut self, transfer: Transfer) {
        self.transfers.insert(transfer.id, transfer);
        for account_id in [transfer.debit_account_id, transfer.credit_account_id] {
            let a = self.accounts[&account_id];
            if a.flags.any(AccountFlags::HISTORY) {
                let balance = AccountBalance {
                    debits_pending: a.debits_pending,
                    debits_posted: a.debits_posted,
                    credits_pending: a.credits_pending,
                    credits_posted: a.credits_posted,
                    timestamp: transfer.timestamp,
                };
                self.rows.push(Row { account_id, transfer_id: transfer.id, balance });
            }
        }
    }
}

impl Subject for Model {
    fn create_accounts(&mut self, events: &[Account]) -> Vec<AccountStatus> {
        self.request(events)
    }

    fn create_transfers(&mut self, events: &[Transfer]) -> Vec<TransferStatus> {
        self.request(events)
    }

    fn lookup_accounts(&mut self, ids: &[u128]) -> Vec<Account> {
        ids.iter().filter_map(|id| self.state.accounts.get(id).copied()).collect()
    }

    fn lookup_transfers(&mut self, ids: &[u128]) -> Vec<Transfer> {
        ids.iter().filter_map(|id| self.state.transfers.get(id).copied()).collect()
    }

    fn account_transfers(&mut self, filter: &AccountFilter) -> Vec<Transfer> {
        self.state.account_transfers(filter)
    }

    fn account_balances(&mut self, filter: &AccountFilter) -> Vec<AccountBalance> {
        self.state.account_balances(filter)
    }

    fn query_accounts(&mut self, filter: &QueryFilter) -> Vec<Account> {
        self.state.query_accounts(filter)
    }

    fn query_transfers(&mut self, filter: &QueryFilter) -> Vec<Transfer> {
        self.state.query_transfers(filter)
    }

    fn advance(&mut self, nanoseconds: u64) {
        self.now = self.now().saturating_add(nanoseconds);
        self.state.expire(self.now);
    }

    fn now(&mut self) -> Timestamp {
        self.now.max(self.last)
    }
}
