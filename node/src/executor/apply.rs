//! Applying entries: load what they name, decide, keep, answer.

use crest_failpoints::Kinds;
use crest_ledger::command::{Answer, Command};
use crest_ledger::records::Sides;
use crest_ledger::txn::{Decided, EventResult};
use crest_ledger::wire::{LogBatch, Response};
use tokio::time::Instant;

use super::{Ended, Executor, LogJob};
use crate::consensus::members::pack_changes;
use crate::consensus::{Committed, ReplicaId, SnapshotMeta, What};
use crate::log::HardState;
use crate::points;
use crate::snapshot::Install;

impl Executor {
    /// Does what raft wants done. The next append is handed to the log thread before the entries in front of it are
    /// applied, so that writing the one overlaps applying the other.
    pub(super) fn advance(&mut self) -> Result<bool, String> {
        let mut advanced = false;
        while let Some(work) = self.consensus.ready() {
            advanced = true;
            self.send(work.send);
            if let Some((meta, hard_state)) = work.install {
                self.install(&meta, hard_state)?;
                return Ok(true);
            }
            if let Some((round, index)) = work.confirmed {
                self.state.rounds.confirm(round, index);
            }
            if let Some(append) = work.append {
                self.state.appending += 1;
                self.send_to_log(LogJob::Append(append))?;
                let newest = self.state.proposals.back();
                points::APPENDING.pass_each(&Kinds::of(|| newest.into_iter().flat_map(|p| names(&p.batch))));
            }
            for entry in work.committed {
                self.apply(entry)?;
            }
        }
        Ok(advanced)
    }

    fn apply(&mut self, entry: Committed) -> Ended {
        assert!(entry.index > self.applied, "entries are applied in order, once");
        self.drop_overtaken(entry.index, entry.term);
        let data = match entry.what {
            What::Commands(data) => data,
            What::Changes(changes) => {
                self.apply_changes(entry.index, &changes);
                self.show(entry.index, entry.term, &pack_changes(&changes));
                self.applied_to(entry.index, entry.term);
                return Ok(());
            }
        };
        let own = self.state.proposals.front().is_some_and(|p| (p.index, p.term) == (entry.index, entry.term));
        let proposal = if own { self.state.proposals.pop_front() } else { None };
        let (batch, replies) = match proposal {
            Some(p) => (p.batch, p.replies),
            None if data.is_empty() => (LogBatch { at: 0, real_time: None, commands: Vec::new() }, Vec::new()),
            None => (LogBatch::unpack(&data).map_err(|e| format!("log entry {}: {e}", entry.index))?, Vec::new()),
        };
        self.show(entry.index, entry.term, &data);
        let kinds = Kinds::of(|| names(&batch));
        points::DURABLE.pass_each(&kinds);
        let begun = Instant::now();
        let mut answers = Vec::with_capacity(batch.commands.len());
        self.tables.begin_entry(batch.at, batch.real_time);
        for command in batch.commands {
            self.load(&command)?;
            let (name, events, accounts) = (command.name(), command.events(), command.creates_accounts());
            self.state.tags.note(&command, &self.tables);
            let answer = command.apply(&mut self.tables, batch.at);
            self.state.tags.settle(&self.tables);
            // Counted where it was proposed: every replica applies it.
            if own {
                self.metrics.commands(name, events, self.state.tags.parts());
                self.count(&answer, accounts);
            }
            answers.push(answer);
        }
        self.metrics.apply.record(begun.elapsed());
        self.applied_to(entry.index, entry.term);
        points::APPLIED.pass_each(&kinds);
        let mut answers = answers.into_iter();
        for (commands, reply) in replies {
            let response = Response::Answers(answers.by_ref().take(commands).collect());
            let _ = reply.send(Ok(response));
        }
        Ok(())
    }

    fn show(&self, index: u64, term: u64, bytes: &[u8]) {
        if let Some(witness) = &self.witness {
            witness.applies(index, term, bytes);
        }
    }

    fn applied_to(&mut self, index: u64, term: u64) {
        (self.applied, self.applied_term) = (index, term);
        if index >= self.state.replay_until {
            // What was in doubt when this replica was opened has been so for as long as it was down.
            self.state.aging.replayed(self.tables.now());
        }
        self.consensus.on_applied(index, self.state.checkpoint_index);
    }

    /// Writes down that a snapshot is to take this replica's place.
    fn install(&mut self, meta: &SnapshotMeta, hard_state: HardState) -> Ended {
        let hard_state = HardState { commit: meta.index, term: hard_state.term.max(meta.term), ..hard_state };
        let leader = self.consensus.leader().map_or(0, ReplicaId::number);
        let install = Install { index: meta.index, hard_state, leader };
        install.note(&*self.disk, &self.log_dir).map_err(|e| format!("cannot note a snapshot: {e}"))?;
        self.metrics.snapshots_installed.increment(1);
        self.state.group.install = Some(install);
        Ok(())
    }

    /// Loads what the command touches; what some records say leads to others, so it asks until nothing is missing.
    fn load(&mut self, command: &Command) -> Ended {
        let needs = &mut self.state.needs;
        loop {
            needs.clear();
            command.needs(&self.tables, needs);
            if needs.is_empty() && needs.account_times.is_empty() {
                return Ok(());
            }
            let only_times = needs.is_empty();
            self.store.load(needs, &mut self.tables).map_err(|e| e.to_string())?;
            if only_times {
                return Ok(());
            }
        }
    }

    fn count(&mut self, answer: &Answer, accounts: bool) {
        self.metrics.of_accounts = accounts;
        let traffic = self.state.tags.parts().iter().map(|(traffic, _)| *traffic);
        match answer {
            Answer::Results(results) => results.iter().zip(traffic).for_each(|(r, t)| self.metrics.local(r.status, t)),
            Answer::Decided(decided) => {
                for (d, traffic) in decided.iter().zip(traffic) {
                    match d {
                        Decided::Committed(commits) => {
                            self.metrics.decided(EventResult::CREATED, commits.len(), traffic);
                        }
                        Decided::Refused { refusal, .. } => self.metrics.decided(refusal.status, 1, traffic),
                        Decided::Blocked => self.metrics.decided(EventResult::BLOCKED, 1, traffic),
                        Decided::Expired(_) => {}
                        Decided::Aborted => self.metrics.aborted(traffic),
                    }
                }
            }
            _ => {}
        }
    }

    /// The pending transfers whose time is over and whose accounts are both here, as a command. Those whose payee is on
    /// another shard are kept for [`crate::expiry`], which asks that shard first; a shard that does not answer must not keep
    /// the others waiting, so a full scan is gone on with the next time.
    pub(super) fn due_expiries(&mut self) -> Result<Option<Command>, String> {
        let at = self.now();
        let (now, limit) = (self.real_time(at).unwrap_or(at), crest_ledger::limits::EXPIRE_BATCH_MAX);
        let from = std::mem::take(&mut self.state.expiries_from);
        let due = self.store.due(self.tables.new_layer(), from, now, limit).map_err(|e| e.to_string())?;
        if let Some((at, id)) = due.last().filter(|_| due.len() == limit) {
            self.state.expiries_from = (*at, id.saturating_add(1));
        }
        let ids: Vec<u128> = due.into_iter().map(|(_, id)| id).collect();
        let command = Command::Expire(ids.clone());
        self.load(&command)?;
        let mut local = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(entry) = self.tables.id(id) else { continue };
            let Some(record) = self.tables.transfer_at(entry.timestamp) else { continue };
            if record.sides == Sides::BOTH {
                local.push(id);
            } else if self.state.expiring.len() < limit {
                self.state.expiring.insert(id, self.map.shard_of(record.transfer.credit_account_id));
            }
        }
        Ok(Some(Command::Expire(local)).filter(|c| c.events() > 0))
    }
}

/// The kinds of commands in an entry.
pub(super) fn names(batch: &LogBatch) -> impl Iterator<Item = &'static str> {
    batch.commands.iter().map(Command::name)
}
