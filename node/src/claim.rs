//! A node's data folder is of one node of one cluster, and open in one process.
//!
//! Every replica in it remembers whose it is, too. But a node that is given another one's folder would begin new replicas
//! beside those; the file `node` in the folder says whose it is before anything is begun.

use std::fs::File;
use std::path::Path;

use anyhow::Context;
use crest_topology::NodeId;

use crate::log::disk::SystemDisk;
use crate::snapshot::install::{read_whole, write_whole};

/// The version of a node's data folder: which files and folders are in it, and what they are called.
const VERSION: u32 = 1;

/// A data folder that is this process's, until this is dropped.
pub(crate) struct Claim {
    _lock: File,
}

impl Claim {
    /// Takes the folder `dir` for a node of a cluster, and makes it when it is not there.
    ///
    /// # Errors
    /// When it is another node's or cluster's or of another version, or another process has it; the text says what to do.
    pub(crate) fn take(dir: &Path, cluster: &str, node: NodeId) -> anyhow::Result<Self> {
        let lock = lock(dir)?;
        let path = dir.join("node");
        let expected = text(VERSION, cluster, node);
        match read_whole(&SystemDisk, &path).with_context(|| format!("cannot read {}", path.display()))? {
            None => write_whole(&SystemDisk, dir, &path, expected.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?,
            Some(found) => anyhow::ensure!(
                found == expected.as_bytes(),
                "the data folder {} is of [{}], and this is [{}]: give the right folder, or the right cluster and node",
                dir.display(),
                String::from_utf8_lossy(&found).trim(),
                expected.trim()
            ),
        }
        Ok(Self { _lock: lock })
    }
}

fn text(version: u32, cluster: &str, node: NodeId) -> String {
    format!("format={version} cluster={cluster} node={node}\n")
}

/// Makes a folder, and sees to it that one process has it.
///
/// # Errors
/// The operating system's, or that another process has it.
pub(crate) fn lock(dir: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make the data folder {}", dir.display()))?;
    let path = dir.join("LOCK");
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    file.try_lock().map_err(|_| {
        anyhow::anyhow!(
            "the data folder {} is in use by another process; stop that one, or give another folder",
            dir.display()
        )
    })?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_of_one_node_and_open_once() {
        let dir = tempfile::tempdir().unwrap();
        let why = |cluster: &str, node| Claim::take(dir.path(), cluster, node).err().map(|e| format!("{e:#}"));
        let claim = Claim::take(dir.path(), "one", 1).unwrap();
        assert!(why("one", 1).unwrap().contains("in use by another process"));
        drop(claim);
        assert_eq!(why("one", 1), None, "it is the same node's again");
        for (cluster, node, words) in [
            ("one", 2, ["cluster=one node=1]", "cluster=one node=2]"]),
            ("two", 1, ["cluster=one node=1]", "cluster=two node=1]"]),
        ] {
            let why = why(cluster, node).unwrap();
            assert!(words.iter().all(|word| why.contains(word)), "{why}");
        }
        std::fs::write(dir.path().join("node"), text(2, "one", 1)).unwrap();
        assert!(why("one", 1).unwrap().contains("[format=2 cluster=one node=1]"));
    }
}
