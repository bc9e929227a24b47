//! `crest`: the one binary.

use std::process::ExitCode;

use clap::Parser;
use crest::{commands, serve};

/// Buffers come and go with every batch: an allocator that keeps its memory saves touching fresh pages each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Crest: a sharded payment ledger for peak days.
#[derive(Parser)]
#[command(
    version,
    after_help = "Example:
  crest dev --shards 4        a whole ledger in one process, on 127.0.0.1:7000
  crest load run smoke        a rehearsal of everything, for ten seconds
  crest load --help           peak days, real payments from a file, how much it can do"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Dev(serve::dev::Args),
    Node(serve::node::Args),
    Router(serve::router::Args),
    /// Rehearse a peak day, replay real payments, measure how much it can do.
    #[command(subcommand)]
    Load(crest_loadgen::LoadCommand),
    #[command(flatten)]
    Operate(commands::Command),
}

fn main() -> ExitCode {
    let _armed = crest_failpoints::arm();
    if std::env::var_os(crest_loadgen::ENDS_WITH_PARENT).is_some() {
        // A part of a rehearsal's own cluster: nobody else would ever stop it.
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    }
    let command = Cli::parse().command;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(command)));
    done.unwrap_or_else(|e| {
        eprintln!("crest: {}", describe(&e));
        ExitCode::from(3)
    })
}

/// An error and its causes on one line, without those that the text before has told already.
fn describe(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        _ if told.contains(&cause) => told,
        _ => format!("{told}: {cause}"),
    })
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Dev(args) => serve::dev::run(args).await,
        Command::Node(args) => serve::node::run(args).await,
        Command::Router(args) => serve::router::run(args).await,
        Command::Load(load) => crest_loadgen::run(load).await,
        Command::Operate(command) => commands::run(command).await,
    }
}
