//! Queries over all accounts and over all transfers (section 7).

use super::*;

pub(super) fn cases() -> Vec<Case> {
    [over_accounts(), over_transfers()].concat()
}

fn over_accounts() -> Vec<Case> {
    use Moment::OfAccount as At;
    // Each by itself, so that their order does not depend on a request's.
    let world = |name| {
        [
            account(5).ledger(1).code(1).user_data_128(100),
            account(2).ledger(2).code(1).user_data_64(200),
            account(9).ledger(1).code(2).user_data_32(300),
            account(1).ledger(2).code(2).user_data_128(100).user_data_32(300),
            account(7).ledger(1).code(1),
        ]
        .into_iter()
        .fold(Case::new(name), |case, event| case.accounts([event]).advance(1))
    };
    vec![
        world("accounts are found by creation time, on whichever shard they are")
            .finds_accounts(query(), [5, 2, 9, 1, 7]),
        world("accounts are found by each condition")
            .finds_accounts(query().ledger(1), [5, 9, 7])
            .finds_accounts(query().ledger(2), [2, 1])
            .finds_accounts(query().code(1), [5, 2, 7])
            .finds_accounts(query().user_data_128(100), [5, 1])
            .finds_accounts(query().user_data_64(200), [2])
            .finds_accounts(query().user_data_32(300), [9, 1])
            .finds_accounts(query().code(9), []),
        world("accounts have to meet all conditions")
            .finds_accounts(query().ledger(1).code(1), [5, 7])
            .finds_accounts(query().ledger(2).user_data_128(100).user_data_32(300), [1])
            .finds_accounts(query().ledger(1).user_data_64(200), []),
        world("accounts are found in a range of time, in either order, up to a limit")
            .finds_accounts(query().newest_first(), [7, 1, 9, 2, 5])
            .finds_accounts(query().limit(2), [5, 2])
            .finds_accounts(query().limit(2).newest_first(), [7, 1])
            .finds_accounts(query().limit(2).ledger(1), [5, 9])
            .finds_accounts(query().from(At(2, 0)).until(At(1, 0)), [2, 9, 1])
            .finds_accounts(query().from(At(2, 1)).until(At(1, -1)), [9])
            .finds_accounts(query().from(At(9, 0)).ledger(1).newest_first(), [7, 9])
            .finds_accounts(query().from(At(7, 1)), []),
        world("a query without a range finds everything there is")
            .fresh()
            .finds_accounts(query().open(), [5, 2, 9, 1, 7]),
        Case::new("a query finds accounts with their balances and flags of today")
            .accounts(plain(2))
            .transfers([hold(10, 1, 2, 5).closing_debit()])
            .finds_accounts(query().code(1).limit(2).from(At(1, 0)).until(At(1, 0)), [1])
            .account_is(account(1).closed().balances([5, 0, 0, 0])),
    ]
}

fn over_transfers() -> Vec<Case> {
    use Moment::OfTransfer as At;
    let world = |name| {
        let case = Case::new(name).accounts([
            account(1),
            account(2),
            account(3),
            account(4),
            account(5).ledger(2),
            account(6).ledger(2),
        ]);
        [
            pay(15, 1, 2, 1).code(1).user_data_128(100),
            pay(12, 3, 4, 1).code(2).user_data_64(200),
            pay(19, 5, 6, 1).ledger(2).code(1).user_data_32(300),
            pay(11, 2, 1, 1).code(2).user_data_128(100).user_data_32(300),
            pay(17, 4, 1, 1).code(1),
        ]
        .into_iter()
        .fold(case, |case, event| case.transfers([event]).advance(1))
    };
    vec![
        world("a transfer is found once, by its time, on whichever shards its accounts are")
            .finds_transfers(query(), [15, 12, 19, 11, 17]),
        world("transfers are found by each condition")
            .finds_transfers(query().ledger(1), [15, 12, 11, 17])
            .finds_transfers(query().ledger(2), [19])
            .finds_transfers(query().code(1), [15, 19, 17])
            .finds_transfers(query().user_data_128(100), [15, 11])
            .finds_transfers(query().user_data_64(200), [12])
            .finds_transfers(query().user_data_32(300), [19, 11])
            .finds_transfers(query().code(9), []),
        world("transfers have to meet all conditions")
            .finds_transfers(query().ledger(1).code(1), [15, 17])
            .finds_transfers(query().ledger(1).user_data_32(300), [11])
            .finds_transfers(query().ledger(2).user_data_128(100), []),
        world("transfers are found in a range of time, in either order, up to a limit")
            .finds_transfers(query().newest_first(), [17, 11, 19, 12, 15])
            .finds_transfers(query().limit(2), [15, 12])
            .finds_transfers(query().limit(2).newest_first(), [17, 11])
            .finds_transfers(query().limit(2).code(1), [15, 19])
            .finds_transfers(query().from(At(12, 0)).until(At(11, 0)), [12, 19, 11])
            .finds_transfers(query().from(At(12, 1)).until(At(11, -1)), [19])
            .finds_transfers(query().from(At(19, 0)).code(1).newest_first(), [17, 19])
            .finds_transfers(query().from(At(17, 1)), []),
        world("a query without a range finds every transfer there is")
            .fresh()
            .finds_transfers(query().open(), [15, 12, 19, 11, 17]),
        Case::new("posts and voids are found under what they inherited, refused transfers are not found")
            .accounts(plain(2))
            .one_by_one([hold(10, 1, 2, 5).user_data_64(7), hold(20, 1, 2, 5).user_data_64(7)])
            .one_by_one([
                post(11, 10),
                void(21, 20),
                pay(12, 1, 1, 5).answers(crest_ledger::TransferStatus::AccountsMustBeDifferent),
            ])
            .finds_transfers(query().user_data_64(7), [10, 20, 11, 21]),
    ]
}
