//! What befalls the replicas of a shard: leaders and majorities that die, partitions between them, other placements.

use std::collections::BTreeSet;

use crest_conformance::random::Random;
use crest_topology::NodeId;
use tokio::time::sleep;

use super::Faults;
use crate::machine::Control;
use crate::network::router_machine;
use crate::world::ms;

impl Faults {
    pub(super) async fn kill_leader(&self, mut random: Random) {
        let shard = self.any_shard(&mut random);
        if let Some(leader) = self.world.leader(shard) {
            self.kill_all(&[leader], random).await;
        }
    }

    /// As many as can't decide anything without the others, or all of them.
    pub(super) async fn kill_majority(&self, mut random: Random) {
        let shard = self.any_shard(&mut random);
        let mut nodes = self.world.placement(shard);
        shuffle(&mut nodes, &mut random);
        if random.chance(50) {
            nodes.truncate(nodes.len() / 2 + 1);
        }
        self.kill_all(&nodes, random).await;
    }

    /// Cuts the machines of a shard off from each other, or from everybody.
    pub(super) async fn partition_group(&self, mut random: Random) {
        let shard = self.any_shard(&mut random);
        let mut group: Vec<NodeId> = self.world.nodes_of(shard).collect();
        if group.len() < 2 {
            return;
        }
        self.world.record.count(|happened| happened.partitions += 1);
        shuffle(&mut group, &mut random);
        let leader = self.world.leader(shard).unwrap_or(group[0]);
        let all: Vec<u32> = self.world.nodes().chain((0..self.plan.routers).map(router_machine)).collect();
        let mut cut = BTreeSet::new();
        match random.below(6) {
            // The leader and its followers do not hear each other; clients hear all.
            0 => cut.extend(group.iter().flat_map(|n| [(leader, *n), (*n, leader)])),
            // Nobody hears the leader, or it hears nobody.
            1 => cut.extend(group.iter().map(|n| (leader, *n))),
            2 => cut.extend(group.iter().map(|n| (*n, leader))),
            // The leader is alone in the world.
            3 => cut.extend(all.iter().flat_map(|m| [(leader, *m), (*m, leader)])),
            // Two parts of the world, with a minority and a majority of the group, or two halves of it.
            4 => {
                let size = 1 + random.below(group.len() as u64 - 1) as usize;
                let side = |m: &u32, random: &mut Random| match group.iter().position(|n| n == m) {
                    Some(at) => at < size,
                    None => random.chance(50),
                };
                let (left, right): (Vec<u32>, Vec<u32>) = all.iter().partition(|m| side(m, &mut random));
                let between = left.iter().flat_map(|l| right.iter().flat_map(move |r| [(*l, *r), (*r, *l)]));
                cut.extend(between);
            }
            // Some do not hear some others.
            _ => {
                for from in &group {
                    cut.extend(group.iter().filter(|_| random.chance(30)).map(|to| (*from, *to)));
                }
            }
        }
        self.cut(cut, random).await;
    }

    pub(super) async fn transfer_leader(&self, mut random: Random) {
        let shard = self.any_shard(&mut random);
        let to = if random.chance(50) { random.pick(&self.world.placement(shard)) } else { None };
        if let Some(handle) = self.world.leader(shard).and_then(|node| self.world.replica(node)) {
            let done = handle.transfer_leader(to).await;
            self.world.note(format_args!("shard {shard} hands over to {to:?}: {done:?}"), &[]);
        }
    }

    /// Places a shard on other machines, as an operator would: one in another's place, some more, or some fewer. Machines hear of
    /// it one after the other.
    pub(super) async fn place(&self, mut random: Random) {
        let shard = self.any_shard(&mut random);
        let mut wanted = self.world.placement(shard);
        let mut others: Vec<NodeId> = self.world.nodes_of(shard).filter(|n| !wanted.contains(n)).collect();
        shuffle(&mut wanted, &mut random);
        shuffle(&mut others, &mut random);
        match random.below(4) {
            0 if others.len() >= 2 && wanted.len() < 5 => wanted.extend(others.drain(..2)),
            1 if wanted.len() >= 3 => wanted.truncate(wanted.len() - 2),
            _ => match others.first() {
                Some(other) => wanted[0] = *other,
                None => return,
            },
        }
        wanted.sort_unstable();
        if !self.is_possible(shard, &wanted).await {
            return;
        }
        self.world.record.count(|happened| happened.placements += 1);
        self.world.note(format_args!("shard {shard} is placed on {wanted:?}"), &[]);
        self.world.place(shard, &wanted);
        let mut nodes: Vec<NodeId> = self.world.nodes_of(shard).collect();
        shuffle(&mut nodes, &mut random);
        let slowly = if random.chance(30) { 1_000 } else { 50 };
        for node in nodes {
            sleep(ms(random.below(slowly))).await;
            self.tell(node, Control::Look);
        }
    }
}

fn shuffle(nodes: &mut [NodeId], random: &mut Random) {
    for at in (1..nodes.len()).rev() {
        nodes.swap(at, random.below(at as u64 + 1) as usize);
    }
}
