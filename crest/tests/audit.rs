//! `crest audit` on real processes: a ledger that is well holds while payments flow, and whatever is changed in the files of
//! a shard by hand is found, with account, shard, transfer and amounts.

mod damage;
mod payments;
mod processes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crest_conformance::random::Random;
use crest_proto::border::number_to;
use crest_proto::v1;
use crest_topology::SlotMap;
use damage::{CASES, Case, Fixture, Opened, PATIENCE, SHARDS, flip_a_byte};
use payments::{Bank, Client, Load};
use processes::{ClusterFiles, Ended, Server, command, folder, free_addresses, run};
use serde_json::Value;

/// Between two looks at what a command says.
const LOOK: Duration = Duration::from_millis(10);

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_changed_by_hand_is_found_and_named() {
    let mut fixture = Fixture::new().await;
    let held = fixture.audit(&[]);
    assert_eq!((held.code, held.stderr.as_str()), (Some(0), ""), "{held:?}");
    assert!(held.stdout.starts_with("HOLDS"), "{held:?}");
    for case in CASES {
        let changes = fixture.while_stopped(case.shard, |fixture| {
            let mut shard = Opened::new(&fixture.files.replica_dir(case.shard, case.shard));
            (case.change)(&mut shard, fixture);
            shard.close()
        });
        is_found(&fixture, case);
        fixture.while_stopped(case.shard, |fixture| {
            Opened::new(&fixture.files.replica_dir(case.shard, case.shard)).undo(changes);
        });
    }
    let held = fixture.audit(&[]);
    assert_eq!(held.code, Some(0), "all is as it was: {held:?}");

    let file = fixture.while_stopped(0, |fixture| flip_a_byte(&fixture.files.replica_dir(0, 0)));
    let found = fixture.audit(&[]);
    assert_eq!(found.code, Some(1), "{found:?}");
    for words in ["shard 0: cannot be read, and was not audited: ", "checksum", &file] {
        assert!(found.stdout.contains(words), "'{words}' is not in:\n{}", found.stdout);
    }
    assert_eq!(found.stdout.matches("\n  - ").count(), 1, "the damage is the only finding:\n{}", found.stdout);
    println!("a flipped byte:\n{}", found.stdout);
}

/// The audit says what the case expects, to people and to programs.
fn is_found(fixture: &Fixture, case: &Case) {
    let (found, as_json) = (fixture.audit(&[]), fixture.audit(&["--json"]));
    let what = case.what;
    assert_eq!(found.code, Some(1), "{what}: {found:?}");
    assert!(found.stdout.starts_with("DOES NOT HOLD"), "{what}: {}", found.stdout);
    assert!(found.stderr.starts_with("crest: the audit does not hold; findings: "), "{what}: {}", found.stderr);
    for finding in case.findings {
        let finding = fixture.fill(finding);
        assert!(found.stdout.contains(&finding), "{what}: '{finding}' is not in:\n{}", found.stdout);
    }
    let json: Value = serde_json::from_str(&as_json.stdout).expect("one document");
    assert_eq!((as_json.code, json["holds"].as_bool()), (Some(1), Some(false)), "{what}");
    let findings = json["findings"].as_array().expect("a list");
    let listed = found.stdout.lines().filter(|line| line.starts_with("  - ")).count();
    assert_eq!(findings.len(), listed, "{what}: {json:#}");
    let data: Value = serde_json::from_str(&fixture.fill(case.data)).expect("the case's data are JSON");
    let data = data.as_object().expect("an object");
    let is_it = |finding: &Value| data.iter().all(|(name, value)| finding.get(name) == Some(value));
    assert!(findings.iter().any(is_it), "{what}: no finding has {data:?} in:\n{json:#}");
    println!("{what}:\n{}", found.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_that_cannot_be_made_is_told_from_one_that_does_not_hold() {
    let data = folder();
    let server = Server::dev(1, data.path());
    let router = format!("http://{}", server.address);
    let late = run(&["audit", "--router", &router, "--request-timeout", "1ms"], PATIENCE);
    assert_eq!((late.code, late.stdout.as_str()), (Some(3), ""), "{late:?}");
    server.stop();
    let gone = run(&["audit", "--router", &router], PATIENCE);
    assert_eq!((gone.code, gone.stdout.as_str()), (Some(3), ""), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn audits_hold_while_payments_flow() {
    let mut random = Random::new(7);
    let files = ClusterFiles::new(SHARDS);
    let nodes: Vec<Server> = (0..SHARDS).map(|shard| files.node(shard)).collect();
    let router = files.router(free_addresses(1)[0]);
    let bank = Arc::new(Bank::new(SHARDS as u32, &mut random));
    bank.open(&mut router.ledger()).await;
    let clients = (0..8).map(|_| Client::new(random.number(), bank.clone())).collect();
    let load = Load::start(clients, &[router.ledger()]);
    let mut last = 0;
    for n in 0..6 {
        load.answers(300).await;
        // Two at a time: each has its own numbers.
        let (one, other) = tokio::join!(audit_beside(&router), audit_beside(&router));
        for audit in [one, other] {
            assert_eq!(audit.code, Some(0), "audit {n}: {audit:?}");
            let audit: Value = serde_json::from_str(&audit.stdout).expect("one document");
            let transfers = audit["transfers"].as_str().and_then(|n| n.parse::<u64>().ok()).expect("a number");
            assert_eq!(audit["holds"], true, "audit {n}: {audit:#}");
            assert!(transfers > last, "audit {n} is of a later instant: {transfers} {last}");
            assert_ne!(audit["cross_shard_transfers"], "0", "audit {n}: {audit:#}");
        }
        last += 100;
    }
    // It waits for a shard that is held still, and says so meanwhile.
    nodes[1].pause();
    let mut command = command();
    command.args(["audit", "--json", "--router", &format!("http://{}", router.address)]);
    let mut waiting = Server::launch_as(command);
    let begun = Instant::now();
    while !waiting.log().contains("waiting for 3 shards") {
        assert!(begun.elapsed() < PATIENCE, "it does not show how far it is: {}", waiting.log());
        assert!(waiting.has_ended().is_none(), "it did not wait: {}", waiting.log());
        tokio::time::sleep(LOOK).await;
    }
    nodes[1].resume();
    assert!(waiting.ended().success(), "{}", waiting.log());
    load.answers(300).await;
    load.stop().await;
    router.stop();
    nodes.into_iter().for_each(Server::stop);
}

/// Runs the real `crest audit --json` while the test does other things.
async fn audit_beside(router: &Server) -> Ended {
    let router = format!("http://{}", router.address);
    let audit = move || run(&["audit", "--json", "--router", &router], PATIENCE);
    tokio::task::spawn_blocking(audit).await.expect("it does not panic")
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
    let server = Server::dev(3, data.path());
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
