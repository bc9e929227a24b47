//! Which slot an account is in. Fixed for ever: data is stored by slot, so another hash would be another database.

/// Slots in every cluster. Far more than shards ([`crest_ledger::limits::SHARDS_MAX`]), so that a shard's load can be
/// moved in small parts: with 1,024 shards each still has 16 slots.
pub const SLOTS: usize = 16_384;

/// Number of a slot, below [`SLOTS`].
pub type Slot = u16;

/// Number of a shard, below [`crest_ledger::limits::SHARDS_MAX`].
pub type ShardId = u32;

/// Bits of the hash that number a slot.
const SLOT_BITS: u32 = 14;

const _: () = assert!(SLOTS == 1 << SLOT_BITS, "a slot is the top bits of the hash");
const _: () = assert!(SLOTS as u64 >= crest_ledger::limits::SHARDS_MAX, "every shard of a full cluster has a slot");

/// The slot of an account: the top 14 bits of `fmix64(low ^ fmix64(high))`, where `low` and `high` are the lower and the
/// upper 64 bits of the id, and `fmix64` is the finalizer of MurmurHash3 (Austin Appleby, 2011, public domain):
///
/// ```text
/// fmix64(k):  k ^= k >> 33;  k *= 0xff51afd7ed558ccd;   (all modulo 2^64)
///             k ^= k >> 33;  k *= 0xc4ceb9fe1a85ec53;
///             k ^= k >> 33
/// ```
///
/// Eight lines in any language, and good enough: `fmix64` is a bijection in which every input bit flips every output bit
/// with a probability close to one half, so ids that count up, that differ only in their upper half, or that begin with a
/// time spread evenly. It is no defence against somebody who chooses ids that share a slot: owners of accounts do not
/// choose ids. Golden vectors for other implementations stand in this module's tests.
///
/// ```
/// assert_eq!(crest_topology::slot_of(1), 11_541);
/// ```
#[inline]
pub const fn slot_of(account_id: u128) -> Slot {
    let low = account_id as u64;
    let high = (account_id >> 64) as u64;
    (fmix64(low ^ fmix64(high)) >> (u64::BITS - SLOT_BITS)) as Slot
}

const fn fmix64(mut k: u64) -> u64 {
    k ^= k >> 33;
    k = k.wrapping_mul(0xff51_afd7_ed55_8ccd);
    k ^= k >> 33;
    k = k.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ (k >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_match_the_golden_vectors() {
        // From an independent implementation (Python integers). They never change.
        let golden: &[(u128, Slot)] = &[
            (0x00000000000000000000000000000000, 0),
            (0x00000000000000000000000000000001, 11_541),
            (0x00000000000000000000000000000002, 3_759),
            (0x00000000000000000000000000000003, 724),
            (0x000000000000000000000000000003e8, 11_200),
            (0x00000000000000008000000000000000, 9_182),
            (0x0000000000000000ffffffffffffffff, 6_445),
            (0x00000000000000010000000000000000, 8_027),
            (0x00000000000000010000000000000001, 13_640),
            (0x80000000000000000000000000000000, 13_438),
            (0xffffffffffffffffffffffffffffffff, 3_811),
            (0xfffffffffffffffffffffffffffffffe, 6_416),
            (0x0123456789abcdef0123456789abcdef, 5_612),
            (0xfedcba98765432100123456789abcdef, 6_194),
            (0x018c2f6b1a2b7c3d8e4f5061728394a5, 2_611),
        ];
        for &(id, slot) in golden {
            assert_eq!(slot_of(id), slot, "slot of account {id:#x}");
        }
    }

    /// Hashes `ids` and checks that the slots' counts look like those of independent uniform draws.
    #[track_caller]
    fn check_even(name: &str, ids: impl Iterator<Item = u128>) {
        let mut counts = vec![0_u64; SLOTS];
        ids.for_each(|id| counts[usize::from(slot_of(id))] += 1);
        let mean = counts.iter().sum::<u64>() as f64 / SLOTS as f64;
        let chi_squared: f64 = counts.iter().map(|&n| (n as f64 - mean).powi(2) / mean).sum();
        // Chi-squared with k = 16,383 degrees of freedom has mean k and deviation sqrt(2k) = 181; six deviations.
        assert!((15_297.0..17_469.0).contains(&chi_squared), "{name}: chi-squared {chi_squared}");
        for shards in [2, 3, 4, 16] {
            let mut of_shard = vec![0_u64; shards];
            counts.iter().enumerate().for_each(|(slot, n)| of_shard[slot * shards / SLOTS] += n);
            let total = mean * SLOTS as f64;
            for n in of_shard {
                let share = n as f64 * shards as f64 / total;
                assert!((0.98..1.02).contains(&share), "{name}: a shard of {shards} has {share} of an even share");
            }
        }
    }

    #[test]
    fn ids_of_every_common_shape_spread_evenly() {
        let n = 1_000_000_u128;
        check_even("counting up", 1..=n);
        check_even("upper half counting up", (1..=n).map(|i| i << 64));
        check_even("both halves the same", (1..=n).map(|i| i << 64 | i));
        check_even("multiples of 1,000", (1..=n).map(|i| i * 1_000));
        check_even("multiples of 2^40", (1..=n).map(|i| i << 40));
        let ulid = |i: u128| (1_700_000_000_000 + i / 100) << 80 | u128::from(fmix64(i as u64));
        check_even("a time, then random bits", (1..=n).map(ulid));
    }
}
