//! Every transfer that the ledger holds, against the plan.

use std::collections::HashMap;

use crest_ledger::Transfer;
use crest_ledger::limits::BATCH_EVENTS_MAX;
use crest_proto::border::{number_from, transfer_from};
use crest_proto::v1;

use super::{Auditor, Found, say};
use crate::record::AuditRecord;
use crate::rehearsal::driver::fingerprint;
use crate::rehearsal::ids::{Place, Step};
use crate::rehearsal::plan::{Kind, Leg, Plan, Planned};

/// Requests whose transfers are kept while rows are read: neighbours in time are of few requests.
const REMEMBERED: usize = 4_096;

impl Auditor<'_> {
    /// Reads every transfer on the ledger number since the start, and compares each with the plan.
    pub(super) async fn read_all(&mut self, found: &mut Found, record: &mut AuditRecord) -> anyhow::Result<()> {
        let mut filter = v1::QueryFilter {
            ledger: self.plan.ledger,
            timestamp_min: self.since + 1,
            limit: BATCH_EVENTS_MAX as u32,
            ..v1::QueryFilter::default()
        };
        let plan = std::sync::Arc::clone(self.plan);
        let mut memory = Memory { plan: &plan, legs: HashMap::new() };
        loop {
            let page = self.asking.page(&filter).await?;
            for row in page.transfers {
                record.rows += 1;
                let id = number_from(row.id);
                if let Some(place) = Place::of(id, self.plan.run) {
                    self.check(place, row, &mut memory, found, record);
                } else if let Some(place) = Place::of(id, self.own_name()) {
                    self.check_release(place, row, &mut memory, found, record);
                } else if row.user_data_64 == self.plan.run.number() {
                    // Nobody else knows this run's tag.
                    say(&mut record.wrong, || {
                        format!("transfer {id:#034x} carries this run's tag, and this run never sent it")
                    });
                } else {
                    record.foreign += 1;
                }
            }
            (self.progress)(format!("reading the ledger: {} transfers", record.rows));
            if page.next_cursor.is_empty() {
                return Ok(());
            }
            filter.cursor = page.next_cursor;
        }
    }

    /// Compares a row of the run with the plan.
    fn check(
        &mut self,
        place: Place,
        row: v1::Transfer,
        memory: &mut Memory<'_>,
        found: &mut Found,
        record: &mut AuditRecord,
    ) {
        let (id, timestamp) = (number_from(row.id), row.timestamp);
        let (lane, at) = self.lanes.place(place.request);
        let planned = memory.planned(place);
        let (Some(planned), Some(end)) = (planned, self.ends.get_mut(lane as usize)) else {
            say(&mut record.wrong, || {
                format!("transfer {id:#034x} of this run is in the ledger, and was never planned")
            });
            return;
        };
        let same = compare(row, &Transfer { timestamp, ..memory.plan.transfer(&planned) }, record);
        if place.step == Step::Opening {
            found.openings += u64::from(same);
            return;
        }
        let position = usize::from(place.position);
        found.differing += u64::from(!same && end.books.fate(at, place.step, position).is_done());
        if planned.kind != Kind::Chain {
            found.fingerprint = found.fingerprint.wrapping_add(fingerprint(id, timestamp));
        }
        if !end.books.meet(at, place.step, position) {
            say(&mut record.wrong, || format!("transfer {id:#034x} is in the ledger twice"));
        }
    }

    /// Compares a row that voids what was left over.
    fn check_release(
        &self,
        place: Place,
        row: v1::Transfer,
        memory: &mut Memory<'_>,
        found: &mut Found,
        record: &mut AuditRecord,
    ) {
        let (id, timestamp) = (number_from(row.id), row.timestamp);
        let leg = memory.legs(place.request).get(usize::from(place.position)).copied();
        let is_own = found.released.contains(&place) || found.maybe_released.contains(&place);
        let Some(leg) = leg.filter(|_| is_own) else {
            say(&mut record.wrong, || format!("transfer {id:#034x} is in the ledger, and the auditor did not make it"));
            return;
        };
        let expected = self.plan.release(place, &leg, self.own_name());
        // What was just made from a transfer reads back as one.
        if let Ok(expected) = transfer_from(expected) {
            compare(row, &Transfer { timestamp, ..expected }, record);
        }
        if !found.released_met.insert(place) {
            say(&mut record.wrong, || format!("transfer {id:#034x} is in the ledger twice"));
        }
    }
}

/// Whether a row is what it has to be; says what differs.
fn compare(row: v1::Transfer, expected: &Transfer, record: &mut AuditRecord) -> bool {
    let id = expected.id;
    match transfer_from(row) {
        Ok(stored) if stored == *expected => return true,
        Ok(stored) => say(&mut record.wrong, || {
            format!("transfer {id:#034x} is in the ledger as {stored:?}, and was sent as {expected:?}")
        }),
        Err(error) => say(&mut record.wrong, || format!("transfer {id:#034x} can't be read: {error}")),
    }
    false
}

/// The transfers of the requests that were looked at last.
struct Memory<'a> {
    plan: &'a Plan,
    legs: HashMap<u64, Vec<Leg>>,
}

impl Memory<'_> {
    fn legs(&mut self, request: u64) -> &[Leg] {
        if self.legs.len() >= REMEMBERED {
            self.legs.clear();
        }
        self.legs.entry(request).or_insert_with(|| {
            let mut legs = Vec::new();
            self.plan.content(request, &mut legs);
            legs
        })
    }

    fn planned(&mut self, place: Place) -> Option<Planned> {
        if place.step == Step::Opening {
            return self.plan.opening_at(place);
        }
        let position = usize::from(place.position);
        let leg = *self.legs(place.request).get(position)?;
        self.plan.planned(place.request, place.step, position, &leg)
    }
}
