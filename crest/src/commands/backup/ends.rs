//! What all shards told together has to be: nothing is missing, no transfer is there by half, and the sums agree.

use std::collections::BTreeMap;

use crest_proto::border::number_from;
use crest_proto::v1;

use crate::backup::manifest::{Manifest, Totals};

/// Sums by ledger number: debits_pending, debits_posted, credits_pending, credits_posted, and accounts.
type Sums = BTreeMap<u32, ([u128; 4], u64)>;

/// Checks the ends of all shards' parts. Gives the totals at the instant.
///
/// # Errors
/// What does not hold. Events that were imported meanwhile, dated back as they are, are the usual cause.
pub(super) fn check(ends: &[v1::BackupShardEnd], parent: Option<&Manifest>) -> Result<Vec<Totals>, String> {
    for end in ends {
        counts(end, parent)?;
    }
    halves(ends)?;
    totals(ends, parent)
}

/// What the shard has, as it counts it, is what was there and what is new.
fn counts(end: &v1::BackupShardEnd, parent: Option<&Manifest>) -> Result<(), String> {
    let before = parent.and_then(|parent| parent.shards.iter().find(|shard| shard.shard == end.shard));
    let (accounts, transfers) = before.map_or((0, 0), |shard| (shard.accounts, shard.transfers));
    for (what, before, new, has) in [
        ("accounts", accounts, end.new_accounts, end.accounts),
        ("transfers", transfers, end.new_transfers, end.transfers),
    ] {
        if before.checked_add(new) != Some(has) {
            let shard = end.shard;
            return Err(format!("shard {shard} has {has} {what}, and {before} were known and {new} are new"));
        }
    }
    let on_ledgers = end.changes.iter().map(|change| u128::from(change.accounts)).sum::<u128>();
    if on_ledgers != u128::from(end.new_accounts) {
        let (shard, new) = (end.shard, end.new_accounts);
        return Err(format!("shard {shard} has {new} new accounts, and {on_ledgers} on all ledgers together"));
    }
    Ok(())
}

/// Each transfer between two shards is on both.
fn halves(ends: &[v1::BackupShardEnd]) -> Result<(), String> {
    let mut pairs: BTreeMap<(u32, u32), [(u64, u128); 2]> = BTreeMap::new();
    for end in ends {
        for half in &end.halves {
            let pair = if half.payer_here { (end.shard, half.peer) } else { (half.peer, end.shard) };
            pairs.entry(pair).or_default()[usize::from(!half.payer_here)] = (half.count, number_from(half.sum));
        }
    }
    match pairs.iter().find(|(_, [debits, credits])| debits != credits) {
        Some(((payer, payee), [debits, credits])) => Err(format!(
            "of the new transfers from shard {payer} to shard {payee} the one has {}, the other {}, or they differ",
            debits.0, credits.0
        )),
        None => Ok(()),
    }
}

/// As much was debited as was credited.
fn totals(ends: &[v1::BackupShardEnd], parent: Option<&Manifest>) -> Result<Vec<Totals>, String> {
    let mut sums = Sums::new();
    for t in parent.iter().flat_map(|parent| &parent.totals) {
        sums.insert(t.ledger, ([t.debits_pending, t.debits_posted, t.credits_pending, t.credits_posted], t.accounts));
    }
    for change in ends.iter().flat_map(|end| &end.changes) {
        let (sums, accounts) = sums.entry(change.ledger).or_default();
        *accounts = accounts.saturating_add(change.accounts);
        let changes = [change.debits_pending, change.debits_posted, change.credits_pending, change.credits_posted];
        for (sum, change) in sums.iter_mut().zip(changes) {
            *sum = sum.wrapping_add(number_from(change));
        }
    }
    let to = |(ledger, (sums, accounts)): (u32, ([u128; 4], u64))| {
        let [debits_pending, debits_posted, credits_pending, credits_posted] = sums;
        if (debits_pending, debits_posted) != (credits_pending, credits_posted) {
            return Err(format!(
                "on ledger {ledger}, {debits_posted} was debited and {credits_posted} credited, {debits_pending} and \
                 {credits_pending} pending"
            ));
        }
        Ok(Totals { ledger, debits_pending, debits_posted, credits_pending, credits_posted, accounts })
    };
    sums.into_iter().map(to).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crest_proto::border::number_to;

    fn half(payer_here: bool, peer: u32, count: u64, sum: u128) -> v1::BackupHalves {
        v1::BackupHalves { payer_here, peer, count, sum: number_to(sum) }
    }

    fn ends() -> Vec<v1::BackupShardEnd> {
        let end = |shard, halves, posted: [u128; 2]| v1::BackupShardEnd {
            shard,
            accounts: 3,
            transfers: 2,
            new_accounts: 3,
            new_transfers: 2,
            changes: vec![v1::LedgerTotals {
                ledger: 1,
                debits_posted: number_to(posted[0]),
                credits_posted: number_to(posted[1]),
                accounts: 3,
                ..Default::default()
            }],
            ledgers: 1,
            halves,
            marks: None,
        };
        vec![end(0, vec![half(true, 1, 1, 9)], [7, 2]), end(1, vec![half(false, 0, 1, 9)], [0, 5])]
    }

    #[track_caller]
    fn check_ends(change: impl FnOnce(&mut Vec<v1::BackupShardEnd>), expected: Result<u128, &str>) {
        let mut ends = ends();
        change(&mut ends);
        match (check(&ends, None), expected) {
            (Ok(totals), Ok(posted)) => assert_eq!((totals[0].debits_posted, totals[0].accounts), (posted, 6)),
            (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn parts_that_hold_together_are_taken_and_others_are_named() {
        check_ends(|_| {}, Ok(7));
        check_ends(|ends| ends[0].accounts = 4, Err("shard 0 has 4 accounts"));
        check_ends(|ends| ends[1].new_transfers = 1, Err("shard 1 has 2 transfers"));
        check_ends(|ends| ends[1].halves.clear(), Err("from shard 0 to shard 1 the one has 1, the other 0"));
        check_ends(|ends| ends[1].halves[0].sum = number_to(8), Err("from shard 0 to shard 1"));
        check_ends(|ends| ends[0].changes[0].debits_posted = number_to(8), Err("8 was debited and 7 credited"));
        check_ends(|ends| ends[0].changes.clear(), Err("shard 0 has 3 new accounts, and 0 on all ledgers together"));
        check_ends(|ends| ends[0].changes[0].debits_pending = number_to(1), Err("1 and 0 pending"));
    }
}
