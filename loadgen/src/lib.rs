//! The rehearsal: `crest load run` plays a scenario of a peak day and proves afterwards where the money is, `crest load replay`
//! pays what a file of payments says, `crest load peak` measures how much a cluster can do. All are clients like any other:
//! they know the public API and the slot hash, never a node or a router.
//!
//! Reading order: [`LoadCommand`] says what can be asked for; [`scenario`] is what is rehearsed, `rehearsal` the run, [`record`]
//! what it leaves, `report` the page made of that, [`live`] what is seen meanwhile; `retry` and `connect` are the one way in
//! which all talk to a router.

mod args;
mod connect;
mod retry;
mod caller;
mod cpu;
mod random;
pub mod progress;
pub mod live;
pub mod scenario;
pub mod curve;
pub mod record;
mod recovery;
mod rehearsal;
pub mod report;
mod replay;
mod peak;
#[cfg(test)]
mod fake;

use std::process::ExitCode;

pub use args::{DEFAULT_ROUTER, LoadCommand, RouterArgs};
pub use peak::{IdOrder, PeakArgs};
pub use rehearsal::agent::AgentArgs;
pub use rehearsal::{ENDS_WITH_PARENT, RunArgs};
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
        LoadCommand::Run(args) => rehearsal::run(&args).await?,
        LoadCommand::Agent(args) => rehearsal::agent::serve(&args).await?,
        LoadCommand::Scenario(command) => scenario::command::run(&command)?,
        LoadCommand::Report(args) => report::report(&args)?,
        LoadCommand::Compare(args) => report::compare(&args)?,
    };
    Ok(ExitCode::from(code))
}
