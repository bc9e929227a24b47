//! The comparison for a terminal.

use std::fmt::Write;

use super::super::figures;
use super::{Comparison, MarkSide};

/// Left column, columns of the two runs, ratio; characters.
const WIDTHS: [usize; 4] = [34, 16, 16, 8];

/// Two runs as a table.
pub(super) fn text(comparison: &Comparison) -> String {
    let mut out = String::new();
    for (name, side) in [("A", &comparison.a), ("B", &comparison.b)] {
        let date = figures::date(side.began_unix_ms);
        line(&mut out, format!("{name}  {}  {}, {date}: {}", side.file, side.scenario, side.verdict));
    }
    for warning in &comparison.warnings {
        line(&mut out, format!("!  {warning}"));
    }
    if !comparison.settings.is_empty() {
        head(&mut out, "What was different", ["A", "B", ""]);
        for setting in &comparison.settings {
            row(&mut out, setting.name, [&setting.a, &setting.b, ""], "");
        }
    }
    if !comparison.marks.is_empty() {
        head(&mut out, "Pass marks", ["A", "B", ""]);
        for mark in &comparison.marks {
            let got = |side: &Option<MarkSide>| match side {
                Some(side) => format!("{} {}", side.got, if side.passed { "✓" } else { "✗" }),
                None => "–".to_owned(),
            };
            let wanted = mark.a.iter().chain(&mark.b).next().map_or("", |side| side.wanted.as_str());
            row(&mut out, &mark.name, [&got(&mark.a), &got(&mark.b), ""], wanted);
        }
    }
    for group in &comparison.groups {
        head(&mut out, &group.name, ["A", "B", "B/A"]);
        for figure in &group.figures {
            let (a, b) = (figure.value(figure.a), figure.value(figure.b));
            row(&mut out, &figure.name, [&a, &b, &figure.ratio_text()], &figure.words);
        }
    }
    let (better, worse, same) = comparison.tally();
    line(&mut out, String::new());
    line(&mut out, format!("B is better in {better} figures, worse in {worse}, about the same in {same}."));
    out
}

fn head(out: &mut String, name: &str, columns: [&str; 3]) {
    line(out, String::new());
    row(out, name, columns, "");
}

fn row(out: &mut String, name: &str, columns: [&str; 3], words: &str) {
    let mut text = left(&clean(name), WIDTHS[0]);
    for (column, width) in columns.iter().zip(&WIDTHS[1..]) {
        text.push_str("  ");
        text.push_str(&right(&clean(column), *width));
    }
    line(out, format!("{text}  {}", clean(words)));
}

fn line(out: &mut String, text: String) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{}", clean(&text).trim_end());
}

/// A record is a file that anybody may have written: its control characters must not reach a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn left(text: &str, width: usize) -> String {
    format!("{text:<width$}")
}

fn right(text: &str, width: usize) -> String {
    format!("{text:>width$}")
}
