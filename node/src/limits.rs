//! Every bound of a node, with its arithmetic.

use std::time::Duration;

/// Requests that wait for the executor; more are refused with "overloaded", and nothing of them is applied. At 100,000
/// single payments a second this is 40 ms of work.
pub const QUEUE_REQUESTS_MAX: usize = 4_096;

/// Events (transfers, prepares, decides) in one log entry: two full batches, about 2 MiB. Larger groups would not make an
/// fsync cheaper, only the first answer later.
pub const GROUP_EVENTS_MAX: usize = 16_384;

/// Commands of requests in one log entry; the shard's own expiries may add one.
pub const GROUP_COMMANDS_MAX: usize = crest_ledger::wire::COMMANDS_MAX - 1;

/// How far a time that comes from elsewhere may be ahead of this machine's clock, ns. More is refused before it is logged:
/// the shard's clock follows every time that it sees and never goes back. Machines whose clocks are kept by NTP are within
/// milliseconds; the shards of one cluster must be within the 10 s of the decide window.
pub const CLOCK_AHEAD_MAX_NS: u64 = 60_000_000_000;

/// How long the executor answers reads before it turns to payments again.
pub const READS_SLICE: Duration = Duration::from_millis(5);

/// Recovery messages are cut so that what they carry stays far below a message's limit: events of committed chains, 24 bytes
/// each.
pub const RECOVERY_EVENTS_MAX: usize = 65_536;

/// Attempts in one question to a decider: its answers may be whole chains of 8,190 events, 64 · 196 KB = 12.6 MB.
pub const RECOVERY_ASK_MAX: usize = 64;

/// Log entries under way: one being written, one being applied.
pub const ENTRIES_IN_FLIGHT_MAX: u64 = 2;

/// Records in memory since the last checkpoint before the next one starts. A transfer makes four to five of them, 128
/// bytes and index overhead each, so this is about 350,000 transfers and 200 MiB.
pub const CHECKPOINT_RECORDS: usize = 1_500_000;

/// While a checkpoint is being written, applying waits rather than let the next one grow beyond this.
pub const CHECKPOINT_RECORDS_MAX: usize = 2 * CHECKPOINT_RECORDS;

/// A checkpoint starts at least when the log has grown by this much: it bounds the replay after a crash.
pub const CHECKPOINT_LOG_BYTES: u64 = 256 << 20;

/// Reads that wait for transfers in doubt; more are refused.
pub const PARKED_READS_MAX: usize = 4_096;

/// How long a read waits for transfers in doubt: more than the 5 s in which they end by themselves.
pub const PARKED_READ_TIMEOUT: Duration = Duration::from_secs(8);

/// Records that one page of a list looks through at the most.
pub const SCAN_RECORDS_MAX: usize = 50_000;

/// Audits of one shard, and questions of audits, that wait for each other; more are refused.
pub const AUDITS_MAX: usize = 16;

/// Audits whose progress a shard remembers.
pub const AUDITS_REMEMBERED_MAX: usize = 32;

/// The nice value of the thread that audits: where processors are short, it gets about a tenth of what a thread gets that
/// works on payments (weights 110 and 1,024 in Linux), and all that is left.
pub const AUDIT_NICE: i32 = 10;

/// Rows that an audit reads at a time: some 150 KB of records. Between two chunks it looks whether the shard is stopping.
pub const AUDIT_CHUNK_ROWS: usize = 1_024;

/// Accounts that an audit takes through the records at a time, 96 bytes each and 33 of index: 62 MB. A shard with more is
/// read once more for every so many. Seven eighths of 2^19, so that the index is full.
pub const AUDIT_PART_ACCOUNTS: usize = 448 * AUDIT_CHUNK_ROWS;

/// Accounts that do not fit their records, of which an audit looks for the reason. Of more it tells only the amounts.
pub const AUDIT_SUSPECTS_MAX: usize = 100;

/// Parts of two tables that differ whose rows an audit compares one by one. A part is one of 16,384, so of 100 million rows
/// these are some 200,000, 13 MB.
pub const AUDIT_PARTS_MAX: usize = 32;

/// How often the executor looks at its clock: for raft, expiries and waiting reads.
pub const TICK: Duration = Duration::from_millis(50);

/// How often RocksDB is asked for its own figures.
pub const STORE_METRICS_INTERVAL: Duration = Duration::from_secs(2);

/// How often a shard looks for holds past their deadline and decisions that nobody acknowledged.
pub const RECOVERY_INTERVAL: Duration = Duration::from_millis(250);

/// How old a decision in the outbox is before its shard tells the participants itself: the router does it within
/// milliseconds when it lives.
pub const OUTBOX_PATIENCE: Duration = Duration::from_millis(1_000);

/// How long recovery waits for another shard's answer.
pub const RECOVERY_TIMEOUT: Duration = Duration::from_secs(2);

/// Transactions that one round of recovery takes on.
pub const RECOVERY_BATCH_MAX: usize = 4_096;

/// RocksDB's cache of blocks, for each shard.
pub const BLOCK_CACHE_BYTES: usize = 128 << 20;

/// RocksDB's own log files that are kept.
pub const ROCKSDB_LOG_FILES: usize = 4;

/// Messages of one stream that wait for their answers.
pub const STREAM_IN_FLIGHT_MAX: usize = 1_024;
