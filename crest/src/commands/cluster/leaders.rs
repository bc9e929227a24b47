//! `crest cluster transfer-leader` and `balance-leaders`: who leads is moved between voters, which costs the shard's payments a
//! delay of some heartbeats and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use crest_ledger::txn::ShardId;
use crest_topology::NodeId;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::ask::{self, Copy, Nodes};
use super::survey::{Role, ShardSeen, Survey};
use super::{OfMap, refused};
use crate::commands::human::parse_patience;
use crate::commands::outcome::{Failure, Outcome};

/// The pause between two looks at who leads.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a leader is given before it is asked again: it gives a handover up after an election timeout.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// `crest cluster transfer-leader`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  crest cluster transfer-leader 0 --to 2 --cluster cluster.toml

All that node 1 leads goes elsewhere, such as before it is restarted:
  crest cluster transfer-leader --from 1 --cluster cluster.toml

Exit codes:
  0  every shard concerned has the leader that it is to have
  1  refused: there is no such shard, voter, or other leader
  2  the command line is wrong
  3  there is no map, or the leader does not answer
  4  a shard has not changed its leader in time")]
pub(crate) struct Transfer {
    /// The shard
    #[arg(required_unless_present = "from", conflicts_with = "from", requires = "to")]
    shard: Option<ShardId>,
    /// The node that is to lead it
    #[arg(long, value_name = "NODE", conflicts_with = "from")]
    to: Option<NodeId>,
    /// Instead of a shard: all that this node leads goes to other nodes, evenly
    #[arg(long, value_name = "NODE")]
    from: Option<NodeId>,
    #[command(flatten)]
    pub(super) common: Common,
}

/// `crest cluster balance-leaders`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  crest cluster balance-leaders --cluster cluster.toml

A leader works more than its followers: it executes, answers reads, and sends the log. Exit codes as of transfer-leader.")]
pub(crate) struct Balance {
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Common {
    #[command(flatten)]
    pub(super) map: OfMap,
    #[command(flatten)]
    copy: Copy,
    /// How long each shard may take
    #[arg(long, default_value = "10s", value_parser = parse_patience, value_name = "DURATION")]
    timeout: Duration,
}

/// A shard that is to have another leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handover {
    pub(crate) shard: ShardId,
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
}

pub(super) async fn transfer(args: &Transfer) -> Result<Outcome, Failure> {
    let plan = |survey: &Survey| match (args.shard, args.to, args.from) {
        (Some(shard), Some(to), _) => one(survey, shard, to).map(|one| one.into_iter().collect()),
        (_, _, Some(from)) => away_from(survey, from),
        // clap asks for one of the two.
        _ => Err("give a shard and --to, or --from".to_owned()),
    };
    run(&args.common, plan).await
}

pub(super) async fn balance(args: &Balance) -> Result<Outcome, Failure> {
    run(&args.common, |survey| Ok(evenly(survey))).await
}

async fn run(common: &Common, plan: impl Fn(&Survey) -> Result<Vec<Handover>, String>) -> Result<Outcome, Failure> {
    let store = crest_map_store::open(common.map.cluster.clone());
    let (map, source) = ask::load(&*store, common.copy.map_copy.as_deref()).await?;
    let survey = ask::survey(map.clone(), source, None).await;
    let handovers = match plan(&survey) {
        Ok(handovers) => handovers,
        Err(why) => return Ok(refused("refused", why)),
    };
    if handovers.is_empty() {
        return Ok(Outcome { text: "Nothing to do.".to_owned(), json: document(&[]), refusal: None });
    }
    let nodes = Nodes::of(&map);
    // One after the other: a shard pauses for a moment, and they are not to pause all at once.
    let mut done = Vec::new();
    let mut failed = None;
    for handover in handovers {
        let took = hand_over(&nodes, handover, common.timeout).await;
        failed = failed.or_else(|| took.as_ref().err().map(|why| format!("shard {}: {why}", handover.shard)));
        done.push((handover, took));
    }
    let line = |(handover, took): &(Handover, Result<Duration, String>)| {
        let Handover { shard, from, to } = handover;
        match took {
            Ok(took) => format!("shard {shard}: node {from} -> node {to}, in {:.2} s", took.as_secs_f64()),
            Err(why) => format!("shard {shard}: node {from} still leads: {why}"),
        }
    };
    let text = done.iter().map(line).collect::<Vec<_>>().join("\n");
    let shown = Outcome { text, json: document(&done), refusal: None };
    match failed {
        None => Ok(shown),
        Some(text) => Err(Failure::Attention { shown: Box::new(shown), text, code: 4 }),
    }
}

fn document(done: &[(Handover, Result<Duration, String>)]) -> Value {
    let one = |(handover, took): &(Handover, Result<Duration, String>)| {
        json!({
            "shard": handover.shard,
            "from": handover.from,
            "to": handover.to,
            "seconds": took.as_ref().ok().map(Duration::as_secs_f64),
            "error": took.as_ref().err(),
        })
    };
    json!({ "handovers": done.iter().map(one).collect::<Vec<_>>() })
}

/// Asks the leader to hand over, and waits until the other one says that it leads.
async fn hand_over(nodes: &Nodes, handover: Handover, patience: Duration) -> Result<Duration, String> {
    let begun = Instant::now();
    let mut last = "it has not changed".to_owned();
    while begun.elapsed() < patience {
        if let Err(why) = nodes.transfer_leader(handover.shard, handover.from, handover.to).await {
            last = why;
        }
        let asked = Instant::now();
        while asked.elapsed() < ASK_AGAIN && begun.elapsed() < patience {
            if nodes.leads(handover.to, handover.shard).await {
                return Ok(begun.elapsed());
            }
            sleep(PAUSE).await;
        }
    }
    Err(format!("not within {patience:?}; {last}"))
}

/// One shard's handover to a node; none when that one leads already.
///
/// # Errors
/// Why it cannot be.
pub(crate) fn one(survey: &Survey, shard: ShardId, to: NodeId) -> Result<Option<Handover>, String> {
    let known: Vec<String> = survey.shards.iter().map(|seen| seen.shard.to_string()).collect();
    let seen =
        survey.shard(shard).ok_or_else(|| format!("the cluster has no shard {shard}: it has {}", known.join(", ")))?;
    let Some((from, _)) = seen.leader() else {
        return Err(format!("shard {shard} has no leader that could hand over: see crest cluster status"));
    };
    if from == to {
        return Ok(None);
    }
    let able = able(seen);
    if !able.contains(&to) {
        let able: Vec<String> = able.iter().map(ToString::to_string).collect();
        return Err(match able.as_slice() {
            [] => format!("shard {shard} has no other voter that is alive"),
            able => format!("node {to} has no voter of shard {shard} that is alive; nodes {} have", able.join(", ")),
        });
    }
    Ok(Some(Handover { shard, from, to }))
}

/// Everything that a node leads goes to others, each to the one that leads the fewest then.
///
/// # Errors
/// When a shard has no other voter that is alive.
pub(crate) fn away_from(survey: &Survey, from: NodeId) -> Result<Vec<Handover>, String> {
    if survey.map.node(from).is_none() {
        return Err(format!("the cluster has no node {from}"));
    }
    let mut leaders = survey.leaders();
    let led = survey.shards.iter().filter(|seen| seen.leader().is_some_and(|(node, _)| node == from));
    let handover = |seen: &ShardSeen| {
        let to = able(seen).into_iter().min_by_key(|node| (leaders.get(node).copied().unwrap_or_default(), *node));
        let to = to.ok_or_else(|| format!("shard {} has no other voter that is alive", seen.shard))?;
        *leaders.entry(to).or_default() += 1;
        Ok(Handover { shard: seen.shard, from, to })
    };
    led.map(handover).collect()
}

/// As few handovers as it takes until no node leads two shards more than another one that could lead one of them.
pub(crate) fn evenly(survey: &Survey) -> Vec<Handover> {
    let mut leaders: BTreeMap<NodeId, usize> = survey.leaders();
    let mut led: BTreeMap<ShardId, NodeId> =
        survey.shards.iter().filter_map(|seen| Some((seen.shard, seen.leader()?.0))).collect();
    let load = |leaders: &BTreeMap<NodeId, usize>, node: NodeId| leaders.get(&node).copied().unwrap_or_default();
    // Each handover makes the loads more even, so it ends: after as many as there are shards for each node at the latest.
    loop {
        let candidates = survey.shards.iter().filter_map(|seen| {
            let from = *led.get(&seen.shard)?;
            let others = voters_alive(seen).into_iter().filter(|node| *node != from);
            let to = others.min_by_key(|node| (load(&leaders, *node), *node))?;
            let gain = load(&leaders, from).checked_sub(load(&leaders, to))?;
            (gain >= 2).then_some((gain, seen.shard, from, to))
        });
        let best = candidates.max_by_key(|(gain, shard, ..)| (*gain, std::cmp::Reverse(*shard)));
        let Some((_, shard, from, to)) = best else { break };
        *leaders.entry(from).or_default() -= 1;
        *leaders.entry(to).or_default() += 1;
        led.insert(shard, to);
    }
    let moved = survey.shards.iter().filter_map(|seen| {
        let (from, to) = (seen.leader()?.0, *led.get(&seen.shard)?);
        (from != to).then_some(Handover { shard: seen.shard, from, to })
    });
    moved.collect()
}

/// The nodes that could lead a shard and do not, sorted.
fn able(seen: &ShardSeen) -> Vec<NodeId> {
    let leader = seen.leader().map(|(node, _)| node);
    voters_alive(seen).into_iter().filter(|node| Some(*node) != leader).collect()
}

fn voters_alive(seen: &ShardSeen) -> Vec<NodeId> {
    let standings = seen.standings();
    let votes = |role: Role| matches!(role, Role::Leader | Role::Voter);
    let alive = standings.iter().filter(|s| votes(s.role) && s.is_alive() && !s.takes_snapshot());
    // The leader brings its group to what the map wants: one that is to go would hand over again at once.
    alive.map(|s| s.node).filter(|node| seen.wanted.contains(node)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::scenes::{members, regroup, well};
    use super::*;

    const ALL: &[NodeId] = &[1, 2, 3];

    fn handover(shard: ShardId, from: NodeId, to: NodeId) -> Handover {
        Handover { shard, from, to }
    }

    #[test]
    fn a_shard_is_handed_only_to_a_voter_that_is_alive() {
        let survey = well(4, &[ALL, &[4]]);
        assert_eq!(one(&survey, 0, 2), Ok(Some(handover(0, 1, 2))));
        assert_eq!(one(&survey, 0, 1), Ok(None), "it leads already");
        let learner = survey.clone().with(0, |shard| regroup(shard, members(&[1, 2], &[3])));
        let cases = [
            (one(&survey, 7, 1), "no shard 7: it has 0, 1"),
            (one(&survey, 0, 4), "node 4 has no voter of shard 0 that is alive; nodes 2, 3 have"),
            (one(&survey.clone().silence(3), 0, 3), "nodes 2 have"),
            (one(&survey.clone().silence(1), 0, 2), "shard 0 has no leader"),
            (one(&survey, 1, 2), "shard 1 has no other voter that is alive"),
            (one(&learner, 0, 3), "node 3 has no voter of shard 0"),
        ];
        for (found, part) in cases {
            let why = found.unwrap_err();
            assert!(why.contains(part), "{why:?} names {part:?}");
        }
    }

    #[test]
    fn what_a_node_leads_goes_evenly_to_the_others() {
        let survey = well(4, &[ALL, ALL, ALL, &[2, 3, 4]]);
        // Node 2 leads one shard already.
        let expected = [handover(0, 1, 3), handover(1, 1, 2), handover(2, 1, 3)];
        assert_eq!(away_from(&survey, 1).unwrap(), expected);
        assert_eq!(away_from(&survey, 4).unwrap(), []);
        assert!(away_from(&survey, 9).unwrap_err().contains("no node 9"));
        let stuck = away_from(&survey.silence(2).silence(3), 1).unwrap_err();
        assert!(stuck.contains("shard 0 has no other voter"), "{stuck}");
    }

    #[test]
    fn leaders_are_spread_with_few_handovers() {
        assert_eq!(evenly(&well(3, &[ALL, ALL, ALL])), [handover(0, 1, 2), handover(1, 1, 3)]);
        assert_eq!(evenly(&well(3, &[ALL, &[2], &[3]])), [], "each leads one");
        assert_eq!(evenly(&well(3, &[ALL, ALL, ALL]).silence(2)), [handover(0, 1, 3)], "not to one that is down");
        assert_eq!(evenly(&well(2, &[&[1], &[1], &[1]])), [], "what is alone stays");
    }
}
