//! A file of rows: a header, blocks with a checksum each, and a mark at the end. Little-endian.
//!
//! | bytes | header |
//! |---|---|
//! | 8 | `CRESTBAK` |
//! | 4, 4, 8 | format, shard, instant |
//! | 4 | what its rows are |
//! | 4 | crc32c of the above |
//!
//! A block is its length, its number of rows, the crc32c of both and of the rows (4 bytes each), and the rows. One of no length
//! is the end.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crest_ledger::packed::{Reader, Writer};
use crest_ledger::wire::backup::{BackupKind, PAGE_BYTES_MAX};

use super::manifest::FileEntry;
use super::{BackupError, FORMAT};

const MAGIC: &[u8; 8] = b"CRESTBAK";
const HEADER_BYTES: usize = 32;
const BLOCK_HEADER_BYTES: usize = 12;

/// What a file is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Of {
    pub(crate) shard: u32,
    pub(crate) kind: BackupKind,
    pub(crate) at: u64,
}

impl Of {
    /// The file's name.
    pub(crate) fn name(&self) -> String {
        format!("shard-{}-{}.crest", self.shard, self.kind.name())
    }

    fn header(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        Writer(&mut out).u32(FORMAT).u32(self.shard).u64(self.at).u32(self.kind as u32);
        let sum = crc32c::crc32c(&out);
        Writer(&mut out).u32(sum);
        out
    }
}

/// A file that is being written.
pub(crate) struct BlockWriter {
    of: Of,
    path: PathBuf,
    file: BufWriter<File>,
    rows: u64,
    bytes: u64,
    sum: u32,
}

impl BlockWriter {
    /// Makes the file, in place of one that is there.
    pub(crate) fn create(dir: &Path, of: Of) -> Result<Self, BackupError> {
        let path = dir.join(of.name());
        let file = File::create(&path).map_err(BackupError::io("make", &path))?;
        let mut writer = Self { of, path, file: BufWriter::new(file), rows: 0, bytes: 0, sum: 0 };
        writer.write(&of.header())?;
        Ok(writer)
    }

    /// Adds a block.
    pub(crate) fn put(&mut self, rows: u32, body: &[u8]) -> Result<(), BackupError> {
        if body.is_empty() {
            return Ok(());
        }
        self.rows += u64::from(rows);
        self.write(&block_header(rows, body))?;
        self.write(body)
    }

    /// Ends the file; it is durable then.
    pub(crate) fn end(mut self) -> Result<FileEntry, BackupError> {
        self.write(&block_header(0, &[]))?;
        self.file.flush().map_err(BackupError::io("write", &self.path))?;
        self.file.get_ref().sync_all().map_err(BackupError::io("sync", &self.path))?;
        let (kind, name) = (self.of.kind.name().to_owned(), self.of.name());
        Ok(FileEntry { name, kind, rows: self.rows, bytes: self.bytes, crc32c: self.sum })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.bytes += bytes.len() as u64;
        self.sum = crc32c::crc32c_append(self.sum, bytes);
        self.file.write_all(bytes).map_err(BackupError::io("write", &self.path))
    }
}

fn block_header(rows: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(BLOCK_HEADER_BYTES);
    // Blocks are pages, far below 2^32 bytes.
    Writer(&mut out).u32(body.len() as u32).u32(rows);
    let sum = crc32c::crc32c_append(crc32c::crc32c(&out), body);
    Writer(&mut out).u32(sum);
    out
}

/// Shows the blocks of a file, each after its checksum was looked at; and once all were seen, compares the file with what the
/// manifest says of it.
///
/// # Errors
/// When the file is missing, is another one, or is damaged: by name, and where. Or the first of `visit`.
pub(crate) fn read<E: From<BackupError>>(
    dir: &Path,
    of: Of,
    entry: &FileEntry,
    mut visit: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let path = dir.join(&entry.name);
    let file = File::open(&path).map_err(BackupError::io("open", &path))?;
    let mut blocks = Blocks { path, file: BufReader::new(file), bytes: 0, sum: 0 };
    let found = blocks.header()?;
    if found != of.header() {
        return Err(BackupError::wrong(&blocks.path, "is the file of another shard, kind or instant").into());
    }
    let mut rows = 0;
    while let Some((count, body)) = blocks.next()? {
        if of.kind.row_bytes().is_some_and(|each| each * count as usize != body.len()) {
            return Err(blocks.damaged("a block has another length than its rows").into());
        }
        rows += u64::from(count);
        visit(&body)?;
    }
    let found = (rows, blocks.bytes, blocks.sum);
    if found != (entry.rows, entry.bytes, entry.crc32c) || !blocks.is_at_end()? {
        let what = format!(
            "does not have what the manifest says of it: {} rows and {} bytes, and {rows} and {} are there",
            entry.rows, entry.bytes, blocks.bytes
        );
        return Err(BackupError::wrong(&blocks.path, what).into());
    }
    Ok(())
}

struct Blocks {
    path: PathBuf,
    file: BufReader<File>,
    bytes: u64,
    sum: u32,
}

impl Blocks {
    fn header(&mut self) -> Result<Vec<u8>, BackupError> {
        let header = self.bytes(HEADER_BYTES)?;
        let (front, sum) = header.split_at(HEADER_BYTES - 4);
        let mut r = Reader(&front[MAGIC.len()..]);
        if !header.starts_with(MAGIC) {
            return Err(BackupError::wrong(&self.path, "is no file of a backup"));
        }
        match r.u32() {
            Some(FORMAT) if crc32c::crc32c(front).to_le_bytes() == sum => Ok(header),
            Some(format) if format != FORMAT && crc32c::crc32c(front).to_le_bytes() == sum => Err(BackupError::wrong(
                &self.path,
                format!("is of format {format}, and this build reads format {FORMAT}"),
            )),
            _ => Err(self.damaged("the header's checksum is wrong")),
        }
    }

    fn next(&mut self) -> Result<Option<(u32, Vec<u8>)>, BackupError> {
        let header = self.bytes(BLOCK_HEADER_BYTES)?;
        let mut r = Reader(&header);
        let (length, rows, sum) = (r.u32().unwrap_or(0), r.u32().unwrap_or(0), r.u32().unwrap_or(0));
        if length as usize > 2 * PAGE_BYTES_MAX {
            return Err(self.damaged("a block is longer than any can be"));
        }
        let body = self.bytes(length as usize)?;
        if crc32c::crc32c_append(crc32c::crc32c(&header[..8]), &body) != sum {
            return Err(self.damaged("the checksum of a block is wrong"));
        }
        Ok((length > 0).then_some((rows, body)))
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, BackupError> {
        let mut bytes = vec![0; length];
        self.file.read_exact(&mut bytes).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => self.damaged("it is cut short"),
            _ => BackupError::io("read", &self.path)(e),
        })?;
        self.bytes += length as u64;
        self.sum = crc32c::crc32c_append(self.sum, &bytes);
        Ok(bytes)
    }

    fn is_at_end(&mut self) -> Result<bool, BackupError> {
        Ok(self.file.read(&mut [0]).map_err(BackupError::io("read", &self.path))? == 0)
    }

    fn damaged(&self, what: &str) -> BackupError {
        BackupError::wrong(&self.path, format!("is damaged at or behind byte {}: {what}", self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: Of = Of { shard: 3, kind: BackupKind::FailedIds, at: 99 };

    fn write(dir: &Path) -> FileEntry {
        let mut writer = BlockWriter::create(dir, OF).unwrap();
        writer.put(2, &[7; 48]).unwrap();
        writer.put(0, &[]).unwrap();
        writer.put(1, &[8; 24]).unwrap();
        writer.end().unwrap()
    }

    fn rows(dir: &Path, of: Of, entry: &FileEntry) -> Result<usize, BackupError> {
        let mut bytes = 0;
        read(dir, of, entry, |body| {
            bytes += body.len();
            Ok::<_, BackupError>(())
        })?;
        Ok(bytes / 24)
    }

    #[test]
    fn what_was_written_is_read_and_any_other_byte_or_length_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let entry = write(dir.path());
        assert_eq!((entry.rows, rows(dir.path(), OF, &entry).unwrap()), (3, 3));
        let path = dir.path().join(OF.name());
        let good = std::fs::read(&path).unwrap();
        assert_eq!(good.len() as u64, entry.bytes);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            std::fs::write(&path, &bad).unwrap();
            let error = rows(dir.path(), OF, &entry).unwrap_err().to_string();
            assert!(error.contains("shard-3-failed-ids.crest"), "byte {at}: {error}");
            std::fs::write(&path, &good[..at]).unwrap();
            let error = rows(dir.path(), OF, &entry).unwrap_err().to_string();
            assert!(error.contains("cut short"), "cut at {at}: {error}");
        }
        std::fs::write(&path, [&good[..], &[0]].concat()).unwrap();
        rows(dir.path(), OF, &entry).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert!(rows(dir.path(), OF, &entry).unwrap_err().to_string().contains("is missing"));
    }

    #[test]
    fn a_file_in_the_place_of_another_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let entry = write(dir.path());
        for of in [Of { shard: 4, ..OF }, Of { at: 98, ..OF }, Of { kind: BackupKind::Accounts, ..OF }] {
            assert!(rows(dir.path(), of, &entry).unwrap_err().to_string().contains("another shard"), "{of:?}");
        }
        let fewer = FileEntry { rows: 2, ..entry };
        assert!(rows(dir.path(), OF, &fewer).unwrap_err().to_string().contains("the manifest says"));
    }

    #[test]
    fn a_file_of_a_newer_format_is_refused_by_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let entry = write(dir.path());
        let path = dir.path().join(OF.name());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[8] = 9;
        let sum = crc32c::crc32c(&bytes[..28]);
        bytes[28..32].copy_from_slice(&sum.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        assert!(rows(dir.path(), OF, &entry).unwrap_err().to_string().contains("is of format 9"));
    }
}
