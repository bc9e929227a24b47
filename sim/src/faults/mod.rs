//! What goes wrong, and when: each kind of fault on its own clock. [`groups`] has those of a shard's replicas, [`losses`] the
//! rule by which disks are lost.

mod groups;
mod losses;

use std::collections::BTreeSet;
use std::sync::Arc;

use crest_conformance::random::Random;
use crest_topology::NodeId;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::disk::Failing;
use crate::front::Front;
use crate::machine::{Control, Standing, Wall};
use crate::network::router_machine;
use crate::plan::Plan;
use crate::world::{World, ms};

/// What faults reach.
#[derive(Clone)]
pub(crate) struct Faults {
    pub(crate) world: Arc<World>,
    pub(crate) front: Arc<Front>,
    /// By the number of the node, less one.
    pub(crate) machines: Vec<UnboundedSender<Control>>,
    pub(crate) plan: Plan,
}

impl Faults {
    /// Lets things go wrong until it is dropped.
    pub(crate) async fn run(self, seed: u64) {
        let mut random = Random::new(seed);
        let mut seed = || random.number();
        let (machines, network, groups) = (self.plan.machines, self.plan.network, self.plan.groups);
        tokio::join!(
            every(machines.kill_every_ms, seed(), |r| self.kill(r)),
            every(machines.router_kill_every_ms, seed(), |r| self.kill_router(r)),
            every(machines.pause_every_ms, seed(), |r| self.pause(r)),
            every(machines.disk_failure_every_ms, seed(), |r| self.fail_disk(r)),
            every(machines.checkpoint_every_ms, seed(), |r| self.checkpoint(r)),
            every(network.partition_every_ms, seed(), |r| self.partition(r)),
            every(self.plan.clocks.jump_every_ms, seed(), |r| self.jump(r)),
            every(groups.leader_kill_every_ms, seed(), |r| self.kill_leader(r)),
            every(groups.majority_kill_every_ms, seed(), |r| self.kill_majority(r)),
            every(groups.partition_every_ms, seed(), |r| self.partition_group(r)),
            every(groups.disk_loss_every_ms, seed(), |r| self.lose_disk(r)),
            every(groups.placement_every_ms, seed(), |r| self.place(r)),
            every(groups.transfer_every_ms, seed(), |r| self.transfer_leader(r)),
            every(self.plan.clocks.wild_every_ms, seed(), |r| self.wild_clock(r)),
        );
    }

    /// Sets every clock off.
    pub(crate) fn set_clocks(&self, random: &mut Random) {
        for node in self.world.nodes() {
            self.tell(node, Control::Clock(self.skew(random)));
        }
    }

    /// Ends every fault: everything runs, and everybody hears everybody.
    pub(crate) fn heal(&self) {
        self.world.note(format_args!("nothing fails any more"), &[]);
        self.world.network().heal();
        let ahead = self.plan.clocks.skew_ms as i64 * 1_000_000;
        for node in self.world.nodes() {
            self.tell(node, Control::Wall(None));
            self.tell(node, Control::Heal);
            // Nobody is behind what anybody has stamped: timeouts are not waited for longer than they last.
            self.tell(node, Control::Clock(ahead));
            self.tell(node, Control::Look);
        }
    }

    pub(crate) fn tell(&self, node: NodeId, control: Control) {
        // A machine listens as long as the run lasts.
        let _ = self.machines[node as usize - 1].send(control);
    }

    /// How the replica on a machine is.
    pub(crate) async fn standing(&self, node: NodeId) -> Option<Standing> {
        let (reply, answer) = oneshot::channel();
        self.tell(node, Control::Standing(reply));
        answer.await.ok().flatten()
    }

    fn any_shard(&self, random: &mut Random) -> u32 {
        random.below(u64::from(self.plan.shards)) as u32
    }

    fn any_node(&self, random: &mut Random) -> NodeId {
        1 + random.below(u64::from(*self.world.nodes().end())) as u32
    }

    async fn kill(&self, mut random: Random) {
        let first = self.any_node(&mut random);
        // Sometimes the whole room goes dark.
        let all = random.chance(10);
        let nodes: Vec<NodeId> = if all { self.world.nodes().collect() } else { vec![first] };
        self.kill_all(&nodes, random).await;
    }

    /// Kills some machines at once, and starts them again after a while.
    async fn kill_all(&self, nodes: &[NodeId], mut random: Random) {
        let power = random.chance(self.plan.machines.power_percent);
        let down = ms(random.below(self.plan.machines.down_ms + 1));
        for node in nodes {
            self.tell(*node, Control::Kill { power });
        }
        sleep(down).await;
        for node in nodes {
            self.tell(*node, Control::Start);
        }
    }

    async fn kill_router(&self, mut random: Random) {
        self.front.kill(random.below(u64::from(self.front.count())) as u32);
    }

    async fn pause(&self, mut random: Random) {
        let node = self.any_node(&mut random);
        self.tell(node, Control::Pause(ms(random.below(self.plan.machines.pause_ms + 1))));
    }

    async fn fail_disk(&self, mut random: Random) {
        let node = self.any_node(&mut random);
        let failing = random.pick(&[Failing::Full, Failing::Syncs, Failing::NextSync]).unwrap_or_default();
        self.tell(node, Control::FailDisk(failing));
        sleep(ms(random.below(1_000))).await;
        self.tell(node, Control::FailDisk(Failing::No));
        sleep(ms(random.below(self.plan.machines.down_ms + 1))).await;
        self.tell(node, Control::Start);
    }

    /// A shard writes a checkpoint when it is audited.
    async fn checkpoint(&self, mut random: Random) {
        let shard = self.any_shard(&mut random);
        let leader = self.world.leader(shard);
        if let Some(handle) = leader.and_then(|node| self.world.replica(node)) {
            use crest_ledger::wire::{Query, Request};
            use crest_link::ShardLink;
            drop(handle.send(Request::Query(Query::Audit(0, 1))));
        }
    }

    /// Cuts some machines off from others: one from all, or two from each other.
    async fn partition(&self, mut random: Random) {
        let routers = (0..self.plan.routers).map(router_machine);
        let machines: Vec<u32> = self.world.nodes().chain(routers).collect();
        let one = random.pick(&machines).unwrap_or(0);
        let other = random.pick(&machines).unwrap_or(0);
        let cut: BTreeSet<(u32, u32)> = if random.chance(50) {
            machines.iter().flat_map(|m| [(one, *m), (*m, one)]).collect()
        } else if random.chance(50) {
            BTreeSet::from([(one, other), (other, one)])
        } else {
            BTreeSet::from([(one, other)])
        };
        self.cut(cut, random).await;
    }

    /// Lets a partition last for a while.
    async fn cut(&self, pairs: BTreeSet<(u32, u32)>, mut random: Random) {
        if self.world.is_watched() {
            self.world.note(format_args!("cut: {pairs:?}"), &[]);
        }
        let cut = self.world.network().cut(pairs);
        sleep(ms(random.below(self.plan.network.partition_ms + 1))).await;
        self.world.network().join(cut);
    }

    async fn jump(&self, mut random: Random) {
        let node = self.any_node(&mut random);
        self.tell(node, Control::Clock(self.skew(&mut random)));
    }

    /// A wall clock, or all of them, jumps far, runs fast, or stands still for a while.
    async fn wild_clock(&self, mut random: Random) {
        const HOUR: i64 = 3_600_000_000_000;
        let since = self.world.now();
        let wall = match random.below(4) {
            0 => Wall::Still { since },
            1 => Wall::Fast { permille: random.pick(&[100, 1_000, 1_000_000]).unwrap_or(100), since },
            _ => Wall::Off(HOUR * random.pick(&[-24, -1, 1, 24]).unwrap_or(1)),
        };
        let one = self.any_node(&mut random);
        let together = random.chance(self.plan.clocks.together_percent);
        let nodes: Vec<NodeId> = if together { self.world.nodes().collect() } else { vec![one] };
        nodes.iter().for_each(|node| self.tell(*node, Control::Wall(Some(wall))));
        sleep(ms(random.below(self.plan.clocks.wild_ms + 1))).await;
        nodes.iter().for_each(|node| self.tell(*node, Control::Wall(None)));
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
