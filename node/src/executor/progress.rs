//! Whether a leader gets on: when it committed last, how long an entry has waited for a majority, and which followers stand still.
//!
//! All of it is measured on the process's monotonic time, and by the replica itself, so that one look at it is enough.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::consensus::{Follower, ReplicaId};
use crate::limits;

/// What a replica has seen of its group's progress.
#[derive(Debug, Default)]
pub(super) struct Progress {
    commit_index: u64,
    /// When the commit index advanced last, or this replica began to lead.
    committed: Option<Instant>,
    /// Since when entries wait for a majority without the commit index advancing.
    waits: Option<Instant>,
    followers: BTreeMap<ReplicaId, Standstill>,
}

/// Where a follower stands, and since when.
#[derive(Clone, Copy, Debug)]
struct Standstill {
    matched: u64,
    /// When it asked for a piece of its snapshot last.
    asked: Option<Instant>,
    since: Instant,
}

/// How a group stands at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) leads: bool,
    pub(super) commit_index: u64,
    pub(super) last_index: u64,
}

impl Progress {
    /// Notes how the group stands now. `asked` is when a follower asked for a piece of its snapshot last.
    pub(super) fn note(
        &mut self,
        standing: Standing,
        followers: &[Follower],
        asked: impl Fn(ReplicaId) -> Option<Instant>,
    ) {
        let Standing { leads, commit_index, last_index } = standing;
        if !leads {
            *self = Self::default();
            return;
        }
        let now = Instant::now();
        if self.committed.is_none() || commit_index > self.commit_index {
            (self.commit_index, self.committed, self.waits) = (commit_index, Some(now), None);
        }
        match last_index > commit_index {
            true => self.waits = self.waits.or(Some(now)),
            false => self.waits = None,
        }
        self.followers.retain(|replica, _| followers.iter().any(|f| f.replica == *replica));
        for follower in followers {
            let (matched, asked) = (follower.matched, asked(follower.replica));
            let known = self.followers.entry(follower.replica).or_insert(Standstill { matched, asked, since: now });
            // One that is away does not stand still: that it is away is told by itself.
            if !follower.active || matched >= last_index || matched > known.matched || asked > known.asked {
                *known = Standstill { matched, asked, since: now };
            }
        }
    }

    /// How long ago the commit index advanced last, or this replica began to lead.
    pub(super) fn committed_ago(&self) -> Duration {
        self.committed.map_or(Duration::ZERO, |then| then.elapsed())
    }

    /// For how long the leader should have committed something and has not: an entry waits for its majority, or none was written
    /// although a replicated shard writes one every [`limits::CLOCK_ENTRY_INTERVAL`]. Zero when all is well.
    pub(super) fn stalled(&self, is_alone: bool) -> Duration {
        let waited = self.waits.map_or(Duration::ZERO, |since| since.elapsed());
        let silent = self.committed_ago();
        match !is_alone && silent > 2 * limits::CLOCK_ENTRY_INTERVAL {
            true => silent,
            false => waited,
        }
    }

    /// For how long a follower has been behind without getting on; zero when it has everything, or moved just now.
    pub(super) fn standstill(&self, follower: ReplicaId) -> Duration {
        self.followers.get(&follower).map_or(Duration::ZERO, |known| known.since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(commit_index: u64, last_index: u64) -> Standing {
        Standing { leads: true, commit_index, last_index }
    }

    fn follower(matched: u64) -> Follower {
        Follower { replica: ReplicaId::founder(2), matched, active: true, takes_snapshot: false }
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_whose_entries_wait_is_stalled_and_an_idle_one_is_not() {
        let mut progress = Progress::default();
        progress.note(at(5, 5), &[], |_| None);
        tokio::time::advance(60 * SECOND).await;
        progress.note(at(5, 5), &[], |_| None);
        assert_eq!(progress.stalled(true), Duration::ZERO, "alone, and nobody wants anything");
        assert_eq!(progress.stalled(false), 60 * SECOND, "a replicated shard has a clock to move");
        progress.note(at(6, 7), &[], |_| None);
        assert_eq!((progress.committed_ago(), progress.stalled(false)), (Duration::ZERO, Duration::ZERO));
        tokio::time::advance(SECOND).await;
        progress.note(at(6, 9), &[], |_| None);
        assert_eq!(progress.stalled(true), SECOND, "more of what waits is no progress");
        progress.note(at(7, 9), &[], |_| None);
        assert_eq!(progress.stalled(true), Duration::ZERO);
        progress.note(Standing { leads: false, ..at(7, 9) }, &[], |_| None);
        tokio::time::advance(9 * SECOND).await;
        assert_eq!(progress.stalled(false), Duration::ZERO, "whoever does not lead commits nothing");
        progress.note(at(7, 9), &[], |_| None);
        assert_eq!(progress.committed_ago(), Duration::ZERO, "it has begun to lead just now");
    }

    #[tokio::test(start_paused = true)]
    async fn a_follower_stands_still_that_is_behind_and_does_not_move() {
        let (mut progress, two) = (Progress::default(), ReplicaId::founder(2));
        progress.note(at(5, 5), &[follower(5)], |_| None);
        tokio::time::advance(9 * SECOND).await;
        progress.note(at(5, 5), &[follower(5)], |_| None);
        assert_eq!(progress.standstill(two), Duration::ZERO, "it has everything");
        for last in 6..10 {
            progress.note(at(last, last), &[follower(5)], |_| None);
            tokio::time::advance(SECOND).await;
        }
        assert_eq!(progress.standstill(two), 4 * SECOND, "behind more and more");
        progress.note(at(10, 10), &[follower(6)], |_| None);
        assert_eq!(progress.standstill(two), Duration::ZERO, "behind, and moves");
        tokio::time::advance(SECOND).await;
        let asked = Instant::now();
        progress.note(at(10, 10), &[follower(6)], |_| Some(asked));
        assert_eq!(progress.standstill(two), Duration::ZERO, "it takes in a snapshot");
        tokio::time::advance(SECOND).await;
        progress.note(at(10, 10), &[follower(6)], |_| Some(asked));
        assert_eq!(progress.standstill(two), SECOND, "and does not go on");
        progress.note(at(10, 10), &[Follower { active: false, ..follower(6) }], |_| Some(asked));
        assert_eq!(progress.standstill(two), Duration::ZERO, "it is away");
    }
}
