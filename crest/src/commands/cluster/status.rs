//! `crest cluster status`: who leads where, who votes, how far everybody is, and whether all is as wanted.

use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use super::ask::{self, Copy};
use super::{OfMap, health, render};
use crate::commands::outcome::{Failure, Outcome, render as rendered};

/// How often `--watch` looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// `crest cluster status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  crest cluster status --cluster cluster.toml
  crest cluster status --cluster etcd://10.0.0.9:2379/pay --watch

It asks the nodes themselves, each for at most 2 s, and no router. ENTRIES are those of the leader's log that a majority has;
LAG is how many of the leader's entries a replica does not have. A shard serves that commits: an idle leader of a replicated shard
writes an entry every second, and one that has committed nothing for 5 s does not serve.

Exit codes:
  0  healthy: every shard has the replicas that the map wants, and they have caught up
  1  something is not as wanted, and every shard serves nevertheless
  2  the command line is wrong
  3  could not find out: there is no map, or no node answers
  4  a shard does not serve: it has no leader, commits nothing, or others refuse its messages for its time")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) map: OfMap,
    #[command(flatten)]
    copy: Copy,
    /// Look again every 2 s until Ctrl-C: in place on a terminal
    #[arg(long)]
    pub(super) watch: bool,
    /// Show every replica, however many there are
    #[arg(long)]
    all: bool,
}

/// Runs `crest cluster status --watch` until Ctrl-C. The exit code is that of the last look.
///
/// # Errors
/// When standard output cannot be written.
pub(super) async fn watch(args: &Args) -> anyhow::Result<ExitCode> {
    let in_place = std::io::stdout().is_terminal() && !args.map.json;
    let mut code = ExitCode::SUCCESS;
    let stop = tokio::signal::ctrl_c();
    tokio::pin!(stop);
    loop {
        let seen = tokio::select! {
            seen = execute(args) => seen,
            _ = &mut stop => return Ok(code),
        };
        let mut out = String::new();
        if in_place {
            // To the upper left, what is there removed.
            out.push_str("\x1b[H\x1b[2J");
        }
        let (shown, error, number) = rendered(&seen, args.map.json);
        // One document a line, for programs that read on and on.
        let compact = || serde_json::from_str::<serde_json::Value>(&shown).map(|document| document.to_string());
        let shown = if args.map.json { compact()? } else { shown };
        out.push_str(&shown);
        out.push('\n');
        if let Some(error) = error.filter(|_| shown.is_empty()) {
            out.push_str(&format!("crest: {error}\n"));
        }
        if !in_place && !args.map.json {
            out.push('\n');
        }
        code = ExitCode::from(number);
        match std::io::stdout().write_all(out.as_bytes()).and_then(|()| std::io::stdout().flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(code),
            written => written?,
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = &mut stop => return Ok(code),
        }
    }
}

pub(super) async fn execute(args: &Args) -> Result<Outcome, Failure> {
    let store = crest_map_store::open(args.map.cluster.clone());
    let (map, source) = ask::load(&*store, args.copy.map_copy.as_deref()).await?;
    let survey = ask::survey(map, source, None).await;
    let health = health::of(&survey);
    let shown = Outcome {
        text: render::text(&survey, &health, args.all),
        json: render::document(&survey, &health),
        refusal: None,
    };
    match health.exit_code() {
        0 => Ok(shown),
        code => {
            let text = match code {
                3 => "no node answers",
                4 => "a shard does not serve",
                _ => "something is not as wanted",
            };
            Err(Failure::Attention { shown: Box::new(shown), text: text.to_owned(), code })
        }
    }
}
