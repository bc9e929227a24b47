//! What has to be the same on the model and on the subject, and how a difference is reported.

use std::fmt::Debug;

use crest_ledger::limits::BATCH_EVENTS_MAX;
use crest_ledger::{
    Account, AccountBalance, AccountFilter, AccountFlags, Conditions, Page, QueryFilter, Rehearsals, Timestamp,
    Transfer,
};

use super::generate::Generator;
use crate::model::Model;
use crate::subject::Subject;

/// Rows that a list may have and still be compared: one page.
const ROWS_MAX: usize = BATCH_EVENTS_MAX;

pub(super) struct Comparison {
    pub(super) seed: u64,
    pub(super) start: Timestamp,
    pub(super) step: usize,
    pub(super) what: String,
}

impl Comparison {
    pub(super) fn statuses<S: PartialEq + Debug>(&self, expected: &[S], got: &[S]) {
        self.same("the statuses", &expected, &got);
    }

    /// The accounts, without timestamps.
    pub(super) fn accounts(&self, model: &mut Model, subject: &mut dyn Subject, ids: &[u128]) {
        let (expected, got) = (model.lookup_accounts(ids), subject.lookup_accounts(ids));
        self.same_accounts("lookup_accounts", &expected, &got);
    }

    /// Transfers, lists, rows and queries.
    pub(super) fn all(&self, model: &mut Model, subject: &mut dyn Subject, generator: &Generator<'_>) {
        for ids in generator.transfer_ids().chunks(BATCH_EVENTS_MAX) {
            let (expected, got) = (model.lookup_transfers(ids), subject.lookup_transfers(ids));
            self.same_transfers("lookup_transfers", &expected, &got);
        }
        for account in model.lookup_accounts(generator.account_ids()) {
            self.lists(model, subject, &account);
        }
        for (code, rehearsals) in (1..=3).flat_map(|code| Rehearsals::ALL.map(|rehearsals| (code, rehearsals))) {
            let conditions = Conditions { code, rehearsals, ..Conditions::default() };
            let filter = QueryFilter { conditions, page: self.page() };
            let (mut expected, mut got) = (model.query_transfers(&filter), subject.query_transfers(&filter));
            if expected.len() < ROWS_MAX {
                self.increasing("query_transfers", got.iter().map(|t| t.timestamp));
                expected.sort_by_key(|t| t.id);
                got.sort_by_key(|t| t.id);
                self.same_transfers(
                    &format!("query_transfers by code {code}, rehearsals {rehearsals:?}, sorted by id"),
                    &expected,
                    &got,
                );
            }
            let (mut expected, mut got) = (model.query_accounts(&filter), subject.query_accounts(&filter));
            self.increasing("query_accounts", got.iter().map(|a| a.timestamp));
            expected.sort_by_key(|a| a.id);
            got.sort_by_key(|a| a.id);
            self.same_accounts(
                &format!("query_accounts by code {code}, rehearsals {rehearsals:?}, sorted by id"),
                &expected,
                &got,
            );
        }
    }

    fn lists(&self, model: &mut Model, subject: &mut dyn Subject, account: &Account) {
        let filter = AccountFilter { account_id: account.id, page: self.page(), ..AccountFilter::default() };
        let (mut expected, mut got) = (model.account_transfers(&filter), subject.account_transfers(&filter));
        if expected.len() >= ROWS_MAX {
            return;
        }
        let name = format!("account_transfers of {:#x}", account.id);
        self.increasing(&name, got.iter().map(|t| t.timestamp));
        let stamps: Vec<_> = got.iter().map(|t| t.timestamp).collect();
        if account.flags.any(AccountFlags::HISTORY) {
            self.same_transfers(&name, &expected, &got);
        } else {
            expected.sort_by_key(|t| t.id);
            got.sort_by_key(|t| t.id);
            self.same_transfers(&format!("{name}, sorted by id"), &expected, &got);
        }

        let (expected, got) = (model.account_balances(&filter), subject.account_balances(&filter));
        if account.flags.any(AccountFlags::HISTORY) {
            let row_stamps: Vec<_> = got.iter().map(|b| b.timestamp).collect();
            self.same(&format!("the timestamps of account_balances of {:#x}", account.id), &stamps, &row_stamps);
        }
        let rows = |rows: Vec<AccountBalance>| -> Vec<_> {
            rows.into_iter().map(|b| AccountBalance { timestamp: 0, ..b }).collect()
        };
        self.same_each(&format!("account_balances of {:#x}", account.id), &rows(expected), &rows(got));
    }

    fn page(&self) -> Page {
        Page { timestamp_min: self.start, ..Page::default() }
    }

    fn same_accounts(&self, what: &str, expected: &[Account], got: &[Account]) {
        let plain = |a: &[Account]| -> Vec<_> { a.iter().map(|a| Account { timestamp: 0, ..*a }).collect() };
        self.same_each(what, &plain(expected), &plain(got));
    }

    fn same_transfers(&self, what: &str, expected: &[Transfer], got: &[Transfer]) {
        let plain = |t: &[Transfer]| -> Vec<_> { t.iter().map(|t| Transfer { timestamp: 0, ..*t }).collect() };
        self.same_each(what, &plain(expected), &plain(got));
    }

    /// Says which of many is different.
    fn same_each<T: PartialEq + Debug>(&self, what: &str, expected: &[T], got: &[T]) {
        for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
            self.same(&format!("{what}, number {}", index + 1), expected, got);
        }
        self.same(&format!("{what}, how many there are"), &expected.len(), &got.len());
    }

    fn increasing(&self, what: &str, stamps: impl Iterator<Item = Timestamp>) {
        let mut last = 0;
        for stamp in stamps {
            if stamp <= last {
                self.fail(&format!("{what}: timestamp {stamp} comes after {last}"));
            }
            last = stamp;
        }
    }

    fn same<T: PartialEq + Debug>(&self, what: &str, expected: &T, got: &T) {
        if expected != got {
            self.fail(&format!("{what}\n  model:   {expected:?}\n  subject: {got:?}"));
        }
    }

    fn fail(&self, what: &str) -> ! {
        let thread = std::thread::current();
        let test = thread.name().filter(|name| *name != "main").unwrap_or("");
        let Self { seed, step, what: operation, .. } = self;
        panic!(
            "seed {seed}, after operation {step}, {operation}\n{what}\nrepeat with: CREST_SEED={seed} cargo test {test}"
        )
    }
}
