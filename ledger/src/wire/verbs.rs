//! The bytes of commands and their answers.

use super::codec::{Packed, pack_list, unpack_list};
use crate::command::{Answer, Command, DecideRequest, PrepareRequest};
use crate::decisions::{Decision, Tombstone};
use crate::holds::{HeldAccount, Hold};
use crate::limits::{BATCH_EVENTS_MAX, HOLDS_MAX, SHARDS_MAX};
use crate::packed::{Reader, Writer};
use crate::txn::{Commit, Decided, Outcome, Refusal, Vote};

/// Transactions in one command; those of many requests may travel together.
const TXNS_MAX: usize = HOLDS_MAX;
const SHARDS: usize = SHARDS_MAX as usize;

impl Packed for Command {
    const BYTES_MIN: usize = 5;

    fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Self::Create(steps) => tagged(1, steps, out),
            Self::Prepare(requests) => tagged(2, requests, out),
            Self::Decide(requests) => tagged(3, requests, out),
            Self::Finish(ends) => tagged(4, ends, out),
            Self::Acknowledge(shard, txns) => {
                Writer(out).u8(5).u32(*shard);
                pack_list(txns, out);
            }
            Self::Recover(abort, asked_at, txns) => {
                Writer(out).u8(6).u8(u8::from(*abort)).u64(*asked_at);
                pack_list(txns, out);
            }
            Self::Expire(due) => tagged(7, due, out),
            Self::Burn(ids) => tagged(8, ids, out),
            Self::Resolve(request) => {
                out.push(9);
                request.pack(out);
            }
            Self::AdvanceTime(to) => {
                Writer(out).u8(10).u64(*to);
            }
        }
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(match r.u8()? {
            1 => Self::Create(unpack_list(r, BATCH_EVENTS_MAX)?),
            2 => Self::Prepare(unpack_list(r, TXNS_MAX)?),
            3 => Self::Decide(unpack_list(r, TXNS_MAX)?),
            4 => Self::Finish(unpack_list(r, TXNS_MAX)?),
            5 => Self::Acknowledge(r.u32()?, unpack_list(r, TXNS_MAX)?),
            6 => Self::Recover(r.u8()? != 0, r.u64()?, unpack_list(r, TXNS_MAX)?),
            7 => Self::Expire(unpack_list(r, TXNS_MAX)?),
            8 => Self::Burn(unpack_list(r, TXNS_MAX)?),
            9 => Self::Resolve(Packed::unpack(r)?),
            10 => Self::AdvanceTime(r.u64().filter(|to| *to <= crate::limits::TIMESTAMP_MAX)?),
            _ => return None,
        })
    }
}

impl Packed for Answer {
    const BYTES_MIN: usize = 1;

    fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Self::Results(v) => tagged(1, v, out),
            Self::Votes(v) => tagged(2, v, out),
            Self::Decided(v) => tagged(3, v, out),
            Self::Outcomes(v) => tagged(4, v, out),
            Self::Done => out.push(5),
            Self::Finished(v) => tagged(6, v, out),
            Self::Resolved(resolved) => {
                out.push(7);
                resolved.pack(out);
            }
        }
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(match r.u8()? {
            1 => Self::Results(unpack_list(r, BATCH_EVENTS_MAX)?),
            2 => Self::Votes(unpack_list(r, TXNS_MAX)?),
            3 => Self::Decided(unpack_list(r, TXNS_MAX)?),
            4 => Self::Outcomes(unpack_list(r, TXNS_MAX)?),
            5 => Self::Done,
            6 => Self::Finished(unpack_list(r, TXNS_MAX)?),
            7 => Self::Resolved(Packed::unpack(r)?),
            _ => return None,
        })
    }
}

fn tagged<T: Packed>(tag: u8, items: &[T], out: &mut Vec<u8>) {
    out.push(tag);
    pack_list(items, out);
}

impl Packed for PrepareRequest {
    const BYTES_MIN: usize = 32;

    fn pack(&self, out: &mut Vec<u8>) {
        self.txn.pack(out);
        self.decider.pack(out);
        pack_list(&self.steps, out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { txn: Packed::unpack(r)?, decider: r.u32()?, steps: unpack_list(r, BATCH_EVENTS_MAX)? })
    }
}

impl Packed for DecideRequest {
    const BYTES_MIN: usize = 64;

    fn pack(&self, out: &mut Vec<u8>) {
        self.txn.pack(out);
        pack_list(&self.participants, out);
        pack_list(&self.events, out);
        pack_list(&self.steps, out);
        pack_list(&self.refusals, out);
        Writer(out).u64(self.prepared_at).u64(self.clock).u64(self.commit_before);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            txn: Packed::unpack(r)?,
            participants: unpack_list(r, SHARDS)?,
            events: unpack_list(r, BATCH_EVENTS_MAX)?,
            steps: unpack_list(r, BATCH_EVENTS_MAX)?,
            refusals: unpack_list(r, BATCH_EVENTS_MAX)?,
            prepared_at: r.u64()?,
            clock: r.u64()?,
            commit_before: r.u64()?,
        })
    }
}

impl Packed for Refusal {
    const BYTES_MIN: usize = 15;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u16(self.index).u8(self.status).u64(self.timestamp).u32(self.ledger);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { index: r.u16()?, status: r.u8()?, timestamp: r.u64()?, ledger: r.u32()? })
    }
}

impl Packed for Vote {
    const BYTES_MIN: usize = 1;

    fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Self::Held { amounts, clock, commit_before } => {
                tagged(1, amounts, out);
                Writer(out).u64(*clock).u64(*commit_before);
            }
            Self::Refused(refusal) => {
                out.push(2);
                refusal.pack(out);
            }
            Self::Blocked => out.push(3),
        }
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(match r.u8()? {
            1 => Self::Held { amounts: unpack_list(r, BATCH_EVENTS_MAX)?, clock: r.u64()?, commit_before: r.u64()? },
            2 => Self::Refused(Refusal::unpack(r)?),
            3 => Self::Blocked,
            _ => return None,
        })
    }
}

impl Packed for Commit {
    const BYTES_MIN: usize = 24;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u64(self.timestamp).u128(self.amount);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { timestamp: r.u64()?, amount: r.u128()? })
    }
}

impl Packed for Decided {
    const BYTES_MIN: usize = 1;

    fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Self::Committed(commits) => tagged(1, commits, out),
            Self::Refused { refusal, burned_id } => {
                out.push(2);
                refusal.pack(out);
                burned_id.pack(out);
            }
            Self::Blocked => out.push(3),
            Self::Aborted => out.push(4),
            Self::Expired(at) => {
                Writer(out).u8(5).u64(*at);
            }
        }
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(match r.u8()? {
            1 => Self::Committed(unpack_list(r, BATCH_EVENTS_MAX)?),
            2 => Self::Refused { refusal: Refusal::unpack(r)?, burned_id: r.u128()? },
            3 => Self::Blocked,
            4 => Self::Aborted,
            5 => Self::Expired(r.u64()?),
            _ => return None,
        })
    }
}

impl Packed for Outcome {
    const BYTES_MIN: usize = 5;

    fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Self::Committed(commits) => tagged(1, commits, out),
            Self::Released { burned_id } => {
                Writer(out).u8(2).u128(*burned_id);
            }
            Self::Expired(at) => {
                Writer(out).u8(3).u64(*at);
            }
        }
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(match r.u8()? {
            1 => Self::Committed(unpack_list(r, BATCH_EVENTS_MAX)?),
            2 => Self::Released { burned_id: r.u128()? },
            3 => Self::Expired(r.u64()?),
            _ => return None,
        })
    }
}

impl Packed for HeldAccount {
    const BYTES_MIN: usize = 113;

    fn pack(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        w.u128(self.account_id).u8(u8::from(self.exclusive));
        w.u128(self.debit_need).u128(self.credit_need).u128(self.debit_relief).u128(self.credit_relief);
        w.u128(self.debits).u128(self.credits);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            account_id: r.u128()?,
            exclusive: r.u8()? != 0,
            debit_need: r.u128()?,
            credit_need: r.u128()?,
            debit_relief: r.u128()?,
            credit_relief: r.u128()?,
            debits: r.u128()?,
            credits: r.u128()?,
        })
    }
}

impl Packed for Hold {
    const BYTES_MIN: usize = 44;

    fn pack(&self, out: &mut Vec<u8>) {
        self.txn.pack(out);
        Writer(out).u32(self.decider).u64(self.prepared_at);
        pack_list(&self.steps, out);
        pack_list(&self.accounts, out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            txn: Packed::unpack(r)?,
            decider: r.u32()?,
            prepared_at: r.u64()?,
            steps: unpack_list(r, BATCH_EVENTS_MAX)?,
            accounts: unpack_list(r, 2 * BATCH_EVENTS_MAX)?,
        })
    }
}

impl Packed for Decision {
    const BYTES_MIN: usize = 17;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u64(self.decided_at);
        pack_list(&self.waiting_for, out);
        self.outcome.pack(out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { decided_at: r.u64()?, waiting_for: unpack_list(r, SHARDS)?, outcome: Outcome::unpack(r)? })
    }
}

impl Packed for Tombstone {
    const BYTES_MIN: usize = 24;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u64(self.recorded_at).u128(self.burned_id);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { recorded_at: r.u64()?, burned_id: r.u128()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::txn::{Step, TxnId};

    /// How many bytes of memory a byte of a list takes.
    fn growth<T: Packed>() -> (&'static str, usize) {
        (std::any::type_name::<T>(), size_of::<T>().div_ceil(T::BYTES_MIN))
    }

    /// What a node is charged for a request is four times its bytes: as they came, and what is tested here.
    #[test]
    fn commands_take_at_most_three_times_their_bytes_in_memory() {
        let lists = [
            growth::<Step>(),
            growth::<PrepareRequest>(),
            growth::<DecideRequest>(),
            growth::<Refusal>(),
            growth::<(TxnId, Outcome)>(),
            growth::<TxnId>(),
            growth::<u128>(),
            growth::<u32>(),
        ];
        for (name, growth) in lists {
            assert!(growth <= 3, "{name} takes {growth} times its bytes");
        }
        // Only the commands themselves take more, and there are at most so many.
        assert!(size_of::<Command>() * crate::wire::COMMANDS_MAX <= 1 << 20);
    }
}
