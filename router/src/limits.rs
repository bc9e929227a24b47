//! Every bound of a router, with its arithmetic.

use std::time::Duration;

/// Requests that are worked on at a time; more are refused with RESOURCE_EXHAUSTED, and nothing of them is applied.
pub const REQUESTS_MAX: usize = 16_384;

/// Events of all those requests: 128 full batches, 128 MiB of records.
pub const EVENTS_MAX: usize = 128 * crest_ledger::limits::BATCH_EVENTS_MAX;

/// Of both, what rehearsals may take together: three quarters. A rehearsal that wants more is refused, and a quarter of the
/// places (4,096 requests, 32 full batches) is there for live requests whatever a rehearsal does.
pub const REHEARSAL_REQUESTS_MAX: usize = REQUESTS_MAX / 4 * 3;

/// See [`REHEARSAL_REQUESTS_MAX`].
pub const REHEARSAL_EVENTS_MAX: usize = EVENTS_MAX / 4 * 3;

/// Requests of one stream that are worked on side by side.
pub const STREAM_REQUESTS_MAX: usize = 64;

/// A message from a client: 8,190 transfers take at most some 170 bytes each as protobuf, 1.4 MB.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// How long each shard may take to answer a message, and how long what stands in the way of an event may take to end, before
/// the outcome of the request is reported as unknown. More than the 5 s in which a transfer in doubt ends by itself. Not
/// more than the decide window: no vote is counted later than this after its prepare was sent, and deciders keep their
/// tombstones for it and for the window after it (docs/PROTOCOL.md).
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a level of a request may take in all: what stands in its way, and the last try after that. A request has at most
/// 8,190 levels, one an event, of some milliseconds each; one that goes on is not given up.
pub const LEVEL_TIMEOUT: Duration = Duration::from_secs(12);

/// How often a read looks for an instant that is in the middle of no chain. A chain of n events takes n · 1,024 ns, and few
/// reads fall into one; the next instant is the end of that one.
pub const INSTANT_TRIES: u32 = 32;

/// How long a shard may take to say how it is, or to do what an operator asks. Less than what a client waits, four times over
/// (a resolve is as many messages): one that hangs must not hide the others.
pub const STATUS_TIMEOUT: Duration = Duration::from_secs(2);

/// Shards that are named of one attempt in doubt: with 1,000 attempts of a page, some 2 MB at the most.
pub const SHARDS_SHOWN: usize = 16;

/// How long a shard's part of an audit may take: it reads everything, some million rows a second.
pub const AUDIT_TIMEOUT: Duration = Duration::from_secs(3_600);

/// How often the shards are asked how far they are, when somebody watches an audit.
pub const AUDIT_PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Updates of one audit that wait for a client that reads slowly; more are left out.
pub const AUDIT_UPDATES_MAX: usize = 4;

/// How often an audit begins again because transfers were imported meanwhile, dated back to before it.
pub const AUDIT_TRIES: usize = 3;

/// Pairs of shards whose transfers are compared one by one when they differ; of more it is only told that they do. Every
/// pair has its shards read all their transfers once more.
pub const AUDIT_PAIRS_MAX: usize = 32;

/// Questions to both shards of a pair: the sums of 256 parts of a range, 6 KB each, or 1,000 transfers, 129 KB each. One
/// transfer that differs among 100 million takes some five.
pub const AUDIT_QUESTIONS_MAX: usize = 1_000;

/// Transfers that differ between two shards after which no more are looked for: 276 bytes each, and a second look at each.
pub const AUDIT_SPLITS_MAX: usize = 2_000;

/// Shards that are asked for their backups at a time. Each keeps a snapshot meanwhile, and a page of a MiB is under way.
pub const BACKUP_SHARDS: usize = 4;

/// Pages of a backup that wait for whoever writes them, of a MiB each. A client that reads slowly slows the shards down.
pub const BACKUP_PAGES_MAX: usize = 2;

/// How long a backup waits for a shard that does not answer: more than a leader's election or a node's restart takes.
pub const BACKUP_PATIENCE: Duration = Duration::from_secs(60);

/// How often a shard's part is begun again at the same instant. Each time, what was told of it before is void.
pub const BACKUP_BEGINS_MAX: u32 = 8;

/// The pause before a shard is asked again.
pub const BACKUP_PAUSE: Duration = Duration::from_millis(250);

/// The first pause before something that was blocked is tried again; it doubles up to the next one.
pub const BLOCKED_PAUSE_MIN: Duration = Duration::from_micros(300);

/// The longest pause between two tries.
pub const BLOCKED_PAUSE_MAX: Duration = Duration::from_millis(30);

/// How often a decide that is blocked is sent again while the holds stand. Two transactions may wait for each other's
/// holds: then one of them has to give up and start again.
pub const DECIDE_TRIES: u32 = 6;

/// Events of a chain that has a balancing transfer and spans shards. Its amounts are known one after the other, so it takes a
/// round trip an event (some milliseconds), and all of them have to fit the 2 s after which a hold asks what became of it.
pub const STEPWISE_EVENTS_MAX: usize = 128;

/// Facts about accounts and pending transfers that a router remembers: they never change. About 64 bytes each.
pub const KNOWN_MAX: usize = 262_144;

/// Finishes and acknowledgements that wait for one shard. Beyond it they are dropped: recovery does them.
pub const FINISHES_MAX: usize = 262_144;

const _: () = assert!(
    REQUEST_TIMEOUT.as_nanos() <= crest_ledger::limits::DECIDE_WINDOW_NS as u128,
    "a tombstone outlives every decide that counts votes of its attempt"
);
