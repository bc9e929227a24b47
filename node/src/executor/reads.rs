//! Reading: every answer is of one instant, and nothing that was in doubt at that instant is left open.
//!
//! A read that names its instant waits until no hold at or below it is open, every entry that was proposed before is
//! applied, and the shard's clock has reached it in an applied entry, which no crash takes back; then it reads the state and
//! takes back what lies above the instant.
//!
//! A read that wants "now" first has to find out when that is. What was acknowledged before it came may have been decided on
//! another shard, at a timestamp above this shard's clock; but then its hold is still open here. So the read waits until
//! the holds that were open when it came have ended; their ends have moved the clock above all those decisions, and the
//! clock's time then is its instant.
//!
//! Before that, a majority has to confirm that this replica still leads, in a round that began after the read came: a leader that
//! was cut off does not know of its successor. A read of a named instant needs no such round, and may be answered by any
//! replica: the log's times only rise, so once an applied entry has reached the instant, nothing can appear at or below it.
//!
//! No read is taken in the middle of a chain, whose events have timestamps of their own but happen as a whole. A read of
//! "now" moves on to the chain's end; one that names its instant is answered with that end, since all shards have to read at
//! the same one.

use crest_ledger::records::{Effect, TransferRecord};
use crest_ledger::wire::{Query, QueryAnswer, Response};
use crest_ledger::{Account, AccountFilter, QueryFilter, Timestamp, Transfer, TransferFlags};
use crest_link::LinkError;
use tokio::time::Instant;

use super::{Ended, Executor, Reply};
use crate::audit::Task;
use crate::limits;
use crate::store::StoreError;

/// A read that waits.
pub(super) struct Parked {
    query: Query,
    pub(super) reply: Reply,
    since: Instant,
    waits: Waits,
    /// The round that has to confirm that this replica leads; none where it does not matter.
    round: Option<u64>,
}

/// What a read waits for.
#[derive(Clone, Copy)]
enum Waits {
    /// The holds that were open when it came, at or below this instant, ns.
    HoldsUntil(Timestamp),
    /// All that is at or below its instant, and the entries up to `barrier`.
    Instant { at: Timestamp, barrier: u64 },
    /// Nothing: it asks for what is, in doubt or not.
    Nothing,
}

impl Executor {
    /// Takes a read on.
    pub(super) fn park(&mut self, query: Query, reply: Reply) {
        if self.state.parked.len() >= limits::PARKED_READS_MAX {
            let why = format!("{} reads wait already", limits::PARKED_READS_MAX);
            let _ = reply.send(Err(LinkError::Refused { shard: self.shard, why }));
            return;
        }
        let named = query.instant();
        if let Some(why) = self.too_far_ahead(named) {
            let _ = reply.send(Err(LinkError::CannotTakePart { shard: self.shard, why }));
            return;
        }
        let waits = match &query {
            Query::Status | Query::Health(_) | Query::Pending(_) | Query::KnownAccounts(_) => Waits::Nothing,
            Query::AuditProgress(_) | Query::AuditBuckets(_) | Query::AuditHalves(_) => Waits::Nothing,
            Query::BackupPage(..) | Query::AuditTotals(..) => Waits::Nothing,
            Query::InDoubt(_) | Query::Attempts(_) | Query::Resolutions(_) => Waits::Nothing,
            _ if named == 0 => Waits::HoldsUntil(self.tables.now()),
            _ => Waits::Instant { at: named, barrier: self.consensus.last_index() },
        };
        // At a named instant it does not matter who leads: once an applied entry has reached it, nothing can appear below.
        let round = match (&query, waits) {
            (Query::Status | Query::Health(_) | Query::AuditProgress(_) | Query::AuditTotals(..), _)
            | (_, Waits::Instant { .. }) => None,
            _ => Some(self.state.rounds.next()),
        };
        // From now on this shard gives no timestamp at or below a named instant.
        self.state.promised = self.state.promised.max(named);
        self.state.parked.push_back(Parked { query, reply, since: Instant::now(), waits, round });
    }

    /// Takes on a read of an instant at a replica that does not lead: from what it has applied, once that has reached the
    /// instant. No entry that comes later has a time at or below it.
    pub(super) fn park_as_follower(&mut self, query: Query, reply: Reply) {
        if self.state.parked.len() >= limits::PARKED_READS_MAX {
            let why = format!("{} reads wait already", limits::PARKED_READS_MAX);
            let _ = reply.send(Err(LinkError::Refused { shard: self.shard, why }));
            return;
        }
        let waits = Waits::Instant { at: query.instant(), barrier: 0 };
        self.state.parked.push_back(Parked { query, reply, since: Instant::now(), waits, round: None });
    }

    /// Begins a round when a read waits for one and none is under way. Answers whether it has.
    fn confirm_reads(&mut self) -> bool {
        let rounds = &self.state.rounds;
        let wanted = self.state.parked.iter().any(|parked| parked.round == Some(rounds.next()));
        if !wanted || rounds.is_busy() || !self.consensus.confirm_reads(rounds.next()) {
            return false;
        }
        self.state.rounds.begin();
        true
    }

    /// Answers the reads that may be answered. Answers whether others were asked to confirm some.
    pub(super) fn run_parked(&mut self) -> Result<bool, String> {
        let asked = self.confirm_reads();
        let began = Instant::now();
        let (confirmed, index) = self.state.rounds.confirmed();
        for _ in 0..self.state.parked.len() {
            if began.elapsed() > limits::READS_SLICE {
                break;
            }
            let Some(mut parked) = self.state.parked.pop_front() else { break };
            if parked.round.is_some_and(|round| round > confirmed || self.applied < index) {
                if parked.since.elapsed() > limits::PARKED_READ_TIMEOUT {
                    let why = "no majority has confirmed in time that this replica leads; read again".to_owned();
                    let _ = parked.reply.send(Err(LinkError::Unknown { shard: self.shard, why }));
                } else {
                    self.state.parked.push_back(parked);
                }
                continue;
            }
            if parked.round.take().is_some() && matches!(parked.waits, Waits::HoldsUntil(_)) {
                // Only now all that was acknowledged before the read came is known to be applied here, holds included.
                parked.waits = Waits::HoldsUntil(self.tables.now());
            }
            let oldest = self.tables.holds().oldest().unwrap_or(Timestamp::MAX);
            if let Waits::HoldsUntil(arrival) = parked.waits
                && oldest > arrival
            {
                // Every later timestamp of this shard is above this one, whatever is still to be applied.
                parked.waits = Waits::Instant { at: self.tables.now(), barrier: 0 };
                if matches!(parked.query, Query::Clock) {
                    parked.waits = Waits::Nothing;
                }
            }
            match parked.waits {
                Waits::Nothing => self.answer(parked, self.tables.now())?,
                Waits::Instant { at, barrier } if oldest > at && self.applied >= barrier && self.tables.now() >= at => {
                    self.answer_whole(parked, at, barrier)?;
                }
                _ if parked.since.elapsed() > limits::PARKED_READ_TIMEOUT => {
                    let why = "transfers in doubt did not end in time; read again".to_owned();
                    let _ = parked.reply.send(Err(LinkError::Unknown { shard: self.shard, why }));
                }
                _ => self.state.parked.push_back(parked),
            }
        }
        Ok(asked)
    }

    /// Answers a read of the instant `at`, unless that is in the middle of a chain.
    fn answer_whole(&mut self, mut parked: Parked, at: Timestamp, barrier: u64) -> Ended {
        let whole = self.tables.chains().whole_at(at);
        if whole == at || matches!(parked.query, Query::Audit(..) | Query::AuditRecords(..) | Query::BackupBegin(_)) {
            return self.answer(parked, at);
        }
        if parked.query.instant() != 0 {
            let _ = parked.reply.send(Ok(Response::Query(QueryAnswer::Clock(whole))));
        } else if self.tables.holds().oldest().is_none_or(|oldest| oldest > whole) {
            return self.answer(parked, whole);
        } else {
            parked.waits = Waits::Instant { at: whole, barrier };
            self.state.parked.push_back(parked);
        }
        Ok(())
    }

    fn answer(&mut self, parked: Parked, at: Timestamp) -> Ended {
        match parked.query {
            Query::Audit(number, _) => return self.start_audit(parked, number, at),
            Query::BackupBegin(begin) => return self.start_backup(parked, begin),
            Query::BackupPage(number, page) => {
                self.ask_backup(number, page, parked.reply);
                return Ok(());
            }
            Query::AuditTotals(number, after) => {
                let page = self.audit_totals(number, after);
                let _ = parked.reply.send(page.map(|page| Response::Query(QueryAnswer::AuditTotals(page))));
                return Ok(());
            }
            Query::AuditBuckets(query) => return self.queue_audit(Task::Buckets(query), parked.reply),
            Query::AuditHalves(query) => return self.queue_audit(Task::Halves(query), parked.reply),
            Query::Health(from) => {
                let health = QueryAnswer::Health(self.health(from));
                let _ = parked.reply.send(Ok(Response::Query(health)));
                return Ok(());
            }
            _ => {}
        }
        let answer = match self.read(&parked.query, at) {
            Ok(answer) => Ok(Response::Query(answer)),
            Err(e @ StoreError::TooFarBack { .. }) => Err(LinkError::Refused { shard: self.shard, why: e.to_string() }),
            Err(e) => return Err(e.to_string()),
        };
        let _ = parked.reply.send(answer);
        Ok(())
    }

    fn read(&self, query: &Query, at: Timestamp) -> Result<QueryAnswer, StoreError> {
        Ok(match query {
            Query::Status => QueryAnswer::Status(self.status()),
            Query::Clock => QueryAnswer::Clock(self.tables.now()),
            Query::Accounts(_, ids) => QueryAnswer::Accounts(self.accounts_at(ids, at)?, Some(at)),
            Query::Transfers(_, ids) => QueryAnswer::Transfers(self.transfers_by_id(ids, at)?, None),
            Query::Pending(ids) => {
                let mut rows = self.transfers_by_id(ids, Timestamp::MAX)?;
                // A pending transfer may have been acknowledged by its decider while this shard still holds it.
                let held = ids.iter().filter_map(|id| self.tables.holds().transfer(*id));
                rows.extend(held.filter(|t| !t.resolves()));
                QueryAnswer::Pending(rows)
            }
            Query::KnownAccounts(ids) => QueryAnswer::Accounts(self.accounts_at(ids, Timestamp::MAX)?, None),
            Query::AccountTransfers(_, filter) => {
                let (rows, next) = self.account_transfers(filter, at, |t, _| Some(*t))?;
                QueryAnswer::Transfers(rows, next)
            }
            Query::AccountBalances(_, filter) => {
                let ledger = std::cell::Cell::new(0);
                let row = |t: &Transfer, balance| {
                    ledger.set(t.ledger);
                    balance
                };
                let (rows, next) = self.account_transfers(filter, at, row)?;
                QueryAnswer::Balances { rows, next, ledger: ledger.get() }
            }
            Query::QueryAccounts(_, filter) => {
                let (rows, next) = self.query_accounts(filter, at)?;
                QueryAnswer::Accounts(rows, next)
            }
            Query::QueryTransfers(_, filter) => {
                let (rows, next) = self.query_transfers(filter, at)?;
                QueryAnswer::Transfers(rows, next)
            }
            Query::InDoubt(filter) => QueryAnswer::InDoubt(self.in_doubt_page(filter)),
            Query::Attempts(txns) => QueryAnswer::Attempts(self.known(txns)?),
            Query::Resolutions(limit) => QueryAnswer::Resolutions(self.newest_resolutions(*limit)),
            Query::AuditProgress(number) => QueryAnswer::AuditProgress(self.audit_progress(*number)),
            Query::AuditRecords(_, times) => QueryAnswer::AuditHalves(self.audit_records(times, at)?),
            Query::Audit(..) | Query::AuditTotals(..) | Query::AuditBuckets(_) | Query::AuditHalves(_) => {
                unreachable!("an audit is answered by its own thread, or out of what that has kept")
            }
            Query::BackupBegin(_) | Query::BackupPage(..) => unreachable!("a backup has a thread of its own"),
            Query::Health(_) => unreachable!("it is answered at once, and changes what is known of others"),
        })
    }

    /// Accounts as they were at an instant, in the order asked.
    pub(super) fn accounts_at(&self, ids: &[u128], at: Timestamp) -> Result<Vec<Account>, StoreError> {
        let new = self.tables.new_layer();
        let cold: Vec<u128> = ids.iter().copied().filter(|id| !new.accounts.contains_key(id)).collect();
        let mut found = std::collections::HashMap::new();
        self.store.accounts(&cold, |id, account| {
            found.extend(account.map(|a| (id, a)));
        })?;
        let mut accounts = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(account) = new.accounts.get(id).or_else(|| found.get(id)) else { continue };
            accounts.extend(self.account_at(*account, at)?);
        }
        Ok(accounts)
    }

    fn account_at(&self, mut account: Account, at: Timestamp) -> Result<Option<Account>, StoreError> {
        if account.timestamp > at {
            return Ok(None);
        }
        if at >= self.tables.now() {
            return Ok(Some(account));
        }
        let new = Some(self.tables.new_layer());
        let most = limits::TAKEN_BACK_MAX;
        let later = self.store.history(new, account.id, at + 1, Timestamp::MAX, true, most + 1)?;
        if later.len() > most {
            return Err(StoreError::TooFarBack { account: account.id, most });
        }
        for (time, _) in later {
            let Some(record) = self.record_at(time)? else { continue };
            let resolved = self.resolved_by(&record.transfer)?;
            Effect::of(&record.transfer, resolved.as_ref(), account.id).revert(&mut account);
        }
        Ok(Some(account))
    }

    /// The pending transfer that a post, void or expiry resolved.
    fn resolved_by(&self, t: &Transfer) -> Result<Option<Transfer>, StoreError> {
        if !t.flags.any(TransferFlags::RESOLVES | TransferFlags::EXPIRY) {
            return Ok(None);
        }
        Ok(self.transfers_by_id(&[t.pending_id], Timestamp::MAX)?.pop())
    }

    fn record_at(&self, time: Timestamp) -> Result<Option<TransferRecord>, StoreError> {
        let mut found = self.tables.new_layer().transfers.get(&time).copied();
        if found.is_none() {
            self.store.transfers(&[time], |_, record| found = record)?;
        }
        Ok(found)
    }

    pub(super) fn transfers_by_id(&self, ids: &[u128], at: Timestamp) -> Result<Vec<Transfer>, StoreError> {
        let new = self.tables.new_layer();
        let mut times = std::collections::HashMap::new();
        let cold: Vec<u128> = ids.iter().copied().filter(|id| !new.ids.contains_key(id)).collect();
        self.store.ids(&cold, |id, entry| times.extend(entry.map(|e| (id, e))))?;
        let entry = |id: &u128| new.ids.get(id).or_else(|| times.get(id)).copied();
        let done = |id: &u128| entry(id).filter(|e| e.state != crest_ledger::records::IdState::Failed);
        let wanted: Vec<Timestamp> =
            ids.iter().filter_map(|id| Some(done(id)?.timestamp)).filter(|t| *t <= at).collect();
        let mut rows = Vec::with_capacity(wanted.len());
        for record in self.records_at(&wanted)? {
            rows.push(record.transfer);
        }
        Ok(rows)
    }

    /// The records at these instants, in the order asked; those that are not there are left out.
    pub(super) fn records_at(&self, times: &[Timestamp]) -> Result<Vec<TransferRecord>, StoreError> {
        let new = self.tables.new_layer();
        let cold: Vec<Timestamp> = times.iter().copied().filter(|t| !new.transfers.contains_key(t)).collect();
        let mut found = std::collections::HashMap::new();
        self.store.transfers(&cold, |time, record| found.extend(record.map(|r| (time, r))))?;
        Ok(times.iter().filter_map(|t| new.transfers.get(t).or_else(|| found.get(t)).copied()).collect())
    }

    /// A page of one account's history: `row` makes of a record and the balance after it what the list shows, if anything.
    fn account_transfers<T>(
        &self,
        filter: &AccountFilter,
        at: Timestamp,
        row: impl Fn(&Transfer, Option<crest_ledger::AccountBalance>) -> Option<T>,
    ) -> Result<(Vec<T>, Option<Timestamp>), StoreError> {
        let mut page = Paging::new(filter.page, at);
        let mut rows = Vec::new();
        while let Some((min, max, limit)) = page.next_chunk(rows.len()) {
            let new = Some(self.tables.new_layer());
            let chunk = self.store.history(new, filter.account_id, min, max, page.newest_first, limit)?;
            let times: Vec<Timestamp> = chunk.iter().map(|(time, _)| *time).collect();
            let records = self.records_at(&times)?;
            for ((time, balance), record) in chunk.iter().zip(&records) {
                if page.is_full(rows.len()) {
                    break;
                }
                page.passed(*time);
                if filter.matches(&record.transfer) {
                    rows.extend(row(&record.transfer, *balance));
                }
            }
            page.end_chunk(chunk.len(), limit, rows.len());
        }
        Ok((rows, page.cursor()))
    }

    fn query_accounts(
        &self,
        filter: &QueryFilter,
        at: Timestamp,
    ) -> Result<(Vec<Account>, Option<Timestamp>), StoreError> {
        let mut page = Paging::new(filter.page, at);
        let mut rows = Vec::new();
        while let Some((min, max, limit)) = page.next_chunk(rows.len()) {
            let chunk = self.store.accounts_between(self.tables.new_layer(), min, max, page.newest_first, limit)?;
            let ids: Vec<u128> = chunk.iter().map(|(_, id)| *id).collect();
            for account in self.accounts_at(&ids, at)? {
                if page.is_full(rows.len()) {
                    break;
                }
                page.passed(account.timestamp);
                if filter.conditions.match_account(&account) {
                    rows.push(account);
                }
            }
            page.end_chunk(chunk.len(), limit, rows.len());
        }
        Ok((rows, page.cursor()))
    }

    fn query_transfers(
        &self,
        filter: &QueryFilter,
        at: Timestamp,
    ) -> Result<(Vec<Transfer>, Option<Timestamp>), StoreError> {
        let mut page = Paging::new(filter.page, at);
        let mut rows = Vec::new();
        while let Some((min, max, limit)) = page.next_chunk(rows.len()) {
            let chunk = self.store.transfers_between(self.tables.new_layer(), min, max, page.newest_first, limit)?;
            for (time, record) in &chunk {
                if page.is_full(rows.len()) {
                    break;
                }
                page.passed(*time);
                if filter.conditions.match_transfer(&record.transfer) {
                    rows.push(record.transfer);
                }
            }
            page.end_chunk(chunk.len(), limit, rows.len());
        }
        Ok((rows, page.cursor()))
    }
}

/// Walks a time range in chunks, until the page is full, the range is at its end, or enough was looked through.
struct Paging {
    min: Timestamp,
    max: Timestamp,
    newest_first: bool,
    limit: usize,
    seen: usize,
    last: Option<Timestamp>,
    ended: bool,
}

impl Paging {
    fn new(page: crest_ledger::Page, at: Timestamp) -> Self {
        Self {
            min: page.timestamp_min,
            max: page.timestamp_max.min(at),
            newest_first: page.newest_first,
            limit: page.limit as usize,
            seen: 0,
            last: None,
            ended: false,
        }
    }

    fn is_full(&self, rows: usize) -> bool {
        rows >= self.limit
    }

    /// The next range to look at and how many rows of it.
    fn next_chunk(&self, rows: usize) -> Option<(Timestamp, Timestamp, usize)> {
        if self.ended || self.is_full(rows) || self.seen >= limits::SCAN_RECORDS_MAX {
            return None;
        }
        let (mut min, mut max) = (self.min, self.max);
        match self.last {
            Some(last) if self.newest_first => max = last.checked_sub(1)?,
            Some(last) => min = last.checked_add(1)?,
            None => {}
        }
        (min <= max).then_some((min, max, (self.limit - rows).clamp(64, 8_192)))
    }

    fn passed(&mut self, time: Timestamp) {
        self.seen += 1;
        self.last = Some(time);
    }

    fn end_chunk(&mut self, found: usize, limit: usize, rows: usize) {
        self.ended = found < limit && !self.is_full(rows);
    }

    /// Where the next page goes on, when this one was not the last.
    fn cursor(&self) -> Option<Timestamp> {
        if self.ended { None } else { self.last }
    }
}
