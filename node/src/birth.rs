//! How a replica comes into the world, and how it remembers who it is.
//!
//! A founder begins a group with the others that the map names. A joiner begins with nothing and asks the group to take it in. Which
//! of the two an empty disk means must not be guessed: a replica that had voted and acknowledged, and whose disk was lost,
//! would do so again with the same name. So an empty node asks the others first ([`choose`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use crest_ledger::packed::{Reader, Writer};
use crest_ledger::txn::ShardId;
use crest_proto::internal as wire;
use crest_topology::NodeId;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};

use crate::consensus::{Members, ReplicaId};
use crate::log::disk::Disk;
use crate::peers::{Peers, Question};
use crate::snapshot::install::{read_whole, write_whole};

/// The pause before the others are asked again.
const PAUSE: Duration = Duration::from_millis(200);
/// How often it is said who is waited for.
const SAY: Duration = Duration::from_secs(10);

/// What a replica with an empty disk is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Birth {
    /// One of those that found the group on these nodes.
    Founder(Vec<NodeId>),
    /// A new member of a group that is there, with a life of its own (not 0).
    Joiner(u32),
}

/// Who a replica is, as its disk remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Born {
    pub(crate) replica: ReplicaId,
    /// The founders; nobody for a joiner, which hears from the group who belongs to it.
    pub(crate) members: Members,
}

fn path(log_dir: &Path) -> PathBuf {
    log_dir.join("replica")
}

/// Whether a replica was ever born in that folder.
///
/// # Errors
/// The operating system's.
pub fn is_born(disk: &dyn Disk, log_dir: &Path) -> std::io::Result<bool> {
    Ok(read_whole(disk, &path(log_dir))?.is_some())
}

impl Born {
    /// What the disk remembers; none for an empty one.
    ///
    /// # Errors
    /// The operating system's, or that the file is damaged.
    pub(crate) fn recall(disk: &dyn Disk, log_dir: &Path) -> anyhow::Result<Option<Self>> {
        let Some(bytes) = read_whole(disk, &path(log_dir))? else { return Ok(None) };
        let read = || {
            let checked = bytes.len().checked_sub(4)?;
            let mut r = Reader(&bytes);
            let replica = ReplicaId::from_number(r.u64()?)?;
            let members = Members::unpack(&mut r)?;
            (r.u32()? == crc32c::crc32c(&bytes[..checked]) && r.is_empty()).then_some(Self { replica, members })
        };
        let advice = "is damaged or of another version; delete this shard's folder on this node to have it rebuilt from the \
                      others, or restore it";
        read().ok_or_else(|| anyhow::anyhow!("{} {advice}", path(log_dir).display())).map(Some)
    }

    /// Writes down who the replica on `node` is, durably and for ever.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn note(disk: &dyn Disk, log_dir: &Path, node: NodeId, birth: &Birth) -> anyhow::Result<Self> {
        let born = match birth {
            Birth::Founder(nodes) => Self { replica: ReplicaId::founder(node), members: Members::founders(nodes) },
            Birth::Joiner(life) => Self { replica: ReplicaId::joining(node, *life), members: Members::default() },
        };
        let mut bytes = Vec::new();
        Writer(&mut bytes).u64(born.replica.number());
        born.members.pack(&mut bytes);
        let checksum = crc32c::crc32c(&bytes);
        Writer(&mut bytes).u32(checksum);
        disk.create_dir(log_dir)?;
        write_whole(disk, log_dir, &path(log_dir), &bytes)?;
        Ok(born)
    }
}

/// Where a shard is to be, for a replica with an empty disk.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The shard.
    pub shard: ShardId,
    /// The node of the replica.
    pub node: NodeId,
    /// The nodes that are to have a replica.
    pub on: Vec<NodeId>,
    /// Whether that is from the first version of the map: then the shard was never anywhere else.
    pub from_the_start: bool,
}

/// Finds out what a replica with an empty disk is: it founds the group when nobody has taken part in it yet, and joins, with
/// that life, when somebody has. As long as those who may know do not answer, nobody knows, and it waits.
///
/// Who may know are the other nodes on which the shard is to be; and all nodes of the cluster once the map was changed, since the
/// shard may have been on others before.
///
/// Why it is safe: a founder votes only after it was born, and what was born answers so. When all others are fresh, or have
/// founded and neither voted nor heard of an entry, then this one has not voted for any of them before, or nothing came of it.
/// With a minority of lost disks, somebody remembers.
pub async fn choose(placed: &Placed, peers: &dyn Peers, life: u32) -> Birth {
    let Placed { shard, node, .. } = *placed;
    let on: Vec<NodeId> = placed.on.iter().copied().filter(|n| *n != node).collect();
    let (begun, mut said) = (Instant::now(), Duration::ZERO);
    loop {
        let mut others = on.clone();
        others.extend(peers.nodes().into_iter().filter(|n| !placed.on.contains(n)));
        let needed = if placed.from_the_start { on.len() } else { others.len() };
        let ask = |n: &NodeId| {
            let what = wire::peer_question::What::Describe(wire::Describe {});
            let (n, answer) = (*n, peers.ask(*n, Question { shard, what }));
            async move { (n, answer.await) }
        };
        // One that knows is enough: others may be silent for long.
        let mut answers: FuturesUnordered<_> = others[..needed].iter().map(ask).collect();
        let mut unborn = 0;
        while let Some((asked, answer)) = answers.next().await {
            let Some(wire::peer_answer::What::Replica(other)) = answer.ok().and_then(|a| a.what) else { continue };
            use wire::ReplicaState as State;
            match State::try_from(other.state) {
                Ok(State::Fresh) => unborn += 1,
                // It founded this very group; another one would not be that which the map names.
                Ok(State::Founded) if founded(&other, &placed.on) => unborn += 1,
                // A node on which the shard is to be may not know it yet.
                Ok(State::Absent) if !on.contains(&asked) => unborn += 1,
                Ok(State::Running | State::Installing | State::Failed) => {
                    tracing::info!(shard, node, asked, "the shard's group is there already: joins it");
                    return Birth::Joiner(life);
                }
                _ => {}
            }
        }
        if unborn == needed {
            return Birth::Founder(placed.on.clone());
        }
        if begun.elapsed() >= said {
            said = begun.elapsed() + SAY;
            tracing::info!(
                shard,
                node,
                asked = ?others[..needed],
                answered = unborn,
                "waits for the other nodes of the shard, to found it with them"
            );
        }
        sleep(PAUSE).await;
    }
}

/// Whether a replica founded the group of these nodes.
fn founded(replica: &wire::ReplicaDescription, nodes: &[NodeId]) -> bool {
    let founders = Members::founders(nodes);
    replica.members.as_ref().is_some_and(|members| members.voters == founders.voters)
}
