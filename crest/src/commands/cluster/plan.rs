//! What a change of the map moves where, and whether that can be done safely just now. Pure.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crest_ledger::txn::ShardId;
use crest_node::ReplicaId;
use crest_topology::placement::{self, PlacementError};
use crest_topology::{Cluster, NodeId};
use serde_json::{Value, json};

use super::health::ranges;
use super::survey::{Role, ShardSeen, State, Survey};

/// A change of the map that an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    AddNode { node: NodeId, address: String },
    RemoveNode { node: NodeId },
    Drain { node: NodeId },
    Replace { old: NodeId, new: NodeId },
    Place { shard: ShardId, nodes: Vec<NodeId> },
}

impl Edit {
    /// The next version of a map.
    ///
    /// # Errors
    /// See [`PlacementError`].
    pub(crate) fn apply(&self, map: &Cluster) -> Result<Cluster, PlacementError> {
        match self {
            Self::AddNode { node, address } => placement::add_node(map, *node, address),
            Self::RemoveNode { node } => placement::remove_node(map, *node),
            Self::Drain { node } => placement::drain(map, *node),
            Self::Replace { old, new } => placement::replace(map, *old, *new),
            Self::Place { shard, nodes } => placement::place(map, *shard, nodes),
        }
    }
}

/// What is different in the next version of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The version that is there, and the next one.
    pub(crate) versions: (u64, u64),
    pub(crate) added: Vec<(NodeId, String)>,
    pub(crate) removed: Vec<NodeId>,
    pub(crate) moves: Vec<Move>,
}

/// A shard whose replicas are to be somewhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) shard: ShardId,
    pub(crate) from: Vec<NodeId>,
    pub(crate) to: Vec<NodeId>,
}

impl Move {
    /// The nodes that get a replica.
    pub(crate) fn come(&self) -> Vec<NodeId> {
        self.to.iter().copied().filter(|node| !self.from.contains(node)).collect()
    }

    /// The nodes that lose theirs.
    pub(crate) fn go(&self) -> Vec<NodeId> {
        self.from.iter().copied().filter(|node| !self.to.contains(node)).collect()
    }
}

impl Plan {
    /// What `next` has that is different in `map`.
    pub(crate) fn between(map: &Cluster, next: &Cluster) -> Self {
        let added = next.nodes.iter().filter(|node| map.node(node.id).is_none());
        let removed = map.nodes.iter().filter(|node| next.node(node.id).is_none());
        let moves = next.shards.iter().filter_map(|shard| {
            let (from, to) = (map.replicas_of(shard.id).to_vec(), shard.replicas.clone());
            (from != to).then_some(Move { shard: shard.id, from, to })
        });
        Self {
            versions: (map.version, next.version),
            added: added.map(|node| (node.id, node.address.clone())).collect(),
            removed: removed.map(|node| node.id).collect(),
            moves: moves.collect(),
        }
    }

    /// The shards that move.
    pub(crate) fn shards(&self) -> BTreeSet<ShardId> {
        self.moves.iter().map(|one| one.shard).collect()
    }

    /// The shards that will have fewer replicas than now.
    pub(crate) fn shrinks(&self) -> Vec<ShardId> {
        self.moves.iter().filter(|one| one.to.len() < one.from.len()).map(|one| one.shard).collect()
    }

    /// The plan for people, a line for each thing that changes.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("map version {} -> {}\n", self.versions.0, self.versions.1);
        // Writing to a String cannot fail.
        for (node, address) in &self.added {
            let _ = writeln!(text, "  node {node} at {address} is added");
        }
        for node in &self.removed {
            let _ = writeln!(text, "  node {node} is removed");
        }
        for one in &self.moves {
            let list = |nodes: &[NodeId]| ranges(nodes.iter().copied());
            let _ = write!(text, "  shard {}: nodes {} -> {}", one.shard, list(&one.from), list(&one.to));
            for (verb, nodes) in [("comes", one.come()), ("goes", one.go())] {
                for node in nodes {
                    let _ = write!(text, "; {node} {verb}");
                }
            }
            text.push('\n');
        }
        text
    }

    /// The plan for programs.
    pub(crate) fn document(&self) -> Value {
        let one = |one: &Move| json!({ "shard": one.shard, "from": one.from, "to": one.to });
        json!({
            "map_version": self.versions.1.to_string(),
            "nodes_added": self.added.iter().map(|(node, address)| json!({ "node": node, "address": address })).collect::<Vec<_>>(),
            "nodes_removed": self.removed,
            "moves": self.moves.iter().map(one).collect::<Vec<_>>(),
        })
    }
}

/// Whether the plan can be followed as the cluster is now. Gives what the operator has to know beforehand.
///
/// # Errors
/// Why not, and what to do first.
pub(crate) fn check(plan: &Plan, survey: &Survey) -> Result<Vec<String>, String> {
    for one in &plan.moves {
        let Some(seen) = survey.shard(one.shard) else { continue };
        check_move(one, seen)?;
    }
    for node in &plan.removed {
        check_removal(*node, survey)?;
    }
    let coming: BTreeSet<NodeId> = plan.moves.iter().flat_map(Move::come).collect();
    let silent = coming.into_iter().filter_map(|node| {
        let why = survey.node(node)?.told.as_ref().err()?;
        Some(format!("node {node} does not answer ({why}): start it, its replicas wait for it"))
    });
    Ok(silent.collect())
}

/// A group can follow a change of its members only while it has a leader. And one of its voters has to stay, so that those that
/// come, and routers, find it.
fn check_move(one: &Move, seen: &ShardSeen) -> Result<(), String> {
    let shard = one.shard;
    if seen.leader().is_none() {
        return Err(format!(
            "shard {shard} has no leader just now, so its group can follow no change: see `crest cluster status`, and bring it \
             back first"
        ));
    }
    let standings = seen.standings();
    let votes = |role: Role| matches!(role, Role::Leader | Role::Voter);
    let stays = standings.iter().any(|s| votes(s.role) && s.is_alive() && one.to.contains(&s.node));
    if !stays {
        return Err(format!(
            "none of the nodes that shard {shard} is to be on ({}) has a voter of it that is alive, and one has to stay: move it in \
             two steps, such as with `crest cluster place {shard} --replicas …`, and wait for the first one",
            ranges(one.to.iter().copied())
        ));
    }
    Ok(())
}

/// Whoever belongs to a group has to have an address.
fn check_removal(node: NodeId, survey: &Survey) -> Result<(), String> {
    for seen in &survey.shards {
        let shard = seen.shard;
        let Some((_, leader)) = seen.leader() else {
            return Err(format!(
                "shard {shard} has no leader just now, so nobody knows whether node {node} still belongs to its group: bring it \
                 back first"
            ));
        };
        let members = &leader.members;
        let all = [&members.voters, &members.learners, &members.voters_outgoing].into_iter().flatten();
        let mut belongs = all.filter_map(|number| ReplicaId::from_number(*number));
        let has = seen.of(node).and_then(|s| s.told.as_ref().ok()).is_some_and(|told| told.state != State::Absent);
        if belongs.any(|replica| replica.node() == node) || has {
            return Err(format!(
                "node {node} still has a replica of shard {shard}, which is leaving: wait until `crest cluster status` shows none"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::scenes::{members, regroup, well};
    use super::*;

    /// Plans an edit of a survey's map.
    fn plan(survey: &Survey, edit: &Edit) -> Plan {
        Plan::between(&survey.map, &edit.apply(&survey.map).unwrap())
    }

    #[test]
    fn a_plan_says_what_comes_and_what_goes() {
        let survey = well(4, &[&[1, 2, 3], &[2, 3, 4], &[3]]);
        let cases = [
            (
                Edit::Replace { old: 1, new: 4 },
                "map version 7 -> 8\n  shard 0: nodes 1-3 -> 2-4; 4 comes; 1 goes\n",
                &[][..],
            ),
            (
                Edit::AddNode { node: 5, address: "n5:1".to_owned() },
                "map version 7 -> 8\n  node 5 at n5:1 is added\n",
                &[],
            ),
            (
                Edit::Place { shard: 2, nodes: vec![3, 1, 2] },
                "map version 7 -> 8\n  shard 2: nodes 3 -> 1-3; 1 comes; 2 comes\n",
                &[],
            ),
            (
                Edit::Place { shard: 1, nodes: vec![4] },
                "map version 7 -> 8\n  shard 1: nodes 2-4 -> 4; 2 goes; 3 goes\n",
                &[1],
            ),
            (Edit::Drain { node: 4 }, "map version 7 -> 8\n  shard 1: nodes 2-4 -> 1-3; 1 comes; 4 goes\n", &[]),
        ];
        for (edit, text, shrinks) in cases {
            let plan = plan(&survey, &edit);
            assert_eq!((plan.text().as_str(), plan.shrinks().as_slice()), (text, shrinks), "{edit:?}");
        }
        let removed = plan(&well(4, &[&[1, 2, 3]]), &Edit::RemoveNode { node: 4 });
        assert_eq!(removed.text(), "map version 7 -> 8\n  node 4 is removed\n");
        assert_eq!(removed.document()["nodes_removed"], json!([4]));
    }

    #[track_caller]
    fn check_refused(survey: &Survey, edit: &Edit, parts: &[&str]) {
        let why = check(&plan(survey, edit), survey).unwrap_err();
        for part in parts {
            assert!(why.contains(part), "{why:?} names {part:?}");
        }
    }

    #[test]
    fn a_group_is_moved_only_when_it_can_follow() {
        let replace = Edit::Replace { old: 3, new: 4 };
        let well_ = || well(6, &[&[1, 2, 3]]);
        assert_eq!(check(&plan(&well_(), &replace), &well_()), Ok(vec![]));
        let dead = well_().silence(3);
        assert_eq!(check(&plan(&dead, &replace), &dead), Ok(vec![]), "what goes need not answer");
        let away = well_().silence(4);
        let warned = check(&plan(&away, &replace), &away).unwrap();
        assert_eq!(warned, ["node 4 does not answer (refused): start it, its replicas wait for it"]);
        check_refused(&well_().silence(1), &replace, &["shard 0 has no leader"]);
        let all_at_once = Edit::Place { shard: 0, nodes: vec![4, 5, 6] };
        check_refused(&well_(), &all_at_once, &["none of the nodes that shard 0 is to be on (4-6)", "two steps"]);
        let only_dead_stays = Edit::Place { shard: 0, nodes: vec![3, 5, 6] };
        check_refused(&well_().silence(3), &only_dead_stays, &["none of the nodes"]);
        let alone = well(3, &[&[1]]);
        check_refused(&alone, &Edit::Drain { node: 1 }, &["none of the nodes", "one has to stay"]);
        // An earlier change has not been followed yet: node 4 votes only in the map.
        let under_way = well_().want(0, &[1, 2, 4]);
        let next = Edit::Place { shard: 0, nodes: vec![4, 5, 6] };
        check_refused(&under_way, &next, &["none of the nodes"]);
    }

    #[test]
    fn a_node_is_removed_only_when_no_group_has_it() {
        let remove = Edit::RemoveNode { node: 4 };
        let gone = well(4, &[&[1, 2, 3]]);
        assert_eq!(check(&plan(&gone, &remove), &gone), Ok(vec![]));
        assert_eq!(check(&plan(&gone, &remove), &gone.clone().silence(4)), Ok(vec![]), "it need not answer");
        let leaving = gone.clone().with(0, |shard| regroup(shard, members(&[1, 2, 3, 4], &[])));
        check_refused(&leaving, &remove, &["node 4 still has a replica of shard 0"]);
        let learner = gone.clone().with(0, |shard| regroup(shard, members(&[1, 2, 3], &[4])));
        check_refused(&learner, &remove, &["node 4 still has a replica of shard 0"]);
        check_refused(&gone.silence(1), &remove, &["shard 0 has no leader", "nobody knows whether node 4"]);
    }
}
