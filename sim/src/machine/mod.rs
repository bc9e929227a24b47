//! A machine of one shard's replica: a process that can die, a disk that can fail or be lost, a clock that can be wrong.
//!
//! [`process`] is what runs on it, [`hosting`] what a real node does to have the right replica run there.

mod clocks;
mod hosting;
mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crest_conformance::random::Random;
use crest_node::ClockSource;
use crest_node::clock::{ProcessClock, compare};
use crest_proto::internal as wire;
use crest_topology::NodeId;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::disk::{Failing, MemoryDisk};
use crate::home::MemoryHome;
use crate::peers::NetworkPeers;
use crate::plan::Plan;
use crate::rows::Map;
use crate::world::{EPOCH_NS, World, ms};
use clocks::MachineClocks;
pub(crate) use clocks::Wall;
use hosting::News;
use process::{Process, Turned};

/// What befalls a machine.
#[derive(Debug)]
pub(crate) enum Control {
    /// The process dies; with `power`, the machine does.
    Kill { power: bool },
    /// The process dies, and all that was on the disk is gone.
    LoseDisk,
    /// The process is started, unless it runs.
    Start,
    /// The process stands still.
    Pause(Duration),
    /// The disk fails like this from now on.
    FailDisk(Failing),
    /// Nothing is slow and nothing fails any more, and the process runs.
    Heal,
    /// The clock is off by this much from now on, ns.
    Clock(i64),
    /// Something is wrong with the wall clock, or all is well again.
    Wall(Option<Wall>),
    /// The machine hears of a new map.
    Look,
    /// How the replica is; nothing when none runs.
    Standing(oneshot::Sender<Option<Standing>>),
    /// Everything is written into the rows: those, and the entry that they stand at.
    Settle(oneshot::Sender<Option<(u64, Arc<Map>)>>),
}

/// How a replica is.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) replica: wire::ReplicaDescription,
    pub(crate) members: wire::Members,
    /// The commit position that a crash does not take back.
    pub(crate) durable_commit: u64,
    /// How old the oldest hold or decision in the outbox is, ns, and how many there are of each.
    pub(crate) in_doubt: (u64, usize, usize),
}

pub(crate) struct Machine {
    world: Arc<World>,
    shard: u32,
    node: NodeId,
    plan: Plan,
    random: Random,
    disk: MemoryDisk,
    home: Arc<MemoryHome>,
    /// The clock of a process that follows its wall clock.
    wall: Arc<AtomicU64>,
    clocks: MachineClocks,
    skew_ns: i64,
    /// What is wrong with the wall clock beside the skew.
    wild: Option<Wall>,
    paused_until: Instant,
    process: Option<Process>,
    /// When a process that ended by itself is started again.
    restart: Option<Instant>,
    /// Where the shard is to be, as this machine knows it.
    placement: watch::Sender<Vec<NodeId>>,
    /// From the tasks beside the process.
    news: (UnboundedSender<News>, UnboundedReceiver<News>),
    /// How many failures of the disk are accounted for.
    failures: u64,
}

impl Machine {
    pub(crate) fn new(world: &Arc<World>, node: NodeId, plan: &Plan, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let disk = MemoryDisk::new(random.number());
        let shard = world.shard_of_node(node);
        Self {
            world: world.clone(),
            shard,
            node,
            plan: plan.clone(),
            home: Arc::new(MemoryHome::new(disk.clone())),
            disk,
            random,
            wall: Arc::default(),
            clocks: MachineClocks::new(world),
            skew_ns: 0,
            wild: None,
            paused_until: Instant::now(),
            process: None,
            restart: None,
            placement: watch::Sender::new(world.placement(shard)),
            news: mpsc::unbounded_channel(),
            failures: 0,
        }
    }

    /// Runs the machine until nobody controls it any more.
    pub(crate) async fn run(mut self, mut control: UnboundedReceiver<Control>) {
        loop {
            self.turn();
            let wake = self.next_wake();
            let arrived = self.process.as_ref().and_then(Process::arrived);
            let paused = self.paused_until > Instant::now();
            let arrived = async {
                match arrived.filter(|_| !paused) {
                    Some(arrived) => arrived.notified().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                order = control.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                Some(news) = self.news.1.recv(), if !paused => self.hear(news),
                () = sleep_until(wake) => {}
                () = arrived => {}
            }
        }
    }

    fn obey(&mut self, order: Control) {
        if self.world.is_watched() && !matches!(order, Control::Standing(_)) {
            self.world.note(format_args!("node {}: {order:?}", self.node), &[]);
        }
        match order {
            Control::Kill { power } => self.kill(power),
            Control::LoseDisk => self.lose_disk(),
            Control::Start => self.start(),
            Control::Pause(time) => self.paused_until = Instant::now() + time,
            Control::FailDisk(failing) => self.disk.fail(failing),
            Control::Heal => {
                self.plan.machines.slow_append_permille = 0;
                self.plan.groups.open_fails_percent = 0;
                self.paused_until = Instant::now();
                self.disk.fail(Failing::No);
                self.start();
            }
            Control::Clock(skew_ns) => {
                self.skew_ns = skew_ns;
                self.set_wall();
            }
            Control::Wall(wild) => {
                self.wild = wild;
                self.world.set_wild(self.node, wild.is_some());
                self.set_wall();
            }
            Control::Look => {
                self.placement.send_replace(self.world.placement(self.shard));
                self.look();
            }
            Control::Standing(reply) => {
                self.set_wall();
                let _ = reply.send(self.process.as_ref().and_then(Process::standing));
            }
            Control::Settle(reply) => {
                self.set_wall();
                let settled = self.process.as_mut().and_then(Process::settle);
                let _ = reply.send(settled.map(|index| (index, self.home.rows())));
            }
        }
    }

    fn set_wall(&self) {
        let now = (EPOCH_NS + self.world.now()).saturating_add_signed(self.skew_ns);
        self.wall.store(now, Ordering::Relaxed);
        self.clocks.set(self.wild.unwrap_or(Wall::Off(self.skew_ns)));
    }

    fn next_wake(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3_600);
        let wake = match &self.process {
            Some(process) => process.next_wake(far),
            None => self.restart.unwrap_or(far),
        };
        wake.max(self.paused_until)
    }

    /// Lets the process do what it can do now.
    fn turn(&mut self) {
        let now = Instant::now();
        if self.paused_until > now {
            return;
        }
        self.set_wall();
        self.world.look_at_clock(self.node);
        if self.restart.take_if(|at| *at <= now).is_some() {
            self.start();
        }
        loop {
            let Some(process) = &mut self.process else { return };
            match process.turn(now, &mut self.random, &self.plan.machines) {
                Ok(Turned::Idle) => break,
                Ok(Turned::Reopen) => self.reopen(),
                Err(why) => return self.stopped(&why),
            }
        }
        if let Some((term, replica, leads)) = self.process.as_ref().and_then(Process::leadership) {
            self.world.set_leads(self.node, leads);
            if leads {
                self.world.record.leads(self.shard, term, replica);
            }
        }
    }

    /// The process has ended by itself: that has to be the disk's fault.
    fn stopped(&mut self, why: &str) {
        self.world.note(format_args!("node {} stopped: {why}", self.node), why.as_bytes());
        if self.disk.failures() == self.failures {
            let (node, shard) = (self.node, self.shard);
            self.world.fail(format!("node {node} of shard {shard} stopped though its disk is sound: {why}"));
        }
        self.kill(false);
        self.restart = Some(Instant::now() + ms(self.random.below(self.plan.machines.down_ms + 1)));
    }

    fn kill(&mut self, power: bool) {
        self.restart = None;
        if let Some(mut process) = self.process.take() {
            self.world.set_process(self.node, false);
            process.die(&mut self.random, &self.disk);
        }
        if power {
            self.disk.lose_power();
            self.home.lose_power();
        }
        self.disk.fail(Failing::No);
        self.failures = self.disk.failures();
    }

    fn lose_disk(&mut self) {
        let replica = self.process.as_ref().and_then(Process::replica_number);
        self.kill(true);
        self.disk.replace();
        self.home.replace();
        if let Some(replica) = replica {
            self.world.record.loses(replica);
        }
    }

    /// The clock of a process, and what compares it with the others'.
    fn start_clock(&self, end: crate::network::End) -> (ClockSource, Option<JoinHandle<()>>) {
        self.set_wall();
        if !self.plan.clocks.compared {
            return (ClockSource::Manual(self.wall.clone()), None);
        }
        let clock = ProcessClock::of_cluster(Box::new(self.clocks.clone()));
        self.world.set_clock(self.node, clock.clone());
        let peers = NetworkPeers { world: self.world.clone(), from: end, all: true };
        let comparing = tokio::spawn(compare::run(clock.clone(), Arc::new(peers)));
        (ClockSource::Process(clock), Some(comparing))
    }

    fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        self.restart = None;
        self.disk.fail(Failing::No);
        self.failures = self.disk.failures();
        // Whoever starts machines when most clocks are wrong corrects them first: nobody could tell what time it is.
        if self.wild.is_some() && self.world.mostly_wild() {
            self.obey(Control::Wall(None));
        }
        let end = self.world.set_process(self.node, true);
        self.process = Some(Process::new(end, self.start_clock(end)));
        self.placement.send_replace(self.world.placement(self.shard));
        self.look();
    }
}
