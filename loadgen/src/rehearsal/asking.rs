//! Questions to the ledger that are asked before and after the run, with patience: as often as it takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use crest_ledger::AccountStatus;
use crest_ledger::limits::BATCH_EVENTS_MAX;
use crest_proto::MESSAGE_BYTES_MAX;
use crest_proto::border::{account_result_from, account_to, id_to, number_from};
use crest_proto::v1;
use crest_proto::v1::ledger_client::LedgerClient;
use crest_proto::v1::operations_client::OperationsClient;
use futures_util::{StreamExt, TryStreamExt};
use tonic::Status;
use tonic::transport::Channel;

use super::plan::Plan;
use crate::connect::{connect, ledger};
use crate::retry::{Meaning, Patience, Pauses, meaning, until_settled};

/// Requests of one kind that are under way at the same time.
const IN_FLIGHT: usize = 4;
/// How patient questions are: a shard that was killed reads its log before it answers.
pub(crate) const PATIENCE: Patience = Patience { attempt: Duration::from_secs(30), total: Duration::from_secs(120) };
/// How long one audit may take: it reads everything.
const AUDIT: Duration = Duration::from_secs(3_600);

/// The four balances of an account: debits pending and posted, credits pending and posted.
pub(crate) type Balances = [u128; 4];

/// Connections for questions, to every router that answered: they take turns, so that whoever asks again asks another one.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    channels: Arc<[Channel]>,
    turn: Arc<AtomicUsize>,
}

impl Asking {
    /// Connects to these routers; those that do not answer are left out.
    ///
    /// # Errors
    /// When none answers.
    pub(crate) async fn connect(routers: &[String]) -> anyhow::Result<Self> {
        let (mut channels, mut failed) = (Vec::new(), None);
        for router in routers {
            match connect(router).await {
                Ok(channel) => channels.push(channel),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if channels.is_empty() => Err(error),
            _ => Ok(Self { channels: channels.into(), turn: Arc::default() }),
        }
    }

    fn channel(&self) -> Channel {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.channels[turn % self.channels.len()].clone()
    }

    fn ledger(&self) -> LedgerClient<Channel> {
        ledger(self.channel())
    }

    fn operations(&self) -> OperationsClient<Channel> {
        OperationsClient::new(self.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// What the shards say of themselves.
    ///
    /// # Errors
    /// When the router does not answer within `time`.
    pub(crate) async fn status(&self, time: Duration) -> anyhow::Result<v1::StatusResponse> {
        let mut operations = self.operations();
        let answer = tokio::time::timeout(time, operations.status(v1::StatusRequest {})).await;
        Ok(answer.context("asking for the status of the shards")??.into_inner())
    }

    /// Creates the accounts of the plan; those of an earlier run are used again.
    ///
    /// # Errors
    /// When the ledger does not answer or refuses one.
    pub(crate) async fn open_accounts(&self, plan: &Plan) -> anyhow::Result<()> {
        let places: Vec<usize> = (0..plan.population.members.len()).collect();
        let parts = places.chunks(BATCH_EVENTS_MAX).map(|part| self.create(plan, part));
        futures_util::stream::iter(parts).buffered(IN_FLIGHT).try_collect::<Vec<()>>().await?;
        Ok(())
    }

    async fn create(&self, plan: &Plan, places: &[usize]) -> anyhow::Result<()> {
        let accounts = places.iter().map(|&place| account_to(&plan.population.account(place, plan.ledger))).collect();
        let request = v1::CreateAccountsRequest { accounts };
        let settled = until_settled(PATIENCE, || {
            let (mut client, request) = (self.ledger(), request.clone());
            async move { client.create_accounts(request).await }
        });
        let results = settled.await.context("creating accounts")?.answer.into_inner().results;
        if results.len() != places.len() {
            bail!("creating accounts: {} results for {} accounts", results.len(), places.len());
        }
        for (result, &place) in results.into_iter().zip(places) {
            let (status, _): (AccountStatus, _) = account_result_from(result).context("creating accounts")?;
            if !status.is_done() {
                let id = plan.population.members[place].id;
                bail!("account {id:#034x} was refused: {status}; use another --ledger or --seed");
            }
        }
        Ok(())
    }

    /// Gives customers what they begin with.
    ///
    /// # Errors
    /// When the ledger does not answer or refuses it.
    pub(crate) async fn open_balances(&self, plan: &Plan) -> anyhow::Result<()> {
        let parts = plan.openings().map(|part| {
            let transfers = part.iter().map(|planned| plan.message(planned)).collect();
            self.open_part(v1::CreateTransfersRequest { transfers, independent: true })
        });
        futures_util::stream::iter(parts).buffered(IN_FLIGHT).try_collect::<Vec<()>>().await?;
        Ok(())
    }

    async fn open_part(&self, request: v1::CreateTransfersRequest) -> anyhow::Result<()> {
        let results = self.send(&request, PATIENCE).await.context("giving customers their opening balances")?;
        let done = [v1::CreateTransferStatus::Created as i32, v1::CreateTransferStatus::Exists as i32];
        match results.iter().find(|result| !done.contains(&result.status)) {
            None => Ok(()),
            Some(result) => bail!("an opening balance was refused: {}", result.status().as_str_name()),
        }
    }

    /// Sends transfers until they are settled.
    ///
    /// # Errors
    /// When they stay unsettled, are refused whole, or the answer does not fit.
    pub(crate) async fn send(
        &self,
        request: &v1::CreateTransfersRequest,
        patience: Patience,
    ) -> anyhow::Result<Vec<v1::CreateTransferResult>> {
        let settled = until_settled(patience, || {
            let (mut client, request) = (self.ledger(), request.clone());
            async move { client.create_transfers(request).await }
        });
        let results = settled.await?.answer.into_inner().results;
        if results.len() != request.transfers.len() {
            bail!("{} results for {} transfers", results.len(), request.transfers.len());
        }
        Ok(results)
    }

    /// The balances of all accounts of the plan, in its order, and the earliest instant that any of them is of.
    ///
    /// # Errors
    /// When the ledger does not answer, or an account is not there.
    pub(crate) async fn balances(&self, plan: &Plan) -> anyhow::Result<(Vec<Balances>, u64)> {
        let ids: Vec<u128> = plan.population.members.iter().map(|member| member.id).collect();
        let parts = ids.chunks(BATCH_EVENTS_MAX).map(|part| self.lookup(part));
        let parts: Vec<(Vec<Balances>, u64)> =
            futures_util::stream::iter(parts).buffered(IN_FLIGHT).try_collect().await?;
        let earliest = parts.iter().map(|part| part.1).min().unwrap_or(0);
        Ok((parts.into_iter().flat_map(|part| part.0).collect(), earliest))
    }

    async fn lookup(&self, ids: &[u128]) -> anyhow::Result<(Vec<Balances>, u64)> {
        let request = v1::LookupAccountsRequest { ids: ids.iter().map(|&id| id_to(id)).collect(), read: None };
        let settled = until_settled(PATIENCE, || {
            let (mut client, request) = (self.ledger(), request.clone());
            async move { client.lookup_accounts(request).await }
        });
        let answer = settled.await.context("reading balances")?.answer.into_inner();
        let balances =
            |a: &v1::Account| [a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted].map(number_from);
        let is_asked = |(account, &id): (&v1::Account, &u128)| number_from(account.id) == id;
        if answer.accounts.len() != ids.len() || !answer.accounts.iter().zip(ids).all(is_asked) {
            bail!("reading balances: {} of {} accounts are there", answer.accounts.len(), ids.len());
        }
        Ok((answer.accounts.iter().map(balances).collect(), answer.timestamp))
    }

    /// A page of the transfers on the plan's ledger number, oldest first.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub(crate) async fn page(&self, filter: &v1::QueryFilter) -> anyhow::Result<v1::QueryTransfersResponse> {
        let request = v1::QueryTransfersRequest { filter: Some(filter.clone()) };
        let settled = until_settled(PATIENCE, || {
            let (mut client, request) = (self.ledger(), request.clone());
            async move { client.query_transfers(request).await }
        });
        Ok(settled.await.context("reading the ledger's transfers")?.answer.into_inner())
    }

    /// Has the ledger audit itself; `progress` is told how far it is, in percent where that is known. What breaks off is
    /// begun again.
    ///
    /// # Errors
    /// When it could not be done.
    pub(crate) async fn audit(&self, mut progress: impl FnMut(Option<u64>)) -> anyhow::Result<v1::AuditResponse> {
        let begun = Instant::now();
        let mut pauses = Pauses::default();
        loop {
            let failed = match tokio::time::timeout(AUDIT, self.audit_once(&mut progress)).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded(format!("the audit has not ended within {AUDIT:?}")),
            };
            if meaning(failed.code()) == Meaning::Refused || begun.elapsed() > PATIENCE.total {
                return Err(failed).context("the ledger's audit");
            }
            tokio::time::sleep(pauses.next()).await;
        }
    }

    async fn audit_once(&self, progress: &mut impl FnMut(Option<u64>)) -> Result<v1::AuditResponse, Status> {
        use v1::watch_audit_response::Update;
        let mut updates = self.operations().watch_audit(v1::AuditRequest {}).await?.into_inner();
        while let Some(update) = updates.message().await? {
            match update.update {
                Some(Update::Response(response)) => return Ok(response),
                Some(Update::Progress(p)) => {
                    progress((p.rows_expected > 0).then(|| (p.rows.saturating_mul(100) / p.rows_expected).min(99)));
                }
                // The totals of other ledgers.
                Some(Update::Totals(_)) | None => {}
            }
        }
        Err(Status::unavailable("the audit ended without an answer"))
    }
}
