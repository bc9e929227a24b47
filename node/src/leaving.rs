//! When a replica that is not wanted any more may go: what it has may be the last that others need.
//!
//! A leader that has removed it knows so first. Were the replica gone then, and the leader started again before it had heard of its
//! own commit on its disk, that leader would be back in the change between the old members and the new ones, which needs a
//! majority of the old ones. So the replica stays until every replica that is wanted knows, on its disk, a group without it.

use crest_ledger::txn::ShardId;
use crest_proto::internal as wire;
use crest_topology::NodeId;
use futures_util::future::join_all;

use crate::consensus::{Members, ReplicaId};
use crate::peers::{Peers, Question};

/// Whether the group has let a replica go for good, as those say on which the shard is to be.
pub async fn may_go(shard: ShardId, replica: ReplicaId, placement: &[NodeId], peers: &dyn Peers) -> bool {
    let know = placement.iter().map(|node| async move {
        let what = wire::peer_question::What::Describe(wire::Describe {});
        let answer = peers.ask(*node, Question { shard, what }).await.ok()?.what?;
        let wire::peer_answer::What::Replica(other) = answer else { return None };
        let members = Members::from_wire(other.members.filter(|_| other.members_settled)?);
        Some(!members.voters.is_empty() && !members.is_joint() && !members.contains(replica.number()))
    });
    let know = join_all(know).await;
    !know.is_empty() && know.into_iter().all(|knows| knows == Some(true))
}
