//! Changes of where replicas are. Each takes a cluster and gives its next version; nothing here touches a running node: the
//! shards' leaders follow what the map says.

use crate::cluster::{
    Cluster, NODE_ID_MAX, NODES_MAX, NodeEntry, NodeId, REPLICA_COUNTS, ShardEntry, VERSION_MAX, check_address,
};
use crate::slots::ShardId;
use std::collections::BTreeMap;

/// Why a change of the placement is refused. The message says what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// There is no such node.
    #[error("the cluster has no node {node}: its nodes are {}; add the node first", list(nodes))]
    UnknownNode {
        /// The node asked for.
        node: NodeId,
        /// The nodes that there are.
        nodes: Vec<NodeId>,
    },
    /// A node's number is taken.
    #[error(
        "the cluster has a node {node} already, at {address}: give the new node a number of its own, such as {free}"
    )]
    NodeExists {
        /// The number.
        node: NodeId,
        /// Where the node of that number is.
        address: String,
        /// A number that nobody has.
        free: NodeId,
    },
    /// A node's number is out of range.
    #[error("{node} is not a number of a node: expected one from 1 to {NODE_ID_MAX}")]
    NodeOutOfRange {
        /// The number.
        node: NodeId,
    },
    /// The cluster has as many nodes as it may have.
    #[error("the cluster has {NODES_MAX} nodes, and cannot have more: remove one first")]
    TooManyNodes,
    /// An address is not one.
    #[error("the address {address:?}: {problem}")]
    Address {
        /// What was given.
        address: String,
        /// What was expected.
        problem: &'static str,
    },
    /// Another node is at that address.
    #[error("{address} is the address of node {node} already: every node needs its own")]
    AddressTaken {
        /// The address.
        address: String,
        /// Who has it.
        node: NodeId,
    },
    /// The node has no replica that could go elsewhere.
    #[error("node {node} is to have no replica: there is nothing to move")]
    NothingThere {
        /// The node.
        node: NodeId,
    },
    /// A node that is to be removed is in a placement.
    #[error(
        "node {node} is to have replicas of {}: drain it first, and wait until they have moved",
        shards_text(shards)
    )]
    InUse {
        /// The node.
        node: NodeId,
        /// The shards it has replicas of.
        shards: Vec<ShardId>,
    },
    /// A node is to be replaced by itself.
    #[error("node {node} cannot replace itself: name another node to take over")]
    Itself {
        /// The node.
        node: NodeId,
    },
    /// A replacement would put two replicas of a shard on one node.
    #[error(
        "node {to} is to have a replica of {} already, as node {from} is: replace it by a node that has none of them, or drain \
         node {from}",
        shards_text(shards)
    )]
    BothThere {
        /// The node that is to leave.
        from: NodeId,
        /// The node that is to take over.
        to: NodeId,
        /// The shards that are on both.
        shards: Vec<ShardId>,
    },
    /// There is no node left that has no replica of the shard.
    #[error("shard {shard} cannot leave node {node}, since every other node has a replica of it: add a node first")]
    NowhereToGo {
        /// The shard.
        shard: ShardId,
        /// The node that it is to leave.
        node: NodeId,
    },
    /// There is no such shard.
    #[error("the cluster has no shard {shard}: its shards are {}", list(shards))]
    UnknownShard {
        /// The shard asked for.
        shard: ShardId,
        /// The shards that there are.
        shards: Vec<ShardId>,
    },
    /// A node is named more than once.
    #[error("node {node} is named twice: a node has one replica of a shard at the most")]
    Twice {
        /// The node.
        node: NodeId,
    },
    /// A shard cannot have so many replicas.
    #[error("{found} replicas: expected 1, 3 or 5, so that a majority outlives the others")]
    ReplicaCount {
        /// How many.
        found: usize,
    },
    /// Nothing would change.
    #[error("shard {shard} is to be on {} already: there is nothing to change", list(nodes))]
    ThereAlready {
        /// The shard.
        shard: ShardId,
        /// Its nodes.
        nodes: Vec<NodeId>,
    },
    /// The version cannot be raised any more.
    #[error("version {version} of the map is the last one that there can be")]
    LastVersion {
        /// The version.
        version: u64,
    },
}

/// Adds a node, without any replica: shards come to it by [`replace`] and [`drain`].
///
/// # Errors
/// When the number or the address is taken or not valid, or the cluster is full.
pub fn add_node(cluster: &Cluster, node: NodeId, address: &str) -> Result<Cluster, PlacementError> {
    if !(1..=NODE_ID_MAX).contains(&node) {
        return Err(PlacementError::NodeOutOfRange { node });
    }
    if let Some(NodeEntry { address, .. }) = cluster.node(node) {
        let mut free = (1..=NODE_ID_MAX).filter(|&id| cluster.node(id).is_none());
        let free = free.next().ok_or(PlacementError::TooManyNodes)?;
        return Err(PlacementError::NodeExists { node, address: address.clone(), free });
    }
    check_address(address).map_err(|problem| PlacementError::Address { address: address.to_owned(), problem })?;
    if let Some(other) = cluster.nodes.iter().find(|other| other.address.eq_ignore_ascii_case(address)) {
        return Err(PlacementError::AddressTaken { address: address.to_owned(), node: other.id });
    }
    if cluster.nodes.len() >= NODES_MAX {
        return Err(PlacementError::TooManyNodes);
    }
    let mut next = next_version(cluster)?;
    next.nodes.push(NodeEntry { id: node, address: address.to_owned() });
    next.nodes.sort_unstable_by_key(|node| node.id);
    Ok(next)
}

/// Removes a node that is in no placement.
///
/// # Errors
/// When there is no such node, or it is to have a replica.
pub fn remove_node(cluster: &Cluster, node: NodeId) -> Result<Cluster, PlacementError> {
    check_node(cluster, node)?;
    let shards: Vec<ShardId> = cluster.shards_on(node).collect();
    if !shards.is_empty() {
        return Err(PlacementError::InUse { node, shards });
    }
    let mut next = next_version(cluster)?;
    next.nodes.retain(|entry| entry.id != node);
    Ok(next)
}

/// Puts `to` in the place of `from` in every shard.
///
/// # Errors
/// When one of the two is not a node, `from` has no replica, or `to` has one of a shard that is on `from`.
pub fn replace(cluster: &Cluster, from: NodeId, to: NodeId) -> Result<Cluster, PlacementError> {
    check_node(cluster, from)?;
    check_node(cluster, to)?;
    if from == to {
        return Err(PlacementError::Itself { node: from });
    }
    let moved: Vec<ShardId> = cluster.shards_on(from).collect();
    if moved.is_empty() {
        return Err(PlacementError::NothingThere { node: from });
    }
    let shards: Vec<ShardId> = cluster.shards_on(to).filter(|shard| moved.contains(shard)).collect();
    if !shards.is_empty() {
        return Err(PlacementError::BothThere { from, to, shards });
    }
    let mut next = next_version(cluster)?;
    for shard in &mut next.shards {
        exchange(shard, from, to);
    }
    Ok(next)
}

/// Takes every replica from `node`: each goes to the node that has the fewest (of several, the one with the lowest number) and
/// none of that shard.
///
/// # Errors
/// When there is no such node, it has no replica, or a shard has nowhere to go; then none is moved.
pub fn drain(cluster: &Cluster, node: NodeId) -> Result<Cluster, PlacementError> {
    check_node(cluster, node)?;
    if cluster.shards_on(node).next().is_none() {
        return Err(PlacementError::NothingThere { node });
    }
    let mut loads: BTreeMap<NodeId, usize> =
        cluster.nodes.iter().filter(|other| other.id != node).map(|other| (other.id, 0)).collect();
    for replica in cluster.shards.iter().flat_map(|shard| &shard.replicas) {
        loads.entry(*replica).and_modify(|load| *load += 1);
    }
    let mut next = next_version(cluster)?;
    for shard in next.shards.iter_mut().filter(|shard| shard.replicas.contains(&node)) {
        let free = loads.iter_mut().filter(|(other, _)| !shard.replicas.contains(other));
        let Some((&to, load)) = free.min_by_key(|(id, load)| (**load, **id)) else {
            return Err(PlacementError::NowhereToGo { shard: shard.id, node });
        };
        *load += 1;
        exchange(shard, node, to);
    }
    Ok(next)
}

/// Puts a shard on exactly these nodes: to grow it, to shrink it, or to move some of its replicas.
///
/// # Errors
/// When there is no such shard or node, a node is named twice, there are not 1, 3 or 5, or the shard is to be there already.
pub fn place(cluster: &Cluster, shard: ShardId, nodes: &[NodeId]) -> Result<Cluster, PlacementError> {
    let Some(entry) = cluster.shard(shard) else {
        return Err(PlacementError::UnknownShard {
            shard,
            shards: cluster.shards.iter().map(|shard| shard.id).collect(),
        });
    };
    let mut replicas = nodes.to_vec();
    replicas.sort_unstable();
    replicas.iter().try_for_each(|node| check_node(cluster, *node))?;
    if let Some(pair) = replicas.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(PlacementError::Twice { node: pair[0] });
    }
    if !REPLICA_COUNTS.contains(&replicas.len()) {
        return Err(PlacementError::ReplicaCount { found: replicas.len() });
    }
    if entry.replicas == replicas {
        return Err(PlacementError::ThereAlready { shard, nodes: replicas });
    }
    let mut next = next_version(cluster)?;
    for entry in next.shards.iter_mut().filter(|entry| entry.id == shard) {
        entry.replicas.clone_from(&replicas);
        entry.founded = true;
    }
    Ok(next)
}

fn exchange(shard: &mut ShardEntry, from: NodeId, to: NodeId) {
    if let Some(replica) = shard.replicas.iter_mut().find(|replica| **replica == from) {
        *replica = to;
        shard.replicas.sort_unstable();
        shard.founded = true;
    }
}

fn check_node(cluster: &Cluster, node: NodeId) -> Result<(), PlacementError> {
    if cluster.node(node).is_some() {
        return Ok(());
    }
    Err(PlacementError::UnknownNode { node, nodes: cluster.nodes.iter().map(|node| node.id).collect() })
}

fn next_version(cluster: &Cluster) -> Result<Cluster, PlacementError> {
    if cluster.version >= VERSION_MAX {
        return Err(PlacementError::LastVersion { version: cluster.version });
    }
    Ok(Cluster { version: cluster.version + 1, ..cluster.clone() })
}

fn list(numbers: &[u32]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn shards_text(shards: &[ShardId]) -> String {
    let noun = if shards.len() == 1 { "shard" } else { "shards" };
    format!("{noun} {}", list(shards))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes 1 to 5 at `n<k>:1`, and shards from 0 on the given nodes, at version 7.
    fn cluster(placement: &[&[NodeId]]) -> Cluster {
        let nodes: String = (1..=5).map(|id| format!("[[node]]\nid = {id}\naddress = \"n{id}:1\"\n")).collect();
        let shards = placement.iter().enumerate();
        let shards: String = shards.map(|(id, on)| format!("[[shard]]\nid = {id}\nreplicas = {on:?}\n")).collect();
        Cluster::parse(&format!("cluster = \"x\"\nversion = 7\nepoch = 2\n{nodes}{shards}")).unwrap()
    }

    /// Checks the next version's placement, that the shards that move are marked as founded, and that it differs in nothing
    /// else.
    #[track_caller]
    fn check(before: &Cluster, after: Result<Cluster, PlacementError>, placement: &[&[NodeId]]) {
        let after = after.unwrap();
        let mut expected = Cluster { version: 8, nodes: after.nodes.clone(), ..cluster(placement) };
        for (shard, earlier) in expected.shards.iter_mut().zip(&before.shards) {
            shard.founded = shard.replicas != earlier.replicas;
        }
        assert_eq!(after, expected);
        assert_eq!(after.nodes, before.nodes);
        assert_eq!(Cluster::parse(&after.to_toml()).unwrap(), after);
    }

    #[track_caller]
    fn check_refused(after: Result<Cluster, PlacementError>, parts: &[&str]) {
        let error = after.unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error:?} names {part:?}");
        }
    }

    #[test]
    fn a_node_takes_the_place_of_another_in_every_shard() {
        let before = cluster(&[&[1, 2, 3], &[2, 3, 4], &[3]]);
        check(&before, replace(&before, 1, 5), &[&[2, 3, 5], &[2, 3, 4], &[3]]);
        check(&before, replace(&before, 3, 5), &[&[1, 2, 5], &[2, 4, 5], &[5]]);
        check_refused(replace(&before, 3, 2), &["node 2", "shards 0, 1 already", "node 3", "drain"]);
        check_refused(replace(&before, 1, 2), &["shard 0 already"]);
        check_refused(replace(&before, 5, 1), &["node 5 is to have no replica"]);
        check_refused(replace(&before, 1, 1), &["node 1 cannot replace itself"]);
        check_refused(replace(&before, 9, 1), &["no node 9", "1, 2, 3, 4, 5", "add"]);
        check_refused(replace(&before, 1, 9), &["no node 9"]);
    }

    #[test]
    fn a_drained_nodes_shards_go_where_the_fewest_replicas_are() {
        let before = cluster(&[&[1, 2, 3], &[1, 2, 3], &[1], &[4]]);
        // 4 has one, 5 has none: shard 0 goes to 5, then both have one and the lower number takes shard 1, then 5 has fewer.
        check(&before, drain(&before, 1), &[&[2, 3, 5], &[2, 3, 4], &[5], &[4]]);
        check(&before, drain(&before, 4), &[&[1, 2, 3], &[1, 2, 3], &[1], &[5]]);
        check_refused(drain(&before, 5), &["node 5 is to have no replica"]);
        check_refused(drain(&before, 0), &["no node 0"]);
        let full = cluster(&[&[1], &[1, 2, 3, 4, 5]]);
        check_refused(drain(&full, 1), &["shard 1 cannot leave node 1", "add a node first"]);
        let one = Cluster::parse("cluster = \"x\"\nepoch = 1\n[[shard]]\nid = 0\naddress = \"a:1\"\n").unwrap();
        check_refused(drain(&one, 1), &["shard 0 cannot leave node 1", "add a node first"]);
    }

    #[test]
    fn a_shard_is_placed_on_one_three_or_five_nodes() {
        let before = cluster(&[&[1, 2, 3], &[4]]);
        check(&before, place(&before, 1, &[4, 1, 5]), &[&[1, 2, 3], &[1, 4, 5]]);
        check(&before, place(&before, 0, &[2]), &[&[2], &[4]]);
        check(&before, place(&before, 0, &[5, 4, 3, 2, 1]), &[&[1, 2, 3, 4, 5], &[4]]);
        let grown = place(&before, 1, &[4, 1, 5]).unwrap();
        let again = place(&grown, 0, &[1, 2, 4]).unwrap();
        assert!(again.shards.iter().all(|shard| shard.founded), "what was founded stays so: {again:?}");
        check_refused(place(&before, 2, &[1]), &["no shard 2", "0, 1"]);
        check_refused(place(&before, 0, &[1, 2, 9]), &["no node 9"]);
        check_refused(place(&before, 0, &[1, 2, 1]), &["node 1 is named twice"]);
        check_refused(place(&before, 0, &[1, 2]), &["2 replicas", "1, 3 or 5"]);
        check_refused(place(&before, 0, &[]), &["0 replicas"]);
        check_refused(place(&before, 0, &[3, 2, 1]), &["shard 0 is to be on 1, 2, 3 already"]);
    }

    #[test]
    fn a_node_comes_without_replicas_and_leaves_without_them() {
        let before = cluster(&[&[1, 2, 3], &[4]]);
        let with = add_node(&before, 6, "n6:1").unwrap();
        assert_eq!((with.version, with.address_of_node(6), with.shards_on(6).count()), (8, Some("n6:1"), 0));
        assert_eq!(with.shards, before.shards);
        let without = remove_node(&with, 6).unwrap();
        assert_eq!(without, Cluster { version: 9, ..before.clone() });
        let low = remove_node(&before, 5).and_then(|without| add_node(&without, 5, "m:2")).unwrap();
        assert!(low.nodes.is_sorted_by_key(|node| node.id), "{:?}", low.nodes);

        check_refused(add_node(&before, 3, "m:1"), &["node 3 already, at n3:1", "such as 6"]);
        check_refused(add_node(&before, 0, "m:1"), &["0 is not a number of a node", "1 to 1048575"]);
        check_refused(add_node(&before, 1 << 20, "m:1"), &["1048576 is not"]);
        check_refused(add_node(&before, 6, "m"), &["\"m\"", "host:port"]);
        check_refused(add_node(&before, 6, "N2:1"), &["N2:1 is the address of node 2"]);
        check_refused(remove_node(&before, 4), &["node 4", "shard 1:", "drain it first"]);
        check_refused(remove_node(&before, 6), &["no node 6"]);
    }

    #[test]
    fn the_last_version_stays() {
        let last = Cluster { version: VERSION_MAX, ..cluster(&[&[1]]) };
        check_refused(add_node(&last, 6, "m:1"), &["version 9223372036854775807"]);
    }

    #[test]
    fn a_full_cluster_takes_no_more_nodes() {
        let mut full = cluster(&[&[1]]);
        full.nodes = (1..=NODES_MAX as NodeId).map(|id| NodeEntry { id, address: format!("n{id}:1") }).collect();
        check_refused(add_node(&full, 5_000, "m:1"), &["1024 nodes", "remove one first"]);
    }
}
