//! Accounts, as they were at the instant: what came later is taken back.

use crest_ledger::wire::backup::BackupKind;
use crest_ledger::{Account, AccountFlags, Timestamp};

use super::read::{Read, Touched, damaged, mark_of_account};
use super::transfers::later_of;
use crate::audit::scan::{Outcome, whole};
use crate::limits;
use crate::store::keys;
use crate::store::rows::Entry;

/// Tells the accounts that are new, or that new records are of; or all of them.
pub(super) fn read(read: &mut Read<'_>) -> Outcome {
    new(read)?;
    match std::mem::replace(&mut read.touched, Touched::All) {
        Touched::Some(ids) => {
            let ids: Vec<u128> = ids.into_iter().collect();
            for ids in ids.chunks(limits::AUDIT_CHUNK_ROWS) {
                let keys: Vec<Vec<u8>> = ids.iter().map(|id| keys::account(*id)).collect();
                let values = read.scan.rows.multi_get(&keys)?;
                for (key, value) in keys.into_iter().zip(values) {
                    let value = value.ok_or_else(|| damaged(&key))?;
                    one(read, &(key, value))?;
                }
            }
            Ok(())
        }
        Touched::All => read.walk(&[keys::ACCOUNT], &keys::table_end(keys::ACCOUNT), |read, chunk| {
            chunk.iter().try_for_each(|row| one(read, row))
        }),
    }
}

/// Counts the new accounts, and has them told.
fn new(read: &mut Read<'_>) -> Outcome {
    let from = keys::account_time(read.end.account.at.saturating_add(1));
    let until = keys::account_time(read.at);
    read.walk(&from, &until, |read, chunk| {
        let times: Vec<Timestamp> = chunk.iter().filter_map(|(key, _)| keys::timestamp_of(key)).collect();
        let mut ids = Vec::with_capacity(chunk.len());
        for (key, value) in chunk {
            ids.push(whole(value, |r| r.u128()).ok_or_else(|| damaged(key))?);
        }
        let keys: Vec<Vec<u8>> = ids.iter().map(|id| keys::account(*id)).collect();
        for ((key, value), at) in keys.iter().zip(read.scan.rows.multi_get(&keys)?).zip(times) {
            let account = value.and_then(|value| whole(&value, Account::unpack)).filter(|a| a.timestamp == at);
            let account = account.ok_or_else(|| damaged(key))?;
            if read.is_new(at, account.flags.any(AccountFlags::IMPORTED)) {
                read.end.new_accounts += 1;
                read.end.account = mark_of_account(&account);
                read.changes.entry(account.ledger).or_default().1 += 1;
                read.touched.add(account.id);
            }
        }
        Ok(())
    })
}

fn one(read: &mut Read<'_>, (key, value): &Entry) -> Outcome {
    let account = whole(value, Account::unpack).filter(|a| keys::account(a.id) == *key);
    let mut account = account.ok_or_else(|| damaged(key))?;
    if account.timestamp > read.at {
        return Ok(());
    }
    let at = read.at;
    later_of(read, account.id, at, |effect| {
        for (i, balance) in balances_mut(&mut account).into_iter().enumerate() {
            // A damaged store is for the audit to name: here nothing may panic, and a restore compares all of it.
            *balance = balance.wrapping_add(effect.taken[i]).wrapping_sub(effect.added[i]);
        }
        if let Some(closed) = effect.closed {
            account.flags.set(AccountFlags::CLOSED, !closed);
        }
    })?;
    read.outlet.put(BackupKind::Accounts, |out| account.pack(out))
}

/// The four balances, in the order of an effect.
fn balances_mut(a: &mut Account) -> [&mut u128; 4] {
    [&mut a.debits_pending, &mut a.debits_posted, &mut a.credits_pending, &mut a.credits_posted]
}
