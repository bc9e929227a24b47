//! What is thought of a [`Survey`]: what is not as wanted, and whether every shard serves. Pure: the tests are tables.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crest_ledger::limits::COMMIT_STALLED_MS;
use crest_ledger::txn::ShardId;
use crest_node::ReplicaId;
use crest_node::limits::{CAUGHT_UP_ENTRIES, FOLLOWER_STANDSTILL};
use crest_proto::internal::PeerTroubleKind;
use crest_topology::NodeId;

use super::survey::{Role, ShardSeen, Standing, State, Survey};

/// What is not as wanted with a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No node that is to have a replica says anything.
    Silent,
    /// No replica that answers leads.
    NoLeader {
        /// Who leads as the others say, when that one does not answer here.
        said: Option<NodeId>,
    },
    /// The group is being founded: all of its nodes answer, and none has taken part in anything yet.
    NotFounded,
    /// A replica leads, and does not commit what it should: a majority does not take its entries.
    NotCommitting { node: NodeId, stalled: Duration },
    /// The leader's node has a clock that must not be used, so it takes no requests.
    ClockWrong { node: NodeId, why: String },
    /// A node that does not lead has such a clock: it must not lead.
    MustNotLead { node: NodeId, why: String },
    /// Another shard does not accept this one's messages: this one's time is too far ahead.
    TimeRefused { by: ShardId, ahead: Duration },
    /// The leader of another shard does not answer this one's leader.
    PeerSilent { peer: ShardId, silent: Duration },
    /// A replica has stopped with a failure.
    Failed { node: NodeId, why: String },
    /// Fewer voters do their part than there are to be replicas.
    UnderReplicated { alive: usize, wanted: usize },
    /// Two replicas say that they lead, in different terms: the earlier one has not noticed yet that it is over.
    Rival { node: NodeId, term: u64 },
    /// A replica is behind and does not get on.
    NotCatchingUp { node: NodeId, lag: Option<u64>, standstill: Duration },
    /// A replica does not have what the leader has; none when nobody knows how much is missing.
    CatchingUp { node: NodeId, lag: Option<u64> },
    /// Who belongs to the group is not who is wanted there.
    Changing,
}

impl Trouble {
    /// Whether the shard can take payments nevertheless.
    pub(crate) fn serves(&self) -> bool {
        !matches!(
            self,
            Self::Silent
                | Self::NoLeader { .. }
                | Self::NotFounded
                | Self::NotCommitting { .. }
                | Self::ClockWrong { .. }
                | Self::TimeRefused { .. }
        )
    }

    /// The lower, the more it matters.
    fn rank(&self) -> u8 {
        match self {
            Self::Silent => 0,
            Self::NoLeader { .. } => 1,
            Self::NotFounded => 2,
            Self::ClockWrong { .. } => 3,
            Self::NotCommitting { .. } => 3,
            Self::TimeRefused { .. } => 4,
            Self::Failed { .. } => 5,
            Self::UnderReplicated { .. } => 6,
            Self::NotCatchingUp { .. } => 7,
            Self::Rival { .. } => 8,
            Self::PeerSilent { .. } => 9,
            Self::CatchingUp { .. } => 10,
            Self::MustNotLead { .. } => 9,
            Self::Changing => 11,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("no replica answers"),
            Self::NoLeader { .. } => f.write_str("no leader"),
            Self::NotFounded => f.write_str("not founded yet"),
            Self::NotCommitting { .. } => f.write_str("does not commit"),
            Self::ClockWrong { .. } => f.write_str("its leader's clock is wrong"),
            Self::MustNotLead { .. } => f.write_str("a replica's clock is wrong"),
            Self::TimeRefused { .. } => f.write_str("others refuse its messages"),
            Self::PeerSilent { .. } => f.write_str("does not hear another shard"),
            Self::NotCatchingUp { .. } => f.write_str("a replica does not catch up"),
            Self::Failed { .. } => f.write_str("a replica failed"),
            Self::UnderReplicated { alive, wanted } => write!(f, "under-replicated ({alive} of {wanted})"),
            Self::Rival { .. } => f.write_str("two say they lead"),
            Self::CatchingUp { .. } => f.write_str("catching up"),
            Self::Changing => f.write_str("changing members"),
        }
    }
}

/// What is not as wanted with a shard, what matters most first; nothing when all is well.
pub(crate) fn of_shard(shard: &ShardSeen) -> Vec<Trouble> {
    if shard.replicas.iter().all(|seen| seen.told.is_err()) {
        return vec![Trouble::Silent];
    }
    let standings = shard.standings();
    let mut found = Vec::new();
    if shard.leader().is_none() {
        let unborn = |s: &Standing<'_>| s.says().is_some_and(|t| matches!(t.state, State::Fresh | State::Founded));
        found.push(match standings.iter().all(unborn) {
            true => Trouble::NotFounded,
            false => Trouble::NoLeader { said: shard.said_to_lead() },
        });
    }
    if let Some((node, stalled)) = shard.leader().and_then(|(node, told)| Some((node, told.commit_stalled?)))
        && stalled >= Duration::from_millis(COMMIT_STALLED_MS)
    {
        found.push(Trouble::NotCommitting { node, stalled });
    }
    for standing in &standings {
        if let Some(why) = standing.says().and_then(|told| told.clock_problem.clone()) {
            let node = standing.node;
            found.push(match standing.role {
                Role::Leader => Trouble::ClockWrong { node, why },
                _ => Trouble::MustNotLead { node, why },
            });
        }
    }
    for standing in &standings {
        if let Some(State::Failed(why)) = standing.says().map(|told| &told.state) {
            found.push(Trouble::Failed { node: standing.node, why: why.clone() });
        }
    }
    let votes = |s: &&Standing<'_>| matches!(s.role, Role::Leader | Role::Voter);
    let alive = standings.iter().filter(votes).filter(|s| s.is_alive()).count();
    if alive < shard.wanted.len() && shard.leader().is_some() {
        found.push(Trouble::UnderReplicated { alive, wanted: shard.wanted.len() });
    }
    found.extend(shard.rivals().map(|(node, term)| Trouble::Rival { node, term }));
    found.extend(standings.iter().filter_map(catching_up));
    if !has_members_wanted(shard) {
        found.push(Trouble::Changing);
    }
    found
}

fn catching_up(standing: &Standing<'_>) -> Option<Trouble> {
    let belongs = matches!(standing.role, Role::Voter | Role::Learner);
    let is_behind = standing.takes_snapshot() || standing.lag.is_some_and(|lag| lag > CAUGHT_UP_ENTRIES);
    let (node, lag) = (standing.node, standing.lag);
    let standstill =
        standing.follower.and_then(|f| f.standstill).filter(|standstill| *standstill >= FOLLOWER_STANDSTILL);
    match standstill {
        _ if !belongs || !standing.is_alive() => None,
        Some(standstill) => Some(Trouble::NotCatchingUp { node, lag, standstill }),
        None => is_behind.then_some(Trouble::CatchingUp { node, lag }),
    }
}

/// Adds what shards say of each other. Both sides tell of a refusal; it is the trouble of the one whose time is ahead. That a shard
/// hears nothing of one without a leader is no trouble of its own.
fn add_peers(survey: &Survey, shards: &mut [(ShardId, Vec<Trouble>)]) {
    let leaders = || survey.shards.iter().filter_map(|shard| Some((shard.shard, shard.leader()?.1)));
    let mut found: BTreeMap<(ShardId, bool, ShardId), Duration> = BTreeMap::new();
    for (shard, leader) in leaders() {
        for peer in &leader.peers {
            let (key, known) = match peer.kind {
                PeerTroubleKind::RefusedByPeer => ((shard, true, peer.shard), true),
                PeerTroubleKind::RefusesPeer => ((peer.shard, true, shard), true),
                PeerTroubleKind::NoAnswer => ((shard, false, peer.shard), leaders().any(|(id, _)| id == peer.shard)),
                PeerTroubleKind::Unspecified => continue,
            };
            if known {
                let by = found.entry(key).or_default();
                *by = (*by).max(peer.by);
            }
        }
    }
    for ((shard, refused, other), by) in found {
        let trouble = match refused {
            true => Trouble::TimeRefused { by: other, ahead: by },
            false => Trouble::PeerSilent { peer: other, silent: by },
        };
        if let Some((_, troubles)) = shards.iter_mut().find(|(id, _)| *id == shard) {
            troubles.push(trouble);
            troubles.sort_by_key(Trouble::rank);
        }
    }
}

/// Whether exactly those vote that the map wants, as they live now, and nobody else belongs to the group. True when nobody knows.
fn has_members_wanted(shard: &ShardSeen) -> bool {
    let Some((_, leader)) = shard.leader() else { return true };
    let members = &leader.members;
    let mut nodes: Vec<NodeId> = members.voters.iter().map(|number| *number as NodeId).collect();
    nodes.sort_unstable();
    let mut voters = members.voters.iter().filter_map(|number| ReplicaId::from_number(*number));
    let all_live = !voters.any(|replica| shard.is_superseded(replica));
    nodes == shard.wanted && all_live && members.learners.is_empty() && !members.is_joint()
}

/// How well a cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    /// What is not as wanted, by shard; every shard is there.
    pub(crate) shards: Vec<(ShardId, Vec<Trouble>)>,
    /// What is not as wanted with nodes and with the map, a sentence each.
    pub(crate) others: Vec<String>,
    /// Nobody has answered: nothing is known.
    unknown: bool,
}

/// How well a cluster is.
pub(crate) fn of(survey: &Survey) -> Health {
    let mut shards: Vec<(ShardId, Vec<Trouble>)> =
        survey.shards.iter().map(|shard| (shard.shard, of_shard(shard))).collect();
    add_peers(survey, &mut shards);
    let mut others = Vec::new();
    let silent: Vec<NodeId> = survey.nodes.iter().filter(|n| n.told.is_err()).map(|n| n.id).collect();
    if let [first, rest @ ..] = silent.as_slice() {
        let (noun, verb) = if rest.is_empty() { ("node", "does") } else { ("nodes", "do") };
        others.push(format!("{noun} {} {verb} not answer", ranges(std::iter::once(first).chain(rest).copied())));
    }
    if survey.source.copy.is_some() {
        others.push("the store of the map does not give it: changes of the map wait".to_owned());
    }
    let version = survey.map.version;
    let versions = survey.nodes.iter().filter_map(|n| Some((n.id, n.told.as_ref().ok()?.map_version)));
    for (node, seen) in versions {
        if seen < version {
            others.push(format!("node {node} still has version {seen} of the map, not {version}"));
        } else if seen > version {
            others.push(format!("node {node} has version {seen} of the map already, and this survey {version}"));
        }
    }
    let unknown = !survey.nodes.is_empty() && silent.len() == survey.nodes.len();
    Health { shards, others, unknown }
}

impl Health {
    /// The exit code: 0 all is as wanted, 1 something is not, 4 a shard does not serve, 3 nobody has answered.
    pub(crate) fn exit_code(&self) -> u8 {
        let mut troubles = self.shards.iter().flat_map(|(_, troubles)| troubles);
        match () {
            () if self.unknown => 3,
            () if troubles.clone().any(|trouble| !trouble.serves()) => 4,
            () if troubles.next().is_some() || !self.others.is_empty() => 1,
            () => 0,
        }
    }

    /// One word for programs.
    pub(crate) fn word(&self) -> &'static str {
        match self.exit_code() {
            0 => "healthy",
            1 => "not-as-wanted",
            3 => "unknown",
            _ => "not-serving",
        }
    }

    /// One line that says it all. `nodes` are as many as the cluster has.
    pub(crate) fn summary(&self, nodes: usize) -> String {
        let found = self.troubles().join("; ");
        match self.exit_code() {
            0 => format!("healthy: {}, {}", count(self.shards.len(), "shard"), count(nodes, "node")),
            1 => format!("NOT as wanted, but every shard serves: {found}"),
            3 => "UNKNOWN: no node answers. Is this machine in their network?".to_owned(),
            _ => format!("NOT healthy: {found}"),
        }
    }

    /// What is not as wanted, the same trouble of several shards together, and what keeps a shard from serving first.
    fn troubles(&self) -> Vec<String> {
        let mut by_trouble: BTreeMap<(u8, String), (bool, Vec<ShardId>)> = BTreeMap::new();
        for (shard, troubles) in &self.shards {
            for trouble in troubles {
                let same = by_trouble.entry((trouble.rank(), trouble.to_string()));
                let (_, shards) = same.or_insert_with(|| (trouble.serves(), Vec::new()));
                if shards.last() != Some(shard) {
                    shards.push(*shard);
                }
            }
        }
        let say = |(serves, text): (bool, &str), shards: &[ShardId]| {
            let noun = if shards.len() == 1 { "shard" } else { "shards" };
            (serves, format!("{noun} {}: {text}", ranges(shards.iter().copied())))
        };
        let said = by_trouble.iter().map(|((_, text), (serves, shards))| say((*serves, text), shards));
        let (others, serious): (Vec<_>, Vec<_>) = said.partition(|(serves, _)| *serves);
        let text = |said: Vec<(bool, String)>| said.into_iter().map(|(_, text)| text);
        text(serious).chain(self.others.iter().cloned()).chain(text(others)).collect()
    }
}

/// `1 node`, `2 nodes`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Numbers in order, runs of three and more shortened: `0-3, 7, 9`.
pub(crate) fn ranges(numbers: impl IntoIterator<Item = u32>) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let say = |(first, last): (u32, u32)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first}-{last}"),
    };
    runs.into_iter().map(say).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::scenes::{LAST, TERM, members, regroup, well};
    use super::super::survey::{Copied, PeerSeen, ReplicaSeen, Told};
    use super::*;
    use crest_node::Members;

    /// One shard on nodes 1 to 3, of which node 1 leads.
    fn one() -> Survey {
        well(4, &[&[1, 2, 3]])
    }

    #[track_caller]
    fn check(what: &str, survey: Survey, expected: &[Trouble], code: u8) {
        assert_eq!(of_shard(&survey.shards[0]), expected, "{what}");
        assert_eq!(of(&survey).exit_code(), code, "{what}: {}", of(&survey).summary(4));
    }

    #[test]
    fn a_shard_is_as_its_replicas_and_its_leader_say() {
        use Trouble::*;
        let two_of_three = UnderReplicated { alive: 2, wanted: 3 };
        let no_leader = |said| NoLeader { said };
        let failed = Failed { node: 2, why: "disk".to_owned() };
        let fail = |told: &mut Told| *told = Told { state: State::Failed("disk".to_owned()), ..Told::default() };
        let fresh = |told: &mut Told| *told = Told { state: State::Fresh, ..Told::default() };
        check("all is well", one(), &[], 0);
        check("a follower is down", one().silence(3), std::slice::from_ref(&two_of_three), 1);
        check("its leader is down, and the others follow it still", one().silence(1), &[no_leader(Some(1))], 4);
        check("nobody answers", one().silence(1).silence(2).silence(3), &[Silent], 4);
        let candidates = |told: &mut Told| (told.is_leader, told.leader, told.followers) = (false, None, Vec::new());
        let election = [1, 2, 3].into_iter().fold(one(), |survey, node| survey.told(0, node, candidates));
        check("an election", election, &[no_leader(None)], 4);
        check("a replica failed", one().told(0, 2, fail), &[failed, two_of_three.clone()], 1);
        check("a lost disk", one().told(0, 3, fresh), std::slice::from_ref(&two_of_three), 1);
        let born = [1, 2, 3].into_iter().fold(one(), |survey, node| survey.told(0, node, fresh));
        check("all are fresh", born.clone(), &[NotFounded], 4);
        check("one of the fresh ones is away", born.silence(3), &[no_leader(None)], 4);
        let unheard = one().told(0, 1, |told| told.followers[1].active = false);
        check("the leader has not heard of one just now, which answers", unheard, &[], 0);
        let mut unreachable = one();
        unreachable.shards[0].replicas[2].told = Err("timeout".to_owned());
        check("one answers its leader and nobody else", unreachable, &[], 0);
    }

    #[test]
    fn a_shard_serves_while_it_commits_and_a_follower_has_to_get_on() {
        let seconds = Duration::from_secs;
        let stalled = |stalled| one().told(0, 1, |told| told.commit_stalled = stalled);
        check("a leader of an older build", stalled(None), &[], 0);
        check("a commit takes long", stalled(Some(seconds(4))), &[], 0);
        let not = Trouble::NotCommitting { node: 1, stalled: seconds(5) };
        check("nothing is committed", stalled(Some(seconds(5))), std::slice::from_ref(&not), 4);
        let stands = |standstill, matched| {
            one().told(0, 1, |told| (told.followers[0].standstill, told.followers[0].matched) = (standstill, matched))
        };
        check("behind a little, for a moment", stands(Some(seconds(9)), LAST - 3), &[], 0);
        let stuck = Trouble::NotCatchingUp { node: 2, lag: Some(3), standstill: seconds(10) };
        check("behind a little, and does not get on", stands(Some(seconds(10)), LAST - 3), &[stuck], 1);
        let why = || "it is wrong".to_owned();
        let clock = |node| one().told(0, node, |told| told.clock_problem = Some(why()));
        check("a leader that takes nothing", clock(1), &[Trouble::ClockWrong { node: 1, why: why() }], 4);
        check("a follower that must not lead", clock(2), &[Trouble::MustNotLead { node: 2, why: why() }], 1);
        // Two of three are up, and the second one takes nothing: the shard commits nothing.
        let both = stands(Some(seconds(60)), 10).silence(3).told(0, 1, |told| told.commit_stalled = Some(seconds(60)));
        let expected = [
            Trouble::NotCommitting { node: 1, stalled: seconds(60) },
            Trouble::UnderReplicated { alive: 2, wanted: 3 },
            Trouble::NotCatchingUp { node: 2, lag: Some(LAST - 10), standstill: seconds(60) },
        ];
        let summary = of(&both).summary(4);
        assert!(summary.starts_with("NOT healthy: shard 0: does not commit; node 3 does not answer"), "{summary}");
        assert_eq!(of_shard(&both.shards[0]), expected);
        assert_eq!(of(&both).exit_code(), 4);
    }

    #[test]
    fn shards_that_refuse_each_other_do_not_serve_and_the_one_ahead_is_named() {
        use PeerTroubleKind::{NoAnswer, RefusedByPeer, RefusesPeer};
        let by = Duration::from_secs(3_597);
        let says = |survey: Survey, shard, peer, kind| {
            survey.told(shard, 1, |told| told.peers.push(PeerSeen { shard: peer, kind, by }))
        };
        let two = || well(3, &[&[1, 2, 3], &[1, 2, 3]]);
        let refused = (1, vec![Trouble::TimeRefused { by: 0, ahead: by }]);
        let one_side = says(two(), 0, 1, RefusesPeer);
        let both = says(one_side.clone(), 1, 0, RefusedByPeer);
        for survey in [one_side, both] {
            let health = of(&survey);
            assert_eq!(health.shards, [(0, vec![]), refused.clone()]);
            assert_eq!((health.exit_code(), health.word()), (4, "not-serving"));
            assert_eq!(health.summary(3), "NOT healthy: shard 1: others refuse its messages");
        }
        let silent = says(two(), 0, 1, NoAnswer);
        assert_eq!(of(&silent).shards[0].1, [Trouble::PeerSilent { peer: 1, silent: by }]);
        assert_eq!(of(&silent).exit_code(), 1);
        let no_leader = silent.with(1, |shard| shard.replicas.iter_mut().for_each(|r| r.told = Err("gone".to_owned())));
        assert!(of(&no_leader).shards[0].1.is_empty(), "it is the other one's trouble");
    }

    #[test]
    fn of_two_that_say_they_lead_the_later_term_counts() {
        let cut_off = one().with(0, |shard| {
            // Node 1 is cut off; node 2 was elected by node 3.
            regroup(shard, members(&[1, 2, 3], &[]));
            let mut later = shard.replicas[0].told.clone().unwrap();
            (later.replica, later.leader, later.term) =
                (Some(ReplicaId::founder(2)), Some(ReplicaId::founder(2)), TERM + 1);
            shard.replicas[1].told = Ok(later);
        });
        assert_eq!(cut_off.shards[0].leader().map(|(node, _)| node), Some(2));
        check("a leader that does not know yet", cut_off, &[Trouble::Rival { node: 1, term: TERM }], 1);
        let follows_another =
            one().told(0, 3, |told| (told.term, told.leader) = (TERM + 1, Some(ReplicaId::founder(2))));
        let follows_another = follows_another.silence(2);
        check(
            "the one that leads now is out of reach, and the old one proves nothing",
            follows_another,
            &[Trouble::NoLeader { said: Some(2) }, Trouble::Rival { node: 1, term: TERM }],
            4,
        );
    }

    #[test]
    fn a_group_that_changes_says_so() {
        use Trouble::*;
        let joined = |matched: u64| {
            let survey = one().want(0, &[1, 2, 4]).with(0, |shard| regroup(shard, members(&[1, 2, 3], &[4])));
            survey.told(0, 1, |told| {
                told.followers.iter_mut().filter(|f| f.replica.node() == 4).for_each(|f| f.matched = matched)
            })
        };
        check("a node is to come and has nothing yet", one().want(0, &[1, 2, 4]), &[Changing], 1);
        check(
            "it is a learner and far behind",
            joined(10),
            &[CatchingUp { node: 4, lag: Some(LAST - 10) }, Changing],
            1,
        );
        check("it has caught up and has no vote yet", joined(LAST - 3), &[Changing], 1);
        let joint = one().want(0, &[1, 2, 4]).with(0, |shard| {
            let both = Members { voters: vec![1, 2, 4], voters_outgoing: vec![1, 2, 3], ..Members::default() };
            regroup(shard, both);
        });
        check("several change at once", joint, &[Changing], 1);
        let life = ReplicaId::joining(3, 9).number();
        let rebuilt = one().with(0, |shard| regroup(shard, members(&[1, 2, 3], &[life])));
        let rebuilt = rebuilt.told(0, 1, |told| {
            told.followers.iter_mut().filter(|f| f.replica.number() == 3).for_each(|f| f.active = false);
            told.followers.iter_mut().filter(|f| f.replica.number() == life).for_each(|f| f.takes_snapshot = true);
        });
        let behind = CatchingUp { node: 3, lag: Some(0) };
        let reborn = one().told(0, 3, |told| {
            (told.replica, told.leader) = (Some(ReplicaId::joining(3, 9)), None);
            told.members = Members::default();
        });
        check(
            "a lost disk, and the leader has not missed the earlier life yet",
            reborn,
            &[UnderReplicated { alive: 2, wanted: 3 }, Changing],
            1,
        );
        check("a lost disk is rebuilt", rebuilt, &[UnderReplicated { alive: 2, wanted: 3 }, behind, Changing], 1);
        let lagging = one().told(0, 1, |told| told.followers[0].matched = LAST - CAUGHT_UP_ENTRIES - 1);
        check("a voter lags", lagging, &[CatchingUp { node: 2, lag: Some(CAUGHT_UP_ENTRIES + 1) }], 1);
        let close = one().told(0, 1, |told| told.followers[0].matched = LAST - CAUGHT_UP_ENTRIES);
        check("a voter is as close as a busy one", close, &[], 0);
        let grows = well(4, &[&[1]]).want(0, &[1, 2, 3]);
        check("a shard of one grows", grows, &[UnderReplicated { alive: 1, wanted: 3 }, Changing], 1);
        let left = one().with(0, |shard| {
            let told = Told { state: State::Running, replica: Some(ReplicaId::founder(4)), ..Told::default() };
            shard.replicas.push(ReplicaSeen { node: 4, told: Ok(told) });
        });
        check("one that has left is no trouble", left, &[], 0);
    }

    #[test]
    fn nodes_and_the_map_count_too() {
        let old = |mut survey: Survey, version: u64| {
            if let Ok(told) = &mut survey.nodes[1].told {
                told.map_version = version;
            }
            survey
        };
        let mut copied = one();
        copied.source.copy = Some(Copied { why: "away".to_owned(), file: "map.toml".to_owned() });
        let all_silent = (1..=4).fold(one(), Survey::silence);
        let cases = [
            (one(), 0, "healthy: 1 shard, 4 nodes"),
            (one().silence(4), 1, "NOT as wanted, but every shard serves: node 4 does not answer"),
            (old(one(), 6), 1, "NOT as wanted, but every shard serves: node 2 still has version 6 of the map, not 7"),
            (
                old(one(), 8),
                1,
                "NOT as wanted, but every shard serves: node 2 has version 8 of the map already, and this survey 7",
            ),
            (
                copied,
                1,
                "NOT as wanted, but every shard serves: the store of the map does not give it: changes of the map wait",
            ),
            (all_silent, 3, "UNKNOWN: no node answers. Is this machine in their network?"),
            (
                one().silence(2).silence(3),
                1,
                "NOT as wanted, but every shard serves: nodes 2, 3 do not answer; shard 0: under-replicated (1 of 3)",
            ),
        ];
        for (survey, code, summary) in cases {
            let health = of(&survey);
            assert_eq!((health.exit_code(), health.summary(4).as_str()), (code, summary));
        }
    }

    #[test]
    fn the_summary_names_what_does_not_serve_first_and_groups_shards() {
        let placement: &[&[NodeId]] = &[&[1, 2, 3], &[1, 2, 3], &[1, 2, 3], &[4, 5, 6], &[4, 5, 6]];
        let survey = well(6, placement).silence(3).silence(4);
        let expected =
            "NOT healthy: shards 3, 4: no leader; nodes 3, 4 do not answer; shards 0-2: under-replicated (2 of 3)";
        assert_eq!((of(&survey).exit_code(), of(&survey).summary(6).as_str()), (4, expected));
        assert_eq!(of(&survey).word(), "not-serving");
    }

    #[test]
    fn runs_of_numbers_are_short() {
        for (numbers, text) in [
            (&[][..], ""),
            (&[4], "4"),
            (&[1, 2], "1, 2"),
            (&[1, 2, 3, 5, 7, 8, 9, u32::MAX], "1-3, 5, 7-9, 4294967295"),
        ] {
            assert_eq!(ranges(numbers.iter().copied()), text);
        }
    }
}
