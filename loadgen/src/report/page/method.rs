//! How it was measured, what the words mean, and how to do it again.

use super::super::figures;
use super::super::markup::Markup;
use super::head::deadline;
use super::parts::section;
use crate::record::RunRecord;

/// The command that rehearses a scenario.
const REHEARSE: &str = "crest load run";

/// How it was measured, and the words.
pub(super) fn method(m: &mut Markup, record: &RunRecord) {
    let generator = &record.generator;
    let how = if generator.stream { "on long-lived streams" } else { "each as a call of its own" };
    let late = figures::micros((generator.late_after_ms * 1_000.0).round() as u64);
    let paragraphs = [
        "The load is an open loop: the instant of every request is planned before the run, and it leaves at that instant \
         whether or not earlier ones were answered, as customers do. A generator that waits for answers slows down with the \
         server and hides its worst moments."
            .to_owned(),
        format!(
            "Latency counts from the planned instant to the answer, so that it includes every wait. Service time counts from \
             the instant at which the request left. A request is late when it left more than {late} after its planned instant; \
             that is the generator's own fault, and too many make the run invalid."
        ),
        format!(
            "Requests held {} and travelled {how}, at most {} in flight. An answer is good for {}. A request without an answer \
             by then counts as unknown and is sent again with the same ids, which moves money once however often it is sent.",
            figures::counted(u64::from(generator.batch), "operation", "operations"),
            figures::count(u64::from(generator.in_flight_max)),
            deadline(record),
        ),
        "Percentiles are taken from histograms of all requests, exact to 1 %, never from averages of averages. Figures at the \
         top and pass marks are those of the measured phases; the audit is of everything, the warm-up included."
            .to_owned(),
    ];
    section(m, "How it was measured", &[], |m| {
        for text in &paragraphs {
            m.leaf("p", &[], text);
        }
        m.nest("dl", &[("class", &"words")], |m| {
            for (word, meaning) in WORDS {
                m.nest("div", &[], |m| {
                    m.leaf("dt", &[], word);
                    m.leaf("dd", &[], meaning);
                });
            }
        });
    });
}

const WORDS: [(&str, &str); 16] = [
    ("Acknowledged", "The ledger has answered that it is done. From then on it must never be lost."),
    ("Authorise, capture, void", "Reserve an amount; take it later, whole or in part; or let it go again."),
    ("Between two shards", "Payer and payee live on different shards; a two-phase commit makes the payment atomic."),
    ("Chain", "Several transfers that all happen or none."),
    ("Deadline", "How long after its planned instant an answer is still good."),
    ("Duplicate", "A request that was sent a second time on purpose, with the same ids. It must not move money twice."),
    ("Goodput", "What was done within the deadline."),
    ("Hold", "What a shard has set aside for a payment whose other half lives elsewhere, until both are done."),
    ("Not sent", "Planned, but too many requests were in flight, or the router was busy to the end. Surely not done."),
    ("p50, p90, p99, p99.9", "Percentiles: so many of a hundred requests took at most this long. p50 is the median."),
    ("Planned instant", "When a request was to leave, decided before the run."),
    ("Refused", "The ledger said no, with a reason: mostly that the payer had not enough."),
    ("Retry", "Sending again with the same ids after an unknown outcome, or after the router was busy."),
    ("Shard", "A part of the ledger with its own accounts, its own log and one writer."),
    ("Skipped", "Not sent because what it follows (the authorisation of a capture) was not done in time."),
    ("Unknown", "No answer came in time. It may or may not have been done; the auditor finds out."),
];

/// The scenario's text, and the command.
pub(super) fn repeat(m: &mut Markup, record: &RunRecord) {
    let side = ["With this file and these options the same accounts, amounts and instants are drawn again."];
    section(m, "To do it again", &side, |m| {
        m.leaf("pre", &[("class", &"command")], &command(record));
        let scenario = &record.scenario;
        let options = if scenario.options.is_empty() { "none".to_owned() } else { scenario.options.join(" ") };
        let facts = [
            ("Run", record.run.clone()),
            ("Made by", format!("crest {}", record.crest)),
            ("Options", options),
            ("Scale", figures::number(scenario.scale)),
            ("Seed", scenario.seed.to_string()),
            ("Ledger number", record.ledger.to_string()),
            ("Routers", record.cluster.routers.join(", ")),
            ("Slot map's epoch", record.cluster.epoch.to_string()),
            (
                "Took",
                format!("{} of {} planned", figures::seconds(record.seconds), figures::seconds(record.planned_seconds)),
            ),
        ];
        m.nest("dl", &[("class", &"facts")], |m| {
            for (name, value) in &facts {
                m.nest("div", &[], |m| {
                    m.leaf("dt", &[], name);
                    m.leaf("dd", &[], value);
                });
            }
        });
        m.leaf("h3", &[], "The scenario");
        m.leaf("pre", &[], &scenario.text);
    });
}

/// The command that repeats the run.
pub(super) fn command(record: &RunRecord) -> String {
    let scenario = &record.scenario;
    let seed = if scenario.options.iter().any(|o| o.starts_with("--seed")) {
        String::new()
    } else {
        format!(" --seed {}", scenario.seed)
    };
    let options: String = scenario.options.iter().map(|o| format!(" {o}")).collect();
    format!("{REHEARSE} {}.toml{options}{seed}", scenario.name)
}
