//! Commands, queries and answers as bytes: in the log, and between routers and nodes. Little-endian, packed, versioned.
//!
//! Decoding never panics and never reserves more memory than the bytes at hand can fill.

mod codec;
pub mod query;
pub mod audit;
pub mod backup;
pub mod in_doubt;
pub mod health;
mod verbs;

use crate::clock::Timestamp;
use crate::command::{Answer, Command};
use crate::packed::{Reader, Writer};
use crate::rehearsal::Traffic;
use crate::txn::Step;
pub use audit::ShardAudit;
use codec::{Packed, pack_at_most, unpack_list};
pub use health::{PeerTrouble, PeerTroubleKind, ShardHealth};
pub use query::{Query, QueryAnswer, ShardStatus};

/// The version of every message and log entry. Another version is refused, never guessed at. A new kind of command or query
/// keeps the version, since whoever does not know it refuses it; a changed layout of an old one needs a new version, unless it
/// is only ever in messages, whose both ends are of one build.
pub const VERSION: u8 = 1;

/// The version of a log entry that says what the leader's clock showed, beside its shard's time. Written only while the two are far apart,
/// so that builds which know version 1 alone work beside this one at any other time.
const VERSION_WITH_REAL_TIME: u8 = 2;

/// Commands in one log entry.
pub const COMMANDS_MAX: usize = 4_096;

/// Commands in one request, and answers to it. One less: a leader may add expiries to the entry that a request fills alone.
pub const REQUEST_COMMANDS_MAX: usize = COMMANDS_MAX - 1;

/// Bytes that could not be understood: of another version, or damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the {what}: {why}; the other side may be of another version of crest")]
pub struct WireError {
    /// What was to be read.
    pub what: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
}

/// What a router asks of a shard. [`Request::pack`] takes at most [`REQUEST_COMMANDS_MAX`] commands.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Change the state.
    Commands {
        /// The latest time that the sender has seen, ns: what these commands do is stamped above it, so that cause comes
        /// before effect. One that is too far ahead of the shard's clock is not followed.
        after: Timestamp,
        /// Applied one after the other, in one log entry.
        commands: Vec<Command>,
    },
    /// Read.
    Query(Query),
}

/// What a shard answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// One for each command.
    Answers(Vec<Answer>),
    /// To a query.
    Query(QueryAnswer),
}

impl Request {
    /// Commands whose order the times in themselves see to.
    pub fn commands(commands: Vec<Command>) -> Self {
        Self::Commands { after: 0, commands }
    }

    /// Whether it begins something, and all of that for rehearsals. What ends something must be heard, whosever it is.
    pub fn begins_rehearsals(&self) -> bool {
        let Self::Commands { commands, .. } = self else { return false };
        let begins = |command: &Command| matches!(command, Command::Create(_) | Command::Prepare(_));
        let ledgers = commands.iter().flat_map(Command::steps).map(Step::ledger);
        commands.iter().all(begins) && Traffic::of_all(ledgers) == Traffic::Rehearsal
    }

    /// The request as bytes.
    pub fn pack(&self) -> Vec<u8> {
        match self {
            Self::Commands { after, commands } => {
                let mut out = Vec::with_capacity(64 + 160 * commands.iter().map(Command::events).sum::<usize>());
                Writer(&mut out).u8(VERSION).u8(3).u64(*after);
                pack_at_most(commands, REQUEST_COMMANDS_MAX, &mut out);
                out
            }
            Self::Query(query) => {
                let mut out = vec![VERSION, 2];
                query.pack(&mut out);
                out
            }
        }
    }

    /// The inverse of [`Request::pack`].
    ///
    /// # Errors
    /// When the bytes are of another version, cut short, or too long.
    pub fn unpack(bytes: &[u8]) -> Result<Self, WireError> {
        whole("request", bytes, |r| match r.u8()? {
            3 => Some(Self::Commands { after: r.u64()?, commands: unpack_list(r, REQUEST_COMMANDS_MAX)? }),
            2 => Some(Self::Query(Query::unpack(r)?)),
            _ => None,
        })
    }
}

impl Response {
    /// The response as bytes.
    pub fn pack(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Self::Answers(answers) => {
                out.push(1);
                pack_at_most(answers, REQUEST_COMMANDS_MAX, &mut out);
            }
            Self::Query(answer) => {
                out.push(2);
                answer.pack(&mut out);
            }
        }
        out
    }

    /// Whether these are the bytes of an answer to a query.
    pub fn is_query(bytes: &[u8]) -> bool {
        bytes.starts_with(&[VERSION, 2])
    }

    /// The inverse of [`Response::pack`].
    ///
    /// # Errors
    /// As of [`Request::unpack`].
    pub fn unpack(bytes: &[u8]) -> Result<Self, WireError> {
        whole("response", bytes, |r| match r.u8()? {
            1 => Some(Self::Answers(unpack_list(r, REQUEST_COMMANDS_MAX)?)),
            2 => Some(Self::Query(QueryAnswer::unpack(r)?)),
            _ => None,
        })
    }
}

/// What one log entry holds: the leader's time, and the commands of everybody who waited.
#[derive(Clone, Debug, PartialEq)]
pub struct LogBatch {
    /// The leader's time when it was proposed, ns: its clock, or what its shard's time has to reach.
    pub at: Timestamp,
    /// The leader's clock, ns, where the shard's time is far ahead of it: reservations end by this one then.
    pub real_time: Option<Timestamp>,
    /// In the order in which they are applied.
    pub commands: Vec<Command>,
}

impl LogBatch {
    /// The entry as bytes.
    pub fn pack(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + 160 * self.commands.iter().map(Command::events).sum::<usize>());
        match self.real_time {
            None => Writer(&mut out).u8(VERSION).u64(self.at),
            Some(real_time) => Writer(&mut out).u8(VERSION_WITH_REAL_TIME).u64(self.at).u64(real_time),
        };
        pack_at_most(&self.commands, COMMANDS_MAX, &mut out);
        out
    }

    /// The inverse of [`LogBatch::pack`].
    ///
    /// # Errors
    /// As of [`Request::unpack`].
    pub fn unpack(bytes: &[u8]) -> Result<Self, WireError> {
        let has_real_time = bytes.first() == Some(&VERSION_WITH_REAL_TIME);
        let version = if has_real_time { VERSION_WITH_REAL_TIME } else { VERSION };
        of_version(version, "log entry", bytes, |r| {
            let at = r.u64()?;
            let real_time = if has_real_time { Some(r.u64()?) } else { None };
            Some(Self { at, real_time, commands: unpack_list(r, COMMANDS_MAX)? })
        })
    }
}

/// Holds, decisions, tombstones and resolutions as values of the store.
pub mod stored {
    use super::codec::Packed;
    use crate::decisions::{Decision, Tombstone};
    use crate::holds::Hold;
    use crate::packed::Reader;
    use crate::resolutions::Resolution;
    use crate::txn::TxnId;

    macro_rules! stored {
        ($($pack:ident, $unpack:ident, $ty:ty, $doc:literal;)*) => {$(
            #[doc = concat!("Appends a ", $doc, "'s bytes.")]
            pub fn $pack(value: &$ty, out: &mut Vec<u8>) {
                value.pack(out);
            }

            #[doc = concat!("Reads a ", $doc, "; `None` when the bytes are damaged.")]
            pub fn $unpack(bytes: &[u8]) -> Option<$ty> {
                let mut r = Reader(bytes);
                let value = <$ty>::unpack(&mut r)?;
                r.is_empty().then_some(value)
            }
        )*};
    }

    stored! {
        pack_txn, unpack_txn, TxnId, "transaction id";
        pack_hold, unpack_hold, Hold, "hold";
        pack_decision, unpack_decision, Decision, "decision";
        pack_tombstone, unpack_tombstone, Tombstone, "tombstone";
        pack_resolution, unpack_resolution, Resolution, "resolution";
    }
}

fn whole<T>(what: &'static str, bytes: &[u8], read: impl FnOnce(&mut Reader<'_>) -> Option<T>) -> Result<T, WireError> {
    of_version(VERSION, what, bytes, read)
}

fn of_version<T>(
    version: u8,
    what: &'static str,
    bytes: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
) -> Result<T, WireError> {
    let mut r = Reader(bytes);
    match r.u8() {
        Some(found) if found == version => {}
        Some(_) => return Err(WireError { what, why: "its version is not 1" }),
        None => return Err(WireError { what, why: "it is empty" }),
    }
    let value = read(&mut r).ok_or(WireError { what, why: "it is cut short or damaged" })?;
    if r.is_empty() { Ok(value) } else { Err(WireError { what, why: "it has bytes after its end" }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(count: usize) -> Vec<Command> {
        vec![Command::Expire(vec![7]); count]
    }

    #[test]
    fn an_entry_holds_the_longest_request_and_the_expiries_that_a_leader_adds() {
        let longest = Request::commands(commands(REQUEST_COMMANDS_MAX));
        assert_eq!(Request::unpack(&longest.pack()), Ok(longest.clone()));
        let Request::Commands { mut commands, .. } = longest else { unreachable!() };
        commands.push(Command::Expire(vec![8]));
        let entry = LogBatch { at: 5, real_time: None, commands };
        assert_eq!(LogBatch::unpack(&entry.pack()), Ok(entry));
    }

    #[test]
    fn a_longer_request_is_refused_by_whoever_reads_it() {
        let mut bytes = vec![VERSION, 3];
        bytes.extend_from_slice(&0u64.to_le_bytes());
        codec::pack_list(&commands(REQUEST_COMMANDS_MAX + 1), &mut bytes);
        assert!(Request::unpack(&bytes).is_err(), "with expiries, nobody could read its entry again");
    }

    #[test]
    #[should_panic(expected = "a list of 4097 items is packed, and the other side reads at most 4096")]
    fn an_entry_that_nobody_could_read_again_is_not_written() {
        LogBatch { at: 5, real_time: None, commands: commands(COMMANDS_MAX + 1) }.pack();
    }
}
