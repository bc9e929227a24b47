//! Names beside the lines that they belong to, without one over another.

use super::super::markup::{Markup, Px};
use super::frame::Frame;
use super::{Key, sample};

/// Height of a line of text, px.
const LINE: f64 = 15.0;

/// Writes each key to the right of the plot, as near to its place (px) as the others allow.
pub(crate) fn beside(m: &mut Markup, frame: &Frame, keys: &[(Key, f64)]) {
    if frame.size.narrow {
        return;
    }
    let wanted: Vec<f64> = keys.iter().map(|(_, y)| *y).collect();
    let places = spread(&wanted, LINE, frame.top + 4.0, frame.bottom() - 2.0);
    let x = frame.right() + 10.0;
    for ((key, _), y) in keys.iter().zip(places) {
        sample(m, key, x, y);
        m.leaf("text", &[("x", &Px(x + 26.0)), ("y", &Px(y + 4.0)), ("class", &"name")], &key.name);
    }
}

/// Places as near to the wanted ones as can be, at least `gap` apart and between `low` and `high`, in the same order from
/// top to bottom. When there is not enough room for all, they are as far apart as the room allows.
pub(crate) fn spread(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]).then(a.cmp(b)));
    let room = (high - low).max(0.0);
    let gap = if wanted.len() > 1 { gap.min(room / (wanted.len() - 1) as f64) } else { gap };
    // Clusters of places that push each other: (sum of where their first would like to be, members). A cluster stands where
    // that is on average, and swallows the one above when it would touch it.
    let mut clusters: Vec<(f64, usize)> = Vec::new();
    for index in &order {
        let mut cluster = (wanted[*index].clamp(low, high), 1usize);
        while let Some((sum, members)) = clusters.last().copied() {
            let (above, here) = (sum / members as f64, cluster.0 / cluster.1 as f64);
            if above + members as f64 * gap <= here {
                break;
            }
            clusters.pop();
            cluster = (sum + cluster.0 - cluster.1 as f64 * members as f64 * gap, members + cluster.1);
        }
        clusters.push(cluster);
    }
    let mut places = vec![0.0; wanted.len()];
    let mut next = order.iter();
    let mut least = low;
    let mut behind = wanted.len();
    for (sum, members) in clusters {
        behind -= members;
        let latest = high - (members + behind).saturating_sub(1) as f64 * gap;
        let first = (sum / members as f64).min(latest).max(least);
        for (i, index) in next.by_ref().take(members).enumerate() {
            places[*index] = first + i as f64 * gap;
        }
        least = first + members as f64 * gap;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_near_their_lines_and_apart_from_each_other() {
        let check = |wanted: &[f64], places: &[f64]| {
            let found = spread(wanted, 10.0, 0.0, 100.0);
            let near = found.len() == places.len() && found.iter().zip(places).all(|(a, b)| (a - b).abs() < 1e-9);
            assert!(near, "{wanted:?}: {found:?}");
        };
        check(&[], &[]);
        check(&[50.0], &[50.0]);
        check(&[20.0, 80.0], &[20.0, 80.0]);
        check(&[50.0, 50.0], &[45.0, 55.0]);
        check(&[52.0, 50.0], &[56.0, 46.0]);
        check(&[100.0, 100.0, 100.0], &[80.0, 90.0, 100.0]);
        check(&[0.0, 1.0, 2.0], &[0.0, 10.0, 20.0]);
        check(&[40.0, 48.0, 56.0, 90.0], &[38.0, 48.0, 58.0, 90.0]);
        check(&[-50.0, 500.0], &[0.0, 100.0]);
        let many = spread(&[50.0; 21], 10.0, 0.0, 100.0);
        assert!(many.windows(2).all(|w| (w[1] - w[0] - 5.0).abs() < 1e-9) && many[0].abs() < 1e-9, "{many:?}");
    }
}
