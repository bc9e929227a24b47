//! Replacing a file by another content: as a whole, or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Why a file was not replaced, or may come back.
#[derive(Debug)]
pub(crate) enum ReplaceError {
    /// The file is as it was.
    Before(io::Error),
    /// The file has its new content, which may not outlive a loss of power.
    After(io::Error),
}

impl ReplaceError {
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            Self::Before(error) | Self::After(error) => error,
        }
    }
}

/// Replaces the content of `path`, or makes the file. A crash leaves the one content or the other. Two at a time would
/// disturb each other: callers see to that.
pub(crate) fn replace(path: &Path, content: &str) -> Result<(), ReplaceError> {
    let beside = beside(path, "next").map_err(ReplaceError::Before)?;
    write(path, &beside, content).inspect_err(|_| drop(fs::remove_file(&beside))).map_err(ReplaceError::Before)?;
    File::open(folder(path)).and_then(|folder| folder.sync_all()).map_err(ReplaceError::After)
}

fn write(path: &Path, beside: &Path, content: &str) -> io::Result<()> {
    let mut file = File::create(beside)?;
    if let Ok(before) = fs::metadata(path) {
        file.set_permissions(before.permissions())?;
    }
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(beside, path)
}

/// The folder of a file.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A hidden file of `path`'s own, in its folder.
pub(crate) fn beside(path: &Path, ending: &str) -> io::Result<PathBuf> {
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is not the path of a file"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".");
    hidden.push(ending);
    Ok(path.with_file_name(hidden))
}
