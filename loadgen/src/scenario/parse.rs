//! A scenario from its TOML, section by section. What holds within a section is checked here, what has to fit together
//! in `checks`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crest_ledger::limits::BATCH_EVENTS_MAX;
use toml::de::DeTable;

use super::checks::check;
use super::error::{Problem, ScenarioError};
use super::events::read_events;
use super::phases::read_phases;
use super::reading::{FieldFacts, Page, Table};
use super::values::SPEEDS;
use super::{
    Arrivals, Capture, FileSource, GeneratorLimits, Mix, PassMarks, Population, Refund, Requests, Scenario, Source,
};
use crate::peak::CONNECTION_REQUESTS_MAX;

/// Bytes of a scenario file: some thousand points of a curve with their comments.
pub const SCENARIO_BYTES_MAX: usize = 1 << 20;
/// The longest time that can be written.
pub(super) const TIME_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);
const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Connections of one agent at the most.
const CONNECTIONS_MAX: u32 = 64;
/// The defaults that are not plain numbers in the reading below.
const IN_FLIGHT_MAX_DEFAULT: &str = "1,024 × connections";
const FILE_DEFAULT: &str = "`--file` on the command line";
const PAYMENT_DEFAULT: &str = "0; 1 when no weight is named";

/// The sections of a file while it is checked, so that a problem can be said where it stands.
pub(super) struct Sections<'a> {
    pub(super) population: Table<'a>,
    pub(super) mix: Table<'a>,
    pub(super) capture: Table<'a>,
    pub(super) refund: Table<'a>,
    pub(super) source: Table<'a>,
    pub(super) requests: Table<'a>,
    pub(super) phases: Vec<Table<'a>>,
    pub(super) events: Vec<Table<'a>>,
    pub(super) pass: Table<'a>,
    pub(super) root: Table<'a>,
}

impl Scenario {
    /// Reads the text of a scenario file; `file` is its name in errors.
    ///
    /// # Errors
    /// Everything that is wrong, each with line, column, field, what was found and what is expected. Nothing is corrected.
    pub fn parse(text: &str, file: &str) -> Result<Self, ScenarioError> {
        let (scenario, problems, _) = read_text(text);
        match scenario {
            Some(scenario) if problems.is_empty() => Ok(scenario),
            _ => Err(ScenarioError { file: file.to_owned(), problems }),
        }
    }
}

/// The scenario, if there is one; what is wrong; and the fields that were asked for.
pub(super) fn read_text(text: &str) -> (Option<Scenario>, Vec<Problem>, BTreeMap<String, FieldFacts>) {
    if text.len() > SCENARIO_BYTES_MAX {
        let found = format!("{} bytes", text.len());
        let expected = format!("{SCENARIO_BYTES_MAX} at the most");
        return (None, vec![Problem::new("", 0..0, String::new(), found, expected)], BTreeMap::new());
    }
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let at = error.span().unwrap_or(0..0);
            let found = match text.get(at.clone()).unwrap_or_default().trim() {
                "" => "no TOML".to_owned(),
                part => format!("`{}`", part.chars().take(40).collect::<String>()),
            };
            let expected = format!("TOML ({})", error.message());
            return (None, vec![Problem::new(text, at, String::new(), found, expected)], BTreeMap::new());
        }
    };
    let page = Page::new(text);
    let scenario = read_scenario(Table::root(&page, document.get_ref()));
    let (problems, facts) = page.into_parts();
    (Some(scenario), problems, facts)
}

fn read_scenario(root: Table<'_>) -> Scenario {
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let name = root.text("name", "1 to 64 letters, digits and hyphens", None, |text| {
        (1..=64).contains(&text.len()) && text.chars().all(letters)
    });
    let description = root.text("description", "1 to 1,000 characters", None, |text| {
        !text.trim().is_empty() && text.chars().count() <= 1_000
    });
    let mix = root.table("mix");
    let (events, event_tables) = read_events(root.tables("event", 1_000));
    let sections = Sections {
        population: root.table("population"),
        capture: mix.table("capture"),
        refund: mix.table("refund"),
        mix,
        source: root.table("source"),
        requests: root.table("requests"),
        phases: root.tables("phase", 1_000),
        events: event_tables,
        pass: root.table("pass"),
        root,
    };
    let generator = sections.root.table("generator");
    let scenario = Scenario {
        name,
        description: description.trim().to_owned(),
        population: read_population(&sections.population),
        source: read_source(&sections),
        requests: read_requests(&sections.requests),
        phases: read_phases(&sections.root, &sections.phases, &sections.source),
        events,
        pass: read_pass(&sections.pass),
        generator: read_generator(&generator),
    };
    // A value that was wrong was read as some other; what that does not fit to is no news.
    if !sections.root.has_problems() {
        check(&scenario, &sections);
    }
    let Sections { population, mix, capture, refund, source, requests, phases, events, pass, root } = sections;
    let tables = [population, mix, capture, refund, source, requests, pass, generator, root];
    tables.into_iter().chain(phases).chain(events).for_each(Table::end);
    scenario
}

fn read_population(table: &Table<'_>) -> Population {
    Population {
        customers: table.whole32("customers", 2..=10_000_000, Some(100_000)),
        merchants: table.whole32("merchants", 1..=1_000_000, Some(1_000)),
        merchant_skew: table.number("merchant_skew", 0.0..=4.0, Some(1.0)),
        customer_skew: table.number("customer_skew", 0.0..=4.0, Some(0.0)),
        hot_merchants: table.whole32("hot_merchants", 0..=1_000_000, Some(0)),
        hot_share: table.share("hot_share", 0.0),
        cross_shard: table.number_if_there("cross_shard", 0.0..=1.0),
        opening_balance: table.whole("opening_balance", 0..=1_000_000_000_000_000, Some(0)),
        amount_max: table.whole("amount_max", 1..=1_000_000_000, Some(10_000)),
    }
}

fn read_source(sections: &Sections<'_>) -> Source {
    let mix = read_mix(sections);
    let table = &sections.source;
    let mut file = table.text("file", "the path of a CSV file", Some(FILE_DEFAULT), |path| path.len() <= 4_096);
    if !table.has("file") {
        file.clear();
    }
    let scale = table.whole32("scale", 0..=crate::replay::SCALE_MAX, Some(2));
    let speed = table.number_if_there("speed", SPEEDS);
    match table.is_there() {
        true => Source::File(FileSource { file: PathBuf::from(file), scale, speed }),
        false => Source::Mix(mix),
    }
}

fn read_mix(sections: &Sections<'_>) -> Mix {
    let table = &sections.mix;
    // Whoever names a weight says what happens; whoever names none wants payments.
    let silent = !["payment", "authorise", "chain", "read"].iter().any(|name| table.has(name));
    let weight = |name| table.number(name, 0.0..=1_000_000.0, Some(0.0));
    let payment = table.number_or("payment", 0.0..=1_000_000.0, f64::from(u8::from(silent)), PAYMENT_DEFAULT);
    Mix {
        payment,
        authorise: weight("authorise"),
        chain: weight("chain"),
        read: weight("read"),
        capture: read_capture(&sections.capture),
        refund: Refund {
            share: sections.refund.share("share", 0.0),
            after: sections.refund.duration("after", Duration::ZERO..=HOUR, Some(SECOND)),
        },
        chain_legs: table.whole32("chain_legs", 2..=8, Some(3)),
        insufficient_funds: table.share("insufficient_funds", 0.0),
        duplicates: table.share("duplicates", 0.0),
    }
}

fn read_capture(table: &Table<'_>) -> Capture {
    let capture = Capture {
        share: table.share("share", 0.9),
        partial: table.share("partial", 0.0),
        after: table.duration("after", Duration::ZERO..=HOUR, Some(SECOND)),
        timeout: table.duration("timeout", SECOND..=TIME_MAX, Some(DAY)),
    };
    if capture.timeout.subsec_nanos() != 0 {
        table.wrong("timeout", "a part of a second", "whole seconds");
    }
    capture
}

fn read_requests(table: &Table<'_>) -> Requests {
    let connections = table.whole32("connections", 1..=CONNECTIONS_MAX, Some(2));
    let places = u32::try_from(CONNECTION_REQUESTS_MAX).unwrap_or(u32::MAX).saturating_mul(connections);
    let in_flight_max = CONNECTIONS_MAX * CONNECTION_REQUESTS_MAX as u32;
    Requests {
        batch: table.whole32("batch", 1..=BATCH_EVENTS_MAX as u32, Some(1)),
        stream: table.flag("stream", false),
        connections,
        in_flight_max: table.whole32_or("in_flight_max", 1..=in_flight_max, places, IN_FLIGHT_MAX_DEFAULT),
        arrivals: match table.choice("arrivals", &["poisson", "fixed"]) {
            1 => Arrivals::Fixed,
            _ => Arrivals::Poisson,
        },
        deadline: table.duration("deadline", MS..=HOUR, Some(2 * SECOND)),
        retry_for: table.duration("retry_for", Duration::ZERO..=HOUR, Some(30 * SECOND)),
    }
}

fn read_pass(table: &Table<'_>) -> PassMarks {
    let at_most = |name| table.duration_if_there(name, MS / 10..=HOUR);
    PassMarks {
        p50: at_most("p50"),
        p90: at_most("p90"),
        p99: at_most("p99"),
        p99_9: at_most("p99_9"),
        max: at_most("max"),
        goodput: table.number_if_there("goodput", 0.0..=1.0),
        errors: table.number_if_there("errors", 0.0..=1.0),
        recovery: at_most("recovery"),
    }
}

fn read_generator(table: &Table<'_>) -> GeneratorLimits {
    GeneratorLimits {
        late_after: table.duration("late_after", MS..=SECOND * 60, Some(20 * MS)),
        late_share_max: table.share("late_share_max", 0.01),
    }
}
