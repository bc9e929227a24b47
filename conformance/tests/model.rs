//! The suite against its own model, and that the suite leaves nothing out.

use std::collections::BTreeSet;

use crest_conformance::{Case, Model, Step, Subject, cases, differential, run, seeds};
use crest_ledger::limits::SHARDS_MAX;
use crest_ledger::{
    Account, AccountBalance, AccountFilter, AccountStatus, QueryFilter, Timestamp, Transfer, TransferFlags,
    TransferStatus,
};

/// Some day in 2026, ns.
const NOW: Timestamp = 1_790_000_000_000_000_000;

/// Account ids without any order, other ones for every salt.
fn scattered(salt: u128) -> impl Fn(u128) -> u128 {
    move |n| (n + (salt << 16)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

#[test]
fn the_model_passes_every_case() {
    for case in cases::all() {
        run(&case, &mut Model::at(NOW), &|n| n, 0);
    }
}

#[test]
fn the_cases_pass_one_after_the_other_on_one_ledger() {
    let mut model = Model::at(NOW);
    for (index, case) in cases::all().iter().filter(|c| !c.needs_fresh).enumerate() {
        let salt = index as u128 + 1;
        run(case, &mut model, &scattered(salt), salt << 64);
    }
}

#[test]
fn the_cases_do_not_depend_on_how_far_a_clock_runs_ahead() {
    let mut model = Model::in_steps(NOW, 5 * SHARDS_MAX);
    for (index, case) in cases::all().iter().enumerate() {
        let salt = index as u128 + 1;
        if case.needs_fresh {
            run(case, &mut Model::in_steps(NOW, 5 * SHARDS_MAX), &scattered(salt), salt << 64);
        } else {
            run(case, &mut model, &scattered(salt), salt << 64);
        }
    }
}

#[test]
fn names_of_cases_are_unique_and_none_is_empty() {
    let cases = cases::all();
    let names: BTreeSet<_> = cases.iter().map(|c| c.name).collect();
    assert_eq!(names.len(), cases.len());
    assert!(cases.iter().all(|c| !c.steps.is_empty()));
}

#[test]
fn every_status_is_the_expected_answer_of_some_case() {
    let mut accounts = BTreeSet::new();
    let mut transfers = BTreeSet::new();
    for step in cases::all().iter().flat_map(|c: &Case| &c.steps) {
        match step {
            Step::CreateAccounts(events) => accounts.extend(events.iter().map(|e| e.expected)),
            Step::CreateTransfers(events) => transfers.extend(events.iter().map(|e| e.expected)),
            _ => {}
        }
    }
    let missing: Vec<_> = AccountStatus::ALL.iter().filter(|s| !accounts.contains(s)).collect();
    assert!(missing.is_empty(), "accounts: {missing:?}");
    let missing: Vec<_> = TransferStatus::ALL.iter().filter(|s| !transfers.contains(s)).collect();
    assert!(missing.is_empty(), "transfers: {missing:?}");
}

#[test]
fn two_models_do_not_differ() {
    for seed in seeds(20) {
        differential(seed, 400, &mut Model::at(NOW), &scattered(1), 1 << 64);
        differential(seed, 400, &mut Model::in_steps(NOW, 5 * SHARDS_MAX), &scattered(1), 1 << 64);
    }
}

#[test]
fn random_operations_reach_most_answers() {
    let mut counting = Counting { model: Model::at(NOW), accounts: BTreeSet::new(), transfers: BTreeSet::new() };
    for seed in seeds(20) {
        let salt = u128::from(seed) + 1;
        differential(seed, 400, &mut counting, &scattered(salt), salt << 64);
    }
    assert!(counting.accounts.len() >= 9, "{:?}", counting.accounts);
    assert!(counting.transfers.len() >= 38, "{:?}", counting.transfers);
}

#[test]
fn a_reservation_expires_at_its_very_nanosecond() {
    for (before, expected) in [(1, TransferStatus::Created), (0, TransferStatus::PendingTransferExpired)] {
        let mut model = Model::at(NOW);
        let account = |id| Account { id, ledger: 1, code: 1, ..Account::default() };
        model.create_accounts(&[account(1), account(2)]);
        let hold = Transfer { flags: TransferFlags(TransferFlags::PENDING), timeout: 10, ..payment(10) };
        model.create_transfers(&[hold]);
        let expiry = model.lookup_transfers(&[10])[0].expires_at().unwrap();
        let now = model.now();
        model.advance(expiry - before - now);
        let post = Transfer { flags: TransferFlags(TransferFlags::POST_PENDING), pending_id: 10, ..payment(11) };
        assert_eq!(model.create_transfers(&[post]), [expected]);
    }
}

#[test]
#[should_panic(expected = "repeat with: CREST_SEED=")]
fn a_ledger_that_loses_a_unit_is_found_out() {
    differential(seeds(1)[0], 400, &mut Lossy(Model::at(NOW)), &|n| n, 0);
}

#[test]
#[should_panic(expected = "case \"a transfer debits one account and credits the other\", step 3")]
fn a_wrong_answer_is_reported_with_its_case_and_step() {
    let cases = cases::all();
    let case = cases.iter().find(|c| c.name == "a transfer debits one account and credits the other").unwrap();
    run(case, &mut Lossy(Model::at(NOW)), &|n| n, 0);
}

fn payment(id: u128) -> Transfer {
    Transfer { id, debit_account_id: 1, credit_account_id: 2, amount: 5, ledger: 1, code: 1, ..Transfer::default() }
}

macro_rules! delegate {
    ($inner:tt: $($name:ident($arg:ident: $ty:ty) -> $out:ty;)*) => {$(
        fn $name(&mut self, $arg: $ty) -> $out {
            self.$inner.$name($arg)
        }
    )*};
}

/// The model, remembering its answers.
struct Counting {
    model: Model,
    accounts: BTreeSet<AccountStatus>,
    transfers: BTreeSet<TransferStatus>,
}

/// A model that loses a unit of every payment above 3.
struct Lossy(Model);

impl Subject for Counting {
    fn create_accounts(&mut self, events: &[Account]) -> Vec<AccountStatus> {
        let statuses = self.model.create_accounts(events);
        self.accounts.extend(&statuses);
        statuses
    }

    fn create_transfers(&mut self, events: &[Transfer]) -> Vec<TransferStatus> {
        let statuses = self.model.create_transfers(events);
        self.transfers.extend(&statuses);
        statuses
    }

    delegate! { model:
        lookup_accounts(ids: &[u128]) -> Vec<Account>;
        lookup_transfers(ids: &[u128]) -> Vec<Transfer>;
        account_transfers(filter: &AccountFilter) -> Vec<Transfer>;
        account_balances(filter: &AccountFilter) -> Vec<AccountBalance>;
        query_accounts(filter: &QueryFilter) -> Vec<Account>;
        query_transfers(filter: &QueryFilter) -> Vec<Transfer>;
        advance(nanoseconds: u64) -> ();
    }

    fn now(&mut self) -> Timestamp {
        self.model.now()
    }
}

impl Subject for Lossy {
    fn create_transfers(&mut self, events: &[Transfer]) -> Vec<TransferStatus> {
        let lose = |t: &Transfer| Transfer { amount: if t.amount > 3 { t.amount - 1 } else { t.amount }, ..*t };
        self.0.create_transfers(&events.iter().map(lose).collect::<Vec<_>>())
    }

    delegate! { 0:
        create_accounts(events: &[Account]) -> Vec<AccountStatus>;
        lookup_accounts(ids: &[u128]) -> Vec<Account>;
        lookup_transfers(ids: &[u128]) -> Vec<Transfer>;
        account_transfers(filter: &AccountFilter) -> Vec<Transfer>;
        account_balances(filter: &AccountFilter) -> Vec<AccountBalance>;
        query_accounts(filter: &QueryFilter) -> Vec<Account>;
        query_transfers(filter: &QueryFilter) -> Vec<Transfer>;
        advance(nanoseconds: u64) -> ();
    }

    fn now(&mut self) -> Timestamp {
        self.0.now()
    }
}
