//! How often each kind of death and each failpoint has been tried, over several runs when `CREST_TALLY` names a file.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

/// A count of everything that happened.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Mutex<BTreeMap<String, u64>>,
    file: Option<PathBuf>,
}

const KILL: &str = "kill";
const NOTE: &str = "note";
const POINT: &str = "point";
const MISSED: &str = "missed";
const QUIET: &str = "quiet";

impl Tally {
    /// What the file of `CREST_TALLY` tells of earlier runs, or nothing. What happens is added to it line by line, so that
    /// a run may end at any moment.
    pub(crate) fn of_all_runs() -> Self {
        let file = std::env::var_os("CREST_TALLY").map(PathBuf::from);
        let text = file.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        let tally = Self { counts: Mutex::default(), file };
        for line in text.lines() {
            *tally.counts.lock().expect("nobody panics with it").entry(line.to_owned()).or_default() += 1;
        }
        tally
    }

    fn add(&self, kind: &str, what: &str) {
        let line = format!("{kind}\t{what}");
        let mut counts = self.counts.lock().expect("nobody panics with it");
        if let Some(path) = &self.file {
            let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
            writeln!(opened.expect("CREST_TALLY can be written"), "{line}").expect("CREST_TALLY can be written");
        }
        *counts.entry(line).or_default() += 1;
    }

    /// A process was killed.
    pub(crate) fn kill(&self, how: &str) {
        self.add(KILL, how);
    }

    /// Something else befell a process.
    pub(crate) fn note(&self, what: &str) {
        self.add(NOTE, what);
    }

    /// A process died, waited or failed at a failpoint.
    pub(crate) fn point(&self, name: &str) {
        self.add(POINT, name);
    }

    /// A process was armed and did not come to the failpoint in time.
    pub(crate) fn missed(&self, name: &str) {
        self.add(MISSED, name);
    }

    /// Everything was over so long after the last failure.
    pub(crate) fn quiet(&self, after: Duration) {
        self.add(QUIET, &format!("{:.0} s", after.as_secs_f64().ceil()));
    }

    /// Kills so far.
    pub(crate) fn kills(&self) -> u64 {
        let counts = self.counts.lock().expect("nobody panics with it");
        counts.iter().filter(|(line, _)| line.starts_with(KILL)).map(|(_, count)| count).sum()
    }

    /// How often a failpoint was tried, with or without success.
    pub(crate) fn tries(&self, name: &str) -> (u64, u64) {
        let counts = self.counts.lock().expect("nobody panics with it");
        let of = |kind: &str| counts.get(&format!("{kind}\t{name}")).copied().unwrap_or(0);
        (of(POINT), of(MISSED))
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let titles = [
            (KILL, "kills"),
            (NOTE, "what else befell processes"),
            (POINT, "died, waited or failed at a failpoint"),
            (MISSED, "not reached in time"),
            (QUIET, "nothing was in doubt any more after the last failure, within"),
        ];
        for (kind, title) in titles {
            let counts = self.counts.lock().expect("nobody panics with it");
            let rows: Vec<(&str, u64)> = counts
                .iter()
                .filter_map(|(line, count)| Some((line.strip_prefix(kind)?.strip_prefix('\t')?, *count)))
                .collect();
            writeln!(f, "{title}: {}", rows.iter().map(|(_, count)| count).sum::<u64>())?;
            rows.iter().try_for_each(|(what, count)| writeln!(f, "{count:8}  {what}"))?;
        }
        Ok(())
    }
}
