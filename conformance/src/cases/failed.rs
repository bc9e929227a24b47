//! Ids that failed because of the world, not of the request (section 5).

use crest_ledger::TransferStatus::*;

use super::*;

pub(super) fn cases() -> Vec<Case> {
    [burned(), burned_posts(), left_free()].concat()
}

fn burned() -> Vec<Case> {
    vec![
        Case::new("an id that failed for want of money never succeeds later")
            .accounts([account(1).debits_limited(), account(2)])
            .transfers([pay(10, 1, 2, 5).answers(ExceedsCredits), pay(10, 1, 2, 5).answers(IdAlreadyFailed)])
            .transfers([pay(11, 2, 1, 50), pay(10, 1, 2, 5).answers(IdAlreadyFailed)])
            .transfers([pay(10, 1, 2, 1).answers(IdAlreadyFailed), pay(12, 1, 2, 5)])
            .no_transfer(10)
            .balances(1, [0, 5, 0, 50]),
        Case::new("an id that failed for the payee's limit never succeeds later")
            .accounts([account(1).credits_limited(), account(2)])
            .transfers([pay(10, 2, 1, 5).answers(ExceedsDebits)])
            .transfers([pay(11, 1, 2, 50), pay(10, 2, 1, 5).answers(IdAlreadyFailed)])
            .balances(1, [0, 50, 0, 0]),
        Case::new("an id that failed for a missing payer never succeeds later")
            .accounts([account(2)])
            .transfers([pay(10, 1, 2, 5).answers(DebitAccountNotFound)])
            .accounts([account(1)])
            .transfers([pay(10, 1, 2, 5).answers(IdAlreadyFailed), pay(11, 1, 2, 5)]),
        Case::new("an id that failed for a missing payee never succeeds later")
            .accounts([account(1)])
            .transfers([pay(10, 1, 2, 5).answers(CreditAccountNotFound)])
            .accounts([account(2)])
            .transfers([pay(10, 1, 2, 5).answers(IdAlreadyFailed), pay(11, 1, 2, 5)]),
        Case::new("an id that failed for two missing accounts never succeeds later")
            .transfers([pay(10, 1, 2, 5).answers(DebitAccountNotFound)])
            .accounts(plain(2))
            .transfers([pay(10, 1, 2, 5).answers(IdAlreadyFailed), pay(11, 1, 2, 5)]),
        Case::new("an id that failed for a closed payer never succeeds later")
            .accounts(plain(3))
            .transfers([hold(9, 1, 3, 0).closing_debit(), pay(10, 1, 2, 5).answers(DebitAccountAlreadyClosed)])
            .transfers([void(8, 9), pay(10, 1, 2, 5).answers(IdAlreadyFailed), pay(11, 1, 2, 5)]),
        Case::new("an id that failed for a closed payee never succeeds later")
            .accounts(plain(3))
            .transfers([hold(9, 3, 2, 0).closing_credit(), pay(10, 1, 2, 5).answers(CreditAccountAlreadyClosed)])
            .transfers([void(8, 9), pay(10, 1, 2, 5).answers(IdAlreadyFailed), pay(11, 1, 2, 5)]),
    ]
}

fn burned_posts() -> Vec<Case> {
    vec![
        Case::new("a post that failed for want of its pending transfer never succeeds later")
            .accounts(plain(2))
            .transfers([post(11, 10).debit(1).credit(2).answers(PendingTransferNotFound)])
            .transfers([hold(10, 1, 2, 5), post(11, 10).debit(1).credit(2).answers(IdAlreadyFailed)])
            .balances(1, [5, 0, 0, 0])
            .transfers([post(12, 10)])
            .balances(1, [0, 5, 0, 0]),
        Case::new("a void that failed for want of its pending transfer never succeeds later")
            .accounts(plain(2))
            .transfers([void(11, 10).debit(1).credit(2).answers(PendingTransferNotFound)])
            .transfers([hold(10, 1, 2, 5), void(11, 10).debit(1).credit(2).answers(IdAlreadyFailed), void(12, 10)]),
        Case::new("a post that names no account and failed for want of its pending transfer never succeeds later")
            .accounts(plain(2))
            .transfers([post(11, 10).answers(PendingTransferNotFound), post(11, 10).answers(IdAlreadyFailed)])
            .transfers([hold(10, 1, 2, 5), post(11, 10).answers(IdAlreadyFailed), post(12, 10)]),
        Case::new("a post that failed for a closed account never succeeds later")
            .accounts(plain(3))
            .transfers([
                hold(10, 1, 2, 5),
                hold(9, 1, 3, 0).closing_debit(),
                post(11, 10).answers(DebitAccountAlreadyClosed),
            ])
            .transfers([void(8, 9), post(11, 10).answers(IdAlreadyFailed), post(12, 10)])
            .balances(1, [0, 5, 0, 0]),
        Case::new("an id that failed stays failed for a long time, and for a request with other faults")
            .accounts([account(1).debits_limited(), account(2)])
            .transfers([pay(10, 1, 2, 5).answers(ExceedsCredits)])
            .advance(100_000_000)
            .transfers([
                pay(10, 1, 2, 5).answers(IdAlreadyFailed),
                pay(10, 1, 2, 5).ledger(0).answers(IdAlreadyFailed),
                pay(10, 1, 2, 5).timeout(7).answers(IdAlreadyFailed),
                hold(10, 1, 2, 5).answers(IdAlreadyFailed),
                pay(10, 1, 1, 5).answers(IdAlreadyFailed),
                pay(10, 1, 2, 5).flags(1 << 9).answers(ReservedFlag),
            ]),
        Case::new("a pending transfer that failed cannot be posted, and its id stays failed")
            .accounts([account(1).debits_limited(), account(2)])
            .transfers([
                hold(10, 1, 2, 5).answers(ExceedsCredits),
                post(11, 10).debit(1).credit(2).answers(PendingTransferNotFound),
                hold(10, 1, 2, 5).answers(IdAlreadyFailed),
            ]),
    ]
}

fn left_free() -> Vec<Case> {
    vec![
        Case::new("a fault of the request leaves the id free")
            .accounts([account(1), account(2), account(3).ledger(2)])
            .transfers([pay(10, 1, 3, 5).answers(AccountsMustHaveTheSameLedger), pay(10, 1, 2, 5)])
            .transfers([pay(11, 1, 2, 5).ledger(2).answers(TransferMustHaveTheSameLedgerAsAccounts), pay(11, 1, 2, 5)])
            .transfers([pay(12, 1, 2, 5).code(0).answers(CodeMustNotBeZero), pay(12, 1, 2, 5)])
            .balances(1, [0, 15, 0, 0]),
        Case::new("what is wrong with a post leaves its id free")
            .accounts(plain(2))
            .transfers([hold(10, 1, 2, 5), hold(20, 1, 2, 7)])
            .transfers([post(11, 10), post(21, 10).answers(PendingTransferAlreadyPosted), post(21, 20)])
            .balances(1, [0, 12, 0, 0]),
    ]
}
