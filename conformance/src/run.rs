//! Plays a case on a subject.

use std::fmt::{Debug, Write as _};

use crest_ledger::{Account, AccountBalance, AccountFilter, Timestamp, Transfer};

use crate::case::{Case, Selection, Step};
use crate::event::{AccountEvent, Moment, TransferEvent};
use crate::subject::Subject;

/// Time that passes before a case: it parts the case from everything before, also where clocks ran ahead.
const PAUSE_NS: u64 = 1_000_000_000;

/// Plays `case` on `subject`.
///
/// `ids` says which account stands for each of the case's small numbers; it must be one to one and answer neither 0 nor
/// `u128::MAX` (those two are sent as they are). It so decides on which shards the accounts are. Transfer ids are the case's
/// numbers plus `salt`, which must leave room for numbers below 2^64. With other accounts and another salt for each,
/// all cases but those marked [`Case::needs_fresh`] can be played one after the other on one subject.
///
/// # Panics
/// When an answer is not the expected one, with the case's name, the step, the event, and both answers.
pub fn run(case: &Case, subject: &mut dyn Subject, ids: &dyn Fn(u128) -> u128, salt: u128) {
    subject.advance(PAUSE_NS);
    let start = subject.now();
    let mut runner = Runner { case, number: 0, subject, ids, salt, start };
    for (index, step) in case.steps.iter().enumerate() {
        runner.number = index + 1;
        runner.step(step);
    }
}

struct Runner<'a> {
    case: &'a Case,
    number: usize,
    subject: &'a mut dyn Subject,
    ids: &'a dyn Fn(u128) -> u128,
    salt: u128,
    start: Timestamp,
}

impl Runner<'_> {
    fn step(&mut self, step: &Step) {
        match step {
            Step::CreateAccounts(events) => self.create_accounts(events),
            Step::CreateTransfers(events) => self.create_transfers(events),
            Step::Balances(account, expected) => self.check_balances(*account, *expected),
            Step::AccountIs(event) => self.check_account(event),
            Step::TransferIs(event) => self.check_transfer(event),
            Step::LookupAccounts(asked, found) => {
                let asked: Vec<_> = asked.iter().map(|&id| self.account_id(id)).collect();
                let got = self.subject.lookup_accounts(&asked);
                self.same_accounts("lookup_accounts", found, &got);
            }
            Step::LookupTransfers(asked, found) => {
                let asked: Vec<_> = asked.iter().map(|&id| self.transfer_id(id)).collect();
                let got = self.subject.lookup_transfers(&asked);
                self.same_transfers("lookup_transfers", found, &got);
            }
            Step::Advance(nanoseconds) => self.subject.advance(*nanoseconds),
            Step::AdvanceTo(moment) => self.advance_to(*moment),
            Step::AccountTransfers(what, expected) => {
                let got = self.account_transfers(what);
                self.same_transfers("account_transfers", expected, &got);
            }
            Step::AccountBalances(what, expected) => self.check_rows(what, expected),
            Step::QueryAccounts(what, expected) => {
                let filter = what.query_filter(what.page(|m| self.when(m)));
                let got = self.subject.query_accounts(&filter);
                self.same_accounts("query_accounts", expected, &got);
            }
            Step::QueryTransfers(what, expected) => {
                let filter = what.query_filter(what.page(|m| self.when(m)));
                let got = self.subject.query_transfers(&filter);
                self.same_transfers("query_transfers", expected, &got);
            }
        }
    }

    fn create_accounts(&mut self, events: &[AccountEvent]) {
        let sent: Vec<_> = events.iter().map(|e| self.real_account(e)).collect();
        let got = self.subject.create_accounts(&sent);
        let expected: Vec<_> = events.iter().map(|e| e.expected).collect();
        self.same_answers(events, &expected, &got);
    }

    fn create_transfers(&mut self, events: &[TransferEvent]) {
        let sent: Vec<_> = events.iter().map(|e| self.real_transfer(e)).collect();
        let got = self.subject.create_transfers(&sent);
        let expected: Vec<_> = events.iter().map(|e| e.expected).collect();
        self.same_answers(events, &expected, &got);
    }

    fn check_balances(&mut self, account: u128, expected: [u128; 4]) {
        let a = self.stored_account(account);
        let got = [a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted];
        self.same(
            &format!("the balances of account {account} [dr pending, dr posted, cr pending, cr posted]"),
            &expected,
            &got,
        );
    }

    fn check_account(&mut self, event: &AccountEvent) {
        let got = self.stored_account(event.account.id);
        let mut expected = self.real_account(event);
        if expected.timestamp == 0 {
            expected.timestamp = got.timestamp;
        }
        self.same(&format!("account {}", event.account.id), &expected, &got);
    }

    fn check_transfer(&mut self, event: &TransferEvent) {
        let got = self.stored_transfer(event.transfer.id);
        let mut expected = self.real_transfer(event);
        if expected.timestamp == 0 {
            expected.timestamp = got.timestamp;
        }
        self.same(&format!("transfer {}", event.transfer.id), &expected, &got);
    }

    fn check_rows(&mut self, what: &Selection, expected: &[[u128; 4]]) {
        let filter = self.account_filter(what);
        let got = self.subject.account_balances(&filter);
        let row = |b: &AccountBalance| [b.debits_pending, b.debits_posted, b.credits_pending, b.credits_posted];
        let rows: Vec<_> = got.iter().map(row).collect();
        self.same("account_balances [dr pending, dr posted, cr pending, cr posted]", expected, &rows[..]);
        if !got.is_empty() {
            let transfers: Vec<_> = self.account_transfers(what).iter().map(|t| t.timestamp).collect();
            let stamps: Vec<_> = got.iter().map(|b| b.timestamp).collect();
            self.same("the timestamps of account_balances against those of account_transfers", &transfers, &stamps);
        }
    }

    fn advance_to(&mut self, moment: Moment) {
        let (now, then) = (self.subject.now(), self.when(moment));
        match then.checked_sub(now) {
            Some(nanoseconds) => self.subject.advance(nanoseconds),
            None => self.fail(&format!("{moment:?} is {} ns ago: the subject's time runs on its own", now - then)),
        }
    }

    fn account_transfers(&mut self, what: &Selection) -> Vec<Transfer> {
        let filter = self.account_filter(what);
        self.subject.account_transfers(&filter)
    }

    fn account_filter(&mut self, what: &Selection) -> AccountFilter {
        let page = what.page(|m| self.when(m));
        what.account_filter(self.account_id(what.account()), page)
    }

    fn account_id(&self, id: u128) -> u128 {
        if id == 0 || id == u128::MAX { id } else { (self.ids)(id) }
    }

    fn transfer_id(&self, id: u128) -> u128 {
        if id == 0 || id == u128::MAX { id } else { self.salt + id }
    }

    fn when(&mut self, moment: Moment) -> Timestamp {
        let (base, offset) = match moment {
            Moment::Exactly(timestamp) => return timestamp,
            Moment::Millis(millis) => return self.start + millis * 1_000_000,
            Moment::OfAccount(id, offset) => (self.stored_account(id).timestamp, offset),
            Moment::OfTransfer(id, offset) => (self.stored_transfer(id).timestamp, offset),
            Moment::Expiry(id, offset) => match self.stored_transfer(id).expires_at() {
                Some(expiry) => (expiry, offset),
                None => self.fail(&format!("transfer {id} should have a timeout")),
            },
        };
        base.saturating_add_signed(offset)
    }

    fn real_account(&mut self, event: &AccountEvent) -> Account {
        let timestamp = self.when(event.at);
        Account { id: self.account_id(event.account.id), timestamp, ..event.account }
    }

    fn real_transfer(&mut self, event: &TransferEvent) -> Transfer {
        let t = event.transfer;
        Transfer {
            id: self.transfer_id(t.id),
            debit_account_id: self.account_id(t.debit_account_id),
            credit_account_id: self.account_id(t.credit_account_id),
            pending_id: self.transfer_id(t.pending_id),
            timestamp: self.when(event.at),
            ..t
        }
    }

    fn stored_account(&mut self, id: u128) -> Account {
        let real = self.account_id(id);
        match self.subject.lookup_accounts(&[real])[..] {
            [account] if account.id == real => account,
            ref got => self.fail(&format!("account {id} should be found, got {got:?}")),
        }
    }

    fn stored_transfer(&mut self, id: u128) -> Transfer {
        let real = self.transfer_id(id);
        match self.subject.lookup_transfers(&[real])[..] {
            [transfer] if transfer.id == real => transfer,
            ref got => self.fail(&format!("transfer {id} should be found, got {got:?}")),
        }
    }

    fn same_accounts(&self, what: &str, expected: &[u128], got: &[Account]) {
        let name = |real: u128| expected.iter().copied().find(|&id| self.account_id(id) == real);
        let got: Vec<_> = got.iter().map(|a| name(a.id).ok_or(a.id)).collect();
        let expected: Vec<_> = expected.iter().map(|&id| Ok::<u128, u128>(id)).collect();
        self.same(&format!("{what} (Ok: a number of the case, Err: another id)"), &expected, &got);
    }

    fn same_transfers(&self, what: &str, expected: &[u128], got: &[Transfer]) {
        let got: Vec<_> = got.iter().map(|t| t.id.checked_sub(self.salt).ok_or(t.id)).collect();
        let expected: Vec<_> = expected.iter().map(|&id| Ok::<u128, u128>(id)).collect();
        self.same(&format!("{what} (Ok: a number of the case, Err: another id)"), &expected, &got);
    }

    fn same<T: Debug + PartialEq + ?Sized>(&self, what: &str, expected: &T, got: &T) {
        if expected != got {
            self.fail(&format!("{what}\n  expected: {expected:?}\n  got:      {got:?}"));
        }
    }

    fn same_answers<E: std::fmt::Display, S: std::fmt::Display + PartialEq>(
        &self,
        events: &[E],
        expected: &[S],
        got: &[S],
    ) {
        if expected.len() != got.len() {
            self.fail(&format!("{} events got {} answers", expected.len(), got.len()));
        }
        let mut wrong = String::new();
        for (number, ((event, expected), got)) in events.iter().zip(expected).zip(got).enumerate() {
            if expected != got {
                // Writing to a string cannot fail.
                let _ =
                    write!(wrong, "\n  event {}: {event}\n    expected: {expected}\n    got:      {got}", number + 1);
            }
        }
        if !wrong.is_empty() {
            self.fail(&format!("{} events, of which these were answered wrongly{wrong}", events.len()));
        }
    }

    fn fail(&self, what: &str) -> ! {
        panic!("case \"{}\", step {}: {what}", self.case.name, self.number)
    }
}
