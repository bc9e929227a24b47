//! One number of both runs, and which of them is better.

use serde::Serialize;

use super::super::figures;

/// Ratios closer to 1 than this are noise: two runs of the same thing differ by more.
const SAME_RATIO: f64 = 0.02;
/// Shares closer to each other than this are the same.
const SAME_SHARE: f64 = 0.000_1;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Things.
    Count,
    /// Things a second.
    PerSecond,
    /// A part of 1.
    Share,
    /// Microseconds.
    Micros,
    /// A multiple of something.
    Times,
}

/// Which is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Better {
    /// The higher.
    Higher,
    /// The lower.
    Lower,
    /// Neither: it is a fact, no merit.
    Neither,
}

/// A number of both runs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// What it is.
    pub(crate) name: String,
    /// What it counts.
    pub(crate) unit: Unit,
    /// Which is better.
    pub(crate) better: Better,
    /// Of the first run; none where it has none.
    pub(crate) a: Option<f64>,
    /// Of the second.
    pub(crate) b: Option<f64>,
    /// The second divided by the first; none where that says nothing.
    pub(crate) ratio: Option<f64>,
    /// Which is better and by how much, in words.
    pub(crate) words: String,
}

impl Figure {
    /// Compares two numbers.
    pub(crate) fn new(name: &str, unit: Unit, better: Better, a: Option<f64>, b: Option<f64>) -> Self {
        let ratio = a.zip(b).filter(|(a, _)| *a > 0.0).map(|(a, b)| b / a).filter(|r| r.is_finite());
        let mut figure = Self { name: name.to_owned(), unit, better, a, b, ratio, words: String::new() };
        figure.words = figure.say();
        figure
    }

    /// A number of it as text.
    pub(crate) fn value(&self, value: Option<f64>) -> String {
        let Some(value) = value else { return "–".to_owned() };
        match self.unit {
            Unit::Count => figures::number(value),
            Unit::PerSecond => format!("{}/s", figures::number(value)),
            Unit::Share => figures::share(value),
            Unit::Micros => figures::measured(value.max(0.0).round() as u64),
            Unit::Times => format!("{} ×", figures::number(value)),
        }
    }

    /// The ratio as text.
    pub(crate) fn ratio_text(&self) -> String {
        self.ratio.map_or("–".to_owned(), |r| if r >= 100.0 { figures::number(r) } else { format!("{r:.2}") })
    }

    /// Whether both runs have it.
    pub(crate) fn ratio_known(&self) -> bool {
        self.a.is_some() && self.b.is_some()
    }

    /// Whether the second is better; none when they are the same, or when neither is better.
    pub(crate) fn b_is_better(&self) -> Option<bool> {
        let (a, b) = self.a.zip(self.b)?;
        if self.same(a, b) {
            return None;
        }
        match self.better {
            Better::Higher => Some(b > a),
            Better::Lower => Some(b < a),
            Better::Neither => None,
        }
    }

    fn same(&self, a: f64, b: f64) -> bool {
        match self.unit {
            Unit::Share => (a - b).abs() < SAME_SHARE,
            _ => a == b || self.ratio.is_some_and(|r| (r - 1.0).abs() < SAME_RATIO),
        }
    }

    fn say(&self) -> String {
        let (a, b) = match (self.a, self.b) {
            (None, None) => return "–".to_owned(),
            (Some(_), None) => return "only A has it".to_owned(),
            (None, Some(_)) => return "only B has it".to_owned(),
            (Some(a), Some(b)) => (a, b),
        };
        if a == b {
            return "the same".to_owned();
        }
        if self.same(a, b) {
            return "about the same".to_owned();
        }
        let much = self.how_much(a, b);
        match self.b_is_better() {
            Some(true) => format!("B is better: {much}"),
            Some(false) => format!("B is worse: {much}"),
            None => format!("B has {much}"),
        }
    }

    fn how_much(&self, a: f64, b: f64) -> String {
        if self.unit == Unit::Share {
            let points = figures::number(((b - a).abs() * 1e4).round() / 100.0);
            return format!("{points} points {}", if b > a { "more" } else { "less" });
        }
        match self.ratio {
            None => "some against none".to_owned(),
            Some(0.0) => "none against some".to_owned(),
            Some(r) if r >= 2.0 => format!("{} times as much", figures::number(r)),
            Some(r) if r > 1.0 => format!("{:.0} % more", (r - 1.0) * 100.0),
            Some(r) => format!("{} % less", figures::number(((1.0 - r) * 1000.0).round() / 10.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_say_which_is_better_and_by_how_much() {
        let check = |unit: Unit, better: Better, a: Option<f64>, b: Option<f64>, words: &str| {
            let figure = Figure::new("x", unit, better, a, b);
            assert_eq!(figure.words, words, "{a:?} {b:?}");
        };
        let (count, share, us) = (Unit::Count, Unit::Share, Unit::Micros);
        check(us, Better::Lower, Some(100.0), Some(77.0), "B is better: 23 % less");
        check(us, Better::Lower, Some(100.0), Some(135.0), "B is worse: 35 % more");
        check(us, Better::Lower, Some(100.0), Some(320.0), "B is worse: 3.2 times as much");
        check(us, Better::Lower, Some(100.0), Some(101.0), "about the same");
        check(us, Better::Lower, Some(100.0), Some(100.0), "the same");
        check(count, Better::Higher, Some(100.0), Some(200.0), "B is better: 2 times as much");
        check(count, Better::Lower, Some(0.0), Some(3.0), "B is worse: some against none");
        check(count, Better::Lower, Some(3.0), Some(0.0), "B is better: none against some");
        check(count, Better::Lower, Some(0.0), Some(0.0), "the same");
        check(count, Better::Neither, Some(10.0), Some(20.0), "B has 2 times as much");
        check(share, Better::Higher, Some(0.991), Some(0.999), "B is better: 0.8 points more");
        check(share, Better::Higher, Some(0.999), Some(0.998_99), "about the same");
        check(us, Better::Lower, None, Some(1.0), "only B has it");
        check(us, Better::Lower, Some(1.0), None, "only A has it");
        check(us, Better::Lower, None, None, "–");
    }
}
