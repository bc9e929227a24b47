//! The scenarios that come with the binary, and how one is named on the command line.

use std::fs::File;
use std::io::Read;

use super::reading::distance;
use super::{SCENARIO_BYTES_MAX, Scenario, ScenarioError};

/// A scenario that comes with the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shipped {
    /// What `crest load run NAME` calls it.
    pub name: &'static str,
    /// The file, whole, with its comments.
    pub text: &'static str,
}

/// All of them, the first one to try first.
pub const SHIPPED: [Shipped; 9] = [
    Shipped { name: "smoke", text: include_str!("../../scenarios/smoke.toml") },
    Shipped { name: "steady-day", text: include_str!("../../scenarios/steady-day.toml") },
    Shipped { name: "double-11-2014", text: include_str!("../../scenarios/double-11-2014.toml") },
    Shipped { name: "hot-merchant", text: include_str!("../../scenarios/hot-merchant.toml") },
    Shipped { name: "cross-shard-storm", text: include_str!("../../scenarios/cross-shard-storm.toml") },
    Shipped { name: "overload-2x", text: include_str!("../../scenarios/overload-2x.toml") },
    Shipped { name: "lose-a-leader", text: include_str!("../../scenarios/lose-a-leader.toml") },
    Shipped { name: "soak", text: include_str!("../../scenarios/soak.toml") },
    Shipped { name: "replay", text: include_str!("../../scenarios/replay.toml") },
];

/// A scenario with the text that it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// What it says.
    pub scenario: Scenario,
    /// The text, whole.
    pub text: String,
}

/// Why a scenario could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No shipped scenario has this name, and it is no path.
    #[error(
        "no scenario is called `{name}`{hint}; `crest load scenario list` shows all, a file is named with its .toml"
    )]
    Unknown {
        /// As it was typed.
        name: String,
        /// The nearest one, as a part of the sentence.
        hint: String,
    },
    /// The file could not be read.
    #[error("{file}: {source}")]
    Read {
        /// Its path.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no scenario.
    #[error(transparent)]
    Wrong(#[from] ScenarioError),
}

/// The shipped scenario `name`.
pub fn shipped(name: &str) -> Option<&'static Shipped> {
    SHIPPED.iter().find(|shipped| shipped.name == name)
}

impl Scenario {
    /// Opens what a command line names: a path, if it ends with `.toml` or has a slash in it, or else a shipped scenario.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(name: &str) -> Result<Opened, OpenError> {
        let text = if name.ends_with(".toml") || name.contains(['/', '\\']) {
            read(name)?
        } else {
            shipped(name).ok_or_else(|| unknown(name))?.text.to_owned()
        };
        Ok(Opened { scenario: Self::parse(&text, name)?, text })
    }
}

fn read(file: &str) -> Result<String, OpenError> {
    let mut text = String::new();
    // A byte more than allowed tells a file that is too long, whatever it is: a device has no end.
    let bytes = File::open(file).and_then(|open| open.take(SCENARIO_BYTES_MAX as u64 + 1).read_to_string(&mut text));
    bytes.map_err(|source| OpenError::Read { file: file.to_owned(), source })?;
    Ok(text)
}

pub(super) fn unknown(name: &str) -> OpenError {
    let nearest = SHIPPED.iter().map(|shipped| (distance(shipped.name, name), shipped.name)).min();
    let near = nearest.filter(|(distance, nearest)| *distance <= nearest.len() / 2);
    let hint = near.map_or(String::new(), |(_, nearest)| format!(" (`{nearest}`, perhaps)"));
    OpenError::Unknown { name: name.chars().take(100).collect(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_scenario_is_right_and_has_its_own_name() {
        for Shipped { name, text } in SHIPPED {
            let scenario = Scenario::parse(text, name).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(scenario.name, name);
            let begin = format!("crest load scenario show {name} > mine.toml");
            assert!(text.contains(&begin), "{name} does not say how to write one's own from it");
            assert!(text.lines().all(|line| line.chars().count() <= 128), "{name} has long lines");
        }
    }

    #[test]
    fn double_11_reaches_its_peak_within_a_second() {
        let scenario = Scenario::open("double-11-2014").unwrap().scenario;
        let curve = crate::curve::Curve::new(&scenario.phases, &scenario.events, 1.0);
        assert_eq!(curve.peak(), 38_500.0);
        let midnight = 30.0;
        assert_eq!((curve.rate_at(midnight), curve.rate_at(midnight + 1.0)), (6_000.0, 38_500.0));
    }

    #[test]
    fn a_scenario_is_named_or_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, SHIPPED[0].text).unwrap();
        let opened = Scenario::open(path.to_str().unwrap()).unwrap();
        assert_eq!(opened, Scenario::open("smoke").unwrap());
        let check = |name: &str, part: &str| {
            let error = Scenario::open(name).unwrap_err().to_string();
            assert!(error.contains(part), "{name}: {error}");
        };
        check("soke", "no scenario is called `soke` (`smoke`, perhaps)");
        check("zzzzzz", "`zzzzzz`; `crest load scenario list`");
        check("nowhere.toml", "nowhere.toml: No such file");
        std::fs::write(&path, "name = 3").unwrap();
        check(path.to_str().unwrap(), "mine.toml:1:8: name: found 3");
    }
}
