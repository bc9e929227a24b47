//! `crest audit` on real processes: a ledger that is well holds while payments flow, and whatever is changed in the files of
//! a shard by hand is found, with account, shard, transfer and amounts.

mod payments;
mod processes;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crest_conformance::random::Random;
use crest_ledger::packed::Reader;
use crest_ledger::records::{IdEntry, IdState, Sides, TransferRecord};
use crest_ledger::{Account, AccountFlags, Transfer};
use crest_node::store::keys;
use crest_node::store::rocks::Rocks;
use crest_node::store::rows::{Rows, Storage};
use crest_proto::border::{ids_to, number_to, transfer_from};
use crest_proto::v1;
use crest_topology::SlotMap;
use payments::{Bank, Client, Load};
use processes::{Ended, Server, folder, is_quiet, run, status_until};

const SHARDS: u32 = 3;
/// Account 1 has a history, 3 cannot pay what it does not have; 1 and 2 are on shard 0, 3 on shard 1, 4 on shard 2.
const ACCOUNTS: usize = 4;
/// Transfers of 1 from account 2 to account 1, so that shard 0 has more than one block of them.
const MANY: u128 = 3_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// A ledger whose shards are changed by hand while it is stopped.
struct Fixture {
    data: tempfile::TempDir,
    accounts: [u128; ACCOUNTS],
    /// 71: 100 from 1 to 3. 72: 40 from 3 to 4. 73: 7 from 1 to 2. 74: 5 from 1 to 2, pending, with a timeout. 75: 11 from
    /// 4 to 1.
    transfers: Vec<Transfer>,
}

impl Fixture {
    async fn new() -> Self {
        let map = SlotMap::even(&[0, 1, 2]).expect("three shards make a map");
        let on = |shard: u32, nth: usize| (1_001u128..).filter(|id| map.shard_of(*id) == shard).nth(nth);
        let accounts = [on(0, 0), on(0, 1), on(1, 0), on(2, 0)].map(|id| id.expect("every shard has ids"));
        let [one, two, three, four] = accounts;
        let data = folder();
        let server = Server::dev(SHARDS, data.path());
        let mut ledger = server.ledger();
        let flags = |id: u128| v1::AccountFlags {
            history: id == one,
            debits_must_not_exceed_credits: id == three,
            ..Default::default()
        };
        let account = |id: u128| v1::Account {
            id: number_to(id),
            ledger: 1,
            code: 1,
            flags: Some(flags(id)),
            ..Default::default()
        };
        let request = v1::CreateAccountsRequest { accounts: accounts.map(account).to_vec() };
        ledger.create_accounts(request).await.expect("accounts");
        let pay = |id: u128, from: u128, to: u128, amount: u128| v1::Transfer {
            id: number_to(id),
            debit_account_id: number_to(from),
            credit_account_id: number_to(to),
            amount: number_to(amount),
            ledger: 1,
            code: 1,
            ..Default::default()
        };
        let pending = Some(v1::TransferFlags { pending: true, ..Default::default() });
        let mut transfers = vec![
            pay(71, one, three, 100),
            pay(72, three, four, 40),
            pay(73, one, two, 7),
            v1::Transfer { flags: pending, timeout: 3_600, ..pay(74, one, two, 5) },
            pay(75, four, one, 11),
        ];
        transfers.extend((0..MANY).map(|n| pay(1_000 + n, two, one, 1)));
        let request = v1::CreateTransfersRequest { transfers, independent: false };
        let results = ledger.create_transfers(request).await.expect("transfers").into_inner().results;
        assert!(results.iter().all(|r| r.status() == v1::CreateTransferStatus::Created));
        status_until(&mut server.operations(), PATIENCE, "nothing is left in doubt", is_quiet).await;
        let request = v1::LookupTransfersRequest { ids: ids_to(&[71, 72, 73, 74, 75]) };
        let found = ledger.lookup_transfers(request).await.expect("a lookup").into_inner().transfers;
        let transfers = found.into_iter().map(|t| transfer_from(t).expect("a transfer")).collect();
        let fixture = Self { data, accounts, transfers };
        let held = audit(&server, &[]);
        assert_eq!((held.code, held.stderr.as_str()), (Some(0), ""), "{held:?}");
        assert!(held.stdout.starts_with("HOLDS"), "{held:?}");
        server.stop();
        fixture
    }

    fn transfer(&self, id: u128) -> Transfer {
        *self.transfers.iter().find(|t| t.id == id).expect("a transfer of the fixture")
    }

    fn folder(&self, shard: u32) -> PathBuf {
        self.data.path().join(format!("shard-{shard}"))
    }

    /// Opens the store of a shard whose process is stopped.
    fn open(&self, shard: u32) -> Opened {
        let folder = self.folder(shard);
        let rows = Rocks::open(&folder.join("store"), &folder).expect("nobody else has it open");
        Opened { rows, before: Vec::new() }
    }
}

/// The store of a shard, and what was in the rows that were changed.
struct Opened {
    rows: Arc<Rocks>,
    before: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Opened {
    fn get(&self, key: &[u8]) -> Vec<u8> {
        self.rows.get(key).expect("it can be read").expect("the row is there")
    }

    /// Writes or removes a row.
    fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.before.push((key.clone(), self.rows.get(&key).expect("it can be read")));
        self.write(&key, value.as_deref());
    }

    fn write(&self, key: &[u8], value: Option<&[u8]>) {
        let mut file = self.rows.sorted_file().expect("a file");
        file.put(key, value).expect("a row");
        file.ingest().expect("it is ingested");
    }

    fn record(&mut self, t: &Transfer, change: impl Fn(&mut Transfer)) {
        let key = keys::transfer(t.timestamp);
        let mut record = TransferRecord::unpack(&mut Reader(&self.get(&key))).expect("a record");
        change(&mut record.transfer);
        self.put_record(&record);
    }

    fn put_record(&mut self, record: &TransferRecord) {
        let mut value = Vec::new();
        record.pack(&mut value);
        self.set(keys::transfer(record.transfer.timestamp), Some(value));
    }

    fn account(&mut self, id: u128, change: impl Fn(&mut Account)) {
        let mut account = Account::unpack(&mut Reader(&self.get(&keys::account(id)))).expect("an account");
        change(&mut account);
        self.put_account(&account);
    }

    fn put_account(&mut self, account: &Account) {
        let mut value = Vec::new();
        account.pack(&mut value);
        self.set(keys::account(account.id), Some(value));
    }

    fn id(&mut self, id: u128, entry: IdEntry) {
        let mut value = Vec::new();
        entry.pack(&mut value);
        self.set(keys::transfer_id(id), Some(value));
    }

    /// Puts everything back as it was.
    fn undo(mut self) {
        for (key, value) in std::mem::take(&mut self.before).into_iter().rev() {
            self.write(&key, value.as_deref());
        }
    }
}

/// Runs the real `crest audit`.
fn audit(server: &Server, more: &[&str]) -> Ended {
    let router = format!("http://{}", server.address);
    run(&[&["audit", "--router", &router], more].concat(), PATIENCE)
}

/// A change by hand, and what the audit has to say of it.
struct Case {
    what: &'static str,
    shard: u32,
    change: fn(&mut Opened, &Fixture),
    /// `{1}` to `{4}` stand for the accounts, `{t71}` to `{t75}` for the times of the transfers, as the audit prints them.
    findings: &'static [&'static str],
}

const CASES: &[Case] = &[
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
    },
    Case {
        what: "a changed balance",
        shard: 2,
        change: |shard, fixture| shard.account(fixture.accounts[3], |account| account.credits_posted += 1_000),
        findings: &[
            "shard 2: account {4}: credits_posted is 1040, but its transfers come to 40: 1000 too much",
            "ledger 1: 3158 was debited, but 4158 credited: 1000 too little",
        ],
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
    },
    Case {
        what: "a removed history row",
        shard: 0,
        change: |shard, fixture| shard.set(keys::history(fixture.accounts[0], fixture.transfer(73).timestamp), None),
        findings: &[
            "shard 0: the history of account {1} lacks transfer 73 at {t73} (7 from account {1} to account {2})",
        ],
    },
    Case {
        what: "a removed id",
        shard: 1,
        change: |shard, _| shard.set(keys::transfer_id(72), None),
        findings: &[
            "shard 1: transfer 72 at {t72} (40 from account {3} to account {4}) is recorded, but not in the table of ids",
        ],
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
    },
    Case {
        what: "an account on two shards",
        shard: 1,
        change: |shard, fixture| {
            let twin = Account { id: fixture.accounts[3], ledger: 1, code: 1, timestamp: 5, ..Account::default() };
            shard.put_account(&twin);
        },
        findings: &["shard 1: has account {4}, which belongs to shard 2, where it is too"],
    },
    Case {
        what: "a row that does not read back",
        shard: 2,
        change: |shard, fixture| shard.set(keys::account(fixture.accounts[3]), Some(vec![1, 2, 3])),
        findings: &[
            "shard 2: the account with the key 02",
            "shard 2: transfer 72 at {t72} (40 from account {3} to account {4}) touches account {4}, which is not there",
        ],
    },
];

impl Fixture {
    /// A text with accounts and times in the place of what stands for them.
    fn fill(&self, text: &str) -> String {
        let time =
            |at: u64| humantime::format_rfc3339_nanos(std::time::UNIX_EPOCH + Duration::from_nanos(at)).to_string();
        let mut text = text.to_owned();
        for (n, account) in self.accounts.iter().enumerate() {
            text = text.replace(&format!("{{{}}}", n + 1), &account.to_string());
        }
        for t in &self.transfers {
            text = text.replace(&format!("{{t{}}}", t.id), &time(t.timestamp));
            text = text.replace(&format!("{{t{}+1}}", t.id), &time(t.timestamp + 1));
            text = text.replace(&format!("{{t{}+3600s}}", t.id), &time(t.timestamp + 3_600_000_000_000));
        }
        text
    }

    /// Changes a shard, audits, and changes it back.
    fn check(&self, case: &Case) {
        let mut shard = self.open(case.shard);
        (case.change)(&mut shard, self);
        let before = std::mem::take(&mut shard.before);
        drop(shard);
        let server = Server::dev(SHARDS, self.data.path());
        let found = audit(&server, &[]);
        let as_json = audit(&server, &["--json"]);
        server.stop();
        Opened { before, ..self.open(case.shard) }.undo();
        let what = case.what;
        assert_eq!(found.code, Some(1), "{what}: {found:?}");
        assert!(found.stdout.starts_with("DOES NOT HOLD"), "{what}: {}", found.stdout);
        assert!(found.stderr.starts_with("crest: the audit does not hold; findings: "), "{what}: {}", found.stderr);
        for finding in case.findings {
            let finding = self.fill(finding);
            assert!(found.stdout.contains(&finding), "{what}: '{finding}' is not in:\n{}", found.stdout);
        }
        let json: serde_json::Value = serde_json::from_str(&as_json.stdout).expect("one document");
        let listed = found.stdout.lines().filter(|line| line.starts_with("  - ")).count();
        assert_eq!((as_json.code, json["holds"].as_bool()), (Some(1), Some(false)), "{what}");
        assert_eq!(json["findings"].as_array().map(Vec::len), Some(listed), "{what}: {json:#}");
        println!("{what}:\n{}", found.stdout);
    }

    /// Flips one byte in the middle of the largest file of a shard's store.
    fn flip_a_byte(&self, shard: u32) -> String {
        let files = std::fs::read_dir(self.folder(shard).join("store")).expect("a folder");
        let files = files.map(|file| file.expect("a file").path());
        let size = |path: &Path| std::fs::metadata(path).expect("a file").len();
        let largest = files.filter(|path| path.extension().is_some_and(|e| e == "sst")).max_by_key(|path| size(path));
        let largest = largest.expect("the store has a file");
        let mut bytes = std::fs::read(&largest).expect("it can be read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        std::fs::write(&largest, bytes).expect("it can be written");
        largest.file_name().expect("a name").to_string_lossy().into_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_changed_by_hand_is_found_and_named() {
    let fixture = Fixture::new().await;
    for case in CASES {
        fixture.check(case);
    }
    let server = Server::dev(SHARDS, fixture.data.path());
    let held = audit(&server, &[]);
    assert_eq!(held.code, Some(0), "all is as it was: {held:?}");
    server.stop();

    let file = fixture.flip_a_byte(0);
    let server = Server::dev(SHARDS, fixture.data.path());
    let found = audit(&server, &[]);
    assert_eq!(found.code, Some(1), "{found:?}");
    for words in ["shard 0: cannot be read, and was not audited: ", "checksum", &file] {
        assert!(found.stdout.contains(words), "'{words}' is not in:\n{}", found.stdout);
    }
    assert_eq!(found.stdout.matches("\n  - ").count(), 1, "the damage is the only finding:\n{}", found.stdout);
    println!("a flipped byte:\n{}", found.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_that_cannot_be_made_is_told_from_one_that_does_not_hold() {
    let data = folder();
    let server = Server::dev(1, data.path());
    let late = audit(&server, &["--request-timeout", "1ms"]);
    assert_eq!((late.code, late.stdout.as_str()), (Some(3), ""), "{late:?}");
    let router = format!("http://{}", server.address);
    server.stop();
    let gone = run(&["audit", "--router", &router], PATIENCE);
    assert_eq!((gone.code, gone.stdout.as_str()), (Some(3), ""), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn audits_hold_while_payments_flow() {
    let mut random = Random::new(7);
    let data = folder();
    let bank = Arc::new(Bank::new(SHARDS, &mut random));
    let server = Server::dev(SHARDS, data.path());
    bank.open(&mut server.ledger()).await;
    let clients = (0..8).map(|_| Client::new(random.number(), bank.clone())).collect();
    let load = Load::start(clients, &[server.ledger()]);
    let mut last = 0;
    for n in 0..6 {
        load.answers(300).await;
        // Two at a time: each has its own numbers.
        let (mut one, mut other) = (server.operations(), server.operations());
        let (one, other) = tokio::join!(one.audit(v1::AuditRequest {}), other.audit(v1::AuditRequest {}));
        for audit in [one, other] {
            let audit = audit.expect("an audit").into_inner();
            assert!(audit.holds, "audit {n}: {:#?}", audit.findings);
            assert!(audit.transfers > last, "audit {n} is of a later instant: {} {last}", audit.transfers);
        }
        last += 100;
    }
    load.stop().await;
    server.stop();
}

/// Imports a transfer at a time between shards, as fast as answers come, until `until`.
async fn import(server: &Server, accounts: [u128; 2], first: u64, until: Instant) -> u64 {
    let mut ledger = server.ledger();
    let imported = Some(v1::TransferFlags { imported: true, ..Default::default() });
    let mut created = 0;
    while Instant::now() < until {
        let n = first + created;
        let transfer = v1::Transfer {
            id: number_to(1_000_000 + u128::from(n)),
            debit_account_id: number_to(accounts[0]),
            credit_account_id: number_to(accounts[1]),
            amount: number_to(1),
            ledger: 1,
            code: 1,
            flags: imported,
            // In the year 2001, a microsecond each.
            timestamp: 1_000_000_000_000_000_000 + n * 1_000,
            ..Default::default()
        };
        let request = v1::CreateTransfersRequest { transfers: vec![transfer], independent: false };
        let results = ledger.create_transfers(request).await.expect("an import").into_inner().results;
        assert_eq!(results[0].status(), v1::CreateTransferStatus::Created);
        created += 1;
    }
    created
}

/// Imported transfers are dated back to before an audit that is under way. It may see one half of one: then it looks again,
/// and says that it could not be made when there is no end to it; but it never says that money is lost.
#[tokio::test(flavor = "multi_thread")]
async fn imports_raise_no_false_alarm() {
    let map = SlotMap::even(&[0, 1, 2]).expect("three shards make a map");
    let on = |shard: u32| (1u128..).find(|id| map.shard_of(*id) == shard).expect("every shard has ids");
    let accounts = [on(0), on(1)];
    let data = folder();
    let server = Server::dev(SHARDS, data.path());
    let account = |(n, id): (usize, u128)| v1::Account {
        id: number_to(id),
        ledger: 1,
        code: 1,
        flags: Some(v1::AccountFlags { imported: true, ..Default::default() }),
        timestamp: 999_999_999_000_000_000 + n as u64,
        ..Default::default()
    };
    let request = v1::CreateAccountsRequest { accounts: accounts.into_iter().enumerate().map(account).collect() };
    let results = server.ledger().create_accounts(request).await.expect("accounts").into_inner().results;
    assert!(results.iter().all(|r| r.status() == v1::CreateAccountStatus::Created), "{results:?}");
    let until = Instant::now() + Duration::from_secs(4);
    let audits = async {
        let (mut made, mut not_made) = (0, 0);
        while Instant::now() < until {
            match server.operations().audit(v1::AuditRequest {}).await {
                Ok(audit) => {
                    let audit = audit.into_inner();
                    assert!(audit.holds, "{:#?}", audit.findings);
                    made += 1;
                }
                Err(status) => {
                    assert!(status.message().contains("imported all the while"), "{status:?}");
                    not_made += 1;
                }
            }
        }
        (made, not_made)
    };
    let (imported, (made, not_made)) = tokio::join!(import(&server, accounts, 0, until), audits);
    println!("{imported} imports, {made} audits, {not_made} could not be made");
    let audit = server.operations().audit(v1::AuditRequest {}).await.expect("an audit").into_inner();
    assert!(audit.holds && audit.transfers == imported && imported > 50, "{imported}: {audit:#?}");
    assert!(made > 0, "no audit came to an end in {not_made} tries");
    server.stop();
}
