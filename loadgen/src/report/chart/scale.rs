//! From a value to a place on an axis, and the values that an axis names.

use super::super::figures;

/// How a value becomes a place: `from` lies at `low` and `to` at `high`, both in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    log: bool,
    from: f64,
    to: f64,
    low: f64,
    high: f64,
}

impl Scale {
    /// Even steps. An axis of no length becomes one of length 1, so that everything still has a place.
    pub(crate) fn linear(from: f64, to: f64, low: f64, high: f64) -> Self {
        let from = if from.is_finite() { from } else { 0.0 };
        let to = if to.is_finite() && to > from { to } else { from + 1.0 };
        Self { log: false, from, to, low, high }
    }

    /// Each step the same factor. What is not above 0 has no place on it, and lies at its beginning.
    pub(crate) fn log(from: f64, to: f64, low: f64, high: f64) -> Self {
        let from = if from.is_finite() && from > 0.0 { from } else { 1.0 };
        let to = if to.is_finite() && to > from { to } else { from * 10.0 };
        Self { log: true, from, to, low, high }
    }

    /// Even steps from 0 to the first round number at or above `max`, with at most `steps` ticks above 0.
    pub(crate) fn counts(max: f64, steps: usize, low: f64, high: f64) -> (Self, Vec<f64>) {
        let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        let step = round_step(max / steps.max(1) as f64);
        let ticks = (max / step - 1e-9).ceil().max(1.0);
        let values = (0..=(ticks as usize).min(steps + 1)).map(|i| i as f64 * step).collect();
        (Self::linear(0.0, ticks * step, low, high), values)
    }

    /// From a round number below `min` to one above `max`, with ticks at powers of ten, and at 2 and 5 times those where
    /// there is room. At most 9 decades: what is smaller lies at the beginning.
    pub(crate) fn magnitudes(min: f64, max: f64, low: f64, high: f64) -> (Self, Vec<f64>) {
        let max = if max.is_finite() && max > 0.0 { max } else { 10.0 };
        let min = if min.is_finite() && min > 0.0 { min.min(max) } else { max / 10.0 };
        let to = round_up(max);
        let from = round_down(min).max(to / 1e9).min(to / 10.0);
        let scale = Self::log(from, to, low, high);
        let few = (to / from).log10() < 2.6;
        let first = from.log10().floor() as i32;
        let all = (first..first + 11).flat_map(|exponent| {
            [1.0, 2.0, 5.0].into_iter().filter(move |m| few || *m == 1.0).map(move |m| m * 10f64.powi(exponent))
        });
        let ticks = all.filter(|v| *v >= from * 0.999 && *v <= to * 1.001).collect();
        (scale, ticks)
    }

    /// Where a value lies, within the axis.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let share = if self.log {
            if value > 0.0 { (value / self.from).ln() / (self.to / self.from).ln() } else { 0.0 }
        } else {
            (value - self.from) / (self.to - self.from)
        };
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        self.low + share * (self.high - self.low)
    }
}

/// Instants of a run of so many seconds that a clock would name, at most `most` of them and the start.
pub(crate) fn instants(seconds: f64, most: usize) -> Vec<f64> {
    const STEPS: [f64; 19] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 10_800.0,
        21_600.0, 43_200.0, 86_400.0, 604_800.0,
    ];
    let seconds = if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
    let fitting = STEPS.into_iter().find(|step| seconds / step <= most as f64);
    let step = fitting.unwrap_or_else(|| round_step(seconds / most.max(1) as f64));
    let last = (seconds / step + 1e-9).floor() as usize;
    (0..=last.min(most)).map(|i| i as f64 * step).collect()
}

/// Percentiles that an axis of 1/(1 − p) names, up to that of `count` values: 0.5, 0.75, 0.9, 0.99 and so on.
pub(crate) fn percentiles(count: f64) -> Vec<f64> {
    const ALL: [f64; 9] = [0.5, 0.75, 0.9, 0.99, 0.999, 0.999_9, 0.999_99, 0.999_999, 0.999_999_9];
    ALL.into_iter().filter(|p| 1.0 / (1.0 - p) <= count.max(10.0) * 1.000_001).collect()
}

/// A percentile as people call it: `50 %`, `99.9 %`.
pub(crate) fn percentile_name(quantile: f64) -> String {
    let text = format!("{:.6}", quantile * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Ticks of a latency, short: `1 ms`, `500 µs`, `2 s`.
pub(crate) fn micros_tick(us: f64) -> String {
    // Ticks are 1, 2 or 5 of a power of ten, below 10^19.
    figures::micros(us.round() as u64)
}

/// 1, 2 or 5 times a power of ten: the first at or above `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let rest = least / power;
    let digit = [1.0, 2.0, 5.0].into_iter().find(|d| rest <= d * (1.0 + 1e-9)).unwrap_or(10.0);
    let step = digit * power;
    if step.is_finite() && step > 0.0 { step } else { 1.0 }
}

fn round_up(value: f64) -> f64 {
    round_step(value)
}

fn round_down(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let rest = value / power;
    [5.0, 2.0, 1.0].into_iter().find(|d| rest >= d * (1.0 - 1e-9)).unwrap_or(1.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_of_counts_end_at_the_first_round_number_above_all_values() {
        let check = |max: f64, ticks: &[f64]| {
            let (scale, found) = Scale::counts(max, 5, 0.0, 100.0);
            assert_eq!(found.len(), ticks.len(), "{max}: {found:?}");
            assert!(found.iter().zip(ticks).all(|(a, b)| (a - b).abs() < 1e-9), "{max}: {found:?}");
            let last = found.last().copied().unwrap_or(0.0);
            assert!((scale.at(last) - 100.0).abs() < 1e-9 && last >= max, "{max}");
        };
        check(38_500.0, &[0.0, 10_000.0, 20_000.0, 30_000.0, 40_000.0]);
        check(40_000.0, &[0.0, 10_000.0, 20_000.0, 30_000.0, 40_000.0]);
        check(1.0, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        check(3.0, &[0.0, 1.0, 2.0, 3.0]);
        check(256_000.0, &[0.0, 100_000.0, 200_000.0, 300_000.0]);
        assert_eq!(Scale::counts(0.0, 5, 0.0, 1.0).1, Scale::counts(f64::NAN, 5, 0.0, 1.0).1);
    }

    #[test]
    fn axes_of_magnitudes_name_powers_of_ten_or_finer_ones_when_there_are_few() {
        let check = |min: f64, max: f64, names: &[&str]| {
            let (_, ticks) = Scale::magnitudes(min, max, 0.0, 1.0);
            assert_eq!(ticks.iter().map(|t| micros_tick(*t)).collect::<Vec<_>>(), names, "{min} to {max}");
        };
        check(740.0, 5_200_000.0, &["1 ms", "10 ms", "100 ms", "1 s", "10 s"]);
        check(1_200.0, 41_000.0, &["1 ms", "2 ms", "5 ms", "10 ms", "20 ms", "50 ms"]);
        check(100.0, 100.0, &["10 µs", "20 µs", "50 µs", "100 µs"]);
        check(0.0, 0.0, &["1 µs", "2 µs", "5 µs", "10 µs"]);
    }

    #[test]
    fn values_have_their_place_and_strange_ones_lie_at_the_edge() {
        let linear = Scale::linear(0.0, 10.0, 100.0, 0.0);
        let log = Scale::log(1.0, 10_000.0, 0.0, 100.0);
        let check = |scale: &Scale, value: f64, place: f64| assert!((scale.at(value) - place).abs() < 1e-9, "{value}");
        check(&linear, 0.0, 100.0);
        check(&linear, 2.5, 75.0);
        check(&linear, 11.0, 0.0);
        check(&log, 100.0, 50.0);
        check(&log, 0.0, 0.0);
        check(&log, f64::INFINITY, 0.0);
        check(&Scale::linear(3.0, 3.0, 0.0, 100.0), 3.5, 50.0);
    }

    #[test]
    fn instants_are_those_of_a_clock() {
        let check = |seconds: f64, most: usize, names: &[&str]| {
            let found: Vec<String> = instants(seconds, most).into_iter().map(figures::instant).collect();
            assert_eq!(found, names, "{seconds}");
        };
        check(0.0, 8, &["0:00"]);
        check(10.0, 5, &["0:00", "0:02", "0:04", "0:06", "0:08", "0:10"]);
        check(150.0, 6, &["0:00", "0:30", "1:00", "1:30", "2:00", "2:30"]);
        check(100_000.0, 5, &["0:00", "6:00:00", "12:00:00", "18:00:00", "24:00:00"]);
        assert!(instants(1e300, 8).len() <= 9);
        assert_eq!(instants(f64::NAN, 8), [0.0]);
    }

    #[test]
    fn percentiles_go_as_far_as_there_are_values() {
        let check = |count: f64, names: &[&str]| {
            let found: Vec<String> = percentiles(count).into_iter().map(percentile_name).collect();
            assert_eq!(found, names, "{count}");
        };
        check(1.0, &["50 %", "75 %", "90 %"]);
        check(1_000.0, &["50 %", "75 %", "90 %", "99 %", "99.9 %"]);
        check(2e6, &["50 %", "75 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %"]);
    }
}
