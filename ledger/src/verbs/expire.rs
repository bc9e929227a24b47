//! Expire: release pending transfers whose time is over, where their payers live.

use crate::checks::resolve::pending_of;
use crate::decisions::Decision;
use crate::record;
use crate::records::{IdState, Sides};
use crate::tables::Tables;
use crate::txn::{Outcome, ShardId, TxnId};

/// Releases the pending transfers in `due`, each with the shard of its payee. One that is not due at this shard's clock,
/// was resolved meanwhile, or would be resolved by an open hold, is left alone; the shell names it again later.
pub fn expire(tables: &mut Tables, due: &[(u128, ShardId)]) {
    for (id, payee_shard) in due {
        let at = tables.tick();
        let Some((pending, IdState::Pending)) = pending_of(tables, *id) else { continue };
        let over = pending.expires_at().is_some_and(|expiry| expiry <= at);
        let local = *payee_shard == tables.shard();
        // An account that the expiry reopens must not be in anybody's hands, or the instant would not be the same for all.
        let reopens = |id| tables.holds().totals(id).count > 0 && pending.flags.any(crate::TransferFlags::CLOSING);
        let busy = reopens(pending.debit_account_id) || local && reopens(pending.credit_account_id);
        if !over || busy || tables.holds().resolves(*id) {
            continue;
        }
        let sides = if local { Sides::BOTH } else { Sides::DEBIT };
        record::expiry(tables, &pending, sides, at);
        if !local {
            let txn = TxnId { first_id: *id, attempt: TxnId::EXPIRY };
            let outcome = Outcome::Expired(at);
            tables.record_decision(txn, Decision { decided_at: at, waiting_for: vec![*payee_shard], outcome });
        }
    }
}
