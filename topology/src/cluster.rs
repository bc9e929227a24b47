//! A cluster: its nodes, its shards, on which nodes the replicas of each shard are, and who owns which slot.

use crate::map::SlotMap;
use crate::slots::ShardId;
use crest_ledger::limits::SHARDS_MAX;

/// Number of a node, from 1 to [`NODE_ID_MAX`]. Zero is nobody.
pub type NodeId = u32;

/// The largest number of a node. It has room in the lower half of a replica's raft id, and numbers need never be given
/// twice: a machine that leaves takes its number along.
pub const NODE_ID_MAX: NodeId = (1 << 20) - 1;

/// Nodes of a cluster: as many as shards, so that every shard can be alone on a node of its own.
pub const NODES_MAX: usize = SHARDS_MAX as usize;

/// The numbers of replicas that a shard may have. An even number survives no more lost nodes than the odd one below it, and
/// more than five make every payment wait for a larger majority.
pub const REPLICA_COUNTS: [usize; 3] = [1, 3, 5];

/// Characters of a cluster's name: what a DNS label or a metric's label holds.
pub const CLUSTER_NAME_CHARS_MAX: usize = 64;

/// The largest version and epoch: what the cluster file's language can write.
pub const VERSION_MAX: u64 = i64::MAX as u64;

/// A cluster. The fields are as [`Cluster::parse`] leaves them; whoever fills them in otherwise keeps to the same rules, and
/// finds out whether it did by parsing what [`Cluster::to_toml`] writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// The name. Nodes store it, and refuse to open another cluster's data.
    pub name: String,
    /// Raised by every change, by one; from 1. Of two maps of one cluster, the one with the larger version is the newer.
    pub version: u64,
    /// Every node, sorted by number.
    pub nodes: Vec<NodeEntry>,
    /// Every shard, sorted by number.
    pub shards: Vec<ShardEntry>,
    /// Who owns which slot; its epoch is raised only when slots change owner.
    pub map: SlotMap,
}

/// A node and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEntry {
    /// The number, from 1 to [`NODE_ID_MAX`].
    pub id: NodeId,
    /// `host:port` of the node's gRPC; an IPv6 host stands in brackets. Every node has its own.
    pub address: String,
}

/// A shard and the nodes that are to have a replica of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardEntry {
    /// The number, below [`SHARDS_MAX`].
    pub id: ShardId,
    /// The nodes that are to have a voter: sorted, unique, as many as one of [`REPLICA_COUNTS`].
    pub replicas: Vec<NodeId>,
    /// Whether the shard's group is known to exist: then a node without a replica joins it, and never founds another one in its
    /// place, which would be empty. Every change of `replicas` sets it, for good.
    pub founded: bool,
}

/// Why a map is not a later one of the same cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionError {
    /// It is of another cluster.
    #[error("it is the map of cluster {found}, not of {expected}")]
    OtherCluster {
        /// The cluster's name.
        expected: String,
        /// The other one.
        found: String,
    },
    /// Its version is not larger.
    #[error("it has version {found}, and {current} was seen already: every change raises the version")]
    NotNewer {
        /// The version that it was to follow.
        current: u64,
        /// Its version.
        found: u64,
    },
    /// Its epoch is smaller.
    #[error("it has epoch {found}, and {current} was seen already: an epoch is never lowered")]
    EpochLowered {
        /// The epoch that it was to follow.
        current: u64,
        /// Its epoch.
        found: u64,
    },
    /// Slots have other owners, and the epoch is the same.
    #[error(
        "slots have other owners, and the epoch is still {epoch}: raise it, so that nobody takes the one for the other"
    )]
    EpochNotRaised {
        /// The epoch of both.
        epoch: u64,
    },
}

impl Cluster {
    /// Whether `next` may be a later map of this cluster. Versions in between may be missing.
    ///
    /// # Errors
    /// See [`SuccessionError`].
    pub fn check_next(&self, next: &Self) -> Result<(), SuccessionError> {
        if next.name != self.name {
            return Err(SuccessionError::OtherCluster { expected: self.name.clone(), found: next.name.clone() });
        }
        if next.version <= self.version {
            return Err(SuccessionError::NotNewer { current: self.version, found: next.version });
        }
        let (current, found) = (self.map.epoch(), next.map.epoch());
        if found < current {
            return Err(SuccessionError::EpochLowered { current, found });
        }
        if found == current && next.map.ranges() != self.map.ranges() {
            return Err(SuccessionError::EpochNotRaised { epoch: current });
        }
        Ok(())
    }

    /// The node of that number; none when the cluster has no such node.
    pub fn node(&self, id: NodeId) -> Option<&NodeEntry> {
        let position = self.nodes.binary_search_by_key(&id, |node| node.id).ok()?;
        Some(&self.nodes[position])
    }

    /// The address of a node; none when the cluster has no such node.
    pub fn address_of_node(&self, id: NodeId) -> Option<&str> {
        self.node(id).map(|node| node.address.as_str())
    }

    /// The shard of that number; none when the cluster has no such shard.
    pub fn shard(&self, id: ShardId) -> Option<&ShardEntry> {
        let position = self.shards.binary_search_by_key(&id, |shard| shard.id).ok()?;
        Some(&self.shards[position])
    }

    /// The shards that are to have a replica on the node, sorted.
    pub fn shards_on(&self, node: NodeId) -> impl Iterator<Item = ShardId> + '_ {
        self.shards.iter().filter(move |shard| shard.replicas.contains(&node)).map(|shard| shard.id)
    }

    /// The nodes that are to have a replica of the shard, sorted; none when the cluster has no such shard.
    pub fn replicas_of(&self, shard: ShardId) -> &[NodeId] {
        self.shard(shard).map_or(&[], |shard| &shard.replicas)
    }

    /// The address of the first of a shard's replicas; none when the cluster has no such shard.
    pub fn address_of(&self, shard: ShardId) -> Option<&str> {
        self.address_of_node(*self.replicas_of(shard).first()?)
    }
}

/// Whether `name` can be a cluster's name; the error says what a name is.
///
/// # Errors
/// When it is empty, too long, or has other characters than a-z, 0-9 and -.
pub fn check_name(name: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=CLUSTER_NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(legal) {
        return Ok(());
    }
    Err(format!("expected 1 to {CLUSTER_NAME_CHARS_MAX} characters of a-z, 0-9 and -"))
}

/// Checks the shape of `host:port` only: whether a name resolves is found out when somebody connects.
///
/// # Errors
/// What was expected.
pub fn check_address(address: &str) -> Result<(), &'static str> {
    if address.contains("://") {
        return Err("expected host:port, without a scheme: leave out everything up to `://`");
    }
    let shape = "expected host:port, such as 127.0.0.1:7101, node-0.crest:7101 or [::1]:7101";
    let Some((host, port)) = address.rsplit_once(':') else { return Err(shape) };
    if address.len() > ADDRESS_CHARS_MAX {
        return Err("expected a host of at most 253 characters");
    }
    if !port.bytes().all(|b| b.is_ascii_digit()) || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err("expected a port from 1 to 65535 after the last colon");
    }
    let host_is_valid = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => host.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
            !host.is_empty() && host.bytes().all(legal)
        }
    };
    if host_is_valid { Ok(()) } else { Err(shape) }
}

/// Characters of an address: the longest DNS name, a colon, five digits.
pub(crate) const ADDRESS_CHARS_MAX: usize = 253 + 1 + 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_follows_another_when_it_is_newer_and_its_epoch_tells_of_moved_slots() {
        let cluster = |name: &str, version: u64, epoch: u64, first: &str| {
            let slots = if first == "0-99" { "100-16383" } else { "200-16383" };
            let shards = format!(
                "[[shard]]\nid = 0\naddress = \"a:1\"\nslots = [\"{first}\"]\n\
                 [[shard]]\nid = 1\naddress = \"b:1\"\nslots = [\"{slots}\"]\n"
            );
            Cluster::parse(&format!("cluster = \"{name}\"\nversion = {version}\nepoch = {epoch}\n{shards}")).unwrap()
        };
        let current = cluster("x", 5, 3, "0-99");
        for next in [cluster("x", 6, 3, "0-99"), cluster("x", 9, 4, "0-99"), cluster("x", 6, 4, "0-199")] {
            assert_eq!(current.check_next(&next), Ok(()));
        }
        for (next, part) in [
            (cluster("y", 6, 3, "0-99"), "cluster y, not of x"),
            (cluster("x", 5, 3, "0-99"), "version 5, and 5 was seen"),
            (cluster("x", 4, 4, "0-99"), "version 4, and 5 was seen"),
            (cluster("x", 6, 2, "0-199"), "epoch 2, and 3 was seen"),
            (cluster("x", 6, 3, "0-199"), "the epoch is still 3"),
        ] {
            let error = current.check_next(&next).unwrap_err().to_string();
            assert!(error.contains(part), "{error:?} names {part:?}");
        }
    }
}
