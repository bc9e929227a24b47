//! Random operations on a subject and on the model, and what has to be the same afterwards.

mod compare;
mod generate;
mod reuse;

use crate::model::Model;
use crate::random::Random;
use crate::subject::Subject;
use compare::Comparison;
use generate::{Generator, Operation};

/// Everything is compared after so many operations; statuses and balances after each one.
const COMPARE_ALL_EVERY: usize = 25;

/// Plays `steps` random operations that follow from `seed` on `subject` and on a [`Model`], and compares: every status,
/// the balances of all accounts after each operation, and from time to time and at the end all transfers, lists, balance
/// rows and queries. Timestamps are not compared, only that they increase.
///
/// `ids` and `salt` are as in [`run()`](crate::run()); the account numbers are below 64. The subject may hold other accounts and
/// transfers already.
///
/// The order of an account's list is compared for accounts with `history`, for others that the same transfers are in it: a
/// subject that changes the order of events which cannot influence each other shows that in nothing but their timestamps.
///
/// # Panics
/// When something differs, with the operation, both values, and the command that repeats it.
pub fn differential(seed: u64, steps: usize, subject: &mut dyn Subject, ids: &dyn Fn(u128) -> u128, salt: u128) {
    subject.advance(1_000_000_000);
    let start = subject.now();
    let mut model = Model::at(start);
    let mut generator = Generator::new(Random::new(seed), ids, salt);
    let mut comparison = Comparison { seed, start, step: 0, what: String::new() };
    for step in 1..=steps {
        let operation = generator.operation(&mut model);
        comparison.step = step;
        comparison.what = format!("{operation:#?}");
        match &operation {
            Operation::Accounts(events) => {
                let (expected, got) = (model.create_accounts(events), subject.create_accounts(events));
                comparison.statuses(&expected, &got);
            }
            Operation::Transfers(events) => {
                let (expected, got) = (model.create_transfers(events), subject.create_transfers(events));
                comparison.statuses(&expected, &got);
                generator.sent(events, &expected, &mut model);
            }
            Operation::Advance(nanoseconds) => {
                model.advance(*nanoseconds);
                subject.advance(*nanoseconds);
            }
        }
        comparison.accounts(&mut model, subject, generator.account_ids());
        if step % COMPARE_ALL_EVERY == 0 || step == steps {
            comparison.all(&mut model, subject, &generator);
        }
    }
}

/// The seeds to test with: the one in the environment variable `CREST_SEED`, otherwise 1 to `count`, or to as many as
/// `CREST_SEEDS` says.
///
/// # Panics
/// When one of the variables is not a number.
pub fn seeds(count: u64) -> Vec<u64> {
    let variable = |name: &str, example: &str| {
        let text = std::env::var(name).ok()?;
        let number = text.trim().parse();
        Some(number.unwrap_or_else(|_| panic!("{name} is {text:?}; expected a whole number below 2^64, {example}")))
    };
    match variable("CREST_SEED", "as a failed test has printed it") {
        Some(seed) => vec![seed],
        None => (1..=variable("CREST_SEEDS", "how many to play").unwrap_or(count)).collect(),
    }
}
