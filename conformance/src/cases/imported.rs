//! Imported accounts and transfers (section 7).

use crest_ledger::AccountStatus as A;
use crest_ledger::TransferStatus::*;
use crest_ledger::limits::TIMESTAMP_MAX;

use super::*;

pub(super) fn cases() -> Vec<Case> {
    [accounts(), transfers(), transfers_in_their_world(), regressing(), retried(), resolved()].concat()
}

fn accounts() -> Vec<Case> {
    let world = |name| Case::new(name).advance(100);
    vec![
        world("imported accounts keep their timestamps")
            .accounts([account(1).imported(1_000), account(2).imported(2_000), account(3).history().imported(3_000)])
            .account_is(account(1).imported(1_000))
            .account_is(account(3).history().imported(3_000))
            .accounts([account(4).imported(4_000)])
            .finds_accounts(query(), [1, 2, 3, 4]),
        world("a request imports all of its accounts or none")
            .accounts([
                account(1).imported(1_000),
                account(2).answers(A::ImportedEventExpected),
                account(3).imported(2_000),
            ])
            .accounts([account(4), account(5).imported(3_000).answers(A::ImportedEventNotExpected), account(6)])
            .looks_up_accounts([1, 2, 3, 4, 5, 6], [1, 3, 4, 6]),
        world("an imported account has a timestamp of the past")
            .accounts([
                account(1).imported(0).timestamp(0).answers(A::ImportedEventTimestampOutOfRange),
                account(1).imported(0).timestamp(TIMESTAMP_MAX + 1).answers(A::ImportedEventTimestampOutOfRange),
                account(1).imported(0).timestamp(u64::MAX).answers(A::ImportedEventTimestampOutOfRange),
                account(1).imported(1_000_000).answers(A::ImportedEventTimestampMustNotAdvance),
                account(1).imported(0).timestamp(TIMESTAMP_MAX).answers(A::ImportedEventTimestampMustNotAdvance),
            ])
            .no_account(1),
        world("what is wrong with the time of an imported account comes before what is wrong with its fields")
            .accounts([
                account(0).imported(0).timestamp(0).answers(A::ImportedEventTimestampOutOfRange),
                account(0).imported(1_000_000).answers(A::ImportedEventTimestampMustNotAdvance),
                account(0).imported(1_000).answers(A::IdMustNotBeZero),
                account(1).imported(1_000).code(0).answers(A::CodeMustNotBeZero),
                account(0).code(0).answers(A::ImportedEventExpected),
            ])
            .accounts([account(2), account(0).imported(1_000).answers(A::ImportedEventNotExpected)]),
        world("a chain of imported accounts that fails is not imported")
            .accounts([
                account(1).linked().imported(1_000).answers(A::LinkedEventFailed),
                account(2).imported(2_000).code(0).answers(A::CodeMustNotBeZero),
            ])
            .accounts([account(1).linked().imported(1_000), account(2).imported(2_000)])
            .account_is(account(1).linked().imported(1_000)),
        world("an imported account exists when it is retried, whatever the time")
            .accounts([account(1).imported(1_000), account(2).imported(2_000)])
            .accounts([
                account(1).imported(1_000).answers(A::Exists),
                account(2).imported(2_500).answers(A::Exists),
                account(1).imported(500).answers(A::Exists),
                account(1).imported(1_000).code(2).answers(A::ExistsWithDifferentCode),
            ])
            .accounts([account(1).answers(A::ExistsWithDifferentFlags)])
            .account_is(account(1).imported(1_000)),
    ]
}

fn transfers() -> Vec<Case> {
    let world = |name| Case::new(name).accounts(plain(3)).advance(100);
    vec![
        world("imported transfers keep their timestamps and move money")
            .transfers([pay(10, 1, 2, 5).imported(1_000), pay(11, 2, 3, 6).imported(2_000)])
            .transfer_is(pay(10, 1, 2, 5).imported(1_000))
            .transfer_is(pay(11, 2, 3, 6).imported(2_000))
            .transfers([pay(12, 2, 1, 7).imported(3_000)])
            .transfers([pay(13, 1, 2, 8)])
            .lists(list(2), [10, 11, 12, 13])
            .lists(list(2).from(Moment::Millis(1_500)).until(Moment::Millis(3_000)), [11, 12])
            .balances(2, [0, 13, 0, 13]),
        world("a request imports all of its transfers or none")
            .transfers([
                pay(10, 1, 2, 5).imported(1_000),
                pay(11, 1, 2, 6).answers(ImportedEventExpected),
                pay(12, 1, 2, 7).imported(2_000),
            ])
            .transfers([pay(13, 1, 2, 8), pay(14, 1, 2, 9).imported(3_000).answers(ImportedEventNotExpected)])
            .balances(1, [0, 20, 0, 0]),
        world("an imported transfer has a timestamp of the past")
            .transfers([
                pay(10, 1, 2, 5).imported_at(Moment::Exactly(0)).answers(ImportedEventTimestampOutOfRange),
                pay(10, 1, 2, 5)
                    .imported_at(Moment::Exactly(TIMESTAMP_MAX + 1))
                    .answers(ImportedEventTimestampOutOfRange),
                pay(10, 1, 2, 5)
                    .imported_at(Moment::Exactly(TIMESTAMP_MAX))
                    .answers(ImportedEventTimestampMustNotAdvance),
                pay(10, 1, 2, 5).imported(1_000_000).answers(ImportedEventTimestampMustNotAdvance),
            ])
            .balances(1, [0; 4]),
    ]
}

fn transfers_in_their_world() -> Vec<Case> {
    let world = |name| Case::new(name).accounts(plain(3)).advance(100);
    vec![
        world("an imported transfer is later than its accounts")
            .transfers([pay(10, 1, 2, 5).imported(1_000)])
            .accounts([account(4)])
            .advance(100)
            .transfers([
                pay(11, 4, 2, 5).imported(2_000).answers(ImportedEventTimestampMustPostdateDebitAccount),
                pay(12, 1, 4, 5).imported(2_000).answers(ImportedEventTimestampMustPostdateCreditAccount),
                pay(13, 4, 2, 5).imported(150_000),
            ])
            .balances(4, [0, 5, 0, 0]),
        world("an imported transfer that is older than both its accounts names the payer's")
            .accounts([account(4), account(5)])
            .transfers([pay(10, 4, 5, 5).imported(2_000).answers(ImportedEventTimestampMustPostdateDebitAccount)]),
        world("an imported pending transfer has no timeout")
            .transfers([
                hold(10, 1, 2, 5).imported(1_000).timeout(1).answers(ImportedEventTimeoutMustBeZero),
                hold(10, 1, 2, 5).imported(1_000),
            ])
            .balances(1, [5, 0, 0, 0]),
        world("what is wrong with an import comes before closed accounts and limits")
            .accounts([account(4).closed(), account(5).debits_limited()])
            .transfers([
                hold(10, 4, 2, 5).imported(1_000).timeout(1).answers(ImportedEventTimestampMustPostdateDebitAccount),
                pay(11, 5, 2, 5).imported(1_000).answers(ImportedEventTimestampMustPostdateDebitAccount),
            ])
            .advance(100)
            .transfers([
                hold(12, 4, 2, 5).imported(150_000).timeout(1).answers(ImportedEventTimeoutMustBeZero),
                pay(13, 4, 2, 5).imported(150_000).answers(DebitAccountAlreadyClosed),
                pay(14, 5, 2, 5).imported(150_000).answers(ExceedsCredits),
            ]),
        world("a chain of imported transfers that fails is not imported")
            .transfers([
                pay(10, 1, 2, 5).linked().imported(1_000).answers(LinkedEventFailed),
                pay(11, 1, 1, 6).imported(2_000).answers(AccountsMustBeDifferent),
                pay(12, 1, 2, 7).linked().imported(3_000),
                pay(13, 2, 3, 8).imported(4_000),
            ])
            .balances(1, [0, 7, 0, 0])
            .balances(2, [0, 8, 0, 7]),
        world("a chain of imported transfers keeps their timestamps, whomever they are between")
            .accounts([account(4), account(5)])
            .advance(100)
            .transfers([pay(10, 1, 2, 5).linked().imported(110_000), pay(11, 4, 5, 6).imported(120_000)])
            .transfer_is(pay(10, 1, 2, 5).linked().imported(110_000))
            .transfer_is(pay(11, 4, 5, 6).imported(120_000))
            .lists(list(5), [11]),
        world("the balance row of an imported transfer shows what expired before it came")
            .accounts([account(4).history()])
            .transfers([hold(10, 4, 2, 5).timeout(1)])
            .advance(100)
            .transfers([pay(11, 4, 2, 3).imported(150_000)])
            .rows(list(4), [[5, 0, 0, 0], [0, 3, 0, 0]]),
        world("balance rows of imported transfers carry their timestamps")
            .accounts([account(4).history()])
            .advance(100)
            .transfers([pay(10, 4, 2, 5).imported(120_000), pay(11, 1, 4, 3).imported(130_000)])
            .rows(list(4), [[0, 5, 0, 0], [0, 5, 0, 3]])
            .rows(list(4).from(Moment::Millis(130_000)), [[0, 5, 0, 3]]),
    ]
}

fn regressing() -> Vec<Case> {
    vec![
        Case::new("imported transfers between the same accounts go forward in time")
            .accounts(plain(2))
            .advance(100)
            .transfers([
                pay(10, 1, 2, 5).imported(2_000),
                pay(11, 1, 2, 6).imported(1_000).answers(ImportedEventTimestampMustNotRegress),
                pay(11, 1, 2, 6).imported(2_000).answers(ImportedEventTimestampMustNotRegress),
                pay(11, 2, 1, 6).imported(2_001),
            ])
            .transfers([pay(12, 1, 2, 7)])
            .transfers([pay(13, 1, 2, 8).imported(3_000).answers(ImportedEventTimestampMustNotRegress)])
            .balances(1, [0, 12, 0, 6]),
        Case::new("an import that regresses is told so before it is told that it is older than its accounts")
            .accounts(plain(2))
            .advance(100)
            .transfers([pay(9, 1, 2, 5).imported(5_000)])
            .transfers([
                pay(10, 1, 2, 5).imported_at(Moment::OfAccount(1, -1)).answers(ImportedEventTimestampMustNotRegress),
                hold(11, 1, 2, 5).imported(4_000).timeout(1).answers(ImportedEventTimestampMustNotRegress),
            ]),
        Case::new("a transfer is not imported at the very instant of one of its accounts")
            .accounts(plain(2))
            .advance(100)
            .transfers([
                pay(10, 1, 2, 5).imported_at(Moment::OfAccount(1, 0)).answers(ImportedEventTimestampMustNotRegress),
                pay(10, 1, 2, 5).imported_at(Moment::OfAccount(2, 0)).answers(ImportedEventTimestampMustNotRegress),
            ]),
        Case::new("imported accounts of one shard go forward in time")
            .one_shard()
            .advance(100)
            .accounts([
                account(1).imported(2_000),
                account(2).imported(1_000).answers(A::ImportedEventTimestampMustNotRegress),
                account(2).imported(2_000).answers(A::ImportedEventTimestampMustNotRegress),
                account(2).imported(2_001),
            ])
            .accounts([account(3)])
            .accounts([
                account(4).imported(3_000).answers(A::ImportedEventTimestampMustNotRegress),
                account(4).imported(3_000).code(0).answers(A::CodeMustNotBeZero),
            ]),
    ]
}

fn retried() -> Vec<Case> {
    let stored = pay(10, 1, 2, 5).imported(1_000);
    let world = |name| Case::new(name).accounts(plain(2)).advance(100).transfers([stored]);
    vec![
        world("an imported transfer exists when it is retried, also when it is not the newest any more")
            .transfers([pay(11, 1, 2, 6).imported(2_000), stored.answers(Exists)])
            .transfers([stored.answers(Exists)])
            .balances(1, [0, 11, 0, 0]),
        world("a retried import is not compared by its timestamp")
            .transfers([
                pay(10, 1, 2, 5).imported(500).answers(Exists),
                pay(10, 1, 2, 5).imported(90_000).answers(Exists),
            ])
            .transfers([pay(10, 1, 2, 5).imported(1_000_000).answers(ImportedEventTimestampMustNotAdvance)]),
        world("a retried import is compared with the imported flag")
            .transfers([pay(10, 1, 2, 5).answers(ExistsWithDifferentFlags)])
            .transfers([stored.amount(6).answers(ExistsWithDifferentAmount)]),
    ]
}

fn resolved() -> Vec<Case> {
    vec![
        Case::new("a post and a void can be imported")
            .accounts(plain(2))
            .advance(100)
            .transfers([hold(10, 1, 2, 5).imported(1_000), hold(20, 1, 2, 7).imported(2_000)])
            .transfers([
                post(11, 10).imported(1_500).answers(ImportedEventTimestampMustNotRegress),
                post(11, 10).imported(3_000),
                void(21, 20).imported(4_000),
            ])
            .balances(1, [0, 5, 0, 0])
            .transfer_is(post(11, 10).imported(3_000).debit(1).credit(2).amount(5).ledger(1).code(1)),
        Case::new("an imported reservation can be posted by a request of today")
            .accounts(plain(2))
            .advance(100)
            .transfers([hold(10, 1, 2, 5).imported(1_000)])
            .transfers([post(11, 10)])
            .balances(1, [0, 5, 0, 0]),
        Case::new("a post that is imported at a wrong time is told what is wrong with the pending transfer first")
            .accounts(plain(2))
            .advance(100)
            .transfers([hold(10, 1, 2, 5).imported(2_000), post(11, 10).imported(3_000)])
            .transfers([
                post(12, 10).imported(1_000).answers(PendingTransferAlreadyPosted),
                post(12, 10).imported(1_000).amount(6).answers(ExceedsPendingTransferAmount),
            ]),
    ]
}
