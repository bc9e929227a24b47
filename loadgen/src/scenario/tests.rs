//! What a scenario file may say, and what is said of one that may not.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

const LEAST: &str = "name = \"least\"\ndescription = \"The least.\"\n[[phase]]\nduration = \"10s\"\nrate = 1_000\n";

fn parse(text: &str) -> Scenario {
    Scenario::parse(text, "test.toml").unwrap_or_else(|error| panic!("{error}\nin\n{text}"))
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_least_file_has_everything_else_by_default() {
    let scenario = parse(LEAST);
    assert_eq!((scenario.name.as_str(), scenario.description.as_str()), ("least", "The least."));
    let phase = Phase {
        name: "phase-1".to_owned(),
        duration: seconds(10),
        points: vec![(Duration::ZERO, 1_000.0), (seconds(10), 1_000.0)],
        measured: true,
    };
    assert_eq!(scenario.phases, [phase]);
    let population = Population {
        customers: 100_000,
        merchants: 1_000,
        merchant_skew: 1.0,
        customer_skew: 0.0,
        hot_merchants: 0,
        hot_share: 0.0,
        cross_shard: None,
        opening_balance: 0,
        amount_max: 10_000,
    };
    assert_eq!(scenario.population, population);
    let mix = Mix {
        payment: 1.0,
        authorise: 0.0,
        chain: 0.0,
        read: 0.0,
        capture: Capture { share: 0.9, partial: 0.0, after: seconds(1), timeout: seconds(86_400) },
        refund: Refund { share: 0.0, after: seconds(1) },
        chain_legs: 3,
        insufficient_funds: 0.0,
        duplicates: 0.0,
    };
    assert_eq!(scenario.source, Source::Mix(mix));
    let requests = Requests {
        batch: 1,
        stream: false,
        connections: 2,
        in_flight_max: 2_048,
        arrivals: Arrivals::Poisson,
        deadline: seconds(2),
        retry_for: seconds(30),
    };
    assert_eq!(scenario.requests, requests);
    assert_eq!((scenario.events, scenario.pass), (vec![], PassMarks::default()));
    let limits = GeneratorLimits { late_after: Duration::from_millis(20), late_share_max: 0.01 };
    assert_eq!(scenario.generator, limits);
}

#[test]
fn everything_that_can_be_said_is_read() {
    let scenario = parse(EVERYTHING);
    let Source::Mix(mix) = &scenario.source else { panic!("a mix") };
    assert_eq!((mix.payment, mix.authorise, mix.chain, mix.read), (70.0, 15.0, 5.0, 10.0));
    assert_eq!(mix.capture, Capture { share: 0.8, partial: 0.1, after: seconds(2), timeout: seconds(7_200) });
    assert_eq!(mix.refund, Refund { share: 0.05, after: seconds(3) });
    assert_eq!((mix.chain_legs, mix.insufficient_funds, mix.duplicates), (4, 0.01, 0.001));
    assert_eq!((scenario.population.cross_shard, scenario.population.opening_balance), (Some(0.5), 1_000_000));
    assert_eq!((scenario.requests.arrivals, scenario.requests.in_flight_max), (Arrivals::Fixed, 500));
    assert_eq!(scenario.phases[1].points, [(Duration::ZERO, 1_000.0), (seconds(5), 38_500.0)]);
    let half = Duration::from_millis(500);
    assert_eq!(scenario.phases[2].points[1..3], [(half, 10.0), (half, 38_500.0)]);
    assert_eq!(scenario.phases[2].duration, seconds(40));
    let actions: Vec<_> = scenario.events.iter().map(|event| (event.at.as_secs(), &event.action)).collect();
    let expected = [
        (10, &Action::Load { factor: 2.0, lasts: seconds(10) }),
        (12, &Action::KillLeader { shard: 1, back_after: seconds(2) }),
        (14, &Action::PauseLeader { shard: 1, lasts: seconds(3) }),
        (16, &Action::KillRouter { router: 1, back_after: seconds(4) }),
        (20, &Action::Rebalance { slots: 1_024, from: 0, to: 1 }),
    ];
    assert_eq!(actions, expected);
    let ms = |ms| Some(Duration::from_millis(ms));
    let pass = PassMarks {
        p50: ms(10),
        p90: ms(20),
        p99: ms(100),
        p99_9: ms(500),
        max: ms(2_000),
        goodput: Some(0.99),
        errors: Some(0.001),
        recovery: ms(5_000),
    };
    assert_eq!(scenario.pass, pass);
}

#[test]
fn a_file_is_a_source_whose_dates_or_the_phases_say_the_rate() {
    let text = LEAST.replace("rate = 1_000\n", "");
    let scenario = parse(&format!("{text}[source]\nfile = \"day.csv.gz\"\nscale = 0\nspeed = 86_400\n"));
    let source = FileSource { file: "day.csv.gz".into(), scale: 0, speed: Some(86_400.0) };
    assert_eq!(scenario.source, Source::File(source));
    assert_eq!(scenario.phases[0].points, [(Duration::ZERO, 0.0), (seconds(10), 0.0)]);
    let paced = parse(&format!("{LEAST}[source]\n"));
    assert_eq!(paced.source, Source::File(FileSource { file: "".into(), scale: 2, speed: None }));
}

/// Holds the problems of `text` against lines of `line:column field: …`, in which `…` is part of the sentence.
fn check_wrong(text: &str, wanted: &[(usize, usize, &str, &str)]) {
    let error = Scenario::parse(text, "test.toml").err();
    let found: Vec<_> = error.iter().flat_map(|error| &error.problems).collect();
    let matches = found.len() == wanted.len()
        && found.iter().zip(wanted).all(|(problem, (line, column, field, part))| {
            (problem.line, problem.column, problem.field.as_str()) == (*line, *column, *field)
                && problem.to_string().contains(part)
        });
    let said = error.as_ref().map_or("nothing".to_owned(), ToString::to_string);
    assert!(matches, "{wanted:?} expected of\n{text}\nwhich says\n{said}");
}

#[test]
fn a_value_out_of_its_bounds_is_named_with_its_place() {
    // What stands behind the five lines of the least file, so its own lines begin with 6.
    let check = |more: &str, wanted: &[(usize, usize, &str, &str)]| check_wrong(&format!("{LEAST}{more}"), wanted);
    check("[population]\ncustomers = 1", &[(7, 13, "population.customers", "found 1, expected a whole number from 2")]);
    check("[population]\ncustomers = 2.5", &[(7, 13, "population.customers", "found 2.5, expected a whole number")]);
    check("[population]\nhot_merchants = -1", &[(7, 17, "population.hot_merchants", "found -1")]);
    check("[population]\nmerchant_skew = nan", &[(7, 17, "population.merchant_skew", "from 0 to 4")]);
    check(
        "[population]\ncross_shard = 1.01",
        &[(7, 15, "population.cross_shard", "found 1.01, expected a number from 0 to 1")],
    );
    check("[mix]\npayment = -1", &[(7, 11, "mix.payment", "from 0 to 1,000,000")]);
    check("[mix]\npayment = inf", &[(7, 11, "mix.payment", "found inf")]);
    check(
        "[mix.capture]\ntimeout = \"90m30\"",
        &[(7, 11, "mix.capture.timeout", "found \"90m30\", expected a duration")],
    );
    check("[mix.capture]\ntimeout = \"1500ms\"", &[(7, 11, "mix.capture.timeout", "whole seconds")]);
    check("[mix]\ncapture = 3", &[(7, 11, "mix.capture", "found 3, expected a table, [mix.capture]")]);
    check("[mix]\nchain_legs = 9", &[(7, 14, "mix.chain_legs", "from 2 to 8")]);
    check("[requests]\nbatch = 8_191", &[(7, 9, "requests.batch", "from 1 to 8,190")]);
    check("[requests]\narrivals = \"uniform\"", &[(7, 12, "requests.arrivals", "expected \"poisson\" or \"fixed\"")]);
    check("[requests]\nstream = 1", &[(7, 10, "requests.stream", "true or false")]);
    check("[requests]\nin_flight_max = 70_000", &[(7, 17, "requests.in_flight_max", "65,536")]);
    check("[pass]\np99 = 0.1", &[(7, 7, "pass.p99", "found 0.1, expected a duration")]);
    check("[pass]\ngoodput = \"99%\"", &[(7, 11, "pass.goodput", "found \"99%\"")]);
    check("[generator]\nlate_after = \"0s\"", &[(7, 14, "generator.late_after", "from 1ms to 1m")]);
    check("[[event]]\nat = \"1s\"\nload = { factor = 101 }", &[(8, 19, "event[0].load.factor", "from 0 to 100")]);
    check(
        "[[event]]\nat = \"1s\"\nrebalance = { slots = 0, from = 0, to = 1 }",
        &[(8, 23, "event[0].rebalance.slots", "1 to 16,384")],
    );
    check(
        "[[event]]\nat = \"1s\"\nrebalance = { slots = 1, from = 0 }",
        &[(8, 13, "event[0].rebalance.to", "found nothing")],
    );
    check("event = 3", &[(6, 1, "phase[0].event", "means nothing here")]);
}

#[test]
fn several_mistakes_are_told_together_in_the_order_of_the_lines() {
    let text = "name = \"a b\"\nphase = [{ duration = \"1s\", rate = -1 }, 7]\nmixx = 1\n";
    let wanted = [
        (1, 1, "description", "found nothing, expected 1 to 1,000 characters"),
        (1, 8, "name", "found \"a b\", expected 1 to 64 letters"),
        (2, 36, "phase[0].rate", "found -1"),
        (2, 42, "phase[1]", "found 7, expected a table"),
        (2, 42, "phase[1].rate", "found nothing"),
        (2, 42, "phase[1].duration", "found nothing"),
        (3, 1, "mixx", "expected `mix`, perhaps"),
    ];
    check_wrong(text, &wanted);
}

#[test]
fn an_unknown_name_gets_the_nearest_one() {
    let check = |more: &str, wanted: &[(usize, usize, &str, &str)]| check_wrong(&format!("{LEAST}{more}"), wanted);
    check("raet = 3\n", &[(6, 1, "phase[0].raet", "expected `rate`, perhaps")]);
    check("[requests]\ninflight_max = 3\n", &[(7, 1, "requests.inflight_max", "expected `in_flight_max`, perhaps")]);
    check("[pass]\np999 = \"1s\"\n", &[(7, 1, "pass.p999", "expected `p99`, perhaps")]);
    check("[generator]\nxyz = 3\n", &[(7, 1, "generator.xyz", "expected one of late_after, late_share_max")]);
    check("[[event]]\nat = \"1s\"\nkill_leader = { shrad = 1 }", &[(8, 17, "event[0].kill_leader.shrad", "`shard`")]);
    check(
        "[[event]]\nat = \"1s\"\nkill = {}",
        &[(7, 6, "event[0].at", "no action"), (8, 1, "event[0].kill", "one of at")],
    );
}

#[test]
fn a_phase_has_one_form() {
    let head = "name = \"x\"\ndescription = \"x\"\n[[phase]]\n";
    let check = |more: &str, wanted: &[(usize, usize, &str, &str)]| check_wrong(&format!("{head}{more}"), wanted);
    check("duration = \"1s\"", &[(3, 1, "phase[0].rate", "found nothing, expected one of: `rate`;")]);
    check("rate = 3", &[(3, 1, "phase[0].duration", "found nothing, expected how long")]);
    check("duration = \"1s\"\nfrom = 3", &[(3, 1, "phase[0].to", "found nothing, expected the rate at the end")]);
    check("duration = \"1s\"\nrate = 1\nto = 3", &[(5, 8, "phase[0].rate", "found rate, to together")]);
    let points = |points: &str, more: &str| format!("points = [{points}]\n{more}");
    check(&points("[\"0s\", 1]", ""), &[(4, 10, "phase[0].points", "found 1 points")]);
    check(
        &points("[\"1s\", 1], [\"2s\", 1]", ""),
        &[(4, 11, "phase[0].points[0]", "found 1s, expected the first offset")],
    );
    check(&points("[\"0s\", 1], [\"2s\", 1], [\"1s\", 3]", ""), &[(4, 33, "phase[0].points[2]", "above 2s")]);
    check(&points("[\"0s\", 1], [\"0s\", 1], [\"0s\", 3]", ""), &[(4, 33, "phase[0].points[2]", "above 0s")]);
    check(&points("[\"0s\", 1], [\"50ms\", 1]", ""), &[(4, 10, "phase[0].points", "found 50ms as the last offset")]);
    check(&points("[\"0s\", 1], [\"2s\", true]", ""), &[(4, 29, "phase[0].points[1][1]", "found true")]);
    check(&points("[\"0s\", 1], [2, 2]", ""), &[(4, 23, "phase[0].points[1][0]", "found 2, expected a duration")]);
    check(&points("[\"0s\", 1], 7", ""), &[(4, 22, "phase[0].points[1]", "expected a pair")]);
    check(&points("[\"0s\", 1], [\"2s\", 3]", "duration = \"3s\""), &[(4, 10, "phase[0].points", "end, 3s")]);
    let again = "duration = \"1s\"\nrate = 1\nname = \"a\"\n[[phase]]\nduration = \"1s\"\nrate = 1\nname = \"a\"";
    check(again, &[(10, 8, "phase[1].name", "found \"a\" again")]);
    check_wrong("name = \"x\"\ndescription = \"x\"\n", &[(1, 1, "phase", "expected at least one [[phase]]")]);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let check = |more: &str, wanted: &[(usize, usize, &str, &str)]| check_wrong(&format!("{LEAST}{more}"), wanted);
    check("measured = false", &[(3, 1, "phase", "no measured phase")]);
    check_wrong(&LEAST.replace("1_000", "0"), &[(3, 1, "phase", "found 0 transfers planned in all")]);
    check_wrong(
        &LEAST.replace("10s", "7d").replace("7d", "168h").replace("1_000", "10_000_000"),
        &[(3, 1, "phase", "planned")],
    );
    check(
        "measured = false\n[[phase]]\nduration = \"1s\"\nrate = 0",
        &[(3, 1, "phase", "no transfer in a measured phase")],
    );
    check("[[phase]]\nduration = \"168h\"\nrate = 1", &[(3, 1, "phase", "168h at the most")]);
    check(
        "[population]\nmerchants = 3\nhot_merchants = 4\nhot_share = 0.5",
        &[(8, 17, "population.hot_merchants", "at most the number of merchants, 3")],
    );
    check("[population]\nhot_share = 0.5", &[(7, 13, "population.hot_share", "`hot_merchants`")]);
    check("[population]\nhot_merchants = 2", &[(7, 17, "population.hot_merchants", "`hot_share` above 0")]);
    check(
        "[population]\nmerchants = 2\nhot_merchants = 2\nhot_share = 0.5",
        &[(9, 13, "population.hot_share", "expected 1")],
    );
    check("[mix]\npayment = 0", &[(7, 11, "mix.payment", "all 0")]);
    check("[mix]\nread = 1\ninsufficient_funds = 0.1", &[(8, 22, "mix.insufficient_funds", "`payment` is 0")]);
    check("[mix]\nread = 1\nrefund = { share = 0.1 }", &[(8, 20, "mix.refund.share", "`payment` is 0")]);
    check(
        "[mix]\nchain = 1\nchain_legs = 8\n[requests]\nbatch = 1_024",
        &[(10, 9, "requests.batch", "8190 transfers at the most: 1023")],
    );
    check(
        "[mix]\nauthorise = 1\n[mix.capture]\ntimeout = \"10m\"",
        &[(9, 11, "mix.capture.timeout", "expected more than 641s")],
    );
    check("[source]\n[mix]\npayment = 1", &[(6, 1, "source", "[source] beside [mix]")]);
    check("[source]\nspeed = 2", &[(5, 8, "phase[0].rate", "`source.speed`")]);
    check(
        "[requests]\nconnections = 3\nin_flight_max = 2",
        &[(8, 17, "requests.in_flight_max", "one a connection, 3")],
    );
    check("[requests]\nin_flight_max = 2_049", &[(7, 17, "requests.in_flight_max", "`connections = 3`")]);
    check(
        "[[event]]\nat = \"10s\"\nrebalance = { slots = 1, from = 0, to = 1 }",
        &[(7, 6, "event[0].at", "within the run, which takes 10s")],
    );
    check("[[event]]\nat = \"9s\"\nload = {}", &[(7, 6, "event[0].at", "found 9s to 19s")]);
    check(
        "[[event]]\nat = \"1s\"\nrebalance = { slots = 1, from = 1, to = 1 }",
        &[(8, 13, "event[0].rebalance", "two different shards")],
    );
    // The file has them in another order than time.
    let twice = "[[event]]\nat = \"4s\"\nkill_leader = {}\n[[event]]\nat = \"2s\"\npause_leader = {}";
    check(twice, &[(7, 6, "event[0].at", "from 5s on")]);
    check("[pass]\nrecovery = \"1s\"", &[(7, 12, "pass.recovery", "no [[event]]")]);
}

#[test]
fn two_shards_may_break_at_once() {
    let both =
        "[[event]]\nat = \"4s\"\nkill_leader = { shard = 1 }\n[[event]]\nat = \"2s\"\npause_leader = { shard = 0 }";
    assert_eq!(parse(&format!("{LEAST}{both}")).events.len(), 2);
}

#[test]
fn what_is_no_toml_is_shown_with_its_line() {
    check_wrong("name = \"x\ny = 3", &[(1, 10, "", "expected TOML (invalid basic string")]);
    check_wrong("name = \"x\"\nname = \"y\"", &[(2, 1, "", "expected TOML (duplicate key")]);
    check_wrong(&"#".repeat(SCENARIO_BYTES_MAX + 1), &[(1, 1, "", "1048576 at the most")]);
}

#[test]
fn an_error_shows_the_line_with_a_caret() {
    let error = Scenario::parse(&LEAST.replace("rate = 1_000", "rate\t= -5 # ä"), "peak.toml").unwrap_err();
    let expected = "peak.toml:5:8: phase[0].rate: found -5, expected a number from 0 to 10,000,000\n  |\n5 | rate = -5 # ä\n  |        ^^";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn no_text_makes_the_parser_panic() {
    let mut rng = crate::random::SplitMix64::new(71);
    let letters: Vec<char> = "[]{}=\"'#,.-_0s1 \n\täé\u{0}rate".chars().collect();
    for round in 0..3_000 {
        // Any text on one side, a real file with some letters changed on the other.
        let mut text: Vec<char> = if round % 2 == 0 { Vec::new() } else { EVERYTHING.chars().collect() };
        for _ in 0..1 + rng.below(8) {
            let letter = letters[rng.below(letters.len() as u64) as usize];
            let at = rng.below(text.len() as u64 + 1) as usize;
            if at < text.len() && rng.below(2) == 0 { text[at] = letter } else { text.insert(at, letter) }
        }
        if let Err(error) = Scenario::parse(&text.into_iter().collect::<String>(), "x") {
            assert!(error.to_string().starts_with("x:"), "round {round} of seed 71: {error}");
        }
    }
}

/// The rows of the tables in docs/REHEARSAL.md by the field's whole name: what it takes, and its default.
fn documented() -> BTreeMap<String, (String, String)> {
    let (mut section, mut rows) = (String::new(), BTreeMap::new());
    for line in include_str!("../../../docs/REHEARSAL.md").lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            section = heading.trim_matches(['`', '[', ']']).to_owned();
        } else if line.starts_with("## ") {
            section = "none".to_owned();
        } else if let Some(row) = line.strip_prefix("| `").filter(|_| section != "none") {
            let cells: Vec<&str> = row.split(" | ").collect();
            let name = cells[0].trim_end_matches('`');
            let name = if section == "The top" { name.to_owned() } else { format!("{section}.{name}") };
            rows.insert(name, (cells[1].replace('`', ""), cells[2].replace('`', "")));
        }
    }
    rows
}

#[test]
fn the_page_on_rehearsals_has_every_field_with_its_bounds_and_default() {
    let (scenario, problems, facts) = parse::read_text(EVERYTHING);
    assert!(scenario.is_some() && problems.is_empty());
    let known: BTreeMap<_, _> = facts
        .into_iter()
        .map(|(name, facts)| (name, (facts.expected.replace('`', ""), facts.default.replace('`', ""))))
        .collect();
    let documented = documented();
    for (name, (expected, default)) in &known {
        let row = format!("| `{}` | {expected} | {default} |", name.rsplit('.').next().unwrap_or_default());
        assert_eq!(documented.get(name), known.get(name), "docs/REHEARSAL.md has to say of `{name}`: {row}");
    }
    for name in documented.keys() {
        assert!(known.contains_key(name), "docs/REHEARSAL.md has `{name}`, which no scenario may have");
    }
}

/// Every field that there is.
pub(super) const EVERYTHING: &str = r#"
name = "everything"
description = "Every field."

[population]
customers = 2_000
merchants = 50
merchant_skew = 1
customer_skew = 0.5
hot_merchants = 2
hot_share = 0.3
cross_shard = 0.5
opening_balance = 1_000_000
amount_max = 500

[mix]
payment = 70
authorise = 15
chain = 5
read = 10
chain_legs = 4
insufficient_funds = 0.01
duplicates = 0.001
capture = { share = 0.8, partial = 0.1, after = "2s", timeout = "2h" }
refund = { share = 0.05, after = "3s" }

[requests]
batch = 100
stream = true
connections = 4
in_flight_max = 500
arrivals = "fixed"
deadline = "1s"
retry_for = "1m"

[[phase]]
name = "warm-up"
duration = "5s"
rate = 1_000
measured = false

[[phase]]
duration = "5s"
from = 1_000
to = 38_500

[[phase]]
points = [["0s", 10], ["500ms", 10], ["0.5s", 38_500], ["40s", 0]]

[[event]]
at = "20s"
rebalance = { slots = 1_024, from = 0, to = 1 }

[[event]]
at = "10s"
load = { factor = 2, lasts = "10s" }

[[event]]
at = "12s"
kill_leader = { shard = 1, back_after = "2s" }

[[event]]
at = "14s"
pause_leader = { shard = 1, lasts = "3s" }

[[event]]
at = "16s"
kill_router = { router = 1, back_after = "4s" }

[pass]
p50 = "10ms"
p90 = "20ms"
p99 = "100ms"
p99_9 = "500ms"
max = "2s"
goodput = 0.99
errors = 0.001
recovery = "5s"

[generator]
late_after = "10ms"
late_share_max = 0.02
"#;
