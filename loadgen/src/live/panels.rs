//! The panels of the view.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Borders, Chart, Dataset, GraphType, Paragraph};

use super::state::{LiveState, SecondLive, ShardLive, Stage, spell_clock, spell_latency, spell_whole};
use super::view::{BAD, GOOD, QUIET, STRONG, WARN};

/// Seconds that a chart shows at the least, so that a run does not begin with two points a screen apart.
const CHART_SECONDS_MIN: usize = 30;
/// The eighths of a cell, from the left.
const EIGHTHS: [&str; 9] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"];

/// Planned and acknowledged rate of the last minutes.
pub(super) fn rates(frame: &mut Frame<'_>, area: Rect, state: &LiveState) {
    let planned = points(area, &state.history, |second| second.planned);
    let acknowledged = points(area, &state.history, |second| second.acknowledged);
    let title = Line::from(vec![
        Span::styled("rate/s: ", STRONG),
        Span::styled("planned", QUIET),
        Span::styled(" and ", STRONG),
        Span::styled("acknowledged ", GOOD),
    ]);
    chart(frame, area, title, &[(&planned, QUIET), (&acknowledged, GOOD)], spell_whole);
}

/// The 99th percentile of latency of the last minutes.
pub(super) fn latencies(frame: &mut Frame<'_>, area: Rect, state: &LiveState) {
    let p99 = points(area, &state.history, |second| second.p99_us as f64);
    let title = Line::styled("99th percentile of latency ", STRONG);
    chart(frame, area, title, &[(&p99, WARN)], |us| spell_latency(us as u64));
}

/// The latest seconds of `history` that fit, as points with the last one at 0.
fn points(area: Rect, history: &[SecondLive], value: impl Fn(&SecondLive) -> f64) -> Vec<(f64, f64)> {
    // A cell of braille has two columns of dots.
    let fit = usize::from(area.width) * 2;
    let shown = &history[history.len().saturating_sub(fit)..];
    let last = shown.len() as f64 - 1.0;
    shown.iter().enumerate().map(|(index, second)| (index as f64 - last, value(second))).collect()
}

/// Lines over time with their scale on the left.
fn chart(
    frame: &mut Frame<'_>,
    area: Rect,
    title: Line<'_>,
    lines: &[(&[(f64, f64)], Style)],
    spell: impl Fn(f64) -> String,
) {
    let highest = lines.iter().flat_map(|(points, _)| points.iter().map(|point| point.1)).fold(0.0, f64::max);
    let top = rounded_up(highest);
    let seconds = lines.iter().map(|(points, _)| points.len()).fold(CHART_SECONDS_MIN, usize::max);
    let dataset = |(points, style): &(&'_ [(f64, f64)], Style)| (points.to_vec(), *style);
    let lines: Vec<_> = lines.iter().map(dataset).collect();
    let datasets = lines.iter().map(|(points, style)| {
        Dataset::default().marker(Marker::Braille).graph_type(GraphType::Line).style(*style).data(points)
    });
    let labels = [String::from("0"), spell(top)];
    // The same width for every chart, so that they stand below each other by the second.
    let labels = labels.map(|label| Span::styled(format!("{label:>8}"), QUIET));
    let chart = Chart::new(datasets.collect())
        .block(Block::new().borders(Borders::TOP).border_style(QUIET).title(title))
        .legend_position(None)
        .x_axis(Axis::default().bounds([1.0 - seconds as f64, 0.0]))
        .y_axis(Axis::default().bounds([0.0, top]).labels(labels).style(QUIET));
    frame.render_widget(chart, area);
}

/// The next of 1, 2, 5 times a power of ten, so that the scale does not change with every second.
fn rounded_up(value: f64) -> f64 {
    let power = 10f64.powf(value.max(1.0).log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|step| step * power).find(|step| *step >= value).unwrap_or(10.0 * power)
}

/// The figures on the right.
pub(super) fn figures(frame: &mut Frame<'_>, area: Rect, state: &LiveState) {
    let row = |name: &str, one: String, two: String, style: Style| {
        let name = Span::styled(format!("{name:<14}"), QUIET);
        Line::from(vec![name, Span::styled(format!("{one:>10}"), style), Span::styled(format!("{two:>10}"), style)])
    };
    let rate = |name, rate: f64, style| row(name, spell_whole(rate), "/s".to_owned() + &" ".repeat(8), style);
    let plain = Style::new();
    let latency = |name, last: u64, whole: u64| row(name, spell_latency(last), spell_latency(whole), plain);
    let count = |name, count: u64, bad: Style| {
        let style = if count > 0 { bad } else { plain };
        row(name, String::new(), spell_whole(count as f64), style)
    };
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let full = state.in_flight >= state.in_flight_max && state.in_flight_max > 0;
    let late = if state.generator_is_late() { BAD } else { plain };
    let lines = vec![
        rate("planned", state.planned, plain),
        rate("acknowledged", state.acknowledged, GOOD),
        rate("in time", state.in_time, GOOD),
        row("latency", "last s".to_owned(), "run".to_owned(), QUIET),
        latency("  p50", state.last.p50, state.whole.p50),
        latency("  p90", state.last.p90, state.whole.p90),
        latency("  p99", state.last.p99, state.whole.p99),
        latency("  p99.9", state.last.p99_9, state.whole.p99_9),
        row(
            "in flight",
            spell_whole(state.in_flight as f64),
            format!("of {}", spell_whole(state.in_flight_max as f64)),
            if full { WARN } else { plain },
        ),
        count("errors", state.errors(), BAD),
        row("cross-shard", String::new(), state.cross_shard.map_or("?".to_owned(), percent), plain),
        row("left late", spell_latency(state.lag_p99_us), percent(state.late_share), late),
        // What a small window leaves out comes last.
        count("retries", state.retries, plain),
        count("not sent", state.not_sent, WARN),
        count("unknown", state.unknown, WARN),
        count("refused", state.refused, WARN),
        latency("longest", state.last.max, state.whole.max),
    ];
    let block =
        Block::new().borders(Borders::TOP | Borders::LEFT).border_style(QUIET).title(Span::styled(" now ", STRONG));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// Answers by code, the most frequent first.
pub(super) fn codes(frame: &mut Frame<'_>, area: Rect, state: &LiveState) {
    let mut codes: Vec<(&String, &u64)> = state.codes.iter().collect();
    codes.sort_by_key(|(code, count)| (std::cmp::Reverse(**count), *code));
    let width = usize::from(area.width);
    let line = |(code, count): (&String, &u64)| {
        let count = spell_whole(*count as f64);
        let room = width.saturating_sub(count.chars().count() + 1);
        let code: String = code.chars().take(room).collect();
        Line::from(vec![Span::styled(format!("{code:<room$} "), QUIET), Span::raw(count)])
    };
    list(frame, area, "answers", codes.into_iter().map(line).collect());
}

/// Load by shard as bars, those that do not answer named.
pub(super) fn shards(frame: &mut Frame<'_>, area: Rect, state: &LiveState) {
    let highest = state.shards.iter().filter_map(|shard| shard.per_second).fold(1.0, f64::max);
    let room = usize::from(area.width).saturating_sub(22);
    let line = |shard: &ShardLive| {
        let name = Span::styled(format!("{:>4} ", shard.shard), QUIET);
        let Some(rate) = shard.per_second else {
            return Line::from(vec![name, Span::styled("no answer", BAD)]);
        };
        let holds = shard.holds.map_or(String::new(), |holds| format!(" {}h", spell_whole(holds as f64)));
        let figures = Span::raw(format!(" {:>8}", spell_whole(rate)));
        Line::from(vec![name, Span::styled(bar(rate / highest, room), GOOD), figures, Span::styled(holds, QUIET)])
    };
    let lines = if state.shards.is_empty() {
        vec![Line::styled("not told by this cluster", QUIET)]
    } else {
        state.shards.iter().map(line).collect()
    };
    list(frame, area, "shards, transfers/s", lines);
}

/// A bar of at most `width` cells, to the eighth of a cell.
fn bar(share: f64, width: usize) -> String {
    let eighths = (share.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    let bar = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
    format!("{bar:<width$}")
}

/// The scenario's events and what was noted, the latest at the bottom.
pub(super) fn events(frame: &mut Frame<'_>, area: Rect, state: &LiveState, notes: &[String]) {
    let rows = usize::from(area.height.saturating_sub(1));
    let now = if state.stage == Stage::Preparing { -1.0 } else { state.elapsed };
    let event = |event: &super::EventLive| {
        let (mark, style) = match () {
            () if event.failed => ("failed", BAD),
            () if now < event.at => ("", QUIET),
            () if now < event.until => ("now", WARN),
            () => ("done", Style::new()),
        };
        Line::styled(format!("{:>5} {} {mark}", spell_clock(event.at), event.label), style)
    };
    // Half of the room for what was noted, if there is that much; events from the one before now on.
    let noted = notes.len().min(rows.saturating_sub(state.events.len()).max(rows / 2));
    let room = rows - noted.min(rows);
    let current = state.events.iter().take_while(|event| event.until <= now).count();
    let from = current.saturating_sub(1).min(state.events.len().saturating_sub(room));
    let mut lines: Vec<Line<'_>> = state.events[from..].iter().take(room).map(event).collect();
    lines.extend(notes[notes.len() - noted..].iter().map(|note| Line::raw(note.as_str())));
    list(frame, area, "events", lines);
}

/// Lines below a heading; the last one says how many more there are.
fn list(frame: &mut Frame<'_>, area: Rect, title: &str, mut lines: Vec<Line<'_>>) {
    let rows = usize::from(area.height.saturating_sub(1));
    if lines.len() > rows && rows > 0 {
        let more = lines.len() - rows + 1;
        lines.truncate(rows - 1);
        lines.push(Line::styled(format!("and {more} more"), QUIET));
    }
    let block = Block::new().borders(Borders::TOP).border_style(QUIET).title(Span::styled(format!("{title} "), STRONG));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_at_a_round_number_above_all_values() {
        for (value, top) in [(0.0, 1.0), (1.0, 1.0), (1.5, 2.0), (4_999.0, 5_000.0), (38_500.0, 50_000.0), (6e7, 1e8)] {
            assert_eq!(rounded_up(value), top, "{value}");
        }
    }

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        for (share, text) in
            [(0.0, "    "), (0.5, "██  "), (0.53, "██▏ "), (1.0, "████"), (7.0, "████"), (-1.0, "    ")]
        {
            assert_eq!(bar(share, 4), text, "{share}");
        }
    }
}
