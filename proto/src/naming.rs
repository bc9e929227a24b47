//! Ids for names: `house:cash` is easier to say than 39 digits, and gives the same account everywhere.
//!
//! The hash is FNV-1a with 128 bits (Fowler, Noll and Vo; draft-eastlake-fnv), chosen because it is published, has test
//! vectors and exists in every language. It is not cryptographic: use it for names that the operator chooses, not for
//! those that a stranger does.

/// FNV's starting value for 128 bits.
const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
/// FNV's prime for 128 bits: 2^88 + 2^8 + 0x3b.
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// The id that belongs to `name`: FNV-1a, 128 bits, of its UTF-8 bytes. The same for ever.
///
/// A result of 0 or 2^128 − 1, which the ledger refuses as an id, has a chance of 1 in 2^127.
pub fn name_id(name: &str) -> u128 {
    name.bytes().fold(OFFSET_BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_ids() {
        let golden = [
            // The published vectors.
            ("", 0x6c62272e07bb014262b821756295c58d),
            ("a", 0xd228cb696f1a8caf78912b704e4a8964),
            ("ab", 0x08809544bbab1be95aa0733055b69a62),
            ("abc", 0xa68d622cec8b5822836dbc7977af7f3b),
            ("foobar", 0x343e1662793c64bf6f0d3597ba446f18),
        ];
        for (name, id) in golden {
            assert_eq!(name_id(name), id, "{name:?}");
        }
    }

    #[test]
    fn names_that_look_alike_have_different_ids() {
        let names =
            ["house:cash", "house:cash ", "house:Cash", "house.cash", "cash:house", "house:cash1", "house:cash2"];
        let mut ids: Vec<u128> = names.iter().map(|name| name_id(name)).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), names.len());
    }
}
