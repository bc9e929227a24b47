//! Accounts, transfers and balances as table rows for people and as JSON for programs.
//!
//! In JSON, names are those of the API; numbers of 64 and 128 bits are strings, since most readers of JSON lose digits;
//! amounts are in the ledger's smallest unit whatever `--scale` says.

use super::human::{format_amount, format_id, format_time};
use crest_ledger::{Account, AccountBalance, AccountFlags, Transfer, TransferFlags, is_rehearsal};
use serde_json::{Value, json};

const ACCOUNT_FLAGS: &[(u16, &str)] = &[
    (AccountFlags::LINKED, "linked"),
    (AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS, "debits_must_not_exceed_credits"),
    (AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS, "credits_must_not_exceed_debits"),
    (AccountFlags::HISTORY, "history"),
    (AccountFlags::IMPORTED, "imported"),
    (AccountFlags::CLOSED, "closed"),
];

const TRANSFER_FLAGS: &[(u16, &str)] = &[
    (TransferFlags::LINKED, "linked"),
    (TransferFlags::PENDING, "pending"),
    (TransferFlags::POST_PENDING, "post_pending_transfer"),
    (TransferFlags::VOID_PENDING, "void_pending_transfer"),
    (TransferFlags::BALANCING_DEBIT, "balancing_debit"),
    (TransferFlags::BALANCING_CREDIT, "balancing_credit"),
    (TransferFlags::CLOSING_DEBIT, "closing_debit"),
    (TransferFlags::CLOSING_CREDIT, "closing_credit"),
    (TransferFlags::IMPORTED, "imported"),
];

fn flag_names(flags: u16, names: &[(u16, &'static str)]) -> Vec<&'static str> {
    names.iter().filter(|(bit, _)| flags & bit != 0).map(|&(_, name)| name).collect()
}

/// A ledger number for people: one of rehearsals says so.
pub(crate) fn ledger_cell(ledger: u32) -> String {
    if is_rehearsal(ledger) { format!("{ledger} (rehearsal)") } else { ledger.to_string() }
}

/// An account for programs.
pub(crate) fn account_json(account: &Account) -> Value {
    json!({
        "id": account.id.to_string(),
        "debits_pending": account.debits_pending.to_string(),
        "debits_posted": account.debits_posted.to_string(),
        "credits_pending": account.credits_pending.to_string(),
        "credits_posted": account.credits_posted.to_string(),
        "user_data_128": account.user_data_128.to_string(),
        "user_data_64": account.user_data_64.to_string(),
        "user_data_32": account.user_data_32,
        "ledger": account.ledger,
        "rehearsal": is_rehearsal(account.ledger),
        "code": account.code,
        "flags": flag_names(account.flags.0, ACCOUNT_FLAGS),
        "timestamp": account.timestamp.to_string(),
    })
}

/// A transfer for programs.
pub(crate) fn transfer_json(transfer: &Transfer) -> Value {
    json!({
        "id": transfer.id.to_string(),
        "debit_account_id": transfer.debit_account_id.to_string(),
        "credit_account_id": transfer.credit_account_id.to_string(),
        "amount": transfer.amount.to_string(),
        "pending_id": transfer.pending_id.to_string(),
        "user_data_128": transfer.user_data_128.to_string(),
        "user_data_64": transfer.user_data_64.to_string(),
        "user_data_32": transfer.user_data_32,
        "timeout": transfer.timeout,
        "ledger": transfer.ledger,
        "rehearsal": is_rehearsal(transfer.ledger),
        "code": transfer.code,
        "flags": flag_names(transfer.flags.0, TRANSFER_FLAGS),
        "timestamp": transfer.timestamp.to_string(),
    })
}

/// The balances after one transfer, for programs.
pub(crate) fn balance_json(balance: &AccountBalance) -> Value {
    json!({
        "debits_pending": balance.debits_pending.to_string(),
        "debits_posted": balance.debits_posted.to_string(),
        "credits_pending": balance.credits_pending.to_string(),
        "credits_posted": balance.credits_posted.to_string(),
        "timestamp": balance.timestamp.to_string(),
    })
}

/// Accounts for people.
pub(crate) fn account_table(accounts: &[Account], scale: u8) -> String {
    let mut table = Table::new(&[
        "ID",
        "LEDGER",
        "CODE",
        "DEBITS PENDING",
        "DEBITS POSTED",
        "CREDITS PENDING",
        "CREDITS POSTED",
        "CREATED",
        "FLAGS",
    ]);
    for a in accounts {
        table.row(vec![
            format_id(a.id),
            ledger_cell(a.ledger),
            a.code.to_string(),
            format_amount(a.debits_pending, scale),
            format_amount(a.debits_posted, scale),
            format_amount(a.credits_pending, scale),
            format_amount(a.credits_posted, scale),
            format_time(a.timestamp),
            flag_names(a.flags.0, ACCOUNT_FLAGS).join(","),
        ]);
    }
    table.text()
}

/// Transfers for people.
pub(crate) fn transfer_table(transfers: &[Transfer], scale: u8) -> String {
    let mut table =
        Table::new(&["ID", "FROM (DEBIT)", "TO (CREDIT)", "AMOUNT", "LEDGER", "CODE", "PENDING ID", "MADE", "FLAGS"]);
    for t in transfers {
        table.row(vec![
            format_id(t.id),
            format_id(t.debit_account_id),
            format_id(t.credit_account_id),
            format_amount(t.amount, scale),
            ledger_cell(t.ledger),
            t.code.to_string(),
            if t.pending_id == 0 { "-".to_owned() } else { format_id(t.pending_id) },
            format_time(t.timestamp),
            flag_names(t.flags.0, TRANSFER_FLAGS).join(","),
        ]);
    }
    table.text()
}

/// Balances for people.
pub(crate) fn balance_table(balances: &[AccountBalance], scale: u8) -> String {
    let mut table = Table::new(&["AFTER", "DEBITS PENDING", "DEBITS POSTED", "CREDITS PENDING", "CREDITS POSTED"]);
    for b in balances {
        table.row(vec![
            format_time(b.timestamp),
            format_amount(b.debits_pending, scale),
            format_amount(b.debits_posted, scale),
            format_amount(b.credits_pending, scale),
            format_amount(b.credits_posted, scale),
        ]);
    }
    table.text()
}

/// Text in columns, each as wide as its widest cell; numbers stand to the right, so that digits meet.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|&heading| heading.to_owned()).collect()] }
    }

    /// Adds a row with a cell for each heading.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table, a line for each row; `nothing found` without rows.
    pub(crate) fn text(&self) -> String {
        let [headings, rows @ ..] = self.rows.as_slice() else { return String::new() };
        if rows.is_empty() {
            return "nothing found".to_owned();
        }
        let is_number = |cell: &str| cell.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-');
        let columns: Vec<(usize, bool)> = (0..headings.len())
            .map(|i| {
                let cells = || rows.iter().filter_map(|row| row.get(i)).map(String::as_str);
                let width = cells().map(str::len).fold(headings[i].len(), usize::max);
                (width, cells().all(is_number))
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells: Vec<String> = row
                .iter()
                .zip(&columns)
                .map(
                    |(cell, &(width, right))| if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") },
                )
                .collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_numbers_stand_right() {
        let mut table = Table::new(&["ID", "AMOUNT", "FLAGS"]);
        table.row(vec!["1".into(), "12.50".into(), "pending".into()]);
        table.row(vec!["1001".into(), "7.00".into(), String::new()]);
        assert_eq!(table.text(), "  ID  AMOUNT  FLAGS\n   1   12.50  pending\n1001    7.00\n");
        assert_eq!(Table::new(&["ID"]).text(), "nothing found");
    }

    #[test]
    fn json_loses_no_digits_and_names_flags_as_the_api_does() {
        let account = Account {
            id: u128::MAX - 1,
            credits_posted: u128::MAX,
            user_data_64: u64::MAX,
            flags: AccountFlags(AccountFlags::KNOWN),
            timestamp: u64::MAX,
            ..Account::default()
        };
        let json = account_json(&account);
        assert_eq!(json["id"], "340282366920938463463374607431768211454");
        assert_eq!(json["credits_posted"], "340282366920938463463374607431768211455");
        assert_eq!(
            (&json["user_data_64"], &json["timestamp"]),
            (&json!("18446744073709551615"), &json!(u64::MAX.to_string()))
        );
        assert_eq!(json["flags"].as_array().unwrap().len(), 6);
        let transfer = Transfer { flags: TransferFlags(TransferFlags::KNOWN), ..Transfer::default() };
        assert_eq!(transfer_json(&transfer)["flags"].as_array().unwrap().len(), 9);
    }
}
