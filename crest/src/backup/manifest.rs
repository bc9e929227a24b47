//! What there is at an instant, as `manifest.json`: the manifest, and the crc32c of its text without spaces.
//!
//! Numbers of 64 and 128 bits are strings, since not every reader of JSON has them whole.

use std::path::Path;

use crest_ledger::wire::backup::{BackupKind, BackupMark};
use crest_topology::{SlotMap, SlotRange};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::blocks::Of;
use super::{BackupError, FORMAT};

/// The name of the file.
pub(crate) const NAME: &str = "manifest.json";

/// What there is at an instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// See [`FORMAT`].
    pub(crate) format: u32,
    /// The name of the cluster that was backed up.
    pub(crate) cluster: String,
    /// The instant, ns.
    #[serde(with = "decimal")]
    pub(crate) at: u64,
    /// The backup that this one goes on from; none when it has everything.
    pub(crate) parent: Option<Parent>,
    /// The epoch of the slot map.
    pub(crate) epoch: u64,
    pub(crate) shards: Vec<Shard>,
    /// The sums of all balances at the instant.
    pub(crate) totals: Vec<Totals>,
}

/// The backup before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parent {
    #[serde(with = "decimal")]
    pub(crate) at: u64,
    /// Of its manifest, so that no other one takes its place.
    pub(crate) crc32c: u32,
}

/// The part of one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shard {
    pub(crate) shard: u32,
    /// The slots that it owns: the first and the last of each range.
    pub(crate) slots: Vec<(u16, u16)>,
    /// Its accounts at the instant, and the transfers of which it has a side.
    pub(crate) accounts: u64,
    pub(crate) transfers: u64,
    /// Of which are new since the parent.
    pub(crate) new_accounts: u64,
    pub(crate) new_transfers: u64,
    /// By which the next backup knows the shard again.
    pub(crate) account: Mark,
    pub(crate) transfer: Mark,
    pub(crate) files: Vec<FileEntry>,
}

/// See [`BackupMark`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mark {
    #[serde(with = "decimal")]
    pub(crate) at: u64,
    #[serde(with = "decimal")]
    pub(crate) print: u128,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileEntry {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Of the whole file.
    pub(crate) crc32c: u32,
}

/// The sums of one ledger number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Totals {
    pub(crate) ledger: u32,
    #[serde(with = "decimal")]
    pub(crate) debits_pending: u128,
    #[serde(with = "decimal")]
    pub(crate) debits_posted: u128,
    #[serde(with = "decimal")]
    pub(crate) credits_pending: u128,
    #[serde(with = "decimal")]
    pub(crate) credits_posted: u128,
    pub(crate) accounts: u64,
}

impl From<Mark> for BackupMark {
    fn from(mark: Mark) -> Self {
        Self { at: mark.at, print: mark.print }
    }
}

impl Manifest {
    /// The checksum of its text.
    pub(crate) fn crc32c(&self) -> Result<u32, serde_json::Error> {
        // Through a value, whose fields are in one order.
        Ok(sum(&serde_json::to_value(self)?))
    }

    /// The text of the file.
    pub(crate) fn text(&self) -> Result<String, serde_json::Error> {
        let manifest = serde_json::to_value(self)?;
        let crc32c = sum(&manifest);
        Ok(format!("{:#}\n", json!({ "manifest": manifest, "crc32c": crc32c })))
    }

    /// Reads the manifest of a backup.
    ///
    /// # Errors
    /// When it is missing, damaged, of another format, or not of the instant that its folder names.
    pub(crate) fn load(dir: &Path) -> Result<Self, BackupError> {
        let path = dir.join(NAME);
        let text = std::fs::read_to_string(&path).map_err(BackupError::io("open", &path))?;
        let wrong = |what: String| BackupError::wrong(&path, what);
        let mut file: Value = serde_json::from_str(&text).map_err(|e| wrong(format!("is damaged: {e}")))?;
        let manifest = file["manifest"].take();
        if file["crc32c"].as_u64() != Some(sum(&manifest).into()) {
            return Err(wrong("is damaged: its checksum is wrong".to_owned()));
        }
        match manifest["format"].as_u64() {
            Some(format) if format != u64::from(FORMAT) => {
                return Err(wrong(format!("is of format {format}, and this build reads format {FORMAT}")));
            }
            _ => {}
        }
        let manifest: Self = serde_json::from_value(manifest).map_err(|e| wrong(format!("is no manifest: {e}")))?;
        if dir.file_name().and_then(|name| name.to_str()) != Some(&manifest.at.to_string()) {
            return Err(wrong(format!("is of the instant {}, and its folder has another name", manifest.at)));
        }
        Ok(manifest)
    }

    /// The slot map of the cluster at the time.
    ///
    /// # Errors
    /// When slots have no owner, or two.
    pub(crate) fn map(&self) -> Result<SlotMap, String> {
        let shards: Vec<u32> = self.shards.iter().map(|s| s.shard).collect();
        let of = |s: &Shard| {
            let shard = s.shard;
            s.slots.iter().map(move |(first, last)| SlotRange { shard, first: *first, last: *last }).collect::<Vec<_>>()
        };
        let ranges: Vec<SlotRange> = self.shards.iter().flat_map(of).collect();
        SlotMap::from_ranges(self.epoch, &shards, &ranges).map_err(|e| e.to_string())
    }

    /// Bytes of its files.
    pub(crate) fn bytes(&self) -> u64 {
        self.shards.iter().flat_map(|s| &s.files).map(|file| file.bytes).sum()
    }
}

impl FileEntry {
    /// What the file has to be of; `None` when there is no such kind.
    pub(crate) fn of(&self, shard: u32, at: u64) -> Option<Of> {
        let kind = BackupKind::ALL.into_iter().find(|kind| kind.name() == self.kind)?;
        let of = Of { shard, kind, at };
        (of.name() == self.name).then_some(of)
    }
}

fn sum(manifest: &Value) -> u32 {
    crc32c::crc32c(manifest.to_string().as_bytes())
}

/// Numbers as strings.
mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<T: std::fmt::Display, S: Serializer>(number: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(number)
    }

    pub(super) fn deserialize<'de, T: std::str::FromStr, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|_| de::Error::custom(format!("expected a number in a string, got \"{text}\"")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let mark = Mark { at: u64::MAX, print: u128::MAX };
        let file = FileEntry {
            name: "shard-0-accounts.crest".to_owned(),
            kind: "accounts".to_owned(),
            rows: 1,
            bytes: 2,
            crc32c: u32::MAX,
        };
        let shard = Shard {
            shard: 0,
            slots: vec![(0, 16_383)],
            accounts: 1,
            transfers: 2,
            new_accounts: 1,
            new_transfers: 2,
            account: mark,
            transfer: Mark::default(),
            files: vec![file],
        };
        let totals = Totals {
            ledger: 1,
            debits_pending: 1,
            debits_posted: u128::MAX,
            credits_pending: 1,
            credits_posted: u128::MAX,
            accounts: 1,
        };
        Manifest {
            format: FORMAT,
            cluster: "pay".to_owned(),
            at: 1_763_917_200_000_000_001,
            parent: Some(Parent { at: 5, crc32c: 7 }),
            epoch: 1,
            shards: vec![shard],
            totals: vec![totals],
        }
    }

    fn put(text: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("1763917200000000001");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(inner.join(NAME), text).unwrap();
        dir
    }

    fn load(text: &str) -> Result<Manifest, String> {
        let dir = put(text);
        Manifest::load(&dir.path().join("1763917200000000001")).map_err(|e| e.to_string())
    }

    #[test]
    fn a_manifest_reads_back_and_any_other_digit_is_refused() {
        let text = manifest().text().unwrap();
        assert_eq!(load(&text), Ok(manifest()));
        let mut refused = 0;
        for (at, byte) in text.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_digit()) {
            let other = if byte == b'9' { "8" } else { "9" };
            let changed = [&text[..at], other, &text[at + 1..]].concat();
            let error = load(&changed).expect_err(&changed);
            assert!(error.contains("manifest.json"), "{error}");
            refused += 1;
        }
        assert!(refused > 100, "{refused}");
        assert!(load(&text[..text.len() / 2]).unwrap_err().contains("damaged"));
    }

    #[test]
    fn another_format_and_another_folder_are_named() {
        let text = Manifest { format: 2, ..manifest() }.text().unwrap();
        assert!(load(&text).unwrap_err().contains("is of format 2, and this build reads format 1"));
        let text = Manifest { at: 8, ..manifest() }.text().unwrap();
        assert!(load(&text).unwrap_err().contains("its folder has another name"));
        let dir = tempfile::tempdir().unwrap();
        assert!(Manifest::load(dir.path()).unwrap_err().to_string().contains("is missing"));
    }
}
