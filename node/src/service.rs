//! The shard's gRPC service: routers and other shards speak to it over long-lived streams.

use std::pin::Pin;

use crest_ledger::wire::{Request as ShardCall, Response as Answer};
use crest_link::grpc::{BODY_BYTES_MAX, CANNOT_TAKE_PART, ERROR_BYTES_MAX, MESSAGE_BYTES_MAX};
use crest_link::{LinkError, ShardLink};
use crest_proto::internal::shard_server::{Shard, ShardServer};
use crest_proto::internal::{ShardRequest, ShardResponse};
use crest_server::budget::Charge;
use crest_server::request::{Intake, Taken};
use futures_util::{Stream, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::host::Replicas;
use crate::limits;
use crate::node::NodeHandle;

/// Serves the replicas of one node.
pub struct ShardService {
    replicas: Replicas,
    epoch: u64,
    stop: watch::Receiver<bool>,
}

impl ShardService {
    /// The service for a node's replicas, at the epoch of their slot map. When `stop` turns true, streams take no more
    /// requests and end with the answers that are under way: they would stay open for ever.
    pub fn server(replicas: Replicas, epoch: u64, stop: watch::Receiver<bool>) -> ShardServer<Self> {
        ShardServer::new(Self { replicas, epoch, stop })
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Queues one request. Requests of a stream are queued in their order; answers go out as they come.
    fn begin(&self, message: ShardRequest) -> impl Future<Output = ShardResponse> + Send + use<> {
        let correlation = message.correlation;
        let started = self.check(&message).and_then(|node| {
            let call = ShardCall::unpack(&message.body).map_err(|e| Status::invalid_argument(e.to_string()))?;
            Ok(if message.any_replica { node.send_to_any(call) } else { node.send(call) })
        });
        async move {
            let failed = |code: tonic::Code, error: String| failed(correlation, code, error);
            let answer = match started {
                Ok(answering) => answering.await,
                Err(status) => return failed(status.code(), status.message().to_owned()),
            };
            match answer {
                Ok(response) => answered(correlation, &response),
                Err(LinkError::Refused { why, .. }) => failed(tonic::Code::ResourceExhausted, why),
                Err(LinkError::CannotTakePart { why, .. }) => failed(CANNOT_TAKE_PART, why),
                // Nothing was done, and another replica may do it.
                Err(LinkError::Unreachable { why, .. }) => failed(tonic::Code::NotFound, why),
                Err(LinkError::Unknown { why, .. }) => failed(tonic::Code::Unavailable, why),
                Err(e @ LinkError::NotLeader { leader, .. }) => {
                    let answer = failed(tonic::Code::FailedPrecondition, e.to_string());
                    ShardResponse { leader: leader.unwrap_or(0), ..answer }
                }
            }
        }
    }

    /// The replica that is meant.
    fn check(&self, message: &ShardRequest) -> Result<NodeHandle, Status> {
        if message.epoch != self.epoch {
            return Err(Status::new(
                CANNOT_TAKE_PART,
                format!(
                    "the slot map here is of epoch {}, the sender's of {}: give both the same map",
                    self.epoch, message.epoch
                ),
            ));
        }
        // A replica that was moved away, or that is not started yet: the sender tries another one.
        self.replicas.get(message.shard).ok_or_else(|| {
            Status::not_found(format!("there is no running replica of shard {} on this node", message.shard))
        })
    }
}

/// The message of an answer. One that is too large must not end the stream, on which others wait for theirs.
fn answered(correlation: u64, response: &Answer) -> ShardResponse {
    let body = response.pack();
    if body.len() <= BODY_BYTES_MAX {
        return ShardResponse { correlation, body: body.into(), ..ShardResponse::default() };
    }
    let bytes = body.len();
    tracing::error!(bytes, limit = BODY_BYTES_MAX, "an answer is too large for a message");
    let error = format!("the answer takes {bytes} bytes, and a message at most {BODY_BYTES_MAX}");
    match response {
        Answer::Query(_) => failed(correlation, tonic::Code::ResourceExhausted, error),
        // The commands were applied all the same.
        Answer::Answers(_) => failed(correlation, tonic::Code::Unavailable, error),
    }
}

/// The message of an error.
fn failed(correlation: u64, code: tonic::Code, mut error: String) -> ShardResponse {
    if error.len() > ERROR_BYTES_MAX {
        let end = (0..=ERROR_BYTES_MAX).rev().find(|at| error.is_char_boundary(*at)).unwrap_or(0);
        error.truncate(end);
    }
    ShardResponse { correlation, error_code: code as i32, error, ..ShardResponse::default() }
}

#[tonic::async_trait]
impl Shard for ShardService {
    type ExchangeStream = Pin<Box<dyn Stream<Item = Result<ShardResponse, Status>> + Send>>;

    async fn exchange(
        &self,
        request: Request<Streaming<ShardRequest>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let intake = Intake::of(&request);
        let mut incoming = request.into_inner();
        let (answers, outgoing) = mpsc::channel(limits::STREAM_IN_FLIGHT_MAX);
        let service = Self { replicas: self.replicas.clone(), epoch: self.epoch, stop: self.stop.clone() };
        tokio::spawn(async move {
            let places = std::sync::Arc::new(tokio::sync::Semaphore::new(limits::STREAM_IN_FLIGHT_MAX));
            let mut stop = service.stop.clone();
            loop {
                let message = tokio::select! {
                    message = incoming.next() => message,
                    _ = stop.wait_for(|stop| *stop) => None,
                };
                let Some(Ok(message)) = message else { break };
                let Taken::Message(charge) = intake.take() else { break };
                let Ok(place) = places.clone().acquire_owned().await else { break };
                let answer = service.begin(message);
                let answers = answers.clone();
                tokio::spawn(async move {
                    let _ = answers.send(pay_for(answer.await, charge)).await;
                    drop(place);
                });
            }
        });
        // What a message was charged is free when its answer goes out.
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing).map(|(answer, _charge)| Ok(answer)))))
    }
}

/// An answer with what it is charged: as much as its message, and the rows of a read beside that. Where there is no room for those,
/// the read is refused: it may be tried again.
fn pay_for(answer: ShardResponse, charge: Option<Charge>) -> (ShardResponse, Option<Charge>) {
    let Some(mut charge) = charge else { return (answer, None) };
    // Answers to commands are smaller than the commands.
    if !Answer::is_query(&answer.body) {
        return (answer, Some(charge));
    }
    match charge.grow_to(charge.bytes() + answer.body.len()) {
        Ok(()) => (answer, Some(charge)),
        Err(full) => {
            let (error_code, error) = (tonic::Code::ResourceExhausted as i32, full.0);
            let correlation = answer.correlation;
            (ShardResponse { correlation, error_code, error, ..ShardResponse::default() }, Some(charge))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crest_ledger::Account;
    use crest_ledger::command::Answer as CommandAnswer;
    use crest_ledger::wire::QueryAnswer;
    use prost::Message;

    fn accounts(count: usize) -> Answer {
        Answer::Query(QueryAnswer::Accounts(vec![Account::default(); count], None))
    }

    #[test]
    fn an_answer_that_is_too_large_is_an_error_of_its_own_and_of_no_other_answer() {
        // Eight bytes are around the accounts of 128 bytes each.
        let most = (BODY_BYTES_MAX - 8) / 128;
        let largest = answered(1, &accounts(most));
        assert_eq!((largest.error_code, largest.body.len()), (0, 128 * most + 8));
        assert!(largest.encoded_len() < MESSAGE_BYTES_MAX);
        let refused = answered(2, &accounts(most + 1));
        assert_eq!((refused.correlation, refused.error_code), (2, tonic::Code::ResourceExhausted as i32));
        assert!(refused.body.is_empty() && refused.error.contains(&BODY_BYTES_MAX.to_string()), "{}", refused.error);
    }

    #[test]
    fn commands_whose_answer_is_too_large_were_applied_all_the_same() {
        let many = vec![crest_ledger::txn::EventResult { status: 1, timestamp: 2 }; BODY_BYTES_MAX / 9];
        let answer = answered(3, &Answer::Answers(vec![CommandAnswer::Results(many)]));
        assert_eq!(answer.error_code, tonic::Code::Unavailable as i32, "nobody may take it for refused");
    }

    #[test]
    fn an_error_is_cut_between_letters() {
        let error = failed(4, tonic::Code::NotFound, "é".repeat(ERROR_BYTES_MAX)).error;
        assert_eq!(error, "é".repeat(ERROR_BYTES_MAX / 2));
        assert_eq!(failed(4, tonic::Code::NotFound, "short".to_owned()).error, "short");
    }
}
