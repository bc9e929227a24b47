//! The working state of one shard: what was loaded, what is new since the last checkpoint, and an undo list for chains.
//!
//! A record is in one of three states: known to be there, known to be absent, or never loaded. Touching what was never
//! loaded is a bug of the shell, not an input, and panics: better a replica that stops than a balance that is wrong.

mod endings;

use std::collections::{BTreeMap, BTreeSet};

use crate::chains::Chains;
use crate::clock::{Clock, Timestamp};
use crate::decisions::{Decision, Decisions, Tombstone};
use crate::holds::{Hold, Holds};
use crate::limits::TOMBSTONE_STEP_NS;
use crate::records::{IdEntry, IdState, TransferRecord};
use crate::resolutions::{Resolution, Resolutions};
use crate::txn::{ShardId, TxnId};
use crate::{Account, AccountBalance, is_rehearsal};

/// A hash map for ids. Its order is random: nothing that decides may depend on walking one.
#[allow(clippy::disallowed_types)]
pub type Map<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

/// Records that changed since the last checkpoint, by table. What a checkpoint writes, and what a lookup sees first.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// Accounts by id.
    pub accounts: Map<u128, Account>,
    /// Account ids by creation time.
    pub account_times: BTreeMap<Timestamp, u128>,
    /// What became of transfer ids.
    pub ids: Map<u128, IdEntry>,
    /// Transfers and expiries by time.
    pub transfers: BTreeMap<Timestamp, TransferRecord>,
    /// The transfers of each account by time; the balances after them for accounts with `history`.
    pub history: BTreeMap<(u128, Timestamp), Option<AccountBalance>>,
    /// Pending transfers by expiry; `false` when the entry was removed.
    pub expiries: BTreeMap<(Timestamp, u128), bool>,
    /// Holds, decisions and tombstones: the ones that changed, `None` when they ended.
    pub holds: BTreeMap<TxnId, Option<Hold>>,
    /// See `holds`.
    pub outbox: BTreeMap<TxnId, Option<Decision>>,
    /// See `holds`.
    pub tombstones: BTreeMap<TxnId, Option<Tombstone>>,
    /// Resolutions: the new ones, `None` when they were forgotten for newer ones.
    pub resolutions: BTreeMap<TxnId, Option<Resolution>>,
}

impl Layer {
    /// A measure of its size: how many records it holds.
    pub fn records(&self) -> usize {
        self.accounts.len()
            + self.ids.len()
            + self.transfers.len()
            + self.history.len()
            + self.expiries.len()
            + self.holds.len()
    }
}

/// The numbers that are one for the whole shard; stored with each checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scalars {
    /// The clock.
    pub clock: Timestamp,
    /// The newest account, ns.
    pub last_account: Timestamp,
    /// The newest transfer, ns.
    pub last_transfer: Timestamp,
    /// How many accounts there are.
    pub accounts: u64,
    /// How many transfers there are.
    pub transfers: u64,
    /// How many of the accounts are on ledger numbers of rehearsals.
    pub rehearsal_accounts: u64,
    /// How many of the transfers are.
    pub rehearsal_transfers: u64,
}

#[derive(Debug)]
enum Undo {
    Account(u128, Option<Account>),
    AccountTime(Timestamp),
    Id(u128, Option<IdEntry>),
    Transfer(Timestamp),
    History((u128, Timestamp), Option<Option<AccountBalance>>),
    Expiry((Timestamp, u128), Option<bool>),
}

/// The working state of one shard.
#[derive(Debug)]
pub struct Tables {
    shard: ShardId,
    clock: Clock,
    scalars: Scalars,
    new: Layer,
    loaded_accounts: Map<u128, Option<Account>>,
    loaded_ids: Map<u128, Option<IdEntry>>,
    loaded_transfers: Map<Timestamp, Option<TransferRecord>>,
    loaded_history: BTreeMap<(u128, Timestamp), Option<AccountBalance>>,
    loaded_times: BTreeSet<Timestamp>,
    /// From which instant on all rows of an account's history are loaded.
    loaded_after: Map<u128, Timestamp>,
    holds: Holds,
    decisions: Decisions,
    resolutions: Resolutions,
    chains: Chains,
    stored: endings::Stored,
    undo: Option<(Scalars, Vec<Undo>)>,
    /// The leader's clock at the entry that is applied, where that is far behind the shard's time.
    real_time: Option<Timestamp>,
}

impl Tables {
    /// The state of `shard` as a checkpoint left it.
    pub fn new(shard: ShardId, scalars: Scalars) -> Self {
        Self {
            shard,
            clock: Clock::new(shard, scalars.clock),
            scalars,
            new: Layer::default(),
            loaded_accounts: Map::default(),
            loaded_ids: Map::default(),
            loaded_transfers: Map::default(),
            loaded_history: BTreeMap::new(),
            loaded_times: BTreeSet::new(),
            loaded_after: Map::default(),
            holds: Holds::default(),
            decisions: Decisions::default(),
            resolutions: Resolutions::default(),
            chains: Chains::new(scalars.clock),
            stored: endings::Stored::default(),
            undo: None,
            real_time: None,
        }
    }

    /// Which shard this is.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The shard's numbers, the clock included.
    pub fn scalars(&self) -> Scalars {
        Scalars { clock: self.clock.last(), ..self.scalars }
    }

    /// What changed since the last [`Tables::freeze`].
    pub fn new_layer(&self) -> &Layer {
        &self.new
    }

    /// Takes out what changed, for a checkpoint, and forgets what was loaded. From now on the shell must find the frozen
    /// layer's records when it loads.
    pub fn freeze(&mut self) -> (Layer, Scalars) {
        assert!(self.undo.is_none(), "a checkpoint is never taken inside a chain");
        self.forget_loaded();
        self.stored.follow(&self.new);
        (std::mem::take(&mut self.new), self.scalars())
    }

    /// How many records are held that could be loaded again.
    pub fn loaded_records(&self) -> usize {
        self.loaded_accounts.len() + self.loaded_ids.len() + self.loaded_transfers.len() + self.loaded_history.len()
    }

    fn forget_loaded(&mut self) {
        self.loaded_accounts.clear();
        self.loaded_ids.clear();
        self.loaded_transfers.clear();
        self.loaded_history.clear();
        self.loaded_times.clear();
        self.loaded_after.clear();
    }
}

/// What the shell does: say what is in the store.
impl Tables {
    /// Says what the store holds of an account.
    pub fn load_account(&mut self, id: u128, found: Option<Account>) {
        self.loaded_accounts.insert(id, found);
    }

    /// Says what the store holds of a transfer id.
    pub fn load_id(&mut self, id: u128, found: Option<IdEntry>) {
        self.loaded_ids.insert(id, found);
    }

    /// Says what the store holds of a record.
    pub fn load_transfer(&mut self, at: Timestamp, found: Option<TransferRecord>) {
        self.loaded_transfers.insert(at, found);
    }

    /// Says that the store holds this row of an account's history.
    pub fn load_history(&mut self, account_id: u128, at: Timestamp, row: Option<AccountBalance>) {
        self.loaded_history.insert((account_id, at), row);
    }

    /// Says that all rows of an account's history after `at` are loaded.
    pub fn load_history_after(&mut self, account_id: u128, at: Timestamp) {
        let from = self.loaded_after.entry(account_id).or_insert(at);
        *from = at.min(*from);
    }

    /// Whether all rows of an account's history after `at` are loaded or new.
    pub fn has_history_after(&self, account_id: u128, at: Timestamp) -> bool {
        self.loaded_after.get(&account_id).is_some_and(|from| *from <= at)
    }

    /// Says that an account was created at this instant (only asked for imported events).
    pub fn load_account_time(&mut self, at: Timestamp) {
        self.loaded_times.insert(at);
    }

    /// Puts back an open hold, a decision or a tombstone of the last checkpoint.
    pub fn restore_hold(&mut self, hold: Hold) {
        self.stored.holds.insert(hold.txn);
        self.holds.insert(hold);
    }

    /// See [`Tables::restore_hold`].
    pub fn restore_decision(&mut self, txn: TxnId, decision: Decision) {
        self.stored.outbox.insert(txn);
        self.decisions.record(txn, decision);
    }

    /// See [`Tables::restore_hold`].
    pub fn restore_tombstone(&mut self, txn: TxnId, tombstone: Tombstone) {
        self.stored.tombstones.insert(txn);
        self.decisions.bury(txn, tombstone);
    }

    /// Whether the account has to be loaded before it is touched.
    pub fn lacks_account(&self, id: u128) -> bool {
        !self.new.accounts.contains_key(&id) && !self.loaded_accounts.contains_key(&id)
    }

    /// Whether the id has to be loaded before it is touched.
    pub fn lacks_id(&self, id: u128) -> bool {
        !self.new.ids.contains_key(&id) && !self.loaded_ids.contains_key(&id)
    }

    /// Whether the record has to be loaded before it is touched.
    pub fn lacks_transfer(&self, at: Timestamp) -> bool {
        !self.new.transfers.contains_key(&at) && !self.loaded_transfers.contains_key(&at)
    }
}

/// What the checks read.
impl Tables {
    /// An account; `None` when there is none.
    pub fn account(&self, id: u128) -> Option<&Account> {
        if let Some(a) = self.new.accounts.get(&id) {
            return Some(a);
        }
        self.loaded_accounts.get(&id).expect("an account is loaded before it is touched").as_ref()
    }

    /// What became of a transfer id; `None` when nothing did.
    pub fn id(&self, id: u128) -> Option<IdEntry> {
        if let Some(e) = self.new.ids.get(&id) {
            return Some(*e);
        }
        *self.loaded_ids.get(&id).expect("a transfer id is loaded before it is touched")
    }

    /// The record with this timestamp; `None` when there is none.
    pub fn transfer_at(&self, at: Timestamp) -> Option<&TransferRecord> {
        if let Some(t) = self.new.transfers.get(&at) {
            return Some(t);
        }
        self.loaded_transfers.get(&at).expect("a record is loaded before it is touched").as_ref()
    }

    /// The ledger number of a transfer, as far as what is loaded tells.
    pub fn ledger_of(&self, id: u128) -> Option<u32> {
        let entry = if self.lacks_id(id) { None } else { self.id(id).filter(|e| e.state != IdState::Failed) }?;
        if self.lacks_transfer(entry.timestamp) {
            None
        } else {
            Some(self.transfer_at(entry.timestamp)?.transfer.ledger)
        }
    }

    /// Whether an account has exactly this timestamp.
    pub fn account_created_at(&self, at: Timestamp) -> bool {
        self.new.account_times.contains_key(&at) || self.loaded_times.contains(&at)
    }

    /// The rows of an account's history after an instant, oldest first, as far as they were loaded or are new.
    pub fn history_after(&self, account_id: u128, at: Timestamp) -> Vec<(Timestamp, Option<AccountBalance>)> {
        let range = (account_id, at + 1)..=(account_id, Timestamp::MAX);
        let mut rows: BTreeMap<_, _> = self.loaded_history.range(range.clone()).map(|(k, v)| (k.1, *v)).collect();
        rows.extend(self.new.history.range(range).map(|(k, v)| (k.1, *v)));
        rows.into_iter().collect()
    }

    /// Open holds.
    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    /// The outbox and the tombstones.
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// The latest chains.
    pub fn chains(&self) -> &Chains {
        &self.chains
    }

    /// The largest timestamp given or seen.
    pub fn now(&self) -> Timestamp {
        self.clock.last()
    }

    /// By which time reservations end, for an event at the timestamp `at`: that one, or the leader's clock where the shard's time is far
    /// ahead of it. A shard whose time was carried into the future ends no reservation early.
    pub fn expiry_time(&self, at: Timestamp) -> Timestamp {
        self.real_time.map_or(at, |real_time| real_time.min(at))
    }
}

/// What the verbs write. Inside a scope every change can be undone.
impl Tables {
    /// Opens a scope.
    pub fn begin(&mut self) {
        assert!(self.undo.is_none(), "scopes do not nest");
        self.undo = Some((self.scalars, Vec::new()));
    }

    /// Keeps what the scope changed.
    pub fn keep(&mut self) {
        assert!(self.undo.take().is_some(), "a scope is open");
    }

    /// Undoes what the scope changed. The clock goes on: it never moves back.
    pub fn rollback(&mut self) {
        let (scalars, list) = self.undo.take().expect("a scope is open");
        self.scalars = scalars;
        for undo in list.into_iter().rev() {
            match undo {
                Undo::Account(id, before) => restore(&mut self.new.accounts, id, before),
                Undo::AccountTime(at) => {
                    self.new.account_times.remove(&at);
                }
                Undo::Id(id, before) => restore(&mut self.new.ids, id, before),
                Undo::Transfer(at) => {
                    self.new.transfers.remove(&at);
                }
                Undo::History(key, before) => restore_ordered(&mut self.new.history, key, before),
                Undo::Expiry(key, before) => restore_ordered(&mut self.new.expiries, key, before),
            }
        }
    }

    fn note(&mut self, undo: Undo) {
        if let Some((_, list)) = &mut self.undo {
            list.push(undo);
        }
    }

    /// Begins an entry: the leader's time when it was proposed, and its clock where that is far behind
    /// ([`LogBatch::real_time`](crate::wire::LogBatch::real_time)).
    pub fn begin_entry(&mut self, at: Timestamp, real_time: Option<Timestamp>) {
        self.real_time = real_time;
        self.observe(at);
    }

    /// Moves the clock to at least `seen`.
    pub fn observe(&mut self, seen: Timestamp) {
        let step = seen.saturating_sub(self.clock.last());
        if step > TOMBSTONE_STEP_NS {
            self.postpone_tombstones(step - TOMBSTONE_STEP_NS);
        }
        self.clock.observe(seen);
    }

    /// The next timestamp.
    pub fn tick(&mut self) -> Timestamp {
        self.clock.tick()
    }

    /// Stores an account: a new one, or one whose balances changed.
    pub fn put_account(&mut self, account: Account) {
        let before = self.new.accounts.insert(account.id, account);
        self.note(Undo::Account(account.id, before));
    }

    /// Counts an account that was just created and files it by time.
    pub fn file_account(&mut self, account: &Account) {
        self.scalars.accounts += 1;
        self.scalars.rehearsal_accounts += u64::from(is_rehearsal(account.ledger));
        self.scalars.last_account = self.scalars.last_account.max(account.timestamp);
        self.new.account_times.insert(account.timestamp, account.id);
        self.note(Undo::AccountTime(account.timestamp));
    }

    /// Stores what became of a transfer id.
    pub fn put_id(&mut self, id: u128, entry: IdEntry) {
        let before = self.new.ids.insert(id, entry);
        self.note(Undo::Id(id, before));
    }

    /// Files a record by its timestamp.
    pub fn put_transfer(&mut self, record: TransferRecord) {
        let at = record.transfer.timestamp;
        if !record.transfer.flags.any(crate::TransferFlags::EXPIRY) {
            self.scalars.transfers += 1;
            self.scalars.rehearsal_transfers += u64::from(is_rehearsal(record.transfer.ledger));
            self.scalars.last_transfer = self.scalars.last_transfer.max(at);
        }
        let before = self.new.transfers.insert(at, record);
        assert!(before.is_none(), "no two records of a shard have one timestamp");
        self.note(Undo::Transfer(at));
    }

    /// Files a record in an account's history.
    pub fn put_history(&mut self, account_id: u128, at: Timestamp, balance: Option<AccountBalance>) {
        let before = self.new.history.insert((account_id, at), balance);
        self.note(Undo::History((account_id, at), before));
    }

    /// Files or removes the expiry of a pending transfer.
    pub fn put_expiry(&mut self, at: Timestamp, id: u128, present: bool) {
        let before = self.new.expiries.insert((at, id), present);
        self.note(Undo::Expiry((at, id), before));
    }

    /// The newest account's timestamp, ns.
    pub fn last_account(&self) -> Timestamp {
        self.scalars.last_account
    }

    /// The newest transfer's timestamp, ns.
    pub fn last_transfer(&self) -> Timestamp {
        self.scalars.last_transfer
    }

    /// Opens a hold. Never inside a scope.
    pub fn open_hold(&mut self, hold: Hold) {
        assert!(self.undo.is_none(), "a hold is opened after the trial is undone");
        self.new.holds.insert(hold.txn, Some(hold.clone()));
        self.holds.insert(hold);
    }

    /// Takes a hold out. Never inside a scope.
    pub fn close_hold(&mut self, txn: &TxnId) -> Option<Hold> {
        assert!(self.undo.is_none(), "a hold is closed outside of scopes");
        let hold = self.holds.remove(txn)?;
        endings::end(&mut self.new.holds, *txn, &self.stored.holds);
        Some(hold)
    }

    /// Notes when the events of a chain happened, here and on other shards. The clock follows them: a read at this shard's
    /// time has the whole chain.
    pub fn note_chain(&mut self, times: impl Iterator<Item = Timestamp> + Clone) {
        times.clone().for_each(|at| self.observe(at));
        self.chains.note(times);
    }
}

fn restore<V>(map: &mut Map<u128, V>, key: u128, before: Option<V>) {
    match before {
        Some(v) => map.insert(key, v),
        None => map.remove(&key),
    };
}

fn restore_ordered<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, before: Option<V>) {
    match before {
        Some(v) => map.insert(key, v),
        None => map.remove(&key),
    };
}
