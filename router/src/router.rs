//! The router: everything that the ledger offers, over all shards.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crest_ledger::command::{Answer, Command};
use crest_ledger::txn::EventResult;
use crest_ledger::wire::{Request, Response};
use crest_ledger::{Account, Traffic, Transfer, TransferStatus};
use crest_link::Links;
use futures_util::future::join_all;

use crate::admission::Admission;
use crate::audit::Audits;
use crate::drive::{Driver, Tally};
use crate::error::RouterError;
use crate::finisher::Finisher;
use crate::known::Known;
use crate::place::{self, Placed, Spread};
use crate::random::Random;
use crate::seen::Seen;
use crate::{levels, limits, points};

/// A router. Cheap to clone; it keeps no state that matters.
#[derive(Clone)]
pub struct Router {
    pub(crate) links: Links,
    pub(crate) driver: Driver,
    known: Arc<Known>,
    admission: Admission,
    pub(crate) audits: Audits,
}

impl Router {
    /// A router over these shards. Must be called inside a tokio runtime.
    pub fn new(links: Links) -> Self {
        Self::with(links, Random::System)
    }

    /// As [`Router::new`], with the random numbers of a seed: the same requests take the same course, as long as messages
    /// do. Two routers that live at the same time must not have the same seed, or the same one again: attempts are told
    /// apart by these numbers.
    pub fn seeded(links: Links, seed: u64) -> Self {
        Self::with(links, Random::seeded(seed))
    }

    fn with(links: Links, random: Random) -> Self {
        let driver = Driver {
            links: links.clone(),
            finisher: Finisher::start(&links),
            random,
            seen: Seen::default(),
            blocked: Tally::new("crest_router_blocked_total"),
            attempts: Tally::new("crest_router_cross_shard_attempts_total"),
        };
        Self { links, driver, known: Arc::default(), admission: Admission::new(), audits: Audits::default() }
    }

    /// Creates accounts; one result for each, in order.
    ///
    /// # Errors
    /// [`RouterError`]: nothing was applied, or the outcome is unknown.
    pub async fn create_accounts(&self, accounts: Vec<Account>) -> Result<Vec<EventResult>, RouterError> {
        let traffic = Traffic::of_all(accounts.iter().map(|a| a.ledger));
        let _admitted = self.admission.admit(accounts.len(), traffic)?;
        let placed = place::accounts(accounts, self.links.map());
        self.run(&placed, false, &HashMap::new()).await
    }

    /// Creates transfers; one result for each, in order. With `independent` the caller says that no event needs another
    /// one's outcome.
    ///
    /// # Errors
    /// As of [`Router::create_accounts`].
    pub async fn create_transfers(
        &self,
        transfers: Vec<Transfer>,
        independent: bool,
    ) -> Result<Vec<EventResult>, RouterError> {
        Ok(self.create_transfers_of(transfers, independent).await?.0)
    }

    /// As [`Router::create_transfers`]; says also whose they turned out to be: posts and voids need not name a ledger.
    pub(crate) async fn create_transfers_of(
        &self,
        transfers: Vec<Transfer>,
        independent: bool,
    ) -> Result<(Vec<EventResult>, Traffic), RouterError> {
        let named = Traffic::of_all(transfers.iter().map(|t| t.ledger));
        let mut admitted = self.admission.admit(transfers.len(), named)?;
        let known = match transfers.iter().any(Transfer::resolves) {
            true => self.known.resolved(&self.links, &transfers).await?,
            false => HashMap::new(),
        };
        let placed = place::transfers(transfers, &known, self.links.map());
        let traffic = Traffic::of_all(placed.iter().map(|e| e.ledger));
        if traffic == Traffic::Rehearsal {
            self.admission.count_as_rehearsal(placed.len(), &mut admitted)?;
        }
        let flags = if independent || placed.len() == 1 {
            HashMap::new()
        } else {
            self.known.flags(&self.links, levels::shared_accounts(&placed)).await?
        };
        let results = self.run(&placed, independent, &flags).await?;
        self.remember_unknown_pending(&placed, &results).await?;
        Ok((results, traffic))
    }

    async fn run(
        &self,
        placed: &[Placed],
        independent: bool,
        flags: &HashMap<u128, crest_ledger::AccountFlags>,
    ) -> Result<Vec<EventResult>, RouterError> {
        let units = place::units(placed);
        for unit in &units {
            if matches!(unit.spread, Spread::Cross { stepwise: true, .. }) && unit.len > limits::STEPWISE_EVENTS_MAX {
                return Err(RouterError::Invalid(format!(
                    "transfers[{}]: expected a chain of at most {} events, since it has a balancing transfer and its \
                     accounts are on several shards; got {}",
                    unit.start,
                    limits::STEPWISE_EVENTS_MAX,
                    unit.len
                )));
            }
        }
        let levels = levels::levels(placed, &units, independent, flags);
        let work = self.driver.run(placed, &units, levels);
        match tokio::time::timeout(limits::REQUEST_TIMEOUT + Duration::from_secs(2), work).await {
            Ok(results) => results,
            Err(_) => Err(RouterError::Unknown("the shards did not answer in time".to_owned())),
        }
    }

    /// A post or void of an unknown pending transfer fails for good, but nobody knows on which shard a retry will be
    /// checked: so all of them remember its id, before the client hears of it. And when one of them knows that the id has
    /// succeeded after all (the pending transfer came about meanwhile, and another try of this request was faster), then that
    /// is not the answer.
    async fn remember_unknown_pending(&self, placed: &[Placed], results: &[EventResult]) -> Result<(), RouterError> {
        let failed = [TransferStatus::PendingTransferNotFound as u8, TransferStatus::IdAlreadyFailed as u8];
        let burned = placed.iter().zip(results).filter(|(e, r)| e.resolves() && failed.contains(&r.status));
        let ids: Vec<u128> = burned.map(|(e, _)| e.id()).collect();
        let shards = self.links.map().shards();
        if ids.is_empty() || shards.len() == 1 {
            return Ok(());
        }
        points::BEFORE_BURN.pass_async().await;
        let burn = || Request::commands(vec![Command::Burn(ids.clone())]);
        let answers = shards.iter().map(|shard| self.links.send(*shard, burn(), limits::REQUEST_TIMEOUT));
        for answer in join_all(answers).await {
            let response = answer.map_err(|e| RouterError::from(e).after_sending())?;
            let all_failed = match response {
                Response::Answers(answers) => match answers.first() {
                    Some(Answer::Finished(failed)) => failed.iter().all(|failed| *failed),
                    _ => false,
                },
                Response::Query(_) => false,
            };
            if !all_failed {
                return Err(RouterError::Unknown("a post or void has found its pending transfer meanwhile".to_owned()));
            }
        }
        Ok(())
    }
}
