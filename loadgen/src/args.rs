//! What both commands share on the command line.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::peak::PeakArgs;
use crate::rehearsal::RunArgs;
use crate::rehearsal::agent::AgentArgs;
use crate::replay::ReplayArgs;
use crate::report::{CompareArgs, ReportArgs};
use crate::retry::Patience;
use crate::scenario::command::ScenarioCommand;

/// Where a router is expected when nobody says otherwise.
pub const DEFAULT_ROUTER: &str = "http://127.0.0.1:7000";

/// Rehearse a peak day, replay a file of payments, or measure how much a cluster can do; each proves afterwards where the money is.
#[derive(Debug, Subcommand)]
pub enum LoadCommand {
    /// Rehearse a peak day by a scenario: send at planned instants, break things, measure, prove every transfer, report.
    ///
    /// It is an open loop: requests leave at their planned instants whatever the answers do, and latency
    /// counts from the planned instant. What is planned follows from the scenario and --seed alone; only the
    /// ids of the transfers are new in every run.
    ///
    /// Afterwards every transfer is looked at: each acknowledged one has to be in the ledger once and as
    /// it was sent, none that was refused may be, unknown outcomes are settled by sending them again with the
    /// same ids, and all balances have to be those before plus what was acknowledged. Hence nobody else may
    /// use this ledger number during the run.
    ///
    /// Ctrl-C ends the sending, and the proof follows; a second one gives up.
    ///
    /// Exit codes: 0 passed; 1 money is wrong; 2 usage; 3 could not run, or not be proven; 5 the money is
    /// right and a pass mark was missed; 6 invalid: the generator itself was the bottleneck.
    #[command(verbatim_doc_comment)]
    Run(RunArgs),
    /// List the scenarios that can be rehearsed, show one to write your own from it, check a file.
    #[command(subcommand)]
    Scenario(ScenarioCommand),
    /// Make the page of a rehearsal again, from the JSON that it left.
    ///
    /// The page is one HTML file that needs nothing else: no network, no other file, no script.
    ///
    /// Exit codes: 0 written; 2 usage; 3 a file could not be read, is no record of a rehearsal, or could
    /// not be written.
    #[command(verbatim_doc_comment)]
    Report(ReportArgs),
    /// Compare two rehearsals, from the JSON that they left.
    ///
    /// Says what was different about them, every figure of both, and which is better; and warns when
    /// they can't be compared as they are: another scenario, scale, cluster or way of sending.
    ///
    /// Exit codes: 0 compared, whichever is better; 2 usage; 3 a file could not be read, is no record of
    /// a rehearsal, or could not be written.
    #[command(verbatim_doc_comment)]
    Compare(CompareArgs),
    /// Send from this machine what a rehearsal on another one directs: crest load run … --agent HOST:PORT.
    Agent(AgentArgs),
    /// Pay what a CSV file of payments says, then compare every balance with the file's own sums.
    ///
    /// The file is CSV, plain or gzipped, with the columns id, date, debit_account, credit_account,
    /// amount and kind in any order. Sending it twice moves money once: ids depend on nothing but the
    /// file and the namespace.
    ///
    /// How words become numbers: an account's id is the 128-bit FNV-1a hash of its name (and its code
    /// that of the part before the colon); a transfer's id is the namespace's hash (64 bits) above the
    /// row's id (64 bits); its code is 1 + FNV-1a-128 of the kind modulo 65,535; user_data_64 is the
    /// date as yyyymmdd; user_data_32 is the line number.
    ///
    /// What is compared: every account's balances after the run must be those before it plus what the
    /// file moves, computed by reading the file a second time, less what an earlier run had paid of it
    /// already, less the rows that were refused. For accounts that the run creates, that is: the
    /// balance equals the file's sum. While it runs, nobody else may pay from or to these accounts.
    ///
    /// These are real payments: the default ledger number is 1. To rehearse a file instead, give a ledger
    /// number of rehearsals, such as --ledger 4026531842, and a cluster whose real accounts have other
    /// names: an account is on one ledger number for good, and those of the file that are on another one
    /// are refused.
    ///
    /// A row that is wrong or refused is named with its line and skipped.
    ///
    /// Exit codes: 0 all rows paid and all balances equal; 1 a balance differs; 2 usage; 3 could not
    /// run to its end (run it again, nothing is paid twice); 4 some rows were wrong or refused, the
    /// balances of the others are right.
    #[command(verbatim_doc_comment)]
    Replay(ReplayArgs),
    /// Measure how much a cluster can do: send payments as fast as answers come, then prove that no money was lost.
    ///
    /// It is a closed loop: each place in flight sends again as soon as it is answered. So its
    /// latencies are those of a cluster that is as busy as it can be, and leave out whoever would
    /// have waited; what a day will feel like, `crest load run` tells.
    ///
    /// Accounts are named peak:LEDGER:SEED:0, …:1 and so on (their ids are those names' hashes); who
    /// pays whom and how much depends on --seed alone, so a run can be repeated. Transfer ids are new
    /// in every run.
    ///
    /// Whatever has an unknown outcome is sent again with the same ids until it is settled
    /// (--retry-for). At the end the ledger is audited, the change of its totals is compared with the
    /// sum of the acknowledged payments, and 10,000 of those are looked up. Hence nobody else may use
    /// this ledger number during the run. It has to be one of rehearsals (4026531840 and up): there no
    /// real account can be touched, and queries, totals and metrics tell it from real ones.
    ///
    /// Exit codes: 0 passed; 1 money is wrong; 2 usage; 3 could not run to its end, or could not prove
    /// it.
    #[command(verbatim_doc_comment)]
    Peak(PeakArgs),
}

/// How to reach the ledger, and how patiently.
#[derive(Args, Clone, Debug)]
pub struct RouterArgs {
    /// A router's address, `http://host:port` or `host:port`. Any router of the cluster will do.
    #[arg(long, value_name = "URL", env = "CREST_ROUTER", default_value = DEFAULT_ROUTER)]
    pub router: String,

    /// How long one attempt of one request may take before its outcome counts as unknown.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_positive_duration)]
    pub timeout: Duration,

    /// How long a request whose outcome is unknown, or that the router is too busy for, is sent again with the same ids.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub retry_for: Duration,
}

impl RouterArgs {
    pub(crate) fn patience(&self) -> Patience {
        Patience { attempt: self.timeout, total: self.retry_for }
    }
}

/// A length of time as people write it: `500ms`, `30s`, `2m`, `1h`; a bare number is seconds. At most 7 days.
///
/// # Errors
/// A text that says what was expected.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    const MAX: Duration = Duration::from_secs(7 * 24 * 3_600);
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds_each = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(format!("unknown unit `{unit}`; write for example 500ms, 30s, 2m or 1h")),
    };
    let number: f64 = number.parse().map_err(|_| "expected a time such as 500ms, 30s, 2m or 1h".to_owned())?;
    let time = Duration::try_from_secs_f64(number * seconds_each).map_err(|e| e.to_string())?;
    if time > MAX { Err("at most 7 days (168h)".to_owned()) } else { Ok(time) }
}

/// The same, but not zero.
pub(crate) fn parse_positive_duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).and_then(|d| if d.is_zero() { Err("must be more than 0".to_owned()) } else { Ok(d) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let check = |text: &str, ms: Option<u64>| {
            assert_eq!(parse_duration(text).ok(), ms.map(Duration::from_millis), "{text}");
        };
        check("500ms", Some(500));
        check("30s", Some(30_000));
        check("30", Some(30_000));
        check("1.5m", Some(90_000));
        check("2h", Some(7_200_000));
        check("0s", Some(0));
        check("", None);
        check("s", None);
        check("-3s", None);
        check("1.2.3s", None);
        check("3 parsecs", None);
        check("169h", None);
        assert!(parse_positive_duration("0").is_err());
    }
}
