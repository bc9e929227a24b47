//! What has to be true at the end, whatever happened on the way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crest_ledger::limits::BATCH_EVENTS_MAX;
use crest_proto::border::{ids_to, number_from, number_to};
use crest_proto::v1;
use crest_proto::v1::CreateTransferStatus as Status;
use crest_proto::v1::ledger_client::LedgerClient;
use crest_proto::v1::operations_client::OperationsClient;
use tokio::sync::watch;
use tonic::transport::Channel;

use super::Bank;
use super::client::{Client, Fate, Sent};

/// debits_pending, debits_posted, credits_pending, credits_posted.
pub(crate) type Balances = [u128; 4];

/// How long the last reservations may take to expire: their own second, and what ends by itself ends within 5 s.
const EXPIRED: Duration = Duration::from_secs(8);

/// Reads all accounts at one instant, again and again until `stopped`: what was debited is what was credited, nothing that
/// was seen is taken back, and no limit is exceeded. Gives the number of reads that were answered.
///
/// # Panics
/// When it is not so.
pub(crate) async fn watch_the_sums(
    bank: &Bank,
    mut router: LedgerClient<Channel>,
    mut stopped: watch::Receiver<bool>,
) -> u64 {
    let ids = bank.accounts();
    let (mut reads, mut seen) = (0, 0);
    while !*stopped.borrow() {
        let request = v1::LookupAccountsRequest { ids: ids_to(&ids), read: None };
        let answer = tokio::select! {
            answer = router.lookup_accounts(request) => answer,
            _ = stopped.changed() => break,
        };
        let Ok(answer) = answer else {
            // Nobody answers while processes are down.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        let accounts = answer.into_inner().accounts;
        assert_eq!(accounts.len(), ids.len(), "every account is there");
        let posted = check_sums(&accounts);
        assert!(posted >= seen, "{posted} was posted, and a read before saw {seen}");
        (reads, seen) = (reads + 1, posted);
    }
    reads
}

/// Accounts that were read together hold as many debits as credits, and none is beyond its limit. Gives the sum of what was
/// posted.
///
/// # Panics
/// When it is not so.
pub(crate) fn check_sums(accounts: &[v1::Account]) -> u128 {
    let sums = accounts.iter().map(balances).fold([0; 4], |a, b| std::array::from_fn(|i| a[i] + b[i]));
    assert_eq!((sums[0], sums[1]), (sums[2], sums[3]), "debits and credits, pending and posted, at one instant");
    accounts.iter().for_each(check_limit);
    sums[1]
}

pub(crate) fn balances(account: &v1::Account) -> Balances {
    [account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted].map(number_from)
}

fn check_limit(account: &v1::Account) {
    let [debits_pending, debits_posted, _, credits_posted] = balances(account);
    let limited = account.flags.is_some_and(|flags| flags.debits_must_not_exceed_credits);
    assert!(!limited || debits_pending + debits_posted <= credits_posted, "more paid than there was: {account:?}");
}

/// Checks all that the clients know, the balances, the lists and the audit. Nothing may be unknown any more. Gives all
/// transfers that are there, by id.
///
/// # Panics
/// When something is not as it has to be.
pub(crate) async fn check_everything(
    bank: &Bank,
    clients: &[Client],
    router: &mut LedgerClient<Channel>,
    operations: &mut OperationsClient<Channel>,
) -> HashMap<u128, v1::Transfer> {
    let sent: Vec<&Sent> = clients.iter().flat_map(|client| &client.sent).collect();
    let found = look_up(router, bank, &sent).await;
    sent.iter().for_each(|sent| check_fate(sent, &found));
    check_lists(bank, router, &found).await;
    check_balances(bank, router, &found).await;
    let audit = operations.audit(v1::AuditRequest {}).await.expect("an audit").into_inner();
    assert!(audit.holds && audit.findings.is_empty(), "{:#?}", audit.findings);
    assert_eq!(audit.transfers, found.len() as u64, "the ledger has transfers that nobody sent, or lacks some");
    assert_eq!(audit.accounts, bank.accounts().len() as u64 + 1);
    let between_shards = audit.cross_shard_transfers * 2 > audit.transfers;
    assert!(between_shards || bank.shards() == 1, "most payments are between shards: {audit:?}");
    send_again(router, &sent).await;
    found
}

/// All transfers that are there, by id.
async fn look_up(router: &mut LedgerClient<Channel>, bank: &Bank, sent: &[&Sent]) -> HashMap<u128, v1::Transfer> {
    let funding = bank.funding.iter().map(|t| number_from(t.id));
    let ids: Vec<u128> = sent.iter().map(|s| s.id()).chain(funding).collect();
    let mut found = HashMap::new();
    for part in ids.chunks(BATCH_EVENTS_MAX) {
        let request = v1::LookupTransfersRequest { ids: ids_to(part), read: None };
        let answer = router.lookup_transfers(request).await.expect("a lookup").into_inner();
        found.extend(answer.transfers.into_iter().map(|t| (number_from(t.id), t)));
    }
    found
}

fn check_fate(sent: &Sent, found: &HashMap<u128, v1::Transfer>) {
    let there = found.get(&sent.id());
    match (sent.fate, there) {
        (Fate::Done(timestamp), Some(there)) => {
            let mut expected = v1::Transfer { timestamp: timestamp.unwrap_or(there.timestamp), ..sent.transfer };
            let flags = |t: &v1::Transfer| t.flags.unwrap_or_default();
            assert_eq!(flags(there), flags(&expected), "{sent:?}");
            let moved = number_from(there.amount);
            if (flags(there).balancing_debit || flags(there).balancing_credit) && moved < number_from(expected.amount) {
                expected.amount = there.amount;
            }
            assert_eq!(v1::Transfer { flags: None, ..*there }, v1::Transfer { flags: None, ..expected });
        }
        (Fate::Refused(_) | Fate::NothingApplied, None) => {}
        _ => panic!("a client was told {sent:?}, and there is {there:?}"),
    }
}

/// Each account's balances are the sum of the transfers that are there.
async fn check_balances(bank: &Bank, router: &mut LedgerClient<Channel>, found: &HashMap<u128, v1::Transfer>) {
    let resolved: BTreeSet<u128> = found.values().map(|transfer| number_from(transfer.pending_id)).collect();
    let mut expected: BTreeMap<u128, Balances> = bank.accounts().into_iter().map(|id| (id, [0; 4])).collect();
    for transfer in found.values() {
        if transfer.timeout > 0 && !resolved.contains(&number_from(transfer.id)) {
            // Its time is over, and what it reserved is released.
            continue;
        }
        add(&mut expected, transfer, found);
    }
    let until = Instant::now() + EXPIRED;
    loop {
        let request = v1::LookupAccountsRequest { ids: ids_to(&bank.accounts()), read: None };
        let accounts = router.lookup_accounts(request).await.expect("a lookup").into_inner().accounts;
        accounts.iter().for_each(check_limit);
        let found: BTreeMap<u128, Balances> = accounts.iter().map(|a| (number_from(a.id), balances(a))).collect();
        // What was reserved last may have some time left.
        if found != expected && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        assert_eq!(found, expected, "balances in the ledger, and as the sum of its transfers");
        return;
    }
}

/// Adds what a transfer moved to the balances of its two accounts. `found` has the pending transfer that it resolves.
pub(crate) fn add(sums: &mut BTreeMap<u128, Balances>, transfer: &v1::Transfer, found: &HashMap<u128, v1::Transfer>) {
    let flags = transfer.flags.unwrap_or_default();
    let (debit, credit) = (number_from(transfer.debit_account_id), number_from(transfer.credit_account_id));
    let amount = number_from(transfer.amount);
    let reserved = found.get(&number_from(transfer.pending_id)).map_or(0, |pending| number_from(pending.amount));
    for (account, pending, posted) in [(debit, 0, 1), (credit, 2, 3)] {
        let balances = sums.get_mut(&account).expect("transfers are between the bank's accounts");
        if flags.pending {
            balances[pending] = balances[pending].wrapping_add(amount);
        } else {
            // A resolution may be seen before its pending transfer here: in the end the sums are right all the same.
            balances[pending] = balances[pending].wrapping_sub(reserved);
            balances[posted] += if flags.void_pending_transfer { 0 } else { amount };
        }
    }
}

/// Each account's list holds its transfers, each once, in the order of time.
async fn check_lists(bank: &Bank, router: &mut LedgerClient<Channel>, found: &HashMap<u128, v1::Transfer>) {
    for account in bank.accounts() {
        let side = |id: Option<v1::Uint128>| number_from(id) == account;
        let of_account = found.values().filter(|t| side(t.debit_account_id) || side(t.credit_account_id));
        let expected: BTreeSet<(u64, u128)> = of_account.map(|t| (t.timestamp, number_from(t.id))).collect();
        let mut listed = Vec::new();
        let mut cursor = Vec::new();
        loop {
            let filter =
                v1::AccountFilter { account_id: number_to(account), limit: 1_000, cursor, ..Default::default() };
            let request = v1::GetAccountTransfersRequest { filter: Some(filter) };
            let page = router.get_account_transfers(request).await.expect("a list").into_inner();
            // The list is of the account's own shard, the lookup of either: both halves have to say the same.
            page.transfers.iter().for_each(|t| assert_eq!(found.get(&number_from(t.id)), Some(t), "account {account}"));
            listed.extend(page.transfers.iter().map(|t| (t.timestamp, number_from(t.id))));
            cursor = page.next_cursor;
            if cursor.is_empty() {
                break;
            }
        }
        assert!(listed.is_sorted(), "account {account}: by time");
        assert_eq!(listed.len(), expected.len(), "account {account}: each transfer once");
        assert!(listed.iter().all(|row| expected.contains(row)), "account {account}: no other transfer");
    }
}

/// Whoever has forgotten that a payment was answered may send it again: the answer is the same, and nothing moves.
async fn send_again(router: &mut LedgerClient<Channel>, sent: &[&Sent]) {
    // A chain's end carries no mark of it, so a request that begins in the middle of one would be another request.
    let single = |s: &&&Sent| matches!(s.fate, Fate::Done(Some(_))) && !s.transfer.flags.is_some_and(|f| f.linked);
    let done: Vec<&&Sent> = sent.iter().filter(single).collect();
    for part in done.chunks(BATCH_EVENTS_MAX) {
        let transfers = part.iter().map(|s| s.transfer).collect();
        let request = v1::CreateTransfersRequest { transfers, independent: true };
        let results = router.create_transfers(request).await.expect("a retry").into_inner().results;
        for (sent, result) in part.iter().zip(results) {
            assert_eq!(result.status(), Status::Exists, "{sent:?}");
            assert_eq!(Fate::Done(Some(result.timestamp)), sent.fate, "{sent:?}");
        }
    }
    let id_burned = |s: &&&Sent| {
        let transient = [
            Status::CreditAccountNotFound,
            Status::DebitAccountNotFound,
            Status::ExceedsCredits,
            Status::PendingTransferNotFound,
        ];
        matches!(s.fate, Fate::Refused(status) if transient.contains(&status))
            && !s.transfer.flags.is_some_and(|f| f.linked)
    };
    let burned: Vec<&&Sent> = sent.iter().filter(id_burned).take(BATCH_EVENTS_MAX).collect();
    assert!(!burned.is_empty(), "none of the payments was refused: the test tries too little");
    let transfers = burned.iter().map(|s| s.transfer).collect();
    let request = v1::CreateTransfersRequest { transfers, independent: true };
    let results = router.create_transfers(request).await.expect("a retry").into_inner().results;
    for (sent, result) in burned.iter().zip(results) {
        assert_eq!(result.status(), Status::IdAlreadyFailed, "{sent:?}");
    }
}
