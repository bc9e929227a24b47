//! Why a message was refused.

use crest_ledger::limits::BATCH_EVENTS_MAX;
use std::fmt::Display;

/// A field of a message that is not what it has to be. Nothing of the message was applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}, got {got}")]
pub struct FieldError {
    /// The path of the field, such as `transfers[17].code`.
    pub field: String,
    /// What would have been accepted.
    pub expected: String,
    /// What came.
    pub got: String,
}

impl FieldError {
    /// An error in `field`.
    pub fn new(field: impl Into<String>, expected: impl Into<String>, got: impl Display) -> Self {
        Self { field: field.into(), expected: expected.into(), got: got.to_string() }
    }

    /// The same error with the field's path continued upwards: `code` under `transfers[17]` is `transfers[17].code`.
    #[must_use]
    pub fn under(mut self, parent: impl Display) -> Self {
        self.field = format!("{parent}.{}", self.field);
        self
    }
}

/// `INVALID_ARGUMENT` with the error's text.
impl From<FieldError> for tonic::Status {
    fn from(error: FieldError) -> Self {
        Self::invalid_argument(error.to_string())
    }
}

/// The number of events, ids or rows that a request may carry.
pub(super) fn check_count(field: &str, count: usize) -> Result<(), FieldError> {
    if (1..=BATCH_EVENTS_MAX).contains(&count) {
        return Ok(());
    }
    Err(FieldError::new(field, format!("1 to {BATCH_EVENTS_MAX} of them"), count))
}

/// A code: 32 bits in a message, 16 in the ledger.
pub(super) fn code_from(code: u32) -> Result<u16, FieldError> {
    u16::try_from(code).map_err(|_| FieldError::new("code", "0 to 65535", code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_field_and_what_was_expected() {
        let error = code_from(70_000).unwrap_err().under("transfers[17]");
        assert_eq!(error.to_string(), "transfers[17].code: expected 0 to 65535, got 70000");
        let status = tonic::Status::from(error);
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert_eq!(status.message(), "transfers[17].code: expected 0 to 65535, got 70000");
    }

    #[test]
    fn a_request_carries_at_least_one_event_and_at_most_a_batch() {
        for (count, fits) in [(0, false), (1, true), (BATCH_EVENTS_MAX, true), (BATCH_EVENTS_MAX + 1, false)] {
            assert_eq!(check_count("accounts", count).is_ok(), fits, "{count}");
        }
        let text = check_count("accounts", 0).unwrap_err().to_string();
        assert_eq!(text, "accounts: expected 1 to 8190 of them, got 0");
    }
}
