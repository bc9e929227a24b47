//! The books and the balances against what was found.

use super::{Auditor, Found, say};
use crate::record::AuditRecord;
use crate::rehearsal::books::Fate;
use crate::rehearsal::plan::{Content, Kind, Leg, Planned};

/// The names of the four balances, in their order.
const BALANCES: [&str; 4] = ["debits_pending", "debits_posted", "credits_pending", "credits_posted"];
/// Which of them are of reservations.
const PENDING: [bool; 4] = [true, false, true, false];

/// What balances have to have changed by.
pub(super) type Changes = Vec<[i128; 4]>;

impl Auditor<'_> {
    /// Goes through the books: what was acknowledged has to be met, nothing else may be. Gives what every account's
    /// balances have to have changed by.
    pub(super) fn compare(&self, found: &Found, record: &mut AuditRecord) -> Changes {
        let mut changes: Changes = vec![[0; 4]; self.before.len()];
        let mut openings = 0;
        for opening in self.plan.openings().flatten() {
            openings += 1;
            apply(&opening, &mut changes);
        }
        if found.openings != openings {
            let found = found.openings;
            say(&mut record.wrong, || format!("{found} of {openings} acknowledged opening balances are in the ledger"));
        }
        let amount = self.compare_books(found, &mut changes, record);
        record.acknowledged_found = record.acknowledged_found.saturating_sub(found.differing);
        record.amount = amount.to_string();
        for place in found.released.difference(&found.released_met) {
            let id = place.id(self.own_name());
            say(&mut record.wrong, || format!("acknowledged void {id:#034x} is not in the ledger"));
        }
        let fingerprint = self.ends.iter().fold(0u64, |sum, end| sum.wrapping_add(end.fingerprint));
        // Where something is missing or unknown, the sums differ for that reason.
        if record.wrong.is_empty() && record.unknown_left == 0 && found.fingerprint != fingerprint {
            say(&mut record.wrong, || "some transfer has another timestamp than was acknowledged".to_owned());
        }
        changes
    }

    /// Gives the sum of what was moved.
    fn compare_books(&self, found: &Found, changes: &mut Changes, record: &mut AuditRecord) -> u128 {
        let (mut legs, mut amount) = (Vec::new(), 0u128);
        for (lane, end) in (0u32..).zip(&self.ends) {
            for row in (0..end.books.rows()).filter(|&row| end.books.is_used(row)) {
                let request = self.lanes.request(lane, row);
                let Content::Transfers { .. } = self.plan.content(request, &mut legs) else { continue };
                for &step in self.plan.steps() {
                    for (position, leg) in legs.iter().enumerate() {
                        let Some(planned) = self.plan.planned(request, step, position, leg) else { continue };
                        let (fate, met) = (end.books.fate(row, step, position), end.books.is_met(row, step, position));
                        if fate.is_done() {
                            apply(&planned, changes);
                            amount += if moves(&planned) { u128::from(planned.amount) } else { 0 };
                            if found.released.contains(&planned.place) {
                                apply_release(leg, changes);
                            }
                        }
                        self.book(&planned, fate, met, record);
                    }
                }
            }
        }
        amount
    }

    fn book(&self, planned: &Planned, fate: Fate, met: bool, record: &mut AuditRecord) {
        let id = || format!("{:#034x}", planned.place.id(self.plan.run));
        let kind = planned.kind.name();
        match fate {
            fate if fate.is_done() => {
                record.acknowledged += 1;
                record.acknowledged_found += u64::from(met);
                if !met {
                    say(&mut record.wrong, || format!("acknowledged {kind} {} is not in the ledger", id()));
                }
                if planned.penniless {
                    say(&mut record.wrong, || format!("{kind} {} was made from an account that has nothing", id()));
                }
            }
            fate if fate.is_open() => {}
            fate => {
                record.refused += 1;
                record.refused_found += u64::from(met);
                if met {
                    let told = told(fate);
                    say(&mut record.wrong, || format!("{kind} {} is in the ledger, and {told}", id()));
                }
            }
        }
    }

    /// Reads all balances again.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub(super) async fn compare_balances(
        &self,
        changes: &Changes,
        found: &Found,
        record: &mut AuditRecord,
    ) -> anyhow::Result<()> {
        let (after, _) = self.asking.balances(self.plan).await?;
        record.accounts = after.len() as u64;
        // Somebody else's transfers, or unknown ones, may be what a balance differs by: then it proves nothing.
        let certain = record.foreign == 0 && record.unknown_left == 0 && found.maybe_released.is_empty();
        for (place, after) in after.iter().enumerate() {
            let (before, change) = (&self.before[place], &changes[place]);
            let mut right = true;
            for (index, name) in BALANCES.iter().enumerate() {
                let expected = before[index].checked_add_signed(change[index]);
                if expected == Some(after[index]) {
                    continue;
                }
                right = false;
                let id = self.plan.population.members[place].id;
                let expected = expected.map_or("below 0".to_owned(), |n| n.to_string());
                let stored = after[index];
                // What an earlier run left reserved may have expired meanwhile.
                let may_expire = PENDING[index] && before[index] > 0;
                let list = if certain && !may_expire { &mut record.wrong } else { &mut record.undecided };
                say(list, || format!("account {id:#034x}: {name} is {stored}, and has to be {expected}"));
            }
            record.accounts_wrong += u64::from(!right);
        }
        Ok(())
    }
}

/// What the sender knows of a transfer that was not done.
fn told(fate: Fate) -> String {
    match fate {
        Fate::Answered(status) => format!("was refused: {status}"),
        Fate::Skipped => "was skipped".to_owned(),
        Fate::NotApplied => "the router said that it did not take it".to_owned(),
        Fate::NotSent | Fate::UnderWay | Fate::Unknown => "was never sent".to_owned(),
    }
}

/// Whether money has moved when it is done.
fn moves(planned: &Planned) -> bool {
    !matches!(planned.kind, Kind::Authorise | Kind::Void)
}

/// Adds to the accounts' balances what a transfer changes when it is done.
fn apply(planned: &Planned, changes: &mut Changes) {
    let amount = i128::from(planned.amount);
    let reserved = planned.pending.map_or(0, |(_, reserved)| i128::from(reserved));
    let (pending, posted) = match planned.kind {
        Kind::Authorise => (amount, 0),
        Kind::Capture => (-reserved, amount),
        Kind::Void => (-reserved, 0),
        _ => (0, amount),
    };
    add(planned.debit, planned.credit, pending, posted, changes);
}

/// The same for what the auditor has released.
fn apply_release(leg: &Leg, changes: &mut Changes) {
    add(leg.debit, leg.credit, -i128::from(leg.amount), 0, changes);
}

fn add(debit: u32, credit: u32, pending: i128, posted: i128, changes: &mut Changes) {
    for (account, columns) in [(debit, [0, 1]), (credit, [2, 3])] {
        if let Some(change) = changes.get_mut(account as usize) {
            change[columns[0]] += pending;
            change[columns[1]] += posted;
        }
    }
}
