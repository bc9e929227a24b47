//! Soon after the last failure every shard has a leader, its voters are the replicas on the machines where it is placed, all of
//! them have all entries, and no change of the members is left half-way.

use crest_topology::NodeId;

use crate::machine::Standing;

/// What is not so yet, of a shard with these replicas. Its replica that leads comes with it.
pub(crate) fn check(shard: u32, placement: &[NodeId], standings: &[Standing]) -> Result<(), String> {
    let leaders = standings.iter().filter(|s| s.replica.is_leader);
    let Some(leader) = leaders.max_by_key(|s| s.replica.term) else {
        return Err(format!("shard {shard} has no leader"));
    };
    let members = &leader.members;
    let mut voters: Vec<NodeId> = members.voters.iter().map(|v| *v as NodeId).collect();
    voters.sort_unstable();
    if voters != placement || !members.voters_outgoing.is_empty() || !members.learners.is_empty() {
        return Err(format!("shard {shard} is to be on {placement:?}, and its members are {members:x?}"));
    }
    for voter in &members.voters {
        let Some(standing) = standings.iter().find(|s| s.replica.replica == *voter) else {
            return Err(format!("shard {shard}: the voter {voter:x} does not run"));
        };
        if standing.members != *members || standing.replica.leader != leader.replica.replica {
            return Err(format!("shard {shard}: the voter {voter:x} does not know its group: {standing:x?}"));
        }
        if standing.replica.applied_index != leader.replica.last_index {
            let (has, last) = (standing.replica.applied_index, leader.replica.last_index);
            return Err(format!("shard {shard}: the voter {voter:x} has applied entry {has} of {last}"));
        }
    }
    Ok(())
}
