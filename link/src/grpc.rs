//! The way to a shard on another machine: one long-lived bidirectional gRPC stream, opened again when it breaks.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crest_ledger::txn::ShardId;
use crest_ledger::wire::{Request, Response};
use crest_proto::internal::shard_client::ShardClient;
use crest_proto::internal::{ShardRequest, ShardResponse};
use crest_topology::{Cluster, NodeId};
use prost::bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use crate::group::Ways;
use crate::{Answering, LinkError, ShardLink};

/// Requests that wait for the connection; more are refused.
const QUEUE: usize = 4_096;
/// Of these places, those that are for live requests, and for what ends things: a rehearsal begins nothing there.
const QUEUE_LIVE: usize = QUEUE / 4;
/// A message between router and node: a full batch in both halves, with room. Keep it equal on both sides.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Bytes of a request or an answer in such a message. The rest is for the fields around it, some 50 bytes, and an error's text.
pub const BODY_BYTES_MAX: usize = MESSAGE_BYTES_MAX - (64 << 10);
/// Bytes of an error's text in such a message; of a longer one, the beginning is told.
pub const ERROR_BYTES_MAX: usize = 4 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause after a connection broke or could not be opened.
pub const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// The code of an answer that says [`LinkError::CannotTakePart`].
pub const CANNOT_TAKE_PART: tonic::Code = tonic::Code::OutOfRange;
/// How often the other end is asked for a sign of life, and how long that may take: a connection that is silent for both is
/// given up. Without it, after a partition of some seconds, TCP alone would stay silent for as long again.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// See [`KEEPALIVE_INTERVAL`].
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);

type Reply = oneshot::Sender<Result<Response, LinkError>>;

struct Outgoing {
    body: Bytes,
    any_replica: bool,
    reply: Reply,
}

/// A request as bytes. Cheap to clone.
#[derive(Clone)]
pub struct Packed {
    /// The bytes ([`crest_ledger::wire`]).
    pub body: Bytes,
    /// Whether it begins something for a rehearsal, which does not take the last places.
    pub begins_rehearsals: bool,
    /// Whether it only reads.
    pub is_query: bool,
    /// Whether a replica that does not lead may answer.
    pub any_replica: bool,
}

impl Packed {
    /// The request's bytes, and what a link has to know of it.
    pub fn new(request: &Request) -> Self {
        Self {
            body: Bytes::from(request.pack()),
            begins_rehearsals: request.begins_rehearsals(),
            is_query: matches!(request, Request::Query(_)),
            any_replica: false,
        }
    }
}

/// A [`ShardLink`] over gRPC.
pub struct GrpcLink {
    shard: ShardId,
    address: String,
    queue: mpsc::Sender<Outgoing>,
    /// Whether the connection is open: a queue that is full before one that is not is no load.
    open: Arc<AtomicBool>,
}

impl GrpcLink {
    /// A link to `shard` at `address` (host:port). It connects when it is first used, and again after every failure.
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the address is not a valid host and port.
    pub fn new(shard: ShardId, address: &str, epoch: u64) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        let (queue, requests) = mpsc::channel(QUEUE);
        let open = Arc::new(AtomicBool::new(false));
        let connection = Connection { shard, epoch, correlation: AtomicU64::new(1), endpoint, open: open.clone() };
        tokio::spawn(connection.run(requests));
        Ok(Self { shard, address: address.to_owned(), queue, open })
    }
}

impl GrpcLink {
    /// Why a full queue takes nothing: the shard has too much to do, or is not reached at all.
    fn full(&self, why: String) -> LinkError {
        let shard = self.shard;
        match self.open.load(Ordering::Relaxed) {
            true => LinkError::Refused { shard, why },
            false => LinkError::Unreachable {
                shard,
                why: format!("the connection to {} is not open, and {why}", self.address),
            },
        }
    }

    /// As [`ShardLink::send`].
    pub(crate) fn send_packed(&self, packed: Packed) -> Answering {
        let shard = self.shard;
        if packed.body.len() > BODY_BYTES_MAX {
            // The connection would break with it, and with everything else that is under way there.
            let why = format!("a request takes at most {BODY_BYTES_MAX} bytes, and this one {}", packed.body.len());
            return Box::pin(async move { Err(LinkError::Refused { shard, why }) });
        }
        if self.queue.capacity() <= QUEUE_LIVE && packed.begins_rehearsals {
            let why =
                format!("{} requests wait for its connection already, too many for a rehearsal", QUEUE - QUEUE_LIVE);
            let error = self.full(why);
            return Box::pin(async move { Err(error) });
        }
        let (reply, answer) = oneshot::channel();
        let queued = self.queue.try_send(Outgoing { body: packed.body, any_replica: packed.any_replica, reply });
        let refused = queued.err().map(|_| self.full(format!("{QUEUE} requests wait for its connection already")));
        Box::pin(async move {
            if let Some(error) = refused {
                return Err(error);
            }
            answer.await.unwrap_or_else(|_| {
                Err(LinkError::Unknown { shard, why: "the connection ended before the answer".to_owned() })
            })
        })
    }
}

/// The ways to a shard's replicas, at the addresses that a map has for their nodes.
pub(crate) struct GrpcWays {
    shard: ShardId,
    map: watch::Receiver<Arc<Cluster>>,
    replicas: Mutex<BTreeMap<NodeId, Arc<GrpcLink>>>,
}

impl GrpcWays {
    pub(crate) fn new(shard: ShardId, map: watch::Receiver<Arc<Cluster>>) -> Self {
        Self { shard, map, replicas: Mutex::default() }
    }

    /// The link to the replica on a node; none when the map does not say where that is.
    fn to(&self, node: NodeId) -> Option<Arc<GrpcLink>> {
        let map = self.map.borrow().clone();
        let address = map.address_of_node(node)?;
        let mut replicas = lock(&self.replicas);
        if let Some(link) = replicas.get(&node).filter(|link| link.address == address) {
            return Some(link.clone());
        }
        let link = Arc::new(GrpcLink::new(self.shard, address, map.map.epoch()).ok()?);
        replicas.insert(node, link.clone());
        Some(link)
    }
}

impl Ways for GrpcWays {
    fn send(&self, node: NodeId, request: Packed) -> Answering {
        let shard = self.shard;
        match self.to(node) {
            Some(link) => link.send_packed(request),
            None => Box::pin(async move { Err(LinkError::NotLeader { shard, leader: None }) }),
        }
    }
}

impl ShardLink for GrpcLink {
    fn send(&self, request: Request) -> Answering {
        self.send_packed(Packed::new(&request))
    }

    fn address(&self) -> String {
        self.address.clone()
    }
}

struct Connection {
    shard: ShardId,
    epoch: u64,
    correlation: AtomicU64,
    endpoint: Endpoint,
    open: Arc<AtomicBool>,
}

type Waiting = Arc<Mutex<HashMap<u64, Reply>>>;

impl Connection {
    async fn run(self, mut requests: mpsc::Receiver<Outgoing>) {
        while let Some(first) = requests.recv().await {
            let served = self.serve(first, &mut requests).await;
            self.open.store(false, Ordering::Relaxed);
            if let Err(why) = served {
                tracing::warn!(shard = self.shard, %why, "lost the connection to a shard; it is opened again when needed");
                self.refuse_queued(&mut requests, &why);
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
        }
    }

    /// Opens the stream and carries requests over it until it breaks.
    async fn serve(&self, first: Outgoing, requests: &mut mpsc::Receiver<Outgoing>) -> Result<(), String> {
        let mut client = match self.endpoint.connect().await {
            Ok(channel) => limit(ShardClient::new(channel)),
            Err(e) => {
                let why = describe(&e);
                let _ = first.reply.send(Err(LinkError::Unreachable { shard: self.shard, why: why.clone() }));
                return Err(why);
            }
        };
        let (outgoing, stream) = mpsc::channel::<ShardRequest>(64);
        let waiting = Waiting::default();
        let opening = client.exchange(ReceiverStream::new(stream));
        // The first message has to be under way before the server answers the call's headers.
        self.forward(first, &outgoing, &waiting).await?;
        let opened = opening.await;
        let mut responses = match opened {
            Ok(response) => response.into_inner(),
            Err(status) => {
                fail_all(&waiting, self.shard, status.message());
                return Err(status.message().to_owned());
            }
        };
        self.open.store(true, Ordering::Relaxed);
        // Answers are read by a task of their own: a shard that waits for us to read must not stop us from sending.
        let (shard, settled) = (self.shard, waiting.clone());
        let mut reading = tokio::spawn(async move {
            loop {
                match responses.message().await {
                    Ok(Some(response)) => settle(&settled, shard, response),
                    Ok(None) => return "the shard closed the stream".to_owned(),
                    Err(status) => return status.message().to_owned(),
                }
            }
        });
        let result = loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => if let Err(why) = self.forward(request, &outgoing, &waiting).await { break Err(why) },
                    None => break Ok(()),
                },
                ended = &mut reading => break Err(ended.unwrap_or_else(|e| e.to_string())),
            }
        };
        reading.abort();
        fail_all(&waiting, self.shard, result.as_ref().err().map_or("the link was closed", |e| e));
        result
    }

    async fn forward(
        &self,
        request: Outgoing,
        outgoing: &mpsc::Sender<ShardRequest>,
        waiting: &Waiting,
    ) -> Result<(), String> {
        if request.reply.is_closed() {
            // Whoever asked has been told that nobody knows, and has gone elsewhere: it is better not done late.
            return Ok(());
        }
        let correlation = self.correlation.fetch_add(1, Ordering::Relaxed);
        lock(waiting).insert(correlation, request.reply);
        let Outgoing { body, any_replica, .. } = request;
        let message = ShardRequest { correlation, shard: self.shard, epoch: self.epoch, body, any_replica };
        outgoing.send(message).await.map_err(|_| "the stream is broken".to_owned())
    }

    fn refuse_queued(&self, requests: &mut mpsc::Receiver<Outgoing>, why: &str) {
        while let Ok(request) = requests.try_recv() {
            let _ = request.reply.send(Err(LinkError::Unreachable { shard: self.shard, why: why.to_owned() }));
        }
    }
}

fn limit(client: ShardClient<Channel>) -> ShardClient<Channel> {
    client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn settle(waiting: &Waiting, shard: ShardId, response: ShardResponse) {
    let Some(reply) = lock(waiting).remove(&response.correlation) else { return };
    let refused = [tonic::Code::ResourceExhausted, tonic::Code::InvalidArgument];
    let result = if refused.iter().any(|code| response.error_code == *code as i32) {
        // No room for it, or it could not be read: nothing of it was applied.
        Err(LinkError::Refused { shard, why: response.error })
    } else if response.error_code == CANNOT_TAKE_PART as i32 {
        Err(LinkError::CannotTakePart { shard, why: response.error })
    } else if response.error_code == tonic::Code::NotFound as i32 {
        Err(LinkError::Unreachable { shard, why: response.error })
    } else if response.error_code == tonic::Code::FailedPrecondition as i32 {
        Err(LinkError::NotLeader { shard, leader: Some(response.leader).filter(|node| *node != 0) })
    } else if response.error_code != 0 {
        Err(LinkError::Unknown { shard, why: response.error })
    } else {
        Response::unpack(&response.body).map_err(|e| LinkError::Unknown { shard, why: e.to_string() })
    };
    let _ = reply.send(result);
}

fn fail_all(waiting: &Waiting, shard: ShardId, why: &str) {
    for (_, reply) in lock(waiting).drain() {
        let _ = reply.send(Err(LinkError::Unknown { shard, why: why.to_owned() }));
    }
}

/// An error with its causes, on one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(bytes: usize) -> Packed {
        let body = Bytes::from(vec![0; bytes]);
        Packed { body, begins_rehearsals: false, is_query: false, any_replica: false }
    }

    #[tokio::test]
    async fn a_request_that_is_too_large_is_refused_before_it_breaks_the_connection() {
        // Nobody listens there.
        let link = GrpcLink::new(3, "127.0.0.1:1", 1).unwrap();
        let refused = link.send_packed(packed(BODY_BYTES_MAX + 1)).await;
        let named = |why: &str| why.contains(&BODY_BYTES_MAX.to_string());
        assert!(matches!(&refused, Err(LinkError::Refused { shard: 3, why }) if named(why)), "{refused:?}");
        let sent = link.send_packed(packed(BODY_BYTES_MAX)).await;
        assert!(matches!(sent, Err(LinkError::Unreachable { .. })), "{sent:?}");
    }

    #[test]
    fn the_largest_request_and_answer_fit_a_message() {
        use prost::Message;
        let (body, error) = (Bytes::from(vec![0; BODY_BYTES_MAX]), "x".repeat(ERROR_BYTES_MAX));
        let any_replica = true;
        let request =
            ShardRequest { correlation: u64::MAX, shard: u32::MAX, epoch: u64::MAX, body: body.clone(), any_replica };
        assert!(request.encoded_len() < MESSAGE_BYTES_MAX);
        let answer = ShardResponse { correlation: u64::MAX, body, error, error_code: i32::MAX, leader: u32::MAX };
        assert!(answer.encoded_len() < MESSAGE_BYTES_MAX);
    }

    /// What an answer with this error code means to whoever asked.
    #[track_caller]
    fn check(code: tonic::Code, expected: impl FnOnce(&LinkError) -> bool) {
        let (waiting, (reply, mut answer)) = (Waiting::default(), oneshot::channel());
        lock(&waiting).insert(7, reply);
        let error = "why".to_owned();
        settle(
            &waiting,
            3,
            ShardResponse { correlation: 7, error_code: code as i32, error, ..ShardResponse::default() },
        );
        let Ok(Err(error)) = answer.try_recv() else { panic!("no error for {code:?}") };
        assert!(expected(&error), "{code:?} means {error:?}");
    }

    #[test]
    fn what_was_not_even_read_is_refused_and_not_unknown() {
        check(tonic::Code::InvalidArgument, |e| matches!(e, LinkError::Refused { .. }));
        check(tonic::Code::ResourceExhausted, |e| matches!(e, LinkError::Refused { .. }));
        check(tonic::Code::NotFound, |e| matches!(e, LinkError::Unreachable { .. }));
        check(tonic::Code::FailedPrecondition, |e| matches!(e, LinkError::NotLeader { leader: None, .. }));
        for unknown in [tonic::Code::Unavailable, tonic::Code::Internal] {
            check(unknown, |e| matches!(e, LinkError::Unknown { .. }));
        }
    }
}
