//! One shard's part of an audit: recompute every balance from the transfer records, in a snapshot of the store.
//!
//! It runs on a thread of its own while payments flow. What one shard can't see is left to whoever asked: that the totals
//! of all shards agree, and that both halves of every cross-shard transfer are there.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crest_ledger::packed::Reader;
use crest_ledger::records::{Effect, IdEntry, Sides, TransferRecord};
use crest_ledger::wire::query::FINDINGS_MAX;
use crest_ledger::wire::{QueryAnswer, Response, ShardAudit};
use crest_ledger::{Account, AccountFlags, Timestamp, Transfer, TransferFlags};
use crest_link::LinkError;
use crest_topology::SlotMap;
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::executor::Reply;
use crate::limits;
use crate::store::keys;
use crate::store::rows::{Rows, Storage};

/// An audit that was asked for. The rows have everything up to its instant.
pub(crate) struct AuditJob {
    pub(crate) shard: u32,
    pub(crate) map: Arc<SlotMap>,
    pub(crate) rows: Arc<dyn Storage>,
    pub(crate) at: Timestamp,
    pub(crate) reply: Reply,
    /// Turns true when the shard stops: the audit ends early then.
    pub(crate) stopping: Arc<AtomicBool>,
}

impl AuditJob {
    /// Audits a snapshot of the rows, and answers.
    pub(crate) fn run(self) {
        let snapshot = self.rows.snapshot();
        let (report, sums) = (ShardAudit::default(), HashMap::new());
        let (shard, map, at, stopping) = (self.shard, &*self.map, self.at, &*self.stopping);
        let mut audit = Audit { shard, map, snapshot: &*snapshot, at, report, sums, stopping };
        let result = audit.run();
        let report = std::mem::take(&mut audit.report);
        let _ = self.reply.send(match result {
            Ok(()) => Ok(Response::Query(QueryAnswer::Audit(report))),
            Err(why) => Err(LinkError::Unknown { shard, why }),
        });
    }
}

/// Starts the thread that audits. It ends when the returned sender is dropped.
pub(crate) fn start(shard: u32) -> std::io::Result<(Sender<AuditJob>, JoinHandle<()>)> {
    let (jobs, todo): (Sender<AuditJob>, Receiver<AuditJob>) = bounded(limits::AUDITS_MAX);
    let work = move || todo.into_iter().for_each(AuditJob::run);
    let thread = std::thread::Builder::new().name(format!("audit-{shard}")).spawn(work)?;
    Ok((jobs, thread))
}

struct Audit<'a> {
    shard: u32,
    map: &'a SlotMap,
    snapshot: &'a dyn Rows,
    at: Timestamp,
    report: ShardAudit,
    /// By account: what all records of the snapshot come to, and what those up to `at` do.
    sums: HashMap<u128, [Sums; 2]>,
    stopping: &'a AtomicBool,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    added: [u128; 4],
    taken: [u128; 4],
}

impl Sums {
    fn add(&mut self, effect: &Effect) {
        for i in 0..4 {
            self.added[i] = self.added[i].wrapping_add(effect.added[i]);
            self.taken[i] = self.taken[i].wrapping_add(effect.taken[i]);
        }
    }

    fn balances(&self) -> [u128; 4] {
        std::array::from_fn(|i| self.added[i].wrapping_sub(self.taken[i]))
    }
}

impl Audit<'_> {
    fn run(&mut self) -> Result<(), String> {
        let mut halves = BTreeMap::new();
        self.walk(keys::TRANSFER, |audit, key, value| {
            let record = TransferRecord::unpack(&mut Reader(value));
            let Some(record) = record.filter(|r| keys::timestamp_of(key) == Some(r.transfer.timestamp)) else {
                audit.find(format!("the record with key {key:02x?} does not read back"));
                return Ok(());
            };
            audit.record(&record, &mut halves)
        })?;
        self.report.halves = halves.into_iter().map(|((role, peer), (n, sum))| (role, peer, n, sum)).collect();
        let mut totals = BTreeMap::new();
        self.walk(keys::ACCOUNT, |audit, key, value| {
            match Account::unpack(&mut Reader(value)) {
                Some(account) => audit.account(&account, &mut totals),
                None => audit.find(format!("the account with key {key:02x?} does not read back")),
            }
            Ok(())
        })?;
        self.report.totals = totals.into_iter().map(|(ledger, (sums, n))| (ledger, sums, n)).collect();
        let orphans: Vec<u128> = self.sums.keys().copied().take(FINDINGS_MAX).collect();
        for id in orphans {
            self.find(format!("transfers touch account {id}, which is not there"));
        }
        Ok(())
    }

    fn walk(
        &mut self,
        table: u8,
        mut visit: impl FnMut(&mut Self, &[u8], &[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let (mut from, until) = (vec![table], keys::table_end(table));
        loop {
            let rows = self.snapshot.range(&from, &until, false, 1_024).map_err(|e| e.to_string())?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            if self.stopping.load(Ordering::Relaxed) {
                return Err("the shard is being stopped; audit again when it is back".to_owned());
            }
            from = [&last[..], &[0]].concat();
            for (key, value) in &rows {
                visit(self, key, value)?;
            }
        }
    }

    fn record(&mut self, record: &TransferRecord, halves: &mut BTreeMap<(u8, u32), (u64, u128)>) -> Result<(), String> {
        let t = &record.transfer;
        let resolved = self.resolved(t)?;
        if t.pending_id != 0 && resolved.is_none() {
            self.find(format!("transfer {} resolves {}, which is not there", t.id, t.pending_id));
            return Ok(());
        }
        for (here, id) in [(record.sides.debit(), t.debit_account_id), (record.sides.credit(), t.credit_account_id)] {
            if here {
                let effect = Effect::of(t, resolved.as_ref(), id);
                let sums = self.sums.entry(id).or_default();
                sums[0].add(&effect);
                if t.timestamp <= self.at {
                    sums[1].add(&effect);
                }
            }
        }
        if t.timestamp > self.at {
            return Ok(());
        }
        let cross = record.sides != Sides::BOTH;
        if record.sides.debit() && !t.flags.any(TransferFlags::EXPIRY) {
            self.report.transfers += 1;
            self.report.cross_shard += u64::from(cross);
        }
        if cross {
            let other = if record.sides.debit() { t.credit_account_id } else { t.debit_account_id };
            let half = halves.entry((u8::from(record.sides.debit()), self.map.shard_of(other))).or_default();
            half.0 += 1;
            half.1 = half.1.wrapping_add(fingerprint(t));
        }
        Ok(())
    }

    fn resolved(&self, t: &Transfer) -> Result<Option<Transfer>, String> {
        if t.pending_id == 0 {
            return Ok(None);
        }
        let get = |key: Vec<u8>| self.snapshot.get(&key).map_err(|e| e.to_string());
        let Some(entry) = get(keys::transfer_id(t.pending_id))?.and_then(|v| IdEntry::unpack(&mut Reader(&v))) else {
            return Ok(None);
        };
        let record = get(keys::transfer(entry.timestamp))?.and_then(|v| TransferRecord::unpack(&mut Reader(&v)));
        Ok(record.map(|r| r.transfer))
    }

    fn account(&mut self, account: &Account, totals: &mut BTreeMap<u32, ([u128; 4], u64)>) {
        let [all, until] = self.sums.remove(&account.id).unwrap_or_default();
        let stored = [account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted];
        for (name, (stored, computed)) in ["debits_pending", "debits_posted", "credits_pending", "credits_posted"]
            .iter()
            .zip(stored.iter().zip(all.balances()))
        {
            if *stored != computed {
                self.find(format!("account {}: {name} is {stored}, but its transfers come to {computed}", account.id));
            }
        }
        let debits = account.debits_pending.saturating_add(account.debits_posted);
        let credits = account.credits_pending.saturating_add(account.credits_posted);
        if account.flags.any(AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS) && debits > account.credits_posted {
            self.find(format!(
                "account {}: its debits {debits} exceed its credits {}",
                account.id, account.credits_posted
            ));
        }
        if account.flags.any(AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS) && credits > account.debits_posted {
            self.find(format!(
                "account {}: its credits {credits} exceed its debits {}",
                account.id, account.debits_posted
            ));
        }
        if self.map.shard_of(account.id) != self.shard {
            self.find(format!("account {} is not this shard's", account.id));
        }
        if account.timestamp <= self.at {
            self.report.accounts += 1;
            let (sums, accounts) = totals.entry(account.ledger).or_default();
            *accounts += 1;
            for (sum, part) in sums.iter_mut().zip(until.balances()) {
                *sum = sum.wrapping_add(part);
            }
        }
    }

    fn find(&mut self, what: String) {
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(format!("shard {}: {what}", self.shard));
        }
    }
}

/// A number that two records share only when they are the same: their bytes, mixed in two independent ways.
fn fingerprint(t: &Transfer) -> u128 {
    let mut bytes = Vec::with_capacity(128);
    t.pack(&mut bytes);
    let mut state: u128 = 0x6a09_e667_f3bc_c908_bb67_ae85_84ca_a73b;
    for chunk in bytes.chunks_exact(16) {
        let word = u128::from_le_bytes(chunk.try_into().expect("chunks of 16 bytes"));
        state = (state ^ word).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        state ^= state >> 59;
    }
    state
}
