//! Reservations with a timeout, to the nanosecond where the subject's own steps allow (section 4).
//!
//! "Just before" is 0.1 ms: a hybrid logical clock that works in steps may stamp an event some steps after the time.

use crest_ledger::TransferStatus::*;

use super::*;

const JUST: i64 = 100_000;

pub(super) fn cases() -> Vec<Case> {
    [boundary(), released(), answers()].concat()
}

fn boundary() -> Vec<Case> {
    let world = |name| Case::new(name).accounts(plain(2)).transfers([hold(10, 1, 2, 5).timeout(10)]);
    vec![
        world("a reservation is never released early")
            .advance_to(Moment::Expiry(10, -JUST))
            .balances(1, [5, 0, 0, 0])
            .balances(2, [0, 0, 5, 0]),
        world("a reservation can be posted until just before it expires")
            .advance_to(Moment::Expiry(10, -JUST))
            .transfers([post(11, 10)])
            .balances(1, [0, 5, 0, 0])
            .advance(20)
            .balances(1, [0, 5, 0, 0]),
        world("a reservation can be voided until just before it expires")
            .advance_to(Moment::Expiry(10, -JUST))
            .transfers([void(11, 10)])
            .advance(20)
            .balances(1, [0, 0, 0, 0]),
        world("at the very instant of its expiry a reservation is no longer posted")
            .advance_to(Moment::Expiry(10, 0))
            .transfers([post(11, 10).answers(PendingTransferExpired)])
            .balances(1, [0, 0, 0, 0]),
        world("at the very instant of its expiry a reservation is no longer voided")
            .advance_to(Moment::Expiry(10, 0))
            .transfers([void(11, 10).answers(PendingTransferExpired)])
            .balances(1, [0, 0, 0, 0]),
        world("at the very instant of its expiry a reservation is released")
            .advance_to(Moment::Expiry(10, 0))
            .balances(1, [0, 0, 0, 0])
            .balances(2, [0, 0, 0, 0]),
        world("long after its expiry a reservation is still expired")
            .advance(1_000_000)
            .transfers([post(11, 10).answers(PendingTransferExpired), void(12, 10).answers(PendingTransferExpired)])
            .balances(1, [0, 0, 0, 0]),
    ]
}

fn released() -> Vec<Case> {
    vec![
        Case::new("reservations expire each at its own instant")
            .accounts(plain(3))
            .transfers([
                hold(10, 1, 2, 1).timeout(5),
                hold(11, 1, 3, 2).timeout(3),
                hold(12, 2, 3, 4).timeout(9),
                hold(13, 1, 2, 8),
                hold(14, 3, 1, 16).timeout(3),
            ])
            .advance_to(Moment::Expiry(11, -JUST))
            .balances(1, [11, 0, 16, 0])
            .advance_to(Moment::Expiry(14, JUST))
            .balances(1, [9, 0, 0, 0])
            .balances(3, [0, 0, 4, 0])
            .advance_to(Moment::Expiry(10, 0))
            .balances(1, [8, 0, 0, 0])
            .advance_to(Moment::Expiry(12, 0))
            .balances(2, [0, 0, 8, 0])
            .balances(3, [0, 0, 0, 0]),
        Case::new("time that passes at once releases everything that fell due meanwhile")
            .accounts(plain(2))
            .transfers((1..=50).map(|n| hold(100 + n, 1, 2, n).timeout(n as u32)))
            .advance_to(Moment::Expiry(130, JUST))
            .balances(1, [(31..=50).sum(), 0, 0, 0])
            .advance(100)
            .balances(1, [0, 0, 0, 0])
            .balances(2, [0, 0, 0, 0]),
        Case::new("an expiry leaves what was posted before alone")
            .accounts(plain(2))
            .transfers([hold(10, 1, 2, 5).timeout(2), hold(11, 1, 2, 7).timeout(2), post(12, 10).amount(3)])
            .advance(3)
            .balances(1, [0, 3, 0, 0])
            .balances(2, [0, 0, 0, 3]),
        Case::new("an expired transfer stays in the lists as it was made, and its expiry is no transfer")
            .accounts([account(1).history(), account(2)])
            .transfers([hold(10, 1, 2, 5).timeout(1)])
            .advance(2)
            .transfers([pay(11, 1, 2, 1)])
            .transfer_is(hold(10, 1, 2, 5).timeout(1))
            .lists(list(1), [10, 11])
            .rows(list(1), [[5, 0, 0, 0], [0, 1, 0, 0]])
            .finds_transfers(query().code(1), [10, 11]),
        Case::new("an account that is closed meanwhile still gets its reservation back")
            .accounts(plain(3))
            .transfers([
                hold(10, 1, 2, 5).timeout(1),
                hold(11, 2, 3, 1).closing_debit(),
                hold(12, 1, 3, 2).closing_debit(),
            ])
            .advance(2)
            .balances(1, [2, 0, 0, 0])
            .balances(2, [1, 0, 0, 0]),
    ]
}

fn answers() -> Vec<Case> {
    let world = |name| Case::new(name).accounts(plain(2)).transfers([hold(10, 1, 2, 5).timeout(10)]);
    vec![
        world("an expired transfer exists when it is retried")
            .advance(11)
            .transfers([hold(10, 1, 2, 5).timeout(10).answers(Exists)])
            .balances(1, [0, 0, 0, 0]),
        world("what was posted in time stays posted after the time")
            .transfers([post(11, 10)])
            .advance(11)
            .transfers([post(11, 10).answers(Exists), post(12, 10).answers(PendingTransferAlreadyPosted)]),
        world("what was voided in time stays voided after the time")
            .transfers([void(11, 10)])
            .advance(11)
            .transfers([void(11, 10).answers(Exists), void(12, 10).answers(PendingTransferAlreadyVoided)]),
        world("a post that came too late leaves its id free")
            .advance(11)
            .transfers([post(11, 10).answers(PendingTransferExpired)])
            .transfers([pay(11, 1, 2, 1)])
            .balances(1, [0, 1, 0, 0]),
        world("a mismatch is answered before the expiry").advance(11).transfers([
            post(11, 10).amount(6).answers(ExceedsPendingTransferAmount),
            post(11, 10).debit(2).answers(PendingTransferHasDifferentDebitAccountId),
            void(11, 10).amount(4).answers(PendingTransferHasDifferentAmount),
        ]),
    ]
}
