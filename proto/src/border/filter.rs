//! Filters of lists. An invalid one is an error that names the field, never an empty answer.

use super::cursor::go_on;
use super::error::code_from;
use super::number::number_from;
use crate::{FieldError, v1};
use crest_ledger::limits::{BATCH_EVENTS_MAX, TIMESTAMP_MAX};
use crest_ledger::{AccountFilter, Conditions, Page, QueryFilter, Rehearsals, Timestamp};

/// What of one account to list. Takes the message, or the request's field as it came.
///
/// With a cursor that has reached the end, the page is an empty range (`timestamp_min > timestamp_max`): no rows.
///
/// # Errors
/// Under `filter`: when the filter or `account_id` is missing or no id, `code` needs more than 16 bits, a timestamp is
/// above [`TIMESTAMP_MAX`] or the range is upside down, `limit` is not 1 to [`BATCH_EVENTS_MAX`], an enum has a value that
/// this version does not know, or the cursor is none of ours.
pub fn account_filter_from(filter: impl Into<Option<v1::AccountFilter>>) -> Result<AccountFilter, FieldError> {
    let filter = filter.into().ok_or_else(missing)?;
    account_filter(&filter).map_err(|e| e.under("filter"))
}

/// What of all accounts, or of all transfers, to list. Takes the message, or the request's field as it came.
///
/// # Errors
/// As [`account_filter_from`], but for the account.
pub fn query_filter_from(filter: impl Into<Option<v1::QueryFilter>>) -> Result<QueryFilter, FieldError> {
    let filter = filter.into().ok_or_else(missing)?;
    query_filter(&filter).map_err(|e| e.under("filter"))
}

/// When, and by whom, a read is answered: an instant, ns (0 is now), and whether followers may.
///
/// # Errors
/// Under `read`: when there is no instant, or one above [`TIMESTAMP_MAX`].
pub fn read_at_from(read: Option<v1::ReadAt>) -> Result<(Timestamp, bool), FieldError> {
    let Some(read) = read else { return Ok((0, false)) };
    if read.timestamp == 0 || read.timestamp > TIMESTAMP_MAX {
        let expected = "an instant, ns since the Unix epoch, such as the timestamp of an earlier answer";
        return Err(FieldError::new("timestamp", expected, read.timestamp).under("read"));
    }
    Ok((read.timestamp, read.from_followers))
}

fn missing() -> FieldError {
    FieldError::new("filter", "a filter with a limit", "nothing")
}

fn account_filter(filter: &v1::AccountFilter) -> Result<AccountFilter, FieldError> {
    let account_id = number_from(filter.account_id);
    if account_id == 0 || account_id == u128::MAX {
        let got = if account_id == 0 { "0, or nothing" } else { "2^128 - 1" };
        return Err(FieldError::new("account_id", "an account's id, not 0 and not 2^128 - 1", got));
    }
    let direction = v1::Direction::try_from(filter.direction).map_err(|_| {
        FieldError::new(
            "direction",
            "DIRECTION_BOTH (0), DIRECTION_DEBITS (1) or DIRECTION_CREDITS (2)",
            filter.direction,
        )
    })?;
    Ok(AccountFilter {
        account_id,
        conditions: Conditions {
            user_data_128: number_from(filter.user_data_128),
            user_data_64: filter.user_data_64,
            user_data_32: filter.user_data_32,
            ledger: 0,
            code: code_from(filter.code)?,
            rehearsals: Rehearsals::Both,
        },
        without_debits: direction == v1::Direction::Credits,
        without_credits: direction == v1::Direction::Debits,
        page: page((filter.timestamp_min, filter.timestamp_max), filter.order, filter.limit, &filter.cursor)?,
    })
}

fn query_filter(filter: &v1::QueryFilter) -> Result<QueryFilter, FieldError> {
    Ok(QueryFilter {
        conditions: Conditions {
            user_data_128: number_from(filter.user_data_128),
            user_data_64: filter.user_data_64,
            user_data_32: filter.user_data_32,
            ledger: filter.ledger,
            code: code_from(filter.code)?,
            rehearsals: rehearsals(filter.rehearsals)?,
        },
        page: page((filter.timestamp_min, filter.timestamp_max), filter.order, filter.limit, &filter.cursor)?,
    })
}

fn rehearsals(rehearsals: i32) -> Result<Rehearsals, FieldError> {
    match v1::Rehearsals::try_from(rehearsals) {
        Ok(v1::Rehearsals::Both) => Ok(Rehearsals::Both),
        Ok(v1::Rehearsals::Without) => Ok(Rehearsals::Without),
        Ok(v1::Rehearsals::Only) => Ok(Rehearsals::Only),
        Err(_) => {
            let expected = "REHEARSALS_BOTH (0), REHEARSALS_WITHOUT (1) or REHEARSALS_ONLY (2)";
            Err(FieldError::new("rehearsals", expected, rehearsals))
        }
    }
}

fn page(range: (Timestamp, Timestamp), order: i32, limit: u32, cursor: &[u8]) -> Result<Page, FieldError> {
    let (min, max) = range;
    for (field, timestamp) in [("timestamp_min", min), ("timestamp_max", max)] {
        if timestamp > TIMESTAMP_MAX {
            return Err(FieldError::new(field, format!("0 to {TIMESTAMP_MAX} ns"), timestamp));
        }
    }
    if max != 0 && max < min {
        return Err(FieldError::new("timestamp_max", format!("0, or at least timestamp_min ({min})"), max));
    }
    let order = v1::Order::try_from(order)
        .map_err(|_| FieldError::new("order", "ORDER_OLDEST_FIRST (0) or ORDER_NEWEST_FIRST (1)", order))?;
    if limit == 0 || limit as usize > BATCH_EVENTS_MAX {
        return Err(FieldError::new("limit", format!("1 to {BATCH_EVENTS_MAX}"), limit));
    }
    let mut page = Page {
        timestamp_min: min,
        timestamp_max: if max == 0 { TIMESTAMP_MAX } else { max },
        newest_first: order == v1::Order::NewestFirst,
        limit,
    };
    go_on(&mut page, cursor)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::super::{cursor_after, number_to};
    use super::*;

    fn account(change: impl FnOnce(&mut v1::AccountFilter)) -> Result<AccountFilter, String> {
        let mut filter = v1::AccountFilter { account_id: number_to(7), limit: 10, ..Default::default() };
        change(&mut filter);
        account_filter_from(filter).map_err(|e| e.to_string())
    }

    fn query(change: impl FnOnce(&mut v1::QueryFilter)) -> Result<QueryFilter, String> {
        let mut filter = v1::QueryFilter { limit: 10, ..Default::default() };
        change(&mut filter);
        query_filter_from(filter).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_not_given_is_open() {
        let page = Page { limit: 10, ..Page::default() };
        assert_eq!(account(|_| ()), Ok(AccountFilter { account_id: 7, page, ..Default::default() }));
        assert_eq!(query(|_| ()), Ok(QueryFilter { page, ..Default::default() }));
    }

    #[test]
    fn every_field_arrives() {
        let conditions = Conditions {
            user_data_128: u128::MAX,
            user_data_64: u64::MAX,
            user_data_32: u32::MAX,
            ledger: 0,
            code: 65_535,
            rehearsals: Rehearsals::Both,
        };
        let page = Page { timestamp_min: 5, timestamp_max: 8, newest_first: true, limit: 8_190 };
        let filter = account(|f| {
            (f.user_data_128, f.user_data_64, f.user_data_32) = (number_to(u128::MAX), u64::MAX, u32::MAX);
            (f.code, f.timestamp_min, f.timestamp_max, f.limit) = (65_535, 5, 10, 8_190);
            f.order = v1::Order::NewestFirst.into();
            f.direction = v1::Direction::Debits.into();
            f.cursor = cursor_after(9);
        });
        let expected = AccountFilter { account_id: 7, conditions, without_debits: false, without_credits: true, page };
        assert_eq!(filter, Ok(expected));
        let filter = query(|f| {
            (f.user_data_128, f.user_data_64, f.user_data_32) = (number_to(u128::MAX), u64::MAX, u32::MAX);
            (f.ledger, f.code, f.timestamp_min, f.timestamp_max, f.limit) = (u32::MAX, 65_535, 4, 8, 8_190);
            f.rehearsals = v1::Rehearsals::Only.into();
            f.cursor = cursor_after(4);
        });
        let page = Page { newest_first: false, ..page };
        let conditions = Conditions { ledger: u32::MAX, rehearsals: Rehearsals::Only, ..conditions };
        assert_eq!(filter, Ok(QueryFilter { conditions, page }));
    }

    #[test]
    fn what_an_older_client_sends_leaves_no_rehearsal_out() {
        for (number, wanted) in (0..).zip(Rehearsals::ALL) {
            assert_eq!(query(|f| f.rehearsals = number).unwrap().conditions.rehearsals, wanted);
        }
        assert_eq!(query(|_| ()).unwrap().conditions.rehearsals, Rehearsals::Both);
    }

    #[test]
    fn a_direction_leaves_the_other_one_out() {
        for (direction, without) in [(0, (false, false)), (1, (false, true)), (2, (true, false))] {
            let filter = account(|f| f.direction = direction).unwrap();
            assert_eq!((filter.without_debits, filter.without_credits), without);
        }
    }

    #[test]
    fn every_invalid_field_of_an_account_filter_is_named() {
        type Change = fn(&mut v1::AccountFilter);
        let cases: [(Change, &str); 6] = [
            (
                |f| f.account_id = None,
                "filter.account_id: expected an account's id, not 0 and not 2^128 - 1, got 0, or nothing",
            ),
            (
                |f| f.account_id = number_to(u128::MAX),
                "filter.account_id: expected an account's id, not 0 and not 2^128 - 1, got 2^128 - 1",
            ),
            (
                |f| f.direction = 3,
                "filter.direction: expected DIRECTION_BOTH (0), DIRECTION_DEBITS (1) or DIRECTION_CREDITS (2), got 3",
            ),
            (|f| f.code = 65_536, "filter.code: expected 0 to 65535, got 65536"),
            (|f| f.limit = 0, "filter.limit: expected 1 to 8190, got 0"),
            (
                |f| f.cursor = vec![9],
                "filter.cursor: expected empty for the first page, or the next_cursor of the page before, got 1 other bytes",
            ),
        ];
        for (change, text) in cases {
            assert_eq!(account(change).unwrap_err(), text);
        }
    }

    #[test]
    fn every_invalid_field_of_a_query_filter_is_named() {
        type Change = fn(&mut v1::QueryFilter);
        let cases: [(Change, &str); 8] = [
            (
                |f| f.rehearsals = 3,
                "filter.rehearsals: expected REHEARSALS_BOTH (0), REHEARSALS_WITHOUT (1) or REHEARSALS_ONLY (2), got 3",
            ),
            (|f| f.code = u32::MAX, "filter.code: expected 0 to 65535, got 4294967295"),
            (|f| f.order = -1, "filter.order: expected ORDER_OLDEST_FIRST (0) or ORDER_NEWEST_FIRST (1), got -1"),
            (|f| f.limit = 0, "filter.limit: expected 1 to 8190, got 0"),
            (|f| f.limit = 8_191, "filter.limit: expected 1 to 8190, got 8191"),
            (
                |f| f.timestamp_min = 1 << 63,
                "filter.timestamp_min: expected 0 to 9223372036854775807 ns, got 9223372036854775808",
            ),
            (
                |f| f.timestamp_max = u64::MAX,
                "filter.timestamp_max: expected 0 to 9223372036854775807 ns, got 18446744073709551615",
            ),
            (
                |f| (f.timestamp_min, f.timestamp_max) = (10, 9),
                "filter.timestamp_max: expected 0, or at least timestamp_min (10), got 9",
            ),
        ];
        for (change, text) in cases {
            assert_eq!(query(change).unwrap_err(), text);
        }
    }

    #[test]
    fn a_missing_filter_is_an_error() {
        let text = "filter: expected a filter with a limit, got nothing";
        assert_eq!(account_filter_from(None).unwrap_err().to_string(), text);
        assert_eq!(query_filter_from(None).unwrap_err().to_string(), text);
    }
}
