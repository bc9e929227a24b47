//! Numbers of 128 bits: two halves in a message, one integer everywhere else.

use super::error::check_count;
use crate::{FieldError, v1};

impl From<u128> for v1::Uint128 {
    fn from(n: u128) -> Self {
        // Truncation is the point: the two halves.
        Self { high: (n >> 64) as u64, low: n as u64 }
    }
}

impl From<v1::Uint128> for u128 {
    fn from(n: v1::Uint128) -> Self {
        u128::from(n.high) << 64 | u128::from(n.low)
    }
}

/// The number in a message; one that is not set is 0.
pub fn number_from(n: Option<v1::Uint128>) -> u128 {
    n.map_or(0, u128::from)
}

/// The number for a message. 0 is left out, as it means the same and most records have two or three of them.
pub fn number_to(n: u128) -> Option<v1::Uint128> {
    (n != 0).then(|| n.into())
}

/// An id for a message.
pub fn id_to(id: u128) -> v1::Uint128 {
    id.into()
}

/// The ids of a lookup, in their order.
///
/// # Errors
/// When there are none, or more than [`BATCH_EVENTS_MAX`](crest_ledger::limits::BATCH_EVENTS_MAX).
pub fn ids_from(ids: Vec<v1::Uint128>) -> Result<Vec<u128>, FieldError> {
    check_count("ids", ids.len())?;
    Ok(ids.into_iter().map(u128::from).collect())
}

/// The ids for a lookup, in their order.
pub fn ids_to(ids: &[u128]) -> Vec<v1::Uint128> {
    ids.iter().copied().map(id_to).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    const EXTREMES: [u128; 7] = [0, 1, u64::MAX as u128, 1 << 64, (u64::MAX as u128) << 64, u128::MAX - 1, u128::MAX];

    #[test]
    fn every_number_survives_the_wire() {
        for n in EXTREMES {
            let bytes = v1::Uint128::from(n).encode_to_vec();
            assert_eq!(u128::from(v1::Uint128::decode(&bytes[..]).unwrap()), n);
            assert_eq!(number_from(number_to(n)), n);
        }
        assert_eq!(number_to(0), None, "0 is not sent");
    }

    #[test]
    fn the_bytes_of_a_number_never_change() {
        let n = v1::Uint128::from(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
        assert_eq!((n.high, n.low), (0x0102_0304_0506_0708, 0x090a_0b0c_0d0e_0f10));
        // Field 1 (high) and field 2 (low), both wire type 1 (64 bits), little-endian.
        let golden = [0x09, 8, 7, 6, 5, 4, 3, 2, 1, 0x11, 0x10, 0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09];
        assert_eq!(n.encode_to_vec(), golden);
    }

    #[test]
    fn ids_keep_their_order_and_are_counted() {
        assert_eq!(ids_from(ids_to(&EXTREMES)).unwrap(), EXTREMES);
        assert_eq!(ids_from(Vec::new()).unwrap_err().to_string(), "ids: expected 1 to 8190 of them, got 0");
        let many = vec![v1::Uint128::default(); 8_191];
        assert_eq!(ids_from(many).unwrap_err().to_string(), "ids: expected 1 to 8190 of them, got 8191");
    }
}
