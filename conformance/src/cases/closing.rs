//! Closed accounts, closing transfers and how they are undone (sections 1, 2 and 4).

use crest_ledger::TransferStatus::*;

use super::*;

pub(super) fn cases() -> Vec<Case> {
    [closed(), closing(), opened_again(), what_still_works()].concat()
}

fn closed() -> Vec<Case> {
    vec![
        Case::new("an account that was created closed neither pays nor is paid")
            .accounts([account(1).closed(), account(2)])
            .transfers([
                pay(10, 1, 2, 5).answers(DebitAccountAlreadyClosed),
                pay(11, 2, 1, 5).answers(CreditAccountAlreadyClosed),
                hold(12, 1, 2, 5).answers(DebitAccountAlreadyClosed),
                hold(13, 2, 1, 5).closing_credit().answers(CreditAccountAlreadyClosed),
                pay(14, 2, 1, 0).answers(CreditAccountAlreadyClosed),
                pay(15, 1, 2, 5).balancing_debit().answers(DebitAccountAlreadyClosed),
            ])
            .balances(1, [0, 0, 0, 0])
            .balances(2, [0, 0, 0, 0]),
        Case::new("of two closed accounts the payer's is the answer")
            .accounts([account(1).closed(), account(2).closed()])
            .transfers([pay(10, 1, 2, 5).answers(DebitAccountAlreadyClosed)]),
    ]
}

fn closing() -> Vec<Case> {
    vec![
        Case::new("a closing debit reserves its amount and closes the payer")
            .accounts(plain(3))
            .transfers([hold(10, 1, 2, 5).closing_debit()])
            .transfer_is(hold(10, 1, 2, 5).closing_debit())
            .account_is(account(1).closed().balances([5, 0, 0, 0]))
            .account_is(account(2).balances([0, 0, 5, 0]))
            .transfers([
                pay(11, 1, 3, 1).answers(DebitAccountAlreadyClosed),
                pay(12, 3, 1, 1).answers(CreditAccountAlreadyClosed),
                pay(13, 2, 3, 1),
            ]),
        Case::new("a closing credit closes the payee")
            .accounts(plain(3))
            .transfers([hold(10, 1, 2, 5).closing_credit()])
            .account_is(account(1).balances([5, 0, 0, 0]))
            .account_is(account(2).closed().balances([0, 0, 5, 0]))
            .transfers([
                pay(11, 1, 2, 1).answers(CreditAccountAlreadyClosed),
                pay(12, 2, 3, 1).answers(DebitAccountAlreadyClosed),
                pay(13, 1, 3, 1),
            ]),
        Case::new("one transfer may close both accounts, also with zero")
            .accounts(plain(3))
            .transfers([hold(10, 1, 2, 0).closing_debit().closing_credit()])
            .account_is(account(1).closed())
            .account_is(account(2).closed())
            .transfers([pay(11, 1, 3, 1).answers(DebitAccountAlreadyClosed)])
            .transfers([pay(12, 3, 2, 1).answers(CreditAccountAlreadyClosed)]),
        Case::new("a closing transfer is seen by the next event of its request")
            .accounts(plain(3))
            .transfers([
                pay(10, 1, 2, 1),
                hold(11, 1, 3, 0).closing_debit(),
                pay(12, 1, 2, 1).answers(DebitAccountAlreadyClosed),
                void(13, 11),
                pay(14, 1, 2, 1),
            ])
            .balances(1, [0, 2, 0, 0]),
        Case::new("an account that is closed is not closed again")
            .accounts(plain(3))
            .transfers([hold(10, 1, 2, 5).closing_debit()])
            .transfers([hold(11, 1, 3, 5).closing_debit().answers(DebitAccountAlreadyClosed)])
            .transfers([hold(12, 3, 1, 5).closing_credit().answers(CreditAccountAlreadyClosed)])
            .balances(1, [5, 0, 0, 0]),
        Case::new("a closing transfer that a limit refuses closes nothing")
            .accounts([account(1).debits_limited(), account(2)])
            .transfers([hold(10, 1, 2, 5).closing_debit().closing_credit().answers(ExceedsCredits)])
            .account_is(account(1).debits_limited())
            .account_is(account(2)),
    ]
}

fn opened_again() -> Vec<Case> {
    let both = hold(10, 1, 2, 5).closing_debit().closing_credit();
    vec![
        Case::new("a void of the closing transfer opens the accounts again")
            .accounts(plain(2))
            .transfers([both, void(11, 10)])
            .account_is(account(1))
            .account_is(account(2))
            .transfers([pay(12, 1, 2, 7)])
            .balances(1, [0, 7, 0, 0]),
        Case::new("the expiry of the closing transfer opens the accounts again")
            .accounts(plain(2))
            .transfers([both.timeout(5), pay(11, 1, 2, 1).answers(DebitAccountAlreadyClosed)])
            .advance_to(Moment::Expiry(10, 0))
            .account_is(account(1))
            .account_is(account(2))
            .transfers([pay(12, 1, 2, 7)]),
        Case::new("a post of the closing transfer is refused, for the payer's account first")
            .accounts(plain(2))
            .transfers([both, post(11, 10).answers(DebitAccountAlreadyClosed)])
            .transfers([post(12, 10).amount(0).answers(DebitAccountAlreadyClosed)])
            .account_is(account(1).closed().balances([5, 0, 0, 0]))
            .transfers([void(13, 10)])
            .balances(1, [0, 0, 0, 0]),
        Case::new("a post of a transfer that closed the payee is refused for the payee")
            .accounts(plain(2))
            .transfers([hold(10, 1, 2, 5).closing_credit(), post(11, 10).answers(CreditAccountAlreadyClosed)])
            .balances(2, [0, 0, 5, 0])
            .transfers([void(12, 10)])
            .account_is(account(2)),
        Case::new("a void opens only what its own transfer has closed")
            .accounts(plain(3))
            .transfers([hold(10, 1, 2, 5), hold(11, 1, 3, 6).closing_debit(), void(12, 10)])
            .account_is(account(1).closed().balances([6, 0, 0, 0]))
            .transfers([void(13, 11)])
            .account_is(account(1)),
        Case::new("an account can be closed, opened and closed again")
            .accounts(plain(2))
            .transfers([hold(10, 1, 2, 5).closing_debit(), void(11, 10), hold(12, 1, 2, 6).closing_debit()])
            .account_is(account(1).closed().balances([6, 0, 0, 0]))
            .transfers([void(13, 10).answers(PendingTransferAlreadyVoided)])
            .account_is(account(1).closed().balances([6, 0, 0, 0])),
    ]
}

fn what_still_works() -> Vec<Case> {
    let world = |name| {
        Case::new(name).accounts(plain(3)).transfers([
            hold(10, 1, 2, 5),
            hold(11, 3, 1, 6),
            hold(12, 1, 2, 7).timeout(5),
            hold(13, 1, 3, 0).closing_debit(),
        ])
    };
    vec![
        world("reservations of a closed account can be voided")
            .transfers([void(14, 10), void(15, 11), void(16, 12)])
            .account_is(account(1).closed()),
        world("reservations of a closed account cannot be posted")
            .transfers([
                post(14, 10).answers(DebitAccountAlreadyClosed),
                post(15, 11).answers(CreditAccountAlreadyClosed),
            ])
            .balances(1, [12, 0, 6, 0]),
        world("reservations of a closed account expire, and leave it closed")
            .advance(6)
            .account_is(account(1).closed().balances([5, 0, 6, 0])),
        world("reservations can be posted again when the account is opened again")
            .transfers([void(14, 13), post(15, 10), post(16, 11)])
            .balances(1, [7, 5, 0, 6]),
        world("what was posted before the account was closed exists when it is retried")
            .transfers([void(14, 13), post(15, 10), hold(16, 1, 3, 0).closing_debit()])
            .transfers([post(15, 10).answers(Exists), hold(10, 1, 2, 5).answers(Exists)]),
    ]
}
