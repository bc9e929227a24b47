//! What is in doubt on this shard: for recovery, which ends it, and for operators, who look at it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crest_ledger::limits::HOLD_DEADLINE_NS;
use crest_ledger::resolutions::Resolution;
use crest_ledger::txn::{Event, Outcome, ShardId, TxnId};
use crest_ledger::wire::in_doubt::{
    ATTEMPTS_MAX, EVENTS_SHOWN, InDoubtFilter, InDoubtPage, Knowledge, Known, ShownDecision, ShownEvent, ShownHold,
};
use crest_ledger::{Account, Timestamp, Transfer};

use super::Executor;
use crate::limits;
use crate::store::StoreError;

/// What recovery has to do, and with whom.
#[derive(Debug, Default)]
pub(crate) struct Overdue {
    /// The shard's clock, ns: above all its prepares.
    pub(crate) clock: Timestamp,
    pub(crate) by_peer: BTreeMap<ShardId, WithPeer>,
}

/// What there is to do with one other shard: one message's worth.
#[derive(Debug, Default)]
pub(crate) struct WithPeer {
    /// Attempts that are held here and that it decides.
    pub(crate) asks: Vec<TxnId>,
    /// Attempts that were decided here and that it has not acknowledged.
    pub(crate) tells: Vec<(TxnId, Outcome)>,
    events: usize,
    /// Whether there is more to do than this.
    pub(crate) more: bool,
}

impl WithPeer {
    fn ask(&mut self, txn: TxnId) {
        match self.asks.len() < limits::RECOVERY_BATCH_MAX {
            true => self.asks.push(txn),
            false => self.more = true,
        }
    }

    fn tell(&mut self, txn: TxnId, outcome: &Outcome) {
        let events = self.events + outcome.events();
        if self.tells.len() < limits::RECOVERY_BATCH_MAX
            && (events <= limits::RECOVERY_EVENTS_MAX || self.tells.is_empty())
        {
            self.events = events;
            self.tells.push((txn, outcome.clone()));
        } else {
            self.more = true;
        }
    }
}

/// How much is in doubt, and for how long.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// Of the oldest hold.
    pub(crate) hold_age: Duration,
    /// Of the oldest decision in the outbox.
    pub(crate) outbox_age: Duration,
    /// Holds and decisions in the outbox that are past the hold deadline.
    pub(crate) in_doubt: usize,
    /// Of the oldest of those.
    pub(crate) in_doubt_age: Duration,
}

impl Executor {
    /// What is overdue, oldest first, without what has to do with the shards in `busy`.
    pub(super) fn overdue(&mut self, busy: &BTreeSet<ShardId>) -> Overdue {
        let mut by_peer: BTreeMap<ShardId, WithPeer> = BTreeMap::new();
        let until = self.state.aging.stamped_before(Duration::from_nanos(HOLD_DEADLINE_NS));
        let holds = self.tables.holds().oldest_first(InDoubtFilter::START).take_while(|(at, ..)| *at <= until);
        for (_, txn, decider) in holds.filter(|(_, _, decider)| !busy.contains(decider)) {
            by_peer.entry(decider).or_default().ask(txn);
        }
        let until = self.state.aging.stamped_before(limits::OUTBOX_PATIENCE);
        let decisions = self.tables.decisions();
        if decisions.oldest().is_some_and(|oldest| oldest <= until) {
            for (txn, decision) in decisions.outbox().filter(|(_, decision)| decision.decided_at <= until) {
                for peer in decision.waiting_for.iter().filter(|peer| !busy.contains(peer)) {
                    by_peer.entry(*peer).or_default().tell(*txn, &decision.outcome);
                }
            }
        }
        Overdue { clock: self.tables.now(), by_peer }
    }

    /// The figures for metrics and for the status.
    pub(super) fn in_doubt_figures(&self) -> Figures {
        let age = |at: Option<Timestamp>| at.map_or(Duration::ZERO, |at| self.age(at));
        let (holds, decisions) = (self.tables.holds(), self.tables.decisions());
        let deadline = Duration::from_nanos(HOLD_DEADLINE_NS);
        let until = self.state.aging.stamped_before(deadline);
        let old_holds = holds.oldest_first(InDoubtFilter::START).take_while(|(at, ..)| *at <= until).count();
        let old_decisions = decisions.oldest_first(InDoubtFilter::START).take_while(|(at, _)| *at <= until).count();
        let (hold_age, outbox_age) = (age(holds.oldest()), age(decisions.oldest()));
        let in_doubt = old_holds + old_decisions;
        // An age is exact to a tick only for what is old.
        let oldest = match (old_holds, old_decisions) {
            (0, 0) => Duration::ZERO,
            (_, 0) => hold_age.max(deadline),
            (0, _) => outbox_age.max(deadline),
            _ => hold_age.max(outbox_age).max(deadline),
        };
        Figures { hold_age, outbox_age, in_doubt, in_doubt_age: oldest }
    }

    /// The time from which ages are counted, ns.
    fn time(&self) -> Timestamp {
        self.clock.now().max(self.tables.now())
    }

    /// How old something is that was stamped at this instant: in time that passed, whatever the clocks did meanwhile.
    fn age(&self, stamped: Timestamp) -> Duration {
        self.state.aging.age(stamped, Duration::from_nanos(self.time().saturating_sub(stamped)))
    }

    /// A page of the attempts that have a hold or an unacknowledged decision here, oldest first.
    pub(super) fn in_doubt_page(&self, filter: &InDoubtFilter) -> InDoubtPage {
        let limit = (filter.limit as usize).min(ATTEMPTS_MAX);
        let age_min = Duration::from_nanos(filter.age_min);
        let (holds, decisions) = (self.tables.holds(), self.tables.decisions());
        // Of each, one more than asked for: all that can be in the page, and whether there is more.
        let mut attempts: Vec<(Timestamp, TxnId)> = holds
            .oldest_first(filter.after)
            .map(|(at, txn, _)| (at, txn))
            .take(limit + 1)
            .chain(decisions.oldest_first(filter.after).take(limit + 1))
            .filter(|(at, _)| self.age(*at) >= age_min)
            .collect();
        attempts.sort_unstable();
        let more = attempts.len() > limit;
        attempts.truncate(limit);
        InDoubtPage { attempts, more }
    }

    /// The newest resolutions.
    pub(super) fn newest_resolutions(&self, limit: u32) -> Vec<(TxnId, Resolution)> {
        let newest = self.tables.resolutions().newest_first();
        newest.take(limit as usize).map(|(txn, resolution)| (*txn, resolution.clone())).collect()
    }

    /// What this shard knows of attempts.
    pub(super) fn known(&self, txns: &[TxnId]) -> Result<Known, StoreError> {
        let records = Records::read(self, txns)?;
        let attempts: Vec<Knowledge> = txns.iter().map(|txn| self.knowledge(txn, &records)).collect();
        let age = |knowledge: &Knowledge| knowledge.since().map_or(Duration::ZERO, |since| self.age(since));
        let ages =
            attempts.iter().map(|knowledge| u64::try_from(age(knowledge).as_nanos()).unwrap_or(u64::MAX)).collect();
        Ok(Known { now: self.time(), clock: self.tables.now(), attempts, ages })
    }

    fn knowledge(&self, txn: &TxnId, records: &Records) -> Knowledge {
        let hold = self.tables.holds().get(txn);
        let decision = self.tables.decisions().decision(txn);
        let mut events: BTreeMap<u16, ShownEvent> = BTreeMap::new();
        if txn.is_expiry() {
            // Neither the hold nor the decision names what ends.
            let pending = records.transfers.get(&txn.first_id);
            events.extend(pending.map(|t| (0, ShownEvent { index: 0, amount: t.amount, event: Event::Transfer(*t) })));
        } else {
            let decided = decision.map(|d| records.decided(txn, &d.outcome)).unwrap_or_default();
            events.extend(decided.into_iter().map(|event| (event.index, event)));
        }
        for step in hold.iter().flat_map(|hold| &hold.steps).take(EVENTS_SHOWN) {
            let event = ShownEvent { index: step.index, amount: step.amount_max, event: records.complete(&step.event) };
            events.insert(step.index, event);
        }
        Knowledge {
            hold: hold.map(|hold| ShownHold {
                decider: hold.decider,
                since: hold.prepared_at,
                events: u32::try_from(hold.steps.len().max(1)).unwrap_or(u32::MAX),
            }),
            decision: decision.map(|decision| ShownDecision {
                since: decision.decided_at,
                expired: match decision.outcome {
                    Outcome::Expired(at) => Some(at),
                    _ => None,
                },
                events: u32::try_from(decision.outcome.events()).unwrap_or(u32::MAX),
                waiting_for: decision.waiting_for.clone(),
            }),
            aborted: self.tables.decisions().tombstone(txn).map(|tombstone| tombstone.recorded_at),
            resolution: self.tables.resolutions().get(txn).cloned(),
            events: events.into_values().take(EVENTS_SHOWN).collect(),
        }
    }
}

/// What the store has to add to holds and decisions: read for many attempts at once.
struct Records {
    /// By id: pending transfers that an expiry, a post or a void ends.
    transfers: HashMap<u128, Transfer>,
    /// By timestamp: what was recorded here by decisions.
    decided: HashMap<Timestamp, Transfer>,
    /// By id: accounts, by whose number an attempt is known that was decided here.
    accounts: HashMap<u128, Account>,
}

impl Records {
    fn read(executor: &Executor, txns: &[TxnId]) -> Result<Self, StoreError> {
        let (mut ids, mut times, mut accounts) = (Vec::new(), Vec::new(), Vec::new());
        for txn in txns {
            let hold = executor.tables.holds().get(txn);
            let decision = executor.tables.decisions().decision(txn);
            for step in hold.iter().flat_map(|hold| &hold.steps).take(EVENTS_SHOWN) {
                if let Event::Transfer(t) = &step.event
                    && t.resolves()
                {
                    ids.push(t.pending_id);
                }
            }
            if txn.is_expiry() && (hold.is_some() || decision.is_some()) {
                ids.push(txn.first_id);
            }
            if let Some(Outcome::Committed(commits)) = decision.map(|decision| &decision.outcome) {
                times.extend(commits.iter().take(EVENTS_SHOWN).map(|commit| commit.timestamp));
                accounts.push(txn.first_id);
            }
        }
        let transfers = executor.transfers_by_id(&ids, Timestamp::MAX)?;
        let decided = executor.records_at(&times)?;
        let accounts = executor.accounts_at(&accounts, Timestamp::MAX)?;
        Ok(Self {
            transfers: transfers.into_iter().map(|t| (t.id, t)).collect(),
            decided: decided.into_iter().map(|record| (record.transfer.timestamp, record.transfer)).collect(),
            accounts: accounts.into_iter().map(|account| (account.id, account)).collect(),
        })
    }

    /// The first events of a committed attempt that this shard has a side of.
    fn decided(&self, txn: &TxnId, outcome: &Outcome) -> Vec<ShownEvent> {
        let Outcome::Committed(commits) = outcome else { return Vec::new() };
        let first = (0u16..).zip(commits).take(EVENTS_SHOWN);
        let shown = |(index, commit): (u16, &crest_ledger::txn::Commit)| {
            let made = |account: &&Account| index == 0 && account.timestamp == commit.timestamp;
            let event = match self.decided.get(&commit.timestamp) {
                Some(transfer) => Event::Transfer(*transfer),
                None => Event::Account(*self.accounts.get(&txn.first_id).filter(made)?),
            };
            Some(ShownEvent { index, amount: commit.amount, event })
        };
        first.filter_map(shown).collect()
    }

    /// An event with the accounts and the ledger that a post or void leaves out.
    fn complete(&self, event: &Event) -> Event {
        let Event::Transfer(t) = event else { return *event };
        let pending = if t.resolves() { self.transfers.get(&t.pending_id) } else { None };
        pending.map_or(*event, |p| {
            let (debit_account_id, credit_account_id) = (p.debit_account_id, p.credit_account_id);
            Event::Transfer(Transfer { debit_account_id, credit_account_id, ledger: p.ledger, ..*t })
        })
    }
}
