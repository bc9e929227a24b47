//! Whether a shard takes part in payments, as its leader knows it.

use super::codec::{Packed, pack_list, unpack_list};
use super::in_doubt::{pack_text, unpack_text};
use crate::clock::Timestamp;
use crate::packed::{Reader, Writer};
use crate::txn::ShardId;

/// Other shards that one answer names at the most; of more only the number is told.
pub const PEER_TROUBLES_MAX: usize = 16;

/// Bytes of the text that says what is wrong with a leader's clock.
pub const CLOCK_PROBLEM_BYTES_MAX: usize = 512;

/// Whether a shard takes part in payments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardHealth {
    /// The shard's ledger time, ns.
    pub time: Timestamp,
    /// The clock of the machine that its leader runs on, ns.
    pub machine_time: Timestamp,
    /// When the asker's time is refused: how far it is ahead of this shard's, ns; 0 when it is accepted.
    pub refused_ahead_ns: u64,
    /// How long ago the leader's commit index advanced last, or it began to lead, ms.
    pub committed_ms_ago: u64,
    /// For how long the leader should have committed an entry and has not, ms; 0 when all is well.
    pub commit_stalled_ms: u64,
    /// Why its leader takes no requests: its clock must not be used; empty when it may. At most [`CLOCK_PROBLEM_BYTES_MAX`] bytes.
    pub clock_problem: String,
    /// The other shards that this one cannot exchange messages with: at most [`PEER_TROUBLES_MAX`].
    pub peers: Vec<PeerTrouble>,
    /// How many of those there are.
    pub peers_in_trouble: u32,
}

impl ShardHealth {
    /// How far the shard's ledger time is ahead of its machine's clock, ms.
    pub fn time_ahead_ms(&self) -> u64 {
        self.time.saturating_sub(self.machine_time) / 1_000_000
    }
}

/// Another shard that a shard cannot exchange messages with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerTrouble {
    /// The other shard.
    pub shard: ShardId,
    /// What is wrong.
    pub kind: PeerTroubleKind,
    /// How far the sender's time is ahead, or for how long there was no answer, ms.
    pub ms: u64,
}

/// Why two shards cannot exchange messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerTroubleKind {
    /// The other shard refuses the messages of this one: this one's time is too far ahead of its clock.
    RefusedByPeer,
    /// This shard refuses the messages of the other one: that one's time is too far ahead of this one's clock.
    RefusesPeer,
    /// The other shard's leader does not answer this one.
    NoAnswer,
}

impl Packed for PeerTroubleKind {
    const BYTES_MIN: usize = 1;

    fn pack(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::RefusedByPeer => 1,
            Self::RefusesPeer => 2,
            Self::NoAnswer => 3,
        });
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(match r.u8()? {
            1 => Self::RefusedByPeer,
            2 => Self::RefusesPeer,
            3 => Self::NoAnswer,
            _ => return None,
        })
    }
}

impl Packed for PeerTrouble {
    const BYTES_MIN: usize = 13;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u32(self.shard);
        self.kind.pack(out);
        Writer(out).u64(self.ms);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { shard: r.u32()?, kind: Packed::unpack(r)?, ms: r.u64()? })
    }
}

impl Packed for ShardHealth {
    const BYTES_MIN: usize = 52;

    fn pack(&self, out: &mut Vec<u8>) {
        assert!(self.clock_problem.len() <= CLOCK_PROBLEM_BYTES_MAX, "a bounded text");
        assert!(self.peers.len() <= PEER_TROUBLES_MAX, "an answer names a bounded number of shards");
        Writer(out).u64(self.time).u64(self.machine_time).u64(self.refused_ahead_ns);
        Writer(out).u64(self.committed_ms_ago).u64(self.commit_stalled_ms).u32(self.peers_in_trouble);
        pack_text(&self.clock_problem, out);
        pack_list(&self.peers, out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            time: r.u64()?,
            machine_time: r.u64()?,
            refused_ahead_ns: r.u64()?,
            committed_ms_ago: r.u64()?,
            commit_stalled_ms: r.u64()?,
            peers_in_trouble: r.u32()?,
            clock_problem: unpack_text(r, CLOCK_PROBLEM_BYTES_MAX)?,
            peers: unpack_list(r, PEER_TROUBLES_MAX)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Query, QueryAnswer, Request, Response};

    #[test]
    fn what_a_shard_says_reads_back_and_other_bytes_are_refused() {
        let kinds = [PeerTroubleKind::RefusedByPeer, PeerTroubleKind::RefusesPeer, PeerTroubleKind::NoAnswer];
        let peer = |kind| PeerTrouble { shard: 7, kind, ms: 9 };
        let health = ShardHealth {
            time: 1,
            machine_time: 2,
            refused_ahead_ns: 3,
            committed_ms_ago: 4,
            commit_stalled_ms: 5,
            clock_problem: "it is wrong".to_owned(),
            peers: kinds.map(peer).to_vec(),
            peers_in_trouble: 8,
        };
        let answer = Response::Query(QueryAnswer::Health(health));
        let bytes = answer.pack();
        assert_eq!(Response::unpack(&bytes), Ok(answer));
        for cut in 0..bytes.len() {
            assert!(Response::unpack(&bytes[..cut]).is_err(), "{cut} bytes");
        }
        for from in [None, Some((3, 4))] {
            let request = Request::Query(Query::Health(from));
            let mut bytes = request.pack();
            assert_eq!(Request::unpack(&bytes), Ok(request));
            // Neither "from a shard" nor "from nobody".
            bytes[3] = 2;
            assert!(Request::unpack(&bytes).is_err());
        }
    }
}
