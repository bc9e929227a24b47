//! What became of unknown outcomes, and what is still reserved.

use std::time::{Duration, Instant};

use crest_ledger::TransferStatus;
use crest_proto::border::number_from;
use crest_proto::v1;
use futures_util::StreamExt;

use super::{Auditor, Found, say};
use crate::record::AuditRecord;
use crate::rehearsal::asking::PATIENCE;
use crate::rehearsal::books::Fate;
use crate::rehearsal::driver::{LaneEnd, fingerprint};
use crate::rehearsal::ids::{Place, Step};
use crate::rehearsal::plan::{Content, Kind};
use crate::rehearsal::sender::settle_chains;
use crate::retry::Patience;

/// Requests that are sent again at the same time, and before their answers are written down.
const IN_FLIGHT: usize = 16;
const AT_A_TIME: usize = 256;
/// How long all of it may take: a cluster that is gone is not waited for request by request.
const SETTLING: Duration = Duration::from_secs(300);
/// Reservations that are released in one request.
const RELEASED_AT_A_TIME: usize = 1_000;

/// A request of the run.
type Sent = (u32, u64, Step);

impl Auditor<'_> {
    /// Sends again, with the same ids, what has an unknown outcome: that settles it.
    pub(super) async fn settle(&mut self, record: &mut AuditRecord) {
        let open = self.open();
        let until = Instant::now() + SETTLING;
        let mut settled = 0;
        for part in open.chunks(AT_A_TIME) {
            (self.progress)(format!("settling requests with unknown outcome: {settled} of {}", open.len()));
            let (asking, this) = (self.asking, &*self);
            let again = part.iter().map(|&sent| {
                let (positions, request) = this.sent_again(sent);
                let total = until.saturating_duration_since(Instant::now()).min(PATIENCE.total);
                async move {
                    let patience = Patience { total, ..PATIENCE };
                    let answer = match total.is_zero() {
                        true => Err(anyhow::anyhow!("there was no time left to ask")),
                        false => asking.send(&request, patience).await,
                    };
                    (sent, positions, request, answer)
                }
            });
            let answers: Vec<_> = futures_util::stream::iter(again).buffer_unordered(IN_FLIGHT).collect().await;
            for (sent, positions, request, answer) in answers {
                settled += 1;
                self.write_down(sent, &positions, &request, answer, record);
            }
        }
    }

    /// The requests of which anything is unknown.
    fn open(&self) -> Vec<Sent> {
        let mut open = Vec::new();
        for (lane, end) in (0u32..).zip(&self.ends) {
            for row in (0..end.books.rows()).filter(|&row| end.books.is_used(row)) {
                let is_open = |step: &&Step| {
                    (0..self.plan.positions()).any(|position| end.books.fate(row, **step, position).is_open())
                };
                open.extend(self.plan.steps().iter().filter(is_open).map(|&step| (lane, row, step)));
            }
        }
        open
    }

    /// A request of before, with the positions of its transfers.
    fn sent_again(&self, (lane, row, step): Sent) -> (Vec<usize>, v1::CreateTransfersRequest) {
        let request = self.lanes.request(lane, row);
        let mut legs = Vec::new();
        self.plan.content(request, &mut legs);
        let (mut positions, mut transfers) = (Vec::new(), Vec::new());
        for (position, leg) in legs.iter().enumerate() {
            let fate = self.ends[lane as usize].books.fate(row, step, position);
            let was_sent = !matches!(fate, Fate::NotSent | Fate::Skipped);
            if let Some(planned) = self.plan.planned(request, step, position, leg).filter(|_| was_sent) {
                positions.push(position);
                transfers.push(self.plan.message(&planned));
            }
        }
        (positions, v1::CreateTransfersRequest { transfers, independent: false })
    }

    fn write_down(
        &mut self,
        (lane, row, step): Sent,
        positions: &[usize],
        request: &v1::CreateTransfersRequest,
        answer: anyhow::Result<Vec<v1::CreateTransferResult>>,
        record: &mut AuditRecord,
    ) {
        let end: &mut LaneEnd = &mut self.ends[lane as usize];
        let open: Vec<usize> =
            (0..positions.len()).filter(|&at| end.books.fate(row, step, positions[at]).is_open()).collect();
        record.unknown += open.len() as u64;
        let mut results = match answer {
            Ok(results) => results,
            Err(error) => {
                record.unknown_left += open.len() as u64;
                say(&mut record.undecided, || format!("an outcome stays unknown: {error:#}"));
                return;
            }
        };
        settle_chains(&mut results, |at| is_linked(request, at));
        for at in open {
            let status = u8::try_from(results[at].status).ok().and_then(TransferStatus::from_number);
            match status {
                Some(TransferStatus::Exists) => record.unknown_were_made += 1,
                Some(TransferStatus::Created) => record.unknown_made_now += 1,
                Some(_) => record.unknown_refused += 1,
                None => record.unknown_left += 1,
            }
            let Some(status) = status else { continue };
            if status.is_done() && !in_chain(request, at) {
                let id = number_from(request.transfers[at].id);
                end.fingerprint = end.fingerprint.wrapping_add(fingerprint(id, results[at].timestamp));
            }
            // It was open, so no answer contradicts this one.
            let _ = end.books.write(row, step, positions[at], Fate::Answered(status));
        }
    }

    /// Voids what the run has authorised and nobody has captured or voided: on a live cluster nothing stays reserved for a
    /// day, and nothing expires while a later run is proven.
    pub(super) async fn release(&mut self, found: &mut Found, record: &mut AuditRecord) {
        let reserved = self.reserved();
        for part in reserved.chunks(RELEASED_AT_A_TIME) {
            (self.progress)(format!("releasing {} reservations that nobody captured", reserved.len()));
            let transfers = part.iter().map(|(_, message)| *message).collect();
            let request = v1::CreateTransfersRequest { transfers, independent: true };
            let done = [v1::CreateTransferStatus::Created, v1::CreateTransferStatus::Exists];
            match self.asking.send(&request, PATIENCE).await {
                Err(error) => {
                    found.maybe_released.extend(part.iter().map(|(place, _)| *place));
                    say(&mut record.undecided, || format!("reservations could not be released: {error:#}"));
                }
                Ok(results) => {
                    for ((place, _), result) in part.iter().zip(results) {
                        if done.contains(&result.status()) {
                            found.released.insert(*place);
                        } else {
                            let (id, status) = (place.id(self.plan.run), result.status().as_str_name());
                            say(&mut record.wrong, || {
                                format!("authorisation {id:#034x} was acknowledged, and can't be voided: {status}")
                            });
                        }
                    }
                }
            }
        }
    }

    /// What is reserved still, and the transfer that voids it.
    fn reserved(&self) -> Vec<(Place, v1::Transfer)> {
        let (mut reserved, mut legs) = (Vec::new(), Vec::new());
        if !self.plan.steps().contains(&Step::Settle) {
            return reserved;
        }
        for (lane, end) in (0u32..).zip(&self.ends) {
            for row in (0..end.books.rows()).filter(|&row| end.books.is_used(row)) {
                let request = self.lanes.request(lane, row);
                let Content::Transfers { .. } = self.plan.content(request, &mut legs) else { continue };
                for (position, leg) in legs.iter().enumerate().filter(|(_, leg)| leg.kind == Kind::Authorise) {
                    let fate = |step| end.books.fate(row, step, position);
                    // One whose capture is unknown may be captured: it is left, and the verdict says that it is unknown.
                    if !fate(Step::First).is_done() || fate(Step::Settle).is_done() || fate(Step::Settle).is_open() {
                        continue;
                    }
                    let place = Place { request, step: Step::First, position: position as u16 };
                    reserved.push((place, self.plan.release(place, leg, self.own_name())));
                }
            }
        }
        reserved
    }
}

fn is_linked(request: &v1::CreateTransfersRequest, at: usize) -> bool {
    request.transfers.get(at).and_then(|t| t.flags).is_some_and(|flags| flags.linked)
}

fn in_chain(request: &v1::CreateTransfersRequest, at: usize) -> bool {
    is_linked(request, at) || at.checked_sub(1).is_some_and(|before| is_linked(request, before))
}
