//! The nodes of a cluster file, and which of them a shard is on: written out, laid out in turn, or in the short form.

use super::{ClusterFileError, FileNode, FileShard, field, quoted};
use crate::cluster::{NODE_ID_MAX, NODES_MAX, NodeEntry, NodeId, REPLICA_COUNTS, check_address};
use crate::slots::ShardId;
use std::collections::BTreeMap;

/// The nodes, sorted by number, and each shard's replicas, in the order of the file.
type Placement = (Vec<NodeEntry>, Vec<Vec<NodeId>>);

/// The short form: every shard has an address, and is alone on the node there. `ids` are the shards' numbers.
pub(super) fn from_addresses(ids: &[ShardId], file: &[FileShard]) -> Result<Placement, ClusterFileError> {
    let mut addresses = Addresses::new("shard");
    let mut nodes = Vec::new();
    for (n, (&id, shard)) in ids.iter().zip(file).enumerate() {
        if shard.replicas.is_some() {
            let problem = "names nodes, but the file has no [[node]]: write one with `id` and `address` for every node";
            return Err(field(format!("shard[{n}].replicas"), problem));
        }
        let missing = "is missing: write the host and port of the shard's node, such as \"127.0.0.1:7101\", or one [[node]] \
                       with `id` and `address` for every node";
        nodes.push(NodeEntry { id: id + 1, address: addresses.take(n, shard.address.as_ref(), missing)? });
    }
    let replicas = nodes.iter().map(|node| vec![node.id]).collect();
    nodes.sort_unstable_by_key(|node| node.id);
    Ok((nodes, replicas))
}

/// The usual form: nodes stand by themselves. `ids` are the shards' numbers.
pub(super) fn with_replicas(
    nodes: &[FileNode],
    ids: &[ShardId],
    file: &[FileShard],
) -> Result<Placement, ClusterFileError> {
    let nodes = parse_nodes(nodes)?;
    if let Some(n) = file.iter().position(|shard| shard.address.is_some()) {
        let problem = "stands beside [[node]]: leave it out, and name nodes in `replicas`; only a file without [[node]] gives \
                       a shard an address";
        return Err(field(format!("shard[{n}].address"), problem));
    }
    let with = file.iter().position(|shard| shard.replicas.is_some());
    let without = file.iter().position(|shard| shard.replicas.is_none());
    let replicas = match (with, without) {
        (Some(with), Some(without)) => {
            let problem = format!(
                "is missing, but shard[{with}] has it: give `replicas` for every shard, or for no shard, and they are laid \
                 out in turn"
            );
            return Err(field(format!("shard[{without}].replicas"), problem));
        }
        (Some(_), None) => {
            let written = file.iter().enumerate();
            written.map(|(n, shard)| parse_replicas(n, shard, &nodes)).collect::<Result<_, _>>()?
        }
        (None, _) => in_turn(ids, &nodes),
    };
    Ok((nodes, replicas))
}

fn parse_nodes(file: &[FileNode]) -> Result<Vec<NodeEntry>, ClusterFileError> {
    if file.len() > NODES_MAX {
        return Err(field("node", format!("{} nodes: expected at most {NODES_MAX}", file.len())));
    }
    let mut addresses = Addresses::new("node");
    let mut nodes: BTreeMap<NodeId, (usize, String)> = BTreeMap::new();
    for (n, node) in file.iter().enumerate() {
        let at = format!("node[{n}].id");
        let Some(id) = node.id else {
            return Err(field(at, "is missing: give the node a number that no other has, such as `id = 1`"));
        };
        let id = NodeId::try_from(id)
            .ok()
            .filter(|id| (1..=NODE_ID_MAX).contains(id))
            .ok_or_else(|| field(&at, format!("{id}: expected a number from 1 to {NODE_ID_MAX}")))?;
        let missing = "is missing: write the host and port of the node, such as \"127.0.0.1:7101\"";
        let address = addresses.take(n, node.address.as_ref(), missing)?;
        if let Some((other, _)) = nodes.insert(id, (n, address)) {
            return Err(field(at, format!("{id} is also the id of node[{other}]: give every node its own number")));
        }
    }
    Ok(nodes.into_iter().map(|(id, (_, address))| NodeEntry { id, address }).collect())
}

/// The replicas of the shard at position `n`, sorted.
fn parse_replicas(n: usize, shard: &FileShard, nodes: &[NodeEntry]) -> Result<Vec<NodeId>, ClusterFileError> {
    let written = shard.replicas.as_deref().unwrap_or_default();
    if !REPLICA_COUNTS.contains(&written.len()) {
        let problem = format!("{} nodes: expected 1, 3 or 5, so that a majority outlives the others", written.len());
        return Err(field(format!("shard[{n}].replicas"), problem));
    }
    let mut replicas = Vec::new();
    for (k, &number) in written.iter().enumerate() {
        let at = format!("shard[{n}].replicas[{k}]");
        let Some(node) = nodes.iter().find(|node| i64::from(node.id) == number) else {
            let problem =
                format!("{number}: there is no such node; write a [[node]] with `id = {number}`, or another number");
            return Err(field(at, problem));
        };
        if replicas.contains(&node.id) {
            return Err(field(at, format!("{number} is named twice: a node has one replica of a shard at the most")));
        }
        replicas.push(node.id);
    }
    replicas.sort_unstable();
    Ok(replicas)
}

/// Lays the shards out over the nodes, so that no node has many more than another.
fn in_turn(ids: &[ShardId], nodes: &[NodeEntry]) -> Vec<Vec<NodeId>> {
    let count = if nodes.len() < 3 { 1 } else { 3 };
    let place = |id: &ShardId| {
        let rank = ids.iter().filter(|other| *other < id).count();
        let mut replicas: Vec<NodeId> = (rank..rank + count).map(|turn| nodes[turn % nodes.len()].id).collect();
        replicas.sort_unstable();
        replicas
    };
    ids.iter().map(place).collect()
}

/// The addresses of a file so far: each is taken once.
struct Addresses {
    /// What has an address: `node`, or `shard` in the short form.
    table: &'static str,
    /// Positions by address, in lower case.
    positions: BTreeMap<String, usize>,
}

impl Addresses {
    fn new(table: &'static str) -> Self {
        Self { table, positions: BTreeMap::new() }
    }

    /// The address at position `n`; `missing` says what to write when there is none.
    fn take(&mut self, n: usize, address: Option<&String>, missing: &str) -> Result<String, ClusterFileError> {
        let table = self.table;
        let at = format!("{table}[{n}].address");
        let Some(address) = address else { return Err(field(at, missing)) };
        check_address(address).map_err(|problem| field(&at, format!("{}: {problem}", quoted(address))))?;
        if let Some(other) = self.positions.insert(address.to_ascii_lowercase(), n) {
            let problem = format!("{address} is also the address of {table}[{other}]: every node needs its own");
            return Err(field(at, problem));
        }
        Ok(address.clone())
    }
}
