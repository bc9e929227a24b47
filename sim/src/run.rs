//! One run: a cluster, its clients and its faults, for as long as the clients have something to do; then the checks.

use std::sync::Arc;
use std::time::Duration;

use crest_conformance::random::Random;
use crest_node::store::contents::Contents;
use crest_topology::SlotMap;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep};

use crate::client::Scene;
use crate::faults::Faults;
use crate::front::Front;
use crate::history::History;
use crate::invariants::{self, Times};
use crate::machine::{Control, Machine};
use crate::network::Network;
use crate::plan::Plan;
use crate::record::Happened;
use crate::rows::MemoryRows;
use crate::trace::Trace;
use crate::truth::Truth;
use crate::workload::{Bank, Request};
use crate::world::World;

/// The longest timeout that clients give a pending transfer.
const TIMEOUT_MAX: Duration = Duration::from_secs(4);

/// How soon after its time a reservation is released: shards look every 50 ms, and between two of them there are two messages.
const EXPIRY: Duration = Duration::from_secs(1);

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What the seed decided.
    pub plan: Plan,
    /// What does not hold; nothing when all is well.
    pub wrong: Vec<String>,
    /// A number that two runs share only when they took the same course.
    pub trace: u64,
    /// How many things happened.
    pub events: u64,
    /// Virtual time that passed.
    pub virtual_time: Duration,
    /// Transfers that the ledger has at the end.
    pub transfers: u64,
    /// Of which are between shards.
    pub cross_shard: u64,
    /// Tries whose outcome was unknown.
    pub unknown: u64,
    /// Reads that were checked.
    pub reads: u64,
    /// What befell the groups.
    pub happened: Happened,
}

/// Runs a seed; with `print`, everything that happens goes to the standard error.
///
/// # Panics
/// When the code under test does, or the runtime can't be built.
pub fn run(seed: u64, print: bool) -> Report {
    run_plan(seed, Plan::of(seed), print)
}

/// As [`run`], with a plan of the caller's.
///
/// # Panics
/// As [`run`].
pub fn run_plan(seed: u64, plan: Plan, print: bool) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without input and output needs nothing");
    let local = LocalSet::new();
    let report = local.block_on(&runtime, simulate(seed, plan, print));
    // What is still under way belongs to the runtime, and goes with it.
    drop(local);
    report
}

async fn simulate(seed: u64, plan: Plan, print: bool) -> Report {
    let mut random = Random::new(seed);
    let mut next = || random.number();
    let map = SlotMap::even(&(0..plan.shards).collect::<Vec<_>>()).expect("a plan has at least one shard");
    let calm =
        Network::new(crate::plan::NetworkPlan { lost_permille: 0, repeated_permille: 0, ..plan.network }, next());
    let world = Arc::new(World::new(map.clone(), plan.routers, &plan.groups, calm, Trace::new(print)));
    world.note(format_args!("seed {seed}: {plan:#?}"), &seed.to_le_bytes());
    let bank = Arc::new(Bank::new(plan.accounts, plan.imports, &mut Random::new(next())));
    let (machines, mut running) = start_machines(&world, &plan, next());
    let front = Arc::new(Front::new(&world, plan.routers, next()));
    let (healed_in, healed) = watch::channel(false);
    let history = Arc::new(History::default());
    let scene =
        Scene { world: world.clone(), front: front.clone(), bank: bank.clone(), history: history.clone(), healed };
    let faults = Faults { world: world.clone(), front, machines: machines.clone(), plan: plan.clone() };
    faults.set_clocks(&mut Random::new(next()));
    machines.iter().for_each(|machine| drop(machine.send(Control::Start)));
    fund(&scene, &bank, next()).await;

    *world.network() = Network::new(plan.network, next());
    let going_wrong = tokio::task::spawn_local(faults.clone().run(next()));
    let (stop_reading, stop) = watch::channel(false);
    let mut readers = JoinSet::new();
    for _ in 0..plan.readers {
        readers.spawn_local(scene.clone().reader(next(), stop.clone()));
    }
    let mut clients = JoinSet::new();
    for client in 0..plan.clients {
        clients.spawn_local(scene.clone().client(client, plan.clone(), next()));
    }
    // Things go wrong for as long as the clients work, within reason; then everybody has to come to an end.
    let until = Duration::from_millis(2_000 + 20 * Random::new(next()).below(500));
    let finished = tokio::time::timeout(until, async { while clients.join_next().await.is_some() {} }).await.is_ok();
    going_wrong.abort();
    faults.heal();
    let healed_at = Instant::now();
    let _ = healed_in.send(true);
    // A process may find only now that its disk has failed, and is started again.
    sleep(Duration::from_millis(200)).await;
    faults.heal();
    let _ = stop_reading.send(true);
    // A message that is still on its way is a failure that has not ended.
    let late = plan.network.slow_percent > 0 || plan.network.repeated_permille > 0;
    sleep(Duration::from_millis(if late { 2 * plan.network.slow_ms } else { 0 })).await;
    faults.until_led().await;
    if world.was_misled() {
        align(&scene).await;
    }
    faults.until_quiet().await;
    if let Some(Err(panic)) = running.try_join_next() {
        // A process that panicked: nothing that comes later means anything.
        std::panic::resume_unwind(panic.into_panic());
    }
    if !finished {
        while clients.join_next().await.is_some() {}
    }
    while readers.join_next().await.is_some() {}
    // The last timeouts: expiries are not what is in doubt.
    if plan.mix.pending + plan.mix.balancing + plan.mix.closing > 0 {
        sleep(TIMEOUT_MAX + EXPIRY).await;
    }
    faults.until_quiet().await;
    faults.until_placed(healed_at).await;
    audit(&scene).await;
    let kept = faults.keep_all().await;
    let first = |shard: u32| kept.iter().find(|kept| kept.shard == shard);
    let rows = |shard| first(shard).map(|kept| MemoryRows::new((*kept.rows).clone())).unwrap_or_default();
    let contents = (0..plan.shards).map(|shard| Contents::read(&rows(shard)).expect("rows in memory are sound"));
    let truth = Truth::new(map, contents.collect());
    let mut wrong = world.failures();
    // A process that was started with a wrong clock where nobody could contradict it may have stamped with it.
    let times = match (world.was_misled(), plan.clocks.compared) {
        (true, _) => Times::Misled,
        (false, true) => Times::Compared { until: world.now() },
        (false, false) => Times::Followed,
    };
    wrong.extend(invariants::check(&truth, &history, &world.record, &kept, times));
    report(seed, plan, &world, &history, &truth, wrong)
}

fn start_machines(world: &Arc<World>, plan: &Plan, seed: u64) -> (Vec<UnboundedSender<Control>>, JoinSet<()>) {
    let mut random = Random::new(seed);
    let mut machines = Vec::new();
    let mut running = JoinSet::new();
    for node in world.nodes() {
        let (control, orders) = mpsc::unbounded_channel();
        let machine = Machine::new(world, node, plan, random.number());
        running.spawn_local(machine.run(orders));
        machines.push(control);
    }
    (machines, running)
}

/// Before anything fails: the accounts, and money for those that have limits.
async fn fund(scene: &Scene, bank: &Bank, seed: u64) {
    let mut random = Random::new(seed);
    for shard in scene.world.map.shards() {
        while scene.world.leader(*shard).is_none() {
            sleep(Duration::from_millis(1)).await;
        }
    }
    scene.settle(u64::MAX, Request::Accounts(bank.accounts.clone()), &mut random).await;
    let funding = bank.funding();
    if !funding.is_empty() {
        scene.settle(u64::MAX - 1, Request::Transfers(funding, true), &mut random).await;
    }
}

/// What an operator does when a shard's time was carried away.
async fn align(scene: &Scene) {
    let ask = |router: crest_router::Router| async move { Ok(router.align_shard_times(false).await) };
    let times = scene.front.ask(0, Duration::from_secs(60), ask).await;
    scene.world.note(format_args!("the shards' times are aligned: {times:?}"), &[]);
    if times.is_ok_and(|times| times.iter().any(|time| time.advanced.is_err())) {
        scene.world.fail("the shards' times can't be aligned though nothing fails any more".to_owned());
    }
}

/// The ledger's own audit; it also brings everything into the rows.
async fn audit(scene: &Scene) {
    let ask = |router: crest_router::Router| async move { router.audit().await };
    match scene.front.ask(0, Duration::from_secs(60), ask).await {
        Ok(audit) => audit.findings.into_iter().for_each(|what| scene.world.fail(format!("the audit: {what}"))),
        Err(why) => scene.world.fail(format!("no audit though nothing fails any more: {why:?}")),
    }
}

fn report(seed: u64, plan: Plan, world: &World, history: &History, truth: &Truth, wrong: Vec<String>) -> Report {
    let (trace, events) = world.trace_result();
    let tries = history.transfers();
    Report {
        seed,
        plan,
        wrong,
        trace,
        events,
        virtual_time: Duration::from_nanos(world.now()),
        transfers: truth.by_id.len() as u64,
        cross_shard: truth.transfers.values().filter(|(_, shards)| shards.len() > 1).count() as u64,
        unknown: tries.iter().filter(|t| t.outcome == crate::history::Outcome::Unknown).count() as u64,
        reads: history.reads().len() as u64,
        happened: world.record.happened(),
    }
}
