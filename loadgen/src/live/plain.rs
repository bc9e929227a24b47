//! The progress line for what is no terminal: one line says where the run stands.

use super::state::{LiveState, Stage, spell_clock, spell_latency, spell_whole};

/// The line.
pub(crate) fn line(state: &LiveState) -> String {
    let clock = format!("{:>5} of {}", spell_clock(state.elapsed), spell_clock(state.planned_seconds));
    if state.stage == Stage::Preparing {
        return format!("{}: {}", state.title, state.doing());
    }
    let mut line = format!(
        "{clock}  {}  planned {}/s  acknowledged {}/s  p50 {}  p99 {}  errors {}  in flight {}",
        state.doing(),
        spell_whole(state.planned),
        spell_whole(state.acknowledged),
        spell_latency(state.last.p50),
        spell_latency(state.last.p99),
        spell_whole(state.errors() as f64),
        spell_whole(state.in_flight as f64),
    );
    if state.generator_is_late() {
        line += &format!("  generator late: {:.1} %", state.late_share * 100.0);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::tests::midnight;

    #[test]
    fn the_line_tells_what_matters() {
        let state = midnight();
        assert_eq!(
            line(&state),
            " 0:34 of 1:06  midnight 0:07 left  planned 38,500/s  acknowledged 37,912/s  p50 12.1 ms  p99 184 ms  errors 7  \
             in flight 77"
        );
        let late = LiveState { late_share: 0.034, stage: Stage::Settling, ..state.clone() };
        assert!(line(&late).contains("waiting for the last answers"));
        assert!(line(&late).ends_with("generator late: 3.4 %"));
        assert_eq!(line(&LiveState { stage: Stage::Preparing, ..state }), "double-11-2014: preparing");
    }
}
