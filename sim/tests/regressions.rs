//! Seeds from which a mistake that was in the code once is found again (`tools/sim-mutants.sh` brings each back, by the patch of
//! the same name). On the code as it is they break nothing.
//!
//! A change of what a seed means (`sim/src/plan.rs`, `workload.rs`, `faults.rs`) makes them ordinary seeds: run
//! `make sim-mutants` then, and write the new ones down.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

/// The mistake, and its seed.
const ONCE: &[(&str, u64)] = &[
    ("age-by-the-clock-that-was-set-back", 43),
    ("balanced-account-is-shared", 88),
    ("cause-after-its-effect", 1),
    ("ended-hold-comes-back", 68),
    ("failed-id-told-once", 26284),
    ("history-undone-oldest-first", 305),
    ("promise-in-memory", 861),
    ("repeated-prepare-shrinks-a-hold", 1036),
    ("requests-in-their-own-way", 100),
];

#[test]
fn seeds_that_broke_something_once_break_nothing() {
    let patches = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants");
    for (mistake, seed) in ONCE {
        assert!(patches.join(format!("{mistake}.patch")).exists(), "{mistake}: there is no way to see it again");
        let wrong = crest_sim::run(*seed, false).wrong;
        assert!(
            wrong.is_empty(),
            "{mistake} is back, or something else: {wrong:#?}\nrepeat with: make sim SEED={seed}"
        );
    }
}
