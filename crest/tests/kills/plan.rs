//! What is to happen in a round: chosen at random, the points first that were tried the least.

use std::time::Duration;

use crest_conformance::random::Random;
use crest_failpoints::Point;

use super::{Act, Tally, Who};

/// From a full disk and a broken one.
const ENOSPC: i32 = 28;
const EIO: i32 = 5;
/// A hold asks after 2 s: these pauses are longer. A decide is refused after 10 s: the longest is longer than that.
const PAUSE_MS: (u64, u64) = (2_200, 1_300);
const LONG_PAUSE_MS: u64 = 10_500;

/// What befalls one process, and when, counted from the beginning of the round.
#[derive(Clone, Debug)]
pub(crate) struct Befalls {
    pub(crate) who: Who,
    pub(crate) begins: Duration,
    pub(crate) act: Act,
}

/// What befalls processes in one round, each at most once.
#[derive(Clone, Debug)]
pub(crate) struct Plan(pub(crate) Vec<Befalls>);

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (n, Befalls { who, begins, act }) in self.0.iter().enumerate() {
            let comma = if n > 0 { "; " } else { "" };
            write!(f, "{comma}{who} at {} ms: {act}", begins.as_millis())?;
        }
        Ok(())
    }
}

/// The names of points that are passed while payments flow, with what they mean.
pub(crate) fn names_of(points: &'static [Point]) -> impl Iterator<Item = (String, &'static str)> {
    let first_start = crest_node::points::START_UNNAMED.name;
    let passed = move |name: &str| !name.starts_with("value::") && name != first_start;
    let names = points.iter().flat_map(|point| point.names().into_iter().map(|name| (name, point.meaning.trim())));
    names.filter(move |(name, _)| passed(name))
}

/// Whether only a replica comes to a point that takes in a snapshot: see [`super::Blow`].
fn of_snapshots(name: &str) -> bool {
    name.starts_with("snapshot::") || name.starts_with("install::")
}

impl Plan {
    /// Chooses.
    pub(crate) fn new(nodes: usize, routers: usize, tally: &Tally, random: &mut Random) -> Self {
        let mut free: Vec<Who> = (0..nodes).map(Who::Node).chain((0..routers).map(Who::Router)).collect();
        let mut plan = Self(Vec::new());
        // Most rounds are about points, some about several, with whatever else there is.
        let points = [0, 1, 1, 1, 2, 2][random.below(6) as usize];
        for _ in 0..points {
            plan.add_point(&mut free, tally, random);
        }
        let more = u64::from(plan.0.is_empty()) + random.below(3);
        for _ in 0..more.min(free.len() as u64) {
            let who = free.remove(random.below(free.len() as u64) as usize);
            plan.add(who, random_act(random), random);
        }
        plan
    }

    fn add(&mut self, who: Who, act: Act, random: &mut Random) {
        let begins = Duration::from_millis(random.below(1_200));
        self.0.push(Befalls { who, begins, act });
    }

    /// Arms a process with one of the points that were tried the least.
    fn add_point(&mut self, free: &mut Vec<Who>, tally: &Tally, random: &mut Random) {
        let of_nodes = names_of(crest_node::points::ALL).filter(|(name, _)| !of_snapshots(name));
        let of_nodes = of_nodes.map(|(name, _)| (true, name));
        let of_routers = names_of(crest_router::points::ALL).map(|(name, _)| (false, name));
        let mut names: Vec<(bool, String)> = of_nodes.chain(of_routers).collect();
        names.sort_by_key(|(_, name)| {
            let (reached, missed) = tally.tries(name);
            4 * reached + missed
        });
        let (of_node, point) = names.swap_remove(random.below(6) as usize);
        let enough =
            |node: bool, count: usize| free.iter().filter(|who| matches!(who, Who::Node(_)) == node).count() >= count;
        if self.0.iter().any(|befalls| befalls.act.point() == Some(&point)) || !enough(true, 2) || !enough(false, 1) {
            return;
        }
        let mut armed = 1;
        if let Some(helper) = makes_doubt(&point) {
            // Recovery has something to do when a router dies with much under way; and nobody knows on which shards.
            let act = Act::DieAt { point: helper.to_owned(), passes: 5 + random.below(40) };
            self.0.push(Befalls { who: take(free, false, random), begins: Duration::from_millis(300), act });
            armed = 2;
        }
        for _ in 0..armed {
            let who = take(free, of_node, random);
            let act = at_point(&point, random);
            self.0.push(Befalls { who, begins: Duration::from_millis(random.below(300)), act });
        }
    }
}

fn take(free: &mut Vec<Who>, node: bool, random: &mut Random) -> Who {
    let fits: Vec<usize> = (0..free.len()).filter(|at| matches!(free[*at], Who::Node(_)) == node).collect();
    let at = random.pick(&fits).expect("there is one left of each kind");
    free.remove(at)
}

/// The point at which a router has to die so that a node comes to `point`.
fn makes_doubt(point: &str) -> Option<&'static str> {
    match point {
        "recovery::before_ask" | "recovery::answered" | "recovery::ended" => Some("router::prepared"),
        "recovery::before_tell" | "recovery::told" => Some("router::before_finish"),
        _ => None,
    }
}

fn at_point(point: &str, random: &mut Random) -> Act {
    let point = point.to_owned();
    if let Some(errno) = errno_of(&point, random) {
        return Act::FailAt { point, passes: random.below(30), errno };
    }
    let seldom = ["recovery", "expiry", "log::segment", "log::before_drop", "log::dropped", "checkpoint"];
    let seldom = seldom.iter().any(|prefix| point.starts_with(prefix));
    let seldom = seldom || point.ends_with("recover") || point.ends_with("expire") || point.ends_with("burn");
    let passes = match random.below(4) {
        _ if point.starts_with("start") => 0,
        0 => 0,
        _ if seldom => random.below(2),
        1 => random.below(10),
        _ => random.below(200),
    };
    if random.chance(20) {
        return Act::WaitAt { point, passes, time: pause(random) };
    }
    Act::DieAt { point, passes }
}

fn errno_of(point: &str, random: &mut Random) -> Option<i32> {
    match point {
        "log::sync_fails" => Some(EIO),
        "log::write_fails" | "log::fill_fails" | "checkpoint::write_fails" | "checkpoint::ingest_fails" => {
            Some(if random.chance(50) { ENOSPC } else { EIO })
        }
        _ => None,
    }
}

fn pause(random: &mut Random) -> Duration {
    let usual = PAUSE_MS.0 + random.below(PAUSE_MS.1);
    Duration::from_millis(if random.chance(5) { LONG_PAUSE_MS } else { usual })
}

fn random_act(random: &mut Random) -> Act {
    match random.below(100) {
        0..=49 => Act::Kill { down: Duration::from_millis(random.below(700)) },
        50..=64 => Act::KillAsItStarts { after: Duration::from_millis(random.below(60)) },
        65..=79 => Act::Pause { time: pause(random) },
        80..=89 => Act::PauseAndKill { time: pause(random) },
        _ => Act::Restart,
    }
}
