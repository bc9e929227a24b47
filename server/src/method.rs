//! What a method may cost, known from the bytes of a request before any of it is decoded.

use std::collections::HashMap;
use std::sync::Arc;

use crate::budget::Budget;

/// A method, and the memory that its calls take.
#[derive(Clone)]
pub struct Method {
    /// What pays for it.
    pub budget: Budget,
    /// How many messages a request has, and what becomes of one for which there is no room.
    pub requests: Requests,
    /// Whether it has many answers.
    pub answers: Answers,
    /// Bytes that every message takes, whatever it holds.
    pub message_bytes: usize,
    /// Bytes that a message takes for each of its own, beside the one on its way in.
    pub bytes_per_byte: usize,
    /// What in a message says how much its work and its answer take.
    pub rows: Option<Rows>,
}

/// How many messages a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requests {
    /// One. Where there is no room for it, the call is refused.
    One,
    /// Many. One for which there is no room, or that has too many rows, is left out alone: the service is told, with the number in
    /// this field, and an empty message comes in its place. See [`crate::request::Intake`].
    Stream {
        /// The field with the number by which the client knows the message.
        id: u32,
    },
    /// Many, and when there is no room for the next one it waits. One with too many rows ends the call. For servers of the same cluster, which wait in turn.
    Waiting,
}

/// How many answers a call has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// One. What the request was charged pays for it.
    One,
    /// Many. The service keeps what they are charged.
    Stream,
}

/// Where a message says how many rows its work and its answer have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The way to the field through the messages around it.
    pub path: &'static [u32],
    /// What the field is.
    pub kind: RowsKind,
    /// Its name, for people.
    pub name: &'static str,
    /// How many there may be.
    pub max: usize,
    /// Bytes that each takes: decoded, at work, and in the answer.
    pub bytes: usize,
}

impl Rows {
    /// Whether a message has more of them than any may, and is not decoded.
    pub(crate) fn are_too_many(&self, count: u64) -> bool {
        self.kind == RowsKind::Items && count > self.max as u64
    }

    /// How many of them are paid for: of more, the service refuses to make any.
    pub(crate) fn charged(&self, count: u64) -> usize {
        usize::try_from(count).unwrap_or(usize::MAX).min(self.max)
    }

    /// The answer to a message that has too many.
    pub(crate) fn refusal(&self, count: u64) -> tonic::Status {
        tonic::Status::invalid_argument(format!("{}: expected 1 to {} of them, got {count}", self.name, self.max))
    }
}

/// What a field with rows is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsKind {
    /// A repeated message, one a row.
    Items,
    /// A number of rows. Its bounds are the service's to check.
    Limit,
}

/// The methods of a server by their paths, and what all others may cost. Cheap to clone.
#[derive(Clone)]
pub struct Methods {
    known: Arc<HashMap<&'static str, Method>>,
    others: Arc<Method>,
}

impl Methods {
    /// These methods; `others` is what the ones that are not named may cost (health and reflection).
    pub fn new(known: impl IntoIterator<Item = (&'static str, Method)>, others: Method) -> Self {
        Self { known: Arc::new(known.into_iter().collect()), others: Arc::new(others) }
    }

    /// Whether a path is one of the methods that are named.
    pub fn is_known(&self, path: &str) -> bool {
        self.known.contains_key(path)
    }

    /// What a path may cost.
    pub fn at(&self, path: &str) -> &Method {
        self.known.get(path).unwrap_or(&self.others)
    }
}
