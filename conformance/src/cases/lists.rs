//! The transfers and the balances of one account (section 7).

use super::*;

pub(super) fn cases() -> Vec<Case> {
    [selected(), pages(), balances(), finality()].concat()
}

/// Account 1 pays 10, 12, 14 and is paid 11, 13; account 2 keeps a history too. A second lies between any two.
fn world(name: &'static str) -> Case {
    let case = Case::new(name).accounts([account(1).history(), account(2).history(), account(3)]);
    [
        pay(10, 1, 2, 1).code(1).user_data_128(100),
        pay(11, 2, 1, 2).code(2).user_data_64(200),
        pay(12, 1, 3, 4).code(1).user_data_32(300),
        pay(13, 3, 1, 8).code(3).user_data_128(100),
        pay(14, 1, 2, 16).code(2).user_data_64(200).user_data_32(300),
    ]
    .into_iter()
    .fold(case, |case, event| case.transfers([event]).advance(1))
}

fn selected() -> Vec<Case> {
    vec![
        world("an account's transfers are listed by time, on whichever side it is")
            .lists(list(1), [10, 11, 12, 13, 14])
            .lists(list(2), [10, 11, 14])
            .lists(list(3), [12, 13]),
        world("an account's list can be restricted to one side")
            .lists(list(1).debits(), [10, 12, 14])
            .lists(list(1).credits(), [11, 13])
            .lists(list(2).debits(), [11])
            .lists(list(2).credits(), [10, 14]),
        world("an account's list can be restricted to user data and code")
            .lists(list(1).code(1), [10, 12])
            .lists(list(1).code(2), [11, 14])
            .lists(list(1).user_data_128(100), [10, 13])
            .lists(list(1).user_data_64(200), [11, 14])
            .lists(list(1).user_data_32(300), [12, 14])
            .lists(list(1).code(9), [])
            .lists(list(3).user_data_64(200), []),
        world("all conditions on an account's list have to be met")
            .lists(list(1).code(2).user_data_32(300), [14])
            .lists(list(1).code(1).user_data_128(100).debits(), [10])
            .lists(list(1).user_data_128(100).credits(), [13])
            .lists(list(1).code(1).user_data_64(200), [])
            .rows(list(1).code(2).user_data_32(300), [[0, 21, 0, 10]]),
        world("an account without transfers, and one that does not exist, have an empty list")
            .accounts([account(4).history()])
            .lists(list(4), [])
            .rows(list(4), [])
            .lists(list(77), [])
            .rows(list(77), []),
        Case::new("a list shows posts and voids as transfers of their own")
            .accounts([account(1).history(), account(2)])
            .one_by_one([hold(10, 1, 2, 5), hold(20, 1, 2, 7), post(11, 10).amount(3), void(21, 20)])
            .lists(list(1), [10, 20, 11, 21])
            .lists(list(2).credits(), [10, 20, 11, 21])
            .lists(list(1).credits(), [])
            .rows(list(1), [[5, 0, 0, 0], [12, 0, 0, 0], [7, 3, 0, 0], [0, 3, 0, 0]]),
        Case::new("a post without code and user data of its own is listed under the inherited ones")
            .accounts(plain(2))
            .one_by_one([hold(10, 1, 2, 5).code(7).user_data_64(70), post(11, 10), pay(12, 1, 2, 1).code(8)])
            .lists(list(1).code(7), [10, 11])
            .lists(list(2).user_data_64(70), [10, 11]),
    ]
}

fn pages() -> Vec<Case> {
    use Moment::OfTransfer as At;
    vec![
        world("an account's list can start with the newest")
            .lists(list(1).newest_first(), [14, 13, 12, 11, 10])
            .lists(list(1).newest_first().credits(), [13, 11])
            .rows(list(2).newest_first(), [[0, 2, 0, 17], [0, 2, 0, 1], [0, 0, 0, 1]]),
        world("a limit keeps the first of the list in its order")
            .lists(list(1).limit(2), [10, 11])
            .lists(list(1).limit(1), [10])
            .lists(list(1).limit(5), [10, 11, 12, 13, 14])
            .lists(list(1).limit(2).newest_first(), [14, 13])
            .lists(list(1).limit(2).debits(), [10, 12])
            .lists(list(1).limit(1).code(2), [11])
            .rows(list(1).limit(1), [[0, 1, 0, 0]]),
        world("a range of time includes both its ends")
            .lists(list(1).from(At(11, 0)).until(At(13, 0)), [11, 12, 13])
            .lists(list(1).from(At(11, 1)).until(At(13, -1)), [12])
            .lists(list(1).from(At(12, 0)).until(At(12, 0)), [12])
            .lists(list(1).from(At(12, 1)), [13, 14])
            .lists(list(1).until(At(12, -1)), [10, 11])
            .lists(list(1).from(At(14, 1)), [])
            .lists(list(1).from(At(11, 0)).until(At(13, 0)).newest_first(), [13, 12, 11])
            .lists(list(1).from(At(11, 0)).until(At(13, 0)).newest_first().limit(2), [13, 12])
            .rows(list(1).from(At(11, 0)).until(At(12, 0)), [[0, 1, 0, 2], [0, 5, 0, 2]]),
        world("a list goes on after the timestamp of its last row")
            .lists(list(1).limit(2), [10, 11])
            .lists(list(1).limit(2).from(At(11, 1)), [12, 13])
            .lists(list(1).limit(2).from(At(13, 1)), [14]),
        world("a list without a range is open on both sides").lists(list(1).open(), [10, 11, 12, 13, 14]),
        Case::new("transfers of many requests are listed in the order of the requests")
            .accounts(plain(3))
            .one_by_one((0..60).map(|n| pay(100 + (n * 37) % 60, 1 + n % 2, 3, 1)))
            .lists(list(1).limit(3), [100, 114, 128])
            .lists(list(2).limit(3), [137, 151, 105])
            .lists(list(3).limit(4), [100, 137, 114, 151]),
    ]
}

fn balances() -> Vec<Case> {
    vec![
        world("an account with a history has a row for each transfer, after it")
            .rows(list(1), [[0, 1, 0, 0], [0, 1, 0, 2], [0, 5, 0, 2], [0, 5, 0, 10], [0, 21, 0, 10]])
            .rows(list(2), [[0, 0, 0, 1], [0, 2, 0, 1], [0, 2, 0, 17]]),
        world("an account without a history has no rows").rows(list(3), []),
        world("rows are selected like transfers")
            .rows(list(1).debits(), [[0, 1, 0, 0], [0, 5, 0, 2], [0, 21, 0, 10]])
            .rows(list(1).credits(), [[0, 1, 0, 2], [0, 5, 0, 10]])
            .rows(list(1).code(2), [[0, 1, 0, 2], [0, 21, 0, 10]])
            .rows(list(1).user_data_128(100).newest_first(), [[0, 5, 0, 10], [0, 1, 0, 0]]),
        Case::new("a refused transfer leaves no row")
            .accounts([account(1).history().debits_limited(), account(2).history()])
            .transfers([pay(10, 1, 2, 5).answers(crest_ledger::TransferStatus::ExceedsCredits)])
            .transfers([pay(11, 2, 1, 5)])
            .rows(list(1), [[0, 0, 0, 5]])
            .rows(list(2), [[0, 5, 0, 0]]),
        Case::new("a transfer of zero and a retry: the one has a row, the other has none")
            .accounts([account(1).history(), account(2)])
            .transfers([pay(10, 1, 2, 0)])
            .transfers([pay(10, 1, 2, 0).answers(crest_ledger::TransferStatus::Exists)])
            .rows(list(1), [[0, 0, 0, 0]]),
        Case::new("an expiry has no row of its own, but shows in the next")
            .accounts([account(1).history(), account(2).history()])
            .one_by_one([hold(10, 1, 2, 5).timeout(1), hold(11, 1, 2, 3)])
            .advance(2)
            .one_by_one([pay(12, 2, 1, 1)])
            .rows(list(1), [[5, 0, 0, 0], [8, 0, 0, 0], [3, 0, 0, 1]])
            .rows(list(2), [[0, 0, 5, 0], [0, 0, 8, 0], [0, 1, 3, 0]]),
    ]
}

fn finality() -> Vec<Case> {
    vec![
        Case::new("an answered transfer is in the lists of both accounts at once")
            .accounts([account(1).history(), account(2).history()])
            .transfers([pay(10, 1, 2, 5)])
            .lists(list(1), [10])
            .lists(list(2), [10])
            .rows(list(1), [[0, 5, 0, 0]])
            .rows(list(2), [[0, 0, 0, 5]])
            .transfers([pay(11, 2, 1, 3)])
            .lists(list(1), [10, 11])
            .lists(list(2), [10, 11])
            .rows(list(1), [[0, 5, 0, 0], [0, 5, 0, 3]])
            .rows(list(2), [[0, 0, 0, 5], [0, 3, 0, 5]]),
    ]
}
