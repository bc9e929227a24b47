//! Retries of what succeeded (section 5).

use crest_ledger::TransferStatus::{self, *};

use super::*;

pub(super) fn cases() -> Vec<Case> {
    [plain_transfers(), posts_and_voids(), before_the_state()].concat()
}

type Change = fn(TransferEvent) -> TransferEvent;

/// A change of each field, in the order in which they are compared. (A change to `linked` would chain the next retry.)
fn changes(flags: Change, pending_id: Change) -> [(TransferStatus, Change); 11] {
    [
        (ExistsWithDifferentFlags, flags),
        (ExistsWithDifferentPendingId, pending_id),
        (ExistsWithDifferentTimeout, |t| t.timeout(99)),
        (ExistsWithDifferentDebitAccountId, |t| t.debit(3)),
        (ExistsWithDifferentCreditAccountId, |t| t.credit(3)),
        (ExistsWithDifferentAmount, |t| t.amount(4)),
        (ExistsWithDifferentUserData128, |t| t.user_data_128(99)),
        (ExistsWithDifferentUserData64, |t| t.user_data_64(99)),
        (ExistsWithDifferentUserData32, |t| t.user_data_32(99)),
        (ExistsWithDifferentLedger, |t| t.ledger(99)),
        (ExistsWithDifferentCode, |t| t.code(99)),
    ]
}

/// Retries of `stored` that differ in one field, and in that field together with each one that is compared after it.
fn differences(stored: TransferEvent, changes: &[(TransferStatus, Change)]) -> Vec<TransferEvent> {
    let mut events = Vec::new();
    for (index, (status, change)) in changes.iter().enumerate() {
        events.push(change(stored).answers(*status));
        for (_, later) in &changes[index + 1..] {
            events.push(change(later(stored)).answers(*status));
        }
    }
    // Not with both accounts changed: whether an id is taken is only known to the shards of the accounts that are named.
    events.retain(|e| {
        let (t, s) = (e.transfer, stored.transfer);
        t.debit_account_id == s.debit_account_id || t.credit_account_id == s.credit_account_id
    });
    events
}

fn plain_transfers() -> Vec<Case> {
    let changes = changes(|t| t.balancing_debit(), |t| t.pending_id(99));
    let stored = pay(10, 1, 2, 5).user_data_128(11).user_data_64(12).user_data_32(13);
    let pending = hold(10, 1, 2, 5).timeout(1_000_000).user_data_128(11);
    vec![
        Case::new("a retry moves money once")
            .accounts(plain(2))
            .transfers([stored])
            .transfers([stored.answers(Exists)])
            .transfers([stored.answers(Exists), stored.answers(Exists)])
            .balances(1, [0, 5, 0, 0])
            .balances(2, [0, 0, 0, 5]),
        Case::new("a transfer that comes twice in one request moves money once")
            .accounts(plain(2))
            .transfers([stored, stored.answers(Exists), pay(11, 2, 1, 1), stored.answers(Exists)])
            .balances(1, [0, 5, 0, 1]),
        Case::new("a retried pending transfer reserves once, also after it was resolved")
            .accounts(plain(2))
            .transfers([pending, pending.answers(Exists)])
            .balances(1, [5, 0, 0, 0])
            .transfers([void(11, 10), pending.answers(Exists)])
            .balances(1, [0, 0, 0, 0]),
        Case::new("a retry that differs names the first difference")
            .accounts(plain(3))
            .transfers([stored])
            .transfers(differences(stored, &changes))
            .transfer_is(stored)
            .balances(1, [0, 5, 0, 0])
            .balances(3, [0, 0, 0, 0]),
        Case::new("a retried pending transfer that differs names the first difference")
            .accounts(plain(3))
            .transfers([pending])
            .transfers(differences(pending, &changes))
            .balances(1, [5, 0, 0, 0]),
        Case::new("a retry with the accounts exchanged differs in the payer")
            .accounts(plain(2))
            .transfers([stored, stored.debit(2).credit(1).answers(ExistsWithDifferentDebitAccountId)])
            .balances(1, [0, 5, 0, 0]),
        Case::new("a retry is compared with the linked flag too")
            .accounts(plain(2))
            .transfers([pay(10, 1, 2, 1).linked(), pay(11, 1, 2, 2)])
            .transfers([pay(10, 1, 2, 1).answers(ExistsWithDifferentFlags)])
            .transfers([pay(11, 1, 2, 2).answers(Exists)])
            .transfers([
                pay(11, 1, 2, 2).linked().answers(ExistsWithDifferentFlags),
                pay(12, 1, 2, 4).answers(LinkedEventFailed),
            ])
            .balances(1, [0, 3, 0, 0]),
        Case::new("each flag that a transfer may have makes a retry differ")
            .accounts(plain(2))
            .transfers([stored])
            .transfers([
                stored.pending().answers(ExistsWithDifferentFlags),
                stored.balancing_debit().answers(ExistsWithDifferentFlags),
                stored.balancing_credit().answers(ExistsWithDifferentFlags),
                stored.closing_debit().answers(ExistsWithDifferentFlags),
                stored.closing_credit().answers(ExistsWithDifferentFlags),
                post(10, 99).debit(1).credit(2).answers(ExistsWithDifferentFlags),
                void(10, 99).debit(1).credit(2).answers(ExistsWithDifferentFlags),
            ]),
    ]
}

fn posts_and_voids() -> Vec<Case> {
    let pending = hold(10, 1, 2, 5).code(7).user_data_128(11).user_data_64(12).user_data_32(13);
    let world = |name| Case::new(name).accounts(plain(3)).transfers([pending, hold(20, 1, 2, 5).code(7)]);
    let named = |t: TransferEvent| t.debit(1).credit(2).ledger(1).code(7);
    let changes = changes(|t| t.closing_debit(), |t| t.pending_id(20));
    vec![
        world("a retried post of all exists with the largest amount and with the pending amount")
            .transfers([post(11, 10)])
            .transfers([
                post(11, 10).answers(Exists),
                post(11, 10).amount(5).answers(Exists),
                named(post(11, 10)).answers(Exists),
                post(11, 10).amount(4).answers(ExistsWithDifferentAmount),
                post(11, 10).amount(6).answers(ExistsWithDifferentAmount),
                post(11, 10).amount(0).answers(ExistsWithDifferentAmount),
            ])
            .balances(1, [5, 5, 0, 0]),
        world("a retried partial post exists with its own amount only").transfers([post(11, 10).amount(3)]).transfers(
            [
                post(11, 10).amount(3).answers(Exists),
                post(11, 10).answers(ExistsWithDifferentAmount),
                post(11, 10).amount(5).answers(ExistsWithDifferentAmount),
            ],
        ),
        world("a retried void exists with zero and with the pending amount")
            .transfers([void(11, 10)])
            .transfers([
                void(11, 10).answers(Exists),
                void(11, 10).amount(5).answers(Exists),
                named(void(11, 10)).answers(Exists),
                void(11, 10).amount(4).answers(ExistsWithDifferentAmount),
                void(11, 10).amount(u128::MAX).answers(ExistsWithDifferentAmount),
                post(11, 10).answers(ExistsWithDifferentFlags),
            ])
            .balances(1, [5, 0, 0, 0]),
        world("a retried post that leaves user data at zero is compared with what it inherited")
            .transfers([post(11, 10)])
            .transfers([
                post(11, 10).user_data_128(11).user_data_64(12).user_data_32(13).answers(Exists),
                post(11, 10).user_data_64(13).answers(ExistsWithDifferentUserData64),
            ]),
        world("a post with user data of its own does not exist for a retry that leaves it at zero")
            .transfers([post(11, 10).user_data_128(21), void(21, 20).user_data_32(23)])
            .transfers([
                post(11, 10).user_data_128(21).answers(Exists),
                post(11, 10).answers(ExistsWithDifferentUserData128),
                void(21, 20).user_data_32(23).answers(Exists),
                void(21, 20).answers(ExistsWithDifferentUserData32),
            ]),
        world("a retried post that differs names the first difference")
            .transfers([post(11, 10)])
            .transfers(differences(named(post(11, 10)), &changes))
            .balances(1, [5, 5, 0, 0]),
        world("a retried void that differs names the first difference")
            .transfers([void(11, 10)])
            .transfers(differences(named(void(11, 10)), &changes))
            .balances(1, [5, 0, 0, 0]),
        world("a transfer cannot take the id of its own post").transfers([post(11, 10)]).transfers([
            named(pay(11, 1, 2, 5)).answers(ExistsWithDifferentFlags),
            hold(10, 1, 2, 5).answers(ExistsWithDifferentUserData128),
        ]),
    ]
}

fn before_the_state() -> Vec<Case> {
    vec![
        Case::new("a retry exists though it would be refused now")
            .accounts([account(1).debits_limited(), account(2), account(3)])
            .transfers([pay(10, 2, 1, 5), pay(11, 1, 2, 5)])
            .transfers([pay(11, 1, 2, 5).answers(Exists), pay(12, 1, 2, 5).answers(ExceedsCredits)])
            .transfers([hold(13, 3, 2, 0).closing_credit(), pay(11, 1, 2, 5).answers(Exists)])
            .balances(1, [0, 5, 0, 5]),
        Case::new("whether a transfer exists is decided before the rest of the request is looked at")
            .accounts(plain(2))
            .transfers([pay(10, 1, 2, 5)])
            .transfers([
                pay(10, 0, 2, 5).answers(ExistsWithDifferentDebitAccountId),
                pay(10, u128::MAX, 2, 5).answers(ExistsWithDifferentDebitAccountId),
                pay(10, 1, 1, 5).answers(ExistsWithDifferentCreditAccountId),
                pay(10, 1, 0, 5).answers(ExistsWithDifferentCreditAccountId),
                pay(10, 77, 2, 5).answers(ExistsWithDifferentDebitAccountId),
                pay(10, 1, 2, 5).ledger(0).answers(ExistsWithDifferentLedger),
                pay(10, 1, 2, 5).code(0).answers(ExistsWithDifferentCode),
                pay(10, 1, 2, 5).timestamp(1).answers(TimestampMustBeZero),
                pay(10, 1, 2, 5).flags(1 << 9).answers(ReservedFlag),
            ])
            .balances(1, [0, 5, 0, 0]),
        Case::new("a retry that differs does not burn the id")
            .accounts(plain(2))
            .transfers([pay(10, 1, 2, 5), pay(10, 1, 2, 6).answers(ExistsWithDifferentAmount)])
            .transfers([pay(10, 1, 2, 5).answers(Exists)]),
        Case::new("a retry is known long afterwards")
            .accounts(plain(2))
            .transfers([pay(10, 1, 2, 5)])
            .advance(100_000_000)
            .transfers([pay(10, 1, 2, 5).answers(Exists), pay(10, 1, 2, 6).answers(ExistsWithDifferentAmount)])
            .balances(1, [0, 5, 0, 0]),
    ]
}
