//! What the view looks like: whole screens, as a person sees them.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::view::draw;
use super::*;
use crate::record::Percentiles;

/// A run 34 seconds after its begin.
pub(super) fn midnight() -> LiveState {
    let percentiles = |p50, p99| Percentiles { count: 380, p50, p90: p50 * 2, p99, p99_9: p99 * 2, max: p99 * 3 };
    let second = |at: u32| {
        let planned = if at < 30 { 2_000.0 + f64::from(at) * 300.0 } else { 38_500.0 };
        let acknowledged = if at == 30 { 12_000.0 } else { planned * 0.985 };
        SecondLive { planned, acknowledged, p99_us: if at < 30 { 9_000 } else { 184_000 } }
    };
    let codes = [("created", 401_233), ("exists", 410), ("exceeds_credits", 802), ("linked_event_failed", 6)];
    let shard = |shard| ShardLive { shard, per_second: Some(9_000.0 + f64::from(shard) * 400.0), holds: Some(31) };
    let event = |at, until, label: &str| EventLive { at, until, label: label.to_owned(), failed: false };
    LiveState {
        title: "double-11-2014".to_owned(),
        cluster: "4 shards, local".to_owned(),
        stage: Stage::Sending,
        elapsed: 34.0,
        planned_seconds: 66.0,
        phase: "midnight".to_owned(),
        phase_left: 7.0,
        planned: 38_500.0,
        acknowledged: 37_912.0,
        in_time: 37_800.0,
        last: percentiles(12_100, 184_000),
        whole: percentiles(4_210, 92_000),
        in_flight: 77,
        in_flight_max: 4_096,
        retries: 12,
        refused: 1,
        unknown: 2,
        not_sent: 4,
        cross_shard: Some(0.748),
        lag_p99_us: 410,
        late_share: 0.001,
        late_share_max: 0.01,
        codes: codes.into_iter().map(|(code, count)| (code.to_owned(), count)).collect(),
        shards: vec![shard(0), shard(1), ShardLive { shard: 2, per_second: None, holds: None }, shard(3)],
        events: vec![
            event(10.0, 12.0, "load × 2"),
            event(32.0, 37.0, "kill shard 2"),
            event(50.0, 50.0, "move 1,024 slots"),
        ],
        history: (0..34).map(second).collect(),
    }
}

/// The screen as text, without the spaces at the ends of its lines.
fn screen(width: u16, height: u16, state: &LiveState, notes: &[String]) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state, notes, false)).unwrap();
    let cells = terminal.backend().buffer().content();
    let line = |cells: &[ratatui::buffer::Cell]| cells.iter().map(|cell| cell.symbol()).collect::<String>();
    let lines: Vec<String> = cells.chunks(usize::from(width)).map(|row| line(row).trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// Holds a screen against the picture of it in `live/screens`. With CREST_DRAW=1 the picture is made again: look at it.
fn check(name: &str, screen: &str) {
    let path = format!("{}/src/live/screens/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("CREST_DRAW").is_some() {
        std::fs::write(&path, screen).unwrap();
    }
    let picture = std::fs::read_to_string(&path).unwrap_or_default();
    let again = "CREST_DRAW=1 cargo test -p crest-loadgen --lib live draws it again";
    assert!(picture == screen, "{name} looks like this now:\n{screen}\nand not as {path} has it:\n{picture}\n{again}");
}

#[test]
fn a_run_looks_like_its_pictures() {
    let notes = ["shard 2 killed (process 4711)".to_owned()];
    check("midnight-80x24", &screen(80, 24, &midnight(), &notes));
    check("midnight-160x50", &screen(160, 50, &midnight(), &notes));
    check("midnight-20x5", &screen(20, 5, &midnight(), &notes));
}

#[test]
fn a_run_that_has_not_begun_has_a_picture_too() {
    let state = LiveState { title: "smoke".to_owned(), ..LiveState::default() };
    check("preparing-80x24", &screen(80, 24, &state, &["opening 1,020 accounts".to_owned()]));
}

#[test]
fn no_size_and_no_figure_makes_the_view_panic() {
    let extreme = LiveState {
        elapsed: 1e9,
        planned: f64::MAX,
        acknowledged: f64::NAN,
        in_flight: u64::MAX,
        late_share: f64::INFINITY,
        whole: Percentiles { count: 1, p50: u64::MAX, p90: 1, p99: 0, p99_9: 3, max: u64::MAX },
        shards: (0..1_024)
            .map(|shard| ShardLive { shard, per_second: Some(f64::NAN), holds: Some(u64::MAX) })
            .collect(),
        history: vec![SecondLive { planned: f64::MAX, acknowledged: f64::NAN, p99_us: u64::MAX }; 3],
        codes: (0..200).map(|code| (format!("code-{code}-äöü"), code)).collect(),
        refused: 0,
        unknown: 0,
        not_sent: u64::MAX,
        ..midnight()
    };
    let notes: Vec<String> = (0..50).map(|note| format!("note {note} {}", "long ".repeat(40))).collect();
    for state in [&midnight(), &LiveState::default(), &extreme] {
        for (width, height) in [(1, 1), (20, 5), (59, 15), (60, 16), (61, 17), (80, 24), (160, 50), (500, 200)] {
            for notes in [&notes[..], &notes[..1], &[]] {
                screen(width, height, state, notes);
            }
        }
    }
}

#[test]
fn what_happens_now_and_what_is_noted_is_seen_on_a_small_screen() {
    let notes: Vec<String> = (0..9).map(|note| format!("note {note}")).collect();
    let screen = screen(80, 24, &midnight(), &notes);
    for part in ["0:32 kill shard 2 now", "note 8", "no answer", "37,912", "184 ms", "exceeds_credits", "74.8 %"] {
        assert!(screen.contains(part), "`{part}` is not on\n{screen}");
    }
}
