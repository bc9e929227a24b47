//! A replica asks its group to take it in, again and again until the leader speaks to it.
//!
//! One that was removed and is wanted again does so, too, under its name: it has forgotten nothing. It may not know that it was
//! removed, since nobody speaks to it any more; so now and then everybody asks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crest_proto::internal as wire;
use crest_topology::NodeId;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::consensus::ReplicaId;
use crate::node::NodeHandle;
use crate::peers::{Peers, Question};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// Every so many looks a replica asks though it believes that it belongs to the group.
const ASSURED: u32 = 10;

/// Asks until the replica belongs to its group, and again when it does not any more though the map wants it to.
pub(crate) async fn run(handle: NodeHandle, peers: Arc<dyn Peers>, placement: watch::Receiver<Vec<NodeId>>) {
    let me = handle.replica();
    let mut hint = None;
    for look in 1u32.. {
        tokio::select! {
            biased;
            _ = handle.ended() => return,
            () = sleep(PAUSE) => {}
        }
        let Some(here) = handle.describe().await else { continue };
        let is_member = |m: &wire::Members| m.voters.contains(&me.number()) || m.learners.contains(&me.number());
        let belongs = here.leader != 0 && here.members.as_ref().is_some_and(is_member);
        let placed = placement.borrow().clone();
        if here.is_leader || belongs && look % ASSURED != 0 || !placed.contains(&me.node()) {
            continue;
        }
        // Whoever leads may be a replica that is about to leave.
        let leader = ReplicaId::from_number(here.leader).map(ReplicaId::node);
        let mut asked: Vec<NodeId> = hint.take().into_iter().chain(leader).chain(placed).chain(peers.nodes()).collect();
        let mut seen = BTreeSet::from([me.node()]);
        asked.retain(|node| seen.insert(*node));
        hint = ask(&handle, &*peers, asked).await;
    }
}

/// Asks these nodes in turn until one takes the replica in. Answers whom to ask first the next time.
async fn ask(handle: &NodeHandle, peers: &dyn Peers, nodes: Vec<NodeId>) -> Option<NodeId> {
    let (shard, mut hint) = (handle.shard(), None);
    for node in nodes {
        let what = wire::peer_question::What::Join(wire::Join { replica: handle.replica().number() });
        match peers.ask(node, Question { shard, what }).await {
            Ok(answer) if answer.error.is_empty() => return None,
            Ok(answer) => {
                hint = ReplicaId::from_number(answer.leader).map(ReplicaId::node).or(hint);
                tracing::debug!(shard, node, why = answer.error, "is not taken into the group yet");
            }
            Err(why) => tracing::debug!(shard, node, why, "is not taken into the group yet"),
        }
    }
    hint
}
