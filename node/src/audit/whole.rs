//! The whole of one shard: every table is read, and each is compared with the others.
//!
//! The fast way keeps sums, not rows: a shard that is well is read once, from one end of each table to the other (the
//! transfers once more for every [`crate::limits::AUDIT_PART_ACCOUNTS`] accounts). Only where sums differ, [`super::naming`] reads again.

use std::collections::BTreeMap;

use crest_ledger::finding::{Field, Finding, FindingKind};
use crest_ledger::records::{Effect, TransferRecord};
use crest_ledger::tables::Scalars;
use crest_ledger::wire::audit::{AuditStage, ShardAudit};
use crest_ledger::{Account, AccountBalance, AccountFlags, Timestamp, Transfer, is_rehearsal};
use crest_topology::SlotMap;

use super::accounts::{Part, Place, place, row_sum};
use super::findings::Findings;
use super::mix::Difference;
use super::scan::{Outcome, Scan, record_of, resolves, whole};
use super::{accounts, naming, others, records};
use crate::limits::{AUDIT_CHUNK_ROWS, AUDIT_SUSPECTS_MAX};
use crate::store::rehearsals::Counts;
use crate::store::{checkpoint, keys, rehearsals};

/// Tables that have to say the same of the same things.
pub(super) struct Tables {
    /// Records and the table of ids: when each id was made, and whether it is pending.
    pub(super) ids: Difference,
    /// Posts, voids and expiries, and the states of what they resolve.
    pub(super) fates: Difference,
    /// Pending transfers with a timeout, and the table of timeouts.
    pub(super) timeouts: Difference,
    /// Accounts, and the table of accounts by time.
    pub(super) times: Difference,
}

/// An account that does not fit its records.
pub(super) struct Suspect {
    pub(super) id: u128,
    pub(super) ledger: u32,
    pub(super) flags: AccountFlags,
    pub(super) stored: [u128; 4],
    pub(super) computed: [u128; 4],
    /// Whether the rows of its history are not those of its records.
    pub(super) rows_differ: bool,
}

/// An audit of one shard on its way.
pub(super) struct Whole<'a> {
    pub(super) scan: Scan<'a>,
    pub(super) shard: u32,
    pub(super) map: &'a SlotMap,
    pub(super) at: Timestamp,
    part_accounts: usize,
    pub(super) findings: Findings,
    pub(super) report: ShardAudit,
    pub(super) totals: BTreeMap<u32, ([u128; 4], u64)>,
    pub(super) halves: BTreeMap<(u8, u32), (u64, u128)>,
    pub(super) tables: Tables,
    pub(super) suspects: Vec<Suspect>,
    /// How many there are, whatever `at` is.
    pub(super) accounts: u64,
    pub(super) transfers: u64,
    /// Of those, how many are on ledger numbers of rehearsals.
    pub(super) rehearsals: Counts,
    /// Rows that the histories have to have.
    pub(super) history_rows: u64,
}

/// Audits a snapshot.
///
/// `part_accounts` are the accounts that are taken through the records at a time, rounded up to whole chunks.
pub(super) fn audit(
    scan: Scan<'_>,
    shard: u32,
    map: &SlotMap,
    at: Timestamp,
    part_accounts: usize,
) -> Outcome<ShardAudit> {
    let difference = Difference::new;
    let mut whole = Whole {
        scan,
        shard,
        map,
        at,
        part_accounts,
        findings: Findings::new(shard),
        report: ShardAudit::default(),
        totals: BTreeMap::new(),
        halves: BTreeMap::new(),
        tables: Tables { ids: difference(), fates: difference(), timeouts: difference(), times: difference() },
        suspects: Vec::new(),
        accounts: 0,
        transfers: 0,
        rehearsals: Counts::default(),
        history_rows: 0,
    };
    scan.counters.enter(AuditStage::Reading);
    whole.read()?;
    if whole.needs_naming() {
        scan.counters.enter(AuditStage::Naming);
        naming::name(&mut whole)?;
    }
    Ok(whole.report())
}

impl Whole<'_> {
    fn read(&mut self) -> Outcome {
        let (scalars, rehearsals) = self.scalars()?;
        self.expect(&scalars);
        let mut after = None;
        loop {
            let mut part = self.load(after, &scalars)?;
            self.pass(&mut part, after.is_none())?;
            self.expect(&scalars);
            self.compare(&mut part)?;
            after = part.bounds().1;
            if after.is_none() {
                break;
            }
        }
        others::read(self)?;
        self.counts(&scalars, rehearsals);
        Ok(())
    }

    /// Compares what the shard counts with what is there.
    fn counts(&mut self, scalars: &Scalars, rehearsals: Option<Counts>) {
        let found = self.rehearsals;
        // The last checkpoint may be of a build that did not count these.
        let stored = rehearsals.unwrap_or(found);
        for (field, stored, found) in [
            (Field::Accounts, scalars.accounts, self.accounts),
            (Field::Transfers, scalars.transfers, self.transfers),
            (Field::RehearsalAccounts, stored.accounts, found.accounts),
            (Field::RehearsalTransfers, stored.transfers, found.transfers),
        ] {
            if stored != found {
                let finding = Finding::new(FindingKind::CountDiffers);
                self.findings.push(finding.differs(field, stored.into(), found.into()));
            }
        }
    }

    fn needs_naming(&self) -> bool {
        let t = &self.tables;
        !self.suspects.is_empty() || ![&t.ids, &t.fates, &t.timeouts, &t.times].iter().all(|d| d.is_none())
    }

    /// The shard's numbers, as its last checkpoint has them, and what it counts of rehearsals.
    fn scalars(&mut self) -> Outcome<(Scalars, Option<Counts>)> {
        let value = self.scan.get(&keys::meta("position"))?;
        let position = value.as_ref().map(|value| checkpoint::unpack_position(value));
        if let Some(None) = position {
            self.unreadable("the shard's position", &keys::meta("position"));
        }
        let (scalars, applied) = position.flatten().unwrap_or_default();
        Ok((scalars, rehearsals::stored(self.scan.rows, applied)?))
    }

    /// How many rows there will be to look at: every account thrice, every transfer once a part and once by its id, and the
    /// rows of histories, of which nobody keeps count: first by guess, then as the records say.
    fn expect(&self, scalars: &Scalars) {
        let parts = 1 + scalars.accounts.saturating_sub(1) / self.part_accounts as u64;
        let local = 1.0 / self.map.shards().len().max(1) as f64;
        let guess = (scalars.transfers as f64 * (1.0 + local)) as u64;
        let history = if self.history_rows == 0 { guess } else { self.history_rows };
        self.scan.counters.expect(3 * scalars.accounts + (parts + 1) * scalars.transfers + history);
    }

    /// The next part of the accounts.
    fn load(&mut self, after: Option<Place>, scalars: &Scalars) -> Outcome<Part> {
        let expected = usize::try_from(scalars.accounts.saturating_sub(self.accounts)).unwrap_or(usize::MAX);
        let mut part = Part::begin(after, expected.min(self.part_accounts + AUDIT_CHUNK_ROWS));
        let (mut from, until) = (bound(after, keys::account, keys::ACCOUNT), keys::table_end(keys::ACCOUNT));
        let mut end = None;
        while part.running.len() < self.part_accounts
            && let Some(chunk) = self.scan.chunk(&mut from, &until)?
        {
            for (key, value) in &chunk {
                match whole(value, Account::unpack).filter(|a| keys::account(a.id) == *key) {
                    Some(account) => self.account(&account, &mut part),
                    None => self.unreadable("the account", key),
                }
            }
            end = chunk.iter().rev().find_map(|(key, _)| keys::account_of(key)).or(end);
        }
        let last = self.scan.rows.range(&from, &until, false, 1)?.is_empty();
        part.end(end.filter(|_| !last));
        Ok(part)
    }

    fn account(&mut self, account: &Account, part: &mut Part) {
        self.accounts += 1;
        self.rehearsals.accounts += u64::from(is_rehearsal(account.ledger));
        self.tables.times.add(account.id, account.timestamp.into());
        let owner = self.map.shard_of(account.id);
        if owner != self.shard {
            let finding = Finding::new(FindingKind::AccountMisplaced).account(account.id);
            self.findings.push(Finding { other_shard: Some(owner), ..finding });
        }
        let (sums, accounts) = self.totals.entry(account.ledger).or_default();
        for (sum, balance) in sums.iter_mut().zip(balances_of(account)) {
            *sum = sum.wrapping_add(balance);
        }
        if account.timestamp <= self.at {
            self.report.accounts += 1;
            *accounts += 1;
        }
        part.push(account);
    }

    /// All records, in the order of time: those of a part's accounts are applied to them.
    fn pass(&mut self, part: &mut Part, first: bool) -> Outcome {
        let scan = self.scan;
        scan.table(keys::TRANSFER, |chunk| {
            let mut read = Vec::with_capacity(chunk.len());
            for (key, value) in chunk {
                match record_of(key, value) {
                    Some(record) => read.push(record),
                    None if first => self.unreadable("the record", key),
                    None => {}
                }
            }
            let resolved = scan.resolved(&read)?;
            for (record, pending) in read.iter().zip(&resolved) {
                if first {
                    records::check(self, record, pending.as_ref());
                }
                self.apply(part, record, pending.as_ref(), first)?;
            }
            Ok(())
        })
    }

    fn apply(&mut self, part: &mut Part, record: &TransferRecord, pending: Option<&Transfer>, first: bool) -> Outcome {
        let t = &record.transfer;
        // Where what it resolves is not there (that is a finding), its own amount has to do.
        let released = resolves(t).then(|| pending.copied().unwrap_or(Transfer { flags: Default::default(), ..*t }));
        for (here, id) in [(record.sides.debit(), t.debit_account_id), (record.sides.credit(), t.credit_account_id)] {
            if !here {
                continue;
            }
            let effect = Effect::of(t, released.as_ref(), id);
            if first {
                self.history_rows += 1;
                if t.timestamp > self.at {
                    self.take_back(t.ledger, &effect);
                }
            }
            if part.covers(id)
                && !part.apply(id, t, &effect, &mut self.findings, || self.scan.history(id, t.timestamp))?
            {
                self.findings.push(Finding::new(FindingKind::AccountMissing).of(t).account(id));
            }
        }
        Ok(())
    }

    /// The totals are of the instant `at`: what came later is taken back.
    fn take_back(&mut self, ledger: u32, effect: &Effect) {
        let (sums, _) = self.totals.entry(ledger).or_default();
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = sum.wrapping_sub(effect.added[i]).wrapping_add(effect.taken[i]);
        }
    }

    /// Compares the accounts of a part, through which all records have passed, with what is stored of them.
    fn compare(&mut self, part: &mut Part) -> Outcome {
        part.settle(&mut self.findings);
        self.histories(part)?;
        let (after, until) = part.bounds();
        let from = bound(after, keys::account, keys::ACCOUNT);
        let until = until.map_or(keys::table_end(keys::ACCOUNT), |(_, id)| keys::account(id));
        self.scan.walk(&from, &until, |chunk| {
            for (_, value) in chunk {
                let Some(account) = whole(value, Account::unpack) else { continue };
                let Some(run) = part.get_mut(account.id) else { continue };
                let stored = balances_of(&account);
                let rows_differ = run.rows != 0;
                if stored != run.balances || rows_differ {
                    let (id, ledger, flags, computed) = (run.id, run.ledger, run.flags, run.balances);
                    let suspect = Suspect { id, ledger, flags, stored, computed, rows_differ };
                    if self.suspects.len() < AUDIT_SUSPECTS_MAX {
                        self.suspects.push(suspect);
                    } else {
                        naming::balances(&suspect).for_each(|finding| self.findings.push(finding));
                    }
                }
                if let Some(wrong) = run.closed_wrongly() {
                    let finding = Finding::new(FindingKind::ClosedDiffers).account(account.id);
                    self.findings.push(Finding { field: Field::Closed, detail: wrong.to_owned(), ..finding });
                }
            }
            Ok(())
        })
    }

    /// Takes the rows of the histories from the sums of their accounts.
    fn histories(&mut self, part: &mut Part) -> Outcome {
        let (after, until) = part.bounds();
        let scan = self.scan;
        let from = bound(after, |id| keys::history(id, Timestamp::MAX), keys::HISTORY);
        let until = until.map_or(keys::table_end(keys::HISTORY), |(_, id)| keys::history(id, Timestamp::MAX));
        let mut next = 0;
        scan.walk(&from, &until, |chunk| {
            for (key, value) in chunk {
                let (Some((whose, at)), Some(row)) = (keys::history_of(key), history_row(key, value)) else {
                    self.unreadable("the history row", key);
                    continue;
                };
                while part.running.get(next).is_some_and(|run| place(run.id) < whose) {
                    next += 1;
                }
                match part.running.get_mut(next).filter(|run| place(run.id) == whose) {
                    Some(run) => {
                        let balances = row.as_ref().map(accounts::balances_of);
                        run.rows = run.rows.wrapping_sub(row_sum(at, balances.as_ref()));
                    }
                    None => self.without_account(whose.1, at)?,
                }
            }
            Ok(())
        })
    }

    /// A row of the history of an account that is not there. Its record tells of that, when there is one.
    fn without_account(&mut self, account_id: u128, at: Timestamp) -> Outcome {
        let record = self.scan.records(&[at])?.pop().flatten().map(|record| record.transfer);
        if record.is_none_or(|t| t.debit_account_id != account_id && t.credit_account_id != account_id) {
            let finding = Finding::new(FindingKind::HistoryWithoutRecord).account(account_id);
            self.findings.push(Finding { timestamp: at, ..finding });
        }
        Ok(())
    }

    pub(super) fn unreadable(&mut self, what: &str, key: &[u8]) {
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let detail = format!("{what} with the key {key}");
        self.findings.push(Finding { detail, ..Finding::new(FindingKind::RowUnreadable) });
    }

    fn report(self) -> ShardAudit {
        let (findings, left_out) = self.findings.take();
        let totals =
            self.totals.into_iter().filter(|(_, (sums, accounts))| *accounts > 0 || sums.iter().any(|s| *s != 0));
        let totals = totals.map(|(ledger, (sums, accounts))| (ledger, sums, accounts)).collect();
        ShardAudit {
            totals: self.scan.counters.keep(totals),
            halves: self.halves.into_iter().map(|((role, peer), (n, sum))| (role, peer, n, sum)).collect(),
            findings,
            left_out,
            rows: self.scan.counters.rows(),
            ..self.report
        }
    }
}

/// The first key behind a place, or of the whole table.
fn bound(after: Option<Place>, last_key: impl Fn(u128) -> keys::Key, table: u8) -> keys::Key {
    after.map_or(vec![table], |(_, id)| [&last_key(id)[..], &[0]].concat())
}

/// The row of a history: nothing, or the balances after its transfer. `None` when it does not read back.
pub(super) fn history_row(key: &[u8], value: &[u8]) -> Option<Option<AccountBalance>> {
    if value.is_empty() {
        return Some(None);
    }
    whole(value, AccountBalance::unpack).filter(|row| keys::timestamp_of(key) == Some(row.timestamp)).map(Some)
}

/// The balances of an account, in the order of [`Effect`].
pub(super) fn balances_of(a: &Account) -> [u128; 4] {
    [a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted]
}
