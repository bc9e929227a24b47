//! Who belongs to a shard's group, and how that changes: as raft-rs wants it, and as bytes of our own.

use crest_ledger::packed::{Reader, Writer};
use crest_proto::internal as wire;
use crest_topology::NodeId;
use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState};

/// The version of a change of the members in the log, and of the members in the store.
const VERSION: u8 = 1;

/// Entries of a group's four lists together. A replica is in two of them at the most, while members change.
const MEMBERS_MAX: usize = 2 * REPLICAS_MAX;

/// Replicas of a group, whatever they are in it: no other one joins. A shard is placed on five nodes at the most, and the ones before
/// and after a change are in the group together.
pub(crate) const REPLICAS_MAX: usize = 32;

/// One replica for its whole life: the node that it is on, and which life of that node's replica it is.
///
/// Raft counts on a member never forgetting its votes and entries. A node whose disk was lost has forgotten them; so what
/// comes back there is another member, with a life of its own, and the old one never speaks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(u64);

impl ReplicaId {
    /// The replica that founds the group on a node.
    pub fn founder(node: NodeId) -> Self {
        Self(u64::from(node))
    }

    /// The replica on a node that joins a group which is there already. `life` is not 0.
    pub fn joining(node: NodeId, life: u32) -> Self {
        Self(u64::from(life) << 32 | u64::from(node))
    }

    /// As raft numbers it; none for 0, which is nobody.
    pub fn from_number(number: u64) -> Option<Self> {
        (number as u32 != 0).then_some(Self(number))
    }

    /// Raft's number for it, never 0.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The node that it is on.
    pub fn node(self) -> NodeId {
        self.0 as u32
    }

    /// 0 for a founder.
    pub fn life(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl std::fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.life() {
            0 => write!(f, "node {}", self.node()),
            life => write!(f, "node {} (life {life:08x})", self.node()),
        }
    }
}

/// The members of a group. Numbers are those of [`ReplicaId::number`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Who votes.
    pub voters: Vec<u64>,
    /// Who follows without a vote.
    pub learners: Vec<u64>,
    /// Who votes as well while several members change (joint consensus).
    pub voters_outgoing: Vec<u64>,
    /// Outgoing voters that become learners.
    pub learners_next: Vec<u64>,
    /// Whether the leader ends the change by itself.
    pub auto_leave: bool,
}

impl Members {
    /// The founders of a group.
    pub fn founders(nodes: &[NodeId]) -> Self {
        Self { voters: nodes.iter().map(|n| ReplicaId::founder(*n).number()).collect(), ..Self::default() }
    }

    /// Whether a replica belongs to the group in any way.
    pub fn contains(&self, replica: u64) -> bool {
        self.lists().iter().any(|list| list.contains(&replica))
    }

    fn lists(&self) -> [&Vec<u64>; 4] {
        [&self.voters, &self.learners, &self.voters_outgoing, &self.learners_next]
    }

    /// Entries of all lists.
    fn entries(&self) -> usize {
        self.lists().iter().map(|list| list.len()).sum()
    }

    /// Whether no other replica may join once these have left: the lists have room for what a change of all of them takes.
    pub(crate) fn is_full_without(&self, leaving: &[u64]) -> bool {
        let replicas: std::collections::BTreeSet<u64> = self.lists().into_iter().flatten().copied().collect();
        replicas.iter().filter(|replica| !leaving.contains(replica)).count() >= REPLICAS_MAX
    }

    /// Whether it is a group: somebody votes, nobody is in it twice, all have numbers, and there are not too many.
    pub(crate) fn is_sound(&self) -> bool {
        let unique = |list: &[u64]| {
            let set: std::collections::BTreeSet<u64> = list.iter().copied().collect();
            set.len() == list.len() && list.iter().all(|r| ReplicaId::from_number(*r).is_some())
        };
        let votes = |replica: &u64| self.voters.contains(replica) || self.voters_outgoing.contains(replica);
        !self.voters.is_empty()
            && self.entries() <= MEMBERS_MAX
            && self.lists().iter().all(|list| unique(list))
            && !self.learners.iter().any(votes)
            && self.learners_next.iter().all(|r| self.voters_outgoing.contains(r) && !self.voters.contains(r))
    }

    /// Whether a change of several members is under way.
    pub fn is_joint(&self) -> bool {
        !self.voters_outgoing.is_empty()
    }

    pub(crate) fn from_raft(state: &ConfState) -> Self {
        let sorted = |list: &[u64]| {
            let mut list = list.to_vec();
            list.sort_unstable();
            list
        };
        Self {
            voters: sorted(&state.voters),
            learners: sorted(&state.learners),
            voters_outgoing: sorted(&state.voters_outgoing),
            learners_next: sorted(&state.learners_next),
            auto_leave: state.auto_leave,
        }
    }

    pub(crate) fn to_raft(&self) -> ConfState {
        ConfState {
            voters: self.voters.clone(),
            learners: self.learners.clone(),
            voters_outgoing: self.voters_outgoing.clone(),
            learners_next: self.learners_next.clone(),
            auto_leave: self.auto_leave,
            ..ConfState::default()
        }
    }

    pub(crate) fn from_wire(members: wire::Members) -> Self {
        let wire::Members { voters, learners, voters_outgoing, learners_next, auto_leave } = members;
        Self { voters, learners, voters_outgoing, learners_next, auto_leave }
    }

    pub(crate) fn to_wire(&self) -> wire::Members {
        let Self { voters, learners, voters_outgoing, learners_next, auto_leave } = self.clone();
        wire::Members { voters, learners, voters_outgoing, learners_next, auto_leave }
    }

    /// As bytes of the store.
    pub(crate) fn pack(&self, out: &mut Vec<u8>) {
        assert!(self.entries() <= MEMBERS_MAX, "a group of {} entries could not be read again", self.entries());
        Writer(out).u8(VERSION).u8(u8::from(self.auto_leave));
        for list in self.lists() {
            Writer(out).u8(list.len() as u8);
            for replica in list {
                Writer(out).u64(*replica);
            }
        }
    }

    /// The inverse of [`Members::pack`]; none when the bytes are of another version, or damaged.
    pub(crate) fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        if r.u8()? != VERSION {
            return None;
        }
        let auto_leave = r.u8()? != 0;
        let mut list = || -> Option<Vec<u64>> {
            let count = usize::from(r.u8()?);
            if count > MEMBERS_MAX {
                return None;
            }
            (0..count).map(|_| r.u64()).collect()
        };
        let (voters, learners, voters_outgoing, learners_next) = (list()?, list()?, list()?, list()?);
        let members = Self { voters, learners, voters_outgoing, learners_next, auto_leave };
        (members.entries() <= MEMBERS_MAX).then_some(members)
    }
}

/// What becomes of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Voter(u64),
    Learner(u64),
    Remove(u64),
}

/// A change of the members as bytes of the log and of messages. Nothing at all ends a joint change.
pub(crate) fn pack_changes(changes: &[Change]) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(changes.len() <= MEMBERS_MAX, "a change of {} members could not be read again", changes.len());
    Writer(&mut out).u8(VERSION).u8(changes.len() as u8);
    for change in changes {
        let (kind, replica) = match *change {
            Change::Voter(replica) => (1, replica),
            Change::Learner(replica) => (2, replica),
            Change::Remove(replica) => (3, replica),
        };
        Writer(&mut out).u8(kind).u64(replica);
    }
    out
}

/// The inverse of [`pack_changes`]; none when the bytes are of another version, or damaged.
pub(crate) fn unpack_changes(bytes: &[u8]) -> Option<Vec<Change>> {
    let mut r = Reader(bytes);
    if r.u8()? != VERSION {
        return None;
    }
    let count = usize::from(r.u8()?);
    if count > MEMBERS_MAX {
        return None;
    }
    let change = |r: &mut Reader<'_>| match (r.u8()?, r.u64()?) {
        (1, replica) => Some(Change::Voter(replica)),
        (2, replica) => Some(Change::Learner(replica)),
        (3, replica) => Some(Change::Remove(replica)),
        _ => None,
    };
    let changes = (0..count).map(|_| change(&mut r)).collect::<Option<Vec<Change>>>()?;
    r.is_empty().then_some(changes)
}

/// The change as raft-rs takes it: of several members, by joint consensus that the leader leaves by itself.
pub(crate) fn to_raft(changes: &[Change]) -> ConfChangeV2 {
    let mut change = ConfChangeV2::default();
    for c in changes {
        let (kind, replica) = match *c {
            Change::Voter(replica) => (ConfChangeType::AddNode, replica),
            Change::Learner(replica) => (ConfChangeType::AddLearnerNode, replica),
            Change::Remove(replica) => (ConfChangeType::RemoveNode, replica),
        };
        let mut single = ConfChangeSingle::default();
        single.set_change_type(kind);
        single.node_id = replica;
        change.changes.push(single);
    }
    change.set_transition(ConfChangeTransition::Auto);
    change
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_changes_read_back_as_they_were_written() {
        let members = Members {
            voters: vec![1, 2, ReplicaId::joining(3, 7).number()],
            learners: vec![4],
            voters_outgoing: vec![1, 2, 3],
            learners_next: vec![],
            auto_leave: true,
        };
        let mut bytes = Vec::new();
        members.pack(&mut bytes);
        assert_eq!(Members::unpack(&mut Reader(&bytes)), Some(members.clone()));
        assert_eq!(Members::from_raft(&members.to_raft()), members);
        let changes = vec![Change::Voter(1), Change::Learner(2 << 40 | 5), Change::Remove(3)];
        assert_eq!(unpack_changes(&pack_changes(&changes)), Some(changes));
        assert_eq!(unpack_changes(&pack_changes(&[])), Some(vec![]));
        bytes[0] = 2;
        assert_eq!(Members::unpack(&mut Reader(&bytes)), None, "another version");
        for cut in 0..bytes.len() {
            assert_eq!(Members::unpack(&mut Reader(&bytes[..cut])), None);
        }
        assert_eq!(unpack_changes(&[1, 1, 9, 0, 0, 0, 0, 0, 0, 0, 0]), None, "no such kind");
    }

    /// A group of so many replicas, all of which change at once.
    fn joint(replicas: u64) -> Members {
        let all: Vec<u64> = (1..=replicas).collect();
        Members { voters: all.clone(), voters_outgoing: all, ..Members::default() }
    }

    #[test]
    fn a_full_group_reads_back_also_while_all_of_it_changes_and_no_larger_one_comes_in() {
        let full = joint(REPLICAS_MAX as u64);
        let mut bytes = Vec::new();
        full.pack(&mut bytes);
        assert_eq!(Members::unpack(&mut Reader(&bytes)), Some(full.clone()));
        assert!(full.is_sound() && full.is_full_without(&[]) && !full.is_full_without(&[7]));
        let larger = Members { learners: vec![100], ..full };
        assert!(!larger.is_sound(), "a replica that took it in could not write it down");
        let changes: Vec<Change> = (1..=MEMBERS_MAX as u64).map(Change::Remove).collect();
        assert_eq!(unpack_changes(&pack_changes(&changes)), Some(changes));
    }

    #[test]
    #[should_panic(expected = "a group of 66 entries could not be read again")]
    fn a_group_that_could_not_be_read_again_is_not_written() {
        joint(REPLICAS_MAX as u64 + 1).pack(&mut Vec::new());
    }

    #[test]
    fn a_replica_knows_its_node_and_its_life() {
        let replica = ReplicaId::joining(7, 0xdead_beef);
        assert_eq!((replica.node(), replica.life()), (7, 0xdead_beef));
        assert_eq!(ReplicaId::from_number(replica.number()), Some(replica));
        assert_eq!(ReplicaId::founder(7).number(), 7);
        assert_eq!(ReplicaId::from_number(1 << 32), None, "no node has number 0");
    }
}
