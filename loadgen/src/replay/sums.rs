//! What the file says, computed a second time and in another way: the yardstick of the comparison. It shares with the
//! sending side only the opening of the file, and goes by names, not by ids.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};

use super::source;

/// What one account pays and is paid, in the smallest unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sides {
    pub(crate) debits: u128,
    pub(crate) credits: u128,
}

/// What the file moves.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(crate) accounts: HashMap<String, Sides>,
    pub(crate) rows: u64,
    pub(crate) total: u128,
}

/// Sums the rows of `path` up to the line `last_line`, but for those at the lines of `left_out`, which is sorted.
///
/// # Errors
/// When the file cannot be read, or a row that was sent cannot be read any more: then it changed meanwhile.
pub(crate) fn sum_file(path: &Path, scale: u32, left_out: &[u64], last_line: u64) -> anyhow::Result<Sums> {
    let file = path.display();
    let mut csv = source::open(path, Arc::default())?;
    let header = csv.byte_headers().with_context(|| file.to_string())?.clone();
    let column = |name: &str| {
        let is_it = |field: &[u8]| String::from_utf8_lossy(field).trim().to_ascii_lowercase() == name;
        header.iter().position(is_it).with_context(|| format!("{file}: the column {name} is gone"))
    };
    let (debit, credit, amount) = (column("debit_account")?, column("credit_account")?, column("amount")?);
    let mut sums = Sums::default();
    for record in csv.byte_records() {
        let record = record.with_context(|| format!("{file}: reading it a second time"))?;
        let line = record.position().map_or(0, csv::Position::line);
        if line > last_line {
            break;
        }
        if left_out.binary_search(&line).is_ok() {
            continue;
        }
        let changed =
            || anyhow!("{file}, line {line}: the row was sent but cannot be read a second time; did the file change?");
        let text = |index: usize| std::str::from_utf8(record.get(index)?).ok().map(str::trim);
        let money = text(amount).and_then(|text| smallest_units(text, scale)).ok_or_else(changed)?;
        let too_large = || anyhow!("{file}, line {line}: the sums of the file exceed 128 bits");
        for (name, is_debit) in [(text(debit), true), (text(credit), false)] {
            let name = name.ok_or_else(changed)?;
            if !sums.accounts.contains_key(name) {
                sums.accounts.insert(name.to_owned(), Sides::default());
            }
            let sides = sums.accounts.get_mut(name).ok_or_else(changed)?;
            let side = if is_debit { &mut sides.debits } else { &mut sides.credits };
            *side = side.checked_add(money).ok_or_else(too_large)?;
        }
        sums.total = sums.total.checked_add(money).ok_or_else(too_large)?;
        sums.rows += 1;
    }
    Ok(sums)
}

/// The whole part and the decimals, each read as a number of its own.
fn smallest_units(text: &str, scale: u32) -> Option<u128> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let missing = match text.find('.') {
        Some(point) => scale.checked_sub(u32::try_from(text.len() - point - 1).ok()?)?,
        None => scale,
    };
    let unit = 10u128.checked_pow(scale)?;
    let whole = whole.parse::<u128>().ok()?.checked_mul(unit)?;
    whole.checked_add(decimals.parse::<u128>().ok()? * 10u128.checked_pow(missing)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_reading_an_amount_agree() {
        let cases = [("0", 0), ("0", 2), ("7", 2), ("7.5", 2), ("7.05", 2), ("007.50", 3), ("99999999999999.99", 2)];
        for (text, scale) in cases {
            let record = csv::ByteRecord::from(vec!["1", "1999-01-01", "a", "b", text, "k"]);
            let columns =
                super::super::rows::Columns::find(&csv::ByteRecord::from(super::super::rows::COLUMNS.to_vec()));
            let amount = super::super::rows::parse_row(&record, &columns.unwrap(), scale).unwrap().amount;
            assert_eq!(smallest_units(text, scale), Some(amount), "{text}");
        }
        assert_eq!(smallest_units("1.234", 2), None);
    }

    #[test]
    fn rows_left_out_and_rows_behind_the_last_line_do_not_count() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "id,date,debit_account,credit_account,amount,kind\n1,d,a,b,1.00,k\n2,d,a,b,2.50,k\n3,d,b,a,4,k\n4,d,a,b,8,k\n";
        std::fs::write(file.path(), text).unwrap();
        let sums = sum_file(file.path(), 2, &[3], 4).unwrap();
        assert_eq!((sums.rows, sums.total), (2, 500));
        assert_eq!(sums.accounts["a"], Sides { debits: 100, credits: 400 });
        assert_eq!(sums.accounts["b"], Sides { debits: 400, credits: 100 });
    }
}
