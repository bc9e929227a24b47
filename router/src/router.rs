//! The router: everything that the ledger offers, over all shards.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crest_ledger::command::{Answer, Command};
use crest_ledger::records::Sides;
use crest_ledger::txn::{Event, EventResult, ShardId, Step};
use crest_ledger::wire::{Request, Response};
use crest_ledger::{Account, Traffic, Transfer, TransferFlags, TransferStatus};
use crest_link::Links;
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::admission::Admission;
use crate::audit::Audits;
use crate::drive::{Driver, Tally, unexpected};
use crate::error::RouterError;
use crate::finisher::Finisher;
use crate::known::{Known, Resolved};
use crate::learned::Open;
use crate::levels::Schedule;
use crate::place::{self, Placed, Spread, Unit};
use crate::random::Random;
use crate::seen::Seen;
use crate::stages::Stages;
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
        let plan = self.plan(placed, false).await?;
        self.driver.run(&plan.events, &plan.units, plan.schedule.levels).await
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
        let before = match transfers.iter().any(Transfer::resolves) {
            true => self.known.resolved(&self.links, &transfers).await?,
            false => HashMap::new(),
        };
        let mut stages = Stages::new(&transfers, self.links.map(), before);
        let traffic = stages.traffic();
        if traffic == Traffic::Rehearsal {
            self.admission.count_as_rehearsal(transfers.len(), &mut admitted)?;
        }
        let mut results = Vec::with_capacity(transfers.len());
        while results.len() < transfers.len() {
            let stage = self.run_stage(&mut stages, results.len(), independent).await;
            results.extend(stage.map_err(|e| if results.is_empty() { e } else { e.after_sending() })?);
        }
        self.remember_unknown_pending(&transfers, &results).await?;
        Ok((results, traffic))
    }

    /// Works on the stage that begins with the event `start`.
    async fn run_stage(
        &self,
        stages: &mut Stages<'_>,
        start: usize,
        independent: bool,
    ) -> Result<Vec<EventResult>, RouterError> {
        let mut plan = self.plan(stages.route(start), independent).await?;
        if plan.schedule.ids_repeat && stages.watch_ids() {
            plan = self.plan(stages.route(start), independent).await?;
        }
        if start == 0
            && plan.events.len() < stages.len()
            && let Some((start, len)) = stages.chain_too_long()
        {
            return Err(chain_too_long(start, len));
        }
        let results = self.driver.run(&plan.events, &plan.units, plan.schedule.levels).await?;
        let next = start + plan.events.len();
        if next < stages.len() {
            let open = stages.take(next, &plan.events, &plan.units, &results);
            self.close(stages, open).await.map_err(RouterError::after_sending)?;
        }
        Ok(results)
    }

    /// Finds out what the answers of a stage leave open, so that the next one can be routed.
    async fn close(&self, stages: &mut Stages<'_>, open: Open) -> Result<(), RouterError> {
        let mut burns: BTreeMap<ShardId, Vec<u128>> = BTreeMap::new();
        for (shard, id) in open.failed {
            burns.entry(shard).or_default().push(id);
        }
        let burns = burns.into_iter().map(|(shard, ids)| self.burn(shard, ids));
        let failed = join_all(burns).await.into_iter().collect::<Result<Vec<bool>, _>>()?;
        if failed.contains(&false) {
            return Err(RouterError::Unknown("a transfer that has failed has come about meanwhile".to_owned()));
        }
        let found = self.look_up_settled(open.exist.iter().chain(&open.perhaps).map(|(id, _)| *id)).await?;
        if let Some((id, _)) = open.exist.iter().find(|(id, _)| !found.contains_key(id)) {
            return Err(RouterError::Unknown(format!("no shard has the transfer {id}, which exists")));
        }
        let mut perhaps_failed: BTreeMap<ShardId, Vec<u128>> = BTreeMap::new();
        for (id, shards) in open.perhaps.iter().filter(|(id, _)| !found.contains_key(id)) {
            for shard in BTreeSet::from([shards.0, shards.1]) {
                perhaps_failed.entry(shard).or_default().push(*id);
            }
        }
        for (id, shards) in open.exist.into_iter().chain(open.perhaps) {
            if let Some(of) = found.get(&id) {
                stages.found(id, *of, shards);
            }
        }
        for (shard, ids) in perhaps_failed {
            self.failed_on(shard, &ids).await?.into_iter().for_each(|id| stages.failed(id, shard));
        }
        Ok(())
    }

    /// Which of these ids a shard remembers as failed: it is asked for each with an event that can never succeed.
    async fn failed_on(&self, shard: ShardId, ids: &[u128]) -> Result<Vec<u128>, RouterError> {
        let flags = TransferFlags(TransferFlags::RESOLVES);
        let step = |id: &u128| {
            let event = Event::Transfer(Transfer { id: *id, flags, ..Transfer::default() });
            Step { index: 0, sides: Sides::BOTH, request_status: 0, amount_max: 0, event }
        };
        let request = Request::commands(vec![Command::Create(ids.iter().map(step).collect())]);
        let response = self.links.send(shard, request, limits::REQUEST_TIMEOUT).await?;
        let results = match response {
            Response::Answers(answers) => match answers.into_iter().next() {
                Some(Answer::Results(results)) if results.len() == ids.len() => results,
                _ => return Err(unexpected(shard)),
            },
            Response::Query(_) => return Err(unexpected(shard)),
        };
        let failed = ids.iter().zip(results).filter(|(_, r)| r.status == TransferStatus::IdAlreadyFailed as u8);
        Ok(failed.map(|(id, _)| *id).collect())
    }

    /// The transfers with these ids, once none of them is in doubt.
    async fn look_up_settled(
        &self,
        ids: impl Iterator<Item = u128> + Clone,
    ) -> Result<HashMap<u128, Resolved>, RouterError> {
        let began = Instant::now();
        loop {
            let (found, unreached) = self.known.look_up(&self.links, ids.clone()).await;
            if let Some(e) = unreached {
                return Err(e);
            }
            if found.values().all(|found| found.recorded) {
                return Ok(found);
            }
            if began.elapsed() > limits::REQUEST_TIMEOUT {
                return Err(RouterError::Unknown("an id of the request is in doubt in another transfer".to_owned()));
            }
            tokio::time::sleep(self.driver.random.jittered(limits::BLOCKED_PAUSE_MAX)).await;
        }
    }

    /// Puts routed events in their order. Nothing is sent yet that changes anything.
    async fn plan(&self, events: Vec<Placed>, independent: bool) -> Result<Plan, RouterError> {
        let units = place::units(&events);
        let flags = if independent || events.len() == 1 || events.first().is_some_and(Placed::is_account) {
            HashMap::new()
        } else {
            self.known.flags(&self.links, levels::shared_accounts(&events)).await?
        };
        let stepwise = |unit: &&Unit| matches!(unit.spread, Spread::Cross { stepwise: true, .. });
        if let Some(unit) = units.iter().filter(stepwise).find(|unit| unit.len > limits::STEPWISE_EVENTS_MAX) {
            return Err(chain_too_long(unit.start, unit.len));
        }
        let schedule = levels::schedule(&events, &units, independent, &flags);
        Ok(Plan { events, units, schedule })
    }

    /// A post or void of an unknown pending transfer fails for good, but nobody knows on which shard a retry will be
    /// checked: so all of them remember its id, before the client hears of it. And when one of them knows that the id has
    /// succeeded after all (the pending transfer came about meanwhile, and another try of this request was faster), then that
    /// is not the answer.
    async fn remember_unknown_pending(
        &self,
        transfers: &[Transfer],
        results: &[EventResult],
    ) -> Result<(), RouterError> {
        let failed = [TransferStatus::PendingTransferNotFound as u8, TransferStatus::IdAlreadyFailed as u8];
        let burned = transfers.iter().zip(results).filter(|(t, r)| t.resolves() && failed.contains(&r.status));
        let ids: Vec<u128> = burned.map(|(t, _)| t.id).collect();
        let shards = self.links.map().shards();
        if ids.is_empty() || shards.len() == 1 {
            return Ok(());
        }
        points::BEFORE_BURN.pass_async().await;
        for all_failed in join_all(shards.iter().map(|shard| self.burn(*shard, ids.clone()))).await {
            if !all_failed? {
                return Err(RouterError::Unknown("a post or void has found its pending transfer meanwhile".to_owned()));
            }
        }
        Ok(())
    }

    /// Has a shard remember that these ids have failed for good. Answers whether it does, of all of them.
    async fn burn(&self, shard: ShardId, ids: Vec<u128>) -> Result<bool, RouterError> {
        let request = Request::commands(vec![Command::Burn(ids)]);
        let response = self.links.send(shard, request, limits::REQUEST_TIMEOUT).await;
        Ok(match response.map_err(|e| RouterError::from(e).after_sending())? {
            Response::Answers(answers) => match answers.first() {
                Some(Answer::Finished(failed)) => failed.iter().all(|failed| *failed),
                _ => false,
            },
            Response::Query(_) => false,
        })
    }
}

/// A stage that is about to be worked on.
struct Plan {
    events: Vec<Placed>,
    units: Vec<Unit>,
    schedule: Schedule,
}

fn chain_too_long(start: usize, len: usize) -> RouterError {
    RouterError::Invalid(format!(
        "transfers[{start}]: expected a chain of at most {} events, since it has a balancing transfer and its accounts are \
         on several shards; got {len}",
        limits::STEPWISE_EVENTS_MAX
    ))
}
