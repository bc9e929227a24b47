//! Histograms of latencies.

use hdrhistogram::Histogram;

use crate::record::{Distribution, Percentiles};

/// The longest latency that is told from longer ones: an hour, µs.
const MAX_US: u64 = 3_600_000_000;

/// Latencies of a whole run, kept to three digits.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    ///
    /// # Panics
    /// Never: its bounds are constants that hdrhistogram takes.
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, MAX_US, 3).expect("constant bounds of a histogram are valid"))
    }

    /// Adds one.
    pub(crate) fn record(&mut self, us: u64) {
        self.0.saturating_record(us);
    }

    /// The usual percentiles.
    pub(crate) fn percentiles(&self) -> Percentiles {
        percentiles(&self.0)
    }

    /// Everything.
    pub(crate) fn distribution(&self) -> Distribution {
        let buckets = self.0.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value()));
        Distribution { percentiles: self.percentiles(), mean: self.0.mean(), buckets: thin(buckets) }
    }
}

/// Buckets of a tenth of a percent's width are more than anybody sees: neighbours within 1 % become one.
fn thin(buckets: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut thinned: Vec<(u64, u64)> = Vec::new();
    let mut begins = 0;
    for (value, count) in buckets {
        match thinned.last_mut() {
            Some(last) if value as f64 <= begins as f64 * 1.01 => *last = (value, last.1 + count),
            _ => {
                begins = value;
                thinned.push((value, count));
            }
        }
    }
    thinned
}

fn percentiles<C: hdrhistogram::Counter>(histogram: &Histogram<C>) -> Percentiles {
    if histogram.is_empty() {
        return Percentiles::default();
    }
    let at = |quantile| histogram.value_at_quantile(quantile);
    Percentiles {
        count: histogram.len(),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p99_9: at(0.999),
        max: histogram.max(),
    }
}

/// Latencies of one second of a run, kept to two digits; packed when nothing more is expected, since a run may have a
/// hundred thousand seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct SecondLatencies {
    /// Still being filled.
    open: Option<Box<Histogram<u32>>>,
    /// Pairs of value and count; empty while it is open.
    packed: Vec<(u64, u32)>,
}

impl SecondLatencies {
    /// # Panics
    /// Never: its bounds are constants that hdrhistogram takes.
    fn unpacked(packed: &[(u64, u32)]) -> Box<Histogram<u32>> {
        let mut histogram = Histogram::new_with_bounds(1, MAX_US, 2).expect("constant bounds of a histogram are valid");
        packed.iter().for_each(|&(value, count)| histogram.saturating_record_n(value, count));
        Box::new(histogram)
    }

    /// Adds one.
    pub(crate) fn record(&mut self, us: u64) {
        let packed = &mut self.packed;
        let open = self.open.get_or_insert_with(|| Self::unpacked(&std::mem::take(packed)));
        open.saturating_record(us);
    }

    /// Takes little memory from now on.
    pub(crate) fn pack(&mut self) {
        if let Some(open) = self.open.take() {
            self.packed = open.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value())).collect();
        }
    }

    /// The usual percentiles.
    pub(crate) fn percentiles(&self) -> Percentiles {
        match &self.open {
            Some(open) => percentiles(open),
            None if self.packed.is_empty() => Percentiles::default(),
            None => percentiles(&Self::unpacked(&self.packed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_second_says_the_same_and_can_go_on() {
        let mut second = SecondLatencies::default();
        assert_eq!(second.percentiles(), Percentiles::default());
        (1..=1_000).for_each(|us| second.record(us * 10));
        let before = second.percentiles();
        second.pack();
        assert_eq!(second.percentiles(), before);
        second.record(5_000_000);
        let after = second.percentiles();
        assert_eq!((after.count, after.p50, after.max), (1_001, before.p50, second.percentiles().max));
        assert!(after.max >= 5_000_000);
    }

    #[test]
    fn buckets_are_thinned_without_losing_any_count() {
        let mut latencies = Latencies::new();
        (1..=100_000).for_each(|us| latencies.record(us));
        let distribution = latencies.distribution();
        assert_eq!(distribution.buckets.iter().map(|b| b.1).sum::<u64>(), 100_000);
        assert!(distribution.buckets.len() < 1_500, "{}", distribution.buckets.len());
        assert!(distribution.buckets.is_sorted());
    }
}
