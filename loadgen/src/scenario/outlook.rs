//! What a scenario is going to do, worked out before anything is sent.

use std::fmt;

use serde::Serialize;

use super::values::{spell_duration, spell_number, wrapped};
use super::{Action, Event, Mix, PassMarks, Scenario, Source};
use crate::curve::Curve;

/// Columns of the drawing.
const SPARKS: usize = 60;
/// From nothing to the peak.
const HEIGHTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What a scenario is going to do. Counts are expected values: what is drawn by chance comes close to them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outlook {
    /// Its name.
    pub name: String,
    /// Its own words.
    pub description: String,
    /// By how much the rates are multiplied.
    pub scale: f64,
    /// How long requests are sent, s.
    pub seconds: f64,
    /// The highest rate, a second.
    pub peak: f64,
    /// Transfers and reads; none when a file says when its payments are sent.
    pub planned: Option<u64>,
    /// Requests of their first step: follow-ups have requests of their own.
    pub requests: Option<u64>,
    /// In order.
    pub phases: Vec<PhaseOutlook>,
    /// By kind of operation, of those that there will be. Empty when a file says what there is.
    pub kinds: Vec<KindOutlook>,
    /// Accounts that are opened before the run; none when a file names them.
    pub accounts: Option<u64>,
    /// Memory for what became of each transfer, bytes.
    pub books_bytes: Option<u64>,
    /// One sentence each.
    pub events: Vec<String>,
    /// The pass marks, in words.
    pub marks: Vec<String>,
    /// The rate over time, drawn with blocks.
    pub rates: String,
}

/// What a phase is going to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhaseOutlook {
    /// Its name.
    pub name: String,
    /// When it begins, s.
    pub from: f64,
    /// When it ends, s.
    pub to: f64,
    /// The rate at its begin, a second.
    pub rate_from: f64,
    /// The rate at its end.
    pub rate_to: f64,
    /// The highest rate in it, events included.
    pub peak: f64,
    /// Transfers and reads.
    pub planned: u64,
    /// Whether it counts for the pass marks.
    pub measured: bool,
}

/// How many operations of a kind are expected.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindOutlook {
    /// As in the report: `payment`, `capture` and so on.
    pub kind: &'static str,
    /// Transfers, or reads.
    pub expected: u64,
}

impl Outlook {
    /// What `scenario` is going to do with its rates multiplied by `scale`.
    pub fn new(scenario: &Scenario, scale: f64) -> Self {
        let curve = Curve::new(&scenario.phases, &scenario.events, scale);
        let timed_by_file = scenario.timed_by_file();
        let planned = (!timed_by_file).then(|| curve.total().round() as u64);
        let mix = match &scenario.source {
            Source::Mix(mix) => Some(mix),
            Source::File(_) => None,
        };
        let operations = curve.total() / mix.map_or(1.0, Mix::transfers_per_operation);
        let requests = operations / f64::from(scenario.requests.batch);
        let population = &scenario.population;
        Self {
            name: scenario.name.clone(),
            description: scenario.description.clone(),
            scale,
            seconds: curve.seconds(),
            peak: curve.peak(),
            planned,
            requests: planned.map(|_| requests.ceil() as u64),
            phases: phases(scenario, &curve),
            kinds: mix.map(|mix| kinds(mix, operations)).unwrap_or_default(),
            accounts: mix.map(|_| u64::from(population.customers) + u64::from(population.merchants)),
            books_bytes: planned.map(|_| (operations * mix.map_or(1.0, Mix::places_per_operation)).ceil() as u64),
            events: scenario.events.iter().map(spell_event).collect(),
            marks: spell_marks(&scenario.pass),
            rates: sparks(&curve, SPARKS),
        }
    }
}

impl Mix {
    /// The sum of the weights.
    pub(crate) fn weights(&self) -> f64 {
        self.payment + self.authorise + self.chain + self.read
    }

    /// Transfers and reads that what begins comes to on average, with all that follows it. The rate counts these, so that
    /// many times fewer operations begin.
    pub(crate) fn transfers_per_operation(&self) -> f64 {
        let payment = self.payment * (1.0 + (1.0 - self.insufficient_funds) * self.refund.share);
        (payment + self.authorise * 2.0 + self.chain * f64::from(self.chain_legs) + self.read) / self.weights()
    }

    /// Bytes of the books for an operation: one for every transfer that it may have.
    fn places_per_operation(&self) -> f64 {
        let legs = if self.chain > 0.0 { f64::from(self.chain_legs) } else { 1.0 };
        let steps = [true, self.authorise > 0.0, self.payment > 0.0 && self.refund.share > 0.0];
        legs * steps.into_iter().filter(|step| *step).count() as f64
    }
}

fn phases(scenario: &Scenario, curve: &Curve) -> Vec<PhaseOutlook> {
    let mut from = 0.0;
    let phase = |phase: &super::Phase| {
        let to = from + phase.duration.as_secs_f64();
        let outlook = PhaseOutlook {
            name: phase.name.clone(),
            from,
            to,
            rate_from: curve.rate_at(from),
            rate_to: curve.rate_before(to),
            peak: curve.peak_between(from, to),
            planned: (curve.before(to) - curve.before(from)).round() as u64,
            measured: phase.measured,
        };
        from = to;
        outlook
    };
    scenario.phases.iter().map(phase).collect()
}

fn kinds(mix: &Mix, operations: f64) -> Vec<KindOutlook> {
    let begin = |weight: f64| operations * weight / mix.weights();
    let (payments, authorisations) = (begin(mix.payment), begin(mix.authorise));
    [
        ("payment", payments * (1.0 - mix.insufficient_funds)),
        ("payment to be refused", payments * mix.insufficient_funds),
        ("authorise", authorisations),
        ("capture", authorisations * mix.capture.share),
        ("void", authorisations * (1.0 - mix.capture.share)),
        ("refund", payments * (1.0 - mix.insufficient_funds) * mix.refund.share),
        ("chain", begin(mix.chain) * f64::from(mix.chain_legs)),
        ("read", begin(mix.read)),
    ]
    .into_iter()
    .map(|(kind, expected)| KindOutlook { kind, expected: expected.round() as u64 })
    .filter(|kind| kind.expected > 0)
    .collect()
}

fn spell_event(event: &Event) -> String {
    let what = match &event.action {
        Action::Load { factor, lasts } => {
            format!("the rates are multiplied by {} for {}", spell_number(*factor), spell_duration(*lasts))
        }
        Action::KillLeader { shard, back_after } => {
            format!("the leader of shard {shard} is killed, and back after {}", spell_duration(*back_after))
        }
        Action::KillRouter { router, back_after } => {
            format!("router {router} is killed, and back after {}", spell_duration(*back_after))
        }
        Action::PauseLeader { shard, lasts } => {
            format!("the leader of shard {shard} stands still for {}", spell_duration(*lasts))
        }
        Action::Rebalance { slots, from, to } => {
            format!("{} slots move from shard {from} to shard {to}", spell_number(f64::from(*slots)))
        }
    };
    format!("at {} {what}", spell_duration(event.at))
}

fn spell_marks(pass: &PassMarks) -> Vec<String> {
    let latencies = [
        ("p50", pass.p50),
        ("p90", pass.p90),
        ("p99", pass.p99),
        ("p99.9", pass.p99_9),
        ("the longest latency", pass.max),
        ("recovery", pass.recovery),
    ];
    let at_most = |(name, mark): (&str, Option<_>)| mark.map(|mark| format!("{name} at most {}", spell_duration(mark)));
    let percent = |share: f64| spell_number((share * 1e6).round() / 1e4);
    let goodput = pass.goodput.map(|share| format!("goodput at least {} %", percent(share)));
    let errors = pass.errors.map(|share| format!("errors at most {} %", percent(share)));
    latencies.into_iter().filter_map(at_most).chain(goodput).chain(errors).collect()
}

/// The curve in so many blocks, each as high as the highest rate within it.
fn sparks(curve: &Curve, columns: usize) -> String {
    let (peak, each) = (curve.peak(), curve.seconds() / columns as f64);
    let spark = |column: usize| {
        let high = curve.peak_between(column as f64 * each, (column + 1) as f64 * each);
        // Whatever is not nothing is to be seen.
        let height = if peak > 0.0 { (high / peak * 8.0).ceil() as usize } else { 0 };
        HEIGHTS[height.min(8)]
    };
    (0..columns).map(spark).collect()
}

impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |n: u64| spell_number(n as f64);
        let rate = |rate: f64| spell_number(if rate < 10.0 { (rate * 100.0).round() / 100.0 } else { rate.round() });
        writeln!(f, "{}", self.name)?;
        for line in wrapped(&self.description, 100) {
            writeln!(f, "  {line}")?;
        }
        writeln!(f)?;
        if self.planned.is_some() {
            writeln!(f, "  {}  {}/s at the peak\n", self.rates, rate(self.peak))?;
        }
        let names = self.phases.iter().map(|phase| phase.name.chars().count()).fold(5, usize::max);
        writeln!(f, "  {:<names$}  {:>9}  {:>9}  {:>19}  {:>13}", "phase", "from", "to", "rate/s", "planned")?;
        for phase in &self.phases {
            let flat = phase.rate_from == phase.rate_to;
            let mut rates = rate(phase.rate_from);
            if !flat {
                rates = format!("{rates} to {}", rate(phase.rate_to));
            }
            let (from, to) = (format!("{} s", rate(phase.from)), format!("{} s", rate(phase.to)));
            write!(f, "  {:<names$}  {from:>9}  {to:>9}  {rates:>19}  {:>13}", phase.name, count(phase.planned))?;
            if phase.peak > phase.rate_from.max(phase.rate_to) {
                write!(f, "  up to {}/s", rate(phase.peak))?;
            }
            writeln!(f, "{}", if phase.measured { "" } else { "  not measured" })?;
        }
        match self.planned.zip(self.requests) {
            Some((planned, requests)) => {
                writeln!(f, "\n  in all    {} transfers and reads in {} requests", count(planned), count(requests))?;
            }
            None => writeln!(f, "\n  in all    what the file has for this time")?,
        }
        let kinds: Vec<String> = self.kinds.iter().map(|k| format!("{} {}", k.kind, count(k.expected))).collect();
        for (index, kinds) in kinds.chunks(4).enumerate() {
            writeln!(f, "  {:<8}  {}", if index == 0 { "expected" } else { "" }, kinds.join(", "))?;
        }
        if let Some(accounts) = self.accounts {
            writeln!(f, "  accounts  {}", count(accounts))?;
        }
        if let Some(bytes) = self.books_bytes {
            writeln!(f, "  memory    {} MB for what becomes of each", rate((bytes as f64 / 1e6).max(0.01)))?;
        }
        for (index, event) in self.events.iter().enumerate() {
            writeln!(f, "  {:<8}  {event}", if index == 0 { "events" } else { "" })?;
        }
        let marks = if self.marks.is_empty() { "none but the audit".to_owned() } else { self.marks.join(", ") };
        write!(f, "  passes    {marks}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::tests::EVERYTHING;

    #[test]
    fn the_outlook_adds_up() {
        let scenario = Scenario::parse(EVERYTHING, "everything.toml").unwrap();
        let outlook = Outlook::new(&scenario, 2.0);
        let planned = outlook.planned.unwrap();
        let close = |sum: u64| sum.abs_diff(planned) <= 8;
        assert!(close(outlook.phases.iter().map(|phase| phase.planned).sum()), "{:?}", outlook.phases);
        assert!(close(outlook.kinds.iter().map(|kind| kind.expected).sum()), "{:?}", outlook.kinds);
        // 70 payments of which 1 % are refused and 5 % of the rest come back, 15 authorisations of two steps, 5 chains of 4.
        let per_operation = (70.0 * (1.0 + 0.99 * 0.05) + 30.0 + 20.0 + 10.0) / 100.0;
        let operations = planned as f64 / per_operation;
        assert_eq!(outlook.requests, Some((operations / 100.0).ceil() as u64));
        // A byte for each of 4 places in each of 3 steps.
        assert!((outlook.books_bytes.unwrap() as f64 / operations - 12.0).abs() < 0.01);
        // Twice by --scale, twice by the event.
        assert!(outlook.peak > 100_000.0 && outlook.peak <= 154_000.0, "{}", outlook.peak);
    }

    #[test]
    fn every_event_and_mark_is_told() {
        let text = Outlook::new(&Scenario::parse(EVERYTHING, "everything.toml").unwrap(), 1.0).to_string();
        for part in [
            "at 10s the rates are multiplied by 2 for 10s",
            "at 12s the leader of shard 1 is killed, and back after 2s",
            "at 14s the leader of shard 1 stands still for 3s",
            "at 16s router 1 is killed, and back after 4s",
            "at 20s 1,024 slots move from shard 0 to shard 1",
            "p99.9 at most 500ms",
            "recovery at most 5s",
            "goodput at least 99 %",
            "errors at most 0.1 %",
            "not measured",
            "1,000 to 38,500",
        ] {
            assert!(text.contains(part), "`{part}` is not in\n{text}");
        }
    }

    #[test]
    fn the_drawing_shows_the_highest_of_each_column() {
        let scenario =
            |phases: &str| Scenario::parse(&format!("name = \"x\"\ndescription = \"x\"\n{phases}"), "x.toml").unwrap();
        let draw = |phases: &str, columns| {
            let scenario = scenario(phases);
            sparks(&Curve::new(&scenario.phases, &scenario.events, 1.0), columns)
        };
        assert_eq!(draw("[[phase]]\nduration = \"8s\"\nfrom = 0\nto = 800", 8), "▁▂▃▄▅▆▇█");
        assert_eq!(
            draw("[[phase]]\npoints = [[\"0s\", 0], [\"2s\", 0], [\"2s\", 8], [\"3s\", 1], [\"4s\", 0]]", 4),
            "  █▁"
        );
    }
}
