//! The ledger's history played again in the order of its timestamps, on one naive machine, straight from docs/SEMANTICS.md.
//!
//! It shares no code with the ledger but the types. What it cannot play is a violation; and at every instant it knows what
//! every balance was.

use std::collections::BTreeMap;

use crest_ledger::{Account, AccountFlags as A, Timestamp, Transfer, TransferFlags as F};

use crate::truth::{Truth, is_expiry};

/// What became of a pending transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Pending,
    Posted,
    Voided,
    Expired,
}

/// The state at an instant.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    misled: bool,
    pub(crate) accounts: BTreeMap<u128, Account>,
    pub(crate) transfers: BTreeMap<u128, Transfer>,
    pub(crate) fates: BTreeMap<u128, Fate>,
    /// Balances right after each transfer, for accounts with history.
    pub(crate) rows: BTreeMap<(u128, Timestamp), [u128; 4]>,
}

/// Something to look at when everything up to an instant has been played.
pub(crate) struct Probe<'a> {
    pub(crate) at: Timestamp,
    pub(crate) look: Look<'a>,
}

/// What is looked at: the reason when it is not as it should be.
pub(crate) type Look<'a> = Box<dyn Fn(&State) -> Result<(), String> + 'a>;

/// Plays everything again, and looks at the probes on the way. Returns what does not hold.
///
/// With `misled`, reservations end by the leaders' clocks, which the records do not tell: one may be posted at a timestamp past its end.
pub(crate) fn replay(truth: &Truth, mut probes: Vec<Probe<'_>>, misled: bool) -> (State, Vec<String>) {
    probes.sort_by_key(|probe| probe.at);
    let mut probes = probes.into_iter().peekable();
    let mut state = State { misled, ..State::default() };
    let mut wrong = Vec::new();
    let mut accounts: Vec<Account> = truth.accounts.values().copied().collect();
    accounts.sort_by_key(|a| a.timestamp);
    let mut accounts = accounts.into_iter().peekable();
    for ((at, _), (transfer, _)) in &truth.transfers {
        while let Some(probe) = probes.next_if(|probe| probe.at < *at) {
            open_accounts(&mut state, &mut accounts, probe.at);
            wrong.extend((probe.look)(&state).err());
        }
        open_accounts(&mut state, &mut accounts, *at);
        let played = state.play(transfer, *at);
        wrong.extend(played.err().map(|why| format!("at {at}, {transfer:?}: {why}")));
    }
    for probe in probes {
        open_accounts(&mut state, &mut accounts, probe.at);
        wrong.extend((probe.look)(&state).err());
    }
    open_accounts(&mut state, &mut accounts, Timestamp::MAX);
    (state, wrong)
}

fn open_accounts(
    state: &mut State,
    accounts: &mut std::iter::Peekable<impl Iterator<Item = Account>>,
    until: Timestamp,
) {
    while let Some(a) = accounts.next_if(|a| a.timestamp <= until) {
        let (id, timestamp) = (a.id, a.timestamp);
        let flags = crest_ledger::AccountFlags(a.flags.0 & !A::CLOSED);
        state
            .accounts
            .insert(id, Account { id, timestamp, flags, ledger: a.ledger, code: a.code, ..Account::default() });
    }
}

impl State {
    fn play(&mut self, t: &Transfer, at: Timestamp) -> Result<(), String> {
        if t.timestamp != at {
            return Err("its record is filed under another timestamp".to_owned());
        }
        if is_expiry(t) {
            return self.expire(t, at);
        }
        if self.transfers.contains_key(&t.id) {
            return Err("its id has succeeded before".to_owned());
        }
        if t.flags.any(F::RESOLVES) {
            self.resolve(t)?
        } else {
            self.move_money(t)?
        }
        self.transfers.insert(t.id, *t);
        for id in [t.debit_account_id, t.credit_account_id] {
            if self.accounts[&id].flags.any(A::HISTORY) {
                self.rows.insert((id, at), balances(&self.accounts[&id]));
            }
        }
        Ok(())
    }

    fn account(&self, id: u128) -> Result<Account, String> {
        self.accounts.get(&id).copied().ok_or_else(|| format!("account {id:x} is not there yet"))
    }

    fn move_money(&mut self, t: &Transfer) -> Result<(), String> {
        let (mut debit, mut credit) = (self.account(t.debit_account_id)?, self.account(t.credit_account_id)?);
        if debit.flags.any(A::CLOSED) || credit.flags.any(A::CLOSED) {
            return Err("an account is closed".to_owned());
        }
        if debit.ledger != t.ledger || credit.ledger != t.ledger {
            return Err("the ledgers differ".to_owned());
        }
        let debit_room = debit.credits_posted.saturating_sub(debit.debits_posted + debit.debits_pending);
        let credit_room = credit.debits_posted.saturating_sub(credit.credits_posted + credit.credits_pending);
        if t.flags.any(F::BALANCING_DEBIT) && t.amount > debit_room {
            return Err(format!("it balances a debit, but there was only {debit_room}"));
        }
        if t.flags.any(F::BALANCING_CREDIT) && t.amount > credit_room {
            return Err(format!("it balances a credit, but there was only room for {credit_room}"));
        }
        if debit.flags.any(A::DEBITS_MUST_NOT_EXCEED_CREDITS) && t.amount > debit_room {
            return Err(format!("debits must not exceed credits, but there was only {debit_room}"));
        }
        if credit.flags.any(A::CREDITS_MUST_NOT_EXCEED_DEBITS) && t.amount > credit_room {
            return Err(format!("credits must not exceed debits, but there was only room for {credit_room}"));
        }
        if t.flags.any(F::PENDING) {
            debit.debits_pending += t.amount;
            credit.credits_pending += t.amount;
            self.fates.insert(t.id, Fate::Pending);
            if t.flags.any(F::CLOSING_DEBIT) {
                debit.flags.set(A::CLOSED, true);
            }
            if t.flags.any(F::CLOSING_CREDIT) {
                credit.flags.set(A::CLOSED, true);
            }
        } else {
            debit.debits_posted += t.amount;
            credit.credits_posted += t.amount;
        }
        self.accounts.insert(debit.id, debit);
        self.accounts.insert(credit.id, credit);
        Ok(())
    }

    fn release(&mut self, pending_id: u128, fate: Fate) -> Result<Transfer, String> {
        let pending = *self.transfers.get(&pending_id).ok_or("its pending transfer is not there")?;
        match self.fates.get(&pending_id) {
            Some(Fate::Pending) => {}
            other => return Err(format!("its pending transfer is {other:?} already")),
        }
        self.fates.insert(pending_id, fate);
        let (mut debit, mut credit) =
            (self.account(pending.debit_account_id)?, self.account(pending.credit_account_id)?);
        debit.debits_pending -= pending.amount;
        credit.credits_pending -= pending.amount;
        if fate != Fate::Posted {
            if pending.flags.any(F::CLOSING_DEBIT) {
                debit.flags.set(A::CLOSED, false);
            }
            if pending.flags.any(F::CLOSING_CREDIT) {
                credit.flags.set(A::CLOSED, false);
            }
        }
        self.accounts.insert(debit.id, debit);
        self.accounts.insert(credit.id, credit);
        Ok(pending)
    }

    fn resolve(&mut self, t: &Transfer) -> Result<(), String> {
        let posts = t.flags.any(F::POST_PENDING);
        let known = self.transfers.get(&t.pending_id).ok_or("its pending transfer is not there")?;
        if !self.misled && known.expires_at().is_some_and(|expiry| expiry <= t.timestamp) {
            return Err("its pending transfer had expired".to_owned());
        }
        let closed = |id: u128| self.accounts.get(&id).is_some_and(|a| a.flags.any(A::CLOSED));
        if posts && (closed(known.debit_account_id) || closed(known.credit_account_id)) {
            return Err("an account is closed".to_owned());
        }
        let pending = self.release(t.pending_id, if posts { Fate::Posted } else { Fate::Voided })?;
        if (pending.debit_account_id, pending.credit_account_id) != (t.debit_account_id, t.credit_account_id) {
            return Err("its accounts are not those of its pending transfer".to_owned());
        }
        if t.amount > pending.amount || !posts && t.amount != pending.amount {
            return Err(format!("its amount does not fit the reserved {}", pending.amount));
        }
        if posts {
            let (mut debit, mut credit) = (self.account(t.debit_account_id)?, self.account(t.credit_account_id)?);
            debit.debits_posted += t.amount;
            credit.credits_posted += t.amount;
            self.accounts.insert(debit.id, debit);
            self.accounts.insert(credit.id, credit);
        }
        Ok(())
    }

    fn expire(&mut self, t: &Transfer, at: Timestamp) -> Result<(), String> {
        let pending = self.release(t.pending_id, Fate::Expired)?;
        match pending.expires_at() {
            Some(expiry) if expiry <= at => Ok(()),
            expiry => Err(format!("it was released too early: it expires at {expiry:?}")),
        }
    }
}

/// `debits_pending`, `debits_posted`, `credits_pending`, `credits_posted`.
pub(crate) fn balances(a: &Account) -> [u128; 4] {
    [a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted]
}
