//! Requests to etcd's members, each with a bound in time. Any member that answers will do.

use futures_util::StreamExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

/// Our part of etcd's API.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "it is generated; proto/etcd.proto says what it is")]
pub(super) mod api {
    tonic::include_proto!("etcdserverpb");
}

use api::compare::{CompareResult, CompareTarget, TargetUnion};
use api::kv_client::KvClient;
use api::request_op::Request as Operation;
use api::response_op::Response as Outcome;
use api::watch_client::WatchClient;
use api::watch_request::RequestUnion;

/// What opening a connection may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
/// What one request to one member may take.
const MEMBER_PATIENCE: Duration = Duration::from_secs(2);
/// What finding a member that answers may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer: some versions of the largest map may come at once.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// The way to one key of etcd.
pub(super) struct Client {
    members: Vec<Member>,
    key: Vec<u8>,
    /// The member that answered last.
    preferred: AtomicUsize,
}

struct Member {
    address: String,
    /// Opened when it is used. It opens its connection again by itself when that broke; when it is silent it is given up,
    /// since only TCP's own timeouts of minutes would tell.
    channel: Mutex<Option<Channel>>,
}

/// What a member says that the key holds. It was true after the question was asked.
pub(super) struct Read {
    /// Which member said so.
    pub(super) member: usize,
    /// The revision of the whole store.
    pub(super) revision: i64,
    /// The key's value; none when there is no such key.
    pub(super) value: Option<api::KeyValue>,
}

/// Why a transaction has no outcome.
pub(super) enum TxnError {
    /// It was not carried out.
    Refused(String),
    /// It was sent, and perhaps carried out.
    Unknown(String),
}

impl Client {
    pub(super) fn new(endpoints: Vec<String>, key: String) -> Self {
        let member = |address| Member { address, channel: Mutex::new(None) };
        let members = endpoints.into_iter().map(member).collect();
        Self { members, key: key.into_bytes(), preferred: AtomicUsize::new(0) }
    }

    /// Reads the key, with a majority of members behind the answer.
    ///
    /// # Errors
    /// What each member that was asked had to say, when none answered.
    pub(super) async fn read(&self) -> Result<Read, String> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut problems: Vec<String> = Vec::new();
        let asking = async {
            for n in 0..self.members.len() {
                let member = (first + n) % self.members.len();
                match self.read_at(member).await {
                    Ok(read) => {
                        self.preferred.store(member, Ordering::Relaxed);
                        return Some(read);
                    }
                    Err(why) => problems.push(format!("{}: {why}", self.members[member].address)),
                }
            }
            None
        };
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Some(read)) => Ok(read),
            Ok(None) => Err(problems.join("; ")),
            Err(_) => Err(format!("nothing within {PATIENCE:?}; {}", problems.join("; "))),
        }
    }

    async fn read_at(&self, member: usize) -> Result<Read, String> {
        let request = api::RangeRequest { key: self.key.clone() };
        let answer = self.call(member, async |channel| kv(channel).range(request).await).await;
        self.read_in(member, answer.map_err(|status| reason(&status))?)
    }

    fn read_in(&self, member: usize, answer: api::RangeResponse) -> Result<Read, String> {
        let revision = answer.header.ok_or("the answer has no header: is it etcd?")?.revision;
        let value = answer.kvs.into_iter().find(|value| value.key == self.key);
        Ok(Read { member, revision, value })
    }

    /// Gives the key this text if it was last changed at `revision` (0: if it is not there). None when that was done; else
    /// what it holds.
    ///
    /// # Errors
    /// Whether it may have been done.
    pub(super) async fn replace(&self, member: usize, revision: i64, text: String) -> Result<Option<Read>, TxnError> {
        let key = || self.key.clone();
        let unchanged = api::Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Mod.into(),
            key: key(),
            target_union: Some(TargetUnion::ModRevision(revision)),
        };
        let operation = |request| vec![api::RequestOp { request: Some(request) }];
        let request = api::TxnRequest {
            compare: vec![unchanged],
            success: operation(Operation::RequestPut(api::PutRequest { key: key(), value: text.into_bytes() })),
            failure: operation(Operation::RequestRange(api::RangeRequest { key: key() })),
        };
        let answer = self.call(member, async |channel| kv(channel).txn(request).await).await.map_err(|status| {
            let why = format!("{}: {}", self.members[member].address, reason(&status));
            match status.code() {
                // etcd says so before it does anything; everything else may come from the way there or back.
                Code::InvalidArgument
                | Code::PermissionDenied
                | Code::Unauthenticated
                | Code::ResourceExhausted
                | Code::Unimplemented => TxnError::Refused(why),
                _ => TxnError::Unknown(why),
            }
        })?;
        if answer.succeeded {
            return Ok(None);
        }
        match answer.responses.into_iter().next().and_then(|outcome| outcome.response) {
            Some(Outcome::ResponseRange(mut range)) => {
                range.header = answer.header;
                self.read_in(member, range).map(Some).map_err(TxnError::Refused)
            }
            _ => Err(TxnError::Refused("the answer to a transaction has no outcome: is it etcd?".to_owned())),
        }
    }

    /// Follows the changes of the key at `member`, from the revision `first` on.
    ///
    /// # Errors
    /// When the member does not answer.
    pub(super) async fn watch(&self, member: usize, first: i64) -> Result<Streaming<api::WatchResponse>, String> {
        let create = api::WatchCreateRequest { key: self.key.clone(), start_revision: first };
        let request = api::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        // The stream of requests stays open: its end would end the watch.
        let requests = futures_util::stream::iter([request]).chain(futures_util::stream::pending());
        let watch = async |channel| watcher(channel).watch(requests).await;
        self.call(member, watch).await.map_err(|status| reason(&status))
    }

    async fn call<T>(
        &self,
        member: usize,
        request: impl AsyncFnOnce(Channel) -> Result<tonic::Response<T>, Status>,
    ) -> Result<T, Status> {
        let member = &self.members[member];
        let channel = member.channel().map_err(|error| Status::invalid_argument(error.to_string()))?;
        let answer = tokio::time::timeout(MEMBER_PATIENCE, request(channel)).await;
        let silent = |_| Err(Status::deadline_exceeded(format!("no answer within {MEMBER_PATIENCE:?}")));
        answer.unwrap_or_else(silent).map(tonic::Response::into_inner).inspect_err(|_| member.give_up())
    }
}

impl Member {
    fn channel(&self) -> Result<Channel, tonic::transport::Error> {
        let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = &*channel {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address))?;
        let opened = endpoint.tcp_nodelay(true).connect_timeout(CONNECT_PATIENCE).connect_lazy();
        Ok(channel.insert(opened).clone())
    }

    fn give_up(&self) {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn kv(channel: Channel) -> KvClient<Channel> {
    KvClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

fn watcher(channel: Channel) -> WatchClient<Channel> {
    WatchClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

/// What a status says, and what lies deepest under it.
fn reason(status: &Status) -> String {
    let mut deepest: Option<&dyn std::error::Error> = std::error::Error::source(status);
    while let Some(deeper) = deepest.and_then(std::error::Error::source) {
        deepest = Some(deeper);
    }
    match (status.message(), deepest) {
        ("", Some(cause)) => cause.to_string(),
        (said, Some(cause)) if !said.contains(&cause.to_string()) => format!("{said}: {cause}"),
        (said, _) => said.to_owned(),
    }
}
