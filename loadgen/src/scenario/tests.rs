//! What a scenario file may say, and what is said of one that may not.

use std::time::Duration;

use super::*;

const LEAST: &str = "name = \"least\"\ndescription = \"The least.\"\n[[phase]]\nduration = \"10s\"\nrate = 1_000\n";

fn parse(text: &str) -> Scenario {
    Scenario::parse(text, "test.toml").unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_least_file_has_everything_else_by_default() {
    let scenario = parse(LEAST);
    assert_eq!(scenario.name, "least");
    assert_eq!(scenario.phases.len(), 1);
    assert_eq!(scenario.phases[0].points, [(Duration::ZERO, 1_000.0), (Duration::from_secs(10), 1_000.0)]);
    assert_eq!(scenario.population.customers, 100_000);
    let Source::Mix(mix) = &scenario.source else { panic!("no mix") };
    assert_eq!((mix.payment, mix.read), (1.0, 0.0));
    assert_eq!(scenario.requests.in_flight_max, 2_048);
}

#[test]
fn an_error_says_where_what_and_what_instead() {
    let error = Scenario::parse(&LEAST.replace("1_000", "-5"), "test.toml").unwrap_err();
    println!("{error}");
    let error = Scenario::parse(&format!("{LEAST}\n[popultion]\n[mix]\npaymnet = 1\n[mix.capture]\nafter = 3\n[[event]]\nat = \"5s\"\n kill_leadr = {{}}\n"), "test.toml").unwrap_err();
    println!("{error}");
    let error = Scenario::parse("name = \"x\ny = 3", "test.toml").unwrap_err();
    println!("{error}");
}
