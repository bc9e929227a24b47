//! Everything that has to be settled before anything is sent: the scenario with what the command line changes in it, the
//! cluster, the plan.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use crest_ledger::limits::BATCH_EVENTS_MAX;
use crest_proto::v1;
use crest_topology::{SlotMap, SlotRange};

use super::args::RunArgs;
use super::asking::Asking;
use super::books::Books;
use super::course::Lanes;
use super::events;
use super::file::Payments;
use super::ids::{REQUESTS_MAX, RunId};
use super::lanes::Sending;
use super::local::Local;
use super::plan::Plan;
use super::population::Population;
use crate::curve::Curve;
use crate::record::ClusterRecord;
use crate::scenario::{Arrivals, Opened, SCALES, Scenario, Source, within};

/// Bytes that the books may take: one for each transfer that may be sent.
const BOOKS_BYTES_MAX: u64 = 8 << 30;
/// Requests in flight on one connection (the public API's limit; on streams, 16 of 64 each).
const CONNECTION_REQUESTS_MAX: u32 = 1_024;
/// How long the first look at the cluster may take.
const STATUS: Duration = Duration::from_secs(10);

/// A scenario as it is going to be played, with its text.
pub(crate) struct Script {
    pub(crate) scenario: Scenario,
    pub(crate) text: String,
    /// Those of a file.
    payments: Option<Payments>,
}

impl Script {
    /// Reads the scenario that `args` name, and changes in it what they say.
    ///
    /// # Errors
    /// When there is no such scenario, or it does not say what a scenario has to.
    pub(crate) fn read(args: &RunArgs) -> anyhow::Result<Self> {
        let Opened { mut scenario, text } = Scenario::open(&args.scenario)?;
        Wish::of(args).apply(&mut scenario)?;
        match (&mut scenario.source, &args.file) {
            (Source::File(source), Some(file)) => source.file.clone_from(file),
            (Source::Mix(_), Some(_)) => {
                bail!("--file: the scenario {} draws its payments; it has no file", scenario.name)
            }
            _ => {}
        }
        if args.speed.is_some() {
            match &mut scenario.source {
                Source::File(source) => source.speed = args.speed,
                Source::Mix(_) => {
                    bail!("--speed: the scenario {} has no file whose dates could be followed", scenario.name)
                }
            }
        }
        let mut payments = None;
        if let Source::File(source) = &scenario.source {
            if !args.agent.is_empty() {
                bail!("--agent: agents don't have the file of payments; send it from here");
            }
            if source.file.as_os_str().is_empty() {
                bail!("--file is needed: the scenario {} pays what a file says", scenario.name);
            }
            let read = Payments::read(&source.file, source.scale, args.ledger)?;
            if let Some(speed) = source.speed {
                scenario.phases = vec![read.phase(speed)?];
                if let Some(late) = scenario.events.iter().find(|event| event.until() > scenario.duration()) {
                    bail!("--speed: the file takes {:?}, and an event is at {:?}", scenario.duration(), late.at);
                }
            }
            payments = Some(read);
        }
        Ok(Self { scenario, text, payments })
    }

    /// A scenario that draws its payments, for an agent.
    ///
    /// # Errors
    /// When it does not say what a scenario has to, or has a file as its source.
    pub(crate) fn directed(text: String, wish: &Wish) -> anyhow::Result<Self> {
        let mut scenario = Scenario::parse(&text, "the scenario")?;
        wish.apply(&mut scenario)?;
        if matches!(scenario.source, Source::File(_)) {
            bail!("the scenario's payments are those of a file, and agents don't have it");
        }
        Ok(Self { scenario, text, payments: None })
    }
}

/// What the command line changes in a scenario, and what it adds: with the scenario's text, all that a plan follows from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) batch: Option<u32>,
    pub(crate) in_flight: Option<u32>,
    pub(crate) scale: f64,
    pub(crate) seed: u64,
    pub(crate) ledger: u32,
}

impl Wish {
    /// What `args` say.
    pub(crate) fn of(args: &RunArgs) -> Self {
        let &RunArgs { batch, in_flight, scale, seed, ledger, .. } = args;
        Self { batch, in_flight, scale, seed, ledger }
    }

    /// Changes the scenario.
    ///
    /// # Errors
    /// When that does not fit the rest of it.
    pub(crate) fn apply(&self, scenario: &mut Scenario) -> anyhow::Result<()> {
        if let Some(batch) = self.batch {
            scenario.requests.batch = batch;
        }
        if let Some(in_flight) = self.in_flight {
            scenario.requests.in_flight_max = in_flight;
        }
        let legs = match &scenario.source {
            Source::Mix(mix) if mix.chain > 0.0 => mix.chain_legs,
            _ => 1,
        };
        let transfers = scenario.requests.batch.saturating_mul(legs);
        if transfers as usize > BATCH_EVENTS_MAX {
            bail!(
                "--batch {}: a request may hold {BATCH_EVENTS_MAX} transfers, and chains have {legs}",
                scenario.requests.batch
            );
        }
        let (in_flight, connections) = (scenario.requests.in_flight_max, scenario.requests.connections);
        if in_flight < connections || in_flight > connections * CONNECTION_REQUESTS_MAX {
            bail!(
                "--in-flight {in_flight}: with the scenario's {connections} connections, from {connections} to {}",
                connections * CONNECTION_REQUESTS_MAX
            );
        }
        within(self.scale, &SCALES).map_err(|why| anyhow::anyhow!("--scale: {why}"))?;
        Ok(())
    }
}

/// The cluster, and how to reach it.
pub(crate) struct Cluster {
    pub(crate) routers: Vec<String>,
    pub(crate) map: SlotMap,
    pub(crate) shards: Vec<u32>,
    pub(crate) asking: Asking,
    /// When the rehearsal has started it.
    pub(crate) local: Arc<Mutex<Option<Local>>>,
    pub(crate) record: ClusterRecord,
}

impl Cluster {
    /// Starts the cluster that `args` ask for, or looks at the one that they name; all shards have to answer.
    ///
    /// # Errors
    /// When it does not start, is not reached, or can't do what the scenario's events say.
    pub(crate) async fn reach(args: &RunArgs, scenario: &Scenario) -> anyhow::Result<Self> {
        if args.local.is_none() {
            events::check(&scenario.events, None, 0)?;
        }
        let local = match args.local {
            Some(shards) => {
                events::check(&scenario.events, Some((shards, args.local_routers)), shards)?;
                Some(Local::start(shards, args.local_routers, args.local_dir.as_deref()).await?)
            }
            None => None,
        };
        let routers = match &local {
            Some(local) => local.routers(),
            None => args.routers(),
        };
        let asking = Asking::connect(&routers).await?;
        let status = asking.status(STATUS).await?;
        if let Some(down) = status.shards.iter().find(|shard| !shard.reachable) {
            bail!(
                "shard {} does not answer: {}; a rehearsal begins on a cluster that is whole",
                down.shard,
                down.error
            );
        }
        let shards: Vec<u32> = status.shards.iter().map(|shard| shard.shard).collect();
        let map = map_of(&status).context("the router's status makes no map")?;
        let record = ClusterRecord {
            routers: routers.clone(),
            shards: shards.len() as u32,
            epoch: status.epoch,
            local: local.is_some(),
        };
        Ok(Self { routers, map, shards, asking, local: Arc::new(Mutex::new(local)), record })
    }
}

impl Cluster {
    /// Stops it, when the rehearsal has started it. `keep` says that somebody has to look at its data.
    pub(crate) async fn stop(&self, keep: bool) {
        let local = self.local.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut local) = local else { return };
        eprintln!("stopping the cluster");
        let kept = if keep { local.keep() } else { None };
        local.stop().await;
        if let Some(folder) = kept {
            eprintln!("its data and logs are kept in {}", folder.display());
        }
    }
}

/// The slot map as the router has it.
fn map_of(status: &v1::StatusResponse) -> anyhow::Result<SlotMap> {
    let shards: Vec<u32> = status.shards.iter().map(|shard| shard.shard).collect();
    let mut ranges = Vec::new();
    for shard in &status.shards {
        for range in &shard.slots {
            let (first, last) = (u16::try_from(range.first)?, u16::try_from(range.last)?);
            ranges.push(SlotRange { shard: shard.shard, first, last });
        }
    }
    Ok(SlotMap::from_ranges(status.epoch, &shards, &ranges)?)
}

/// Everything that whoever sends has to know: the plan, its lanes, and how to send.
pub(crate) struct Prepared {
    pub(crate) plan: Arc<Plan>,
    pub(crate) lanes: Lanes,
    pub(crate) sending: Sending,
}

/// Works out who sends what and when.
///
/// # Errors
/// When the cluster's shards don't allow it, or it is too much for this machine's memory.
pub(crate) fn course(
    wish: &Wish,
    script: &Script,
    map: &SlotMap,
    routers: &[String],
    run: RunId,
    agents: u32,
) -> anyhow::Result<Prepared> {
    let scenario = &script.scenario;
    let plan = match (&scenario.source, &script.payments) {
        (Source::Mix(mix), _) => {
            let population = Population::new(&scenario.population, map, wish.ledger, wish.seed)?;
            Plan::of_mix(scenario, mix, population, run, wish.ledger, wish.seed)
        }
        (Source::File(_), Some(payments)) => {
            let population = Population::named(payments.accounts.clone(), map);
            Plan::of_rows(payments.rows.clone(), scenario.requests.batch, population, run, wish.ledger)
        }
        (Source::File(_), None) => bail!("the scenario's file was not read"),
    };
    let curve = Curve::new(&scenario.phases, &scenario.events, wish.scale);
    let requests = &scenario.requests;
    let lanes = Lanes {
        curve: Arc::new(curve),
        transfers_per_request: plan.transfers_per_operation() * f64::from(plan.batch),
        // A file is sent in its order: lanes that draw their own instants would drift apart.
        arrivals: if script.payments.is_some() { Arrivals::Fixed } else { requests.arrivals },
        count: requests.connections * agents,
        requests: plan.requests(),
        seed: wish.seed,
    };
    let rows = lanes.rows().saturating_mul(u64::from(lanes.count));
    let bytes = rows.saturating_mul(Books::row_bytes(&plan) as u64);
    if rows >= REQUESTS_MAX || bytes > BOOKS_BYTES_MAX {
        bail!(
            "{} transfers are planned: their books would take {} MiB, and may take {} MiB; make the run shorter, or --scale it",
            lanes.curve.total() as u64,
            bytes >> 20,
            BOOKS_BYTES_MAX >> 20
        );
    }
    let sending = Sending {
        routers: routers.to_vec(),
        stream: requests.stream,
        window: (requests.in_flight_max / requests.connections).max(1) as usize,
        deadline: requests.deadline,
        retry_for: requests.retry_for,
    };
    Ok(Prepared { plan: Arc::new(plan), lanes, sending })
}
