//! What a person sees while it runs, always on standard error: a bar on a terminal, otherwise a plain line every second.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a plain line is written.
const PLAIN_EVERY: Duration = Duration::from_secs(1);

/// One line about where the work stands.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    plain_at: Instant,
    quiet: bool,
}

impl Progress {
    /// For work of `bytes` bytes.
    pub fn of_bytes(bytes: u64) -> Self {
        Self::new(ProgressBar::new(bytes), "{bar:30} {percent:>3}% {msg}")
    }

    /// For work whose size is told later, with [`Progress::of`].
    pub fn of_parts() -> Self {
        Self::new(ProgressBar::new(0), "{bar:30} {percent:>3}% {msg}")
    }

    /// For work whose end is a time.
    pub fn of_time() -> Self {
        Self::new(ProgressBar::new_spinner(), "{spinner} {msg}")
    }

    /// Nothing is shown; notes are dropped.
    #[cfg(test)]
    pub(crate) fn quiet() -> Self {
        Self { bar: None, plain_at: Instant::now(), quiet: true }
    }

    fn new(bar: ProgressBar, template: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            // A template that does not parse is a mistake in this file; the default style still shows the work.
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, plain_at: Instant::now() + PLAIN_EVERY, quiet: false }
    }

    /// Shows `message` and how much is done; on anything but a terminal at most once a second.
    pub fn show(&mut self, done: u64, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(message());
        } else if !self.quiet && Instant::now() >= self.plain_at {
            eprintln!("{}", message());
            self.plain_at = Instant::now() + PLAIN_EVERY;
        }
    }

    /// Says how large the work is, as far as that is known by now.
    pub fn of(&self, parts: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(parts);
        }
    }

    /// Shows `message` now: the caller keeps the time.
    pub fn line(&mut self, message: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(message.to_owned());
                bar.tick();
            }
            None if !self.quiet => eprintln!("{message}"),
            None => {}
        }
    }

    /// Writes a line that stays.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None if !self.quiet => eprintln!("{text}"),
            None => {}
        }
    }

    /// Takes the line away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
