//! The cluster file: the name of the cluster, its nodes, its shards, which nodes they are on, and which slots they own.
//!
//! ```toml
//! cluster = "payments-eu"       # 1 to 64 characters of a-z, 0-9 and -
//! version = 1                   # raised by every change; from 1, and 1 when it is left out
//! epoch = 1                     # raised when slots change owner; from 1
//!
//! [[node]]
//! id = 1                        # from 1 to 1048575, unique
//! address = "10.0.0.1:7101"     # host:port of the node's gRPC, unique
//!
//! [[shard]]
//! id = 0                        # below 1,024, unique
//! replicas = [1, 2, 3]          # 1, 3 or 5 nodes; for every shard, or for none: then they are laid out in turn
//! slots = ["0-4095", "9000"]    # for every shard, or for none: then they share evenly
//! founded = true                # written by changes of `replicas`: its group exists, and nobody founds it again
//! ```
//!
//! Laid out in turn, the k-th shard goes on three nodes (on one when there are fewer than three), from the k-th on.
//!
//! The short form has no `[[node]]`, and every shard has an `address` instead of `replicas`: shard k is then alone on node
//! k + 1 at that address.

mod nodes;
mod slots;
#[cfg(test)]
mod tests;

use crate::cluster::{ADDRESS_CHARS_MAX, Cluster, NODES_MAX, NodeEntry, REPLICA_COUNTS, ShardEntry, check_name};
use crate::map::SlotRange;
use crate::slots::{SLOTS, ShardId};
use crest_ledger::limits::SHARDS_MAX;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Bytes of a cluster file. [`Cluster::to_toml`] stays below it, whatever the cluster.
pub const CLUSTER_FILE_BYTES_MAX: usize = 1 << 20;

/// Bytes that a file's head, a node and a shard take at most besides names, addresses, replicas and slots.
const HEAD_BYTES: usize = 200;
const NODE_BYTES: usize = 50;
const SHARD_BYTES: usize = 80;
/// `1048575, ` and `"16383", `.
const ITEM_BYTES: usize = 9;

const _: () = assert!(
    HEAD_BYTES
        + NODES_MAX * (NODE_BYTES + ADDRESS_CHARS_MAX)
        + SHARDS_MAX as usize * (SHARD_BYTES + REPLICA_COUNTS[REPLICA_COUNTS.len() - 1] * ITEM_BYTES)
        + SLOTS * ITEM_BYTES
        <= CLUSTER_FILE_BYTES_MAX,
    "the largest cluster's file can be read again"
);

/// Why a cluster file is refused. The message names the place, what was expected there, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClusterFileError {
    /// The file cannot be read.
    #[error("cannot read the cluster file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is too long to be a cluster file.
    #[error("the cluster file has more than {CLUSTER_FILE_BYTES_MAX} bytes: is it the right file?")]
    TooLong,
    /// The text is not TOML, or has a key or a type that does not belong there.
    #[error("cluster file, line {line}: {problem}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// A field is missing or its value is not acceptable.
    #[error("cluster file, {field}: {problem}")]
    Field {
        /// The field, as in `shard[2].slots[0]` (from 0, in the order of the file).
        field: String,
        /// What was found, what was expected, and what to do.
        problem: String,
    },
}

/// The file as it is written. Fields are optional here so that a missing one is named by [`ClusterFileError::Field`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cluster: Option<String>,
    version: Option<i64>,
    epoch: Option<i64>,
    #[serde(default)]
    node: Vec<FileNode>,
    #[serde(default)]
    shard: Vec<FileShard>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileNode {
    id: Option<i64>,
    address: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileShard {
    id: Option<i64>,
    address: Option<String>,
    replicas: Option<Vec<i64>>,
    slots: Option<Vec<String>>,
    #[serde(default)]
    founded: bool,
}

impl Cluster {
    /// Reads the text of a cluster file.
    ///
    /// # Errors
    /// See [`ClusterFileError`]; nothing is corrected or guessed.
    pub fn parse(text: &str) -> Result<Self, ClusterFileError> {
        if text.len() > CLUSTER_FILE_BYTES_MAX {
            return Err(ClusterFileError::TooLong);
        }
        let file: File = toml::from_str(text).map_err(|error| syntax(text, &error))?;
        let name = parse_name(file.cluster)?;
        let version = parse_count("version", file.version.unwrap_or(1))?;
        let Some(epoch) = file.epoch else {
            return Err(field("epoch", "is missing: write `epoch = 1` for a new cluster"));
        };
        let epoch = parse_count("epoch", epoch)?;
        let ids = parse_shard_ids(&file.shard)?;
        let (nodes, replicas) = match file.node.as_slice() {
            [] => nodes::from_addresses(&ids, &file.shard)?,
            nodes => nodes::with_replicas(nodes, &ids, &file.shard)?,
        };
        let map = slots::parse_map(epoch, &ids, &file.shard)?;
        let entries = ids.into_iter().zip(replicas).zip(&file.shard);
        let mut shards: Vec<ShardEntry> =
            entries.map(|((id, replicas), file)| ShardEntry { id, replicas, founded: file.founded }).collect();
        shards.sort_unstable_by_key(|shard| shard.id);
        Ok(Self { name, version, nodes, shards, map })
    }

    /// Reads a cluster file.
    ///
    /// # Errors
    /// See [`ClusterFileError`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ClusterFileError> {
        let path = path.as_ref();
        let mut text = String::new();
        // One byte more than allowed tells a file that is too long, whatever it is: a device has no end.
        std::fs::File::open(path)
            .and_then(|file| file.take(CLUSTER_FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text))
            .map_err(|source| ClusterFileError::Read { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    /// The text of the cluster file, with every node, replica and slot written out: [`Cluster::parse`] gives the same cluster
    /// again.
    pub fn to_toml(&self) -> String {
        let mut slots: BTreeMap<ShardId, Vec<String>> = BTreeMap::new();
        for SlotRange { shard, first, last } in self.map.ranges() {
            let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
            slots.entry(shard).or_default().push(quoted(&range));
        }
        let (name, version, epoch) = (quoted(&self.name), self.version, self.map.epoch());
        let mut text = format!("cluster = {name}\nversion = {version}\nepoch = {epoch}\n");
        // Writing to a String cannot fail.
        for NodeEntry { id, address } in &self.nodes {
            let _ = write!(text, "\n[[node]]\nid = {id}\naddress = {}\n", quoted(address));
        }
        for ShardEntry { id, replicas, founded } in &self.shards {
            let replicas = replicas.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let slots = slots.get(id).map(|ranges| ranges.join(", ")).unwrap_or_default();
            let _ = write!(text, "\n[[shard]]\nid = {id}\nreplicas = [{replicas}]\nslots = [{slots}]\n");
            if *founded {
                text.push_str("founded = true\n");
            }
        }
        text
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn field(field: impl Into<String>, problem: impl Into<String>) -> ClusterFileError {
    ClusterFileError::Field { field: field.into(), problem: problem.into() }
}

fn syntax(text: &str, error: &toml::de::Error) -> ClusterFileError {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let line = text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
    let found = text.lines().nth(line - 1).unwrap_or_default().trim();
    let found: String = found.chars().take(80).collect();
    ClusterFileError::Syntax { line, problem: format!("`{found}`: {}", error.message()) }
}

fn parse_name(name: Option<String>) -> Result<String, ClusterFileError> {
    let Some(name) = name else {
        return Err(field("cluster", "is missing: write `cluster = \"a-name\"`"));
    };
    check_name(&name).map_err(|problem| field("cluster", format!("{}: {problem}", quoted(&name))))?;
    Ok(name)
}

fn parse_count(name: &str, found: i64) -> Result<u64, ClusterFileError> {
    match found {
        1.. => Ok(found.unsigned_abs()),
        _ => Err(field(name, format!("{found}: expected 1 or more"))),
    }
}

/// The shards' numbers, in the order of the file.
fn parse_shard_ids(file: &[FileShard]) -> Result<Vec<ShardId>, ClusterFileError> {
    if file.is_empty() {
        return Err(field("shard", "is missing: write one [[shard]] with an `id` for every shard"));
    }
    let mut positions = BTreeMap::new();
    for (n, shard) in file.iter().enumerate() {
        let at = format!("shard[{n}].id");
        let id = match shard.id {
            Some(id) => ShardId::try_from(id)
                .ok()
                .filter(|&id| u64::from(id) < SHARDS_MAX)
                .ok_or_else(|| field(&at, format!("{id}: expected a number from 0 to {}", SHARDS_MAX - 1)))?,
            None => return Err(field(at, "is missing: give the shard a number that no other has, such as `id = 0`")),
        };
        if let Some(other) = positions.insert(id, n) {
            return Err(field(at, format!("{id} is also the id of shard[{other}]: give every shard its own number")));
        }
    }
    let mut ids: Vec<(usize, ShardId)> = positions.into_iter().map(|(id, n)| (n, id)).collect();
    ids.sort_unstable();
    Ok(ids.into_iter().map(|(_, id)| id).collect())
}
