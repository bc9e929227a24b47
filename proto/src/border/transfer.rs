//! Transfers.

use super::error::{check_count, code_from};
use super::number::{number_from, number_to};
use crate::{FieldError, v1};
use crest_ledger::{Transfer, TransferFlags};

/// The transfers of a create request, in their order.
///
/// # Errors
/// When there are none, or more than [`BATCH_EVENTS_MAX`](crest_ledger::limits::BATCH_EVENTS_MAX), or as
/// [`transfer_from`], with the transfer's place: `transfers[17].code`.
pub fn transfers_from(transfers: Vec<v1::Transfer>) -> Result<Vec<Transfer>, FieldError> {
    check_count("transfers", transfers.len())?;
    let read = |(i, transfer)| transfer_from(transfer).map_err(|e: FieldError| e.under(format_args!("transfers[{i}]")));
    transfers.into_iter().enumerate().map(read).collect()
}

/// One transfer.
///
/// # Errors
/// When `code` needs more than 16 bits.
pub fn transfer_from(transfer: v1::Transfer) -> Result<Transfer, FieldError> {
    Ok(Transfer {
        id: number_from(transfer.id),
        debit_account_id: number_from(transfer.debit_account_id),
        credit_account_id: number_from(transfer.credit_account_id),
        amount: number_from(transfer.amount),
        pending_id: number_from(transfer.pending_id),
        user_data_128: number_from(transfer.user_data_128),
        user_data_64: transfer.user_data_64,
        user_data_32: transfer.user_data_32,
        timeout: transfer.timeout,
        ledger: transfer.ledger,
        code: code_from(transfer.code)?,
        flags: transfer.flags.map_or_else(TransferFlags::default, flags_from),
        timestamp: transfer.timestamp,
    })
}

/// One transfer as a message. A shard's own flags (above [`TransferFlags::KNOWN`]) are no part of the API and left out.
pub fn transfer_to(transfer: &Transfer) -> v1::Transfer {
    v1::Transfer {
        id: number_to(transfer.id),
        debit_account_id: number_to(transfer.debit_account_id),
        credit_account_id: number_to(transfer.credit_account_id),
        amount: number_to(transfer.amount),
        pending_id: number_to(transfer.pending_id),
        user_data_128: number_to(transfer.user_data_128),
        user_data_64: transfer.user_data_64,
        user_data_32: transfer.user_data_32,
        timeout: transfer.timeout,
        ledger: transfer.ledger,
        code: u32::from(transfer.code),
        flags: transfer.flags.any(TransferFlags::KNOWN).then(|| flags_to(transfer.flags)),
        timestamp: transfer.timestamp,
    }
}

fn flags_from(message: v1::TransferFlags) -> TransferFlags {
    // Taken apart without `..`, so that a flag added to the API cannot be forgotten here.
    let v1::TransferFlags {
        linked,
        pending,
        post_pending_transfer,
        void_pending_transfer,
        balancing_debit,
        balancing_credit,
        closing_debit,
        closing_credit,
        imported,
    } = message;
    let bit = |on: bool, bits: u16| if on { bits } else { 0 };
    TransferFlags(
        bit(linked, TransferFlags::LINKED)
            | bit(pending, TransferFlags::PENDING)
            | bit(post_pending_transfer, TransferFlags::POST_PENDING)
            | bit(void_pending_transfer, TransferFlags::VOID_PENDING)
            | bit(balancing_debit, TransferFlags::BALANCING_DEBIT)
            | bit(balancing_credit, TransferFlags::BALANCING_CREDIT)
            | bit(closing_debit, TransferFlags::CLOSING_DEBIT)
            | bit(closing_credit, TransferFlags::CLOSING_CREDIT)
            | bit(imported, TransferFlags::IMPORTED),
    )
}

fn flags_to(flags: TransferFlags) -> v1::TransferFlags {
    v1::TransferFlags {
        linked: flags.any(TransferFlags::LINKED),
        pending: flags.any(TransferFlags::PENDING),
        post_pending_transfer: flags.any(TransferFlags::POST_PENDING),
        void_pending_transfer: flags.any(TransferFlags::VOID_PENDING),
        balancing_debit: flags.any(TransferFlags::BALANCING_DEBIT),
        balancing_credit: flags.any(TransferFlags::BALANCING_CREDIT),
        closing_debit: flags.any(TransferFlags::CLOSING_DEBIT),
        closing_credit: flags.any(TransferFlags::CLOSING_CREDIT),
        imported: flags.any(TransferFlags::IMPORTED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    fn widest(flags: u16) -> Transfer {
        Transfer {
            id: u128::MAX,
            debit_account_id: u128::MAX - 1,
            credit_account_id: u128::MAX - 2,
            amount: u128::MAX - 3,
            pending_id: u128::MAX - 4,
            user_data_128: u128::MAX - 5,
            user_data_64: u64::MAX,
            user_data_32: u32::MAX,
            timeout: u32::MAX - 1,
            ledger: u32::MAX - 2,
            code: u16::MAX,
            flags: TransferFlags(flags),
            timestamp: u64::MAX - 1,
        }
    }

    #[test]
    fn a_transfer_survives_the_wire_with_every_combination_of_flags() {
        for transfer in (0..=TransferFlags::KNOWN).map(widest).chain([Transfer::default()]) {
            let bytes = transfer_to(&transfer).encode_to_vec();
            assert_eq!(transfer_from(v1::Transfer::decode(&bytes[..]).unwrap()), Ok(transfer));
        }
    }

    #[test]
    fn a_shards_own_flags_are_not_told() {
        assert_eq!(transfer_to(&widest(TransferFlags::EXPIRY)).flags, None);
        let both = transfer_to(&widest(TransferFlags::EXPIRY | TransferFlags::LINKED)).flags;
        assert_eq!(both, Some(v1::TransferFlags { linked: true, ..Default::default() }));
    }

    #[test]
    fn a_code_that_does_not_fit_is_refused_with_its_place() {
        let mut transfers = vec![v1::Transfer::default(); 18];
        transfers[17].code = 70_000;
        let error = transfers_from(transfers).unwrap_err();
        assert_eq!(error.to_string(), "transfers[17].code: expected 0 to 65535, got 70000");
    }

    #[test]
    fn a_batch_keeps_its_order_and_its_bounds() {
        let transfers = [widest(0), Transfer::default(), widest(1)];
        assert_eq!(transfers_from(transfers.iter().map(transfer_to).collect()).unwrap(), transfers);
        assert_eq!(transfers_from(Vec::new()).unwrap_err().field, "transfers");
        assert_eq!(transfers_from(vec![v1::Transfer::default(); 8_191]).unwrap_err().got, "8191");
        assert!(transfers_from(vec![v1::Transfer::default(); 8_190]).is_ok());
    }
}
