//! What a real node does (`crest_node::host`), for one shard: it starts the replica that the map places on it, opens it again
//! when a snapshot takes its place, and puts it aside once its group has let it go.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crest_node::birth::{self, Birth, Placed};
use crest_node::log::Options as LogOptions;
use crest_node::log::disk::Disk as _;
use crest_node::peers::Peers;
use crest_node::{Replica, ReplicaConfig, ReplicaId, leaving};
use crest_topology::NodeId;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::time::sleep;

use super::Machine;
use crate::disk::Failing;
use crate::links::links;
use crate::network::End;
use crate::peers::NetworkPeers;
use crate::record::Onlooker;
use crate::world::Up;

/// How often a replica that is not wanted asks whether it may go.
const ASK_TO_GO: Duration = Duration::from_secs(2);

/// Segments of a log, bytes: few entries fill one, and the largest that clients send fits into one.
const SEGMENT_BYTES: u64 = 128 << 10;

const LOG_DIR: &str = "/log";

/// What a task beside a process found out.
#[derive(Debug)]
pub(super) enum News {
    /// What the replica is to be.
    Chosen(End, Birth),
    /// The group has let the replica go.
    MayGo(End, ReplicaId),
}

impl Machine {
    pub(super) fn hear(&mut self, news: News) {
        let Some(process) = &mut self.process else { return };
        match news {
            News::Chosen(end, birth) if end == process.end => {
                process.choosing = None;
                self.world.note(format_args!("node {} is {birth:?}", self.node), &[]);
                self.open(birth);
            }
            News::MayGo(end, replica) if end == process.end && process.replica_number() == Some(replica.number()) => {
                self.retire();
            }
            News::Chosen(..) | News::MayGo(..) => {}
        }
    }

    /// Starts what is missing.
    pub(super) fn look(&mut self) {
        let Some(process) = &mut self.process else { return };
        if process.has_replica() || process.choosing.is_some() {
            return;
        }
        let placement = self.placement.borrow().clone();
        let from_the_start = self.world.cluster().borrow().version == 1;
        let alone = placement == [self.node] && from_the_start;
        // What is born remembers what it is.
        if birth::is_born(&self.disk, Path::new(LOG_DIR)).unwrap_or(false) || alone {
            return self.open(Birth::Founder(placement));
        }
        if !placement.contains(&self.node) {
            return;
        }
        self.world.set_up(self.node, Up::Fresh);
        let (shard, node, end, news) = (self.shard, self.node, process.end, self.news.0.clone());
        let peers = NetworkPeers { world: self.world.clone(), from: end, all: false };
        let life = (self.disk.random() as u32).max(1);
        process.choosing = Some(tokio::spawn(async move {
            let placed = Placed { shard, node, on: placement, from_the_start };
            let birth = birth::choose(&placed, &peers, life).await;
            let _ = news.send(News::Chosen(end, birth));
        }));
    }

    /// Opens the replica, which may end in the middle of that.
    fn open(&mut self, birth: Birth) {
        let (sizes, Some(process)) = (self.sizes(), &self.process) else { return };
        let (end, clock) = (process.end, process.clock.clone());
        self.set_wall();
        let peers: Arc<dyn Peers> = Arc::new(NetworkPeers { world: self.world.clone(), from: end, all: false });
        let dies = self.random.chance(self.plan.groups.open_fails_percent);
        self.disk.fail(if dies { Failing::After(self.random.below(24)) } else { Failing::No });
        let opened = Replica::open(ReplicaConfig {
            node: self.node,
            birth,
            placement: self.placement.subscribe(),
            peers: peers.clone(),
            map: self.world.map.clone(),
            cluster: "simulated".to_owned(),
            shard: self.shard,
            clock,
            disk: Arc::new(self.disk.clone()),
            log_dir: PathBuf::from(LOG_DIR),
            log: LogOptions { segment_bytes: SEGMENT_BYTES },
            home: self.home.clone(),
            sizes,
            witness: Some(Arc::new(Onlooker { world: self.world.clone(), shard: self.shard, node: self.node })),
        });
        let failed = self.disk.failures() != self.failures;
        self.disk.fail(Failing::No);
        match opened {
            Ok(mut replica) => {
                let handle = replica.handle();
                let going = Going { peers, shard: self.shard, node: self.node, replica: handle.replica() };
                let tasks = vec![
                    tokio::spawn(crest_node::recovery::run(handle.clone(), links(&self.world, end))),
                    tokio::spawn(replica.follow()),
                    tokio::spawn(going.ask(end, self.placement.subscribe(), self.news.0.clone())),
                ];
                if let Some(process) = &mut self.process {
                    process.run(replica, tasks);
                }
                self.world.set_up(self.node, Up::Runs(handle));
            }
            Err(why) if failed => {
                self.stopped(&format!("{why:#}"));
                if self.random.chance(50) {
                    // The power failed, and that was why.
                    self.disk.lose_power();
                    self.home.lose_power();
                }
            }
            Err(why) => {
                let (node, shard) = (self.node, self.shard);
                self.world.fail(format!("node {node} of shard {shard} does not open again: {why:#}"));
                self.kill(false);
            }
        }
    }

    fn sizes(&self) -> crest_node::limits::Sizes {
        let groups = &self.plan.groups;
        crest_node::limits::Sizes {
            checkpoint_records: groups.checkpoint_records as usize,
            raft_memory_bytes: groups.raft_memory_bytes,
            raft_memory_bytes_max: 8 * groups.raft_memory_bytes,
            raft_message_entries: groups.raft_message_entries as usize,
        }
    }

    /// A snapshot takes the replica's place; sometimes the process dies on the way.
    pub(super) fn reopen(&mut self) {
        self.world.record.count(|happened| happened.snapshots += 1);
        self.world.note(format_args!("node {} opens its replica again, from a snapshot", self.node), &[]);
        let Some(process) = &mut self.process else { return };
        process.end_replica(&mut self.random, &self.disk);
        self.failures = self.disk.failures();
        self.world.set_up(self.node, Up::Absent);
        self.open(Birth::Joiner(1));
    }

    /// What the replica has is put aside; when it is wanted again, it begins from nothing.
    fn retire(&mut self) {
        let Some(process) = &mut self.process else { return };
        self.world.note(format_args!("node {} puts its replica aside", self.node), &[]);
        self.world.record.count(|happened| happened.retired += 1);
        process.end_replica(&mut self.random, &self.disk);
        self.failures = self.disk.failures();
        self.disk.replace();
        self.home.replace();
        self.world.set_up(self.node, Up::Absent);
        self.look();
    }
}

/// A replica that the map does not place here any more asks whether it may go.
struct Going {
    peers: Arc<dyn Peers>,
    shard: u32,
    node: NodeId,
    replica: ReplicaId,
}

impl Going {
    async fn ask(self, end: End, placement: watch::Receiver<Vec<NodeId>>, news: UnboundedSender<News>) {
        loop {
            sleep(ASK_TO_GO).await;
            let placed = placement.borrow().clone();
            if placed.contains(&self.node) {
                continue;
            }
            if leaving::may_go(self.shard, self.replica, &placed, &*self.peers).await {
                let _ = news.send(News::MayGo(end, self.replica));
            }
        }
    }
}
