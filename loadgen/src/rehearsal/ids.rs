//! Ids of transfers that say what they are: the upper half names the run, the lower half is the transfer's place in the
//! plan, scrambled. So the auditor can tell from any row of the ledger which planned transfer it has to be.

use crate::random::{SplitMix64, scramble, unscramble};

/// Bits of a place's parts, from the highest: request, step, position.
const STEP_BITS: u32 = 2;
const POSITION_BITS: u32 = 13;
/// One more than the largest number of a request.
pub(crate) const REQUESTS_MAX: u64 = 1 << (64 - STEP_BITS - POSITION_BITS);

/// Names a run: the upper half of the ids of all its transfers. Never 0 or 2^64 − 1, so that no id is a forbidden one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunId(u64);

impl RunId {
    /// A name that no other run has had, as far as 64 random bits can say.
    pub(crate) fn new() -> Self {
        Self::from(SplitMix64::unrepeatable().next_u64())
    }

    /// The name under which the auditor of this run sends.
    pub(crate) fn of_its_auditor(self) -> Self {
        Self::from(scramble(self.0))
    }

    /// The number.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

impl From<u64> for RunId {
    fn from(number: u64) -> Self {
        Self(number.clamp(1, u64::MAX - 1))
    }
}

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// When in the life of a request a transfer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Step {
    /// In the request itself.
    First = 0,
    /// In the request that captures or voids what the first one authorised.
    Settle = 1,
    /// In the request that pays back what the first one paid.
    Refund = 2,
    /// Before the run: what a customer is given to begin with.
    Opening = 3,
}

/// Where in the plan a transfer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// Below [`REQUESTS_MAX`].
    pub(crate) request: u64,
    pub(crate) step: Step,
    /// Among the transfers of the first step, below 8,190; a later step's is that of the transfer that it follows.
    pub(crate) position: u16,
}

impl Place {
    /// The id of this transfer in `run`.
    pub(crate) fn id(self, run: RunId) -> u128 {
        let low = self.request << (STEP_BITS + POSITION_BITS)
            | (self.step as u64) << POSITION_BITS
            | u64::from(self.position);
        u128::from(run.0) << 64 | u128::from(scramble(low))
    }

    /// The place of the transfer with this id; none when it is of another run.
    pub(crate) fn of(id: u128, run: RunId) -> Option<Self> {
        if (id >> 64) as u64 != run.0 {
            return None;
        }
        let low = unscramble(id as u64);
        let step = match low >> POSITION_BITS & ((1 << STEP_BITS) - 1) {
            0 => Step::First,
            1 => Step::Settle,
            2 => Step::Refund,
            _ => Step::Opening,
        };
        let position = (low & ((1 << POSITION_BITS) - 1)) as u16;
        Some(Self { request: low >> (STEP_BITS + POSITION_BITS), step, position })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_place() {
        let run = RunId::new();
        for request in [0, 1, 77, REQUESTS_MAX - 1] {
            for step in [Step::First, Step::Settle, Step::Refund, Step::Opening] {
                for position in [0, 1, 8_189] {
                    let place = Place { request, step, position };
                    assert_eq!(Place::of(place.id(run), run), Some(place));
                    assert_eq!(Place::of(place.id(run), RunId::from(run.number() ^ 2)), None);
                }
            }
        }
    }

    #[test]
    fn no_run_makes_a_forbidden_id() {
        let first = Place { request: 0, step: Step::First, position: 0 };
        for number in [0, u64::MAX] {
            let id = first.id(RunId::from(number));
            assert!(id >> 64 != 0 && id >> 64 != u128::from(u64::MAX));
        }
    }
}
