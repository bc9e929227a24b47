//! A transfer whose id is known already (section 5).

use crest_ledger::{Transfer, TransferFlags, TransferStatus};

use super::State;
use super::resolve::{or, resolved_amount};

impl State {
    /// How `t` differs from what is stored under its id.
    pub(super) fn transfer_exists(&self, t: &Transfer, stored: &Transfer) -> TransferStatus {
        use TransferStatus::*;
        if t.flags != stored.flags {
            ExistsWithDifferentFlags
        } else if t.pending_id != stored.pending_id {
            ExistsWithDifferentPendingId
        } else if t.timeout != stored.timeout {
            ExistsWithDifferentTimeout
        } else if t.flags.any(TransferFlags::RESOLVES) {
            let pending = &self.transfers[&stored.pending_id];
            let resolved = Transfer {
                debit_account_id: or(t.debit_account_id, stored.debit_account_id),
                credit_account_id: or(t.credit_account_id, stored.credit_account_id),
                amount: resolved_amount(t, pending),
                user_data_128: or(t.user_data_128, pending.user_data_128),
                user_data_64: or(t.user_data_64, pending.user_data_64),
                user_data_32: or(t.user_data_32, pending.user_data_32),
                ledger: or(t.ledger, stored.ledger),
                code: or(t.code, stored.code),
                ..*t
            };
            differs(&resolved, stored)
        } else if t.flags.any(TransferFlags::BALANCING) {
            // What was sent is an upper bound of what was moved, and what was sent first is not stored.
            let amount = if t.amount >= stored.amount { stored.amount } else { t.amount };
            differs(&Transfer { amount, ..*t }, stored)
        } else {
            differs(t, stored)
        }
    }
}

/// The fields after flags, pending id and timeout.
fn differs(t: &Transfer, stored: &Transfer) -> TransferStatus {
    use TransferStatus::*;
    if t.debit_account_id != stored.debit_account_id {
        ExistsWithDifferentDebitAccountId
    } else if t.credit_account_id != stored.credit_account_id {
        ExistsWithDifferentCreditAccountId
    } else if t.amount != stored.amount {
        ExistsWithDifferentAmount
    } else if t.user_data_128 != stored.user_data_128 {
        ExistsWithDifferentUserData128
    } else if t.user_data_64 != stored.user_data_64 {
        ExistsWithDifferentUserData64
    } else if t.user_data_32 != stored.user_data_32 {
        ExistsWithDifferentUserData32
    } else if t.ledger != stored.ledger {
        ExistsWithDifferentLedger
    } else if t.code != stored.code {
        ExistsWithDifferentCode
    } else {
        Exists
    }
}
