//! Explores the protocol's model: every order in which messages, crashes, retries and recovery can happen.

use clap::Parser;
use crest_protocol::check::{Counterexample, Report, counterexample, explore};
use crest_protocol::mistake::Mistake;
use crest_protocol::scenarios::{self, Size};
use crest_protocol::world::{Delivery, World};

/// Checks the two-phase commit in every world, or in one, and prints how many states there are. With a mistake built in, it
/// prints a shortest way to the damage.
#[derive(Parser)]
#[command(
    after_help = "Examples:\n  explore\n  explore --size large --threads 2\n  explore --world pair --mistake no-tombstone"
)]
struct Args {
    /// How much is explored: `small` is what every build checks, `large` is `make model`.
    #[arg(long, value_enum, default_value_t = Size::Small)]
    size: Size,
    /// Only the world with this name.
    #[arg(long, value_parser = world_names())]
    world: Option<String>,
    /// Builds a mistake in, and looks for what it leads to.
    #[arg(long, value_enum)]
    mistake: Option<Mistake>,
    /// Every message arrives once or is lost, as over one TCP connection that may break; without it, any number of times.
    #[arg(long)]
    once: bool,
    /// Threads for a run without a mistake.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
}

fn world_names() -> clap::builder::PossibleValuesParser {
    scenarios::all(Size::Small).into_iter().map(|world| world.name).collect::<Vec<_>>().into()
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut worlds = scenarios::all(args.size);
    worlds.retain(|world| args.world.as_deref().is_none_or(|name| name == world.name));
    if args.once {
        worlds.iter_mut().for_each(|world| world.delivery = Delivery::Once);
    }
    match args.mistake {
        Some(mistake) => worlds.iter().for_each(|world| show(world, mistake)),
        None => check(worlds, usize::from(args.threads))?,
    }
    Ok(())
}

fn check(worlds: Vec<World>, threads: usize) -> anyhow::Result<()> {
    println!("{:<10} {:>12} {:>12} {:>6} {:>8}", "world", "states", "steps", "depth", "seconds");
    let mut total = 0;
    let mut wrong = Vec::new();
    for world in worlds {
        let Report { world, states, steps, depth, took, violated, missed } = explore(world, threads);
        println!("{world:<10} {states:>12} {steps:>12} {depth:>6} {:>8.1}", took.as_secs_f64());
        total += states;
        wrong.extend(violated.iter().map(|property| format!("{world}: {property} does not hold")));
        wrong.extend(missed.iter().map(|goal| format!("{world}: never reached: {goal}")));
    }
    println!("{:<10} {total:>12}", "all");
    anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn show(world: &World, mistake: Mistake) {
    match counterexample(&World { mistake: Some(mistake), ..world.clone() }, None) {
        None => println!("{}: nothing happens", world.name),
        Some(Counterexample { property, path }) => {
            println!("{}: violated: {property}", world.name);
            for (i, step) in path.iter().enumerate() {
                println!("  {:>3}. {step}", i + 1);
            }
        }
    }
}
