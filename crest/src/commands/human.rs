//! Ids, amounts and times as people write and read them.

use crest_ledger::Timestamp;
use crest_ledger::limits::TIMESTAMP_MAX;
use crest_proto::naming::name_id;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Digits behind the decimal point, at most: as many as a number of 128 bits can have.
pub(crate) const SCALE_MAX: u8 = 38;

/// An id: decimal, `0x` and up to 32 hex digits, a UUID with dashes, or a name such as `house:cash`, which begins with a
/// letter and stands for the id that [`name_id`] gives it.
///
/// # Errors
/// When it is none of these, or one of the two numbers that are no ids (0 and 2^128 − 1).
pub(crate) fn parse_id(text: &str) -> Result<u128, String> {
    let id = match parse_number(text) {
        Ok(id) => id,
        Err(_) if is_name(text) => name_id(text),
        Err(error) => return Err(format!("{error}, or a name such as house:cash")),
    };
    if id == 0 || id == u128::MAX {
        return Err("0 and 2^128 - 1 are no ids".to_owned());
    }
    Ok(id)
}

/// A number of 128 bits: decimal, `0x` and up to 32 hex digits, or a UUID with dashes.
///
/// # Errors
/// When it is none of these, or does not fit 128 bits.
pub(crate) fn parse_number(text: &str) -> Result<u128, String> {
    let number = if let Some(digits) = text.strip_prefix("0x") {
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u128::from_str_radix(digits, 16).ok()).flatten()
    } else if is_uuid(text) {
        u128::from_str_radix(&text.replace('-', ""), 16).ok()
    } else {
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
    };
    number.ok_or_else(|| "expected a number below 2^128, 0x and up to 32 hex digits, a UUID with dashes".to_owned())
}

fn is_uuid(text: &str) -> bool {
    let groups = text.split('-').map(|group| group.bytes().all(|b| b.is_ascii_hexdigit()).then_some(group.len()));
    groups.eq([8, 4, 4, 4, 12].map(Some))
}

fn is_name(text: &str) -> bool {
    let letters = |b: u8| b.is_ascii_alphanumeric() || b":._-/@".contains(&b);
    // 32 hex digits are a UUID without its dashes: to take it for a name would be a costly misunderstanding.
    let bare_hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) && text.bytes().all(letters) && !bare_hex
}

/// An id for people: decimal when it is short, otherwise `0x` and 32 hex digits. [`parse_id`] reads both.
pub(crate) fn format_id(id: u128) -> String {
    if id <= u128::from(u64::MAX) { id.to_string() } else { format!("{id:#034x}") }
}

/// A new id that sorts by time (the layout of a ULID): 48 bits of milliseconds, then 80 random bits.
pub(crate) fn new_id() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // The keys of RandomState come from the operating system; hashing the time with them gives bits nobody else has.
    let random = || u128::from(RandomState::new().hash_one(now.as_nanos()));
    (now.as_millis() << 80) | (random() << 16) | (random() >> 48)
}

/// An amount with at most `scale` decimals, in the ledger's smallest unit: `12.5` with scale 2 is 1250. Exact.
///
/// # Errors
/// When it is no plain decimal number, has more decimals than `scale`, or does not fit 128 bits.
pub(crate) fn parse_amount(text: &str, scale: u8) -> Result<u128, String> {
    let (whole, decimals) = text.split_once('.').map_or((text, None), |(whole, decimals)| (whole, Some(decimals)));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !decimals.is_none_or(digits) {
        return Err(format!("amount {text}: expected a decimal number such as 12.50"));
    }
    let decimals = decimals.unwrap_or("");
    let missing = usize::from(scale).checked_sub(decimals.len()).ok_or_else(|| {
        format!("amount {text}: has {} decimals, but --scale is {scale}; raise --scale or round it", decimals.len())
    })?;
    let digits = format!("{whole}{decimals}{}", "0".repeat(missing));
    digits.parse().map_err(|_| format!("amount {text}: does not fit 128 bits with --scale {scale}"))
}

/// An amount in the ledger's smallest unit with `scale` decimals: the inverse of [`parse_amount`].
pub(crate) fn format_amount(amount: u128, scale: u8) -> String {
    let scale = usize::from(scale);
    if scale == 0 {
        return amount.to_string();
    }
    let digits = format!("{amount:0>width$}", width = scale + 1);
    let (whole, decimals) = digits.split_at(digits.len() - scale);
    format!("{whole}.{decimals}")
}

/// An instant: nanoseconds since the Unix epoch, RFC 3339 in UTC (`2026-11-11T00:00:00Z`), or a duration ago (`15m`).
///
/// # Errors
/// When it is none of these, or not between 1970 and 2262.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    let wrong = || {
        format!(
            "{text}: expected nanoseconds since 1970, a time such as 2026-11-11T00:00:00Z, or a duration ago such as 15m"
        )
    };
    let nanoseconds = if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().map_err(|_| wrong())?
    } else {
        let instant = match humantime::parse_duration(text) {
            Ok(ago) => SystemTime::now().checked_sub(ago),
            Err(_) => humantime::parse_rfc3339_weak(text).ok(),
        };
        let since = instant.and_then(|instant| instant.duration_since(UNIX_EPOCH).ok()).ok_or_else(wrong)?;
        u64::try_from(since.as_nanos()).map_err(|_| wrong())?
    };
    if nanoseconds > TIMESTAMP_MAX { Err(wrong()) } else { Ok(nanoseconds) }
}

/// An instant for people: RFC 3339 in UTC, to the nanosecond.
pub(crate) fn format_time(timestamp: Timestamp) -> String {
    humantime::format_rfc3339_nanos(UNIX_EPOCH + Duration::from_nanos(timestamp)).to_string()
}

/// A time that a request may take: `10s`, `500ms`; from 1 ms to 1 hour.
///
/// # Errors
/// When it is no duration, or out of bounds.
pub(crate) fn parse_patience(text: &str) -> Result<Duration, String> {
    let patience = humantime::parse_duration(text).map_err(|_| "expected a duration such as 10s".to_owned())?;
    if (Duration::from_millis(1)..=Duration::from_secs(3_600)).contains(&patience) {
        Ok(patience)
    } else {
        Err("expected 1ms to 1h".to_owned())
    }
}

/// How old something is at least: `2s`, `500ms`, `0s`.
///
/// # Errors
/// When it is no duration, or more than a year.
pub(crate) fn parse_age(text: &str) -> Result<Duration, String> {
    let age = humantime::parse_duration(text).ok().filter(|age| *age <= Duration::from_secs(366 * 86_400));
    age.ok_or_else(|| "expected a duration such as 2s, at most a year".to_owned())
}

/// A whole number of seconds: `30`, `30s`, `2h`.
///
/// # Errors
/// When it is no duration, has a fraction of a second, or does not fit 32 bits (136 years).
pub(crate) fn parse_seconds(text: &str) -> Result<u32, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let wrong = "expected whole seconds such as 30s or 2h, at most 4294967295s";
    let duration = humantime::parse_duration(text).map_err(|_| wrong.to_owned())?;
    if duration.subsec_nanos() != 0 {
        return Err(wrong.to_owned());
    }
    u32::try_from(duration.as_secs()).map_err(|_| wrong.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_in_every_form() {
        let uuid = 0x0192_f0c1_2345_7abc_8def_0123_4567_89ab;
        let cases = [
            ("1001", 1001),
            ("0x3E9", 1001),
            ("340282366920938463463374607431768211454", u128::MAX - 1),
            ("0192f0c1-2345-7abc-8def-0123456789ab", uuid),
            ("0192F0C1-2345-7ABC-8DEF-0123456789AB", uuid),
            ("house:cash", name_id("house:cash")),
            ("deadbeef", name_id("deadbeef")),
        ];
        for (text, id) in cases {
            assert_eq!(parse_id(text), Ok(id), "{text}");
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let bare_uuid = "a192f0c123457abc8def0123456789ab";
        let mut wrong = vec!["", "0", "0x", "0x0", "-1", "+1", "0x+1", "1001x", "12-34", "house cash", "é", bare_uuid];
        let (max, too_long) = (u128::MAX.to_string(), format!("0x1{}", "0".repeat(32)));
        wrong.extend([max.as_str(), &too_long]);
        for text in wrong {
            assert!(parse_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_id_is_read_as_it_was_printed() {
        for id in [1, u128::from(u64::MAX), 1 << 64, u128::MAX - 1, name_id("a"), new_id()] {
            assert_eq!(parse_id(&format_id(id)), Ok(id));
        }
        assert_eq!(format_id(1 << 64), "0x00000000000000010000000000000000");
    }

    #[test]
    fn new_ids_differ_and_carry_the_time() {
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let mut ids: Vec<u128> = (0..1_000).map(|_| new_id()).collect();
        let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        assert!(ids.iter().all(|id| (before..=after).contains(&(id >> 80))));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 1_000);
        let varied = ids.iter().fold(0, |bits, id| bits | (id ^ ids[0])) & ((1 << 80) - 1);
        assert_eq!(varied, (1 << 80) - 1, "every one of the 80 bits changes");
    }

    #[test]
    fn amounts_are_exact_in_both_directions() {
        let cases = [
            ("12.50", 2, 1_250),
            ("12.5", 2, 1_250),
            ("12", 2, 1_200),
            ("0.01", 2, 1),
            ("0", 2, 0),
            ("7", 0, 7),
            ("0.1", 18, 100_000_000_000_000_000),
            ("340282366920938463463374607431768211455", 0, u128::MAX),
            ("3.40282366920938463463374607431768211455", 38, u128::MAX),
        ];
        for (text, scale, amount) in cases {
            assert_eq!(parse_amount(text, scale), Ok(amount), "{text}");
            assert_eq!(parse_amount(&format_amount(amount, scale), scale), Ok(amount), "{text}");
        }
        assert_eq!(format_amount(1, 2), "0.01");
        assert_eq!(format_amount(123_456, 2), "1234.56");
        assert_eq!(format_amount(u128::MAX, 38), "3.40282366920938463463374607431768211455");
    }

    #[test]
    fn an_amount_is_never_rounded() {
        let error = parse_amount("12.505", 2).unwrap_err();
        assert_eq!(error, "amount 12.505: has 3 decimals, but --scale is 2; raise --scale or round it");
        assert!(parse_amount("12.500", 2).is_err());
        for text in ["", ".", ".5", "5.", "-1", "+1", "1e3", "1,000", "1_000", "١", "1.2.3", " 1"] {
            assert!(parse_amount(text, 2).is_err(), "{text:?}");
        }
        assert!(parse_amount("340282366920938463463374607431768211456", 0).unwrap_err().contains("128 bits"));
        assert!(parse_amount("340282366920938463463374607431768211455", 1).unwrap_err().contains("128 bits"));
    }

    #[test]
    fn times_are_read_in_every_form() {
        assert_eq!(parse_time("1700000000000000001"), Ok(1_700_000_000_000_000_001));
        assert_eq!(parse_time("2026-11-11T00:00:00Z"), Ok(1_794_355_200_000_000_000));
        assert_eq!(parse_time("2026-11-11 00:00:00.5"), Ok(1_794_355_200_500_000_000));
        assert_eq!(format_time(1_794_355_200_000_000_001), "2026-11-11T00:00:00.000000001Z");
        assert_eq!(parse_time(&format_time(1_794_355_200_000_000_001)), Ok(1_794_355_200_000_000_001));
        let ago = parse_time("15m").unwrap();
        let now = parse_time("0s").unwrap();
        assert!((900..910).contains(&((now - ago) / 1_000_000_000)), "{ago} {now}");
        for text in ["", "yesterday", "9223372036854775808", "2300-01-01T00:00:00Z", "2026-13-01T00:00:00Z", "-5m"] {
            assert!(parse_time(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn durations_have_bounds() {
        assert_eq!(parse_patience("10s"), Ok(Duration::from_secs(10)));
        assert!(parse_patience("0s").is_err() && parse_patience("2h").is_err() && parse_patience("soon").is_err());
        assert_eq!(parse_seconds("30"), Ok(30));
        assert_eq!(parse_seconds("2h"), Ok(7_200));
        assert!(parse_seconds("1500ms").is_err() && parse_seconds("200years").is_err() && parse_seconds("-1").is_err());
    }
}
