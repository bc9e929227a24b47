//! Every account is taken through its records in the order of time. What they come to has to be what the backup says.

use crest_ledger::packed::Reader;
use crest_ledger::{Account, AccountBalance, AccountFlags, Timestamp};

use super::RestoreError;
use super::build::{Build, account};
use super::moves::Move;
use super::scratch::{self, Table};
use crate::store::keys;

/// An account on its way.
struct Running {
    account: Account,
    balances: [u128; 4],
    /// What the records say of the flag `closed`: nothing, or `None` when imported ones, which are dated back, touched it.
    closed: Option<Option<bool>>,
}

/// Writes the histories of all accounts.
pub(super) fn write(build: &mut Build<'_>) -> Result<(), RestoreError> {
    let mut accounts = build.table(Table::Account);
    let mut running: Option<Running> = None;
    for row in build.table(Table::Move) {
        let (key, value) = row?;
        let (place, at) = scratch::place(&key).zip(scratch::time_of(&key)).ok_or_else(|| build.unreadable())?;
        let the_move = Move::unpack(&value).ok_or_else(|| build.unreadable())?;
        while running.as_ref().is_none_or(|run| keys_differ(&run.account, place)) {
            if let Some(run) = running.take() {
                compare(build, &run)?;
            }
            let Some(next) = accounts.next() else { return Err(without_account(build, place.1, at)) };
            let (key, value) = next?;
            if scratch::place(&key).is_none_or(|next| next > place) {
                return Err(without_account(build, place.1, at));
            }
            running = Some(Running { account: account(build, &value)?, balances: [0; 4], closed: None });
        }
        if let Some(run) = &mut running {
            one(build, run, &the_move, at)?;
        }
    }
    if let Some(run) = running {
        compare(build, &run)?;
    }
    for row in accounts {
        let account = account(build, &row?.1)?;
        compare(build, &Running { account, balances: [0; 4], closed: None })?;
    }
    Ok(())
}

fn keys_differ(account: &Account, place: (u16, u128)) -> bool {
    (crest_topology::slot_of(account.id), account.id) != place
}

fn one(build: &mut Build<'_>, run: &mut Running, the_move: &Move, at: Timestamp) -> Result<(), RestoreError> {
    let id = run.account.id;
    let Some(balances) = the_move.apply(run.balances) else {
        return Err(build.wrong(format!("the transfer at {at} takes a balance of account {id} out of its range")));
    };
    run.balances = balances;
    if the_move.closed.is_some() {
        run.closed = match run.closed {
            _ if the_move.imported => Some(None),
            Some(None) if the_move.expiry => Some(None),
            _ => Some(the_move.closed),
        };
    }
    let mut value = Vec::new();
    if run.account.flags.any(AccountFlags::HISTORY) {
        row(build, run, the_move.imported, at)?.pack(&mut value);
    }
    Ok(build.out.put(&keys::history(id, at), &value)?)
}

/// The balances after a record. Those of an imported one show what had expired before it came, so the backup has them.
fn row(build: &Build<'_>, run: &Running, imported: bool, at: Timestamp) -> Result<AccountBalance, RestoreError> {
    let id = run.account.id;
    if imported {
        let key = scratch::of_account_at(build.shard, Table::Snapshot, id, at);
        let row = build.scratch.get(&key)?.and_then(|value| AccountBalance::unpack(&mut Reader(&value)));
        return row.ok_or_else(|| {
            build.wrong(format!("account {id} lacks its balances after the imported transfer at {at}"))
        });
    }
    let [debits_pending, debits_posted, credits_pending, credits_posted] = run.balances;
    Ok(AccountBalance { debits_pending, debits_posted, credits_pending, credits_posted, timestamp: at })
}

fn compare(build: &Build<'_>, run: &Running) -> Result<(), RestoreError> {
    let a = &run.account;
    let stored = [a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted];
    if stored != run.balances {
        return Err(build.wrong(format!(
            "account {} has {stored:?} (debits pending and posted, credits pending and posted), and its transfers come to {:?}",
            a.id, run.balances
        )));
    }
    let closed = a.flags.any(AccountFlags::CLOSED);
    if let Some(Some(known)) = run.closed
        && known != closed
    {
        return Err(build.wrong(format!("account {} is closed: {closed}, and its transfers say: {known}", a.id)));
    }
    Ok(())
}

fn without_account(build: &Build<'_>, id: u128, at: Timestamp) -> RestoreError {
    build.wrong(format!("the transfer at {at} is of account {id}, which is not there"))
}
