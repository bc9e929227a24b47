//! The rounds in which a leader makes sure that it still leads, before it answers reads ("read index").

/// The rounds in which a majority confirms that this replica leads: one at a time, for all reads that wait for it.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// The last one that was begun.
    begun: u64,
    /// The last one that a majority has confirmed, and the entry that has to be applied before a read of it.
    confirmed: (u64, u64),
}

impl Rounds {
    /// The round that a read waits for which comes now: the one after those that were begun.
    pub(super) fn next(&self) -> u64 {
        self.begun + 1
    }

    /// Forgets the round that is under way. No number is ever used again.
    pub(super) fn restart(&mut self) {
        self.confirmed = (self.begun, 0);
    }

    /// The last round that a majority has confirmed, and the entry that has to be applied before a read of it.
    pub(super) fn confirmed(&self) -> (u64, u64) {
        self.confirmed
    }

    /// Whether a round is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.confirmed.0 < self.begun
    }

    /// Notes that the next round was begun.
    pub(super) fn begin(&mut self) {
        self.begun += 1;
    }

    /// Notes that a majority has confirmed a round.
    pub(super) fn confirm(&mut self, round: u64, index: u64) {
        if round > self.confirmed.0 {
            self.confirmed = (round, index);
        }
    }
}
