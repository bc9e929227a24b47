//! The accounts of a shard, a part of them at a time, as their records leave them.
//!
//! Records are read in the order of time, once for every part, so that each state which an account ever had passes by and
//! memory is bounded whatever the number of accounts.

use crest_ledger::finding::{Field, Finding, FindingKind};
use crest_ledger::records::Effect;
use crest_ledger::tables::Map;
use crest_ledger::{Account, AccountBalance, AccountFlags, Timestamp, Transfer, TransferFlags};
use crest_topology::slot_of;

use super::findings::Findings;
use super::mix::mix;

/// An account's place in the order of its key.
pub(super) type Place = (u16, u128);

/// Where an account stands in the order of the store.
pub(super) fn place(id: u128) -> Place {
    (slot_of(id), id)
}

/// An account on its way through its records: 96 bytes.
pub(super) struct Running {
    pub(super) id: u128,
    pub(super) balances: [u128; 4],
    /// A sum over the rows that its history has to have, less those that it has: 0 in the end.
    pub(super) rows: u64,
    pub(super) ledger: u32,
    pub(super) flags: AccountFlags,
    pub(super) closed: Closed,
    touched: bool,
    exceeded: bool,
}

/// What the records say of the flag `closed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// None touched it.
    Untouched,
    /// The last one that touched it closed or opened the account.
    Known(bool),
    /// An imported transfer touched it: it is dated back, so it may have come after records of later times.
    Unsure,
}

/// What imported transfers of an account leave open. They are dated back, and were checked after expiries of later times,
/// so they may have used what those released. Which ones had been recorded by then is not known any more; that together
/// they release enough, is.
#[derive(Default)]
struct Imports {
    /// Released by expiries since the first one of these, of `debits_pending` and `credits_pending`.
    released: [u128; 2],
    /// The most that must have been released in the end for the balance snapshots, and by which transfer.
    snapshots: [Option<(u128, Transfer)>; 2],
    /// The same for the limit, with the debits or credits then and the limit.
    limit: Option<(u128, Transfer, [u128; 2])>,
}

/// Some accounts that follow each other in the store.
pub(super) struct Part {
    after: Option<Place>,
    until: Option<Place>,
    pub(super) running: Vec<Running>,
    index: Map<u128, u32>,
    imports: Map<u128, Imports>,
}

impl Part {
    /// An empty part behind `after`, for about `accounts` accounts.
    pub(super) fn begin(after: Option<Place>, accounts: usize) -> Self {
        let mut index = Map::default();
        index.reserve(accounts);
        Self { after, until: None, running: Vec::with_capacity(accounts), index, imports: Map::default() }
    }

    /// Adds the next account.
    pub(super) fn push(&mut self, account: &Account) {
        // A part has far less than 2^32 accounts.
        self.index.insert(account.id, self.running.len() as u32);
        self.running.push(Running {
            id: account.id,
            balances: [0; 4],
            rows: 0,
            ledger: account.ledger,
            flags: account.flags,
            closed: Closed::Untouched,
            touched: false,
            exceeded: false,
        });
    }

    /// Ends the part here: `until` is its last account's place, or there are no more accounts.
    pub(super) fn end(&mut self, until: Option<Place>) {
        self.until = until;
    }

    /// Where the part begins and ends: behind the first, with the second.
    pub(super) fn bounds(&self) -> (Option<Place>, Option<Place>) {
        (self.after, self.until)
    }

    /// Whether an account, if it is there, is of this part.
    pub(super) fn covers(&self, id: u128) -> bool {
        (self.after.is_none() && self.until.is_none()) || {
            let place = place(id);
            self.after.is_none_or(|after| after < place) && self.until.is_none_or(|until| place <= until)
        }
    }

    pub(super) fn get_mut(&mut self, id: u128) -> Option<&mut Running> {
        self.index.get(&id).map(|i| &mut self.running[*i as usize])
    }

    /// Applies a record to an account of this part. `row` is what its history has for it: asked for only where the balances
    /// in it are needed. Answers false when the account is not there.
    pub(super) fn apply<E>(
        &mut self,
        id: u128,
        t: &Transfer,
        effect: &Effect,
        findings: &mut Findings,
        row: impl FnOnce() -> Result<Option<AccountBalance>, E>,
    ) -> Result<bool, E> {
        let Some(i) = self.index.get(&id) else { return Ok(false) };
        let run = &mut self.running[*i as usize];
        let imported = t.flags.any(TransferFlags::IMPORTED);
        let expiry = t.flags.any(TransferFlags::EXPIRY);
        run.touched = true;
        run.balance(t, effect, findings);
        run.close(effect, imported, expiry);
        if run.ledger != t.ledger {
            let finding = Finding::new(FindingKind::LedgerDiffers).of(t).account(id);
            findings.push(finding.differs(Field::Ledger, t.ledger.into(), run.ledger.into()));
        }
        if expiry && let Some(imports) = self.imports.get_mut(&id) {
            imports.released[0] = imports.released[0].wrapping_add(effect.taken[0]);
            imports.released[1] = imports.released[1].wrapping_add(effect.taken[2]);
        }
        if !expiry && let Some((used, room)) = run.excess(effect) {
            if imported {
                self.imports.entry(id).or_default().limit(run.limited_side(), t, used, room);
            } else {
                run.exceed(t, used, room, findings);
            }
        }
        if !run.flags.any(AccountFlags::HISTORY) {
            run.rows = run.rows.wrapping_add(row_sum(t.timestamp, None));
        } else if !imported {
            run.rows = run.rows.wrapping_add(row_sum(t.timestamp, Some(&run.balances)));
        } else {
            match row()? {
                Some(row) => {
                    let row = balances_of(&row);
                    run.rows = run.rows.wrapping_add(row_sum(t.timestamp, Some(&row)));
                    if let Some(due) = run.imported_row(t, &row, findings) {
                        self.imports.entry(id).or_default().snapshot(t, due);
                    }
                }
                None => findings.push(Finding::new(FindingKind::HistoryMissing).of(t).account(id)),
            }
        }
        Ok(true)
    }

    /// What imported transfers left open is settled once all records have passed.
    pub(super) fn settle(&mut self, findings: &mut Findings) {
        for run in &mut self.running {
            let Some(imports) = self.imports.get(&run.id) else { continue };
            for (side, due) in imports.snapshots.iter().enumerate() {
                let Some((due, t)) = due.filter(|(due, _)| *due > imports.released[side]) else { continue };
                let finding = Finding::new(FindingKind::SnapshotDiffers).of(&t).account(run.id);
                findings.push(finding.differs(Field::BALANCES[2 * side], imports.released[side], due));
            }
            let released = imports.released[run.limited_side()];
            if let Some((_, t, [used, room])) = imports.limit.filter(|(due, ..)| *due > released) {
                run.exceed(&t, used, room, findings);
            }
        }
    }
}

impl Running {
    fn balance(&mut self, t: &Transfer, effect: &Effect, findings: &mut Findings) {
        for (i, field) in Field::BALANCES.into_iter().enumerate() {
            let (added, taken) = (effect.added[i], effect.taken[i]);
            let before = self.balances[i];
            self.balances[i] = before.wrapping_add(added).wrapping_sub(taken);
            if before.checked_add(added).is_none() {
                let finding = Finding::new(FindingKind::Overflows).of(t).account(self.id);
                findings.push(Finding { field, ..finding });
            } else if before + added < taken {
                let finding = Finding::new(FindingKind::ReleasedTwice).of(t).account(self.id);
                findings.push(Finding { other_transfer_id: t.pending_id, ..finding.differs(field, taken, before) });
            }
        }
    }

    fn close(&mut self, effect: &Effect, imported: bool, expiry: bool) {
        let Some(closed) = effect.closed else { return };
        self.closed = match self.closed {
            _ if imported => Closed::Unsure,
            Closed::Unsure if expiry => Closed::Unsure,
            _ => Closed::Known(closed),
        };
    }

    /// Which pending column counts against its limit: 0 debits, 1 credits.
    fn limited_side(&self) -> usize {
        usize::from(self.flags.any(AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS))
    }

    /// What is used and the limit, when a record that uses more exceeds it.
    fn excess(&self, effect: &Effect) -> Option<(u128, u128)> {
        let limits = AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS | AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS;
        if !self.flags.any(limits) {
            return None;
        }
        let side = 2 * self.limited_side();
        if effect.added[side] == 0 && effect.added[side + 1] == 0 {
            return None;
        }
        let used = self.balances[side].saturating_add(self.balances[side + 1]);
        let room = self.balances[3 - side];
        (used > room).then_some((used, room))
    }

    /// Tells of the first transfer that brought the account above its limit.
    fn exceed(&mut self, t: &Transfer, used: u128, room: u128, findings: &mut Findings) {
        if !std::mem::replace(&mut self.exceeded, true) {
            let field = [Field::Debits, Field::Credits][self.limited_side()];
            findings.push(Finding::new(FindingKind::LimitExceeded).of(t).account(self.id).differs(field, used, room));
        }
    }

    /// How much less is pending in the snapshot of an imported transfer than its time order says.
    fn imported_row(&self, t: &Transfer, row: &[u128; 4], findings: &mut Findings) -> Option<[u128; 2]> {
        for (i, field) in Field::BALANCES.into_iter().enumerate() {
            let posted = i % 2 == 1;
            if posted && row[i] != self.balances[i] || !posted && row[i] > self.balances[i] {
                let finding = Finding::new(FindingKind::SnapshotDiffers).of(t).account(self.id);
                findings.push(finding.differs(field, row[i], self.balances[i]));
                return None;
            }
        }
        let due = [self.balances[0] - row[0], self.balances[2] - row[2]];
        (due != [0, 0]).then_some(due)
    }

    /// Whether the flag `closed` is what the records say, as far as they say it; otherwise what does not fit.
    pub(super) fn closed_wrongly(&self) -> Option<&'static str> {
        let stored = self.flags.any(AccountFlags::CLOSED);
        match self.closed {
            Closed::Known(true) if !stored => Some("is open, but its transfers have closed it"),
            Closed::Known(false) if stored => Some("is closed, but its transfers have opened it again"),
            Closed::Untouched if stored && self.touched => Some("is closed, but no transfer of it has closed it"),
            _ => None,
        }
    }
}

impl Imports {
    fn snapshot(&mut self, t: &Transfer, due: [u128; 2]) {
        for (side, due) in due.into_iter().enumerate() {
            let due = self.released[side].saturating_add(due);
            if self.snapshots[side].is_none_or(|(most, _)| due > most) {
                self.snapshots[side] = Some((due, *t));
            }
        }
    }

    fn limit(&mut self, side: usize, t: &Transfer, used: u128, room: u128) {
        let due = self.released[side].saturating_add(used - room);
        if self.limit.is_none_or(|(most, ..)| due > most) {
            self.limit = Some((due, *t, [used, room]));
        }
    }
}

/// The balances of a row of a history, in the order of [`Effect`].
pub(super) fn balances_of(row: &AccountBalance) -> [u128; 4] {
    [row.debits_pending, row.debits_posted, row.credits_pending, row.credits_posted]
}

/// The number that a row of a history adds to its account's sum.
pub(super) fn row_sum(at: Timestamp, balances: Option<&[u128; 4]>) -> u64 {
    let sum = match balances {
        None => mix(&[at.into()]),
        Some([a, b, c, d]) => mix(&[at.into(), *a, *b, *c, *d]),
    };
    (sum >> 64) as u64
}
