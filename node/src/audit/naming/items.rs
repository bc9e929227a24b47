//! Rows of tables that have to say the same, of those parts in which they do not.

use std::collections::{BTreeMap, BTreeSet};

use crest_ledger::finding::{Field, Finding, FindingKind};
use crest_ledger::records::{IdEntry, IdState, TransferRecord};
use crest_ledger::{Account, Timestamp, Transfer, TransferFlags};

use super::super::mix::Parts;
use super::super::records::{fate, is_resolved};
use super::super::scan::{Outcome, resolves};
use super::super::whole::{Tables, Whole};
use crate::limits::AUDIT_PARTS_MAX;

/// What the one table says, until the other one is read.
pub(super) struct Items {
    ids: Parts,
    fates: Parts,
    timeouts: Parts,
    times: Parts,
    /// By id: its records, oldest first.
    recorded: BTreeMap<u128, Vec<Transfer>>,
    /// By pending transfer: what resolves it, oldest first.
    resolving: BTreeMap<u128, Vec<Transfer>>,
    /// Pending transfers with a timeout, and those that were resolved.
    expiring: BTreeMap<u128, Transfer>,
    ended: BTreeSet<u128>,
    /// Accounts by id.
    created: BTreeMap<u128, Timestamp>,
    /// Entries of ids without a record: by time, the id.
    pub(super) dangling: Vec<(Timestamp, u128)>,
}

impl Items {
    /// Of the parts that differ, the first few.
    pub(super) fn of(tables: &Tables) -> Self {
        let [ids, fates, timeouts, times] =
            [&tables.ids, &tables.fates, &tables.timeouts, &tables.times].map(|d| d.parts(AUDIT_PARTS_MAX));
        Self {
            ids,
            fates,
            timeouts,
            times,
            recorded: BTreeMap::new(),
            resolving: BTreeMap::new(),
            expiring: BTreeMap::new(),
            ended: BTreeSet::new(),
            created: BTreeMap::new(),
            dangling: Vec::new(),
        }
    }

    pub(super) fn concern_ids(&self) -> bool {
        !self.ids.is_empty() || !self.fates.is_empty()
    }

    pub(super) fn concern_timeouts(&self) -> bool {
        !self.timeouts.is_empty()
    }

    pub(super) fn concern_times(&self) -> bool {
        !self.times.is_empty()
    }

    pub(super) fn concern_records(&self) -> bool {
        self.concern_ids() || self.concern_timeouts()
    }

    /// A record.
    pub(super) fn record(&mut self, record: &TransferRecord) {
        let t = record.transfer;
        if !t.flags.any(TransferFlags::EXPIRY) {
            if self.ids.have(t.id) {
                self.recorded.entry(t.id).or_default().push(t);
            }
            if self.timeouts.have(t.id) && record.sides.debit() && t.expires_at().is_some() {
                self.expiring.insert(t.id, t);
            }
        }
        if resolves(&t) {
            if self.fates.have(t.pending_id) {
                self.resolving.entry(t.pending_id).or_default().push(t);
            }
            if self.timeouts.have(t.pending_id) && record.sides.debit() {
                self.ended.insert(t.pending_id);
            }
        }
    }

    /// An entry of the table of ids, after all records.
    pub(super) fn entry(&mut self, audit: &mut Whole<'_>, id: u128, entry: &IdEntry) -> Outcome {
        let resolving = if self.fates.have(id) { self.resolving.remove(&id).unwrap_or_default() } else { Vec::new() };
        if self.ids.have(id) {
            let recorded = self.recorded.remove(&id).unwrap_or_default();
            twice(audit, &recorded);
            if let Some(t) = recorded.iter().find(|t| t.timestamp == entry.timestamp) {
                let pending = t.flags.any(TransferFlags::PENDING);
                let fits = entry.state != IdState::Failed && pending == (entry.state != IdState::Done);
                if !fits && resolving.is_empty() {
                    let expected = if pending { IdState::Pending } else { IdState::Done };
                    state(audit, t, entry.state, expected);
                }
            } else {
                self.lost(audit, id, entry, recorded.last())?;
            }
        }
        if self.fates.have(id) {
            let expected = resolving.first().map(fate);
            if expected != Some(entry.state) && (expected.is_some() || is_resolved(entry.state)) {
                let pending = audit.scan.records(&[entry.timestamp])?.pop().flatten().map(|record| record.transfer);
                let unknown = Transfer { id, timestamp: entry.timestamp, ..Transfer::default() };
                state(audit, &pending.unwrap_or(unknown), entry.state, expected.unwrap_or(IdState::Pending));
            }
            for t in resolving.iter().skip(1) {
                let detail = "which was resolved before".to_owned();
                let finding = Finding::new(FindingKind::ResolvesNothing).of(t);
                audit.findings.push(Finding { other_transfer_id: id, detail, ..finding });
            }
        }
        Ok(())
    }

    /// There is no record of this id where its entry says.
    fn lost(&mut self, audit: &mut Whole<'_>, id: u128, entry: &IdEntry, elsewhere: Option<&Transfer>) -> Outcome {
        if entry.state == IdState::Failed {
            if let Some(t) = elsewhere {
                let pending = t.flags.any(TransferFlags::PENDING);
                state(audit, t, IdState::Failed, if pending { IdState::Pending } else { IdState::Done });
            }
            return Ok(());
        }
        let other = audit.scan.records(&[entry.timestamp])?.pop().flatten();
        let kind = if other.is_some() { FindingKind::IdOfOther } else { FindingKind::IdWithoutRecord };
        if other.is_none() {
            self.dangling.push((entry.timestamp, id));
        }
        audit.findings.push(Finding {
            transfer_id: id,
            timestamp: entry.timestamp,
            other_transfer_id: other.map_or(0, |record| record.transfer.id),
            ..Finding::new(kind)
        });
        if let Some(t) = elsewhere {
            audit.findings.push(Finding::new(FindingKind::IdMissing).of(t));
        }
        Ok(())
    }

    /// What is left after the table of ids: records without an entry.
    pub(super) fn without_entry(&mut self, audit: &mut Whole<'_>) {
        for recorded in std::mem::take(&mut self.recorded).into_values() {
            twice(audit, &recorded);
            if let Some(t) = recorded.last() {
                audit.findings.push(Finding::new(FindingKind::IdMissing).of(t));
            }
        }
    }

    /// An entry of the table of timeouts, after all records.
    pub(super) fn timeout(&mut self, audit: &mut Whole<'_>, at: Timestamp, id: u128) {
        if !self.timeouts.have(id) {
            return;
        }
        let pending = self.expiring.get(&id).filter(|t| t.expires_at() == Some(at) && !self.ended.contains(&id));
        if pending.is_some() {
            self.expiring.remove(&id);
            return;
        }
        let finding = Finding::new(FindingKind::TimeoutWithoutPending);
        audit.findings.push(Finding { transfer_id: id, other_timestamp: at, ..finding });
    }

    /// What is left after the table of timeouts.
    pub(super) fn without_timeout(&mut self, audit: &mut Whole<'_>) {
        let left = self.expiring.values().filter(|t| !self.ended.contains(&t.id));
        for t in left {
            let other_timestamp = t.expires_at().unwrap_or_default();
            audit.findings.push(Finding { other_timestamp, ..Finding::new(FindingKind::TimeoutMissing).of(t) });
        }
    }

    /// An account.
    pub(super) fn account(&mut self, account: &Account) {
        if self.times.have(account.id) {
            self.created.insert(account.id, account.timestamp);
        }
    }

    /// An entry of the table of accounts by time, after all accounts.
    pub(super) fn time(&mut self, audit: &mut Whole<'_>, at: Timestamp, id: u128) {
        if !self.times.have(id) {
            return;
        }
        if self.created.get(&id) == Some(&at) {
            self.created.remove(&id);
        } else {
            audit.findings.push(time_differs(
                id,
                at,
                "is in the table of accounts by time, but not so among the accounts",
            ));
        }
    }

    /// What is left after the table of accounts by time.
    pub(super) fn without_time(&mut self, audit: &mut Whole<'_>) {
        for (id, at) in std::mem::take(&mut self.created) {
            audit.findings.push(time_differs(id, at, "is not in the table of accounts by time"));
        }
    }
}

fn time_differs(id: u128, at: Timestamp, detail: &str) -> Finding {
    let finding = Finding::new(FindingKind::AccountTimeDiffers).account(id);
    Finding { timestamp: at, detail: detail.to_owned(), ..finding }
}

fn twice(audit: &mut Whole<'_>, recorded: &[Transfer]) {
    for two in recorded.windows(2) {
        let finding = Finding::new(FindingKind::TransferTwice).of(&two[0]);
        audit.findings.push(Finding { other_transfer_id: two[1].id, other_timestamp: two[1].timestamp, ..finding });
    }
}

fn state(audit: &mut Whole<'_>, t: &Transfer, stored: IdState, expected: IdState) {
    let finding = Finding::new(FindingKind::StateDiffers).of(t);
    audit.findings.push(finding.differs(Field::State, stored as u128, expected as u128));
}
