//! The slow way: sums differ, so the tables are read once more to name the rows that do.
//!
//! Only what is suspected is kept: the accounts that do not fit their records, and of the tables the parts whose sums
//! differ. All of it is bounded ([`crate::limits`]), and what is left out is counted.

mod history;
mod items;

use std::collections::BTreeMap;

use crest_ledger::Timestamp;
use crest_ledger::finding::{CAUSES_MAX, Field, Finding, FindingKind};
use crest_ledger::records::{Effect, IdEntry};
use crest_ledger::{Account, Transfer};

use super::scan::{Outcome, record_of, resolves, whole};
use super::whole::{Suspect, Whole};
use crate::store::keys;
use items::Items;

/// Names what differs.
pub(super) fn name(audit: &mut Whole<'_>) -> Outcome {
    let mut items = Items::of(&audit.tables);
    let mut suspects = Suspects::of(std::mem::take(&mut audit.suspects));
    if items.concern_records() || !suspects.list.is_empty() {
        records(audit, &mut items, &mut suspects)?;
    }
    tables(audit, &mut items)?;
    for (suspect, lacks) in suspects.list.iter().zip(&suspects.lacks) {
        let detail = history::look(audit, suspect, lacks)?;
        for mut finding in balances(suspect) {
            if let Some((other, causes)) = suspects.partners.get(&(suspect.id, finding.field as u8)) {
                finding.other_account_id = *other;
                finding.causes.clone_from(causes);
            }
            let column = Field::BALANCES.iter().position(|field| *field == finding.field).unwrap_or_default();
            finding.detail = detail.of(suspect, column).to_owned();
            audit.findings.push(finding);
        }
    }
    for (at, id) in items.dangling {
        for finding in audit.findings.of_kind(FindingKind::HistoryWithoutRecord).filter(|f| f.timestamp == at) {
            finding.transfer_id = id;
        }
    }
    if audit.findings.is_empty() {
        let detail = "tables of this shard".to_owned();
        audit.findings.push(Finding { detail, ..Finding::new(FindingKind::TablesDiffer) });
    }
    Ok(())
}

/// The findings that an account's balances differ from what its records come to.
pub(super) fn balances(suspect: &Suspect) -> impl Iterator<Item = Finding> {
    let differing = (0..4).filter(|i| suspect.stored[*i] != suspect.computed[*i]);
    differing.map(|i| {
        let finding = Finding::new(FindingKind::BalanceDiffers).account(suspect.id);
        let finding = finding.differs(Field::BALANCES[i], suspect.stored[i], suspect.computed[i]);
        Finding { ledger: suspect.ledger, ..finding }
    })
}

/// Transfers that may be the cause of a difference: id and timestamp.
type Causes = Vec<(u128, Timestamp)>;

/// A record that a history lacks, and what it did to the account.
pub(super) type Lack = (Timestamp, Effect);

/// Accounts that do not fit their records, and what the records say of them.
struct Suspects {
    list: Vec<Suspect>,
    by_id: BTreeMap<u128, usize>,
    /// For each: what its history lacks, as far as it is told.
    lacks: Vec<Vec<Lack>>,
    /// By account and field: another one whose opposite field differs by the same amount, and transfers between the two.
    partners: BTreeMap<(u128, u8), (u128, Causes)>,
}

impl Suspects {
    fn of(list: Vec<Suspect>) -> Self {
        let by_id = list.iter().enumerate().map(|(i, s)| (s.id, i)).collect();
        let lacks = list.iter().map(|_| Vec::new()).collect();
        let mut partners = BTreeMap::new();
        for a in &list {
            for i in 0..4 {
                let by = |s: &Suspect, i: usize| s.stored[i].wrapping_sub(s.computed[i]);
                let opposite = (i + 2) % 4;
                let same = |b: &&Suspect| b.id != a.id && b.ledger == a.ledger && by(b, opposite) == by(a, i);
                if by(a, i) != 0
                    && let Some(b) = list.iter().find(same)
                {
                    partners.insert((a.id, Field::BALANCES[i] as u8), (b.id, Vec::new()));
                }
            }
        }
        Self { list, by_id, lacks, partners }
    }

    /// Notes a transfer that touched an account and another one which differs by the same amount.
    fn cause(&mut self, t: &Transfer, id: u128, effect: &Effect) {
        let other = if id == t.debit_account_id { t.credit_account_id } else { t.debit_account_id };
        let fields = Field::BALANCES.into_iter().enumerate();
        for (_, field) in fields.filter(|(i, _)| effect.added[*i] != effect.taken[*i]) {
            let partner = self.partners.get_mut(&(id, field as u8)).filter(|(partner, _)| *partner == other);
            if let Some((_, causes)) = partner.filter(|(_, causes)| causes.len() < CAUSES_MAX) {
                causes.push((t.id, t.timestamp));
            }
        }
    }
}

/// The records once more: what histories lack, causes, and the items of parts that differ.
fn records(audit: &mut Whole<'_>, items: &mut Items, suspects: &mut Suspects) -> Outcome {
    let scan = audit.scan;
    scan.table(keys::TRANSFER, |chunk| {
        let read: Vec<_> = chunk.iter().filter_map(|(key, value)| record_of(key, value)).collect();
        let resolved = scan.resolved(&read)?;
        for (record, pending) in read.iter().zip(resolved) {
            let t = &record.transfer;
            items.record(record);
            let sides = [(record.sides.debit(), t.debit_account_id), (record.sides.credit(), t.credit_account_id)];
            for (_, id) in sides.into_iter().filter(|(here, _)| *here) {
                let Some(suspect) = suspects.by_id.get(&id).copied() else { continue };
                let pending = resolves(t).then(|| pending.unwrap_or(*t));
                let effect = Effect::of(t, pending.as_ref(), id);
                suspects.cause(t, id, &effect);
                if suspects.list[suspect].rows_differ && scan.get(&keys::history(id, t.timestamp))?.is_none() {
                    suspects.lacks[suspect].push((t.timestamp, effect));
                    suspects.lacks[suspect].truncate(history::LACKS_MAX);
                    audit.findings.push(Finding::new(FindingKind::HistoryMissing).of(t).account(id));
                }
            }
        }
        Ok(())
    })
}

/// The other tables once more, as far as they differ from the records.
fn tables(audit: &mut Whole<'_>, items: &mut Items) -> Outcome {
    let scan = audit.scan;
    if items.concern_ids() {
        scan.table(keys::TRANSFER_ID, |chunk| {
            for (key, value) in chunk {
                if let (Some(id), Some(entry)) = (keys::transfer_id_of(key), whole(value, IdEntry::unpack)) {
                    items.entry(audit, id, &entry)?;
                }
            }
            Ok(())
        })?;
        items.without_entry(audit);
    }
    if items.concern_timeouts() {
        scan.table(keys::EXPIRY, |chunk| {
            let timeouts = chunk.iter().filter_map(|(key, _)| keys::expiry_of(key));
            timeouts.for_each(|(at, id)| items.timeout(audit, at, id));
            Ok(())
        })?;
        items.without_timeout(audit);
    }
    if items.concern_times() {
        scan.table(keys::ACCOUNT, |chunk| {
            let accounts = chunk.iter().filter_map(|(_, value)| whole(value, Account::unpack));
            accounts.for_each(|account| items.account(&account));
            Ok(())
        })?;
        scan.table(keys::ACCOUNT_TIME, |chunk| {
            for (key, value) in chunk {
                if let (Some(at), Some(id)) = (keys::timestamp_of(key), whole(value, |r| r.u128())) {
                    items.time(audit, at, id);
                }
            }
            Ok(())
        })?;
        items.without_time(audit);
    }
    Ok(())
}
