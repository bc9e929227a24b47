//! The load of each shard in a small chart of its own, all to one scale: lines of evenly loaded shards would lie one on
//! another. Behind each is the mean of all, so that a shard that has more than its part stands out.

use super::super::figures;
use super::super::markup::{Markup, Px};
use super::fold::{Columns, Fold};
use super::scale::{self, Scale};
use super::time::polyline;
use crate::record::ShardRecord;

/// Charts are drawn for so many shards at most; the busiest, when there are more.
pub(crate) const SHARDS_DRAWN: usize = 16;

const WIDTH: f64 = 200.0;
const HEIGHT: f64 = 104.0;
const PLOT_TOP: f64 = 26.0;
const PLOT_BOTTOM: f64 = 86.0;
const LEFT: f64 = 2.0;
const RIGHT: f64 = 198.0;

/// Draws the shards, in their order.
pub(crate) fn multiples(m: &mut Markup, shards: &[&ShardRecord], mean: &[Option<f64>], seconds: f64) {
    let length = shards.iter().map(|s| s.transfers_per_second.len()).max().unwrap_or(0);
    let columns = Columns::new(length, (RIGHT - LEFT) as usize / 2);
    let mean = columns.fold(mean, Fold::Mean);
    let folded: Vec<Vec<Option<f64>>> =
        shards.iter().map(|s| columns.fold(&s.transfers_per_second, Fold::Mean)).collect();
    let max = folded.iter().flatten().flatten().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
    let (y, _) = Scale::counts(max, 4, PLOT_BOTTOM, PLOT_TOP);
    let x = Scale::linear(0.0, seconds, LEFT, RIGHT);
    m.nest("div", &[("class", &"multiples")], |m| {
        for (shard, values) in shards.iter().zip(&folded) {
            one(m, shard, values, &mean, &columns, (&x, &y), seconds);
        }
    });
}

/// The mean over all shards that said something, second by second.
pub(crate) fn mean(shards: &[ShardRecord]) -> Vec<Option<f64>> {
    let length = shards.iter().map(|s| s.transfers_per_second.len()).max().unwrap_or(0);
    let at = |second: usize| {
        let said: Vec<f64> =
            shards.iter().filter_map(|s| s.transfers_per_second.get(second).copied().flatten()).collect();
        (!said.is_empty()).then(|| said.iter().sum::<f64>() / said.len() as f64)
    };
    (0..length).map(at).collect()
}

fn one(
    m: &mut Markup,
    shard: &ShardRecord,
    values: &[Option<f64>],
    mean: &[Option<f64>],
    columns: &Columns,
    (x, y): (&Scale, &Scale),
    seconds: f64,
) {
    let peak = values.iter().flatten().copied().fold(0.0, f64::max);
    let about = format!("Shard {}: at most {} transfers a second", shard.shard, figures::number(peak));
    let view = format!("0 0 {WIDTH} {HEIGHT}");
    m.nest("svg", &[("viewBox", &view), ("role", &"img"), ("aria-label", &about)], |m| {
        m.leaf("title", &[], &about);
        m.leaf("text", &[("x", &Px(LEFT)), ("y", &"14"), ("class", &"name")], &format!("Shard {}", shard.shard));
        let most = format!("at most {}/s", figures::number(peak));
        m.leaf("text", &[("x", &Px(RIGHT)), ("y", &"14"), ("class", &"axis end")], &most);
        let area = paths(values, columns, x, y, true);
        m.empty("path", &[("class", &"fill s-shard"), ("d", &area)]);
        m.empty("path", &[("class", &"line s-mean"), ("d", &paths(mean, columns, x, y, false))]);
        m.empty("path", &[("class", &"line s-shard"), ("d", &paths(values, columns, x, y, false))]);
        let floor = format!("M{} {}H{}", Px(LEFT), Px(PLOT_BOTTOM), Px(RIGHT));
        m.empty("path", &[("class", &"floor"), ("d", &floor)]);
        let last = scale::instants(seconds, 4).pop().unwrap_or(0.0);
        for (at, class) in [(0.0, "axis"), (last, "axis middle")] {
            let place = x.at(at).clamp(LEFT, RIGHT - 14.0);
            m.leaf("text", &[("x", &Px(place)), ("y", &Px(HEIGHT - 3.0)), ("class", &class)], &figures::instant(at));
        }
    });
}

/// The line through the values, broken where there are none; as an area down to the floor when it is to be `filled`.
fn paths(values: &[Option<f64>], columns: &Columns, x: &Scale, y: &Scale, filled: bool) -> String {
    let place = |(i, v): (usize, &Option<f64>)| v.map(|v| (x.at(columns.middle(i)), y.at(v)));
    let points: Vec<Option<(f64, f64)>> = values.iter().enumerate().map(place).collect();
    let mut d = String::new();
    for run in points.split(Option::is_none) {
        let run: Vec<(f64, f64)> = run.iter().flatten().copied().collect();
        d.push_str(&polyline(&run));
        if let (true, Some(first), Some(last)) = (filled, run.first(), run.last()) {
            d.push_str(&format!("L{} {}H{}z", Px(last.0), Px(PLOT_BOTTOM), Px(first.0)));
        }
    }
    d
}
