//! A record from a file, and what is wrong with a file that holds none.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::error::Category;

use crate::record::{RECORD_FORMAT, RunRecord};

/// Why a file could not be read as a record. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file itself could not be read.
    #[error("cannot read {}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why. Not as the error's source: it is in the text already.
        why: std::io::Error,
    },
    /// It ends in the middle.
    #[error("{} ends in the middle, at line {line}: it is truncated", path.display())]
    Truncated {
        /// Which.
        path: PathBuf,
        /// Where it ends.
        line: usize,
    },
    /// It is something else.
    #[error("{} is no record of a rehearsal: {why}", path.display())]
    NoRecord {
        /// Which.
        path: PathBuf,
        /// How one can tell.
        why: String,
    },
    /// It is a record of another version of the format.
    #[error(
        "{} is a record of format {found}, made by crest {crest}; this crest reads format {RECORD_FORMAT}: use the one that made it",
        path.display()
    )]
    Format {
        /// Which.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// What made it.
        crest: String,
    },
    /// It says that it is a record of this format, and is not.
    #[error("{} is a record of format {RECORD_FORMAT}, but {why}", path.display())]
    Broken {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// What every version of the format has.
#[derive(Deserialize)]
struct Head {
    format: Option<u64>,
    crest: Option<String>,
}

/// Reads a record.
///
/// # Errors
/// [`ReadError`], which names the file and says what is wrong with it.
pub fn read(path: &Path) -> Result<RunRecord, ReadError> {
    let bytes = std::fs::read(path).map_err(|why| ReadError::File { path: path.to_owned(), why })?;
    parse(path, &bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<RunRecord, ReadError> {
    let path = || path.to_owned();
    let no_record = |why: &str| ReadError::NoRecord { path: path(), why: why.to_owned() };
    match bytes.iter().find(|b| !b.is_ascii_whitespace()) {
        None => return Err(no_record("it is empty")),
        // serde would read an array as a struct, field by field.
        Some(b'{') => {}
        Some(_) => return Err(no_record("it is not a JSON object")),
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|e| match e.classify() {
        Category::Eof => ReadError::Truncated { path: path(), line: e.line() },
        Category::Data => no_record(&format!("it has no number `format` and text `crest` ({e})")),
        Category::Syntax | Category::Io => no_record(&format!("it is not JSON ({e})")),
    })?;
    let found = head.format.ok_or_else(|| no_record("it has no `format`"))?;
    if found != u64::from(RECORD_FORMAT) {
        let crest = head.crest.unwrap_or_else(|| "that it does not name".to_owned());
        return Err(ReadError::Format { path: path(), found, crest });
    }
    let broken = |why: String| ReadError::Broken { path: path(), why };
    let record: RunRecord = serde_json::from_slice(bytes).map_err(|e| broken(e.to_string()))?;
    match record.timeline.iter().enumerate().find(|(i, second)| second.at as usize != *i) {
        Some((i, second)) => Err(broken(format!("second {i} of its timeline says that it is second {}", second.at))),
        None => Ok(record),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_record_that_was_written_is_read_as_it_was() {
        let record = sample::record(1, 1.0);
        let text = serde_json::to_string_pretty(&record).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        std::fs::write(&path, &text).unwrap();
        let again = serde_json::to_string_pretty(&read(&path).unwrap()).unwrap();
        assert!(text == again, "a record changes when it is read and written");
        let gone = read(&folder.path().join("none.json")).unwrap_err().to_string();
        assert!(gone.starts_with("cannot read ") && gone.contains("none.json"), "{gone}");
    }

    #[test]
    fn a_file_that_is_no_record_is_refused_with_what_is_wrong() {
        let text = serde_json::to_string(&sample::nothing()).unwrap();
        let check = |text: &str, expected: &str| {
            let error = parse(Path::new("run.json"), text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("run.json"), "{error}");
        };
        check("", "it is empty");
        check("name = \"steady-day\"", "it is not a JSON object");
        check("[1, 2]", "it is not a JSON object");
        check("{name: 1}", "it is not JSON");
        check("{\"name\": 1}", "it has no `format`");
        check("{\"format\": \"one\"}", "no number `format`");
        check(&text[..text.len() / 2], "ends in the middle, at line 1: it is truncated");
        check(
            &text.replace("\"format\":1", "\"format\":7"),
            "format 7, made by crest 0.1.0; this crest reads format 1",
        );
        check(&text.replace("\"verdict\":\"could_not_run\"", "\"verdict\":\"splendid\""), "unknown variant `splendid`");
        check(&text.replace("\"audit\":null,", "").replace("\"marks\":[],", ""), "missing field `marks`");
        let second = serde_json::to_string(&crate::record::Second { at: 5, ..Default::default() }).unwrap();
        check(&text.replace("\"timeline\":[]", &format!("\"timeline\":[{second}]")), "second 0 of its timeline says");
    }
}
