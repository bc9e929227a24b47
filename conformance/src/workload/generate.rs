//! Operations: mostly sensible, often at the limits, sometimes wrong.
//!
//! What is never made, since sharding makes its answer depend on where accounts live (docs/SEMANTICS.md, section 8): an id
//! that a later request uses again between two other accounts; an import whose timestamp is not newer than everything else.
//! And nothing that the public API cannot express: reserved flags. Within one request, ids come again in every way (`reuse.rs`).

use crest_ledger::{Account, AccountFlags, Timestamp, Transfer, TransferFlags as F, TransferStatus};

use super::reuse::{self, Ids};
use crate::model::Model;
use crate::random::Random;
use crate::subject::Subject;

/// Accounts 1 to this one are created first; see [`attributes`].
const FIRST_ACCOUNTS: u128 = 12;
/// The accounts after those are created on the way, so that they are missing for a while.
const LAST_ACCOUNT: u128 = 18;
/// An account that never exists.
const NOBODY: u128 = 63;
const EVENTS_MAX: u64 = 8;
/// Longer than any clock runs ahead, and not a divisor of a second: no reservation expires near the end of an advance.
const ODD_NS: u64 = 7_000_000;
const SECOND_NS: u64 = 1_000_000_000;
const ID_BITS: u32 = 48;
/// The second ledger number is one of rehearsals: queries have to tell its objects from the others.
const OTHER_LEDGER: u32 = crest_ledger::rehearsal::REHEARSAL_LEDGER_MIN + 2;

/// What to do next.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Accounts(Vec<Account>),
    Transfers(Vec<Transfer>),
    Advance(u64),
}

pub(super) struct Generator<'a> {
    pub(super) random: Random,
    account_id: &'a dyn Fn(u128) -> u128,
    salt: u128,
    transfers_made: u128,
    accounts: Vec<u128>,
    /// Every transfer that was sent, but imports that failed.
    sent: Vec<Transfer>,
    requests: Vec<Vec<Transfer>>,
    /// Of those, the pending ones.
    pendings: Vec<Transfer>,
    /// Of the request that is being made.
    pub(super) ids: Ids,
    /// Time has just passed, so that the last half second is empty and can be imported into.
    may_import: bool,
}

/// Flags and ledger of an account.
fn attributes(number: u128) -> (u16, u32) {
    match number {
        4 => (AccountFlags::HISTORY, 1),
        5 => (AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS, 1),
        6 => (AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS | AccountFlags::HISTORY, 1),
        7 => (AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS, 1),
        8 => (AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS | AccountFlags::HISTORY, 1),
        9 => (AccountFlags::CLOSED, 1),
        10 => (AccountFlags::HISTORY, OTHER_LEDGER),
        11 => (0, OTHER_LEDGER),
        _ => (0, 1),
    }
}

impl<'a> Generator<'a> {
    pub(super) fn new(random: Random, account_id: &'a dyn Fn(u128) -> u128, salt: u128) -> Self {
        let accounts = (1..=LAST_ACCOUNT).chain([NOBODY]).map(account_id).collect();
        Self {
            random,
            account_id,
            salt,
            transfers_made: 0,
            accounts,
            sent: Vec::new(),
            requests: Vec::new(),
            pendings: Vec::new(),
            ids: Ids::default(),
            may_import: false,
        }
    }

    /// All accounts, also those that are still missing.
    pub(super) fn account_ids(&self) -> &[u128] {
        &self.accounts
    }

    /// All transfers that were sent, also those that failed.
    pub(super) fn transfer_ids(&self) -> Vec<u128> {
        let mut ids: Vec<_> = self.sent.iter().map(|t| t.id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The next operation; `model` is the state that it will meet.
    pub(super) fn operation(&mut self, model: &mut Model) -> Operation {
        if model.lookup_accounts(&[(self.account_id)(1)]).is_empty() {
            return Operation::Accounts((1..=FIRST_ACCOUNTS).map(|n| self.account(n)).collect());
        }
        let may_import = std::mem::take(&mut self.may_import);
        match self.random.below(100) {
            0..=4 => Operation::Accounts(self.more_accounts()),
            5..=14 => {
                self.may_import = true;
                Operation::Advance(SECOND_NS * (1 + self.random.below(3)) + ODD_NS)
            }
            15..=18 if !self.requests.is_empty() => {
                let recent = self.requests.len().saturating_sub(20);
                let index = recent + self.random.below((self.requests.len() - recent) as u64) as usize;
                Operation::Transfers(self.requests[index].clone())
            }
            19..=60 if may_import => Operation::Transfers(self.imports(model.now())),
            _ => Operation::Transfers(self.request()),
        }
    }

    /// Remembers what was sent and how it was answered, to retry and to resolve it.
    pub(super) fn sent(&mut self, events: &[Transfer], statuses: &[TransferStatus], model: &mut Model) {
        let imports = |t: &Transfer| t.flags.any(F::IMPORTED);
        for (at, event) in events.iter().enumerate() {
            // A failed import must not be retried: by then, its timestamp is not newer than everything else.
            let fails = imports(event) && model.lookup_transfers(&[event.id]).is_empty();
            if !fails && reuse::is_the_one(events, statuses, at) {
                self.sent.push(*event);
                if event.flags.any(F::PENDING) {
                    self.pendings.push(*event);
                }
            }
        }
        self.requests.retain(|request| request != events);
        if !events.iter().any(imports) && reuse::may_be_sent_again(events, statuses) {
            self.requests.push(events.to_vec());
        }
    }

    fn account(&self, number: u128) -> Account {
        let (flags, ledger) = attributes(number);
        Account {
            id: (self.account_id)(number),
            ledger,
            code: 1 + (number % 3) as u16,
            user_data_64: number as u64,
            flags: AccountFlags(flags),
            ..Account::default()
        }
    }

    /// Some of the accounts that are missing, and retries, some of them changed.
    fn more_accounts(&mut self) -> Vec<Account> {
        let count = 1 + self.random.below(3);
        let mut events = Vec::new();
        for index in 0..count {
            let number = 1 + u128::from(self.random.below(LAST_ACCOUNT as u64));
            let mut account = self.account(number);
            match self.random.below(10) {
                0 => account.code = 0,
                1 => account.user_data_32 = 1,
                2 => account.flags.set(AccountFlags::CLOSED, true),
                3 => account.debits_posted = 1,
                _ => {}
            }
            let linked = self.random.chance(if index + 1 == count { 3 } else { 20 });
            account.flags.set(AccountFlags::LINKED, linked);
            events.push(account);
        }
        events
    }

    fn request(&mut self) -> Vec<Transfer> {
        let count = 1 + self.random.below(EVENTS_MAX);
        let chain_percent = self.random.pick(&[0, 0, 30, 80]).unwrap_or(0);
        let reuse_percent = self.random.pick(&[0, 0, 30, 60]).unwrap_or(0);
        self.ids = Ids::default();
        let mut events = Vec::new();
        for index in 0..count {
            let reused = if self.random.chance(reuse_percent) { self.reused(&events) } else { None };
            let mut event = reused.unwrap_or_else(|| self.event(&events));
            let percent = if index + 1 == count { 2 } else { chain_percent };
            event.flags.0 &= !F::LINKED;
            if self.random.chance(percent) {
                event.flags.0 |= F::LINKED;
            }
            events.push(event);
        }
        events
    }

    fn event(&mut self, before: &[Transfer]) -> Transfer {
        match self.random.below(100) {
            0..=27 => self.payment(0),
            28..=44 => self.hold(0),
            45..=53 => {
                let flags = self.random.pick(&[F::BALANCING_DEBIT, F::BALANCING_CREDIT, F::BALANCING]).unwrap_or(0);
                let mut event = if self.random.chance(30) { self.hold(flags) } else { self.payment(flags) };
                event.amount = self.random.pick(&[event.amount, 1_000, u128::MAX]).unwrap_or(0);
                event
            }
            54..=56 => {
                let flags = self.random.pick(&[F::CLOSING_DEBIT, F::CLOSING_CREDIT, F::CLOSING]).unwrap_or(0);
                self.hold(flags)
            }
            57..=78 => self.resolution(before),
            79..=90 => self.retry(),
            _ => self.faulty(),
        }
    }

    pub(super) fn new_id(&mut self) -> u128 {
        self.transfers_made += 1;
        // Multiplying by an odd number scatters the ids, and gives each number another one.
        let scattered = self.transfers_made.wrapping_mul(0x9e37_79b9_7f4a_7c15) & ((1 << ID_BITS) - 1);
        let id = self.salt + scattered;
        self.ids.new.push(id);
        id
    }

    pub(super) fn payment(&mut self, flags: u16) -> Transfer {
        let ledger = if self.random.chance(8) { OTHER_LEDGER } else { 1 };
        let of_ledger: Vec<_> = (1..=LAST_ACCOUNT).filter(|n| attributes(*n).1 == ledger).collect();
        let debit = self.random.pick(&of_ledger).unwrap_or(1);
        let others: Vec<_> = of_ledger.into_iter().filter(|n| *n != debit).collect();
        let credit = self.random.pick(&others).unwrap_or(2);
        Transfer {
            id: self.new_id(),
            debit_account_id: (self.account_id)(debit),
            credit_account_id: (self.account_id)(credit),
            amount: u128::from(self.random.below(25)),
            user_data_64: self.random.below(3),
            ledger,
            code: 1 + self.random.below(3) as u16,
            flags: crest_ledger::TransferFlags(flags),
            ..Transfer::default()
        }
    }

    pub(super) fn hold(&mut self, flags: u16) -> Transfer {
        let timeout = self.random.pick(&[0, 0, 1, 2, 3, 4]).unwrap_or(0);
        Transfer { timeout, ..self.payment(flags | F::PENDING) }
    }

    /// A post or void of a transfer of this request or of an earlier one, mostly a fitting one.
    fn resolution(&mut self, before: &[Transfer]) -> Transfer {
        let here: Vec<_> = before.iter().filter(|t| t.flags.any(F::PENDING)).copied().collect();
        let recent = &self.pendings[self.pendings.len().saturating_sub(40)..];
        let from = if !here.is_empty() && self.random.chance(40) { &here[..] } else { recent };
        match self.random.pick(from) {
            Some(pending) => self.resolution_of(&pending),
            None => self.payment(0),
        }
    }

    /// A post or void of `pending` that may name its accounts, or only one of them, or none.
    pub(super) fn resolution_of(&mut self, pending: &Transfer) -> Transfer {
        let posts = self.random.chance(60);
        let amount = match (posts, self.random.below(10)) {
            (_, 0) => u128::from(self.random.below(25)),
            (true, 1..=4) => u128::from(self.random.below(10)),
            (true, _) => u128::MAX,
            (false, 1..=2) => pending.amount,
            (false, _) => 0,
        };
        let mut event = Transfer {
            id: self.new_id(),
            amount,
            pending_id: pending.id,
            user_data_32: self.random.below(2) as u32,
            ledger: self.random.pick(&[0, 0, pending.ledger, OTHER_LEDGER]).unwrap_or(0),
            code: self.random.pick(&[0, 0, pending.code, 2]).unwrap_or(0),
            flags: crest_ledger::TransferFlags(if posts { F::POST_PENDING } else { F::VOID_PENDING }),
            ..Transfer::default()
        };
        if self.random.chance(50) {
            event.debit_account_id = pending.debit_account_id;
        }
        if self.random.chance(50) {
            event.credit_account_id = pending.credit_account_id;
        }
        if self.random.chance(3) {
            event.debit_account_id = (self.account_id)(3);
        }
        event
    }

    /// Something that was sent before, as it was or with one field changed that is not an account.
    fn retry(&mut self) -> Transfer {
        let recent = if self.random.chance(70) { self.sent.len().saturating_sub(50) } else { 0 };
        let Some(mut event) = self.random.pick(&self.sent[recent..]) else { return self.payment(0) };
        match self.random.below(14) {
            0 => event.amount = event.amount.wrapping_add(1),
            1 => event.amount = event.amount.saturating_sub(1),
            2 => event.amount = if event.resolves() { 0 } else { u128::MAX },
            3 => event.user_data_32 ^= 1,
            4 => event.user_data_64 += 1,
            5 => event.code = event.code % 3 + 1,
            6 => event.timeout = event.timeout % 5 + 1,
            7 if event.resolves() => event.flags.0 ^= F::RESOLVES,
            7 => event.flags.0 ^= F::PENDING,
            8 if !event.resolves() => event.flags.0 ^= F::BALANCING_DEBIT,
            _ => {}
        }
        // The largest amounts only where they are cut down: real ones would fill the sums of the whole ledger.
        if event.amount == u128::MAX && !event.resolves() && !event.flags.any(F::BALANCING) {
            event.amount = 1_000;
        }
        event
    }

    fn faulty(&mut self) -> Transfer {
        let mut event = if self.random.chance(70) { self.payment(0) } else { self.hold(0) };
        match self.random.below(13) {
            0 => event.debit_account_id = (self.account_id)(NOBODY),
            1 => event.credit_account_id = (self.account_id)(NOBODY),
            2 => event.credit_account_id = event.debit_account_id,
            3 => event.ledger = if event.ledger == 1 { OTHER_LEDGER } else { 1 },
            4 => event.credit_account_id = (self.account_id)(if event.ledger == 1 { 10 } else { 1 }),
            5 => event.code = 0,
            6 => event.ledger = 0,
            7 => event.pending_id = 1 + self.salt,
            8 => event.timeout = u32::MAX,
            9 => event.flags.0 |= F::CLOSING_DEBIT,
            10 => event.debit_account_id = 0,
            11 => event.credit_account_id = u128::MAX,
            _ => event.flags.0 |= F::POST_PENDING | F::PENDING,
        }
        event
    }

    /// Transfers with timestamps in the empty half second before `now`.
    fn imports(&mut self, now: Timestamp) -> Vec<Transfer> {
        let count = 1 + self.random.below(4);
        let mut events: Vec<_> = (0..count)
            .map(|n| {
                let mut event = if self.random.chance(60) { self.payment(0) } else { self.hold(0) };
                event.timeout = 0;
                event.flags.0 |= F::IMPORTED;
                event.timestamp = now - SECOND_NS / 2 + n * 1_000_000;
                event
            })
            .collect();
        if self.random.chance(10) {
            events.push(self.payment(0));
        }
        events
    }
}
