//! Puts the bounds around services.

use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};

use crate::answer::Outgoing;
use crate::budget::Charge;
use crate::connection::{Connection, OpenStream};
use crate::limits::{STREAMS_MAX, Times};
use crate::method::{Answers, Method, Methods, Requests};
use crate::request::{Incoming, Intake, Taken, no_room};

/// Services with the bounds of their methods around them.
#[derive(Clone)]
pub struct Guard<S> {
    inner: S,
    methods: Methods,
}

impl<S> Guard<S> {
    /// Puts these bounds around these services.
    pub fn new(inner: S, methods: Methods) -> Self {
        Self { inner, methods }
    }
}

/// A call that was let in.
struct Admitted {
    request: http::Request<Body>,
    connection: Arc<Connection>,
    intake: Intake,
    stream: Option<OpenStream>,
    requests: Requests,
    answers: Answers,
    message_bytes: usize,
}

fn admit(method: &Method, mut request: http::Request<Body>) -> Result<Admitted, Status> {
    let connection = request.extensions().get::<Arc<Connection>>().cloned();
    let connection = connection.unwrap_or_else(|| Arc::new(Connection::new(Times::default())));
    let is_stream = matches!(method.requests, Requests::Stream { .. }) || method.answers == Answers::Stream;
    let stream = match is_stream && method.requests != Requests::Waiting {
        false => None,
        true => Some(connection.open_stream().ok_or_else(|| {
            Status::resource_exhausted(format!(
                "this connection has {STREAMS_MAX} streams open already; nothing was applied: close one, or open another \
                 connection"
            ))
        })?),
    };
    let intake = Intake::default();
    request.extensions_mut().insert(intake.clone());
    let (parts, body) = request.into_parts();
    let (share, receive) = (connection.share(&method.budget), connection.times.receive);
    let body = Incoming::new(body, method, share, intake.clone(), receive).map_err(|full| no_room(&full))?;
    Ok(Admitted {
        request: http::Request::from_parts(parts, Body::new(body)),
        connection,
        intake,
        stream,
        requests: method.requests,
        answers: method.answers,
        message_bytes: method.message_bytes,
    })
}

impl<S> Service<http::Request<Body>> for Guard<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<http::Response<Body>, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let admitted = match admit(self.methods.at(request.uri().path()), request) {
            Ok(admitted) => admitted,
            Err(status) => return Box::pin(async move { Ok(status.into_http()) }),
        };
        let Admitted { request, connection, intake, stream, requests, answers, message_bytes } = admitted;
        let answering = self.inner.call(request);
        Box::pin(async move {
            let answer = answering.await?;
            let charges: Vec<Charge> = match requests {
                Requests::One => intake.rest().into_iter().filter_map(charge_of).collect(),
                // The service takes what each of its messages was charged.
                Requests::Stream { .. } | Requests::Waiting => Vec::new(),
            };
            Ok(answer.map(|inner| {
                let watched = connection.watch();
                Body::new(Outgoing {
                    inner,
                    rest: Default::default(),
                    charges,
                    is_one: answers == Answers::One,
                    message_bytes,
                    watched,
                    _stream: stream,
                })
            }))
        })
    }
}

fn charge_of(taken: Taken) -> Option<Charge> {
    match taken {
        Taken::Message(charge) => charge,
        Taken::LeftOut { .. } => None,
    }
}
