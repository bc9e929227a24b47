//! `crest restore`: the shards of a node, made out of a backup while nothing runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crest_ledger::txn::ShardId;
use crest_ledger::wire::backup::BackupKind;
use crest_loadgen::progress::Progress;
use crest_node::restore::{Plan, Restore, RestoreError, Restored};
use crest_topology::{Cluster, NodeId};
use serde_json::json;

use super::backup::Stopped;
use super::human::format_time;
use super::outcome::{Failure, Outcome, print};
use super::rows::Table;
use crate::backup::folder::Folder;
use crate::backup::manifest::Manifest;
use crate::backup::{BackupError, blocks};

/// `crest restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  crest restore --from /backups/pay --cluster cluster.toml --node 1 --data-dir ./node-1

The cluster file is the new cluster's: another name, other addresses, another number of shards are all right. Run it once for
every node of the file, each on its own machine or data folder, all from the same backup; then start the nodes and a router,
and run crest audit before payments go on. Nothing of the old cluster may run any more, or reach the new one.

Exit codes:
  0  the shards are made
  1  refused: the backup is damaged or does not hold together, or the data folder is not empty; the text names the file
  2  the command line or the cluster file is wrong
  3  it could not be done: a disk is full or fails")]
pub struct Args {
    /// The folder of the backups
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The instant of the backup, ns: the name of its folder [default: the newest]
    #[arg(long, value_name = "NS")]
    at: Option<u64>,
    /// The cluster file of the new cluster
    #[arg(long, value_name = "FILE")]
    cluster: PathBuf,
    /// Which of its nodes, from 1
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    node: NodeId,
    /// The node's data folder: shard N is made in its shard-N
    #[arg(long)]
    data_dir: PathBuf,
    /// Print one JSON document; numbers of 64 bits are strings
    #[arg(long)]
    json: bool,
}

/// Runs `crest restore` and prints what came of it.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let json = args.json;
    let ended = tokio::task::spawn_blocking(move || execute(&args)).await?;
    print(ended, json)
}

pub(super) fn execute(args: &Args) -> Result<Outcome, Failure> {
    make(args).or_else(Stopped::into_outcome)
}

fn make(args: &Args) -> Result<Outcome, Stopped> {
    let usage = |why: String| Stopped::from(Failure::Usage(why));
    let cluster = Cluster::load(&args.cluster).map_err(|e| usage(format!("{}: {e}", args.cluster.display())))?;
    let shards = shards_of(&cluster, args.node);
    if shards.is_empty() {
        return Err(usage(format!("--node {}: {} has no shard there", args.node, args.cluster.display())));
    }
    let folder = Folder::at(&args.from);
    let instants = folder.instants()?;
    let none = || Stopped::Refused(format!("{}: there is no complete backup", args.from.display()));
    let newest = *instants.last().ok_or_else(none)?;
    let at = args.at.unwrap_or(newest);
    if !instants.contains(&at) {
        let known: Vec<String> = instants.iter().map(u64::to_string).collect();
        return Err(usage(format!("--at {at}: {} has {}", args.from.display(), known.join(", "))));
    }
    let chain = folder.chain(at)?;
    let newest = chain.last().ok_or_else(none)?;
    let from = newest.map().map_err(|why| Stopped::Refused(format!("the slots of the backup at {at}: {why}")))?;
    let plan = Plan {
        cluster: cluster.name.clone(),
        map: cluster.map.clone(),
        node: args.node,
        shards,
        from,
        at,
        data_dir: args.data_dir.clone(),
        log: crate::serve::node::log_options(),
    };
    let restored = restore(&folder, &chain, plan)?;
    Ok(outcome(newest, &cluster, &restored))
}

/// The shards that are placed on a node, with the nodes of their replicas.
fn shards_of(cluster: &Cluster, node: NodeId) -> BTreeMap<ShardId, Vec<NodeId>> {
    cluster.shards_on(node).map(|shard| (shard, cluster.replicas_of(shard).to_vec())).collect()
}

/// Reads all files of the chain, and builds the shards.
fn restore(folder: &Folder, chain: &[Manifest], plan: Plan) -> Result<Vec<Restored>, RestoreStopped> {
    let mut restore = Restore::begin(plan)?;
    let bytes: u64 = chain.iter().map(Manifest::bytes).sum();
    let mut progress = Progress::of_bytes(bytes);
    let mut read = 0;
    for (n, manifest) in chain.iter().enumerate() {
        let newest = n + 1 == chain.len();
        let dir = folder.path(manifest.at);
        for shard in &manifest.shards {
            for entry in &shard.files {
                let of = entry.of(shard.shard, manifest.at);
                let of = of.ok_or_else(|| BackupError::wrong(&dir.join(&entry.name), "is of no kind that there is"))?;
                // Every backup has all resolutions that were kept.
                if of.kind == BackupKind::Resolutions && !newest {
                    continue;
                }
                blocks::read(&dir, of, entry, |rows| {
                    read += rows.len() as u64;
                    progress.show(read, || format!("{} of {} MiB read", read >> 20, bytes >> 20));
                    restore.take(shard.shard, of.kind, rows).map_err(|e| RestoreStopped::of(e, &dir.join(&entry.name)))
                })?;
            }
        }
    }
    let mut written = 0;
    let restored = restore.build(|rows| {
        written += rows;
        progress.show(bytes, || format!("all read, {written} rows written"));
    })?;
    progress.finish();
    Ok(restored)
}

/// Why nothing was restored.
struct RestoreStopped(Stopped);

impl RestoreStopped {
    fn of(e: RestoreError, file: &Path) -> Self {
        match e {
            RestoreError::Backup(why) => Self(Stopped::Refused(format!("{}: {why}", file.display()))),
            e => e.into(),
        }
    }
}

impl From<RestoreError> for RestoreStopped {
    fn from(e: RestoreError) -> Self {
        Self(match e {
            RestoreError::Backup(_) | RestoreError::NotEmpty { .. } => Stopped::Refused(e.to_string()),
            e => Stopped::unavailable(e.to_string()),
        })
    }
}

impl From<BackupError> for RestoreStopped {
    fn from(e: BackupError) -> Self {
        Self(e.into())
    }
}

impl From<RestoreStopped> for Stopped {
    fn from(stopped: RestoreStopped) -> Self {
        stopped.0
    }
}

fn outcome(manifest: &Manifest, cluster: &Cluster, restored: &[Restored]) -> Outcome {
    let mut table = Table::new(&["SHARD", "ACCOUNTS", "TRANSFERS", "PENDING", "FAILED IDS"]);
    let mut shards = Vec::new();
    for r in restored {
        let numbers = [u64::from(r.shard), r.accounts, r.transfers, r.pending, r.failed_ids];
        table.row(numbers.iter().map(u64::to_string).collect());
        shards.push(json!({
            "shard": r.shard,
            "accounts": r.accounts.to_string(),
            "transfers": r.transfers.to_string(),
            "pending": r.pending.to_string(),
            "failed_ids": r.failed_ids.to_string(),
        }));
    }
    let text = format!(
        "RESTORED for cluster {}, from the backup of cluster {} at {}\n\n{}\nEvery balance is what its transfers come to. When \
         all nodes are restored and run: crest audit\n",
        cluster.name,
        manifest.cluster,
        format_time(manifest.at),
        table.text()
    );
    let json = json!({
        "cluster": cluster.name,
        "from_cluster": manifest.cluster,
        "timestamp": manifest.at.to_string(),
        "shards": shards,
    });
    Outcome { text, json, refusal: None }
}
