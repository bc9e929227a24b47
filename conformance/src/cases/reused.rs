//! Ids that come more than once in one request: each event sees what the ones before it came to (sections 3, 5, 6 and 8).

use crest_ledger::TransferStatus::*;

use super::*;

pub(super) fn cases() -> Vec<Case> {
    [payments(), burned(), pendings(), posts(), again(), many()].concat()
}

fn payments() -> Vec<Case> {
    vec![
        Case::new("an id that was created exists for the rest of the request, between whatever accounts")
            .accounts(plain(4))
            .transfers([
                pay(10, 1, 2, 5),
                pay(10, 3, 4, 5).answers(ExistsWithDifferentDebitAccountId),
                pay(10, 1, 4, 5).answers(ExistsWithDifferentCreditAccountId),
                pay(10, 2, 1, 5).answers(ExistsWithDifferentDebitAccountId),
                hold(10, 3, 4, 5).answers(ExistsWithDifferentFlags),
                pay(10, 1, 2, 5).answers(Exists),
                pay(11, 3, 4, 7),
            ])
            .balances(1, [0, 5, 0, 0])
            .balances(3, [0, 7, 0, 0]),
        Case::new("an id that a fault has left free is created by a later event between other accounts")
            .accounts(plain(4))
            .transfers([
                pay(10, 1, 2, 5).code(0).answers(CodeMustNotBeZero),
                pay(10, 3, 4, 5),
                pay(10, 1, 2, 5).answers(ExistsWithDifferentDebitAccountId),
                pay(10, 3, 4, 5).answers(Exists),
            ])
            .balances(1, [0, 0, 0, 0])
            .balances(3, [0, 5, 0, 0]),
        Case::new("a retry exists between its accounts only, whatever comes behind it")
            .accounts(plain(4))
            .transfers([pay(10, 1, 2, 5)])
            .transfers([
                pay(10, 1, 2, 6).answers(ExistsWithDifferentAmount),
                pay(10, 3, 4, 5).answers(ExistsWithDifferentDebitAccountId),
                pay(10, 1, 3, 5).answers(ExistsWithDifferentCreditAccountId),
            ])
            .balances(3, [0, 0, 0, 0]),
        Case::new(
            "an id that exists between one of the two accounts and a third one exists for the rest of the request",
        )
        .accounts(plain(4))
        .transfers([pay(10, 1, 2, 5)])
        .transfers([
            pay(10, 1, 3, 5).answers(ExistsWithDifferentCreditAccountId),
            pay(10, 3, 4, 5).answers(ExistsWithDifferentDebitAccountId),
        ])
        .balances(3, [0, 0, 0, 0]),
        Case::new("what is no id may come as often as it likes")
            .accounts(plain(4))
            .transfers([
                pay(0, 1, 2, 5).answers(IdMustNotBeZero),
                pay(0, 3, 4, 5).answers(IdMustNotBeZero),
                pay(u128::MAX, 1, 2, 5).answers(IdMustNotBeIntMax),
                post(0, 0).answers(IdMustNotBeZero),
                post(11, 0).answers(PendingIdMustNotBeZero),
                post(11, u128::MAX).answers(PendingIdMustNotBeIntMax),
                pay(11, 3, 4, 5),
            ])
            .balances(3, [0, 5, 0, 0]),
    ]
}

fn burned() -> Vec<Case> {
    vec![
        Case::new("an id that has failed for good stays failed for the rest of the request, between whatever accounts")
            .accounts([account(1).debits_limited(), account(2), account(3), account(4)])
            .transfers([
                pay(10, 1, 2, 5).answers(ExceedsCredits),
                pay(10, 3, 4, 5).answers(IdAlreadyFailed),
                hold(10, 4, 3, 5).answers(IdAlreadyFailed),
                pay(10, 2, 1, 5).answers(IdAlreadyFailed),
                pay(10, 3, 4, 5).code(0).answers(IdAlreadyFailed),
                pay(10, 1, 2, 5).answers(IdAlreadyFailed),
            ])
            .no_transfer(10)
            .balances(3, [0, 0, 0, 0]),
        Case::new("an id that failed before stays failed for the rest of the request, between whatever accounts")
            .accounts([account(1), account(2).credits_limited(), account(3), account(4)])
            .transfers([pay(10, 1, 2, 5).answers(ExceedsDebits)])
            .transfers([pay(10, 1, 2, 5).answers(IdAlreadyFailed), pay(10, 3, 4, 5).answers(IdAlreadyFailed)])
            .balances(3, [0, 0, 0, 0]),
        Case::new("an id that failed for good as a payment cannot be a post in the same request")
            .accounts([account(1).debits_limited(), account(2), account(3), account(4)])
            .transfers([
                pay(11, 1, 2, 5).answers(ExceedsCredits),
                hold(10, 3, 4, 5),
                post(11, 10).answers(IdAlreadyFailed),
                post(12, 10),
            ])
            .balances(3, [0, 5, 0, 0]),
        Case::new("a payment that was made cannot be a post in the same request")
            .accounts(plain(4))
            .transfers([
                pay(11, 1, 2, 5),
                hold(10, 3, 4, 5),
                post(11, 10).answers(ExistsWithDifferentFlags),
                post(12, 10),
            ])
            .balances(3, [0, 5, 0, 0]),
        Case::new("the culprit of a chain stays failed for the rest of the request, its siblings are free")
            .accounts([account(1).debits_limited(), account(2), account(3), account(4)])
            .transfers([
                pay(10, 3, 4, 5).linked().answers(LinkedEventFailed),
                pay(11, 1, 2, 5).answers(ExceedsCredits),
                pay(11, 4, 3, 5).answers(IdAlreadyFailed),
                pay(10, 2, 3, 5),
                pay(10, 3, 4, 5).answers(ExistsWithDifferentDebitAccountId),
            ])
            .balances(2, [0, 5, 0, 0]),
    ]
}

fn pendings() -> Vec<Case> {
    vec![
        Case::new("a post follows the pending transfer that was made, not one with its id that was refused before")
            .accounts(plain(4))
            .transfers([hold(10, 1, 2, 5).code(0).answers(CodeMustNotBeZero), hold(10, 3, 4, 5), post(11, 10)])
            .balances(1, [0, 0, 0, 0])
            .balances(3, [0, 5, 0, 0])
            .balances(4, [0, 0, 0, 5]),
        Case::new("a post follows the pending transfer that was made, not one with its id that came behind")
            .accounts(plain(4))
            .transfers([
                hold(10, 1, 2, 5),
                hold(10, 3, 4, 5).answers(ExistsWithDifferentDebitAccountId),
                post(11, 10).amount(4),
                void(12, 10).answers(PendingTransferAlreadyPosted),
            ])
            .balances(1, [0, 4, 0, 0])
            .balances(3, [0, 0, 0, 0]),
        Case::new("a post follows the pending transfer that was made before the request")
            .accounts(plain(4))
            .transfers([hold(10, 1, 2, 5)])
            .transfers([hold(10, 1, 4, 5).answers(ExistsWithDifferentCreditAccountId), post(11, 10)])
            .balances(2, [0, 0, 0, 5])
            .balances(4, [0, 0, 0, 0])
            .transfers([
                hold(10, 3, 2, 5).answers(ExistsWithDifferentDebitAccountId),
                void(12, 10).answers(PendingTransferAlreadyPosted),
            ]),
        Case::new("the accounts that a post names have to be those of the pending transfer that was made")
            .accounts(plain(4))
            .transfers([
                hold(10, 1, 2, 5).code(0).answers(CodeMustNotBeZero),
                hold(10, 3, 4, 5),
                post(11, 10).debit(1).credit(2).answers(PendingTransferHasDifferentDebitAccountId),
                post(11, 10).debit(3).credit(2).answers(PendingTransferHasDifferentCreditAccountId),
                post(11, 10).debit(3),
            ])
            .balances(3, [0, 5, 0, 0]),
        Case::new("money that such a post brings can be spent behind it in the request")
            .accounts([account(1), account(2), account(3), account(4).debits_limited()])
            .transfers([
                hold(10, 1, 2, 5).code(0).answers(CodeMustNotBeZero),
                hold(10, 3, 4, 5),
                pay(12, 4, 1, 5).answers(ExceedsCredits),
                post(11, 10),
                pay(13, 4, 1, 5),
                pay(14, 4, 2, 1).answers(ExceedsCredits),
            ])
            .balances(4, [0, 5, 0, 5]),
        Case::new("a pending transfer that has failed for good cannot be posted, whatever has its id")
            .accounts([account(1).debits_limited(), account(2), account(3), account(4)])
            .transfers([
                hold(10, 1, 2, 5).answers(ExceedsCredits),
                hold(10, 3, 4, 5).answers(IdAlreadyFailed),
                post(11, 10).answers(PendingTransferNotFound),
                pay(11, 3, 4, 1).answers(IdAlreadyFailed),
                post(12, 10).debit(3).credit(4).answers(PendingTransferNotFound),
            ])
            .transfers([post(13, 10).answers(PendingTransferNotFound), post(12, 10).answers(IdAlreadyFailed)])
            .balances(3, [0, 0, 0, 0]),
    ]
}

fn posts() -> Vec<Case> {
    vec![
        Case::new("a post of an unknown transfer fails for good, also as a post of a known one in the same request")
            .accounts(plain(2))
            .transfers([hold(10, 1, 2, 5)])
            .transfers([post(11, 99).answers(PendingTransferNotFound), post(11, 10).answers(IdAlreadyFailed)])
            .balances(1, [5, 0, 0, 0])
            .transfers([post(11, 10).answers(IdAlreadyFailed), post(12, 10)]),
        Case::new("a post of an unknown transfer fails for good, also as a post of one that the same request makes")
            .accounts(plain(4))
            .transfers([
                post(11, 99).answers(PendingTransferNotFound),
                hold(10, 3, 4, 5),
                post(11, 10).answers(IdAlreadyFailed),
                post(12, 10),
            ])
            .balances(3, [0, 5, 0, 0]),
        Case::new("a post of an unknown transfer fails for good, also as a post of itself or as a payment")
            .accounts(plain(2))
            .transfers([
                post(11, 99).answers(PendingTransferNotFound),
                post(11, 11).answers(IdAlreadyFailed),
                pay(11, 1, 2, 5).answers(IdAlreadyFailed),
                void(12, 12).answers(PendingIdMustBeDifferent),
                void(12, 99).answers(PendingTransferNotFound),
            ])
            .balances(1, [0, 0, 0, 0]),
        Case::new("a post that comes before its pending transfer in the request fails for good")
            .accounts(plain(2))
            .transfers([
                post(11, 10).answers(PendingTransferNotFound),
                hold(10, 1, 2, 5),
                post(11, 10).answers(IdAlreadyFailed),
                post(11, 10).debit(1).credit(2).answers(IdAlreadyFailed),
                post(12, 10),
            ])
            .balances(1, [0, 5, 0, 0]),
        Case::new("a post with a fault may be sent again in the request, for the same or another pending transfer")
            .accounts(plain(4))
            .transfers([
                hold(10, 1, 2, 5),
                hold(20, 3, 4, 7),
                post(11, 10).amount(6).answers(ExceedsPendingTransferAmount),
                post(11, 20).amount(6),
                post(11, 10).amount(3).answers(ExistsWithDifferentPendingId),
                void(12, 10),
            ])
            .balances(1, [0, 0, 0, 0])
            .balances(3, [0, 6, 0, 0]),
        Case::new("a post of a post is told what it met in the same request")
            .accounts(plain(4))
            .transfers([
                hold(10, 1, 2, 5),
                post(11, 10),
                post(12, 11).answers(PendingTransferNotPending),
                post(13, 99).answers(PendingTransferNotFound),
                post(14, 13).answers(PendingTransferNotFound),
                hold(99, 3, 4, 5),
                post(15, 99),
            ])
            .balances(3, [0, 5, 0, 0]),
        Case::new("a payment cannot be posted, wherever another one with its id would have been")
            .accounts(plain(4))
            .transfers([
                pay(10, 1, 2, 5).code(0).answers(CodeMustNotBeZero),
                pay(10, 3, 4, 5),
                post(11, 10).answers(PendingTransferNotPending),
                hold(11, 1, 2, 5),
                void(12, 11),
            ])
            .balances(1, [0, 0, 0, 0]),
    ]
}

/// The same request sent again.
fn again() -> Vec<Case> {
    vec![
        Case::new("an id that has failed in a chain has failed for what comes behind, also when the chain fails earlier later")
            .accounts([account(1).debits_limited(), account(2), account(3), account(4).debits_limited()])
            .transfers([pay(9, 2, 4, 5)])
            .transfers([
                pay(20, 4, 2, 5).linked().answers(LinkedEventFailed),
                pay(10, 1, 3, 5).answers(ExceedsCredits),
                hold(10, 2, 3, 5).answers(IdAlreadyFailed),
            ])
            .transfers([pay(8, 4, 2, 5)])
            .transfers([
                pay(20, 4, 2, 5).linked().answers(ExceedsCredits),
                pay(10, 1, 3, 5).answers(LinkedEventFailed),
                hold(10, 2, 3, 5).answers(IdAlreadyFailed),
            ])
            .balances(2, [0, 5, 0, 5]),
        Case::new("an id that a chain has made exists for what comes behind, also when the request is sent again")
            .accounts(plain(4))
            .transfers([
                pay(20, 1, 2, 5).linked(),
                pay(10, 1, 3, 5),
                hold(10, 2, 4, 5).answers(ExistsWithDifferentFlags),
            ])
            .transfers([
                pay(20, 1, 2, 5).linked().answers(Exists),
                pay(10, 1, 3, 5).answers(LinkedEventFailed),
                hold(10, 2, 4, 5).answers(ExistsWithDifferentFlags),
            ])
            .balances(2, [0, 0, 0, 5]),
        Case::new("a request with ids that come again gets the same answers when it is sent again: what exists")
            .accounts(plain(4))
            .transfers([
                hold(10, 1, 2, 5),
                hold(10, 3, 4, 5).answers(ExistsWithDifferentDebitAccountId),
                post(11, 10),
                post(11, 99).answers(ExistsWithDifferentPendingId),
                pay(11, 3, 4, 5).answers(ExistsWithDifferentFlags),
            ])
            .transfers([
                hold(10, 1, 2, 5).answers(Exists),
                hold(10, 3, 4, 5).answers(ExistsWithDifferentDebitAccountId),
                post(11, 10).answers(Exists),
                post(11, 99).answers(ExistsWithDifferentPendingId),
                pay(11, 3, 4, 5).answers(ExistsWithDifferentFlags),
            ])
            .balances(1, [0, 5, 0, 0])
            .balances(3, [0, 0, 0, 0]),
        Case::new(
            "a request with ids that come again gets the same answers when it is sent again: what failed for good",
        )
        .accounts([account(1).debits_limited(), account(2), account(3), account(4)])
        .transfers([
            hold(10, 1, 2, 5).answers(ExceedsCredits),
            hold(10, 3, 4, 5).answers(IdAlreadyFailed),
            post(11, 10).answers(PendingTransferNotFound),
            post(11, 99).answers(IdAlreadyFailed),
            pay(11, 3, 4, 5).answers(IdAlreadyFailed),
        ])
        .transfers([
            hold(10, 1, 2, 5).answers(IdAlreadyFailed),
            hold(10, 3, 4, 5).answers(IdAlreadyFailed),
            post(11, 10).answers(IdAlreadyFailed),
            post(11, 99).answers(IdAlreadyFailed),
            pay(11, 3, 4, 5).answers(IdAlreadyFailed),
        ])
        .balances(3, [0, 0, 0, 0]),
    ]
}

fn many() -> Vec<Case> {
    let faulty = |n: u128| pay(10, 1 + n % 4, 1 + (n + 1) % 4, 5).code(0);
    vec![
        Case::new("an id comes again and again between other accounts, with a fault each time but one")
            .accounts(plain(4))
            .transfers((0..40).map(|n| faulty(n).answers(CodeMustNotBeZero)).chain([pay(10, 3, 1, 5)]).chain(
                (0..40).map(|n| {
                    let debit = faulty(n).transfer.debit_account_id;
                    let same = debit == 3;
                    faulty(n).answers(if same {
                        ExistsWithDifferentCreditAccountId
                    } else {
                        ExistsWithDifferentDebitAccountId
                    })
                }),
            ))
            .balances(3, [0, 5, 0, 0])
            .balances(1, [0, 0, 0, 5]),
        Case::new("many reservations with their posts, which name no account, go in one request")
            .accounts(plain(4))
            .transfers((0..200).flat_map(|n| {
                let (debit, credit) = (1 + n % 4, 1 + (n + 1 + n / 4 % 3) % 4);
                [hold(1_000 + n, debit, credit, 2), post(2_000 + n, 1_000 + n).amount(1)]
            }))
            .balances(1, [0, 50, 0, 50])
            .balances(4, [0, 50, 0, 50]),
        Case::new("posts of many unknown transfers in one request all fail for good")
            .accounts(plain(4))
            .transfers((0..300).map(|n| post(2_000 + n, 1_000 + n).answers(PendingTransferNotFound)))
            .transfers((0..300).map(|n| post(2_000 + n, 1_000 + n).answers(IdAlreadyFailed))),
    ]
}
