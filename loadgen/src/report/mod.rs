//! The report: one HTML file that a board can read and an engineer can trust, from a [`RunRecord`] alone. It needs no
//! network, no other file and no script; a script only makes the values under the pointer easier to read.
//!
//! Reading order: `figures` (numbers as text), `markup` (well-formed and escaped), `summary` (what is worked out from
//! a record), `chart` (SVG), `page` (the page of a run), `read` (records from files), `compare` (two runs side by
//! side), `command` (the two subcommands).

mod figures;
mod markup;
mod summary;
mod chart;
mod page;
mod read;
mod compare;
mod command;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

pub use command::{CompareArgs, ReportArgs};
pub(crate) use command::{compare, report};
pub use read::{ReadError, read};

use crate::record::RunRecord;

/// The page of a run.
pub fn html(record: &RunRecord) -> String {
    page::page(record)
}
