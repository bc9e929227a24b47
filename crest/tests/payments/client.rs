//! One client: sends one request after the other and remembers what became of each event.

use std::collections::VecDeque;
use std::error::Error as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crest_conformance::random::Random;
use crest_proto::border::{number_from, number_to};
use crest_proto::v1;
use crest_proto::v1::CreateTransferStatus as Status;
use crest_proto::v1::ledger_client::LedgerClient;
use tokio::sync::watch;
use tonic::Code;
use tonic::transport::Channel;

use super::{Bank, new_id, plain};

/// How long a request may stay unknown once all processes run: a transfer in doubt ends within 5 s.
const SETTLE: Duration = Duration::from_secs(30);
/// The timeout of some pending transfers, seconds: the shortest there is.
const TIMEOUT_SECONDS: u32 = 1;
/// The pause after a request that nobody answered.
const PAUSE: Duration = Duration::from_millis(10);

/// What a client knows of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was sent, and no answer came.
    Unknown,
    /// Created, with this timestamp when the answer told it.
    Done(Option<u64>),
    /// Refused for ever, or until it is sent again.
    Refused(Status),
    /// The router said that nothing was applied, and it was not sent again.
    NothingApplied,
}

/// An event that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) transfer: v1::Transfer,
    pub(crate) fate: Fate,
    /// When it was about to be sent for the first time.
    pub(crate) begun: Instant,
    /// When the request was sent that was answered.
    pub(crate) sent: Option<Instant>,
    /// When its answer was here.
    pub(crate) answered: Option<Instant>,
    /// How it may be refused when it is a post or a void.
    may_be: &'static [Status],
}

/// A pending transfer that was created and may still be there.
#[derive(Clone, Copy, Debug)]
struct Pending {
    transfer: v1::Transfer,
    /// How a post or a void of it may be refused.
    may_be: &'static [Status],
}

/// Its time may be over when it is posted.
const TIMED: &[Status] = &[Status::PendingTransferExpired];
/// It never was; and the id of who asks is burned then.
const MISSING: &[Status] = &[Status::PendingTransferNotFound, Status::IdAlreadyFailed];

impl Sent {
    pub(crate) fn id(&self) -> u128 {
        number_from(self.transfer.id)
    }
}

/// A run of events that were sent together.
#[derive(Clone, Debug)]
struct Request {
    events: Range<usize>,
    independent: bool,
}

/// A client.
pub(crate) struct Client {
    random: Random,
    bank: Arc<Bank>,
    /// Everything that it ever sent, in order.
    pub(crate) sent: Vec<Sent>,
    unknown: VecDeque<Request>,
    /// Pending transfers that were created, and are neither posted nor voided.
    pending: Vec<Pending>,
    /// Whether some of them expire.
    timeouts: bool,
    /// Requests that had to be sent again.
    pub(crate) retries: u64,
}

impl Client {
    /// A client whose choices follow from `seed`.
    pub(crate) fn new(seed: u64, bank: Arc<Bank>) -> Self {
        let random = Random::new(seed);
        Self {
            random,
            bank,
            sent: Vec::new(),
            unknown: VecDeque::new(),
            pending: Vec::new(),
            timeouts: true,
            retries: 0,
        }
    }

    /// None of its reservations expire: an expiry leaves no record from which a reader's sums could be computed.
    pub(crate) fn without_timeouts(self) -> Self {
        Self { timeouts: false, ..self }
    }

    /// How many requests have an unknown outcome.
    pub(crate) fn unknown(&self) -> usize {
        self.unknown.len()
    }

    /// Sends requests until `stopped`: what is unknown again, otherwise new ones. Counts the answered events in `settled`.
    pub(crate) async fn work(
        &mut self,
        mut router: LedgerClient<Channel>,
        stopped: &watch::Receiver<bool>,
        settled: &watch::Sender<u64>,
    ) {
        while !*stopped.borrow() {
            let (request, again) = match self.unknown.pop_front() {
                Some(request) => (request, true),
                None => (self.compose(), false),
            };
            let events = request.events.len() as u64;
            if self.send(&mut router, request, again).await {
                settled.send_modify(|n| *n += events);
            } else {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Sends what is unknown again until nothing is.
    ///
    /// # Panics
    /// When a request stays unknown for too long.
    pub(crate) async fn settle(&mut self, mut router: LedgerClient<Channel>) {
        let until = Instant::now() + SETTLE;
        while let Some(request) = self.unknown.pop_front() {
            assert!(Instant::now() < until, "{:?} stays unknown", self.sent[request.events.start]);
            if !self.send(&mut router, request, true).await {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Sends a request and takes its answer in. False when there was none.
    async fn send(&mut self, router: &mut LedgerClient<Channel>, request: Request, again: bool) -> bool {
        let events = &self.sent[request.events.clone()];
        let transfers = events.iter().map(|sent| sent.transfer).collect();
        let message = v1::CreateTransfersRequest { transfers, independent: request.independent };
        self.retries += u64::from(again);
        let sent = Instant::now();
        match router.create_transfers(message).await {
            Ok(answer) => {
                self.take(&request, &answer.into_inner().results, sent);
                return true;
            }
            Err(status) if status.code() == Code::ResourceExhausted && !again && self.random.chance(50) => {
                // It says that nothing was applied: then it does not have to be sent again to know.
                self.sent[request.events].iter_mut().for_each(|sent| sent.fate = Fate::NothingApplied);
            }
            Err(status) => {
                let broken = status.source().is_some() && matches!(status.code(), Code::Unknown | Code::Internal);
                let expected = matches!(
                    status.code(),
                    Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Cancelled
                );
                assert!(expected || broken, "an answer that tells nobody what to do: {status:?}");
                self.unknown.push_back(request);
            }
        }
        false
    }

    fn take(&mut self, request: &Request, results: &[v1::CreateTransferResult], sent_at: Instant) {
        let events = request.events.clone();
        assert_eq!(results.len(), events.len(), "one result for each event");
        let is_chain = self.sent[events.start].transfer.flags.is_some_and(|flags| flags.linked);
        // A chain that was made before breaks at its first event, which exists; and all of it is there.
        let chain_is_there = is_chain && results[0].status() == Status::Exists;
        let now = Instant::now();
        for (at, result) in events.zip(results) {
            let sent = &mut self.sent[at];
            (sent.sent, sent.answered) = (Some(sent_at), Some(now));
            sent.fate = match result.status() {
                Status::Created | Status::Exists => Fate::Done(Some(result.timestamp)),
                Status::LinkedEventFailed if chain_is_there => Fate::Done(None),
                refused => Fate::Refused(refused),
            };
            let flags = sent.transfer.flags.unwrap_or_default();
            let done = matches!(sent.fate, Fate::Done(_));
            if flags.pending && done {
                let may_be = if sent.transfer.timeout > 0 { TIMED } else { &[] };
                self.pending.push(Pending { transfer: sent.transfer, may_be });
            }
            let resolves = flags.post_pending_transfer || flags.void_pending_transfer;
            let expected = done || sent.may_be.contains(&result.status());
            assert!(expected || !resolves, "the pending transfer is there and open, but: {sent:?}");
        }
    }

    /// A new request.
    fn compose(&mut self) -> Request {
        let start = self.sent.len();
        let mut independent = false;
        match self.random.below(100) {
            0..=41 => self.add_plain(1, false),
            42..=64 => {
                let count = 2 + self.random.below(39);
                independent = self.random.chance(40);
                self.add_plain(count, false);
            }
            65..=76 => {
                let more = if self.random.chance(85) { 2 } else { 30 };
                let count = 2 + self.random.below(more);
                self.add_plain(count, true);
            }
            77..=85 => self.add_pending(),
            86..=93 => match self.pending.pop() {
                Some(pending) => self.add_resolution(pending),
                None => self.add_plain(1, false),
            },
            94 => {
                let id = number_to(new_id(&mut self.random));
                let transfer = v1::Transfer { id, ..plain(0, self.bank.open_pair(&mut self.random), 1_000) };
                self.add_resolution(Pending { transfer, may_be: MISSING });
            }
            _ => self.add_balancing(),
        }
        Request { events: start..self.sent.len(), independent }
    }

    fn add_plain(&mut self, count: u64, chain: bool) {
        for n in 0..count {
            let pair = self.bank.pair(&mut self.random);
            let amount = 1 + self.random.below(1_000);
            let transfer = plain(new_id(&mut self.random), pair, u128::from(amount));
            // A long chain with a balancing transfer takes a round trip an event.
            let balances = if chain && count > 3 { 0 } else { 4 };
            let flags = v1::TransferFlags {
                linked: chain && n + 1 < count,
                balancing_debit: self.random.chance(balances),
                balancing_credit: self.random.chance(balances),
                ..Default::default()
            };
            self.add(v1::Transfer { flags: Some(flags), ..transfer });
        }
    }

    /// A chain whose second payment takes what is there: its amount is known only when the first one is reserved.
    fn add_balancing(&mut self) {
        self.add_plain(1, false);
        let transfer = plain(new_id(&mut self.random), self.bank.balanced_pair(&mut self.random), 400);
        let flags = v1::TransferFlags { balancing_debit: true, ..Default::default() };
        self.add(v1::Transfer { flags: Some(flags), ..transfer });
        let first = self.sent.len() - 2;
        self.sent[first].transfer.flags = Some(v1::TransferFlags { linked: true, ..Default::default() });
    }

    fn add_pending(&mut self) {
        let pair = self.bank.open_pair(&mut self.random);
        let transfer = plain(new_id(&mut self.random), pair, 1 + u128::from(self.random.below(1_000)));
        let flags = v1::TransferFlags { pending: true, ..Default::default() };
        let timeout = if self.timeouts && self.random.chance(40) { TIMEOUT_SECONDS } else { 0 };
        self.add(v1::Transfer { flags: Some(flags), timeout, ..transfer });
    }

    /// A post or a void of a pending transfer.
    fn add_resolution(&mut self, Pending { transfer: pending, may_be }: Pending) {
        let posts = self.random.chance(60);
        let reserved = number_from(pending.amount);
        let amount = if posts { u128::from(self.random.below(reserved as u64 + 1)) } else { reserved };
        let flags =
            v1::TransferFlags { post_pending_transfer: posts, void_pending_transfer: !posts, ..Default::default() };
        let id = number_to(new_id(&mut self.random));
        let (amount, pending_id) = (number_to(amount), pending.id);
        self.add(v1::Transfer { id, amount, pending_id, flags: Some(flags), timeout: 0, ..pending });
        self.sent.last_mut().expect("it was just added").may_be = may_be;
    }

    fn add(&mut self, transfer: v1::Transfer) {
        let begun = Instant::now();
        self.sent.push(Sent { transfer, fate: Fate::Unknown, begun, sent: None, answered: None, may_be: &[] });
    }
}
