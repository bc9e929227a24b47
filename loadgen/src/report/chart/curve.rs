//! How long requests took, by percentile: the plot of HdrHistogram, whose horizontal axis is 1/(1 − p), so that each of
//! 90 %, 99 %, 99.9 % has as much room as the one before. Here the vertical axis is logarithmic as well, because latencies of
//! a run with a stall lie three powers of ten apart.

use super::super::figures;
use super::super::markup::{Markup, Px};
use super::frame::{Backdrop, Frame};
use super::scale::{Scale, micros_tick, percentile_name, percentiles};
use super::time::polyline;
use super::{Key, Size, both, labels, legend};
use crate::record::{Distribution, MarkLine};

/// Points nearer to each other than this are left out, px.
const NEAR: f64 = 0.8;

/// A distribution as a line.
#[derive(Debug)]
pub(crate) struct Curve<'a> {
    /// Its name and how it is drawn.
    pub(crate) key: Key,
    /// What is drawn.
    pub(crate) distribution: &'a Distribution,
}

/// A chart.
#[derive(Debug)]
pub(crate) struct Curves<'a> {
    /// What it shows, for those who can't see it.
    pub(crate) about: &'a str,
    /// The curves, the lowest first.
    pub(crate) curves: Vec<Curve<'a>>,
    /// What had to be reached.
    pub(crate) marks: Vec<MarkLine>,
    /// Height of the plot, px.
    pub(crate) height: f64,
}

impl Curves<'_> {
    /// Draws it, with its legend where there is no room for names beside the lines.
    pub(crate) fn draw(&self, m: &mut Markup) {
        both(m, self.about, self.height, |m, size| self.one(m, size));
        let keys: Vec<Key> = self.curves.iter().rev().map(|c| c.key.clone()).collect();
        legend(m, &keys, false);
    }

    fn one(&self, m: &mut Markup, size: Size) -> f64 {
        let mut frame = Frame::new(size, &Backdrop { phases: &[], events: &[], seconds: 1.0 });
        let points: Vec<Vec<(f64, f64)>> = self.curves.iter().map(|c| curve(c.distribution)).collect();
        let count = points.iter().flatten().map(|(x, _)| *x).fold(10.0, f64::max);
        frame.x = Scale::log(1.0, count, frame.left(), frame.right());
        let values = || points.iter().flatten().map(|(_, us)| *us).filter(|us| *us > 0.0);
        let limits = || self.marks.iter().map(|mark| mark.at_most_us as f64);
        let max = values().chain(limits()).fold(0.0, f64::max);
        let min = values().chain(limits()).fold(f64::INFINITY, f64::min);
        let (y, ticks) = Scale::magnitudes(min, max, frame.bottom(), frame.top + 6.0);
        frame.grid(m, &y, &ticks, micros_tick);
        self.axis(m, &frame, count);
        let mut ends = Vec::new();
        for (curve, points) in self.curves.iter().zip(&points) {
            let places: Vec<(f64, f64)> = points.iter().map(|(x, us)| (frame.x.at(*x), y.at(*us))).collect();
            let d = polyline(&apart(&places));
            m.empty("path", &[("class", &format_args!("line {}", curve.key.class)), ("d", &d)]);
            ends.push((curve.key.clone(), places.last().map_or(frame.bottom(), |p| p.1)));
        }
        ends.reverse();
        labels::beside(m, &frame, &ends);
        self.limits(m, &frame, &y);
        frame.height()
    }

    fn axis(&self, m: &mut Markup, frame: &Frame, count: f64) {
        let mut last = f64::NEG_INFINITY;
        for p in percentiles(count) {
            let x = frame.x.at(1.0 / (1.0 - p));
            let line = format!("M{} {}V{}", Px(x), Px(frame.top), Px(frame.bottom()));
            m.empty("path", &[("class", &"grid"), ("d", &line)]);
            let name = percentile_name(p);
            if x - last >= super::text_width(&name) + 2.0 {
                let y = Px(frame.bottom() + 17.0);
                m.leaf("text", &[("x", &Px(x)), ("y", &y), ("class", &"axis middle")], &name);
                last = x;
            }
        }
        frame.floor(m);
    }

    /// What had to be reached: a corner that the curve must stay below and to the right of.
    fn limits(&self, m: &mut Markup, frame: &Frame, y: &Scale) {
        for mark in &self.marks {
            let right = frame.right();
            let x = if mark.quantile < 1.0 { frame.x.at(1.0 / (1.0 - mark.quantile)) } else { right };
            let at = y.at(mark.at_most_us as f64);
            m.empty("path", &[("class", &"limit"), ("d", &format_args!("M{} {}h-26m26 0v-12", Px(x), Px(at)))]);
            let which = if mark.quantile < 1.0 { percentile_name(mark.quantile) } else { "all".to_owned() };
            let limit = figures::micros(mark.at_most_us);
            let text = if frame.size.narrow { format!("≤ {limit}") } else { format!("{which} within {limit}") };
            let room = x - 4.0 - super::text_width(&text) >= frame.left();
            let (x, class) = if room { (x - 5.0, "level-name end") } else { (x + 6.0, "level-name") };
            m.leaf("text", &[("x", &Px(x)), ("y", &Px(at - 5.0)), ("class", &class)], &text);
        }
    }
}

/// The points of a distribution: (1/(1 − share of requests that took at most this long), µs). The slowest request lies at
/// the number of requests.
fn curve(distribution: &Distribution) -> Vec<(f64, f64)> {
    let total: f64 = distribution.buckets.iter().map(|(_, count)| *count as f64).sum();
    let mut points = Vec::with_capacity(distribution.buckets.len() + 1);
    let mut below = 0.0;
    for (us, count) in &distribution.buckets {
        if *count == 0 {
            continue;
        }
        if points.is_empty() {
            points.push((1.0, *us as f64));
        }
        below += *count as f64;
        let rest = total - below;
        points.push((if rest >= 1.0 { total / rest } else { total.max(1.0) }, *us as f64));
    }
    points
}

/// Without points that nobody can tell from the one before; the last stays.
fn apart(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for (i, point) in points.iter().enumerate() {
        let near = kept.last().is_some_and(|last| (point.0 - last.0).hypot(point.1 - last.1) < NEAR);
        if !near || i + 1 == points.len() {
            kept.push(*point);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_becomes_points_of_its_percentiles() {
        let distribution =
            Distribution { buckets: vec![(100, 50), (200, 40), (1_000, 9), (9_000, 1)], ..Default::default() };
        let points = curve(&distribution);
        let expected = [(1.0, 100.0), (2.0, 100.0), (10.0, 200.0), (100.0, 1_000.0), (100.0, 9_000.0)];
        let near = |(a, b): (&(f64, f64), &(f64, f64))| (a.0 - b.0).abs() < 1e-9 && (a.1 - b.1).abs() < 1e-9;
        assert!(points.len() == expected.len() && points.iter().zip(&expected).all(near), "{points:?}");
        assert_eq!(curve(&Distribution::default()), []);
    }

    #[test]
    fn a_curve_keeps_its_ends_however_many_points_it_has() {
        let many: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i) / 100.0, 0.0)).collect();
        let kept = apart(&many);
        assert!(kept.len() < 150 && kept.first() == many.first() && kept.last() == many.last(), "{}", kept.len());
    }
}
