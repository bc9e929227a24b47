//! What a shard tells of attempts in doubt and of resolutions, and their bytes.

use super::codec::{Packed, pack_list, unpack_list};
use crate::clock::Timestamp;
use crate::command::{ResolveRequest, Resolved};
use crate::limits::{
    BATCH_EVENTS_MAX, RESOLUTION_BY_BYTES_MAX, RESOLUTION_REASON_BYTES_MAX, RESOLUTIONS_MAX, SHARDS_MAX,
};
use crate::packed::{Reader, Writer};
use crate::resolutions::{Fate, Resolution};
use crate::txn::{Event, Outcome, ShardId, TxnId};
use crate::{Account, Transfer};

/// Attempts in one page, and in one question about attempts.
pub const ATTEMPTS_MAX: usize = 1_000;

/// Events that are shown of one attempt: its first ones.
pub const EVENTS_SHOWN: usize = 8;

/// Which attempts in doubt to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InDoubtFilter {
    /// Those behind this one only; [`InDoubtFilter::START`] for all.
    pub after: (Timestamp, TxnId),
    /// Those that are at least this old, ns.
    pub age_min: u64,
    /// How many at the most, up to [`ATTEMPTS_MAX`].
    pub limit: u32,
}

impl InDoubtFilter {
    /// Before all attempts.
    pub const START: (Timestamp, TxnId) = (0, TxnId { first_id: 0, attempt: 0 });
}

/// Some attempts of which a shard has a hold or a decision in its outbox, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InDoubtPage {
    /// When each was prepared or decided here, ns.
    pub attempts: Vec<(Timestamp, TxnId)>,
    /// Whether there are more behind them.
    pub more: bool,
}

/// An event of an attempt, as far as a shard knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownEvent {
    /// Its place in its chain.
    pub index: u16,
    /// How much moves, as far as it is known.
    pub amount: u128,
    /// A post or void has the accounts of its pending transfer; an expiry is shown as that transfer, which it ends.
    pub event: Event,
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownHold {
    /// Who decides.
    pub decider: ShardId,
    /// When it was prepared, by this shard's clock, ns.
    pub since: Timestamp,
    /// How many events this shard has to post.
    pub events: u32,
}

/// A decision in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownDecision {
    /// When it was taken, ns.
    pub since: Timestamp,
    /// When the pending transfer expired, if that was decided; otherwise it was committed.
    pub expired: Option<Timestamp>,
    /// How many events it speaks of.
    pub events: u32,
    /// Who has not acknowledged it.
    pub waiting_for: Vec<ShardId>,
}

/// What a shard knows of one attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Knowledge {
    /// It holds.
    pub hold: Option<ShownHold>,
    /// It decided, and waits for acknowledgements.
    pub decision: Option<ShownDecision>,
    /// It recorded then that the attempt never commits, ns.
    pub aborted: Option<Timestamp>,
    /// An operator resolved it.
    pub resolution: Option<Resolution>,
    /// The first events of it that are known here, at most [`EVENTS_SHOWN`].
    pub events: Vec<ShownEvent>,
}

impl Knowledge {
    /// Since when the shard has a hold or a decision that is not done with, ns.
    pub fn since(&self) -> Option<Timestamp> {
        let hold = self.hold.as_ref().map(|hold| hold.since);
        hold.into_iter().chain(self.decision.as_ref().map(|decision| decision.since)).min()
    }
}

/// What a shard knows of the attempts that it was asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The shard's time, ns.
    pub now: Timestamp,
    /// The shard's clock, ns: above all its prepares.
    pub clock: Timestamp,
    /// One for each attempt, in the order asked.
    pub attempts: Vec<Knowledge>,
    /// For how long each of them has been in doubt here, ns, in time that really passed; 0 where nothing is. `now` minus the time of a hold
    /// would not tell: clocks jump, and while a shard's is ahead of its machine's, it stands nearly still.
    pub ages: Vec<u64>,
}

impl Packed for InDoubtFilter {
    const BYTES_MIN: usize = 44;

    fn pack(&self, out: &mut Vec<u8>) {
        self.after.pack(out);
        Writer(out).u64(self.age_min).u32(self.limit);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { after: Packed::unpack(r)?, age_min: r.u64()?, limit: r.u32()? })
    }
}

impl Packed for InDoubtPage {
    const BYTES_MIN: usize = 5;

    fn pack(&self, out: &mut Vec<u8>) {
        pack_list(&self.attempts, out);
        self.more.pack(out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { attempts: unpack_list(r, ATTEMPTS_MAX)?, more: Packed::unpack(r)? })
    }
}

impl Packed for ShownEvent {
    const BYTES_MIN: usize = 147;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u16(self.index).u128(self.amount);
        match &self.event {
            Event::Account(a) => {
                out.push(1);
                a.pack(out);
            }
            Event::Transfer(t) => {
                out.push(2);
                t.pack(out);
            }
        }
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        let (index, amount) = (r.u16()?, r.u128()?);
        let event = match r.u8()? {
            1 => Event::Account(Account::unpack(r)?),
            2 => Event::Transfer(Transfer::unpack(r)?),
            _ => return None,
        };
        Some(Self { index, amount, event })
    }
}

impl Packed for ShownHold {
    const BYTES_MIN: usize = 16;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u32(self.decider).u64(self.since).u32(self.events);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { decider: r.u32()?, since: r.u64()?, events: r.u32()? })
    }
}

impl Packed for ShownDecision {
    const BYTES_MIN: usize = 17;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u64(self.since);
        self.expired.pack(out);
        Writer(out).u32(self.events);
        pack_list(&self.waiting_for, out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        let (since, expired, events) = (r.u64()?, Packed::unpack(r)?, r.u32()?);
        Some(Self { since, expired, events, waiting_for: unpack_list(r, SHARDS_MAX as usize)? })
    }
}

impl Packed for Knowledge {
    const BYTES_MIN: usize = 8;

    fn pack(&self, out: &mut Vec<u8>) {
        self.hold.pack(out);
        self.decision.pack(out);
        self.aborted.pack(out);
        self.resolution.pack(out);
        pack_list(&self.events, out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            hold: Packed::unpack(r)?,
            decision: Packed::unpack(r)?,
            aborted: Packed::unpack(r)?,
            resolution: Packed::unpack(r)?,
            events: unpack_list(r, EVENTS_SHOWN)?,
        })
    }
}

impl Packed for Known {
    const BYTES_MIN: usize = 24;

    fn pack(&self, out: &mut Vec<u8>) {
        assert_eq!(self.attempts.len(), self.ages.len(), "every attempt has an age");
        Writer(out).u64(self.now).u64(self.clock);
        pack_list(&self.attempts, out);
        pack_list(&self.ages, out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        let (now, clock, attempts) = (r.u64()?, r.u64()?, unpack_list(r, ATTEMPTS_MAX)?);
        let ages: Vec<u64> = unpack_list(r, ATTEMPTS_MAX)?;
        (ages.len() == attempts.len()).then_some(Self { now, clock, attempts, ages })
    }
}

impl Packed for Fate {
    const BYTES_MIN: usize = 9;

    fn pack(&self, out: &mut Vec<u8>) {
        let (kind, at) = match self {
            Self::Committed(at) => (1, *at),
            Self::Expired(at) => (2, *at),
            Self::Aborted => (3, 0),
            Self::AbortedBefore => (4, 0),
            Self::Done(at) => (5, *at),
        };
        Writer(out).u8(kind).u64(at);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        let (kind, at) = (r.u8()?, r.u64()?);
        Some(match kind {
            1 => Self::Committed(at),
            2 => Self::Expired(at),
            3 => Self::Aborted,
            4 => Self::AbortedBefore,
            5 => Self::Done(at),
            _ => return None,
        })
    }
}

impl Packed for Resolution {
    const BYTES_MIN: usize = 25;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u64(self.at);
        self.fate.pack(out);
        pack_text(&self.reason, out);
        pack_text(&self.by, out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        let (at, fate) = (r.u64()?, Fate::unpack(r)?);
        let reason = unpack_text(r, RESOLUTION_REASON_BYTES_MAX)?;
        Some(Self { at, fate, reason, by: unpack_text(r, RESOLUTION_BY_BYTES_MAX)? })
    }
}

impl Packed for ResolveRequest {
    const BYTES_MIN: usize = 41;

    fn pack(&self, out: &mut Vec<u8>) {
        self.txn.pack(out);
        Writer(out).u64(self.asked_at);
        self.of_account.pack(out);
        pack_text(&self.reason, out);
        pack_text(&self.by, out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        let (txn, asked_at, of_account) = (Packed::unpack(r)?, r.u64()?, Packed::unpack(r)?);
        let reason = unpack_text(r, RESOLUTION_REASON_BYTES_MAX)?;
        Some(Self { txn, asked_at, of_account, reason, by: unpack_text(r, RESOLUTION_BY_BYTES_MAX)? })
    }
}

impl Packed for Resolved {
    const BYTES_MIN: usize = Outcome::BYTES_MIN + Resolution::BYTES_MIN + 1;

    fn pack(&self, out: &mut Vec<u8>) {
        self.outcome.pack(out);
        self.resolution.pack(out);
        self.repeated.pack(out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { outcome: Packed::unpack(r)?, resolution: Packed::unpack(r)?, repeated: Packed::unpack(r)? })
    }
}

/// A text of at most `max` bytes, which whoever made it has checked.
pub(super) fn pack_text(text: &str, out: &mut Vec<u8>) {
    Writer(out).u32(u32::try_from(text.len()).expect("texts are bounded far below 2^32"));
    out.extend_from_slice(text.as_bytes());
}

/// The inverse of [`pack_text`]; `None` when it is longer than `max` bytes.
pub(super) fn unpack_text(r: &mut Reader<'_>, max: usize) -> Option<String> {
    let n = r.count(max, 1)?;
    String::from_utf8(r.bytes(n)?.to_vec()).ok()
}

const _: () = assert!(RESOLUTIONS_MAX <= BATCH_EVENTS_MAX, "all resolutions of a shard fit one answer");
