//! The comparison of the ledger with the file, and what is printed about it.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;

use crest_ledger::limits::BATCH_EVENTS_MAX;
use crest_ledger::{Account, TransferStatus};
use crest_proto::v1::ledger_client::LedgerClient;
use serde::Serialize;
use tonic::transport::Channel;

use super::ReplayArgs;
use super::accounts::{Accounts, Entry, lookup};
use super::reading::WrongRow;
use super::sending::Tally;
use super::sums::{Sides, Sums};
use crate::exit;
use crate::retry::Patience;

/// A balance that is not what it has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    pub(crate) account: String,
    /// Which of the four balances, or `account` when there is none.
    pub(crate) balance: &'static str,
    pub(crate) expected: String,
    pub(crate) got: String,
}

/// Looks every account up and compares it with the file.
///
/// # Errors
/// When the ledger does not answer.
pub(crate) async fn compare(
    client: &LedgerClient<Channel>,
    patience: Patience,
    accounts: &Accounts,
    sums: &Sums,
    scale: u32,
) -> anyhow::Result<Vec<Difference>> {
    let mut ids: Vec<u128> = accounts.entries.keys().copied().collect();
    ids.sort_unstable();
    let mut differences = Vec::new();
    for part in ids.chunks(BATCH_EVENTS_MAX) {
        let (found, _) = lookup(client, patience, part).await?;
        let mut missing: HashSet<u128> = part.iter().copied().collect();
        for account in &found {
            let Some(entry) = accounts.entries.get(&account.id).filter(|_| missing.remove(&account.id)) else {
                continue;
            };
            let file = sums.accounts.get(&*entry.name).copied().unwrap_or_default();
            compare_account(entry, account, file, scale, &mut differences);
        }
        let missing = missing.iter().filter_map(|id| accounts.entries.get(id));
        // An account that could not be created, and all of whose rows were refused, is named already.
        for entry in
            missing.filter(|entry| sums.accounts.get(&*entry.name).is_some_and(|sides| *sides != Sides::default()))
        {
            differences.push(absent(&entry.name, "an account", "none in the ledger"));
        }
    }
    let sent: HashSet<&str> = accounts.entries.values().map(|entry| &*entry.name).collect();
    for name in sums.accounts.keys().filter(|name| !sent.contains(name.as_str())) {
        differences.push(absent(name, "its payments", "never sent"));
    }
    differences.sort_by(|a, b| a.account.cmp(&b.account));
    Ok(differences)
}

fn absent(name: &str, expected: &str, got: &str) -> Difference {
    Difference { account: name.to_owned(), balance: "account", expected: expected.to_owned(), got: got.to_owned() }
}

/// Adds each of the four balances that is not what it was, plus what the file moves, less what was in there already.
fn compare_account(entry: &Entry, after: &Account, file: Sides, scale: u32, differences: &mut Vec<Difference>) {
    let (before, already) = (&entry.before, entry.already);
    // What saturates is a difference all the same: no balance is that large or, below zero, that small.
    let expected = |before: u128, file: u128, already: u128| before.saturating_add(file).saturating_sub(already);
    let debits = expected(before.debits_posted, file.debits, already.debits);
    let credits = expected(before.credits_posted, file.credits, already.credits);
    let balances = [
        ("debits_posted", debits, after.debits_posted),
        ("credits_posted", credits, after.credits_posted),
        ("debits_pending", before.debits_pending, after.debits_pending),
        ("credits_pending", before.credits_pending, after.credits_pending),
    ];
    for (balance, expected, got) in balances.into_iter().filter(|(_, expected, got)| expected != got) {
        let (expected, got) = (decimal(expected, scale), decimal(got, scale));
        differences.push(Difference { account: entry.name.to_string(), balance, expected, got });
    }
}

/// A whole number of the smallest unit as people write it.
pub(crate) fn decimal(amount: u128, scale: u32) -> String {
    let digits = format!("{amount:0width$}", width = scale as usize + 1);
    let (whole, decimals) = digits.split_at(digits.len() - scale as usize);
    if decimals.is_empty() { whole.to_owned() } else { format!("{whole}.{decimals}") }
}

/// What a replay did and proved.
#[derive(Debug, Serialize)]
pub(crate) struct ReplayReport {
    file: String,
    namespace: String,
    ledger: u32,
    /// Data rows that were dealt with, wrong ones included.
    pub(crate) rows: u64,
    /// Rows that are no payments.
    pub(crate) wrong: u64,
    pub(crate) created: u64,
    pub(crate) exists: u64,
    /// Rows that the ledger refused, by status.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    pub(crate) accounts: u64,
    pub(crate) accounts_created: u64,
    /// Accounts that held money of other origin before: their change was compared.
    pub(crate) accounts_with_other_money: u64,
    /// What the file moves, refused rows left out.
    pub(crate) total: String,
    /// From the first byte read to the last answer, s.
    seconds: f64,
    payments_per_second: f64,
    /// Attempts that were sent again because their outcome was unknown.
    pub(crate) unknown_attempts: u64,
    /// Attempts that were sent again because the router was busy.
    busy_attempts: u64,
    /// The line at which it stopped (--stop-on-error).
    pub(crate) stopped_at_line: Option<u64>,
    /// The first 1,000 rows that were wrong or refused.
    pub(crate) left_out: Vec<WrongRow>,
    /// The code of each kind.
    codes: BTreeMap<String, u16>,
    pub(crate) differences: Vec<Difference>,
    pub(crate) verdict: String,
}

impl ReplayReport {
    #[allow(clippy::too_many_arguments, reason = "each part of the run hands in its own results, once")]
    pub(crate) fn new(
        args: &ReplayArgs,
        namespace: String,
        seconds: f64,
        tally: &Tally,
        accounts: &Accounts,
        sums: &Sums,
        codes: BTreeMap<String, u16>,
        mut differences: Vec<Difference>,
    ) -> Self {
        let count = |status| tally.statuses.get(&status).copied().unwrap_or(0);
        let refused =
            tally.statuses.iter().filter(|(status, _)| !status.is_done()).map(|(s, n)| (s.name(), *n)).collect();
        let (created, exists) = (count(TransferStatus::Created), count(TransferStatus::Exists));
        if sums.rows != created + exists {
            let (expected, got) = (format!("{} rows that count", sums.rows), format!("{} paid", created + exists));
            differences.push(Difference { account: "(the whole file)".to_owned(), balance: "account", expected, got });
        }
        let other = accounts.entries.values().filter(|entry| entry.held_other_money()).count() as u64;
        Self {
            file: args.file.display().to_string(),
            namespace,
            ledger: args.ledger,
            rows: tally.answered() + tally.wrong,
            wrong: tally.wrong,
            created,
            exists,
            refused,
            accounts: accounts.entries.len() as u64,
            accounts_created: accounts.created,
            accounts_with_other_money: other,
            total: decimal(sums.total, args.scale),
            seconds,
            payments_per_second: tally.answered() as f64 / seconds.max(1e-9),
            unknown_attempts: tally.unknown,
            busy_attempts: tally.busy,
            stopped_at_line: tally.stopped_at,
            left_out: tally.kept.clone(),
            codes,
            verdict: verdict(accounts.entries.len(), other, differences.len()),
            differences,
        }
    }

    /// One of the codes of [`exit`].
    pub(crate) fn exit_code(&self) -> u8 {
        if !self.differences.is_empty() {
            exit::MONEY_WRONG
        } else if self.wrong > 0 || !self.refused.is_empty() {
            exit::ROWS_REFUSED
        } else {
            exit::PASSED
        }
    }

    /// Prints it to standard output.
    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            writeln!(out, "{}", serde_json::to_string_pretty(self)?)?;
            return Ok(());
        }
        writeln!(out, "file         {} (namespace {}, ledger {})", self.file, self.namespace, self.ledger)?;
        writeln!(out, "rows         {}", self.rows)?;
        writeln!(out, "created      {}", self.created)?;
        writeln!(out, "exists       {}", self.exists)?;
        writeln!(out, "wrong        {}", self.wrong)?;
        writeln!(out, "refused      {}", self.refused.values().sum::<u64>())?;
        for (status, count) in &self.refused {
            writeln!(out, "  {status}: {count}")?;
        }
        writeln!(out, "accounts     {} ({} created)", self.accounts, self.accounts_created)?;
        writeln!(out, "total        {}", self.total)?;
        writeln!(out, "time         {:.2} s, {:.0} payments/s", self.seconds, self.payments_per_second)?;
        if self.unknown_attempts + self.busy_attempts > 0 {
            let (unknown, busy) = (self.unknown_attempts, self.busy_attempts);
            writeln!(out, "sent again   {unknown} with unknown outcome, {busy} because the router was busy")?;
        }
        if let Some(line) = self.stopped_at_line {
            writeln!(out, "stopped      at line {line} (--stop-on-error)")?;
        }
        for d in &self.differences {
            writeln!(out, "DIFFERENCE   {} {}: expected {}, got {}", d.account, d.balance, d.expected, d.got)?;
        }
        writeln!(out, "{}", self.verdict)?;
        Ok(())
    }
}

fn verdict(accounts: usize, other: u64, differences: usize) -> String {
    match (differences, other) {
        (0, 0) => format!("all {accounts} balances equal the file's sums"),
        (0, _) => format!(
            "all {accounts} balances equal the file's sums on top of what was there before ({other} accounts held other money)"
        ),
        _ => format!("MONEY IS WRONG: {differences} differences between the ledger and the file's sums"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_they_are_read() {
        let check = |amount, scale, text: &str| assert_eq!(decimal(amount, scale), text);
        check(70_000, 2, "700.00");
        check(5, 2, "0.05");
        check(0, 2, "0.00");
        check(5, 0, "5");
        check(u128::MAX, 0, "340282366920938463463374607431768211455");
    }

    #[test]
    fn every_balance_is_compared_with_what_was_there_before() {
        let before = Account { debits_posted: 100, credits_posted: 7, ..Default::default() };
        let entry = Entry { name: "a".into(), before, before_at: 5, already: Sides { debits: 100, credits: 0 } };
        let file = Sides { debits: 130, credits: 20 };
        let check = |debits_posted, credits_posted, credits_pending, expected: &[&str]| {
            let after = Account { debits_posted, credits_posted, credits_pending, ..Default::default() };
            let mut differences = Vec::new();
            compare_account(&entry, &after, file, 0, &mut differences);
            assert_eq!(differences.iter().map(|d| d.balance).collect::<Vec<_>>(), expected);
        };
        check(130, 27, 0, &[]);
        check(131, 27, 0, &["debits_posted"]);
        check(130, 20, 1, &["credits_posted", "credits_pending"]);
        assert!(entry.held_other_money());
    }
}
