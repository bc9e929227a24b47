//! The words of two-phase commit: attempts, steps, refusals, votes and outcomes.

use crate::clock::Timestamp;
use crate::records::Sides;
use crate::{Account, AccountStatus, Transfer, TransferStatus};

/// A shard's number, as in the slot map.
pub type ShardId = u32;

/// One attempt at a transfer or chain that several shards take part in. A client's retry is another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxnId {
    /// The id of the first event.
    pub first_id: u128,
    /// Unique among the attempts for that id: random, from the router.
    pub attempt: u64,
}

impl TxnId {
    /// The attempt numbers from here on are those of expiries; routers draw smaller ones.
    pub const EXPIRY: u64 = 1 << 63;

    /// The attempt that a payer's shard begins at the instant `at` to expire the pending transfer `id`.
    pub fn expiry(id: u128, at: Timestamp) -> Self {
        Self { first_id: id, attempt: Self::EXPIRY | at }
    }

    /// Whether this is an attempt to expire the pending transfer `first_id`.
    pub fn is_expiry(&self) -> bool {
        self.attempt >= Self::EXPIRY
    }
}

/// What a step creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An account.
    Account(Account),
    /// A transfer.
    Transfer(Transfer),
}

/// What one shard has to do for one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The event's place in its chain, from 0.
    pub index: u16,
    /// Which of the event's accounts live on this shard; [`Sides::BOTH`] for an account.
    pub sides: Sides,
    /// What the request as a whole already says of this event (a status number: an open chain, or a mix of imported and
    /// other events), or 0.
    pub request_status: u8,
    /// The most that may move: the transfer's amount, or what an earlier participant of a balancing transfer left of it.
    pub amount_max: u128,
    /// What to create.
    pub event: Event,
}

impl Step {
    /// The step of a transfer whose both accounts are here.
    pub fn local(transfer: Transfer) -> Self {
        Self {
            index: 0,
            sides: Sides::BOTH,
            request_status: 0,
            amount_max: transfer.amount,
            event: Event::Transfer(transfer),
        }
    }

    /// The step of an account.
    pub fn account(account: Account) -> Self {
        Self { index: 0, sides: Sides::BOTH, request_status: 0, amount_max: 0, event: Event::Account(account) }
    }

    /// The id of what it creates.
    pub fn id(&self) -> u128 {
        match &self.event {
            Event::Account(a) => a.id,
            Event::Transfer(t) => t.id,
        }
    }

    /// The ledger number that it names; 0 in a post or void that names none.
    pub fn ledger(&self) -> u32 {
        match &self.event {
            Event::Account(a) => a.ledger,
            Event::Transfer(t) => t.ledger,
        }
    }

    /// Whether its amount depends on what an account has.
    pub fn balances(&self) -> bool {
        matches!(&self.event, Event::Transfer(t) if t.flags.any(crate::TransferFlags::BALANCING))
    }

    /// Whether the event is chained with the next one.
    pub fn linked(&self) -> bool {
        match &self.event {
            Event::Account(a) => a.flags.any(crate::AccountFlags::LINKED),
            Event::Transfer(t) => t.flags.any(crate::TransferFlags::LINKED),
        }
    }
}

/// A refusal or a success, as a number of [`AccountStatus`] or [`TransferStatus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventResult {
    /// The status's number; [`EventResult::BLOCKED`] when there is none yet.
    pub status: u8,
    /// The object's timestamp when it exists, otherwise the time of the check, ns.
    pub timestamp: Timestamp,
}

impl EventResult {
    /// No answer: another transfer in doubt on the same account would decide it. Nothing was done; try again.
    pub const BLOCKED: u8 = 255;
    /// In a decide's refusals: from this event on not every participant was asked, since the decider itself had refused. It
    /// must not commit even if it would accept now; then this is the answer, and another attempt is made.
    pub const INCOMPLETE: u8 = 254;
    /// `linked_event_failed`, the same number for accounts and transfers.
    pub const LINKED_EVENT_FAILED: u8 = TransferStatus::LinkedEventFailed as u8;
    /// `created`, the same number for both.
    pub const CREATED: u8 = TransferStatus::Created as u8;

    /// Not answered.
    pub fn blocked() -> Self {
        Self { status: Self::BLOCKED, timestamp: 0 }
    }

    /// Whether there is no answer yet.
    pub fn is_blocked(&self) -> bool {
        self.status == Self::BLOCKED
    }

    /// As a transfer's status; `None` for an unknown number or none.
    pub fn transfer_status(&self) -> Option<TransferStatus> {
        TransferStatus::from_number(self.status)
    }

    /// As an account's status; `None` for an unknown number or none.
    pub fn account_status(&self) -> Option<AccountStatus> {
        AccountStatus::from_number(self.status)
    }
}

/// Why one shard's side of an event refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The event's place in its chain.
    pub index: u16,
    /// The status's number.
    pub status: u8,
    /// The existing object's timestamp, or the time of the check, ns.
    pub timestamp: Timestamp,
    /// The ledger number of the account on this side, when the refusal is about ledgers and the other side is elsewhere;
    /// else 0.
    pub ledger: u32,
}

/// What a check of one event on one shard found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<T> {
    /// Nothing on this shard refuses.
    Accept(T),
    /// This shard refuses, whatever the others say.
    Refuse(Refusal),
    /// A transfer in doubt on the same accounts has to end first.
    Blocked,
}

/// A participant's answer to a prepare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vote {
    /// A hold is recorded.
    Held {
        /// The amount of each step, in the order of the prepare.
        amounts: Vec<u128>,
        /// This shard's clock: the decision's timestamp is above it, ns.
        clock: Timestamp,
        /// The decision's timestamp must be below it (a pending transfer expires then), ns.
        commit_before: Timestamp,
    },
    /// No hold: the first step that this shard refuses, and the amounts of those before it.
    Refused(Refusal),
    /// No hold: try again.
    Blocked,
}

/// What became of an event of a committed transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The timestamp that all its shards record, ns.
    pub timestamp: Timestamp,
    /// What moved.
    pub amount: u128,
}

/// How a transaction ended: what a holder must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Post the hold. One entry for each event of the transaction, by index.
    Committed(Vec<Commit>),
    /// Release the hold.
    Released {
        /// The transfer id that failed with a transient status, to be remembered here too; 0 for none.
        burned_id: u128,
    },
    /// The pending transfer `first_id` expired at this instant.
    Expired(Timestamp),
}

impl Outcome {
    /// How many events it speaks of, at least one: what batch limits count.
    pub fn events(&self) -> usize {
        match self {
            Self::Committed(commits) => commits.len().max(1),
            Self::Released { .. } | Self::Expired(_) => 1,
        }
    }
}

/// The decider's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// The commit point: recorded, and in the outbox until every participant has finished.
    Committed(Vec<Commit>),
    /// Refused because of one event; an abort tombstone stands. Participants are to be released.
    Refused {
        /// The culprit.
        refusal: Refusal,
        /// The culprit's id when its status is transient; else 0.
        burned_id: u128,
    },
    /// The pending transfer is released at this instant: recorded, and in the outbox likewise.
    Expired(Timestamp),
    /// Nothing recorded: a transfer in doubt on the same accounts has to end first. The holds stand.
    Blocked,
    /// This attempt was aborted before (a holder asked, or too much time has passed). Release and try another one.
    Aborted,
}
