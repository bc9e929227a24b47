//! A whole cluster in this process with two routers on ports of their own, and with the troubles of a real one: links that
//! are slow now and then, and clocks that are not together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crest_conformance::random::Random;
use crest_ledger::wire::{Request, Response};
use crest_link::{Answering, LinkError, Links, ShardLink};
use crest_node::log::Options as LogOptions;
use crest_node::{ClockSource, Node, NodeHandle, ReplicaConfig};
use crest_proto::v1::ledger_client::LedgerClient;
use crest_proto::v1::operations_client::OperationsClient;
use crest_router::Router;
use crest_router::service::{ledger_server, operations_server};
use crest_topology::SlotMap;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};

use super::processes::{channel, folder, ledger_at};

/// Of each segment of a shard's log: a whole request fits. The usual 64 MiB would come to gigabytes.
const LOG_BYTES: u64 = 4 << 20;
/// The longest that a slow link keeps a message.
const DELAY: Duration = Duration::from_millis(6);
/// How often a clock that is not the machine's is moved on.
const CLOCK_STEP: Duration = Duration::from_micros(500);

/// What is not as it should be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Troubles {
    /// One message in so many is kept for a while, on its way to a shard or back; 0 is none. Messages of one router to one
    /// shard stay in their order, as on a connection.
    pub(crate) slow_one_in: u64,
    /// How far the shards' clocks may be from the machine's, both ways.
    pub(crate) clocks_apart: Duration,
}

/// A running cluster.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    tasks: Vec<JoinHandle<()>>,
    clocks: Clocks,
    routers: [SocketAddr; 2],
    _data: tempfile::TempDir,
}

impl Cluster {
    /// Opens `shards` new shards and two routers over them.
    pub(crate) async fn open(shards: u32, troubles: Troubles, random: &mut Random) -> Self {
        let data = folder();
        let ids: Vec<u32> = (0..shards).collect();
        let map = SlotMap::even(&ids).expect("these shards make a map");
        let (clocks, sources) = Clocks::start(shards, troubles.clocks_apart, random);
        let open = |(shard, clock): (u32, ClockSource)| {
            let folder = data.path().join(format!("shard-{shard}"));
            let log = LogOptions { segment_bytes: LOG_BYTES };
            let config = ReplicaConfig { clock, log, ..ReplicaConfig::alone("bank", shard, map.clone(), &folder) };
            Node::open(&folder, config).expect("a new shard opens")
        };
        let nodes: Vec<Node> = ids.into_iter().zip(sources).map(open).collect();
        let handles: Vec<NodeHandle> = nodes.iter().map(Node::handle).collect();
        let mut links = |slow_one_in: u64| {
            let mut link = |handle: &NodeHandle| -> Arc<dyn ShardLink> {
                match slow_one_in {
                    0 => Arc::new(handle.clone()),
                    n => Arc::new(Slow::new(handle.clone(), n, Random::new(random.number()))),
                }
            };
            let by_shard: BTreeMap<_, _> = handles.iter().map(|handle| (handle.shard(), link(handle))).collect();
            Links::new(map.clone(), by_shard)
        };
        let of_the_nodes = links(0);
        let recover =
            |handle: &NodeHandle| tokio::spawn(crest_node::recovery::run(handle.clone(), of_the_nodes.clone()));
        let mut tasks: Vec<_> = handles.iter().map(recover).collect();
        let fronts = [links(troubles.slow_one_in), links(troubles.slow_one_in)].map(Router::new);
        let mut routers = Vec::new();
        for router in fronts {
            let (address, task) = serve(router).await;
            routers.push(address);
            tasks.push(task);
        }
        Self { nodes, tasks, clocks, routers: [routers[0], routers[1]], _data: data }
    }

    /// A client of each router.
    pub(crate) fn ways(&self) -> [LedgerClient<Channel>; 2] {
        self.routers.map(ledger_at)
    }

    /// A client of the first router's operations.
    pub(crate) fn operations(&self) -> OperationsClient<Channel> {
        OperationsClient::new(channel(self.routers[0]))
    }

    /// Stops it.
    ///
    /// # Panics
    /// When a shard had stopped by itself.
    pub(crate) fn stop(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        for node in self.nodes {
            node.stop().expect("a shard runs until it is stopped");
        }
        self.clocks.stop();
    }
}

/// Serves a router on a free port.
async fn serve(router: Router) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = Server::builder()
        .add_service(ledger_server(router.clone()))
        .add_service(operations_server(router))
        .serve_with_incoming(incoming);
    (address, tokio::spawn(async move { server.await.expect("the server serves") }))
}

/// Clocks that go as fast as the machine's, but are not together.
struct Clocks {
    stopping: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Clocks {
    fn start(shards: u32, apart: Duration, random: &mut Random) -> (Self, Vec<ClockSource>) {
        let stopping = Arc::new(AtomicBool::new(false));
        if apart.is_zero() {
            return (Self { stopping, thread: None }, vec![ClockSource::default(); shards as usize]);
        }
        let apart = u64::try_from(apart.as_nanos()).expect("clocks are not that far apart");
        let hands: Vec<(Arc<AtomicU64>, u64)> =
            (0..shards).map(|_| (Arc::default(), random.below(2 * apart + 1))).collect();
        println!("clocks apart by {:?} ms", hands.iter().map(|(_, ahead)| ahead / 1_000_000).collect::<Vec<_>>());
        let set = move |hands: &[(Arc<AtomicU64>, u64)]| {
            let now = ClockSource::default().now();
            hands.iter().for_each(|(hand, ahead)| hand.store(now - apart + ahead, Ordering::Relaxed));
        };
        set(&hands);
        let sources = hands.iter().map(|(hand, _)| ClockSource::Manual(hand.clone())).collect();
        let until = stopping.clone();
        let thread = thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                set(&hands);
                thread::sleep(CLOCK_STEP);
            }
        });
        (Self { stopping, thread: Some(thread) }, sources)
    }

    fn stop(mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a clock does not panic");
        }
    }
}

impl Drop for Clocks {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// Where the answer to a request goes.
type Reply = oneshot::Sender<Result<Response, LinkError>>;

/// A link that keeps some messages for a while.
struct Slow {
    queue: mpsc::UnboundedSender<(Request, Reply)>,
    node: NodeHandle,
}

impl Slow {
    fn new(node: NodeHandle, one_in: u64, mut random: Random) -> Self {
        let (queue, mut requests) = mpsc::unbounded_channel::<(Request, Reply)>();
        let to = node.clone();
        tokio::spawn(async move {
            while let Some((request, reply)) = requests.recv().await {
                let mut delay = || (random.below(one_in) == 0).then(|| DELAY.mul_f64(random.below(100) as f64 / 100.0));
                let (there, back) = (delay(), delay());
                if let Some(delay) = there {
                    tokio::time::sleep(delay).await;
                }
                let answering = to.send(request);
                tokio::spawn(async move {
                    let answer = answering.await;
                    if let Some(delay) = back {
                        tokio::time::sleep(delay).await;
                    }
                    let _ = reply.send(answer);
                });
            }
        });
        Self { queue, node }
    }
}

impl ShardLink for Slow {
    fn send(&self, request: Request) -> Answering {
        let (reply, answer) = oneshot::channel();
        let sent = self.queue.send((request, reply));
        let lost = LinkError::Unknown { shard: self.node.shard(), why: "the link ended".to_owned() };
        Box::pin(async move {
            match sent {
                Ok(()) => answer.await.unwrap_or(Err(lost)),
                Err(_) => Err(lost),
            }
        })
    }

    fn address(&self) -> String {
        self.node.address()
    }
}
