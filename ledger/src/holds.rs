//! Holds: what a participant of two-phase commit reserves between prepare and finish.
//!
//! Balances are not locked but reserved, as in O'Neil's escrow method ("The Escrow Transactional Method", TODS 1986). What
//! is reserved stands beside the account, not in its pending columns: those are for pending transfers that clients made,
//! and a reader never sees a transfer that may still be aborted.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::clock::Timestamp;
use crate::tables::Map;
use crate::txn::{Event, ShardId, Step, TxnId};

/// What one hold reserves on one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldAccount {
    /// Whose.
    pub account_id: u128,
    /// Nothing else may touch the account meanwhile: the transfer closes, reopens or balances it.
    pub exclusive: bool,
    /// The most by which committing moves `debits_pending + debits_posted − credits_posted` up, on the way.
    pub debit_need: u128,
    /// The mirror image.
    pub credit_need: u128,
    /// The most by which committing moves the same down: room that a debit may get.
    pub debit_relief: u128,
    /// The mirror image.
    pub credit_relief: u128,
    /// Sum of all amounts added to debit columns, against overflow.
    pub debits: u128,
    /// The same for credit columns.
    pub credits: u128,
}

/// What all open holds reserve on one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldTotals {
    /// Open holds on the account.
    pub count: u32,
    /// How many of them are exclusive.
    pub exclusive: u32,
    /// Sums of the fields of [`HeldAccount`].
    pub debit_need: u128,
    /// Sum.
    pub credit_need: u128,
    /// Sum.
    pub debit_relief: u128,
    /// Sum.
    pub credit_relief: u128,
    /// Sum.
    pub debits: u128,
    /// Sum.
    pub credits: u128,
}

impl HeldTotals {
    fn sums(&mut self) -> [&mut u128; 6] {
        [
            &mut self.debit_need,
            &mut self.credit_need,
            &mut self.debit_relief,
            &mut self.credit_relief,
            &mut self.debits,
            &mut self.credits,
        ]
    }

    fn with(mut self, held: &HeldAccount) -> Option<Self> {
        self.count = self.count.checked_add(1)?;
        self.exclusive += u32::from(held.exclusive);
        for (sum, part) in self.sums().into_iter().zip(held.parts()) {
            *sum = sum.checked_add(part)?;
        }
        Some(self)
    }

    fn without(mut self, held: &HeldAccount) -> Self {
        self.count -= 1;
        self.exclusive -= u32::from(held.exclusive);
        for (sum, part) in self.sums().into_iter().zip(held.parts()) {
            *sum -= part;
        }
        self
    }
}

impl HeldAccount {
    fn parts(&self) -> [u128; 6] {
        [self.debit_need, self.credit_need, self.debit_relief, self.credit_relief, self.debits, self.credits]
    }
}

/// A participant's promise: whatever happens, it can post these steps, and it does so only when the decider committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The attempt.
    pub txn: TxnId,
    /// Who decides.
    pub decider: ShardId,
    /// This shard's clock at the prepare, ns: the decision is above it.
    pub prepared_at: Timestamp,
    /// What to post.
    pub steps: Vec<Step>,
    /// What is reserved.
    pub accounts: Vec<HeldAccount>,
}

/// All open holds of a shard, with the indexes that checks need.
#[derive(Clone, Debug, Default)]
pub struct Holds {
    open: BTreeMap<TxnId, Hold>,
    /// By the time of the prepare, with the decider: recovery walks over many that it leaves alone.
    by_time: BTreeMap<(Timestamp, TxnId), ShardId>,
    by_event: Map<u128, TxnId>,
    totals: Map<u128, HeldTotals>,
    /// Pending transfers whose fate an open hold on the payer's side would decide.
    resolving: Map<u128, u32>,
    imported: usize,
}

impl Holds {
    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The hold of an attempt.
    pub fn get(&self, txn: &TxnId) -> Option<&Hold> {
        self.open.get(txn)
    }

    /// Those behind `after`, oldest first: when each was prepared, the attempt, and who decides.
    pub fn oldest_first(&self, after: (Timestamp, TxnId)) -> impl Iterator<Item = (Timestamp, TxnId, ShardId)> {
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        self.by_time.range(behind).map(|((at, txn), decider)| (*at, *txn, *decider))
    }

    /// When the oldest was prepared.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.by_time.first_key_value().map(|((at, _), _)| *at)
    }

    /// Whether an open hold would create the account or transfer `id`. (They share one index: a clash only means waiting.)
    pub fn creates(&self, id: u128) -> bool {
        self.by_event.contains_key(&id)
    }

    /// The transfer that an open hold would create under this id, as it was asked for.
    pub fn transfer(&self, id: u128) -> Option<&crate::Transfer> {
        let hold = self.open.get(self.by_event.get(&id)?)?;
        hold.steps.iter().find_map(|step| match &step.event {
            Event::Transfer(t) if t.id == id => Some(t),
            _ => None,
        })
    }

    /// Whether an open hold on the payer's side resolves the pending transfer `id`.
    pub fn resolves(&self, id: u128) -> bool {
        self.resolving.contains_key(&id)
    }

    /// Whether an open hold would record an imported event.
    pub fn imports(&self) -> bool {
        self.imported > 0
    }

    /// Whether an open hold may be posted at the instant `at`, so that nothing else can be recorded there.
    pub fn may_end_at(&self, at: Timestamp) -> bool {
        self.oldest().is_some_and(|oldest| oldest < at)
    }

    /// What is reserved on an account.
    pub fn totals(&self, account_id: u128) -> HeldTotals {
        if self.totals.is_empty() {
            return HeldTotals::default();
        }
        self.totals.get(&account_id).copied().unwrap_or_default()
    }

    /// Whether `hold` fits: its sums do not overflow and its events are in no other hold.
    pub fn accepts(&self, hold: &Hold) -> bool {
        self.open.len() < crate::limits::HOLDS_MAX
            && hold.accounts.iter().all(|a| self.totals(a.account_id).with(a).is_some())
            && hold.steps.iter().all(|s| !self.creates(s.id()))
    }

    /// Opens a hold.
    ///
    /// # Panics
    /// When it does not fit ([`Holds::accepts`]).
    pub fn insert(&mut self, hold: Hold) {
        for a in &hold.accounts {
            let sum = self.totals(a.account_id).with(a).expect("the hold was accepted");
            self.totals.insert(a.account_id, sum);
        }
        for step in &hold.steps {
            self.by_event.insert(step.id(), hold.txn);
            if let Some(pending) = resolved_here(step) {
                *self.resolving.entry(pending).or_default() += 1;
            }
            self.imported += usize::from(is_imported(step));
        }
        self.by_time.insert((hold.prepared_at, hold.txn), hold.decider);
        let before = self.open.insert(hold.txn, hold);
        assert!(before.is_none(), "an attempt has one hold on a shard");
    }

    /// Takes a hold out, to post or to release it; `None` when there is none.
    pub fn remove(&mut self, txn: &TxnId) -> Option<Hold> {
        let hold = self.open.remove(txn)?;
        self.by_time.remove(&(hold.prepared_at, *txn));
        for a in &hold.accounts {
            let left = self.totals(a.account_id).without(a);
            if left.count == 0 {
                self.totals.remove(&a.account_id);
            } else {
                self.totals.insert(a.account_id, left);
            }
        }
        for step in &hold.steps {
            self.by_event.remove(&step.id());
            if let Some(pending) = resolved_here(step) {
                let count = self.resolving.get_mut(&pending).expect("it was counted when the hold was opened");
                *count -= 1;
                if *count == 0 {
                    self.resolving.remove(&pending);
                }
            }
            self.imported -= usize::from(is_imported(step));
        }
        Some(hold)
    }
}

fn resolved_here(step: &Step) -> Option<u128> {
    match &step.event {
        Event::Transfer(t) if t.resolves() && step.sides.debit() => Some(t.pending_id),
        _ => None,
    }
}

fn is_imported(step: &Step) -> bool {
    match &step.event {
        Event::Account(a) => a.flags.any(crate::AccountFlags::IMPORTED),
        Event::Transfer(t) => t.flags.any(crate::TransferFlags::IMPORTED),
    }
}
