//! How many accounts and transfers are on ledger numbers of rehearsals: an entry of its own beside the position, with the
//! position in it.
//!
//! Builds before it wrote none, and leave an old one as it is when they write checkpoints. So an entry of another position is as
//! good as none: then the rows are counted, once, when the store is opened. That way both can open each other's folders.

use crest_ledger::limits::BATCH_EVENTS_MAX;
use crest_ledger::packed::{Reader, Writer};
use crest_ledger::records::TransferRecord;
use crest_ledger::tables::Scalars;
use crest_ledger::{Account, TransferFlags, is_rehearsal};

use super::rows::Rows;
use super::{StoreError, keys};

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) accounts: u64,
    pub(crate) transfers: u64,
}

/// The entry's value.
pub(crate) fn pack(scalars: &Scalars, applied: u64) -> Vec<u8> {
    let mut out = Vec::new();
    Writer(&mut out).u64(applied).u64(scalars.rehearsal_accounts).u64(scalars.rehearsal_transfers);
    out
}

/// The inverse of [`pack`], with the position.
fn unpack(bytes: &[u8]) -> Option<(Counts, u64)> {
    let mut r = Reader(bytes);
    let (applied, accounts, transfers) = (r.u64()?, r.u64()?, r.u64()?);
    r.is_empty().then_some((Counts { accounts, transfers }, applied))
}

/// What the entry says, when it is of this position.
///
/// # Errors
/// When the rows can't be read.
pub(crate) fn stored(rows: &dyn Rows, applied: u64) -> Result<Option<Counts>, StoreError> {
    let value = rows.get(&keys::meta("rehearsals"))?;
    Ok(value.and_then(|value| unpack(&value)).filter(|(_, at)| *at == applied).map(|(counts, _)| counts))
}

/// What the rows come to. A row that does not read back counts for nothing: the audit names it.
///
/// # Errors
/// When the rows can't be read.
pub(crate) fn count(rows: &dyn Rows) -> Result<Counts, StoreError> {
    let account = |value: &[u8]| Account::unpack(&mut Reader(value)).is_some_and(|a| is_rehearsal(a.ledger));
    let transfer = |value: &[u8]| {
        TransferRecord::unpack(&mut Reader(value)).is_some_and(|record| {
            is_rehearsal(record.transfer.ledger) && !record.transfer.flags.any(TransferFlags::EXPIRY)
        })
    };
    Ok(Counts {
        accounts: matching(rows, keys::ACCOUNT, account)?,
        transfers: matching(rows, keys::TRANSFER, transfer)?,
    })
}

fn matching(rows: &dyn Rows, table: u8, is_one: impl Fn(&[u8]) -> bool) -> Result<u64, StoreError> {
    let (mut from, until) = (vec![table], keys::table_end(table));
    let mut found = 0;
    loop {
        let chunk = rows.range(&from, &until, false, BATCH_EVENTS_MAX)?;
        found += chunk.iter().filter(|(_, value)| is_one(value)).count() as u64;
        match chunk.last() {
            Some((last, _)) if chunk.len() == BATCH_EVENTS_MAX => from = [&last[..], &[0]].concat(),
            _ => return Ok(found),
        }
    }
}
