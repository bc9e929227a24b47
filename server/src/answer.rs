//! An answer on its way out: handed to HTTP/2 in pieces as the client takes them, and charged until it took all.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;

use crate::budget::Charge;
use crate::connection::{OpenStream, Watched};
use crate::limits::{LAST_PIECE_BYTES, PIECE_BYTES};

/// The body of an answer.
pub(crate) struct Outgoing {
    pub(crate) inner: Body,
    /// What is encoded and was not handed on.
    pub(crate) rest: Bytes,
    /// What the call was charged.
    pub(crate) charges: Vec<Charge>,
    /// Whether nothing but the encoded bytes is left of the answer when these are there.
    pub(crate) is_one: bool,
    /// Bytes that are charged beside the encoded ones.
    pub(crate) message_bytes: usize,
    pub(crate) watched: Watched,
    pub(crate) _stream: Option<OpenStream>,
}

impl Outgoing {
    /// From now on the encoded bytes are all that is left.
    fn encoded(&mut self, bytes: usize) {
        let mut left = bytes.saturating_add(self.message_bytes);
        for charge in &mut self.charges {
            charge.shrink_to(left);
            left = left.saturating_sub(charge.bytes());
        }
    }
}

/// The next piece. The last one is small: once HTTP/2 has taken it, it is counted no longer.
fn piece(rest: &mut Bytes) -> Bytes {
    let n = match rest.len() {
        n if n <= LAST_PIECE_BYTES => n,
        n => (n - LAST_PIECE_BYTES).min(PIECE_BYTES),
    };
    rest.split_to(n)
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // HTTP/2 asks for more when the client has let through what it got before.
        self.watched.waiting.set(true);
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(piece(&mut self.rest)))));
        }
        let Poll::Ready(polled) = Pin::new(&mut self.inner).poll_frame(cx) else {
            // It waits for the service, not for the client.
            self.watched.waiting.set(false);
            return Poll::Pending;
        };
        Poll::Ready(polled.map(|frame| {
            frame.map(|frame| match frame.into_data() {
                Ok(data) => {
                    if self.is_one {
                        self.encoded(data.len());
                    }
                    self.rest = data;
                    Frame::data(piece(&mut self.rest))
                }
                Err(other) => other,
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_goes_out_in_pieces_whose_last_one_is_small() {
        let cases: [(usize, &[usize]); 5] = [
            (0, &[]),
            (1_024, &[1_024]),
            (1_025, &[1, 1_024]),
            (PIECE_BYTES + 1_024, &[PIECE_BYTES, 1_024]),
            (40_000, &[PIECE_BYTES, PIECE_BYTES, 40_000 - 2 * PIECE_BYTES - 1_024, 1_024]),
        ];
        for (length, expected) in cases {
            let mut rest = Bytes::from(vec![7; length]);
            let mut pieces = Vec::new();
            while !rest.is_empty() {
                pieces.push(piece(&mut rest).len());
            }
            assert_eq!(pieces, expected);
        }
    }
}
