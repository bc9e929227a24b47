//! A process on a machine: at the most one replica, with the jobs that it has others do, which take their time.

use std::sync::Arc;

use crest_conformance::random::Random;
use crest_node::replica::{Job, Worker};
use crest_node::{ClockSource, Replica};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Standing;
use crate::disk::{Failing, MemoryDisk};
use crate::network::End;
use crate::plan::MachinePlan;
use crate::world::ms;

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// There is nothing to do just now.
    Idle,
    /// A snapshot takes the replica's place.
    Reopen,
}

pub(super) struct Process {
    pub(super) end: End,
    replica: Option<Running>,
    /// The task that finds out what the replica is to be.
    pub(super) choosing: Option<JoinHandle<()>>,
    pub(super) clock: ClockSource,
    /// The task that compares the clock with the other nodes'.
    comparing: Option<JoinHandle<()>>,
}

struct Running {
    replica: Replica,
    tasks: Vec<JoinHandle<()>>,
    append: Option<(Instant, Job)>,
    checkpoint: Option<(Instant, Job)>,
    next_tick: Instant,
}

impl Process {
    pub(super) fn new(end: End, (clock, comparing): (ClockSource, Option<JoinHandle<()>>)) -> Self {
        Self { end, replica: None, choosing: None, clock, comparing }
    }

    /// Whether it has a replica, or is about to.
    pub(super) fn has_replica(&self) -> bool {
        self.replica.is_some()
    }

    pub(super) fn run(&mut self, replica: Replica, tasks: Vec<JoinHandle<()>>) {
        let next_tick = Instant::now();
        self.replica = Some(Running { replica, tasks, append: None, checkpoint: None, next_tick });
    }

    pub(super) fn arrived(&self) -> Option<Arc<Notify>> {
        self.replica.as_ref().map(|running| running.replica.arrived())
    }

    pub(super) fn next_wake(&self, far: Instant) -> Instant {
        let Some(running) = &self.replica else { return far };
        let jobs = [&running.append, &running.checkpoint].into_iter().flatten().map(|(at, _)| *at);
        jobs.fold(running.next_tick, Instant::min)
    }

    /// Its replica's number.
    pub(super) fn replica_number(&self) -> Option<u64> {
        self.replica.as_ref().map(|running| running.replica.handle().replica().number())
    }

    /// The term, who it is, and whether it leads.
    pub(super) fn leadership(&self) -> Option<(u64, u64, bool)> {
        let replica = &self.replica.as_ref()?.replica;
        Some((replica.term(), replica.handle().replica().number(), replica.is_leader()))
    }

    pub(super) fn standing(&self) -> Option<Standing> {
        let replica = &self.replica.as_ref()?.replica;
        let mut description = replica.describe();
        let members = description.members.take().unwrap_or_default();
        let (durable_commit, in_doubt) = (replica.durable_commit(), replica.in_doubt());
        Some(Standing { replica: description, members, durable_commit, in_doubt })
    }

    /// Lets it do what it can do now.
    pub(super) fn turn(&mut self, now: Instant, random: &mut Random, plan: &MachinePlan) -> Result<Turned, String> {
        let Some(running) = &mut self.replica else { return Ok(Turned::Idle) };
        loop {
            if !running.replica.turn()? {
                return Ok(Turned::Reopen);
            }
            while let Some(job) = running.replica.next_job(Worker::Audit) {
                running.replica.work(job);
            }
            if running.append.is_none() {
                let slow = random.below(1_000) < plan.slow_append_permille;
                let max = if slow { 2_000 } else { plan.append_ms };
                let job = running.replica.next_job(Worker::Log);
                running.append = job.map(|job| (now + ms(random.below(max + 1)), job));
            }
            if running.checkpoint.is_none() {
                let job = running.replica.next_job(Worker::Checkpoint);
                running.checkpoint = job.map(|job| (now + ms(random.below(10 * plan.append_ms + 1)), job));
            }
            match running.due(now) {
                Some(job) => running.replica.work(job),
                None => break,
            }
        }
        running.next_tick = now + crest_node::limits::TICK;
        Ok(Turned::Idle)
    }

    /// Writes all that is applied into the rows. Answers the entry that they stand at.
    pub(super) fn settle(&mut self) -> Option<u64> {
        let running = self.replica.as_mut()?;
        for job in [running.append.take(), running.checkpoint.take()].into_iter().flatten() {
            running.replica.work(job.1);
        }
        running.replica.turn().ok()?;
        while let Some(job) = running.replica.next_job(Worker::Checkpoint) {
            running.replica.work(job);
        }
        running.replica.turn().ok()?;
        running.replica.checkpoint().ok()?;
        let described = running.replica.describe();
        (described.checkpoint_index == described.applied_index).then_some(described.applied_index)
    }

    /// The replica goes away, and the process stays. What was under way may still be done, but nobody hears of it.
    pub(super) fn end_replica(&mut self, random: &mut Random, disk: &MemoryDisk) {
        let Some(mut running) = self.replica.take() else { return };
        running.tasks.iter().for_each(JoinHandle::abort);
        // An append that was under way may have reached the cache and even the disk.
        if let Some((_, job)) = running.append.take()
            && random.chance(70)
        {
            let synced = random.chance(30);
            disk.fail(if synced { Failing::No } else { Failing::Syncs });
            running.replica.work(job);
        }
        if let Some((_, job)) = running.checkpoint.take()
            && random.chance(50)
        {
            running.replica.work(job);
        }
        disk.fail(Failing::No);
    }

    /// The process dies.
    pub(super) fn die(&mut self, random: &mut Random, disk: &MemoryDisk) {
        for task in [self.choosing.take(), self.comparing.take()].into_iter().flatten() {
            task.abort();
        }
        self.end_replica(random, disk);
    }
}

impl Running {
    fn due(&mut self, now: Instant) -> Option<Job> {
        let due = |slot: &mut Option<(Instant, Job)>| slot.take_if(|(at, _)| *at <= now).map(|(_, job)| job);
        due(&mut self.append).or_else(|| due(&mut self.checkpoint))
    }
}
