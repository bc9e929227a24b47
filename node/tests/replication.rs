//! A shard's group in virtual time: elections, partitions, members that come and go, snapshots, reads.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod group;

use std::time::Duration;

use crest_ledger::wire::{Query, Request};
use crest_link::{LinkError, ShardLink as _};
use crest_node::limits::{ELECTION_MARGIN_TICKS, ELECTION_SLOT_TICKS, ELECTION_TICKS, RAFT_TICK};
use crest_node::{Birth, ReplicaId};
use crest_proto::internal as wire;
use group::{Group, MESSAGE_ENTRIES, PATIENCE};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

/// Longer than the longest election timeout.
const ELECTION: Duration = Duration::from_millis(2 * ELECTION_TICKS as u64 * RAFT_TICK.as_millis() as u64 + 500);

async fn scene(play: impl AsyncFnOnce()) {
    LocalSet::new().run_until(play()).await;
}

/// The voters that a leader has, by node.
async fn voters(group: &Group) -> Vec<u32> {
    let leader = group.leader().await;
    let mut nodes: Vec<u32> = group
        .describe(leader)
        .await
        .members
        .unwrap()
        .voters
        .iter()
        .map(|v| ReplicaId::from_number(*v).unwrap().node())
        .collect();
    nodes.sort_unstable();
    nodes
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_is_there_after_the_leader_died() {
    scene(async || {
        let mut group = Group::found(&[1, 2, 3]).await;
        group.open_accounts().await;
        for id in 1..=20 {
            group.pay(group.leader().await, id).await.unwrap();
        }
        let old = group.leader().await;
        group.kill(old);
        let new = group.leader_but(old).await;
        assert_eq!(group.received(new, 0, false).await, Ok(20));
        group.pay(new, 21).await.unwrap();
        group.start(old, Birth::Founder(vec![1, 2, 3]));
        let last = group.describe(new).await.last_index;
        group.until(old, "it follows again", |d| !d.is_leader && d.applied_index >= last).await;
        assert_eq!(group.received(new, 0, false).await, Ok(21));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_acknowledges_and_reads_nothing_and_steps_down() {
    scene(async || {
        let group = Group::found(&[1, 2, 3]).await;
        group.open_accounts().await;
        let old = group.leader().await;
        group.pay(old, 1).await.unwrap();
        group.isolate(old);
        // It still believes that it leads; what it is asked now must not be answered from what it knows.
        assert!(group.describe(old).await.is_leader);
        let (paid, read) = tokio::join!(group.pay(old, 2), group.received(old, 0, false));
        assert!(matches!(paid, Err(LinkError::Unknown { .. })), "{paid:?}");
        assert!(matches!(read, Err(LinkError::NotLeader { .. })), "{read:?}");
        assert!(!group.describe(old).await.is_leader, "without a majority it does not lead");
        let new = group.leader_but(old).await;
        group.pay(new, 3).await.unwrap();
        group.heal();
        let term = group.describe(new).await.term;
        group.until(old, "it follows", |d| d.leader != 0 && d.term == term).await;
        assert_eq!(group.received(new, 0, false).await, Ok(2), "what was not acknowledged has no place in the log");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_comes_back_from_a_partition_disturbs_nobody() {
    scene(async || {
        let group = Group::found(&[1, 2, 3]).await;
        let leader = group.leader().await;
        let term = group.describe(leader).await.term;
        let other = (1..=3).find(|n| *n != leader).unwrap();
        group.isolate(other);
        sleep(10 * ELECTION).await;
        group.heal();
        sleep(ELECTION).await;
        let after = group.describe(leader).await;
        assert!(after.is_leader && after.term == term, "pre-vote: {after:?}");
        assert_eq!(group.describe(other).await.term, term);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn leadership_is_handed_over_on_demand() {
    scene(async || {
        let group = Group::found(&[1, 2, 3]).await;
        group.open_accounts().await;
        let old = group.leader().await;
        let to = (1..=3).find(|n| *n != old).unwrap();
        group.handle(old).transfer_leader(Some(to)).await.unwrap();
        assert_eq!(group.leader_but(old).await, to);
        group.pay(to, 1).await.unwrap();
        let refused = group.pay(old, 2).await;
        assert_eq!(refused, Err(LinkError::NotLeader { shard: 0, leader: Some(to) }), "it says who leads");
        assert!(group.handle(to).transfer_leader(Some(9)).await.is_err(), "nobody is there");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_grows_moves_and_shrinks_while_it_serves() {
    scene(async || {
        let mut group = Group::found(&[1]).await;
        group.open_accounts().await;
        for id in 1..=50 {
            group.pay(1, id).await.unwrap();
        }
        group.place(&[1, 2, 3]);
        for node in [2, 3] {
            assert_eq!(group.start_empty(node).await, Birth::Joiner(77), "the group is there already");
        }
        group.until(1, "three vote", |d| d.members.as_ref().is_some_and(|m| m.voters.len() == 3)).await;
        group.pay(group.leader().await, 51).await.unwrap();
        // The leader itself is to go: it hands over first.
        group.place(&[2, 3, 4]);
        group.start_empty(4).await;
        let begun = tokio::time::Instant::now();
        while voters(&group).await != [2, 3, 4] {
            assert!(begun.elapsed() < PATIENCE, "{:?}", voters(&group).await);
            sleep(RAFT_TICK).await;
        }
        let leader = group.leader_but(1).await;
        group.kill(1);
        assert_eq!(group.received(leader, 0, false).await, Ok(51));
        group.place(&[leader]);
        group.until(leader, "one votes", |d| d.members.as_ref().is_some_and(|m| m.voters.len() == 1)).await;
        group.pay(leader, 52).await.unwrap();
        assert_eq!(group.received(leader, 0, false).await, Ok(52));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lost_its_disk_comes_back_with_another_life_and_is_rebuilt() {
    scene(async || {
        let mut group = Group::found(&[1, 2, 3]).await;
        group.open_accounts().await;
        for id in 1..=30 {
            group.pay(group.leader().await, id).await.unwrap();
        }
        let lost = group.leader().await;
        group.lose_disk(lost).await;
        let leader = group.leader_but(lost).await;
        group.pay(leader, 31).await.unwrap();
        assert_eq!(group.start_empty(lost).await, Birth::Joiner(77));
        let reborn = ReplicaId::joining(lost, 77).number();
        let is_in = move |d: &wire::ReplicaDescription| {
            d.members
                .as_ref()
                .is_some_and(|m| m.voters.contains(&reborn) && m.voters.len() == 3 && m.voters_outgoing.is_empty())
        };
        group.until(leader, "the new life has the old one's vote", is_in).await;
        let last = group.describe(leader).await.commit_index;
        group.until(lost, "it has everything", |d| d.applied_index >= last).await;
        // Now it counts: with another node gone, it is half of the majority.
        let other = (1..=3).find(|n| *n != leader && *n != lost).unwrap();
        group.kill(other);
        group.pay(group.leader().await, 32).await.unwrap();
        assert_eq!(group.received(group.leader().await, 0, false).await, Ok(32));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn any_replica_answers_a_read_of_a_named_instant_and_only_that() {
    scene(async || {
        let group = Group::found(&[1, 2, 3]).await;
        group.open_accounts().await;
        let leader = group.leader().await;
        let follower = (1..=3).find(|n| *n != leader).unwrap();
        let first = group.pay(leader, 1).await.unwrap();
        let second = group.pay(leader, 2).await.unwrap();
        for (at, expected) in [(first, 1), (second, 2), (second + 500_000_000, 2)] {
            assert_eq!(group.received(follower, at, true).await, Ok(expected), "at {at}");
        }
        let now = group.received(follower, 0, true).await;
        assert!(matches!(now, Err(LinkError::NotLeader { .. })), "now is for the leader to tell: {now:?}");
        let status = group.handle(follower).send(Request::Query(Query::Status)).await;
        assert!(matches!(status, Err(LinkError::NotLeader { .. })), "{status:?}");
        // Cut off, it does not know whether it has everything up to a later instant, and says nothing.
        group.isolate(follower);
        let third = group.pay(leader, 3).await.unwrap();
        let cut_off = timeout(ELECTION, group.received(follower, third, true)).await;
        assert!(cut_off.is_err(), "{cut_off:?}");
        group.heal();
        assert_eq!(group.received(follower, third, true).await, Ok(3));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_has_lost_what_it_acknowledged_stops_instead_of_voting() {
    scene(async || {
        let group = Group::found(&[1, 2, 3]).await;
        let leader = group.leader().await;
        let follower = group.handle((1..=3).find(|n| *n != leader).unwrap());
        let here = follower.describe().await.unwrap();
        let heartbeat = wire::RaftMessage {
            kind: wire::RaftMessageKind::Heartbeat.into(),
            to: here.replica,
            from: here.leader,
            term: here.term,
            commit: here.last_index + 5,
            ..wire::RaftMessage::default()
        };
        group.isolate(follower.replica().node());
        follower.step(heartbeat);
        let ended = timeout(PATIENCE, follower.ended()).await.unwrap();
        assert!(ended.as_ref().is_err_and(|why| why.contains("lost what was acknowledged")), "{ended:?}");
    })
    .await;
}

/// A batch of payments that makes a large entry.
const LARGE: u128 = 4_000;

/// Away for any number of entries, and back: the follower has everything within a bound, while payments flow, and the shard then serves
/// without the other follower.
async fn comes_back_after(missed: impl AsyncFnOnce(&Group, u32)) {
    let mut group = Group::found(&[1, 2, 3]).await;
    group.open_accounts().await;
    let leader = group.leader().await;
    let mut followers = (1..=3).filter(|node| *node != leader);
    let (away, other) = (followers.next().unwrap(), followers.next().unwrap());
    group.kill(away);
    let before = group.describe(leader).await.last_index;
    missed(&group, leader).await;
    let behind = group.describe(leader).await.last_index - before;
    group.start(away, Birth::Founder(vec![1, 2, 3]));
    let back = Instant::now();
    let mut paid = 0;
    let caught_up = async |group: &Group| {
        let (last, described) = (group.describe(leader).await.commit_index, group.describe(away).await);
        described.applied_index + 64 >= last
    };
    while !caught_up(&group).await {
        assert!(back.elapsed() < CAUGHT_UP, "after {:?} it still lacks entries of {behind}", back.elapsed());
        paid += 1;
        group.pay(leader, 900_000_000 + paid).await.unwrap();
        // Virtual time passes only while nobody has anything to do.
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(group.leader().await, leader, "its coming back disturbs nobody");
    group.kill(other);
    for more in 1..=10 {
        group.pay(leader, 950_000_000 + more).await.unwrap();
    }
}

/// How soon a follower has caught up with entries that are still in memory.
const CAUGHT_UP: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn a_follower_that_missed_many_small_entries_comes_back() {
    scene(async || {
        comes_back_after(async |group, leader| {
            for id in 1..=5 * MESSAGE_ENTRIES as u128 + 7 {
                group.pay(leader, id).await.unwrap();
            }
        })
        .await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_missed_hours_of_an_idle_shard_comes_back() {
    scene(async || comes_back_after(async |_, _| sleep(Duration::from_secs(5 * MESSAGE_ENTRIES as u64)).await).await)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_missed_large_entries_comes_back() {
    scene(async || {
        comes_back_after(async |group, leader| {
            for n in 0..40 {
                group.pay_many(leader, n * LARGE + 1, LARGE).await;
            }
        })
        .await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_survivors_never_split_the_votes() {
    scene(async || {
        let mut group = Group::found(&[1, 2, 3]).await;
        group.open_accounts().await;
        for round in 1..=20 {
            let old = group.leader().await;
            let term = group.describe(old).await.term;
            group.kill(old);
            let died = Instant::now();
            let new = group.leader_but(old).await;
            let took = died.elapsed();
            assert!(took < ELECTION_SLOTS, "round {round}: {took:?}");
            assert_eq!(group.describe(new).await.term, term + 1, "round {round}: one election was enough");
            group.start(old, Birth::Founder(vec![1, 2, 3]));
            let last = group.describe(new).await.last_index;
            group.until(old, "it follows again", |d| d.applied_index >= last).await;
        }
    })
    .await;
}

/// The end of the second slot of three voters, and what a vote takes: of two survivors one campaigns in the first or the second.
const ELECTION_SLOTS: Duration = Duration::from_millis(
    (ELECTION_TICKS + ELECTION_MARGIN_TICKS + 2 * ELECTION_SLOT_TICKS) as u64 * RAFT_TICK.as_millis() as u64 + 200,
);
