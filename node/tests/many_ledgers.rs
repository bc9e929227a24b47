//! A shard with more ledger numbers than fit a message gives its sums in pages: of an audit, and of a backup. Clients choose the
//! numbers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crest_ledger::command::Command;
use crest_ledger::txn::Step;
use crest_ledger::wire::audit::{LedgerSums, TOTALS_MAX};
use crest_ledger::wire::backup::{BackupAnswer, BackupBegin};
use crest_ledger::wire::{Query, QueryAnswer, REQUEST_COMMANDS_MAX, Request, Response};
use crest_ledger::{Account, Timestamp, Transfer};
use crest_link::{LinkError, ShardLink};
use crest_node::log::Options;
use crest_node::{ClockSource, Node, NodeHandle, ReplicaConfig};
use crest_topology::SlotMap;

const NOW: Timestamp = 1_790_000_000_000_000_000;
/// One more than two pages.
const LEDGERS: u32 = 2 * TOTALS_MAX as u32 + 1;
const AUDIT: u64 = 77;

fn open(dir: &std::path::Path) -> Node {
    let config = ReplicaConfig {
        clock: ClockSource::Manual(Arc::new(AtomicU64::new(NOW))),
        log: Options { segment_bytes: 16 << 20 },
        ..ReplicaConfig::alone("ledgers", 0, SlotMap::even(&[0]).unwrap(), dir)
    };
    Node::open(dir, config).unwrap()
}

/// Two accounts on every ledger number, and a payment of the number between them.
async fn fill(node: &NodeHandle) {
    let account = |id: u128, ledger| Step::account(Account { id, ledger, code: 1, ..Account::default() });
    let pay = |ledger: u32| {
        let (debit_account_id, credit_account_id) = (2 * u128::from(ledger), 2 * u128::from(ledger) + 1);
        let (id, amount) = (u128::from(ledger), u128::from(ledger));
        let t = Transfer { id, debit_account_id, credit_account_id, amount, ledger, code: 1, ..Transfer::default() };
        Step::local(t)
    };
    let all: Vec<u32> = (1..=LEDGERS).collect();
    for ledgers in all.chunks(2_000) {
        let accounts = ledgers.iter().flat_map(|l| [0, 1].map(|n| account(2 * u128::from(*l) + n, *l))).collect();
        let pays = ledgers.iter().map(|ledger| pay(*ledger)).collect();
        let commands = vec![Command::Create(accounts), Command::Create(pays)];
        node.send(Request::commands(commands)).await.unwrap();
    }
}

async fn ask(node: &NodeHandle, query: Query) -> Result<QueryAnswer, LinkError> {
    match node.send(Request::Query(query)).await? {
        Response::Query(answer) => Ok(answer),
        Response::Answers(_) => panic!("a query has no answers of commands"),
    }
}

/// The sums of ledger numbers: all that was debited and credited, and the accounts.
fn expected(ledgers: std::ops::RangeInclusive<u32>) -> Vec<LedgerSums> {
    ledgers.map(|ledger| (ledger, [0, ledger.into(), 0, ledger.into()], 2)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_gives_the_sums_of_every_ledger_in_pages_that_fit_a_message() {
    let data = tempfile::tempdir().unwrap();
    let node = open(data.path());
    let handle = node.handle();
    fill(&handle).await;
    let QueryAnswer::Clock(at) = ask(&handle, Query::Clock).await.unwrap() else { panic!() };
    let QueryAnswer::Audit(part) = ask(&handle, Query::Audit(AUDIT, at)).await.unwrap() else { panic!() };
    assert_eq!((part.findings.len(), part.accounts), (0, 2 * u64::from(LEDGERS)));
    let (mut all, mut more) = (part.totals.totals, part.totals.more);
    while more {
        assert_eq!(all.len() % TOTALS_MAX, 0, "pages are full");
        let after = all.last().unwrap().0;
        let page = ask(&handle, Query::AuditTotals(AUDIT, after)).await.unwrap();
        assert_eq!(Response::unpack(&Response::Query(page.clone()).pack()), Ok(Response::Query(page.clone())));
        let QueryAnswer::AuditTotals(page) = page else { panic!("{page:?}") };
        all.extend(page.totals);
        more = page.more;
    }
    assert_eq!(all, expected(1..=LEDGERS));
    let unknown = ask(&handle, Query::AuditTotals(AUDIT + 1, 0)).await;
    assert!(matches!(&unknown, Err(LinkError::Refused { why, .. }) if why.contains("78")), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_gives_the_changes_of_every_ledger_in_pages_that_fit_a_message() {
    let data = tempfile::tempdir().unwrap();
    let node = open(data.path());
    let handle = node.handle();
    fill(&handle).await;
    let QueryAnswer::Clock(at) = ask(&handle, Query::Clock).await.unwrap() else { panic!() };
    let begin = BackupBegin { number: 5, at, since: None };
    let begun = ask(&handle, Query::BackupBegin(begin)).await.unwrap();
    assert!(matches!(begun, QueryAnswer::Backup(BackupAnswer::Begun(_))), "{begun:?}");
    let mut all = Vec::new();
    for page in 0.. {
        let QueryAnswer::Backup(answer) = ask(&handle, Query::BackupPage(5, page)).await.unwrap() else { panic!() };
        match answer {
            BackupAnswer::Page { .. } => {}
            BackupAnswer::Changes(changes) => {
                assert_eq!(changes.len(), TOTALS_MAX);
                all.extend(changes);
            }
            BackupAnswer::End(end) => {
                assert_eq!((end.changes.len(), end.ledgers), (1, u64::from(LEDGERS)));
                all.extend(end.changes);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(all, expected(1..=LEDGERS));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_request_is_an_entry_that_reads_back_and_a_longer_one_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let node = open(data.path());
    let create = |n: usize| {
        let account = Account { id: n as u128 + 1, ledger: 1, code: 1, ..Account::default() };
        Command::Create(vec![Step::account(account)])
    };
    let commands = |count: usize| Request::commands((0..count).map(create).collect());
    let refused = node.handle().send(commands(REQUEST_COMMANDS_MAX + 1)).await;
    assert!(matches!(&refused, Err(LinkError::Refused { why, .. }) if why.contains("at most 4095")), "{refused:?}");
    let Ok(Response::Answers(answers)) = node.handle().send(commands(REQUEST_COMMANDS_MAX)).await else { panic!() };
    assert_eq!(answers.len(), REQUEST_COMMANDS_MAX);
    drop(node);
    let node = open(data.path());
    let QueryAnswer::Status(status) = ask(&node.handle(), Query::Status).await.unwrap() else { panic!() };
    assert_eq!(status.accounts, REQUEST_COMMANDS_MAX as u64, "its log was read");
}
