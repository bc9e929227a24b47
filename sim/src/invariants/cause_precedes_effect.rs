//! What was sent after an answer through the same router has happened after what that answer told of, whatever the shards'
//! clocks show.

use std::collections::BTreeMap;

use crest_ledger::{Timestamp, Transfer, TransferFlags, TransferStatus};

use crate::history::{Outcome, Try};

/// When something was created: the time of the answer (virtual ns), and its timestamp.
type Answered = (u64, Timestamp);

pub(super) fn check(tries: &[Try<Transfer>]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut by_router: BTreeMap<(u32, u64), Vec<&Try<Transfer>>> = BTreeMap::new();
    tries.iter().for_each(|t| by_router.entry(t.router).or_default().push(t));
    for tries in by_router.values() {
        let mut answered: Vec<Answered> =
            tries.iter().flat_map(|t| created(t).map(|(_, at)| (t.answered, at))).collect();
        answered.sort_unstable();
        let mut latest = 0;
        for one in &mut answered {
            latest = one.1.max(latest);
            one.1 = latest;
        }
        for t in tries {
            let before = answered.partition_point(|(when, _)| *when < t.invoked);
            let Some((_, cause)) = before.checked_sub(1).map(|last| answered[last]) else { continue };
            for (event, at) in created(t).filter(|(_, at)| *at <= cause) {
                wrong.push(format!("{event:?} was sent after an answer that told of {cause}, and is stamped {at}"));
            }
        }
    }
    wrong
}

/// What this try created, and when. (Imported transfers have times of their own.)
fn created(t: &Try<Transfer>) -> impl Iterator<Item = (&Transfer, Timestamp)> {
    let results = match &t.outcome {
        Outcome::Done(results) => results.as_slice(),
        Outcome::Refused | Outcome::Unknown => &[],
    };
    let created = TransferStatus::Created as u8;
    t.events
        .iter()
        .zip(results)
        .filter(move |(event, result)| result.status == created && !event.flags.any(TransferFlags::IMPORTED))
        .map(|(event, result)| (event, result.timestamp))
}
