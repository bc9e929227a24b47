//! Charts, drawn by ourselves as SVG: vectors stay sharp on paper and on any screen, the style sheet themes them (dark, light,
//! paper) like the text around them, every column can say its values when a pointer rests on it, and the page needs no other
//! file and no script. A charting crate draws pixels, or brings a script, or its own idea of colours; none does all of that.
//!
//! Reading order: `scale` (values to places), `fold` (long runs), `frame` (the plot and its axes, phases, events), then the
//! charts: `time` (lines over time), `stack` (areas over time), `curve` (percentiles), `shards` (small multiples).

pub(crate) mod scale;
pub(crate) mod fold;
pub(crate) mod frame;
pub(crate) mod labels;
pub(crate) mod time;
pub(crate) mod stack;
pub(crate) mod curve;
pub(crate) mod shards;

use super::markup::{Markup, Px};

/// How large a chart is drawn. Each is drawn twice, because letters of a wide chart are too small to read when it shrinks to
/// a phone; the style sheet shows one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Size {
    /// Whole width, px.
    pub(crate) width: f64,
    /// Height of the plot, px.
    pub(crate) plot: f64,
    /// Room for the vertical axis, px.
    pub(crate) left: f64,
    /// Room for names beside the plot, px.
    pub(crate) right: f64,
    /// Whether it is the one for a phone.
    pub(crate) narrow: bool,
}

impl Size {
    /// For screens and paper.
    pub(crate) fn wide(plot: f64) -> Self {
        Self { width: 880.0, plot, left: 58.0, right: 132.0, narrow: false }
    }

    /// For phones.
    pub(crate) fn narrow(plot: f64) -> Self {
        Self { width: 364.0, plot: (plot * 0.9).round(), left: 46.0, right: 8.0, narrow: true }
    }

    /// Width of the plot, px.
    pub(crate) fn plot_width(&self) -> f64 {
        self.width - self.left - self.right
    }
}

/// A way to draw a line or an area, as the style sheet knows it, and the name that a reader gets for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    /// What is drawn.
    pub(crate) name: String,
    /// Its class in the style sheet.
    pub(crate) class: &'static str,
    /// What the sample beside the name shows.
    pub(crate) sample: Sample,
}

/// What a key's sample shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    /// A line.
    Line,
    /// A line with the area below it filled.
    Filled,
    /// Points without a line.
    Dots,
    /// An area.
    Area,
    /// A line across.
    Level,
}

/// A chart in both sizes, with what it says in words for those who can't see it.
pub(crate) fn both(m: &mut Markup, about: &str, plot: f64, draw: impl Fn(&mut Markup, Size) -> f64) {
    for size in [Size::wide(plot), Size::narrow(plot)] {
        let class = if size.narrow { "narrow" } else { "wide" };
        let mut inside = Markup::new();
        let height = draw(&mut inside, size);
        let view = format!("0 0 {} {}", Px(size.width), Px(height));
        m.nest("svg", &[("viewBox", &view), ("class", &class), ("role", &"img"), ("aria-label", &about)], |m| {
            m.add(&inside);
        });
    }
}

/// What the lines and areas of a chart mean. `always`: also where there is room for names beside the plot.
pub(crate) fn legend(m: &mut Markup, keys: &[Key], always: bool) {
    let class = if always { "legend" } else { "legend narrow" };
    m.nest("ul", &[("class", &class)], |m| {
        for key in keys {
            m.nest("li", &[], |m| {
                m.nest("svg", &[("viewBox", &"0 0 22 12"), ("class", &"key"), ("aria-hidden", &"true")], |m| {
                    sample(m, key, 0.0, 6.0);
                });
                m.text(&key.name);
            });
        }
    });
}

/// A sample of 20 px by 10 px, beginning at `x` and with its middle at `y`.
pub(crate) fn sample(m: &mut Markup, key: &Key, x: f64, y: f64) {
    let line = format!("M{} {}h20", Px(x), Px(y));
    match key.sample {
        Sample::Line => m.empty("path", &[("class", &format_args!("line {}", key.class)), ("d", &line)]),
        Sample::Level => m.empty("path", &[("class", &format_args!("line level {}", key.class)), ("d", &line)]),
        Sample::Filled => {
            let area = format!("M{} {}h20v5h-20z", Px(x), Px(y));
            m.empty("path", &[("class", &format_args!("fill {}", key.class)), ("d", &area)]);
            m.empty("path", &[("class", &format_args!("line {}", key.class)), ("d", &line)]);
        }
        Sample::Dots => {
            let dots = format!("M{} {}h0m7 0h0m7 0h0", Px(x + 3.0), Px(y));
            m.empty("path", &[("class", &format_args!("dots {}", key.class)), ("d", &dots)]);
        }
        Sample::Area => {
            let area = format!("M{} {}h20v10h-20z", Px(x), Px(y - 5.0));
            m.empty("path", &[("class", &format_args!("layer {}", key.class)), ("d", &area)]);
        }
    }
}

/// How wide a text of the charts' size is, px: about, for the fonts differ. Too much rather than too little.
pub(crate) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * 6.4
}
