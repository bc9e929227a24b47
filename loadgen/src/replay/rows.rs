//! A row of the file becomes a payment, or a reason why not.

use csv::ByteRecord;
use thiserror::Error;

/// The columns that a file must have, in any order.
pub(crate) const COLUMNS: [&str; 6] = ["id", "date", "debit_account", "credit_account", "amount", "kind"];
/// Bytes in the name of an account or of a kind: names are kept in memory, one for each account.
pub(crate) const NAME_BYTES_MAX: usize = 200;
/// Decimal places that an amount may have: 10^18 still leaves twenty digits before the point.
pub(crate) const SCALE_MAX: u32 = 18;

/// A payment as the file says it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    /// The row's own number, unique in its file.
    pub(crate) id: u64,
    /// The day as a number, `yyyymmdd`.
    pub(crate) date: u64,
    /// The name of who pays.
    pub(crate) debit: &'a str,
    /// The name of who is paid.
    pub(crate) credit: &'a str,
    /// How much, in the ledger's smallest unit.
    pub(crate) amount: u128,
    /// What it is for.
    pub(crate) kind: &'a str,
}

/// Why a row is no payment.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum RowError {
    #[error("it has {found} fields, expected {expected}")]
    Fields { found: usize, expected: usize },
    #[error("{column} is not UTF-8 text")]
    NotText { column: &'static str },
    #[error("{column} is empty")]
    Empty { column: &'static str },
    #[error("{column} is longer than {NAME_BYTES_MAX} bytes")]
    Long { column: &'static str },
    #[error("id `{0}` is not a whole number from 0 to 2^64 - 1")]
    Id(String),
    #[error("date `{0}` is not a day written as YYYY-MM-DD")]
    Date(String),
    #[error("debit_account and credit_account are both `{0}`: money has to move")]
    SameAccounts(String),
    #[error("amount `{0}` is negative: exchange the two accounts instead")]
    Negative(String),
    #[error("amount `{amount}` has more than {scale} decimals (--scale {scale})")]
    Decimals { amount: String, scale: u32 },
    #[error("amount `{0}` is not a number such as 1234.50 (digits, and a point before the decimals)")]
    Amount(String),
    #[error("amount `{0}` does not fit 128 bits")]
    Large(String),
}

/// Where each of [`COLUMNS`] stands in a row.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    at: [usize; COLUMNS.len()],
    fields: usize,
}

impl Columns {
    /// Finds the columns in the file's first row.
    ///
    /// # Errors
    /// A text that names every column that is missing.
    pub(crate) fn find(header: &ByteRecord) -> Result<Self, String> {
        let mut at = [0; COLUMNS.len()];
        let mut missing = Vec::new();
        for (place, column) in at.iter_mut().zip(COLUMNS) {
            match header.iter().position(|field| field.trim_ascii().eq_ignore_ascii_case(column.as_bytes())) {
                Some(index) => *place = index,
                None => missing.push(column),
            }
        }
        if missing.is_empty() {
            return Ok(Self { at, fields: header.len() });
        }
        Err(format!("the first row lacks the column(s) {}; expected {}", missing.join(", "), COLUMNS.join(",")))
    }

    /// The field of `record` that stands in column number `column` of [`COLUMNS`], without the blanks around it.
    pub(crate) fn field<'a>(&self, record: &'a ByteRecord, column: usize) -> Result<&'a str, RowError> {
        let name = COLUMNS[column];
        let bytes = record.get(self.at[column]).unwrap_or_default().trim_ascii();
        let text = std::str::from_utf8(bytes).map_err(|_| RowError::NotText { column: name })?;
        match text.len() {
            0 => Err(RowError::Empty { column: name }),
            n if n > NAME_BYTES_MAX => Err(RowError::Long { column: name }),
            _ => Ok(text),
        }
    }
}

/// Reads a row; amounts have at most `scale` decimals.
///
/// # Errors
/// The first reason, in the order of [`COLUMNS`] but with the accounts compared last.
pub(crate) fn parse_row<'a>(record: &'a ByteRecord, columns: &Columns, scale: u32) -> Result<Row<'a>, RowError> {
    // More fields are as wrong as fewer: a comma too many shifts every field behind it, and the amount with them.
    if record.len() != columns.fields {
        return Err(RowError::Fields { found: record.len(), expected: columns.fields });
    }
    let id = columns.field(record, 0)?;
    // `parse` alone would take a plus sign.
    let row_id = if id.bytes().all(|b| b.is_ascii_digit()) { id.parse().ok() } else { None };
    let row_id = row_id.ok_or_else(|| RowError::Id(id.to_owned()))?;
    let date = columns.field(record, 1)?;
    let date = parse_date(date).ok_or_else(|| RowError::Date(date.to_owned()))?;
    let (debit, credit) = (columns.field(record, 2)?, columns.field(record, 3)?);
    let amount = parse_amount(columns.field(record, 4)?, scale)?;
    let kind = columns.field(record, 5)?;
    if debit == credit {
        return Err(RowError::SameAccounts(debit.to_owned()));
    }
    Ok(Row { id: row_id, date, debit, credit, amount, kind })
}

/// A decimal number as a whole number of the smallest unit: `12.3` with a scale of 2 is 1230. There is no rounding.
fn parse_amount(text: &str, scale: u32) -> Result<u128, RowError> {
    let wrong = || RowError::Amount(text.to_owned());
    if let Some(rest) = text.strip_prefix('-') {
        return Err(if rest.starts_with(|c: char| c.is_ascii_digit()) {
            RowError::Negative(text.to_owned())
        } else {
            wrong()
        });
    }
    let (whole, decimals) = match text.split_once('.') {
        Some((whole, decimals)) if !decimals.is_empty() => (whole, decimals),
        Some(_) => return Err(wrong()),
        None => (text, ""),
    };
    if whole.is_empty() || !whole.bytes().chain(decimals.bytes()).all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    if decimals.len() > scale as usize {
        return Err(RowError::Decimals { amount: text.to_owned(), scale });
    }
    let padding = std::iter::repeat_n(b'0', scale as usize - decimals.len());
    whole
        .bytes()
        .chain(decimals.bytes())
        .chain(padding)
        .try_fold(0u128, |n, digit| n.checked_mul(10)?.checked_add(u128::from(digit - b'0')))
        .ok_or_else(|| RowError::Large(text.to_owned()))
}

/// `1993-01-31` as 19930131; none when there is no such day in the Gregorian calendar.
fn parse_date(text: &str) -> Option<u64> {
    let bytes: &[u8; 10] = text.as_bytes().try_into().ok()?;
    let number =
        |digits: &[u8]| digits.iter().try_fold(0u64, |n, b| b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0')));
    if bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (year, month, day) = (number(&bytes[..4])?, number(&bytes[5..7])?, number(&bytes[8..])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=days).contains(&day).then_some(year * 10_000 + month * 100 + day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        let check = |text: &str, scale, expected: Option<u128>| {
            assert_eq!(parse_amount(text, scale).ok(), expected, "{text} with scale {scale}");
        };
        check("700.00", 2, Some(70_000));
        check("0.1", 2, Some(10));
        check("5", 2, Some(500));
        check("0", 2, Some(0));
        check("5", 0, Some(5));
        check("0.000000000000000001", 18, Some(1));
        check("340282366920938463463374607431768211455", 0, Some(u128::MAX));
        check("340282366920938463463374607431768211456", 0, None);
        for wrong in ["", ".", "5.", ".5", "-1", "+1", "1e3", "1,000.00", "0x10", "1.234", "1.2.3", " 1", "٣"] {
            check(wrong, 2, None);
        }
    }

    #[test]
    fn dates_are_days_of_the_calendar() {
        let check = |text: &str, expected| assert_eq!(parse_date(text), expected, "{text}");
        check("1993-01-01", Some(19_930_101));
        check("2000-02-29", Some(20_000_229));
        check("1900-02-29", None);
        check("1999-04-31", None);
        check("1999-13-01", None);
        check("1999-00-01", None);
        check("1999-01-00", None);
        check("99-01-01", None);
        check("1999/01/01", None);
    }

    #[test]
    fn a_wrong_row_says_what_is_wrong() {
        let header = ByteRecord::from(COLUMNS.to_vec());
        let columns = Columns::find(&header).unwrap();
        let check = |fields: &[&str], expected: &str| {
            let record = ByteRecord::from(fields.to_vec());
            assert_eq!(parse_row(&record, &columns, 2).unwrap_err().to_string(), expected);
        };
        check(&["1", "1999-01-01", "a", "b", "1.00"], "it has 5 fields, expected 6");
        check(&["1", "1999-01-01", "a", "b", "1", "00", "k"], "it has 7 fields, expected 6");
        check(&["+1", "1999-01-01", "a", "b", "1", "k"], "id `+1` is not a whole number from 0 to 2^64 - 1");
        check(&["1", "1999-02-30", "a", "b", "1", "k"], "date `1999-02-30` is not a day written as YYYY-MM-DD");
        check(
            &["1", "1999-01-01", "a", " a ", "1", "k"],
            "debit_account and credit_account are both `a`: money has to move",
        );
        check(&["1", "1999-01-01", "a", "b", "-1", "k"], "amount `-1` is negative: exchange the two accounts instead");
        check(&["1", "1999-01-01", "a", "b", "1.001", "k"], "amount `1.001` has more than 2 decimals (--scale 2)");
        check(&["1", "1999-01-01", "", "b", "1", "k"], "debit_account is empty");
    }

    #[test]
    fn columns_are_found_in_any_order_and_missing_ones_are_named() {
        let header = ByteRecord::from(vec!["kind", "amount", "Credit_Account", "debit_account", "date", "id", "more"]);
        let columns = Columns::find(&header).unwrap();
        let record = ByteRecord::from(vec!["k", "1.5", "b", "a", "1999-01-01", "7", "x"]);
        let row = parse_row(&record, &columns, 2).unwrap();
        assert_eq!(row, Row { id: 7, date: 19_990_101, debit: "a", credit: "b", amount: 150, kind: "k" });
        let error = Columns::find(&ByteRecord::from(vec!["id", "date", "amount", "kind"])).unwrap_err();
        assert!(error.contains("debit_account, credit_account"), "{error}");
    }
}
