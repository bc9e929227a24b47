//! One request: its events in order, chains as a whole (section 6), imports all or none (section 7).

use crest_ledger::limits::TIMESTAMP_MAX;
use crest_ledger::{Account, AccountFlags, AccountStatus, Timestamp, Transfer, TransferFlags, TransferStatus};

use super::{Model, State};

/// What accounts and transfers have in common as events of a request.
pub(super) trait Event: Copy {
    type Status: Status;

    fn linked(&self) -> bool;
    fn imported(&self) -> bool;
    fn timestamp(&self) -> Timestamp;
    /// Decides and, when nothing is wrong with it, applies the event.
    fn apply(self, model: &mut Model) -> Self::Status;
    fn with_timestamp(self, timestamp: Timestamp) -> Self;
    /// Remembers that the event's id has failed for good, when `status` says so.
    fn burn(&self, status: Self::Status, model: &mut Model);
}

/// The statuses that come from an event's place in its request and from its timestamp.
pub(super) trait Status: Copy + PartialEq {
    const CREATED: Self;
    const LINKED_EVENT_FAILED: Self;
    const LINKED_EVENT_CHAIN_OPEN: Self;
    const IMPORTED_EVENT_EXPECTED: Self;
    const IMPORTED_EVENT_NOT_EXPECTED: Self;
    const TIMESTAMP_MUST_BE_ZERO: Self;
    const IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE: Self;
    const IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE: Self;
}

macro_rules! status {
    ($($name:ident),*) => {$(
        impl Status for $name {
            const CREATED: Self = Self::Created;
            const LINKED_EVENT_FAILED: Self = Self::LinkedEventFailed;
            const LINKED_EVENT_CHAIN_OPEN: Self = Self::LinkedEventChainOpen;
            const IMPORTED_EVENT_EXPECTED: Self = Self::ImportedEventExpected;
            const IMPORTED_EVENT_NOT_EXPECTED: Self = Self::ImportedEventNotExpected;
            const TIMESTAMP_MUST_BE_ZERO: Self = Self::TimestampMustBeZero;
            const IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE: Self = Self::ImportedEventTimestampOutOfRange;
            const IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE: Self = Self::ImportedEventTimestampMustNotAdvance;
        }
    )*};
}

status!(AccountStatus, TransferStatus);

impl Event for Account {
    type Status = AccountStatus;

    fn linked(&self) -> bool {
        self.flags.any(AccountFlags::LINKED)
    }

    fn imported(&self) -> bool {
        self.flags.any(AccountFlags::IMPORTED)
    }

    fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    fn apply(self, model: &mut Model) -> AccountStatus {
        model.state.create_account(self)
    }

    fn with_timestamp(self, timestamp: Timestamp) -> Self {
        Self { timestamp, ..self }
    }

    fn burn(&self, _: AccountStatus, _: &mut Model) {}
}

impl Event for Transfer {
    type Status = TransferStatus;

    fn linked(&self) -> bool {
        self.flags.any(TransferFlags::LINKED)
    }

    fn imported(&self) -> bool {
        self.flags.any(TransferFlags::IMPORTED)
    }

    fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    fn apply(self, model: &mut Model) -> TransferStatus {
        model.state.create_transfer(self, &model.burned)
    }

    fn with_timestamp(self, timestamp: Timestamp) -> Self {
        Self { timestamp, ..self }
    }

    fn burn(&self, status: TransferStatus, model: &mut Model) {
        if status.is_transient() {
            model.burned.insert(self.id);
        }
    }
}

/// The chain that is being applied.
struct Chain {
    /// Its first event.
    first: usize,
    /// The state before it.
    before: State,
    /// One of its events has failed.
    broken: bool,
}

impl Model {
    /// Applies the events of one request.
    pub(super) fn request<E: Event>(&mut self, events: &[E]) -> Vec<E::Status> {
        let mut statuses = Vec::with_capacity(events.len());
        let mut chain: Option<Chain> = None;
        for (index, event) in events.iter().enumerate() {
            if event.linked() && chain.is_none() {
                chain = Some(Chain { first: index, before: self.state.clone(), broken: false });
            }
            let open = event.linked() && index + 1 == events.len();
            let status = match &chain {
                _ if open => E::Status::LINKED_EVENT_CHAIN_OPEN,
                Some(Chain { broken: true, .. }) => E::Status::LINKED_EVENT_FAILED,
                _ => self.event(event, events[0].imported()),
            };
            if let Some(chain) = chain.as_mut().filter(|c| !c.broken && status != E::Status::CREATED) {
                chain.broken = true;
                self.state = chain.before.clone();
                statuses[chain.first..].fill(E::Status::LINKED_EVENT_FAILED);
            }
            event.burn(status, self);
            statuses.push(status);
            if !event.linked() {
                chain = None;
            }
        }
        statuses
    }

    /// The first checks of section 3, then those of the event's kind.
    fn event<E: Event>(&mut self, event: &E, imported: bool) -> E::Status {
        let at = self.tick();
        if imported && !event.imported() {
            return E::Status::IMPORTED_EVENT_EXPECTED;
        }
        if !imported && event.imported() {
            return E::Status::IMPORTED_EVENT_NOT_EXPECTED;
        }
        if !event.imported() {
            if event.timestamp() != 0 {
                return E::Status::TIMESTAMP_MUST_BE_ZERO;
            }
            return event.with_timestamp(at).apply(self);
        }
        if event.timestamp() == 0 || event.timestamp() > TIMESTAMP_MAX {
            return E::Status::IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE;
        }
        if event.timestamp() >= at {
            return E::Status::IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE;
        }
        event.apply(self)
    }
}
