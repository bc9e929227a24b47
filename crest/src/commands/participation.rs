//! Which shards cannot take part in payments, out of what a router tells of all shards. Pure: the tests are tables.

use crest_ledger::limits::COMMIT_STALLED_MS;
use crest_proto::v1;
use std::collections::BTreeMap;
use std::time::Duration;

/// A ledger time that is ahead of its machine's clock by less is not worth a word: clocks that NTP keeps differ by milliseconds.
pub(crate) const TIME_AHEAD_SHOWN: Duration = Duration::from_millis(100);

/// What keeps shards from taking part, a sentence for each; empty when all is well.
pub(crate) fn troubles(status: &v1::StatusResponse) -> Vec<(u32, String)> {
    let mut found: BTreeMap<(u32, u8, u32), String> = BTreeMap::new();
    for s in &status.shards {
        if !s.reachable {
            found.insert((s.shard, 0, 0), format!("shard {} at {} does not answer: {}", s.shard, s.address, s.error));
            continue;
        }
        let stalled = s.commit_stalled_ms.unwrap_or(0);
        if stalled >= COMMIT_STALLED_MS {
            let text = format!("shard {} has committed nothing for {}: it does not serve", s.shard, seconds(stalled));
            found.insert((s.shard, 1, 0), text);
        }
        if let Some(problem) = s.clock_problem.as_ref().filter(|problem| !problem.is_empty()) {
            let text =
                format!("shard {} takes no requests, since its leader's clock must not be used: {problem}", s.shard);
            found.insert((s.shard, 1, 1), text);
        }
        for peer in &s.peer_troubles {
            // Both sides tell of a refusal. It is said once, of the shard whose time is ahead.
            let (rank, ahead, other) = match peer.kind() {
                v1::PeerTroubleKind::RefusedByPeer => (2, s.shard, peer.shard),
                v1::PeerTroubleKind::RefusesPeer => (2, peer.shard, s.shard),
                v1::PeerTroubleKind::NoAnswer => (3, s.shard, peer.shard),
                v1::PeerTroubleKind::Unspecified => continue,
            };
            let away = |shard| status.shards.iter().any(|s| s.shard == shard && !s.reachable);
            if rank == 3 && away(other) {
                continue;
            }
            let text = match rank {
                2 => refused(ahead, other, peer.ms),
                _ => format!("shard {ahead} has had no answer from shard {other} for {}", seconds(peer.ms)),
            };
            found.entry((ahead, rank, other)).or_insert(text);
        }
    }
    found.into_iter().map(|((shard, ..), text)| (shard, text)).collect()
}

/// A shard refuses another one's messages.
pub(crate) fn refused(ahead: u32, other: u32, ms: u64) -> String {
    format!(
        "the time of shard {ahead} is {} ahead of shard {other}'s clock: shard {other} refuses its messages, and payments between the \
         two fail; once the machines' clocks are right, `crest clock align` brings them together",
        seconds(ms)
    )
}

/// Of each shard whose ledger time is ahead of its own machine's clock, a sentence.
pub(crate) fn times_ahead(status: &v1::StatusResponse) -> Vec<String> {
    let ahead = status.shards.iter().filter_map(|s| Some((s.shard, s.shard_time_ahead_ms?)));
    ahead
        .filter(|(_, ms)| u128::from(*ms) > TIME_AHEAD_SHOWN.as_millis())
        .map(|(shard, ms)| time_ahead(shard, ms))
        .collect()
}

/// A shard's ledger time is ahead of its machine's clock.
pub(crate) fn time_ahead(shard: u32, ms: u64) -> String {
    format!(
        "the time of shard {shard} is {} ahead of its own machine's clock: that clock was ahead, or another shard's was",
        seconds(ms)
    )
}

/// Milliseconds as seconds: `3597.2 s`.
pub(crate) fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1_000, ms % 1_000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(shard: u32, peers: &[(u32, v1::PeerTroubleKind, u64)]) -> v1::ShardStatus {
        let trouble = |(shard, kind, ms): &(u32, v1::PeerTroubleKind, u64)| v1::PeerTrouble {
            shard: *shard,
            kind: (*kind).into(),
            ms: *ms,
        };
        let peer_troubles = peers.iter().map(trouble).collect();
        v1::ShardStatus { shard, reachable: true, peer_troubles, ..v1::ShardStatus::default() }
    }

    #[track_caller]
    fn check(shards: Vec<v1::ShardStatus>, expected: &[(u32, &str)]) {
        let found = troubles(&v1::StatusResponse { epoch: 1, shards });
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((shard, text), (of, part)) in found.iter().zip(expected) {
            assert!(shard == of && text.contains(part), "{found:?}: {part}");
        }
    }

    #[test]
    fn the_shard_is_named_whose_time_is_ahead_once() {
        use v1::PeerTroubleKind::{NoAnswer, RefusedByPeer, RefusesPeer};
        check(vec![shard(0, &[]), shard(1, &[])], &[]);
        let ahead = "the time of shard 1 is 3597.2 s ahead of shard 0's clock: shard 0 refuses its messages";
        let (refuses, refused) = ([(1, RefusesPeer, 3_597_200)], [(0, RefusedByPeer, 3_597_200)]);
        check(vec![shard(0, &refuses), shard(1, &refused)], &[(1, ahead)]);
        check(vec![shard(0, &refuses), shard(1, &[])], &[(1, ahead)]);
        check(vec![shard(0, &[]), shard(1, &refused)], &[(1, ahead)]);
        let silent = shard(0, &[(1, NoAnswer, 12_000)]);
        check(vec![silent.clone(), shard(1, &[])], &[(0, "no answer from shard 1 for 12.0 s")]);
        let away = v1::ShardStatus { shard: 1, error: "refused".to_owned(), ..v1::ShardStatus::default() };
        check(vec![silent, away], &[(1, "does not answer: refused")]);
    }

    #[test]
    fn a_shard_that_commits_nothing_does_not_serve_and_an_older_one_says_nothing() {
        let stalled = |ms| v1::ShardStatus { commit_stalled_ms: ms, ..shard(2, &[]) };
        check(vec![stalled(None)], &[]);
        check(vec![stalled(Some(COMMIT_STALLED_MS - 1))], &[]);
        let clock_problem = Some("it is wrong".to_owned());
        let wrong = v1::ShardStatus { clock_problem, ..shard(2, &[]) };
        check(vec![wrong], &[(2, "its leader's clock must not be used: it is wrong")]);
        check(vec![stalled(Some(COMMIT_STALLED_MS))], &[(2, "committed nothing for 5.0 s: it does not serve")]);
    }

    #[test]
    fn a_time_that_is_ahead_of_its_machine_is_told() {
        let at = |ms| v1::ShardStatus { shard_time_ahead_ms: ms, ..shard(4, &[]) };
        let told = |ms| times_ahead(&v1::StatusResponse { epoch: 1, shards: vec![at(ms)] });
        assert_eq!((told(None), told(Some(100))), (vec![], vec![]));
        assert!(told(Some(101)).concat().contains("the time of shard 4 is 0.1 s ahead of its own machine's clock"));
    }
}
