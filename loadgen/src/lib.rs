//! The rehearsal: `crest load replay` pays what a file of payments says, `crest load peak` rehearses a peak day. Both are
//! clients like any other (they know the public API and the slot hash, never a node or a router), and both prove
//! afterwards, from what the ledger answers, that every acknowledged payment is there and no other.
//!
//! Reading order: [`ReplayArgs`] and [`PeakArgs`] say what can be asked for; `replay` and `peak` run it; `retry` and
//! `connect` are the one way in which both talk to a router.

mod args;
mod connect;
mod retry;
mod random;
pub mod progress;
pub mod live;
pub mod scenario;
pub mod curve;
pub mod record;
pub mod report;
mod replay;
mod peak;
#[cfg(test)]
mod fake;

use std::process::ExitCode;

pub use args::{DEFAULT_ROUTER, LoadCommand, RouterArgs};
pub use peak::{IdOrder, PeakArgs};
pub use replay::{AccountFlagsRule, ReplayArgs};

/// The exit codes of all these commands.
pub mod exit {
    /// Everything is as it should be.
    pub const PASSED: u8 = 0;
    /// Money is wrong: a balance, a total or an acknowledged payment is not what it must be.
    pub const MONEY_WRONG: u8 = 1;
    /// The command line contradicts itself (clap uses the same code).
    pub const USAGE: u8 = 2;
    /// It could not run, or not to its end: no router, no file, or outcomes that stayed unknown.
    pub const COULD_NOT_RUN: u8 = 3;
    /// Replay only: some rows were wrong or refused; the money of all others is right.
    pub const ROWS_REFUSED: u8 = 4;
    /// A rehearsal only: the money is right, and a pass mark was missed.
    pub const TOO_SLOW: u8 = 5;
    /// A rehearsal only: the generator itself was the bottleneck, so the figures say nothing about the cluster.
    pub const INVALID: u8 = 6;
}

/// Runs `command` to its end, prints its report to standard output and its progress to standard error, and answers with
/// one of the codes of [`exit`].
///
/// # Errors
/// Only when the report cannot be written. Whatever goes wrong in the run itself is printed and becomes
/// [`exit::COULD_NOT_RUN`], so that a caller that maps errors to 1 never reports wrong money by mistake.
pub async fn run(command: LoadCommand) -> anyhow::Result<ExitCode> {
    let code = match command {
        LoadCommand::Replay(args) => replay::run(&args).await?,
        LoadCommand::Peak(args) => peak::run(&args).await?,
        LoadCommand::Scenario(command) => scenario::command::run(&command)?,
        LoadCommand::Report(args) => report::report(&args)?,
        LoadCommand::Compare(args) => report::compare(&args)?,
    };
    Ok(ExitCode::from(code))
}
