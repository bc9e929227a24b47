//! The commands that change the map: `add-node`, `remove-node`, `drain-node`, `replace-node` and `place`. Each puts the next
//! version of the map in the place of the one that it has read; the shards' leaders follow it, and the command only watches.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crest_ledger::txn::ShardId;
use crest_map_store::{MapStore, SwapError, put};
use crest_topology::{Cluster, NodeId};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::ask::{self, without_map};
use super::health::{count, ranges};
use super::plan::{self, Edit, Plan};
use super::survey::Source;
use super::wait::{self, Ended};
use super::{OfMap, refused};
use crate::commands::human::parse_patience;
use crate::commands::outcome::{Failure, Outcome};

/// How often a change is planned again since somebody else has changed the map in between.
const PLANS_MAX: usize = 8;
/// How long a shard that has no leader just now is given to have one: longer than an election.
const LEADER_PATIENCE: Duration = Duration::from_secs(4);
/// The pause before another look.
const PAUSE: Duration = Duration::from_millis(500);

/// The end of these commands' help.
fn help(example: &str) -> String {
    format!(
        "Example:\n  {example}

The plan stands on standard output before anything is done, and how far the replicas are on standard error. Ctrl-C ends only
the watching: the change goes on by itself.

Exit codes:
  0  done: the groups are as wanted (with --no-wait: the map is changed)
  1  refused, and nothing is changed: the last line says what to do
  2  the command line is wrong
  3  the map's store does not answer; whether the map was changed is said
  4  the map is changed, and the groups are not as wanted yet"
    )
}

/// How a change is made.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Manner {
    #[command(flatten)]
    pub(super) map: OfMap,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// How replicas that move are waited for.
#[derive(Clone, Debug, clap::Args)]
struct Waiting {
    /// Do not wait until the groups are as wanted
    #[arg(long)]
    no_wait: bool,
    /// How long to wait; the change goes on all the same
    #[arg(long, default_value = "1h", value_parser = parse_patience, value_name = "DURATION")]
    timeout: Duration,
}

/// `crest cluster add-node`.
#[derive(Debug, clap::Args)]
#[command(after_help = help("crest cluster add-node --id 4 --address 10.0.0.4:7101 --cluster cluster.toml"))]
pub(crate) struct AddNode {
    /// Its number: one that no other node has, or ever had
    #[arg(long)]
    id: NodeId,
    /// Where routers and other nodes reach it: host:port
    #[arg(long)]
    address: String,
    #[command(flatten)]
    pub(super) manner: Manner,
}

/// `crest cluster remove-node`.
#[derive(Debug, clap::Args)]
#[command(after_help = help("crest cluster remove-node 3 --cluster cluster.toml"))]
pub(crate) struct RemoveNode {
    /// The node
    node: NodeId,
    #[command(flatten)]
    pub(super) manner: Manner,
}

/// `crest cluster drain-node`.
#[derive(Debug, clap::Args)]
#[command(after_help = help("crest cluster drain-node 3 --cluster cluster.toml"))]
pub(crate) struct DrainNode {
    /// The node
    node: NodeId,
    #[command(flatten)]
    pub(super) manner: Manner,
    #[command(flatten)]
    waiting: Waiting,
}

/// `crest cluster replace-node`.
#[derive(Debug, clap::Args)]
#[command(after_help = help("crest cluster replace-node 3 4 --cluster cluster.toml"))]
pub(crate) struct ReplaceNode {
    /// The node that loses its replicas; it need not answer any more
    old: NodeId,
    /// The node that gets them
    new: NodeId,
    #[command(flatten)]
    pub(super) manner: Manner,
    #[command(flatten)]
    waiting: Waiting,
}

/// `crest cluster place`.
#[derive(Debug, clap::Args)]
#[command(after_help = help("crest cluster place 0 --replicas 1,2,3 --cluster cluster.toml"))]
pub(crate) struct Place {
    /// The shard
    shard: ShardId,
    /// The nodes that are to have its replicas: one, three or five
    #[arg(long, value_delimiter = ',', required = true, value_name = "NODE,…")]
    replicas: Vec<NodeId>,
    /// Also when the shard has fewer replicas afterwards
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    pub(super) manner: Manner,
    #[command(flatten)]
    waiting: Waiting,
}

pub(super) async fn add_node(args: &AddNode) -> Result<Outcome, Failure> {
    let AddNode { id, address, manner } = args;
    let edit = Edit::AddNode { node: *id, address: address.clone() };
    let next = format!(
        "Start it: crest node --cluster {} --node {id} --data-dir …\nIt has no replica yet: see crest cluster replace-node, \
         drain-node and place.",
        manner.map.cluster
    );
    Change { edit, manner, waiting: None, yes: true, next }.make().await
}

pub(super) async fn remove_node(args: &RemoveNode) -> Result<Outcome, Failure> {
    let RemoveNode { node, manner } = args;
    let next = format!("Node {node} can be stopped for good now. Its number is not to be given to another machine.");
    Change { edit: Edit::RemoveNode { node: *node }, manner, waiting: None, yes: true, next }.make().await
}

pub(super) async fn drain_node(args: &DrainNode) -> Result<Outcome, Failure> {
    let DrainNode { node, manner, waiting } = args;
    let next = format!("Node {node} has no replica any more. To take it away: crest cluster remove-node {node}");
    Change { edit: Edit::Drain { node: *node }, manner, waiting: Some(waiting), yes: true, next }.make().await
}

pub(super) async fn replace_node(args: &ReplaceNode) -> Result<Outcome, Failure> {
    let ReplaceNode { old, new, manner, waiting } = args;
    let next = format!("No group has node {old} any more. To take it away: crest cluster remove-node {old}");
    let edit = Edit::Replace { old: *old, new: *new };
    Change { edit, manner, waiting: Some(waiting), yes: true, next }.make().await
}

pub(super) async fn place(args: &Place) -> Result<Outcome, Failure> {
    let Place { shard, replicas, yes, manner, waiting } = args;
    let edit = Edit::Place { shard: *shard, nodes: replicas.clone() };
    Change { edit, manner, waiting: Some(waiting), yes: *yes, next: String::new() }.make().await
}

/// A change, from its plan to its end.
struct Change<'a> {
    edit: Edit,
    manner: &'a Manner,
    /// None for a change that moves nothing.
    waiting: Option<&'a Waiting>,
    /// Whether a shard may have fewer replicas afterwards.
    yes: bool,
    /// What to do next.
    next: String,
}

/// A change that was planned: what is to be put in the place of which version.
enum Planned {
    Refused(String),
    Ready { plan: Plan, next: Cluster },
}

impl Change<'_> {
    async fn make(self) -> Result<Outcome, Failure> {
        let store = crest_map_store::open(self.manner.map.cluster.clone());
        let mut tries = 1;
        let mut shown = None;
        let (plan, map) = loop {
            let (plan, next) = match self.plan(&*store).await? {
                Planned::Refused(why) => return Ok(refused("refused", why)),
                Planned::Ready { plan, next } => (plan, next),
            };
            let text = plan.text();
            if shown.as_ref() != Some(&text) {
                if shown.is_some() {
                    self.say("Somebody else has changed the map meanwhile. The plan is now:\n");
                }
                self.say(&text);
                shown = Some(text);
            }
            if self.manner.dry_run {
                let json = document(&plan, false, None);
                return Ok(Outcome { text: "Nothing is done: --dry-run.".to_owned(), json, refusal: None });
            }
            match put(&*store, plan.versions.0, &next).await {
                Ok(()) => break (plan, Arc::new(next)),
                Err(SwapError::Conflict { .. }) if tries < PLANS_MAX => tries += 1,
                Err(SwapError::Store(why)) => return Err(without_map(&why)),
                // Whether it was done is in the text.
                Err(why) => return Err(Failure::Unavailable(why.to_string())),
            }
        };
        self.wait(&*store, &plan, map).await
    }

    /// Plans the change on the map that is there, and looks whether it can be followed.
    async fn plan(&self, store: &dyn MapStore) -> Result<Planned, Failure> {
        let begun = Instant::now();
        loop {
            let map = store.load().await.map_err(|why| without_map(&why))?;
            let next = match self.edit.apply(&map) {
                Ok(next) => next,
                Err(why) => return Ok(Planned::Refused(why.to_string())),
            };
            let plan = Plan::between(&map, &next);
            let shrinks = plan.shrinks();
            if !self.yes && !shrinks.is_empty() {
                let shards = ranges(shrinks);
                let why = format!("shard {shards} would have fewer replicas, and survive fewer failures: give --yes");
                return Ok(Planned::Refused(why));
            }
            // Who is removed must not be in any group; otherwise only what moves matters.
            let shards = plan.removed.is_empty().then(|| plan.shards());
            let source = Source { store: store.location().to_string(), copy: None };
            let survey = ask::survey(map, source, shards.as_ref()).await;
            match plan::check(&plan, &survey) {
                Ok(warnings) => {
                    warnings.iter().for_each(|warning| eprintln!("crest: {warning}"));
                    return Ok(Planned::Ready { plan, next });
                }
                Err(why) if begun.elapsed() >= LEADER_PATIENCE => return Ok(Planned::Refused(why)),
                // It may be an election, or the end of the change before.
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn wait(&self, store: &dyn MapStore, plan: &Plan, map: Arc<Cluster>) -> Result<Outcome, Failure> {
        let begun = Instant::now();
        let version = map.version;
        let waiting = self.waiting.filter(|waiting| !waiting.no_wait && !plan.moves.is_empty());
        let ended = match waiting {
            Some(waiting) => wait::until_as_wanted(store, map, &plan.shards(), waiting.timeout).await,
            None => Ended::Done,
        };
        let seconds = begun.elapsed().as_secs_f64();
        let location = &self.manner.map.cluster;
        let watch = format!("watch it with: crest cluster status --cluster {location} --watch");
        let moves = count(plan.moves.len(), "shard");
        match (ended, waiting) {
            (Ended::Done, Some(_)) => Ok(Outcome {
                text: format!("Done: {moves} as wanted, after {seconds:.1} s.\n{}", self.next),
                json: document(plan, true, Some(seconds)),
                refusal: None,
            }),
            (Ended::Done, None) if plan.moves.is_empty() => Ok(Outcome {
                text: format!("Done: the map has version {version}.\n{}", self.next),
                json: document(plan, true, Some(seconds)),
                refusal: None,
            }),
            (Ended::Done, None) => Ok(Outcome {
                text: format!("The map has version {version}, and {moves} will follow it; {watch}"),
                json: document(plan, false, None),
                refusal: None,
            }),
            (Ended::Late | Ended::Interrupted, _) => {
                let why = if ended == Ended::Late { "not within the time given" } else { "not waited for any longer" };
                let text = format!(
                    "{why}: the map has version {version}, and the replicas go on moving by themselves; {watch}"
                );
                let shown = Outcome { text: String::new(), json: document(plan, false, Some(seconds)), refusal: None };
                Err(Failure::Attention { shown: Box::new(shown), text, code: 4 })
            }
        }
    }

    /// Says something before the outcome, for people.
    fn say(&self, text: &str) {
        if !self.manner.map.json {
            // Nobody may be reading any more; the change is made all the same.
            let _ = std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush());
        }
    }
}

/// What was done, for programs.
fn document(plan: &Plan, done: bool, seconds: Option<f64>) -> Value {
    let mut document = plan.document();
    document["done"] = json!(done);
    document["seconds"] = json!(seconds);
    document
}
