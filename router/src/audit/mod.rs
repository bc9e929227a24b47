//! The audit over all shards: their parts, put together, at one instant.
//!
//! [`combine`] compares what the shards answer, [`totals`] their sums by ledger number, [`pairs`] goes down to single transfers where two of them differ, and looks
//! a second time before it says so: a false alarm at night is worse than a slow audit.

pub mod progress;
mod combine;
mod pairs;
mod totals;
mod tally;

use crest_ledger::Timestamp;
use crest_ledger::finding::{Finding, FindingKind};
use crest_ledger::txn::ShardId;
use crest_ledger::wire::audit::{FINDINGS_MAX, LedgerSums};
use crest_ledger::wire::{Query, QueryAnswer, Request, Response, ShardAudit};
use futures_util::future::try_join_all;
use tokio::sync::{mpsc, watch};

use crate::error::RouterError;
use crate::limits;
use crate::reads::other_answer;
use crate::router::Router;
use progress::{Progress, Stage};
pub(crate) use tally::Audits;
pub(crate) use totals::More;
use totals::Sums;

/// What the ledger holds at one instant, and what of it does not hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// The instant, ns.
    pub at: Timestamp,
    /// Accounts.
    pub accounts: u64,
    /// Transfers, each counted once.
    pub transfers: u64,
    /// Of which are between shards.
    pub cross_shard: u64,
    /// The sums of the lowest ledger numbers, in order; at most [`TOTALS_MAX`](crest_ledger::wire::audit::TOTALS_MAX).
    pub totals: Vec<LedgerSums>,
    /// How many ledger numbers more there are. Their sums were compared too.
    pub totals_left_out: u64,
    /// What does not hold, the most telling first; nothing when all is well. At most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub left_out: u64,
    /// Rows that the shards looked at.
    pub rows: u64,
}

/// What one try came to.
enum Try {
    Done(Audit),
    /// Two shards differed at first, and did not when they were looked at again: something was dated back meanwhile.
    Late,
}

/// Where an audit tells how far it is; nowhere when nobody wants to know.
pub(crate) type Seen<'a> = Option<&'a watch::Sender<Progress>>;

impl Router {
    /// Audits all shards at one instant, while payments flow.
    ///
    /// # Errors
    /// When a shard does not answer; nothing is proved then.
    pub async fn audit(&self) -> Result<Audit, RouterError> {
        self.audit_watched(None, None).await
    }

    /// As [`Router::audit`]; `seen` is told from time to time how far it is, and `more` gets the sums of the ledger numbers that
    /// the answer leaves out, in order.
    ///
    /// # Errors
    /// As of [`Router::audit`].
    pub async fn audit_watched(
        &self,
        seen: Option<&watch::Sender<Progress>>,
        more: Option<&mpsc::Sender<Vec<LedgerSums>>>,
    ) -> Result<Audit, RouterError> {
        let audit = self.audit_at_rest(seen, more).await;
        self.audits.ended(&audit);
        audit
    }

    /// Tries until no import dates a transfer back to before the audit's instant meanwhile.
    async fn audit_at_rest(&self, seen: Seen<'_>, more: More<'_>) -> Result<Audit, RouterError> {
        for _ in 0..limits::AUDIT_TRIES {
            if let Try::Done(audit) = self.try_audit(seen, more).await? {
                return Ok(audit);
            }
        }
        Err(RouterError::Unknown(format!(
            "transfers were imported all the while, dated back to before the audit began ({} tries)",
            limits::AUDIT_TRIES
        )))
    }

    async fn try_audit(&self, seen: Seen<'_>, more: More<'_>) -> Result<Try, RouterError> {
        let shards = self.links.map().shards().to_vec();
        let number = self.driver.random.below(u64::MAX);
        let parts = async {
            let at = self.instant(&shards).await?;
            Ok::<_, RouterError>((at, self.parts(&shards, number, at).await?))
        };
        let (at, mut parts) = tokio::select! {
            biased;
            parts = parts => parts?,
            () = self.watch_shards(&shards, number, seen) => unreachable!("it watches for ever"),
        };
        let pages = parts.iter_mut().map(|(shard, part)| (*shard, std::mem::take(&mut part.totals))).collect();
        let (mut audit, pairs) = combine::combine(at, parts);
        progress::enter(seen, Stage::Pairing, pairs.len());
        let paired = pairs::look(self, at, pairs).await?;
        if audit.findings.is_empty() && paired.findings.is_empty() && paired.late {
            return Ok(Try::Late);
        }
        audit.findings.extend(paired.findings);
        // What a shard that can't be read has is missing on one side.
        let whole = audit.findings.iter().all(|finding| finding.kind != FindingKind::StoreDamaged);
        totals::add_up(self, number, pages, Sums::new(&mut audit, whole && !paired.late, more)).await?;
        self.complete_misplaced(&mut audit).await?;
        audit.findings.sort_by_key(|finding| finding.kind);
        audit.left_out += audit.findings.len().saturating_sub(FINDINGS_MAX) as u64;
        audit.findings.truncate(FINDINGS_MAX);
        self.driver.seen.note(at);
        Ok(Try::Done(audit))
    }

    /// An instant at or above everything that was acknowledged so far, ns; also of one shard alone.
    pub(crate) async fn instant(&self, shards: &[ShardId]) -> Result<Timestamp, RouterError> {
        let clocks = self.ask(shards.iter().map(|s| (*s, Query::Clock))).await?;
        Ok(clocks
            .iter()
            .filter_map(|a| if let QueryAnswer::Clock(at) = a { Some(*at) } else { None })
            .max()
            .unwrap_or(0))
    }

    /// All shards' parts. The first shard that fails ends it: the others' answers would prove nothing.
    async fn parts(
        &self,
        shards: &[ShardId],
        number: u64,
        at: Timestamp,
    ) -> Result<Vec<(ShardId, ShardAudit)>, RouterError> {
        let part = |shard: &ShardId| {
            let (shard, request) = (*shard, Request::Query(Query::Audit(number, at)));
            let answering = self.links.send(shard, request, limits::AUDIT_TIMEOUT);
            async move {
                match answering.await? {
                    Response::Query(QueryAnswer::Audit(part)) => Ok((shard, part)),
                    _ => Err(other_answer(shard)),
                }
            }
        };
        try_join_all(shards.iter().map(part)).await
    }

    /// An account that is on a shard which does not own it: is it with its owner too?
    async fn complete_misplaced(&self, audit: &mut Audit) -> Result<(), RouterError> {
        let misplaced = |f: &&mut Finding| f.kind == FindingKind::AccountMisplaced;
        for finding in audit.findings.iter_mut().filter(misplaced) {
            let Some(owner) = finding.other_shard else { continue };
            let answer = self.ask([(owner, Query::KnownAccounts(vec![finding.account_id]))]).await?.pop();
            let there = matches!(answer, Some(QueryAnswer::Accounts(accounts, _)) if !accounts.is_empty());
            finding.detail = if there { "where it is too" } else { "where it is not" }.to_owned();
        }
        Ok(())
    }
}
