//! What raft-rs reads: the entries that followers may still need, and the group's state. They are in memory; the files have
//! them too ([`crate::log`]).

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use super::SnapshotMeta;
use crate::limits;

/// The entries in memory.
#[derive(Clone)]
pub(super) struct Entries(pub(super) Rc<RefCell<Inner>>);

pub(super) struct Inner {
    pub(super) hard_state: HardState,
    pub(super) members: ConfState,
    /// Index and term of the entry before the first one that is kept.
    pub(super) before: (u64, u64),
    pub(super) entries: VecDeque<Entry>,
    /// What the entries take of memory, bytes.
    pub(super) bytes: u64,
    /// Entries that one message may have.
    message_entries: usize,
    /// The snapshot that followers can have.
    pub(super) snapshot: Option<SnapshotMeta>,
    /// Who needs one while there is none that helps.
    pub(super) snapshot_wishes: BTreeSet<u64>,
}

/// What an entry takes of memory, bytes: its payload, and what is around it.
fn bytes_of(entry: &Entry) -> u64 {
    entry.data.len() as u64 + limits::RAFT_ENTRY_OVERHEAD
}

impl Entries {
    pub(super) fn new(
        hard_state: HardState,
        members: ConfState,
        before: (u64, u64),
        entries: Vec<Entry>,
        message_entries: usize,
    ) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            hard_state,
            members,
            before,
            bytes: entries.iter().map(bytes_of).sum(),
            message_entries,
            entries: entries.into(),
            snapshot: None,
            snapshot_wishes: BTreeSet::new(),
        })))
    }

    pub(super) fn last_index(&self) -> u64 {
        let inner = self.0.borrow();
        inner.before.0 + inner.entries.len() as u64
    }

    /// Adds entries; from the first one's index on they take the place of what is there.
    pub(super) fn append(&self, entries: &[Entry]) {
        let mut inner = self.0.borrow_mut();
        let Some(first) = entries.first() else { return };
        let keep = first.index.saturating_sub(inner.before.0 + 1) as usize;
        while inner.entries.len() > keep {
            let replaced = inner.entries.pop_back().map_or(0, |e| bytes_of(&e));
            inner.bytes -= replaced;
        }
        inner.bytes += entries.iter().map(bytes_of).sum::<u64>();
        inner.entries.extend(entries.iter().cloned());
    }

    /// Forgets entries up to `index`, oldest first, but only until no more than `bytes_max` are left; those up to
    /// `index_surely` go in any case.
    pub(super) fn forget(&self, index: u64, index_surely: u64, bytes_max: u64) {
        let mut inner = self.0.borrow_mut();
        loop {
            let over = inner.bytes > bytes_max;
            let goes = |e: &Entry| e.index <= index_surely || (over && e.index <= index);
            if !inner.entries.front().is_some_and(goes) {
                return;
            }
            let Some(entry) = inner.entries.pop_front() else { return };
            inner.before = (entry.index, entry.term);
            inner.bytes -= bytes_of(&entry);
        }
    }

    pub(super) fn term_of(&self, index: u64) -> Option<u64> {
        let inner = self.0.borrow();
        if index == inner.before.0 {
            return Some(inner.before.1);
        }
        let at = index.checked_sub(inner.before.0 + 1)?;
        Some(inner.entries.get(usize::try_from(at).ok()?)?.term)
    }
}

impl Storage for Entries {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let inner = self.0.borrow();
        Ok(RaftState::new(inner.hard_state.clone(), inner.members.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let inner = self.0.borrow();
        let first = inner.before.0 + 1;
        if low < first {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        if high > first + inner.entries.len() as u64 {
            return Err(raft::Error::Store(StorageError::Unavailable));
        }
        let range = (low - first) as usize..(high - first) as usize;
        let mut left = max_size.into().unwrap_or(u64::MAX);
        // raft-rs bounds a message by bytes alone, and a follower may miss any number of entries that have hardly any. Only what is read
        // for a message may be asynchronous; everything else, such as the scan for changes of the members, needs the whole range.
        let for_a_message = context.can_async();
        let count = if for_a_message { range.len().min(inner.message_entries) } else { range.len() };
        let mut found: Vec<Entry> = Vec::with_capacity(count);
        for entry in inner.entries.range(range).take(count) {
            let size = bytes_of(entry);
            if size > left && !found.is_empty() {
                break;
            }
            left = left.saturating_sub(size);
            found.push(entry.clone());
        }
        Ok(found)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        let compacted = index < self.0.borrow().before.0;
        let missing = if compacted { StorageError::Compacted } else { StorageError::Unavailable };
        self.term_of(index).ok_or(raft::Error::Store(missing))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.0.borrow().before.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(Entries::last_index(self))
    }

    /// The one that is there, if the entries after it are too; else the executor is asked to make one.
    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        let mut inner = self.0.borrow_mut();
        let before = inner.before.0;
        match &inner.snapshot {
            // raft-rs takes no snapshot in that does not know of the replica itself.
            Some(meta) if meta.index >= request_index && meta.index >= before && meta.members.contains(to) => {
                let snapshot = meta.to_raft();
                inner.snapshot_wishes.remove(&to);
                Ok(snapshot)
            }
            _ => {
                inner.snapshot_wishes.insert(to);
                Err(raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: u64, bytes: usize) -> Entries {
        let entry = |index| Entry { index, term: 1, data: vec![0; bytes].into(), ..Entry::default() };
        let (entries, most) = ((1..=count).map(entry).collect(), limits::RAFT_MESSAGE_ENTRIES);
        Entries::new(HardState::default(), ConfState::default(), (0, 0), entries, most)
    }

    fn read(entries: &Entries, max_bytes: u64, for_a_message: bool) -> usize {
        let high = entries.last_index() + 1;
        Storage::entries(entries, 1, high, max_bytes, GetEntriesContext::empty(for_a_message)).unwrap().len()
    }

    #[test]
    fn what_is_read_for_a_message_is_bounded_in_entries_and_in_bytes() {
        let small = entries(3 * limits::RAFT_MESSAGE_ENTRIES as u64, 0);
        assert_eq!(read(&small, u64::MAX, true), limits::RAFT_MESSAGE_ENTRIES, "entries without a byte count too");
        assert_eq!(read(&small, 10 * limits::RAFT_ENTRY_OVERHEAD, true), 10, "they take memory");
        let large = entries(40, 100_000);
        assert_eq!(read(&large, limits::RAFT_MESSAGE_BYTES, true), 10);
        assert_eq!(read(&large, 0, true), 1, "one is always read");
    }

    #[test]
    fn what_raft_looks_through_is_never_cut_short() {
        let count = 3 * limits::RAFT_MESSAGE_ENTRIES;
        assert_eq!(read(&entries(count as u64, 0), u64::MAX, false), count);
    }
}
