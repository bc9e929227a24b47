//! `crest backup`: a consistent copy of all shards at one instant, while payments flow.

mod take;
mod ends;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::connect::Common;
use super::outcome::{Failure, Outcome, print};
use crate::backup::BackupError;

/// `crest backup`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  crest backup --to /backups/pay                    the first time everything, then only what is new
  crest backup --to /backups/pay --rate-mib 16      slower, for busy disks
  crest backup verify /backups/pay                  every file and checksum, without a cluster

Payments go on meanwhile. How far it is stands on standard error. A backup that was interrupted leaves nothing but a folder
`partial`, which the next one deletes.

Exit codes:
  0  the backup is complete and durable (verify: everything is as it has to be)
  1  refused: the folder is another cluster's, or of another past, or damaged; the text names the file
  2  the command line is wrong
  3  it could not be made: a shard or the router could not be reached, or events were imported all the while"
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    take: take::Args,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check all backups of a folder: manifests, what they are built on, files and checksums
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  crest backup verify /backups/pay")]
struct VerifyArgs {
    /// The folder
    dir: PathBuf,
}

/// Runs `crest backup` and prints what came of it.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    print(execute(&args).await, args.common.json)
}

pub(super) async fn execute(args: &Args) -> Result<Outcome, Failure> {
    let ended = match &args.command {
        Some(Command::Verify(verify)) => verify::execute(&verify.dir),
        None => take::execute(&args.take, &args.common).await,
    };
    ended.or_else(Stopped::into_outcome)
}

/// Why there is no backup, or nothing restored from one.
#[derive(Debug)]
pub(in crate::commands) enum Stopped {
    /// Something is wrong with what is there. Exit code 1.
    Refused(String),
    /// Exit code 2 or 3.
    Failed(Failure),
}

impl Stopped {
    pub(in crate::commands) fn unavailable(why: impl Into<String>) -> Self {
        Self::Failed(Failure::Unavailable(why.into()))
    }

    /// What is printed, and the exit code.
    pub(in crate::commands) fn into_outcome(self) -> Result<Outcome, Failure> {
        match self {
            Self::Refused(why) => {
                let json = json!({ "error": why, "outcome": "refused" });
                Ok(Outcome { text: String::new(), json, refusal: Some(why) })
            }
            Self::Failed(failure) => Err(failure),
        }
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<BackupError> for Stopped {
    fn from(e: BackupError) -> Self {
        match e {
            BackupError::Wrong { .. } => Self::Refused(e.to_string()),
            BackupError::Io { .. } => Self::unavailable(e.to_string()),
        }
    }
}
