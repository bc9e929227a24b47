//! The payments of a file, as a rehearsal plays them: all in memory, so that any of them can be looked at afterwards.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use crest_proto::naming::name_id;
use csv::ByteRecord;

use crate::replay::rows::{Columns, parse_row};
use crate::replay::source;
use crate::scenario::Phase;

/// Payments of a file, at most: 16 bytes each.
const ROWS_MAX: usize = 100_000_000;
/// How long a run by the file's own dates may be.
const SECONDS_MAX: f64 = 7.0 * 86_400.0;
const DAY_SECONDS: f64 = 86_400.0;

/// The payments.
#[derive(Debug)]
pub(crate) struct Payments {
    /// Ids of the accounts that the file names.
    pub(crate) accounts: Vec<u128>,
    /// Payer and payee, as places in `accounts`, and the amount; in the file's order.
    pub(crate) rows: Vec<(u32, u32, u64)>,
    /// How many rows each day has, in order of time; the days are counted from any beginning. Empty when the file is not in
    /// the order of its dates.
    days: Vec<(i64, u64)>,
}

impl Payments {
    /// Reads all of `file`; amounts have at most `scale` decimals. Accounts get ids of their own on the ledger number
    /// `ledger`: the hashes of `rehearsal:LEDGER:file:NAME`.
    ///
    /// # Errors
    /// When the file can't be read, or any row is no payment: the first such line, and why.
    pub(crate) fn read(file: &Path, scale: u32, ledger: u32) -> anyhow::Result<Self> {
        let name = file.display();
        let mut csv = source::open(file, Arc::new(AtomicU64::new(0)))?;
        let header = csv.byte_headers().with_context(|| name.to_string())?.clone();
        let columns = Columns::find(&header).map_err(|reason| anyhow!("{name}: {reason}"))?;
        let mut own = Self { accounts: Vec::new(), rows: Vec::new(), days: Vec::new() };
        let (mut places, mut in_order) = (HashMap::new(), true);
        let mut record = ByteRecord::new();
        while csv.read_byte_record(&mut record).with_context(|| format!("{name}: reading on"))? {
            let line = record.position().map_or(0, csv::Position::line);
            let row = parse_row(&record, &columns, scale).map_err(|why| anyhow!("{name}, line {line}: {why}"))?;
            let amount =
                u64::try_from(row.amount).map_err(|_| anyhow!("{name}, line {line}: amount does not fit 64 bits"))?;
            let debit = own.place(&mut places, row.debit, ledger);
            let credit = own.place(&mut places, row.credit, ledger);
            own.rows.push((debit, credit, amount));
            if own.rows.len() > ROWS_MAX {
                bail!("{name}: more than {ROWS_MAX} payments");
            }
            let day = day_number(row.date);
            match own.days.last_mut() {
                Some((last, count)) if *last == day => *count += 1,
                Some((last, _)) if *last > day => in_order = false,
                _ => own.days.push((day, 1)),
            }
        }
        if own.rows.is_empty() {
            bail!("{name}: the file has no payment");
        }
        if !in_order {
            own.days.clear();
        }
        Ok(own)
    }

    fn place(&mut self, places: &mut HashMap<Box<str>, u32>, name: &str, ledger: u32) -> u32 {
        if let Some(&place) = places.get(name) {
            return place;
        }
        let place = self.accounts.len() as u32;
        self.accounts.push(name_id(&format!("rehearsal:{ledger}:file:{name}")));
        places.insert(name.into(), place);
        place
    }

    /// The file's own pace, `speed` times as fast: the payments of a day are spread evenly over it.
    ///
    /// # Errors
    /// When the file is not in the order of its dates, or takes too long at this speed.
    pub(crate) fn phase(&self, speed: f64) -> anyhow::Result<Phase> {
        let (Some(&(first, _)), Some(&(last, _))) = (self.days.first(), self.days.last()) else {
            bail!(
                "the file is not in the order of its dates, so it has no pace of its own: send it at a rate instead of a speed"
            );
        };
        let seconds = |day: i64| (day - first) as f64 * DAY_SECONDS / speed;
        let total = seconds(last + 1);
        if total > SECONDS_MAX {
            bail!(
                "at this speed the file takes {total:.0} s, and a run takes at most {SECONDS_MAX:.0} s: raise the speed"
            );
        }
        let mut points: Vec<(Duration, f64)> = Vec::new();
        let mut until = first;
        for &(day, count) in &self.days {
            if day > until {
                points.extend(
                    [(until, 0.0), (day, 0.0)].map(|(day, rate)| (Duration::from_secs_f64(seconds(day)), rate)),
                );
            }
            let rate = count as f64 * speed / DAY_SECONDS;
            let ends = [seconds(day), seconds(day + 1)];
            points.extend(ends.map(|at| (Duration::from_secs_f64(at), rate)));
            until = day + 1;
        }
        Ok(Phase { name: "the file".to_owned(), duration: Duration::from_secs_f64(total), points, measured: true })
    }
}

/// The number of a day written as `yyyymmdd`, counted from 1 March of the year 0 (Hinnant: "chrono-Compatible Low-Level Date
/// Algorithms"): the next day has the next number.
fn day_number(date: u64) -> i64 {
    let (year, month, day) = ((date / 10_000) as i64, (date / 100 % 100) as i64, (date % 100) as i64);
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::Curve;

    fn payments(rows: &[&str]) -> anyhow::Result<Payments> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let text = format!("id,date,debit_account,credit_account,amount,kind\n{}\n", rows.join("\n"));
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        Payments::read(file.path(), 2, 7)
    }

    #[test]
    fn days_are_counted_over_months_and_leap_years() {
        let check = |one, next| assert_eq!(day_number(one) + 1, day_number(next), "{one} {next}");
        check(20_240_228, 20_240_229);
        check(20_240_229, 20_240_301);
        check(20_230_228, 20_230_301);
        check(19_991_231, 20_000_101);
        check(20_260_430, 20_260_501);
    }

    #[test]
    fn the_files_own_pace_has_as_many_payments_a_day_as_the_file() {
        let rows = ["1,2026-11-10,a,b,1.00,x", "2,2026-11-10,b,c,2,x", "3,2026-11-12,c,a,3.50,y"];
        let payments = payments(&rows).unwrap();
        assert_eq!(
            (payments.accounts.len(), payments.rows.as_slice()),
            (3, &[(0, 1, 100), (1, 2, 200), (2, 0, 350)][..])
        );
        let phase = payments.phase(86_400.0).unwrap();
        let curve = Curve::new(&[phase], &[], 1.0);
        assert_eq!((curve.seconds(), curve.total()), (3.0, 3.0));
        assert_eq!((curve.before(1.0), curve.before(2.0)), (2.0, 2.0));
    }

    #[test]
    fn what_is_no_payment_is_refused_with_its_line() {
        let check = |rows: &[&str], part: &str| {
            let error = payments(rows).and_then(|p| p.phase(1.0).map(drop)).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        check(&["1,2026-11-10,a,b,1.00,x", "2,2026-11-10,b,b,1,x"], "line 3");
        check(&["1,2026-11-10,a,b,1.00,x", "2,2026-11-09,b,c,1,x"], "order of its dates");
        check(&["1,2026-11-10,a,b,1.00,x", "2,2026-12-09,b,c,1,x"], "raise the speed");
        check(&["1,2026-11-10,a,b,99999999999999999999,x"], "64 bits");
    }
}
