//! Calls over real connections, with short times: what is given up, and what waits.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crest_server::accept;
use crest_server::budget::Budget;
use crest_server::guard::Guard;
use crest_server::limits::Times;
use crest_server::method::{Answers, Method, Methods, Requests};
use crest_server::request::{Intake, Taken};
use http_body::{Body as HttpBody, Frame};
use prost::bytes::{Buf as _, BufMut as _};
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, Bytes, Service, http};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Status, Streaming};

/// Bytes of an answer.
const ANSWER: usize = 200 << 10;
const TIMES: Times = Times {
    handshake: Duration::from_millis(500),
    receive: Duration::from_millis(500),
    unread: Duration::from_millis(500),
    check: Duration::from_millis(20),
};

/// Reads a request to its end, keeps what its messages were charged for a moment, and answers after it.
#[derive(Clone)]
struct Inner {
    keeps: Duration,
    answers_after: Duration,
}

impl Service<http::Request<Body>> for Inner {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Self { keeps, answers_after } = *self;
        Box::pin(async move {
            let (parts, mut body) = request.into_parts();
            let intake = parts.extensions.get::<Intake>().expect("the guard puts it there").clone();
            while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                if let Err(status) = frame {
                    return Ok(status.into_http());
                }
                if let Taken::Message(Some(charge)) = intake.take() {
                    tokio::spawn(async move {
                        tokio::time::sleep(keeps).await;
                        drop(charge);
                    });
                }
            }
            let head = http::Response::builder().header("content-type", "application/grpc");
            Ok(head
                .body(Body::new(Answer { after: Box::pin(tokio::time::sleep(answers_after)), left: 2 }))
                .expect("valid"))
        })
    }
}

/// One message, then the status.
struct Answer {
    after: Pin<Box<tokio::time::Sleep>>,
    left: u8,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.left == 2 && self.after.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.left = self.left.saturating_sub(1);
        let length = (ANSWER as u32).to_be_bytes();
        Poll::Ready(match self.left {
            1 => Some(Ok(Frame::data([&[0][..], &length, &vec![7; ANSWER]].concat().into()))),
            0 if !self.after.is_elapsed() => None,
            _ => {
                let mut trailers = http::HeaderMap::new();
                trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                self.after.as_mut().reset(tokio::time::Instant::now() + Duration::from_secs(3_600));
                Some(Ok(Frame::trailers(trailers)))
            }
        })
    }
}

/// Bytes as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

/// A server with this service, whose method `/test/One` has one request and `/test/Waiting` many.
async fn serve(inner: Inner, budget: &Budget) -> SocketAddr {
    let one = Method {
        budget: budget.clone(),
        requests: Requests::One,
        answers: Answers::One,
        message_bytes: 1 << 10,
        bytes_per_byte: 1,
        rows: None,
    };
    let waiting = Method { requests: Requests::Waiting, ..one.clone() };
    let methods = Methods::new([("/test/One", one.clone()), ("/test/Waiting", waiting)], one);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let incoming = accept::connections(listener, 8, TIMES);
    tokio::spawn(Server::builder().serve_with_incoming(Guard::new(inner, methods), incoming));
    address
}

/// A client whose window has so many bytes.
fn client(address: SocketAddr, window: u32) -> tonic::client::Grpc<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    tonic::client::Grpc::new(endpoint.initial_stream_window_size(window).connect_lazy())
}

async fn call(
    client: &mut tonic::client::Grpc<Channel>,
    method: &'static str,
    messages: impl Stream<Item = Vec<u8>> + Send + 'static,
) -> Result<Streaming<Vec<u8>>, Status> {
    client.ready().await.expect("the server is there");
    let method = PathAndQuery::from_static(method);
    client.streaming(Request::new(messages), method, Raw).await.map(tonic::Response::into_inner)
}

const AT_ONCE: Inner = Inner { keeps: Duration::ZERO, answers_after: Duration::ZERO };

async fn is_free_again(budget: &Budget) {
    for _ in 0..1_000 {
        if budget.used() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} bytes are charged for ever", budget.used());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_read_ends_its_connection_and_frees_what_it_took() {
    let budget = Budget::new("tests", 1 << 20, 1 << 20);
    let address = serve(AT_ONCE, &budget).await;
    let mut lazy = client(address, 1);
    let mut unread = call(&mut lazy, "/test/One", tokio_stream::iter([vec![1; 100]])).await.expect("an answer");
    assert!(budget.used() > 0, "it is charged while it is there");
    is_free_again(&budget).await;
    // What HTTP/2 held back never comes: the connection is gone.
    let error = unread.message().await.expect_err("the connection is closed");
    assert!(matches!(error.code(), Code::Unknown | Code::Unavailable | Code::Internal), "{error:?}");
    // Whoever reads gets everything.
    let mut reader = client(address, 1 << 20);
    let mut answer = call(&mut reader, "/test/One", tokio_stream::iter([vec![1; 100]])).await.expect("an answer");
    assert_eq!(answer.message().await.expect("it is read"), Some(vec![7; ANSWER]));
    assert_eq!(answer.message().await.expect("it ends well"), None);
    is_free_again(&budget).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_takes_long_to_come_is_waited_for() {
    let budget = Budget::new("tests", 1 << 20, 1 << 20);
    let slow = Inner { answers_after: 4 * TIMES.unread, ..AT_ONCE };
    let address = serve(slow, &budget).await;
    let mut reader = client(address, 1 << 20);
    let mut answer = call(&mut reader, "/test/One", tokio_stream::iter([vec![1; 100]])).await.expect("an answer");
    assert_eq!(answer.message().await.expect("it is read"), Some(vec![7; ANSWER]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_does_not_end_is_given_up_and_one_with_two_messages_is_none() {
    let budget = Budget::new("tests", 1 << 20, 1 << 20);
    let address = serve(AT_ONCE, &budget).await;
    let mut client = client(address, 1 << 20);
    let endless = tokio_stream::iter([vec![1; 100]]).chain(tokio_stream::pending());
    let error = call(&mut client, "/test/One", endless).await.expect_err("it never ends");
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error:?}");
    let error = call(&mut client, "/test/One", tokio_stream::pending()).await.expect_err("it never begins");
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error:?}");
    let two = tokio_stream::iter([vec![1], vec![2]]);
    let error = call(&mut client, "/test/One", two).await.expect_err("two messages");
    assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
    is_free_again(&budget).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_or_waits_as_its_method_says() {
    let budget = Budget::new("tests", 256 << 10, 256 << 10);
    let keeps = Inner { keeps: Duration::from_millis(50), ..AT_ONCE };
    let address = serve(keeps, &budget).await;
    let mut client = client(address, 1 << 20);
    let large = tokio_stream::iter([vec![1; 300 << 10]]);
    let error = call(&mut client, "/test/One", large).await.expect_err("it does not fit");
    assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
    assert!(error.message().contains("requests and answers of tests under way"), "{error:?}");
    // Each takes a fourth, for 50 ms: ten of them have to wait for each other.
    let messages = tokio_stream::iter(vec![vec![1; 60 << 10]; 10]);
    let began = std::time::Instant::now();
    call(&mut client, "/test/Waiting", messages).await.expect("all of them fit, one after the other");
    assert!(began.elapsed() >= Duration::from_millis(100), "they waited");
    is_free_again(&budget).await;
}
