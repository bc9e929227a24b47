//! The log itself: appending to the last segment, beginning new ones, letting old ones go.

use super::disk::{Disk, DiskFile, SystemDisk};
use super::error::LogError;
use super::format::{
    ENTRY_BYTES_MAX, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, HEADER_BYTES, Header, encode_frame, entry_bytes, frame_bytes,
};
use super::recovery::{self, Segment};
use super::spares::Spares;
use super::{AppendStats, HardState, Identity, LogEntry, Options, Recovered, files};
use crate::points;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// A durable log in a directory of its own. One owner at a time: whoever opens it holds a lock over the directory.
#[derive(Debug)]
pub struct SegmentLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: Options,
    /// In order, never empty; the last one is `file`.
    segments: VecDeque<Segment>,
    pub(super) file: Box<dyn DiskFile>,
    spares: Spares,
    hard_state: HardState,
    first: u64,
    next: u64,
    /// The frame being written; kept, since touching fresh memory costs more than the copy.
    buffer: Vec<u8>,
    failed: Option<LogError>,
}

impl SegmentLog {
    /// Opens the log in `dir`, or makes a new one, which begins at index 1, when there is none.
    ///
    /// An append that was not acknowledged is found whole or is dropped; what is found is durable. Reads everything that
    /// is retained, and holds one segment's bytes in memory besides the entries.
    ///
    /// # Errors
    /// Damage, a missing segment, another's log or another format, options out of bounds, or the operating system's.
    pub fn open(dir: &Path, identity: &Identity, options: Options) -> Result<(Self, Recovered), LogError> {
        Self::open_on(Arc::new(SystemDisk), dir, identity, options)
    }

    /// As [`SegmentLog::open`], on a disk of the caller's.
    ///
    /// # Errors
    /// As of [`SegmentLog::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        identity: &Identity,
        options: Options,
    ) -> Result<(Self, Recovered), LogError> {
        check_options(identity, options)?;
        disk.create_dir(dir).map_err(LogError::io("create", dir))?;
        // A process may have died between naming a file and making the name durable, and what comes now is built upon it.
        files::sync_dir(&*disk, dir)?;
        let mut listing = files::list(&*disk, dir)?;
        if let Some(newest) = files::read_newest(&*disk, dir)?
            && listing.segments.last().is_none_or(|last| *last < newest)
        {
            return Err(LogError::MissingSegment { dir: dir.to_owned(), sequence: newest });
        }
        // A spare that was a segment once tells of a log that has been here: it is not made anew over what is lost.
        if let (true, Some(&newest @ 1..)) = (listing.segments.is_empty(), listing.spares.last()) {
            return Err(LogError::MissingSegment { dir: dir.to_owned(), sequence: newest + 1 });
        }
        let mut spares = Spares::open(&disk, dir, options.segment_bytes, &listing.spares)?;
        if listing.segments.is_empty() {
            let header = Header {
                sequence: 1,
                salt: fresh_salt(&*disk),
                capacity: options.segment_bytes,
                previous_end: 0,
                next_index: 1,
                hard_state: HardState::default(),
                starts_over: false,
                identity: identity.clone(),
            };
            begin_segment(&*disk, dir, &mut spares, &header)?;
            listing.segments.push(1);
        }
        let replay = recovery::replay(&*disk, dir, identity, &listing.segments)?;
        let last = listing.segments.last().copied().unwrap_or_default();
        let mut log = Self {
            dir: dir.to_owned(),
            options,
            file: files::open(&*disk, &files::segment_path(dir, last))?,
            disk,
            segments: replay.segments.into(),
            spares,
            hard_state: replay.hard_state,
            first: replay.first,
            next: replay.next,
            buffer: Vec::new(),
            failed: None,
        };
        log.drop_void_segments()?;
        let recovered = Recovered {
            hard_state: replay.hard_state,
            entries: replay.entries,
            first_index: log.first_index(),
            last_index: log.last_index(),
            torn_bytes: replay.torn_bytes,
        };
        Ok((log, recovered))
    }

    /// Appends `entries`, which follow each other without a gap, and replaces the hard state when one is given. When the
    /// first entry's index is in the log already, it and all that follow it are replaced. Returns when all is durable.
    ///
    /// One write and one `fdatasync` up to 16 MiB (or a segment, if that is smaller); beyond that, one of each for every
    /// such part, and the hard state's commit never ahead of the entries in any of them. Nothing is written when there is
    /// nothing to append.
    ///
    /// # Errors
    /// [`LogError::OutOfOrder`], [`LogError::CommitBeyondLog`] and [`LogError::EntryTooLarge`] refuse, and leave the log
    /// as it was. Any other poisons it.
    pub fn append<P: AsRef<[u8]>>(
        &mut self,
        entries: &[LogEntry<P>],
        hard_state: Option<HardState>,
    ) -> Result<AppendStats, LogError> {
        self.attempt(|log| {
            log.check_append(entries, hard_state)?;
            let mut stats = AppendStats::default();
            if entries.is_empty() && hard_state.is_none() {
                return Ok(stats);
            }
            let goal = hard_state.unwrap_or(log.hard_state);
            let mut rest = entries;
            loop {
                let (part, others) = rest.split_at(log.part_len(rest));
                log.append_frame(part, goal, &mut stats)?;
                rest = others;
                if rest.is_empty() {
                    return Ok(stats);
                }
            }
        })
    }

    /// Lets go of segments from the front whose entries are all at or below `through_index`; never of the last segment.
    /// [`SegmentLog::first_index`] tells what is still there. The files become the next segments.
    ///
    /// # Errors
    /// The operating system's; it poisons the log.
    pub fn truncate_front(&mut self, through_index: u64) -> Result<(), LogError> {
        self.attempt(|log| {
            while log.segments.len() > 1 && log.segments.front().is_some_and(|front| front.max_index <= through_index) {
                points::LOG_BEFORE_DROP.pass();
                log.drop_front()?;
                points::LOG_DROPPED.pass();
            }
            Ok(())
        })
    }

    /// Drops every entry, durably and at once: a snapshot of everything below `next_index` took their place. The next
    /// entry has to be `next_index`.
    ///
    /// # Errors
    /// [`LogError::Invalid`] when `next_index` is 0 and [`LogError::CommitBeyondLog`] when `hard_state.commit` is not below
    /// it refuse, and leave the log as it was. Any other poisons it.
    pub fn reset(&mut self, next_index: u64, hard_state: HardState) -> Result<(), LogError> {
        self.attempt(|log| {
            let Some(last_index) = next_index.checked_sub(1) else {
                return Err(LogError::Invalid { field: "next_index", found: 0, expected: "1 or more" });
            };
            if hard_state.commit > last_index {
                return Err(LogError::CommitBeyondLog { commit: hard_state.commit, last_index });
            }
            log.begin_next(next_index, hard_state, true)?;
            (log.next, log.hard_state) = (next_index, hard_state);
            log.drop_void_segments()
        })
    }

    /// The first entry; when there is none, the index that the next one has to have.
    pub fn first_index(&self) -> u64 {
        self.first
    }

    /// The last entry; when there is none, `first_index() - 1`.
    pub fn last_index(&self) -> u64 {
        self.next - 1
    }

    /// The last hard state that is durable.
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// Bytes that are retained, headers and replaced entries included: what opening the log would read.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.end).sum()
    }

    /// Bytes that the log's files occupy on the disk, room for more included.
    pub fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.header.capacity).sum::<u64>() + self.spares.bytes()
    }

    /// The largest payload that an entry may have, bytes.
    pub fn entry_bytes_max(&self) -> usize {
        // What a frame and an entry carry besides is a multiple of 8, and so is the frame.
        ENTRY_BYTES_MAX.min(self.frame_bytes_max() - frame_bytes(0))
    }

    fn frame_bytes_max(&self) -> usize {
        usize::try_from(self.options.segment_bytes - HEADER_BYTES).unwrap_or(usize::MAX).min(FRAME_BYTES_MAX)
    }

    /// Runs `work` unless the log has failed before, and remembers when it fails now.
    fn attempt<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, LogError>) -> Result<T, LogError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        work(self).inspect_err(|error| {
            if !error.is_refusal() {
                self.failed = Some(error.clone());
            }
        })
    }

    fn check_append<P: AsRef<[u8]>>(
        &self,
        entries: &[LogEntry<P>],
        hard_state: Option<HardState>,
    ) -> Result<(), LogError> {
        let mut next = self.next;
        let mut min = self.first.max(self.hard_state.commit.saturating_add(1));
        for entry in entries {
            if entry.index < min || entry.index > next || entry.index == u64::MAX {
                return Err(LogError::OutOfOrder { index: entry.index, min, max: next });
            }
            let (bytes, limit) = (entry.payload.as_ref().len(), self.entry_bytes_max());
            if bytes > limit {
                return Err(LogError::EntryTooLarge { index: entry.index, bytes, limit });
            }
            (min, next) = (entry.index + 1, entry.index + 1);
        }
        match hard_state {
            Some(HardState { commit, .. }) if commit >= next => {
                Err(LogError::CommitBeyondLog { commit, last_index: next - 1 })
            }
            _ => Ok(()),
        }
    }

    /// How many of `entries` go into the next frame: as many as fit, and at least one if there is one.
    fn part_len<P: AsRef<[u8]>>(&self, entries: &[LogEntry<P>]) -> usize {
        let mut room = self.frame_bytes_max() - FRAME_HEADER_BYTES;
        let fitting = entries.iter().take_while(|entry| {
            let left = room.checked_sub(entry_bytes(entry.payload.as_ref().len()));
            room = left.unwrap_or(0);
            left.is_some()
        });
        fitting.count()
    }

    fn append_frame<P: AsRef<[u8]>>(
        &mut self,
        entries: &[LogEntry<P>],
        goal: HardState,
        stats: &mut AppendStats,
    ) -> Result<(), LogError> {
        let started = Instant::now();
        let start = entries.first().map_or(self.next, |entry| entry.index);
        let next = start + entries.len() as u64;
        let hard_state = HardState { commit: goal.commit.min(next - 1), ..goal };
        let bytes =
            FRAME_HEADER_BYTES + entries.iter().map(|entry| entry_bytes(entry.payload.as_ref().len())).sum::<usize>();
        let tail = self.tail();
        if tail.end + bytes as u64 > tail.header.capacity {
            points::LOG_SEGMENT_FULL.pass();
            self.begin_next(self.next, self.hard_state, false)?;
            points::LOG_SEGMENT_BEGUN.pass();
        }
        let tail = &self.segments[self.segments.len() - 1];
        encode_frame(&mut self.buffer, &tail.header, start, entries, hard_state);
        assert!(self.buffer.len() == bytes, "a frame is as long as it was planned");
        let path = || files::segment_path(&self.dir, tail.header.sequence);
        points::LOG_BEFORE_WRITE.pass();
        let write = || points::LOG_WRITE_FAILS.fails().and_then(|()| self.file.write_all_at(&self.buffer, tail.end));
        write().map_err(|error| LogError::io("write", &path())(error))?;
        points::LOG_WRITTEN.pass();
        let written = Instant::now();
        let sync = || points::LOG_SYNC_FAILS.fails().and_then(|()| self.file.sync());
        sync().map_err(|error| LogError::io("sync", &path())(error))?;
        stats.sync_time += written.elapsed();
        stats.write_time += written - started;
        stats.bytes += bytes as u64;

        // All of it is durable from here on.
        (self.next, self.hard_state) = (next, hard_state);
        let tail = self.tail();
        tail.note(start, next, bytes);
        if tail.end > tail.header.capacity / 4 {
            self.spares.prepare();
        }
        Ok(())
    }

    fn tail(&mut self) -> &mut Segment {
        let last = self.segments.len() - 1;
        &mut self.segments[last]
    }

    /// Begins the next segment, durably.
    fn begin_next(&mut self, next_index: u64, hard_state: HardState, starts_over: bool) -> Result<(), LogError> {
        let tail = self.tail();
        let sequence = tail.header.sequence + 1;
        let (previous_end, identity) = (tail.end, tail.header.identity.clone());
        let (salt, capacity) = (fresh_salt(&*self.disk), self.options.segment_bytes);
        let header = Header { sequence, salt, capacity, previous_end, next_index, hard_state, starts_over, identity };
        self.file = begin_segment(&*self.disk, &self.dir, &mut self.spares, &header)?;
        self.segments.push_back(Segment::new(header));
        Ok(())
    }

    /// Drops the segments before the last one that starts over, if there is one.
    fn drop_void_segments(&mut self) -> Result<(), LogError> {
        let void = self.segments.iter().rposition(|segment| segment.header.starts_over).unwrap_or(0);
        (0..void).try_for_each(|_| self.drop_front())
    }

    /// Drops the first segment, durably, before anybody can drop the second: a gap would look like a loss.
    fn drop_front(&mut self) -> Result<(), LogError> {
        if let Some(front) = self.segments.front() {
            self.spares.recycle(front.header.sequence, front.header.capacity)?;
            self.segments.pop_front();
        }
        self.first = self.segments.iter().map(|segment| segment.min_start).min().unwrap_or(self.next);
        Ok(())
    }
}

fn check_options(identity: &Identity, options: Options) -> Result<(), LogError> {
    let (min, max) = (Options::SEGMENT_BYTES_MIN, Options::SEGMENT_BYTES_MAX);
    if !(min..=max).contains(&options.segment_bytes) || !options.segment_bytes.is_multiple_of(HEADER_BYTES) {
        let expected = "a multiple of 4096 from 16384 to 1073741824";
        return Err(LogError::Invalid { field: "segment_bytes", found: options.segment_bytes, expected });
    }
    let length = identity.cluster.len();
    if length > Identity::CLUSTER_BYTES_MAX {
        let expected = "256 or less";
        return Err(LogError::Invalid { field: "bytes of the cluster's name", found: length as u64, expected });
    }
    Ok(())
}

/// Turns a spare into the segment of `header`. The header is durable before the file gets the segment's name, so a segment
/// without a valid header is always damage.
fn begin_segment(
    disk: &dyn Disk,
    dir: &Path,
    spares: &mut Spares,
    header: &Header,
) -> Result<Box<dyn DiskFile>, LogError> {
    let spare = spares.take()?;
    let file = files::open(disk, &spare)?;
    file.write_all_at(&header.encode(), 0).map_err(LogError::io("write", &spare))?;
    file.sync().map_err(LogError::io("sync", &spare))?;
    points::LOG_SEGMENT_UNNAMED.pass();
    files::rename(disk, dir, &spare, &files::segment_path(dir, header.sequence))?;
    points::LOG_SEGMENT_UNNOTED.pass();
    files::write_newest(disk, dir, header.sequence)?;
    Ok(file)
}

/// Not 0, which is what an unwritten frame has.
fn fresh_salt(disk: &dyn Disk) -> u64 {
    disk.random() | 1
}
