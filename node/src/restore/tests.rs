//! A small backup of two shards, restored onto one; and what may be wrong with one.

use crest_ledger::records::IdState;
use crest_ledger::{Account, AccountBalance, AccountFlags, Transfer, TransferFlags};
use crest_topology::slot_of;

use super::*;
use crate::log::disk::SystemDisk;
use crate::log::{Identity as LogIdentity, SegmentLog};
use crate::store::contents::Contents;
use crate::store::rocks::Rocks;
use crate::store::{Identity, Store};

const AT: Timestamp = 1_000;

/// Rows of a backup, which a test may spoil.
#[derive(Clone)]
struct Rows {
    accounts: Vec<Account>,
    transfers: Vec<Transfer>,
    snapshots: Vec<(u128, AccountBalance)>,
    failed: Vec<(u128, Timestamp)>,
}

fn two() -> SlotMap {
    SlotMap::even(&[0, 1]).unwrap()
}

fn on(shard: ShardId, n: usize) -> u128 {
    (1u128..).filter(|id| two().shard_of(*id) == shard).nth(n).unwrap()
}

/// Two accounts on shard 0, one on shard 1; a payment, a reservation that is half posted, one that stays, and an import.
fn good() -> Rows {
    let (a, b, c) = (on(0, 0), on(0, 1), on(1, 0));
    let account = |id, timestamp, flags| Account {
        id,
        ledger: 1,
        code: 1,
        timestamp,
        flags: AccountFlags(flags),
        ..Account::default()
    };
    let pay = |id, debit, credit, amount, timestamp, flags| Transfer {
        id,
        debit_account_id: debit,
        credit_account_id: credit,
        amount,
        ledger: 1,
        code: 1,
        timestamp,
        flags: TransferFlags(flags),
        ..Transfer::default()
    };
    let pending = TransferFlags::PENDING;
    let a =
        Account { debits_pending: 4, debits_posted: 17, credits_posted: 3, ..account(a, 10, AccountFlags::HISTORY) };
    let b = Account { credits_posted: 10, ..account(b, 20, 0) };
    let c = Account { debits_posted: 3, credits_pending: 4, credits_posted: 7, ..account(c, 30, 0) };
    let transfers = vec![
        pay(100, a.id, b.id, 10, 50, TransferFlags::IMPORTED),
        pay(101, a.id, c.id, 9, 60, pending),
        Transfer { pending_id: 101, ..pay(102, a.id, c.id, 7, 70, TransferFlags::POST_PENDING) },
        Transfer { timeout: 1, ..pay(103, a.id, c.id, 4, 80, pending) },
        pay(104, c.id, a.id, 3, 90, 0),
    ];
    let snapshot = AccountBalance { debits_posted: 10, timestamp: 50, ..AccountBalance::default() };
    Rows {
        snapshots: vec![(a.id, snapshot)],
        accounts: vec![a, b, c],
        transfers,
        failed: vec![(7, 40), (7, 41), (104, 42)],
    }
}

fn restore(rows: &Rows, dir: &Path) -> Result<Vec<Restored>, RestoreError> {
    let plan = Plan {
        cluster: "new".to_owned(),
        map: SlotMap::even(&[0]).unwrap(),
        node: 1,
        shards: BTreeMap::from([(0, vec![1])]),
        from: two(),
        at: AT,
        data_dir: dir.to_owned(),
        log: LogOptions { segment_bytes: 64 << 10 },
    };
    let mut restore = Restore::begin(plan)?;
    for shard in [0, 1] {
        let mut bytes = Vec::new();
        rows.accounts.iter().filter(|a| two().shard_of(a.id) == shard).for_each(|a| a.pack(&mut bytes));
        restore.take(shard, BackupKind::Accounts, &bytes)?;
        bytes.clear();
        let own = rows.transfers.iter().filter(|t| two().shard_of(t.debit_account_id) == shard);
        own.for_each(|t| t.pack(&mut bytes));
        restore.take(shard, BackupKind::Transfers, &bytes)?;
        bytes.clear();
        for (id, row) in rows.snapshots.iter().filter(|(id, _)| two().shard_of(*id) == shard) {
            bytes.extend_from_slice(&id.to_le_bytes());
            row.pack(&mut bytes);
        }
        restore.take(shard, BackupKind::Snapshots, &bytes)?;
    }
    let failed: Vec<u8> =
        rows.failed.iter().flat_map(|(id, at)| [&id.to_le_bytes()[..], &at.to_le_bytes()].concat()).collect();
    restore.take(1, BackupKind::FailedIds, &failed)?;
    restore.build(|_| {})
}

#[test]
fn a_shard_that_was_two_has_everything_and_begins_at_the_instant() {
    let (dir, rows) = (tempfile::tempdir().unwrap(), good());
    let restored = restore(&rows, dir.path()).unwrap();
    let expected = Restored { shard: 0, accounts: 3, transfers: 5, pending: 1, failed_ids: 1 };
    assert_eq!(restored, [expected]);
    let shard = dir.path().join("shard-0");
    let store = Rocks::open(&shard.join("store"), &shard).unwrap();
    let contents = Contents::read(&*store).unwrap();
    let mut accounts = rows.accounts.clone();
    accounts.sort_by_key(|a| (slot_of(a.id), a.id));
    assert_eq!(contents.accounts, accounts);
    assert!(contents.transfers.iter().all(|(_, r)| r.sides == crest_ledger::records::Sides::BOTH));
    assert_eq!(contents.transfers.iter().map(|(_, r)| r.transfer).collect::<Vec<_>>(), rows.transfers);
    let ids: Vec<_> = contents.ids.iter().map(|(id, entry)| (*id, entry.timestamp, entry.state)).collect();
    let expected = [
        (7, 40, IdState::Failed),
        (100, 50, IdState::Done),
        (101, 60, IdState::Posted),
        (102, 70, IdState::Done),
        (103, 80, IdState::Pending),
        (104, 90, IdState::Done),
    ];
    assert_eq!(ids, expected, "the first failure of an id counts, and none of one that is done here");
    let identity = Identity { cluster: "new".to_owned(), shard: 0, shards: 1 };
    let (_, mut tables, applied) = Store::open(store, &identity).unwrap();
    assert_eq!(
        (applied.index, tables.now(), tables.last_transfer(), tables.last_account()),
        (start::INDEX, AT, 90, 30)
    );
    assert!(tables.tick() > AT);
    let identity = LogIdentity { cluster: "new".to_owned(), shard: 0, replica: 1 };
    let disk = std::sync::Arc::new(SystemDisk);
    let log = LogOptions { segment_bytes: 64 << 10 };
    let (_, recovered) = SegmentLog::open_on(disk, &shard.join("log"), &identity, log).unwrap();
    assert_eq!((recovered.first_index, recovered.last_index), (start::INDEX + 1, start::INDEX));
    assert!(!dir.path().join(WORK).exists());
    assert!(restore(&rows, dir.path()).unwrap_err().to_string().contains("shard-0 is not empty"));
}

#[test]
fn what_does_not_hold_together_is_refused_and_leaves_nothing() {
    #[track_caller]
    fn check(words: &str, spoil: impl FnOnce(&mut Rows)) {
        let (dir, mut rows) = (tempfile::tempdir().unwrap(), good());
        spoil(&mut rows);
        let error = restore(&rows, dir.path()).expect_err(words).to_string();
        assert!(error.contains(words), "expected '{words}' in: {error}");
        assert!(!dir.path().join("shard-0").exists());
        // Another restore clears away what this one may have left.
        restore(&good(), dir.path()).unwrap();
    }
    let c = on(1, 0);
    check("and its transfers come to", |rows| rows.accounts[0].debits_posted += 1);
    check("and its transfers come to", |rows| rows.transfers.truncate(4));
    check("is closed: true", |rows| {
        rows.transfers[3].flags.0 |= TransferFlags::CLOSING_CREDIT;
        rows.transfers[1].flags.0 |= TransferFlags::CLOSING_DEBIT;
        rows.accounts[2].flags.0 |= AccountFlags::CLOSED;
        rows.accounts[0].flags.0 |= AccountFlags::CLOSED;
        rows.transfers[2].flags = TransferFlags(TransferFlags::VOID_PENDING);
        rows.transfers[2].amount = 9;
        rows.accounts[0].debits_posted -= 7;
        rows.accounts[2].credits_posted -= 7;
    });
    check(&format!("of account {c}, which is not there"), |rows| rows.accounts.truncate(2));
    check("lacks its balances after the imported transfer at 50", |rows| rows.snapshots.clear());
    check("resolves 101, which is not there", |rows| rows.transfers.retain(|t| t.id != 101));
    check("resolves 100, which is not there", |rows| rows.transfers[2].pending_id = 100);
    check("takes a balance", |rows| rows.transfers[2].timestamp = 55);
    check("were imported with one time, 90", |rows| rows.transfers[3].timestamp = 90);
    check("were imported with one time, 10", |rows| rows.accounts[1].timestamp = 10);
    check("the id 104 was used for two transfers", |rows| rows.transfers[0].id = 104);
    check("later than the backup", |rows| rows.transfers[4].timestamp = AT + 1);
    check("later than the backup", |rows| rows.accounts[0].timestamp = AT + 1);
}

#[test]
fn rows_of_another_shard_and_torn_ones_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan {
        cluster: "new".to_owned(),
        map: two(),
        node: 1,
        shards: BTreeMap::from([(0, vec![1])]),
        from: two(),
        at: AT,
        data_dir: dir.path().to_owned(),
        log: LogOptions::default(),
    };
    let mut restore = Restore::begin(plan).unwrap();
    let mut bytes = Vec::new();
    good().accounts[0].pack(&mut bytes);
    let error = restore.take(1, BackupKind::Accounts, &bytes).unwrap_err().to_string();
    assert!(error.contains("the backup of shard 1") && error.contains("belongs to shard 0"), "{error}");
    for (kind, length) in BackupKind::ALL.into_iter().zip([127, 127, 23, 87, 3]) {
        let error = restore.take(0, kind, &bytes[..length]).unwrap_err().to_string();
        assert!(error.contains(&format!("a row of its {} does not read back", kind.name())), "{error}");
    }
}
