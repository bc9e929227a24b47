//! What a seed decides before the run: how large the cluster is, what its clients do, and what goes wrong.
//!
//! Each seed has only some of the faults, and each of them more or less often ("Swarm testing", Groce and others, 2012): a
//! run with everything at once never gets to the rare paths of any.

use crest_conformance::random::Random;

/// Everything that is decided beforehand. Times are milliseconds of virtual time, chances percents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Shards of the cluster.
    pub shards: u32,
    /// Routers.
    pub routers: u32,
    /// Clients that write.
    pub clients: u32,
    /// Clients that read.
    pub readers: u32,
    /// Accounts that there are at the start.
    pub accounts: u32,
    /// Requests of each client.
    pub requests: u32,
    /// How long a client pauses between two requests, at the most.
    pub think_ms: u64,
    /// What the requests are made of.
    pub mix: Mix,
    /// How messages travel.
    pub network: NetworkPlan,
    /// How machines fail.
    pub machines: MachinePlan,
    /// How shards are replicated, and what befalls their groups.
    pub groups: GroupPlan,
    /// How clocks go wrong.
    pub clocks: ClockPlan,
    /// Whether everything is imported: by one client, since imported timestamps must increase.
    pub imports: bool,
}

/// Weights of the kinds of events, and chances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Payments.
    pub payment: u64,
    /// Pending transfers.
    pub pending: u64,
    /// Posts and voids.
    pub resolve: u64,
    /// Balancing transfers.
    pub balancing: u64,
    /// Pending transfers that close an account.
    pub closing: u64,
    /// Something sent before, as it was or changed.
    pub again: u64,
    /// Accounts.
    pub account: u64,
    /// Events that are wrong.
    pub faulty: u64,
    /// Chance that an event is linked to the next one.
    pub linked_percent: u64,
    /// Chance that an event touches the hottest account.
    pub hot_percent: u64,
    /// Chance that a request says `independent`.
    pub independent_percent: u64,
    /// Chance that an event has or names an id of an earlier event of its request, in some way that is seldom meant.
    pub reuse_percent: u64,
    /// Events in a request, at the most.
    pub events_max: u64,
    /// Amounts go up to this.
    pub amount_max: u64,
}

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkPlan {
    /// The ordinary delay, at the most.
    pub delay_ms: u64,
    /// Chance of a much longer delay.
    pub slow_percent: u64,
    /// That one, at the most.
    pub slow_ms: u64,
    /// Chance in a thousand that a request or an answer is lost.
    pub lost_permille: u64,
    /// Chance in a thousand that a request arrives twice.
    pub repeated_permille: u64,
    /// Whether messages between two ends may overtake each other.
    pub reordered: bool,
    /// Partitions come about this often; 0 is never.
    pub partition_every_ms: u64,
    /// And last this long, at the most.
    pub partition_ms: u64,
}

/// How machines fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachinePlan {
    /// Some shard's process dies about this often; 0 is never.
    pub kill_every_ms: u64,
    /// Chance that the power fails with it.
    pub power_percent: u64,
    /// It is down this long, at the most.
    pub down_ms: u64,
    /// Some router dies about this often; 0 is never.
    pub router_kill_every_ms: u64,
    /// Some shard's process stands still about this often; 0 is never.
    pub pause_every_ms: u64,
    /// And this long, at the most.
    pub pause_ms: u64,
    /// Some disk fails about this often; 0 is never.
    pub disk_failure_every_ms: u64,
    /// An append takes this long, at the most.
    pub append_ms: u64,
    /// Chance in a thousand that one takes up to two seconds.
    pub slow_append_permille: u64,
    /// Checkpoints are asked for about this often; 0 is never.
    pub checkpoint_every_ms: u64,
}

/// How shards are replicated, and what befalls their groups. Whatever comes "about this often" never comes with 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupPlan {
    /// Replicas of each shard at the start: 1, 3 or 5.
    pub replicas: u32,
    /// Further machines of each shard, to which its replicas may move.
    pub spares: u32,
    /// Bytes of entries that stay in memory for followers; who is further behind takes in a snapshot.
    pub raft_memory_bytes: u64,
    /// Entries in one message between replicas.
    pub raft_message_entries: u64,
    /// Changed records in memory at which a replica writes a checkpoint.
    pub checkpoint_records: u64,
    /// Some shard's leader dies about this often.
    pub leader_kill_every_ms: u64,
    /// A majority of some shard's replicas dies at once about this often.
    pub majority_kill_every_ms: u64,
    /// Some shard's replicas do not hear each other, or its leader, about this often.
    pub partition_every_ms: u64,
    /// A machine loses its disk about this often.
    pub disk_loss_every_ms: u64,
    /// Some shard is placed on other machines about this often.
    pub placement_every_ms: u64,
    /// Some shard's leader is told to hand over about this often.
    pub transfer_every_ms: u64,
    /// Chance that a process that begins from a snapshot, or from what it had, does not get to the end of that.
    pub open_fails_percent: u64,
}

/// How clocks go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockPlan {
    /// Each clock is off by up to this much, to either side.
    pub skew_ms: u64,
    /// Some clock jumps about this often; 0 is never. It stays within the skew.
    pub jump_every_ms: u64,
    /// Whether processes steer their clocks and compare them. Otherwise they follow the wall clocks, which are right within the skew:
    /// what the protocol itself bears.
    pub compared: bool,
    /// A wall clock jumps by an hour or a day, runs fast or stands still about this often; 0 is never. Only where clocks are compared.
    pub wild_every_ms: u64,
    /// And for so long, at the most.
    pub wild_ms: u64,
    /// Chance that all wall clocks do so together.
    pub together_percent: u64,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x706c_616e);
        let r = &mut random;
        let mut plan = Self {
            shards: pick(r, &[1, 2, 2, 3, 3, 4, 5]) as u32,
            routers: pick(r, &[1, 2, 2, 3]) as u32,
            clients: 1 + r.below(6) as u32,
            readers: r.below(3) as u32,
            accounts: pick(r, &[4, 6, 8, 12]) as u32,
            requests: 4 + r.below(24) as u32,
            think_ms: pick(r, &[1, 10, 100, 500]),
            mix: Mix::of(r),
            network: NetworkPlan::of(r),
            machines: MachinePlan::of(r),
            groups: GroupPlan::of(r),
            clocks: ClockPlan::of(r),
            imports: r.chance(4),
        };
        // As many machines as a run of some milliseconds has room for.
        plan.shards = plan.shards.min(match plan.groups.replicas {
            1 => 5,
            3 => 3 - plan.groups.spares.min(1),
            _ => 2 - plan.groups.spares.min(1),
        });
        if plan.groups.replicas > 1 {
            // A message that is on its way for longer is for the others: each second of so many machines takes its time.
            plan.network.slow_ms = plan.network.slow_ms.min(3_000);
        }
        plan.compare_clocks(&mut Random::new(seed ^ 0x636c_6f63_6b73));
        // Random numbers of its own, with which the seeds of tests/regressions.rs mean what they meant before there was such
        // a thing.
        plan.mix.reuse_percent = pick(&mut Random::new(seed ^ 0x7265_002e), &[0, 0, 0, 20, 50]);
        if plan.imports {
            (plan.clients, plan.readers) = (1, 0);
            plan.mix = Mix { balancing: 0, closing: 0, account: 0, faulty: 0, reuse_percent: 0, ..plan.mix };
        }
        plan
    }
}

impl Plan {
    /// In some seeds clocks are compared, and go wild; and some have short messages between replicas. Drawn from numbers of its own, so
    /// that whatever else a seed decides does not depend on it.
    fn compare_clocks(&mut self, r: &mut Random) {
        self.groups.raft_message_entries = pick(r, &[2, 30, 4_096]);
        if !r.chance(30) {
            return;
        }
        self.clocks = ClockPlan {
            skew_ms: self.clocks.skew_ms.min(100),
            compared: true,
            wild_every_ms: pick(r, &[0, 300, 1_500, 4_000]),
            wild_ms: pick(r, &[100, 2_000, 8_000]),
            together_percent: pick(r, &[0, 30, 100]),
            ..self.clocks
        };
    }
}

impl Mix {
    fn of(r: &mut Random) -> Self {
        let mut some = |weights: &[u64]| pick(r, weights);
        Self {
            payment: some(&[10, 20, 40]),
            pending: some(&[0, 10, 25]),
            resolve: some(&[0, 15, 30]),
            balancing: some(&[0, 0, 8, 20]),
            closing: some(&[0, 0, 3, 8]),
            again: some(&[0, 5, 15]),
            account: some(&[0, 2, 5]),
            faulty: some(&[0, 0, 3, 8]),
            linked_percent: some(&[0, 0, 20, 60]),
            hot_percent: some(&[0, 20, 70]),
            independent_percent: some(&[0, 50, 100]),
            reuse_percent: 0,
            events_max: some(&[1, 3, 6, 12]),
            amount_max: some(&[5, 20, 200]),
        }
    }
}

impl NetworkPlan {
    fn of(r: &mut Random) -> Self {
        let mut some = |values: &[u64]| pick(r, values);
        Self {
            delay_ms: some(&[1, 3, 10, 60]),
            slow_percent: some(&[0, 0, 1, 5]),
            slow_ms: some(&[200, 3_000, 12_000]),
            lost_permille: some(&[0, 0, 10, 50]),
            repeated_permille: some(&[0, 0, 10, 50]),
            reordered: some(&[0, 1]) == 1,
            partition_every_ms: some(&[0, 0, 1_000, 4_000]),
            partition_ms: some(&[100, 3_000, 8_000]),
        }
    }
}

impl MachinePlan {
    fn of(r: &mut Random) -> Self {
        let mut some = |values: &[u64]| pick(r, values);
        Self {
            kill_every_ms: some(&[0, 300, 1_000, 4_000]),
            power_percent: some(&[0, 50, 100]),
            down_ms: some(&[10, 500, 4_000]),
            router_kill_every_ms: some(&[0, 200, 1_000, 4_000]),
            pause_every_ms: some(&[0, 0, 1_000, 4_000]),
            pause_ms: some(&[100, 3_000, 6_000]),
            disk_failure_every_ms: some(&[0, 0, 0, 3_000]),
            append_ms: some(&[1, 5, 30]),
            slow_append_permille: some(&[0, 0, 10]),
            checkpoint_every_ms: some(&[0, 200, 1_000]),
        }
    }
}

impl GroupPlan {
    fn of(r: &mut Random) -> Self {
        let mut some = |values: &[u64]| pick(r, values);
        let replicas = some(&[1, 1, 1, 1, 3, 3, 3, 3, 3, 5]);
        let spares = match replicas {
            1 => some(&[0, 0, 0, 2]),
            3 => some(&[0, 0, 1, 2]),
            _ => some(&[0, 1]),
        };
        let grouped = replicas + spares > 1;
        let mut often = |values: &[u64]| if grouped { pick(r, values) } else { 0 };
        Self {
            replicas: replicas as u32,
            spares: spares as u32,
            raft_memory_bytes: often(&[500, 4_000, 64 << 20]),
            raft_message_entries: 4_096,
            checkpoint_records: often(&[40, 400, 1 << 20]).max(40),
            leader_kill_every_ms: often(&[0, 0, 1_500, 4_000]),
            majority_kill_every_ms: often(&[0, 0, 3_000]),
            partition_every_ms: often(&[0, 2_000, 5_000]),
            disk_loss_every_ms: often(&[0, 0, 1_000, 3_000]),
            placement_every_ms: if spares > 0 { often(&[0, 1_500, 4_000]) } else { 0 },
            transfer_every_ms: often(&[0, 0, 1_000]),
            open_fails_percent: often(&[0, 0, 20]),
        }
    }
}

impl ClockPlan {
    fn of(r: &mut Random) -> Self {
        Self {
            skew_ms: pick(r, &[0, 5, 500, 4_000]),
            jump_every_ms: pick(r, &[0, 0, 500, 2_000]),
            compared: false,
            wild_every_ms: 0,
            wild_ms: 0,
            together_percent: 0,
        }
    }
}

fn pick(random: &mut Random, values: &[u64]) -> u64 {
    random.pick(values).unwrap_or_default()
}
