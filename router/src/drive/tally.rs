//! A counter with the label `traffic`.

use crest_ledger::Traffic;
use metrics::Counter;

/// A counter for live and one for rehearsals.
#[derive(Clone)]
pub(crate) struct Tally {
    live: Counter,
    rehearsal: Counter,
}

impl Tally {
    /// The counters with this name.
    pub(crate) fn new(name: &'static str) -> Self {
        let of = |traffic: Traffic| metrics::counter!(name, "traffic" => traffic.name());
        Self { live: of(Traffic::Live), rehearsal: of(Traffic::Rehearsal) }
    }

    /// Counts each.
    pub(crate) fn count(&self, each: impl Iterator<Item = Traffic>) {
        let (mut live, mut rehearsal) = (0, 0);
        for traffic in each {
            match traffic {
                Traffic::Live => live += 1,
                Traffic::Rehearsal => rehearsal += 1,
            }
        }
        for (counter, count) in [(&self.live, live), (&self.rehearsal, rehearsal)] {
            if count > 0 {
                counter.increment(count);
            }
        }
    }
}
