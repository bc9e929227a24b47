//! Cursors: where the next page of a list goes on. To clients they are opaque bytes.

use crate::FieldError;
use crest_ledger::limits::TIMESTAMP_MAX;
use crest_ledger::packed::{Reader, Writer};
use crest_ledger::{Page, Timestamp};

/// The layout: this byte, then the timestamp in 8 bytes, little-endian.
const VERSION: u8 = 1;

/// The cursor of the page that goes on after the row (or the place looked through) at `timestamp`, ns; not 0.
pub fn cursor_after(timestamp: Timestamp) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + size_of::<Timestamp>());
    Writer(&mut bytes).u8(VERSION).u64(timestamp);
    bytes
}

/// Narrows `page` to what lies behind `cursor`; an empty cursor is the first page and changes nothing. When nothing lies
/// behind it, the page ends up with `timestamp_min > timestamp_max`: an empty range, to be answered with no rows.
pub(super) fn go_on(page: &mut Page, cursor: &[u8]) -> Result<(), FieldError> {
    if cursor.is_empty() {
        return Ok(());
    }
    let last = parse(cursor).ok_or_else(|| {
        let expected = "empty for the first page, or the next_cursor of the page before";
        FieldError::new("cursor", expected, format_args!("{} other bytes", cursor.len()))
    })?;
    // `last` is in 1..=TIMESTAMP_MAX, so neither end can wrap.
    if page.newest_first {
        page.timestamp_max = page.timestamp_max.min(last - 1);
    } else {
        page.timestamp_min = page.timestamp_min.max(last + 1);
    }
    Ok(())
}

fn parse(cursor: &[u8]) -> Option<Timestamp> {
    let mut r = Reader(cursor);
    let (version, last) = (r.u8()?, r.u64()?);
    (version == VERSION && r.is_empty() && (1..=TIMESTAMP_MAX).contains(&last)).then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(page: Page, last: Timestamp) -> (Timestamp, Timestamp) {
        let mut page = page;
        go_on(&mut page, &cursor_after(last)).unwrap();
        (page.timestamp_min, page.timestamp_max)
    }

    #[test]
    fn the_bytes_of_a_cursor_never_change() {
        assert_eq!(cursor_after(0x0102_0304_0506_0708), [1, 8, 7, 6, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn a_page_goes_on_right_behind_the_last_row() {
        let up = Page { timestamp_min: 10, timestamp_max: 20, newest_first: false, limit: 1 };
        let down = Page { newest_first: true, ..up };
        assert_eq!(after(up, 15), (16, 20));
        assert_eq!(after(down, 15), (10, 14));
        assert_eq!(after(up, 20), (21, 20), "nothing is left");
        assert_eq!(after(down, 10), (10, 9), "nothing is left");
        assert_eq!(after(up, 5), (10, 20), "a filter is never widened");
        assert_eq!(after(down, 25), (10, 20), "a filter is never widened");
    }

    #[test]
    fn the_ends_of_time_do_not_wrap() {
        let up = Page::default();
        let down = Page { newest_first: true, ..up };
        assert_eq!(after(up, TIMESTAMP_MAX), (TIMESTAMP_MAX + 1, TIMESTAMP_MAX));
        assert_eq!(after(down, 1), (0, 0));
    }

    #[test]
    fn bytes_that_are_no_cursor_are_refused() {
        let mut long = cursor_after(5);
        long.push(0);
        let mut other_version = cursor_after(5);
        other_version[0] = 2;
        for cursor in
            [vec![1], cursor_after(5)[..8].to_vec(), long, other_version, cursor_after(0), cursor_after(u64::MAX)]
        {
            let error = go_on(&mut Page::default(), &cursor).unwrap_err();
            assert_eq!(error.field, "cursor");
            assert_eq!(error.got, format!("{} other bytes", cursor.len()));
        }
    }
}
