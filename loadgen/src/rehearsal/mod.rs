//! `crest load run`: the rehearsal of a peak day.
//!
//! A scenario and a seed make a [`plan::Plan`], which knows every transfer of the run before it begins. [`driver`]s send what is
//! due, each on a lane of its own ([`lanes`]), and keep a byte of books a transfer; [`tally::Tally`] adds up what they tell;
//! [`events`] break things meanwhile. Afterwards the [`auditor`] compares plan and books with the ledger, and [`verdict`] says
//! what it comes to.

mod args;
mod ids;
mod population;
mod file;
mod plan;
mod draws;
mod course;
mod books;
mod latency;
mod sample;
mod tally;
mod alarm;
mod sender;
mod driver;
mod booking;
mod lanes;
mod crew;
mod local;
mod setup;
mod asking;
mod events;
mod watch;
mod show;
mod auditor;
mod verdict;
mod result;
mod summary;
mod interrupts;
mod play;
pub(crate) mod agent;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};

pub use args::RunArgs;
use asking::Balances;
use auditor::Auditor;
use driver::LaneEnd;
use ids::RunId;
use interrupts::Interrupts;
pub use local::ENDS_WITH_PARENT;
use play::play;
use setup::{Cluster, Prepared, Script, Wish};
use summary::{print, thousands};

use crate::exit;
use crate::progress::Progress;
use crate::record::{AuditRecord, RunRecord, Verdict};

/// Runs the command, writes its report and prints a summary; gives the exit code.
///
/// # Errors
/// Never: whatever goes wrong is printed, and becomes a code of its own.
pub(crate) async fn run(args: &RunArgs) -> anyhow::Result<u8> {
    let script = match Script::read(args) {
        Ok(script) => script,
        Err(error) => {
            eprintln!("error: {error:#}");
            return Ok(exit::USAGE);
        }
    };
    match rehearse(args, &script).await {
        Ok(verdict) => Ok(verdict::exit_code(verdict)),
        Err(error) => {
            eprintln!("error: {error:#}");
            Ok(exit::COULD_NOT_RUN)
        }
    }
}

/// Plays the script to its end, proves where the money is, and leaves the report.
///
/// # Errors
/// As [`proven`].
async fn rehearse(args: &RunArgs, script: &Script) -> anyhow::Result<Verdict> {
    let interrupts = Interrupts::listen().context("listening to signals")?;
    let run = RunId::new();
    let folder = args.out.clone().unwrap_or_else(|| folder_of(&script.scenario.name, run));
    let (record, cluster) = proven(args, script, run, &folder, &interrupts).await?;
    let verdict = leave(args, &record, &folder);
    tokio::select! {
        () = cluster.stop(record.verdict == Verdict::MoneyWrong) => {}
        () = interrupts.give_up() => {}
    }
    Ok(verdict)
}

/// Plays the script to its end and proves where the money is; the report is going to be written to `folder`.
///
/// # Errors
/// When it can't begin, or is given up before everything is sent. What goes wrong later stands in the record.
async fn proven(
    args: &RunArgs,
    script: &Script,
    run: RunId,
    folder: &Path,
    interrupts: &Interrupts,
) -> anyhow::Result<(RunRecord, Cluster)> {
    let stage = tokio::select! {
        stage = prepare(args, script, run) => stage?,
        () = interrupts.give_up() => bail!("given up by hand, before anything was sent"),
    };
    // Before anything is sent: an hour's figures should not be lost to a folder that can't be written.
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let mut played = tokio::select! {
        played = play(args, script, &stage.cluster, &stage.course, interrupts) => played?,
        () = interrupts.give_up() => bail!("given up by hand: what was sent is not proven"),
    };
    let ends = std::mem::take(&mut played.ends);
    let audit = match &played.lost {
        Some(lost) => Err(anyhow::anyhow!("{lost}")),
        None => tokio::select! {
            audit = audit(&stage, ends) => Ok(audit),
            () = interrupts.give_up() => Err(anyhow::anyhow!("the proof was given up by hand")),
        },
    };
    let record = result::record(args, script, &stage.cluster, &stage.course, &played, audit, run);
    Ok((record, stage.cluster))
}

/// Writes the report and prints the summary; what can't be written is worse than a run that passed.
fn leave(args: &RunArgs, record: &RunRecord, folder: &Path) -> Verdict {
    let written = write(record, folder);
    // Whoever reads the summary may have seen enough, and be gone.
    let _ = print(record, args.json);
    match written {
        Ok(()) => eprintln!("report       {}", folder.join("report.html").display()),
        Err(error) => {
            eprintln!("error: the report is not there: {error:#}");
            if matches!(record.verdict, Verdict::Passed | Verdict::TooSlow) {
                return Verdict::CouldNotRun;
            }
        }
    }
    record.verdict
}

/// Everything that a run needs.
struct Stage {
    cluster: Cluster,
    course: Arc<Prepared>,
    /// The balances before it, and the instant that they are of.
    before: Vec<Balances>,
    since: u64,
}

/// Reaches the cluster, works out the plan, opens the accounts.
async fn prepare(args: &RunArgs, script: &Script, run: RunId) -> anyhow::Result<Stage> {
    let scenario = &script.scenario;
    if args.agent.len() > agent::AGENTS_MAX as usize {
        bail!("--agent: {} agents, and at most {} can be directed", args.agent.len(), agent::AGENTS_MAX);
    }
    if let Some(shards) = args.local {
        eprintln!("starting a cluster: {}, {}", count(shards, "shard"), count(args.local_routers, "router"));
    }
    let cluster = Cluster::reach(args, scenario).await?;
    let wish = Wish::of(args);
    let agents = args.agent.len().max(1) as u32;
    let course = Arc::new(setup::course(&wish, script, &cluster.map, &cluster.routers, run, agents)?);
    eprintln!(
        "run {run}: {} of {} transfers planned over {:.1} s, on {}, ledger {}",
        scenario.name,
        thousands(course.lanes.curve.total().round() as u64),
        course.lanes.curve.seconds(),
        count(cluster.shards.len() as u32, "shard"),
        args.ledger
    );
    eprintln!("opening {} accounts", thousands(course.plan.population.members.len() as u64));
    cluster.asking.open_accounts(&course.plan).await?;
    let (before, since) = cluster.asking.balances(&course.plan).await?;
    cluster.asking.open_balances(&course.plan).await?;
    Ok(Stage { cluster, course, before, since })
}

fn count(n: u32, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

async fn audit(stage: &Stage, ends: Vec<LaneEnd>) -> AuditRecord {
    let mut progress = Progress::of_time();
    let mut show = |text: String| progress.show(0, || text);
    let auditor = Auditor {
        plan: &stage.course.plan,
        lanes: &stage.course.lanes,
        asking: &stage.cluster.asking,
        ends,
        before: stage.before.clone(),
        since: stage.since,
        progress: &mut show,
    };
    let audit = auditor.audit().await;
    progress.finish();
    audit
}

fn folder_of(scenario: &str, run: RunId) -> PathBuf {
    let run = run.to_string();
    Path::new("rehearsals").join(format!("{scenario}-{}", run.get(..8).unwrap_or(&run)))
}

fn write(record: &RunRecord, folder: &Path) -> anyhow::Result<()> {
    let save = |name: &str, text: &str| {
        // Under another name until it is whole: half a record must not pass for one.
        let (path, part) = (folder.join(name), folder.join(format!("{name}.part")));
        let saved = std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, &path));
        if saved.is_err() {
            // What can't be taken away either is named as a part.
            let _ = std::fs::remove_file(&part);
        }
        saved.with_context(|| format!("writing {}", path.display()))
    };
    save("record.json", &serde_json::to_string(record)?)?;
    save("report.html", &crate::report::html(record))
}
