//! The operator's commands: one file each. They talk to a router like any client, through the public API.
//!
//! Every command answers with an [`outcome`]: text or one JSON document on standard output, errors as one line on standard
//! error, and an exit code: 0 done, 1 refused (or the audit does not hold, or a shard does not take part), 2 the command line is
//! wrong, 3 the router could not be reached or the outcome is unknown, 4 something is in doubt for too long.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod clock;
pub(crate) mod cluster;
pub(crate) mod connect;
pub(crate) mod health;
pub(crate) mod human;
pub(crate) mod meaning;
pub(crate) mod outcome;
pub(crate) mod participation;
pub(crate) mod query;
pub(crate) mod restore;
pub(crate) mod rows;
pub(crate) mod status;
pub(crate) mod transfer;
pub(crate) mod txn;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod txn_tests;

use std::process::ExitCode;

/// What an operator can ask of a running Crest.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Create accounts, and look at them, their transfers and their balances
    Account(account::Args),
    /// Send, post, void and look at transfers
    Transfer(transfer::Args),
    /// List accounts or transfers that match conditions
    Query(query::Args),
    /// Prove that no money was lost or made, while payments flow
    Audit(audit::Args),
    /// Copy the whole ledger at one instant, while payments flow; only what is new after the first time
    Backup(backup::Args),
    /// Make the shards of a node out of a backup, offline
    Restore(restore::Args),
    /// Show how each shard is
    Status(status::Args),
    /// Ask a router or a node whether it serves
    Health(health::Args),
    /// List transfers between shards that are in doubt, and have one ended
    Txn(txn::Args),
    /// Look at the shards' times, and align them after a wrong clock
    Clock(clock::Args),
    /// Look at a cluster's nodes and shards, and change where replicas are
    Cluster(cluster::Args),
}

/// Runs the command and prints its outcome.
///
/// # Errors
/// When standard output cannot be written. What the router refuses, or whether it can be reached, is in the exit code.
pub async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Account(args) => account::run(args).await,
        Command::Transfer(args) => transfer::run(args).await,
        Command::Query(args) => query::run(args).await,
        Command::Audit(args) => audit::run(args).await,
        Command::Backup(args) => backup::run(args).await,
        Command::Restore(args) => restore::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Health(args) => health::run(args).await,
        Command::Txn(args) => txn::run(args).await,
        Command::Clock(args) => clock::run(args).await,
        Command::Cluster(args) => cluster::run(args).await,
    }
}
