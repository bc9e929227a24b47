//! Accounts: what is stored, and what is refused (sections 1, 3 and 5).

use crest_ledger::AccountStatus::*;
use crest_ledger::{AccountFlags, TransferStatus};

use super::*;
use crate::event::AccountEvent;

pub(super) fn cases() -> Vec<Case> {
    [creation(), refusals(), retries()].concat()
}

fn creation() -> Vec<Case> {
    let full = account(1).ledger(700).code(u16::MAX).user_data_128(u128::MAX).user_data_64(u64::MAX).user_data_32(9);
    vec![
        Case::new("an account is stored with all its fields and without money")
            .no_account(1)
            .accounts([full.history().debits_limited()])
            .account_is(full.history().debits_limited()),
        Case::new("accounts of one request are created in one go, whatever the order of their ids")
            .accounts([account(9), account(2), account(700), account(1), account(30)])
            .looks_up_accounts([1, 2, 9, 30, 700], [1, 2, 9, 30, 700]),
        Case::new("a lookup of accounts answers in the order asked and leaves out what is missing")
            .accounts(plain(3))
            .looks_up_accounts([3, 8, 1], [3, 1])
            .looks_up_accounts([8], [])
            .looks_up_accounts([2, 2], [2, 2]),
        Case::new("each flag of an account is stored")
            .accounts([
                account(1).debits_limited(),
                account(2).credits_limited(),
                account(3).history(),
                account(4).closed(),
                account(5).linked(),
                account(6),
            ])
            .account_is(account(1).debits_limited())
            .account_is(account(2).credits_limited())
            .account_is(account(3).history())
            .account_is(account(4).closed())
            .account_is(account(5).linked()),
        Case::new("an account may have all flags that do not exclude each other")
            .accounts([account(1).credits_limited().history().closed()])
            .account_is(account(1).credits_limited().history().closed()),
        Case::new("ledgers do not share accounts, but ids are unique over all of them")
            .accounts([account(1).ledger(1), account(2).ledger(u32::MAX)])
            .accounts([account(1).ledger(2).answers(ExistsWithDifferentLedger)]),
    ]
}

fn refusals() -> Vec<Case> {
    vec![
        Case::new("an account that is not imported has no timestamp")
            .accounts([account(1).timestamp(1).answers(TimestampMustBeZero)])
            .accounts([account(1).timestamp(u64::MAX).answers(TimestampMustBeZero)])
            .no_account(1),
        Case::new("an account has none of the reserved flags")
            .accounts([account(1).flags(1 << 6).answers(ReservedFlag), account(1).flags(1 << 15).answers(ReservedFlag)])
            .no_account(1),
        Case::new("an account's id is neither 0 nor the largest number")
            .accounts([account(0).answers(IdMustNotBeZero), account(u128::MAX).answers(IdMustNotBeIntMax)]),
        Case::new("an account's two limits exclude each other")
            .accounts([account(1).debits_limited().credits_limited().answers(FlagsAreMutuallyExclusive)])
            .no_account(1),
        Case::new("an account starts without money")
            .accounts([
                account(1).balances([1, 0, 0, 0]).answers(DebitsPendingMustBeZero),
                account(1).balances([0, 1, 0, 0]).answers(DebitsPostedMustBeZero),
                account(1).balances([0, 0, 1, 0]).answers(CreditsPendingMustBeZero),
                account(1).balances([0, 0, 0, 1]).answers(CreditsPostedMustBeZero),
            ])
            .no_account(1),
        Case::new("an account has a ledger number and a code")
            .accounts([
                account(1).ledger(0).answers(LedgerMustNotBeZero),
                account(1).code(0).answers(CodeMustNotBeZero),
            ])
            .no_account(1),
        Case::new("a refused account does not keep the others of its request from being created")
            .accounts([account(1), account(2).code(0).answers(CodeMustNotBeZero), account(3)])
            .looks_up_accounts([1, 2, 3], [1, 3]),
        Case::new("a refused account leaves its id free")
            .accounts([account(1).code(0).answers(CodeMustNotBeZero)])
            .accounts([account(1)]),
    ]
}

fn retries() -> Vec<Case> {
    let stored = account(1).user_data_128(11).user_data_64(12).user_data_32(13);
    vec![
        Case::new("a retried account exists")
            .accounts([stored])
            .accounts([stored.answers(Exists)])
            .accounts([stored.answers(Exists), stored.answers(Exists)]),
        Case::new("an account that comes twice in one request exists the second time").accounts([
            stored,
            stored.answers(Exists),
            stored.code(2).answers(ExistsWithDifferentCode),
        ]),
        Case::new("a retried account that differs names the first difference")
            .accounts([stored])
            .accounts(differences(stored)),
        Case::new("a retried account is compared with today's closed flag")
            .accounts([account(1), account(2)])
            .transfers([hold(10, 1, 2, 5).closing_debit()])
            .accounts([account(1).answers(ExistsWithDifferentFlags), account(1).closed().answers(Exists)])
            .transfers([void(11, 10)])
            .accounts([account(1).answers(Exists), account(1).closed().answers(ExistsWithDifferentFlags)]),
        Case::new("an account that was created closed exists when it is retried closed")
            .accounts([account(1).closed()])
            .accounts([account(1).answers(ExistsWithDifferentFlags), account(1).closed().answers(Exists)]),
        Case::new("a retried account is compared with the linked flag too")
            .accounts([account(1).linked(), account(2)])
            .accounts([account(1).answers(ExistsWithDifferentFlags)])
            .accounts([account(1).linked().answers(Exists), account(3).answers(LinkedEventFailed)]),
        Case::new("a retried account exists also after money has moved")
            .accounts(plain(2))
            .transfers([pay(10, 1, 2, 5)])
            .accounts([account(1).answers(Exists), account(2).answers(Exists)])
            .balances(1, [0, 5, 0, 0]),
        Case::new("an account exists before its balances, ledger and code are looked at").accounts(plain(1)).accounts(
            [
                account(1).balances([1, 1, 1, 1]).answers(Exists),
                account(1).ledger(0).answers(ExistsWithDifferentLedger),
                account(1).code(0).answers(ExistsWithDifferentCode),
                account(1).debits_limited().credits_limited().answers(ExistsWithDifferentFlags),
                account(1).timestamp(1).answers(TimestampMustBeZero),
                account(1).flags(1 << 6).answers(ReservedFlag),
            ],
        ),
        Case::new("an account that transfers were refused for is created later")
            .accounts(plain(1))
            .transfers([pay(10, 1, 2, 5).answers(TransferStatus::CreditAccountNotFound)])
            .accounts([account(2)])
            .transfers([pay(11, 1, 2, 5)])
            .balances(2, [0, 0, 0, 5]),
    ]
}

/// Retries of `stored` that differ in one field, and in that field and all that are compared after it.
fn differences(stored: AccountEvent) -> Vec<AccountEvent> {
    type Change = fn(AccountEvent) -> AccountEvent;
    let changes: [(crest_ledger::AccountStatus, Change); 6] = [
        (ExistsWithDifferentFlags, |a| a.flags(AccountFlags::HISTORY)),
        (ExistsWithDifferentUserData128, |a| a.user_data_128(0)),
        (ExistsWithDifferentUserData64, |a| a.user_data_64(99)),
        (ExistsWithDifferentUserData32, |a| a.user_data_32(99)),
        (ExistsWithDifferentLedger, |a| a.ledger(99)),
        (ExistsWithDifferentCode, |a| a.code(99)),
    ];
    let mut events = Vec::new();
    for first in 0..changes.len() {
        let (status, change) = changes[first];
        events.push(change(stored).answers(status));
        events.push(changes[first..].iter().fold(stored, |a, (_, change)| change(a)).answers(status));
    }
    events
}
