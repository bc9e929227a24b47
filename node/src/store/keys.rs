//! The one file that knows key bytes. Keys are big-endian, so that their order is that of their numbers.
//!
//! Registry of prefixes; a retired one is never used again:
//!
//! | prefix | key | value |
//! |---|---|---|
//! | 0x01 | name of the entry | `identity` with the version, `position` with the shard's numbers, `rehearsals` |
//! | 0x02 | slot, account id | account |
//! | 0x03 | timestamp | id of the account created then |
//! | 0x04 | transfer id | timestamp, state |
//! | 0x05 | timestamp | transfer or expiry |
//! | 0x06 | slot, account id, timestamp | nothing, or the balances after it |
//! | 0x07 | expiry, transfer id | nothing |
//! | 0x08 | transaction | hold |
//! | 0x09 | transaction | decision in the outbox |
//! | 0x0a | transaction | abort tombstone |
//! | 0x0b | transaction | resolution by an operator |

use crest_ledger::Timestamp;
use crest_ledger::txn::TxnId;
use crest_topology::slot_of;

/// The shard's identity, position and numbers.
pub const META: u8 = 0x01;
/// Accounts.
pub const ACCOUNT: u8 = 0x02;
/// Accounts by time.
pub const ACCOUNT_TIME: u8 = 0x03;
/// What became of transfer ids.
pub const TRANSFER_ID: u8 = 0x04;
/// Transfers and expiries by time.
pub const TRANSFER: u8 = 0x05;
/// The transfers of each account.
pub const HISTORY: u8 = 0x06;
/// Pending transfers by expiry.
pub const EXPIRY: u8 = 0x07;
/// Open holds.
pub const HOLD: u8 = 0x08;
/// Decisions that wait for acknowledgement.
pub const OUTBOX: u8 = 0x09;
/// Attempts that were given up.
pub const TOMBSTONE: u8 = 0x0a;
/// What an operator decided about an attempt.
pub const RESOLUTION: u8 = 0x0b;

/// The bytes of a key.
pub type Key = Vec<u8>;

/// A key behind all those of a table, and before all others.
pub fn table_end(table: u8) -> Key {
    vec![table + 1]
}

/// The entry that holds identity and position.
pub fn meta(name: &str) -> Key {
    [&[META], name.as_bytes()].concat()
}

/// The key of an account.
pub fn account(id: u128) -> Key {
    [&[ACCOUNT][..], &slot_of(id).to_be_bytes(), &id.to_be_bytes()].concat()
}

/// The key of what was created at an instant.
pub fn account_time(at: Timestamp) -> Key {
    [&[ACCOUNT_TIME][..], &at.to_be_bytes()].concat()
}

/// The key of a transfer id.
pub fn transfer_id(id: u128) -> Key {
    [&[TRANSFER_ID][..], &id.to_be_bytes()].concat()
}

/// The key of a record.
pub fn transfer(at: Timestamp) -> Key {
    [&[TRANSFER][..], &at.to_be_bytes()].concat()
}

/// The key of a row of an account's history.
pub fn history(account_id: u128, at: Timestamp) -> Key {
    [&[HISTORY][..], &slot_of(account_id).to_be_bytes(), &account_id.to_be_bytes(), &at.to_be_bytes()].concat()
}

/// The key of a timeout.
pub fn expiry(at: Timestamp, id: u128) -> Key {
    [&[EXPIRY][..], &at.to_be_bytes(), &id.to_be_bytes()].concat()
}

/// The key of an open hold, a decision, a tombstone or a resolution: `table` is one of `HOLD`, `OUTBOX`, `TOMBSTONE`,
/// `RESOLUTION`.
pub fn txn(table: u8, txn: &TxnId) -> Key {
    [&[table][..], &txn.first_id.to_be_bytes(), &txn.attempt.to_be_bytes()].concat()
}

/// The timestamp at the end of a key of `ACCOUNT_TIME`, `TRANSFER` or `HISTORY`.
pub fn timestamp_of(key: &[u8]) -> Option<Timestamp> {
    Some(u64::from_be_bytes(*key.last_chunk()?))
}

/// The slot and id of a key of `ACCOUNT`.
pub fn account_of(key: &[u8]) -> Option<(u16, u128)> {
    let (slot, id) = key.strip_prefix(&[ACCOUNT])?.split_first_chunk()?;
    Some((u16::from_be_bytes(*slot), u128::from_be_bytes(id.try_into().ok()?)))
}

/// The slot, account and timestamp of a key of `HISTORY`.
pub fn history_of(key: &[u8]) -> Option<((u16, u128), Timestamp)> {
    let (slot, rest) = key.strip_prefix(&[HISTORY])?.split_first_chunk()?;
    let (id, at) = rest.split_first_chunk()?;
    Some(((u16::from_be_bytes(*slot), u128::from_be_bytes(*id)), u64::from_be_bytes(at.try_into().ok()?)))
}

/// The id of a key of `TRANSFER_ID`.
pub fn transfer_id_of(key: &[u8]) -> Option<u128> {
    Some(u128::from_be_bytes(key.strip_prefix(&[TRANSFER_ID])?.try_into().ok()?))
}

/// The timestamp and id of a key of `EXPIRY`.
pub fn expiry_of(key: &[u8]) -> Option<(Timestamp, u128)> {
    let (at, id) = key.strip_prefix(&[EXPIRY])?.split_first_chunk()?;
    Some((u64::from_be_bytes(*at), u128::from_be_bytes(*id.first_chunk()?)))
}

/// The transaction of a key of `HOLD`, `OUTBOX`, `TOMBSTONE` or `RESOLUTION`.
pub fn txn_of(key: &[u8]) -> Option<TxnId> {
    let (first, attempt) = key.get(1..)?.split_first_chunk()?;
    Some(TxnId { first_id: u128::from_be_bytes(*first), attempt: u64::from_be_bytes(*attempt.first_chunk()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_golden_bytes() {
        let hex = |k: Key| k.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let slot = format!("{:04x}", slot_of(7));
        assert_eq!(hex(meta("id")), "016964");
        assert_eq!(hex(account(7)), format!("02{slot}00000000000000000000000000000007"));
        assert_eq!(hex(account_time(9)), "030000000000000009");
        assert_eq!(hex(transfer_id(1)), "0400000000000000000000000000000001");
        assert_eq!(hex(transfer(256)), "050000000000000100");
        assert_eq!(hex(history(7, 9)), format!("06{slot}000000000000000000000000000000070000000000000009"));
        assert_eq!(hex(expiry(9, 1)), "07000000000000000900000000000000000000000000000001");
        let id = TxnId { first_id: 2, attempt: 3 };
        for (table, prefix) in [(HOLD, "08"), (OUTBOX, "09"), (TOMBSTONE, "0a"), (RESOLUTION, "0b")] {
            assert_eq!(hex(txn(table, &id)), format!("{prefix}000000000000000000000000000000020000000000000003"));
        }
    }

    #[test]
    fn keys_tell_what_they_were_made_of() {
        assert_eq!(timestamp_of(&history(7, 99)), Some(99));
        assert_eq!(account_of(&account(7)), Some((slot_of(7), 7)));
        assert_eq!(history_of(&history(7, 99)), Some(((slot_of(7), 7), 99)));
        assert_eq!(transfer_id_of(&transfer_id(7)), Some(7));
        assert_eq!((account_of(&history(7, 9)), transfer_id_of(&[TRANSFER_ID, 1])), (None, None));
        assert_eq!(expiry_of(&expiry(99, 5)), Some((99, 5)));
        let id = TxnId { first_id: 2, attempt: 3 };
        assert_eq!(txn_of(&txn(OUTBOX, &id)), Some(id));
        assert_eq!(txn_of(&txn(RESOLUTION, &id)), Some(id));
        assert_eq!(expiry_of(&[EXPIRY, 1]), None);
    }

    #[test]
    fn the_order_of_keys_is_the_order_of_time() {
        assert!(history(7, 255) < history(7, 256));
        assert!(transfer(1 << 40) > transfer((1 << 40) - 1));
    }
}
