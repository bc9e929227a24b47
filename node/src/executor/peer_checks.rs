//! Whether this shard and the others accept each other's messages, as its leader knows from [`crate::peer_checks`].

use std::collections::BTreeMap;
use std::time::Duration;

use crest_ledger::Timestamp;
use crest_ledger::txn::ShardId;
use crest_ledger::wire::health::{CLOCK_PROBLEM_BYTES_MAX, PEER_TROUBLES_MAX};
use crest_ledger::wire::{PeerTrouble, PeerTroubleKind, ShardHealth};
use tokio::time::Instant;

use super::Executor;
use crate::limits;
use crate::metrics_of::ShardMetrics;

/// What came of a question to another shard: its ledger time and how far ours is ahead of it when it refuses that, ns.
pub(crate) type PeerChecked = Result<(Timestamp, u64), String>;

/// What a leader knows of the other shards.
#[derive(Debug, Default)]
pub(super) struct PeerChecks(BTreeMap<ShardId, Seen>);

#[derive(Debug)]
struct Seen {
    /// When it was heard of last; at first, when it was first asked.
    heard: Instant,
    /// Its ledger time then, ns.
    time: Timestamp,
    /// How far our time is ahead, ns, when it refuses our messages.
    refused_by: u64,
    /// How far its time is ahead, ns, when we refuse its messages.
    refuses: u64,
}

impl PeerChecks {
    fn seen(&mut self, peer: ShardId) -> &mut Seen {
        let unheard = || Seen { heard: Instant::now(), time: 0, refused_by: 0, refuses: 0 };
        self.0.entry(peer).or_insert_with(unheard)
    }

    /// Those with which no messages can be exchanged.
    fn troubles(&self) -> Vec<PeerTrouble> {
        let rounds = u32::try_from(self.0.len() / limits::PEER_CHECKS_MAX).unwrap_or(u32::MAX);
        let patience = limits::PEER_SILENCE + limits::PEER_CHECK_INTERVAL * rounds;
        let of = |(shard, seen): (&ShardId, &Seen)| {
            let trouble = |kind, ms| PeerTrouble { shard: *shard, kind, ms };
            let silent = seen.heard.elapsed();
            let no_answer = trouble(PeerTroubleKind::NoAnswer, ms(silent));
            [
                (silent >= patience).then_some(no_answer),
                (seen.refused_by > 0).then(|| trouble(PeerTroubleKind::RefusedByPeer, seen.refused_by / 1_000_000)),
                (seen.refuses > 0).then(|| trouble(PeerTroubleKind::RefusesPeer, seen.refuses / 1_000_000)),
            ]
        };
        self.0.iter().flat_map(of).flatten().collect()
    }

    /// The shard whose time is the furthest ahead of those whose messages are refused.
    pub(super) fn furthest_ahead(&self) -> Option<ShardId> {
        let refused = self.0.iter().filter(|(_, seen)| seen.refuses > 0);
        refused.max_by_key(|(_, seen)| seen.time).map(|(shard, _)| *shard)
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// A duration in whole milliseconds.
pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// As much of a text as an answer has room for.
fn bounded(mut text: String) -> String {
    let end = (0..=CLOCK_PROBLEM_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or(0));
    text
}

impl Executor {
    /// Takes in what came of asking another shard.
    pub(super) fn peer_checked(&mut self, peer: ShardId, checked: PeerChecked) {
        let refuses = checked.as_ref().map_or(0, |(time, _)| self.ahead(*time).unwrap_or(0));
        let seen = self.state.peer_checks.seen(peer);
        // One that does not answer is noticed by the time that passes.
        if let Ok((time, refused_by)) = checked {
            *seen = Seen { heard: Instant::now(), time, refused_by, refuses };
        }
    }

    /// How this shard takes part. Another shard that asks tells its time, and learns whether that is accepted.
    pub(super) fn health(&mut self, from: Option<(ShardId, Timestamp)>) -> ShardHealth {
        let refused_ahead_ns = from.and_then(|(_, time)| self.ahead(time)).unwrap_or(0);
        if let Some((peer, time)) = from.filter(|(peer, _)| *peer != self.shard && self.map.shards().contains(peer)) {
            let seen = self.state.peer_checks.seen(peer);
            (seen.time, seen.refuses) = (time, refused_ahead_ns);
        }
        let (mut peers, is_alone) = (self.peer_troubles(), self.consensus.is_alone());
        let peers_in_trouble = u32::try_from(peers.len()).unwrap_or(u32::MAX);
        peers.truncate(PEER_TROUBLES_MAX);
        ShardHealth {
            time: self.tables.now(),
            machine_time: self.clock.now(),
            refused_ahead_ns,
            committed_ms_ago: ms(self.state.progress.committed_ago()),
            commit_stalled_ms: ms(self.state.progress.stalled(is_alone)),
            clock_problem: bounded(self.clock.problem().unwrap_or_default()),
            peers,
            peers_in_trouble,
        }
    }

    /// The other shards that this one cannot exchange messages with. Only a leader knows.
    pub(super) fn peer_troubles(&self) -> Vec<PeerTrouble> {
        match self.consensus.is_leader() {
            true => self.state.peer_checks.troubles(),
            false => Vec::new(),
        }
    }

    /// How far a time from elsewhere is ahead of this shard's, ns, when that is too far.
    pub(super) fn ahead(&self, time: Timestamp) -> Option<u64> {
        let here = self.clock.now().max(self.tables.now());
        Some(time.saturating_sub(here)).filter(|ahead| *ahead > limits::CLOCK_AHEAD_MAX_NS)
    }

    /// Notes how the group gets on, and tells the metrics.
    pub(super) fn measure_progress(&mut self) {
        let standing = super::progress::Standing {
            leads: self.consensus.is_leader(),
            commit_index: self.consensus.commit_index(),
            last_index: self.consensus.last_index(),
        };
        if !standing.leads {
            self.state.peer_checks.forget();
        }
        let followers = self.consensus.followers();
        self.state.progress.note(standing, &followers, |replica| self.exports.last_asked(replica));
        let stalled = self.state.progress.stalled(self.consensus.is_alone());
        let ahead = self.tables.now().saturating_sub(self.clock.now());
        let refused = |t: &&PeerTrouble| t.kind != PeerTroubleKind::NoAnswer;
        let troubles = self.peer_troubles();
        let refusing = troubles.iter().filter(refused).count();
        let metrics: &ShardMetrics = &self.metrics;
        metrics.participation(stalled, Duration::from_nanos(ahead), refusing, troubles.len() - refusing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_is_in_trouble_that_refuses_is_refused_or_is_silent_for_long() {
        let mut checks = PeerChecks::default();
        assert_eq!((checks.seen(1).time, checks.seen(2).time), (0, 0));
        assert_eq!((checks.troubles(), checks.furthest_ahead()), (vec![], None));
        checks.seen(1).refused_by = 61_000_000_000;
        checks.seen(2).refuses = 3_600_000_000_000;
        let trouble = |shard, kind, ms| PeerTrouble { shard, kind, ms };
        let refusals =
            [trouble(1, PeerTroubleKind::RefusedByPeer, 61_000), trouble(2, PeerTroubleKind::RefusesPeer, 3_600_000)];
        assert_eq!(checks.troubles(), refusals);
        assert_eq!(checks.furthest_ahead(), Some(2));
        (checks.seen(1).refused_by, checks.seen(2).refuses) = (0, 0);
        tokio::time::advance(limits::PEER_SILENCE).await;
        checks.seen(2).heard = Instant::now();
        assert_eq!(checks.troubles(), [trouble(1, PeerTroubleKind::NoAnswer, ms(limits::PEER_SILENCE))]);
        checks.forget();
        assert!(checks.troubles().is_empty(), "whoever does not lead asks nobody");
    }
}
