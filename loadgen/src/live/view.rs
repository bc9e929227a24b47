//! The view: a pure function from what there is to see to a frame.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::panels;
use super::plain;
use super::state::{LiveState, Stage, spell_clock};

/// Below this, there is room for words only.
const WIDTH_MIN: u16 = 60;
const HEIGHT_MIN: u16 = 16;
/// Columns of the panel with the figures.
const FIGURES_WIDTH: u16 = 36;

/// Names and lines that are not what is looked for.
pub(super) const QUIET: Style = Style::new().fg(Color::DarkGray);
/// What the cluster did.
pub(super) const GOOD: Style = Style::new().fg(Color::Green);
/// What deserves a look.
pub(super) const WARN: Style = Style::new().fg(Color::Yellow);
/// What is wrong.
pub(super) const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
/// Headings.
pub(super) const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws `state` over the whole frame, with the latest of `notes`. `stopping`: somebody has asked the run to stop.
pub(super) fn draw(frame: &mut Frame<'_>, state: &LiveState, notes: &[String], stopping: bool) {
    let area = frame.area();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        return draw_small(frame, state, notes);
    }
    // The charts get what is left over; the lower panels grow with the window, up to what there is to say in them.
    let lists = (area.height / 4).clamp(5, 14);
    let [head, bar, charts, lists, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Min(8),
        Constraint::Length(lists),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_head(frame, head, state);
    draw_bar(frame, bar, state);
    let [left, right] = Layout::horizontal([Constraint::Min(20), Constraint::Length(FIGURES_WIDTH)]).areas(charts);
    let [rates, latencies] = Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(left);
    panels::rates(frame, rates, state);
    panels::latencies(frame, latencies, state);
    panels::figures(frame, right, state);
    let [codes, shards, events] =
        Layout::horizontal([Constraint::Fill(4), Constraint::Fill(4), Constraint::Fill(5)]).spacing(1).areas(lists);
    panels::codes(frame, codes, state);
    panels::shards(frame, shards, state);
    panels::events(frame, events, state, notes);
    draw_foot(frame, foot, state, stopping);
}

/// Words only: what fits.
fn draw_small(frame: &mut Frame<'_>, state: &LiveState, notes: &[String]) {
    let text = format!("{}\n{}", plain::line(state), notes.last().map_or("", String::as_str));
    let words = Paragraph::new(text).wrap(ratatui::widgets::Wrap { trim: true });
    frame.render_widget(words, frame.area());
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, state: &LiveState) {
    let clock = format!("{} of {}", spell_clock(state.elapsed), spell_clock(state.planned_seconds));
    let right = match state.stage {
        Stage::Preparing => state.doing(),
        Stage::Sending | Stage::Settling => format!("{} · {clock}", state.doing()),
        Stage::Proving => state.doing(),
    };
    let left = Line::from(vec![
        Span::styled("crest", QUIET),
        Span::raw(" "),
        Span::styled(state.title.clone(), STRONG),
        Span::styled(format!("  {}", state.cluster), QUIET),
    ]);
    let width = (right.chars().count() as u16).min(area.width);
    let [left_area, right_area] = Layout::horizontal([Constraint::Min(0), Constraint::Length(width)]).areas(area);
    frame.render_widget(left, left_area);
    frame.render_widget(Line::styled(right, STRONG), right_area);
}

/// How far the run is, with a mark below for every event.
fn draw_bar(frame: &mut Frame<'_>, area: Rect, state: &LiveState) {
    let width = f64::from(area.width);
    let column = |at: f64| match state.planned_seconds > 0.0 {
        true => ((at / state.planned_seconds).clamp(0.0, 1.0) * width).min(width - 1.0) as u16,
        false => 0,
    };
    let done = if state.elapsed >= state.planned_seconds { area.width } else { column(state.elapsed) };
    let bar = Line::from(vec![
        Span::styled("━".repeat(usize::from(done)), GOOD),
        Span::styled("─".repeat(usize::from(area.width - done)), QUIET),
    ]);
    let [upper, lower] = Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(area);
    frame.render_widget(bar, upper);
    for event in &state.events {
        let mark = Rect { x: lower.x + column(event.at), width: 1, ..lower };
        let style = if event.failed { BAD } else { WARN };
        frame.render_widget(Span::styled("▲", style), mark);
    }
}

fn draw_foot(frame: &mut Frame<'_>, area: Rect, state: &LiveState, stopping: bool) {
    let text = match (stopping, state.stage) {
        (true, _) => {
            Line::styled("stopping: what is in flight is waited for, then proved · Ctrl-C again: leave now", WARN)
        }
        (false, Stage::Preparing | Stage::Sending) => Line::styled("q  stop and prove what was sent", QUIET),
        (false, Stage::Settling | Stage::Proving) => Line::styled("q  stop", QUIET),
    };
    frame.render_widget(text, area);
}
