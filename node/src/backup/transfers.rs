//! Records: told by the payer's shard, counted by both.

use crest_ledger::records::{Effect, Sides, TransferRecord};
use crest_ledger::wire::backup::BackupKind;
use crest_ledger::{AccountBalance, Timestamp, Transfer, TransferFlags};

use super::read::{Read, damaged, mark_of_transfer};
use crate::audit::mix::fingerprint;
use crate::audit::records::half;
use crate::audit::scan::{Interrupted, Outcome, record_of, resolves};
use crate::store::keys;

/// Rows that wait for a page of their own: 88 KB.
const SNAPSHOTS_KEPT: usize = 1_024;

/// Tells the new records, in the order of time.
pub(super) fn read(read: &mut Read<'_>) -> Outcome {
    // What is imported is newer than the newest that was there then. All else is newer than that backup's instant.
    let from = keys::transfer(read.end.transfer.at.saturating_add(1));
    let until = keys::transfer(read.at);
    let mut snapshots = Vec::new();
    read.walk(&from, &until, |read, chunk| {
        let mut records = Vec::with_capacity(chunk.len());
        for (key, value) in chunk {
            records.push(record_of(key, value).ok_or_else(|| damaged(key))?);
        }
        records.retain(|r| read.is_new(r.transfer.timestamp, r.transfer.flags.any(TransferFlags::IMPORTED)));
        let pending = read.scan.resolved(&records)?;
        for (record, pending) in records.iter().zip(&pending) {
            one(read, record, pending.as_ref(), &mut snapshots)?;
        }
        if snapshots.len() >= SNAPSHOTS_KEPT { tell(read, &mut snapshots) } else { Ok(()) }
    })?;
    tell(read, &mut snapshots)
}

fn one(
    read: &mut Read<'_>,
    record: &TransferRecord,
    pending: Option<&Transfer>,
    snapshots: &mut Vec<(u128, AccountBalance)>,
) -> Outcome {
    let t = &record.transfer;
    if resolves(t) && pending.is_none() {
        let what = format!("the transfer at {} resolves {}, which is not there", t.timestamp, t.pending_id);
        return Err(Interrupted::Damaged(what));
    }
    if !t.flags.any(TransferFlags::EXPIRY) {
        read.end.new_transfers += 1;
        read.end.transfer = mark_of_transfer(t);
    }
    for (here, id) in [(record.sides.debit(), t.debit_account_id), (record.sides.credit(), t.credit_account_id)] {
        if here {
            let effect = Effect::of(t, pending, id);
            let (sums, _) = read.changes.entry(t.ledger).or_default();
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = sum.wrapping_add(effect.added[i]).wrapping_sub(effect.taken[i]);
            }
            read.touched.add(id);
            if t.flags.any(TransferFlags::IMPORTED) {
                snapshots.extend(read.scan.history(id, t.timestamp)?.map(|row| (id, row)));
            }
        }
    }
    if record.sides != Sides::BOTH {
        let (payer_here, peer) = half(record, |id| read.map.shard_of(id));
        let half = read.halves.entry((u8::from(payer_here), peer)).or_default();
        half.0 += 1;
        half.1 = half.1.wrapping_add(fingerprint(t));
    }
    if record.sides.debit() { read.outlet.put(BackupKind::Transfers, |out| t.pack(out)) } else { Ok(()) }
}

fn tell(read: &mut Read<'_>, snapshots: &mut Vec<(u128, AccountBalance)>) -> Outcome {
    for (id, row) in snapshots.drain(..) {
        read.outlet.put(BackupKind::Snapshots, |out| {
            out.extend_from_slice(&id.to_le_bytes());
            row.pack(out);
        })?;
    }
    Ok(())
}

/// The records of an account above an instant, newest first, in chunks.
pub(super) fn later_of(
    read: &mut Read<'_>,
    account_id: u128,
    at: Timestamp,
    mut visit: impl FnMut(&Effect),
) -> Outcome {
    let from = keys::history(account_id, at.saturating_add(1));
    let mut until = keys::history(account_id, Timestamp::MAX);
    while from <= until {
        let rows = read.scan.rows.range(&from, &until, true, crate::limits::AUDIT_CHUNK_ROWS)?;
        let Some((last, _)) = rows.last() else { break };
        let Some(before) = keys::timestamp_of(last).and_then(|at| at.checked_sub(1)) else { break };
        until = keys::history(account_id, before);
        let times: Vec<Timestamp> = rows.iter().filter_map(|(key, _)| keys::timestamp_of(key)).collect();
        let missing = || Interrupted::Damaged(format!("account {account_id}: a row of its history has no record"));
        let records: Option<Vec<TransferRecord>> = read.scan.records(&times)?.into_iter().collect();
        let records = records.ok_or_else(missing)?;
        for (record, pending) in records.iter().zip(read.scan.resolved(&records)?) {
            let t = &record.transfer;
            if resolves(t) && pending.is_none() {
                return Err(missing());
            }
            visit(&Effect::of(t, pending.as_ref(), account_id));
        }
        read.outlet.count(rows.iter().map(|(key, value)| key.len() + value.len()).sum())?;
    }
    Ok(())
}
