//! What the load generator itself can do: whole rehearsals against a server that answers at once and keeps nothing, in a
//! process of its own. It prints the table of docs/BENCHMARKS.md, and judges nothing: `make bench-generator`.
//!
//! One binary plays three parts: without arguments it directs, `serve` is the server, and `load …` is one rehearsal, which
//! takes what `crest load run` takes.

mod server;
mod table;

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
use crest_loadgen::{LoadCommand, RunArgs};

/// As in the binary itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `crest load run`.
#[derive(Parser)]
struct Load {
    #[command(flatten)]
    run: RunArgs,
}

fn main() -> anyhow::Result<ExitCode> {
    // Cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting a runtime")?;
    match words.first().map(String::as_str) {
        Some("serve") => runtime.block_on(server::serve())?,
        Some("load") => return runtime.block_on(crest_loadgen::run(LoadCommand::Run(Load::parse_from(&words).run))),
        Some("--runs") => {
            table::print(words.get(1).and_then(|n| n.parse().ok()).context("--runs: expected a number")?)?
        }
        None => table::print(3)?,
        Some(word) => bail!("{word}: expected --runs N"),
    }
    Ok(ExitCode::SUCCESS)
}
