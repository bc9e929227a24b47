//! What belongs to rehearsals is counted: through checkpoints, by the audit, and in folders of builds that did not count it.

use std::sync::Arc;

use crest_ledger::rehearsal::REHEARSAL_LEDGER_MIN as FIRST;

use super::*;
use crate::store::rehearsals::{self, Counts};
use crate::store::{Identity, Store};

/// Three accounts of real money and three of a rehearsal; on each ledger number a payment, a chain that fails, and two pending
/// transfers, of which one expires.
fn both() -> Memory {
    let mut ledger = Ledger::new();
    for (first, number) in [(1, FIRST - 1), (11, FIRST)] {
        let account = |id| Step::account(Account { id, ledger: number, code: 1, ..Account::default() });
        ledger.apply(Command::Create((first..first + 3).map(account).collect()));
        let pay =
            Transfer { debit_account_id: first, credit_account_id: first + 1, amount: 5, ledger: number, ..plain() };
        let flags = |flags, id, timeout| Transfer { id: first * 100 + id, flags: TransferFlags(flags), timeout, ..pay };
        let nobody = Transfer { credit_account_id: 999, ..flags(0, 2, 0) };
        let chain = vec![Step::local(flags(TransferFlags::LINKED, 1, 0)), Step::local(nobody)];
        ledger.apply(Command::Create(chain));
        for t in [flags(0, 3, 0), flags(TransferFlags::PENDING, 4, 1), flags(TransferFlags::PENDING, 5, 0)] {
            ledger.apply(Command::Create(vec![Step::local(t)]));
        }
    }
    ledger.later();
    ledger.expire();
    ledger.store()
}

const COUNTS: Counts = Counts { accounts: 3, transfers: 3 };

/// What a store that is opened on these rows counts.
fn opened(rows: &Memory) -> Counts {
    let identity = Identity { cluster: "test".to_owned(), shard: 0, shards: 1 };
    let (_, tables, _) = Store::open(Arc::new(rows.copy()), &identity).unwrap();
    let scalars = tables.scalars();
    assert_eq!((scalars.accounts, scalars.transfers), (6, 6));
    Counts { accounts: scalars.rehearsal_accounts, transfers: scalars.rehearsal_transfers }
}

#[test]
fn rehearsals_are_counted_while_they_happen_and_the_audit_counts_the_same() {
    let rows = both();
    assert_eq!(
        rehearsals::stored(&rows, 1).unwrap(),
        Some(COUNTS),
        "a chain that fails and an expiry count for nothing"
    );
    assert_eq!(opened(&rows), COUNTS);
    assert_eq!(texts(&audit(&rows)), Vec::<String>::new());
}

#[test]
fn a_folder_that_says_nothing_of_this_position_is_counted_when_it_is_opened() {
    let key = keys::meta("rehearsals");
    let entry = |applied: u64| [applied.to_le_bytes(), 70u64.to_le_bytes(), 80u64.to_le_bytes()].concat();
    for value in [None, Some(entry(0)), Some(entry(2)), Some(vec![1, 2, 3]), Some([entry(1), vec![0]].concat())] {
        let rows = both();
        rows.set(&key, value.clone());
        assert_eq!(opened(&rows), COUNTS, "{value:?}");
        assert_eq!(texts(&audit(&rows)), Vec::<String>::new(), "nothing is said of this position: {value:?}");
    }
    let rows = both();
    rows.set(&key, Some(entry(1)));
    assert_eq!(
        opened(&rows),
        Counts { accounts: 70, transfers: 80 },
        "what the last checkpoint says is not counted again"
    );
    let found = texts(&audit(&rows));
    let expected =
        ["shard 0: counts 70 rehearsal_accounts, and has 3", "shard 0: counts 80 rehearsal_transfers, and has 3"];
    assert_eq!(found, expected);
}

#[test]
fn more_than_one_chunk_is_counted_to_its_end() {
    let mut ledger = Ledger::new();
    let account = |id| Account { id, ledger: if id % 3 == 0 { FIRST } else { 1 }, code: 1, ..Account::default() };
    let accounts = 20_000;
    ledger.apply(Command::Create((1..=accounts).map(|id| Step::account(account(id))).collect()));
    let rows = ledger.store();
    let counted = rehearsals::count(&rows).unwrap();
    assert_eq!(counted, Counts { accounts: (accounts / 3) as u64, transfers: 0 });
}
