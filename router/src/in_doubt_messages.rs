//! What operators are told about attempts in doubt, as messages of the public API.

use std::collections::BTreeMap;

use crest_ledger::resolutions::{Fate, Resolution};
use crest_ledger::txn::{Event, ShardId, TxnId};
use crest_ledger::wire::in_doubt::ShownEvent;
use crest_ledger::{Transfer, TransferFlags};
use crest_proto::{border, v1};

use crate::in_doubt::{Attempt, InDoubt, Resolutions, ShardAt, State};
use crate::limits;
use crate::resolve::ResolvedAttempt;

/// The answer to `ListInDoubt`.
pub(crate) fn list(in_doubt: InDoubt) -> v1::ListInDoubtResponse {
    let by_number: BTreeMap<ShardId, &ShardAt> = in_doubt.shards.iter().map(|at| (at.shard, at)).collect();
    v1::ListInDoubtResponse {
        attempts: in_doubt.attempts.iter().map(|attempt| row(attempt, &by_number)).collect(),
        next_cursor: in_doubt.next.map(border::in_doubt_cursor).unwrap_or_default(),
        shards: in_doubt.shards.iter().map(shard_at).collect(),
    }
}

/// The answer to `ListResolutions`.
pub(crate) fn resolutions(found: &Resolutions) -> v1::ListResolutionsResponse {
    v1::ListResolutionsResponse {
        resolutions: found.rows.iter().map(|(shard, txn, kept)| resolution(*shard, txn, kept)).collect(),
        more: found.more,
        shards: found.shards.iter().map(shard_at).collect(),
    }
}

/// The answer to `Resolve`.
pub(crate) fn resolved(attempt: &ResolvedAttempt) -> v1::ResolveResponse {
    v1::ResolveResponse {
        resolution: Some(resolution(attempt.decider, &attempt.txn, &attempt.resolution)),
        resolved_before: attempt.repeated,
        finished: attempt.finished.iter().map(shard_at).collect(),
        waits_for: attempt.waits_for.iter().map(shard_at).collect(),
    }
}

fn shard_at(at: &ShardAt) -> v1::ShardAt {
    let error = at.error.clone().unwrap_or_default();
    v1::ShardAt { shard: at.shard, address: at.address.clone(), answers: at.error.is_none(), error }
}

fn row(attempt: &Attempt, shards: &BTreeMap<ShardId, &ShardAt>) -> v1::InDoubtAttempt {
    // The reason is told once, in the list of all shards.
    let at = |shard: &ShardId| match shards.get(shard) {
        Some(at) => v1::ShardAt { error: String::new(), ..shard_at(at) },
        None => v1::ShardAt { shard: *shard, ..v1::ShardAt::default() },
    };
    let some = |shards: &[ShardId]| shards.iter().take(limits::SHARDS_SHOWN).map(at).collect();
    let state = match attempt.state {
        State::Prepared => v1::InDoubtState::Prepared,
        State::Unknown => v1::InDoubtState::Unknown,
        State::Committed => v1::InDoubtState::Committed,
        State::Expired => v1::InDoubtState::Expired,
        State::Aborted => v1::InDoubtState::Aborted,
    };
    v1::InDoubtAttempt {
        attempt: border::attempt_to(&attempt.txn),
        state: state.into(),
        age_ms: u64::try_from(attempt.age.as_millis()).unwrap_or(u64::MAX),
        since: attempt.since,
        decider: Some(at(&attempt.decider)),
        holders: some(&attempt.holders),
        waits_for: some(&attempt.waits_for),
        events: attempt.events.iter().map(|shown| event(&attempt.txn, shown)).collect(),
        event_count: attempt.event_count,
    }
}

fn event(txn: &TxnId, shown: &ShownEvent) -> v1::InDoubtEvent {
    let (index, amount) = (u32::from(shown.index), border::number_to(shown.amount));
    match &shown.event {
        Event::Account(a) => v1::InDoubtEvent {
            index,
            kind: v1::InDoubtKind::Account.into(),
            id: border::number_to(a.id),
            ledger: a.ledger,
            ..v1::InDoubtEvent::default()
        },
        Event::Transfer(t) => v1::InDoubtEvent {
            index,
            kind: kind(txn, t).into(),
            id: border::number_to(t.id),
            debit_account_id: border::number_to(t.debit_account_id),
            credit_account_id: border::number_to(t.credit_account_id),
            amount,
            ledger: t.ledger,
            pending_id: border::number_to(t.pending_id),
        },
    }
}

fn kind(txn: &TxnId, t: &Transfer) -> v1::InDoubtKind {
    match () {
        () if txn.is_expiry() => v1::InDoubtKind::Expiry,
        () if t.flags.any(TransferFlags::POST_PENDING) => v1::InDoubtKind::Post,
        () if t.flags.any(TransferFlags::VOID_PENDING) => v1::InDoubtKind::Void,
        () if t.flags.any(TransferFlags::PENDING) => v1::InDoubtKind::Pending,
        () => v1::InDoubtKind::Payment,
    }
}

fn resolution(shard: ShardId, txn: &TxnId, kept: &Resolution) -> v1::Resolution {
    let (fate, fate_timestamp) = match kept.fate {
        Fate::Committed(at) => (v1::ResolvedFate::Committed, at),
        Fate::Expired(at) => (v1::ResolvedFate::Expired, at),
        Fate::Aborted => (v1::ResolvedFate::Aborted, 0),
        Fate::AbortedBefore => (v1::ResolvedFate::AbortedBefore, 0),
        Fate::Done(at) => (v1::ResolvedFate::Done, at),
    };
    v1::Resolution {
        attempt: border::attempt_to(txn),
        fate: fate.into(),
        fate_timestamp,
        timestamp: kept.at,
        reason: kept.reason.clone(),
        by: kept.by.clone(),
        shard,
    }
}
