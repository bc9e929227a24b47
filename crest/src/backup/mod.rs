//! What a backup is on disk: a folder, with a folder in it for every instant.
//!
//! ```text
//! DIR/LOCK                                    held while somebody writes
//! DIR/partial/                                a backup on its way; worth nothing, deleted by the next one
//! DIR/1763917200000000000/manifest.json       the instant, ns; what there is, and what it is built on
//! DIR/1763917200000000000/shard-0-accounts.crest …
//! ```
//!
//! A manifest is written when everything that it names is durable, and its folder gets its name last, at once: what has an
//! instant for a name is complete. Checksums find accidents. They do not keep anybody from changing a backup on purpose:
//! guard the folder as the ledger itself.
//!
//! Reading order: [`blocks`] a file of rows, [`manifest`] what there is at an instant, [`folder`] all of them.

pub(crate) mod blocks;
pub(crate) mod manifest;
pub(crate) mod folder;

use std::path::{Path, PathBuf};

/// The version of manifests and files. Another one is refused.
pub(crate) const FORMAT: u32 = 1;

/// Why a backup can't be used or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// Something in it is not as it has to be. Nobody should restore from it.
    #[error("{}: {what}", path.display())]
    Wrong { path: PathBuf, what: String },
    /// The system's.
    #[error("cannot {what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
}

impl BackupError {
    pub(crate) fn wrong(path: &Path, what: impl Into<String>) -> Self {
        Self::Wrong { path: path.to_owned(), what: what.into() }
    }

    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            std::io::ErrorKind::NotFound if what == "open" => Self::wrong(&path, "is missing"),
            _ => Self::Io { what, path, source },
        }
    }
}
