//! What every page must be, whatever the record says.

use roxmltree::{Document, Node, ParsingOptions};

use super::compare::Comparison;
use super::{html, sample};
use crate::record::{MarkLine, PhaseRecord, RunRecord, Verdict};

/// The page is XML as well as HTML; roxmltree refuses whatever is not well-formed.
fn parse(page: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, nodes_limit: u32::MAX };
    Document::parse_with_options(page, options).unwrap_or_else(|e| panic!("not well-formed: {e}"))
}

fn texts(node: Node<'_, '_>) -> String {
    node.descendants().filter(Node::is_text).filter_map(|n| n.text()).collect::<Vec<_>>().join(" ")
}

fn has_class(node: &Node<'_, '_>, class: &str) -> bool {
    node.attribute("class").is_some_and(|c| c.split(' ').any(|c| c == class))
}

fn count(document: &Document<'_>, tag: &str, class: &str) -> usize {
    document.descendants().filter(|n| n.has_tag_name(tag) && has_class(n, class)).count()
}

/// Coordinates of a chart are numbers, and what refers to the outside is nowhere.
fn check_sound(document: &Document<'_>) {
    for node in document.descendants().filter(Node::is_element) {
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(!["href", "src", "onload", "onclick"].contains(&name), "{name}={value}");
            if ["d", "x", "y", "width", "height", "viewBox", "cx", "cy"].contains(&name) {
                assert!(!value.contains("NaN") && !value.contains("inf"), "{name}={value}");
            }
        }
    }
    let style: String = document.descendants().filter(|n| n.has_tag_name("style")).map(texts).collect();
    assert!(!style.contains("url(") && !style.contains("@import"), "the style sheet refers to the outside");
}

#[test]
fn the_page_says_the_verdict_in_words_and_shows_all_its_charts() {
    let check = |verdict: Verdict, name: &str, sentence: &str| {
        let page = html(&sample::with_verdict(verdict));
        let document = parse(&page);
        check_sound(&document);
        let h1 = document.descendants().find(|n| n.has_tag_name("h1")).unwrap();
        assert_eq!(texts(h1).trim(), name);
        assert!(texts(document.root_element()).contains(sentence), "{name}: {sentence}");
        // Rates, latency over time and by percentile, outcomes, the rest enlarged, lag, in flight, retries, holds.
        assert_eq!((count(&document, "svg", "wide"), count(&document, "svg", "narrow")), (9, 9), "{name}");
    };
    check(Verdict::Passed, "Passed", "The money is right, and all 3 pass marks were reached.");
    check(Verdict::TooSlow, "Too slow", "The money is right, but 2 of 3 pass marks were missed.");
    check(Verdict::MoneyWrong, "Money wrong", "was acknowledged and is not there");
    check(Verdict::Invalid, "Invalid", "13.7 % of its requests left late");
    check(Verdict::CouldNotRun, "Could not run", "did not come to the audit");
}

#[test]
fn phases_events_and_marks_are_in_the_charts() {
    let page = html(&sample::record(1, 1.0));
    let document = parse(&page);
    let charts: Vec<Node<'_, '_>> =
        document.descendants().filter(|n| n.has_tag_name("svg") && has_class(n, "wide")).collect();
    let inside = |chart: &Node<'_, '_>, class: &str| chart.descendants().filter(|n| has_class(n, class)).count();
    let (rates, latency) = (&charts[0], &charts[1]);
    assert_eq!((inside(rates, "phase"), inside(rates, "unmeasured"), inside(rates, "event")), (5, 1, 3));
    assert_eq!((inside(rates, "undone"), inside(rates, "lasting")), (1, 2));
    for label in ["midnight", "kill shard 1", "load × 2", "rebalance", "planned", "sent", "acknowledged", "in time"] {
        assert!(texts(*rates).contains(label), "{label}");
    }
    // Two pass marks and the deadline, each once across and once as a sample beside its name.
    assert_eq!(inside(latency, "level"), 6);
    for label in ["p50 ≤ 10 ms", "p99 ≤ 100 ms", "deadline 500 ms", "slowest"] {
        assert!(texts(*latency).contains(label), "{label}");
    }
    assert!(texts(document.root_element()).contains("after 4 s"), "the leader's death was felt for 4 s");
}

#[test]
fn the_spike_of_a_second_is_told_when_a_pointer_rests_on_it() {
    let record = sample::record(1, 1.0);
    let best = record.timeline.iter().max_by_key(|s| s.planned).unwrap();
    let page = html(&record);
    let document = parse(&page);
    let titles: Vec<&str> =
        document.descendants().filter(|n| n.has_tag_name("title")).filter_map(|n| n.text()).collect();
    // 180 seconds are 91 columns of two seconds.
    let column = titles.iter().find(|t| t.starts_with("0:50 to 0:52 · midnight")).unwrap();
    let next = &record.timeline[best.at as usize + 1];
    let mean = super::figures::number((best.planned + next.planned) as f64 / 2.0);
    assert!(best.at == 50 && column.contains(&format!("planned  {mean}")), "{column}");
}

#[test]
fn strings_from_the_outside_stay_text() {
    let hostile = "</script></style><b onclick='x'>]]>&amp;\"\u{1b}\u{0}";
    let mut record = sample::record(1, 1.0);
    record.scenario.name = hostile.to_owned();
    record.scenario.description = hostile.to_owned();
    record.scenario.text = hostile.to_owned();
    record.scenario.options = vec![hostile.to_owned()];
    record.crest = hostile.to_owned();
    record.run = hostile.to_owned();
    record.cluster.routers = vec![hostile.to_owned()];
    record.generator.agents[0].name = hostile.to_owned();
    record.phases[1].name = hostile.to_owned();
    record.events[0].label = hostile.to_owned();
    record.events[0].text = hostile.to_owned();
    record.marks[0].name = hostile.to_owned();
    record.marks[0].wanted = hostile.to_owned();
    record.marks[0].got = hostile.to_owned();
    record.reasons = vec![hostile.to_owned()];
    record.codes.insert(hostile.to_owned(), 7);
    record.timeline[3].codes.insert(hostile.to_owned(), 7);
    let kind = record.kinds["payment"].clone();
    record.kinds.insert(hostile.to_owned(), kind);
    if let Some(audit) = &mut record.audit {
        audit.amount = hostile.to_owned();
        audit.wrong = vec![hostile.to_owned()];
        audit.undecided = vec![hostile.to_owned()];
    }
    let comparison = Comparison::new((hostile, &record), (hostile, &record));
    for page in [html(&record), comparison.html(&record, &record)] {
        let document = parse(&page);
        check_sound(&document);
        let elements = document.descendants().filter(Node::is_element).map(|n| n.tag_name().name());
        assert!(!elements.into_iter().any(|tag| tag == "b"), "a string became an element");
        assert!(
            !page.contains("<b ") && page.matches("</script>").count() == 1 && page.matches("</style>").count() == 1
        );
        assert!(texts(document.root_element()).contains("</script></style><b onclick='x'>]]>&amp;\"\u{fffd}\u{fffd}"));
    }
}

#[test]
fn a_run_that_did_not_begin_has_a_page() {
    let page = html(&sample::nothing());
    let document = parse(&page);
    check_sound(&document);
    let text = texts(document.root_element());
    for expected in ["Could not run", "No router answered", "nothing is known about the money", "The scenario"] {
        assert!(text.contains(expected), "{expected}");
    }
    assert_eq!(count(&document, "svg", "wide"), 0);
}

#[test]
fn a_page_stands_whatever_numbers_a_record_holds() {
    let check = |change: &dyn Fn(&mut RunRecord)| {
        let mut record = sample::record(1, 1.0);
        change(&mut record);
        check_sound(&parse(&html(&record)));
        check_sound(&parse(&Comparison::new(("a", &record), ("b", &record)).html(&record, &record)));
    };
    check(&|r| r.timeline.truncate(1));
    check(&|r| r.timeline.iter_mut().for_each(|s| *s = crate::record::Second { at: s.at, ..Default::default() }));
    check(&|r| r.timeline.iter_mut().for_each(|s| (s.planned, s.done, s.unknown) = (u64::MAX, u64::MAX, u64::MAX)));
    check(&|r| r.phases.iter_mut().for_each(|p| (p.from, p.to, p.totals.planned) = (-1e300, 1e300, u64::MAX)));
    check(&|r| r.phases.iter_mut().for_each(|p| (p.from, p.to) = (9.0, 3.0)));
    check(&|r| r.events.iter_mut().for_each(|e| (e.planned, e.happened, e.until) = (1e300, Some(-1e300), Some(0.0))));
    check(&|r| {
        (r.scenario.deadline_ms, r.planned_seconds, r.seconds, r.scenario.scale) = (-1e300, 1e300, -1e300, 1e300)
    });
    check(&|r| (r.generator.late_share, r.generator.late_share_max, r.generator.late_after_ms) = (1e300, -1.0, 1e300));
    check(&|r| r.latency.buckets = vec![(u64::MAX, u64::MAX), (0, u64::MAX), (5, 0)]);
    check(&|r| r.marks.iter_mut().for_each(|m| m.line = Some(MarkLine { quantile: 7.0, at_most_us: u64::MAX })));
    check(&|r| r.marks.iter_mut().for_each(|m| m.line = Some(MarkLine { quantile: 0.999_999_999, at_most_us: 1 })));
    check(&|r| {
        r.shards.iter_mut().for_each(|s| (s.transfers, s.transfers_per_second) = (u64::MAX, vec![Some(-1e300)]))
    });
    check(&|r| r.shards.iter_mut().for_each(|s| (s.transfers, s.transfers_per_second) = (0, vec![None; 9])));
    check(&|r| (r.began_unix_ms, r.ledger) = (u64::MAX, u32::MAX));
    check(&|r| r.audit = r.audit.take().map(|a| crate::record::AuditRecord { accounts: u64::MAX, ..a }));
}

#[test]
fn many_shards_and_codes_are_drawn_as_far_as_they_can_be_told_apart() {
    let mut record = sample::record(1, 1.0);
    let shard = record.shards[0].clone();
    record.shards =
        (0..200).map(|i| crate::record::ShardRecord { shard: i, transfers: u64::from(i), ..shard.clone() }).collect();
    for (i, second) in record.timeline.iter_mut().enumerate() {
        second.codes.insert(format!("code_{}", i % 9), 50 + i as u64 % 9);
    }
    let page = html(&record);
    let document = parse(&page);
    let text = texts(document.root_element());
    assert!(text.contains("The 16 busiest of 200") && text.contains("168 shards with less are left out."));
    assert!(text.contains("Shard 199") && !text.contains("Shard 7 "));
    assert_eq!(count(&document, "path", "c-5") / 3, 1, "one area in each size, and one sample");
    assert!(text.contains("6 other codes"), "nine made up, exceeds_credits and linked_event_failed, less five");
}

#[test]
fn a_day_becomes_a_page_of_less_than_a_megabyte_that_keeps_its_worst_second() {
    let mut record = sample::record(556, 1.0);
    assert!(record.timeline.len() > 100_000);
    let worst = 77_777;
    record.timeline[worst].latency.max = 59_900_000;
    let page = html(&record);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    let document = parse(&page);
    check_sound(&document);
    let text = texts(document.root_element());
    assert!(text.contains("59.9 s"), "the worst second is gone");
    assert!(text.contains("seconds: latencies are the worst second's."), "the page does not say what a point is");
}

#[test]
fn one_phase_alone_is_a_plain_chart() {
    let mut record = sample::record(1, 1.0);
    record.events.clear();
    record.phases = vec![PhaseRecord { from: 0.0, to: 180.0, ..record.phases[1].clone() }];
    let page = html(&record);
    let document = parse(&page);
    assert_eq!(count(&document, "g", "event"), 0);
    assert!(!texts(document.root_element()).contains("What was done to it?"));
}

/// To look at them: `CREST_REPORT_SAMPLES=folder cargo test -p crest-loadgen every_verdict_has_a_sound_page` leaves the pages
/// and their records in the folder.
#[test]
fn every_verdict_has_a_sound_page() {
    let folder = std::env::var_os("CREST_REPORT_SAMPLES").map(std::path::PathBuf::from);
    let keep = |name: String, bytes: &[u8]| {
        if let Some(folder) = &folder {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    };
    let check = |name: &str, page: &str| {
        check_sound(&parse(page));
        keep(format!("{name}.html"), page.as_bytes());
    };
    let all = [
        ("sample", sample::record(1, 1.0)),
        ("slow", sample::with_verdict(Verdict::TooSlow)),
        ("money", sample::with_verdict(Verdict::MoneyWrong)),
        ("invalid", sample::with_verdict(Verdict::Invalid)),
        ("nothing", sample::nothing()),
        ("long", sample::record(556, 1.0)),
    ];
    for (name, record) in &all {
        check(name, &html(record));
        keep(format!("{name}.json"), &serde_json::to_vec_pretty(record).unwrap());
    }
    let (a, b) = (&all[0].1, &all[1].1);
    check("compare", &Comparison::new(("sample.json", a), ("slow.json", b)).html(a, b));
}

/// The places of all numbers in a value, of lists only in the first item.
fn numbers(value: &serde_json::Value, at: &str, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Number(_) => found.push(at.to_owned()),
        serde_json::Value::Array(items) => {
            items.iter().take(1).for_each(|item| numbers(item, &format!("{at}/0"), found));
        }
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| numbers(field, &format!("{at}/{name}"), found));
        }
        _ => {}
    }
}

#[test]
fn whatever_number_stands_in_a_record_it_is_refused_or_shown() {
    let good = serde_json::to_value(sample::record(1, 1.0)).unwrap();
    let mut places = Vec::new();
    numbers(&good, "", &mut places);
    assert!(places.len() > 100, "{places:?}");
    let other = sample::record(1, 1.0);
    let mut panicked = Vec::new();
    for place in places {
        for number in ["1e300", "-1e300", "18446744073709551615", "9007199254740993", "4294967295", "0", "-1", "1e-300"]
        {
            let mut value = good.clone();
            *value.pointer_mut(&place).unwrap() = serde_json::from_str(number).unwrap();
            let Ok(record) = serde_json::from_value::<RunRecord>(value) else { continue };
            let shown = std::panic::catch_unwind(|| {
                let comparison = Comparison::new(("a", &record), ("b", &other));
                (html(&record).len(), comparison.text().len(), comparison.html(&record, &other).len())
            });
            if shown.is_err() {
                panicked.push(format!("{place} = {number}"));
            }
        }
    }
    assert_eq!(panicked, Vec::<String>::new());
}
