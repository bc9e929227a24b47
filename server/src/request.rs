//! A request on its way in: its bytes are charged as they come, its messages are counted before they are decoded.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::{Body as HttpBody, Frame};
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;

use crate::budget::{Charge, Full, Share};
use crate::frames::{Frames, HEAD_BYTES, Part};
use crate::method::{Method, Requests};
use crate::scan::{HasGroup, Scan};

/// How often a message that waits for room asks again.
const ROOM_PAUSE: Duration = Duration::from_millis(5);

/// What the messages of a request were charged, in their order. A service of a stream takes one for each message that it gets, and
/// keeps it until its answer was taken. In the extensions of every request that came in through a server.
#[derive(Clone, Debug, Default)]
pub struct Intake(Arc<Mutex<VecDeque<Taken>>>);

/// What became of a message of a stream.
#[derive(Debug)]
pub enum Taken {
    /// It is there, and charged. `None` where there is no server around the service.
    Message(Option<Charge>),
    /// It was left out; an empty message came in its place.
    LeftOut {
        /// The number by which the client knows it.
        id: u64,
        /// Why, as the answer to it. Nothing of it was decoded.
        status: Box<Status>,
    },
}

impl Intake {
    /// The one of a request; an empty one where there is no server around the service.
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_default()
    }

    /// What became of the next message.
    pub fn take(&self) -> Taken {
        self.lock().pop_front().unwrap_or(Taken::Message(None))
    }

    /// All that nobody has taken.
    pub(crate) fn rest(&self) -> VecDeque<Taken> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Taken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a request.
pub(crate) struct Incoming {
    inner: Body,
    method: Method,
    share: Share,
    intake: Intake,
    frames: Frames,
    message: Option<Message>,
    messages: u64,
    /// The bytes on their way in: as many as the largest message so far, since the decoder keeps its buffer.
    arriving: Charge,
    /// What came and was not looked at.
    rest: Bytes,
    /// What goes on to the decoder.
    passed: VecDeque<Bytes>,
    /// The length of a message that waits for room.
    waits: Option<u64>,
    room: Pin<Box<Sleep>>,
    receive: Duration,
    /// When what is coming in has to be there.
    deadline: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

/// The message that comes in just now.
struct Message {
    scan: Scan,
    bytes: usize,
    charge: Charge,
    /// Of a stream: its bytes so far, with their head. They are passed on when all are there, so that the message can still be left
    /// out. Copied, since a client may send them one by one.
    held: Vec<u8>,
    /// Why it is left out.
    left_out: Option<Status>,
}

impl Incoming {
    /// The body of a request of this method.
    ///
    /// # Errors
    /// When there is no room for anything at all.
    pub(crate) fn new(
        inner: Body,
        method: &Method,
        share: Share,
        intake: Intake,
        receive: Duration,
    ) -> Result<Self, Full> {
        let arriving = share.charge(HEAD_BYTES)?;
        Ok(Self {
            inner,
            method: method.clone(),
            share,
            intake,
            frames: Frames::new(),
            message: None,
            messages: 0,
            arriving,
            rest: Bytes::new(),
            passed: VecDeque::new(),
            waits: None,
            room: Box::pin(sleep(ROOM_PAUSE)),
            receive,
            deadline: None,
            ended: false,
        })
    }

    /// Looks at what came.
    fn take(&mut self) -> Result<(), Status> {
        while !self.rest.is_empty() && self.waits.is_none() {
            match self.frames.take(&self.rest) {
                Part::Head(bytes) => {
                    let head = self.rest.split_to(bytes);
                    self.pass_head(head);
                }
                Part::Begins { bytes, length } => {
                    let head = self.rest.split_to(bytes);
                    self.pass_head(head);
                    self.messages += 1;
                    if self.messages > 1 && self.method.requests == Requests::One {
                        return Err(Status::invalid_argument(
                            "expected one message in the request of this method, got more",
                        ));
                    }
                    match self.method.requests {
                        Requests::Waiting => self.waits = Some(length),
                        Requests::One | Requests::Stream { .. } => self.begin(length)?,
                    }
                }
                Part::Body { bytes, ends } => {
                    let part = self.rest.split_to(bytes);
                    self.add(part)?;
                    if ends {
                        self.end()?;
                    }
                }
            }
        }
        Ok(())
    }

    fn is_stream(&self) -> bool {
        matches!(self.method.requests, Requests::Stream { .. })
    }

    /// Of a stream, a head goes on with its message.
    fn pass_head(&mut self, head: Bytes) {
        if !self.is_stream() {
            self.passed.push_back(head);
        }
    }

    /// A message begins, whose charge grows with it.
    fn begin(&mut self, length: u64) -> Result<(), Status> {
        let id = match self.method.requests {
            Requests::Stream { id } => Some(id),
            Requests::One | Requests::Waiting => None,
        };
        let (charge, left_out) = match self.share.charge(self.method.message_bytes) {
            Ok(charge) => (charge, None),
            Err(full) if self.is_stream() => (self.share.nothing(), Some(no_room(&full))),
            Err(full) => return Err(no_room(&full)),
        };
        let scan = Scan::new(length, self.method.rows, id);
        self.message = Some(Message { scan, bytes: 0, charge, held: head_of(length).into(), left_out });
        if length == 0 { self.end() } else { Ok(()) }
    }

    /// A message that waited begins as soon as there is room for all of it. Longer ones than any are, the decoder refuses.
    fn begin_if_room(&mut self, length: u64) -> Result<(), Full> {
        let length_bytes = usize::try_from(length).unwrap_or(usize::MAX);
        let own = length_bytes.saturating_mul(self.method.bytes_per_byte).saturating_add(self.method.message_bytes);
        let most = self.share.bytes_max() / 2;
        let charge = self.share.charge(own.min(most))?;
        self.arriving.grow_to(length_bytes.min(most))?;
        let scan = Scan::new(length, self.method.rows, None);
        self.message = Some(Message { scan, bytes: 0, charge, held: Vec::new(), left_out: None });
        self.waits = None;
        Ok(())
    }

    /// More of a message.
    fn add(&mut self, part: Bytes) -> Result<(), Status> {
        let Some(message) = &mut self.message else {
            return Err(Status::internal("bytes of a message came before its head"));
        };
        let method = &self.method;
        let failed =
            |_: HasGroup| Status::internal("failed to decode Protobuf message: it has a group, which this API has not");
        message.scan.read(&part).map_err(failed)?;
        message.bytes += part.len();
        if method.requests == Requests::Waiting {
            let too_many = method.rows.filter(|rows| rows.are_too_many(message.scan.count));
            self.passed.push_back(part);
            return too_many.map_or(Ok(()), |rows| Err(rows.refusal(message.scan.count)));
        }
        if message.left_out.is_none() {
            let rows = method.rows.map_or(0, |rows| rows.charged(message.scan.count) * rows.bytes);
            let own = method.message_bytes + message.bytes * method.bytes_per_byte + rows;
            let too_many = method.rows.is_some_and(|rows| rows.are_too_many(message.scan.count));
            let grown = if too_many { Ok(()) } else { message.charge.grow_to(own) };
            let grown = grown.and_then(|()| self.arriving.grow_to(HEAD_BYTES + message.bytes));
            match (grown, method.requests) {
                (Err(full), Requests::Stream { .. }) => message.leave_out(no_room(&full)),
                (Err(full), _) => return Err(no_room(&full)),
                (Ok(()), _) if too_many => message.leave_out(Status::invalid_argument("too many rows")),
                (Ok(()), Requests::Stream { .. }) => message.held.extend_from_slice(&part),
                (Ok(()), _) => self.passed.push_back(part),
            }
        }
        Ok(())
    }

    /// The last byte of a message is there.
    fn end(&mut self) -> Result<(), Status> {
        let Some(message) = self.message.take() else {
            return Err(Status::internal("a message ended before its head"));
        };
        if self.method.requests != Requests::One {
            self.deadline = None;
        }
        let Message { scan, charge, held, left_out, .. } = message;
        let too_many = self.method.rows.filter(|rows| rows.are_too_many(scan.count));
        let left_out = left_out.map(|status| too_many.map_or(status, |rows| rows.refusal(scan.count)));
        let taken = match (left_out, self.method.requests) {
            (None, Requests::Stream { .. }) => {
                self.passed.push_back(held.into());
                Taken::Message(Some(charge))
            }
            (None, Requests::One | Requests::Waiting) => Taken::Message(Some(charge)),
            (Some(status), Requests::Stream { .. }) => {
                self.passed.push_back(Bytes::copy_from_slice(&head_of(0)));
                Taken::LeftOut { id: scan.number, status: Box::new(status) }
            }
            (Some(status), Requests::One | Requests::Waiting) => return Err(status),
        };
        self.intake.lock().push_back(taken);
        Ok(())
    }

    /// Fails when what is coming in takes too long.
    fn look_at_the_time(&mut self, cx: &mut Context<'_>) -> Result<(), Status> {
        if !self.frames.is_inside() && self.method.requests != Requests::One {
            return Ok(());
        }
        let receive = self.receive;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(receive)));
        match deadline.as_mut().poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(Status::deadline_exceeded(format!(
                "the request was not all there within {receive:?}; nothing of it was applied"
            ))),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(bytes) = self.passed.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            if let Some(length) = self.waits {
                if self.begin_if_room(length).is_err() {
                    ready!(self.room.as_mut().poll(cx));
                    self.room.as_mut().reset(Instant::now() + ROOM_PAUSE);
                } else if length == 0 {
                    self.end()?;
                }
                continue;
            }
            if !self.rest.is_empty() {
                self.take()?;
                continue;
            }
            match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Pending => {
                    self.look_at_the_time(cx)?;
                    return Poll::Pending;
                }
                Poll::Ready(None) => self.ended = true,
                Poll::Ready(Some(Err(status))) => return Poll::Ready(Some(Err(status))),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
            }
        }
    }
}

impl Message {
    /// What it took so far is free again; its other bytes are passed over.
    fn leave_out(&mut self, status: Status) {
        self.held = Vec::new();
        self.charge.shrink_to(0);
        self.left_out = Some(status);
    }
}

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = self.poll(cx);
        if matches!(polled, Poll::Ready(Some(Err(_)))) {
            // Nothing of the request is wanted any more, and what it took is free.
            self.ended = true;
            self.passed.clear();
            (self.rest, self.message, self.waits) = (Bytes::new(), None, None);
            self.inner = Body::empty();
        }
        polled
    }
}

/// The head of a message of so many bytes.
fn head_of(length: u64) -> [u8; HEAD_BYTES] {
    let length = u32::try_from(length).expect("it was read from four bytes");
    let mut head = [0; HEAD_BYTES];
    head[1..].copy_from_slice(&length.to_be_bytes());
    head
}

/// The answer to what there is no room for.
pub(crate) fn no_room(full: &Full) -> Status {
    Status::resource_exhausted(format!("{}; nothing was applied, try again", full.0))
}
