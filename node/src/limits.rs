//! Every bound of a node, with its arithmetic.

use std::time::Duration;

/// Requests that wait for the executor; more are refused with "overloaded", and nothing of them is applied. At 100,000
/// single payments a second this is 40 ms of work.
pub const QUEUE_REQUESTS_MAX: usize = 4_096;

/// When so many wait, what begins something for a rehearsal is refused: the last quarter of the queue is for live requests, and
/// for what ends things.
pub const QUEUE_REHEARSALS_MAX: usize = QUEUE_REQUESTS_MAX / 4 * 3;

/// Events (transfers, prepares, decides) in one log entry: two full batches, 2 to 5 MiB. Larger groups would not make an
/// fsync cheaper, only the first answer later.
pub const GROUP_EVENTS_MAX: usize = 16_384;

/// The most that one event takes in a log entry, bytes: a decide of a single transfer, with its transaction, its step, and a refusal.
pub const EVENT_BYTES_MAX: usize = 320;

const _: () = assert!(
    GROUP_EVENTS_MAX * EVENT_BYTES_MAX + 2 * (GROUP_COMMANDS_MAX + 1) * 64 <= crate::log::ENTRY_BYTES_MAX,
    "the entries that a leader makes of many requests fit its log"
);

/// Commands of requests in one log entry; the shard's own expiries may add one. A request that has more is refused.
pub const GROUP_COMMANDS_MAX: usize = crest_ledger::wire::REQUEST_COMMANDS_MAX;

/// How far a time that comes from elsewhere may be ahead of this process's clock and its shard's time, ns. More is refused before it is
/// logged: the shard's time follows every time that it sees and never goes back. As much as the decide window, in which two-phase commit
/// takes the shards' times to agree (docs/PROTOCOL.md); the clocks of nodes that lead are within a second of each other.
pub const CLOCK_AHEAD_MAX_NS: u64 = crest_ledger::limits::CLOCK_AHEAD_MAX_NS;

/// By how much two clocks may each be wrong and still agree, ns: nodes whose clocks differ by more than a second contradict each other.
/// Clocks that NTP keeps are within milliseconds.
pub const CLOCK_TOLERANCE_NS: i64 = 500_000_000;

/// How far the machine's wall clock may be from the process's time before that is reported as a jump, ns.
pub const CLOCK_JUMP_NS: u64 = 1_000_000_000;

/// How often a process compares its clock with the other nodes'.
pub const CLOCK_COMPARE_INTERVAL: Duration = Duration::from_secs(1);

/// The same while its clock is not trusted, and it leads nothing.
pub const CLOCK_START_INTERVAL: Duration = Duration::from_millis(100);

/// How long another node's answer may take.
pub const CLOCK_ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a comparison bounds where the clock may be steered to: some intervals, in which other nodes restart.
pub const CLOCK_COMPARISON_LIFETIME: Duration = Duration::from_secs(10);

/// After this time a process whose clock nobody contradicts leads, though too few nodes answer to compare it with: they may be down, and a
/// shard whose only replica is here must not wait for them.
pub const CLOCK_START_PATIENCE: Duration = Duration::from_secs(2);

/// How long the executor answers reads before it turns to payments again.
pub const READS_SLICE: Duration = Duration::from_millis(5);

/// Log entries under way where a shard has one replica: one being written, one being applied.
pub const ENTRIES_IN_FLIGHT_MAX: u64 = 2;

/// The same where others have to answer: two more are on their way to them and back.
pub const ENTRIES_IN_FLIGHT_REPLICATED_MAX: u64 = 4;

/// A tick of raft's time.
pub const RAFT_TICK: Duration = TICK;

/// Ticks without a message of the leader after which a follower no longer believes in it: 0.8 s. From then on it grants its vote to
/// another candidate; before, it ignores candidates (check-quorum, section 6 of Ongaro's thesis, 2014).
pub const ELECTION_TICKS: usize = 16;

/// A follower campaigns at the earliest this many ticks later: by then every other follower has stopped believing in the leader too,
/// though it may have heard from it one heartbeat later. An earlier candidate would be ignored, and would wait for a whole timeout.
pub const ELECTION_MARGIN_TICKS: usize = HEARTBEAT_TICKS;

/// Each voter has a slot of its own in which it campaigns, this many ticks long where there is room: so two voters do not split the votes by
/// campaigning at the same moment, which would cost another timeout. With three voters the slots begin after 0.95, 1.15 and 1.35 s.
pub const ELECTION_SLOT_TICKS: usize = 4;

/// Ticks between two heartbeats of a leader: five of them may be lost before anybody doubts it.
pub const HEARTBEAT_TICKS: usize = 3;

/// Bytes of entries in one message to a follower, [`RAFT_ENTRY_OVERHEAD`] each included; a single entry may be larger.
pub const RAFT_MESSAGE_BYTES: u64 = 1 << 20;

/// Entries in one message to a follower, however small they are. The sender splits what is more, the receiver refuses it.
pub const RAFT_MESSAGE_ENTRIES: usize = 4_096;

/// What an entry takes beside its payload, bytes: its fields and its allocation in memory. Its fields in a message take less.
pub const RAFT_ENTRY_OVERHEAD: u64 = 200;

/// Messages with entries that are on their way to one follower.
pub const RAFT_MESSAGES_IN_FLIGHT: usize = 64;

/// Messages of other replicas that wait for the executor; more are dropped, and raft sends them again.
pub const INBOX_MAX: usize = 4_096;

/// Bytes of entries that stay in memory for followers: some ten seconds of a busy shard. A follower that is further behind
/// takes in a snapshot.
pub const RAFT_MEMORY_BYTES: u64 = 64 << 20;

/// The same while a follower takes in a snapshot: what comes meanwhile has to be there when it is done. More than
/// [`CHECKPOINT_LOG_BYTES`], so that it outlasts the checkpoint that the snapshot is made of.
pub const RAFT_MEMORY_BYTES_MAX: u64 = 2 * CHECKPOINT_LOG_BYTES;

/// Those of the bounds above that a test makes small, so that what they bound happens within seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// See [`CHECKPOINT_RECORDS`].
    pub checkpoint_records: usize,
    /// See [`RAFT_MEMORY_BYTES`].
    pub raft_memory_bytes: u64,
    /// See [`RAFT_MEMORY_BYTES_MAX`].
    pub raft_memory_bytes_max: u64,
    /// See [`RAFT_MESSAGE_ENTRIES`]. The same for all replicas of a group.
    pub raft_message_entries: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            checkpoint_records: CHECKPOINT_RECORDS,
            raft_memory_bytes: RAFT_MEMORY_BYTES,
            raft_memory_bytes_max: RAFT_MEMORY_BYTES_MAX,
            raft_message_entries: RAFT_MESSAGE_ENTRIES,
        }
    }
}

/// How long a replica may take to say how it is, or that it does what it was asked to.
pub const DESCRIBE_PATIENCE: Duration = Duration::from_secs(1);

/// How far a new replica may be behind, entries, when it gets its vote: with a vote it holds up commits when another is down.
pub const CAUGHT_UP_ENTRIES: u64 = 64;

/// How long requests of a leader that lost its office wait for what became of their entries before the answer is "unknown".
pub const DEPOSED_PATIENCE: Duration = Duration::from_secs(1);

/// How old the newest entry of a replicated shard gets before an empty one follows: followers' clocks stand still without
/// entries, and reads at an instant wait for them.
pub const CLOCK_ENTRY_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of one piece of a snapshot's file.
pub const SNAPSHOT_PIECE_BYTES: usize = 1 << 20;

/// Bytes a second at which one replica takes in a snapshot: payments go on beside it.
pub const SNAPSHOT_BYTES_PER_SECOND: u64 = 64 << 20;

/// A follower that asks for no piece of its snapshot for so long has stopped taking it in.
pub const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(5);

/// A snapshot that nobody asks for is given up after this: its files keep RocksDB from freeing space.
pub const SNAPSHOT_IDLE: Duration = Duration::from_secs(30);

/// Records in memory since the last checkpoint before the next one starts. A transfer makes four to five of them, 128
/// bytes and index overhead each, so this is about 350,000 transfers and 200 MiB.
pub const CHECKPOINT_RECORDS: usize = 1_500_000;

/// While a checkpoint is being written, applying waits rather than let the next one grow beyond this.
pub const CHECKPOINT_RECORDS_MAX: usize = 2 * CHECKPOINT_RECORDS;

/// A checkpoint starts at least when the log has grown by this much: it bounds the replay after a crash.
pub const CHECKPOINT_LOG_BYTES: u64 = 256 << 20;

/// A checkpoint starts at least after so many entries: a replicated shard without payments writes one a second, so this is a day.
pub const CHECKPOINT_ENTRIES: u64 = 86_400;

/// Reads that wait for transfers in doubt; more are refused.
pub const PARKED_READS_MAX: usize = 4_096;

/// How long a read waits for transfers in doubt: more than the 5 s in which they end by themselves.
pub const PARKED_READ_TIMEOUT: Duration = Duration::from_secs(8);

/// Records that one page of a list looks through at the most.
pub const SCAN_RECORDS_MAX: usize = 50_000;

/// Later transfers of one account that a read of an earlier instant takes back; more are refused. Some 0.1 s of the shard's time.
pub const TAKEN_BACK_MAX: usize = 100_000;

/// Audits of one shard, and questions of audits, that wait for each other; more are refused.
pub const AUDITS_MAX: usize = 16;

/// Audits whose progress a shard remembers.
pub const AUDITS_REMEMBERED_MAX: usize = 32;

/// Audits that a shard keeps the sums of, where it has more ledger numbers than fit a message: some 100 bytes a number, until
/// the router has asked for them. Of more at a time the oldest ones' are forgotten, and those audits have to be made again.
pub const AUDIT_TOTALS_KEPT: usize = 4;

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

/// Backups of one shard that are under way at a time; more are refused. Each keeps a snapshot, and what RocksDB rewrites
/// meanwhile stays on the disk until it ends.
pub const BACKUPS_MAX: usize = 4;

/// Pages of one backup that are asked for at a time: one, and repetitions of it whose answers nobody waits for any more.
pub const BACKUP_ASKS_MAX: usize = 8;

/// Bytes that a backup reads before a page ends, whatever it holds: some 5 ms of work.
pub const BACKUP_PAGE_READ_BYTES: u64 = 1 << 20;

/// How long a backup waits for the next page to be asked for, before it gives its snapshot up. At the slowest rate, a MiB a
/// second, the ten pages that are under way from four shards take a third of it. Less than the minute that a router waits for a
/// shard to have room for another backup.
pub const BACKUP_PATIENCE: Duration = Duration::from_secs(30);

/// Accounts with new records that a backup remembers, some 40 bytes each: 40 MB. Where there are more, all are told.
pub const BACKUP_TOUCHED_MAX: usize = 1 << 20;

/// How often the executor looks at its clock: for raft, expiries and waiting reads.
pub const TICK: Duration = Duration::from_millis(50);

/// How often RocksDB is asked for its own figures.
pub const STORE_METRICS_INTERVAL: Duration = Duration::from_secs(2);

/// In this time after the last failure has ended, every transfer in doubt has ended by itself. It is the sum of what recovery
/// waits for (the table in the tests below: at most 3 s) and of its work, [`RECOVERY_WORK`].
pub const IN_DOUBT_END: Duration = Duration::from_secs(5);

/// What is left of [`IN_DOUBT_END`] for the work itself: rounds of [`RECOVERY_BATCH_MAX`] transfers with each peer, one after
/// the other without a pause. A round is three entries in logs (the decider's answer, the holder's finish, the decider's
/// acknowledgement), some 40 ms on the machine of docs/BENCHMARKS.md, so this is 50 rounds or 200,000 transfers.
pub const RECOVERY_WORK: Duration = Duration::from_secs(2);

/// How often a shard looks for holds past their deadline and decisions that nobody acknowledged.
pub const RECOVERY_INTERVAL: Duration = Duration::from_millis(250);

/// How old a decision in the outbox is before its shard tells the participants itself: the router does it within
/// milliseconds when it lives.
pub const OUTBOX_PATIENCE: Duration = Duration::from_millis(1_000);

/// How long recovery waits for another shard's answer. When it comes later, what was asked has been done all the same, and
/// the next round finds less to do.
pub const RECOVERY_TIMEOUT: Duration = Duration::from_secs(2);

/// Transactions that one round of recovery takes on, with each peer: some 200 KB in a message.
pub const RECOVERY_BATCH_MAX: usize = 4_096;

/// Events of committed chains in one message that tells a participant, 24 bytes each; one chain more may be on top. As much
/// as a decider answers with.
pub const RECOVERY_EVENTS_MAX: usize = crest_ledger::limits::RECOVER_EVENTS_MAX;

/// How often a shard's leader asks others whether they accept its messages, and how many it asks at a time. Up to nine shards ask
/// each other every second; of 1,023, each pair twice in 128 s. A question and its answer are some 200 bytes.
pub const PEER_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// See [`PEER_CHECK_INTERVAL`].
pub const PEER_CHECKS_MAX: usize = 8;

/// For how long another shard may be silent, beyond the time in which all are asked once, before it counts as not answering: an
/// election takes 2 s, and a machine may be busy.
pub const PEER_SILENCE: Duration = Duration::from_secs(10);

/// For how long a follower may be behind without getting on, beyond which it counts as not catching up. Sending it what it lacks is
/// tried again within a second, and a snapshot that it stops taking in after [`SNAPSHOT_PATIENCE`].
pub const FOLLOWER_STANDSTILL: Duration = Duration::from_secs(10);

/// RocksDB's cache of blocks, for each shard.
pub const BLOCK_CACHE_BYTES: usize = 128 << 20;

/// RocksDB's own log files that are kept.
pub const ROCKSDB_LOG_FILES: usize = 4;

/// Messages of one stream that wait for their answers.
pub const STREAM_IN_FLIGHT_MAX: usize = 1_024;

/// Memory for requests of routers and other shards, and for the answers to reads, until these were taken. When it is used up, the
/// next messages wait, and their senders with them.
pub const REQUEST_BYTES_MAX: usize = 512 << 20;

/// The same for messages and questions of other nodes and of operators.
pub const PEER_BYTES_MAX: usize = 512 << 20;

/// The part of each that one connection may take: a quarter.
pub const CONNECTION_PART: usize = 4;

/// Memory that a byte of a request takes at the most: as it came, unpacked (commands, at most three times their bytes), and in
/// the log's entry.
pub const REQUEST_BYTES_PER_BYTE: usize = 4;

/// Memory that a byte of a message of raft takes at the most: lists of members are packed numbers.
pub const PEER_BYTES_PER_BYTE: usize = 8;

/// Memory that a question of another node takes with its answer: a piece of a snapshot, read and encoded.
pub const PEER_ANSWER_BYTES: usize = 2 * SNAPSHOT_PIECE_BYTES + CALL_BYTES;

/// Memory that a call takes whatever is in it.
pub const CALL_BYTES: usize = 1 << 10;

/// Entries in one message of raft: [`RAFT_MESSAGE_BYTES`] of empty ones, which take four bytes at the least. Decoded, each takes some
/// 48 bytes, 12 MiB.
pub const RAFT_MESSAGE_ENTRIES_MAX: usize = RAFT_MESSAGE_BYTES as usize / 4;

const _: () = assert!(
    crest_link::grpc::MESSAGE_BYTES_MAX * REQUEST_BYTES_PER_BYTE <= REQUEST_BYTES_MAX / CONNECTION_PART / 2,
    "the largest request fits what one connection may take"
);
const _: () = assert!(PARKED_READ_TIMEOUT.as_nanos() > IN_DOUBT_END.as_nanos(), "a read outlasts what is in doubt");
const _: () = assert!(RECOVERY_EVENTS_MAX <= GROUP_EVENTS_MAX, "a round delays payments no more than a full entry");
const _: () = assert!(
    24 * (RECOVERY_EVENTS_MAX + crest_ledger::limits::BATCH_EVENTS_MAX) + 64 * RECOVERY_BATCH_MAX
        < crest_link::grpc::MESSAGE_BYTES_MAX / 4,
    "a round's messages are far below the limit"
);

#[cfg(test)]
mod tests {
    use super::*;
    use crest_ledger::limits::HOLD_DEADLINE_NS;
    use crest_link::grpc;

    const HOLD_DEADLINE: Duration = Duration::from_nanos(HOLD_DEADLINE_NS);

    /// How long a connection may stay silent after the network heals. TCP sends what was lost again after 0.2 s, and then
    /// after twice as long each time; a connection that was silent for the two times of its keepalive is given up instead,
    /// and the next one is opened with a first packet that is sent again after 1 s.
    fn silence_after_healing() -> Duration {
        let given_up = grpc::KEEPALIVE_INTERVAL + grpc::KEEPALIVE_TIMEOUT;
        let mut longest = Duration::from_secs(1);
        let (mut sent, mut pause) = (Duration::ZERO, Duration::from_millis(200));
        while sent < given_up {
            // It heals right after a packet was sent in vain.
            longest = longest.max((sent + pause).min(given_up) - sent);
            sent += pause;
            pause *= 2;
        }
        longest
    }

    #[test]
    fn recovery_never_waits_so_long_that_the_work_does_not_fit_the_rest() {
        // A hold's age is read off the clock's readings, one a tick.
        let found = TICK + RECOVERY_INTERVAL;
        let asked_again = grpc::RECONNECT_PAUSE + RECOVERY_INTERVAL;
        let cases = [
            ("a router dies after a prepare", HOLD_DEADLINE + found),
            ("a router dies after a decide", OUTBOX_PATIENCE + found),
            ("a shard starts again with what it held", RECOVERY_INTERVAL),
            ("a shard comes back right after a question to it was lost", RECOVERY_TIMEOUT + asked_again),
            ("the network heals while a connection waits to send again", silence_after_healing() + asked_again),
            ("the network heals, and the router dies at that moment", HOLD_DEADLINE + found + asked_again),
        ];
        for (case, waits) in cases {
            assert!(waits + RECOVERY_WORK <= IN_DOUBT_END, "{case}: waits {waits:?}");
        }
    }
}
