//! Numbers as a reader wants them: thousands apart, three digits that count, the unit that fits, and no rounding that says
//! more than is true (99.999 % is not 100 %).

/// A whole number with its thousands apart: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    digits(&number.to_string())
}

/// A text of digits with its thousands apart; any other text as it is. Sums of money are texts: JSON's numbers are not exact
/// above 2^53.
pub(crate) fn digits(text: &str) -> String {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() * 4 / 3 + 1);
    for (i, digit) in text.chars().enumerate() {
        if i > 0 && (text.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number that need not be whole, with three digits that count: `38,500`, `41.3`, `0.052`.
pub(crate) fn number(value: f64) -> String {
    let text = three(value);
    match text.split_once('.') {
        None => text,
        Some((whole, part)) => match part.trim_end_matches('0') {
            "" => whole.to_owned(),
            part => format!("{whole}.{part}"),
        },
    }
}

/// The same with zeros at the end, so that numbers below each other have their points below each other: `32.0`, `4.00`.
fn three(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    let decimals = match size {
        _ if size == 0.0 || size >= 99.95 => 0,
        _ if size >= 9.995 => 1,
        _ if size >= 0.9995 => 2,
        _ => 3,
    };
    let text = format!("{size:.decimals$}");
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let sign = if value < 0.0 { "−" } else { "" };
    let dot = if part.is_empty() { "" } else { "." };
    format!("{sign}{}{dot}{part}", digits(whole))
}

/// Microseconds that somebody chose, in the unit that fits: `740 µs`, `40 ms`, `1.25 s`, `2 min 5 s`.
pub(crate) fn micros(us: u64) -> String {
    in_unit(us, number)
}

/// Microseconds that were measured: `740 µs`, `41.3 ms`, `40.0 ms`.
pub(crate) fn measured(us: u64) -> String {
    in_unit(us, three)
}

fn in_unit(us: u64, number: fn(f64) -> String) -> String {
    let us_f = us as f64;
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..999_500 => format!("{} ms", number(us_f / 1e3)),
        999_500..120_000_000 => format!("{} s", number(us_f / 1e6)),
        _ => seconds(us_f / 1e6),
    }
}

/// A length of time in words: `90 s`, `2 min 5 s`, `1 h 30 min`.
pub(crate) fn seconds(s: f64) -> String {
    if !s.is_finite() {
        return "–".to_owned();
    }
    if s.abs() < 119.5 {
        return format!("{} s", number(s));
    }
    // What is no instant of a run saturates; nobody rehearses for 500 billion years.
    let whole = s.round() as i64;
    let (h, min, s) = (whole / 3_600, whole / 60 % 60, whole % 60);
    match (h, min, s) {
        (0, min, 0) => format!("{min} min"),
        (0, min, s) => format!("{min} min {s} s"),
        (h, 0, _) => format!("{} h", number(h as f64)),
        (h, min, _) => format!("{} h {min} min", number(h as f64)),
    }
}

/// An instant of the run: `0:07`, `2:05`, `1:30:00`; minutes and seconds, or hours as well.
pub(crate) fn instant(s: f64) -> String {
    if !s.is_finite() {
        return "–".to_owned();
    }
    let tenths = (s * 10.0).round() as i64;
    let (whole, tenth) = (tenths / 10, tenths % 10);
    let (h, min, s) = (whole / 3_600, whole / 60 % 60, whole % 60);
    let part = if tenth == 0 || h > 0 { String::new() } else { format!(".{tenth}") };
    if h > 0 { format!("{h}:{min:02}:{s:02}") } else { format!("{min}:{s:02}{part}") }
}

/// A share in percent, with as many digits as it takes not to say `0 %` of something or `100 %` of less than everything.
pub(crate) fn share(share: f64) -> String {
    if !share.is_finite() {
        return "–".to_owned();
    }
    let percent = share * 100.0;
    let off = (100.0 - percent).abs().min(percent.abs());
    let decimals = match off {
        _ if off == 0.0 => 0,
        _ if off >= 0.995 => 1,
        _ if off >= 0.0095 => 2,
        _ if off >= 0.00095 => 3,
        _ if off >= 0.00005 => 4,
        _ if percent < 50.0 => return "under 0.0001 %".to_owned(),
        _ => return "over 99.9999 %".to_owned(),
    };
    format!("{percent:.decimals$} %")
}

/// A share that somebody chose, in percent: `1 %`, `0.5 %`.
pub(crate) fn limit(share: f64) -> String {
    format!("{} %", number(share * 100.0))
}

/// `part` of `all` as [`share`]; a dash of nothing.
pub(crate) fn part(part: u64, all: u64) -> String {
    if all == 0 { "–".to_owned() } else { share(part as f64 / all as f64) }
}

/// `1 payment`, `2 payments`.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A day and a minute in universal time: `11 November 2026, 14:03 UTC`.
pub(crate) fn date(unix_ms: u64) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    const DAY_MS: u64 = 86_400_000;
    let (days, minutes) = (unix_ms / DAY_MS, unix_ms % DAY_MS / 60_000);
    // Days since 1 March of the year 0 to a date in the proleptic Gregorian calendar: Howard Hinnant's civil_from_days, for
    // instants from 1970 on, so without his care for negative ones.
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    let name = MONTHS[month as usize];
    format!("{day} {name} {year}, {:02}:{:02} UTC", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_have_their_thousands_apart() {
        let check = |value: u64, text: &str| assert_eq!(count(value), text);
        check(0, "0");
        check(999, "999");
        check(1_000, "1,000");
        check(1_234_567, "1,234,567");
        check(u64::MAX, "18,446,744,073,709,551,615");
        assert_eq!(digits("340282366920938463463374607431768211455").matches(',').count(), 12);
        assert_eq!(digits("<b>"), "<b>");
    }

    #[test]
    fn other_numbers_keep_three_digits_that_count() {
        let check = |value: f64, text: &str| assert_eq!(number(value), text, "{value}");
        check(0.0, "0");
        check(0.0517, "0.052");
        check(0.9999, "1");
        check(1.25, "1.25");
        check(9.999, "10");
        check(41.34, "41.3");
        check(99.96, "100");
        check(38_500.4, "38,500");
        check(-3.5, "−3.5");
        check(f64::NAN, "–");
    }

    #[test]
    fn latencies_have_the_unit_that_fits() {
        let check = |us: u64, text: &str| assert_eq!(micros(us), text, "{us}");
        check(0, "0 µs");
        check(740, "740 µs");
        check(1_000, "1 ms");
        check(41_337, "41.3 ms");
        check(999_499, "999 ms");
        check(999_500, "1 s");
        check(1_254_000, "1.25 s");
        check(119_999_999, "120 s");
        check(125_000_000, "2 min 5 s");
    }

    #[test]
    fn what_was_measured_keeps_its_zeros_and_what_was_chosen_does_not() {
        let check = |us: u64, chosen: &str, found: &str| assert_eq!((&*micros(us), &*measured(us)), (chosen, found));
        check(32_000, "32 ms", "32.0 ms");
        check(1_700, "1.7 ms", "1.70 ms");
        check(4_000_000, "4 s", "4.00 s");
        check(100, "100 µs", "100 µs");
        assert_eq!(limit(0.01), "1 %");
        assert_eq!(limit(0.005), "0.5 %");
    }

    #[test]
    fn times_are_said_in_words_and_as_a_clock() {
        let check = |s: f64, words: &str, clock: &str| assert_eq!((&*seconds(s), &*instant(s)), (words, clock), "{s}");
        check(0.0, "0 s", "0:00");
        check(7.25, "7.25 s", "0:07.3");
        check(90.0, "90 s", "1:30");
        check(120.0, "2 min", "2:00");
        check(125.2, "2 min 5 s", "2:05.2");
        check(5_400.0, "1 h 30 min", "1:30:00");
        check(100_000.0, "27 h 46 min", "27:46:40");
        check(f64::INFINITY, "–", "–");
    }

    #[test]
    fn a_share_never_says_all_or_nothing_when_it_is_not() {
        let check = |value: f64, text: &str| assert_eq!(share(value), text, "{value}");
        check(0.0, "0 %");
        check(1.0, "100 %");
        check(0.753, "75.3 %");
        check(0.02, "2.0 %");
        check(0.9996, "99.96 %");
        check(0.99999, "99.999 %");
        check(0.000_004, "0.0004 %");
        check(0.999_999_999, "over 99.9999 %");
        check(0.000_000_001, "under 0.0001 %");
        assert_eq!(part(0, 0), "–");
        assert_eq!(part(1, 4), "25.0 %");
    }

    #[test]
    fn instants_are_dates_of_the_calendar() {
        let check = |ms: u64, text: &str| assert_eq!(date(ms), text);
        check(0, "1 January 1970, 00:00 UTC");
        check(951_782_400_000, "29 February 2000, 00:00 UTC");
        check(1_415_635_200_000, "10 November 2014, 16:00 UTC");
        check(1_735_689_599_000, "31 December 2024, 23:59 UTC");
        check(4_107_542_399_000, "28 February 2100, 23:59 UTC");
    }
}
