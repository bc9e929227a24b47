//! What the points do when they do something.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Whether any point was told anything: what runs in a test's own process shall not pay for the others.
static ARMED: AtomicBool = AtomicBool::new(false);

pub(super) fn arm() -> fail::FailScenario<'static> {
    ARMED.store(std::env::var_os("FAILPOINTS").is_some_and(|told| !told.is_empty()), Ordering::Relaxed);
    fail::FailScenario::setup()
}

fn is_armed() -> bool {
    ARMED.load(Ordering::Relaxed)
}

pub(super) fn kinds<I: Iterator<Item = &'static str>>(kinds: impl FnOnce() -> I) -> BTreeSet<&'static str> {
    if is_armed() { kinds().collect() } else { BTreeSet::new() }
}

pub(super) fn pass_each(name: &str, kinds: &BTreeSet<&'static str>) {
    kinds.iter().for_each(|kind| pass(&format!("{name}::{kind}")));
}

/// What a point was told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Abort,
    Pause(Duration),
    Say,
    Error(i32),
    Value(u64),
}

/// Reads the words in the parentheses of `return(…)`.
fn parse(words: &str) -> Option<Told> {
    match words.split_once(' ') {
        None if words == "abort" => Some(Told::Abort),
        None if words == "say" => Some(Told::Say),
        None => words.parse().ok().map(Told::Value),
        Some(("pause", millis)) => millis.parse().ok().map(|ms| Told::Pause(Duration::from_millis(ms))),
        Some(("errno", number)) => number.parse().ok().map(Told::Error),
        Some(_) => None,
    }
}

/// What `name` was told, if anything; and what does not depend on the place is done.
fn told(name: &str) -> Option<Told> {
    if !is_armed() {
        return None;
    }
    let words: String = fail::eval(name, Option::unwrap_or_default)?;
    let Some(told) = parse(&words) else {
        eprintln!("failpoint {name}: cannot read 'return({words})'");
        std::process::exit(2);
    };
    if !matches!(told, Told::Value(_)) {
        eprintln!("failpoint {name}: {words}");
    }
    if told == Told::Abort {
        std::process::abort();
    }
    Some(told)
}

pub(super) fn pass(name: &str) {
    if let Some(Told::Pause(time)) = told(name) {
        std::thread::sleep(time);
    }
}

pub(super) async fn pass_async(name: &str) {
    if let Some(Told::Pause(time)) = told(name) {
        tokio::time::sleep(time).await;
    }
}

pub(super) fn fails(name: &str) -> io::Result<()> {
    match told(name) {
        Some(Told::Error(number)) => Err(io::Error::from_raw_os_error(number)),
        Some(Told::Pause(time)) => {
            std::thread::sleep(time);
            Ok(())
        }
        _ => Ok(()),
    }
}

pub(super) fn value(name: &str) -> Option<u64> {
    match told(name) {
        Some(Told::Value(number)) => Some(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_an_action_are_read_and_others_are_not() {
        assert_eq!(parse("abort"), Some(Told::Abort));
        assert_eq!(parse("say"), Some(Told::Say));
        assert_eq!(parse("pause 3000"), Some(Told::Pause(Duration::from_secs(3))));
        assert_eq!(parse("errno 28"), Some(Told::Error(28)));
        assert_eq!(parse("1048576"), Some(Told::Value(1 << 20)));
        for words in ["", "die", "abort now", "pause", "pause long", "errno ENOSPC", "-1"] {
            assert_eq!(parse(words), None, "{words:?}");
        }
    }

    #[test]
    fn a_point_fails_as_often_as_it_was_told_and_others_do_not() {
        let _scenario = arm();
        ARMED.store(true, Ordering::Relaxed);
        let point = crate::Point::new("test::disk", "", &[]);
        fail::cfg(point.name, "1*off->2*return(errno 28)").expect("valid actions");
        let results: Vec<bool> = (0..4).map(|_| point.fails().is_ok()).collect();
        assert_eq!(results, [true, false, false, true]);
        assert!(crate::Point::new("test::other", "", &[]).fails().is_ok());
        fail::cfg(point.name, "return(7)").expect("valid actions");
        assert_eq!((point.value(), crate::Point::new("test::other", "", &[]).value()), (Some(7), None));
    }
}
