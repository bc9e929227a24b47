//! Sums that do not fit (section 3). They need fresh subjects, since their amounts fill the sums of a whole ledger.

use crest_ledger::TransferStatus::*;
use crest_ledger::limits::TIMESTAMP_MAX;

use super::*;

const MAX: u128 = u128::MAX;

pub(super) fn cases() -> Vec<Case> {
    [sums(), around_them()].concat()
}

fn sums() -> Vec<Case> {
    vec![
        Case::new("the largest amount is moved once")
            .fresh()
            .accounts(plain(3))
            .transfers([pay(10, 1, 2, MAX)])
            .balances(1, [0, MAX, 0, 0])
            .balances(2, [0, 0, 0, MAX])
            .transfers([
                pay(11, 1, 3, 1).answers(OverflowsDebitsPosted),
                pay(12, 3, 2, 1).answers(OverflowsCreditsPosted),
            ])
            .transfers([pay(13, 1, 2, 0), pay(14, 2, 1, MAX)])
            .balances(1, [0, MAX, 0, MAX]),
        Case::new("posted sums do not overflow, whether the transfer is pending or not")
            .fresh()
            .accounts(plain(4))
            .transfers([pay(10, 1, 2, MAX - 3)])
            .transfers([
                pay(11, 1, 3, 4).answers(OverflowsDebitsPosted),
                pay(12, 3, 2, 4).answers(OverflowsCreditsPosted),
                pay(13, 1, 2, 4).answers(OverflowsDebitsPosted),
                hold(14, 1, 3, 4).answers(OverflowsDebitsPosted),
                hold(15, 3, 2, 4).answers(OverflowsCreditsPosted),
            ])
            .transfers([pay(16, 1, 3, 1), pay(17, 4, 2, 1)])
            .balances(1, [0, MAX - 2, 0, 0]),
        Case::new("pending sums do not overflow")
            .fresh()
            .accounts(plain(3))
            .transfers([hold(10, 1, 2, MAX - 3)])
            .transfers([
                hold(11, 1, 3, 4).answers(OverflowsDebitsPending),
                hold(12, 3, 2, 4).answers(OverflowsCreditsPending),
                hold(13, 1, 2, 4).answers(OverflowsDebitsPending),
                hold(14, 1, 2, 3),
            ])
            .balances(1, [MAX, 0, 0, 0]),
        Case::new("pending and posted together do not overflow")
            .fresh()
            .accounts(plain(4))
            .transfers([hold(10, 1, 2, MAX - 3)])
            .transfers([
                pay(11, 1, 3, 4).answers(OverflowsDebits),
                pay(12, 3, 2, 4).answers(OverflowsCredits),
                pay(13, 1, 2, 4).answers(OverflowsDebits),
                pay(14, 1, 2, 2),
                hold(15, 1, 3, 2).answers(OverflowsDebits),
                hold(16, 3, 2, 2).answers(OverflowsCredits),
                hold(17, 1, 2, 1),
            ])
            .balances(1, [MAX - 2, 2, 0, 0])
            .transfers([post(18, 10), post(19, 17)])
            .balances(1, [0, MAX, 0, 0])
            .balances(2, [0, 0, 0, MAX]),
    ]
}

fn around_them() -> Vec<Case> {
    vec![
        Case::new("an overflow leaves the id free")
            .fresh()
            .accounts(plain(3))
            .transfers([hold(10, 1, 2, MAX), pay(11, 1, 3, 1).answers(OverflowsDebits), void(12, 10), pay(11, 1, 3, 1)])
            .balances(1, [0, 1, 0, 0]),
        Case::new("an overflow is answered before a limit and after a closed account")
            .fresh()
            .accounts([account(1), account(2), account(3).credits_limited(), account(4).closed()])
            .transfers([pay(10, 1, 2, MAX)])
            .transfers([
                pay(11, 1, 3, 1).answers(OverflowsDebitsPosted),
                pay(12, 1, 4, 1).answers(CreditAccountAlreadyClosed),
                pay(13, 1, 2, 1).ledger(2).answers(TransferMustHaveTheSameLedgerAsAccounts),
            ]),
        Case::new("a balancing transfer overflows only with what it moves")
            .fresh()
            .accounts(plain(3))
            .transfers([pay(10, 1, 2, MAX), pay(11, 1, 3, MAX).balancing_debit(), pay(12, 2, 3, MAX).balancing_debit()])
            .transfer_is(pay(11, 1, 3, 0).balancing_debit())
            .balances(3, [0, 0, 0, MAX]),
        Case::new("a reservation may not last beyond the end of time")
            .fresh()
            .advance_to(Moment::Exactly(TIMESTAMP_MAX - 1_000_000_000_000))
            .accounts(plain(2))
            .transfers([
                hold(10, 1, 2, 5).timeout(1_001).answers(OverflowsTimeout),
                hold(11, 1, 2, 5).timeout(u32::MAX).answers(OverflowsTimeout),
                hold(10, 1, 2, 5).timeout(999),
                hold(12, 1, 2, 5),
            ])
            .balances(1, [10, 0, 0, 0]),
    ]
}
