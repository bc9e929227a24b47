//! What operators ask about attempts in doubt: names of attempts, reasons, pages.

use crate::{FieldError, v1};
use crest_ledger::Timestamp;
use crest_ledger::limits::{RESOLUTION_BY_BYTES_MAX, RESOLUTION_REASON_BYTES_MAX};
use crest_ledger::packed::{Reader, Writer};
use crest_ledger::txn::TxnId;
use crest_ledger::wire::in_doubt::{ATTEMPTS_MAX, InDoubtFilter};

/// The layout of a cursor: this byte, the timestamp in 8 bytes, the first event's id in 16, the attempt in 8.
const CURSOR_VERSION: u8 = 1;

/// Names an attempt: `42/00c3d5f0a1b2c3d4`. The inverse of [`attempt_from`].
pub fn attempt_to(txn: &TxnId) -> String {
    let TxnId { first_id, attempt } = txn;
    match u64::try_from(*first_id) {
        Ok(short) => format!("{short}/{attempt:016x}"),
        Err(_) => format!("{first_id:#034x}/{attempt:016x}"),
    }
}

/// Reads the name of an attempt.
///
/// # Errors
/// When it is none.
pub fn attempt_from(text: &str) -> Result<TxnId, FieldError> {
    let expected = "an id, a slash and 16 hex digits, such as 42/00c3d5f0a1b2c3d4";
    parse(text).ok_or_else(|| FieldError::new("attempt", expected, shortened(text)))
}

fn parse(text: &str) -> Option<TxnId> {
    let (id, attempt) = text.split_once('/')?;
    let first_id = match id.strip_prefix("0x") {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u128::from_str_radix(digits, 16).ok()?
        }
        None if !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()) => id.parse().ok()?,
        _ => return None,
    };
    let whole = attempt.len() == 16 && attempt.bytes().all(|b| b.is_ascii_hexdigit());
    let attempt = whole.then(|| u64::from_str_radix(attempt, 16).ok()).flatten()?;
    Some(TxnId { first_id, attempt })
}

/// What an operator wants resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolve {
    /// The attempt.
    pub txn: TxnId,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
}

/// Reads a request to resolve.
///
/// # Errors
/// When a field is not as it has to be.
pub fn resolve_from(request: v1::ResolveRequest) -> Result<Resolve, FieldError> {
    let txn = attempt_from(&request.attempt)?;
    let reason = text_from("reason", request.reason, RESOLUTION_REASON_BYTES_MAX)?;
    Ok(Resolve { txn, reason, by: text_from("by", request.by, RESOLUTION_BY_BYTES_MAX)? })
}

/// A line that people can read: it ends up in terminals and logs.
fn text_from(field: &str, text: String, bytes_max: usize) -> Result<String, FieldError> {
    let text = text.trim();
    let expected = || format!("1 to {bytes_max} bytes of printable text on one line");
    if text.is_empty() {
        return Err(FieldError::new(field, expected(), "nothing"));
    }
    if text.len() > bytes_max {
        return Err(FieldError::new(field, expected(), format_args!("{} bytes", text.len())));
    }
    if let Some(unprintable) = text.chars().find(|c| is_unprintable(*c)) {
        let got = format_args!("the character U+{:04X}", u32::from(unprintable)).to_string();
        return Err(FieldError::new(field, expected(), got));
    }
    Ok(text.to_owned())
}

/// Control characters, separators of lines and paragraphs, and marks that change the direction of what follows.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Reads which attempts in doubt to list.
///
/// # Errors
/// When the limit is out of bounds, or the cursor is none.
pub fn in_doubt_filter_from(request: &v1::ListInDoubtRequest) -> Result<InDoubtFilter, FieldError> {
    let limit = limit_from(request.limit)?;
    let after = if request.cursor.is_empty() {
        InDoubtFilter::START
    } else {
        parse_cursor(&request.cursor).ok_or_else(|| {
            let expected = "empty for the first page, or the next_cursor of the page before";
            FieldError::new("cursor", expected, format_args!("{} other bytes", request.cursor.len()))
        })?
    };
    Ok(InDoubtFilter { after, age_min: request.age_ms_min.saturating_mul(1_000_000), limit })
}

/// Reads how many rows to list.
///
/// # Errors
/// When there are none, or more than [`ATTEMPTS_MAX`].
pub fn limit_from(limit: u32) -> Result<u32, FieldError> {
    if (1..=ATTEMPTS_MAX).contains(&(limit as usize)) {
        return Ok(limit);
    }
    Err(FieldError::new("limit", format!("1 to {ATTEMPTS_MAX}"), limit))
}

/// The cursor of the page behind an attempt that is as old as this.
pub fn in_doubt_cursor((since, txn): (Timestamp, TxnId)) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(33);
    Writer(&mut bytes).u8(CURSOR_VERSION).u64(since).u128(txn.first_id).u64(txn.attempt);
    bytes
}

fn parse_cursor(cursor: &[u8]) -> Option<(Timestamp, TxnId)> {
    let mut r = Reader(cursor);
    let (version, since) = (r.u8()?, r.u64()?);
    let txn = TxnId { first_id: r.u128()?, attempt: r.u64()? };
    (version == CURSOR_VERSION && r.is_empty()).then_some((since, txn))
}

/// What a stranger typed, not in full.
fn shortened(text: &str) -> String {
    let shown: String = text.chars().take(80).collect();
    if shown.len() < text.len() { format!("{shown:?}…") } else { format!("{text:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_read_as_it_was_named() {
        let golden = [
            (42, 0x00c3_d5f0_a1b2_c3d4, "42/00c3d5f0a1b2c3d4"),
            (u128::from(u64::MAX), 0, "18446744073709551615/0000000000000000"),
            (1 << 64, u64::MAX, "0x00000000000000010000000000000000/ffffffffffffffff"),
            (u128::MAX - 1, 1, "0xfffffffffffffffffffffffffffffffe/0000000000000001"),
        ];
        for (first_id, attempt, name) in golden {
            let txn = TxnId { first_id, attempt };
            assert_eq!((attempt_to(&txn).as_str(), attempt_from(name)), (name, Ok(txn)));
        }
        assert_eq!(attempt_from("0x2A/00C3D5F0A1B2C3D4"), attempt_from("42/00c3d5f0a1b2c3d4"));
    }

    #[test]
    fn what_names_no_attempt_is_refused() {
        let long = format!("{}/0000000000000001", "9".repeat(1_000));
        let bad = ["", "42", "42/", "/0000000000000001", "42/1", "42/00000000000000001", "42/000000000000000g"];
        let worse = ["-1/0000000000000001", "+1/0000000000000001", "0x/0000000000000001", "0x+1/0000000000000001"];
        let worst = ["42/+000000000000001", "a/b/c", "42/0000000000000001/", " 42/0000000000000001", &long];
        for text in bad.iter().chain(&worse).chain(&worst) {
            let error = attempt_from(text).unwrap_err();
            assert_eq!(error.field, "attempt");
            assert!(error.got.len() < 200, "{text}");
        }
        assert!(attempt_from(&format!("{}/0000000000000001", u128::MAX)).is_ok());
        assert!(attempt_from("340282366920938463463374607431768211456/0000000000000001").is_err(), "2^128");
    }

    #[test]
    fn a_reason_is_one_line_of_printable_text() {
        let request = |reason: &str, by: &str| {
            let (reason, by) = (reason.to_owned(), by.to_owned());
            resolve_from(v1::ResolveRequest { attempt: "1/0000000000000001".to_owned(), reason, by })
        };
        let good = request("  der Router ist tot – Ticket #7, ok: 好 ", "Zoë").unwrap();
        assert_eq!((good.reason.as_str(), good.by.as_str()), ("der Router ist tot – Ticket #7, ok: 好", "Zoë"));
        assert!(request(&"x".repeat(RESOLUTION_REASON_BYTES_MAX), &"x".repeat(RESOLUTION_BY_BYTES_MAX)).is_ok());
        for bad in ["", "   ", "a\nb", "a\tb", "\u{1b}[31mred", "a\u{202e}b", "a\u{2028}b", &"x".repeat(501)] {
            assert_eq!(request(bad, "me").unwrap_err().field, "reason", "{bad:?}");
        }
        for bad in ["", " ", "a\u{0}b", &"é".repeat(51)] {
            assert_eq!(request("why", bad).unwrap_err().field, "by", "{bad:?}");
        }
    }

    #[test]
    fn a_cursor_goes_on_where_it_was_made_and_other_bytes_are_refused() {
        let last = (0x0102_0304_0506_0708, TxnId { first_id: 9, attempt: 10 });
        let cursor = in_doubt_cursor(last);
        assert_eq!((cursor.len(), &cursor[..9]), (33, &[1, 8, 7, 6, 5, 4, 3, 2, 1][..]));
        let request = |limit, cursor| v1::ListInDoubtRequest { age_ms_min: 2, limit, cursor };
        let filter = in_doubt_filter_from(&request(5, cursor.clone())).unwrap();
        assert_eq!(filter, InDoubtFilter { after: last, age_min: 2_000_000, limit: 5 });
        assert_eq!(in_doubt_filter_from(&request(1, Vec::new())).unwrap().after, InDoubtFilter::START);
        let long = [&cursor[..], &[0]].concat();
        let other = [&[2], &cursor[1..]].concat();
        for bad in [vec![1], cursor[..32].to_vec(), long, other] {
            assert_eq!(in_doubt_filter_from(&request(1, bad)).unwrap_err().field, "cursor");
        }
        for bad in [0, 1_001, u32::MAX] {
            assert_eq!(in_doubt_filter_from(&request(bad, Vec::new())).unwrap_err().field, "limit");
        }
        let eternal = v1::ListInDoubtRequest { age_ms_min: u64::MAX, limit: 1, cursor: Vec::new() };
        assert_eq!(in_doubt_filter_from(&eternal).unwrap().age_min, u64::MAX);
    }
}
