//! A [`Survey`] for people, in 80 columns, and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use crest_node::ReplicaId;
use crest_topology::NodeId;
use serde_json::{Value, json};

use super::health::{Health, Trouble, ranges};
use super::survey::{Role, ShardSeen, Standing, State, Survey};
use crate::commands::participation;
use crate::commands::rows::Table;

/// The width of a terminal that everybody has.
const COLUMNS: usize = 80;
/// Characters of a shard's health in its row; `under-replicated (2 of 3), catching up` has as many.
const HEALTH_CHARS: usize = 38;
/// Replicas of all shards are shown while there are no more of them; otherwise those of shards that are not as wanted.
const REPLICAS_SHOWN: usize = 24;

/// The whole survey for people. With `all`, every replica is shown, however many there are.
pub(crate) fn text(survey: &Survey, health: &Health, all: bool) -> String {
    let mut text = wrapped(&health.summary(survey.nodes.len()), "  ");
    let (name, version, epoch) = (&survey.map.name, survey.map.version, survey.map.map.epoch());
    let head = format!("cluster {name}, map version {version}, epoch {epoch}, from {}", survey.source.store);
    let _ = write!(text, "\n{}", wrapped(&head, "  "));
    if let Some(copied) = &survey.source.copy {
        let told = format!("the store gives no map ({}); this is the copy in {}", copied.why, copied.file);
        text.push_str(&wrapped(&told, "  "));
    }
    let _ = write!(text, "\n{}", nodes(survey));
    let _ = write!(text, "\n{}", shards(survey, health));
    let is_shown = |shard: &&ShardSeen| {
        let few = survey.shards.iter().map(|s| s.replicas.len()).sum::<usize>() <= REPLICAS_SHOWN;
        few || all || health.shards.iter().any(|(id, troubles)| *id == shard.shard && !troubles.is_empty())
    };
    let shown: Vec<&ShardSeen> = survey.shards.iter().filter(is_shown).collect();
    if !shown.is_empty() {
        let _ = write!(text, "\n{}", replicas(&shown));
    }
    let left_out = survey.shards.len() - shown.len();
    if left_out > 0 {
        let _ = writeln!(text, "\nReplicas of {left_out} shards that are as wanted are left out; --all shows them.");
    }
    let details = details(survey, health);
    if !details.is_empty() {
        let _ = write!(text, "\n{details}");
    }
    text
}

fn nodes(survey: &Survey) -> String {
    let mut table = Table::new(&["NODE", "ADDRESS", "REPLICAS", "LEADS", "MAP", "BUILD", "ANSWERS"]);
    let leaders = survey.leaders();
    for node in &survey.nodes {
        let has = |shard: &&ShardSeen| {
            shard.of(node.id).and_then(|seen| seen.told.as_ref().ok()).is_some_and(|told| told.replica.is_some())
        };
        let (here, wanted) = (survey.shards.iter().filter(has).count(), survey.map.shards_on(node.id).count());
        let leads = leaders.get(&node.id).copied().unwrap_or_default();
        table.row(match &node.told {
            Ok(told) => vec![
                node.id.to_string(),
                node.address.clone(),
                if here == wanted { here.to_string() } else { format!("{here} of {wanted}") },
                leads.to_string(),
                told.map_version.to_string(),
                told.build.clone(),
                "yes".to_owned(),
            ],
            Err(_) => {
                let none = || "-".to_owned();
                let replicas = format!("? of {wanted}");
                vec![node.id.to_string(), node.address.clone(), replicas, none(), none(), none(), "NO".to_owned()]
            }
        });
    }
    table.text()
}

fn shards(survey: &Survey, health: &Health) -> String {
    let mut table = Table::new(&["SHARD", "LEADER", "TERM", "ENTRIES", "VOTERS", "HEALTH"]);
    for (shard, (_, troubles)) in survey.shards.iter().zip(&health.shards) {
        let leader = shard.leader();
        let or_none = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
        table.row(vec![
            shard.shard.to_string(),
            or_none(leader.map(|(node, _)| format!("node {node}"))),
            or_none(leader.map(|(_, told)| told.term.to_string())),
            or_none(leader.map(|(_, told)| told.commit_index.to_string())),
            voters(shard),
            in_short(troubles),
        ]);
    }
    table.text()
}

/// What is not as wanted, what matters most first, as much as there is room for; the summary has all of it.
fn in_short(troubles: &[Trouble]) -> String {
    let mut said: Vec<String> = Vec::new();
    for trouble in troubles.iter().map(ToString::to_string) {
        if said.contains(&trouble) {
            continue;
        }
        if said.iter().map(|s| s.len() + 2).sum::<usize>() + trouble.len() > HEALTH_CHARS {
            said.push("…".to_owned());
            break;
        }
        said.push(trouble);
    }
    if said.is_empty() { "ok".to_owned() } else { said.join(", ") }
}

/// The nodes that vote: `1-3`, and `1-3 +4` with a learner, `1, 2, 4 (was 1-3)` while several change.
fn voters(shard: &ShardSeen) -> String {
    let Some(members) = shard.members() else { return "-".to_owned() };
    let nodes = |numbers: &[u64]| {
        let mut nodes: Vec<NodeId> = numbers.iter().map(|number| *number as NodeId).collect();
        nodes.sort_unstable();
        ranges(nodes)
    };
    let mut text = nodes(&members.voters);
    if !members.learners.is_empty() {
        let _ = write!(text, " +{}", nodes(&members.learners));
    }
    if members.is_joint() {
        let _ = write!(text, " (was {})", nodes(&members.voters_outgoing));
    }
    text
}

fn replicas(shards: &[&ShardSeen]) -> String {
    let mut table = Table::new(&["SHARD", "NODE", "ROLE", "COMMITTED", "APPLIED", "LAG", "STATE"]);
    for shard in shards {
        for standing in shard.standings() {
            let here = standing.says().filter(|told| told.replica.is_some());
            let or_none = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
            table.row(vec![
                shard.shard.to_string(),
                standing.node.to_string(),
                role(standing.role).to_owned(),
                or_none(here.map(|told| told.commit_index)),
                or_none(here.map(|told| told.applied_index)),
                or_none(standing.lag),
                state(shard, &standing),
            ]);
        }
    }
    table.text()
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Voter => "voter",
        Role::Learner => "learner",
        Role::Outgoing => "leaves",
        Role::Outside => "-",
    }
}

/// How a replica is, in a few words; see [`details`] for the reasons.
fn state(shard: &ShardSeen, standing: &Standing<'_>) -> String {
    let wanted = shard.wanted.contains(&standing.node);
    let state = match standing.told {
        None if standing.superseded => "lost: an earlier life",
        None => "not in the map",
        Some(Err(_)) if standing.follower.is_some_and(|f| f.active) => "runs, too busy to say how",
        Some(Err(_)) => "does not answer",
        Some(Ok(told)) => match told.state {
            State::Absent if wanted => "not started yet",
            State::Absent => "gone",
            State::Fresh => "fresh: not started yet",
            State::Founded => "founded",
            _ if standing.takes_snapshot() => "takes in a snapshot",
            State::Failed(_) => "FAILED",
            State::Running if standing.role == Role::Outside && wanted => "waits to join",
            State::Running if standing.role == Role::Outside => "leaves",
            State::Running | State::Installing => "running",
        },
    };
    state.to_owned()
}

/// Reasons, a line each: why a node or a replica does not answer, why a replica failed, who is said to lead.
fn details(survey: &Survey, health: &Health) -> String {
    let mut text = String::new();
    for node in &survey.nodes {
        if let Err(why) = &node.told {
            let told = format!("node {} at {} does not answer: {why}", node.id, node.address);
            text.push_str(&wrapped(&told, "  "));
        }
    }
    let answers = |node: NodeId| survey.node(node).is_some_and(|seen| seen.told.is_ok());
    for shard in &survey.shards {
        for seen in shard.replicas.iter().filter(|seen| answers(seen.node)) {
            if let Err(why) = &seen.told {
                let told = format!("shard {} on node {} does not say how it is: {why}", shard.shard, seen.node);
                text.push_str(&wrapped(&told, "  "));
            }
        }
    }
    for (shard, troubles) in &health.shards {
        for trouble in troubles {
            let told = match trouble {
                Trouble::Failed { node, why } => format!("shard {shard} on node {node} has failed: {why}"),
                Trouble::NoLeader { said: Some(node) } => {
                    format!("shard {shard}: node {node} leads as the others say, and does not say so itself")
                }
                Trouble::NotCommitting { node, stalled } => {
                    format!("shard {shard}: node {node} leads, and has committed nothing for {}", seconds(*stalled))
                }
                Trouble::NotCatchingUp { node, standstill, .. } => format!(
                    "shard {shard}: the replica on node {node} is behind, and has not got on for {}",
                    seconds(*standstill)
                ),
                Trouble::ClockWrong { node, why } => {
                    format!("shard {shard}: node {node} leads, and takes no requests: {why}")
                }
                Trouble::MustNotLead { node, why } => format!("shard {shard}: node {node} must not lead it: {why}"),
                Trouble::TimeRefused { by, ahead } => participation::refused(*shard, *by, ms(*ahead)),
                Trouble::PeerSilent { peer, silent } => {
                    format!("shard {shard} has had no answer from shard {peer} for {}", seconds(*silent))
                }
                Trouble::Rival { node, term } => {
                    format!("shard {shard}: node {node} takes itself for the leader, of term {term}, which is over")
                }
                _ => continue,
            };
            text.push_str(&wrapped(&told, "  "));
        }
    }
    for (shard, ahead) in survey.shards.iter().filter_map(|s| Some((s.shard, s.leader()?.1.time_ahead?))) {
        if ahead > participation::TIME_AHEAD_SHOWN {
            text.push_str(&wrapped(&participation::time_ahead(shard, ms(ahead)), "  "));
        }
    }
    text
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn seconds(duration: Duration) -> String {
    participation::seconds(ms(duration))
}

/// Text in lines of [`COLUMNS`], broken between words where that is possible; lines after the first begin with `indent`.
pub(crate) fn wrapped(text: &str, indent: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= COLUMNS => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) => lines.push(format!("{indent}{word}")),
            None => lines.push(word.to_owned()),
        }
    }
    lines.iter().fold(String::new(), |text, line| text + line + "\n")
}

/// The whole survey for programs.
pub(crate) fn document(survey: &Survey, health: &Health) -> Value {
    let leaders = survey.leaders();
    let node = |node: &super::survey::NodeSeen| {
        let told = node.told.as_ref().ok();
        json!({
            "node": node.id,
            "address": node.address,
            "answers": told.is_some(),
            "error": node.told.as_ref().err(),
            "build": told.map(|told| &told.build),
            "map_version": told.map(|told| told.map_version.to_string()),
            "epoch": told.map(|told| told.epoch.to_string()),
            "replicas_wanted": survey.map.shards_on(node.id).count(),
            "leads": leaders.get(&node.id),
        })
    };
    let shards = survey.shards.iter().zip(&health.shards);
    json!({
        "health": health.word(),
        "summary": health.summary(survey.nodes.len()),
        "cluster": survey.map.name,
        "map_version": survey.map.version.to_string(),
        "epoch": survey.map.map.epoch().to_string(),
        "store": survey.source.store,
        "store_answers": survey.source.copy.is_none(),
        "store_error": survey.source.copy.as_ref().map(|copied| &copied.why),
        "map_copy": survey.source.copy.as_ref().map(|copied| &copied.file),
        "nodes": survey.nodes.iter().map(node).collect::<Vec<_>>(),
        "shards": shards.map(|(shard, (_, troubles))| shard_json(shard, troubles)).collect::<Vec<_>>(),
    })
}

fn shard_json(shard: &ShardSeen, troubles: &[Trouble]) -> Value {
    let leader = shard.leader();
    let members = shard.members().cloned().unwrap_or_default();
    let nodes = |numbers: &[u64]| {
        let mut nodes: Vec<NodeId> = numbers.iter().map(|number| *number as NodeId).collect();
        nodes.sort_unstable();
        nodes
    };
    let replica = |standing: Standing<'_>| {
        let here = standing.says();
        let index = |index: fn(&super::survey::Told) -> u64| here.map(|told| index(told).to_string());
        json!({
            "node": standing.node,
            "role": role(standing.role),
            "replica": here.and_then(|told| told.replica).map(|r: ReplicaId| r.number().to_string()),
            "state": state(shard, &standing),
            "error": standing.told.and_then(|told| told.as_ref().err()),
            "failure": here.and_then(|told| match &told.state { State::Failed(why) => Some(why), _ => None }),
            "term": index(|told| told.term),
            "commit_index": index(|told| told.commit_index),
            "applied_index": index(|told| told.applied_index),
            "lag_entries": standing.lag.map(|lag| lag.to_string()),
            "standstill_ms": standing.follower.and_then(|f| Some(ms(f.standstill?).to_string())),
        })
    };
    json!({
        "shard": shard.shard,
        "serves": troubles.iter().all(Trouble::serves),
        "troubles": troubles.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "leader": leader.map(|(node, _)| node),
        "term": leader.map(|(_, told)| told.term.to_string()),
        "commit_stalled_ms": leader.and_then(|(_, told)| Some(ms(told.commit_stalled?).to_string())),
        "shard_time_ahead_ms": leader.and_then(|(_, told)| Some(ms(told.time_ahead?).to_string())),
        "wanted": shard.wanted,
        "voters": nodes(&members.voters),
        "learners": nodes(&members.learners),
        "voters_outgoing": nodes(&members.voters_outgoing),
        "replicas": shard.standings().into_iter().map(replica).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::health;
    use super::super::scenes::{LAST, members, regroup, well};
    use super::super::survey::{Copied, Told};
    use super::*;

    #[track_caller]
    fn check(survey: &Survey, expected: &str) {
        let shown = text(survey, &health::of(survey), false);
        assert_eq!(shown, expected, "\n{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= COLUMNS), "{shown}");
    }

    #[test]
    fn a_cluster_that_is_well_is_one_glance() {
        let expected = "\
healthy: 2 shards, 3 nodes

cluster pay, map version 7, epoch 2, from etcd://e:1/pay

NODE  ADDRESS  REPLICAS  LEADS  MAP  BUILD  ANSWERS
   1  n1:1            1      1    7  0.1.0  yes
   2  n2:1            2      1    7  0.1.0  yes
   3  n3:1            1      0    7  0.1.0  yes

SHARD  LEADER  TERM  ENTRIES  VOTERS  HEALTH
    0  node 1     3     1000     1-3  ok
    1  node 2     3     1000       2  ok

SHARD  NODE  ROLE    COMMITTED  APPLIED  LAG  STATE
    0     1  leader       1000     1000    -  running
    0     2  voter        1000     1000    0  running
    0     3  voter        1000     1000    0  running
    1     2  leader       1000     1000    -  running
";
        check(&well(3, &[&[1, 2, 3], &[2]]), expected);
    }

    #[test]
    fn what_is_not_as_wanted_stands_in_its_row_and_is_explained() {
        let mut survey = well(5, &[&[1, 2, 3], &[1, 2, 3], &[3]]).want(0, &[1, 2, 4]).silence(3);
        survey = survey.with(0, |shard| regroup(shard, members(&[1, 2, 3], &[4]))).silence(3);
        survey = survey.told(0, 1, |told| told.followers[2].matched = LAST - 900);
        let failure =
            "the disk has lost what was acknowledged. Delete this shard's folder on this node, and start again";
        survey = survey.told(1, 2, |told| *told = Told { state: State::Failed(failure.to_owned()), ..Told::default() });
        survey.source.copy = Some(Copied { why: "e:1 does not answer".to_owned(), file: "node-1/map.toml".to_owned() });
        let expected = "\
NOT healthy: shard 2: no replica answers; node 3 does not answer; the store of
  the map does not give it: changes of the map wait; shard 1: a replica failed;
  shard 1: under-replicated (1 of 3); shard 0: under-replicated (2 of 3); shard
  0: catching up; shard 0: changing members

cluster pay, map version 7, epoch 2, from etcd://e:1/pay
the store gives no map (e:1 does not answer); this is the copy in
  node-1/map.toml

NODE  ADDRESS  REPLICAS  LEADS  MAP  BUILD  ANSWERS
   1  n1:1     2             2    7  0.1.0  yes
   2  n2:1     1 of 2        0    7  0.1.0  yes
   3  n3:1     ? of 2        -    -      -  NO
   4  n4:1     1             0    7  0.1.0  yes
   5  n5:1     0             0    7  0.1.0  yes

SHARD  LEADER  TERM  ENTRIES  VOTERS  HEALTH
    0  node 1     3     1000  1-3 +4  under-replicated (2 of 3), catching up, …
    1  node 1     3     1000  1-3     a replica failed, …
    2  -          -        -  -       no replica answers

SHARD  NODE  ROLE     COMMITTED  APPLIED  LAG  STATE
    0     1  leader        1000     1000    -  running
    0     2  voter         1000     1000    0  running
    0     3  voter            -        -    0  does not answer
    0     4  learner       1000     1000  900  running
    1     1  leader        1000     1000    -  running
    1     2  voter            -        -    0  FAILED
    1     3  voter            -        -    0  does not answer
    2     3  -                -        -    -  does not answer

node 3 at n3:1 does not answer: refused
shard 1 on node 2 has failed: the disk has lost what was acknowledged. Delete
  this shard's folder on this node, and start again
";
        check(&survey, expected);
    }

    #[test]
    fn a_replica_that_does_not_answer_on_a_node_that_does_says_why() {
        let mut survey = well(3, &[&[1, 2, 3]]);
        survey.shards[0].replicas[2].told = Err("too busy".to_owned());
        let shown = text(&survey, &health::of(&survey), false);
        assert!(shown.contains("    0     3  voter           -        -    0  runs, too busy to say how"), "{shown}");
        assert!(shown.contains("shard 0 on node 3 does not say how it is: too busy"), "{shown}");
    }

    #[test]
    fn replicas_of_a_large_cluster_are_shown_where_something_is_wrong() {
        let placement: [&[NodeId]; 10] = [&[1, 2, 3]; 10];
        let survey = well(3, &placement);
        let shown = text(&survey, &health::of(&survey), false);
        assert!(
            shown.contains("Replicas of 10 shards that are as wanted are left out") && !shown.contains("ROLE"),
            "{shown}"
        );
        assert!(text(&survey, &health::of(&survey), true).contains("ROLE"));
        let mut placement = placement;
        placement[9] = &[4, 5, 6];
        let lost = well(6, &placement);
        let lost = lost.silence(6);
        let shown = text(&lost, &health::of(&lost), false);
        assert_eq!(
            shown.lines().filter(|line| line.contains("voter") || line.contains("leader")).count(),
            3,
            "{shown}"
        );
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrapped("one two", "  "), "one two\n");
        let long = "word ".repeat(30);
        let text = wrapped(long.trim(), "  ");
        assert!(text.lines().skip(1).all(|line| line.starts_with("  word")) && text.lines().count() == 2, "{text}");
        assert_eq!(wrapped(&"x".repeat(100), "  ").lines().count(), 1, "what has no spaces stays whole");
    }

    #[test]
    fn programs_get_every_figure() {
        let survey = well(3, &[&[1, 2, 3]]).silence(3);
        let json = document(&survey, &health::of(&survey));
        assert_eq!((&json["health"], &json["map_version"]), (&json!("not-as-wanted"), &json!("7")));
        assert_eq!(json["nodes"][2]["answers"], json!(false));
        assert_eq!(json["nodes"][0]["leads"], json!(1));
        let shard = &json["shards"][0];
        assert_eq!(
            (&shard["leader"], &shard["voters"], &shard["serves"]),
            (&json!(1), &json!([1, 2, 3]), &json!(true))
        );
        assert_eq!(shard["troubles"], json!(["under-replicated (2 of 3)"]));
        assert_eq!(shard["replicas"][1]["applied_index"], json!("1000"));
        assert_eq!(shard["replicas"][2]["error"], json!("refused"));
    }
}
