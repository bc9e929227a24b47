//! The file, plain or gzipped, as a stream of bounded memory.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use flate2::read::MultiGzDecoder;

/// Bytes in one line: a file without line ends must not be read into memory whole.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Bytes that are read from the disk at a time.
const BUFFER_BYTES: usize = 256 << 10;
/// What every gzip file begins with (RFC 1952, 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A CSV reader over the file's text.
pub(crate) type CsvReader = csv::Reader<Lines<Box<dyn Read + Send>>>;

/// Opens `path`; whether it is gzipped is seen from its first bytes, not from its name. `read` counts the bytes that were
/// taken from the disk.
///
/// # Errors
/// When the file cannot be opened or read.
pub(crate) fn open(path: &Path, read: Arc<AtomicU64>) -> anyhow::Result<CsvReader> {
    let name = || format!("{}", path.display());
    let mut file = File::open(path).with_context(name)?;
    let mut magic = Vec::with_capacity(GZIP_MAGIC.len());
    Read::by_ref(&mut file).take(GZIP_MAGIC.len() as u64).read_to_end(&mut magic).with_context(name)?;
    file.seek(SeekFrom::Start(0)).with_context(name)?;
    let file = BufReader::with_capacity(BUFFER_BYTES, Counted { inner: file, read });
    let text: Box<dyn Read + Send> =
        if magic == GZIP_MAGIC { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    // Rows of another length are the caller's to judge, one by one.
    Ok(csv::ReaderBuilder::new().flexible(true).from_reader(Lines { inner: text, run: 0 }))
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Refuses lines of more than [`LINE_BYTES_MAX`] bytes.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    inner: R,
    /// Bytes since the last line end.
    run: usize,
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A line longer than the limit then spans at least two reads, so that looking at the last line end is enough.
        let room = buffer.len().min(LINE_BYTES_MAX);
        let n = self.inner.read(&mut buffer[..room])?;
        let last_end = buffer[..n].iter().rposition(|&b| b == b'\n');
        self.run = last_end.map_or(self.run + n, |at| n - at - 1);
        if self.run > LINE_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a line of more than {LINE_BYTES_MAX} bytes"),
            ));
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_line_is_refused_and_many_lines_are_not() {
        let read = |text: Vec<u8>| Lines { inner: io::Cursor::new(text), run: 0 }.read_to_end(&mut Vec::new());
        assert!(read(vec![b'x'; 3 * LINE_BYTES_MAX]).is_err());
        let lines = [vec![b'x'; LINE_BYTES_MAX - 1], vec![b'\n']].concat().repeat(3);
        assert_eq!(read(lines).unwrap(), 3 * LINE_BYTES_MAX);
    }
}
