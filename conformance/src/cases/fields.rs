//! Transfers: what is stored, and each fault of a request by itself (sections 2 and 3).

use crest_ledger::TransferStatus::*;

use super::*;

pub(super) fn cases() -> Vec<Case> {
    [movements(), refusals(), post_and_void_refusals()].concat()
}

fn movements() -> Vec<Case> {
    let full = pay(10, 1, 2, 5).code(u16::MAX).user_data_128(u128::MAX).user_data_64(u64::MAX).user_data_32(u32::MAX);
    vec![
        Case::new("a transfer debits one account and credits the other")
            .accounts(plain(3))
            .transfers([pay(10, 1, 2, 5)])
            .balances(1, [0, 5, 0, 0])
            .balances(2, [0, 0, 0, 5])
            .transfers([pay(11, 2, 1, 3), pay(12, 2, 3, 4)])
            .balances(1, [0, 5, 0, 3])
            .balances(2, [0, 7, 0, 5])
            .balances(3, [0, 0, 0, 4]),
        Case::new("a transfer is stored with all its fields").accounts(plain(2)).transfers([full]).transfer_is(full),
        Case::new("a transfer of zero is created and moves nothing")
            .accounts(plain(2))
            .transfers([pay(10, 1, 2, 0), hold(11, 1, 2, 0)])
            .transfer_is(pay(10, 1, 2, 0))
            .balances(1, [0, 0, 0, 0])
            .balances(2, [0, 0, 0, 0]),
        Case::new("a transfer of zero needs accounts that exist, like any other")
            .accounts(plain(1))
            .transfers([pay(10, 1, 2, 0).answers(CreditAccountNotFound)]),
        Case::new("ids of transfers may come in any order and of any size")
            .accounts(plain(2))
            .transfers([
                pay(90_000, 1, 2, 1),
                pay(3, 1, 2, 2),
                pay(1 << 60, 1, 2, 4),
                pay(4, 1, 2, 8),
                pay(1, 1, 2, 16),
            ])
            .transfers([pay(2, 1, 2, 32), pay((1 << 60) - 1, 1, 2, 64)])
            .balances(1, [0, 127, 0, 0])
            .looks_up_transfers([2, 1, 90_000, 1 << 60, 4], [2, 1, 90_000, 1 << 60, 4]),
        Case::new("a lookup of transfers answers in the order asked and leaves out what is missing")
            .accounts(plain(3))
            .transfers([pay(10, 1, 2, 1), pay(11, 2, 3, 1), pay(12, 3, 1, 1)])
            .looks_up_transfers([12, 99, 10, 11], [12, 10, 11])
            .looks_up_transfers([99], [])
            .looks_up_transfers([10, 10], [10, 10]),
        Case::new("accounts and transfers may have the same ids")
            .accounts(plain(2))
            .transfers([pay(1, 1, 2, 5), pay(2, 1, 2, 6)])
            .balances(2, [0, 0, 0, 11]),
        Case::new("both directions between two accounts are booked apart, not netted")
            .accounts(plain(2))
            .transfers([pay(10, 1, 2, 5), pay(11, 2, 1, 5)])
            .balances(1, [0, 5, 0, 5])
            .balances(2, [0, 5, 0, 5]),
    ]
}

fn refusals() -> Vec<Case> {
    let good = pay(10, 1, 2, 5);
    let all = [
        good.timestamp(1).answers(TimestampMustBeZero),
        good.flags(1 << 9).answers(ReservedFlag),
        good.flags(1 << 15).answers(ReservedFlag),
        good.id(0).answers(IdMustNotBeZero),
        good.id(u128::MAX).answers(IdMustNotBeIntMax),
        good.debit(0).answers(DebitAccountIdMustNotBeZero),
        good.debit(u128::MAX).answers(DebitAccountIdMustNotBeIntMax),
        good.credit(0).answers(CreditAccountIdMustNotBeZero),
        good.credit(u128::MAX).answers(CreditAccountIdMustNotBeIntMax),
        good.debit(2).answers(AccountsMustBeDifferent),
        good.pending_id(9).answers(PendingIdMustBeZero),
        good.pending().pending_id(9).answers(PendingIdMustBeZero),
        good.timeout(1).answers(TimeoutReservedForPendingTransfer),
        good.closing_debit().answers(ClosingTransferMustBePending),
        good.closing_credit().answers(ClosingTransferMustBePending),
        good.ledger(0).answers(LedgerMustNotBeZero),
        good.code(0).answers(CodeMustNotBeZero),
        good.credit(3).answers(AccountsMustHaveTheSameLedger),
        good.ledger(2).answers(TransferMustHaveTheSameLedgerAsAccounts),
    ];
    vec![
        Case::new("each fault of a transfer's request has its own answer, moves nothing and leaves the id free")
            .accounts([account(1), account(2), account(3).ledger(2)])
            .transfers(all)
            .no_transfer(10)
            .balances(1, [0, 0, 0, 0])
            .balances(2, [0, 0, 0, 0])
            .transfers([good]),
        Case::new("each fault of a transfer's request has its own answer also when the request has no other event")
            .accounts([account(1), account(2), account(3).ledger(2)])
            .one_by_one(all)
            .transfers([good]),
        Case::new("a refused transfer does not keep the others of its request from happening")
            .accounts(plain(2))
            .transfers([pay(10, 1, 2, 1), pay(11, 1, 1, 2).answers(AccountsMustBeDifferent), pay(12, 1, 2, 4)])
            .balances(1, [0, 5, 0, 0]),
        Case::new("an account that does not exist is named by its side")
            .accounts(plain(2))
            .transfers([
                pay(10, 7, 2, 5).answers(DebitAccountNotFound),
                pay(11, 1, 7, 5).answers(CreditAccountNotFound),
                pay(12, 7, 8, 5).answers(DebitAccountNotFound),
            ])
            .looks_up_transfers([10, 11, 12], [])
            .balances(1, [0, 0, 0, 0])
            .balances(2, [0, 0, 0, 0]),
    ]
}

fn post_and_void_refusals() -> Vec<Case> {
    let faults = |event: fn(u128, u128) -> TransferEvent| {
        let good = event(20, 10);
        [
            good.pending().answers(FlagsAreMutuallyExclusive),
            good.balancing_debit().answers(FlagsAreMutuallyExclusive),
            good.balancing_credit().answers(FlagsAreMutuallyExclusive),
            good.closing_debit().answers(FlagsAreMutuallyExclusive),
            good.closing_credit().answers(FlagsAreMutuallyExclusive),
            good.pending_id(0).answers(PendingIdMustNotBeZero),
            good.pending_id(u128::MAX).answers(PendingIdMustNotBeIntMax),
            good.pending_id(20).answers(PendingIdMustBeDifferent),
            good.timeout(1).answers(TimeoutReservedForPendingTransfer),
            good.pending_id(11).answers(PendingTransferNotPending),
            good.debit(3).answers(PendingTransferHasDifferentDebitAccountId),
            good.credit(3).answers(PendingTransferHasDifferentCreditAccountId),
            good.debit(2).credit(1).answers(PendingTransferHasDifferentDebitAccountId),
            good.ledger(2).answers(PendingTransferHasDifferentLedger),
            good.code(2).answers(PendingTransferHasDifferentCode),
            good.amount(6).answers(ExceedsPendingTransferAmount),
        ]
    };
    let world = |name| {
        let case = Case::new(name).accounts(plain(3)).transfers([hold(10, 1, 2, 5), pay(11, 1, 2, 1)]);
        case.balances(1, [5, 1, 0, 0])
    };
    vec![
        world("each fault of a post has its own answer, moves nothing and leaves the id free")
            .transfers(faults(post))
            .transfers([post(20, 10)
                .flags(crest_ledger::TransferFlags::VOID_PENDING)
                .answers(FlagsAreMutuallyExclusive)])
            .balances(1, [5, 1, 0, 0])
            .transfers([post(20, 10)])
            .balances(1, [0, 6, 0, 0]),
        world("each fault of a void has its own answer, releases nothing and leaves the id free")
            .transfers(faults(void))
            .transfers([
                void(20, 10).amount(4).answers(PendingTransferHasDifferentAmount),
                void(20, 10).amount(u128::MAX).answers(ExceedsPendingTransferAmount),
            ])
            .balances(1, [5, 1, 0, 0])
            .transfers([void(20, 10)])
            .balances(1, [0, 1, 0, 0]),
    ]
}
