//! Lines over time: rates, latencies, queues.

use super::super::figures;
use super::super::markup::{Markup, Px};
use super::fold::{Columns, Fold};
use super::frame::{Backdrop, Frame};
use super::scale::{self, Scale};
use super::{Key, Sample, Size, both, labels, legend};

/// Columns of which each says its values when a pointer rests on it.
const HOVER_COLUMNS: usize = 160;

/// A line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Its name and how it is drawn.
    pub(crate) key: Key,
    /// One value a second; none breaks the line.
    pub(crate) values: Vec<Option<f64>>,
    /// How the seconds of a column become one point.
    pub(crate) fold: Fold,
}

/// What the vertical axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Axis {
    /// From 0, in even steps.
    Counts,
    /// Microseconds, each step the same factor. What is 0 is not drawn.
    Micros,
}

impl Axis {
    /// A value of it in words.
    pub(crate) fn say(self, value: f64) -> String {
        match self {
            Self::Counts => figures::number(value),
            Self::Micros => figures::measured(value.max(0.0).round() as u64),
        }
    }

    fn tick(self, value: f64) -> String {
        match self {
            Self::Counts => figures::number(value),
            Self::Micros => scale::micros_tick(value),
        }
    }

    fn drawn(self, value: f64) -> bool {
        value.is_finite() && (self == Self::Counts || value > 0.0)
    }
}

/// A value that something is compared with: a line across.
#[derive(Clone, Debug)]
pub(crate) struct Level {
    /// What it is.
    pub(crate) name: String,
    /// Its class in the style sheet.
    pub(crate) class: &'static str,
    /// Its value.
    pub(crate) value: f64,
}

impl Level {
    fn key(&self) -> Key {
        Key { name: self.name.clone(), class: self.class, sample: Sample::Level }
    }
}

/// A chart.
#[derive(Debug)]
pub(crate) struct TimeChart<'a> {
    /// What it shows, for those who can't see it.
    pub(crate) about: &'a str,
    /// Phases and events.
    pub(crate) backdrop: Backdrop<'a>,
    /// The vertical axis.
    pub(crate) axis: Axis,
    /// The lines, the lowest of them first.
    pub(crate) lines: Vec<Line>,
    /// Lines across.
    pub(crate) levels: Vec<Level>,
    /// Height of the plot, px.
    pub(crate) height: f64,
}

impl TimeChart<'_> {
    /// Draws it, with its legend where there is no room for names beside the lines.
    pub(crate) fn draw(&self, m: &mut Markup) {
        both(m, self.about, self.height, |m, size| self.one(m, size));
        let lines = self.lines.iter().rev().map(|l| l.key.clone());
        let keys: Vec<Key> = lines.chain(self.levels.iter().map(Level::key)).collect();
        legend(m, &keys, false);
    }

    fn seconds(&self) -> usize {
        self.lines.iter().map(|l| l.values.len()).max().unwrap_or(0)
    }

    fn one(&self, m: &mut Markup, size: Size) -> f64 {
        let frame = Frame::new(size, &self.backdrop);
        let columns = Columns::new(self.seconds(), size.plot_width().max(1.0) as usize / 2);
        let folded: Vec<Vec<Option<f64>>> = self.lines.iter().map(|l| columns.fold(&l.values, l.fold)).collect();
        let (y, ticks) = self.vertical(&frame, &folded);
        frame.phases(m, &self.backdrop);
        frame.grid(m, &y, &ticks, |v| self.axis.tick(v));
        for (line, values) in self.lines.iter().zip(&folded) {
            self.line(m, &frame, &y, line, &columns, values);
        }
        self.across(m, &frame, &y);
        frame.events(m, &self.backdrop);
        frame.times(m, self.backdrop.seconds);
        let levels = self.levels.iter().map(|l| (l.key(), y.at(l.value)));
        let lines = self.lines.iter().zip(&folded).rev().map(|(line, values)| {
            let last = values.iter().rev().flatten().find(|v| self.axis.drawn(**v));
            (line.key.clone(), last.map_or(frame.bottom(), |v| y.at(*v)))
        });
        let ends: Vec<(Key, f64)> = lines.chain(levels).collect();
        labels::beside(m, &frame, &ends);
        if !size.narrow {
            self.hover(m, &frame);
        }
        frame.height()
    }

    fn vertical(&self, frame: &Frame, folded: &[Vec<Option<f64>>]) -> (Scale, Vec<f64>) {
        let levels = self.levels.iter().map(|l| l.value);
        let values = || folded.iter().flatten().flatten().copied().filter(|v| self.axis.drawn(*v));
        let max = values().chain(levels.clone()).fold(0.0, f64::max);
        match self.axis {
            Axis::Counts => {
                Scale::counts(max, if frame.size.plot < 120.0 { 3 } else { 5 }, frame.bottom(), frame.top + 6.0)
            }
            Axis::Micros => {
                let min = values().chain(levels).fold(f64::INFINITY, f64::min);
                Scale::magnitudes(min, max, frame.bottom(), frame.top + 6.0)
            }
        }
    }

    fn line(&self, m: &mut Markup, frame: &Frame, y: &Scale, line: &Line, columns: &Columns, values: &[Option<f64>]) {
        let class = line.key.class;
        let points: Vec<Option<(f64, f64)>> = values
            .iter()
            .enumerate()
            .map(|(i, v)| v.filter(|v| self.axis.drawn(*v)).map(|v| (frame.x.at(columns.middle(i)), y.at(v))))
            .collect();
        if line.key.sample == Sample::Dots {
            let d: String = points.iter().flatten().map(|(x, y)| format!("M{} {}h0", Px(*x), Px(*y))).collect();
            m.empty("path", &[("class", &format_args!("dots {class}")), ("d", &d)]);
            return;
        }
        let (mut stroke, mut area) = (String::new(), String::new());
        for run in points.split(Option::is_none) {
            let run: Vec<(f64, f64)> = run.iter().flatten().copied().collect();
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let path = polyline(&run);
            area.push_str(&format!("{path}L{} {}H{}z", Px(last.0), Px(frame.bottom()), Px(first.0)));
            stroke.push_str(&path);
        }
        if line.key.sample == Sample::Filled {
            m.empty("path", &[("class", &format_args!("fill {class}")), ("d", &area)]);
        }
        m.empty("path", &[("class", &format_args!("line {class}")), ("d", &stroke)]);
    }

    fn across(&self, m: &mut Markup, frame: &Frame, y: &Scale) {
        for level in &self.levels {
            let at = y.at(level.value);
            let d = format!("M{} {}H{}", Px(frame.left()), Px(at), Px(frame.right()));
            m.empty("path", &[("class", &format_args!("line level {}", level.class)), ("d", &d)]);
        }
    }

    fn hover(&self, m: &mut Markup, frame: &Frame) {
        let columns = Columns::new(self.seconds(), HOVER_COLUMNS);
        let folded: Vec<Vec<Option<f64>>> = self.lines.iter().map(|l| columns.fold(&l.values, l.fold)).collect();
        m.nest("g", &[("class", &"hover")], |m| {
            for column in 0..columns.len() {
                let lines = self.lines.iter().zip(&folded).rev();
                let said =
                    lines.filter_map(|(l, v)| v[column].map(|v| format!("{}  {}", l.key.name, self.axis.say(v))));
                hover_column(m, frame, &self.backdrop, &columns, column, said);
            }
        });
    }
}

/// A column that says its values when a pointer rests on it.
pub(crate) fn hover_column(
    m: &mut Markup,
    frame: &Frame,
    backdrop: &Backdrop<'_>,
    columns: &Columns,
    column: usize,
    said: impl Iterator<Item = String>,
) {
    let (from, to) = columns.range(column);
    let (left, right) = (frame.x.at(from as f64), frame.x.at(to as f64));
    let mut text = figures::instant(from as f64);
    if columns.each > 1 {
        text.push_str(&format!(" to {}", figures::instant(to as f64)));
    }
    if let Some(phase) = backdrop.phase(columns.middle(column)) {
        text.push_str(&format!(" · {}", phase.name));
    }
    for line in said {
        text.push('\n');
        text.push_str(&line);
    }
    let (top, height, width) = (Px(frame.top), Px(frame.size.plot), Px((right - left).max(0.5)));
    m.nest("rect", &[("x", &Px(left)), ("y", &top), ("width", &width), ("height", &height)], |m| {
        m.leaf("title", &[], &text);
    });
}

/// A path through points; one alone becomes a dot, because its line has round ends.
pub(crate) fn polyline(points: &[(f64, f64)]) -> String {
    let mut d = String::with_capacity(points.len() * 12);
    for (i, (x, y)) in points.iter().enumerate() {
        d.push_str(&format!("{}{} {}", if i == 0 { "M" } else { "L" }, Px(*x), Px(*y)));
    }
    if points.len() == 1 {
        d.push_str("h0");
    }
    d
}
