//! Audits, as the metrics count them.

use metrics::Counter;

use super::Audit;
use crate::error::RouterError;

/// The counters: how many audits ended how, and what they found. All are there from the start, so that an alert sees the
/// first finding.
#[derive(Clone)]
pub(crate) struct Audits {
    holds: Counter,
    does_not_hold: Counter,
    unproven: Counter,
    findings: Counter,
}

impl Default for Audits {
    fn default() -> Self {
        let of = |verdict: &'static str| metrics::counter!("crest_audits_total", "verdict" => verdict);
        Self {
            holds: of("holds"),
            does_not_hold: of("does_not_hold"),
            unproven: of("unproven"),
            findings: metrics::counter!("crest_audit_findings_total"),
        }
    }
}

impl Audits {
    /// Counts an audit that has ended.
    pub(super) fn ended(&self, audit: &Result<Audit, RouterError>) {
        match audit {
            Err(_) => self.unproven.increment(1),
            Ok(audit) if audit.findings.is_empty() => self.holds.increment(1),
            Ok(audit) => {
                self.does_not_hold.increment(1);
                self.findings.increment(audit.findings.len() as u64 + audit.left_out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crest_ledger::finding::{Finding, FindingKind};
    use metrics_exporter_prometheus::PrometheusBuilder;

    /// What Prometheus would read after these audits.
    fn after(audits: &[Result<Audit, RouterError>]) -> String {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let tally = Audits::default();
            audits.iter().for_each(|audit| tally.ended(audit));
        });
        recorder.handle().render()
    }

    #[track_caller]
    fn check(audits: &[Result<Audit, RouterError>], [holds, does_not_hold, unproven, findings]: [u64; 4]) {
        let told = after(audits);
        for (verdict, count) in [("holds", holds), ("does_not_hold", does_not_hold), ("unproven", unproven)] {
            let line = format!("crest_audits_total{{verdict=\"{verdict}\"}} {count}\n");
            assert!(told.contains(&line), "expected {line} in:\n{told}");
        }
        let line = format!("crest_audit_findings_total {findings}\n");
        assert!(told.contains(&line), "expected {line} in:\n{told}");
    }

    #[test]
    fn audits_are_counted_by_their_verdict_and_findings_with_those_left_out() {
        let found = |findings: usize, left_out: u64| {
            let finding = Finding::new(FindingKind::AccountMisplaced);
            Ok(Audit { findings: vec![finding; findings], left_out, ..Audit::default() })
        };
        let unproven = || Err(RouterError::Unknown("a shard does not answer".to_owned()));
        check(&[], [0, 0, 0, 0]);
        check(&[found(0, 0), found(0, 0), unproven()], [2, 0, 1, 0]);
        check(&[found(1, 0), found(100, 7)], [0, 2, 0, 108]);
    }
}
