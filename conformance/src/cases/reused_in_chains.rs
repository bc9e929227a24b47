//! Ids that come more than once in one request that has chains (sections 3, 5, 6 and 8).

use crest_ledger::TransferStatus::*;

use super::*;

pub(super) fn cases() -> Vec<Case> {
    [chains(), in_one_chain()].concat()
}

fn chains() -> Vec<Case> {
    let limited = || [account(1).debits_limited(), account(2), account(3), account(4)];
    vec![
        Case::new("a pending transfer of a chain that failed is not there to be posted, and its id is free")
            .accounts(limited())
            .transfers([
                hold(10, 2, 3, 5).linked().answers(LinkedEventFailed),
                pay(13, 1, 2, 5).answers(ExceedsCredits),
                post(11, 10).answers(PendingTransferNotFound),
                hold(10, 3, 4, 5),
                post(11, 10).answers(IdAlreadyFailed),
                post(12, 10),
            ])
            .balances(2, [0, 0, 0, 0])
            .balances(3, [0, 5, 0, 0]),
        Case::new("a pending transfer that broke its chain may be sent again between other accounts, and be posted")
            .accounts(plain(4))
            .transfers([
                pay(13, 1, 2, 5).linked().answers(LinkedEventFailed),
                hold(10, 1, 2, 5).code(0).answers(CodeMustNotBeZero),
                hold(10, 3, 4, 5),
                post(11, 10),
            ])
            .balances(1, [0, 0, 0, 0])
            .balances(3, [0, 5, 0, 0]),
        Case::new("an id in two chains is free when the first chain failed, and exists when it did not")
            .accounts(plain(4))
            .transfers([
                hold(10, 1, 2, 5).linked().answers(LinkedEventFailed),
                pay(13, 1, 3, 1).code(0).answers(CodeMustNotBeZero),
                hold(10, 3, 4, 5).linked(),
                post(11, 10),
                hold(10, 2, 1, 5).linked().answers(ExistsWithDifferentDebitAccountId),
                pay(14, 1, 2, 5).answers(LinkedEventFailed),
                pay(14, 2, 1, 5).linked().answers(LinkedEventFailed),
                hold(10, 2, 1, 5).answers(ExistsWithDifferentFlags),
            ])
            .balances(2, [0, 0, 0, 0])
            .balances(3, [0, 5, 0, 0]),
        Case::new("an id that failed for good breaks a later chain of the request")
            .accounts(limited())
            .transfers([
                pay(10, 1, 2, 5).answers(ExceedsCredits),
                pay(13, 3, 4, 5).linked().answers(LinkedEventFailed),
                pay(10, 4, 3, 5).answers(IdAlreadyFailed),
                post(11, 99).answers(PendingTransferNotFound),
                hold(14, 2, 3, 5).linked().answers(LinkedEventFailed),
                post(11, 14).linked().answers(IdAlreadyFailed),
                pay(15, 3, 4, 5).answers(LinkedEventFailed),
            ])
            .balances(3, [0, 0, 0, 0]),
        Case::new("a post in a chain follows the pending transfer that the request has made by then")
            .accounts(plain(4))
            .transfers([
                hold(10, 1, 2, 5).code(0).answers(CodeMustNotBeZero),
                hold(10, 3, 4, 5),
                pay(13, 2, 1, 3).linked(),
                post(11, 10).linked(),
                pay(14, 4, 1, 5),
            ])
            .balances(4, [0, 5, 0, 5])
            .balances(1, [0, 0, 0, 8]),
        Case::new("a chain reserves and posts under an id that was refused before")
            .accounts(plain(4))
            .transfers([
                hold(10, 1, 2, 5).code(0).answers(CodeMustNotBeZero),
                hold(10, 3, 4, 5).linked(),
                post(11, 10).linked(),
                pay(12, 4, 1, 3),
            ])
            .balances(4, [0, 3, 0, 5]),
        Case::new("a balancing chain is told of ids that came before it in the request")
            .accounts([account(1), account(2).debits_limited(), account(3), account(4)])
            .transfers([pay(9, 1, 2, 8)])
            .transfers([
                pay(10, 1, 3, 5).code(0).answers(CodeMustNotBeZero),
                pay(10, 2, 3, 100).balancing_debit().linked(),
                pay(12, 3, 4, 6),
                pay(13, 4, 2, 100).balancing_credit().linked().answers(LinkedEventFailed),
                pay(10, 4, 1, 5).answers(ExistsWithDifferentFlags),
            ])
            .balances(2, [0, 8, 0, 8])
            .balances(4, [0, 0, 0, 6]),
    ]
}

fn in_one_chain() -> Vec<Case> {
    vec![
        Case::new("an id that comes twice in a chain breaks it, between whatever accounts, and is free then")
            .accounts(plain(4))
            .transfers([
                hold(10, 1, 2, 5).linked().answers(LinkedEventFailed),
                hold(10, 3, 4, 5).answers(ExistsWithDifferentFlags),
                post(11, 10).answers(PendingTransferNotFound),
                hold(10, 3, 4, 5),
                post(12, 10),
            ])
            .balances(1, [0, 0, 0, 0])
            .balances(3, [0, 5, 0, 0]),
        Case::new("an id that comes twice in a chain with the same flags breaks it at the first field that differs")
            .accounts(plain(4))
            .transfers([
                pay(10, 1, 2, 5).linked().answers(LinkedEventFailed),
                pay(10, 3, 4, 5).linked().answers(ExistsWithDifferentDebitAccountId),
                pay(11, 1, 2, 5).answers(LinkedEventFailed),
                pay(10, 2, 3, 5),
            ])
            .balances(1, [0, 0, 0, 0])
            .balances(2, [0, 5, 0, 0]),
        Case::new("a post that comes twice in a chain breaks it")
            .accounts(plain(4))
            .transfers([
                hold(10, 1, 2, 5).linked().answers(LinkedEventFailed),
                post(11, 10).linked().answers(LinkedEventFailed),
                post(11, 99).linked().answers(ExistsWithDifferentPendingId),
                pay(13, 3, 4, 5).answers(LinkedEventFailed),
                post(11, 10).answers(PendingTransferNotFound),
                hold(11, 3, 4, 5).answers(IdAlreadyFailed),
            ])
            .balances(3, [0, 0, 0, 0]),
        Case::new("a post that comes before its pending transfer in a chain breaks it and fails for good")
            .accounts(plain(4))
            .transfers([
                pay(13, 1, 2, 5).linked().answers(LinkedEventFailed),
                post(11, 10).linked().answers(PendingTransferNotFound),
                hold(10, 3, 4, 5).answers(LinkedEventFailed),
                hold(10, 3, 4, 5),
                post(11, 10).answers(IdAlreadyFailed),
                post(12, 10),
            ])
            .balances(1, [0, 0, 0, 0])
            .balances(3, [0, 5, 0, 0]),
    ]
}
