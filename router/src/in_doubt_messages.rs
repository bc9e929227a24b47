//! What operators are told about attempts in doubt, as messages of the public API.

use std::collections::BTreeMap;

use crest_ledger::resolutions::{Fate, Resolution};
use crest_ledger::txn::{Event, ShardId, TxnId};
use crest_ledger::wire::in_doubt::ShownEvent;
use crest_ledger::{Transfer, TransferFlags};
use crest_proto::{border, v1};
use prost::Message;

use crate::in_doubt::{Attempt, InDoubt, Resolutions, ShardAt, State};
use crate::limits;
use crate::resolve::ResolvedAttempt;

/// Stands at the end of a text that was cut.
const CUT: &str = "...";

/// Bytes around a row: its tag and its length.
const ROW_FIELD_BYTES: usize = 5;

/// The answer to `ListInDoubt`: as many of the attempts as a message has room for, and where the next page goes on.
pub(crate) fn list(in_doubt: InDoubt) -> v1::ListInDoubtResponse {
    let by_number: BTreeMap<ShardId, &ShardAt> = in_doubt.shards.iter().map(|at| (at.shard, at)).collect();
    let (mut attempts, mut bytes, mut next, mut last) = (Vec::new(), 0, in_doubt.next, None);
    for attempt in &in_doubt.attempts {
        let row = row(attempt, &by_number);
        bytes += row.encoded_len() + ROW_FIELD_BYTES;
        if bytes > limits::ATTEMPTS_BYTES_MAX && last.is_some() {
            next = last;
            break;
        }
        last = Some((attempt.since, attempt.txn));
        attempts.push(row);
    }
    v1::ListInDoubtResponse {
        attempts,
        next_cursor: next.map(border::in_doubt_cursor).unwrap_or_default(),
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

/// The beginning of a text that is too long to be shown.
pub(crate) fn shown(text: &str) -> String {
    if text.len() <= limits::SHOWN_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=limits::SHOWN_BYTES_MAX - CUT.len()).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}{CUT}", &text[..end])
}

fn shard_at(at: &ShardAt) -> v1::ShardAt {
    let error = at.error.as_deref().map(shown).unwrap_or_default();
    v1::ShardAt { shard: at.shard, address: shown(&at.address), answers: at.error.is_none(), error }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crest_ledger::Timestamp;
    use crest_ledger::limits::SHARDS_MAX;
    use crest_ledger::wire::in_doubt::{ATTEMPTS_MAX, EVENTS_SHOWN};
    use std::time::Duration;

    /// The longest page that a router can put together: full, of chains over all shards, none of which answers or has a leader.
    fn longest(after: Option<(Timestamp, TxnId)>, limit: usize) -> InDoubt {
        let text = "a-long-address.example:65535, ".repeat(100);
        let shard = |shard| ShardAt { shard, address: text.clone(), error: Some(text.clone()) };
        let all: Vec<ShardId> = (0..SHARDS_MAX as ShardId).collect();
        let event = |index| {
            let n = u128::MAX;
            let (ledger, id) = (u32::MAX, n);
            let t = Transfer {
                id,
                debit_account_id: n,
                credit_account_id: n,
                pending_id: n,
                ledger,
                ..Transfer::default()
            };
            ShownEvent { index, amount: n, event: Event::Transfer(t) }
        };
        let attempt = |since| Attempt {
            txn: TxnId { first_id: u128::MAX, attempt: u64::MAX },
            state: State::Unknown,
            age: Duration::MAX,
            since,
            decider: 1_023,
            holders: all.clone(),
            waits_for: all.clone(),
            events: (0..EVENTS_SHOWN as u16).map(|n| event(u16::MAX - n)).collect(),
            event_count: u32::MAX,
        };
        let first = after.map_or(0, |(since, _)| since + 1);
        let attempts: Vec<Attempt> = (first..1_500).take(limit).map(attempt).collect();
        let last = attempts.last().map(|attempt| (attempt.since, attempt.txn));
        let next = last.filter(|(since, _)| *since < 1_499);
        InDoubt { attempts, next, shards: all.into_iter().map(shard).collect() }
    }

    #[test]
    fn the_longest_page_is_a_message_that_every_client_takes_and_no_attempt_is_left_out() {
        let (mut after, mut seen, mut pages) = (None, Vec::new(), 0);
        loop {
            let page = list(longest(after, ATTEMPTS_MAX));
            let bytes = page.encoded_len();
            assert!(bytes < limits::MESSAGE_BYTES_MAX, "{bytes} bytes");
            seen.extend(page.attempts.iter().map(|attempt| attempt.since));
            pages += 1;
            if page.next_cursor.is_empty() {
                break;
            }
            let request = v1::ListInDoubtRequest { limit: 1, cursor: page.next_cursor, ..Default::default() };
            after = Some(border::in_doubt_filter_from(&request).unwrap().after);
        }
        assert!(pages > 2 && seen.iter().copied().eq(0..1_500), "{pages} pages, {} attempts", seen.len());
    }

    #[test]
    fn a_page_that_fits_goes_on_where_it_was_to() {
        let page = list(longest(None, 3));
        let after = (2, TxnId { first_id: u128::MAX, attempt: u64::MAX });
        assert_eq!((page.attempts.len(), page.next_cursor), (3, border::in_doubt_cursor(after)));
    }

    #[test]
    fn a_long_text_is_cut_between_letters() {
        let most = limits::SHOWN_BYTES_MAX;
        assert_eq!(shown(&"x".repeat(most)), "x".repeat(most));
        let cut = shown(&"é".repeat(most));
        assert!(cut.len() <= most && cut.ends_with("é..."), "{cut}");
    }
}
