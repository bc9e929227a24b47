//! What an audit found, as a message and back.

use super::number::{number_from, number_to};
use crate::{FieldError, v1};
use crest_ledger::finding::{Field, Finding, FindingKind};

/// A finding as a message, its sentence included.
pub fn finding_to(finding: &Finding) -> v1::AuditFinding {
    let cause = |(id, at): &(u128, u64)| v1::AuditCause { transfer_id: number_to(*id), timestamp: *at };
    v1::AuditFinding {
        // The numbers of both lists are the same.
        kind: i32::from(finding.kind as u8),
        text: finding.to_string(),
        shard: finding.shard,
        other_shard: finding.other_shard,
        ledger: finding.ledger,
        account_id: number_to(finding.account_id),
        transfer_id: number_to(finding.transfer_id),
        timestamp: finding.timestamp,
        debit_account_id: number_to(finding.debit_account_id),
        credit_account_id: number_to(finding.credit_account_id),
        amount: number_to(finding.amount),
        other_transfer_id: number_to(finding.other_transfer_id),
        other_timestamp: finding.other_timestamp,
        other_account_id: number_to(finding.other_account_id),
        field: finding.field.name().to_owned(),
        stored: finding.stored.map(Into::into),
        expected: finding.expected.map(Into::into),
        causes: finding.causes.iter().map(cause).collect(),
        detail: finding.detail.clone(),
    }
}

/// The inverse of [`finding_to`].
///
/// # Errors
/// When the kind or the field is none of this version.
pub fn finding_from(message: &v1::AuditFinding) -> Result<Finding, FieldError> {
    let kind = u8::try_from(message.kind).ok().and_then(FindingKind::from_number);
    let field = Field::ALL.iter().copied().find(|field| field.name() == message.field);
    let unknown = |name: &str, got: String| FieldError::new(name, "a known one", got);
    Ok(Finding {
        shard: message.shard,
        other_shard: message.other_shard,
        ledger: message.ledger,
        account_id: number_from(message.account_id),
        transfer_id: number_from(message.transfer_id),
        timestamp: message.timestamp,
        debit_account_id: number_from(message.debit_account_id),
        credit_account_id: number_from(message.credit_account_id),
        amount: number_from(message.amount),
        other_transfer_id: number_from(message.other_transfer_id),
        other_timestamp: message.other_timestamp,
        other_account_id: number_from(message.other_account_id),
        field: field.ok_or_else(|| unknown("findings[].field", message.field.clone()))?,
        stored: message.stored.map(u128::from),
        expected: message.expected.map(u128::from),
        causes: message.causes.iter().map(|c| (number_from(c.transfer_id), c.timestamp)).collect(),
        detail: message.detail.clone(),
        ..Finding::new(kind.ok_or_else(|| unknown("findings[].kind", message.kind.to_string()))?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_same_number_and_name_in_the_api() {
        for kind in FindingKind::ALL {
            let message = v1::AuditFindingKind::try_from(i32::from(*kind as u8)).unwrap();
            let expected = format!("AUDIT_FINDING_KIND_{}", kind.name().to_uppercase());
            assert_eq!(message.as_str_name(), expected);
        }
        assert!(v1::AuditFindingKind::try_from(FindingKind::ALL.len() as i32 + 1).is_err(), "the API has more kinds");
    }

    #[test]
    fn a_finding_comes_back_as_it_was() {
        let finding = Finding {
            shard: Some(0),
            other_shard: Some(2),
            account_id: 5,
            causes: vec![(7, 8)],
            detail: "so".to_owned(),
            ..Finding::new(FindingKind::HalfMissing).differs(Field::Amount, 0, u128::MAX)
        };
        let message = finding_to(&finding);
        assert_eq!(message.text, finding.to_string());
        assert_eq!(finding_from(&message), Ok(finding));
        assert!(finding_from(&v1::AuditFinding { kind: 99, ..message.clone() }).is_err());
        assert!(finding_from(&v1::AuditFinding { field: "weight".to_owned(), ..message }).is_err());
    }
}
