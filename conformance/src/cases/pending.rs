//! Pending transfers, posts and voids (section 4).

use crest_ledger::TransferStatus::*;

use super::*;

pub(super) fn cases() -> Vec<Case> {
    [reserved(), posted(), voided(), inherited(), resolved_once()].concat()
}

fn reserved() -> Vec<Case> {
    vec![
        Case::new("a pending transfer reserves on both sides and moves nothing")
            .accounts(plain(2))
            .transfers([hold(10, 1, 2, 5), hold(11, 2, 1, 3)])
            .balances(1, [5, 0, 3, 0])
            .balances(2, [3, 0, 5, 0])
            .transfer_is(hold(10, 1, 2, 5)),
        Case::new("a pending transfer is stored with its timeout")
            .accounts(plain(2))
            .transfers([hold(10, 1, 2, 5).timeout(u32::MAX)])
            .transfer_is(hold(10, 1, 2, 5).timeout(u32::MAX)),
        Case::new("a pending transfer without a timeout never expires")
            .accounts(plain(2))
            .transfers([hold(10, 1, 2, 5)])
            .advance(1_000_000)
            .balances(1, [5, 0, 0, 0])
            .transfers([post(11, 10)])
            .balances(1, [0, 5, 0, 0]),
        Case::new("a pending transfer itself does not change when it is resolved")
            .accounts(plain(2))
            .transfers([hold(10, 1, 2, 5), post(11, 10).amount(2)])
            .transfer_is(hold(10, 1, 2, 5)),
    ]
}

fn posted() -> Vec<Case> {
    let world = |name| Case::new(name).accounts(plain(3)).transfers([hold(10, 1, 2, 5)]);
    let stored = |amount| post(11, 10).debit(1).credit(2).ledger(1).code(1).amount(amount);
    vec![
        world("a post of the largest amount moves all that was reserved")
            .transfers([post(11, 10)])
            .balances(1, [0, 5, 0, 0])
            .balances(2, [0, 0, 0, 5])
            .transfer_is(stored(5)),
        world("a post of the reserved amount moves all of it")
            .transfers([post(11, 10).amount(5)])
            .balances(2, [0, 0, 0, 5])
            .transfer_is(stored(5)),
        world("a partial post moves its amount and releases the rest")
            .transfers([post(11, 10).amount(2)])
            .balances(1, [0, 2, 0, 0])
            .balances(2, [0, 0, 0, 2])
            .transfer_is(stored(2))
            .transfers([post(12, 10).amount(3).answers(PendingTransferAlreadyPosted)]),
        world("a post of zero moves nothing and releases all")
            .transfers([post(11, 10).amount(0)])
            .balances(1, [0, 0, 0, 0])
            .balances(2, [0, 0, 0, 0])
            .transfer_is(stored(0))
            .transfers([void(12, 10).answers(PendingTransferAlreadyPosted)]),
        world("a post of more than was reserved is refused, and a smaller one succeeds then")
            .transfers([post(11, 10).amount(6).answers(ExceedsPendingTransferAmount)])
            .transfers([post(11, 10).amount(u128::MAX - 1).answers(ExceedsPendingTransferAmount)])
            .balances(1, [5, 0, 0, 0])
            .transfers([post(11, 10).amount(4)])
            .balances(1, [0, 4, 0, 0]),
        world("several reservations between the same accounts are resolved independently")
            .transfers([hold(20, 1, 2, 7), hold(30, 1, 2, 9), hold(40, 2, 1, 11)])
            .balances(1, [21, 0, 11, 0])
            .transfers([void(31, 30), post(21, 20)])
            .balances(1, [5, 7, 11, 0])
            .transfers([post(41, 40).amount(1), post(11, 10)])
            .balances(1, [0, 12, 0, 1])
            .balances(2, [0, 1, 0, 12]),
        world("a pending transfer can be posted in the request that makes it")
            .transfers([hold(20, 2, 3, 8), post(21, 20), hold(30, 2, 3, 4), void(31, 30)])
            .balances(2, [0, 8, 5, 0])
            .balances(3, [0, 0, 0, 8]),
        world("a post is no pending transfer and cannot be posted itself")
            .transfers([post(11, 10), post(12, 11).answers(PendingTransferNotPending)])
            .transfers([void(13, 11).answers(PendingTransferNotPending)]),
    ]
}

fn voided() -> Vec<Case> {
    let world = |name| Case::new(name).accounts(plain(2)).transfers([hold(10, 1, 2, 5)]);
    let stored = void(11, 10).debit(1).credit(2).ledger(1).code(1).amount(5);
    vec![
        world("a void of zero releases all and is stored with what it released")
            .transfers([void(11, 10)])
            .balances(1, [0, 0, 0, 0])
            .balances(2, [0, 0, 0, 0])
            .transfer_is(stored),
        world("a void of exactly the reserved amount releases all")
            .transfers([void(11, 10).amount(5)])
            .balances(1, [0, 0, 0, 0])
            .transfer_is(stored),
        world("a void of another amount is refused")
            .transfers([
                void(11, 10).amount(4).answers(PendingTransferHasDifferentAmount),
                void(11, 10).amount(6).answers(ExceedsPendingTransferAmount),
                void(11, 10).amount(1).answers(PendingTransferHasDifferentAmount),
            ])
            .balances(1, [5, 0, 0, 0]),
        world("a reservation of zero is voided with zero")
            .transfers([hold(20, 1, 2, 0), void(21, 20), hold(30, 1, 2, 0), post(31, 30)])
            .transfers([hold(40, 1, 2, 0), post(41, 40).amount(1).answers(ExceedsPendingTransferAmount)])
            .balances(1, [5, 0, 0, 0]),
    ]
}

fn inherited() -> Vec<Case> {
    let pending = hold(10, 1, 2, 5).code(7).user_data_128(11).user_data_64(12).user_data_32(13);
    let world = |name| Case::new(name).accounts(plain(3)).transfers([pending]);
    let inherited = |t: TransferEvent| {
        t.debit(1).credit(2).amount(5).ledger(1).code(7).user_data_128(11).user_data_64(12).user_data_32(13)
    };
    vec![
        world("a post inherits everything that it leaves at zero")
            .transfers([post(11, 10)])
            .transfer_is(inherited(post(11, 10))),
        world("a void inherits everything that it leaves at zero")
            .transfers([void(11, 10)])
            .transfer_is(inherited(void(11, 10))),
        world("a post may repeat everything")
            .transfers([post(11, 10).debit(1).credit(2).ledger(1).code(7).amount(5)])
            .transfer_is(inherited(post(11, 10))),
        world("a post may have user data of its own")
            .transfers([post(11, 10).user_data_128(21).user_data_64(22).user_data_32(23)])
            .transfer_is(inherited(post(11, 10)).user_data_128(21).user_data_64(22).user_data_32(23)),
        world("a void may have some user data of its own and inherit the rest")
            .transfers([void(11, 10).user_data_64(22)])
            .transfer_is(inherited(void(11, 10)).user_data_64(22)),
        world("a post may name only the payer").transfers([post(11, 10).debit(1)]).transfer_is(inherited(post(11, 10))),
        world("a post may name only the payee")
            .transfers([post(11, 10).credit(2)])
            .transfer_is(inherited(post(11, 10))),
        world("a void may name only the payer").transfers([void(11, 10).debit(1)]).transfer_is(inherited(void(11, 10))),
        world("a void may name only the payee")
            .transfers([void(11, 10).credit(2)])
            .transfer_is(inherited(void(11, 10))),
        world("what a post names has to be the pending transfer's")
            .transfers([
                post(11, 10).debit(3).answers(PendingTransferHasDifferentDebitAccountId),
                post(11, 10).credit(3).answers(PendingTransferHasDifferentCreditAccountId),
                post(11, 10).debit(1).credit(3).answers(PendingTransferHasDifferentCreditAccountId),
                post(11, 10).debit(3).credit(2).answers(PendingTransferHasDifferentDebitAccountId),
                post(11, 10).debit(2).credit(1).answers(PendingTransferHasDifferentDebitAccountId),
                post(11, 10).debit(99).answers(PendingTransferHasDifferentDebitAccountId),
                post(11, 10).ledger(2).answers(PendingTransferHasDifferentLedger),
                post(11, 10).code(8).answers(PendingTransferHasDifferentCode),
                void(11, 10).code(8).answers(PendingTransferHasDifferentCode),
            ])
            .balances(1, [5, 0, 0, 0])
            .transfers([post(11, 10)]),
        world("a post that names an account of nobody is told that it is another one")
            .transfers([
                post(11, 10).debit(u128::MAX).answers(PendingTransferHasDifferentDebitAccountId),
                post(11, 10).credit(u128::MAX).answers(PendingTransferHasDifferentCreditAccountId),
                post(11, 10).debit(2).credit(2).answers(PendingTransferHasDifferentDebitAccountId),
            ])
            .balances(1, [5, 0, 0, 0]),
    ]
}

fn resolved_once() -> Vec<Case> {
    let world = |name| Case::new(name).accounts(plain(2)).transfers([hold(10, 1, 2, 5)]);
    vec![
        world("what was posted is neither posted nor voided again")
            .transfers([post(11, 10)])
            .transfers([
                post(12, 10).answers(PendingTransferAlreadyPosted),
                void(13, 10).answers(PendingTransferAlreadyPosted),
                post(14, 10).amount(0).answers(PendingTransferAlreadyPosted),
            ])
            .balances(1, [0, 5, 0, 0]),
        world("what was voided is neither posted nor voided again")
            .transfers([void(11, 10)])
            .transfers([
                post(12, 10).answers(PendingTransferAlreadyVoided),
                void(13, 10).answers(PendingTransferAlreadyVoided),
            ])
            .balances(1, [0, 0, 0, 0]),
        world("of two posts in one request the first wins")
            .transfers([
                post(11, 10).amount(2),
                post(12, 10).answers(PendingTransferAlreadyPosted),
                void(13, 10).answers(PendingTransferAlreadyPosted),
            ])
            .balances(1, [0, 2, 0, 0])
            .looks_up_transfers([11, 12, 13], [11]),
        world("a mismatch is answered before what was resolved already").transfers([post(11, 10)]).transfers([
            post(12, 10).amount(6).answers(ExceedsPendingTransferAmount),
            void(12, 10).amount(4).answers(PendingTransferHasDifferentAmount),
            post(12, 10).code(9).answers(PendingTransferHasDifferentCode),
            post(12, 10).answers(PendingTransferAlreadyPosted),
        ]),
        world("a refused post leaves its id free for another transfer between the accounts")
            .transfers([post(11, 10).amount(6).answers(ExceedsPendingTransferAmount), pay(11, 1, 2, 3)])
            .balances(1, [5, 3, 0, 0]),
    ]
}
