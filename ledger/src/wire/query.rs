//! Queries and their answers: what a shard tells without changing anything.

use super::audit::{AuditProgress, BUCKETS, Bucket, HALVES_MAX, HalvesQuery, ShardAudit, TotalsPage};
use super::backup::{BackupAnswer, BackupBegin};
use super::codec::{Packed, pack_at_most, pack_list, unpack_list};
use super::health::ShardHealth;
use super::in_doubt::{ATTEMPTS_MAX, InDoubtFilter, InDoubtPage, Known};
use crate::clock::Timestamp;
use crate::limits::{BATCH_EVENTS_MAX, RESOLUTIONS_MAX};
use crate::packed::{Reader, Writer};
use crate::records::TransferRecord;
use crate::resolutions::Resolution;
use crate::txn::{ShardId, TxnId};
use crate::{Account, AccountBalance, AccountFilter, QueryFilter, Transfer};

/// Ids in one question for pending transfers: the id and the pending id of every event of a request.
const PENDING_IDS_MAX: usize = 2 * BATCH_EVENTS_MAX;

/// Transfers in its answer: an id may be recorded between some accounts and held between others. 4.2 MB.
const PENDING_ROWS_MAX: usize = 2 * PENDING_IDS_MAX;

/// A question to one shard. `at` is the instant to read at, ns; 0 is now. The answer comes when nothing at or below that
/// instant is in doubt any more.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// How the shard is.
    Status,
    /// The shard's clock, once the holds that are open now have ended: everything that was acknowledged and touches this
    /// shard has a timestamp at or below it.
    Clock,
    /// Accounts by id.
    Accounts(Timestamp, Vec<u128>),
    /// Transfers by id.
    Transfers(Timestamp, Vec<u128>),
    /// The transfers of one account.
    AccountTransfers(Timestamp, AccountFilter),
    /// The balances of one account.
    AccountBalances(Timestamp, AccountFilter),
    /// Accounts that match.
    QueryAccounts(Timestamp, QueryFilter),
    /// Transfers that match.
    QueryTransfers(Timestamp, QueryFilter),
    /// This shard's part of an audit. The first number is the audit's own, drawn by the router: it asks by it how far the
    /// shard is.
    Audit(u64, Timestamp),
    /// How far the shard is with the audit of this number.
    AuditProgress(u64),
    /// The sums of the ledger numbers above the second number, of the audit of the first one that this shard has answered.
    /// Lower ledger numbers are not asked for again: the shard forgets them.
    AuditTotals(u64, u32),
    /// Of the halves of a time range: how many, and the sums of their fingerprints, by [`BUCKETS`] parts. The range must not
    /// reach above the instant of an audit that this shard has answered.
    AuditBuckets(HalvesQuery),
    /// The halves of a time range, at most [`HALVES_MAX`], oldest first. As for the range of `AuditBuckets`.
    AuditHalves(HalvesQuery),
    /// The records with these timestamps, at most [`HALVES_MAX`].
    AuditRecords(Timestamp, Vec<Timestamp>),
    /// Begins a backup of this shard, and keeps a snapshot for it.
    BackupBegin(BackupBegin),
    /// The page with this number, from 0, of the backup with the number in front. It is the next one, or the last one again.
    BackupPage(u64, u64),
    /// The transfers with these ids, as they are now, doubt or not. One with timestamp 0 is only held so far.
    Pending(Vec<u128>),
    /// The accounts with these ids, as they are now, doubt or not: for what of them never changes.
    KnownAccounts(Vec<u128>),
    /// Which attempts have a hold or an unacknowledged decision here, as of now.
    InDoubt(InDoubtFilter),
    /// What is known of these attempts, as of now; at most [`ATTEMPTS_MAX`].
    Attempts(Vec<TxnId>),
    /// The newest of the resolutions that are kept here, so many.
    Resolutions(u32),
    /// Whether the shard takes part in payments. Another shard tells its number and its ledger time, ns, and learns whether
    /// a message with that time is accepted here.
    Health(Option<(ShardId, Timestamp)>),
}

impl Query {
    /// The instant that it names, ns; 0 when it names none.
    pub fn instant(&self) -> Timestamp {
        match self {
            Self::Accounts(at, _) | Self::Transfers(at, _) | Self::Audit(_, at) | Self::AuditRecords(at, _) => *at,
            Self::AccountTransfers(at, _) | Self::AccountBalances(at, _) => *at,
            Self::QueryAccounts(at, _) | Self::QueryTransfers(at, _) => *at,
            Self::BackupBegin(begin) => begin.at,
            Self::BackupPage(..) => 0,
            Self::Status | Self::Clock | Self::Pending(_) | Self::KnownAccounts(_) => 0,
            Self::InDoubt(_) | Self::Attempts(_) | Self::Resolutions(_) => 0,
            Self::AuditProgress(_) | Self::AuditTotals(..) | Self::AuditBuckets(_) | Self::AuditHalves(_) => 0,
            Self::Health(_) => 0,
        }
    }
}

/// How a shard is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStatus {
    /// Accounts.
    pub accounts: u64,
    /// Transfers recorded here (a cross-shard one counts on both its shards).
    pub transfers: u64,
    /// How many of the accounts are on ledger numbers of rehearsals.
    pub rehearsal_accounts: u64,
    /// How many of the transfers are.
    pub rehearsal_transfers: u64,
    /// Open holds.
    pub holds: u64,
    /// Age of the oldest, ms.
    pub hold_age_ms_max: u64,
    /// Decisions in the outbox.
    pub outbox: u64,
    /// Age of the oldest, ms.
    pub outbox_age_ms_max: u64,
    /// Holds and decisions in the outbox that are older than
    /// [`HOLD_DEADLINE_NS`](crate::limits::HOLD_DEADLINE_NS): their router did not end them.
    pub in_doubt: u64,
    /// Age of the oldest of those, ms.
    pub in_doubt_age_ms_max: u64,
    /// Last applied log entry.
    pub applied_index: u64,
    /// Last log entry in a checkpoint.
    pub checkpoint_index: u64,
    /// The shard's clock, ns.
    pub clock: Timestamp,
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryAnswer {
    /// To `Status`.
    Status(ShardStatus),
    /// To `Clock`, ns. To a read that names an instant in the middle of a chain, instead of its answer: the chain's end, at
    /// which it may be asked again.
    Clock(Timestamp),
    /// Accounts, in the order asked or listed; and where to go on when a list is not at its end, or the instant that a
    /// look-up is of.
    Accounts(Vec<Account>, Option<Timestamp>),
    /// Transfers, likewise.
    Transfers(Vec<Transfer>, Option<Timestamp>),
    /// Balances of one account.
    Balances {
        /// The page, in its order.
        rows: Vec<AccountBalance>,
        /// Where to go on, when the list is not at its end.
        next: Option<Timestamp>,
        /// The account's ledger number; 0 when nothing was there to look at. The rows do not have it.
        ledger: u32,
    },
    /// To `Audit`.
    Audit(ShardAudit),
    /// To `AuditProgress`.
    AuditProgress(AuditProgress),
    /// To `AuditTotals`.
    AuditTotals(TotalsPage),
    /// To `AuditBuckets`, one for each part.
    AuditBuckets(Vec<Bucket>),
    /// To `AuditHalves` and `AuditRecords`: those that are there.
    AuditHalves(Vec<TransferRecord>),
    /// To `BackupBegin` and `BackupPage`.
    Backup(BackupAnswer),
    /// To `Pending`: for each id found here, the transfer.
    Pending(Vec<Transfer>),
    /// To `InDoubt`.
    InDoubt(InDoubtPage),
    /// To `Attempts`.
    Attempts(Known),
    /// To `Resolutions`, newest first.
    Resolutions(Vec<(TxnId, Resolution)>),
    /// To `Health`.
    Health(ShardHealth),
}

impl Packed for Query {
    const BYTES_MIN: usize = 1;

    fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Self::Status => out.push(1),
            Self::Clock => out.push(2),
            Self::Accounts(at, ids) => lookup(3, *at, ids, out),
            Self::Transfers(at, ids) => lookup(4, *at, ids, out),
            Self::AccountTransfers(at, filter) => {
                Writer(out).u8(5).u64(*at);
                filter.pack(out);
            }
            Self::AccountBalances(at, filter) => {
                Writer(out).u8(6).u64(*at);
                filter.pack(out);
            }
            Self::QueryAccounts(at, filter) => {
                Writer(out).u8(7).u64(*at);
                filter.pack(out);
            }
            Self::QueryTransfers(at, filter) => {
                Writer(out).u8(8).u64(*at);
                filter.pack(out);
            }
            Self::Audit(audit, at) => {
                Writer(out).u8(9).u64(*audit).u64(*at);
            }
            Self::Pending(ids) => {
                out.push(10);
                pack_at_most(ids, PENDING_IDS_MAX, out);
            }
            Self::KnownAccounts(ids) => {
                out.push(11);
                pack_list(ids, out);
            }
            Self::AuditProgress(audit) => {
                Writer(out).u8(32).u64(*audit);
            }
            Self::AuditTotals(audit, after) => {
                Writer(out).u8(36).u64(*audit).u32(*after);
            }
            Self::AuditBuckets(halves) => {
                out.push(33);
                halves.pack(out);
            }
            Self::AuditHalves(halves) => {
                out.push(34);
                halves.pack(out);
            }
            Self::AuditRecords(at, times) => {
                Writer(out).u8(35).u64(*at);
                pack_list(times, out);
            }
            Self::BackupBegin(begin) => {
                out.push(40);
                begin.pack(out);
            }
            Self::BackupPage(backup, page) => {
                Writer(out).u8(41).u64(*backup).u64(*page);
            }
            Self::InDoubt(filter) => {
                out.push(20);
                filter.pack(out);
            }
            Self::Attempts(txns) => {
                out.push(21);
                pack_list(txns, out);
            }
            Self::Resolutions(limit) => {
                Writer(out).u8(22).u32(*limit);
            }
            Self::Health(from) => {
                let (is_shard, (shard, time)) = (from.is_some(), from.unwrap_or_default());
                Writer(out).u8(12).u8(u8::from(is_shard)).u32(shard).u64(time);
            }
        }
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(match r.u8()? {
            1 => Self::Status,
            2 => Self::Clock,
            3 => Self::Accounts(r.u64()?, unpack_list(r, BATCH_EVENTS_MAX)?),
            4 => Self::Transfers(r.u64()?, unpack_list(r, BATCH_EVENTS_MAX)?),
            5 => Self::AccountTransfers(r.u64()?, AccountFilter::unpack(r)?),
            6 => Self::AccountBalances(r.u64()?, AccountFilter::unpack(r)?),
            7 => Self::QueryAccounts(r.u64()?, QueryFilter::unpack(r)?),
            8 => Self::QueryTransfers(r.u64()?, QueryFilter::unpack(r)?),
            9 => Self::Audit(r.u64()?, r.u64()?),
            10 => Self::Pending(unpack_list(r, PENDING_IDS_MAX)?),
            11 => Self::KnownAccounts(unpack_list(r, 2 * BATCH_EVENTS_MAX)?),
            32 => Self::AuditProgress(r.u64()?),
            33 => Self::AuditBuckets(Packed::unpack(r)?),
            34 => Self::AuditHalves(Packed::unpack(r)?),
            35 => Self::AuditRecords(r.u64()?, unpack_list(r, HALVES_MAX)?),
            36 => Self::AuditTotals(r.u64()?, r.u32()?),
            40 => Self::BackupBegin(Packed::unpack(r)?),
            41 => Self::BackupPage(r.u64()?, r.u64()?),
            20 => Self::InDoubt(Packed::unpack(r)?),
            21 => Self::Attempts(unpack_list(r, ATTEMPTS_MAX)?),
            22 => Self::Resolutions(r.u32()?),
            12 => {
                let (is_shard, from) = (r.u8()?, (r.u32()?, r.u64()?));
                Self::Health(match is_shard {
                    0 => None,
                    1 => Some(from),
                    _ => return None,
                })
            }
            _ => return None,
        })
    }
}

fn lookup(tag: u8, at: Timestamp, ids: &[u128], out: &mut Vec<u8>) {
    Writer(out).u8(tag).u64(at);
    pack_list(ids, out);
}

impl Packed for QueryAnswer {
    const BYTES_MIN: usize = 1;

    fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Self::Status(s) => {
                Writer(out).u8(1).u64(s.accounts).u64(s.transfers).u64(s.holds).u64(s.hold_age_ms_max).u64(s.outbox);
                Writer(out).u64(s.outbox_age_ms_max).u64(s.in_doubt).u64(s.in_doubt_age_ms_max);
                Writer(out).u64(s.applied_index).u64(s.checkpoint_index).u64(s.clock);
                Writer(out).u64(s.rehearsal_accounts).u64(s.rehearsal_transfers);
            }
            Self::Clock(at) => {
                Writer(out).u8(2).u64(*at);
            }
            Self::Accounts(rows, next) => page(3, rows, *next, out),
            Self::Transfers(rows, next) => page(4, rows, *next, out),
            Self::Balances { rows, next, ledger } => {
                page(5, rows, *next, out);
                Writer(out).u32(*ledger);
            }
            Self::Audit(audit) => {
                out.push(6);
                audit.pack(out);
            }
            Self::Pending(rows) => {
                out.push(7);
                pack_at_most(rows, PENDING_ROWS_MAX, out);
            }
            Self::AuditProgress(progress) => {
                out.push(32);
                progress.pack(out);
            }
            Self::AuditTotals(page) => {
                out.push(36);
                page.pack(out);
            }
            Self::AuditBuckets(buckets) => {
                out.push(33);
                pack_list(buckets, out);
            }
            Self::AuditHalves(rows) => {
                out.push(34);
                pack_list(rows, out);
            }
            Self::Backup(answer) => {
                out.push(40);
                answer.pack(out);
            }
            Self::InDoubt(page) => {
                out.push(20);
                page.pack(out);
            }
            Self::Attempts(known) => {
                out.push(21);
                known.pack(out);
            }
            Self::Resolutions(rows) => {
                out.push(22);
                pack_list(rows, out);
            }
            Self::Health(health) => {
                out.push(12);
                health.pack(out);
            }
        }
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(match r.u8()? {
            1 => Self::Status(ShardStatus {
                accounts: r.u64()?,
                transfers: r.u64()?,
                holds: r.u64()?,
                hold_age_ms_max: r.u64()?,
                outbox: r.u64()?,
                outbox_age_ms_max: r.u64()?,
                in_doubt: r.u64()?,
                in_doubt_age_ms_max: r.u64()?,
                applied_index: r.u64()?,
                checkpoint_index: r.u64()?,
                clock: r.u64()?,
                rehearsal_accounts: r.u64()?,
                rehearsal_transfers: r.u64()?,
            }),
            2 => Self::Clock(r.u64()?),
            3 => Self::Accounts(unpack_list(r, 2 * BATCH_EVENTS_MAX)?, Packed::unpack(r)?),
            4 => Self::Transfers(unpack_list(r, BATCH_EVENTS_MAX)?, Packed::unpack(r)?),
            5 => Self::Balances { rows: unpack_list(r, BATCH_EVENTS_MAX)?, next: Packed::unpack(r)?, ledger: r.u32()? },
            6 => Self::Audit(ShardAudit::unpack(r)?),
            7 => Self::Pending(unpack_list(r, PENDING_ROWS_MAX)?),
            32 => Self::AuditProgress(Packed::unpack(r)?),
            33 => Self::AuditBuckets(unpack_list(r, BUCKETS as usize)?),
            34 => Self::AuditHalves(unpack_list(r, HALVES_MAX)?),
            36 => Self::AuditTotals(Packed::unpack(r)?),
            40 => Self::Backup(Packed::unpack(r)?),
            20 => Self::InDoubt(Packed::unpack(r)?),
            21 => Self::Attempts(Packed::unpack(r)?),
            22 => Self::Resolutions(unpack_list(r, RESOLUTIONS_MAX)?),
            12 => Self::Health(Packed::unpack(r)?),
            _ => return None,
        })
    }
}

fn page<T: Packed>(tag: u8, rows: &[T], next: Option<Timestamp>, out: &mut Vec<u8>) {
    out.push(tag);
    pack_list(rows, out);
    next.pack(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_of_the_longest_question_may_be_recorded_and_held() {
        let question = Query::Pending(vec![u128::MAX; PENDING_IDS_MAX]);
        let mut bytes = Vec::new();
        question.pack(&mut bytes);
        assert_eq!(Query::unpack(&mut Reader(&bytes)), Some(question));
        let answer = QueryAnswer::Pending(vec![Transfer::default(); 2 * PENDING_IDS_MAX]);
        let mut bytes = Vec::new();
        answer.pack(&mut bytes);
        assert_eq!(QueryAnswer::unpack(&mut Reader(&bytes)), Some(answer));
    }
}
