//! Halves of cross-shard transfers, for the router, which compares them with those of the other shard.

use crest_ledger::records::{Sides, TransferRecord};
use crest_ledger::wire::audit::{BUCKETS, Bucket, HALVES_MAX, HalvesQuery};
use crest_topology::SlotMap;

use super::mix::fingerprint;
use super::records::half;
use super::scan::{Outcome, Scan, record_of};
use crate::store::keys;

/// How many halves there are in each part of the range, and the sums of their fingerprints.
pub(super) fn buckets(scan: Scan<'_>, map: &SlotMap, query: &HalvesQuery) -> Outcome<Vec<Bucket>> {
    let mut buckets = vec![(0, 0); BUCKETS as usize];
    walk(scan, map, query, |record| {
        let t = &record.transfer;
        if let Some(bucket) = buckets.get_mut(query.bucket_of(t.timestamp)) {
            bucket.0 += 1;
            bucket.1 = u128::wrapping_add(bucket.1, fingerprint(t));
        }
        true
    })?;
    Ok(buckets)
}

/// The halves of the range, as many as fit an answer.
pub(super) fn rows(scan: Scan<'_>, map: &SlotMap, query: &HalvesQuery) -> Outcome<Vec<TransferRecord>> {
    let mut rows = Vec::new();
    walk(scan, map, query, |record| {
        rows.push(*record);
        rows.len() < HALVES_MAX
    })?;
    Ok(rows)
}

/// Shows the halves of a range until `visit` answers false.
fn walk(scan: Scan<'_>, map: &SlotMap, query: &HalvesQuery, mut visit: impl FnMut(&TransferRecord) -> bool) -> Outcome {
    let (mut from, until) = (keys::transfer(query.min), keys::transfer(query.max));
    while query.min <= query.max
        && let Some(chunk) = scan.chunk(&mut from, &until)?
    {
        let wanted = (query.payer_here, query.peer);
        let records = chunk.iter().filter_map(|(key, value)| record_of(key, value));
        let halves = records.filter(|r| r.sides != Sides::BOTH && half(r, |id| map.shard_of(id)) == wanted);
        if !halves.into_iter().all(|record| visit(&record)) {
            break;
        }
    }
    Ok(())
}
