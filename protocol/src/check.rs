//! Running the checker on a world.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use crate::model::Protocol;
use crate::world::World;

/// What an exhaustive run found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The world's name.
    pub world: &'static str,
    /// States that differ.
    pub states: usize,
    /// Steps from one to another, those to states that were known included.
    pub steps: usize,
    /// How many steps the farthest state is from the start.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// Properties that do not hold; none in a correct protocol.
    pub violated: Vec<&'static str>,
    /// Goals that were not reached; none when the world shows what it is for.
    pub missed: Vec<&'static str>,
}

/// A shortest way to a state in which a property does not hold.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// One of [`crate::properties`].
    pub property: &'static str,
    /// What happens, step by step.
    pub path: Vec<String>,
}

/// Explores every state of a world.
pub fn explore(world: World, threads: usize) -> Report {
    let begun = Instant::now();
    let name = world.name;
    let checker =
        Protocol { world }.checker().threads(threads).finish_when(HasDiscoveries::AllFailures).spawn_bfs().join();
    let found = checker.discoveries();
    let properties = checker.model().properties();
    let named = |violation: bool| {
        let wanted = properties
            .iter()
            .filter(|p| p.expectation.discovery_is_failure() == violation && found.contains_key(p.name) == violation);
        wanted.map(|p| p.name).collect()
    };
    Report {
        world: name,
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        // The checker counts the start as the first.
        depth: checker.max_depth() - 1,
        took: begun.elapsed(),
        violated: named(true),
        missed: named(false),
    }
}

/// Looks for a shortest way to a violation of `property`, or of any when none is named; `None` when there is none in the whole
/// world.
pub fn counterexample(world: &World, property: Option<&'static str>) -> Option<Counterexample> {
    let first = find(world, property, None)?;
    // The checker reports the last violation that it saw before it stopped, so it is asked again with a bound that grows until
    // there is one. It counts the start as depth 1, and does not look at states of the depth that it is given.
    let bounds = (2..=first.path.len() + 1).filter_map(NonZeroUsize::new);
    bounds.map(|below| find(world, property, Some(below))).find_map(|found| found).or(Some(first))
}

fn find(world: &World, property: Option<&'static str>, below: Option<NonZeroUsize>) -> Option<Counterexample> {
    let finish = match property {
        Some(name) => HasDiscoveries::AnyOf([name].into()),
        None => HasDiscoveries::AnyFailures,
    };
    let mut builder = Protocol { world: world.clone() }.checker().finish_when(finish);
    if let Some(depth) = below {
        builder = builder.target_max_depth(depth.get());
    }
    let checker = builder.spawn_bfs().join();
    let failures = checker.model().properties().into_iter().filter(|p| p.expectation.discovery_is_failure());
    let wanted = failures.map(|p| p.name).filter(|name| property.is_none_or(|p| p == *name));
    let found = checker.discoveries();
    let paths = wanted.filter_map(|name| Some((name, found.get(name)?.clone().into_actions())));
    let (property, actions) = paths.min_by_key(|(_, actions)| actions.len())?;
    let path = actions.iter().map(|action| checker.model().format_action(action)).collect();
    Some(Counterexample { property, path })
}
