//! The proof: what the ledger acknowledged is there, and nothing else.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use crest_ledger::limits::BATCH_EVENTS_MAX;
use crest_ledger::{Account, AccountStatus};
use crest_proto::MESSAGE_BYTES_MAX;
use crest_proto::border::{MoreTotals, account_result_from, account_to, ids_to, number_from};
use crest_proto::v1;
use crest_proto::v1::ledger_client::LedgerClient;
use crest_proto::v1::operations_client::OperationsClient;
use crest_proto::v1::watch_audit_response::Update;
use futures_util::{StreamExt, TryStreamExt};
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::plan::{CODE, Plan};
use super::stats::{Payment, Stats};
use crate::retry::{Patience, until_settled};

/// Requests in flight while accounts are created and samples are looked up.
const IN_FLIGHT: usize = 4;
/// How long one audit may take: it reads everything.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(600);
/// How long to wait for an audit of a late enough instant, and how often to ask.
const AUDIT_WAIT: Duration = Duration::from_secs(10);
const AUDIT_PAUSE: Duration = Duration::from_millis(100);
/// Findings that are listed.
const FINDINGS_MAX: usize = 100;

/// Who answers, and how long to wait.
#[derive(Clone, Debug)]
pub(crate) struct Prover {
    client: LedgerClient<Channel>,
    operations: OperationsClient<Channel>,
    patience: Patience,
    ledger: u32,
}

/// An audit, as far as it concerns the rehearsal.
#[derive(Clone, Debug)]
pub(crate) struct Audit {
    pub(crate) response: v1::AuditResponse,
    /// All that was debited and credited on the rehearsal's ledger number.
    debits: u128,
    credits: u128,
}

/// What the proof found.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) audit: Audit,
    /// Sampled payments that were looked up, and those found as they were acknowledged.
    pub(crate) sampled: usize,
    pub(crate) found: usize,
    /// Transfers with an unknown outcome that turned out to be there.
    pub(crate) unsettled_found: usize,
    /// What is wrong with the money.
    pub(crate) wrong: Vec<String>,
    /// What could not be decided.
    pub(crate) undecided: Vec<String>,
}

impl Prover {
    pub(crate) fn new(client: LedgerClient<Channel>, channel: Channel, patience: Patience, ledger: u32) -> Self {
        let operations = OperationsClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Self { client, operations, patience, ledger }
    }

    /// Creates the accounts of the plan; those of an earlier run are used again.
    ///
    /// # Errors
    /// When the ledger does not answer or refuses one.
    pub(crate) async fn open_accounts(&self, plan: &Plan) -> anyhow::Result<()> {
        let parts = plan.accounts.chunks(BATCH_EVENTS_MAX).map(|ids| self.create(ids));
        // An iterator of futures that borrow is polled a few at a time, in order.
        futures_util::stream::iter(parts).buffered(IN_FLIGHT).try_collect::<Vec<()>>().await?;
        Ok(())
    }

    async fn create(&self, ids: &[u128]) -> anyhow::Result<()> {
        let account = |&id| account_to(&Account { id, ledger: self.ledger, code: CODE, ..Default::default() });
        let request = v1::CreateAccountsRequest { accounts: ids.iter().map(account).collect() };
        let settled = until_settled(self.patience, || {
            let (mut client, request) = (self.client.clone(), request.clone());
            async move { client.create_accounts(request).await }
        });
        let results = settled.await.context("creating accounts")?.answer.into_inner().results;
        if results.len() != ids.len() {
            bail!("creating accounts: {} results for {} accounts", results.len(), ids.len());
        }
        for (result, id) in results.into_iter().zip(ids) {
            let (status, _): (AccountStatus, _) = account_result_from(result).context("creating accounts")?;
            if !status.is_done() {
                bail!("account {id:#034x} was refused: {status}; use another --ledger or --seed");
            }
        }
        Ok(())
    }

    /// The totals before the run, of an instant at which everything that was acknowledged before is in them.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub(crate) async fn baseline(&self, plan: &Plan) -> anyhow::Result<Audit> {
        let (_, now) = crate::replay::lookup(&self.client, self.patience, &plan.accounts[..1]).await?;
        self.audit_when(|audit| audit.response.timestamp >= now).await
    }

    /// Compares the books with the ledger.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub(crate) async fn prove(&self, before: &Audit, stats: &Stats) -> anyhow::Result<Proof> {
        let unsettled = self.find(&stats.unsettled).await?;
        let unsettled_found: Vec<&Payment> =
            stats.unsettled.iter().filter(|payment| unsettled.get(&payment.id) == Some(payment)).collect();
        let expected = unsettled_found.iter().fold(stats.amount, |sum, payment| sum.saturating_add(payment.amount));
        let change =
            |audit: &Audit| (audit.debits.checked_sub(before.debits), audit.credits.checked_sub(before.credits));
        let is_late_enough = |audit: &Audit| audit.response.timestamp >= stats.timestamp;
        // Equal totals need no waiting; different ones prove something only when every acknowledged payment is in them.
        let equal = |audit: &Audit| change(audit) == (Some(expected), Some(expected));
        let audit = self.audit_when(|audit| equal(audit) || is_late_enough(audit)).await?;
        let (mut wrong, mut undecided) = (Vec::new(), Vec::new());
        if !audit.response.holds {
            wrong.push("the audit found that an invariant does not hold".to_owned());
            wrong.extend(audit.response.findings.iter().take(FINDINGS_MAX).map(|finding| finding.text.clone()));
        }
        if !equal(&audit) {
            let [debits, credits] =
                [change(&audit).0, change(&audit).1].map(|n| n.map_or("less than 0".into(), |n| n.to_string()));
            let text = format!(
                "ledger {}: acknowledged payments sum to {expected}, but its debits grew by {debits} and its credits by {credits}",
                self.ledger
            );
            if stats.unsettled.len() > unsettled_found.len() {
                undecided
                    .push(format!("{text}; {} outcomes are unknown", stats.unsettled.len() - unsettled_found.len()));
            } else if is_late_enough(&audit) {
                wrong.push(format!("{text} (is somebody else using this ledger number?)"));
            } else {
                undecided.push(format!("{text}; the audit is of an instant before the last of them"));
            }
        }
        let sample = &stats.sample.taken;
        let there = self.find(sample).await?;
        let missing: Vec<&Payment> = sample.iter().filter(|payment| there.get(&payment.id) != Some(payment)).collect();
        wrong.extend(missing.iter().take(FINDINGS_MAX).map(|payment| lost(payment, there.get(&payment.id))));
        let found = sample.len() - missing.len();
        Ok(Proof { audit, sampled: sample.len(), found, unsettled_found: unsettled_found.len(), wrong, undecided })
    }

    /// Audits until `is_enough` says so, or [`AUDIT_WAIT`] is over; gives the last one.
    async fn audit_when(&self, is_enough: impl Fn(&Audit) -> bool) -> anyhow::Result<Audit> {
        let begun = Instant::now();
        loop {
            let audit = self.audit().await?;
            if is_enough(&audit) || begun.elapsed() >= AUDIT_WAIT {
                return Ok(audit);
            }
            tokio::time::sleep(AUDIT_PAUSE).await;
        }
    }

    async fn audit(&self) -> anyhow::Result<Audit> {
        let patience = Patience { attempt: AUDIT_TIMEOUT, total: self.patience.total };
        let settled = until_settled(patience, || {
            let operations = self.operations.clone();
            async move { whole_audit(operations).await.map(Response::new) }
        });
        let response = settled.await.context("asking for an audit")?.answer.into_inner();
        let totals = response.totals.iter().find(|totals| totals.ledger == self.ledger).copied().unwrap_or_default();
        let (debits, credits) = (number_from(totals.debits_posted), number_from(totals.credits_posted));
        Ok(Audit { response, debits, credits })
    }

    /// Those of `payments` that are in the ledger, as the ledger has them.
    async fn find(&self, payments: &[Payment]) -> anyhow::Result<HashMap<u128, Payment>> {
        let parts = payments.chunks(BATCH_EVENTS_MAX).map(|part| self.find_part(part));
        let found: Vec<Vec<Payment>> = futures_util::stream::iter(parts).buffered(IN_FLIGHT).try_collect().await?;
        Ok(found.into_iter().flatten().map(|payment| (payment.id, payment)).collect())
    }

    async fn find_part(&self, payments: &[Payment]) -> anyhow::Result<Vec<Payment>> {
        let ids: Vec<u128> = payments.iter().map(|payment| payment.id).collect();
        let request = v1::LookupTransfersRequest { ids: ids_to(&ids), read: None };
        let settled = until_settled(self.patience, || {
            let (mut client, request) = (self.client.clone(), request.clone());
            async move { client.lookup_transfers(request).await }
        });
        let response = settled.await.context("looking transfers up")?.answer.into_inner();
        Ok(response.transfers.iter().map(Payment::from).collect())
    }
}

/// An audit with the totals of all ledgers: that of a rehearsal is among the highest numbers, which a response alone may leave out.
async fn whole_audit(mut operations: OperationsClient<Channel>) -> Result<v1::AuditResponse, Status> {
    let mut updates = operations.watch_audit(v1::AuditRequest {}).await?.into_inner();
    let mut more = MoreTotals::default();
    while let Some(update) = updates.message().await? {
        match update.update {
            Some(Update::Totals(totals)) => more.take(totals),
            // What is missing may come with the next audit.
            Some(Update::Response(response)) => {
                return more.complete(response).map_err(|e| Status::unavailable(e.to_string()));
            }
            Some(Update::Progress(_)) | None => {}
        }
    }
    Err(Status::unavailable("the audit ended without an answer"))
}

fn lost(payment: &Payment, found: Option<&Payment>) -> String {
    let Payment { id, amount, .. } = payment;
    match found {
        None => format!("acknowledged transfer {id:#034x} over {amount} is not in the ledger"),
        Some(other) => format!("acknowledged transfer {id:#034x} over {amount} is in the ledger as {other:x?}"),
    }
}
