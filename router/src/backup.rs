//! A backup of all shards at one instant, told page by page.
//!
//! The instant is found as for a read of all shards: nothing at or below it is in doubt, and it is in the middle of no chain.
//! From then on each shard is on its own. One that goes away is waited for and begun again at the same instant, since what a
//! shard holds at an instant does not change any more. (Imported events, which are dated back, are the exception: whoever
//! receives the backup compares the shards' ends.)

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use crest_ledger::Timestamp;
use crest_ledger::txn::ShardId;
use crest_ledger::wire::audit::LedgerSums;
use crest_ledger::wire::backup::{BackupAnswer, BackupBegin, BackupEnd, BackupKind, BackupSince};
use crest_ledger::wire::{Query, QueryAnswer, Request, Response};
use crest_link::LinkError;
use crest_topology::SlotRange;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::error::RouterError;
use crate::limits;
use crate::reads::other_answer;
use crate::router::Router;

/// What is told of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupEvent {
    /// It begins.
    Begun {
        /// The instant, ns.
        at: Timestamp,
        /// The epoch of the slot map.
        epoch: u64,
        /// All shards.
        shards: Vec<ShardId>,
        /// The slot map.
        slots: Vec<SlotRange>,
    },
    /// A shard's part begins; what was told of it before is void.
    ShardBegun(ShardId, String),
    /// A page of a shard: what it has, how many rows, the rows, and the bytes that were read for it.
    Page(ShardId, BackupKind, u32, Vec<u8>, u64),
    /// How the balances of some ledger numbers of a shard changed; those that its end has no room for.
    Changes(ShardId, Vec<LedgerSums>),
    /// A shard's part is complete.
    ShardEnd(ShardId, BackupEnd),
}

/// Who hears it.
pub type Listener = mpsc::Sender<BackupEvent>;

impl Router {
    /// Backs all shards up at one instant: what is new since the backup before, when that is given for all of them.
    ///
    /// # Errors
    /// [`RouterError::Invalid`] when a shard is not the one that was backed up before; others when a shard does not answer.
    /// What was told is worth nothing then.
    pub async fn backup(
        &self,
        since: Option<BTreeMap<ShardId, BackupSince>>,
        listener: &Listener,
    ) -> Result<(), RouterError> {
        let map = self.links.map();
        let shards = map.shards().to_vec();
        for shard in &shards {
            if since.as_ref().is_some_and(|since| !since.contains_key(shard)) {
                return Err(RouterError::Invalid(format!("shard {shard} is not in the backup before")));
            }
        }
        let before = since.iter().flat_map(BTreeMap::values).map(|since| since.at).max().unwrap_or(0);
        let at = self.backup_instant(&shards, before).await?;
        let slots = map.ranges();
        tell(listener, BackupEvent::Begun { at, epoch: map.epoch(), shards: shards.clone(), slots }).await?;
        let number = self.driver.random.below(u64::MAX);
        let parts = shards.into_iter().map(|shard| {
            let since = since.as_ref().and_then(|since| since.get(&shard).copied());
            self.part(shard, BackupBegin { number, at, since }, listener)
        });
        stream::iter(parts).buffer_unordered(limits::BACKUP_SHARDS).try_collect().await
    }

    /// An instant above the one before, at or above everything that was acknowledged so far, and in the middle of no chain. It is
    /// of today also where nothing has happened for long: backups are named by it.
    async fn backup_instant(&self, shards: &[ShardId], before: Timestamp) -> Result<Timestamp, RouterError> {
        let today = UNIX_EPOCH.elapsed().map_or(0, |since| Timestamp::try_from(since.as_nanos()).unwrap_or(0));
        let mut at = self.instant(shards).await?.max(today).max(before.saturating_add(1));
        for _ in 0..limits::INSTANT_TRIES {
            // A read of no account: all that its answer says is that the instant may be read.
            let answers = self.ask(shards.iter().map(|shard| (*shard, Query::Accounts(at, Vec::new())))).await?;
            let later = answers.iter().filter_map(|answer| match answer {
                QueryAnswer::Clock(later) => Some(*later),
                _ => None,
            });
            match later.max() {
                None => return Ok(at),
                Some(later) => at = at.max(later),
            }
        }
        Err(RouterError::Refused("no instant was found that is in the middle of no chain".to_owned()))
    }

    /// One shard's part, begun again where it breaks.
    async fn part(&self, shard: ShardId, begin: BackupBegin, listener: &Listener) -> Result<(), RouterError> {
        let mut heard = Instant::now();
        for _ in 0..limits::BACKUP_BEGINS_MAX {
            let cluster = loop {
                match self.ask_for_backup(shard, Query::BackupBegin(begin)).await {
                    Ok(BackupAnswer::Begun(cluster)) => break cluster,
                    Ok(BackupAnswer::Other(why)) => {
                        return Err(RouterError::Invalid(format!(
                            "shard {shard} is not the one of the backup before: {why}"
                        )));
                    }
                    Ok(_) => return Err(other_answer(shard)),
                    Err(e) if heard.elapsed() >= limits::BACKUP_PATIENCE => return Err(e.into()),
                    Err(_) => tokio::time::sleep(limits::BACKUP_PAUSE).await,
                }
            };
            tell(listener, BackupEvent::ShardBegun(shard, cluster)).await?;
            heard = Instant::now();
            if let Some(end) = self.pages(shard, begin.number, listener, &mut heard).await? {
                return tell(listener, BackupEvent::ShardEnd(shard, end)).await;
            }
        }
        Err(RouterError::Unknown(format!("the backup of shard {shard} broke {} times", limits::BACKUP_BEGINS_MAX)))
    }

    /// All pages, and the end; `None` when the shard does not go on with this.
    async fn pages(
        &self,
        shard: ShardId,
        number: u64,
        listener: &Listener,
        heard: &mut Instant,
    ) -> Result<Option<BackupEnd>, RouterError> {
        let mut page = 0;
        let mut tries = 0;
        loop {
            match self.ask_for_backup(shard, Query::BackupPage(number, page)).await {
                Ok(BackupAnswer::Page { kind, rows, body, read }) => {
                    tell(listener, BackupEvent::Page(shard, kind, rows, body, read)).await?;
                    // A client that takes its time is no silence of the shard's.
                    (*heard, page, tries) = (Instant::now(), page + 1, 0);
                }
                Ok(BackupAnswer::Changes(changes)) => {
                    tell(listener, BackupEvent::Changes(shard, changes)).await?;
                    (*heard, page, tries) = (Instant::now(), page + 1, 0);
                }
                Ok(BackupAnswer::End(end)) => return Ok(Some(end)),
                Ok(_) => return Err(other_answer(shard)),
                // The answer may be lost, and not the snapshot: then it is given again.
                Err(LinkError::Unknown { .. }) if tries == 0 => tries += 1,
                Err(why) => {
                    tracing::warn!(shard, page, %why, "a backup begins again with this shard");
                    return Ok(None);
                }
            }
        }
    }

    async fn ask_for_backup(&self, shard: ShardId, query: Query) -> Result<BackupAnswer, LinkError> {
        match self.links.send(shard, Request::Query(query), limits::REQUEST_TIMEOUT).await? {
            Response::Query(QueryAnswer::Backup(answer)) => Ok(answer),
            _ => Err(LinkError::Unknown { shard, why: "an answer of another kind".to_owned() }),
        }
    }
}

async fn tell(listener: &Listener, event: BackupEvent) -> Result<(), RouterError> {
    listener.send(event).await.map_err(|_| RouterError::Unknown("nobody listens any more".to_owned()))
}
