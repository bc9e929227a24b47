//! The answers for single events. A status has one number in the API and in the ledger.

use crate::{FieldError, v1};
use crest_ledger::{AccountStatus, Timestamp, TransferStatus};

/// The answer for one account, as a message.
pub fn account_result_to(status: AccountStatus, timestamp: Timestamp) -> v1::CreateAccountResult {
    v1::CreateAccountResult { status: i32::from(status as u8), timestamp }
}

/// The answer for one account: its status and the account's timestamp, or the time of the check, ns.
///
/// # Errors
/// When the status is none that this version knows; the answer is then of a newer server.
pub fn account_result_from(result: v1::CreateAccountResult) -> Result<(AccountStatus, Timestamp), FieldError> {
    let status = u8::try_from(result.status).ok().and_then(AccountStatus::from_number);
    let status = status.ok_or_else(|| FieldError::new("status", "a CreateAccountStatus", result.status))?;
    Ok((status, result.timestamp))
}

/// The answer for one transfer, as a message.
pub fn transfer_result_to(status: TransferStatus, timestamp: Timestamp) -> v1::CreateTransferResult {
    v1::CreateTransferResult { status: i32::from(status as u8), timestamp }
}

/// The answer for one transfer: its status and the transfer's timestamp, or the time of the check, ns.
///
/// # Errors
/// When the status is none that this version knows; the answer is then of a newer server.
pub fn transfer_result_from(result: v1::CreateTransferResult) -> Result<(TransferStatus, Timestamp), FieldError> {
    let status = u8::try_from(result.status).ok().and_then(TransferStatus::from_number);
    let status = status.ok_or_else(|| FieldError::new("status", "a CreateTransferStatus", result.status))?;
    Ok((status, result.timestamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_account_status_has_the_name_and_number_of_the_api() {
        for &status in AccountStatus::ALL {
            let message = account_result_to(status, 7);
            let name = format!("CREATE_ACCOUNT_STATUS_{}", status.name().to_uppercase());
            assert_eq!(v1::CreateAccountStatus::try_from(message.status).unwrap().as_str_name(), name);
            assert_eq!(account_result_from(message), Ok((status, 7)));
        }
        let next = i32::try_from(AccountStatus::ALL.len()).unwrap() + 1;
        assert!(v1::CreateAccountStatus::try_from(next).is_err(), "the API has a status that the ledger lacks");
    }

    #[test]
    fn every_transfer_status_has_the_name_and_number_of_the_api() {
        for &status in TransferStatus::ALL {
            let message = transfer_result_to(status, 7);
            let name = format!("CREATE_TRANSFER_STATUS_{}", status.name().to_uppercase());
            assert_eq!(v1::CreateTransferStatus::try_from(message.status).unwrap().as_str_name(), name);
            assert_eq!(transfer_result_from(message), Ok((status, 7)));
        }
        let next = i32::try_from(TransferStatus::ALL.len()).unwrap() + 1;
        assert!(v1::CreateTransferStatus::try_from(next).is_err(), "the API has a status that the ledger lacks");
    }

    #[test]
    fn an_unknown_status_is_an_error_and_not_another_status() {
        for status in [0, -1, 69, 256 + 1, i32::MAX, i32::MIN] {
            let error = transfer_result_from(v1::CreateTransferResult { status, timestamp: 0 }).unwrap_err();
            assert_eq!(error.to_string(), format!("status: expected a CreateTransferStatus, got {status}"));
            assert!(account_result_from(v1::CreateAccountResult { status, timestamp: 0 }).is_err());
        }
    }
}
