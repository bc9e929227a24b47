//! The time that entries are stamped with, and what follows when this process's clock must not be used.

use crest_ledger::Timestamp;
use crest_link::LinkError;
use tokio::time::Instant;

use super::{Ended, Executor};
use crate::consensus::{ReplicaId, successor};
use crate::limits;

/// What the executor knows of time from one turn to the next.
#[derive(Debug, Default)]
pub(super) struct Time {
    /// The shard's time and the process's clock when the shard's was found ahead: it goes on from there at half speed.
    ahead: Option<(Timestamp, Timestamp)>,
    /// Since when requests wait for the clock to be compared.
    waiting: Option<Instant>,
    /// When leadership was last offered to another replica, since this process's clock must not be used.
    offered: Option<Instant>,
}

impl Time {
    /// The shard's time for the next entry, ns, given what it has reached and what the process's clock shows. It is the clock, unless
    /// another shard's time has carried this one far ahead: then it goes on at half speed until the clock has caught up, so that what is
    /// measured with it grows older all the while.
    fn next(&mut self, reached: Timestamp, clock: Timestamp) -> Timestamp {
        if reached <= clock.saturating_add(limits::CLOCK_JUMP_NS) {
            self.ahead = None;
            return clock;
        }
        let (from, since) = *self.ahead.get_or_insert((reached, clock));
        let now = from.saturating_add(clock.saturating_sub(since) / 2);
        if reached > now {
            self.ahead = Some((reached, clock));
        }
        now.max(reached)
    }
}

impl Executor {
    /// The time for the next entry, ns: never below what was promised.
    pub(super) fn now(&mut self) -> Timestamp {
        let reached = self.tables.now().max(self.state.proposed_at);
        self.state.time.next(reached, self.clock.now()).max(self.state.promised)
    }

    /// The process's clock, ns, when the shard's time `at` is far ahead of it: reservations end by the clock then.
    pub(super) fn real_time(&self, at: Timestamp) -> Option<Timestamp> {
        let clock = self.clock.now();
        let shard = at.max(self.tables.now());
        (shard > clock.saturating_add(limits::CLOCK_AHEAD_MAX_NS)).then_some(clock)
    }

    /// Why a time from elsewhere is refused, if it is.
    pub(super) fn too_far_ahead(&self, time: Timestamp) -> Option<String> {
        let ahead = self.ahead(time)?;
        self.metrics.clock_ahead_refusals.increment(1);
        let whose = match self.state.peer_checks.furthest_ahead() {
            Some(peer) => format!("the time of shard {peer}"),
            None => "the time of another shard in the request".to_owned(),
        };
        Some(format!(
            "{whose} is {} s ahead of its clock, and at most {} s are accepted; `crest status` shows which shard's time is wrong",
            ahead / 1_000_000_000,
            limits::CLOCK_AHEAD_MAX_NS / 1_000_000_000
        ))
    }

    /// Hands over what is led here while this process's clock must not be used.
    pub(super) fn offer_leadership(&mut self) -> Ended {
        let again = self.state.time.offered.is_none_or(|at| at.elapsed() >= limits::CLOCK_COMPARE_INTERVAL);
        if self.clock.is_trusted() || !self.consensus.is_leader() || !again {
            return Ok(());
        }
        self.state.time.offered = Some(Instant::now());
        if let Some(to) = self.successor(None) {
            tracing::warn!(shard = self.shard, %to, "this node's clock can't be trusted: another replica is to lead");
            self.consensus.transfer_leader(to);
        }
        Ok(())
    }

    /// The best replica to hand over to, on one of `nodes`: not one whose clock contradicts this one's, unless that is what is wrong.
    pub(super) fn successor(&self, nodes: Option<&[crest_topology::NodeId]>) -> Option<ReplicaId> {
        let trusted = self.clock.is_trusted();
        let mut followers = self.consensus.followers();
        followers.retain(|follower| !trusted || self.clock.may_trust(follower.replica.node()));
        successor(&followers, &self.consensus.members(), nodes)
    }

    /// Whether requests are refused: they wait for a clock that is about to be compared, for a while, and for no other.
    pub(super) fn refuses(&mut self) -> bool {
        if self.state.stopping || !self.consensus.is_leader() {
            return true;
        }
        if !self.clock.is_starting() {
            return !self.clock.is_trusted();
        }
        if self.state.left_over.is_none() {
            // Whoever is told to stop does not wait.
            match self.queue.try_recv() {
                Ok(super::Message::Stop) => self.state.stopping = true,
                other => self.state.left_over = other.ok(),
            }
        }
        let since = *self.state.time.waiting.get_or_insert_with(Instant::now);
        self.state.stopping || since.elapsed() > 2 * limits::CLOCK_START_PATIENCE
    }

    /// Why requests are not taken by a replica that leads.
    pub(super) fn not_taken(&self) -> LinkError {
        let why = match self.clock.problem().filter(|_| !self.state.stopping) {
            Some(problem) => format!("node {} must not lead it: {problem}", self.consensus.replica().node()),
            None => "the replica is stopping".to_owned(),
        };
        LinkError::Unreachable { shard: self.shard, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_shard_that_is_ahead_goes_on_at_half_speed_until_its_clock_has_caught_up() {
        let mut time = Time::default();
        assert_eq!(time.next(10 * SECOND, 10 * SECOND), 10 * SECOND);
        let mut reached = 110 * SECOND;
        for clock in 10..200 {
            let now = time.next(reached, clock * SECOND);
            assert_eq!(now, 110 * SECOND + (clock - 10) * SECOND / 2);
            reached = now;
        }
        assert_eq!(time.next(reached, 209 * SECOND), 209 * SECOND);
    }

    #[test]
    fn shards_that_carry_each_other_along_do_not_run_away() {
        let (mut one, mut other) = (Time::default(), Time::default());
        let mut reached = 100 * SECOND;
        for step in 0..1_000 {
            let clock = 10 * SECOND + step * SECOND / 100;
            // Each sees the other's time at once.
            reached = one.next(reached, clock);
            reached = other.next(reached, clock);
        }
        let passed = 999 * SECOND / 100;
        assert!(reached - 100 * SECOND <= passed / 2 + SECOND / 50, "{} ns in {passed} ns", reached - 100 * SECOND);
    }

    #[test]
    fn what_is_a_little_ahead_waits_for_the_clock() {
        let mut time = Time::default();
        assert_eq!(time.next(10 * SECOND + 5, 10 * SECOND), 10 * SECOND, "stamps go on from what was reached");
    }
}
