//! What a person sees while a rehearsal runs, always on standard error: a view that fills the terminal, or one plain line a
//! second where there is none.
//!
//! [`LiveState`] says what there is to see, `view` draws it (a pure function), `plain` makes a line of it, and [`Live`] owns
//! the terminal. There is no thread: whoever runs the rehearsal calls [`Live::update`] some four times a second.

mod state;
mod plain;
mod view;
mod panels;
mod terminal;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

pub use state::{EventLive, LiveState, SecondLive, ShardLive, Stage};
use terminal::Screen;

/// How often a plain line is written.
const PLAIN_EVERY: Duration = Duration::from_secs(1);
/// Notes that are kept to be shown again below the last view.
const NOTES_MAX: usize = 100;

/// The view of a running rehearsal. It gives the terminal back when it is dropped.
#[derive(Debug)]
pub struct Live {
    screen: Option<Screen>,
    plain_at: Instant,
    notes: VecDeque<String>,
    stop: bool,
}

impl Live {
    /// Takes the terminal, if standard error is one that can be drawn on and standard input one that keys come from.
    pub fn new() -> Self {
        let can_draw = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let terminal = can_draw && std::io::stderr().is_terminal() && std::io::stdin().is_terminal();
        // A terminal that cannot be taken gets lines.
        let screen = if terminal { Screen::take().ok() } else { None };
        Self { screen, plain_at: Instant::now(), notes: VecDeque::new(), stop: false }
    }

    /// Shows `state`: on a terminal now, otherwise as a line at most once a second. Looks for keys, too.
    pub fn update(&mut self, state: &LiveState) {
        match &mut self.screen {
            Some(screen) => match screen.show(state, self.notes.make_contiguous()) {
                Ok(stop) => self.stop |= stop,
                // The terminal is gone, or a panic elsewhere gave it back: lines from now on.
                Err(_) => self.leave(),
            },
            None if Instant::now() >= self.plain_at => {
                say(&plain::line(state));
                self.plain_at = Instant::now() + PLAIN_EVERY;
            }
            None => {}
        }
    }

    /// Tells something that stays: a line at once, or among the notes of the view and again below it at the end.
    pub fn note(&mut self, text: &str) {
        if self.screen.is_none() {
            return say(text);
        }
        if self.notes.len() == NOTES_MAX {
            self.notes.pop_front();
        }
        self.notes.push_back(text.to_owned());
    }

    /// Whether somebody asked the run to stop (q, Esc or Ctrl-C in the view). Without a terminal, that is what signals are
    /// for.
    pub fn stop_requested(&self) -> bool {
        self.stop
    }

    /// Gives the terminal back and repeats the notes. Later updates are plain lines.
    pub fn leave(&mut self) {
        if self.screen.take().is_some() {
            self.notes.drain(..).for_each(|note| say(&note));
        }
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A line on standard error. Whoever closed it does not want to read it.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
