//! Taking the terminal, and giving it back whatever happens.

use std::io::{Stderr, stderr};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

use super::state::LiveState;
use super::view::draw;

/// Whether the terminal is taken: a panic hook has no other way to know.
static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// A terminal that is taken.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stderr>>,
    asked_to_stop: bool,
}

impl Screen {
    /// Takes the terminal: keys arrive at once and unseen, and what was on it comes back afterwards.
    ///
    /// # Errors
    /// When it can't be taken. It is then as it was.
    pub(super) fn take() -> std::io::Result<Self> {
        HOOK.call_once(|| {
            let told_by = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                // Before the panic is told, so that it is told on a screen that stays.
                give_back();
                told_by(panic);
            }));
        });
        TAKEN.store(true, Ordering::SeqCst);
        let taken = enable_raw_mode()
            .and_then(|()| execute!(stderr(), EnterAlternateScreen))
            .and_then(|()| Terminal::new(CrosstermBackend::new(stderr())));
        match taken {
            Ok(terminal) => Ok(Self { terminal, asked_to_stop: false }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Draws, and tells whether somebody asked to stop.
    ///
    /// # Errors
    /// When the terminal is gone, or was given back by a panic.
    pub(super) fn show(&mut self, state: &LiveState, notes: &[String]) -> std::io::Result<bool> {
        if !TAKEN.load(Ordering::SeqCst) {
            return Err(std::io::Error::other("a panic gave the terminal back"));
        }
        self.terminal.draw(|frame| draw(frame, state, notes, self.asked_to_stop))?;
        while event::poll(Duration::ZERO)? {
            if asks_to_stop(&event::read()?) {
                if self.asked_to_stop {
                    return Err(leave_at_once());
                }
                self.asked_to_stop = true;
            }
        }
        Ok(self.asked_to_stop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Who asks twice gets what Ctrl-C does anywhere else: the keys of a taken terminal make no signals by themselves.
fn leave_at_once() -> std::io::Error {
    give_back();
    let told = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT);
    told.err().map_or_else(|| std::io::Error::other("interrupted"), Into::into)
}

fn asks_to_stop(event: &Event) -> bool {
    match event {
        Event::Key(key) if key.kind == KeyEventKind::Press => match key.code {
            KeyCode::Char('q') | KeyCode::Esc => true,
            KeyCode::Char('c') => key.modifiers.contains(KeyModifiers::CONTROL),
            _ => false,
        },
        _ => false,
    }
}

/// Makes the terminal what it was. Does nothing when it is not taken.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // Each as far as it goes: a terminal that is gone needs nothing.
        let _ = execute!(stderr(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn some_keys_ask_to_stop_and_others_do_not() {
        let key = |code, modifiers| asks_to_stop(&Event::Key(KeyEvent::new(code, modifiers)));
        assert!(key(KeyCode::Char('q'), KeyModifiers::NONE));
        assert!(key(KeyCode::Esc, KeyModifiers::NONE));
        assert!(key(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(!key(KeyCode::Char('c'), KeyModifiers::NONE));
        assert!(!key(KeyCode::Char('x'), KeyModifiers::CONTROL));
        assert!(!asks_to_stop(&Event::Resize(80, 24)));
    }
}
