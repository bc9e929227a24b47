//! Linked chains (section 6).

use crest_ledger::AccountStatus;
use crest_ledger::TransferStatus::*;

use super::*;
use crate::event::AccountEvent;

pub(super) fn cases() -> Vec<Case> {
    [succeeding(), failing(), open(), burned(), retried(), accounts()].concat()
}

/// The events as one chain: all but the last are linked.
fn chain<const N: usize>(mut events: [TransferEvent; N]) -> Vec<TransferEvent> {
    for event in events.iter_mut().rev().skip(1) {
        *event = event.linked();
    }
    events.to_vec()
}

/// The events as one chain that fails: each answers linked_event_failed, but those that say otherwise.
fn failing_chain<const N: usize>(events: [TransferEvent; N]) -> Vec<TransferEvent> {
    let mut events = chain(events);
    for event in events.iter_mut().filter(|e| e.expected == Created) {
        event.expected = LinkedEventFailed;
    }
    events
}

fn succeeding() -> Vec<Case> {
    vec![
        Case::new("a chain whose events all succeed happens as a whole")
            .accounts(plain(4))
            .transfers(chain([pay(10, 1, 2, 5), pay(11, 2, 3, 6), pay(12, 3, 4, 7)]))
            .balances(1, [0, 5, 0, 0])
            .balances(2, [0, 6, 0, 5])
            .balances(3, [0, 7, 0, 6])
            .balances(4, [0, 0, 0, 7])
            .transfer_is(pay(10, 1, 2, 5).linked())
            .transfer_is(pay(12, 3, 4, 7)),
        Case::new("a later event of a chain spends what an earlier one has brought")
            .accounts([account(1), account(2).debits_limited(), account(3).debits_limited(), account(4)])
            .transfers(chain([pay(10, 1, 2, 5), pay(11, 2, 3, 5), pay(12, 3, 4, 5)]))
            .balances(2, [0, 5, 0, 5])
            .balances(3, [0, 5, 0, 5])
            .balances(4, [0, 0, 0, 5]),
        Case::new("a chain that goes round leaves everybody with what they had")
            .accounts(plain(3).into_iter().map(AccountEvent::debits_limited).chain([account(4)]))
            .transfers([pay(9, 4, 1, 5)])
            .transfers(chain([pay(10, 1, 2, 5), pay(11, 2, 3, 5), pay(12, 3, 1, 5)]))
            .balances(1, [0, 5, 0, 10])
            .balances(2, [0, 5, 0, 5])
            .balances(3, [0, 5, 0, 5]),
        Case::new("a chain can reserve and post")
            .accounts(plain(3))
            .transfers(chain([hold(10, 1, 2, 5), post(11, 10).amount(3), hold(12, 2, 3, 2), void(13, 12)]))
            .balances(1, [0, 3, 0, 0])
            .balances(2, [0, 0, 0, 3]),
        Case::new("a chain can post what an earlier request reserved, and move it on")
            .accounts([account(1), account(2).debits_limited(), account(3)])
            .transfers([hold(10, 1, 2, 5)])
            .transfers(chain([post(11, 10), pay(12, 2, 3, 5)]))
            .balances(1, [0, 5, 0, 0])
            .balances(2, [0, 5, 0, 5]),
        Case::new("a chain can void and post what other accounts have reserved")
            .accounts(plain(6))
            .transfers([hold(10, 3, 4, 5), hold(11, 5, 6, 7)])
            .transfers(chain([pay(12, 1, 2, 1), void(13, 10), post(14, 11)]))
            .transfer_is(void(13, 10).linked().debit(3).credit(4).amount(5).ledger(1).code(1))
            .transfer_is(post(14, 11).debit(5).credit(6).amount(7).ledger(1).code(1))
            .balances(3, [0, 0, 0, 0])
            .balances(6, [0, 0, 0, 7]),
        Case::new("a balancing event of a chain sees the events before it")
            .accounts(plain(4))
            .transfers(chain([pay(10, 1, 2, 5), pay(11, 2, 3, 2), pay(12, 2, 4, 100).balancing_debit()]))
            .transfer_is(pay(12, 2, 4, 3).balancing_debit())
            .balances(2, [0, 5, 0, 5]),
        Case::new("a chain can close, void and pay")
            .accounts(plain(3))
            .transfers(chain([hold(10, 1, 2, 5).closing_debit(), void(11, 10), pay(12, 1, 3, 4)]))
            .account_is(account(1).balances([0, 4, 0, 0])),
        Case::new("several chains and single events of one request are independent of each other")
            .accounts(plain(4))
            .transfers(
                [
                    vec![pay(10, 1, 2, 1)],
                    chain([pay(11, 1, 2, 2), pay(12, 3, 4, 4)]),
                    failing_chain([
                        pay(13, 1, 2, 8),
                        pay(14, 1, 2, 16).code(0).answers(CodeMustNotBeZero),
                        pay(15, 3, 4, 32),
                    ]),
                    vec![pay(16, 1, 1, 64).answers(AccountsMustBeDifferent), pay(17, 1, 2, 128)],
                    chain([pay(18, 3, 4, 256), pay(19, 1, 2, 512), pay(20, 1, 4, 1024)]),
                ]
                .concat(),
            )
            .balances(1, [0, 1 + 2 + 128 + 512 + 1024, 0, 0])
            .balances(3, [0, 4 + 256, 0, 0])
            .looks_up_transfers([13, 14, 15, 16], []),
        Case::new("a chain fails for a ledger of accounts that no other event touches")
            .accounts(plain(6))
            .transfers(failing_chain([
                pay(10, 1, 2, 1),
                pay(11, 3, 4, 1).ledger(2).answers(TransferMustHaveTheSameLedgerAsAccounts),
                pay(12, 5, 6, 1),
            ]))
            .accounts([account(7).ledger(2)])
            .transfers(failing_chain([pay(10, 1, 2, 1), pay(11, 3, 7, 1).answers(AccountsMustHaveTheSameLedger)])),
        Case::new("a limit holds at every step of a chain, not only at its end")
            .accounts([account(1).debits_limited(), account(2)])
            .transfers(failing_chain([pay(10, 1, 2, 5).answers(ExceedsCredits), pay(11, 2, 1, 5)]))
            .transfers(chain([pay(12, 2, 1, 5), pay(13, 1, 2, 5)]))
            .balances(1, [0, 5, 0, 5]),
    ]
}

fn failing() -> Vec<Case> {
    let world = |name| Case::new(name).accounts([account(1), account(2), account(3).debits_limited(), account(4)]);
    let untouched = |case: Case| {
        let case = case.balances(1, [0; 4]).balances(2, [0; 4]).balances(3, [0; 4]).balances(4, [0; 4]);
        case.looks_up_transfers([10, 11, 12], [])
    };
    let poor = |id| pay(id, 3, 4, 5).answers(ExceedsCredits);
    vec![
        untouched(world("a chain whose first event fails does not happen").transfers(failing_chain([
            poor(10),
            pay(11, 1, 2, 5),
            pay(12, 2, 1, 6),
        ]))),
        untouched(world("a chain whose middle event fails does not happen").transfers(failing_chain([
            pay(10, 1, 2, 5),
            poor(11),
            pay(12, 2, 1, 6),
        ]))),
        untouched(world("a chain whose last event fails does not happen").transfers(failing_chain([
            pay(10, 1, 2, 5),
            pay(11, 2, 4, 6),
            poor(12),
        ]))),
        untouched(world("of two events that would fail, only the first is looked at").transfers(failing_chain([
            pay(10, 1, 2, 5),
            poor(11),
            pay(12, 1, 1, 6).answers(LinkedEventFailed),
        ]))),
        untouched(
            world("a chain that fails with a fault of its request does not happen either")
                .transfers(failing_chain([
                    pay(10, 1, 2, 5),
                    pay(11, 2, 4, 5).timestamp(1).answers(TimestampMustBeZero),
                ]))
                .transfers(failing_chain([pay(10, 1, 2, 5), pay(11, 2, 4, 5).flags(1 << 9).answers(ReservedFlag)])),
        ),
        world("a chain that fails gives back what it has posted, voided and closed")
            .transfers([hold(20, 1, 2, 5), hold(21, 1, 2, 7), hold(22, 1, 4, 0).closing_debit()])
            .transfers(failing_chain([
                void(23, 22),
                post(24, 20),
                void(25, 21),
                hold(26, 2, 4, 1).closing_credit(),
                pay(27, 3, 2, 5).answers(ExceedsCredits),
            ]))
            .account_is(account(1).closed().balances([12, 0, 0, 0]))
            .account_is(account(2).balances([0, 0, 12, 0]))
            .account_is(account(4))
            .transfers([void(28, 22), post(24, 20), void(25, 21)])
            .balances(1, [0, 5, 0, 0]),
        world("a transfer of a chain that failed cannot be posted")
            .transfers(failing_chain([hold(10, 1, 2, 5), poor(11)]))
            .transfers([post(12, 10).debit(1).credit(2).answers(PendingTransferNotFound)]),
        world("an event after a failed chain sees nothing of it")
            .transfers(
                [failing_chain([pay(10, 1, 3, 5), pay(11, 1, 1, 5).answers(AccountsMustBeDifferent)]), vec![poor(12)]]
                    .concat(),
            )
            .balances(1, [0; 4]),
        Case::new("what a failed chain has created leaves no balance rows")
            .accounts([account(1).history(), account(2), account(3).debits_limited()])
            .transfers([pay(10, 1, 2, 1)])
            .transfers(failing_chain([pay(11, 1, 2, 2), pay(12, 3, 2, 5).answers(ExceedsCredits)]))
            .transfers([pay(13, 1, 2, 4)])
            .rows(list(1), [[0, 1, 0, 0], [0, 5, 0, 0]])
            .lists(list(1), [10, 13]),
    ]
}

fn open() -> Vec<Case> {
    vec![
        Case::new("a chain that the request leaves open does not happen")
            .accounts(plain(2))
            .transfers([
                pay(10, 1, 2, 1).linked().answers(LinkedEventFailed),
                pay(11, 1, 2, 2).linked().answers(LinkedEventFailed),
                pay(12, 1, 2, 4).linked().answers(LinkedEventChainOpen),
            ])
            .balances(1, [0; 4])
            .transfers([pay(10, 1, 2, 1), pay(11, 1, 2, 2), pay(12, 1, 2, 4)]),
        Case::new("a single linked event is an open chain")
            .accounts(plain(2))
            .transfers([pay(10, 1, 2, 1).linked().answers(LinkedEventChainOpen)])
            .transfers([pay(11, 1, 2, 2), pay(10, 1, 2, 1).linked().answers(LinkedEventChainOpen)])
            .balances(1, [0, 2, 0, 0]),
        Case::new("a chain that is left open after a failure says both")
            .accounts(plain(2))
            .transfers([
                pay(10, 1, 2, 1).linked().answers(LinkedEventFailed),
                pay(11, 1, 1, 2).linked().answers(AccountsMustBeDifferent),
                pay(12, 1, 2, 4).linked().answers(LinkedEventFailed),
                pay(13, 1, 2, 8).linked().answers(LinkedEventChainOpen),
            ])
            .balances(1, [0; 4]),
        Case::new("an open chain is answered before anything that is wrong with its last event")
            .accounts(plain(2))
            .transfers([
                pay(10, 1, 2, 1),
                pay(0, 1, 1, 4).linked().timestamp(1).flags(1 << 9).answers(LinkedEventChainOpen),
            ]),
    ]
}

fn burned() -> Vec<Case> {
    let world = |name| Case::new(name).accounts([account(1), account(2), account(3).debits_limited()]);
    vec![
        world("the culprit of a chain is burned, its siblings are not")
            .transfers(failing_chain([pay(10, 1, 2, 1), pay(11, 3, 2, 5).answers(ExceedsCredits), pay(12, 1, 2, 4)]))
            .transfers([pay(9, 1, 3, 100)])
            .transfers([pay(10, 1, 2, 1), pay(11, 3, 2, 5).answers(IdAlreadyFailed), pay(12, 1, 2, 4)])
            .balances(1, [0, 105, 0, 0]),
        world("a failed chain succeeds when the culprit gets a new id")
            .transfers(failing_chain([pay(10, 1, 2, 1), pay(11, 3, 2, 5).answers(ExceedsCredits), pay(12, 1, 2, 4)]))
            .transfers([pay(9, 1, 3, 100)])
            .transfers(chain([pay(10, 1, 2, 1), pay(20, 3, 2, 5), pay(12, 1, 2, 4)]))
            .balances(2, [0, 0, 0, 10]),
        world("a failed chain that is retried fails by the burned culprit")
            .transfers(failing_chain([pay(10, 1, 2, 1), pay(11, 3, 2, 5).answers(ExceedsCredits)]))
            .transfers([pay(9, 1, 3, 100)])
            .transfers(failing_chain([pay(10, 1, 2, 1), pay(11, 3, 2, 5).answers(IdAlreadyFailed)]))
            .balances(2, [0; 4]),
        world("a culprit that failed by its request is not burned")
            .transfers(failing_chain([pay(10, 1, 2, 1), pay(11, 1, 2, 5).code(0).answers(CodeMustNotBeZero)]))
            .transfers(chain([pay(10, 1, 2, 1), pay(11, 1, 2, 5)]))
            .balances(1, [0, 6, 0, 0]),
        world("a sibling that would have failed for want of money is not burned")
            .transfers(failing_chain([
                pay(10, 1, 2, 5).code(0).answers(CodeMustNotBeZero),
                pay(11, 3, 2, 5).answers(LinkedEventFailed),
            ]))
            .transfers([pay(9, 1, 3, 100), pay(11, 3, 2, 5)])
            .balances(3, [0, 5, 0, 100]),
    ]
}

fn retried() -> Vec<Case> {
    vec![
        Case::new("a chain that is retried exists at its first event, and moves nothing")
            .accounts(plain(2))
            .transfers(chain([pay(10, 1, 2, 1), pay(11, 1, 2, 2), pay(12, 1, 2, 4)]))
            .transfers(failing_chain([pay(10, 1, 2, 1).answers(Exists), pay(11, 1, 2, 2), pay(12, 1, 2, 4)]))
            .balances(1, [0, 7, 0, 0]),
        Case::new("an event that exists fails the chain that it is in")
            .accounts(plain(2))
            .transfers([pay(11, 1, 2, 2)])
            .transfers(failing_chain([pay(10, 1, 2, 1), pay(12, 1, 2, 4), pay(11, 1, 2, 2).answers(Exists)]))
            .transfers(failing_chain([
                pay(10, 1, 2, 1),
                pay(11, 1, 2, 2).answers(ExistsWithDifferentFlags),
                pay(12, 1, 2, 4),
            ]))
            .balances(1, [0, 2, 0, 0])
            .looks_up_transfers([10, 11, 12], [11]),
        Case::new("an id that comes twice in a chain fails it")
            .accounts(plain(2))
            .transfers(failing_chain([pay(10, 1, 2, 1), pay(10, 1, 2, 1).answers(ExistsWithDifferentFlags)]))
            .balances(1, [0; 4])
            .transfers([pay(10, 1, 2, 1)]),
    ]
}

fn accounts() -> Vec<Case> {
    use AccountStatus as A;
    vec![
        Case::new("a chain of accounts is created as a whole")
            .accounts([account(1).linked(), account(2).linked(), account(3)])
            .looks_up_accounts([1, 2, 3], [1, 2, 3]),
        Case::new("a chain of accounts that fails is not created, the rest of the request is")
            .accounts([
                account(1),
                account(2).linked().answers(A::LinkedEventFailed),
                account(3).linked().code(0).answers(A::CodeMustNotBeZero),
                account(4).answers(A::LinkedEventFailed),
                account(5).linked(),
                account(6),
            ])
            .looks_up_accounts([1, 2, 3, 4, 5, 6], [1, 5, 6])
            .accounts([account(2), account(3), account(4)]),
        Case::new("a chain of accounts that is left open is not created")
            .accounts([
                account(1).linked().answers(A::LinkedEventFailed),
                account(2).linked().answers(A::LinkedEventChainOpen),
            ])
            .looks_up_accounts([1, 2], [])
            .accounts([
                account(3).linked().ledger(0).answers(A::LedgerMustNotBeZero),
                account(4).linked().answers(A::LinkedEventFailed),
                account(5).linked().answers(A::LinkedEventChainOpen),
            ])
            .accounts([account(0).linked().answers(A::LinkedEventChainOpen)]),
        Case::new("an account that exists fails the chain that it is in")
            .accounts([account(2)])
            .accounts([
                account(1).linked().answers(A::LinkedEventFailed),
                account(2).linked().answers(A::ExistsWithDifferentFlags),
                account(3).answers(A::LinkedEventFailed),
            ])
            .accounts([account(1).linked().answers(A::LinkedEventFailed), account(2).answers(A::Exists)])
            .looks_up_accounts([1, 2, 3], [2]),
    ]
}
