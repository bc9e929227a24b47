//! The messages in a request's bytes, as gRPC frames them: a flag, four bytes of length, and the message.

/// Bytes in front of every message.
pub(crate) const HEAD_BYTES: usize = 5;

/// Where in the frames a request's bytes are.
#[derive(Debug)]
pub(crate) enum Frames {
    Head { bytes: [u8; HEAD_BYTES], have: usize },
    Body { left: u64 },
}

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// So many bytes of a head that goes on.
    Head(usize),
    /// So many bytes end a head: a message of `length` bytes begins. One without bytes ends at once.
    Begins { bytes: usize, length: u64 },
    /// So many bytes of the message; whether they are its last.
    Body { bytes: usize, ends: bool },
}

impl Frames {
    pub(crate) fn new() -> Self {
        Self::Head { bytes: [0; HEAD_BYTES], have: 0 }
    }

    /// Whether a message, or its head, is under way.
    pub(crate) fn is_inside(&self) -> bool {
        !matches!(self, Self::Head { have: 0, .. })
    }

    /// Takes the first part of `data`, which is not empty.
    pub(crate) fn take(&mut self, data: &[u8]) -> Part {
        match self {
            Self::Head { bytes, have } => {
                let n = data.len().min(HEAD_BYTES - *have);
                bytes[*have..*have + n].copy_from_slice(&data[..n]);
                *have += n;
                if *have < HEAD_BYTES {
                    return Part::Head(n);
                }
                let length = u64::from(u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]));
                *self = if length == 0 { Self::new() } else { Self::Body { left: length } };
                Part::Begins { bytes: n, length }
            }
            Self::Body { left } => {
                let n = (*left).min(data.len() as u64);
                *left -= n;
                let ends = *left == 0;
                if ends {
                    *self = Self::new();
                }
                Part::Body { bytes: n as usize, ends }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_in_pieces_of_any_size() {
        let bytes = [0, 0, 0, 0, 3, 7, 7, 7, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2];
        for size in 1..=bytes.len() {
            let (mut frames, mut lengths, mut body) = (Frames::new(), Vec::new(), 0);
            for mut piece in bytes.chunks(size) {
                while !piece.is_empty() {
                    let n = match frames.take(piece) {
                        Part::Head(n) => n,
                        Part::Begins { bytes, length } => {
                            lengths.push(length);
                            bytes
                        }
                        Part::Body { bytes, .. } => {
                            body += bytes;
                            bytes
                        }
                    };
                    piece = &piece[n..];
                }
            }
            assert_eq!((lengths, body, frames.is_inside()), (vec![3, 0, 258], 3, true), "in pieces of {size}");
        }
    }
}
