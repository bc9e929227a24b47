//! The values of a scenario, each with its bounds, and how they are written.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A share, 0.0 to 1.0.
pub type Share = f64;

/// By how much rates may be multiplied.
pub(crate) const SCALES: RangeInclusive<f64> = 0.000_1..=10_000.0;
/// How many seconds of a file may be sent in one.
pub(crate) const SPEEDS: RangeInclusive<f64> = 0.001..=1_000_000_000.0;

/// A number within its bounds, from wherever it comes.
///
/// # Errors
/// A text that says what was expected, and what came.
pub(crate) fn within(number: f64, bounds: &RangeInclusive<f64>) -> Result<f64, String> {
    if bounds.contains(&number) { Ok(number) } else { Err(format!("expected {}, got {number:e}", numbers(bounds))) }
}

/// A length of time as a scenario writes it, so that it reads back as the same: `500ms`, `30s`, `2m`, `1h`.
pub fn spell_duration(time: Duration) -> String {
    let ms = time.as_millis();
    let each = |unit: u128| ms.is_multiple_of(unit);
    if !time.subsec_nanos().is_multiple_of(1_000_000) {
        format!("{}ms", time.as_secs_f64() * 1_000.0)
    } else if ms == 0 || !each(1_000) {
        if ms == 0 { "0s".to_owned() } else { format!("{ms}ms") }
    } else if each(3_600_000) {
        format!("{}h", ms / 3_600_000)
    } else if each(60_000) {
        format!("{}m", ms / 60_000)
    } else {
        format!("{}s", ms / 1_000)
    }
}

/// A number with commas between its thousands: `38,500`, `0.25`.
pub fn spell_number(number: f64) -> String {
    let text = number.abs().to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut spelt = String::new();
    if number < 0.0 {
        spelt.push('-');
    }
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && whole.len() > 3 {
            spelt.push(',');
        }
        spelt.push(digit);
    }
    if !fraction.is_empty() {
        spelt.push('.');
        spelt.push_str(fraction);
    }
    spelt
}

/// What a field takes, in words.
pub(super) fn whole_numbers(bounds: &RangeInclusive<u64>) -> String {
    format!("a whole number from {} to {}", spell_number(*bounds.start() as f64), spell_number(*bounds.end() as f64))
}

/// The same for any number.
pub(super) fn numbers(bounds: &RangeInclusive<f64>) -> String {
    format!("a number from {} to {}", spell_number(*bounds.start()), spell_number(*bounds.end()))
}

/// The same for lengths of time.
pub(super) fn durations(bounds: &RangeInclusive<Duration>) -> String {
    format!("a duration from {} to {}", spell_duration(*bounds.start()), spell_duration(*bounds.end()))
}

/// The words of `text` in lines of at most `width` characters, if no word is longer.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::parse_duration;

    #[test]
    fn a_duration_is_written_so_that_it_reads_back() {
        let check = |ms: u64, text: &str| {
            let time = Duration::from_millis(ms);
            assert_eq!(spell_duration(time), text);
            assert_eq!(parse_duration(text), Ok(time));
        };
        check(0, "0s");
        check(500, "500ms");
        check(1_500, "1500ms");
        check(30_000, "30s");
        check(90_000, "90s");
        check(120_000, "2m");
        check(7_200_000, "2h");
        assert_eq!(parse_duration(&spell_duration(Duration::from_micros(1_250))), Ok(Duration::from_micros(1_250)));
    }

    #[test]
    fn a_number_out_of_its_bounds_is_refused_whatever_it_is() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -0.0, 0.0, 1e300, 1e-300, f64::MAX, 10_000.1] {
            assert!(within(number, &SCALES).unwrap_err().starts_with("expected a number from 0.0001 to 10,000, got "));
        }
        assert_eq!(within(0.5, &SCALES), Ok(0.5));
    }

    #[test]
    fn numbers_have_commas_between_thousands() {
        for (number, text) in [(0.0, "0"), (999.0, "999"), (38_500.0, "38,500"), (1e7, "10,000,000"), (0.25, "0.25")] {
            assert_eq!(spell_number(number), text);
        }
        assert_eq!(spell_number(-1234.5), "-1,234.5");
    }

    #[test]
    fn words_are_wrapped_without_losing_any() {
        let check = |text: &str, width, lines: &[&str]| assert_eq!(wrapped(text, width), lines);
        check("one two  three", 7, &["one two", "three"]);
        check("one two three", 100, &["one two three"]);
        check("enormously", 3, &["enormously"]);
        check(" ", 3, &[]);
    }
}
