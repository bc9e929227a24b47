//! One account's history, row by row: which row has no record, and where its balance snapshots stop following from each
//! other.

use std::collections::VecDeque;

use crest_ledger::finding::{Field, Finding, FindingKind};
use crest_ledger::records::Effect;
use crest_ledger::{AccountFlags, Timestamp, Transfer, TransferFlags};

use super::super::accounts::balances_of;
use super::super::scan::{Outcome, resolves};
use super::super::whole::{Suspect, Whole, history_row};
use super::Lack;
use crate::store::keys;

/// Missing rows of one history that are remembered. Where more are missing, its snapshots are not compared.
pub(super) const LACKS_MAX: usize = 100;

/// What the end of a history says of its account's balances.
#[derive(Default)]
pub(super) struct Detail {
    last: Option<[u128; 4]>,
}

impl Detail {
    /// Whether its last snapshot agrees with the account or with the records.
    pub(super) fn of(&self, suspect: &Suspect, column: usize) -> &'static str {
        match self.last {
            Some(last) if last[column] == suspect.computed[column] => {
                "its last balance snapshot agrees with its transfers"
            }
            Some(last) if last[column] == suspect.stored[column] => "its last balance snapshot agrees with the account",
            _ => "",
        }
    }
}

/// Walks the history of a suspect. `lacks` are records that it lacks, oldest first.
pub(super) fn look(audit: &mut Whole<'_>, suspect: &Suspect, lacks: &[Lack]) -> Outcome<Detail> {
    let has_snapshots = suspect.flags.any(AccountFlags::HISTORY);
    if !suspect.rows_differ && !has_snapshots {
        return Ok(Detail::default());
    }
    let mut chain = Chain::new(suspect.id, lacks);
    let (from, until) = (keys::history(suspect.id, 0), keys::history(suspect.id, Timestamp::MAX));
    let scan = audit.scan;
    scan.walk(&from, &until, |chunk| {
        let times: Vec<Timestamp> = chunk.iter().filter_map(|(key, _)| keys::timestamp_of(key)).collect();
        let found = scan.records(&times)?;
        let here: Vec<_> = found.iter().flatten().copied().collect();
        let mut resolved = scan.resolved(&here)?.into_iter();
        let found = found.into_iter().map(|record| Some((record?.transfer, record?.sides, resolved.next().flatten())));
        for (((key, value), at), record) in chunk.iter().zip(times).zip(found) {
            let Some(row) = history_row(key, value) else { continue };
            let row = row.as_ref().map(balances_of);
            let Some((t, sides, pending)) = record else {
                let finding = Finding::new(FindingKind::HistoryWithoutRecord).account(suspect.id);
                audit.findings.push(Finding { timestamp: at, ..finding });
                chain.gap(at, row);
                continue;
            };
            let touches = sides.debit() && t.debit_account_id == suspect.id
                || sides.credit() && t.credit_account_id == suspect.id;
            if !touches {
                audit.findings.push(Finding::new(FindingKind::HistoryWithoutRecord).of(&t).account(suspect.id));
                chain.gap(at, row);
                continue;
            }
            if row.is_some() != has_snapshots {
                let detail = if has_snapshots { "has no balances after" } else { "keeps none, and has balances after" };
                let finding = Finding::new(FindingKind::HistoryKind).of(&t).account(suspect.id);
                audit.findings.push(Finding { detail: detail.to_owned(), ..finding });
            }
            let pending = resolves(&t).then(|| pending.unwrap_or(t));
            let effect = Effect::of(&t, pending.as_ref(), suspect.id);
            chain.row(&t, &effect, row.filter(|_| has_snapshots)).for_each(|finding| audit.findings.push(finding));
        }
        Ok(())
    })?;
    chain.end(&suspect.stored).for_each(|finding| audit.findings.push(finding));
    Ok(Detail { last: chain.last })
}

type Balances = [u128; 4];

/// Balance snapshots that should follow from each other.
struct Chain {
    account_id: u128,
    /// What the records so far come to.
    running: Balances,
    /// What the snapshots are above that, and have been for longer than one row.
    offset: Balances,
    /// The last row was above by something else: either its snapshot is wrong, or its record; the next one tells.
    doubt: Option<Doubt>,
    last: Option<Balances>,
    lacks: VecDeque<Lack>,
    /// What records without a row did since the last row.
    lacking: Balances,
    complete: bool,
}

struct Doubt {
    transfer: Transfer,
    effect: Effect,
    row: Balances,
    offset: Balances,
}

impl Chain {
    fn new(account_id: u128, lacks: &[Lack]) -> Self {
        let zero = [0; 4];
        let complete = lacks.len() < LACKS_MAX;
        let lacks = lacks.iter().copied().collect();
        Self { account_id, running: zero, offset: zero, doubt: None, last: None, lacks, lacking: zero, complete }
    }

    /// Adds what records did whose rows are missing before `at`.
    fn catch_up(&mut self, at: Timestamp) {
        while let Some((_, effect)) = self.lacks.front().copied().filter(|(lack, _)| *lack < at) {
            self.lacks.pop_front();
            self.running = after(&self.running, &effect);
            self.lacking = after(&self.lacking, &effect);
        }
    }

    /// A row whose record is missing: whatever that did is in its snapshot.
    fn gap(&mut self, at: Timestamp, row: Option<Balances>) {
        self.catch_up(at);
        match row {
            Some(row) => self.offset = minus(&row, &self.running),
            None => self.complete = false,
        }
        self.doubt = None;
    }

    /// A row and its record.
    fn row(&mut self, t: &Transfer, effect: &Effect, row: Option<Balances>) -> impl Iterator<Item = Finding> + use<> {
        self.catch_up(t.timestamp);
        self.running = after(&self.running, effect);
        // The snapshot of an imported transfer shows what had expired before it came: it is looked at elsewhere.
        let row = row.filter(|_| self.complete && !t.flags.any(TransferFlags::IMPORTED));
        let Some(row) = row else { return Vec::new().into_iter() };
        let offset = self.offset_of(&row);
        let found = self.settle(&offset);
        if offset != self.offset {
            self.doubt = Some(Doubt { transfer: *t, effect: *effect, row, offset });
        }
        self.last = Some(row);
        found.into_iter()
    }

    /// The end, where the account's own balances are what the next snapshot would be.
    fn end(&mut self, stored: &Balances) -> impl Iterator<Item = Finding> + use<> {
        self.catch_up(Timestamp::MAX);
        let offset = self.offset_of(stored);
        self.settle(&offset).into_iter()
    }

    /// What a snapshot is above the records. A record without a row may have lost it, or be one that never was: then the
    /// snapshots go on without it, and so does this.
    fn offset_of(&mut self, snapshot: &Balances) -> Balances {
        let lacking = std::mem::take(&mut self.lacking);
        let known =
            |offset: &Balances| *offset == self.offset || self.doubt.as_ref().is_some_and(|d| d.offset == *offset);
        let without = minus(&self.running, &lacking);
        let (with, without_them) = (minus(snapshot, &self.running), minus(snapshot, &without));
        if known(&with) || !known(&without_them) {
            return with;
        }
        self.running = without;
        without_them
    }

    /// Settles a doubt: `offset` is what the next snapshot is above the records.
    fn settle(&mut self, offset: &Balances) -> Vec<Finding> {
        let Some(doubt) = self.doubt.take() else { return Vec::new() };
        let of_snapshot = *offset == self.offset;
        let before = self.offset;
        if !of_snapshot {
            self.offset = doubt.offset;
        }
        let differing = (0..4).filter(|i| doubt.offset[*i] != before[*i]);
        let finding = |i: usize| {
            let by = doubt.offset[i].wrapping_sub(before[i]);
            let moved = doubt.effect.added[i].wrapping_sub(doubt.effect.taken[i]);
            let (kind, stored, expected) = match of_snapshot {
                true => (FindingKind::SnapshotDiffers, doubt.row[i], doubt.row[i].wrapping_sub(by)),
                false => (FindingKind::RecordDiffers, moved, moved.wrapping_add(by)),
            };
            let finding = Finding::new(kind).of(&doubt.transfer).account(self.account_id);
            finding.differs(Field::BALANCES[i], stored, expected)
        };
        differing.map(finding).collect()
    }
}

/// Balances after a record.
fn after(balances: &Balances, effect: &Effect) -> Balances {
    std::array::from_fn(|i| balances[i].wrapping_add(effect.added[i]).wrapping_sub(effect.taken[i]))
}

fn minus(a: &Balances, b: &Balances) -> Balances {
    std::array::from_fn(|i| a[i].wrapping_sub(b[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Payments of 10 each; `rows` are the snapshots of debits_posted, `records` what the records say.
    fn found(records: &[u128], rows: &[u128], stored: u128) -> Vec<String> {
        let mut chain = Chain::new(7, &[]);
        let mut found = Vec::new();
        for (i, (amount, row)) in records.iter().zip(rows).enumerate() {
            let t = Transfer { id: i as u128 + 1, amount: *amount, timestamp: i as u64, ..Transfer::default() };
            let effect = Effect { added: [0, *amount, 0, 0], ..Effect::default() };
            found.extend(chain.row(&t, &effect, Some([0, *row, 0, 0])));
        }
        found.extend(chain.end(&[0, stored, 0, 0]));
        found.into_iter().map(|f| format!("{:?} {} {:?}", f.kind, f.transfer_id, f.difference().unwrap())).collect()
    }

    #[test]
    fn snapshots_that_follow_from_each_other_are_no_finding() {
        assert_eq!(found(&[10, 10, 10], &[10, 20, 30], 30), Vec::<String>::new());
    }

    #[test]
    fn one_snapshot_that_differs_is_told_from_a_record_that_does() {
        assert_eq!(found(&[10, 10, 10], &[10, 25, 30], 30), ["SnapshotDiffers 2 (true, 5)"]);
        assert_eq!(found(&[10, 15, 10], &[10, 20, 30], 30), ["RecordDiffers 2 (true, 5)"]);
        assert_eq!(found(&[10, 10, 10], &[10, 20, 35], 30), ["SnapshotDiffers 3 (true, 5)"], "the last one");
        assert_eq!(found(&[10, 10, 15], &[10, 20, 30], 30), ["RecordDiffers 3 (true, 5)"], "the last one");
        assert_eq!(found(&[15, 10, 10], &[10, 20, 30], 30), ["RecordDiffers 1 (true, 5)"], "the first one");
    }

    #[test]
    fn an_account_that_differs_from_its_last_snapshot_is_not_the_snapshots_fault() {
        assert_eq!(found(&[10, 10], &[10, 20], 25), Vec::<String>::new());
    }
}
