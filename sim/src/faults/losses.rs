//! Which disks may be lost. A group outlives the loss of a minority of its voters' disks, and no more: so no more are lost.
//!
//! A replica whose disk is lost never comes back: its machine begins another one. In the eyes of its group it is a voter that
//! is down for ever, until the group has changed its members. So a disk may be lost when afterwards those that are lost are a
//! minority of the voters, of the voters that a change which is under way or is to come would make, of those that are left while a
//! group shrinks, and of the machines that the shard is to be on. Who the voters are is what every replica says that runs; a replica that is down might believe in
//! older members, of which those that were lost are a majority. For the same reason all that made the members what they are
//! has to be known as committed on every disk: raft-rs puts a change into effect when it is applied, and after a crash a replica
//! applies no more than what it knows to be committed.

use crest_conformance::random::Random;
use crest_topology::NodeId;
use tokio::time::sleep;

use super::Faults;
use crate::machine::{Control, Standing};
use crate::world::ms;

/// How long a chance to lose a disk is waited for.
const TRIES: u32 = 10;

impl Faults {
    pub(super) async fn lose_disk(&self, mut random: Random) {
        let shard = self.any_shard(&mut random);
        for _ in 0..TRIES {
            if let Some(node) = self.expendable(shard, &mut random).await {
                self.tell(node, Control::LoseDisk);
                sleep(ms(random.below(self.plan.machines.down_ms + 1))).await;
                self.tell(node, Control::Start);
                return;
            }
            sleep(ms(100)).await;
        }
    }

    /// A machine of the shard whose disk may be lost.
    async fn expendable(&self, shard: u32, random: &mut Random) -> Option<NodeId> {
        let standings = self.settled(shard).await?;
        let members = &standings.first()?.members;
        let wanted = self.world.placement(shard);
        let lost = |replica: &u64| self.world.record.is_lost(*replica);
        let node = |replica: &u64| *replica as NodeId;
        let may_go = |victim: u64| {
            let goes = |replica: &u64| lost(replica) || *replica == victim;
            let minority = |voters: &[u64]| voters.iter().filter(|v| goes(v)).count() * 2 < voters.len();
            // The learners may get their votes at any moment, each in the place of an earlier one on its machine.
            let later = members.voters.iter().filter(|v| !members.learners.iter().any(|l| node(l) == node(v)));
            let later: Vec<u64> = later.chain(&members.learners).copied().collect();
            let alive = |n: &&NodeId| standings.iter().any(|s| s.replica.node == **n && s.replica.replica != victim);
            let left = wanted.iter().filter(alive).count();
            // A group that shrinks is for a while those that stay, and the leader, which leaves last.
            let leads = |voter: &u64| standings.iter().any(|s| s.replica.is_leader && s.replica.replica == *voter);
            let stay = members.voters.iter().filter(|v| wanted.contains(&node(v)) || leads(v));
            let stay: Vec<u64> = stay.copied().collect();
            minority(&members.voters) && minority(&later) && minority(&stay) && left * 2 > wanted.len()
        };
        let candidates: Vec<u64> = standings.iter().map(|s| s.replica.replica).filter(|v| may_go(*v)).collect();
        random.pick(&candidates).map(|victim| node(&victim))
    }

    /// How the replicas of a shard are, when they agree on their members for good.
    async fn settled(&self, shard: u32) -> Option<Vec<Standing>> {
        let first = self.agreeing(shard).await?;
        let commit = first.iter().map(|s| s.replica.commit_index).max()?;
        for _ in 0..TRIES {
            let now = self.agreeing(shard).await?;
            if now.first()?.members != first.first()?.members {
                return None;
            }
            if now.iter().all(|s| s.durable_commit >= commit) {
                return Some(now);
            }
            sleep(ms(100)).await;
        }
        None
    }

    /// How the replicas of a shard are: when every member runs that is not lost, and all say the same of the members.
    async fn agreeing(&self, shard: u32) -> Option<Vec<Standing>> {
        let mut standings = Vec::new();
        for node in self.world.nodes_of(shard) {
            standings.extend(self.standing(node).await);
        }
        let members = standings.iter().find(|s| s.replica.is_leader)?.members.clone();
        let belongs = |s: &Standing| members.voters.contains(&s.replica.replica);
        standings.retain(|s| belongs(s) || members.learners.contains(&s.replica.replica));
        let all = members.voters.iter().chain(&members.learners);
        let there = |r: &u64| standings.iter().any(|s| s.replica.replica == *r) || self.world.record.is_lost(*r);
        let agree = standings.iter().all(|s| s.members == members);
        (agree && members.voters_outgoing.is_empty() && all.clone().all(there)).then_some(standings)
    }

    /// Whether a shard can be placed on these machines: not when most of them have lost what they had.
    pub(super) async fn is_possible(&self, shard: u32, wanted: &[NodeId]) -> bool {
        let Some(standings) = self.agreeing(shard).await else { return false };
        let Some(members) = standings.first().map(|s| &s.members) else { return false };
        let lost = |node: &&NodeId| {
            let mut voters = members.voters.iter().filter(|v| **v as NodeId == **node);
            voters.any(|v| self.world.record.is_lost(*v))
        };
        wanted.iter().filter(lost).count() * 2 < wanted.len()
    }
}
