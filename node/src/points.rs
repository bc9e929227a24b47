//! The named points between a node's steps, at which tests make it die, wait, or believe that its disk fails: see
//! `crest-failpoints`.

/// The commands of an entry: the executor's points stand there once for each kind.
const COMMANDS: &[&str] = &["create", "prepare", "decide", "finish", "acknowledge", "recover", "expire", "burn"];

crest_failpoints::points! {
    /// RocksDB's files are there; they do not say yet whose they are.
    START_UNNAMED = "start::unnamed";
    /// The store says whose it is; there is no log yet, or it was not read.
    START_STORE_READ = "start::store_read";
    /// Store and log are read; nothing after the checkpoint is applied again.
    START_READ = "start::read";

    /// A piece of a snapshot is here, and others may not be.
    SNAPSHOT_PIECE = "snapshot::piece";
    /// A snapshot's rows have taken the place of those that were here; the log is still the old one.
    INSTALL_SWAPPED = "install::swapped";
    /// The log begins behind the snapshot; that it is to be installed is still noted.
    INSTALL_LOG_RESET = "install::log_reset";

    /// A group of requests is taken from the queue and has its time; it is not proposed.
    BEFORE_PROPOSE = "executor::before_propose" of COMMANDS;
    /// An entry was handed to the log's thread.
    APPENDING = "executor::appending" of COMMANDS;
    /// An entry is durable and not applied. Passed again by every entry that is replayed after a crash.
    DURABLE = "executor::durable" of COMMANDS;
    /// An entry is applied, and nobody was answered.
    APPLIED = "executor::applied" of COMMANDS;

    /// Nothing of an append is written.
    LOG_BEFORE_WRITE = "log::before_write";
    /// An append is written and not durable.
    LOG_WRITTEN = "log::written";
    /// An append is durable, and the executor does not know.
    LOG_SYNCED = "log::synced";
    /// The last segment is full; there is no next one.
    LOG_SEGMENT_FULL = "log::segment_full";
    /// The next segment has its header, and not its name.
    LOG_SEGMENT_UNNAMED = "log::segment_unnamed";
    /// The next segment has its name, and is not noted as the newest.
    LOG_SEGMENT_UNNOTED = "log::segment_unnoted";
    /// The next segment is noted as the newest, and has no entry.
    LOG_SEGMENT_BEGUN = "log::segment_begun";
    /// A checkpoint stands behind a segment, which is about to be let go.
    LOG_BEFORE_DROP = "log::before_drop";
    /// A segment was let go; others that are not needed are still there.
    LOG_DROPPED = "log::dropped";
    /// Fails the write of an append.
    LOG_WRITE_FAILS = "log::write_fails";
    /// Fails the sync of an append.
    LOG_SYNC_FAILS = "log::sync_fails";
    /// Fails the filling of a new log file.
    LOG_FILL_FAILS = "log::fill_fails";

    /// What a checkpoint has to store is known, and nothing of it is written.
    CHECKPOINT_BEGUN = "checkpoint::begun";
    /// A part of a checkpoint's file is written.
    CHECKPOINT_HALF = "checkpoint::half";
    /// The file of a checkpoint is complete, and no part of the store.
    CHECKPOINT_WRITTEN = "checkpoint::written";
    /// The file has become a part of the store; its first name is still there.
    CHECKPOINT_INGESTED = "checkpoint::ingested";
    /// A checkpoint is done, and the executor does not know.
    CHECKPOINT_DONE = "checkpoint::done";
    /// The executor knows of a checkpoint, and the log still has everything before it.
    CHECKPOINT_KNOWN = "checkpoint::known";
    /// Fails the writing of a checkpoint's file.
    CHECKPOINT_WRITE_FAILS = "checkpoint::write_fails";
    /// Fails a checkpoint after its file was written.
    CHECKPOINT_INGEST_FAILS = "checkpoint::ingest_fails";

    /// A hold is past its deadline, and the decider is about to be asked.
    RECOVERY_BEFORE_ASK = "recovery::before_ask";
    /// The decider has answered; the holds are open.
    RECOVERY_ANSWERED = "recovery::answered";
    /// The holds are ended as the decider said, which does not know.
    RECOVERY_ENDED = "recovery::ended";
    /// A decision was not acknowledged in time, and the participant is about to be told.
    RECOVERY_BEFORE_TELL = "recovery::before_tell";
    /// The participant was told and has finished; the decision is in the outbox.
    RECOVERY_TOLD = "recovery::told";

    /// A reservation between shards is due; the payee's shard does not know.
    EXPIRY_DUE = "expiry::due";
    /// The payee's shard holds an expiry; the payer's has not decided.
    EXPIRY_HELD = "expiry::held";
    /// The payer's shard has decided an expiry; the payee's does not know.
    EXPIRY_DECIDED = "expiry::decided";

    /// Bytes of a log segment.
    VALUE_SEGMENT_BYTES = "value::segment_bytes";
    /// Changed records in memory at which a checkpoint is written.
    VALUE_CHECKPOINT_RECORDS = "value::checkpoint_records";
}
