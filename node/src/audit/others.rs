//! The tables besides records, accounts and histories.

use crest_ledger::records::{IdEntry, IdState};
use crest_ledger::wire::stored;

use super::records;
use super::scan::{Outcome, whole};
use super::whole::Whole;
use crate::store::keys;

/// Reads the tables that have to say the same as records and accounts, and takes what they say from the sums.
pub(super) fn read(audit: &mut Whole<'_>) -> Outcome {
    let scan = audit.scan;
    scan.table(keys::TRANSFER_ID, |chunk| {
        for (key, value) in chunk {
            let (Some(id), Some(entry)) = (keys::transfer_id_of(key), whole(value, IdEntry::unpack)) else {
                audit.unreadable("the entry of an id", key);
                continue;
            };
            if entry.state != IdState::Failed {
                audit.tables.ids.take(id, records::id_item(entry.timestamp, entry.state != IdState::Done));
            }
            if records::is_resolved(entry.state) {
                audit.tables.fates.take(id, entry.state as u128);
            }
        }
        Ok(())
    })?;
    scan.table(keys::EXPIRY, |chunk| {
        for (key, _) in chunk {
            match keys::expiry_of(key) {
                Some((at, id)) => audit.tables.timeouts.take(id, at.into()),
                None => audit.unreadable("the timeout", key),
            }
        }
        Ok(())
    })?;
    scan.table(keys::ACCOUNT_TIME, |chunk| {
        for (key, value) in chunk {
            match (keys::timestamp_of(key), whole(value, |r| r.u128())) {
                (Some(at), Some(id)) => audit.tables.times.take(id, at.into()),
                _ => audit.unreadable("the entry of an account's time", key),
            }
        }
        Ok(())
    })?;
    for (table, what) in [
        (keys::HOLD, "the hold"),
        (keys::OUTBOX, "the decision"),
        (keys::TOMBSTONE, "the tombstone"),
        (keys::RESOLUTION, "the resolution"),
    ] {
        scan.table(table, |chunk| {
            for (key, value) in chunk {
                let reads = match table {
                    keys::HOLD => stored::unpack_hold(value).is_some(),
                    keys::OUTBOX => stored::unpack_decision(value).is_some(),
                    keys::TOMBSTONE => stored::unpack_tombstone(value).is_some(),
                    _ => stored::unpack_resolution(value).is_some(),
                };
                if !reads || keys::txn_of(key).is_none() {
                    audit.unreadable(what, key);
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}
