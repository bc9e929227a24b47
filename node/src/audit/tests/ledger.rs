//! A ledger of one shard, made by the verbs themselves and stored in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crest_ledger::command::{Answer, Command};
use crest_ledger::needs::Needs;
use crest_ledger::tables::{Scalars, Tables};
use crest_ledger::txn::{EventResult, Step};
use crest_ledger::{Account, AccountFlags, Timestamp, Transfer, TransferFlags};
use rand::Rng;
use rand::rngs::StdRng;

use crate::consensus::SnapshotMeta;
use crate::store::checkpoint::Checkpoint;
use crate::store::rows::{Entry, Rows, SortedFile, Storage};
use crate::store::{StoreError, keys};

const START: Timestamp = 1_000_000_000_000;
const SECOND: Timestamp = 1_000_000_000;
pub(super) const ACCOUNTS: u128 = 12;

/// Rows in memory.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Mutex<BTreeMap<Vec<u8>, Vec<u8>>>>);

impl Memory {
    pub(super) fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().unwrap().clone())))
    }

    pub(super) fn set(&self, key: &[u8], value: Option<Vec<u8>>) {
        let mut rows = self.0.lock().unwrap();
        match value {
            Some(value) => rows.insert(key.to_vec(), value),
            None => rows.remove(key),
        };
    }

    pub(super) fn table(&self, table: u8) -> Vec<Entry> {
        self.range(&[table], &keys::table_end(table), false, usize::MAX).unwrap()
    }
}

impl Rows for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    fn multi_get(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    fn range(&self, min: &[u8], max: &[u8], reverse: bool, limit: usize) -> Result<Vec<Entry>, StoreError> {
        assert!(!reverse, "an audit goes forward");
        let rows = self.0.lock().unwrap();
        let range = rows.range(min.to_vec()..=max.to_vec());
        Ok(range.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl Storage for Memory {
    fn path(&self) -> String {
        "memory".to_owned()
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.set(key, Some(value.to_vec()));
        Ok(())
    }

    fn sorted_file(&self) -> Result<Box<dyn SortedFile + '_>, StoreError> {
        Ok(Box::new(self.clone()))
    }

    fn snapshot(&self) -> Box<dyn Rows + '_> {
        Box::new(self.copy())
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

impl SortedFile for Memory {
    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        self.set(key, value.map(<[u8]>::to_vec));
        Ok(())
    }

    fn ingest(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A ledger of one shard, all of it in memory until it is stored.
pub(super) struct Ledger {
    tables: Tables,
    now: Timestamp,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self { tables: Tables::new(0, Scalars::default()), now: START }
    }

    pub(super) fn apply(&mut self, command: Command) -> Answer {
        let mut needs = Needs::default();
        loop {
            needs.clear();
            command.needs(&self.tables, &mut needs);
            if needs.is_empty() {
                return command.apply(&mut self.tables, self.now);
            }
            needs.accounts.iter().for_each(|id| self.tables.load_account(*id, None));
            needs.ids.iter().for_each(|id| self.tables.load_id(*id, None));
            needs.transfers.iter().for_each(|at| self.tables.load_transfer(*at, None));
            needs.history_after.iter().for_each(|(id, at)| self.tables.load_history_after(*id, *at));
        }
    }

    pub(super) fn account(&mut self, id: u128, flags: u16) {
        let account = Account { id, ledger: 1, code: 1, flags: AccountFlags(flags), ..Account::default() };
        self.apply(Command::Create(vec![Step::account(account)]));
    }

    pub(super) fn pay(&mut self, id: u128, from: u128, to: u128, amount: u128) {
        let t = Transfer { id, debit_account_id: from, credit_account_id: to, amount, ..plain() };
        let Answer::Results(results) = self.apply(Command::Create(vec![Step::local(t)])) else { panic!() };
        assert_eq!(results[0].status, EventResult::CREATED);
    }

    /// Two seconds pass.
    pub(super) fn later(&mut self) {
        self.now += 2 * SECOND;
    }

    pub(super) fn expire(&mut self) {
        let due = self.tables.new_layer().expiries.range(..=(self.now, u128::MAX));
        let due: Vec<u128> = due.filter(|(_, present)| **present).map(|((_, id), _)| *id).collect();
        self.apply(Command::Expire(due));
    }

    pub(super) fn store(mut self) -> Memory {
        let rows = Memory::default();
        let (layer, scalars) = self.tables.freeze();
        let group = SnapshotMeta { index: 1, ..SnapshotMeta::default() };
        Checkpoint { layer: Arc::new(layer), scalars, group }.write(&rows).unwrap();
        rows
    }
}

pub(super) fn plain() -> Transfer {
    Transfer { ledger: 1, code: 1, ..Transfer::default() }
}

/// Random accounts and transfers of every kind. Most are accepted; the others leave failed ids, or nothing.
pub(super) fn random_ledger(random: &mut StdRng, steps: u128) -> Memory {
    let mut ledger = Ledger::new();
    let limits = [0, 0, AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS, AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS];
    for id in 1..=ACCOUNTS {
        let history = if random.random_bool(0.5) { AccountFlags::HISTORY } else { 0 };
        ledger.account(id, history | limits[random.random_range(0..4)]);
    }
    let mut pending: Vec<u128> = Vec::new();
    for id in 1_000..1_000 + steps {
        let mut t = Transfer { id, amount: random.random_range(0..100), ..plain() };
        t.debit_account_id = random.random_range(1..=ACCOUNTS);
        t.credit_account_id = random.random_range(1..=ACCOUNTS);
        match random.random_range(0..20) {
            0..=7 => {}
            8..=11 => {
                t.flags = TransferFlags(TransferFlags::PENDING);
                t.timeout = random.random_range(0..3);
                if random.random_bool(0.1) {
                    t.flags.0 |= TransferFlags::CLOSING_DEBIT;
                }
                pending.push(id);
            }
            12..=15 if !pending.is_empty() => {
                let resolved = pending[random.random_range(0..pending.len())];
                let post = random.random_bool(0.6);
                let flags = if post { TransferFlags::POST_PENDING } else { TransferFlags::VOID_PENDING };
                let amount = if post && random.random_bool(0.5) { random.random_range(0..50) } else { 0 };
                let amount = if post && amount == 0 { u128::MAX } else { amount };
                t = Transfer { id, pending_id: resolved, amount, flags: TransferFlags(flags), ..Transfer::default() };
            }
            16 => t.flags = TransferFlags(TransferFlags::BALANCING_DEBIT),
            _ => {
                ledger.now += random.random_range(0..SECOND);
                ledger.expire();
            }
        }
        let last = ledger.tables.last_transfer();
        if random.random_bool(0.1) && last + 3 < ledger.now {
            t.flags.0 |= TransferFlags::IMPORTED;
            t.timeout = 0;
            t.timestamp = random.random_range(last + 1..ledger.now);
        }
        ledger.apply(Command::Create(vec![Step::local(t)]));
    }
    ledger.now += SECOND;
    ledger.expire();
    ledger.store()
}
