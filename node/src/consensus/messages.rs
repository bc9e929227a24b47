//! Raft's messages as they travel: in a protobuf of our own, checked here. raft-rs's types never parse bytes that come from a
//! network or a file; they are filled from what was checked.

use crest_ledger::txn::ShardId;
use crest_proto::internal as wire;
use crest_proto::internal::RaftMessageKind as Kind;
use protobuf::Message as _;
use raft::eraftpb::{Entry, EntryType, Message, MessageType};

use super::members::{Change, pack_changes, to_raft, unpack_changes};
use super::{Members, ReplicaId, SnapshotMeta};
use crate::log::LogEntry;

/// An entry whose payload is a batch of commands, or nothing.
const COMMANDS: u8 = 0;
/// An entry whose payload is a change of the members.
const CHANGES: u8 = 1;

/// The largest term: one election a nanosecond would take a hundred years to it.
const TERM_MAX: u64 = 1 << 62;

/// Entries in one message.
const ENTRIES_MAX: usize = 4_096;

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

/// A message to another replica. None for kinds that stay inside a process, and for one whose entries do not follow from its index,
/// which is all that says where they belong.
pub(super) fn to_wire(shard: ShardId, message: Message) -> Option<wire::RaftMessage> {
    let kind = KINDS.iter().find(|(_, kind)| *kind == message.msg_type)?.0;
    if message.entries.iter().zip(message.index + 1..).any(|(entry, index)| entry.index != index) {
        tracing::error!(shard, index = message.index, "raft's entries do not follow from their message: not sent");
        return None;
    }
    let snapshot = message.snapshot.as_ref().map(|s| SnapshotMeta::from_raft(s).to_wire());
    Some(wire::RaftMessage {
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
    })
}

/// A message from another replica.
///
/// # Errors
/// What is wrong with it.
pub(super) fn from_wire(message: wire::RaftMessage) -> Result<Message, &'static str> {
    let kind = KINDS.iter().find(|(kind, _)| i32::from(*kind) == message.kind).ok_or("it is of no known kind")?.1;
    if ReplicaId::from_number(message.from).is_none() || ReplicaId::from_number(message.to).is_none() {
        return Err("it is from nobody, or to nobody");
    }
    // Raft takes one without a term for its own, and a term at the end of all numbers could never be followed by another.
    if !(1..=TERM_MAX).contains(&message.term) {
        return Err("its term is none, or far too large");
    }
    if message.entries.len() > ENTRIES_MAX {
        return Err("it has too many entries");
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

    #[test]
    fn a_message_is_the_same_after_its_way() {
        let message = append();
        assert_eq!(from_wire(to_wire(5, message.clone()).unwrap()).unwrap(), message);
        let mut snapshot = Message::default();
        snapshot.set_msg_type(MessageType::MsgSnapshot);
        (snapshot.to, snapshot.from, snapshot.term) = (1, 2, 3);
        let members = Members { voters: vec![1, 2], learners: vec![3], ..Members::default() };
        snapshot.set_snapshot(SnapshotMeta { index: 9, term: 2, members }.to_raft());
        assert_eq!(from_wire(to_wire(5, snapshot.clone()).unwrap()).unwrap(), snapshot);
    }

    #[test]
    fn entries_that_do_not_follow_from_their_message_are_not_sent() {
        let mut message = append();
        message.index += 1;
        assert_eq!(to_wire(5, message), None);
    }

    #[test]
    fn what_raft_could_not_bear_is_refused() {
        let good = to_wire(5, append()).unwrap();
        let check = |what: &str, change: &dyn Fn(&mut wire::RaftMessage)| {
            let mut message = good.clone();
            change(&mut message);
            assert!(from_wire(message).is_err(), "{what}");
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
        assert!(from_wire(good).is_ok());
    }

    #[test]
    fn entries_are_the_same_after_the_log() {
        for entry in append().take_entries() {
            assert_eq!(from_log(to_log(&entry)).unwrap(), entry);
        }
    }
}
