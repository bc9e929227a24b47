//! A shard's metrics. Names and labels are listed in docs/OPERATIONS.md.

use std::collections::HashMap;

use crest_ledger::txn::EventResult;
use crest_ledger::{AccountStatus, TransferStatus};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::executor::Figures;

/// Handles, so that the executor looks nothing up.
pub(crate) struct ShardMetrics {
    shard: String,
    pub(crate) queue_depth: Gauge,
    pub(crate) queue_wait: Histogram,
    pub(crate) group_events: Histogram,
    pub(crate) apply: Histogram,
    pub(crate) holds: Gauge,
    pub(crate) outbox: Gauge,
    hold_age: Gauge,
    outbox_age: Gauge,
    in_doubt: Gauge,
    in_doubt_age: Gauge,
    pub(crate) records_in_memory: Gauge,
    pub(crate) aborted: Counter,
    store: HashMap<&'static str, Gauge>,
    /// Whether the results that are counted now are those of accounts.
    pub(crate) of_accounts: bool,
    results: HashMap<(bool, bool, u8), Counter>,
    commands: HashMap<&'static str, (Counter, Counter)>,
}

impl ShardMetrics {
    pub(crate) fn new(shard: u32) -> Self {
        let shard = shard.to_string();
        let labels = [("shard", shard.clone())];
        Self {
            queue_depth: gauge!("crest_queue_depth", &labels),
            queue_wait: histogram!("crest_queue_wait_seconds", &labels),
            group_events: histogram!("crest_group_events", &labels),
            apply: histogram!("crest_apply_seconds", &labels),
            holds: gauge!("crest_holds", &labels),
            hold_age: gauge!("crest_hold_age_seconds", &labels),
            outbox: gauge!("crest_outbox", &labels),
            outbox_age: gauge!("crest_outbox_age_seconds", &labels),
            in_doubt: gauge!("crest_in_doubt", &labels),
            in_doubt_age: gauge!("crest_in_doubt_age_seconds", &labels),
            records_in_memory: gauge!("crest_records_in_memory", &labels),
            aborted: counter!("crest_attempts_aborted_total", &labels),
            store: HashMap::new(),
            of_accounts: false,
            results: HashMap::new(),
            commands: HashMap::new(),
            shard,
        }
    }

    /// Notes how much is in doubt, and for how long.
    pub(crate) fn in_doubt(&self, figures: &Figures) {
        self.hold_age.set(figures.hold_age.as_secs_f64());
        self.outbox_age.set(figures.outbox_age.as_secs_f64());
        self.in_doubt.set(figures.in_doubt as f64);
        self.in_doubt_age.set(figures.in_doubt_age.as_secs_f64());
    }

    /// Notes what the storage says of itself.
    pub(crate) fn store(&mut self, figures: Vec<(&'static str, u64)>) {
        let shard = &self.shard;
        for (name, value) in figures {
            let gauge = self.store.entry(name).or_insert_with(|| gauge!(name, "shard" => shard.clone()));
            gauge.set(value as f64);
        }
    }

    /// Counts a command and the events in it.
    pub(crate) fn commands(&mut self, name: &'static str, events: usize) {
        let shard = &self.shard;
        let (commands, all) = self.commands.entry(name).or_insert_with(|| {
            let labels = [("shard", shard.clone()), ("command", name.to_owned())];
            (counter!("crest_commands_total", &labels), counter!("crest_command_events_total", &labels))
        });
        commands.increment(1);
        all.increment(events as u64);
    }

    /// Counts the result of a local event.
    pub(crate) fn local(&mut self, status: u8) {
        self.result(false, status, 1);
    }

    /// Counts the events of a cross-shard transaction, where it was decided.
    pub(crate) fn decided(&mut self, status: u8, events: usize) {
        self.result(true, status, events);
    }

    fn result(&mut self, cross_shard: bool, status: u8, events: usize) {
        let (shard, accounts) = (&self.shard, self.of_accounts);
        let counter = self.results.entry((accounts, cross_shard, status)).or_insert_with(|| {
            let transfer = || TransferStatus::from_number(status).map(TransferStatus::name);
            let account = || AccountStatus::from_number(status).map(AccountStatus::name);
            let name = match if accounts { account() } else { transfer() } {
                Some(name) => name,
                None if status == EventResult::BLOCKED => "blocked",
                None => "unknown",
            };
            let scope = if cross_shard { "cross_shard" } else { "local" };
            let kind = if accounts { "account" } else { "transfer" };
            let labels = [
                ("shard", shard.clone()),
                ("kind", kind.to_owned()),
                ("scope", scope.to_owned()),
                ("result", name.to_owned()),
            ];
            counter!("crest_events_total", &labels)
        });
        counter.increment(events as u64);
    }
}
