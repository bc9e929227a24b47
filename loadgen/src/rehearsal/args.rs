//! What `crest load run` can be told.

use std::path::PathBuf;

use crate::args::DEFAULT_ROUTER;
use crate::scenario::command::parse_scale;
use crate::scenario::{SPEEDS, within};
use clap::Args;
use crest_ledger::limits::SHARDS_MAX;
use crest_ledger::rehearsal::REHEARSAL_LEDGER_MIN;

/// What `crest load run` can be told; its help text says the rest.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  crest load run smoke                                     ten seconds of everything, on the router of 127.0.0.1:7000
  crest load run double-11-2014 --local 4 --scale 0.2      on a cluster of its own, at a fifth of the day's rates
  crest load run lose-a-leader --local 4                   a leader dies in the middle of it
  crest load run mine.toml --router http://a:7000,http://b:7000 --out ~/peak-day
  crest load run replay --file payments.csv --speed 86400  a day of the file in a second
  crest load run double-11-2014 --router http://a:7000 --agent c:7200 --agent d:7200")]
pub struct RunArgs {
    /// A shipped scenario's name (`crest load scenario list`) or a scenario file.
    #[arg(value_name = "SCENARIO")]
    pub scenario: String,

    /// A router's address, `http://host:port` or `host:port`; several, separated by commas, share the load, and each takes
    /// over for the others. Without it and without --local: what CREST_ROUTER says, or http://127.0.0.1:7000.
    #[arg(long, value_name = "URL", value_delimiter = ',', conflicts_with = "local")]
    pub router: Vec<String>,

    /// Start a cluster of so many shards on this machine, rehearse on it, and stop it: each shard and router is a process.
    #[arg(long, value_name = "SHARDS", value_parser = clap::value_parser!(u32).range(1..=SHARDS_MAX as i64))]
    pub local: Option<u32>,

    /// Routers of the local cluster.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "local", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub local_routers: u32,

    /// Where the local cluster keeps its data and logs. Without it, in a temporary folder that is deleted at the end.
    #[arg(long, value_name = "DIR", requires = "local")]
    pub local_dir: Option<PathBuf>,

    /// Another machine that sends, host:port, on which `crest load agent` runs; may be given several times. Then this one
    /// only directs.
    #[arg(long, value_name = "HOST:PORT")]
    pub agent: Vec<String>,

    /// Multiply all rates by this.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = parse_scale)]
    pub scale: f64,

    /// What accounts, amounts and instants are drawn from: the same seed is the same run, but for its transfers' ids.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// The ledger number of the rehearsal's accounts: one of those for rehearsals, from 4,026,531,840 on.
    #[arg(long, default_value_t = LEDGER_DEFAULT, value_parser = clap::value_parser!(u32).range(REHEARSAL_LEDGER_MIN as i64..))]
    pub ledger: u32,

    /// Operations in a request, instead of the scenario's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8_190))]
    pub batch: Option<u32>,

    /// Requests in flight of one agent at the most, instead of the scenario's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub in_flight: Option<u32>,

    /// The file of payments of a scenario that has one as its source.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Send the file's payments by their own dates, so many seconds of the file in one of the run, instead of at the
    /// scenario's rates.
    #[arg(long, value_name = "FACTOR", value_parser = parse_speed)]
    pub speed: Option<f64>,

    /// The folder for the report (report.html) and its figures (record.json). Without it, one named after the scenario and
    /// the run, in `rehearsals`.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Print the record as JSON instead of a summary.
    #[arg(long)]
    pub json: bool,
}

/// The ledger number of a rehearsal that names none.
const LEDGER_DEFAULT: u32 = REHEARSAL_LEDGER_MIN + 2;

fn parse_speed(text: &str) -> Result<f64, String> {
    within(text.parse().map_err(|_| "expected a number, such as 86400 for a day in a second".to_owned())?, &SPEEDS)
}

impl RunArgs {
    /// The routers of a cluster that is there.
    pub(crate) fn routers(&self) -> Vec<String> {
        if !self.router.is_empty() {
            return self.router.clone();
        }
        // Not by clap: a router that somebody has set for other commands is no contradiction to --local.
        let named = std::env::var("CREST_ROUTER").unwrap_or_else(|_| DEFAULT_ROUTER.to_owned());
        named.split(',').map(str::to_owned).collect()
    }

    /// What was changed, as it would be typed, for the record.
    pub(crate) fn options(&self) -> Vec<String> {
        let mut options = Vec::new();
        let mut add =
            |name: &str, value: Option<String>| options.extend(value.map(|value| format!("--{name} {value}")));
        add("local", self.local.map(|n| n.to_string()));
        add("local-routers", (self.local_routers != 1).then(|| self.local_routers.to_string()));
        add("scale", (self.scale != 1.0).then(|| self.scale.to_string()));
        add("seed", (self.seed != 1).then(|| self.seed.to_string()));
        add("ledger", (self.ledger != LEDGER_DEFAULT).then(|| self.ledger.to_string()));
        add("batch", self.batch.map(|n| n.to_string()));
        add("in-flight", self.in_flight.map(|n| n.to_string()));
        add("file", self.file.as_ref().map(|file| file.display().to_string()));
        add("speed", self.speed.map(|speed| speed.to_string()));
        options
    }
}
