//! A run of any length in as many points as a chart has columns. A rate is averaged over the seconds of a column, a latency
//! is that of its worst second: a short spike of latency must not vanish from a chart of a day.

/// How the seconds of a column become one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fold {
    /// The mean of those that have one: rates.
    Mean,
    /// The highest: latencies, queues.
    Max,
}

/// How many seconds make a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    /// Seconds of the run.
    pub(crate) seconds: usize,
    /// Seconds in a column, at least 1; the last may have fewer.
    pub(crate) each: usize,
}

impl Columns {
    /// As many columns as there are seconds, but at most `most`.
    pub(crate) fn new(seconds: usize, most: usize) -> Self {
        Self { seconds, each: seconds.div_ceil(most.max(1)).max(1) }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.seconds.div_ceil(self.each)
    }

    /// First second of a column and the one behind its last.
    pub(crate) fn range(&self, column: usize) -> (usize, usize) {
        let from = column.saturating_mul(self.each);
        (from, from.saturating_add(self.each).min(self.seconds))
    }

    /// The middle of a column, s.
    pub(crate) fn middle(&self, column: usize) -> f64 {
        let (from, to) = self.range(column);
        (from + to) as f64 / 2.0
    }

    /// One value a column, from one a second; none where no second of it has one.
    pub(crate) fn fold(&self, values: &[Option<f64>], how: Fold) -> Vec<Option<f64>> {
        (0..self.len()).map(|column| self.one(values, how, column)).collect()
    }

    fn one(&self, values: &[Option<f64>], how: Fold, column: usize) -> Option<f64> {
        let (from, to) = self.range(column);
        let there = values.get(from..to.min(values.len()))?.iter().flatten().copied();
        match how {
            Fold::Max => there.reduce(f64::max),
            Fold::Mean => {
                let (sum, count) = there.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
                (count > 0).then(|| sum / f64::from(count))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_keep_the_worst_latency_and_the_mean_rate() {
        let values = [Some(1.0), Some(9.0), None, Some(2.0), None, None, Some(4.0)];
        let check = |most: usize, how: Fold, expected: &[Option<f64>]| {
            let columns = Columns::new(values.len(), most);
            assert_eq!(columns.fold(&values, how), expected, "{most} {how:?}");
            assert!(columns.len() <= most);
        };
        check(7, Fold::Mean, &values);
        check(100, Fold::Max, &values);
        check(4, Fold::Max, &[Some(9.0), Some(2.0), None, Some(4.0)]);
        check(4, Fold::Mean, &[Some(5.0), Some(2.0), None, Some(4.0)]);
        check(1, Fold::Max, &[Some(9.0)]);
        check(1, Fold::Mean, &[Some(4.0)]);
        assert_eq!(Columns::new(0, 10).fold(&[], Fold::Max), []);
        assert_eq!(Columns::new(7, 4).middle(3), 6.5);
        assert_eq!(Columns::new(7, 4).range(3), (6, 7));
    }
}
