//! Counts the rows of a protobuf message while its bytes come in, and decodes nothing.
//!
//! Of bytes that are no message it counts at least as many rows as a decoder makes before it gives up.

use crate::method::{Rows, RowsKind};

/// The longest way to a field.
const DEPTH_MAX: usize = 4;
/// Bytes of the longest varint.
const VARINT_BYTES_MAX: u32 = 10;
/// The wire types of protobuf.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const GROUP: u64 = 3;
const FIXED_32: u64 = 5;

/// Groups went out of use with proto2, and nobody who speaks this API sends one; yet a decoder skips it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HasGroup;

/// A message, as far as it came in.
#[derive(Debug)]
pub(crate) struct Scan {
    rows: Option<Rows>,
    id: Option<u32>,
    at: u64,
    /// Where the messages around the present place end; the outermost one first.
    ends: [u64; DEPTH_MAX],
    depth: usize,
    state: State,
    varint: u64,
    varint_bytes: u32,
    pub(crate) count: u64,
    pub(crate) number: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Key,
    /// A varint that is nobody's.
    Other,
    /// The number of rows.
    Limit,
    /// The message's number.
    Id,
    /// The length of a field that is nobody's.
    Length,
    /// The length of a row.
    RowLength,
    /// The length of a message on the way to the rows.
    Enter,
    Skip(u64),
    /// This is no message; a decoder gets no further.
    Lost,
}

impl Scan {
    /// A message of `length` bytes begins.
    pub(crate) fn new(length: u64, rows: Option<Rows>, id: Option<u32>) -> Self {
        debug_assert!(rows.is_none_or(|rows| (1..=DEPTH_MAX).contains(&rows.path.len())));
        let mut ends = [0; DEPTH_MAX];
        ends[0] = length;
        Self { rows, id, at: 0, ends, depth: 0, state: State::Key, varint: 0, varint_bytes: 0, count: 0, number: 0 }
    }

    /// The next bytes of the message.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> Result<(), HasGroup> {
        while let Some((first, rest)) = bytes.split_first() {
            match self.state {
                State::Lost => return Ok(()),
                State::Skip(left) => {
                    let n = left.min(bytes.len() as u64);
                    self.at += n;
                    self.state = if n == left { State::Key } else { State::Skip(left - n) };
                    bytes = &bytes[n as usize..];
                    self.leave();
                }
                _ => {
                    self.at += 1;
                    bytes = rest;
                    if let Some(number) = self.varint(*first) {
                        self.state = self.take(number)?;
                        self.leave();
                    }
                }
            }
        }
        Ok(())
    }

    /// A byte of a varint; gives the number with the last one.
    fn varint(&mut self, byte: u8) -> Option<u64> {
        if self.varint_bytes == VARINT_BYTES_MAX {
            self.state = State::Lost;
            return None;
        }
        self.varint |= u64::from(byte & 0x7f).wrapping_shl(7 * self.varint_bytes);
        self.varint_bytes += 1;
        if byte & 0x80 != 0 {
            return None;
        }
        self.varint_bytes = 0;
        Some(std::mem::take(&mut self.varint))
    }

    /// What comes after this number.
    fn take(&mut self, number: u64) -> Result<State, HasGroup> {
        Ok(match self.state {
            State::Key => return self.key(number),
            State::Other => State::Key,
            State::Limit => {
                self.count = self.count.max(number);
                State::Key
            }
            State::Id => {
                self.number = number;
                State::Key
            }
            State::Length | State::RowLength => match number {
                0 => State::Key,
                n if self.at.checked_add(n).is_none_or(|end| end > self.ends[0]) => State::Lost,
                n => State::Skip(n),
            },
            State::Enter => match self.at.checked_add(number) {
                Some(end) if end <= self.ends[0] => {
                    self.depth += 1;
                    self.ends[self.depth] = end;
                    State::Key
                }
                _ => State::Lost,
            },
            State::Skip(_) | State::Lost => self.state,
        })
    }

    fn key(&mut self, key: u64) -> Result<State, HasGroup> {
        if key > u64::from(u32::MAX) || key >> 3 == 0 {
            return Ok(State::Lost);
        }
        let (field, wire) = ((key >> 3) as u32, key & 7);
        let on_the_way = self.rows.filter(|rows| rows.path.get(self.depth) == Some(&field));
        let last = on_the_way.is_some_and(|rows| rows.path.len() == self.depth + 1);
        let kind = on_the_way.map(|rows| rows.kind);
        Ok(match (wire, kind) {
            (VARINT, Some(RowsKind::Limit)) if last => State::Limit,
            (VARINT, _) if self.depth == 0 && self.id == Some(field) => State::Id,
            (VARINT, _) => State::Other,
            (FIXED_64, _) => State::Skip(8),
            (FIXED_32, _) => State::Skip(4),
            (BYTES, Some(RowsKind::Items)) if last => {
                self.count += 1;
                State::RowLength
            }
            (BYTES, Some(_)) if !last => State::Enter,
            (BYTES, _) => State::Length,
            (GROUP, _) => return Err(HasGroup),
            _ => State::Lost,
        })
    }

    /// Leaves the messages that end here. A decoder gives up where a field reaches beyond the message around it.
    fn leave(&mut self) {
        while self.depth > 0 && matches!(self.state, State::Key) && self.at >= self.ends[self.depth] {
            if self.at > self.ends[self.depth] {
                self.state = State::Lost;
                return;
            }
            self.depth -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEMS: Rows = Rows { path: &[1], kind: RowsKind::Items, name: "transfers", max: 10, bytes: 1 };
    const NESTED: Rows = Rows { path: &[2, 1], ..ITEMS };
    const LIMIT: Rows = Rows { path: &[1, 10], kind: RowsKind::Limit, ..ITEMS };

    /// What is counted, with the message in pieces of every size.
    #[track_caller]
    fn counts(rows: Rows, bytes: &[u8], count: u64, number: u64) {
        for size in 1..=bytes.len().max(1) {
            let mut scan = Scan::new(bytes.len() as u64, Some(rows), Some(1));
            for piece in bytes.chunks(size) {
                assert_eq!(scan.read(piece), Ok(()));
            }
            assert_eq!((scan.count, scan.number), (count, number), "{bytes:?} in pieces of {size}");
        }
    }

    #[test]
    fn rows_are_counted_in_pieces_of_any_size() {
        counts(ITEMS, &[], 0, 0);
        counts(ITEMS, &[0x0a, 0, 0x0a, 0, 0x10, 1, 0x0a, 2, 0x50, 3], 3, 0);
        // The same field written with more bytes than it takes.
        counts(ITEMS, &[0x8a, 0x00, 0x80, 0x00, 0x0a, 0], 2, 0);
        // Numbers of 32 and 64 bits, and fields that nobody knows, are passed over.
        counts(
            ITEMS,
            &[0x19, 0x0a, 0, 0x0a, 0, 0x0a, 0, 0x0a, 0, 0x25, 0x0a, 0, 0x0a, 0, 0x7a, 2, 0x0a, 0, 0x0a, 0],
            1,
            0,
        );
    }

    #[test]
    fn rows_in_a_message_in_a_message_are_counted_and_others_are_not() {
        counts(NESTED, &[0x08, 0xac, 0x02, 0x12, 4, 0x0a, 0, 0x0a, 0, 0x1a, 2, 0x0a, 0], 2, 300);
        // The message around them comes twice, and a decoder puts both together.
        counts(NESTED, &[0x12, 2, 0x0a, 0, 0x08, 7, 0x12, 5, 0x0a, 1, 0x0a, 0x0a, 0], 3, 7);
        counts(NESTED, &[0x12, 0, 0x0a, 0], 0, 0);
    }

    #[test]
    fn a_number_of_rows_is_read() {
        counts(LIMIT, &[0x0a, 5, 0x30, 1, 0x50, 0xfe, 0x3f], 8_190, 0);
        counts(LIMIT, &[0x0a, 2, 0x50, 7, 0x0a, 2, 0x50, 5, 0x50, 9], 7, 0);
    }

    #[test]
    fn what_is_no_message_is_counted_as_far_as_a_decoder_gets() {
        for bytes in [&[0x0a, 0, 0x0a, 200, 1, 2][..], &[0x0a, 0, 0x0a, 0xff, 0xff], &[0x0a, 0, 0x0f, 0x0a, 0]] {
            assert!((1..=2).contains(&count(bytes)), "{bytes:?}");
        }
        assert_eq!(count(&[0xff; 30]), 0);
        let huge = [0x0a, 0, 0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x0a, 0];
        assert_eq!(count(&huge), 2);
        assert_eq!(Scan::new(3, Some(ITEMS), None).read(&[0x0b, 0x0a, 0]), Err(HasGroup));
    }

    fn count(bytes: &[u8]) -> u64 {
        let mut scan = Scan::new(bytes.len() as u64, Some(ITEMS), None);
        scan.read(bytes).unwrap();
        scan.count
    }
}
