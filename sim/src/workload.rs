//! What clients send: every kind of event, hot accounts, retries, and some nonsense.

use std::sync::Mutex;

use crest_conformance::random::Random;
use crest_ledger::{Account, AccountFlags, Transfer, TransferFlags as F};

use crate::plan::{Mix, Plan};
use crate::world::{EPOCH_NS, lock};

/// Money that every account with limited debits gets at the start.
pub(crate) const FUNDS: u128 = 100;

/// Imported accounts and then transfers are dated from here on, ns: an hour before the run.
const IMPORTED_FROM: u64 = EPOCH_NS - 3_600_000_000_000;

/// The accounts of a run, and what clients know of each other's pending transfers.
pub(crate) struct Bank {
    /// Accounts that there are at the start; the first one is the bank's own, without limits.
    pub(crate) accounts: Vec<Account>,
    /// Accounts that clients create on the way, and so often are missing.
    pub(crate) later: Vec<Account>,
    pendings: Mutex<Vec<Transfer>>,
}

impl Bank {
    /// With `imports`, everything is dated back, and no account has a limit: what is imported is checked against today's
    /// balances, not those of its time.
    pub(crate) fn new(accounts: u32, imports: bool, random: &mut Random) -> Self {
        let mut account = |n: u32| Account {
            // Ids are spread over the shards by their hash.
            id: (u128::from(random.number()) << 64) | (u128::from(n) + 1),
            ledger: 1,
            code: 1,
            user_data_32: n,
            flags: AccountFlags(if imports { AccountFlags::IMPORTED } else { flags(n) }),
            timestamp: if imports { IMPORTED_FROM + u64::from(n) } else { 0 },
            ..Account::default()
        };
        Self {
            accounts: (0..accounts).map(&mut account).collect(),
            later: (accounts..accounts + 3).map(&mut account).collect(),
            pendings: Mutex::default(),
        }
    }

    /// All accounts, also those that are not there yet.
    pub(crate) fn ids(&self) -> Vec<u128> {
        self.accounts.iter().chain(&self.later).map(|a| a.id).collect()
    }

    /// What gives the limited accounts something to spend.
    pub(crate) fn funding(&self) -> Vec<Transfer> {
        let bank = self.accounts[0].id;
        let rich = |flags: AccountFlags| flags.any(AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS);
        let poor = |flags: AccountFlags| flags.any(AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS);
        let limited = self.accounts.iter().filter(|a| rich(a.flags) || poor(a.flags));
        let transfer = |(n, a): (usize, &Account)| {
            let (debit_account_id, credit_account_id) = if rich(a.flags) { (bank, a.id) } else { (a.id, bank) };
            let id = 1 + n as u128;
            Transfer {
                id,
                debit_account_id,
                credit_account_id,
                amount: FUNDS,
                ledger: 1,
                code: 9,
                ..Transfer::default()
            }
        };
        limited.enumerate().map(transfer).collect()
    }
}

/// Every second account or so has a limit, some keep a history.
fn flags(n: u32) -> u16 {
    match n % 6 {
        1 => AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS,
        2 => AccountFlags::HISTORY,
        3 => AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS | AccountFlags::HISTORY,
        4 => AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS,
        _ => 0,
    }
}

/// One client's requests.
pub(crate) struct Requests<'a> {
    bank: &'a Bank,
    mix: Mix,
    imports: bool,
    random: Random,
    client: u32,
    made: u64,
    sent: Vec<Transfer>,
}

/// Whether an id comes several times in a request, and not always between the same accounts.
pub(crate) fn is_reused(events: &[Transfer], id: u128) -> bool {
    let place = |t: &Transfer| (t.debit_account_id, t.credit_account_id, t.pending_id);
    let mut same = events.iter().filter(|t| t.id == id).map(place);
    let first = same.next();
    same.any(|other| Some(other) != first)
}

/// What to send next.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Accounts(Vec<Account>),
    Transfers(Vec<Transfer>, bool),
}

impl<'a> Requests<'a> {
    pub(crate) fn new(bank: &'a Bank, plan: &Plan, client: u32, seed: u64) -> Self {
        Self {
            bank,
            mix: plan.mix,
            imports: plan.imports,
            random: Random::new(seed),
            client,
            made: 0,
            sent: Vec::new(),
        }
    }

    pub(crate) fn next(&mut self) -> Request {
        let all = self.mix.payment
            + self.mix.pending
            + self.mix.resolve
            + self.mix.balancing
            + self.mix.closing
            + self.mix.again
            + self.mix.faulty
            + self.mix.account;
        if self.random.below(all) < self.mix.account {
            let known: Vec<Account> = self.bank.later.iter().chain(&self.bank.accounts[..1]).copied().collect();
            let count = 1 + self.random.below(2);
            let mut events: Vec<Account> = (0..count).filter_map(|_| self.random.pick(&known)).collect();
            if events.len() > 1 && self.random.chance(40) {
                events[0].flags.set(AccountFlags::LINKED, true);
            }
            return Request::Accounts(events);
        }
        let count = 1 + self.random.below(self.mix.events_max);
        let mut events: Vec<Transfer> = Vec::new();
        let first_new = self.made + 1;
        for n in 0..count {
            let reuses = self.mix.reuse_percent > 0 && self.random.chance(self.mix.reuse_percent);
            let reused = if reuses { self.reused(&events, first_new) } else { None };
            let mut event = reused.unwrap_or_else(|| self.event(&events));
            event.flags.0 &= !F::LINKED;
            if n + 1 < count && self.random.chance(self.mix.linked_percent) {
                event.flags.0 |= F::LINKED;
            }
            events.push(event);
        }
        // From one request to another, an id stays with its accounts (docs/SEMANTICS.md, section 8).
        let kept = |t: &&Transfer| !is_reused(&events, t.id);
        self.sent.extend(events.iter().filter(kept));
        lock(&self.bank.pendings).extend(events.iter().filter(kept).filter(|t| t.flags.any(F::PENDING)));
        Request::Transfers(events, self.random.chance(self.mix.independent_percent))
    }

    fn event(&mut self, before: &[Transfer]) -> Transfer {
        let mix = self.mix;
        let weights = [mix.payment, mix.pending, mix.resolve, mix.balancing, mix.closing, mix.again, mix.faulty];
        let mut at = self.random.below(weights.iter().sum());
        let kind = weights.iter().position(|weight| {
            let here = at < *weight;
            at = at.saturating_sub(*weight);
            here
        });
        match kind {
            Some(1) => self.pending(0),
            Some(2) => self.resolution(before),
            Some(3) => {
                let flags = self.random.pick(&[F::BALANCING_DEBIT, F::BALANCING_CREDIT, F::BALANCING]).unwrap_or(0);
                if self.random.chance(30) { self.pending(flags) } else { self.payment(flags) }
            }
            Some(4) => {
                let flags = self.random.pick(&[F::CLOSING_DEBIT, F::CLOSING_CREDIT, F::CLOSING]).unwrap_or(0);
                // Closed for some seconds at most, so that payments go on.
                Transfer { timeout: 1 + self.random.below(2) as u32, ..self.pending(flags) }
            }
            Some(5) => self.again(),
            Some(6) => self.faulty(),
            _ => self.payment(0),
        }
    }

    fn account(&mut self) -> u128 {
        if self.random.chance(self.mix.hot_percent) {
            return self.bank.accounts[self.bank.accounts.len() / 2].id;
        }
        if self.mix.account > 0 && self.random.chance(10) {
            return self.random.pick(&self.bank.later).unwrap_or_default().id;
        }
        self.random.pick(&self.bank.accounts).unwrap_or_default().id
    }

    fn payment(&mut self, flags: u16) -> Transfer {
        self.made += 1;
        let debit = self.account();
        let credit = (0..20).map(|_| self.account()).find(|id| *id != debit);
        let credit = credit.unwrap_or(self.bank.accounts[usize::from(self.bank.accounts[0].id == debit)].id);
        let imported = if self.imports { F::IMPORTED } else { 0 };
        Transfer {
            id: (u128::from(self.client + 1) << 64) | u128::from(self.made),
            timestamp: if self.imports { IMPORTED_FROM + 1_000_000 * self.made } else { 0 },
            debit_account_id: debit,
            credit_account_id: credit,
            amount: u128::from(self.random.below(self.mix.amount_max)),
            user_data_64: self.random.below(3),
            ledger: 1,
            code: 1 + self.random.below(3) as u16,
            flags: crest_ledger::TransferFlags(flags | imported),
            ..Transfer::default()
        }
    }

    fn pending(&mut self, flags: u16) -> Transfer {
        let timeout = if self.imports { 0 } else { self.random.pick(&[0, 0, 1, 2, 4]).unwrap_or(0) };
        Transfer { timeout, ..self.payment(flags | F::PENDING) }
    }

    /// A post or void of a transfer of this request, or of anybody's.
    fn resolution(&mut self, before: &[Transfer]) -> Transfer {
        let here: Vec<Transfer> = before.iter().filter(|t| t.flags.any(F::PENDING)).copied().collect();
        let all = lock(&self.bank.pendings).clone();
        let recent = &all[all.len().saturating_sub(12)..];
        let from = if !here.is_empty() && self.random.chance(40) { &here[..] } else { recent };
        let Some(pending) = self.random.pick(from) else { return self.payment(0) };
        let posts = self.random.chance(60);
        let amount = match (posts, self.random.below(10)) {
            (true, 0..=3) => u128::from(self.random.below(self.mix.amount_max)),
            (true, _) => u128::MAX,
            (false, 0) => pending.amount,
            (false, _) => 0,
        };
        // Those of this request that do not name its accounts are made where ids come again.
        let named = self.random.chance(70) || here.iter().any(|t| t.id == pending.id);
        let account = |id| if named { id } else { 0 };
        Transfer {
            debit_account_id: account(pending.debit_account_id),
            credit_account_id: account(pending.credit_account_id),
            amount,
            pending_id: pending.id,
            ledger: 0,
            code: 0,
            ..self.payment(if posts { F::POST_PENDING } else { F::VOID_PENDING })
        }
    }

    /// An event with an id that an earlier event of the request has: between other accounts, or as a post or void; or a
    /// post or void of it, or of what comes behind. `first_new` is the first id that is of this request.
    fn reused(&mut self, before: &[Transfer], first_new: u64) -> Option<Transfer> {
        let of_this_request = |t: &&Transfer| t.id >> 64 == u128::from(self.client + 1) && t.id as u64 >= first_new;
        let new: Vec<Transfer> = before.iter().filter(of_this_request).copied().collect();
        let first = self.random.pick(&new)?;
        let mut other = if self.random.chance(40) { self.payment(0) } else { self.pending(0) };
        if self.random.chance(40) {
            other.code = 0;
        }
        let resolves = if self.random.chance(60) { F::POST_PENDING } else { F::VOID_PENDING };
        let amount = if resolves == F::POST_PENDING { u128::MAX } else { 0 };
        let (debit_account_id, credit_account_id) = match self.random.below(3) {
            0 => (first.debit_account_id, first.credit_account_id),
            1 => (other.debit_account_id, 0),
            _ => (0, 0),
        };
        let resolution =
            Transfer { debit_account_id, credit_account_id, amount, ledger: 0, code: 0, ..self.payment(resolves) };
        Some(match self.random.below(8) {
            0..=2 => Transfer { id: first.id, ..other },
            3..=5 => Transfer { pending_id: first.id, ..resolution },
            6 => Transfer { id: first.id, pending_id: self.random.pick(before)?.id, ..resolution },
            // The id that the next new event will have.
            _ => Transfer { pending_id: resolution.id + 1, ..resolution },
        })
    }

    /// Something that this client sent before, mostly as it was.
    fn again(&mut self) -> Transfer {
        let Some(mut event) = self.random.pick(&self.sent) else { return self.payment(0) };
        match self.random.below(8) {
            0 => event.amount = event.amount.saturating_sub(1),
            1 => event.user_data_32 ^= 1,
            2 => event.code = event.code % 3 + 1,
            _ => {}
        }
        event
    }

    fn faulty(&mut self) -> Transfer {
        let mut event = self.payment(0);
        match self.random.below(5) {
            0 => event.ledger = 2,
            1 => event.code = 0,
            2 => event.timeout = 1,
            3 => event.credit_account_id = (1 << 100) | 7,
            _ => event.credit_account_id = event.debit_account_id,
        }
        event
    }
}
