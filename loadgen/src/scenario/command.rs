//! `crest load scenario`: what can be rehearsed, and what a file would do. Nothing is sent.

use std::io::Write;

use clap::Subcommand;
use serde::Serialize;

use super::values::{SCALES, within, wrapped};
use super::{OpenError, Outlook, SHIPPED, Scenario, shipped, spell_number};
use crate::exit;

/// What can be asked about scenarios.
#[derive(Clone, Debug, Subcommand)]
pub enum ScenarioCommand {
    /// The scenarios that come with crest.
    #[command(after_help = "Example:\n  crest load scenario list")]
    List {
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// The text of a scenario that comes with crest, to write your own from it.
    #[command(
        after_help = "Example:\n  crest load scenario show double-11-2014 > mine.toml\n  $EDITOR mine.toml\n  crest load scenario check mine.toml\n  crest load run mine.toml"
    )]
    Show {
        /// Its name, as `list` shows it.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// What is wrong with a file, or what it would do: phases, transfers, kinds, events, marks.
    #[command(
        after_help = "Examples:\n  crest load scenario check mine.toml\n  crest load scenario check double-11-2014 --scale 0.1\n\nExit codes: 0 it can be run; 2 something is wrong with it; 3 it could not be read."
    )]
    Check {
        /// A file (its name ends with .toml or has a slash in it), or the name of a scenario that comes with crest.
        #[arg(value_name = "FILE")]
        file: String,
        /// Multiply all rates by this, as `crest load run` does.
        #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = parse_scale)]
        scale: f64,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// By how much rates may be multiplied: 0.0001 to 10,000.
///
/// # Errors
/// A text that says what was expected.
pub(crate) fn parse_scale(text: &str) -> Result<f64, String> {
    within(text.parse().map_err(|_| "expected a number from 0.0001 to 10,000".to_owned())?, &SCALES)
}

/// A line of the list.
#[derive(Serialize)]
struct Listed {
    name: &'static str,
    description: String,
    seconds: f64,
    peak: f64,
    planned: Option<u64>,
    events: usize,
}

/// Runs the command; gives the exit code.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn run(command: &ScenarioCommand) -> anyhow::Result<u8> {
    match command {
        ScenarioCommand::List { json } => list(*json),
        ScenarioCommand::Show { name } => show(name),
        ScenarioCommand::Check { file, scale, json } => check(file, *scale, *json),
    }
}

fn list(json: bool) -> anyhow::Result<u8> {
    let mut rows = Vec::new();
    for entry in SHIPPED {
        let outlook = Outlook::new(&Scenario::parse(entry.text, entry.name)?, 1.0);
        let Outlook { description, seconds, peak, planned, events, .. } = outlook;
        rows.push(Listed { name: entry.name, description, seconds, peak, planned, events: events.len() });
    }
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &rows)?;
        writeln!(out)?;
        return Ok(exit::PASSED);
    }
    for Listed { name, description, seconds, peak, planned, .. } in rows {
        let planned = planned.map_or("a file".to_owned(), |planned| spell_number(planned as f64));
        let length = if seconds >= 600.0 { format!("{:.0} min", seconds / 60.0) } else { format!("{seconds:.0} s") };
        writeln!(out, "{name:<18} {length:>7}, {planned} planned, up to {}/s", spell_number(peak))?;
        for line in wrapped(&description, 100) {
            writeln!(out, "    {line}")?;
        }
    }
    writeln!(out, "\ncrest load run NAME runs one, crest load scenario show NAME > mine.toml begins your own")?;
    Ok(exit::PASSED)
}

fn show(name: &str) -> anyhow::Result<u8> {
    match shipped(name) {
        Some(entry) => {
            std::io::stdout().lock().write_all(entry.text.as_bytes())?;
            Ok(exit::PASSED)
        }
        None => Ok(refuse(&super::shipped::unknown(name))),
    }
}

fn check(file: &str, scale: f64, json: bool) -> anyhow::Result<u8> {
    let scenario = match Scenario::open(file) {
        Ok(opened) => opened.scenario,
        Err(error) => return Ok(refuse(&error)),
    };
    let outlook = Outlook::new(&scenario, scale);
    let mut out = std::io::stdout().lock();
    match json {
        true => serde_json::to_writer_pretty(&mut out, &outlook)?,
        false => write!(out, "{outlook}")?,
    }
    writeln!(out)?;
    Ok(exit::PASSED)
}

/// Says why a scenario could not be opened; gives the exit code for it.
pub(crate) fn refuse(error: &OpenError) -> u8 {
    eprintln!("error: {error}");
    match error {
        OpenError::Read { .. } => exit::COULD_NOT_RUN,
        OpenError::Unknown { .. } | OpenError::Wrong(_) => exit::USAGE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_opened_has_its_exit_code() {
        let check = |file: &str, code| {
            let command = ScenarioCommand::Check { file: file.to_owned(), scale: 1.0, json: true };
            assert_eq!(run(&command).unwrap(), code, "{file}");
        };
        check("smoke", exit::PASSED);
        check("smok", exit::USAGE);
        check("nowhere/x.toml", exit::COULD_NOT_RUN);
        let folder = tempfile::tempdir().unwrap();
        let wrong = folder.path().join("wrong.toml");
        std::fs::write(&wrong, "name = 3").unwrap();
        check(wrong.to_str().unwrap(), exit::USAGE);
    }

    #[test]
    fn a_scale_is_a_number_within_its_bounds() {
        for (text, scale) in
            [("0.1", Some(0.1)), ("10000", Some(1e4)), ("0", None), ("-1", None), ("nan", None), ("1e300", None)]
        {
            assert_eq!(parse_scale(text).ok(), scale, "{text}");
        }
    }
}
