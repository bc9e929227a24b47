//! How a request travels: as a call of its own, or on a long-lived stream.

use std::collections::HashMap;
use std::time::Duration;

use crest_proto::v1;
use crest_proto::v1::ledger_client::LedgerClient;
use crest_proto::v1::stream_transfers_response::Outcome;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

/// Requests that a router works on side by side on one stream (the public API's limit).
pub(crate) const STREAM_REQUESTS_MAX: usize = 64;

/// How often a stream that is full looks for requests that nobody waits for any more.
const FULL_LOOK_AGAIN: Duration = Duration::from_millis(200);

type Response = Result<v1::CreateTransfersResponse, Status>;

/// A way to send requests; clones share it.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// A gRPC call a request.
    Unary(LedgerClient<Channel>),
    /// A message a request on one of these streams.
    Streams(Vec<mpsc::Sender<Call>>),
}

/// A request on its way to a stream.
#[derive(Debug)]
pub(crate) struct Call {
    request: v1::CreateTransfersRequest,
    answer: oneshot::Sender<Response>,
}

impl Caller {
    /// Streams over `client` for `in_flight` requests, and none of them with more than [`STREAM_REQUESTS_MAX`]. They open
    /// with their first request, within `patience`, and again after a failure; they end with the last clone.
    pub(crate) fn streams(client: &LedgerClient<Channel>, in_flight: usize, patience: Duration) -> Self {
        let open = |_| {
            let (calls, received) = mpsc::channel(STREAM_REQUESTS_MAX);
            tokio::spawn(carry(client.clone(), received, patience));
            calls
        };
        Self::Streams((0..in_flight.div_ceil(STREAM_REQUESTS_MAX)).map(open).collect())
    }

    /// Sends `request`, the run's request number `number`, and waits for the answer.
    pub(crate) async fn call(&self, number: u64, request: v1::CreateTransfersRequest) -> Response {
        match self {
            Self::Unary(client) => client.clone().create_transfers(request).await.map(tonic::Response::into_inner),
            Self::Streams(streams) => {
                let (answer, answered) = oneshot::channel();
                let stream = &streams[(number % streams.len() as u64) as usize];
                let gone = || Status::unavailable("the stream has ended");
                stream.send(Call { request, answer }).await.map_err(|_| gone())?;
                answered.await.map_err(|_| gone())?
            }
        }
    }
}

/// Opens a stream, carries calls until it breaks, and begins again.
async fn carry(client: LedgerClient<Channel>, mut calls: mpsc::Receiver<Call>, patience: Duration) {
    while let Some(first) = calls.recv().await {
        let mut carrier = Carrier { waiting: HashMap::new(), next_id: 0, out: None };
        // The first message is on its way before the answer's head is awaited: a server may want to see it first.
        let (out, outbound) = mpsc::channel(STREAM_REQUESTS_MAX);
        carrier.out = Some(out);
        carrier.send(first);
        let mut client = client.clone();
        let opened = tokio::time::timeout(patience, client.stream_transfers(ReceiverStream::new(outbound))).await;
        let broken = match opened {
            Ok(Ok(inbound)) => carrier.run(inbound.into_inner(), &mut calls).await,
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("the stream was not opened in time"),
        };
        carrier.waiting.into_values().for_each(|answer| drop(answer.send(Err(broken.clone()))));
    }
}

struct Carrier {
    waiting: HashMap<u64, oneshot::Sender<Response>>,
    next_id: u64,
    out: Option<mpsc::Sender<v1::StreamTransfersRequest>>,
}

impl Carrier {
    fn send(&mut self, call: Call) {
        self.next_id += 1;
        let message = v1::StreamTransfersRequest { request_id: self.next_id, request: Some(call.request) };
        match self.out.as_ref().map(|out| out.try_send(message)) {
            Some(Ok(())) => drop(self.waiting.insert(self.next_id, call.answer)),
            _ => drop(call.answer.send(Err(Status::resource_exhausted("the stream takes no more messages")))),
        }
    }

    /// Carries calls and answers until the stream ends; gives the reason.
    async fn run(
        &mut self,
        mut inbound: Streaming<v1::StreamTransfersResponse>,
        calls: &mut mpsc::Receiver<Call>,
    ) -> Status {
        let mut open = true;
        loop {
            if self.waiting.len() >= STREAM_REQUESTS_MAX {
                // Those who gave up waiting need no room.
                self.waiting.retain(|_, answer| !answer.is_closed());
            }
            if !open && self.waiting.is_empty() {
                return Status::cancelled("no more requests");
            }
            let full = self.waiting.len() >= STREAM_REQUESTS_MAX;
            tokio::select! {
                call = calls.recv(), if open && !full => match call {
                    // Whoever no longer waits has sent it again, or given it up.
                    Some(call) if call.answer.is_closed() => {}
                    Some(call) => self.send(call),
                    // Half-closing tells the server that the last request was sent.
                    None => (open, self.out) = (false, None),
                },
                message = inbound.message() => match message {
                    Ok(Some(message)) => self.answer(message),
                    Ok(None) => return Status::unavailable("the router ended the stream"),
                    Err(status) => return unknown(status),
                },
                // A router that answers nothing any more must not keep the room of those who gave up waiting.
                () = tokio::time::sleep(FULL_LOOK_AGAIN), if full => {}
            }
        }
    }

    fn answer(&mut self, message: v1::StreamTransfersResponse) {
        let Some(waiting) = self.waiting.remove(&message.request_id) else { return };
        let response = match message.outcome {
            Some(Outcome::Response(response)) => Ok(response),
            Some(Outcome::Error(error)) => Err(Status::new(Code::from(error.code), error.message)),
            None => Err(Status::unavailable("an answer without an outcome")),
        };
        // Who no longer waits has sent the request again.
        let _ = waiting.send(response);
    }
}

/// Why a whole stream broke says nothing about each of its requests, unless nothing was ever accepted.
fn unknown(status: Status) -> Status {
    match status.code() {
        Code::Unimplemented | Code::Unauthenticated | Code::PermissionDenied => status,
        code => Status::unavailable(format!("the stream broke: {code:?}: {}", status.message())),
    }
}
