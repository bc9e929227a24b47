//! An audit whose totals come in several messages.

use super::error::FieldError;
use crate::v1;

/// The totals that an audit's response has no room for, as they come.
#[derive(Debug, Default)]
pub struct MoreTotals(Vec<v1::LedgerTotals>);

impl MoreTotals {
    /// Takes in a message of them.
    pub fn take(&mut self, part: v1::AuditTotals) {
        self.0.extend(part.totals);
    }

    /// The response with all totals.
    ///
    /// # Errors
    /// When not all of them came, or not in order.
    pub fn complete(self, response: v1::AuditResponse) -> Result<v1::AuditResponse, FieldError> {
        let (came, left_out) = (self.0.len() as u64, response.totals_left_out);
        if came != left_out {
            return Err(FieldError::new("totals_left_out", format!("{came}, which came before"), left_out));
        }
        let mut totals = response.totals;
        totals.extend(self.0);
        if let Some(two) = totals.windows(2).find(|two| two[0].ledger >= two[1].ledger) {
            return Err(FieldError::new("totals", format!("a ledger above {}", two[0].ledger), two[1].ledger));
        }
        Ok(v1::AuditResponse { totals, totals_left_out: 0, ..response })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(ledgers: &[u32]) -> Vec<v1::LedgerTotals> {
        ledgers.iter().map(|ledger| v1::LedgerTotals { ledger: *ledger, ..Default::default() }).collect()
    }

    #[track_caller]
    fn check(parts: &[&[u32]], response: &[u32], left_out: u64, expected: Result<&[u32], &str>) {
        let mut more = MoreTotals::default();
        parts.iter().for_each(|part| more.take(v1::AuditTotals { totals: totals(part) }));
        let response = v1::AuditResponse {
            totals: totals(response),
            totals_left_out: left_out,
            holds: true,
            ..Default::default()
        };
        let complete = more.complete(response).map_err(|e| e.to_string());
        let expected = expected.map_err(str::to_owned);
        let of = |ledgers: &[u32]| v1::AuditResponse { totals: totals(ledgers), holds: true, ..Default::default() };
        assert_eq!(complete, expected.map(of));
    }

    #[test]
    fn totals_come_before_the_response_and_none_may_be_missing() {
        check(&[], &[1, 2], 0, Ok(&[1, 2]));
        check(&[&[3, 4], &[9]], &[1, 2], 3, Ok(&[1, 2, 3, 4, 9]));
        check(&[&[3, 4]], &[1, 2], 3, Err("totals_left_out: expected 2, which came before, got 3"));
        check(&[&[3, 3]], &[1, 2], 2, Err("totals: expected a ledger above 3, got 3"));
        check(&[&[2]], &[1, 2], 1, Err("totals: expected a ledger above 2, got 2"));
    }
}
