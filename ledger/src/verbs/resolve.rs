//! Resolve: an operator has the decider say what became of an attempt, and the reason is kept.
//!
//! It is [`recover`] with a record: what was decided stands, and what was not is aborted. There is no way to
//! name an outcome, since one that differs from the decider's would lose money or make some.

use super::recover;
use crate::clock::Timestamp;
use crate::limits::RESOLUTIONS_MAX;
use crate::records::IdState;
use crate::resolutions::{Fate, Resolution};
use crate::tables::Tables;
use crate::txn::{Outcome, TxnId};

/// What an operator asks of a decider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveRequest {
    /// The attempt.
    pub txn: TxnId,
    /// The largest clock of the shards that hold, ns: above all their prepares. As in
    /// [`Command::Recover`](crate::command::Command::Recover).
    pub asked_at: Timestamp,
    /// Whether its first event is an account: accounts and transfers may share a number.
    pub of_account: bool,
    /// Why: 1 to [`RESOLUTION_REASON_BYTES_MAX`](crate::limits::RESOLUTION_REASON_BYTES_MAX) bytes.
    pub reason: String,
    /// Who asks: 1 to [`RESOLUTION_BY_BYTES_MAX`](crate::limits::RESOLUTION_BY_BYTES_MAX) bytes.
    pub by: String,
}

/// What a decider answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What the holders have to be told.
    pub outcome: Outcome,
    /// What is on record: of the first time, when it was asked before.
    pub resolution: Resolution,
    /// Whether it was asked before.
    pub repeated: bool,
}

/// Resolves. Asked again, it answers what it answered before, as long as that is among the newest [`RESOLUTIONS_MAX`].
pub fn resolve(tables: &mut Tables, request: ResolveRequest) -> Resolved {
    tables.observe(request.asked_at);
    let txn = request.txn;
    let known = recover::known(tables, &txn);
    let fate = match &known {
        Some(Outcome::Committed(commits)) => Fate::Committed(commits.first().map_or(tables.now(), |c| c.timestamp)),
        Some(Outcome::Expired(at)) => Fate::Expired(*at),
        Some(Outcome::Released { .. }) => Fate::AbortedBefore,
        None => done(tables, &request).map_or(Fate::Aborted, Fate::Done),
    };
    let outcome = known.unwrap_or_else(|| recover::give_up(tables, &txn));
    if let Some(before) = tables.resolutions().get(&txn).cloned() {
        return Resolved { outcome, resolution: before, repeated: true };
    }
    let resolution = Resolution { at: tables.tick(), fate, reason: request.reason, by: request.by };
    tables.record_resolution(txn, resolution.clone(), RESOLUTIONS_MAX);
    Resolved { outcome, resolution, repeated: false }
}

/// When that was recorded what the attempt was to do, if it was. The decider is one of the shards of the first event
/// (router: `place::spread`), so it is recorded here or nowhere.
fn done(tables: &Tables, request: &ResolveRequest) -> Option<Timestamp> {
    let id = request.txn.first_id;
    if request.of_account {
        return tables.account(id).map(|account| account.timestamp);
    }
    let entry = tables.id(id)?;
    let done = match entry.state {
        IdState::Failed => false,
        // What an expiry is to do is to end the pending transfer.
        IdState::Pending => !request.txn.is_expiry(),
        _ => true,
    };
    done.then_some(entry.timestamp)
}
