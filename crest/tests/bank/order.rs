//! What readers saw, compared with the transfers themselves. Every transfer and every read has a timestamp, so the bank's
//! history has an order; it must explain all that was seen, and contradict nothing that clients and readers know of what
//! was before what.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use crest_proto::border::number_from;
use crest_proto::v1;

use super::payments::{Balances, Bank, Client, Fate, Sent, add};
use super::readers::{Listing, Reading, Rows, Seen};

/// Checks all that was seen. `found` are all transfers that are there, by id.
///
/// # Panics
/// When it is not what has to be seen.
pub(crate) fn check_order(bank: &Bank, clients: &[Client], seen: &mut Seen, found: &HashMap<u128, v1::Transfer>) {
    seen.readings.sort_by_key(|reading| reading.at);
    let mut transfers: Vec<&v1::Transfer> = found.values().collect();
    transfers.sort_by_key(|t| t.timestamp);
    let two_at_once = transfers.windows(2).find(|pair| pair[0].timestamp == pair[1].timestamp);
    assert!(two_at_once.is_none(), "two transfers have one timestamp: {two_at_once:?}");
    check_balances(bank, &seen.readings, &transfers, found);
    check_chains(clients, &seen.readings, found);
    let sent: Vec<&Sent> = clients.iter().flat_map(|c| &c.sent).filter(|s| matches!(s.fate, Fate::Done(_))).collect();
    check_real_time(&sent, &seen.readings, found);
    let pages = Pages::new(bank, &transfers, found);
    seen.listings.iter().for_each(|listing| pages.check(listing));
}

/// Each read shows what the transfers up to its instant come to, and nothing else.
fn check_balances(bank: &Bank, readings: &[Reading], transfers: &[&v1::Transfer], found: &HashMap<u128, v1::Transfer>) {
    let accounts = bank.accounts();
    let mut sums: BTreeMap<u128, Balances> = accounts.iter().map(|id| (*id, [0; 4])).collect();
    let mut transfers = transfers.iter().peekable();
    for reading in readings {
        while let Some(transfer) = transfers.next_if(|t| t.timestamp <= reading.at) {
            add(&mut sums, transfer, found);
        }
        for (id, seen) in accounts.iter().zip(&reading.balances) {
            assert_eq!(seen, &sums[id], "account {id:032x}, read at {}: is not the sum of its transfers", reading.at);
        }
    }
}

/// No read falls between the events of a chain: they happen as a whole.
fn check_chains(clients: &[Client], readings: &[Reading], found: &HashMap<u128, v1::Transfer>) {
    let is_linked = |sent: &Sent| sent.transfer.flags.is_some_and(|flags| flags.linked);
    for client in clients {
        let mut start = 0;
        while start < client.sent.len() {
            let linked = client.sent[start..].iter().take_while(|sent| is_linked(sent)).count();
            let chain = &client.sent[start..(start + linked + 1).min(client.sent.len())];
            start += linked + 1;
            let times = || chain.iter().filter_map(|sent| Some(found.get(&sent.id())?.timestamp));
            let (Some(first), Some(last)) = (times().min(), times().max()) else { continue };
            let after = readings.partition_point(|reading| reading.at < first);
            let between = readings.get(after).filter(|reading| reading.at < last);
            assert!(
                between.is_none(),
                "a chain of {} happened from {first} to {last}, and a read was taken at {}, in the middle of it",
                chain.len(),
                between.map_or(0, |reading| reading.at)
            );
        }
    }
}

/// What was acknowledged before a read began is in it; what was sent after it ended is not; and of two reads, one after the
/// other, the second is not of an earlier instant.
fn check_real_time(sent: &[&Sent], readings: &[Reading], found: &HashMap<u128, v1::Transfer>) {
    let time = |s: &Sent| found.get(&s.id()).map(|t| t.timestamp);
    let mut answered: Vec<(Instant, u64)> = sent.iter().filter_map(|s| Some((s.answered?, time(s)?))).collect();
    latest_first_to_last(&mut answered);
    let mut begun: Vec<(Instant, u64)> = sent.iter().filter_map(|s| Some((s.begun, time(s)?))).collect();
    begun.sort();
    // From each on, the earliest timestamp of those that were sent then or later.
    for n in (1..begun.len()).rev() {
        begun[n - 1].1 = begun[n - 1].1.min(begun[n].1);
    }
    let mut read: Vec<(Instant, u64)> = readings.iter().map(|r| (r.ended, r.at)).collect();
    latest_first_to_last(&mut read);
    for reading in readings {
        let (at, spent) = (reading.at, reading.ended - reading.begun);
        let acknowledged = latest_before(&answered, reading.begun);
        assert!(
            acknowledged <= at,
            "a transfer of {acknowledged} was acknowledged before a read began ({spent:?}, at {at})"
        );
        let later = begun.partition_point(|(sent, _)| *sent <= reading.ended);
        let earliest = begun.get(later).map_or(u64::MAX, |(_, time)| *time);
        assert!(earliest > at, "a read at {at} ended before a transfer was sent that is of {earliest}");
        let read = latest_before(&read, reading.begun);
        assert!(read <= at, "a read at {read} ended before another one began, at {at}");
    }
}

/// Sorts by when, and gives each the latest timestamp up to then.
fn latest_first_to_last(events: &mut [(Instant, u64)]) {
    events.sort();
    for n in 1..events.len() {
        events[n].1 = events[n].1.max(events[n - 1].1);
    }
}

fn latest_before(events: &[(Instant, u64)], when: Instant) -> u64 {
    events[..events.partition_point(|(at, _)| *at < when)].last().map_or(0, |(_, time)| *time)
}

/// What lists have to hold.
struct Pages {
    /// All transfers, and those of each account, by time.
    all: Vec<(u64, u128)>,
    by_account: BTreeMap<u128, Vec<(u64, u128)>>,
    /// Balances after each transfer, for the accounts that keep a history.
    balances: BTreeMap<u128, Vec<(u64, Balances)>>,
}

impl Pages {
    fn new(bank: &Bank, transfers: &[&v1::Transfer], found: &HashMap<u128, v1::Transfer>) -> Self {
        let mut sums: BTreeMap<u128, Balances> = bank.accounts().into_iter().map(|id| (id, [0; 4])).collect();
        let mut balances: BTreeMap<u128, Vec<_>> = bank.with_history().into_iter().map(|id| (id, Vec::new())).collect();
        let mut by_account: BTreeMap<u128, Vec<_>> = BTreeMap::new();
        for t in transfers {
            add(&mut sums, t, found);
            for id in [number_from(t.debit_account_id), number_from(t.credit_account_id)] {
                by_account.entry(id).or_default().push((t.timestamp, number_from(t.id)));
                if let Some(rows) = balances.get_mut(&id) {
                    rows.push((t.timestamp, sums[&id]));
                }
            }
        }
        let all = transfers.iter().map(|t| (t.timestamp, number_from(t.id))).collect();
        Self { all, by_account, balances }
    }

    fn check(&self, listing: &Listing) {
        match &listing.rows {
            Rows::Transfers(rows) => {
                let of_account = |id: u128| self.by_account.get(&id).map_or(&[][..], Vec::as_slice);
                check_page(rows, listing.account.map_or(&self.all, of_account), listing);
            }
            Rows::Balances(rows) => {
                let id = listing.account.expect("balances are an account's");
                check_page(rows, &self.balances[&id], listing);
            }
        }
    }
}

/// A page holds the newest rows up to its instant, all of them unless it says that there are more.
fn check_page<T: PartialEq + std::fmt::Debug>(rows: &[(u64, T)], all: &[(u64, T)], listing: &Listing) {
    let newest = all[..all.partition_point(|(time, _)| *time <= listing.at)].iter().rev();
    let (at, account) = (listing.at, listing.account);
    let complete = if listing.is_all { rows.len() == newest.len() } else { rows.len() <= newest.len() };
    assert!(complete, "a list at {at} of {account:x?} has {} of {} rows", rows.len(), newest.len());
    for (n, (row, expected)) in rows.iter().zip(newest).enumerate() {
        assert_eq!(row, expected, "row {n} of a list at {at} of {account:x?}");
    }
}
