//! Audits of one shard in memory: what is well has no finding, and every row that is changed by hand is found and named.

mod ledger;
mod rehearsals;

use crest_ledger::command::Command;
use crest_ledger::finding::{Finding, FindingKind};
use crest_ledger::packed::Reader;
use crest_ledger::records::{IdEntry, IdState, TransferRecord};
use crest_ledger::txn::Step;
use crest_ledger::wire::ShardAudit;
use crest_ledger::{Account, AccountBalance, AccountFlags, Timestamp, Transfer, TransferFlags};
use crest_topology::SlotMap;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::progress::Counters;
use super::scan::{Interrupted, Scan};
use super::whole;
use crate::store::keys;
use crate::store::rows::Rows;
use ledger::{ACCOUNTS, Ledger, Memory, plain, random_ledger};

fn audit_parts(rows: &Memory, part_accounts: usize) -> Result<ShardAudit, Interrupted> {
    let counters = Counters::default();
    let scan = Scan { rows, give_up: &|| false, counters: &counters };
    whole::audit(scan, 0, &SlotMap::even(&[0]).unwrap(), Timestamp::MAX, part_accounts)
}

fn audit(rows: &Memory) -> Vec<Finding> {
    audit_parts(rows, usize::MAX >> 1).unwrap().findings
}

fn texts(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

/// The seeds to test with: the one of `CREST_SEED`, or the first `count`.
fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("CREST_SEED").ok().and_then(|text| text.parse().ok()) {
        Some(seed) => vec![seed],
        None => (1..=count).collect(),
    }
}

#[test]
fn a_shard_that_is_well_has_no_finding() {
    for seed in seeds(150) {
        let rows = random_ledger(&mut StdRng::seed_from_u64(seed), 300);
        let findings = audit(&rows);
        let repeat = "cargo test -p crest-node a_shard_that_is_well_has_no_finding";
        assert!(findings.is_empty(), "CREST_SEED={seed} {repeat}: {:#?}", texts(&findings));
    }
}

#[test]
fn a_shard_of_many_parts_is_audited_as_one() {
    let mut ledger = Ledger::new();
    let accounts = 3_000;
    (1..=accounts).for_each(|id| ledger.account(id, 0));
    (1..=4_000).for_each(|n| ledger.pay(10_000 + n, n % accounts + 1, (n * 7 + 3) % accounts + 1, n));
    let rows = ledger.store();
    let whole = audit_parts(&rows, usize::MAX >> 1).unwrap();
    let parts = audit_parts(&rows, 1).unwrap();
    assert!(parts.rows > whole.rows + 4_000, "it was read once more for every part: {} {}", parts.rows, whole.rows);
    assert_eq!(ShardAudit { rows: 0, ..parts }, ShardAudit { rows: 0, ..whole });
    let mut damaged = 0;
    for (key, value) in rows.table(keys::ACCOUNT).iter().step_by(500) {
        let mut account = Account::unpack(&mut Reader(value)).unwrap();
        account.credits_posted += 1;
        set_account(&rows, key, &account);
        damaged += 1;
    }
    let found = audit_parts(&rows, 1).unwrap().findings;
    assert_eq!(found.iter().filter(|f| f.kind == FindingKind::BalanceDiffers).count(), damaged);
}

#[test]
fn whoever_does_not_wait_any_more_ends_the_audit() {
    let rows = random_ledger(&mut StdRng::seed_from_u64(1), 50);
    let scan = Scan { rows: &rows, give_up: &|| true, counters: &Counters::default() };
    let ended = whole::audit(scan, 0, &SlotMap::even(&[0]).unwrap(), Timestamp::MAX, 1_000);
    assert!(matches!(ended, Err(Interrupted::Stopping)));
}

fn set_account(rows: &Memory, key: &[u8], account: &Account) {
    let mut value = Vec::new();
    account.pack(&mut value);
    rows.set(key, Some(value));
}

fn set_record(rows: &Memory, key: &[u8], record: &TransferRecord) {
    let mut value = Vec::new();
    record.pack(&mut value);
    rows.set(key, Some(value));
}

fn set_id(rows: &Memory, key: &[u8], entry: &IdEntry) {
    let mut value = Vec::new();
    entry.pack(&mut value);
    rows.set(key, Some(value));
}

fn set_snapshot(rows: &Memory, key: &[u8], row: &AccountBalance) {
    let mut value = Vec::new();
    row.pack(&mut value);
    rows.set(key, Some(value));
}

/// Changes one row of a table at random, so that it reads back still, and answers what was changed.
fn damage(rows: &Memory, random: &mut StdRng) -> Option<String> {
    let tables = [keys::ACCOUNT, keys::ACCOUNT_TIME, keys::TRANSFER_ID, keys::TRANSFER, keys::HISTORY, keys::EXPIRY];
    let table = tables[random.random_range(0..tables.len())];
    let all = rows.table(table);
    let (key, value) = all.get(random.random_range(0..all.len().max(1)))?;
    let mut reader = Reader(value);
    let delete = random.random_bool(0.3);
    let by = random.random_range(1..1_000);
    let what = match table {
        keys::TRANSFER_ID => {
            let mut entry = IdEntry::unpack(&mut reader)?;
            if entry.state == IdState::Failed {
                // What failed has left no other trace.
                return None;
            }
            match random.random_range(0..3) {
                0 => rows.set(key, None),
                1 => set_id(rows, key, &IdEntry { timestamp: entry.timestamp + 1, ..entry }),
                _ => {
                    let others = [IdState::Failed, IdState::Done, IdState::Pending, IdState::Posted, IdState::Expired];
                    let others: Vec<_> = others.into_iter().filter(|state| *state != entry.state).collect();
                    entry.state = others[random.random_range(0..others.len())];
                    set_id(rows, key, &entry);
                }
            }
            format!("id {:?}: {entry:?}", keys::transfer_id_of(key))
        }
        _ if delete => {
            rows.set(key, None);
            "deleted".to_owned()
        }
        keys::ACCOUNT => {
            let mut account = Account::unpack(&mut reader)?;
            let balances = [
                &mut account.debits_pending,
                &mut account.debits_posted,
                &mut account.credits_pending,
                &mut account.credits_posted,
            ];
            *balances.into_iter().nth(random.random_range(0..4))? += by;
            set_account(rows, key, &account);
            format!("{account:?}")
        }
        keys::TRANSFER => {
            let mut record = TransferRecord::unpack(&mut reader)?;
            let t = &mut record.transfer;
            match random.random_range(0..3) {
                0 => t.amount += by,
                1 => std::mem::swap(&mut t.debit_account_id, &mut t.credit_account_id),
                _ => t.credit_account_id = t.credit_account_id % ACCOUNTS + 1,
            }
            if record.transfer.amount == 0 {
                // Nothing moves, whoever is named.
                return None;
            }
            set_record(rows, key, &record);
            format!("{record:?}")
        }
        keys::HISTORY if value.is_empty() => {
            let (_, at) = keys::history_of(key)?;
            rows.set(key, None);
            rows.set(&keys::history(random.random_range(1..=ACCOUNTS), at + 1), Some(Vec::new()));
            "moved".to_owned()
        }
        keys::HISTORY => {
            let mut row = AccountBalance::unpack(&mut reader)?;
            row.debits_posted += by;
            set_snapshot(rows, key, &row);
            format!("{row:?}")
        }
        keys::EXPIRY => {
            let (at, id) = keys::expiry_of(key)?;
            rows.set(&keys::expiry(at + 1, id), Some(Vec::new()));
            "doubled".to_owned()
        }
        _ => {
            rows.set(key, Some(0u128.to_le_bytes().to_vec()));
            "of account 0".to_owned()
        }
    };
    Some(format!("{key:02x?}: {what}"))
}

#[test]
fn every_row_that_is_changed_is_found() {
    let mut changed = 0;
    for seed in seeds(40) {
        let random = &mut StdRng::seed_from_u64(seed);
        let well = random_ledger(random, 150);
        for _ in 0..50 {
            let rows = well.copy();
            let Some(what) = damage(&rows, random) else { continue };
            changed += 1;
            let repeat = "cargo test -p crest-node every_row_that_is_changed_is_found";
            assert!(!audit(&rows).is_empty(), "CREST_SEED={seed} {repeat}: nothing is found after {what}");
        }
    }
    assert!(changed > 20, "{changed}");
}

/// Accounts 1 (with a history), 2, and 3 (which cannot pay what it does not have); 3 is paid 100 and pays 40 of it.
fn three() -> (Memory, [Transfer; 3]) {
    let mut ledger = Ledger::new();
    ledger.account(1, AccountFlags::HISTORY);
    ledger.account(2, 0);
    ledger.account(3, AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS);
    ledger.pay(71, 1, 3, 100);
    ledger.pay(72, 3, 2, 40);
    ledger.pay(73, 1, 2, 7);
    let rows = ledger.store();
    assert_eq!(texts(&audit(&rows)), Vec::<String>::new());
    let at = |n: usize| TransferRecord::unpack(&mut Reader(&rows.table(keys::TRANSFER)[n].1)).unwrap().transfer;
    let transfers = [at(0), at(1), at(2)];
    (rows, transfers)
}

/// Changes a shard of three accounts, and expects these findings, in this order; `T1` to `T3` stand for the transfers.
#[track_caller]
fn check(change: impl Fn(&Memory, &[Transfer; 3]), expected: &[&str]) {
    let (rows, transfers) = three();
    change(&rows, &transfers);
    let mut found = texts(&audit(&rows));
    for (n, t) in transfers.iter().enumerate() {
        let whole = format!(
            "transfer {} at {} ns ({} from account {} to account {})",
            t.id, t.timestamp, t.amount, t.debit_account_id, t.credit_account_id
        );
        for text in &mut found {
            *text =
                text.replace(&whole, &format!("T{}", n + 1)).replace(&t.timestamp.to_string(), &format!("t{}", n + 1));
        }
    }
    assert_eq!(found, expected);
}

fn change_record(rows: &Memory, t: &Transfer, change: impl Fn(&mut Transfer)) {
    let key = keys::transfer(t.timestamp);
    let mut record = TransferRecord::unpack(&mut Reader(&rows.get(&key).unwrap().unwrap())).unwrap();
    change(&mut record.transfer);
    set_record(rows, &key, &record);
}

fn change_account(rows: &Memory, id: u128, change: impl Fn(&mut Account)) {
    let key = keys::account(id);
    let mut account = Account::unpack(&mut Reader(&rows.get(&key).unwrap().unwrap())).unwrap();
    change(&mut account);
    set_account(rows, &key, &account);
}

#[test]
fn a_changed_amount_is_named_by_the_history_and_by_both_accounts() {
    check(
        |rows, [_, _, t3]| change_record(rows, t3, |t| t.amount = 9),
        &[
            "shard 0: transfer 73 at t3 ns (9 from account 1 to account 2) moved debits_posted of account 1 by 7, as its \
             balance snapshots before and after it say, but by 9, as its record says: 2 too much",
            "shard 0: account 2: credits_posted is 47, but its transfers come to 49: 2 too little; account 1 differs by the \
             same amount; transfers between the two: 73 at t3 ns",
            "shard 0: account 1: debits_posted is 107, but its transfers come to 109: 2 too little; account 2 differs by the \
             same amount; transfers between the two: 73 at t3 ns; its last balance snapshot agrees with the account",
        ],
    );
}

#[test]
fn a_changed_balance_is_told_from_a_changed_record() {
    check(
        |rows, _| change_account(rows, 1, |a| a.debits_posted = 108),
        &[
            "shard 0: account 1: debits_posted is 108, but its transfers come to 107: 1 too much; its last balance snapshot \
           agrees with its transfers",
        ],
    );
}

#[test]
fn a_deleted_record_is_named_by_its_id() {
    check(
        |rows, [_, t2, _]| rows.set(&keys::transfer(t2.timestamp), None),
        &[
            "shard 0: the table of ids has transfer 72 at t2 ns, but no record is there",
            "shard 0: the history of account 3 has a transfer 72 at t2 ns, but no record there touches the account",
            "shard 0: the history of account 2 has a transfer 72 at t2 ns, but no record there touches the account",
            "shard 0: account 3: debits_posted is 40, but its transfers come to 0: 40 too much; account 2 differs by the \
             same amount",
            "shard 0: account 2: credits_posted is 47, but its transfers come to 7: 40 too much; account 3 differs by the \
             same amount",
            "shard 0: counts 3 transfers, and has 2",
        ],
    );
}

#[test]
fn a_removed_history_row_is_named_and_nothing_else() {
    check(
        |rows, [t1, _, _]| rows.set(&keys::history(1, t1.timestamp), None),
        &["shard 0: the history of account 1 lacks T1"],
    );
    check(
        |rows, [_, t2, _]| rows.set(&keys::history(2, t2.timestamp), None),
        &["shard 0: the history of account 2 lacks T2"],
    );
}

#[test]
fn a_changed_snapshot_is_named_and_nothing_else() {
    let snapshot = |rows: &Memory, t: &Transfer, debits_posted: u128| {
        let row = AccountBalance { debits_posted, timestamp: t.timestamp, ..AccountBalance::default() };
        set_snapshot(rows, &keys::history(1, t.timestamp), &row);
    };
    check(
        |rows, [t1, _, _]| snapshot(rows, t1, 101),
        &[
            "shard 0: the balance snapshot of account 1 after T1 has debits_posted 101, but 100 follows from its transfers: 1 \
           too much",
        ],
    );
    check(
        |rows, [_, _, t3]| snapshot(rows, t3, 101),
        &[
            "shard 0: the balance snapshot of account 1 after T3 has debits_posted 101, but 107 follows from its transfers: 6 \
           too little",
        ],
    );
}

#[test]
fn an_id_with_two_records_is_named_with_both_times() {
    let (rows, [t1, ..]) = three();
    let again = Transfer { timestamp: t1.timestamp + 1, ..t1 };
    let record = TransferRecord { transfer: again, sides: crest_ledger::records::Sides::BOTH };
    set_record(&rows, &keys::transfer(again.timestamp), &record);
    let found = audit(&rows);
    let twice: Vec<_> = found.iter().filter(|f| f.kind == FindingKind::TransferTwice).collect();
    let named = twice.iter().map(|f| (f.transfer_id, f.timestamp, f.other_timestamp)).collect::<Vec<_>>();
    assert_eq!(named, [(71, t1.timestamp, again.timestamp)], "{:#?}", texts(&found));
    let others = [FindingKind::RecordDiffers, FindingKind::SnapshotDiffers];
    assert!(!found.iter().any(|f| others.contains(&f.kind)), "the snapshots are right: {:#?}", texts(&found));
}

#[test]
fn a_limit_that_was_exceeded_names_the_transfer() {
    check(
        |rows, _| change_account(rows, 1, |a| a.flags.0 |= AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS),
        &["shard 0: T1 brought the debits of account 1 to 100, above its limit of 0: 100 too much"],
    );
}

#[test]
fn what_the_table_of_ids_says_is_compared_with_the_records() {
    let set = |rows: &Memory, id: u128, timestamp: Timestamp, state: IdState| {
        set_id(rows, &keys::transfer_id(id), &IdEntry { timestamp, state });
    };
    check(|rows, _| rows.set(&keys::transfer_id(72), None), &["shard 0: T2 is recorded, but not in the table of ids"]);
    check(
        |rows, [_, t2, _]| set(rows, 72, t2.timestamp, IdState::Failed),
        &["shard 0: T2 is failed in the table of ids, but done by the records"],
    );
    check(
        |rows, [t1, _, _]| set(rows, 72, t1.timestamp, IdState::Done),
        &[
            "shard 0: T2 is recorded, but not in the table of ids",
            "shard 0: the table of ids has transfer 72 at t1 ns, but the record there is of transfer 71",
        ],
    );
}
#[test]
fn times_and_accounts_are_compared_with_their_tables() {
    let created = |rows: &Memory| rows.table(keys::ACCOUNT_TIME)[1].0.clone();
    let (rows, _) = three();
    let at = keys::timestamp_of(&created(&rows)).unwrap();
    check(
        |rows, _| rows.set(&created(rows), None),
        &[&format!("shard 0: account 2, created at {at} ns, is not in the table of accounts by time")],
    );
    check(
        |rows, [t1, _, _]| rows.set(&keys::expiry(9, 71), Some(t1.id.to_le_bytes()[..0].to_vec())),
        &["shard 0: the table of timeouts has transfer 71 at 9 ns, but no such reservation is pending"],
    );
}

#[test]
fn a_row_that_does_not_read_back_is_named_by_its_key() {
    let (rows, [t1, ..]) = three();
    rows.set(&keys::transfer(t1.timestamp), Some(vec![1, 2, 3]));
    let found = texts(&audit(&rows));
    let key = format!("shard 0: the record with the key 05{:016x} does not read back", t1.timestamp);
    assert_eq!(found.first(), Some(&key));
}

/// A pending transfer with a timeout, and one that was posted.
fn pending() -> Memory {
    let mut ledger = Ledger::new();
    ledger.account(1, 0);
    ledger.account(2, 0);
    let pending = Transfer { amount: 10, flags: TransferFlags(TransferFlags::PENDING), timeout: 60, ..plain() };
    for id in [81, 82] {
        let t = Transfer { id, debit_account_id: 1, credit_account_id: 2, ..pending };
        ledger.apply(Command::Create(vec![Step::local(t)]));
    }
    let flags = TransferFlags(TransferFlags::POST_PENDING);
    let post = Transfer { id: 83, pending_id: 81, amount: 6, flags, ..Transfer::default() };
    ledger.apply(Command::Create(vec![Step::local(post)]));
    ledger.store()
}

#[test]
fn reservations_are_compared_with_what_became_of_them() {
    let well = pending();
    assert_eq!(texts(&audit(&well)), Vec::<String>::new());
    let records: Vec<Transfer> = well
        .table(keys::TRANSFER)
        .iter()
        .map(|(_, value)| TransferRecord::unpack(&mut Reader(value)).unwrap().transfer)
        .collect();
    let state = |rows: &Memory, t: &Transfer, state: IdState| {
        set_id(rows, &keys::transfer_id(t.id), &IdEntry { timestamp: t.timestamp, state });
    };
    type Change<'a> = Box<dyn Fn(&Memory) + 'a>;
    let cases: Vec<(Change<'_>, &str)> = vec![
        (
            Box::new(|rows| state(rows, &records[0], IdState::Voided)),
            "is voided in the table of ids, but posted by the",
        ),
        (
            Box::new(|rows| state(rows, &records[0], IdState::Pending)),
            "is pending in the table of ids, but posted by the",
        ),
        (
            Box::new(|rows| state(rows, &records[1], IdState::Posted)),
            "is posted in the table of ids, but pending by the",
        ),
        (
            Box::new(|rows| rows.set(&rows.table(keys::EXPIRY)[0].0, None)),
            "transfer 82 at {} ns (10 from account 1 to account 2) is pending and expires at",
        ),
        (
            Box::new(|rows| change_record(rows, &records[2], |t| t.amount = 11)),
            "(11 from account 1 to account 2) has amount 11, but transfer 81, which it resolves, has 10",
        ),
        (
            Box::new(|rows| change_record(rows, &records[2], |t| t.pending_id = 82)),
            "is pending in the table of ids, but posted by the",
        ),
        (
            Box::new(|rows| change_record(rows, &records[2], |t| t.pending_id = 84)),
            "(6 from account 1 to account 2) resolves transfer 84, which is not there",
        ),
        (
            Box::new(|rows| change_record(rows, &records[0], |t| t.amount = 5)),
            "(6 from account 1 to account 2) has amount 6, but transfer 81, which it resolves, has 5",
        ),
    ];
    for (change, expected) in cases {
        let rows = well.copy();
        change(&rows);
        let found = texts(&audit(&rows));
        let expected = expected.replace("{}", &records[1].timestamp.to_string());
        assert!(found.iter().any(|text| text.contains(&expected)), "{expected}: {found:#?}");
    }
}
