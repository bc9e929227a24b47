//! Random operations against a vector.

use super::*;

/// A generator of numbers that repeats with its seed (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % n
    }
}

/// Does what a replica may do, in a random order with crashes between, and compares with a vector.
#[track_caller]
fn check_model(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    let (mut log, _) = open(dir.path());
    let (mut model, mut hard_state): (Vec<LogEntry>, _) = (vec![], HardState::default());
    for step in 0..120 {
        let next = log.last_index() + 1;
        match random.below(20) {
            0 => {
                let to = next + random.below(50);
                hard_state = HardState { term: hard_state.term + 1, vote: 0, commit: to - 1 };
                log.reset(to, hard_state).unwrap();
                model.clear();
            }
            1..=3 => log.truncate_front(random.below(hard_state.commit + 1)).unwrap(),
            4..=6 => {
                drop(log);
                let recovered;
                (log, recovered) = open(dir.path());
                let kept = model.len().min((recovered.last_index + 1 - recovered.first_index) as usize);
                assert_eq!(recovered.entries, model[model.len() - kept..], "seed {seed}, step {step}");
                assert_eq!(recovered.hard_state, hard_state, "seed {seed}, step {step}");
            }
            _ => {
                let min = log.first_index().max(hard_state.commit + 1);
                let start = if random.below(4) == 0 { min + random.below(next - min + 1) } else { next };
                let count = random.below(6);
                hard_state.term += random.below(2);
                let words = random.below(300) as usize;
                let new: Vec<_> = (start..start + count).map(|index| entry(index, hard_state.term, words)).collect();
                let last = if count == 0 { next - 1 } else { start + count - 1 };
                hard_state.commit += random.below(last.saturating_sub(hard_state.commit) + 1);
                log.append(&new, Some(hard_state)).unwrap();
                model.retain(|entry| count == 0 || entry.index < start);
                model.extend(new);
            }
        }
        model.retain(|entry| entry.index >= log.first_index());
        assert_eq!(model.last().map_or(log.first_index() - 1, |entry| entry.index), log.last_index());
    }
}

#[test]
fn a_log_agrees_with_a_vector_whatever_is_done_to_it() {
    (0..20).for_each(check_model);
}
