//! What one record has to be, whatever the accounts say: on the right shard, and fitting what it resolves. And what the
//! other tables have to have for it.

use crest_ledger::finding::{Field, Finding, FindingKind};
use crest_ledger::records::{IdState, Sides, TransferRecord};
use crest_ledger::{Timestamp, Transfer, TransferFlags, is_rehearsal};

use super::mix::fingerprint;
use super::scan::resolves;
use super::whole::Whole;

/// Checks a record and adds it to the sums. `pending` is what it resolves, when that is there.
pub(super) fn check(whole: &mut Whole<'_>, record: &TransferRecord, pending: Option<&Transfer>) {
    let t = &record.transfer;
    let expiry = t.flags.any(TransferFlags::EXPIRY);
    misplaced(whole, record);
    if !expiry {
        whole.transfers += 1;
        whole.rehearsals.transfers += u64::from(is_rehearsal(t.ledger));
        let is_pending = t.flags.any(TransferFlags::PENDING);
        whole.tables.ids.add(t.id, id_item(t.timestamp, is_pending));
        if let (Some(at), true) = (t.expires_at(), record.sides.debit()) {
            whole.tables.timeouts.add(t.id, at.into());
        }
    }
    if resolves(t) {
        whole.tables.fates.add(t.pending_id, fate(t) as u128);
        fits(whole, t, pending);
        if let (Some(at), true) = (pending.and_then(Transfer::expires_at), record.sides.debit()) {
            whole.tables.timeouts.take(t.pending_id, at.into());
        }
    }
    if t.timestamp > whole.at {
        return;
    }
    let cross = record.sides != Sides::BOTH;
    if record.sides.debit() && !expiry {
        whole.report.transfers += 1;
        whole.report.cross_shard += u64::from(cross);
    }
    if cross {
        let (payer_here, peer) = half(record, |id| whole.map.shard_of(id));
        let half = whole.halves.entry((u8::from(payer_here), peer)).or_default();
        half.0 += 1;
        half.1 = half.1.wrapping_add(fingerprint(t));
    }
}

/// Of a cross-shard record: whether the payer is here, and the shard of the other one.
pub(crate) fn half(record: &TransferRecord, shard_of: impl Fn(u128) -> u32) -> (bool, u32) {
    let payer_here = record.sides.debit();
    let t = &record.transfer;
    (payer_here, shard_of(if payer_here { t.credit_account_id } else { t.debit_account_id }))
}

/// What a post, void or expiry makes of what it resolves.
pub(super) fn fate(t: &Transfer) -> IdState {
    match t.flags {
        f if f.any(TransferFlags::EXPIRY) => IdState::Expired,
        f if f.any(TransferFlags::POST_PENDING) => IdState::Posted,
        _ => IdState::Voided,
    }
}

/// Whether a pending transfer with this state was resolved.
pub(super) fn is_resolved(state: IdState) -> bool {
    matches!(state, IdState::Posted | IdState::Voided | IdState::Expired)
}

/// What records and the table of ids say of an id.
pub(super) fn id_item(at: Timestamp, pending: bool) -> u128 {
    u128::from(at) << 1 | u128::from(pending)
}

fn misplaced(whole: &mut Whole<'_>, record: &TransferRecord) {
    let t = &record.transfer;
    for (here, id) in [(record.sides.debit(), t.debit_account_id), (record.sides.credit(), t.credit_account_id)] {
        let owner = whole.map.shard_of(id);
        let belongs = owner == whole.shard;
        if here != belongs {
            let finding = Finding::new(FindingKind::RecordMisplaced).of(t).account(id);
            whole.findings.push(Finding { other_shard: (!belongs).then_some(owner), ..finding });
        }
    }
}

/// A post, void or expiry is of a pending transfer between the same accounts, and moves no more than that reserved.
fn fits(whole: &mut Whole<'_>, t: &Transfer, pending: Option<&Transfer>) {
    let nothing = |detail: &str| Finding {
        other_transfer_id: t.pending_id,
        detail: detail.to_owned(),
        ..Finding::new(FindingKind::ResolvesNothing).of(t)
    };
    let Some(pending) = pending else {
        return whole.findings.push(nothing("which is not there"));
    };
    if !pending.flags.any(TransferFlags::PENDING) {
        return whole.findings.push(nothing("which is not pending"));
    }
    let fields = [
        (Field::DebitAccountId, t.debit_account_id, pending.debit_account_id, false),
        (Field::CreditAccountId, t.credit_account_id, pending.credit_account_id, false),
        (Field::Ledger, t.ledger.into(), pending.ledger.into(), false),
        (Field::Code, t.code.into(), pending.code.into(), false),
        (Field::Amount, t.amount, pending.amount, t.flags.any(TransferFlags::POST_PENDING)),
    ];
    for (field, own, reserved, may_be_less) in fields {
        if own != reserved && !(may_be_less && own < reserved) {
            let finding = Finding::new(FindingKind::ResolvesDifferently).of(t).differs(field, own, reserved);
            whole.findings.push(Finding { other_transfer_id: t.pending_id, ..finding });
        }
    }
}
