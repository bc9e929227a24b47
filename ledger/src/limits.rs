//! Every limit that the ledger's language has, with its arithmetic. Queues and timeouts of the processes around it stand in
//! the limits files of those crates.

/// Events in one request: what fits one mebibyte of 128-byte records with room for the envelope, as in TigerBeetle
/// (2^20 / 128 = 8,192, less two).
pub const BATCH_EVENTS_MAX: usize = 8_190;

/// Bytes of a packed account or transfer.
pub const RECORD_BYTES: usize = 128;

/// Shards in a cluster. Timestamps carry the shard in their remainder (see [`crate::clock`]), so this is also the step of
/// every shard's clock in nanoseconds: one shard can stamp 10^9 / 1,024, some 976,000 events a second, without running
/// ahead of real time, and may run ahead in bursts.
pub const SHARDS_MAX: u64 = 1_024;

/// How far a time that comes from elsewhere may be ahead of a shard's time and of its process's clock, ns. As much as the decide window, in
/// which two-phase commit takes the shards' times to agree (docs/PROTOCOL.md); the clocks of nodes that lead are within a second of each
/// other.
pub const CLOCK_AHEAD_MAX_NS: u64 = DECIDE_WINDOW_NS;

/// The largest timestamp: a signed 64-bit number of nanoseconds, as every language can hold it (the year 2262).
pub const TIMESTAMP_MAX: u64 = i64::MAX as u64;

/// From when on a shard does not serve that should commit an entry and does not, ms. A follower whose disk stalls or a machine that is
/// busy delays commits by less; a leader that hears no majority steps down before.
pub const COMMIT_STALLED_MS: u64 = 5_000;

/// How long a participant waits for the decision before it asks the decider, ns. Above a decider's slowest answer in
/// ordinary operation (a failover of about 1 s), below the 5 s in which every transfer in doubt has to end.
pub const HOLD_DEADLINE_NS: u64 = 2_000_000_000;

/// How long after the first prepare a decide may still commit, ns. A decide that comes later is refused whatever the
/// decider remembers; hence abort tombstones may be forgotten after twice this time (docs/PROTOCOL.md).
pub const DECIDE_WINDOW_NS: u64 = 10_000_000_000;

/// By how much one reading may age abort tombstones, ns. A shard's time that jumps further postpones them by the rest, so that a tombstone
/// is never forgotten before the time in which its attempt could still commit has really passed.
pub const TOMBSTONE_STEP_NS: u64 = 1_000_000_000;

/// Open holds on one shard. Each costs some 600 bytes, so this is about 160 MB; beyond it, a prepare is answered `blocked`.
pub const HOLDS_MAX: usize = 262_144;

/// Events of committed attempts in one answer to a recovering holder: 24 bytes each, so this and one more chain are some
/// 600 KB. What does not fit is asked for again.
pub const RECOVER_EVENTS_MAX: usize = 16_384;

/// Resolutions by operators that a decider keeps, the newest: at some 700 bytes each at the most, 700 KB. Each is typed by
/// somebody, so this is years of them.
pub const RESOLUTIONS_MAX: usize = 1_000;

/// Bytes of the reason for a resolution: a few sentences and the number of a ticket.
pub const RESOLUTION_REASON_BYTES_MAX: usize = 500;

/// Bytes of the name of the operator who resolves.
pub const RESOLUTION_BY_BYTES_MAX: usize = 100;

/// Expired reservations that one log entry releases; the next entry continues.
pub const EXPIRE_BATCH_MAX: usize = 4_096;

/// Chains whose instants a shard remembers, so that no read is taken in the middle of one. Some 32 bytes each, so 2 MB; a
/// read's instant is milliseconds old when it arrives, and no shard works off that many chains meanwhile.
pub const CHAINS_REMEMBERED: usize = 65_536;

/// Amounts from here on are never reordered against other events of their request, since they could overflow an account
/// in one order and not in the other. 2^120 leaves room for 256 of them, and for 10^36 of any currency's smallest unit.
pub const AMOUNT_COMMUTES_MAX: u128 = 1 << 120;

const _: () = assert!(BATCH_EVENTS_MAX * RECORD_BYTES <= 1 << 20, "a full batch is at most one mebibyte");
const _: () =
    assert!(BATCH_EVENTS_MAX <= RECOVER_EVENTS_MAX, "a router that gives up a whole request is told all of it");
const _: () = assert!(HOLD_DEADLINE_NS * 2 < DECIDE_WINDOW_NS, "a hold asks long before its decide is refused for age");
const _: () = assert!(SHARDS_MAX.is_power_of_two(), "the clock's remainder is a mask");
