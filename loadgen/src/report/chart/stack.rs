//! Areas over time, one on another: what became of what was planned.

use super::super::figures;
use super::super::markup::{Markup, Px};
use super::fold::{Columns, Fold};
use super::frame::{Backdrop, Frame};
use super::scale::Scale;
use super::time::hover_column;
use super::{Key, Size, both, legend};

/// Columns of which each says its values when a pointer rests on it.
const HOVER_COLUMNS: usize = 160;

/// A layer.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    /// Its name and how it is drawn.
    pub(crate) key: Key,
    /// One value a second.
    pub(crate) values: Vec<f64>,
}

/// A chart.
#[derive(Debug)]
pub(crate) struct Stack<'a> {
    /// What it shows, for those who can't see it.
    pub(crate) about: &'a str,
    /// Phases and events.
    pub(crate) backdrop: Backdrop<'a>,
    /// The layers, the lowest first.
    pub(crate) layers: Vec<Layer>,
    /// Height of the plot, px.
    pub(crate) height: f64,
}

impl Stack<'_> {
    /// Draws it, with its legend.
    pub(crate) fn draw(&self, m: &mut Markup) {
        both(m, self.about, self.height, |m, size| self.one(m, size));
        let keys: Vec<Key> = self.layers.iter().map(|l| l.key.clone()).collect();
        legend(m, &keys, true);
    }

    fn folded(&self, columns: &Columns) -> Vec<Vec<f64>> {
        let fold = |layer: &Layer| {
            let values: Vec<Option<f64>> = layer.values.iter().copied().map(Some).collect();
            columns.fold(&values, Fold::Mean).into_iter().map(|v| v.unwrap_or(0.0)).collect()
        };
        self.layers.iter().map(fold).collect()
    }

    fn one(&self, m: &mut Markup, size: Size) -> f64 {
        let frame = Frame::new(size, &self.backdrop);
        let seconds = self.layers.iter().map(|l| l.values.len()).max().unwrap_or(0);
        let columns = Columns::new(seconds, size.plot_width().max(1.0) as usize / 2);
        let folded = self.folded(&columns);
        let tops = |column: usize| folded.iter().map(|layer| layer[column]).sum::<f64>();
        let max = (0..columns.len()).map(tops).fold(0.0, f64::max);
        let steps = if size.plot < 120.0 { 3 } else { 5 };
        let (y, ticks) = Scale::counts(max, steps, frame.bottom(), frame.top + 6.0);
        frame.phases(m, &self.backdrop);
        frame.grid(m, &y, &ticks, figures::number);
        let mut below = vec![0.0; columns.len()];
        for (layer, values) in self.layers.iter().zip(&folded) {
            let above: Vec<f64> = below.iter().zip(values).map(|(a, b)| a + b).collect();
            if values.iter().any(|v| *v > 0.0) {
                let d = area(&frame, &y, &columns, &below, &above);
                m.empty("path", &[("class", &format_args!("layer {}", layer.key.class)), ("d", &d)]);
            }
            below = above;
        }
        frame.events(m, &self.backdrop);
        frame.times(m, self.backdrop.seconds);
        if !size.narrow {
            self.hover(m, &frame, seconds);
        }
        frame.height()
    }

    fn hover(&self, m: &mut Markup, frame: &Frame, seconds: usize) {
        let columns = Columns::new(seconds, HOVER_COLUMNS);
        let folded = self.folded(&columns);
        m.nest("g", &[("class", &"hover")], |m| {
            for column in 0..columns.len() {
                let layers = self.layers.iter().zip(&folded).rev();
                let said = layers
                    .filter(|(_, values)| values[column] > 0.0)
                    .map(|(layer, values)| format!("{}  {}", layer.key.name, figures::number(values[column])));
                hover_column(m, frame, &self.backdrop, &columns, column, said);
            }
        });
    }
}

/// The area between two rows of steps, one step a column. Columns without anything in them are left out.
fn area(frame: &Frame, y: &Scale, columns: &Columns, below: &[f64], above: &[f64]) -> String {
    let mut d = String::new();
    let there: Vec<bool> = below.iter().zip(above).map(|(a, b)| b > a).collect();
    let mut column = 0;
    while column < columns.len() {
        if !there[column] {
            column += 1;
            continue;
        }
        let end = (column..columns.len()).find(|i| !there[*i]).unwrap_or(columns.len());
        let edges = |i: usize| {
            let (from, to) = columns.range(i);
            (frame.x.at(from as f64), frame.x.at(to as f64))
        };
        d.push_str(&format!("M{} {}", Px(edges(column).0), Px(y.at(above[column]))));
        for (i, value) in above.iter().enumerate().take(end).skip(column) {
            d.push_str(&format!("V{}H{}", Px(y.at(*value)), Px(edges(i).1)));
        }
        for (i, value) in below.iter().enumerate().take(end).skip(column).rev() {
            d.push_str(&format!("V{}H{}", Px(y.at(*value)), Px(edges(i).0)));
        }
        d.push('z');
        column = end;
    }
    d
}
