//! What befalls a cluster whose shards are replicated: to the process that leads a shard, to a follower, to a majority, to a
//! disk.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use crest_conformance::random::Random;

use super::cluster::{Cluster, Launcher, SIGABRT, Who};
use super::{Act, Befalls, Plan, Tally};
use crate::processes::Server;

/// How long an election may take, with time for a busy machine.
pub(crate) const ELECTED: Duration = Duration::from_secs(20);
/// How long a node may take to come to the point at which it is to die.
const REACHED: Duration = Duration::from_secs(30);
/// The points at which a replica dies that takes in a snapshot.
const INSTALLING: [&str; 3] = ["snapshot::piece", "install::swapped", "install::log_reset"];
/// A leader is held still for so long: longer than the longest election, 1.7 s, and than the deadline of a hold.
const PAUSE_MS: (u64, u64) = (2_300, 2_000);

/// What befalls it.
#[derive(Clone, Debug)]
pub(crate) enum Blow {
    /// What befalls any process, wherever it is.
    Processes(Plan),
    /// Whoever leads this shard is killed.
    KillLeader { shard: u32, down: Duration },
    /// One that follows in this shard is killed.
    KillFollower { shard: u32, down: Duration },
    /// All nodes but this one are killed, or all: no shard has a majority.
    KillMajority { spared: Option<usize>, down: Duration },
    /// Whoever leads this shard is held still until others have elected another leader.
    PauseLeader { shard: u32, time: Duration },
    /// A node is killed and its data deleted, and something happens while it is rebuilt.
    LoseDisk { node: usize, meanwhile: Meanwhile },
    /// Every node is asked to end and started again, one after the other.
    RollingRestart,
}

/// What happens while a node is rebuilt that has lost its disk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meanwhile {
    Nothing,
    /// It dies when it comes to this point.
    DiesAt(&'static str),
    /// Whoever leads this shard is killed while the node has a part of a snapshot.
    LeaderDies(u32),
}

impl std::fmt::Display for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::DiesAt(point) => write!(f, ", and dies at {point} when it is rebuilt"),
            Self::LeaderDies(shard) => write!(f, ", and the leader of shard {shard} is killed while it is rebuilt"),
        }
    }
}

impl std::fmt::Display for Blow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Processes(plan) => write!(f, "{plan}"),
            Self::KillLeader { shard, down } => {
                write!(f, "the leader of shard {shard} is killed, down for {} ms", down.as_millis())
            }
            Self::KillFollower { shard, down } => {
                write!(f, "a follower of shard {shard} is killed, down for {} ms", down.as_millis())
            }
            Self::KillMajority { spared, down } => {
                let spared = spared.map_or(String::new(), |node| format!(" but {node}"));
                write!(f, "all nodes{spared} are killed, down for {} ms", down.as_millis())
            }
            Self::PauseLeader { shard, time } => {
                write!(f, "the leader of shard {shard} is paused for {} ms", time.as_millis())
            }
            Self::LoseDisk { node, meanwhile } => write!(f, "node {node} loses its disk{meanwhile}"),
            Self::RollingRestart => write!(f, "every node is restarted in turn"),
        }
    }
}

impl Blow {
    /// Chooses: all kinds in turn, so that a few rounds have them all.
    pub(crate) fn choose(round: u64, nodes: usize, shards: usize, tally: &Tally, random: &mut Random) -> Self {
        let shard = random.below(shards as u64) as u32;
        let node = random.below(nodes as u64) as usize;
        let down = Duration::from_millis(random.below(3_000));
        match round % 9 {
            0 => Self::KillLeader { shard, down },
            1 => Self::LoseDisk { node, meanwhile: Meanwhile::Nothing },
            2 => Self::PauseLeader { shard, time: Duration::from_millis(PAUSE_MS.0 + random.below(PAUSE_MS.1)) },
            3 => Self::KillMajority { spared: Some(node).filter(|_| random.chance(60)), down },
            4 => Self::RollingRestart,
            5 => {
                let point = random.pick(&INSTALLING).expect("there are some");
                Self::LoseDisk { node, meanwhile: Meanwhile::DiesAt(point) }
            }
            6 => Self::KillFollower { shard, down },
            7 => Self::LoseDisk { node, meanwhile: Meanwhile::LeaderDies(shard) },
            _ => Self::Processes(Plan::new(nodes, 2, tally, random)),
        }
    }

    /// Has it happen. When it returns, all processes run, and nobody has lost a disk that is not rebuilt.
    ///
    /// # Panics
    /// When a process does not take it as it has to.
    pub(crate) async fn play(self, cluster: &mut Cluster, tally: &std::sync::Arc<Tally>) {
        let (who, act) = match self {
            Self::Processes(plan) => return cluster.suffer(plan, tally).await,
            Self::KillLeader { shard, down } => {
                tally.note("death of a leader");
                (cluster.groups.leader(shard, ELECTED).await, Act::Kill { down })
            }
            Self::KillFollower { shard, down } => {
                let leader = cluster.groups.leader(shard, ELECTED).await;
                ((leader + 1) % cluster.files.nodes.len(), Act::Kill { down })
            }
            Self::PauseLeader { shard, time } => {
                tally.note("SIGSTOP of a leader, longer than an election");
                (cluster.groups.leader(shard, ELECTED).await, Act::Pause { time })
            }
            Self::KillMajority { spared, down } => {
                tally.note("death of a majority");
                let others = (0..cluster.files.nodes.len()).filter(|node| Some(*node) != spared);
                let begins = Duration::ZERO;
                let kill = |node| Befalls { who: Who::Node(node), begins, act: Act::Kill { down } };
                return cluster.suffer(Plan(others.map(kill).collect()), tally).await;
            }
            Self::LoseDisk { node, meanwhile } => return lose_disk(cluster, node, meanwhile, tally).await,
            Self::RollingRestart => {
                for node in 0..cluster.files.nodes.len() {
                    let restart = Befalls { who: Who::Node(node), begins: Duration::ZERO, act: Act::Restart };
                    cluster.suffer(Plan(vec![restart]), tally).await;
                    // The next one has to leave a majority behind.
                    cluster.until_whole().await;
                }
                return;
            }
        };
        let befalls = Befalls { who: Who::Node(who), begins: Duration::ZERO, act };
        cluster.suffer(Plan(vec![befalls]), tally).await;
    }
}

/// A node dies and has nothing any more when it comes back: the others rebuild it.
async fn lose_disk(cluster: &mut Cluster, node: usize, meanwhile: Meanwhile, tally: &std::sync::Arc<Tally>) {
    // With two disks lost, or one lost and another node that never knew, nobody could say what was acknowledged.
    cluster.until_whole().await;
    let (data, counts) = (cluster.files.data_dir(node), tally.clone());
    let act = move |mut server: Server, launcher: &Launcher| {
        server.kill();
        counts.kill("SIGKILL of a node that loses its disk");
        std::fs::remove_dir_all(&data).expect("nobody is in it");
        match meanwhile {
            Meanwhile::Nothing => launcher.start(),
            Meanwhile::DiesAt(point) => rebuilt_at_the_second_try(launcher, point, &counts),
            Meanwhile::LeaderDies(_) => waits_in_the_middle(launcher),
        }
    };
    cluster.all_at_once(vec![(Who::Node(node), act)]).await;
    if let Meanwhile::LeaderDies(shard) = meanwhile {
        let leader = cluster.groups.leader(shard, ELECTED).await;
        tally.kill("SIGKILL of a leader while a replica is rebuilt");
        tokio::task::block_in_place(|| cluster.kill(Who::Node(leader)));
    }
    cluster.until_whole().await;
    for shard in 0..cluster.files.layout.shards() as u32 {
        let replica = cluster.groups.describe(node, shard).await.map_or(0, |replica| replica.replica);
        assert!(
            replica >> 32 != 0,
            "node {node} has forgotten its votes, and is still called {replica:x} in shard {shard}"
        );
    }
}

/// Starts a node such that it waits when it has a part of a snapshot, and gives it back when it does.
fn waits_in_the_middle(launcher: &Launcher) -> Server {
    let mut armed = launcher.launch("snapshot::piece=1*off->1*return(pause 1500)");
    let ready = armed.ready();
    assert!(ready.is_ok(), "it ended with {ready:?}:\n{}", armed.log());
    let until = Instant::now() + REACHED;
    while !armed.was_at("snapshot::piece") {
        assert!(Instant::now() < until, "no snapshot is taken in:\n{}", armed.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    armed
}

fn rebuilt_at_the_second_try(launcher: &Launcher, point: &str, tally: &Tally) -> Server {
    let mut armed = launcher.launch(&format!("{point}=return(abort)"));
    let until = Instant::now() + REACHED;
    while armed.has_ended().is_none() {
        assert!(Instant::now() < until, "it never came to {point}:\n{}", armed.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(armed.ended().signal(), Some(SIGABRT), "{point}: {}", armed.log());
    assert!(armed.was_at(point), "{point}: {}", armed.log());
    tally.kill("death of a node at a failpoint");
    tally.point(point);
    launcher.start()
}
