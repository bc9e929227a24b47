//! Balancing transfers (section 2).

use crest_ledger::TransferStatus::*;

use super::*;

const MAX: u128 = u128::MAX;

pub(super) fn cases() -> Vec<Case> {
    [debit(), credit(), both(), retried()].concat()
}

fn debit() -> Vec<Case> {
    // Account 1 has 10.
    let world = |name| Case::new(name).accounts(plain(4)).transfers([pay(10, 4, 1, 10)]);
    vec![
        world("a balancing debit moves at most what the payer has")
            .transfers([pay(11, 1, 2, 15).balancing_debit()])
            .transfer_is(pay(11, 1, 2, 10).balancing_debit())
            .balances(1, [0, 10, 0, 10])
            .balances(2, [0, 0, 0, 10]),
        world("a balancing debit moves no more than its amount")
            .transfers([pay(11, 1, 2, 7).balancing_debit()])
            .transfer_is(pay(11, 1, 2, 7).balancing_debit())
            .balances(1, [0, 7, 0, 10]),
        world("a balancing debit of the largest amount empties the account")
            .transfers([pay(11, 1, 2, MAX).balancing_debit(), pay(12, 1, 3, MAX).balancing_debit()])
            .transfer_is(pay(11, 1, 2, 10).balancing_debit())
            .transfer_is(pay(12, 1, 3, 0).balancing_debit())
            .balances(1, [0, 10, 0, 10])
            .balances(3, [0, 0, 0, 0]),
        world("a balancing debit of an account that has less than nothing is created with zero")
            .transfers([pay(11, 1, 2, 25), pay(12, 1, 3, 5).balancing_debit()])
            .transfer_is(pay(12, 1, 3, 0).balancing_debit())
            .balances(1, [0, 25, 0, 10]),
        world("a balancing debit leaves what is reserved alone, and does not count what is still to come")
            .transfers([hold(11, 1, 2, 4), hold(12, 3, 1, 100), pay(13, 1, 2, MAX).balancing_debit()])
            .transfer_is(pay(13, 1, 2, 6).balancing_debit())
            .balances(1, [4, 6, 100, 10]),
        world("a balancing debit can be pending, and is posted with what it reserved")
            .transfers([hold(11, 1, 2, 15).balancing_debit()])
            .transfer_is(hold(11, 1, 2, 10).balancing_debit())
            .balances(1, [10, 0, 0, 10])
            .transfers([post(12, 11).amount(11).answers(ExceedsPendingTransferAmount), post(13, 11)])
            .transfer_is(post(13, 11).debit(1).credit(2).amount(10).ledger(1).code(1))
            .balances(1, [0, 10, 0, 10]),
        world("a balancing debit of zero can be pending, posted and voided")
            .transfers([hold(11, 2, 1, 5).balancing_debit(), hold(12, 2, 1, 5).balancing_debit()])
            .transfers([post(13, 11), void(14, 12)])
            .transfer_is(post(13, 11).debit(2).credit(1).amount(0).ledger(1).code(1))
            .balances(1, [0, 0, 0, 10]),
        Case::new("a balancing debit keeps the payer's limit")
            .accounts([account(1).debits_limited(), account(2)])
            .transfers([pay(10, 2, 1, 10), hold(11, 1, 2, 3), pay(12, 1, 2, 100).balancing_debit()])
            .transfer_is(pay(12, 1, 2, 7).balancing_debit())
            .balances(1, [3, 7, 0, 10]),
        Case::new("a balancing debit can exceed the payee's limit")
            .accounts([account(1), account(2).credits_limited(), account(3)])
            .transfers([pay(10, 3, 1, 10), pay(11, 1, 2, 10).balancing_debit().answers(ExceedsDebits)])
            .balances(1, [0, 0, 0, 10]),
        world("balancing debits of one request see each other")
            .transfers([
                pay(11, 1, 2, 6).balancing_debit(),
                pay(12, 1, 3, 6).balancing_debit(),
                pay(13, 2, 1, 1),
                pay(14, 1, 3, 6).balancing_debit(),
            ])
            .transfer_is(pay(12, 1, 3, 4).balancing_debit())
            .transfer_is(pay(14, 1, 3, 1).balancing_debit())
            .balances(3, [0, 0, 0, 5]),
    ]
}

fn credit() -> Vec<Case> {
    // Account 1 lacks 10.
    let world = |name| Case::new(name).accounts(plain(4)).transfers([pay(10, 1, 4, 10)]);
    vec![
        world("a balancing credit moves at most what the payee lacks")
            .transfers([pay(11, 2, 1, 15).balancing_credit(), pay(12, 2, 1, 15).balancing_credit()])
            .transfer_is(pay(11, 2, 1, 10).balancing_credit())
            .transfer_is(pay(12, 2, 1, 0).balancing_credit())
            .balances(1, [0, 10, 0, 10]),
        world("a balancing credit moves no more than its amount")
            .transfers([pay(11, 2, 1, 7).balancing_credit()])
            .transfer_is(pay(11, 2, 1, 7).balancing_credit())
            .balances(1, [0, 10, 0, 7]),
        world("a balancing credit counts pending credits, not pending debits")
            .transfers([hold(11, 2, 1, 4), hold(12, 1, 3, 100), pay(13, 2, 1, MAX).balancing_credit()])
            .transfer_is(pay(13, 2, 1, 6).balancing_credit())
            .balances(1, [100, 10, 4, 6]),
        world("a balancing credit can be pending")
            .transfers([hold(11, 2, 1, 15).balancing_credit()])
            .transfer_is(hold(11, 2, 1, 10).balancing_credit())
            .balances(1, [0, 10, 10, 0])
            .transfers([void(12, 11)])
            .balances(1, [0, 10, 0, 0]),
        Case::new("a balancing credit keeps the payee's limit")
            .accounts([account(1).credits_limited(), account(2)])
            .transfers([pay(10, 1, 2, 10), hold(11, 2, 1, 3), pay(12, 2, 1, 100).balancing_credit()])
            .transfer_is(pay(12, 2, 1, 7).balancing_credit())
            .balances(1, [0, 10, 3, 7]),
        Case::new("a balancing credit can exceed the payer's limit")
            .accounts([account(1), account(2).debits_limited(), account(3)])
            .transfers([pay(10, 1, 3, 10), pay(11, 2, 1, 10).balancing_credit().answers(ExceedsCredits)])
            .balances(1, [0, 10, 0, 0]),
    ]
}

fn both() -> Vec<Case> {
    // Account 1 has 10 and account 2 lacks 6.
    let world = |name| Case::new(name).accounts(plain(4)).transfers([pay(10, 4, 1, 10), pay(11, 2, 4, 6)]);
    let balanced = |t: TransferEvent| t.balancing_debit().balancing_credit();
    vec![
        world("a transfer that balances both sides moves the smallest of what is had, lacked and asked")
            .transfers([balanced(pay(12, 1, 2, 100))])
            .transfer_is(balanced(pay(12, 1, 2, 6)))
            .balances(1, [0, 6, 0, 10])
            .balances(2, [0, 6, 0, 6]),
        world("a transfer that balances both sides is bound by the payer when the payer has less")
            .transfers([hold(12, 1, 3, 7), balanced(pay(13, 1, 2, 100))])
            .transfer_is(balanced(pay(13, 1, 2, 3)))
            .balances(2, [0, 6, 0, 3]),
        world("a transfer that balances both sides is bound by its amount")
            .transfers([balanced(pay(12, 1, 2, 2))])
            .transfer_is(balanced(pay(12, 1, 2, 2))),
        world("a transfer that balances both sides can be pending")
            .transfers([balanced(hold(12, 1, 2, 100))])
            .transfer_is(balanced(hold(12, 1, 2, 6)))
            .balances(1, [6, 0, 0, 10])
            .balances(2, [0, 6, 6, 0])
            .transfers([post(13, 12).amount(5)])
            .balances(1, [0, 5, 0, 10])
            .balances(2, [0, 6, 0, 5]),
        world("a transfer that balances and closes moves the rest and closes the account")
            .transfers([hold(12, 1, 2, MAX).balancing_debit().closing_debit()])
            .transfer_is(hold(12, 1, 2, 10).balancing_debit().closing_debit())
            .transfers([pay(13, 3, 1, 1).answers(CreditAccountAlreadyClosed)])
            .balances(1, [10, 0, 0, 10]),
    ]
}

fn retried() -> Vec<Case> {
    let first = pay(11, 1, 2, 15).balancing_debit();
    vec![
        Case::new("a retried balancing transfer exists when it asks for at least what was moved")
            .accounts(plain(3))
            .transfers([pay(10, 3, 1, 10), first])
            .transfers([
                first.answers(Exists),
                first.amount(10).answers(Exists),
                first.amount(MAX).answers(Exists),
                first.amount(9).answers(ExistsWithDifferentAmount),
                first.amount(0).answers(ExistsWithDifferentAmount),
                first.balancing_credit().answers(ExistsWithDifferentFlags),
                first.amount(20).user_data_32(1).answers(ExistsWithDifferentUserData32),
                first.amount(9).user_data_32(1).answers(ExistsWithDifferentAmount),
            ])
            .balances(1, [0, 10, 0, 10]),
        Case::new("a retried balancing transfer moves nothing though there is more now")
            .accounts(plain(3))
            .transfers([pay(10, 3, 1, 10), first, pay(12, 3, 1, 50), first.answers(Exists)])
            .balances(1, [0, 10, 0, 60]),
        Case::new("a retried transfer that was balanced down to zero exists with any amount")
            .accounts(plain(2))
            .transfers([first, first.answers(Exists), first.amount(0).answers(Exists)])
            .balances(1, [0, 0, 0, 0]),
        Case::new("a retried balancing credit exists when it asks for at least what was moved")
            .accounts(plain(3))
            .transfers([pay(10, 1, 3, 10), pay(11, 2, 1, 15).balancing_credit()])
            .transfers([
                pay(11, 2, 1, 15).balancing_credit().answers(Exists),
                pay(11, 2, 1, 9).balancing_credit().answers(ExistsWithDifferentAmount),
            ]),
    ]
}
