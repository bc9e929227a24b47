//! Limits of accounts (section 1).

use crest_ledger::TransferStatus::*;

use super::*;

pub(super) fn cases() -> Vec<Case> {
    [debits(), credits()].concat()
}

fn debits() -> Vec<Case> {
    let world = |name| Case::new(name).accounts([account(1).debits_limited(), account(2), account(3)]);
    vec![
        world("an account whose debits are limited pays what it was paid, and not one more")
            .transfers([pay(10, 1, 2, 1).answers(ExceedsCredits)])
            .transfers([pay(11, 2, 1, 10), pay(12, 1, 2, 11).answers(ExceedsCredits), pay(13, 1, 2, 10)])
            .transfers([pay(14, 1, 2, 1).answers(ExceedsCredits)])
            .balances(1, [0, 10, 0, 10])
            .balances(2, [0, 10, 0, 10]),
        world("an account whose debits are limited and that has nothing pays zero").transfers([pay(10, 1, 2, 0)]),
        world("pending debits count against the limit")
            .transfers([pay(10, 2, 1, 10), hold(11, 1, 2, 6)])
            .transfers([pay(12, 1, 2, 5).answers(ExceedsCredits), hold(13, 1, 3, 5).answers(ExceedsCredits)])
            .transfers([pay(14, 1, 2, 4)])
            .balances(1, [6, 4, 0, 10]),
        world("pending credits do not count for the limit")
            .transfers([hold(10, 2, 1, 10), pay(11, 1, 2, 1).answers(ExceedsCredits)])
            .transfers([post(12, 10), pay(13, 1, 2, 10)])
            .balances(1, [0, 10, 0, 10]),
        world("what a void releases can be paid again")
            .transfers([pay(10, 2, 1, 10), hold(11, 1, 2, 10), pay(12, 1, 3, 10).answers(ExceedsCredits)])
            .transfers([void(13, 11), pay(14, 1, 3, 10)])
            .balances(1, [0, 10, 0, 10]),
        world("what a partial post releases can be paid again")
            .transfers([pay(10, 2, 1, 10), hold(11, 1, 2, 10), post(12, 11).amount(4)])
            .transfers([pay(13, 1, 3, 7).answers(ExceedsCredits), pay(14, 1, 3, 6)])
            .balances(1, [0, 10, 0, 10]),
        world("what an expiry releases can be paid again")
            .transfers([pay(10, 2, 1, 10), hold(11, 1, 2, 10).timeout(1), pay(12, 1, 3, 1).answers(ExceedsCredits)])
            .advance(2)
            .transfers([pay(13, 1, 3, 10)])
            .balances(1, [0, 10, 0, 10]),
        world("a limit does not keep what was reserved from being posted")
            .transfers([pay(10, 2, 1, 10), hold(11, 1, 2, 10), post(12, 11)])
            .balances(1, [0, 10, 0, 10]),
        world("credits of an account whose debits are limited are not limited")
            .transfers([pay(10, 2, 1, 1_000_000), pay(11, 3, 1, 1_000_000)])
            .balances(1, [0, 0, 0, 2_000_000]),
        world("several payments of one request use up a limit in their order")
            .transfers([pay(10, 2, 1, 10)])
            .transfers([
                pay(11, 1, 2, 4),
                pay(12, 1, 3, 4),
                pay(13, 1, 2, 4).answers(ExceedsCredits),
                pay(14, 1, 3, 2),
                pay(15, 1, 3, 1).answers(ExceedsCredits),
            ])
            .balances(1, [0, 10, 0, 10]),
    ]
}

fn credits() -> Vec<Case> {
    let world = |name| Case::new(name).accounts([account(1).credits_limited(), account(2), account(3)]);
    vec![
        world("an account whose credits are limited is paid what it paid, and not one more")
            .transfers([pay(10, 2, 1, 1).answers(ExceedsDebits)])
            .transfers([pay(11, 1, 2, 10), pay(12, 2, 1, 11).answers(ExceedsDebits), pay(13, 2, 1, 10)])
            .balances(1, [0, 10, 0, 10]),
        world("pending credits count against the limit, pending debits do not count for it")
            .transfers([hold(10, 1, 2, 10), pay(11, 2, 1, 1).answers(ExceedsDebits)])
            .transfers([post(12, 10), hold(13, 2, 1, 6), pay(14, 3, 1, 5).answers(ExceedsDebits), pay(15, 3, 1, 4)])
            .balances(1, [0, 10, 6, 4])
            .transfers([void(16, 13), pay(17, 3, 1, 6)])
            .balances(1, [0, 10, 0, 10]),
        Case::new("of two limits that are exceeded, the payer's is the answer")
            .accounts([account(1).debits_limited(), account(2).credits_limited(), account(3)])
            .transfers([pay(10, 1, 2, 5).answers(ExceedsCredits)])
            .transfers([pay(11, 3, 1, 5), pay(12, 1, 2, 5).answers(ExceedsDebits)])
            .transfers([pay(13, 2, 3, 5), pay(14, 1, 2, 5)])
            .balances(1, [0, 5, 0, 5])
            .balances(2, [0, 5, 0, 5]),
        Case::new("a refusal on one side leaves nothing on the other")
            .accounts([account(1).debits_limited(), account(2), account(3).credits_limited()])
            .transfers([pay(10, 1, 2, 5).answers(ExceedsCredits), hold(11, 2, 3, 5).answers(ExceedsDebits)])
            .balances(1, [0, 0, 0, 0])
            .balances(2, [0, 0, 0, 0])
            .balances(3, [0, 0, 0, 0])
            .looks_up_transfers([10, 11], []),
    ]
}
