//! What is wrong with a scenario file, said so that it can be corrected without a manual: where, what, and what instead.

use std::fmt;
use std::ops::Range;

/// Problems that are told at once; more are counted.
const PROBLEMS_SHOWN_MAX: usize = 20;
/// Characters of a line of the file that are shown.
const LINE_CHARS_MAX: usize = 120;

/// A file that is no scenario. Shows every problem with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file, as it was named.
    pub file: String,
    /// At least one, in the order of the lines.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// From 1 on.
    pub line: usize,
    /// In characters, from 1 on.
    pub column: usize,
    /// The dotted name: `phase[2].rate`, counted from 0. Empty when the file is no TOML.
    pub field: String,
    /// What stands there.
    pub found: String,
    /// What should.
    pub expected: String,
    /// The line itself.
    source: String,
    /// How many characters of it are meant.
    marked: usize,
}

impl Problem {
    /// A problem with the bytes `at` of `text`.
    pub(super) fn new(text: &str, at: Range<usize>, field: String, found: String, expected: String) -> Self {
        let start = floor(text, at.start);
        let end = floor(text, at.end).max(start);
        let begins = text[..start].rfind('\n').map_or(0, |before| before + 1);
        let source = text[begins..].lines().next().unwrap_or_default();
        let last = end.min(begins + source.len());
        Self {
            line: text[..start].matches('\n').count() + 1,
            column: text[begins..start].chars().count() + 1,
            field,
            found,
            expected,
            source: source.to_owned(),
            marked: text.get(start..last).map_or(1, |marked| marked.chars().count().max(1)),
        }
    }
}

/// The next character boundary at or below `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "found {}, expected {}", self.found, self.expected)
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().take(PROBLEMS_SHOWN_MAX).enumerate() {
            if index > 0 {
                writeln!(f, "\n")?;
            }
            let Problem { line, column, source, marked, .. } = problem;
            let margin = " ".repeat(line.to_string().len());
            // A tab is as wide as the terminal likes; one space keeps the caret below what it means.
            let shown: String = source.replace('\t', " ").chars().take(LINE_CHARS_MAX).collect();
            writeln!(f, "{}:{line}:{column}: {problem}", self.file)?;
            write!(f, "{margin} |\n{line} | {shown}")?;
            if *column <= LINE_CHARS_MAX {
                let carets = (*marked).min(LINE_CHARS_MAX + 1 - column);
                write!(f, "\n{margin} | {}{}", " ".repeat(column - 1), "^".repeat(carets))?;
            }
        }
        match self.problems.len().saturating_sub(PROBLEMS_SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

impl std::error::Error for ScenarioError {}
