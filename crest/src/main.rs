//! `crest`: the one binary.

use clap::Parser;
use std::process::ExitCode;

mod commands;

/// A sharded payment ledger.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: commands::Command,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    commands::run(Cli::parse().command).await
}
