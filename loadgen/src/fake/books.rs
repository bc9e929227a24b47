//! The ledger itself, as naive as it can be: maps, and a chain is undone by putting back what was there.

use crest_ledger::{Account, AccountFlags, AccountStatus, Transfer, TransferFlags, TransferStatus};

use super::State;

/// A copy of everything that a chain may change.
struct Before {
    accounts: Vec<Account>,
    made: usize,
}

impl State {
    pub(super) fn now(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    pub(super) fn create_account(&mut self, mut account: Account) -> (AccountStatus, u64) {
        let now = self.now();
        if let Some(old) = self.accounts.get(&account.id) {
            let same = old.flags == account.flags && old.code == account.code && old.ledger == account.ledger;
            return (if same { AccountStatus::Exists } else { AccountStatus::ExistsWithDifferentFlags }, old.timestamp);
        }
        account.timestamp = now;
        self.accounts.insert(account.id, account);
        (AccountStatus::Created, now)
    }

    /// A request: each of its chains is made whole or not at all.
    pub(crate) fn create_all(&mut self, transfers: &[Transfer]) -> Vec<(TransferStatus, u64)> {
        let mut results = Vec::with_capacity(transfers.len());
        let mut left = transfers;
        while !left.is_empty() {
            let links = left.iter().take_while(|t| t.flags.any(TransferFlags::LINKED)).count();
            let (chain, rest) = left.split_at((links + 1).min(left.len()));
            results.extend(self.create_chain(chain));
            left = rest;
        }
        results
    }

    fn create_chain(&mut self, chain: &[Transfer]) -> Vec<(TransferStatus, u64)> {
        let before = self.before(chain);
        let results: Vec<_> = chain.iter().map(|&transfer| self.create_or_lie(transfer)).collect();
        let Some(broken) = results.iter().position(|(status, _)| *status != TransferStatus::Created) else {
            return results;
        };
        if chain.len() == 1 {
            return results;
        }
        self.put_back(before);
        let now = self.now();
        let result = |at| if at == broken { results[at] } else { (TransferStatus::LinkedEventFailed, now) };
        (0..chain.len()).map(result).collect()
    }

    fn before(&self, chain: &[Transfer]) -> Before {
        let touched = chain.iter().flat_map(|t| [t.debit_account_id, t.credit_account_id]);
        Before { accounts: touched.filter_map(|id| self.accounts.get(&id)).copied().collect(), made: self.order.len() }
    }

    fn put_back(&mut self, before: Before) {
        self.accounts.extend(before.accounts.into_iter().map(|account| (account.id, account)));
        for id in self.order.split_off(before.made) {
            self.transfers.remove(&id);
        }
    }

    /// Makes a transfer, if nothing speaks against it.
    pub(super) fn create_transfer(&mut self, mut transfer: Transfer) -> (TransferStatus, u64) {
        let now = self.now();
        if let Some(old) = self.transfers.get(&transfer.id) {
            use TransferStatus::{Exists, ExistsWithDifferentAmount, ExistsWithDifferentUserData32};
            let status = match () {
                () if old.amount != transfer.amount => ExistsWithDifferentAmount,
                () if old.user_data_32 != transfer.user_data_32 => ExistsWithDifferentUserData32,
                () => Exists,
            };
            return (status, old.timestamp);
        }
        if let Err(refusal) = self.check(&transfer) {
            return (refusal, now);
        }
        self.apply(&transfer);
        transfer.timestamp = now;
        self.transfers.insert(transfer.id, transfer);
        self.order.push(transfer.id);
        (TransferStatus::Created, now)
    }

    /// Whether anything speaks against it.
    pub(super) fn check(&self, transfer: &Transfer) -> Result<(), TransferStatus> {
        use TransferStatus::{CreditAccountNotFound, DebitAccountNotFound, ExceedsCredits};
        let payer = self.accounts.get(&transfer.debit_account_id).ok_or(DebitAccountNotFound)?;
        self.accounts.get(&transfer.credit_account_id).ok_or(CreditAccountNotFound)?;
        if transfer.flags.any(TransferFlags::RESOLVES) {
            return self.check_resolution(transfer);
        }
        let limited = payer.flags.any(AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS);
        if limited && payer.debit_room() < transfer.amount { Err(ExceedsCredits) } else { Ok(()) }
    }

    fn check_resolution(&self, transfer: &Transfer) -> Result<(), TransferStatus> {
        use TransferStatus::{
            ExceedsPendingTransferAmount, PendingTransferAlreadyPosted, PendingTransferNotFound,
            PendingTransferNotPending,
        };
        let pending = self.transfers.get(&transfer.pending_id).ok_or(PendingTransferNotFound)?;
        let resolved =
            |other: &Transfer| other.pending_id == transfer.pending_id && other.flags.any(TransferFlags::RESOLVES);
        match () {
            () if !pending.flags.any(TransferFlags::PENDING) => Err(PendingTransferNotPending),
            () if transfer.amount > pending.amount => Err(ExceedsPendingTransferAmount),
            // A walk through everything: the tests are small.
            () if self.transfers.values().any(resolved) => Err(PendingTransferAlreadyPosted),
            () => Ok(()),
        }
    }

    /// Moves the money.
    pub(super) fn apply(&mut self, transfer: &Transfer) {
        let reserved = self.transfers.get(&transfer.pending_id).map_or(0, |pending| pending.amount);
        let flags = transfer.flags;
        let (reserve, release, post) = match () {
            () if flags.any(TransferFlags::PENDING) => (transfer.amount, 0, 0),
            () if flags.any(TransferFlags::VOID_PENDING) => (0, reserved, 0),
            () if flags.any(TransferFlags::POST_PENDING) => (0, reserved, transfer.amount),
            () => (0, 0, transfer.amount),
        };
        self.accounts.entry(transfer.debit_account_id).and_modify(|a| {
            a.debits_pending = a.debits_pending + reserve - release;
            a.debits_posted += post;
        });
        self.accounts.entry(transfer.credit_account_id).and_modify(|a| {
            a.credits_pending = a.credits_pending + reserve - release;
            a.credits_posted += post;
        });
    }
}
