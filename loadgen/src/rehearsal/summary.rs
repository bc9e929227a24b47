//! A run in some twenty lines, for the terminal.

use std::io::Write;

use crate::record::{RunRecord, Verdict};

/// Prints the summary, or the whole record as JSON, to standard output.
///
/// # Errors
/// When standard output is gone.
pub(crate) fn print(record: &RunRecord, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(record)?)?;
        return Ok(());
    }
    let (t, l) = (&record.totals, &record.latency.percentiles);
    let ms = |us: u64| us as f64 / 1e3;
    writeln!(
        out,
        "scenario     {} × {}, seed {}, run {}",
        record.scenario.name, record.scenario.scale, record.scenario.seed, record.run
    )?;
    let peak = record.timeline.iter().map(|second| second.acknowledged).max().unwrap_or(0);
    writeln!(
        out,
        "planned      {} transfers; {} done, {} of them in time; at most {} in one second",
        thousands(t.planned),
        thousands(t.done),
        thousands(t.done_in_time),
        thousands(peak)
    )?;
    writeln!(
        out,
        "otherwise    {} refused as planned, {} refused, {} unknown, {} not sent, {} skipped",
        thousands(t.refused_as_planned),
        thousands(t.refused),
        thousands(t.unknown),
        thousands(t.not_sent),
        thousands(t.skipped)
    )?;
    writeln!(
        out,
        "latency      p50 {:.2}  p90 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2} ms",
        ms(l.p50),
        ms(l.p90),
        ms(l.p99),
        ms(l.p99_9),
        ms(l.max)
    )?;
    let s = &record.service.percentiles;
    writeln!(
        out,
        "service      p50 {:.2}  p90 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2} ms",
        ms(s.p50),
        ms(s.p90),
        ms(s.p99),
        ms(s.p99_9),
        ms(s.max)
    )?;
    writeln!(out, "generator    {:.3} % of the requests left late", record.generator.late_share * 100.0)?;
    if let Some(audit) = &record.audit {
        writeln!(
            out,
            "audit        {} of {} acknowledged transfers found once; {} of {} others there; {} of {} balances right ({:.1} s)",
            thousands(audit.acknowledged_found),
            thousands(audit.acknowledged),
            audit.refused_found,
            thousands(audit.refused),
            thousands(audit.accounts - audit.accounts_wrong),
            thousands(audit.accounts),
            audit.seconds
        )?;
    }
    for mark in &record.marks {
        writeln!(
            out,
            "{}         {}: {} ({})",
            if mark.passed { "pass" } else { "MISS" },
            mark.name,
            mark.got,
            mark.wanted
        )?;
    }
    for reason in &record.reasons {
        writeln!(out, "!            {reason}")?;
    }
    let verdict = match record.verdict {
        Verdict::Passed => "PASSED",
        Verdict::TooSlow => "TOO SLOW",
        Verdict::MoneyWrong => "MONEY IS WRONG",
        Verdict::Invalid => "INVALID: the generator was the bottleneck",
        Verdict::CouldNotRun => "COULD NOT RUN, or not be proven",
    };
    writeln!(out, "{verdict}")?;
    Ok(())
}

/// A count as people write it: `38,500`.
pub(crate) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
