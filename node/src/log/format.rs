//! The bytes of a segment. All integers are little-endian; all checksums are CRC-32C.
//!
//! ```text
//! header, 4,096 bytes, so that no frame shares a page with it:
//!   0 magic 8 · 8 checksum of the bytes from 12 · 12 version · 16 sequence 8 · 24 salt 8 · 32 file's bytes 8
//!   40 previous segment's end 8 · 48 next index 8 · 56 term 8 · 64 vote 8 · 72 commit 8 · 80 replica 8 · 88 shard 4
//!   92 starts over 1, zeros 1, length of the cluster's name 2 · 96 name, then zeros
//! frame, a multiple of 8 bytes, at a multiple of 8:
//!   0 checksum of sequence and salt, then of the bytes from 4 · 4 bytes of the frame · 8 salt 8 · 16 start 8
//!   24 term 8 · 32 vote 8 · 40 commit 8 · 48 number of entries 4 · 52 zeros 4 · 56 entries
//! entry, padded with zeros to a multiple of 8 bytes:
//!   0 term 8 · 8 length 4 · 12 kind 1 · 13 zeros 3 · 16 payload
//! ```
//!
//! The entries of a frame are `start`, `start + 1` and so on, and whatever the log held from `start` on is replaced by them.
//! Every frame and every header repeats the hard state, so that old segments can go without a look at what they held.

use super::{HardState, Identity, LogEntry};
use std::ops::Range;

/// The format that this build writes and reads.
pub(super) const VERSION: u32 = 1;
/// Bytes of a segment's header.
pub(super) const HEADER_BYTES: u64 = 4_096;
/// Bytes of a frame before its entries.
pub(super) const FRAME_HEADER_BYTES: usize = 56;
/// Bytes of an entry before its payload.
pub(super) const ENTRY_HEADER_BYTES: usize = 16;
/// The largest payload of an entry, bytes: 16 times a full request, so that nothing sensible meets it, and small enough
/// to hold several in memory.
pub const ENTRY_BYTES_MAX: usize = 16 << 20;
/// The largest frame, bytes: the largest entry by itself.
pub(super) const FRAME_BYTES_MAX: usize = FRAME_HEADER_BYTES + ENTRY_HEADER_BYTES + ENTRY_BYTES_MAX;

const MAGIC: &[u8; 8] = b"CRESTLOG";
const CLUSTER_AT: usize = 96;

const _: () = assert!(CLUSTER_AT + Identity::CLUSTER_BYTES_MAX <= HEADER_BYTES as usize, "a name fits the header");
const _: () = assert!(FRAME_BYTES_MAX.is_multiple_of(8), "the largest frame needs no padding");

/// What a segment's first page says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) sequence: u64,
    /// Random and not 0. What came from a client never passes for a frame, nor does what a recycled file held before.
    pub(super) salt: u64,
    /// Bytes of the file.
    pub(super) capacity: u64,
    /// Where the frames of the segment before end; 0 when there is none.
    pub(super) previous_end: u64,
    /// The index after the last entry when the segment was begun.
    pub(super) next_index: u64,
    /// The hard state when the segment was begun.
    pub(super) hard_state: HardState,
    /// The entries of earlier segments are void: a snapshot took their place.
    pub(super) starts_over: bool,
    pub(super) identity: Identity,
}

/// Why a page is no header that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// It is damaged, or not a header at all.
    Damaged,
    /// It has this format.
    Version(u32),
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; HEADER_BYTES as usize];
        page[..8].copy_from_slice(MAGIC);
        page[12..16].copy_from_slice(&VERSION.to_le_bytes());
        let HardState { term, vote, commit } = self.hard_state;
        let words = [self.sequence, self.salt, self.capacity, self.previous_end, self.next_index, term, vote, commit];
        for (n, word) in words.into_iter().chain([self.identity.replica]).enumerate() {
            page[16 + n * 8..24 + n * 8].copy_from_slice(&word.to_le_bytes());
        }
        page[88..92].copy_from_slice(&self.identity.shard.to_le_bytes());
        page[92] = u8::from(self.starts_over);
        let cluster = self.identity.cluster.as_bytes();
        page[94..96].copy_from_slice(&(cluster.len() as u16).to_le_bytes());
        page[CLUSTER_AT..CLUSTER_AT + cluster.len()].copy_from_slice(cluster);
        let checksum = crc32c::crc32c(&page[12..]);
        page[8..12].copy_from_slice(&checksum.to_le_bytes());
        page
    }

    /// The inverse of [`Header::encode`]. The checksum comes before the version: its place is the same in every format.
    pub(super) fn decode(page: &[u8]) -> Result<Self, HeaderError> {
        let checked = page.get(12..HEADER_BYTES as usize).ok_or(HeaderError::Damaged)?;
        if page[..8] != *MAGIC || u32_at(page, 8) != Some(crc32c::crc32c(checked)) {
            return Err(HeaderError::Damaged);
        }
        match u32_at(page, 12) {
            Some(VERSION) => Self::decode_fields(page).ok_or(HeaderError::Damaged),
            version => Err(HeaderError::Version(version.unwrap_or_default())),
        }
    }

    fn decode_fields(page: &[u8]) -> Option<Self> {
        let length = usize::from(u16::from_le_bytes([page[94], page[95]]));
        let cluster = page.get(CLUSTER_AT..CLUSTER_AT + length)?;
        Some(Self {
            sequence: u64_at(page, 16)?,
            salt: u64_at(page, 24)?,
            capacity: u64_at(page, 32)?,
            previous_end: u64_at(page, 40)?,
            next_index: u64_at(page, 48)?,
            hard_state: HardState { term: u64_at(page, 56)?, vote: u64_at(page, 64)?, commit: u64_at(page, 72)? },
            identity: Identity {
                cluster: std::str::from_utf8(cluster).ok()?.to_owned(),
                shard: u32_at(page, 88)?,
                replica: u64_at(page, 80)?,
            },
            starts_over: page[92] != 0,
        })
    }
}

/// Bytes of a frame with one entry of `payload` bytes.
pub(super) fn frame_bytes(payload: usize) -> usize {
    FRAME_HEADER_BYTES + entry_bytes(payload)
}

/// Bytes of an entry of `payload` bytes in a frame.
pub(super) fn entry_bytes(payload: usize) -> usize {
    (ENTRY_HEADER_BYTES + payload).next_multiple_of(8)
}

/// Writes into `out` the frame of `entries`, which begin at `start` and have been checked.
pub(super) fn encode_frame<P: AsRef<[u8]>>(
    out: &mut Vec<u8>,
    header: &Header,
    start: u64,
    entries: &[LogEntry<P>],
    hard_state: HardState,
) {
    out.clear();
    out.extend_from_slice(&[0; 8]);
    for word in [header.salt, start, hard_state.term, hard_state.vote, hard_state.commit, entries.len() as u64] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    for entry in entries {
        let payload = entry.payload.as_ref();
        out.extend_from_slice(&entry.term.to_le_bytes());
        out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        out.extend_from_slice(&[entry.kind, 0, 0, 0]);
        out.extend_from_slice(payload);
        out.resize(out.len().next_multiple_of(8), 0);
    }
    let bytes = out.len() as u32;
    out[4..8].copy_from_slice(&bytes.to_le_bytes());
    let checksum = frame_checksum(header, &out[4..]);
    out[..4].copy_from_slice(&checksum.to_le_bytes());
}

fn frame_checksum(header: &Header, bytes: &[u8]) -> u32 {
    let seed = crc32c::crc32c_append(crc32c::crc32c(&header.sequence.to_le_bytes()), &header.salt.to_le_bytes());
    crc32c::crc32c_append(seed, bytes)
}

/// A frame whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) start: u64,
    pub(super) hard_state: HardState,
    pub(super) count: u64,
}

impl<'a> Frame<'a> {
    /// The frame at `offset` of the segment's bytes; none when there is no valid one.
    pub(super) fn at(segment: &'a [u8], offset: usize, header: &Header) -> Option<Self> {
        let bytes = segment.get(claimed(segment, offset, header)?)?;
        if u32_at(bytes, 0)? != frame_checksum(header, &bytes[4..]) {
            return None;
        }
        let hard_state = HardState { term: u64_at(bytes, 24)?, vote: u64_at(bytes, 32)?, commit: u64_at(bytes, 40)? };
        Some(Self { bytes, start: u64_at(bytes, 16)?, hard_state, count: u64_at(bytes, 48)? })
    }

    /// Appends the frame's entries to `entries`; none when they are not as many as it says, or do not fill it.
    pub(super) fn entries(&self, entries: &mut Vec<LogEntry>) -> Option<()> {
        let mut at = FRAME_HEADER_BYTES;
        for n in 0..self.count {
            let length = u32_at(self.bytes, at + 8)? as usize;
            let payload = self.bytes.get(at + ENTRY_HEADER_BYTES..at + ENTRY_HEADER_BYTES + length)?.to_vec();
            let index = self.start.checked_add(n)?;
            entries.push(LogEntry { index, term: u64_at(self.bytes, at)?, kind: *self.bytes.get(at + 12)?, payload });
            at += entry_bytes(length);
        }
        (at == self.bytes.len()).then_some(())
    }
}

/// The bytes that a frame of this segment at `offset` says it has; none when nothing there says that it is one.
pub(super) fn claimed(segment: &[u8], offset: usize, header: &Header) -> Option<Range<usize>> {
    let bytes = u32_at(segment, offset + 4)? as usize;
    let is_frame = u64_at(segment, offset + 8)? == header.salt
        && (FRAME_HEADER_BYTES..=FRAME_BYTES_MAX).contains(&bytes)
        && bytes.is_multiple_of(8);
    is_frame.then(|| offset..offset + bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..at + 4)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..at + 8)?.first_chunk()?))
}
