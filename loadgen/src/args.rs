//! What both commands share on the command line.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::peak::PeakArgs;
use crate::replay::ReplayArgs;
use crate::retry::Patience;

/// Where a router is expected when nobody says otherwise.
pub const DEFAULT_ROUTER: &str = "http://127.0.0.1:7014";

/// `crest load …`
#[derive(Debug, Subcommand)]
pub enum LoadCommand {
    /// Pay what a CSV file of payments says, then compare every balance with the file's own sums.
    Replay(ReplayArgs),
    /// Rehearse a peak day: send payments at a planned rate or at full speed, measure, then prove that no money was lost.
    Peak(PeakArgs),
}

/// How to reach the ledger, and how patiently.
#[derive(Args, Clone, Debug)]
pub struct RouterArgs {
    /// A router's address, `http://host:port` or `host:port`. Any router of the cluster will do.
    #[arg(long, value_name = "URL", default_value = DEFAULT_ROUTER)]
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
