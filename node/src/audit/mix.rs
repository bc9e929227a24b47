//! Numbers that stand for what is compared. Sums of them compare tables without regard to their order and without keeping
//! them; that two different tables have one sum takes 2^64 tries of somebody who tries, and nobody does.

use crest_ledger::Transfer;

/// One number out of several, in their order. Every bit of every word flips every bit of it with a probability close to one
/// half, so that changes of two rows do not cancel each other in a sum.
pub(crate) fn mix(words: &[u128]) -> u128 {
    let (mut a, mut b) = (0x6a09_e667_f3bc_c908, 0xbb67_ae85_84ca_a73b);
    for word in words {
        // Truncation is the point: the two halves.
        a = fmix64(a ^ *word as u64);
        b = fmix64(b ^ (word >> 64) as u64 ^ a.rotate_left(32));
    }
    a = fmix64(a ^ b.rotate_left(17));
    b = fmix64(b ^ a.rotate_left(41));
    u128::from(a) << 64 | u128::from(b)
}

/// The finalizer of MurmurHash3 (Austin Appleby, 2011, public domain).
fn fmix64(mut k: u64) -> u64 {
    k ^= k >> 33;
    k = k.wrapping_mul(0xff51_afd7_ed55_8ccd);
    k ^= k >> 33;
    k = k.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ (k >> 33)
}

/// The fingerprint of a transfer: its bytes, mixed.
pub(crate) fn fingerprint(t: &Transfer) -> u128 {
    let mut bytes = Vec::with_capacity(128);
    t.pack(&mut bytes);
    let mut words = [0; 8];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(16)) {
        *word = u128::from_le_bytes(chunk.try_into().expect("chunks of 16 bytes"));
    }
    mix(&words)
}

/// Parts in which a [`Difference`] is kept: 256 KB. Of 100 million rows, one part has some 6,000.
const PARTS: usize = 16_384;

/// Whether two tables have the same items, and in which parts of them not. Items of one part have keys in common that are
/// hashed alike, so the rows that differ can be found by reading both tables once more and keeping only those of such parts.
pub(super) struct Difference {
    sums: Vec<u128>,
}

impl Difference {
    pub(super) fn new() -> Self {
        Self { sums: vec![0; PARTS] }
    }

    /// An item of the one table.
    pub(super) fn add(&mut self, key: u128, item: u128) {
        let sum = &mut self.sums[part_of(key)];
        *sum = sum.wrapping_add(mix(&[key, item]));
    }

    /// An item of the other table, or one that is gone from the first.
    pub(super) fn take(&mut self, key: u128, item: u128) {
        let sum = &mut self.sums[part_of(key)];
        *sum = sum.wrapping_sub(mix(&[key, item]));
    }

    /// Whether both tables have the same items.
    pub(super) fn is_none(&self) -> bool {
        self.sums.iter().all(|sum| *sum == 0)
    }

    /// Whether the items with this key are in a part that differs, among the first `parts` of those.
    pub(super) fn parts(&self, parts: usize) -> Parts {
        let differing = self.sums.iter().enumerate().filter(|(_, sum)| **sum != 0);
        Parts(differing.map(|(part, _)| part).take(parts).collect())
    }
}

/// Some parts of two tables that differ.
#[derive(Debug, Default)]
pub(super) struct Parts(Vec<usize>);

impl Parts {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a key's items are in one of them.
    pub(super) fn have(&self, key: u128) -> bool {
        !self.0.is_empty() && self.0.binary_search(&part_of(key)).is_ok()
    }
}

fn part_of(key: u128) -> usize {
    let low = key as u64;
    // The lower bits: the upper ones are those of slots, of which a shard has only some.
    fmix64(low ^ fmix64((key >> 64) as u64)) as usize % PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_items_does_not_matter_and_every_item_does() {
        let mut difference = Difference::new();
        (0..1_000).for_each(|n| difference.add(n, n * n));
        (0..1_000).rev().for_each(|n| difference.take(n, n * n));
        assert!(difference.is_none());
        difference.take(7, 1);
        difference.add(7, 2);
        let parts = difference.parts(8);
        assert!(!difference.is_none() && parts.have(7));
        assert!((0..1_000u128).filter(|n| parts.have(*n)).count() < 5, "other items are left alone");
    }

    #[test]
    fn a_transfer_that_differs_in_one_bit_has_another_fingerprint() {
        let t = Transfer { id: 1, amount: 100, ..Transfer::default() };
        for bit in 0..128 {
            assert_ne!(fingerprint(&t), fingerprint(&Transfer { amount: t.amount ^ (1 << bit), ..t }));
        }
    }
}
