//! The books: one byte for every transfer that may be sent, with what became of it. What the transfer was, the plan knows.

use crest_ledger::TransferStatus;

use super::ids::Step;
use super::plan::Plan;

/// What became of a transfer, as far as its sender knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was never sent; or there is none at this place.
    NotSent,
    /// Sent, and there is no answer yet.
    UnderWay,
    /// The ledger's last word.
    Answered(TransferStatus),
    /// Sent, and given up without an answer that says whether it was applied.
    Unknown,
    /// Not sent, because what it follows was not done, or not in time.
    Skipped,
    /// Sent, and surely not applied: the router was busy, or refused the whole request.
    NotApplied,
}

const UNDER_WAY: u8 = 100;
const UNKNOWN: u8 = 101;
const SKIPPED: u8 = 102;
const NOT_APPLIED: u8 = 103;
/// Set by the auditor when it has met the transfer in the ledger.
const MET: u8 = 0x80;

const _: () = assert!(TransferStatus::ALL.len() < UNDER_WAY as usize, "a status must not look like another fate");

impl Fate {
    fn byte(self) -> u8 {
        match self {
            Self::NotSent => 0,
            Self::UnderWay => UNDER_WAY,
            Self::Answered(status) => status as u8,
            Self::Unknown => UNKNOWN,
            Self::Skipped => SKIPPED,
            Self::NotApplied => NOT_APPLIED,
        }
    }

    fn of(byte: u8) -> Self {
        match byte & !MET {
            0 => Self::NotSent,
            UNDER_WAY => Self::UnderWay,
            SKIPPED => Self::Skipped,
            NOT_APPLIED => Self::NotApplied,
            // A byte of another agent that is no fate of this version says nothing that could be relied on.
            number => TransferStatus::from_number(number).map_or(Self::Unknown, Self::Answered),
        }
    }

    /// Whether the ledger has said that it is done.
    pub(crate) fn is_done(self) -> bool {
        matches!(self, Self::Answered(status) if status.is_done())
    }

    /// Whether it may have been applied without anybody knowing.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::UnderWay | Self::Unknown)
    }
}

/// The books of one lane: a row for each of its requests, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    /// Transfers of the first step in a request, at most.
    positions: usize,
    /// By the number of a step: which part of a row it has.
    parts: [Option<u8>; 4],
    bytes: Vec<u8>,
}

impl Books {
    /// Books for so many requests of `plan`. Memory is touched only where something is written.
    pub(crate) fn new(plan: &Plan, requests: u64) -> Self {
        let mut parts = [None; 4];
        (0u8..).zip(plan.steps()).for_each(|(part, step)| parts[*step as usize] = Some(part));
        let bytes = vec![0; usize::try_from(requests).unwrap_or(usize::MAX).saturating_mul(Self::row_bytes(plan))];
        Self { positions: plan.positions(), parts, bytes }
    }

    /// What a request takes.
    pub(crate) fn row_bytes(plan: &Plan) -> usize {
        plan.positions() * plan.steps().len()
    }

    /// All bytes, to send them elsewhere.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The books that another process kept for the same plan and as many requests; bytes that are missing were not used.
    pub(crate) fn received(plan: &Plan, requests: u64, bytes: &[u8]) -> Self {
        let mut books = Self::new(plan, requests);
        books.bytes.iter_mut().zip(bytes).for_each(|(own, theirs)| *own = *theirs & !MET);
        books
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> u64 {
        (self.bytes.len() / self.row()) as u64
    }

    fn row(&self) -> usize {
        (self.positions * self.parts.iter().flatten().count()).max(1)
    }

    fn index(&self, row: u64, step: Step, position: usize) -> Option<usize> {
        let part = usize::from(self.parts[step as usize]?);
        let begin = usize::try_from(row).ok()?.checked_mul(self.row())?;
        (position < self.positions)
            .then(|| begin + part * self.positions + position)
            .filter(|&at| at < self.bytes.len())
    }

    /// What became of a transfer.
    pub(crate) fn fate(&self, row: u64, step: Step, position: usize) -> Fate {
        self.index(row, step, position).map_or(Fate::NotSent, |at| Fate::of(self.bytes[at]))
    }

    /// Writes down what became of a transfer. An answer stays: what comes after it changes nothing.
    ///
    /// # Errors
    /// [`Contradiction`] when two answers say different things: done, and refused.
    pub(crate) fn write(&mut self, row: u64, step: Step, position: usize, fate: Fate) -> Result<(), Contradiction> {
        let Some(at) = self.index(row, step, position) else { return Ok(()) };
        let before = Fate::of(self.bytes[at]);
        match (before, fate) {
            (Fate::Answered(first), Fate::Answered(second)) if first.is_done() != second.is_done() => {
                return Err(Contradiction { first, second });
            }
            (Fate::Answered(_), _) => {}
            // A duplicate that was not applied leaves open what became of the first.
            (Fate::Unknown, Fate::UnderWay | Fate::NotApplied) => {}
            _ => self.bytes[at] = fate.byte(),
        }
        Ok(())
    }

    /// Remembers that the ledger holds the transfer; false when that was known before.
    pub(crate) fn meet(&mut self, row: u64, step: Step, position: usize) -> bool {
        let Some(at) = self.index(row, step, position) else { return false };
        let new = self.bytes[at] & MET == 0;
        self.bytes[at] |= MET;
        new
    }

    /// Whether [`Books::meet`] was called for it.
    pub(crate) fn is_met(&self, row: u64, step: Step, position: usize) -> bool {
        self.index(row, step, position).is_some_and(|at| self.bytes[at] & MET != 0)
    }

    /// Whether anything of this row was ever written.
    pub(crate) fn is_used(&self, row: u64) -> bool {
        let row_bytes = self.row();
        let begin = usize::try_from(row).unwrap_or(usize::MAX).saturating_mul(row_bytes);
        self.bytes.get(begin..begin.saturating_add(row_bytes)).is_some_and(|row| row.iter().any(|&byte| byte != 0))
    }
}

/// Two answers to the same transfer that can't both be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contradiction {
    pub(crate) first: TransferStatus,
    pub(crate) second: TransferStatus,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books() -> Books {
        Books { positions: 3, parts: [Some(0), Some(1), None, None], bytes: vec![0; 60] }
    }

    #[test]
    fn every_fate_is_kept_apart_for_every_place() {
        let mut books = books();
        let status = TransferStatus::ExceedsCredits;
        let fates =
            [Fate::UnderWay, Fate::Answered(status), Fate::Unknown, Fate::Skipped, Fate::NotApplied, Fate::NotSent];
        let places: Vec<_> = (0..10)
            .flat_map(|row| [Step::First, Step::Settle].map(|step| (0..3).map(move |p| (row, step, p))))
            .flatten()
            .collect();
        for (index, &(row, step, position)) in places.iter().enumerate() {
            books.write(row, step, position, fates[index % fates.len()]).unwrap();
        }
        for (index, &(row, step, position)) in places.iter().enumerate() {
            assert_eq!(books.fate(row, step, position), fates[index % fates.len()]);
        }
        assert_eq!(books.fate(10, Step::First, 0), Fate::NotSent, "beyond the last row");
        assert_eq!(books.fate(0, Step::Refund, 0), Fate::NotSent, "no such step");
    }

    #[test]
    fn an_answer_stays_and_a_contradiction_is_told() {
        let mut books = books();
        let (done, again, refused) = (TransferStatus::Created, TransferStatus::Exists, TransferStatus::ExceedsCredits);
        let mut write = |fate| books.write(1, Step::First, 2, fate);
        write(Fate::UnderWay).unwrap();
        write(Fate::Unknown).unwrap();
        write(Fate::NotApplied).unwrap();
        write(Fate::Answered(done)).unwrap();
        write(Fate::Answered(again)).unwrap();
        write(Fate::Unknown).unwrap();
        assert_eq!(write(Fate::Answered(refused)), Err(Contradiction { first: done, second: refused }));
        assert_eq!(books.fate(1, Step::First, 2), Fate::Answered(done));
    }

    #[test]
    fn a_transfer_is_met_once() {
        let mut books = books();
        books.write(0, Step::First, 0, Fate::Answered(TransferStatus::Created)).unwrap();
        assert!(!books.is_met(0, Step::First, 0));
        assert!(books.meet(0, Step::First, 0) && !books.meet(0, Step::First, 0));
        assert!(books.is_met(0, Step::First, 0) && books.fate(0, Step::First, 0).is_done());
    }
}
