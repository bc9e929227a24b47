//! The accounts of a replay: what they held before it, and what of the file was in there already.

use std::collections::HashMap;

use anyhow::{Context, bail};
use crest_ledger::limits::BATCH_EVENTS_MAX;
use crest_ledger::{Account, AccountStatus, TransferStatus};
use crest_proto::border::{account_from, account_result_from, account_to, ids_to};
use crest_proto::v1;
use crest_proto::v1::ledger_client::LedgerClient;
use tonic::transport::Channel;

use super::AccountFlagsRule;
use super::ids::{account_kind, code_of};
use super::sums::Sides;
use crate::retry::{Patience, until_settled};

/// An account that the file names.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: Box<str>,
    /// As it was before any payment of this run could touch it; all balances 0 when this run created it.
    pub(crate) before: Account,
    /// The instant of `before`, ns; 0 when this run created the account, so that every payment is later.
    pub(crate) before_at: u64,
    /// What an earlier run had paid of this file by then: it is inside `before`.
    pub(crate) already: Sides,
}

impl Entry {
    /// Whether the account held money that does not come from this file.
    pub(crate) fn held_other_money(&self) -> bool {
        let sides = (self.before.debits_posted, self.before.credits_posted);
        let pending = (self.before.debits_pending, self.before.credits_pending);
        sides != (self.already.debits, self.already.credits) || pending != (0, 0)
    }
}

/// All accounts that were met so far, by id.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    pub(crate) entries: HashMap<u128, Entry>,
    /// How many of them this run created.
    pub(crate) created: u64,
    /// Whether any was there before: otherwise answers need not be looked at twice.
    any_before: bool,
}

/// How to make accounts.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) ledger: u32,
    pub(crate) rules: Vec<AccountFlagsRule>,
    pub(crate) patience: Patience,
}

impl Opening {
    fn account(&self, name: &str, id: u128) -> Account {
        let kind = account_kind(name);
        let mut account = Account { id, ledger: self.ledger, code: code_of(kind), ..Default::default() };
        self.rules.iter().filter(|rule| rule.applies_to(kind)).for_each(|rule| account.flags.set(rule.flag, true));
        account
    }
}

impl Accounts {
    /// Creates the accounts `new` and, of those that were there before, keeps their balances. Gives what a person should
    /// know about accounts that are not as asked for.
    ///
    /// # Errors
    /// When the ledger does not answer, or two names have the same id.
    pub(crate) async fn open(
        &mut self,
        client: &LedgerClient<Channel>,
        opening: &Opening,
        new: Vec<(Box<str>, u128)>,
    ) -> anyhow::Result<Vec<String>> {
        let mut notes = Vec::new();
        let mut known = Vec::new();
        for part in new.chunks(BATCH_EVENTS_MAX) {
            let accounts = part.iter().map(|(name, id)| account_to(&opening.account(name, *id))).collect();
            let request = v1::CreateAccountsRequest { accounts };
            let settled = until_settled(opening.patience, || {
                let (mut client, request) = (client.clone(), request.clone());
                async move { client.create_accounts(request).await }
            });
            let results = settled.await.context("creating accounts")?.answer.into_inner().results;
            if results.len() != part.len() {
                bail!("creating accounts: {} results for {} accounts", results.len(), part.len());
            }
            for (result, (name, id)) in results.into_iter().zip(part) {
                let (status, _) = account_result_from(result).context("creating accounts")?;
                match status {
                    AccountStatus::Created => self.created += 1,
                    AccountStatus::Exists => known.push(*id),
                    _ => {
                        notes.push(format!("account {name}: {status}; it is used as it is"));
                        known.push(*id);
                    }
                }
                let entry =
                    Entry { name: name.clone(), before: Account::default(), before_at: 0, already: Sides::default() };
                if let Some(other) = self.entries.insert(*id, entry) {
                    bail!("the accounts {} and {name} have the same id {id:#x}: rename one of them", other.name);
                }
            }
        }
        self.remember(client, opening.patience, &known).await?;
        Ok(notes)
    }

    /// Keeps the balances of accounts that were there before.
    async fn remember(
        &mut self,
        client: &LedgerClient<Channel>,
        patience: Patience,
        ids: &[u128],
    ) -> anyhow::Result<()> {
        for part in ids.chunks(BATCH_EVENTS_MAX) {
            let (accounts, at) = lookup(client, patience, part).await?;
            for account in accounts {
                if let Some(entry) = self.entries.get_mut(&account.id) {
                    (entry.before, entry.before_at) = (account, at);
                    self.any_before = true;
                }
            }
        }
        Ok(())
    }

    /// Takes note of a payment that is there, created now or before, with the ledger's timestamp `at` of it.
    ///
    /// `exists` alone does not tell whether an earlier run made it or this one, whose first answer was lost; time does:
    /// what is in the balance before has a timestamp up to that balance's, and what came later has a larger one.
    pub(crate) fn settle(&mut self, status: TransferStatus, debit: u128, credit: u128, amount: u128, at: u64) {
        if !self.any_before || status != TransferStatus::Exists {
            return;
        }
        if let Some(payer) = self.entries.get_mut(&debit).filter(|entry| at <= entry.before_at) {
            payer.already.debits = payer.already.debits.saturating_add(amount);
        }
        if let Some(payee) = self.entries.get_mut(&credit).filter(|entry| at <= entry.before_at) {
            payee.already.credits = payee.already.credits.saturating_add(amount);
        }
    }
}

/// Those of up to 8,190 accounts that exist, and the instant their balances are of, ns.
///
/// # Errors
/// When the ledger does not answer, or answers nonsense.
pub(crate) async fn lookup(
    client: &LedgerClient<Channel>,
    patience: Patience,
    ids: &[u128],
) -> anyhow::Result<(Vec<Account>, u64)> {
    let request = v1::LookupAccountsRequest { ids: ids_to(ids), read: None };
    let settled = until_settled(patience, || {
        let (mut client, request) = (client.clone(), request.clone());
        async move { client.lookup_accounts(request).await }
    });
    let response = settled.await.context("looking accounts up")?.answer.into_inner();
    let accounts: Result<Vec<Account>, _> = response.accounts.into_iter().map(account_from).collect();
    Ok((accounts.context("looking accounts up")?, response.timestamp))
}
