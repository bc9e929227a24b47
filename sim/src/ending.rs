//! How a run comes to rest: every shard finds a leader, what was in doubt ends, groups become what the map wants, and the rows of
//! all replicas are laid side by side.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::faults::Faults;
use crate::invariants::groups_are_as_placed;
use crate::machine::{Control, Standing};
use crate::rows::Map;
use crate::world::ms;

/// How soon everything in doubt has to be ended once nothing fails any more and every shard has a leader.
pub(crate) const QUIET: Duration = Duration::from_secs(5);

/// How soon every shard has a leader once nothing fails any more: an election timeout of at most 1.6 s, and another one when the best
/// candidate had to be found.
const LEADER: Duration = Duration::from_secs(5);

/// How soon that leader commits: a majority may first have to take in a snapshot whose offer was lost, which is offered again after
/// [`crest_node::limits::SNAPSHOT_PATIENCE`], and whose answer may be lost for as long.
const COMMITS: Duration = Duration::from_secs(15);

/// How soon groups are what the map wants them to be. A new replica may wait 5 s for an answer that was lost before it asks again,
/// its leader another 5 s for it to take in a snapshot, and it gets its vote after that.
const PLACED: Duration = Duration::from_secs(25);

/// What a replica has at the end.
pub(crate) struct Kept {
    pub(crate) shard: u32,
    pub(crate) node: u32,
    /// The last entry in it.
    pub(crate) index: u64,
    /// The last entry that any replica of the shard had applied then.
    pub(crate) known: u64,
    pub(crate) rows: Arc<Map>,
}

impl Faults {
    async fn standings(&self, shard: u32) -> Vec<Standing> {
        let mut standings = Vec::new();
        for node in self.world.nodes_of(shard) {
            standings.extend(self.standing(node).await);
        }
        standings
    }

    /// Waits until every shard has a leader that others follow.
    pub(crate) async fn until_led(&self) {
        let begun = Instant::now();
        for shard in 0..self.plan.shards {
            loop {
                let standings = self.standings(shard).await;
                let leads = |s: &Standing| {
                    let term = standings.iter().map(|o| o.replica.term).max();
                    s.replica.is_leader && Some(s.replica.term) == term && s.replica.commit_index > 0
                };
                let commits = |s: &&Standing| s.replica.commit_index == s.replica.last_index;
                let leader = standings.iter().find(|s| leads(s));
                if leader.is_some_and(|leader| commits(&leader)) {
                    break;
                }
                let bound = if leader.is_some() { COMMITS } else { LEADER };
                if begun.elapsed() > bound {
                    let known: Vec<_> = standings.iter().map(|s| (s.replica.replica, s.replica.term)).collect();
                    self.world.fail(format!(
                        "{bound:?} after the last failure shard {shard} has no leader that commits; its replicas and their terms: {known:x?}"
                    ));
                    break;
                }
                sleep(ms(50)).await;
            }
        }
    }

    /// Waits until nothing is in doubt. Whatever was when the last failure ended ends by itself.
    pub(crate) async fn until_quiet(&self) {
        let begun = Instant::now();
        loop {
            let mut doubts = Vec::new();
            for shard in 0..self.plan.shards {
                let standings = self.standings(shard).await;
                let leader = standings.iter().filter(|s| s.replica.is_leader).max_by_key(|s| s.replica.term);
                let doubt = leader.map(|leader| leader.in_doubt).filter(|(_, holds, outbox)| holds + outbox > 0);
                doubts.extend(doubt.map(|doubt| (shard, doubt)));
            }
            if doubts.is_empty() {
                return;
            }
            if begun.elapsed() >= QUIET {
                for (shard, (age, holds, outbox)) in doubts {
                    if age > QUIET.as_nanos() as u64 {
                        self.world.fail(format!(
                            "{QUIET:?} after the last failure, shard {shard} has {holds} holds and {outbox} decisions, the oldest \
                             {} ms old",
                            age / 1_000_000
                        ));
                    }
                }
                return;
            }
            sleep(ms(100)).await;
        }
    }

    /// Waits until every group is what the map wants.
    pub(crate) async fn until_placed(&self, healed: Instant) {
        let begun = Instant::now();
        for shard in 0..self.plan.shards {
            let placement = self.world.placement(shard);
            while let Err(why) = groups_are_as_placed::check(shard, &placement, &self.standings(shard).await) {
                // An entry may be on its way at any single moment.
                if healed.elapsed() > PLACED && begun.elapsed() > ms(2_000) {
                    self.world.fail(format!("groups are as placed: {PLACED:?} after the last failure, {why}"));
                    break;
                }
                sleep(ms(100)).await;
            }
        }
    }

    /// Has every replica write all that it has into its rows, all of a shard at the same entry.
    pub(crate) async fn keep_all(&self) -> Vec<Kept> {
        let mut all = Vec::new();
        for shard in 0..self.plan.shards {
            let placement = self.world.placement(shard);
            let mut kept = Vec::new();
            // A new entry, for the clock, may just be on its way.
            for _ in 0..100 {
                kept.clear();
                let settled = groups_are_as_placed::check(shard, &placement, &self.standings(shard).await).is_ok();
                for node in placement.iter().copied().filter(|_| settled) {
                    let (reply, answer) = oneshot::channel();
                    self.tell(node, Control::Settle(reply));
                    let settled = answer.await.ok().flatten();
                    let known = self.world.record.look(|shards| shards[shard as usize].applied.len() as u64);
                    kept.extend(settled.map(|(index, rows)| Kept { shard, node, index, known, rows }));
                }
                let same = kept.iter().all(|k| k.index == kept[0].index);
                if same && kept.len() == placement.len() {
                    break;
                }
                sleep(ms(20)).await;
            }
            if kept.len() != placement.len() {
                self.world.fail(format!("the replicas of shard {shard} do not come to rest"));
            }
            all.extend(kept);
        }
        all
    }
}
