//! A shard's metrics. Names and labels are listed in docs/OPERATIONS.md.

use std::collections::HashMap;
use std::time::Duration;

use crest_ledger::command::Command;
use crest_ledger::txn::{EventResult, ShardId, Step};
use crest_ledger::{AccountStatus, Traffic, TransferStatus};
use crest_topology::NodeId;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::consensus::Consensus;
use crate::executor::Figures;

/// Handles, so that the executor looks nothing up.
pub(crate) struct ShardMetrics {
    shard: String,
    pub(crate) queue_depth: Gauge,
    /// Of [`Traffic::ALL`], and of requests that do not say whose they are.
    queue_wait: [Histogram; 3],
    pub(crate) group_events: Histogram,
    pub(crate) apply: Histogram,
    pub(crate) holds: Gauge,
    pub(crate) outbox: Gauge,
    hold_age: Gauge,
    outbox_age: Gauge,
    in_doubt: Gauge,
    in_doubt_age: Gauge,
    pub(crate) records_in_memory: Gauge,
    pub(crate) leader_changes: Counter,
    /// Requests that were refused since a time in them was too far ahead.
    pub(crate) clock_ahead_refusals: Counter,
    pub(crate) snapshots_sent: Counter,
    pub(crate) snapshots_installed: Counter,
    group: GroupMetrics,
    participation: ParticipationMetrics,
    aborted: [Counter; 2],
    store: HashMap<&'static str, Gauge>,
    /// Whether the results that are counted now are those of accounts.
    pub(crate) of_accounts: bool,
    results: HashMap<(bool, bool, u8, Traffic), Counter>,
    commands: HashMap<(&'static str, Option<Traffic>), (Counter, Counter)>,
}

/// How a shard's group is.
struct GroupMetrics {
    is_leader: Gauge,
    running: Gauge,
    /// Replicas that the map wants.
    wanted: Gauge,
    term: Gauge,
    commit: Gauge,
    applied: Gauge,
    voters: Gauge,
    learners: Gauge,
    /// By node; only a leader knows.
    lags: HashMap<NodeId, Gauge>,
}

impl GroupMetrics {
    fn new(labels: &[(&'static str, String); 1]) -> Self {
        Self {
            is_leader: gauge!("crest_raft_is_leader", labels),
            running: gauge!("crest_raft_replica_running", labels),
            wanted: gauge!("crest_raft_replicas_wanted", labels),
            term: gauge!("crest_raft_term", labels),
            commit: gauge!("crest_raft_commit_index", labels),
            applied: gauge!("crest_raft_applied_index", labels),
            voters: gauge!("crest_raft_voters", labels),
            learners: gauge!("crest_raft_learners", labels),
            lags: HashMap::new(),
        }
    }
}

/// Whether a shard takes part in payments.
struct ParticipationMetrics {
    commit_stalled: Gauge,
    time_ahead: Gauge,
    peers_refusing: Gauge,
    peers_silent: Gauge,
}

impl ParticipationMetrics {
    fn new(labels: &[(&'static str, String); 1]) -> Self {
        Self {
            commit_stalled: gauge!("crest_raft_commit_stalled_seconds", labels),
            time_ahead: gauge!("crest_shard_time_ahead_seconds", labels),
            peers_refusing: gauge!("crest_shard_peers_refusing", labels),
            peers_silent: gauge!("crest_shard_peers_silent", labels),
        }
    }
}

/// A counter that is there from the start: one that appears with its first event looks like no event to a rate.
fn zero(counter: Counter) -> Counter {
    counter.increment(0);
    counter
}

impl ShardMetrics {
    pub(crate) fn new(shard: u32) -> Self {
        let shard = shard.to_string();
        let labels = [("shard", shard.clone())];
        Self {
            queue_depth: gauge!("crest_queue_depth", &labels),
            queue_wait: QUEUE_WAITS.map(|traffic| {
                let labels = [("shard", shard.clone()), ("traffic", label(traffic).to_owned())];
                histogram!("crest_queue_wait_seconds", &labels)
            }),
            group_events: histogram!("crest_group_events", &labels),
            apply: histogram!("crest_apply_seconds", &labels),
            holds: gauge!("crest_holds", &labels),
            hold_age: gauge!("crest_hold_age_seconds", &labels),
            outbox: gauge!("crest_outbox", &labels),
            outbox_age: gauge!("crest_outbox_age_seconds", &labels),
            in_doubt: gauge!("crest_in_doubt", &labels),
            in_doubt_age: gauge!("crest_in_doubt_age_seconds", &labels),
            records_in_memory: gauge!("crest_records_in_memory", &labels),
            clock_ahead_refusals: zero(counter!("crest_clock_ahead_refusals_total", &labels)),
            leader_changes: zero(counter!("crest_raft_leader_changes_total", &labels)),
            snapshots_sent: zero(counter!("crest_raft_snapshots_sent_total", &labels)),
            snapshots_installed: zero(counter!("crest_raft_snapshots_installed_total", &labels)),
            group: GroupMetrics::new(&labels),
            participation: ParticipationMetrics::new(&labels),
            aborted: Traffic::ALL.map(|traffic| {
                let labels = [("shard", shard.clone()), ("traffic", traffic.name().to_owned())];
                counter!("crest_attempts_aborted_total", &labels)
            }),
            store: HashMap::new(),
            of_accounts: false,
            results: HashMap::new(),
            commands: HashMap::new(),
            shard,
        }
    }

    /// Says that this replica has ended: what it knew of its group must not stay behind as if it were so.
    pub(crate) fn ended(shard: ShardId) {
        let labels = [("shard", shard.to_string())];
        gauge!("crest_raft_is_leader", &labels).set(0.0);
        gauge!("crest_raft_replica_running", &labels).set(0.0);
        gauge!("crest_raft_voters", &labels).set(0.0);
        for name in PARTICIPATION {
            gauge!(name, &labels).set(0.0);
        }
        gauge!("crest_raft_learners", &labels).set(0.0);
    }

    /// Notes how the group is, as this replica knows it.
    pub(crate) fn group(&mut self, consensus: &Consensus, applied: u64, wanted: usize) {
        let group = &mut self.group;
        let members = consensus.members();
        group.is_leader.set(f64::from(u8::from(consensus.is_leader())));
        group.running.set(1.0);
        group.wanted.set(wanted as f64);
        group.term.set(consensus.term() as f64);
        group.commit.set(consensus.commit_index() as f64);
        group.applied.set(applied as f64);
        group.voters.set(members.voters.len() as f64);
        group.learners.set(members.learners.len() as f64);
        let last = consensus.last_index();
        let followers = consensus.followers();
        // Those that are followed no longer must not look as if they were behind for ever.
        for (node, lag) in &mut group.lags {
            if !followers.iter().any(|f| f.replica.node() == *node) {
                lag.set(0.0);
            }
        }
        for follower in followers {
            let node = follower.replica.node();
            let shard = &self.shard;
            let lag = group.lags.entry(node).or_insert_with(|| {
                let labels = [("shard", shard.clone()), ("node", node.to_string())];
                gauge!("crest_raft_follower_lag_entries", &labels)
            });
            lag.set(last.saturating_sub(follower.matched) as f64);
        }
    }

    /// Notes for how long the leader has not committed what it should, how far the shard's ledger time is ahead of the machine's
    /// clock, and with how many other shards no messages can be exchanged: where one of both refuses, and where there is no answer.
    pub(crate) fn participation(&self, stalled: Duration, ahead: Duration, refusing: usize, silent: usize) {
        let metrics = &self.participation;
        metrics.commit_stalled.set(stalled.as_secs_f64());
        metrics.time_ahead.set(ahead.as_secs_f64());
        metrics.peers_refusing.set(refusing as f64);
        metrics.peers_silent.set(silent as f64);
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

    /// Notes how long commands waited for the executor.
    pub(crate) fn waited(&self, commands: &[Command], waited: Duration) {
        let traffic = Traffic::named(commands.iter().flat_map(Command::steps).map(Step::ledger));
        let place = QUEUE_WAITS.iter().position(|of| *of == traffic).unwrap_or_default();
        self.queue_wait[place].record(waited);
    }

    /// Counts a command and the events in it. `parts` say whose those are; a command without them names attempts only.
    pub(crate) fn commands(&mut self, name: &'static str, events: usize, parts: &[(Traffic, u32)]) {
        let mut of = Traffic::ALL.map(|traffic| (Some(traffic), 0));
        for (traffic, events) in parts {
            let place = usize::from(*traffic != Traffic::ALL[0]);
            of[place].1 += u64::from(*events);
        }
        // What is of both is live: a rehearsal's own numbers have nothing of others in them.
        let whose = parts.iter().map(|(traffic, _)| *traffic).reduce(|a, b| if a == b { a } else { Traffic::Live });
        self.command(name, whose).0.increment(1);
        if parts.is_empty() {
            self.command(name, None).1.increment(events as u64);
        }
        for (traffic, events) in of.into_iter().filter(|(_, events)| *events > 0) {
            self.command(name, traffic).1.increment(events);
        }
    }

    /// The counters of commands and of their events.
    fn command(&mut self, name: &'static str, traffic: Option<Traffic>) -> &(Counter, Counter) {
        let shard = &self.shard;
        self.commands.entry((name, traffic)).or_insert_with(|| {
            let labels =
                [("shard", shard.clone()), ("command", name.to_owned()), ("traffic", label(traffic).to_owned())];
            (counter!("crest_commands_total", &labels), counter!("crest_command_events_total", &labels))
        })
    }

    /// Counts a decide that was no answer: the attempt had been given up.
    pub(crate) fn aborted(&self, traffic: Traffic) {
        self.aborted[usize::from(traffic != Traffic::ALL[0])].increment(1);
    }

    /// Counts the result of a local event.
    pub(crate) fn local(&mut self, status: u8, traffic: Traffic) {
        self.result(false, status, 1, traffic);
    }

    /// Counts the events of a cross-shard transaction, where it was decided.
    pub(crate) fn decided(&mut self, status: u8, events: usize, traffic: Traffic) {
        self.result(true, status, events, traffic);
    }

    fn result(&mut self, cross_shard: bool, status: u8, events: usize, traffic: Traffic) {
        let (shard, accounts) = (&self.shard, self.of_accounts);
        let counter = self.results.entry((accounts, cross_shard, status, traffic)).or_insert_with(|| {
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
                ("traffic", traffic.name().to_owned()),
            ];
            counter!("crest_events_total", &labels)
        });
        counter.increment(events as u64);
    }
}

/// The gauges of [`ParticipationMetrics`].
const PARTICIPATION: [&str; 4] = [
    "crest_raft_commit_stalled_seconds",
    "crest_shard_time_ahead_seconds",
    "crest_shard_peers_refusing",
    "crest_shard_peers_silent",
];

/// Whose the requests are whose waiting is measured.
const QUEUE_WAITS: [Option<Traffic>; 3] = [Some(Traffic::ALL[0]), Some(Traffic::ALL[1]), None];

/// The value of the label `traffic`. Attempts and ids alone do not say whose they are.
fn label(traffic: Option<Traffic>) -> &'static str {
    traffic.map_or("unnamed", Traffic::name)
}
