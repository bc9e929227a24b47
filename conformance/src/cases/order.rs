//! Events of one request that depend on one another, in order (sections 6 and 8).

use crest_ledger::TransferStatus::*;

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("money is passed on through many accounts in one request")
            .accounts((1..=20).map(|n| if n == 1 { account(n) } else { account(n).debits_limited() }))
            .transfers((1..20).map(|n| pay(100 + n, n, n + 1, 5)))
            .balances(1, [0, 5, 0, 0])
            .balances(10, [0, 5, 0, 5])
            .balances(20, [0, 0, 0, 5]),
        Case::new("money that comes too late in the request does not help")
            .accounts([account(1), account(2).debits_limited(), account(3)])
            .transfers([pay(10, 2, 3, 5).answers(ExceedsCredits), pay(11, 1, 2, 5), pay(12, 2, 3, 5)])
            .balances(2, [0, 5, 0, 5]),
        Case::new("money that is paid back and forth in one request is there every time")
            .accounts([account(1).debits_limited(), account(2).debits_limited(), account(3)])
            .transfers([pay(9, 3, 1, 5)])
            .transfers((0..20).map(|n| if n % 2 == 0 { pay(100 + n, 1, 2, 5) } else { pay(100 + n, 2, 1, 5) }))
            .balances(1, [0, 50, 0, 55])
            .balances(2, [0, 50, 0, 50]),
        Case::new("a reservation, its post and what the post makes possible go in one request")
            .accounts([account(1), account(2).debits_limited(), account(3)])
            .transfers([
                hold(10, 1, 2, 5),
                pay(11, 2, 3, 5).answers(ExceedsCredits),
                post(12, 10),
                pay(13, 2, 3, 5),
                pay(14, 2, 3, 1).answers(ExceedsCredits),
            ])
            .balances(2, [0, 5, 0, 5]),
        Case::new("a void in the same request frees what it had taken")
            .accounts([account(1).debits_limited(), account(2), account(3)])
            .transfers([pay(9, 2, 1, 5)])
            .transfers([hold(10, 1, 2, 5), pay(11, 1, 3, 5).answers(ExceedsCredits), void(12, 10), pay(13, 1, 3, 5)])
            .balances(1, [0, 5, 0, 5]),
        Case::new("a limit that many events of one request share is used up in their order")
            .accounts([account(1).debits_limited(), account(2), account(3), account(4)])
            .transfers([pay(9, 2, 1, 35)])
            .transfers((0..10).map(|n| {
                let paid = pay(100 + n, 1, 2 + n % 3, 10);
                if n < 3 { paid } else { paid.answers(ExceedsCredits) }
            }))
            .balances(1, [0, 30, 0, 35]),
        Case::new("a retry, a burned id and a new id of one request are told apart")
            .accounts([account(1).debits_limited(), account(2)])
            .transfers([
                pay(10, 1, 2, 5).answers(ExceedsCredits),
                pay(11, 2, 1, 5),
                pay(10, 1, 2, 5).answers(IdAlreadyFailed),
                pay(12, 1, 2, 5),
                pay(12, 1, 2, 5).answers(Exists),
                pay(13, 1, 2, 5).answers(ExceedsCredits),
            ])
            .balances(1, [0, 5, 0, 5]),
        Case::new("balance rows follow the order of the events of one request")
            .accounts([account(1).history(), account(2), account(3)])
            .transfers([pay(15, 1, 2, 1), pay(11, 3, 1, 2), hold(13, 1, 3, 4), post(12, 13), pay(14, 2, 1, 8)])
            .lists(list(1), [15, 11, 13, 12, 14])
            .rows(list(1), [[0, 1, 0, 0], [0, 1, 0, 2], [4, 1, 0, 2], [0, 5, 0, 2], [0, 5, 0, 10]]),
        Case::new("a large request is applied as a whole, in order")
            .accounts([account(1), account(2).debits_limited(), account(3)])
            .transfers(
                (0..2_000).map(|n| if n % 2 == 0 { pay(10_000 + n, 1, 2, n) } else { pay(10_000 + n, 2, 3, n - 1) }),
            )
            .balances(1, [0, 999_000, 0, 0])
            .balances(2, [0, 999_000, 0, 999_000])
            .balances(3, [0, 0, 0, 999_000]),
    ]
}
