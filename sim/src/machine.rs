//! A shard's machine: a process that can die, a disk that can fail, a clock that can be wrong.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crest_conformance::random::Random;
use crest_node::log::Options as LogOptions;
use crest_node::replica::{Job, Worker};
use crest_node::{ClockSource, Replica, ReplicaConfig};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::disk::{Failing, MemoryDisk};
use crate::network::links;
use crate::plan::MachinePlan;
use crate::rows::MemoryRows;
use crate::world::{EPOCH_NS, World, ms};

/// What befalls a machine.
#[derive(Debug)]
pub(crate) enum Control {
    /// The process dies; with `power`, the machine does.
    Kill { power: bool },
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
    /// How old the oldest hold and the oldest decision in the outbox are, ns; nothing when the process is down.
    Oldest(oneshot::Sender<Option<(u64, usize, usize)>>),
}

pub(crate) struct Machine {
    world: Arc<World>,
    shard: u32,
    plan: MachinePlan,
    random: Random,
    disk: MemoryDisk,
    rows: Arc<MemoryRows>,
    wall: Arc<AtomicU64>,
    skew_ns: i64,
    paused_until: Instant,
    process: Option<Process>,
    /// How many failures of the disk are accounted for.
    failures: u64,
}

struct Process {
    replica: Replica,
    recovery: JoinHandle<()>,
    append: Option<(Instant, Job)>,
    checkpoint: Option<(Instant, Job)>,
    next_tick: Instant,
}

impl Machine {
    pub(crate) fn new(world: &Arc<World>, shard: u32, plan: MachinePlan, seed: u64, rows: Arc<MemoryRows>) -> Self {
        let mut random = Random::new(seed);
        Self {
            world: world.clone(),
            shard,
            plan,
            disk: MemoryDisk::new(random.number()),
            random,
            rows,
            wall: Arc::default(),
            skew_ns: 0,
            paused_until: Instant::now(),
            process: None,
            failures: 0,
        }
    }

    /// Runs the machine until nobody controls it any more.
    pub(crate) async fn run(mut self, mut control: UnboundedReceiver<Control>) {
        loop {
            self.turn();
            let wake = self.next_wake();
            let arrived = self.process.as_ref().map(|p| p.replica.arrived());
            let arrived = async {
                match arrived.filter(|_| self.paused_until <= Instant::now()) {
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
                () = sleep_until(wake) => {}
                () = arrived => {}
            }
        }
    }

    fn obey(&mut self, order: Control) {
        if self.world.is_watched() {
            self.world.note(format_args!("shard {}: {order:?}", self.shard), &[]);
        }
        match order {
            Control::Kill { power } => self.kill(power),
            Control::Start => self.start(),
            Control::Pause(time) => self.paused_until = Instant::now() + time,
            Control::FailDisk(failing) => self.disk.fail(failing),
            Control::Heal => {
                self.plan.slow_append_permille = 0;
                self.paused_until = Instant::now();
                self.disk.fail(Failing::No);
                self.start();
            }
            Control::Clock(skew_ns) => self.skew_ns = skew_ns,
            Control::Oldest(reply) => {
                self.set_wall();
                let _ = reply.send(self.process.as_ref().map(|p| p.replica.in_doubt()));
            }
        }
    }

    fn set_wall(&self) {
        let now = (EPOCH_NS + self.world.now()).saturating_add_signed(self.skew_ns);
        self.wall.store(now, Ordering::Relaxed);
    }

    fn next_wake(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3_600);
        let Some(process) = &self.process else { return far };
        let jobs = [&process.append, &process.checkpoint].into_iter().flatten().map(|(at, _)| *at);
        jobs.fold(process.next_tick, Instant::min).max(self.paused_until)
    }

    /// Lets the process do what it can do now.
    fn turn(&mut self) {
        let now = Instant::now();
        if self.paused_until > now {
            return;
        }
        self.set_wall();
        loop {
            let Some(process) = &mut self.process else { return };
            if let Err(why) = process.replica.turn() {
                self.stopped(&why);
                return;
            }
            let (random, plan) = (&mut self.random, &self.plan);
            while let Some(job) = process.replica.next_job(Worker::Audit) {
                process.replica.work(job);
            }
            if process.append.is_none() {
                let slow = random.below(1_000) < plan.slow_append_permille;
                let max = if slow { 2_000 } else { plan.append_ms };
                process.append =
                    process.replica.next_job(Worker::Log).map(|job| (now + ms(random.below(max + 1)), job));
            }
            if process.checkpoint.is_none() {
                process.checkpoint = process
                    .replica
                    .next_job(Worker::Checkpoint)
                    .map(|job| (now + ms(random.below(10 * plan.append_ms + 1)), job));
            }
            let due = |slot: &mut Option<(Instant, Job)>| slot.take_if(|(at, _)| *at <= now).map(|(_, job)| job);
            match due(&mut process.append).or_else(|| due(&mut process.checkpoint)) {
                Some(job) => process.replica.work(job),
                None => break,
            }
        }
        if let Some(process) = &mut self.process {
            process.next_tick = now + crest_node::limits::TICK;
        }
    }

    /// The process has ended by itself: that has to be the disk's fault.
    fn stopped(&mut self, why: &str) {
        self.world.note(format_args!("shard {} stopped: {why}", self.shard), why.as_bytes());
        if self.disk.failures() == self.failures {
            self.world.fail(format!("shard {} stopped though its disk is sound: {why}", self.shard));
        }
        self.failures = self.disk.failures();
        self.kill(false);
    }

    fn kill(&mut self, power: bool) {
        let Some(mut process) = self.process.take() else { return };
        self.world.set_shard(self.shard, None);
        process.recovery.abort();
        // An append that was under way may have reached the cache and even the disk, but nobody has heard of it.
        if let Some((_, job)) = process.append.take()
            && self.random.chance(70)
        {
            let synced = self.random.chance(30);
            self.disk.fail(if synced { Failing::No } else { Failing::Syncs });
            process.replica.work(job);
        }
        if let Some((_, job)) = process.checkpoint.take()
            && self.random.chance(50)
        {
            process.replica.work(job);
        }
        drop(process);
        if power {
            self.disk.lose_power();
        }
        self.disk.fail(Failing::No);
        self.failures = self.disk.failures();
    }

    fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        self.set_wall();
        self.disk.fail(Failing::No);
        let opened = Replica::open(ReplicaConfig {
            cluster: "simulated".to_owned(),
            shard: self.shard,
            map: self.world.map.clone(),
            clock: ClockSource::Manual(self.wall.clone()),
            disk: Arc::new(self.disk.clone()),
            log_dir: PathBuf::from("/log"),
            log: LogOptions { segment_bytes: 64 << 10 },
            rows: self.rows.clone(),
        });
        match opened {
            Ok(replica) => {
                let handle = replica.handle();
                let end = self.world.set_shard(self.shard, Some(handle.clone()));
                let recovery = tokio::spawn(crest_node::recovery::run(handle, links(&self.world, end)));
                let next_tick = Instant::now();
                self.process = Some(Process { replica, recovery, append: None, checkpoint: None, next_tick });
            }
            Err(why) => self.world.fail(format!("shard {} does not open again: {why:#}", self.shard)),
        }
    }
}
