//! How long customers felt an event: from the timeline, to the second.

use crate::record::{EventRecord, Second};

/// A second is good when at least this share of what was planned for it was answered as it should be: done within the
/// deadline, or refused with a reason.
pub(crate) const GOOD_SHARE: f64 = 0.9;
/// So many good seconds in a row end a disturbance.
pub(crate) const CALM_SECONDS: usize = 3;
/// A disturbance that begins later than this after an event is not laid to it, s.
pub(crate) const BLAME_SECONDS: usize = 10;

/// What an event did to the payments planned after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Recovery {
    /// It could not be done, or nothing was planned after it.
    NotSeen,
    /// No second was bad.
    Undisturbed,
    /// Payments planned so many seconds after it and later were answered in time again.
    After(f64),
    /// They were not before the plan ended.
    Never,
}

/// What `event` did.
pub(crate) fn of(event: &EventRecord, timeline: &[Second]) -> Recovery {
    of_instant(event.happened.unwrap_or(event.planned), event.done, timeline)
}

/// The same for what happened at `at`, s.
pub(crate) fn of_instant(at: f64, done: bool, timeline: &[Second]) -> Recovery {
    if !done || !at.is_finite() || at < 0.0 {
        return Recovery::NotSeen;
    }
    // Seconds for which nothing was planned say nothing: what follows the plan is only the last answers.
    let planned: Vec<&Second> = timeline.iter().skip(at as usize).filter(|s| s.planned > 0).collect();
    if planned.is_empty() {
        return Recovery::NotSeen;
    }
    let Some(first_bad) = planned.iter().take(BLAME_SECONDS).position(|s| !good(s)) else {
        return Recovery::Undisturbed;
    };
    let rest = &planned[first_bad..];
    let calm = (0..rest.len()).find(|i| {
        let row = &rest[*i..rest.len().min(i + CALM_SECONDS)];
        row.iter().all(|s| good(s))
    });
    calm.map_or(Recovery::Never, |i| Recovery::After((f64::from(rest[i].at) - at).max(0.0)))
}

fn good(second: &Second) -> bool {
    second.done_in_time.saturating_add(second.refused) as f64 >= GOOD_SHARE * second.planned as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_ends_with_three_good_seconds_in_a_row() {
        let check = |seconds: &str, at: f64, expected: Recovery| {
            let second = |(i, c): (usize, char)| Second {
                at: i as u32,
                planned: if c == '.' { 0 } else { 100 },
                done_in_time: if c == 'x' { 50 } else { 85 },
                refused: 5,
                ..Second::default()
            };
            let timeline: Vec<Second> = seconds.chars().enumerate().map(second).collect();
            let event = EventRecord {
                planned: at,
                happened: Some(at),
                until: None,
                label: String::new(),
                text: String::new(),
                done: true,
                load: false,
            };
            assert_eq!(of(&event, &timeline), expected, "{seconds} at {at}");
        };
        check("oooooooo", 2.0, Recovery::Undisturbed);
        check("ooxxxooo", 2.5, Recovery::After(2.5));
        check("ooxxoxxooo", 2.0, Recovery::After(5.0));
        check("oooxxxxx..", 2.0, Recovery::Never);
        check("oooxxooo..", 3.0, Recovery::After(2.0));
        check("oooxxo....", 3.0, Recovery::After(2.0));
        check("ooooooooooooooxx", 1.0, Recovery::Undisturbed);
        check("ooo", 7.0, Recovery::NotSeen);
        check("", 0.0, Recovery::NotSeen);
        check("ooo", -1.0, Recovery::NotSeen);
    }
}
