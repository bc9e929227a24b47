//! What is changed by hand, and what the audit has to say of it.

use crest_ledger::records::{IdEntry, IdState, Sides, TransferRecord};
use crest_ledger::{Account, AccountFlags, Transfer};
use crest_node::store::keys;

use super::hand::Opened;
use super::ledger::Fixture;

/// A change by hand, and what the audit has to say of it.
pub(crate) struct Case {
    pub(crate) what: &'static str,
    pub(crate) shard: usize,
    pub(crate) change: fn(&mut Opened, &Fixture),
    /// `{1}` to `{4}` stand for the accounts, `{t71}` to `{t75}` for the times of the transfers, as the audit prints them.
    pub(crate) findings: &'static [&'static str],
    /// What one finding of `--json` has at least; `{n71}` to `{n75}` stand for the times, ns.
    pub(crate) data: &'static str,
}

pub(crate) const CASES: &[Case] = &[
    Case {
        what: "a changed amount in the payer's half",
        shard: 0,
        change: |shard, fixture| shard.record(&fixture.transfer(71), |t| t.amount = 105),
        findings: &[
            "shard 0: transfer 71 at {t71} (105 from account {1} to account {3}) has another amount here than on shard 1: 105 \
             here, 100 there, 5 more here",
            "shard 0: transfer 71 at {t71} (105 from account {1} to account {3}) moved debits_posted of account {1} by 100, as \
             its balance snapshots before and after it say, but by 105, as its record says: 5 too much",
            "shard 0: account {1}: debits_posted is 107, but its transfers come to 112: 5 too little; its last balance \
             snapshot agrees with the account",
        ],
        data: r#"{"kind": "halves_differ", "shard": 0, "other_shard": 1, "transfer_id": "71", "timestamp": "{n71}", "amount": "105", "debit_account_id": "{1}", "credit_account_id": "{3}", "field": "amount", "stored": "105", "expected": "100"}"#,
    },
    Case {
        what: "a changed amount in the payee's half",
        shard: 2,
        change: |shard, fixture| shard.record(&fixture.transfer(72), |t| t.amount = 39),
        findings: &[
            "shard 1: transfer 72 at {t72} (40 from account {3} to account {4}) has another amount here than on shard 2: 40 \
             here, 39 there, 1 more here",
            "shard 2: account {4}: credits_posted is 40, but its transfers come to 39: 1 too much",
        ],
        data: r#"{"kind": "balance_differs", "shard": 2, "account_id": "{4}", "field": "credits_posted", "stored": "40", "expected": "39"}"#,
    },
    Case {
        what: "a deleted half",
        shard: 1,
        change: |shard, fixture| shard.set(keys::transfer(fixture.transfer(71).timestamp), None),
        findings: &[
            "shard 0: transfer 71 at {t71} (100 from account {1} to account {3}) is recorded here, but missing on shard 1, \
             where account {3} lives",
            "shard 1: the table of ids has transfer 71 at {t71}, but no record is there",
            "shard 1: the history of account {3} has a transfer 71 at {t71}, but no record there touches the account",
            "shard 1: account {3}: credits_posted is 100, but its transfers come to 0: 100 too much",
            "shard 1: counts 2 transfers, and has 1",
        ],
        data: r#"{"kind": "half_missing", "shard": 0, "other_shard": 1, "account_id": "{3}", "transfer_id": "71", "amount": "100", "timestamp": "{n71}", "debit_account_id": "{1}", "credit_account_id": "{3}"}"#,
    },
    Case {
        what: "another payee in a half",
        shard: 0,
        change: |shard, fixture| {
            let four = fixture.accounts[3];
            shard.record(&fixture.transfer(71), |t| t.credit_account_id = four);
        },
        findings: &[
            "shard 0: transfer 71 at {t71} (100 from account {1} to account {4}) has another credit_account_id here than on \
             shard 1: {4} here, {3} there",
        ],
        data: "{}",
    },
    Case {
        what: "a changed balance",
        shard: 2,
        change: |shard, fixture| shard.account(fixture.accounts[3], |account| account.credits_posted += 1_000),
        findings: &[
            "shard 2: account {4}: credits_posted is 1040, but its transfers come to 40: 1000 too much",
            "ledger 1: 3158 was debited, but 4158 credited: 1000 too little",
        ],
        data: r#"{"kind": "balance_differs", "shard": 2, "account_id": "{4}", "field": "credits_posted", "stored": "1040", "expected": "40"}"#,
    },
    Case {
        what: "an id that is recorded twice",
        shard: 0,
        change: |shard, fixture| {
            let first = fixture.transfer(73);
            let again = Transfer { timestamp: first.timestamp + 1, ..first };
            shard.put_record(&TransferRecord { transfer: again, sides: Sides::BOTH });
        },
        findings: &[
            "shard 0: transfer 73 at {t73} (7 from account {1} to account {2}) is recorded a second time, at {t73+1}",
            "shard 0: account {1}: debits_posted is 107, but its transfers come to 114: 7 too little; account {2} differs by \
             the same amount; transfers between the two: 73 at {t73}, 73 at {t73+1}",
        ],
        data: "{}",
    },
    Case {
        what: "an id that is recorded twice, on different shards and with different amounts",
        shard: 2,
        change: |shard, fixture| {
            let [_, _, three, four] = fixture.accounts;
            let other =
                Transfer { debit_account_id: four, credit_account_id: three, amount: 9, ..fixture.transfer(71) };
            shard.put_record(&TransferRecord { transfer: other, sides: Sides::DEBIT });
        },
        findings: &[
            "shard 2: transfer 71 at {t71} (9 from account {4} to account {3}) has another debit_account_id here than on shard \
             1: {4} here, {1} there",
            "shard 2: transfer 71 at {t71} (9 from account {4} to account {3}) has another amount here than on shard 1: 9 here, \
             100 there, 91 less here",
            "shard 2: transfer 71 at {t71} (9 from account {4} to account {3}) is recorded, but not in the table of ids",
        ],
        data: "{}",
    },
    Case {
        what: "a limit that an account had broken",
        shard: 0,
        change: |shard, fixture| {
            let limit = AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS;
            shard.account(fixture.accounts[0], |account| account.flags.0 |= limit);
        },
        findings: &[
            "shard 0: transfer 71 at {t71} (100 from account {1} to account {3}) brought the debits of account {1} to 100, above \
             its limit of 0: 100 too much",
        ],
        data: "{}",
    },
    Case {
        what: "a removed history row",
        shard: 0,
        change: |shard, fixture| shard.set(keys::history(fixture.accounts[0], fixture.transfer(73).timestamp), None),
        findings: &[
            "shard 0: the history of account {1} lacks transfer 73 at {t73} (7 from account {1} to account {2})",
        ],
        data: r#"{"kind": "history_missing", "shard": 0, "account_id": "{1}", "transfer_id": "73", "timestamp": "{n73}", "amount": "7"}"#,
    },
    Case {
        what: "a removed id",
        shard: 1,
        change: |shard, _| shard.set(keys::transfer_id(72), None),
        findings: &[
            "shard 1: transfer 72 at {t72} (40 from account {3} to account {4}) is recorded, but not in the table of ids",
        ],
        data: "{}",
    },
    Case {
        what: "an id that leads to another transfer",
        shard: 0,
        change: |shard, fixture| {
            let timestamp = fixture.transfer(73).timestamp;
            shard.id(71, IdEntry { timestamp, state: IdState::Done });
        },
        findings: &[
            "shard 0: the table of ids has transfer 71 at {t73}, but the record there is of transfer 73",
            "shard 0: transfer 71 at {t71} (100 from account {1} to account {3}) is recorded, but not in the table of ids",
        ],
        data: "{}",
    },
    Case {
        what: "a reservation that is said to be posted",
        shard: 0,
        change: |shard, fixture| {
            let timestamp = fixture.transfer(74).timestamp;
            shard.id(74, IdEntry { timestamp, state: IdState::Posted });
        },
        findings: &[
            "shard 0: transfer 74 at {t74} (5 from account {1} to account {2}) is posted in the table of ids, but pending by \
             the records",
        ],
        data: "{}",
    },
    Case {
        what: "a timeout that would never come",
        shard: 0,
        change: |shard, fixture| {
            let pending = fixture.transfer(74);
            shard.set(keys::expiry(pending.expires_at().expect("it has a timeout"), 74), None);
        },
        findings: &[
            "shard 0: transfer 74 at {t74} (5 from account {1} to account {2}) is pending and expires at {t74+3600s}, but is not \
             in the table of timeouts",
        ],
        data: "{}",
    },
    Case {
        what: "an account on two shards",
        shard: 1,
        change: |shard, fixture| {
            let twin = Account { id: fixture.accounts[3], ledger: 1, code: 1, timestamp: 5, ..Account::default() };
            shard.put_account(&twin);
        },
        findings: &["shard 1: has account {4}, which belongs to shard 2, where it is too"],
        data: r#"{"kind": "account_misplaced", "shard": 1, "other_shard": 2, "account_id": "{4}"}"#,
    },
    Case {
        what: "a row that does not read back",
        shard: 2,
        change: |shard, fixture| shard.set(keys::account(fixture.accounts[3]), Some(vec![1, 2, 3])),
        findings: &[
            "shard 2: the account with the key 02",
            "shard 2: transfer 72 at {t72} (40 from account {3} to account {4}) touches account {4}, which is not there",
        ],
        data: "{}",
    },
];
