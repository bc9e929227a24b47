//! Reading a log back: what is whole, what is torn, and what is damaged.

use super::disk::Disk;
use super::error::LogError;
use super::format::{FRAME_BYTES_MAX, Frame, HEADER_BYTES, Header, HeaderError, VERSION, claimed};
use super::{HardState, Identity, LogEntry, files};
use std::path::Path;

/// A segment and what has to be known of it to append to it and to let it go.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) header: Header,
    /// Where its frames end, and the next one goes.
    pub(super) end: u64,
    /// The largest index of an entry that was ever written here, overwritten since or not; 0 when there is none.
    pub(super) max_index: u64,
    /// The smallest index that anything written here starts at.
    pub(super) min_start: u64,
}

impl Segment {
    pub(super) fn new(header: Header) -> Self {
        Self { end: HEADER_BYTES, max_index: 0, min_start: header.next_index, header }
    }

    /// Takes note of a frame of `bytes` bytes with the entries `start..next`.
    pub(super) fn note(&mut self, start: u64, next: u64, bytes: usize) {
        self.end += bytes as u64;
        self.min_start = self.min_start.min(start);
        if next > start {
            self.max_index = self.max_index.max(next - 1);
        }
    }
}

/// The log as it was read, up to some segment.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) segments: Vec<Segment>,
    pub(super) entries: Vec<LogEntry>,
    pub(super) hard_state: HardState,
    pub(super) first: u64,
    pub(super) next: u64,
    pub(super) torn_bytes: u64,
}

/// Reads all segments of the directory; `sequences` are those that are there, sorted, and at least one.
///
/// Afterwards the last segment is clean behind its last frame, and that frame is durable, whatever befell the process that
/// wrote it.
pub(super) fn replay(disk: &dyn Disk, dir: &Path, identity: &Identity, sequences: &[u64]) -> Result<Replay, LogError> {
    if let Some(pair) = sequences.windows(2).find(|pair| pair[1] - pair[0] > 1) {
        return Err(LogError::MissingSegment { dir: dir.to_owned(), sequence: pair[0] + 1 });
    }
    let headers: Vec<Header> =
        sequences.iter().map(|&sequence| read_header(disk, dir, identity, sequence)).collect::<Result<_, _>>()?;
    let mut replay = Replay::default();
    let mut bytes = Vec::new();
    for (n, header) in headers.iter().enumerate() {
        let path = files::segment_path(dir, header.sequence);
        bytes.resize(header.capacity as usize, 0);
        files::open(disk, &path)?.read_exact_at(&mut bytes, 0).map_err(LogError::io("read", &path))?;
        let end = headers.get(n + 1).map(|next| next.previous_end);
        let last_frame = replay.segment(header, &bytes, end, &path)?;
        if end.is_none() {
            replay.torn_bytes = repair(disk, &path, header, &bytes, last_frame)?;
        }
    }
    Ok(replay)
}

fn read_header(disk: &dyn Disk, dir: &Path, identity: &Identity, sequence: u64) -> Result<Header, LogError> {
    let file = files::segment_path(dir, sequence);
    let corrupt = |offset, problem| LogError::Corrupt { file: file.clone(), offset, problem };
    let handle = files::open(disk, &file)?;
    let length = handle.length().map_err(LogError::io("look at", &file))?;
    if length < HEADER_BYTES {
        return Err(corrupt(length, "the file is shorter than its header"));
    }
    let mut page = vec![0; HEADER_BYTES as usize];
    handle.read_exact_at(&mut page, 0).map_err(LogError::io("read", &file))?;
    let header = Header::decode(&page).map_err(|error| match error {
        HeaderError::Damaged => corrupt(0, "the header's checksum is wrong"),
        HeaderError::Version(found) => LogError::WrongVersion { file: file.clone(), found, expected: VERSION },
    })?;
    if header.identity != *identity {
        let (found, expected) = (Box::new(header.identity), Box::new(identity.clone()));
        return Err(LogError::WrongIdentity { file, found, expected });
    }
    if header.sequence != sequence {
        return Err(corrupt(16, "the header has another sequence number than the file's name: was it renamed?"));
    }
    if header.capacity != length {
        return Err(corrupt(length, "the file has another size than when it was made"));
    }
    Ok(header)
}

impl Replay {
    /// Reads one segment, whose frames end at `end`, or wherever they do when it is the last one. Gives the place of its
    /// last frame, from its first byte to the next frame's.
    fn segment(
        &mut self,
        header: &Header,
        bytes: &[u8],
        end: Option<u64>,
        path: &Path,
    ) -> Result<std::ops::Range<usize>, LogError> {
        let corrupt = |offset: u64, problem| LogError::Corrupt { file: path.to_owned(), offset, problem };
        if self.segments.is_empty() || header.starts_over {
            self.entries.clear();
            (self.first, self.next) = (header.next_index, header.next_index);
        } else if header.next_index != self.next {
            return Err(corrupt(48, "the header's next index does not continue the segment before"));
        }
        self.hard_state = header.hard_state;
        let mut segment = Segment::new(header.clone());
        let mut last_frame = HEADER_BYTES as usize..HEADER_BYTES as usize;
        while end != Some(segment.end) {
            let at = segment.end as usize;
            let Some(frame) = Frame::at(bytes, at, header).filter(|frame| fits(at, frame, end)) else {
                if end.is_some() {
                    return Err(corrupt(segment.end, "a frame is unreadable, and the next segment was begun after it"));
                }
                if (at + 8..bytes.len()).step_by(8).any(|later| Frame::at(bytes, later, header).is_some()) {
                    return Err(corrupt(segment.end, "a frame is unreadable, and valid ones follow it"));
                }
                break;
            };
            self.frame(&frame).ok_or_else(|| corrupt(segment.end, "a frame's entries do not continue the log"))?;
            segment.note(frame.start, self.next, frame.bytes.len());
            last_frame = at..at + frame.bytes.len();
        }
        self.segments.push(segment);
        Ok(last_frame)
    }

    /// Applies one frame; none when it does not fit what came before.
    fn frame(&mut self, frame: &Frame<'_>) -> Option<()> {
        if frame.start > self.next || frame.start == 0 {
            return None;
        }
        let next = frame.start.checked_add(frame.count)?;
        self.first = self.first.min(frame.start);
        self.entries.truncate(usize::try_from(frame.start - self.first).ok()?);
        frame.entries(&mut self.entries)?;
        self.next = next;
        self.hard_state = frame.hard_state;
        Some(())
    }
}

fn fits(at: usize, frame: &Frame<'_>, end: Option<u64>) -> bool {
    end.is_none_or(|end| (at + frame.bytes.len()) as u64 <= end)
}

/// Makes the last segment's last frame durable, and overwrites a torn append behind it with zeros. Gives the bytes torn.
///
/// The frame is written once more before the sync. If a process wrote it, saw the sync fail and ended, the page cache has
/// the frame and believes it clean: a sync alone would do nothing, and what was read here would not be what is on the disk.
fn repair(
    disk: &dyn Disk,
    path: &Path,
    header: &Header,
    bytes: &[u8],
    last_frame: std::ops::Range<usize>,
) -> Result<u64, LogError> {
    let torn = claimed(bytes, last_frame.end, header).map_or(0, |torn| torn.end.min(bytes.len()) - torn.start);
    debug_assert!(torn <= FRAME_BYTES_MAX);
    let file = files::open(disk, path)?;
    let write = |bytes: &[u8], at: usize| file.write_all_at(bytes, at as u64).map_err(LogError::io("write", path));
    write(&bytes[last_frame.clone()], last_frame.start)?;
    write(&vec![0; torn], last_frame.end)?;
    file.sync().map_err(LogError::io("sync", path))?;
    Ok(torn as u64)
}
