//! The cluster file: the name of the cluster, its shards, where they are, and which slots they own.
//!
//! ```toml
//! cluster = "payments-eu"       # 1 to 64 characters of a-z, 0-9 and -
//! epoch = 1                     # the larger one of two files is the newer; from 1
//!
//! [[shard]]
//! id = 0                        # below 1,024, unique
//! address = "127.0.0.1:7101"    # host:port of the node's gRPC, unique
//! slots = ["0-4095", "9000"]    # for every shard, or for none: then they share evenly
//! ```

use crate::map::{MapError, SlotMap, SlotRange};
use crate::slots::{SLOTS, ShardId, Slot};
use crest_ledger::limits::SHARDS_MAX;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Bytes of a cluster file: 1,024 shards of some 100 bytes and, at worst, 16,384 single slots of 9, twice over.
pub const CLUSTER_FILE_BYTES_MAX: usize = 1 << 19;

/// Characters of a cluster's name: what a DNS label or a metric's label holds.
pub const CLUSTER_NAME_CHARS_MAX: usize = 64;

/// Characters of an address: the longest DNS name, a colon, five digits.
const ADDRESS_CHARS_MAX: usize = 253 + 1 + 5;

/// A cluster: its name, its shards, and the slot map.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// The name. Nodes store it, and refuse to open another cluster's data.
    pub name: String,
    /// Every shard, sorted by number.
    pub shards: Vec<ShardEntry>,
    /// Who owns which slot.
    pub map: SlotMap,
}

/// A shard and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardEntry {
    /// The number, below [`SHARDS_MAX`].
    pub id: ShardId,
    /// `host:port` of the node's gRPC; an IPv6 host stands in brackets.
    pub address: String,
}

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
    epoch: Option<i64>,
    #[serde(default)]
    shard: Vec<FileShard>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileShard {
    id: Option<i64>,
    address: Option<String>,
    slots: Option<Vec<String>>,
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
        let epoch = match file.epoch {
            Some(epoch @ 1..) => epoch.unsigned_abs(),
            Some(epoch) => return Err(field("epoch", format!("{epoch}: expected 1 or more"))),
            None => return Err(field("epoch", "is missing: write `epoch = 1` for a new cluster")),
        };
        let mut shards = parse_shards(&file.shard)?;
        let map = parse_map(epoch, &shards, &file.shard)?;
        shards.sort_unstable_by_key(|shard| shard.id);
        Ok(Self { name, shards, map })
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

    /// The text of the cluster file, with every slot written out: [`Cluster::parse`] gives the same cluster again.
    pub fn to_toml(&self) -> String {
        let mut slots: BTreeMap<ShardId, Vec<String>> = BTreeMap::new();
        for SlotRange { shard, first, last } in self.map.ranges() {
            let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
            slots.entry(shard).or_default().push(quoted(&range));
        }
        let mut text = format!("cluster = {}\nepoch = {}\n", quoted(&self.name), self.map.epoch());
        for ShardEntry { id, address } in &self.shards {
            let slots = slots.get(id).map(|ranges| ranges.join(", ")).unwrap_or_default();
            let _ = write!(text, "\n[[shard]]\nid = {id}\naddress = {}\nslots = [{slots}]\n", quoted(address));
        }
        text
    }

    /// The address of a shard; none when the cluster has no such shard.
    pub fn address_of(&self, shard: ShardId) -> Option<&str> {
        let position = self.shards.binary_search_by_key(&shard, |entry| entry.id).ok()?;
        Some(&self.shards[position].address)
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
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !(1..=CLUSTER_NAME_CHARS_MAX).contains(&name.len()) || !name.chars().all(legal) {
        let problem = format!("{}: expected 1 to {CLUSTER_NAME_CHARS_MAX} characters of a-z, 0-9 and -", quoted(&name));
        return Err(field("cluster", problem));
    }
    Ok(name)
}

fn parse_shards(file: &[FileShard]) -> Result<Vec<ShardEntry>, ClusterFileError> {
    if file.is_empty() {
        return Err(field("shard", "is missing: write one [[shard]] with `id` and `address` for every shard"));
    }
    let mut positions = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    let mut shards = Vec::new();
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
        let at = format!("shard[{n}].address");
        let Some(address) = &shard.address else {
            return Err(field(at, "is missing: write the host and port of the node, such as \"127.0.0.1:7101\""));
        };
        check_address(address).map_err(|problem| field(&at, format!("{}: {problem}", quoted(address))))?;
        if let Some(other) = addresses.insert(address.to_ascii_lowercase(), n) {
            let problem = format!("{address} is also the address of shard[{other}]: every node needs its own");
            return Err(field(at, problem));
        }
        shards.push(ShardEntry { id, address: address.clone() });
    }
    Ok(shards)
}

/// Checks the shape only: whether a name resolves is found out when somebody connects.
fn check_address(address: &str) -> Result<(), &'static str> {
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

fn parse_map(epoch: u64, shards: &[ShardEntry], file: &[FileShard]) -> Result<SlotMap, ClusterFileError> {
    let ids: Vec<ShardId> = shards.iter().map(|shard| shard.id).collect();
    let with_slots = file.iter().position(|shard| shard.slots.is_some());
    let without_slots = file.iter().position(|shard| shard.slots.is_none());
    let mut ranges = Vec::new();
    let mut places = Vec::new();
    match (with_slots, without_slots) {
        (Some(with), Some(without)) => {
            let problem = format!(
                "is missing, but shard[{with}] has it: give `slots` for every shard ([] for none), or for no shard, \
                 and they share evenly"
            );
            return Err(field(format!("shard[{without}].slots"), problem));
        }
        (Some(_), None) => {
            for (n, shard) in file.iter().enumerate() {
                for (k, text) in shard.slots.iter().flatten().enumerate() {
                    let place = format!("shard[{n}].slots[{k}]");
                    let (first, last) = parse_range(text).map_err(|problem| field(&place, problem))?;
                    ranges.push(SlotRange { shard: ids[n], first, last });
                    places.push(place);
                }
            }
        }
        (None, _) => {
            let even = SlotMap::even(&ids).map_err(|error| map_error(&error, &places))?;
            ranges = even.ranges();
        }
    }
    SlotMap::from_ranges(epoch, &ids, &ranges).map_err(|error| map_error(&error, &places))
}

fn parse_range(text: &str) -> Result<(Slot, Slot), String> {
    let number = |digits: &str| {
        let slot = if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None };
        slot.filter(|&slot| usize::from(slot) < SLOTS)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err(format!(
            "{}: expected \"first-last\" or \"slot\" with 0 <= first <= last <= {}",
            quoted(text),
            SLOTS - 1
        )),
    }
}

fn map_error(error: &MapError, places: &[String]) -> ClusterFileError {
    match *error {
        MapError::Overlap { range, earlier, slot } if range < places.len() => {
            let problem = format!("slot {slot} is already in {}: take it out of one of the two", places[earlier]);
            field(&places[range], problem)
        }
        MapError::Gap { first, last } => field(
            "shard",
            format!("nobody owns slots {first}-{last}: add \"{first}-{last}\" to the `slots` of a shard"),
        ),
        _ => field("shard", error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "cluster = \"pay-1\"\nepoch = 3\n\
        [[shard]]\nid = 4\naddress = \"node-4:7101\"\nslots = [\"0-99\", \"101-16383\"]\n\
        [[shard]]\nid = 2\naddress = \"[::1]:7102\"\nslots = [\"100\"]\n";

    #[test]
    fn a_file_with_slots_is_read_as_written() {
        let cluster = Cluster::parse(TWO).unwrap();
        assert_eq!((cluster.name.as_str(), cluster.map.epoch()), ("pay-1", 3));
        let two = ShardEntry { id: 2, address: "[::1]:7102".into() };
        assert_eq!(cluster.shards, [two, ShardEntry { id: 4, address: "node-4:7101".into() }]);
        assert!(cluster.map.owns(2, 100) && cluster.map.owns(4, 99) && cluster.map.owns(4, 101));
        assert_eq!(cluster.address_of(4), Some("node-4:7101"));
        assert_eq!(cluster.address_of(3), None);
    }

    #[test]
    fn a_file_without_slots_shares_them_evenly_at_its_own_epoch() {
        let text: String =
            TWO.lines().filter(|line| !line.starts_with("slots")).map(|line| line.to_owned() + "\n").collect();
        let map = Cluster::parse(&text).unwrap().map;
        assert_eq!(map.ranges(), SlotMap::even(&[2, 4]).unwrap().ranges());
        assert_eq!(map.epoch(), 3);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let spare = "[[shard]]\nid = 1023\naddress = \"spare:1\"\nslots = []\n";
        let singles: Vec<String> = (0..SLOTS / 2).map(|n| format!("\"{}\"", n * 2)).collect();
        let others: Vec<String> = (0..SLOTS / 2).map(|n| format!("\"{}\"", n * 2 + 1)).collect();
        let scattered = format!(
            "cluster = \"x\"\nepoch = {}\n[[shard]]\nid = 0\naddress = \"a:1\"\nslots = [{}]\n[[shard]]\nid = 1\naddress = \"b:1\"\nslots = [{}]\n",
            i64::MAX,
            singles.join(","),
            others.join(","),
        );
        for text in [TWO.to_owned(), format!("{TWO}{spare}"), scattered] {
            let cluster = Cluster::parse(&text).unwrap();
            assert_eq!(Cluster::parse(&cluster.to_toml()).unwrap(), cluster);
        }
    }

    #[test]
    fn a_file_on_disk_is_loaded_and_a_missing_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cluster.toml");
        std::fs::write(&path, TWO).unwrap();
        assert_eq!(Cluster::load(&path).unwrap(), Cluster::parse(TWO).unwrap());
        let error = Cluster::load(dir.path().join("absent.toml")).unwrap_err().to_string();
        assert!(error.contains("absent.toml"), "{error}");
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(Cluster::load(&path), Err(ClusterFileError::Read { .. })));
        std::fs::write(&path, "#".repeat(CLUSTER_FILE_BYTES_MAX + 1)).unwrap();
        assert!(matches!(Cluster::load(&path), Err(ClusterFileError::TooLong)));
    }

    /// Replaces `from` by `to` in a good file, and checks that the error has all of `parts`.
    #[track_caller]
    fn check(from: &str, to: &str, parts: &[&str]) {
        assert!(TWO.contains(from), "the good file has {from:?}");
        let error = Cluster::parse(&TWO.replace(from, to)).expect_err(to).to_string();
        for part in parts {
            assert!(error.contains(part), "{error:?} names {part:?}");
        }
    }

    #[test]
    fn every_refusal_names_the_field_and_what_was_expected() {
        let long = format!("\"{}\"", "a".repeat(65));
        check("cluster = \"pay-1\"\n", "", &["cluster: is missing", "cluster = "]);
        check("\"pay-1\"", "\"\"", &["cluster: ", "1 to 64"]);
        check("\"pay-1\"", &long, &["cluster: ", "1 to 64"]);
        check("\"pay-1\"", "\"Pay\"", &["cluster: \"Pay\"", "a-z"]);
        check("\"pay-1\"", "\"ünited\"", &["cluster: \"ünited\"", "a-z"]);
        check("epoch = 3\n", "", &["epoch: is missing", "epoch = 1"]);
        check("epoch = 3", "epoch = 0", &["epoch: 0: expected 1 or more"]);
        check("epoch = 3", "epoch = -1", &["epoch: -1: expected 1 or more"]);
        check("id = 2\n", "", &["shard[1].id: is missing", "id = 0"]);
        check("id = 2\n", "id = 1024\n", &["shard[1].id: 1024", "0 to 1023"]);
        check("id = 2\n", "id = -1\n", &["shard[1].id: -1", "0 to 1023"]);
        check("id = 2\n", "id = 4294967296\n", &["shard[1].id: 4294967296", "0 to 1023"]);
        check("id = 2\n", "id = 4\n", &["shard[1].id: 4 is also the id of shard[0]", "its own number"]);
        check("address = \"[::1]:7102\"\n", "", &["shard[1].address: is missing", "127.0.0.1:7101"]);
        check("[::1]:7102", "NODE-4:7101", &["shard[1].address: ", "also the address of shard[0]"]);
        check(&TWO[TWO.find("[[shard]]").unwrap()..], "", &["shard: is missing", "[[shard]]"]);
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for bad in
            ["", "node", "node:", ":7101", "node:0", "node:65536", "node:+1", "::1:7101", "[node]:1", "a b:1", "a/b:1"]
        {
            check("[::1]:7102", bad, &["shard[1].address: ", "expected"]);
        }
        check("[::1]:7102", "http://node:1", &["shard[1].address: ", "scheme"]);
        check("[::1]:7102", &format!("{}:1", "a".repeat(260)), &["shard[1].address: ", "253"]);
        for good in ["10.0.0.1:1", "a.b-c_d:65535", "[fe80::1]:7101"] {
            Cluster::parse(&TWO.replace("[::1]:7102", good)).unwrap();
        }
    }

    #[test]
    fn slots_have_exactly_one_owner() {
        for bad in ["", "-", "5-", "-5", "a", "5-4", "16384", "0-16384", "0-99999", "+1", " 1", "1-2-3"] {
            check("[\"100\"]", &format!("[\"{bad}\"]"), &["shard[1].slots[0]: ", "first-last", "16383"]);
        }
        check("[\"100\"]", "[\"99-100\"]", &["shard[1].slots[0]: slot 99 is already in shard[0].slots[0]"]);
        check("[\"100\"]", "[\"100\", \"100\"]", &["shard[1].slots[1]: slot 100 is already in shard[1].slots[0]"]);
        check("[\"100\"]", "[]", &["shard: nobody owns slots 100-100", "add \"100-100\""]);
        check("101-16383", "101-16000", &["nobody owns slots 16001-16383"]);
        check("slots = [\"100\"]\n", "", &["shard[1].slots: is missing", "shard[0] has it", "[] for none"]);
    }

    #[test]
    fn what_is_not_the_language_is_refused_with_its_line() {
        check("epoch = 3", "epoch 3", &["line 2: `epoch 3`"]);
        check("epoch = 3", "epoch = \"3\"", &["line 2: ", "expected i64"]);
        check("epoch = 3", "epoch = 3\nepoch = 4", &["line 3: ", "duplicate key"]);
        check("epoch = 3", "epoch = 3\nepochs = 4", &["line 3: ", "unknown field `epochs`", "`epoch`"]);
        check("id = 2", "id = 2\nreplicas = 3", &["line 9: ", "unknown field `replicas`", "`address`"]);
        check("id = 2", "id = 2.5", &["line 8: ", "id = 2.5"]);
        check("[\"100\"]", "\"100\"", &["line 10: ", "expected a sequence"]);
        check("[\"100\"]", "[100]", &["line 10: ", "expected a string"]);
    }
}
