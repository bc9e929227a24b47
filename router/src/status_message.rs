//! How the shards are, as a message.

use std::collections::BTreeMap;

use crest_ledger::txn::ShardId;
use crest_ledger::wire::{PeerTrouble, PeerTroubleKind, ShardHealth, ShardStatus};
use crest_link::LinkError;
use crest_proto::v1;
use crest_topology::SlotRange;

use crate::in_doubt_messages::shown;

/// The answer to `Status`: of each shard what it says of itself, and its slots by the router's own map, which are told also
/// of those that do not answer.
pub(crate) fn status(
    epoch: u64,
    slots: &[SlotRange],
    shards: Vec<(ShardId, String, Result<ShardStatus, LinkError>)>,
    health: &BTreeMap<ShardId, ShardHealth>,
) -> v1::StatusResponse {
    let shards = shards.into_iter().map(|(shard, address, status)| {
        let slots = slots.iter().filter(|range| range.shard == shard);
        let slots = slots.map(|r| v1::SlotRange { first: r.first.into(), last: r.last.into() }).collect();
        let known = v1::ShardStatus { shard, address: shown(&address), slots, ..v1::ShardStatus::default() };
        with_health(one(known, status), health.get(&shard))
    });
    v1::StatusResponse { epoch, shards: shards.collect() }
}

fn one(known: v1::ShardStatus, status: Result<ShardStatus, LinkError>) -> v1::ShardStatus {
    let s = match status {
        Ok(status) => status,
        Err(error) => return v1::ShardStatus { reachable: false, error: shown(&error.to_string()), ..known },
    };
    v1::ShardStatus {
        reachable: true,
        accounts: s.accounts,
        transfers: s.transfers,
        rehearsal_accounts: s.rehearsal_accounts,
        rehearsal_transfers: s.rehearsal_transfers,
        holds: s.holds,
        hold_age_ms_max: s.hold_age_ms_max,
        outbox: s.outbox,
        outbox_age_ms_max: s.outbox_age_ms_max,
        in_doubt: s.in_doubt,
        in_doubt_age_ms_max: s.in_doubt_age_ms_max,
        applied_index: s.applied_index,
        checkpoint_index: s.checkpoint_index,
        timestamp: s.clock,
        ..known
    }
}

/// Adds whether the shard takes part, when its nodes are of a build that says so.
fn with_health(status: v1::ShardStatus, health: Option<&ShardHealth>) -> v1::ShardStatus {
    let Some(health) = health else { return status };
    v1::ShardStatus {
        shard_time_ahead_ms: Some(health.time_ahead_ms()),
        machine_timestamp: Some(health.machine_time),
        last_committed_ms_ago: Some(health.committed_ms_ago),
        commit_stalled_ms: Some(health.commit_stalled_ms),
        peer_troubles: health.peers.iter().map(peer_trouble).collect(),
        peers_in_trouble: Some(health.peers_in_trouble),
        clock_problem: Some(health.clock_problem.clone()),
        ..status
    }
}

fn peer_trouble(trouble: &PeerTrouble) -> v1::PeerTrouble {
    let kind = match trouble.kind {
        PeerTroubleKind::RefusedByPeer => v1::PeerTroubleKind::RefusedByPeer,
        PeerTroubleKind::RefusesPeer => v1::PeerTroubleKind::RefusesPeer,
        PeerTroubleKind::NoAnswer => v1::PeerTroubleKind::NoAnswer,
    };
    v1::PeerTrouble { shard: trouble.shard, kind: kind.into(), ms: trouble.ms }
}

#[cfg(test)]
mod tests {
    use crest_topology::SlotMap;

    use super::*;

    #[test]
    fn every_shard_has_its_slots_also_one_that_does_not_answer_or_owns_nothing() {
        let range = |shard, first, last| SlotRange { shard, first, last };
        let ranges = [range(1, 0, 9), range(0, 10, 10), range(1, 11, 16_383)];
        let map = SlotMap::from_ranges(7, &[0, 1, 2], &ranges).unwrap();
        let down = Err(LinkError::Unknown { shard: 1, why: "gone".to_owned() });
        let answers = vec![
            (0, "a".to_owned(), Ok(ShardStatus { accounts: 3, rehearsal_accounts: 2, ..ShardStatus::default() })),
            (1, "b".to_owned(), down),
            (2, "c".to_owned(), Ok(ShardStatus::default())),
        ];
        let trouble = PeerTrouble { shard: 2, kind: PeerTroubleKind::RefusedByPeer, ms: 61_000 };
        let (time, machine_time) = (9_000_000, 2_000_000);
        let health = ShardHealth { time, machine_time, peers: vec![trouble], ..ShardHealth::default() };
        let status = status(map.epoch(), &map.ranges(), answers, &BTreeMap::from([(0, health)]));
        assert_eq!(status.shards[0].shard_time_ahead_ms, Some(7));
        let kind = v1::PeerTroubleKind::RefusedByPeer.into();
        assert_eq!(status.shards[0].peer_troubles, [v1::PeerTrouble { shard: 2, kind, ms: 61_000 }]);
        assert_eq!(status.shards[2].commit_stalled_ms, None, "its nodes do not know the question");
        let slots = |at: usize| status.shards[at].slots.iter().map(|r| (r.first, r.last)).collect::<Vec<_>>();
        assert_eq!(
            (status.epoch, slots(0), slots(1), slots(2)),
            (7, vec![(10, 10)], vec![(0, 9), (11, 16_383)], vec![])
        );
        assert_eq!((status.shards[0].accounts, status.shards[0].rehearsal_accounts), (3, 2));
        assert_eq!(status.shards.iter().map(|s| s.reachable).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(status.shards[1].error, "no answer from shard 1: gone");
    }
}
