//! Ledger numbers of rehearsals: what happens there cannot touch real money, and queries tell the two apart (sections 1 and 7).

use crest_ledger::AccountStatus;
use crest_ledger::Rehearsals::{Both, Only, Without};
use crest_ledger::TransferStatus as S;
use crest_ledger::rehearsal::REHEARSAL_LEDGER_MIN as FIRST;

use super::*;

/// The last ledger number of real money.
const LAST_LIVE: u32 = FIRST - 1;

pub(super) fn cases() -> Vec<Case> {
    [apart(), found()].concat()
}

/// Accounts 1 and 2 are real, 11 and 12 of a rehearsal, 13 of another one.
fn world(name: &'static str) -> Case {
    let on = |id, ledger| account(id).ledger(ledger);
    [account(1), on(2, LAST_LIVE), account(3), on(11, FIRST), on(12, FIRST), on(13, u32::MAX)]
        .into_iter()
        .fold(Case::new(name), |case, event| case.accounts([event]).advance(1))
}

fn apart() -> Vec<Case> {
    let on = |id, debit, credit, ledger| pay(id, debit, credit, 5).ledger(ledger);
    let untouched = |case: Case| [1, 2, 3, 11, 12, 13].into_iter().fold(case, |case, id| case.balances(id, [0; 4]));
    vec![
        untouched(
            world("no transfer joins a real account and one of a rehearsal, whatever ledger number it names")
                .one_by_one(
                    [
                        on(20, 1, 11, 1),
                        on(21, 1, 11, FIRST),
                        on(22, 11, 1, 1),
                        on(23, 11, 1, FIRST),
                        // The numbers next to the border are as far from each other as any.
                        on(24, 2, 11, FIRST),
                        on(25, 11, 2, LAST_LIVE),
                        hold(26, 1, 11, 5).ledger(FIRST),
                        on(27, 1, 11, 1).balancing_debit(),
                        on(28, 11, 1, FIRST).balancing_credit(),
                    ]
                    .map(|event| event.answers(S::AccountsMustHaveTheSameLedger)),
                ),
        ),
        untouched(
            world("a transfer between real accounts is on no ledger number of rehearsals, and the other way round")
                .one_by_one(
                    [
                        on(20, 1, 3, FIRST),
                        on(21, 11, 12, 1),
                        on(22, 11, 12, u32::MAX),
                        hold(23, 11, 12, 5).ledger(LAST_LIVE),
                    ]
                    .map(|event| event.answers(S::TransferMustHaveTheSameLedgerAsAccounts)),
                ),
        ),
        untouched(
            world("two rehearsals do not meet either")
                .transfers([on(20, 11, 13, FIRST).answers(S::AccountsMustHaveTheSameLedger)]),
        ),
        world("a rehearsal neither posts nor voids what is real, and the other way round")
            .one_by_one([hold(20, 1, 3, 5), hold(21, 11, 12, 5).ledger(FIRST)])
            .one_by_one(
                [
                    post(22, 20).ledger(FIRST),
                    void(23, 20).ledger(FIRST),
                    post(24, 21).ledger(1),
                    void(25, 21).ledger(1),
                ]
                .map(|event| event.answers(S::PendingTransferHasDifferentLedger)),
            )
            .balances(1, [5, 0, 0, 0])
            .balances(11, [5, 0, 0, 0])
            .one_by_one([post(26, 20), post(27, 21).ledger(FIRST)])
            .balances(3, [0, 0, 0, 5])
            .balances(12, [0, 0, 0, 5]),
        world("an account stays on the ledger number that it was created on")
            .accounts([account(1).ledger(FIRST).answers(AccountStatus::ExistsWithDifferentLedger)])
            .accounts([account(11).answers(AccountStatus::ExistsWithDifferentLedger)]),
    ]
}

fn found() -> Vec<Case> {
    let paid = |name| {
        world(name)
            .one_by_one([
                pay(20, 1, 3, 5),
                pay(31, 11, 12, 5).ledger(FIRST),
                pay(22, 3, 1, 5),
                hold(33, 12, 11, 5).ledger(FIRST),
            ])
            .one_by_one([post(34, 33)])
    };
    vec![
        world("accounts of rehearsals are found with the others, left out, or found alone")
            .finds_accounts(query(), [1, 2, 3, 11, 12, 13])
            .finds_accounts(query().rehearsals(Both), [1, 2, 3, 11, 12, 13])
            .finds_accounts(query().rehearsals(Without), [1, 2, 3])
            .finds_accounts(query().rehearsals(Only), [11, 12, 13])
            .finds_accounts(query().rehearsals(Only).newest_first().limit(2), [13, 12])
            .finds_accounts(query().rehearsals(Only).ledger(FIRST), [11, 12])
            .finds_accounts(query().rehearsals(Without).ledger(FIRST), [])
            .finds_accounts(query().rehearsals(Only).ledger(1), []),
        paid("transfers of rehearsals are found with the others, left out, or found alone")
            .finds_transfers(query(), [20, 31, 22, 33, 34])
            .finds_transfers(query().rehearsals(Without), [20, 22])
            .finds_transfers(query().rehearsals(Only), [31, 33, 34])
            .finds_transfers(query().rehearsals(Without).newest_first().limit(1), [22])
            .finds_transfers(query().rehearsals(Only).limit(1), [31])
            .finds_transfers(query().rehearsals(Without).ledger(FIRST), []),
    ]
}
