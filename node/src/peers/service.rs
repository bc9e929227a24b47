//! The gRPC service through which other nodes, and operators, speak to this one.

use crest_proto::internal as wire;
use crest_proto::internal::peer_message::What;
use crest_proto::internal::peers_server::{Peers, PeersServer};
use crest_server::request::Intake;
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use super::VERSION;
use super::grpc::MESSAGE_BYTES_MAX;
use crate::host::Replicas;

/// Serves the replicas of one node.
pub struct PeersService {
    cluster: String,
    replicas: Replicas,
    stop: watch::Receiver<bool>,
}

impl PeersService {
    /// The service of the node that has these replicas. When `stop` turns true, streams end: they would stay open for ever.
    pub fn server(cluster: String, replicas: Replicas, stop: watch::Receiver<bool>) -> PeersServer<Self> {
        PeersServer::new(Self { cluster, replicas, stop })
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn check(&self, version: u32, cluster: &str) -> Result<(), Status> {
        if version != VERSION {
            return Err(Status::failed_precondition(format!(
                "this node speaks version {VERSION} of the protocol between nodes, the sender {version}: nodes of a cluster have \
                 to be of builds that speak the same one"
            )));
        }
        if cluster != self.cluster {
            return Err(Status::failed_precondition(format!(
                "this node belongs to the cluster {:?}, the sender to {cluster:?}: its map has a wrong address",
                self.cluster
            )));
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl Peers for PeersService {
    async fn deliver(
        &self,
        request: Request<Streaming<wire::PeerMessage>>,
    ) -> Result<Response<wire::PeerGoodbye>, Status> {
        let intake = Intake::of(&request);
        let mut incoming = request.into_inner();
        let first = incoming.message().await?.and_then(|message| message.what);
        let Some(What::Hello(hello)) = first else {
            return Err(Status::invalid_argument("the first message has to be a hello"));
        };
        drop(intake.take());
        self.check(hello.version, &hello.cluster)?;
        let mut stop = self.stop.clone();
        loop {
            let message = tokio::select! {
                message = incoming.message() => message?,
                _ = stop.wait_for(|stop| *stop) => None,
            };
            // The replica's own queue bounds what it has taken.
            let _charge = intake.take();
            match message.map(|message| message.what) {
                Some(Some(What::Raft(message))) => self.replicas.step(message),
                Some(_) => return Err(Status::invalid_argument("expected a message of raft")),
                None => return Ok(Response::new(wire::PeerGoodbye {})),
            }
        }
    }

    async fn ask(&self, request: Request<wire::PeerQuestion>) -> Result<Response<wire::PeerAnswer>, Status> {
        let question = request.into_inner();
        self.check(question.version, &question.cluster)?;
        let what =
            question.what.ok_or_else(|| Status::invalid_argument("what: is missing: there is no such question"))?;
        Ok(Response::new(self.replicas.answer(question.shard, what).await))
    }
}
