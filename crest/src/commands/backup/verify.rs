//! Checking a folder of backups, without a cluster and without restoring.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use super::super::human::format_time;
use super::super::outcome::Outcome;
use super::super::rows::Table;
use super::Stopped;
use crate::backup::folder::Folder;
use crate::backup::manifest::Manifest;
use crate::backup::{BackupError, blocks};

pub(super) fn execute(dir: &Path) -> Result<Outcome, Stopped> {
    let folder = Folder::at(dir);
    let instants = folder.instants()?;
    if instants.is_empty() {
        return Err(Stopped::Refused(format!("{}: there is no complete backup", dir.display())));
    }
    let mut table = Table::new(&["AT", "TIME", "SINCE", "ACCOUNTS", "MIB"]);
    let mut backups = Vec::new();
    let mut seen = BTreeSet::new();
    for at in instants {
        let chain = folder.chain(at)?;
        let manifest = chain.last().ok_or_else(|| Stopped::Refused(format!("{at}: there is nothing")))?;
        if seen.insert(at) {
            files(&folder, manifest)?;
        }
        let accounts: u64 = manifest.shards.iter().map(|shard| shard.accounts).sum();
        let since = manifest.parent.as_ref().map(|parent| parent.at.to_string());
        table.row(vec![
            at.to_string(),
            format_time(at),
            since.clone().unwrap_or_else(|| "everything".to_owned()),
            accounts.to_string(),
            format!("{:.1}", manifest.bytes() as f64 / 1_048_576.0),
        ]);
        backups.push(json!({
            "timestamp": at.to_string(),
            "since": since,
            "cluster": manifest.cluster,
            "accounts": accounts.to_string(),
            "bytes": manifest.bytes().to_string(),
        }));
    }
    let text = format!("{}\nEvery file is there, and as it was written.\n", table.text());
    Ok(Outcome { text, json: json!({ "backups": backups }), refusal: None })
}

/// Reads all files of a backup.
fn files(folder: &Folder, manifest: &Manifest) -> Result<(), BackupError> {
    let dir = folder.path(manifest.at);
    for shard in &manifest.shards {
        for entry in &shard.files {
            let of = entry.of(shard.shard, manifest.at);
            let of = of.ok_or_else(|| BackupError::wrong(&dir.join(&entry.name), "is of no kind that there is"))?;
            blocks::read(&dir, of, entry, |_| Ok::<_, BackupError>(()))?;
        }
    }
    Ok(())
}
