//! What the clients of a run saw.

use std::sync::Mutex;

use crest_ledger::txn::EventResult;
use crest_ledger::{Account, AccountBalance, Timestamp, Transfer};

use crate::world::lock;

/// One try of a request: what was sent, what came back, and when (virtual ns).
#[derive(Clone, Debug)]
pub(crate) struct Try<E> {
    /// Tries of the same request have the same number.
    pub(crate) request: u64,
    pub(crate) events: Vec<E>,
    /// Which router was asked, and how many it had been before.
    pub(crate) router: (u32, u64),
    pub(crate) invoked: u64,
    pub(crate) answered: u64,
    pub(crate) outcome: Outcome,
}

/// How a try ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// One result an event.
    Done(Vec<EventResult>),
    /// Nothing of it was or will be applied.
    Refused,
    /// It may have been applied, or may still be.
    Unknown,
}

/// What a reader got.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    /// The balances of all accounts at an instant.
    Accounts { invoked: u64, ids: Vec<u128>, found: Vec<Account>, at: Timestamp },
    /// The balances of some accounts at an instant that the reader named, from replicas that need not lead.
    AtInstant { ids: Vec<u128>, found: Vec<Account>, at: Timestamp },
    /// Transfers by id.
    Transfers { invoked: u64, ids: Vec<u128>, found: Vec<Transfer> },
    /// One account's transfers, oldest first.
    List { invoked: u64, account_id: u128, found: Vec<Transfer> },
    /// One account's balances, oldest first.
    Balances { account_id: u128, found: Vec<AccountBalance> },
}

/// The history of a run. Its order is that in which things ended.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) transfers: Mutex<Vec<Try<Transfer>>>,
    pub(crate) accounts: Mutex<Vec<Try<Account>>>,
    pub(crate) reads: Mutex<Vec<Read>>,
}

impl History {
    pub(crate) fn transfers(&self) -> Vec<Try<Transfer>> {
        lock(&self.transfers).clone()
    }

    pub(crate) fn accounts(&self) -> Vec<Try<Account>> {
        lock(&self.accounts).clone()
    }

    pub(crate) fn reads(&self) -> Vec<Read> {
        lock(&self.reads).clone()
    }
}
