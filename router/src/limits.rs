//! Every bound of a router, with its arithmetic.

use std::time::Duration;

/// Requests that are worked on at a time; more are refused with RESOURCE_EXHAUSTED, and nothing of them is applied.
pub const REQUESTS_MAX: usize = 16_384;

/// Events of all those requests: 64 full batches, 384 MiB at [`EVENT_BYTES`] each.
pub const EVENTS_MAX: usize = 64 * crest_ledger::limits::BATCH_EVENTS_MAX;

/// Of both, what rehearsals may take together: three quarters. A rehearsal that wants more is refused, and a quarter of the
/// places (4,096 requests, 16 full batches) is there for live requests whatever a rehearsal does.
pub const REHEARSAL_REQUESTS_MAX: usize = REQUESTS_MAX / 4 * 3;

/// See [`REHEARSAL_REQUESTS_MAX`].
pub const REHEARSAL_EVENTS_MAX: usize = EVENTS_MAX / 4 * 3;

/// Memory that an event takes in a router at the most: decoded (some 220 bytes), planned (some 180), as steps for both its shards
/// (some 360, and 320 packed, of which the first are gone when the answers come), with what stands around them. A request is
/// charged for it before it is decoded.
pub const EVENT_BYTES: usize = 768;

/// Memory that a row of a read takes at the most: its id, the row as its shard packed it, unpacked, as a message, and encoded.
pub const ROW_BYTES: usize = 768;

/// What a row of a query takes beside that for every further shard: each sends a page of its own.
pub const SHARD_ROW_BYTES: usize = 160;

/// Memory that a call takes whatever is in it.
pub const CALL_BYTES: usize = 1 << 10;

/// Memory for payments and new accounts: requests as they come in, are worked on, and until their answers were taken. What
/// does not fit is refused with RESOURCE_EXHAUSTED before it is decoded. More than all admitted requests take, so that
/// rehearsals, which are admitted to fewer places, do not use it up.
pub const PAYMENT_BYTES_MAX: usize = 448 << 20;

/// The same for reads: the pages that clients ask for, and do not read, keep no payment out.
pub const READ_BYTES_MAX: usize = 192 << 20;

/// The same for operators' calls, health and reflection: they work when the two others are used up. All three together are
/// 704 MiB, of the 1 GiB that `deploy/` gives a router.
pub const OPERATIONS_BYTES_MAX: usize = 64 << 20;

/// The part of each that one connection may take: half.
pub const CONNECTION_PART: usize = 2;

/// Memory that an audit takes in a router: its findings, and the pages that two shards are compared by.
pub const AUDIT_BYTES: usize = 2 << 20;

/// Memory that a backup takes in a router: pages of a MiB, from so many shards at a time and for the client.
pub const BACKUP_BYTES: usize = (BACKUP_SHARDS + BACKUP_PAGES_MAX + 1) << 20;

/// Memory that a row of `ListInDoubt` takes: an attempt with 16 shards twice and 8 events.
pub const IN_DOUBT_ROW_BYTES: usize = 8 << 10;

/// Rows of one page of `ListInDoubt` and `ListResolutions`.
pub const OPERATIONS_ROWS_MAX: usize = 1_000;

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

/// Shards whose times are this close to the latest one need not be advanced to it, ns: they accept each other's messages.
pub const SHARD_TIMES_CLOSE_NS: u64 = 1_000_000_000;

/// How often a router asks each shard whether it serves.
pub const READY_INTERVAL: Duration = Duration::from_secs(1);

/// How long a shard may give no good answer before the router says that it does not serve it: a change of leader takes up to 3 s, and
/// an answer that does not come [`STATUS_TIMEOUT`].
pub const READY_PATIENCE: Duration = Duration::from_secs(6);

/// Shards that are named of one attempt in doubt, as holders and as those that are waited for.
pub const SHARDS_SHOWN: usize = 16;

/// Bytes of a shard's address, and of the reason why it does not answer, that an operator is shown; of longer ones the beginning.
/// While no leader is known, a shard's address is that of all its replicas.
pub const SHOWN_BYTES_MAX: usize = 512;

/// Bytes of the attempts in one page of what is in doubt. One is 20 KB at the most (33 shards and 8 events), so a page may end
/// before its limit of 1,000. Beside them stand all shards, 1 KB each.
pub const ATTEMPTS_BYTES_MAX: usize = 2 << 20;

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

/// Finishes and acknowledgements that wait for one shard, some 100 bytes each. Beyond it they are dropped: recovery does them.
pub const FINISHES_MAX: usize = 262_144;

/// Events of decisions that wait for all shards, 24 bytes each: 100 MB. A decision counts once, however many shards are to be
/// told of it. Beyond it they are dropped too.
pub const FINISH_EVENTS_MAX: usize = 1 << 22;

const _: () = assert!(
    ATTEMPTS_BYTES_MAX + crest_ledger::limits::SHARDS_MAX as usize * (2 * SHOWN_BYTES_MAX + 32) < MESSAGE_BYTES_MAX,
    "a page of what is in doubt is a message that every client takes"
);
const _: () =
    assert!(crest_ledger::limits::BATCH_EVENTS_MAX <= FINISH_EVENTS_MAX, "the longest chain is told by its router");
const _: () = assert!(
    READY_PATIENCE.as_nanos() > READY_INTERVAL.as_nanos() + 2 * STATUS_TIMEOUT.as_nanos(),
    "one answer may be lost"
);
const _: () = assert!(
    EVENTS_MAX * EVENT_BYTES + REQUESTS_MAX * CALL_BYTES < PAYMENT_BYTES_MAX,
    "what is admitted has room, and what comes in beside it"
);
const _: () = assert!(
    OPERATIONS_ROWS_MAX * IN_DOUBT_ROW_BYTES < OPERATIONS_BYTES_MAX / CONNECTION_PART / 2
        && crest_ledger::limits::BATCH_EVENTS_MAX * ROW_BYTES < READ_BYTES_MAX / CONNECTION_PART / 2,
    "the largest page fits what one connection may take"
);
const _: () = assert!(
    REQUEST_TIMEOUT.as_nanos() <= crest_ledger::limits::DECIDE_WINDOW_NS as u128,
    "a tombstone outlives every decide that counts votes of its attempt"
);
