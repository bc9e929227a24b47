//! A case: a sentence about the ledger, and the steps that prove it.

use crest_ledger::limits::{BATCH_EVENTS_MAX, TIMESTAMP_MAX};
use crest_ledger::{AccountFilter, Conditions, Page, QueryFilter, Rehearsals, Timestamp};

use crate::event::{AccountEvent, Moment, TransferEvent};

/// A sentence about the ledger, and the steps that prove it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The sentence.
    pub name: &'static str,
    /// Needs a subject without any other case's objects: it looks at everything, moves time by centuries, or books so much
    /// that sums over the whole ledger would overflow together with another case's.
    pub needs_fresh: bool,
    /// Needs all its accounts on one shard, since the rule that it examines holds per shard.
    pub needs_one_shard: bool,
    /// What is done, and what must be seen.
    pub steps: Vec<Step>,
}

/// One request, or one look, of a case. Ids are the case's small numbers.
#[derive(Clone, Debug)]
pub enum Step {
    /// One request; each event knows its answer.
    CreateAccounts(Vec<AccountEvent>),
    /// One request; each event knows its answer.
    CreateTransfers(Vec<TransferEvent>),
    /// The account has these balances: debits pending and posted, credits pending and posted.
    Balances(u128, [u128; 4]),
    /// The account is stored like this. The timestamp is compared when it is imported.
    AccountIs(AccountEvent),
    /// The transfer is stored like this. The timestamp is compared when it is imported.
    TransferIs(TransferEvent),
    /// A lookup of the first ids finds the second ones, in this order.
    LookupAccounts(Vec<u128>, Vec<u128>),
    /// A lookup of the first ids finds the second ones, in this order.
    LookupTransfers(Vec<u128>, Vec<u128>),
    /// Time passes, ns.
    Advance(u64),
    /// Time passes until this moment, which must not lie in the past.
    AdvanceTo(Moment),
    /// The account's list has these transfers, in this order.
    AccountTransfers(Selection, Vec<u128>),
    /// The account's balances have these rows, in this order, each with the timestamp of its transfer.
    AccountBalances(Selection, Vec<[u128; 4]>),
    /// The query finds these accounts, in this order.
    QueryAccounts(Selection, Vec<u128>),
    /// The query finds these transfers, in this order.
    QueryTransfers(Selection, Vec<u128>),
}

/// What to list or to query.
#[derive(Clone, Copy, Debug)]
pub struct Selection {
    account: u128,
    conditions: Conditions,
    without_debits: bool,
    without_credits: bool,
    min: Option<Moment>,
    max: Option<Moment>,
    newest_first: bool,
    limit: u32,
}

/// All of one account's transfers or balances since the case began, oldest first.
pub fn list(account: u128) -> Selection {
    Selection { account, ..query() }
}

/// All accounts or transfers since the case began, oldest first.
pub fn query() -> Selection {
    Selection {
        account: 0,
        conditions: Conditions::default(),
        without_debits: false,
        without_credits: false,
        min: Some(Moment::Millis(0)),
        max: None,
        newest_first: false,
        limit: BATCH_EVENTS_MAX as u32,
    }
}

macro_rules! conditions {
    ($($name:ident: $ty:ty;)*) => {$(
        #[doc = concat!("Only those with this `", stringify!($name), "`.")]
        pub fn $name(mut self, value: $ty) -> Self {
            self.conditions.$name = value;
            self
        }
    )*};
}

impl Selection {
    conditions! { user_data_128: u128; user_data_64: u64; user_data_32: u32; ledger: u32; code: u16; rehearsals: Rehearsals; }

    /// Only those that debit the account.
    pub fn debits(self) -> Self {
        Self { without_credits: true, ..self }
    }

    /// Only those that credit the account.
    pub fn credits(self) -> Self {
        Self { without_debits: true, ..self }
    }

    /// From this moment on, inclusive.
    pub fn from(self, moment: Moment) -> Self {
        Self { min: Some(moment), ..self }
    }

    /// Up to this moment, inclusive.
    pub fn until(self, moment: Moment) -> Self {
        Self { max: Some(moment), ..self }
    }

    /// From the beginning of time. For fresh subjects.
    pub fn open(self) -> Self {
        Self { min: None, ..self }
    }

    /// The newest first.
    pub fn newest_first(self) -> Self {
        Self { newest_first: true, ..self }
    }

    /// So many rows at the most.
    pub fn limit(self, limit: u32) -> Self {
        Self { limit, ..self }
    }

    /// The account whose list it is, as the case's small number.
    pub(crate) fn account(&self) -> u128 {
        self.account
    }

    /// Which part of the list, in the times that `when` knows.
    pub(crate) fn page(&self, mut when: impl FnMut(Moment) -> Timestamp) -> Page {
        Page {
            timestamp_min: self.min.map_or(0, &mut when),
            timestamp_max: self.max.map_or(TIMESTAMP_MAX, &mut when),
            newest_first: self.newest_first,
            limit: self.limit,
        }
    }

    /// As a filter over the account with this real id.
    pub(crate) fn account_filter(&self, account_id: u128, page: Page) -> AccountFilter {
        AccountFilter {
            account_id,
            conditions: self.conditions,
            without_debits: self.without_debits,
            without_credits: self.without_credits,
            page,
        }
    }

    /// As a query.
    pub(crate) fn query_filter(&self, page: Page) -> QueryFilter {
        QueryFilter { conditions: self.conditions, page }
    }
}

impl Case {
    /// A case without steps.
    pub fn new(name: &'static str) -> Self {
        Self { name, needs_fresh: false, needs_one_shard: false, steps: Vec::new() }
    }

    /// Needs a fresh subject.
    pub fn fresh(self) -> Self {
        Self { needs_fresh: true, ..self }
    }

    /// Needs all its accounts on one shard.
    pub fn one_shard(self) -> Self {
        Self { needs_one_shard: true, ..self }
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// One request to create accounts.
    pub fn accounts(self, events: impl IntoIterator<Item = AccountEvent>) -> Self {
        self.step(Step::CreateAccounts(events.into_iter().collect()))
    }

    /// One request to create transfers.
    pub fn transfers(self, events: impl IntoIterator<Item = TransferEvent>) -> Self {
        self.step(Step::CreateTransfers(events.into_iter().collect()))
    }

    /// A request for each transfer, so that nothing but the order of the answers orders them.
    pub fn one_by_one(self, events: impl IntoIterator<Item = TransferEvent>) -> Self {
        events.into_iter().fold(self, |case, event| case.transfers([event]))
    }

    /// See [`Step::Balances`].
    pub fn balances(self, account: u128, balances: [u128; 4]) -> Self {
        self.step(Step::Balances(account, balances))
    }

    /// See [`Step::AccountIs`].
    pub fn account_is(self, account: AccountEvent) -> Self {
        self.step(Step::AccountIs(account))
    }

    /// See [`Step::TransferIs`].
    pub fn transfer_is(self, transfer: TransferEvent) -> Self {
        self.step(Step::TransferIs(transfer))
    }

    /// The account does not exist.
    pub fn no_account(self, id: u128) -> Self {
        self.looks_up_accounts([id], [])
    }

    /// The transfer does not exist.
    pub fn no_transfer(self, id: u128) -> Self {
        self.looks_up_transfers([id], [])
    }

    /// See [`Step::LookupAccounts`].
    pub fn looks_up_accounts<const N: usize, const M: usize>(self, asked: [u128; N], found: [u128; M]) -> Self {
        self.step(Step::LookupAccounts(asked.into(), found.into()))
    }

    /// See [`Step::LookupTransfers`].
    pub fn looks_up_transfers<const N: usize, const M: usize>(self, asked: [u128; N], found: [u128; M]) -> Self {
        self.step(Step::LookupTransfers(asked.into(), found.into()))
    }

    /// Time passes, in seconds.
    pub fn advance(self, seconds: u64) -> Self {
        self.step(Step::Advance(seconds * 1_000_000_000))
    }

    /// Time passes until this moment.
    pub fn advance_to(self, moment: Moment) -> Self {
        self.step(Step::AdvanceTo(moment))
    }

    /// See [`Step::AccountTransfers`].
    pub fn lists<const N: usize>(self, what: Selection, transfers: [u128; N]) -> Self {
        self.step(Step::AccountTransfers(what, transfers.into()))
    }

    /// See [`Step::AccountBalances`].
    pub fn rows<const N: usize>(self, what: Selection, rows: [[u128; 4]; N]) -> Self {
        self.step(Step::AccountBalances(what, rows.into()))
    }

    /// See [`Step::QueryAccounts`].
    pub fn finds_accounts<const N: usize>(self, what: Selection, accounts: [u128; N]) -> Self {
        self.step(Step::QueryAccounts(what, accounts.into()))
    }

    /// See [`Step::QueryTransfers`].
    pub fn finds_transfers<const N: usize>(self, what: Selection, transfers: [u128; N]) -> Self {
        self.step(Step::QueryTransfers(what, transfers.into()))
    }
}
