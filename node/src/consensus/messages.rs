//! Raft's messages as they travel: in a protobuf of our own, checked here. raft-rs's types never parse bytes that come from a
//! network or a file; they are filled from what was checked.

use crest_ledger::txn::ShardId;
use crest_proto::internal as wire;
use crest_proto::internal::RaftMessageKind as Kind;
use protobuf::Message as _;
use raft::eraftpb::{Entry, EntryType, Message, MessageType};

use super::members::{Change, pack_changes, to_raft, unpack_changes};
use super::{Members, ReplicaId, SnapshotMeta};
use crate::limits;
use crate::log::LogEntry;

/// An entry whose payload is a batch of commands, or nothing.
const COMMANDS: u8 = 0;
/// An entry whose payload is a change of the members.
const CHANGES: u8 = 1;

/// The largest term: one election a nanosecond would take a hundred years to it.
const TERM_MAX: u64 = 1 << 62;

/// By how much another replica's term may be above one's own. A replica that was away for a thousand years of an election every
/// 30 ms is behind by less. So no single message takes a group to [`TERM_MAX`], where it could never hold an election again: that
/// takes four million of them. A replica that knows no term yet takes any: its group may have come far.
const TERM_AHEAD_MAX: u64 = 1 << 40;

/// Bytes of entries in one message. The connection takes twice the largest entry, so there is room for everything else.
const MESSAGE_BYTES_MAX: u64 = crate::log::ENTRY_BYTES_MAX as u64 + limits::RAFT_ENTRY_OVERHEAD;

const _: () = assert!(
    MESSAGE_BYTES_MAX as usize + (1 << 20) <= crate::peers::grpc::MESSAGE_BYTES_MAX,
    "what a replica sends fits the connection, with a MiB for the message's own fields"
);

/// The kinds of messages that travel, here and in raft-rs.
const KINDS: [(Kind, MessageType); 11] = [
    (Kind::Append, MessageType::MsgAppend),
    (Kind::AppendResponse, MessageType::MsgAppendResponse),
    (Kind::RequestVote, MessageType::MsgRequestVote),
    (Kind::RequestVoteResponse, MessageType::MsgRequestVoteResponse),
    (Kind::Snapshot, MessageType::MsgSnapshot),
    (Kind::Heartbeat, MessageType::MsgHeartbeat),
    (Kind::HeartbeatResponse, MessageType::MsgHeartbeatResponse),
    (Kind::TransferLeader, MessageType::MsgTransferLeader),
    (Kind::TimeoutNow, MessageType::MsgTimeoutNow),
    (Kind::RequestPreVote, MessageType::MsgRequestPreVote),
    (Kind::RequestPreVoteResponse, MessageType::MsgRequestPreVoteResponse),
];

/// A message to another replica, as one or more that the receiver accepts: an append with more entries than fit one message is sent
/// as several that follow each other. Nothing for kinds that stay inside a process, and for one whose entries do not follow from its
/// index, which is all that says where they belong.
pub(super) fn to_wire(shard: ShardId, mut message: Message, entries_max: usize) -> Vec<wire::RaftMessage> {
    let Some((kind, _)) = KINDS.iter().find(|(_, kind)| *kind == message.msg_type) else { return Vec::new() };
    if message.term > TERM_MAX {
        tracing::error!(shard, term = message.term, "raft's term is one that every replica refuses: not sent");
        return Vec::new();
    }
    if message.entries.iter().zip(message.index + 1..).any(|(entry, index)| entry.index != index) {
        tracing::error!(shard, index = message.index, "raft's entries do not follow from their message: not sent");
        return Vec::new();
    }
    let mut parts = Vec::with_capacity(1);
    let mut entries = message.take_entries().into_vec();
    while let Some(rest) = first_message_full(&entries, entries_max) {
        let later = entries.split_off(rest);
        let mut part = message.clone();
        if let Some(last) = entries.last() {
            (message.index, message.log_term) = (last.index, last.term);
        }
        part.set_entries(std::mem::replace(&mut entries, later).into());
        parts.push(part);
    }
    message.set_entries(entries.into());
    parts.push(message);
    let sent = |part: Message| {
        assert!(part.entries.len() <= entries_max, "no replica sends what another one would refuse");
        part_to_wire(shard, *kind, part)
    };
    parts.into_iter().map(sent).collect()
}

/// How many of the entries go into a message of their own, when they do not all fit into one. One entry always fits.
fn first_message_full(entries: &[Entry], entries_max: usize) -> Option<usize> {
    let mut bytes = 0;
    let exceeds = |entry: &Entry| {
        bytes += bytes_of(entry);
        bytes > MESSAGE_BYTES_MAX
    };
    let full = entries.iter().position(exceeds).map_or(entries.len(), |n| n.max(1)).min(entries_max);
    (full < entries.len()).then_some(full)
}

/// The most that an entry takes in a message, bytes: its payload, and its fields and lengths.
fn bytes_of(entry: &Entry) -> u64 {
    (entry.data.len() + entry.context.len()) as u64 + limits::RAFT_ENTRY_OVERHEAD
}

fn part_to_wire(shard: ShardId, kind: Kind, message: Message) -> wire::RaftMessage {
    let snapshot = message.snapshot.as_ref().map(|s| SnapshotMeta::from_raft(s).to_wire());
    wire::RaftMessage {
        shard,
        kind: kind.into(),
        to: message.to,
        from: message.from,
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        entries: message.entries.into_iter().map(entry_to_wire).collect(),
        commit: message.commit,
        commit_term: message.commit_term,
        snapshot,
        request_snapshot: message.request_snapshot,
        reject: message.reject,
        reject_hint: message.reject_hint,
        context: message.context.to_vec().into(),
        priority: message.priority,
    }
}

/// Why a replica of the term `own` does not take a message of another term, if it does not.
pub(super) fn term_refusal(own: u64, term: u64) -> Option<&'static str> {
    (own != 0 && term > own.saturating_add(TERM_AHEAD_MAX)).then_some("its term is far above this replica's")
}

/// A message from another replica, of at most `entries_max` entries.
///
/// # Errors
/// What is wrong with it.
pub(super) fn from_wire(message: wire::RaftMessage, entries_max: usize) -> Result<Message, &'static str> {
    let kind = KINDS.iter().find(|(kind, _)| i32::from(*kind) == message.kind).ok_or("it is of no known kind")?.1;
    if ReplicaId::from_number(message.from).is_none() || ReplicaId::from_number(message.to).is_none() {
        return Err("it is from nobody, or to nobody");
    }
    // Raft takes one without a term for its own, and a term at the end of all numbers could never be followed by another.
    if !(1..=TERM_MAX).contains(&message.term) {
        return Err("its term is none, or far too large");
    }
    if message.entries.len() > entries_max {
        return Err(
            "it has more entries than any replica of this build sends (RAFT_MESSAGE_ENTRIES in node/src/limits.rs)",
        );
    }
    let mut entries = Vec::with_capacity(message.entries.len());
    for (n, entry) in message.entries.into_iter().enumerate() {
        let index = message.index.checked_add(n as u64 + 1).ok_or("its index is too large")?;
        let kind = u8::try_from(entry.kind).map_err(|_| "an entry is of no known kind")?;
        entries.push(entry_of(index, entry.term, kind, entry.payload)?);
    }
    let mut out = Message::default();
    if let Some(snapshot) = message.snapshot {
        out.set_snapshot(SnapshotMeta::from_wire(snapshot)?.to_raft());
    }
    // raft-rs stops the process when these do not fit together.
    if kind == MessageType::MsgSnapshot && !out.has_snapshot() {
        return Err("a snapshot without what it is of");
    }
    out.set_msg_type(kind);
    out.to = message.to;
    out.from = message.from;
    out.term = message.term;
    out.log_term = message.log_term;
    out.index = message.index;
    out.set_entries(entries.into());
    out.commit = message.commit;
    out.commit_term = message.commit_term;
    out.request_snapshot = message.request_snapshot;
    out.reject = message.reject;
    out.reject_hint = message.reject_hint;
    out.context = message.context.to_vec().into();
    out.priority = message.priority;
    Ok(out)
}

fn entry_to_wire(entry: Entry) -> wire::RaftEntry {
    let (kind, payload) = payload(&entry);
    wire::RaftEntry { term: entry.term, kind: u32::from(kind), payload: payload.into() }
}

/// An entry as the log files keep it.
pub(super) fn to_log(entry: &Entry) -> LogEntry {
    let (kind, payload) = payload(entry);
    LogEntry { index: entry.index, term: entry.term, kind, payload }
}

/// An entry as raft-rs takes it, from the log files.
///
/// # Errors
/// What is wrong with it.
pub(super) fn from_log(entry: LogEntry) -> Result<Entry, &'static str> {
    entry_of(entry.index, entry.term, entry.kind, entry.payload.into())
}

fn payload(entry: &Entry) -> (u8, Vec<u8>) {
    match entry.get_entry_type() {
        EntryType::EntryNormal => (COMMANDS, entry.data.to_vec()),
        // raft-rs's own bytes stay here; what raft-rs proposes by itself, to end a joint change, has none of ours.
        _ if entry.context.is_empty() => (CHANGES, pack_changes(&[])),
        _ => (CHANGES, entry.context.to_vec()),
    }
}

fn entry_of(index: u64, term: u64, kind: u8, payload: prost::bytes::Bytes) -> Result<Entry, &'static str> {
    let mut entry = Entry { index, term, ..Entry::default() };
    match kind {
        COMMANDS => entry.data = payload.to_vec().into(),
        CHANGES => {
            let changes =
                unpack_changes(&payload).ok_or("a change of the members is of another version, or damaged")?;
            fill_changes(&mut entry, &changes)?;
        }
        _ => return Err("an entry is of no known kind"),
    }
    Ok(entry)
}

/// Makes `entry` one that changes the members: our bytes, and raft-rs's beside them.
pub(super) fn fill_changes(entry: &mut Entry, changes: &[Change]) -> Result<(), &'static str> {
    entry.set_entry_type(EntryType::EntryConfChangeV2);
    if !changes.is_empty() {
        let bytes = to_raft(changes).write_to_bytes().map_err(|_| "a change of the members can't be written")?;
        entry.data = bytes.into();
        entry.context = pack_changes(changes).into();
    }
    Ok(())
}

/// What a committed entry changes of the members; none when it is no such entry.
pub(super) fn changes_of(entry: &Entry) -> Option<Vec<Change>> {
    match entry.get_entry_type() {
        EntryType::EntryNormal => None,
        _ => unpack_changes(&payload(entry).1),
    }
}

impl SnapshotMeta {
    pub(crate) fn to_wire(&self) -> wire::RaftSnapshot {
        wire::RaftSnapshot { index: self.index, term: self.term, members: Some(self.members.to_wire()) }
    }

    pub(crate) fn from_wire(snapshot: wire::RaftSnapshot) -> Result<Self, &'static str> {
        let members = snapshot.members.ok_or("a snapshot without members")?;
        if snapshot.index == 0 || snapshot.term == 0 {
            return Err("a snapshot of nothing");
        }
        let members = Members::from_wire(members);
        if !members.is_sound() {
            return Err("a snapshot of members that are no group");
        }
        Ok(Self { index: snapshot.index, term: snapshot.term, members })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = limits::RAFT_MESSAGE_ENTRIES;

    fn append() -> Message {
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgAppend);
        (message.to, message.from, message.term, message.index, message.log_term) = (1, 2, 3, 10, 2);
        let mut change = Entry { index: 12, term: 3, ..Entry::default() };
        fill_changes(&mut change, &[Change::Learner(9), Change::Remove(4)]).unwrap();
        let mut leave = Entry { index: 13, term: 3, ..Entry::default() };
        fill_changes(&mut leave, &[]).unwrap();
        let batch = Entry { index: 11, term: 3, data: vec![7, 8, 9].into(), ..Entry::default() };
        message.set_entries(vec![batch, change, leave].into());
        message
    }

    /// The way over the wire, of a message that fits one.
    fn there(message: Message) -> Message {
        let [part] = <[_; 1]>::try_from(to_wire(5, message, MOST)).unwrap();
        from_wire(part, MOST).unwrap()
    }

    #[test]
    fn a_message_is_the_same_after_its_way() {
        let message = append();
        assert_eq!(there(message.clone()), message);
        let mut snapshot = Message::default();
        snapshot.set_msg_type(MessageType::MsgSnapshot);
        (snapshot.to, snapshot.from, snapshot.term) = (1, 2, 3);
        let members = Members { voters: vec![1, 2], learners: vec![3], ..Members::default() };
        snapshot.set_snapshot(SnapshotMeta { index: 9, term: 2, members }.to_raft());
        assert_eq!(there(snapshot.clone()), snapshot);
    }

    /// An append of `count` entries of that many bytes each.
    fn long_append(count: u64, bytes: usize) -> Message {
        let entry = |n| Entry { index: 10 + n, term: 2 + n % 2, data: vec![7; bytes].into(), ..Entry::default() };
        let mut message = append();
        message.set_entries((1..=count).map(entry).collect::<Vec<_>>().into());
        message
    }

    /// Every message that raft can build arrives, in parts that follow each other and hold the same entries.
    #[track_caller]
    fn check_split(count: u64, bytes: usize, parts: usize) {
        let message = long_append(count, bytes);
        let sent = to_wire(5, message.clone(), MOST);
        assert_eq!(sent.len(), parts, "{count} entries of {bytes} bytes");
        let (mut index, mut log_term, mut arrived) = (message.index, message.log_term, Vec::new());
        for part in sent {
            use prost::Message as _;
            assert!(part.encoded_len() <= crate::peers::grpc::MESSAGE_BYTES_MAX, "{} bytes", part.encoded_len());
            let part = from_wire(part, MOST).unwrap();
            assert_eq!((part.index, part.log_term, part.commit), (index, log_term, message.commit));
            arrived.extend(part.entries.to_vec());
            (index, log_term) = arrived.last().map_or((index, log_term), |last: &Entry| (last.index, last.term));
        }
        assert_eq!(arrived, message.entries.to_vec());
    }

    #[test]
    fn no_append_is_so_long_that_its_receiver_refuses_it() {
        let most = limits::RAFT_MESSAGE_ENTRIES as u64;
        let largest = crate::log::ENTRY_BYTES_MAX;
        check_split(0, 0, 1);
        check_split(most, 0, 1);
        check_split(most + 1, 0, 2);
        check_split(5 * most, 3, 5);
        check_split(1, largest, 1);
        check_split(3, largest, 3);
        check_split(3, largest / 2 - 200, 2);
        check_split(3, largest / 2, 3);
    }

    #[test]
    fn entries_that_do_not_follow_from_their_message_are_not_sent() {
        let mut message = append();
        message.index += 1;
        assert_eq!(to_wire(5, message, MOST), []);
    }

    #[test]
    fn what_raft_could_not_bear_is_refused() {
        let good = to_wire(5, append(), MOST).remove(0);
        let check = |what: &str, change: &dyn Fn(&mut wire::RaftMessage)| {
            let mut message = good.clone();
            change(&mut message);
            assert!(from_wire(message, MOST).is_err(), "{what}");
        };
        check("no kind", &|m| m.kind = 0);
        check("a kind from the future", &|m| m.kind = 99);
        check("from nobody", &|m| m.from = 0);
        check("to nobody", &|m| m.to = 1 << 32);
        check("no term", &|m| m.term = 0);
        check("the end of all terms", &|m| m.term = u64::MAX);
        check("the end of all indexes", &|m| m.index = u64::MAX - 1);
        check("an entry of another kind", &|m| m.entries[0].kind = 300);
        check("a damaged change", &|m| m.entries[1].payload = vec![1, 1, 1].into());
        check("a snapshot of nothing", &|m| m.kind = Kind::Snapshot.into());
        let entry = good.entries[0].clone();
        check("more entries than anybody sends", &|m| {
            m.entries = vec![entry.clone(); limits::RAFT_MESSAGE_ENTRIES + 1]
        });
        assert!(from_wire(good, MOST).is_ok());
    }

    #[test]
    fn no_message_takes_a_group_to_a_term_behind_which_it_could_hold_no_election() {
        for own in [1, 7, TERM_AHEAD_MAX, TERM_MAX / 2] {
            // An election after any message that is taken is taken by everybody else.
            let highest = own + TERM_AHEAD_MAX;
            assert_eq!((term_refusal(own, highest), term_refusal(highest, highest + 1)), (None, None));
            assert!(term_refusal(own, highest + 1).is_some());
            let mut campaign = append();
            campaign.term = highest + 1;
            assert_eq!(there(campaign.clone()), campaign);
        }
        assert_eq!(term_refusal(0, TERM_MAX), None, "a new replica does not know how far its group has come");
        assert_eq!(term_refusal(9, 1), None, "an earlier term is raft's business");
        let mut message = append();
        message.term = TERM_MAX + 1;
        assert_eq!(to_wire(5, message, MOST), [], "everybody would refuse it");
    }

    #[test]
    fn entries_are_the_same_after_the_log() {
        for entry in append().take_entries() {
            assert_eq!(from_log(to_log(&entry)).unwrap(), entry);
        }
    }
}
