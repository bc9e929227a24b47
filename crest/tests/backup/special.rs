//! A ledger with one of everything, and all that can be read of it.

use std::time::{Duration, Instant};

use crest_ledger::limits::BATCH_EVENTS_MAX;
use crest_ledger::rehearsal::REHEARSAL_LEDGER_MIN;
use crest_proto::border::{number_from, number_to};
use crest_proto::v1;
use crest_proto::v1::CreateTransferStatus as Status;
use crest_topology::SlotMap;

use super::cluster::Cluster;

/// Shards of the cluster: two for what happens now, two for what is imported.
pub(crate) const SHARDS: usize = 4;
/// The year 2001, ns.
pub(crate) const LONG_AGO: u64 = 1_000_000_000_000_000_000;

/// The n-th account id that lives on a shard of [`SHARDS`].
pub(crate) fn on(shard: u32, n: usize) -> u128 {
    let map = SlotMap::even(&(0..SHARDS as u32).collect::<Vec<_>>()).expect("these shards make a map");
    (1u128..).filter(|id| map.shard_of(*id) == shard).nth(n).expect("every shard has ids")
}

type Flags = v1::TransferFlags;

fn pay(id: u128, debit: u128, credit: u128, amount: u128, flags: Flags) -> v1::Transfer {
    v1::Transfer {
        id: number_to(id),
        debit_account_id: number_to(debit),
        credit_account_id: number_to(credit),
        amount: number_to(amount),
        ledger: 1,
        code: 1,
        flags: Some(flags),
        ..Default::default()
    }
}

fn resolve(id: u128, pending: u128, amount: u128, posts: bool) -> v1::Transfer {
    let flags = Flags { post_pending_transfer: posts, void_pending_transfer: !posts, ..Default::default() };
    v1::Transfer {
        id: number_to(id),
        pending_id: number_to(pending),
        amount: number_to(amount),
        flags: Some(flags),
        ..Default::default()
    }
}

/// A transfer that was made long ago.
pub(crate) fn imported(id: u128, debit: u128, credit: u128, after: u64, flags: Flags) -> v1::Transfer {
    v1::Transfer { timestamp: LONG_AGO + after, ..pay(id, debit, credit, 10, Flags { imported: true, ..flags }) }
}

/// Makes accounts, each with what sets it apart.
pub(crate) async fn open(cluster: &Cluster) {
    let account = |id: u128, ledger: u32, flags: v1::AccountFlags| v1::Account {
        id: number_to(id),
        ledger,
        code: 1,
        user_data_128: number_to(id * 3),
        user_data_64: 64,
        user_data_32: 32,
        flags: Some(flags),
        ..Default::default()
    };
    let none = v1::AccountFlags::default();
    let history = v1::AccountFlags { history: true, ..none };
    let accounts = vec![
        account(on(0, 0), 1, history),
        account(on(1, 0), 1, history),
        account(on(0, 1), 1, v1::AccountFlags { debits_must_not_exceed_credits: true, ..none }),
        account(on(1, 1), 1, v1::AccountFlags { credits_must_not_exceed_debits: true, ..none }),
        account(on(0, 2), 1, none),
        account(on(1, 2), 1, v1::AccountFlags { closed: true, ..none }),
        account(on(0, 3), REHEARSAL_LEDGER_MIN, none),
        account(on(1, 3), REHEARSAL_LEDGER_MIN, none),
    ];
    create(cluster, accounts).await;
    let long_ago = |n: u64, id: u128, flags: v1::AccountFlags| v1::Account {
        timestamp: LONG_AGO + n,
        ..account(id, 1, v1::AccountFlags { imported: true, ..flags })
    };
    let accounts = vec![long_ago(1, on(2, 0), history), long_ago(2, on(3, 0), history), long_ago(3, on(2, 1), none)];
    create(cluster, accounts).await;
}

pub(crate) async fn create(cluster: &Cluster, accounts: Vec<v1::Account>) {
    let request = v1::CreateAccountsRequest { accounts };
    let results = cluster.router.ledger().create_accounts(request).await.expect("accounts").into_inner().results;
    assert!(results.iter().all(|r| r.status() == v1::CreateAccountStatus::Created), "{results:?}");
}

/// What happens before the first backup: each request, and the answers that it has to get.
pub(crate) fn first() -> Vec<(Vec<v1::Transfer>, Vec<Status>)> {
    use Status::{Created, DebitAccountAlreadyClosed, ExceedsCredits, LinkedEventFailed, PendingTransferNotFound};
    let none = Flags::default();
    let linked = Flags { linked: true, ..none };
    let pending = Flags { pending: true, ..none };
    let hour = |t: v1::Transfer| v1::Transfer { timeout: 3_600, ..t };
    let (a, b, limited, lacks) = (on(0, 0), on(1, 0), on(0, 1), on(1, 1));
    vec![
        (vec![pay(1, a, b, 100, none), pay(2, b, a, 30, none), pay(3, a, limited, 50, none)], vec![Created; 3]),
        (vec![pay(4, limited, b, 51, none)], vec![ExceedsCredits]),
        (vec![pay(5, limited, b, 500, Flags { balancing_debit: true, ..none })], vec![Created]),
        (
            vec![pay(6, lacks, a, 20, none), pay(7, a, lacks, 90, Flags { balancing_credit: true, ..none })],
            vec![Created; 2],
        ),
        (vec![pay(8, a, b, 1, linked), pay(9, b, a, 2, linked), pay(10, a, on(0, 2), 3, none)], vec![Created; 3]),
        (vec![pay(11, a, b, 1, linked), pay(12, limited, a, 1, none)], vec![LinkedEventFailed, ExceedsCredits]),
        // Between shards and on one: for ever, for an hour, for a second.
        (vec![pay(20, a, b, 11, pending), pay(21, a, on(0, 2), 12, pending)], vec![Created; 2]),
        (vec![hour(pay(22, b, a, 13, pending)), hour(pay(23, a, on(0, 2), 14, pending))], vec![Created; 2]),
        (vec![v1::Transfer { timeout: 1, ..pay(24, a, b, 15, pending) }], vec![Created]),
        (vec![pay(25, b, a, 16, pending), pay(26, a, b, 17, pending)], vec![Created; 2]),
        (vec![resolve(27, 25, 9, true), resolve(28, 26, 0, false)], vec![Created; 2]),
        // Closes an account; and one that was made closed.
        (vec![pay(29, a, on(0, 2), 0, Flags { closing_credit: true, ..pending })], vec![Created]),
        (vec![pay(30, on(1, 2), a, 1, none)], vec![DebitAccountAlreadyClosed]),
        // Known to nobody: it fails on all shards.
        (vec![resolve(31, 999_999, 0, true)], vec![PendingTransferNotFound]),
        (vec![v1::Transfer { ledger: REHEARSAL_LEDGER_MIN, ..pay(32, on(0, 3), on(1, 3), 5, none) }], vec![Created]),
        (
            vec![
                imported(40, on(2, 0), on(3, 0), 10, none),
                imported(41, on(3, 0), on(2, 1), 20, none),
                imported(42, on(2, 0), on(3, 0), 30, pending),
            ],
            vec![Created; 3],
        ),
    ]
}

/// What happens before the second one: some of it is dated back to before the first.
pub(crate) fn second() -> Vec<(Vec<v1::Transfer>, Vec<Status>)> {
    use Status::{Created, ExceedsCredits, PendingTransferAlreadyPosted};
    let none = Flags::default();
    let (a, b) = (on(0, 0), on(1, 0));
    let void = v1::Transfer {
        timestamp: LONG_AGO + 50,
        flags: Some(Flags { imported: true, void_pending_transfer: true, ..none }),
        ..resolve(52, 42, 0, false)
    };
    vec![
        (vec![imported(50, on(2, 0), on(3, 0), 40, none), void], vec![Created; 2]),
        (vec![imported(53, on(2, 0), on(2, 1), 60, none)], vec![Created]),
        (vec![resolve(60, 20, u128::MAX, true), resolve(61, 22, 0, false)], vec![Created; 2]),
        (vec![resolve(62, 20, u128::MAX, true)], vec![PendingTransferAlreadyPosted]),
        // The account is open again.
        (vec![resolve(63, 29, 0, false), pay(64, on(0, 2), b, 1, none)], vec![Created; 2]),
        (vec![pay(65, on(0, 1), a, 1, none)], vec![ExceedsCredits]),
    ]
}

/// Sends requests, whose answers have to be these.
pub(crate) async fn play(cluster: &Cluster, requests: &[(Vec<v1::Transfer>, Vec<Status>)]) {
    for (transfers, expected) in requests {
        let results = cluster.send(transfers.clone()).await;
        assert_eq!(
            results.iter().map(v1::CreateTransferResult::status).collect::<Vec<_>>(),
            *expected,
            "{transfers:?}"
        );
    }
}

/// Sends again what succeeded or failed for good, one by one; chains as they were. What can change is left out: an account
/// that was closed may be open.
pub(crate) async fn again(
    cluster: &Cluster,
    requests: &[(Vec<v1::Transfer>, Vec<Status>)],
) -> Vec<(u128, Status, u64)> {
    let mut answers = Vec::new();
    for (transfers, expected) in requests.iter().filter(|(_, e)| !e.contains(&Status::PendingTransferAlreadyPosted)) {
        let results = cluster.send(transfers.clone()).await;
        for ((t, result), expected) in transfers.iter().zip(results).zip(expected) {
            let created = *expected == Status::Created;
            let timestamp = if created && result.status() == Status::Exists { result.timestamp } else { 0 };
            answers.push((number_from(t.id), result.status(), timestamp));
        }
    }
    answers
}

/// Waits until the transfer with the timeout of a second has expired.
pub(crate) async fn until_expired(cluster: &Cluster) {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let request = v1::LookupAccountsRequest { ids: vec![number_to(on(1, 0)).expect("a number")], read: None };
        let accounts = cluster.router.ledger().lookup_accounts(request).await.expect("a lookup").into_inner().accounts;
        // What is left are 11 and 13, which stay.
        if number_from(accounts[0].credits_pending) == 11 && number_from(accounts[0].debits_pending) == 13 {
            return;
        }
        assert!(Instant::now() < until, "it does not expire: {accounts:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// All that can be read, one line an object.
pub(crate) async fn read_all(cluster: &Cluster) -> Vec<String> {
    let mut ledger = cluster.router.ledger();
    let filter = || v1::QueryFilter { limit: BATCH_EVENTS_MAX as u32, ..Default::default() };
    let accounts = ledger.query_accounts(v1::QueryAccountsRequest { filter: Some(filter()) }).await;
    let accounts = accounts.expect("accounts").into_inner();
    let transfers = ledger.query_transfers(v1::QueryTransfersRequest { filter: Some(filter()) }).await;
    let transfers = transfers.expect("transfers").into_inner();
    assert!(accounts.next_cursor.is_empty() && transfers.next_cursor.is_empty(), "all of it fits a page");
    let mut lines: Vec<String> = accounts.accounts.iter().map(|a| format!("{a:?}")).collect();
    lines.extend(transfers.transfers.iter().map(|t| format!("{t:?}")));
    for account in &accounts.accounts {
        let filter =
            Some(v1::AccountFilter { account_id: account.id, limit: BATCH_EVENTS_MAX as u32, ..Default::default() });
        let of = ledger.get_account_transfers(v1::GetAccountTransfersRequest { filter: filter.clone() }).await;
        lines.extend(of.expect("a list").into_inner().transfers.iter().map(|t| format!("{:?} {t:?}", account.id)));
        let of = ledger.get_account_balances(v1::GetAccountBalancesRequest { filter }).await;
        lines.extend(of.expect("a list").into_inner().balances.iter().map(|b| format!("{:?} {b:?}", account.id)));
    }
    lines
}
