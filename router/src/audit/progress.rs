//! How far an audit is, for whoever waits.

use crest_ledger::txn::ShardId;
use crest_ledger::wire::audit::{AuditProgress, AuditStage};
use crest_ledger::wire::{Query, QueryAnswer, Request, Response};
use futures_util::future::join_all;

use super::Seen;
use crate::limits;
use crate::router::Router;

/// What an audit does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// The shards wait for transfers in doubt, for a checkpoint, or for another audit.
    #[default]
    Waiting,
    /// The shards read everything that they have.
    Reading,
    /// A shard found something, and looks for the rows.
    Naming,
    /// Two shards differ, and their transfers are compared.
    Pairing,
}

/// How far an audit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What it does: the furthest of all shards.
    pub stage: Stage,
    /// Shards.
    pub shards: u32,
    /// Of which have answered.
    pub shards_done: u32,
    /// Rows that were looked at.
    pub rows: u64,
    /// Rows that there are to look at; an estimate, and 0 before one is known.
    pub rows_expected: u64,
}

/// Says that the audit is at a later stage, when there is something to do in it.
pub(super) fn enter(seen: Seen<'_>, stage: Stage, work: usize) {
    if let Some(seen) = seen.filter(|_| work > 0) {
        seen.send_modify(|progress| progress.stage = stage);
    }
}

impl Router {
    /// Asks the shards how far they are, again and again. One that does not say counts as it did before.
    pub(super) async fn watch_shards(&self, shards: &[ShardId], number: u64, seen: Seen<'_>) {
        let Some(seen) = seen else { return std::future::pending().await };
        let mut known = vec![AuditProgress::default(); shards.len()];
        // A shard that does not answer must not hide that the audit waits for it.
        seen.send_replace(sum(&known));
        loop {
            tokio::time::sleep(limits::AUDIT_PROGRESS_INTERVAL).await;
            let ask = || Request::Query(Query::AuditProgress(number));
            let asked = shards.iter().map(|shard| self.links.send(*shard, ask(), limits::STATUS_TIMEOUT));
            for (known, answer) in known.iter_mut().zip(join_all(asked).await) {
                if let Ok(Response::Query(QueryAnswer::AuditProgress(progress))) = answer {
                    *known = progress;
                }
            }
            seen.send_replace(sum(&known));
        }
    }
}

fn sum(shards: &[AuditProgress]) -> Progress {
    let any = |stage: AuditStage| shards.iter().any(|shard| shard.stage == stage);
    let stage = match () {
        () if any(AuditStage::Naming) => Stage::Naming,
        () if any(AuditStage::Reading) || any(AuditStage::Done) => Stage::Reading,
        () => Stage::Waiting,
    };
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Progress {
        stage,
        shards: count(shards.len()),
        shards_done: count(shards.iter().filter(|shard| shard.stage == AuditStage::Done).count()),
        rows: shards.iter().map(|shard| shard.rows).sum(),
        rows_expected: shards.iter().map(|shard| shard.rows_expected).sum(),
    }
}
