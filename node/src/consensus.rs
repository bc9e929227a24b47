//! The consensus: raft-rs over the shard's own log files.
//!
//! The library decides what is appended and when an entry is committed; its core does no I/O. Entries under way stay in
//! memory here; [`crate::log`] makes them durable on a thread of its own. One voter today is the same code as three.
//!
//! raft-rs brings `protobuf` 2 (see deny.toml for its advisory): those types are only passed in memory. Nothing that comes
//! from a network or a file is ever parsed by them.

use std::collections::VecDeque;

use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Snapshot};
use raft::{Config, GetEntriesContext, RaftState, RawNode, Storage, StorageError};

use crate::log::{HardState as LogHardState, LogEntry};

/// This replica's number in its shard's group.
const REPLICA: u64 = 1;

/// What raft-rs reads: the entries since the last applied one, and the group's state.
#[derive(Clone)]
pub(crate) struct MemoryLog(std::rc::Rc<std::cell::RefCell<Inner>>);

struct Inner {
    hard_state: HardState,
    voters: ConfState,
    /// Index and term of the entry before the first one that is kept.
    before: (u64, u64),
    entries: VecDeque<Entry>,
}

impl MemoryLog {
    fn last_index(&self) -> u64 {
        let inner = self.0.borrow();
        inner.before.0 + inner.entries.len() as u64
    }

    fn append(&self, entries: &[Entry]) {
        let mut inner = self.0.borrow_mut();
        if let Some(first) = entries.first() {
            let keep = first.index.saturating_sub(inner.before.0 + 1) as usize;
            inner.entries.truncate(keep);
            inner.entries.extend(entries.iter().cloned());
        }
    }

    /// Forgets entries up to `index`: they are applied, and durable in the log files.
    fn forget(&self, index: u64) {
        let mut inner = self.0.borrow_mut();
        while inner.entries.front().is_some_and(|e| e.index <= index) {
            let entry = inner.entries.pop_front().expect("it was just seen");
            inner.before = (entry.index, entry.term);
        }
    }
}

impl Storage for MemoryLog {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let inner = self.0.borrow();
        Ok(RaftState::new(inner.hard_state.clone(), inner.voters.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let inner = self.0.borrow();
        let first = inner.before.0 + 1;
        if low < first {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        let range = (low - first) as usize..(high - first) as usize;
        let mut left = max_size.into().unwrap_or(u64::MAX);
        let mut found: Vec<Entry> = Vec::with_capacity(range.len());
        for entry in inner.entries.range(range) {
            let size = entry.data.len() as u64;
            if size > left && !found.is_empty() {
                break;
            }
            left = left.saturating_sub(size);
            found.push(entry.clone());
        }
        Ok(found)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        let inner = self.0.borrow();
        if index == inner.before.0 {
            return Ok(inner.before.1);
        }
        let at = index.checked_sub(inner.before.0 + 1).ok_or(raft::Error::Store(StorageError::Compacted))?;
        let entry = inner.entries.get(at as usize).ok_or(raft::Error::Store(StorageError::Unavailable))?;
        Ok(entry.term)
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.0.borrow().before.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(MemoryLog::last_index(self))
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        Err(raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}

/// What has to be made durable before raft goes on.
pub(crate) struct ToAppend {
    /// Names this append in [`Consensus::on_appended`].
    pub(crate) number: u64,
    /// The entries, as the log files keep them.
    pub(crate) entries: Vec<LogEntry>,
    /// The state to store with them.
    pub(crate) hard_state: Option<LogHardState>,
}

/// An entry that a majority has: it is applied now.
pub(crate) struct Committed {
    /// Its place in the log.
    pub(crate) index: u64,
    /// The term of the leader that proposed it.
    pub(crate) term: u64,
    /// The bytes that were proposed; empty for the entries that a new leader makes.
    pub(crate) data: Vec<u8>,
}

/// The consensus library, driven by one thread.
pub(crate) struct Consensus {
    node: RawNode<MemoryLog>,
    log: MemoryLog,
    /// Appends that are not durable yet.
    appending: usize,
    /// A ready without anything to append that came meanwhile.
    confirm_with_append: Option<u64>,
}

impl Consensus {
    /// Starts from what the log files hold. `applied` is the store's position; entries up to it are not needed.
    ///
    /// # Errors
    /// When the log and the store do not fit together, or raft-rs refuses its configuration.
    pub(crate) fn new(recovered: LogHardState, entries: Vec<LogEntry>, applied: u64) -> anyhow::Result<Self> {
        let first = entries.first().map_or(applied + 1, |e| e.index);
        let last = entries.last().map_or(applied, |e| e.index);
        anyhow::ensure!(
            first <= applied + 1 && last >= applied,
            "the log has entries {first} to {last}, but the store stands at {applied}: \
             one of the two is from another time; restore this shard from a replica or a backup"
        );
        let term_before = entries.iter().find(|e| e.index == applied).map_or(recovered.term, |e| e.term);
        let mut hard_state = HardState::default();
        hard_state.set_term(recovered.term);
        hard_state.set_vote(recovered.vote);
        hard_state.set_commit(recovered.commit.clamp(applied, last));
        let voters = ConfState { voters: vec![REPLICA], ..ConfState::default() };
        let entries = entries.into_iter().filter(|e| e.index > applied).map(from_log).collect();
        let inner = Inner { hard_state, voters, before: (applied, term_before), entries };
        let log = MemoryLog(std::rc::Rc::new(std::cell::RefCell::new(inner)));
        let config = Config {
            id: REPLICA,
            election_tick: 10,
            heartbeat_tick: 3,
            applied,
            max_size_per_msg: u64::MAX,
            max_committed_size_per_ready: u64::MAX,
            pre_vote: true,
            check_quorum: true,
            ..Config::default()
        };
        config.validate()?;
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let mut node = RawNode::new(&config, log.clone(), &logger)?;
        node.campaign()?;
        Ok(Self { node, log, appending: 0, confirm_with_append: None })
    }

    /// Whether this replica may propose.
    pub(crate) fn is_leader(&self) -> bool {
        self.node.raft.state == raft::StateRole::Leader
    }

    /// The last entry that was proposed or is in the log.
    pub(crate) fn last_index(&self) -> u64 {
        self.node.raft.raft_log.last_index()
    }

    /// The current term.
    pub(crate) fn term(&self) -> u64 {
        self.node.raft.term
    }

    /// Proposes an entry and returns its index.
    ///
    /// # Errors
    /// When this replica does not lead.
    pub(crate) fn propose(&mut self, data: Vec<u8>) -> raft::Result<u64> {
        self.node.propose(Vec::new(), data)?;
        Ok(self.last_index())
    }

    /// Lets raft's time pass.
    pub(crate) fn tick(&mut self) {
        self.node.tick();
    }

    /// What raft wants done: entries to append, and entries to apply.
    pub(crate) fn ready(&mut self) -> Option<(Option<ToAppend>, Vec<Committed>)> {
        if !self.node.has_ready() {
            return None;
        }
        let mut ready = self.node.ready();
        let committed = ready.take_committed_entries();
        let entries = ready.take_entries();
        let sync = ready.must_sync();
        if let Some(hs) = ready.hs() {
            self.log.0.borrow_mut().hard_state = hs.clone();
        }
        self.log.append(&entries);
        let number = ready.number();
        self.node.advance_append_async(ready);
        let append = sync.then(|| {
            let hard_state = Some(to_log_state(&self.log.0.borrow().hard_state));
            ToAppend { number, entries: entries.into_iter().map(to_log).collect(), hard_state }
        });
        if append.is_some() {
            self.appending += 1;
        } else if self.appending == 0 {
            // A change of the commit position alone is not worth an fsync: replay finds it again.
            self.node.on_persist_ready(number);
        } else {
            // To confirm it now would confirm the append in front of it, which is still being written.
            self.confirm_with_append = Some(number);
        }
        Some((append, committed.into_iter().map(committed_entry).collect()))
    }

    /// Tells raft that an append is durable.
    pub(crate) fn on_appended(&mut self, number: u64) {
        self.appending -= 1;
        let later = if self.appending == 0 { self.confirm_with_append.take() } else { None };
        self.node.on_persist_ready(later.map_or(number, |l| l.max(number)));
    }

    /// Tells raft that entries up to `index` are applied.
    pub(crate) fn on_applied(&mut self, index: u64) {
        self.node.advance_apply_to(index);
        self.log.forget(index);
    }
}

fn from_log(entry: LogEntry) -> Entry {
    let data = entry.payload.into();
    Entry { entry_type: EntryType::EntryNormal, index: entry.index, term: entry.term, data, ..Entry::default() }
}

fn to_log(entry: Entry) -> LogEntry {
    LogEntry { index: entry.index, term: entry.term, kind: 0, payload: entry.data.to_vec() }
}

fn to_log_state(hs: &HardState) -> LogHardState {
    LogHardState { term: hs.term, vote: hs.vote, commit: hs.commit }
}

fn committed_entry(entry: Entry) -> Committed {
    Committed { index: entry.index, term: entry.term, data: entry.data.to_vec() }
}
