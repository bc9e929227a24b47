//! Rows of a backup come in, and go to the shards to which they belong now.

use std::collections::BTreeSet;

use crest_ledger::packed::Reader;
use crest_ledger::records::{IdState, Sides, TransferRecord};
use crest_ledger::txn::ShardId;
use crest_ledger::wire::backup::BackupKind;
use crest_ledger::wire::stored;
use crest_ledger::{Account, AccountBalance, Timestamp, Transfer, TransferFlags};

use super::moves::Move;
use super::scratch::{self, Scratch, Table};
use super::{Plan, RestoreError};

/// Rows of one shard of the cluster that was backed up.
pub(super) struct Intake<'a> {
    pub(super) plan: &'a Plan,
    pub(super) wanted: &'a BTreeSet<ShardId>,
    pub(super) scratch: &'a mut Scratch,
    pub(super) from: ShardId,
}

type Done<T = ()> = Result<T, RestoreError>;

impl Intake<'_> {
    pub(super) fn take(&mut self, kind: BackupKind, rows: &[u8]) -> Done {
        let mut r = Reader(rows);
        while !r.is_empty() {
            let read = match kind {
                BackupKind::Accounts => Account::unpack(&mut r).map(|account| self.account(&account)),
                BackupKind::Transfers => Transfer::unpack(&mut r).map(|transfer| self.transfer(&transfer)),
                BackupKind::FailedIds => r.u128().zip(r.u64()).map(|(id, at)| self.failed(id, at)),
                BackupKind::Snapshots => {
                    r.u128().zip(AccountBalance::unpack(&mut r)).map(|(id, row)| self.snapshot(id, &row))
                }
                BackupKind::Resolutions => {
                    let length = r.u32().and_then(|length| usize::try_from(length).ok());
                    length.and_then(|length| r.bytes(length)).and_then(|row| self.resolution(row))
                }
            };
            read.ok_or_else(|| self.wrong(format!("a row of its {} does not read back", kind.name())))??;
        }
        self.scratch.flush()
    }

    fn wrong(&self, what: String) -> RestoreError {
        RestoreError::Backup(format!("the backup of shard {} does not hold together: {what}", self.from))
    }

    /// Whether this account was on the shard that the rows are of, and not made later than the backup.
    fn check(&self, account_id: u128, at: Timestamp, what: &str) -> Done {
        if self.plan.from.shard_of(account_id) != self.from {
            return Err(self.wrong(format!("{what} at {at} belongs to shard {}", self.plan.from.shard_of(account_id))));
        }
        if at > self.plan.at {
            return Err(self.wrong(format!("{what} at {at} is later than the backup, {}", self.plan.at)));
        }
        Ok(())
    }

    fn account(&mut self, account: &Account) -> Done {
        self.check(account.id, account.timestamp, "an account created")?;
        let shard = self.plan.map.shard_of(account.id);
        if self.wanted.contains(&shard) {
            let mut value = Vec::with_capacity(128);
            account.pack(&mut value);
            self.scratch.put(&scratch::of_account(shard, Table::Account, account.id), &value);
            let time = scratch::of_time(shard, Table::AccountTime, account.timestamp, account.id);
            self.scratch.put(&time, &[]);
        }
        Ok(())
    }

    fn transfer(&mut self, t: &Transfer) -> Done {
        self.check(t.debit_account_id, t.timestamp, "a transfer")?;
        let homes = (self.plan.map.shard_of(t.debit_account_id), self.plan.map.shard_of(t.credit_account_id));
        let sides = if homes.0 == homes.1 {
            [(homes.0, Sides::BOTH), (homes.0, Sides::BOTH)]
        } else {
            [(homes.0, Sides::DEBIT), (homes.1, Sides::CREDIT)]
        };
        let sides = &sides[..if homes.0 == homes.1 { 1 } else { 2 }];
        for (shard, sides) in sides.iter().filter(|(shard, _)| self.wanted.contains(shard)) {
            self.record(*shard, &TransferRecord { transfer: *t, sides: *sides })?;
        }
        Ok(())
    }

    fn record(&mut self, shard: ShardId, record: &TransferRecord) -> Done {
        let t = &record.transfer;
        let resolves = t.flags.any(TransferFlags::RESOLVES | TransferFlags::EXPIRY);
        let pending = if resolves { Some(self.pending_of(shard, t)?) } else { None };
        let mut value = Vec::with_capacity(129);
        record.pack(&mut value);
        self.scratch.put(&scratch::of_time(shard, Table::Record, t.timestamp, t.id), &value);
        for (here, debit, id) in
            [(record.sides.debit(), true, t.debit_account_id), (record.sides.credit(), false, t.credit_account_id)]
        {
            if here {
                let key = scratch::of_account_at(shard, Table::Move, id, t.timestamp);
                self.scratch.put(&key, &Move::of(t, pending.as_ref(), debit).pack());
            }
        }
        if let Some(pending) = &pending {
            let fate = match t.flags {
                f if f.any(TransferFlags::EXPIRY) => IdState::Expired,
                f if f.any(TransferFlags::POST_PENDING) => IdState::Posted,
                _ => IdState::Voided,
            };
            self.state(shard, pending, fate);
            if let (Some(at), true) = (pending.expires_at(), record.sides.debit()) {
                self.scratch.delete(&scratch::of_time(shard, Table::Expiry, at, pending.id));
            }
        }
        if t.flags.any(TransferFlags::EXPIRY) {
            return Ok(());
        }
        let is_pending = t.flags.any(TransferFlags::PENDING);
        self.state(shard, t, if is_pending { IdState::Pending } else { IdState::Done });
        if let (Some(at), true) = (t.expires_at(), record.sides.debit()) {
            self.scratch.put(&scratch::of_time(shard, Table::Expiry, at, t.id), &[]);
        }
        Ok(())
    }

    fn state(&mut self, shard: ShardId, t: &Transfer, state: IdState) {
        self.scratch.put(&scratch::of_id_at(shard, Table::Id, t.id, t.timestamp), &[state as u8]);
    }

    /// The pending transfer that `t` resolves. It has the same payer, so it came before, from the same shard.
    fn pending_of(&mut self, shard: ShardId, t: &Transfer) -> Done<Transfer> {
        self.scratch.flush()?;
        let prefix = scratch::of_id(shard, Table::Id, t.pending_id);
        for row in self.scratch.rows(&prefix) {
            let (key, _) = row?;
            let Some((id, at)) = scratch::id_and_time(&key) else { continue };
            let record = self.scratch.get(&scratch::of_time(shard, Table::Record, at, id))?;
            let found = record.and_then(|bytes| TransferRecord::unpack(&mut Reader(&bytes))).map(|r| r.transfer);
            let same = |p: &Transfer| {
                p.flags.any(TransferFlags::PENDING)
                    && (p.debit_account_id, p.credit_account_id) == (t.debit_account_id, t.credit_account_id)
            };
            if let Some(pending) = found.filter(same) {
                return Ok(pending);
            }
        }
        Err(self.wrong(format!("the transfer at {} resolves {}, which is not there", t.timestamp, t.pending_id)))
    }

    /// On the same map, where it was. Otherwise nobody knows on which shard a retry will be looked for: on all of them.
    fn failed(&mut self, id: u128, at: Timestamp) -> Done {
        let same = self.plan.from.ranges() == self.plan.map.ranges();
        for shard in self.wanted.iter().filter(|shard| !same || **shard == self.from) {
            self.scratch.put(&scratch::of_id_at(*shard, Table::Failed, id, at), &[]);
        }
        Ok(())
    }

    fn snapshot(&mut self, account_id: u128, row: &AccountBalance) -> Done {
        self.check(account_id, row.timestamp, "a balance snapshot")?;
        let shard = self.plan.map.shard_of(account_id);
        if self.wanted.contains(&shard) {
            let mut value = Vec::with_capacity(72);
            row.pack(&mut value);
            self.scratch.put(&scratch::of_account_at(shard, Table::Snapshot, account_id, row.timestamp), &value);
        }
        Ok(())
    }

    /// A resolution is a record for people: it stays with its shard's number, or goes to one that there is.
    fn resolution(&mut self, row: &[u8]) -> Option<Done> {
        let (txn, resolution) = row.split_at_checked(24)?;
        let txn = stored::unpack_txn(txn)?;
        stored::unpack_resolution(resolution)?;
        let shards = self.plan.map.shards();
        let shard = if shards.contains(&self.from) { self.from } else { shards[self.from as usize % shards.len()] };
        if self.wanted.contains(&shard) {
            self.scratch.put(&scratch::of_txn(shard, &txn), resolution);
        }
        Some(Ok(()))
    }
}
