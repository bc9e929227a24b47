//! A stream of requests: worked on side by side, each answered on its own.

use std::sync::Arc;

use crest_ledger::Traffic;
use crest_proto::v1;
use crest_server::budget::Charge;
use crest_server::request::{Intake, Taken};
use futures_util::StreamExt as _;
use tokio::sync::{Semaphore, mpsc};
use tonic::{Status, Streaming};

use crate::limits;
use crate::service::{Answer, LedgerService, traffic_of};

/// An answer on a stream, with what its request was charged.
pub(crate) type StreamAnswer = (Result<v1::StreamTransfersResponse, Status>, Option<Charge>);

impl LedgerService {
    /// Works on the requests of a stream, side by side, until it ends. Where it breaks off, the error comes after the answers to
    /// all requests before.
    pub(crate) async fn serve_stream(
        self,
        mut requests: Streaming<v1::StreamTransfersRequest>,
        intake: Intake,
        answers: mpsc::Sender<StreamAnswer>,
    ) {
        const PLACES: u32 = limits::STREAM_REQUESTS_MAX as u32;
        let places = Arc::new(Semaphore::new(PLACES as usize));
        while let Some(message) = requests.next().await {
            let message = match message {
                Ok(message) => message,
                Err(error) => {
                    let _all_answered = places.acquire_many(PLACES).await;
                    let _ = answers.send((Err(error), None)).await;
                    return;
                }
            };
            let taken = intake.take();
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let (service, answers) = (self.clone(), answers.clone());
            tokio::spawn(async move {
                let (answer, charge) = match taken {
                    Taken::Message(charge) => {
                        let request = message.request.unwrap_or_default();
                        let call = service.calls.begin("stream_transfers", traffic_of(&request));
                        (stream_one(message.request_id, call.end(service.create(request))).await, charge)
                    }
                    Taken::LeftOut { id, status } => {
                        let call = service.calls.begin("stream_transfers", Traffic::Live);
                        (stream_one(id, call.end(async { Err(*status) })).await, None)
                    }
                };
                let _ = answers.send((Ok(answer), charge)).await;
                drop(place);
            });
        }
    }
}

/// The answer to one request of a stream.
async fn stream_one(
    request_id: u64,
    work: impl Future<Output = Answer<v1::CreateTransfersResponse>>,
) -> v1::StreamTransfersResponse {
    let outcome = match work.await {
        Ok(response) => v1::stream_transfers_response::Outcome::Response(response.into_inner()),
        Err(status) => v1::stream_transfers_response::Outcome::Error(v1::RequestError {
            code: status.code() as i32,
            message: status.message().to_owned(),
        }),
    };
    v1::StreamTransfersResponse { request_id, outcome: Some(outcome) }
}
