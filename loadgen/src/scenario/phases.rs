//! The phases of a scenario: a plateau, a ramp or any curve by points.

use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::Phase;
use super::parse::TIME_MAX;
use super::reading::{Table, duration_of, found, number_of};
use super::values::{durations, numbers, spell_duration};

/// The highest rate that can be planned, a second.
pub(super) const RATE_MAX: f64 = 10_000_000.0;
/// Points of one phase at the most.
const POINTS_MAX: usize = 10_000;
/// The shortest phase.
const PHASE_MIN: Duration = Duration::from_millis(100);
const POINTS: &str =
    "points [offset, rate] such as [\"0.5s\", 38_500], ascending from \"0s\" to the phase's end, 2 to 10,000";
const ONE_FORM: &str = "one of: `rate`; `from` and `to`; `points`";
const NOT_WITH_SPEED: &str = "no rate, because `source.speed` says when the file's payments are sent";

/// Reads all `[[phase]]` tables.
pub(super) fn read_phases(root: &Table<'_>, tables: &[Table<'_>], source: &Table<'_>) -> Vec<Phase> {
    if tables.is_empty() {
        root.wrong("phase", "nothing", "at least one [[phase]] with `duration` and `rate`");
    }
    let timed_by_file = source.has("speed");
    let phases: Vec<Phase> =
        tables.iter().enumerate().map(|(index, table)| read(index, table, timed_by_file)).collect();
    for (index, phase) in phases.iter().enumerate() {
        if phases[..index].iter().any(|other| other.name == phase.name) {
            tables[index].wrong("name", format!("{:?} again", phase.name), "a name that no other phase has");
        }
    }
    phases
}

fn read(index: usize, table: &Table<'_>, timed_by_file: bool) -> Phase {
    let legal = |text: &str| (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    let mut name = table.text("name", "1 to 64 characters", Some("phase-1, phase-2 and so on"), legal);
    if !table.has("name") {
        name = format!("phase-{}", index + 1);
    }
    let bounds = PHASE_MIN..=TIME_MAX;
    let duration = table.duration_labelled("duration", bounds, "required; with `points`, their last offset");
    let points = read_line(table, duration.unwrap_or(PHASE_MIN), timed_by_file);
    // Points have their own duration, and it has to be the one that is written, if one is.
    let last = points.last().map(|point| point.0);
    let duration = duration.or(last.filter(|_| table.has("points"))).unwrap_or_else(|| {
        if !table.has("duration") {
            table.wrong("duration", "nothing", format!("how long the phase is, such as {:?}", "30s"));
        }
        PHASE_MIN
    });
    if table.has("points") && last.is_some_and(|last| last != duration) {
        let last = spell_duration(last.unwrap_or_default());
        table.wrong(
            "points",
            format!("{last} as the last offset"),
            format!("the phase's end, {}", spell_duration(duration)),
        );
    }
    Phase { name, duration, points, measured: table.flag("measured", true) }
}

/// The points of the phase, however they are written.
fn read_line(table: &Table<'_>, duration: Duration, timed_by_file: bool) -> Vec<(Duration, f64)> {
    let rates = 0.0..=RATE_MAX;
    let rate = table.number_if_there("rate", rates.clone());
    let (from, to) = (table.number_if_there("from", rates.clone()), table.number_if_there("to", rates));
    let points = read_points(table);
    let flat = |from, to| vec![(Duration::ZERO, from), (duration, to)];
    let written: Vec<&str> = ["rate", "from", "to", "points"].into_iter().filter(|name| table.has(name)).collect();
    match written[..] {
        [] if timed_by_file => return flat(0.0, 0.0),
        [first, ..] if timed_by_file => table.wrong(first, "a rate", NOT_WITH_SPEED),
        ["rate"] | ["from", "to"] | ["points"] => {}
        ["from"] => table.wrong("to", "nothing", "the rate at the end of the ramp"),
        ["to"] => table.wrong("from", "nothing", "the rate at the begin of the ramp"),
        [] => table.wrong("rate", "nothing", ONE_FORM),
        [first, ..] => table.wrong(first, format!("{} together", written.join(", ")), ONE_FORM),
    }
    match (rate, from.zip(to), points) {
        (Some(rate), ..) => flat(rate, rate),
        (_, Some((from, to)), _) => flat(from, to),
        (_, _, Some(points)) => points,
        // Something was wrong with it.
        _ => flat(0.0, 0.0),
    }
}

/// The field `points`; none when it is not there or wrong.
fn read_points(table: &Table<'_>) -> Option<Vec<(Duration, f64)>> {
    let (field, items) = table.array("points", POINTS)?;
    if !(2..=POINTS_MAX).contains(&items.len()) {
        table.wrong("points", format!("{} points", items.len()), POINTS);
        return None;
    }
    let mut points: Vec<(Duration, f64)> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = format!("{}[{index}]", field.path);
        let (at, rate) = read_point(table, &path, item)?;
        let legal = match &points[..] {
            [] => at.is_zero(),
            // Two at one offset are a jump; a third would have no effect.
            [before @ .., last] => at > last.0 || (at == last.0 && before.last().is_none_or(|before| before.0 < at)),
        };
        if !legal {
            let expected = match points.last() {
                None => "the first offset to be \"0s\"".to_owned(),
                Some(last) => format!("an offset above {} (twice the same is a jump)", spell_duration(last.0)),
            };
            table.wrong_part(path, item, spell_duration(at), expected);
            return None;
        }
        points.push((at, rate));
    }
    if points.last().is_some_and(|last| last.0 < PHASE_MIN) {
        let last = points.last().map(|last| spell_duration(last.0)).unwrap_or_default();
        table.wrong("points", format!("{last} as the last offset"), durations(&(PHASE_MIN..=TIME_MAX)));
        return None;
    }
    Some(points)
}

fn read_point(table: &Table<'_>, path: &str, item: &Spanned<DeValue<'_>>) -> Option<(Duration, f64)> {
    let Some([at, rate]) = item.get_ref().as_array().map(|pair| &pair[..]) else {
        table.wrong_part(
            path.to_owned(),
            item,
            found(item.get_ref()),
            "a pair [offset, rate] such as [\"0.5s\", 38_500]",
        );
        return None;
    };
    let (rates, times) = (0.0..=RATE_MAX, Duration::ZERO..=TIME_MAX);
    let rated = number_of(rate.get_ref()).filter(|rate| rates.contains(rate));
    let timed = duration_of(at.get_ref(), &times);
    if timed.is_none() {
        table.wrong_part(format!("{path}[0]"), at, found(at.get_ref()), durations(&times));
    }
    if rated.is_none() {
        table.wrong_part(format!("{path}[1]"), rate, found(rate.get_ref()), numbers(&rates));
    }
    timed.zip(rated)
}
