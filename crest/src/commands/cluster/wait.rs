//! Waiting until the groups of shards are as the map wants them, and telling how far they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crest_ledger::txn::ShardId;
use crest_map_store::MapStore;
use crest_node::ReplicaId;
use crest_topology::{Cluster, NodeId};
use tokio::time::{Instant, sleep};

use super::ask;
use super::health::ranges;
use super::survey::{Role, ShardSeen, Source, State, Survey};

/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often a shard is told of that is in the same stage still.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// How far a shard's group is on its way to what the map wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nobody leads it just now.
    NoLeader,
    /// Nodes that are to have a replica have not asked to be taken in yet.
    Joins { nodes: Vec<NodeId> },
    /// A new replica takes over what is there.
    CatchesUp { node: NodeId, lag: Option<u64>, snapshot: bool },
    /// Members change.
    Changes,
    /// Voters that are not wanted any more are still there.
    Leaves { nodes: Vec<NodeId> },
    /// The group is as wanted; replicas that left it are still on their nodes.
    PutsAside { nodes: Vec<NodeId> },
    /// All is as wanted.
    Done,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |nodes: &[NodeId]| {
            let noun = if nodes.len() == 1 { "node" } else { "nodes" };
            format!("{noun} {}", ranges(nodes.iter().copied()))
        };
        match self {
            Self::NoLeader => f.write_str("waits for a leader"),
            Self::Joins { nodes } => write!(f, "waits for {} to join", list(nodes)),
            Self::CatchesUp { node, snapshot: true, .. } => write!(f, "node {node} takes in a snapshot"),
            Self::CatchesUp { node, lag: Some(lag), .. } => write!(f, "node {node} catches up, {lag} entries behind"),
            Self::CatchesUp { node, .. } => write!(f, "node {node} catches up"),
            Self::Changes => f.write_str("its members change"),
            Self::Leaves { nodes } => write!(f, "is to be left by {}", list(nodes)),
            Self::PutsAside { nodes } => write!(f, "is put aside on {}", list(nodes)),
            Self::Done => f.write_str("as wanted"),
        }
    }
}

/// How far a shard's group is.
pub(crate) fn stage(shard: &ShardSeen) -> Stage {
    let Some((_, leader)) = shard.leader() else { return Stage::NoLeader };
    let members = &leader.members;
    let nodes = |numbers: &[u64]| numbers.iter().map(|number| *number as NodeId).collect::<BTreeSet<_>>();
    let lives = |number: &&u64| ReplicaId::from_number(**number).is_some_and(|replica| !shard.is_superseded(replica));
    let living: Vec<u64> = members.voters.iter().filter(lives).copied().collect();
    let (voters, learners) = (nodes(&living), nodes(&members.learners));
    let missing: Vec<NodeId> =
        shard.wanted.iter().copied().filter(|node| !voters.contains(node) && !learners.contains(node)).collect();
    let standings = shard.standings();
    let learner = standings.iter().filter(|s| s.role == Role::Learner && shard.wanted.contains(&s.node));
    let slowest = learner.max_by_key(|s| (s.takes_snapshot(), s.lag));
    let unwanted: Vec<NodeId> = voters.iter().copied().filter(|node| !shard.wanted.contains(node)).collect();
    let left = shard.replicas.iter().filter(|seen| !shard.wanted.contains(&seen.node));
    let left = left.filter(|seen| seen.told.as_ref().is_ok_and(|told| told.state != State::Absent));
    let left: Vec<NodeId> = left.map(|seen| seen.node).collect();
    match slowest {
        _ if members.is_joint() => Stage::Changes,
        _ if !missing.is_empty() => Stage::Joins { nodes: missing },
        Some(s) => Stage::CatchesUp { node: s.node, lag: s.lag, snapshot: s.takes_snapshot() },
        None if !unwanted.is_empty() => Stage::Leaves { nodes: unwanted },
        None if !learners.is_empty() || members.voters.len() != shard.wanted.len() => Stage::Changes,
        None if !left.is_empty() => Stage::PutsAside { nodes: left },
        None => Stage::Done,
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All is as wanted.
    Done,
    /// The time is over.
    Late,
    /// Somebody pressed Ctrl-C.
    Interrupted,
}

/// Waits until the groups of these shards are as the newest map wants them, and tells how far they are on standard error.
pub(crate) async fn until_as_wanted(
    store: &dyn MapStore,
    map: Arc<Cluster>,
    shards: &BTreeSet<ShardId>,
    patience: Duration,
) -> Ended {
    let newest = store.watch();
    let mut told = Teller::begin();
    let looking = async {
        loop {
            // Somebody else may change it meanwhile.
            let seen = newest.newest().filter(|seen| seen.version > map.version);
            let source = Source { store: store.location().to_string(), copy: None };
            let survey = ask::survey(seen.unwrap_or_else(|| map.clone()), source, Some(shards)).await;
            if told.tell(&survey) {
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = looking => Ended::Done,
        () = sleep(patience) => Ended::Late,
        _ = tokio::signal::ctrl_c() => Ended::Interrupted,
    }
}

/// Tells of shards on standard error: a line whenever one is in another stage, and now and then in between.
struct Teller {
    begun: Instant,
    last: BTreeMap<ShardId, (String, Instant)>,
}

impl Teller {
    fn begin() -> Self {
        Self { begun: Instant::now(), last: BTreeMap::new() }
    }

    /// Answers whether all shards are as wanted.
    fn tell(&mut self, survey: &Survey) -> bool {
        let mut all_done = true;
        for shard in &survey.shards {
            let stage = stage(shard);
            all_done &= stage == Stage::Done;
            let kind = match &stage {
                Stage::CatchesUp { node, snapshot, .. } => format!("{node} {snapshot}"),
                other => other.to_string(),
            };
            let before = self.last.get(&shard.shard);
            if before.is_some_and(|(said, at)| *said == kind && (stage == Stage::Done || at.elapsed() < SAY_EVERY)) {
                continue;
            }
            self.last.insert(shard.shard, (kind, Instant::now()));
            let mut line = format!("{:6.1} s  shard {}: {stage}", self.begun.elapsed().as_secs_f64(), shard.shard);
            if let Stage::Joins { nodes } = &stage {
                let silent = nodes.iter().filter(|node| survey.node(**node).is_some_and(|seen| seen.told.is_err()));
                silent.for_each(|node| line.push_str(&format!("; node {node} does not answer, is it started?")));
            }
            // Nobody may be reading any more; the wait goes on.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
        all_done
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenes::{LAST, members, regroup, well};
    use super::super::survey::{ReplicaSeen, Told};
    use super::*;
    use crest_node::Members;

    #[test]
    fn a_shard_goes_from_stage_to_stage_until_it_is_as_wanted() {
        let before = || well(4, &[&[1, 2, 3]]).want(0, &[1, 2, 4]);
        let moved = |members: Members| before().with(0, |shard| regroup(shard, members));
        let behind = moved(members(&[1, 2, 3], &[4])).told(0, 1, |told| {
            told.followers.iter_mut().filter(|f| f.replica.node() == 4).for_each(|f| f.matched = LAST - 40);
        });
        let snapshot = behind.clone().told(0, 1, |told| {
            told.followers.iter_mut().filter(|f| f.replica.node() == 4).for_each(|f| f.takes_snapshot = true);
        });
        let joint = Members { voters: vec![1, 2, 4], voters_outgoing: vec![1, 2, 3], ..Members::default() };
        let left = moved(members(&[1, 2, 4], &[]));
        let gone = left.clone().told(0, 3, |told| *told = Told::default());
        let dead = left.clone().with(0, |shard| {
            shard.replicas.retain(|seen| seen.node != 3);
            shard.replicas.push(ReplicaSeen { node: 3, told: Err("refused".to_owned()) });
        });
        let cases = [
            (before(), "waits for node 4 to join"),
            (behind, "node 4 catches up, 40 entries behind"),
            (snapshot, "node 4 takes in a snapshot"),
            (moved(joint), "its members change"),
            (moved(members(&[1, 2, 3, 4], &[])), "is to be left by node 3"),
            (left, "is put aside on node 3"),
            (gone, "as wanted"),
            (dead, "as wanted"),
            (before().silence(1), "waits for a leader"),
            (well(4, &[&[1]]).want(0, &[1, 2, 3]), "waits for nodes 2, 3 to join"),
            (well(4, &[&[1, 2, 3]]), "as wanted"),
        ];
        for (survey, expected) in cases {
            assert_eq!(stage(&survey.shards[0]).to_string(), expected, "{:?}", survey.shards[0].members());
        }
    }

    #[test]
    fn an_earlier_life_that_still_votes_is_waited_for() {
        let life = ReplicaId::joining(3, 9).number();
        let survey = well(3, &[&[1, 2, 3]]).with(0, |shard| regroup(shard, members(&[1, 2, 3, life], &[])));
        assert_eq!(stage(&survey.shards[0]), Stage::Changes);
    }
}
