//! What clients were told before a backup began has to be there after a restore.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crest_ledger::limits::BATCH_EVENTS_MAX;
use crest_proto::border::{ids_to, number_from, number_to};
use crest_proto::v1;
use crest_proto::v1::CreateTransferStatus as Status;

use super::cluster::Cluster;
use super::payments::{Bank, Client, Fate, Sent};

/// How long reservations whose time is over may take to be released.
const EXPIRED: Duration = Duration::from_secs(10);

/// Transfers by id.
pub(crate) type Found = HashMap<u128, v1::Transfer>;

/// All transfers that are there, of those that were sent.
pub(crate) async fn look_up(cluster: &Cluster, sent: &[&Sent]) -> Found {
    let ids: Vec<u128> = sent.iter().map(|s| s.id()).collect();
    let mut found = HashMap::new();
    for part in ids.chunks(BATCH_EVENTS_MAX) {
        let request = v1::LookupTransfersRequest { ids: ids_to(part), read: None };
        let answer = cluster.router.ledger().lookup_transfers(request).await.expect("a lookup").into_inner();
        found.extend(answer.transfers.into_iter().map(|t| (number_from(t.id), t)));
    }
    found
}

/// Sends again what had its answer before the backup began: the answers are the same, and failed ids stay failed.
pub(crate) async fn send_again(cluster: &Cluster, sent: &[&Sent], begun: Instant) -> [usize; 2] {
    let single = |s: &&&Sent| !s.transfer.flags.is_some_and(|flags| flags.linked);
    let before = |s: &&&Sent| s.answered.is_some_and(|at| at < begun);
    let transient = [
        Status::CreditAccountNotFound,
        Status::DebitAccountNotFound,
        Status::ExceedsCredits,
        Status::PendingTransferNotFound,
        Status::IdAlreadyFailed,
    ];
    let mut counts = [0, 0];
    for part in sent.iter().filter(single).filter(before).collect::<Vec<_>>().chunks(1_000) {
        let known: Vec<&&Sent> = part
            .iter()
            .copied()
            .filter(|s| match s.fate {
                Fate::Done(timestamp) => timestamp.is_some(),
                Fate::Refused(status) => transient.contains(&status),
                _ => false,
            })
            .collect();
        let transfers = known.iter().map(|s| s.transfer).collect();
        let request = v1::CreateTransfersRequest { transfers, independent: true };
        let results = cluster.router.ledger().create_transfers(request).await.expect("a retry").into_inner().results;
        for (sent, result) in known.iter().zip(results) {
            match sent.fate {
                Fate::Done(_) => {
                    assert_eq!(result.status(), Status::Exists, "{sent:?}");
                    assert_eq!(Fate::Done(Some(result.timestamp)), sent.fate, "{sent:?}");
                    counts[0] += 1;
                }
                _ => {
                    assert_eq!(result.status(), Status::IdAlreadyFailed, "{sent:?}");
                    counts[1] += 1;
                }
            }
        }
    }
    counts
}

/// Posts and voids all that is pending for good, and waits for the rest to expire: nothing is reserved any more.
pub(crate) async fn end_what_is_pending(cluster: &Cluster, bank: &Bank, found: &Found) -> usize {
    let resolved: BTreeSet<u128> = found.values().map(|t| number_from(t.pending_id)).collect();
    let pending = |t: &&v1::Transfer| t.flags.is_some_and(|f| f.pending) && !resolved.contains(&number_from(t.id));
    let mut open: Vec<&v1::Transfer> = found.values().filter(pending).filter(|t| t.timeout == 0).collect();
    open.sort_by_key(|t| t.timestamp);
    let resolution = |(n, t): (usize, &&v1::Transfer)| {
        let posts = n % 2 == 0;
        let flags =
            v1::TransferFlags { post_pending_transfer: posts, void_pending_transfer: !posts, ..Default::default() };
        let amount = if posts { u128::MAX } else { 0 };
        v1::Transfer {
            id: number_to(7_000_000 + n as u128),
            pending_id: t.id,
            amount: number_to(amount),
            flags: Some(flags),
            ..Default::default()
        }
    };
    let transfers: Vec<v1::Transfer> = open.iter().enumerate().map(resolution).collect();
    for result in cluster.send(transfers).await {
        assert_eq!(result.status(), Status::Created, "a pending transfer can be posted and voided after a restore");
    }
    let until = Instant::now() + EXPIRED;
    loop {
        let request = v1::LookupAccountsRequest { ids: ids_to(&bank.accounts()), read: None };
        let accounts = cluster.router.ledger().lookup_accounts(request).await.expect("a lookup").into_inner().accounts;
        let left =
            accounts.iter().map(|a| number_from(a.debits_pending) + number_from(a.credits_pending)).sum::<u128>();
        if left == 0 {
            return open.len();
        }
        assert!(Instant::now() < until, "{left} stays reserved");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Of the transfers, those up to an instant.
pub(crate) fn up_to(found: &Found, at: u64) -> Found {
    found.iter().filter(|(_, t)| t.timestamp <= at).map(|(id, t)| (*id, *t)).collect()
}

/// All that was sent.
pub(crate) fn all(clients: &[Client]) -> Vec<&Sent> {
    clients.iter().flat_map(|client| &client.sent).collect()
}

/// What differs between two maps, for people.
#[track_caller]
pub(crate) fn same<V: PartialEq + std::fmt::Debug>(
    found: &BTreeMap<u128, V>,
    expected: &BTreeMap<u128, V>,
    what: &str,
) {
    for (id, value) in expected {
        assert_eq!(found.get(id), Some(value), "{what}: {id}");
    }
    assert_eq!(found.len(), expected.len(), "{what}");
}
