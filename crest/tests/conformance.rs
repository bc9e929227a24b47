//! The ledger's semantics, examined on a whole cluster in one process: the tables and random operations of
//! `crest-conformance`, with accounts on one shard, scattered over four, and each on a shard of its own, of one, two or seven.
//!
//! `CREST_SEEDS=1000` plays so many random sequences for each layout.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "conformance/cluster.rs"]
mod cluster;
#[path = "conformance/layout.rs"]
mod layout;

use std::panic::{AssertUnwindSafe, catch_unwind};

use cluster::Cluster;
use crest_conformance::{Case, cases, differential, run, seeds};
use layout::Layout;

/// Random sequences for each layout, and operations in each of them.
const SEEDS: u64 = 6;
const STEPS: usize = 300;

#[test]
fn every_case_holds_with_all_accounts_on_one_shard() {
    check_cases(Layout::OneShard);
}

#[test]
fn every_case_holds_with_accounts_scattered_over_the_shards() {
    check_cases(Layout::Scattered);
}

#[test]
fn every_case_holds_with_each_account_on_a_shard_of_its_own() {
    check_cases(Layout::Apart(7));
}

#[test]
fn every_case_holds_with_accounts_on_two_shards_in_turn() {
    check_cases(Layout::Apart(2));
}

#[test]
fn every_case_holds_with_a_single_shard() {
    check_cases(Layout::Apart(1));
}

#[test]
fn random_operations_give_the_models_answers_on_one_shard() {
    check_random(Layout::OneShard);
}

#[test]
fn random_operations_give_the_models_answers_scattered_over_the_shards() {
    check_random(Layout::Scattered);
}

#[test]
fn random_operations_give_the_models_answers_with_each_account_on_a_shard_of_its_own() {
    check_random(Layout::Apart(7));
}

#[test]
fn random_operations_give_the_models_answers_with_accounts_on_two_shards_in_turn() {
    check_random(Layout::Apart(2));
}

#[test]
fn random_operations_give_the_models_answers_on_a_single_shard() {
    check_random(Layout::Apart(1));
}

/// Plays all cases that this layout can have and reports all that fail, not only the first.
fn check_cases(layout: Layout) {
    let mut shared = Cluster::open(layout.shards());
    let mut failed = Vec::new();
    let mut number = 0;
    for case in cases::all().iter().filter(|c| !c.needs_one_shard || layout.is_one_shard()) {
        number += 1;
        let played = catch_unwind(AssertUnwindSafe(|| check_case(case, layout, number, &mut shared)));
        if let Err(why) = played {
            failed.push(format!("{}: {}", case.name, message(&*why)));
        }
    }
    assert!(failed.is_empty(), "{} of {number} cases fail, {layout:?}:\n{}", failed.len(), failed.join("\n"));
}

fn check_case(case: &Case, layout: Layout, number: u128, shared: &mut Cluster) {
    let ids = |n| layout.account(n, number);
    if case.needs_fresh {
        run(case, &mut Cluster::open(layout.shards()), &ids, number << 64);
    } else {
        run(case, shared, &ids, number << 64);
    }
}

/// Plays random sequences, some of them one after the other on one cluster, then audits it.
fn check_random(layout: Layout) {
    for seeds in seeds(SEEDS).chunks(SEEDS as usize) {
        let mut cluster = Cluster::open(layout.shards());
        for seed in seeds {
            let salt = u128::from(*seed);
            differential(*seed, STEPS, &mut cluster, &|n| layout.account(n, salt), salt << 64);
        }
        assert_eq!(cluster.audit(), Vec::<String>::new());
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}
