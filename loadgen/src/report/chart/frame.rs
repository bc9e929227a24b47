//! The plot of a chart over time: its axes and grid, the phases behind it, the events above it.

use super::super::figures;
use super::super::markup::{Markup, Px};
use super::scale::{self, Scale};
use super::{Size, text_width};
use crate::record::{EventRecord, PhaseRecord, RunRecord};

/// Height of the row with the names of the phases, and of that with the numbers of the events, px.
const ROW: f64 = 20.0;

/// What happened while the lines were drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backdrop<'a> {
    /// The phases, shaded and named.
    pub(crate) phases: &'a [PhaseRecord],
    /// The events, numbered as in the table of events.
    pub(crate) events: &'a [EventRecord],
    /// How long the run was, s.
    pub(crate) seconds: f64,
}

impl<'a> Backdrop<'a> {
    /// That of a run.
    pub(crate) fn of(record: &'a RunRecord) -> Self {
        Self { phases: &record.phases, events: &record.events, seconds: run_seconds(record) }
    }

    /// The phase of an instant.
    pub(crate) fn phase(&self, second: f64) -> Option<&'a PhaseRecord> {
        self.phases.iter().find(|p| p.from <= second && second < p.to)
    }
}

/// How long charts of a run are, s: its phases, and its last answers.
pub(crate) fn run_seconds(record: &RunRecord) -> f64 {
    let planned = record.phases.iter().map(|p| p.to).filter(|s| s.is_finite()).fold(1.0, f64::max);
    planned.max(record.timeline.len() as f64)
}

/// Where things lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// How large it is.
    pub(crate) size: Size,
    /// The upper edge of the plot, px.
    pub(crate) top: f64,
    /// The axis of time, s.
    pub(crate) x: Scale,
}

impl Frame {
    /// The frame of a chart over time.
    pub(crate) fn new(size: Size, backdrop: &Backdrop<'_>) -> Self {
        let rows = usize::from(!backdrop.phases.is_empty()) + usize::from(!backdrop.events.is_empty());
        let x = Scale::linear(0.0, backdrop.seconds, size.left, size.width - size.right);
        Self { size, top: 6.0 + ROW * rows as f64, x }
    }

    /// The lower edge of the plot, px.
    pub(crate) fn bottom(&self) -> f64 {
        self.top + self.size.plot
    }

    /// The left edge of the plot, px.
    pub(crate) fn left(&self) -> f64 {
        self.size.left
    }

    /// The right edge of the plot, px.
    pub(crate) fn right(&self) -> f64 {
        self.size.width - self.size.right
    }

    /// The whole height of the chart, px.
    pub(crate) fn height(&self) -> f64 {
        self.bottom() + 24.0
    }

    /// The phases: those that do not count are hatched, a thin line begins each, its name stands above when it fits.
    pub(crate) fn phases(&self, m: &mut Markup, backdrop: &Backdrop<'_>) {
        for phase in backdrop.phases {
            let (from, to) = (self.x.at(phase.from), self.x.at(phase.to));
            let width = (to - from).max(0.0);
            let class = if phase.measured { "phase" } else { "phase unmeasured" };
            let (y, height) = (6.0, self.bottom() - 6.0);
            m.empty(
                "rect",
                &[("x", &Px(from)), ("y", &Px(y)), ("width", &Px(width)), ("height", &Px(height)), ("class", &class)],
            );
            m.empty(
                "path",
                &[("class", &"begin"), ("d", &format_args!("M{} {}V{}", Px(from), Px(y), Px(self.bottom())))],
            );
            if let Some(name) = fitting(&phase.name, width - 8.0) {
                m.leaf("text", &[("x", &Px(from + 5.0)), ("y", &Px(18.0)), ("class", &"phase-name")], &name);
            }
        }
    }

    /// The events: a line and a number each, the label beside it when there is room before the next one.
    pub(crate) fn events(&self, m: &mut Markup, backdrop: &Backdrop<'_>) {
        let y = self.top - ROW / 2.0 - 1.0;
        let places: Vec<f64> = backdrop.events.iter().map(|e| self.x.at(event_at(e))).collect();
        for (i, event) in backdrop.events.iter().enumerate() {
            let x = places[i];
            if let (Some(from), Some(until)) = (event.happened, event.until) {
                let (from, until) = (self.x.at(from), self.x.at(until));
                let width = Px((until - from).max(0.0));
                let (top, height) = (Px(self.top), Px(self.size.plot));
                m.empty(
                    "rect",
                    &[("x", &Px(from)), ("y", &top), ("width", &width), ("height", &height), ("class", &"lasting")],
                );
            }
            let class = if event.done { "event" } else { "event undone" };
            let line = format!("M{} {}V{}", Px(x), Px(y + 8.0), Px(self.bottom()));
            m.nest("g", &[("class", &class)], |m| {
                m.leaf("title", &[], &format!("{} at {}", event.label, figures::instant(event_at(event))));
                m.empty("path", &[("d", &line)]);
                m.empty("circle", &[("cx", &Px(x)), ("cy", &Px(y)), ("r", &"8")]);
                m.leaf("text", &[("x", &Px(x)), ("y", &Px(y + 3.8)), ("class", &"number")], &(i + 1).to_string());
            });
        }
        self.event_names(m, backdrop, &places, y);
    }

    /// The label of each event: after its number when there is room before the next one, before it when there is room there.
    fn event_names(&self, m: &mut Markup, backdrop: &Backdrop<'_>, places: &[f64], y: f64) {
        let mut taken = 0.0;
        for (i, event) in backdrop.events.iter().enumerate() {
            let (x, width) = (places[i], text_width(&event.label));
            let next = places.iter().copied().filter(|p| *p > x).fold(self.size.width + 10.0, f64::min);
            let (at, class) = if x + 12.0 + width <= next - 10.0 {
                taken = x + 12.0 + width;
                (x + 12.0, "event-name")
            } else if x - 12.0 - width >= taken + 6.0 {
                taken = x + 8.0;
                (x - 12.0, "event-name end")
            } else {
                taken = x + 8.0;
                continue;
            };
            m.leaf("text", &[("x", &Px(at)), ("y", &Px(y + 4.0)), ("class", &class)], &event.label);
        }
    }

    /// The axis of time.
    pub(crate) fn times(&self, m: &mut Markup, seconds: f64) {
        let most = if self.size.narrow { 4 } else { 8 };
        for s in scale::instants(seconds, most) {
            let x = self.x.at(s);
            m.empty("path", &[("class", &"tick"), ("d", &format_args!("M{} {}v4", Px(x), Px(self.bottom())))]);
            let (x, y) = (Px(x), Px(self.bottom() + 17.0));
            m.leaf("text", &[("x", &x), ("y", &y), ("class", &"axis middle")], &figures::instant(s));
        }
        self.floor(m);
    }

    /// The line on which everything stands.
    pub(crate) fn floor(&self, m: &mut Markup) {
        let d = format!("M{} {}H{}", Px(self.left()), Px(self.bottom()), Px(self.right()));
        m.empty("path", &[("class", &"floor"), ("d", &d)]);
    }

    /// The vertical axis: a line across and a text for each tick.
    pub(crate) fn grid(&self, m: &mut Markup, y: &Scale, ticks: &[f64], name: impl Fn(f64) -> String) {
        for tick in ticks {
            let at = y.at(*tick);
            let line = format!("M{} {}H{}", Px(self.left()), Px(at), Px(self.right()));
            m.empty("path", &[("class", &"grid"), ("d", &line)]);
            let (x, y) = (Px(self.left() - 8.0), Px(at + 4.0));
            m.leaf("text", &[("x", &x), ("y", &y), ("class", &"axis end")], &name(*tick));
        }
    }
}

/// When an event lies in a chart: when it happened, or when it was to.
pub(crate) fn event_at(event: &EventRecord) -> f64 {
    event.happened.unwrap_or(event.planned)
}

/// The text, or its beginning when that still says something, in so many px.
fn fitting(text: &str, width: f64) -> Option<String> {
    if text_width(text) <= width {
        return Some(text.to_owned());
    }
    let letters = (width / text_width("x")).floor() - 1.0;
    (letters >= 5.0).then(|| text.chars().take(letters as usize).chain(['…']).collect())
}
