//! What becomes of a request on its way to the ledger and back, and the record of what did.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crest_proto::border::{number_from, transfer_result_to, transfers_from};
use crest_proto::v1;
use tonic::Status;

use super::{Fake, State};

/// A request to create transfers, as it comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Counted from 1, of all requests.
    pub(crate) number: u64,
    pub(crate) at: Instant,
    /// The id of its first transfer.
    pub(crate) first: u128,
    /// The kind that its first transfer's tag says.
    pub(crate) tag: u32,
    /// 1 for the first time that it comes.
    pub(crate) attempt: u32,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Answer,
    /// It is applied, and the answer is lost.
    Lose,
    /// It is lost before it is applied.
    Swallow,
    /// It is applied, and there is never any answer.
    Silence,
    Busy,
    /// It is not applied, and there is no point in sending it again.
    Refuse,
}

/// What becomes of it, and how long the answer takes.
pub(crate) type Script = dyn Fn(&Arrival) -> (Fate, Duration) + Send + Sync;

/// What becomes of requests.
#[derive(Clone, Default)]
pub(crate) struct Faults {
    /// None: each is answered at once.
    pub(crate) script: Option<Arc<Script>>,
    /// What comes between these two instants is answered at the second one, not before.
    pub(crate) stall: Option<(Instant, Instant)>,
}

impl Faults {
    /// By this script.
    pub(crate) fn scripted(script: impl Fn(&Arrival) -> (Fate, Duration) + Send + Sync + 'static) -> Self {
        Self { script: Some(Arc::new(script)), stall: None }
    }

    /// Every answer takes as long as this says.
    pub(crate) fn delayed(delay: impl Fn(&Arrival) -> Duration + Send + Sync + 'static) -> Self {
        Self::scripted(move |arrival| (Fate::Answer, delay(arrival)))
    }

    /// This becomes of all requests of which `which` is true.
    pub(crate) fn fate(fate: Fate, which: impl Fn(&Arrival) -> bool + Send + Sync + 'static) -> Self {
        let chosen = move |arrival: &Arrival| if which(arrival) { fate } else { Fate::Answer };
        Self::scripted(move |arrival| (chosen(arrival), Duration::ZERO))
    }

    fn of(&self, arrival: &Arrival) -> (Fate, Instant) {
        let (fate, delay) = self.script.as_ref().map_or((Fate::Answer, Duration::ZERO), |script| script(arrival));
        let mut until = arrival.at + delay;
        if let Some((_, to)) = self.stall.filter(|(from, to)| (*from..*to).contains(&until)) {
            until = to;
        }
        (fate, until)
    }
}

/// A request to create transfers, and what became of it: the truth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) arrival: Arrival,
    pub(crate) transfers: usize,
    pub(crate) fate: Fate,
    /// When the answer was given away; none when there was none.
    pub(crate) answered: Option<Instant>,
}

/// A request that was received, and is not answered yet.
pub(super) struct Received {
    at: usize,
    answer: Result<v1::CreateTransfersResponse, Status>,
    fate: Fate,
    until: Instant,
}

impl State {
    fn fate_of(&mut self, arrival: &Arrival) -> (Fate, Instant) {
        let (fate, until) = self.faults.of(arrival);
        if self.busy > 0 {
            self.busy -= 1;
            return (Fate::Busy, until);
        }
        let lost = self.lose_every > 0 && arrival.number.is_multiple_of(self.lose_every);
        (if lost { Fate::Lose } else { fate }, until)
    }

    fn receive(&mut self, request: v1::CreateTransfersRequest, at: Instant) -> Received {
        self.requests += 1;
        let first = request.transfers.first().map_or(0, |t| number_from(t.id));
        let tag = request.transfers.first().map_or(0, |t| t.user_data_32);
        let attempt = *self.attempts.entry(first).and_modify(|n| *n += 1).or_insert(1);
        let arrival = Arrival { number: self.requests, at, first, tag, attempt };
        let (fate, until) = self.fate_of(&arrival);
        self.seen.push(Seen { arrival, transfers: request.transfers.len(), fate, answered: None });
        let answer = match fate {
            Fate::Busy => Err(Status::resource_exhausted("busy, as ordered")),
            Fate::Refuse => Err(Status::invalid_argument("refused, as ordered")),
            Fate::Swallow => Err(Status::unavailable("not applied, as ordered")),
            Fate::Answer | Fate::Lose | Fate::Silence => self.create(request),
        };
        Received { at: self.seen.len() - 1, answer, fate, until }
    }

    fn create(&mut self, request: v1::CreateTransfersRequest) -> Result<v1::CreateTransfersResponse, Status> {
        let transfers = transfers_from(request.transfers).map_err(|e| Status::invalid_argument(e.to_string()))?;
        self.batch_max = self.batch_max.max(transfers.len());
        let results = self.create_all(&transfers).into_iter().map(|(status, at)| transfer_result_to(status, at));
        Ok(v1::CreateTransfersResponse { results: results.collect() })
    }
}

impl Fake {
    /// Takes a request that has just come.
    pub(super) fn receive(&self, request: v1::CreateTransfersRequest) -> Received {
        let at = Instant::now();
        self.state().receive(request, at)
    }

    /// Answers it when the time has come.
    pub(super) async fn answer(&self, received: Received) -> Result<v1::CreateTransfersResponse, Status> {
        let Received { at, answer, fate, until } = received;
        if fate == Fate::Silence {
            return std::future::pending().await;
        }
        if until > Instant::now() {
            tokio::time::sleep_until(until.into()).await;
        }
        if fate == Fate::Lose {
            return Err(Status::unavailable("applied, but the answer is lost, as ordered"));
        }
        let mut state = self.state();
        state.seen[at].answered = Some(Instant::now());
        answer
    }
}
