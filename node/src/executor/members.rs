//! How a group becomes what the map wants: one safe step at a time.

use crest_topology::NodeId;

use crate::consensus::members::Change;
use crate::consensus::{Follower, Members, ReplicaId};
use crate::limits;

/// What the leader does next to bring its group to what is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// The leader itself is not wanted: somebody else has to lead before it can go.
    HandOver,
    Change(Vec<Change>),
}

/// What a leader does next, given what it knows. A learner that has caught up gets its vote, where the group grows together with
/// another one; an earlier life on its node leaves in the same change. A voter that is not wanted leaves once all that are wanted vote, and most of them answer, so that the group is
/// never smaller than it was and than it is to be.
pub(super) fn next_step(
    wanted: &[NodeId],
    members: &Members,
    followers: &[Follower],
    me: ReplicaId,
    last: u64,
) -> Step {
    if members.is_joint() || wanted.is_empty() {
        return Step::Nothing;
    }
    let node = |replica: &u64| *replica as NodeId;
    let caught_up = |replica: &u64| {
        let is = |f: &Follower| f.active && !f.takes_snapshot && f.matched + limits::CAUGHT_UP_ENTRIES >= last;
        followers.iter().any(|f| f.replica.number() == *replica && is(f))
    };
    let ready = members.learners.iter().filter(|l| wanted.contains(&node(l)) && caught_up(l));
    let mut promoted: Vec<u64> = ready.copied().collect();
    let joins = |learner: &&u64| !members.voters.iter().any(|v| node(v) == node(learner));
    let grown = members.voters.len() + promoted.iter().filter(joins).count();
    if members.voters.len() < wanted.len() && grown.is_multiple_of(2) {
        // With an even number of voters a group survives no more than with the odd one below, and depends on one more.
        let last = promoted.iter().rposition(|learner| joins(&learner));
        last.map(|at| promoted.remove(at));
    }
    let superseded = |voter: &u64| promoted.iter().any(|p| node(p) == node(voter));
    let mut voters: Vec<u64> = members.voters.iter().copied().filter(|v| !superseded(v)).collect();
    voters.extend(&promoted);
    let all_vote = wanted.iter().all(|w| voters.iter().any(|v| node(v) == *w));
    // Nobody leaves a group of which a majority could then not be reached.
    let is_active = |r: &u64| *r == me.number() || followers.iter().any(|f| f.replica.number() == *r && f.active);
    let stay: Vec<&u64> = voters.iter().filter(|v| wanted.contains(&node(v))).collect();
    let enough = stay.iter().filter(|v| is_active(v)).count() * 2 > stay.len();
    let leaves = |voter: &u64| all_vote && enough && !wanted.contains(&node(voter));
    let removed: Vec<u64> = members.voters.iter().copied().filter(|v| superseded(v) || leaves(v)).collect();
    let unwanted = members.learners.iter().copied().filter(|l| !wanted.contains(&node(l)));
    let others = removed.iter().copied().filter(|r| *r != me.number()).chain(unwanted).map(Change::Remove);
    let changes: Vec<Change> = promoted.iter().copied().map(Change::Voter).chain(others).collect();
    match () {
        () if !changes.is_empty() => Step::Change(changes),
        () if removed.contains(&me.number()) => Step::HandOver,
        () => Step::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: u64 = 1_000;

    fn follower(replica: u64, matched: u64) -> Follower {
        let replica = ReplicaId::from_number(replica).unwrap();
        Follower { replica, matched, active: true, takes_snapshot: false }
    }

    /// Node 1 leads; everybody in `behind` is far behind.
    #[track_caller]
    fn check(what: &str, wanted: &[NodeId], voters: &[u64], learners: &[u64], behind: &[u64], expected: Step) {
        let members = Members { voters: voters.to_vec(), learners: learners.to_vec(), ..Members::default() };
        let all = voters.iter().chain(learners).filter(|r| **r != 1);
        let followers: Vec<Follower> =
            all.map(|r| follower(*r, if behind.contains(r) { 10 } else { LAST - 3 })).collect();
        assert_eq!(next_step(wanted, &members, &followers, ReplicaId::founder(1), LAST), expected, "{what}");
    }

    #[test]
    fn the_group_becomes_what_the_map_wants_one_safe_step_at_a_time() {
        let reborn = ReplicaId::joining(3, 9).number();
        let change = Step::Change;
        check("all is as wanted", &[1, 2, 3], &[1, 2, 3], &[], &[], Step::Nothing);
        check("nothing is wanted yet", &[], &[1, 2, 3], &[], &[], Step::Nothing);
        check("a learner is behind", &[1, 2, 4], &[1, 2, 3], &[4], &[4], Step::Nothing);
        check(
            "a learner has caught up and takes another's place",
            &[1, 2, 4],
            &[1, 2, 3],
            &[4],
            &[],
            change(vec![Change::Voter(4), Change::Remove(3)]),
        );
        check(
            "a lost disk: the new life takes the old one's place",
            &[1, 2, 3],
            &[1, 2, 3],
            &[reborn],
            &[],
            change(vec![Change::Voter(reborn), Change::Remove(3)]),
        );
        check(
            "the old life stays while the new one is behind",
            &[1, 2, 3],
            &[1, 2, 3],
            &[reborn],
            &[reborn],
            Step::Nothing,
        );
        check("growing from one to three: not to two", &[1, 2, 3], &[1], &[2, 3], &[3], Step::Nothing);
        let both = change(vec![Change::Voter(2), Change::Voter(3)]);
        check("growing from one to three: both at once", &[1, 2, 3], &[1], &[2, 3], &[], both);
        check(
            "growing while a disk is lost: that one first",
            &[1, 2, 3, 4, 5],
            &[1, 2, 3],
            &[4, reborn],
            &[],
            change(vec![Change::Voter(reborn), Change::Remove(3)]),
        );
        let without = |silent: u64| {
            let all = [2, 3].map(|r| Follower { active: r != silent, ..follower(r, LAST) });
            let members = Members { voters: vec![1, 2, 3], ..Members::default() };
            next_step(&[2], &members, &all, ReplicaId::founder(1), LAST)
        };
        assert_eq!(without(2), Step::Nothing, "the one that would be left does not answer");
        assert_eq!(without(3), change(vec![Change::Remove(3)]), "one that leaves does not answer");
        check("shrinking", &[1], &[1, 2, 3], &[], &[], change(vec![Change::Remove(2), Change::Remove(3)]));
        check("nobody leaves before all that are wanted vote", &[1, 4, 5], &[1, 2, 3], &[4, 5], &[4, 5], Step::Nothing);
        check(
            "the leader leaves last, after it has handed over",
            &[2, 3, 4],
            &[1, 2, 3],
            &[4],
            &[],
            change(vec![Change::Voter(4)]),
        );
        check("then it hands over", &[2, 3, 4], &[1, 2, 3, 4], &[], &[], Step::HandOver);
        check("an unwanted learner goes", &[1, 2, 3], &[1, 2, 3], &[7], &[7], change(vec![Change::Remove(7)]));
        let joint = Members { voters: vec![1, 2], voters_outgoing: vec![1, 3], ..Members::default() };
        assert_eq!(next_step(&[1, 2], &joint, &[], ReplicaId::founder(1), LAST), Step::Nothing, "one at a time");
    }
}
