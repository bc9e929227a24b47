//! The replicas of one node: those that the map places here are started, and those that it does not place here any more are
//! stopped, once their group has let them go.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crest_ledger::txn::ShardId;
use crest_link::Links;
use crest_proto::internal as wire;
use crest_topology::{Cluster, NodeId};
use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep};

use crate::birth::{self, Birth, Placed};
use crate::claim::Claim;
use crate::clock::{ClockSource, ProcessClock, compare};
use crate::consensus::ReplicaId;
use crate::leaving;
use crate::log::Options as LogOptions;
use crate::log::disk::{Disk as _, SystemDisk};
use crate::node::{Node, NodeHandle};
use crate::peers::Peers;
use crate::recovery;
use crate::replica::ReplicaConfig;

/// The version of a map that nobody has changed.
const FIRST_VERSION: u64 = 1;
/// How often the map is compared with what runs here.
const LOOK: Duration = Duration::from_millis(500);
/// How often a replica that is not wanted asks whether it may go.
const ASK_TO_GO: Duration = Duration::from_secs(2);
/// How long handing over leadership may take before a node stops all the same.
const HAND_OVER: Duration = Duration::from_secs(3);

/// What a node has to know.
#[derive(Clone)]
pub struct HostConfig {
    /// Which node of the map.
    pub node: NodeId,
    /// The folder with a folder for each shard.
    pub data_dir: PathBuf,
    /// How logs are kept.
    pub log: LogOptions,
    /// The time of this process.
    pub clock: ProcessClock,
}

/// The replicas of this node, as its services reach them.
#[derive(Clone)]
pub struct Replicas(Arc<RwLock<Shared>>);

struct Shared {
    node: NodeId,
    map: watch::Receiver<Arc<Cluster>>,
    clock: ProcessClock,
    replicas: BTreeMap<ShardId, State>,
    dropped: metrics::Counter,
}

/// How far a replica is.
#[derive(Clone)]
enum State {
    /// There is nothing on its disk, and it is being found out what it is.
    Fresh,
    Running(NodeHandle),
    Failed(String),
}

impl Replicas {
    fn new(node: NodeId, map: watch::Receiver<Arc<Cluster>>, clock: ProcessClock) -> Self {
        let dropped = metrics::counter!("crest_raft_messages_dropped_total");
        Self(Arc::new(RwLock::new(Shared { node, map, clock, replicas: BTreeMap::new(), dropped })))
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Shared> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, shard: ShardId, state: Option<State>) {
        let mut shared = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match state {
            Some(state) => shared.replicas.insert(shard, state),
            None => shared.replicas.remove(&shard),
        };
    }

    /// The running replica of a shard.
    pub fn get(&self, shard: ShardId) -> Option<NodeHandle> {
        match self.read().replicas.get(&shard) {
            Some(State::Running(handle)) => Some(handle.clone()),
            _ => None,
        }
    }

    /// All running replicas.
    pub fn all(&self) -> Vec<NodeHandle> {
        let running = |state: &State| match state {
            State::Running(handle) => Some(handle.clone()),
            _ => None,
        };
        self.read().replicas.values().filter_map(running).collect()
    }

    /// Hands a message of another replica to the one that it is for.
    pub(crate) fn step(&self, message: wire::RaftMessage) {
        let taken = self.get(message.shard).is_some_and(|handle| handle.step(message));
        if !taken {
            self.read().dropped.increment(1);
        }
    }

    /// Answers a question about a replica.
    pub(crate) async fn answer(&self, shard: ShardId, what: wire::peer_question::What) -> wire::PeerAnswer {
        if let wire::peer_question::What::Clock(_) = what {
            return compare::answer(&self.read().clock);
        }
        let state = self.read().replicas.get(&shard).cloned();
        let describes = matches!(what, wire::peer_question::What::Describe(_));
        let mut answer = match state {
            Some(State::Running(handle)) => handle.answer(what).await,
            state if describes => {
                let (state, failure) = match state {
                    Some(State::Failed(why)) => (wire::ReplicaState::Failed, why),
                    Some(_) => (wire::ReplicaState::Fresh, String::new()),
                    None => (wire::ReplicaState::Absent, String::new()),
                };
                let replica = wire::ReplicaDescription { state: state.into(), failure, shard, ..Default::default() };
                wire::PeerAnswer { what: Some(wire::peer_answer::What::Replica(replica)), ..Default::default() }
            }
            _ => {
                let error = format!("there is no running replica of shard {shard} on this node");
                wire::PeerAnswer { error, ..Default::default() }
            }
        };
        if let Some(wire::peer_answer::What::Replica(replica)) = &mut answer.what {
            let shared = self.read();
            let map = shared.map.borrow();
            replica.node = shared.node;
            (replica.map_version, replica.epoch) = (map.version, map.map.epoch());
            replica.build = env!("CARGO_PKG_VERSION").to_owned();
        }
        answer
    }
}

/// A node's replicas, and what starts and stops them.
pub struct Host {
    config: HostConfig,
    replicas: Replicas,
    map: watch::Receiver<Arc<Cluster>>,
    peers: Arc<dyn Peers>,
    links: Links,
    nodes: BTreeMap<ShardId, Hosted>,
    /// The replicas that ended though nobody told them to.
    failed: mpsc::Sender<(ShardId, String)>,
    /// The data folder is this process's.
    claim: Option<Claim>,
}

struct Hosted {
    node: Node,
    placement: watch::Sender<Vec<NodeId>>,
    tasks: Vec<JoinHandle<()>>,
    asked_to_go: Instant,
}

/// A replica whose disk was empty, and what it turned out to be.
type Chosen = (ShardId, Birth);

impl Host {
    /// The host of a node's replicas. Nothing is started yet. `failures` hears of every replica that ends by itself.
    pub fn new(
        config: HostConfig,
        map: watch::Receiver<Arc<Cluster>>,
        peers: Arc<dyn Peers>,
        links: Links,
        failed: mpsc::Sender<(ShardId, String)>,
    ) -> Self {
        let replicas = Replicas::new(config.node, map.clone(), config.clock.clone());
        Self { config, replicas, map, peers, links, nodes: BTreeMap::new(), failed, claim: None }
    }

    /// The replicas, for the services.
    pub fn replicas(&self) -> Replicas {
        self.replicas.clone()
    }

    fn folder(&self, shard: ShardId) -> PathBuf {
        self.config.data_dir.join(format!("shard-{shard}"))
    }

    /// Takes the data folder, and opens the replicas that are in it already and those that found their group alone.
    ///
    /// # Errors
    /// When the folder is another node's or in use, or all of the replicas fail; the text says what to do. When some do, the others go on.
    pub fn open_all(&mut self) -> anyhow::Result<()> {
        let map = self.map.borrow().clone();
        self.claim = Some(Claim::take(&self.config.data_dir, &map.name, self.config.node)?);
        let mut first_failure = None;
        for entry in &map.shards {
            let folder = self.folder(entry.id);
            let placed = entry.replicas.contains(&self.config.node);
            // One that can't be read is opened, which says why not.
            let born = birth::is_born(&SystemDisk, &folder.join("log")).unwrap_or(true);
            // What is born remembers what it is. A store without it was restored by an operator. A shard that is alone is
            // founded at once, unless it may have been somewhere else before: then an empty one must not take its place.
            let alone = entry.replicas.len() == 1 && !entry.founded && map.version == FIRST_VERSION;
            let opens = born || placed && (alone || folder.join("store").exists());
            if !opens {
                continue;
            }
            if let Err(why) = self.start(entry.id, Birth::Founder(entry.replicas.clone())) {
                tracing::error!(shard = entry.id, why = format!("{why:#}"), "a replica can't be started");
                self.replicas.set(entry.id, Some(State::Failed(format!("{why:#}"))));
                first_failure.get_or_insert(why);
            }
        }
        match first_failure {
            Some(why) if self.nodes.is_empty() => Err(why),
            _ => Ok(()),
        }
    }

    /// Looks after the replicas until `stop` turns true; then hands over what is led here, and stops them.
    ///
    /// # Errors
    /// When a replica had stopped with a failure.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), String> {
        let (chosen_in, mut chosen) = mpsc::channel::<Chosen>(16);
        let mut choosing: BTreeMap<ShardId, JoinHandle<()>> = BTreeMap::new();
        let mut looks = interval(LOOK);
        let mut version = self.map.borrow().version;
        let comparing = tokio::spawn(compare::run(self.config.clock.clone(), self.peers.clone()));
        loop {
            let stopping = async { stop.wait_for(|stop| *stop).await.map(drop) };
            tokio::select! {
                _ = stopping => break,
                Some((shard, birth)) = chosen.recv() => {
                    choosing.remove(&shard);
                    self.start_chosen(shard, birth);
                }
                _ = looks.tick() => {
                    let map = self.map.borrow_and_update().clone();
                    if std::mem::replace(&mut version, map.version) != map.version {
                        // Founders have to agree on who they are: with another map, everybody asks anew.
                        std::mem::take(&mut choosing).into_values().for_each(|task| task.abort());
                        while chosen.try_recv().is_ok() {}
                    }
                    self.compare(&map, &mut choosing, &chosen_in);
                    self.let_go(&map).await;
                }
            }
        }
        choosing.into_values().for_each(|task| task.abort());
        let stopped = self.stop().await;
        comparing.abort();
        stopped
    }

    /// Starts what is missing, and tells the others where replicas are to be.
    fn compare(
        &mut self,
        map: &Cluster,
        choosing: &mut BTreeMap<ShardId, JoinHandle<()>>,
        chosen: &mpsc::Sender<Chosen>,
    ) {
        for entry in &map.shards {
            if let Some(hosted) = self.nodes.get(&entry.id) {
                hosted.placement.send_if_modified(|placement| {
                    let changed = *placement != entry.replicas;
                    if changed {
                        placement.clone_from(&entry.replicas);
                    }
                    changed
                });
                continue;
            }
            let failed = matches!(self.replicas.read().replicas.get(&entry.id), Some(State::Failed(_)));
            if !entry.replicas.contains(&self.config.node) || choosing.contains_key(&entry.id) || failed {
                continue;
            }
            self.replicas.set(entry.id, Some(State::Fresh));
            let (peers, chosen, me) = (self.peers.clone(), chosen.clone(), self.config.node);
            let founded = entry.founded;
            let placed = Placed {
                shard: entry.id,
                node: me,
                on: entry.replicas.clone(),
                from_the_start: map.version == FIRST_VERSION,
            };
            // Not 0, which is a founder's.
            let life = (SystemDisk.random() as u32).max(1);
            let shard = entry.id;
            let choose = async move {
                let birth = match founded {
                    true => Birth::Joiner(life),
                    false => birth::choose(&placed, &*peers, life).await,
                };
                let _ = chosen.send((shard, birth)).await;
            };
            choosing.insert(shard, tokio::spawn(choose));
        }
    }

    fn start_chosen(&mut self, shard: ShardId, birth: Birth) {
        if let Err(why) = self.start(shard, birth) {
            let why = format!("{why:#}");
            tracing::error!(shard, why, "a replica can't be started");
            self.replicas.set(shard, Some(State::Failed(why.clone())));
            let _ = self.failed.try_send((shard, why));
        }
    }

    fn start(&mut self, shard: ShardId, birth: Birth) -> anyhow::Result<()> {
        use anyhow::Context as _;
        let map = self.map.borrow().clone();
        let (placement, placed) = watch::channel(map.replicas_of(shard).to_vec());
        let folder = self.folder(shard);
        let config = ReplicaConfig {
            node: self.config.node,
            birth,
            placement: placed,
            peers: self.peers.clone(),
            log: self.config.log,
            clock: ClockSource::Process(self.config.clock.clone()),
            ..ReplicaConfig::alone(&map.name, shard, map.map.clone(), &folder)
        };
        let mut node = Node::open(&folder, config).with_context(|| format!("cannot open shard {shard}"))?;
        let handle = node.handle();
        let failed = self.failed.clone();
        let (watched, replicas) = (handle.clone(), self.replicas.clone());
        let watching = async move {
            if let Err(why) = watched.ended().await {
                replicas.set(shard, Some(State::Failed(why.clone())));
                let _ = failed.send((shard, why)).await;
            }
        };
        let tasks = vec![
            tokio::spawn(recovery::run(handle.clone(), self.links.clone())),
            tokio::spawn(node.follow()),
            tokio::spawn(watching),
        ];
        self.replicas.set(shard, Some(State::Running(handle)));
        self.nodes.insert(shard, Hosted { node, placement, tasks, asked_to_go: Instant::now() });
        Ok(())
    }

    /// Retires replicas that the map does not place here any more, once the leader says that they do not belong to the group.
    async fn let_go(&mut self, map: &Cluster) {
        let me = self.config.node;
        let unwanted = self.nodes.iter_mut().filter(|(shard, hosted)| {
            !map.replicas_of(**shard).contains(&me) && hosted.asked_to_go.elapsed() >= ASK_TO_GO
        });
        let mut asks = Vec::new();
        for (shard, hosted) in unwanted {
            hosted.asked_to_go = Instant::now();
            asks.push((*shard, hosted.node.handle().replica()));
        }
        let peers = &self.peers;
        let answers = asks.into_iter().map(|(shard, replica)| async move {
            let may_go = leaving::may_go(shard, replica, map.replicas_of(shard), &**peers).await;
            may_go.then_some((shard, replica))
        });
        for (shard, replica) in join_all(answers).await.into_iter().flatten() {
            self.retire(shard, replica).await;
        }
    }

    /// Stops a replica for good. What it has is put aside, not deleted: that is for an operator to do.
    async fn retire(&mut self, shard: ShardId, replica: ReplicaId) {
        let Some(hosted) = self.nodes.remove(&shard) else { return };
        self.replicas.set(shard, None);
        hosted.tasks.iter().for_each(JoinHandle::abort);
        let stopped = tokio::task::spawn_blocking(move || hosted.node.stop()).await;
        if let Err(why) = stopped.unwrap_or_else(|e| Err(e.to_string())) {
            tracing::warn!(shard, why, "a replica that is not wanted any more had failed");
        }
        let aside = self.config.data_dir.join(format!("removed-shard-{shard}-{:x}", replica.number()));
        match put_aside(&self.folder(shard), &aside) {
            Ok(()) => {
                tracing::info!(shard, %replica, aside = %aside.display(), "a replica left its group; its data is put aside")
            }
            Err(why) => tracing::error!(shard, %why, "the data of a replica that left its group can't be put aside"),
        }
    }

    /// Hands over what is led here, and stops the replicas.
    async fn stop(self) -> Result<(), String> {
        let begun = Instant::now();
        let handles: Vec<NodeHandle> = self.nodes.values().map(|hosted| hosted.node.handle()).collect();
        while begun.elapsed() < HAND_OVER {
            let mut leads = false;
            for handle in &handles {
                let others = handle
                    .describe()
                    .await
                    .filter(|d| d.is_leader && d.members.as_ref().is_some_and(|m| m.voters.len() > 1));
                if others.is_some() {
                    leads |= handle.transfer_leader(None).await.is_ok();
                }
            }
            if !leads {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        let mut result = Ok(());
        for hosted in self.nodes.into_values() {
            hosted.tasks.iter().for_each(JoinHandle::abort);
            let stopped = tokio::task::spawn_blocking(move || hosted.node.stop()).await;
            result = result.and(stopped.unwrap_or_else(|e| Err(e.to_string())));
        }
        result
    }
}

fn put_aside(folder: &Path, aside: &Path) -> std::io::Result<()> {
    let _ = std::fs::remove_dir_all(aside);
    std::fs::rename(folder, aside)
}
