//! What two runs are told apart by.

use super::super::sample;
use super::*;

fn compared(a: &RunRecord, b: &RunRecord) -> Comparison {
    Comparison::new(("a.json", a), ("b.json", b))
}

fn figure<'a>(comparison: &'a Comparison, name: &str) -> &'a Figure {
    let all = comparison.groups.iter().flat_map(|g| &g.figures);
    all.into_iter().find(|f| f.name == name).unwrap_or_else(|| panic!("there is no {name}"))
}

#[test]
fn a_run_is_the_same_as_itself() {
    let run = sample::record(1, 1.0);
    let comparison = compared(&run, &run);
    assert_eq!((&comparison.warnings[..], &comparison.settings[..]), (&[][..], &[][..]));
    let (better, worse, same) = comparison.tally();
    assert!(better == 0 && worse == 0 && same > 15, "{better} {worse} {same}");
    for group in &comparison.groups {
        for figure in &group.figures {
            assert!(figure.a == figure.b && ["the same", "–"].contains(&&*figure.words), "{figure:?}");
        }
    }
}

#[test]
fn a_slower_run_is_called_worse_with_the_numbers_of_both() {
    let (fast, slow) = (sample::record(1, 1.0), sample::record(1, 2.0));
    let comparison = compared(&fast, &slow);
    let p99 = figure(&comparison, "p99");
    assert_eq!(p99.a, Some(fast.latency.percentiles.p99 as f64));
    assert_eq!(p99.b, Some(slow.latency.percentiles.p99 as f64));
    let ratio = slow.latency.percentiles.p99 as f64 / fast.latency.percentiles.p99 as f64;
    assert!(p99.ratio.is_some_and(|r| (r - ratio).abs() < 1e-9) && ratio > 1.5, "{p99:?}");
    assert!(p99.words.starts_with("B is worse"), "{p99:?}");
    assert!(figure(&compared(&slow, &fast), "p99").words.starts_with("B is better"));
    let text = comparison.text();
    for value in [p99.value(p99.a), p99.value(p99.b), p99.ratio_text()] {
        assert!(text.lines().any(|l| l.starts_with("p99 ") && l.contains(&value)), "{value} is not in\n{text}");
    }
}

#[test]
fn runs_of_different_things_are_compared_with_a_warning() {
    let base = sample::record(1, 1.0);
    let check = |change: &dyn Fn(&mut RunRecord), expected: &str| {
        let mut other = base.clone();
        change(&mut other);
        let comparison = compared(&base, &other);
        assert!(comparison.warnings.iter().any(|w| w.contains(expected)), "{expected}: {:?}", comparison.warnings);
        assert!(comparison.text().contains(expected), "{expected}");
        assert!(comparison.html(&base, &other).contains(&expected.replace('\'', "&#39;")), "{expected}");
    };
    check(&|r| r.scenario.text.push_str("\nbatch = 8"), "they differ in scenario's text.");
    check(&|r| r.scenario.scale = 0.5, "they differ in scale.");
    check(&|r| r.cluster.shards = 8, "they differ in shards.");
    check(
        &|r| {
            r.generator.batch = 1;
            r.generator.stream = false;
        },
        "they differ in operations in a request and long-lived streams.",
    );
    check(&|r| r.generator.agents.truncate(1), "they differ in generators.");
    check(&|r| r.verdict = crate::record::Verdict::Invalid, "B is invalid");
    check(&|r| r.verdict = crate::record::Verdict::MoneyWrong, "In B the money is wrong");
    let mut seed = base.clone();
    seed.scenario.seed += 1;
    let comparison = compared(&base, &seed);
    assert!(comparison.warnings.is_empty() && comparison.settings.len() == 1, "{:?}", comparison.settings);
}

#[test]
fn a_run_that_did_not_begin_can_be_compared() {
    let (run, nothing) = (sample::record(1, 1.0), sample::nothing());
    let comparison = compared(&run, &nothing);
    assert_eq!(figure(&comparison, "p99").words, "only A has it");
    assert!(comparison.text().contains("B did not come to its end"));
    let both = compared(&nothing, &nothing);
    assert!(both.html(&nothing, &nothing).contains("A against B"));
}

#[test]
fn a_name_in_a_record_cannot_command_a_terminal() {
    let mut run = sample::record(1, 1.0);
    run.scenario.name = "\u{1b}[2Jpassed".to_owned();
    run.marks[0].name = "\u{1b}]0;x\u{7}".to_owned();
    let text = compared(&run, &run).text();
    assert!(!text.chars().any(|c| c.is_control() && c != '\n') && text.contains("[2Jpassed"), "{text:?}");
}
