//! What goes wrong, and when: each kind of fault on its own clock.

use std::sync::Arc;

use crest_conformance::random::Random;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use crate::disk::Failing;
use crate::front::Front;
use crate::machine::Control;
use crate::plan::Plan;
use crate::world::{World, ms};

/// What faults reach.
#[derive(Clone)]
pub(crate) struct Faults {
    pub(crate) world: Arc<World>,
    pub(crate) front: Arc<Front>,
    pub(crate) machines: Vec<UnboundedSender<Control>>,
    pub(crate) plan: Plan,
}

impl Faults {
    /// Lets things go wrong until it is dropped.
    pub(crate) async fn run(self, seed: u64) {
        let mut random = Random::new(seed);
        let mut seed = || random.number();
        let (machines, network) = (self.plan.machines, self.plan.network);
        tokio::join!(
            every(machines.kill_every_ms, seed(), |r| self.kill(r)),
            every(machines.router_kill_every_ms, seed(), |r| self.kill_router(r)),
            every(machines.pause_every_ms, seed(), |r| self.pause(r)),
            every(machines.disk_failure_every_ms, seed(), |r| self.fail_disk(r)),
            every(machines.checkpoint_every_ms, seed(), |r| self.checkpoint(r)),
            every(network.partition_every_ms, seed(), |r| self.partition(r)),
            every(self.plan.clocks.jump_every_ms, seed(), |r| self.jump(r)),
        );
    }

    /// Sets every clock off.
    pub(crate) fn set_clocks(&self, random: &mut Random) {
        for shard in 0..self.plan.shards {
            self.tell(shard, Control::Clock(self.skew(random)));
        }
    }

    /// Ends every fault: everything runs, and everybody hears everybody.
    pub(crate) fn heal(&self) {
        self.world.note(format_args!("nothing fails any more"), &[]);
        self.world.network().heal();
        for shard in 0..self.plan.shards {
            self.tell(shard, Control::Heal);
        }
    }

    fn tell(&self, shard: u32, control: Control) {
        // A machine listens as long as the run lasts.
        let _ = self.machines[shard as usize].send(control);
    }

    fn any_shard(&self, random: &mut Random) -> u32 {
        random.below(u64::from(self.plan.shards)) as u32
    }

    async fn kill(&self, mut random: Random) {
        let power = random.chance(self.plan.machines.power_percent);
        let first = self.any_shard(&mut random);
        // Sometimes the whole room goes dark.
        let all = random.chance(10);
        let down = ms(random.below(self.plan.machines.down_ms + 1));
        let shards: Vec<u32> = if all { (0..self.plan.shards).collect() } else { vec![first] };
        for shard in &shards {
            self.tell(*shard, Control::Kill { power });
        }
        sleep(down).await;
        for shard in shards {
            self.tell(shard, Control::Start);
        }
    }

    async fn kill_router(&self, mut random: Random) {
        self.front.kill(random.below(u64::from(self.front.count())) as u32);
    }

    async fn pause(&self, mut random: Random) {
        let shard = self.any_shard(&mut random);
        self.tell(shard, Control::Pause(ms(random.below(self.plan.machines.pause_ms + 1))));
    }

    async fn fail_disk(&self, mut random: Random) {
        let shard = self.any_shard(&mut random);
        let failing = random.pick(&[Failing::Full, Failing::Syncs, Failing::NextSync]).unwrap_or_default();
        self.tell(shard, Control::FailDisk(failing));
        sleep(ms(random.below(1_000))).await;
        self.tell(shard, Control::FailDisk(Failing::No));
        sleep(ms(random.below(self.plan.machines.down_ms + 1))).await;
        self.tell(shard, Control::Start);
    }

    /// A shard writes a checkpoint when it is audited.
    async fn checkpoint(&self, mut random: Random) {
        let shard = self.any_shard(&mut random);
        if let Some(handle) = self.world.shard(shard) {
            use crest_ledger::wire::{Query, Request};
            use crest_link::ShardLink;
            drop(handle.send(Request::Query(Query::Audit(0, 1))));
        }
    }

    async fn partition(&self, mut random: Random) {
        self.world.network().cut(self.plan.shards, self.plan.routers);
        sleep(ms(random.below(self.plan.network.partition_ms + 1))).await;
        self.world.network().join();
    }

    async fn jump(&self, mut random: Random) {
        let shard = self.any_shard(&mut random);
        self.tell(shard, Control::Clock(self.skew(&mut random)));
    }

    fn skew(&self, random: &mut Random) -> i64 {
        let max = self.plan.clocks.skew_ms * 1_000_000;
        random.below(2 * max + 1) as i64 - max as i64
    }
}

/// Does something about every so many milliseconds; 0 is never.
async fn every<F: Future<Output = ()>>(period_ms: u64, seed: u64, fault: impl Fn(Random) -> F) {
    if period_ms == 0 {
        return;
    }
    let mut random = Random::new(seed);
    loop {
        sleep(ms(period_ms / 2 + random.below(period_ms + 1))).await;
        fault(Random::new(random.number())).await;
    }
}
