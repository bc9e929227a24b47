//! Random numbers that are the same on every machine and in every version, so that a seed repeats a run.

use std::hash::{BuildHasher, RandomState};

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    /// The sequence that belongs to `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The sequence of item `index` of the run with this seed: neighbouring items have unrelated sequences.
    pub(crate) fn of(seed: u64, index: u64) -> Self {
        Self::new(Self::new(Self::new(seed).next_u64() ^ index).next_u64())
    }

    /// A sequence that no other process and no other call has.
    pub(crate) fn unrepeatable() -> Self {
        // The keys of RandomState come from the operating system once a thread and then count; hashing mixes them.
        Self(RandomState::new().hash_one(std::process::id()))
    }

    /// 64 even bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.0)
    }

    /// A waiting time of mean 1, as between events that know nothing of each other (exponentially distributed).
    pub(crate) fn exponential(&mut self) -> f64 {
        // From 1 minus the fraction, which is never 0: its logarithm is finite.
        -(1.0 - self.fraction()).ln()
    }

    /// A number below `bound` (0 when the bound is 0), by multiplication: the bias is below `bound` / 2^64.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A fraction from 0 up to, but not including, 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// SplitMix64's output function: a permutation of all numbers of 64 bits that looks like chance.
pub(crate) fn scramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The way back from [`scramble`]: each step undone, by shifts and by the multipliers' inverses modulo 2^64.
pub(crate) fn unscramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 31) ^ (z >> 62)).wrapping_mul(0x3196_42b2_d24d_8ec3);
    z = (z ^ (z >> 27) ^ (z >> 54)).wrapping_mul(0x96de_1b17_3f11_9089);
    z ^ (z >> 30) ^ (z >> 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        let mut rng = SplitMix64::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| rng.next_u64()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_all_of_it() {
        let mut rng = SplitMix64::new(7);
        let mut seen = [false; 5];
        (0..200).for_each(|_| seen[rng.below(5) as usize] = true);
        assert_eq!(seen, [true; 5]);
        assert_eq!(rng.below(0), 0);
        assert!((0..1_000).all(|_| (0.0..1.0).contains(&rng.fraction())));
    }

    #[test]
    fn what_is_scrambled_comes_back() {
        let mut rng = SplitMix64::new(3);
        let numbers = [0, 1, u64::MAX].into_iter().chain((0..1_000).map(|_| rng.next_u64()));
        numbers.for_each(|z| assert_eq!(unscramble(scramble(z)), z));
    }

    #[test]
    fn waiting_times_have_mean_one() {
        let mut rng = SplitMix64::new(11);
        let mean = (0..100_000).map(|_| rng.exponential()).sum::<f64>() / 100_000.0;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
    }

    #[test]
    fn two_unrepeatable_sequences_differ() {
        assert_ne!(SplitMix64::unrepeatable().next_u64(), SplitMix64::unrepeatable().next_u64());
    }
}
