//! Events with two faults: the first in the order of section 3 is the answer.

use crest_ledger::TransferFlags;

use super::*;

/// Fields that a fault spoils. Two faults that spoil the same one do not go together.
type Fields = u16;

const ID: Fields = 1;
const TIME: Fields = 1 << 1;
const BITS: Fields = 1 << 2;
const KIND: Fields = 1 << 3;
const DEBIT: Fields = 1 << 4;
const CREDIT: Fields = 1 << 5;
const PENDING: Fields = 1 << 6;
const TIMEOUT: Fields = 1 << 7;
const LEDGER: Fields = 1 << 8;
const CODE: Fields = 1 << 9;
const AMOUNT: Fields = 1 << 10;

/// A fault: its answer, the fields that it spoils, and how.
type Fault<E, S> = (S, Fields, fn(E) -> E);

pub(super) fn cases() -> Vec<Case> {
    vec![accounts(), transfers(), posts(), imports()]
}

/// All events with two faults that go together, made from `good(number)`.
fn pairs<E, S: Copy + Ord>(faults: &[Fault<E, S>], good: impl Fn(u128) -> E, answers: fn(E, S) -> E) -> Vec<E> {
    let mut events = Vec::new();
    for (index, (first, spoils, spoil_first)) in faults.iter().enumerate() {
        for (second, spoils_too, spoil_second) in &faults[index + 1..] {
            assert!(first <= second, "the table is in the order of precedence");
            if spoils & spoils_too == 0 {
                let event = good(events.len() as u128);
                events.push(answers(spoil_first(spoil_second(event)), *first));
            }
        }
    }
    events
}

fn accounts() -> Case {
    use crate::event::AccountEvent;
    use crest_ledger::AccountFlags;
    use crest_ledger::AccountStatus::*;

    let faults: [Fault<AccountEvent, crest_ledger::AccountStatus>; 11] = [
        (TimestampMustBeZero, TIME, |a| a.timestamp(1)),
        (ReservedFlag, BITS, |a| a.flags(!AccountFlags::KNOWN)),
        (IdMustNotBeZero, ID, |a| a.id(0)),
        (IdMustNotBeIntMax, ID, |a| a.id(u128::MAX)),
        (FlagsAreMutuallyExclusive, KIND, |a| a.debits_limited().credits_limited()),
        (DebitsPendingMustBeZero, 1 << 11, |mut a| {
            a.account.debits_pending = 1;
            a
        }),
        (DebitsPostedMustBeZero, 1 << 12, |mut a| {
            a.account.debits_posted = 1;
            a
        }),
        (CreditsPendingMustBeZero, 1 << 13, |mut a| {
            a.account.credits_pending = 1;
            a
        }),
        (CreditsPostedMustBeZero, 1 << 14, |mut a| {
            a.account.credits_posted = 1;
            a
        }),
        (LedgerMustNotBeZero, LEDGER, |a| a.ledger(0)),
        (CodeMustNotBeZero, CODE, |a| a.code(0)),
    ];
    let events = pairs(&faults, |_| account(1), AccountEvent::answers);
    Case::new("of two faults of an account the first in the table is the answer").accounts(events).no_account(1)
}

fn transfers() -> Case {
    use crest_ledger::TransferStatus::*;

    let faults: [Fault<TransferEvent, crest_ledger::TransferStatus>; 23] = [
        (TimestampMustBeZero, TIME, |t| t.timestamp(1)),
        (ReservedFlag, BITS, |t| t.flags(!TransferFlags::KNOWN)),
        (IdMustNotBeZero, ID, |t| t.id(0)),
        (IdMustNotBeIntMax, ID, |t| t.id(u128::MAX)),
        // The id of a transfer from account 4 to account 2 that failed for good.
        (IdAlreadyFailed, ID | DEBIT, |t| t.id(9).debit(4)),
        (DebitAccountIdMustNotBeZero, DEBIT, |t| t.debit(0)),
        (DebitAccountIdMustNotBeIntMax, DEBIT, |t| t.debit(u128::MAX)),
        (CreditAccountIdMustNotBeZero, CREDIT, |t| t.credit(0)),
        (CreditAccountIdMustNotBeIntMax, CREDIT, |t| t.credit(u128::MAX)),
        (AccountsMustBeDifferent, DEBIT | CREDIT, |t| t.debit(2).credit(2)),
        (PendingIdMustBeZero, PENDING, |t| t.pending_id(8)),
        (TimeoutReservedForPendingTransfer, TIMEOUT, |t| t.timeout(1)),
        (ClosingTransferMustBePending, KIND, |t| t.closing_debit().closing_credit()),
        (LedgerMustNotBeZero, LEDGER, |t| t.ledger(0)),
        (CodeMustNotBeZero, CODE, |t| t.code(0)),
        (DebitAccountNotFound, DEBIT, |t| t.debit(77)),
        (CreditAccountNotFound, CREDIT, |t| t.credit(78)),
        (AccountsMustHaveTheSameLedger, CREDIT, |t| t.credit(3)),
        (TransferMustHaveTheSameLedgerAsAccounts, LEDGER, |t| t.ledger(2)),
        (DebitAccountAlreadyClosed, DEBIT, |t| t.debit(4)),
        (CreditAccountAlreadyClosed, CREDIT, |t| t.credit(5)),
        (ExceedsCredits, DEBIT, |t| t.debit(6)),
        (ExceedsDebits, CREDIT, |t| t.credit(7)),
    ];
    let events = pairs(&faults, |number| pay(1_000 + number, 1, 2, 5), TransferEvent::answers);
    Case::new("of two faults of a transfer the first in the table is the answer")
        .accounts([
            account(1),
            account(2),
            account(3).ledger(2),
            account(4).closed(),
            account(5).closed(),
            account(6).debits_limited(),
            account(7).credits_limited(),
        ])
        .transfers([pay(8, 1, 2, 1), pay(9, 4, 2, 1).answers(DebitAccountAlreadyClosed)])
        .transfers(events)
        .balances(1, [0, 1, 0, 0])
        .balances(2, [0, 0, 0, 1])
}

fn posts() -> Case {
    use crest_ledger::TransferStatus::*;

    let faults: [Fault<TransferEvent, crest_ledger::TransferStatus>; 20] = [
        (TimestampMustBeZero, TIME, |t| t.timestamp(1)),
        (ReservedFlag, BITS, |t| t.flags(!TransferFlags::KNOWN)),
        (IdMustNotBeZero, ID, |t| t.id(0)),
        (IdMustNotBeIntMax, ID, |t| t.id(u128::MAX)),
        // The id of a post of transfer 14 that failed for good.
        (IdAlreadyFailed, ID | PENDING | DEBIT, |t| t.id(9).pending_id(14).debit(4)),
        (FlagsAreMutuallyExclusive, KIND, |t| t.pending()),
        (PendingIdMustNotBeZero, PENDING, |t| t.pending_id(0)),
        (PendingIdMustNotBeIntMax, PENDING, |t| t.pending_id(u128::MAX)),
        (TimeoutReservedForPendingTransfer, TIMEOUT, |t| t.timeout(1)),
        (PendingTransferNotFound, PENDING, |t| t.pending_id(99)),
        (PendingTransferNotPending, PENDING, |t| t.pending_id(8)),
        (PendingTransferHasDifferentDebitAccountId, DEBIT, |t| t.debit(3)),
        (PendingTransferHasDifferentCreditAccountId, CREDIT, |t| t.credit(3)),
        (PendingTransferHasDifferentLedger, LEDGER, |t| t.ledger(2)),
        (PendingTransferHasDifferentCode, CODE, |t| t.code(2)),
        (ExceedsPendingTransferAmount, AMOUNT, |t| t.amount(6)),
        (PendingTransferAlreadyPosted, PENDING, |t| t.pending_id(11)),
        (PendingTransferAlreadyVoided, PENDING, |t| t.pending_id(12)),
        (PendingTransferExpired, PENDING, |t| t.pending_id(13)),
        (DebitAccountAlreadyClosed, PENDING, |t| t.pending_id(14).debit(4)),
    ];
    let good = |number| post(1_000 + number, 10).debit(1).credit(2);
    let events = pairs(&faults, good, TransferEvent::answers);
    Case::new("of two faults of a post the first in the table is the answer")
        .accounts(plain(5))
        .transfers([
            pay(8, 1, 2, 1),
            hold(10, 1, 2, 5),
            hold(11, 1, 2, 5),
            hold(12, 1, 2, 5),
            hold(13, 1, 2, 5).timeout(1),
            hold(14, 4, 2, 5),
            hold(15, 4, 5, 5).closing_debit(),
        ])
        .advance(2)
        .transfers([post(21, 11), void(22, 12), post(9, 14).debit(4).credit(2).answers(DebitAccountAlreadyClosed)])
        .transfers(events)
        .balances(1, [5, 6, 0, 0])
        .balances(4, [10, 0, 0, 0])
}

fn imports() -> Case {
    use crest_ledger::TransferStatus::*;

    let late = pay(20, 1, 2, 5).imported(1_000_000);
    Case::new("what an import does wrong comes before what its transfer does wrong")
        .accounts(plain(2))
        .advance(10)
        .transfers([pay(19, 1, 2, 5), late.id(0).answers(ImportedEventNotExpected)])
        .transfers([late.id(0).answers(ImportedEventTimestampMustNotAdvance)])
        .transfers([
            late.timestamp(0).id(0).flags(1 << 9).answers(ImportedEventTimestampOutOfRange),
            pay(21, 1, 2, 5).timestamp(1).id(0).answers(ImportedEventExpected),
        ])
        .transfers([pay(22, 1, 2, 5).imported(0).debit(0).answers(DebitAccountIdMustNotBeZero)])
        .transfers([hold(23, 1, 2, 5).imported(0).timeout(1).code(0).answers(CodeMustNotBeZero)])
        .transfers([hold(24, 1, 2, 5)
            .imported_at(Moment::OfAccount(1, -1))
            .timeout(1)
            .answers(ImportedEventTimestampMustNotRegress)])
}
